#pragma once
// /etc/hosts, /etc/hostname and /etc/resolv.conf of a pod, as a kubelet and its runtime write them.
// https://kubernetes.io/docs/tasks/network/customize-hosts-file-for-pods/
// https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/

#include "kinds/kinds.h"
#include "node/agent.h"

// The pod's host name (63 characters at most) and domain (SUBDOMAIN.NAMESPACE.svc.CLUSTER_DOMAIN,
// or empty).
void pod_host_name(Arena *arena, const Pod *pod, Str cluster_domain, Str *ret_name,
                   Str *ret_domain);
// `host_hosts`: the node's own file, used with hostNetwork.
Str pod_hosts_text(Arena *arena, const Pod *pod, Str pod_ip, Str cluster_domain, Str host_hosts);
// `host_resolv`: the node's resolv.conf. `cluster_dns` may be empty. *ret_warning: what a
// DNSConfigForming event says, or STR_NONE.
Str pod_resolv_text(Arena *arena, const Pod *pod, Str cluster_dns, Str cluster_domain,
                    Str host_resolv, Str *ret_warning);

typedef struct PodFiles { // absolute paths; `hosts` empty while the pod has no address
    Str hosts, hostname, resolv_conf;
} PodFiles;
// Writes what differs, in place, since running containers have the files mounted. Returns 0 or
// negative errno.
int pod_files_write(NodeAgent *agent, Arena *arena, const Pod *pod, Str pod_ip, Str directory,
                    PodFiles *ret) __attribute__((warn_unused_result));
