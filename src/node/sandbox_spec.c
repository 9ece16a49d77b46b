// What a pod's sandbox and control group look like.
#include <errno.h>
#include <stdio.h>

#include "node/environment.h"
#include "node/pod_files.h"
#include "node/resources.h"

#define KERNEL_HOST_NAME_MAX 64

// Those that cannot harm other pods; a kubelet allows others by name only
// (--allowed-unsafe-sysctls).
// https://kubernetes.io/docs/tasks/administer-cluster/sysctl-cluster/#safe-and-unsafe-sysctls
static const Str safe_sysctls[] = {
#define SAFE(name)                                                                                 \
    { name, sizeof name - 1 }
    SAFE("kernel.shm_rmid_forced"),
    SAFE("net.ipv4.ip_local_port_range"),
    SAFE("net.ipv4.tcp_syncookies"),
    SAFE("net.ipv4.ping_group_range"),
    SAFE("net.ipv4.ip_unprivileged_port_start"),
    SAFE("net.ipv4.ip_local_reserved_ports"),
    SAFE("net.ipv4.tcp_keepalive_time"),
    SAFE("net.ipv4.tcp_fin_timeout"),
    SAFE("net.ipv4.tcp_keepalive_intvl"),
    SAFE("net.ipv4.tcp_keepalive_probes"),
    SAFE("net.ipv4.tcp_rmem"),
    SAFE("net.ipv4.tcp_wmem"),
#undef SAFE
};

static bool is_safe(Str name) {
    for (size_t i = 0; i < sizeof safe_sysctls / sizeof *safe_sysctls; i++)
        if (str_eq(safe_sysctls[i], name))
            return true;
    return false;
}

// "net/ipv4/tcp_rmem" is another way to write "net.ipv4.tcp_rmem".
static Str normal_name(Arena *arena, Str name) {
    char *copy = arena_cstr(arena, name);
    if (!strchr(copy, '/') || (strchr(copy, '.') && strchr(copy, '.') < strchr(copy, '/')))
        return name;
    for (char *p = copy; *p; p++)
        *p = *p == '/' ? '.' : *p == '.' ? '/' : *p;
    return str_from(copy);
}

static int add_sysctls(Arena *arena, const Pod *pod, SandboxSpec *spec, Str *ret_message) {
    const PodSecurityContext *context = pod->spec.security_context;
    if (!context || !context->sysctls.len)
        return 0;
    RuntimePair *sysctls = arena_array_of(arena, RuntimePair, context->sysctls.len);
    for (size_t i = 0; i < context->sysctls.len; i++) {
        const Sysctl *sysctl = &context->sysctls.items[i];
        Str name = normal_name(arena, sysctl->name);
        if (!is_safe(name)) {
            *ret_message = arena_printf(arena, "forbidden sysctl: \"%.*s\" not allowlisted",
                                        STR_ARG(sysctl->name));
            return -EPERM;
        }
        sysctls[spec->n_sysctls++] = (RuntimePair){name, sysctl->value};
    }
    spec->sysctls = sysctls;
    return 0;
}

static int refuse_unsupported(Arena *arena, const Pod *pod, Str *ret_message) {
    if (pod->spec.host_users && !*pod->spec.host_users)
        *ret_message = STR("user namespaces (hostUsers: false) are not supported by this node");
    else if (pod->spec.runtime_class_name.len)
        *ret_message = arena_printf(arena, "RuntimeHandler \"%.*s\" not supported",
                                    STR_ARG(pod->spec.runtime_class_name));
    else
        return 0;
    return -ENOTSUP;
}

int sandbox_spec_build(NodeAgent *agent, Arena *arena, const Pod *pod, SandboxSpec *ret,
                       Str *ret_message) {
    const PodSpec *spec = &pod->spec;
    int error = refuse_unsupported(arena, pod, ret_message);
    if (error)
        return error;
    Str domain;
    pod_host_name(arena, pod, agent->config.cluster_domain, &ret->hostname, &domain);
    if (domain.len && spec->set_hostname_as_fqdn && *spec->set_hostname_as_fqdn) {
        Str name = arena_printf(arena, "%.*s.%.*s", STR_ARG(ret->hostname), STR_ARG(domain));
        if (name.len > KERNEL_HOST_NAME_MAX) {
            *ret_message = arena_printf(
                arena,
                "failed to construct FQDN from pod hostname and cluster domain, FQDN %.*s is too "
                "long (%d characters is the max, %zu characters requested)",
                STR_ARG(name), KERNEL_HOST_NAME_MAX, name.len);
            return -ENAMETOOLONG;
        }
        ret->hostname = name;
    }
    ret->host_network = spec->host_network;
    ret->host_pid = spec->host_pid;
    ret->host_ipc = spec->host_ipc;
    return add_sysctls(arena, pod, ret, ret_message);
}
