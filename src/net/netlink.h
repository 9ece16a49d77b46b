#pragma once
// rtnetlink in small steps: open a socket in a network namespace, build a message, send it, wait
// for the answer. Each call blocks for as long as the kernel takes (some 10 µs, deletions of links
// milliseconds), so this is for worker threads. Functions return 0 or negative errno.

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Netlink {
    struct mnl_socket *socket;
    uint32_t sequence;
} Netlink;

// `bus` is NETLINK_ROUTE or NETLINK_NETFILTER. netns_fd < 0: the namespace of this thread.
// Otherwise the thread visits that namespace for the time of the call.
int netlink_open(Netlink *netlink, int bus, int netns_fd) __attribute__((warn_unused_result));
void netlink_close(Netlink *netlink);

#define NETLINK_REQUEST_MAX 4096
typedef struct NetlinkRequest {
    _Alignas(struct nlmsghdr) char buffer[NETLINK_REQUEST_MAX];
    struct nlmsghdr *header;
} NetlinkRequest;
// Starts a message and returns its cleared body of `size` bytes (struct ifinfomsg, ...).
void *netlink_request(NetlinkRequest *request, uint16_t type, uint16_t flags, size_t size);
// Sends and waits. `data` (may be NULL) is called for each message of the answer.
int netlink_talk(Netlink *netlink, NetlinkRequest *request,
                 int (*data)(const struct nlmsghdr *header, void *user), void *user)
    __attribute__((warn_unused_result));

// ---- links, addresses, routes

typedef struct LinkInfo {
    uint32_t index, master, mtu;
    bool up;
    char name[16], kind[16];
} LinkInfo;
// -ENODEV when there is none of that name.
int link_find(Netlink *netlink, const char *name, LinkInfo *ret)
    __attribute__((warn_unused_result));
// Calls `visit` for every link whose master is `master` (0: every link at all).
int link_each(Netlink *netlink, uint32_t master, void (*visit)(void *user, const LinkInfo *link),
              void *user) __attribute__((warn_unused_result));
int link_delete(Netlink *netlink, uint32_t index) __attribute__((warn_unused_result));
int link_set_up(Netlink *netlink, uint32_t index) __attribute__((warn_unused_result));
int link_set_master(Netlink *netlink, uint32_t index, uint32_t master)
    __attribute__((warn_unused_result));
// -EEXIST when the name is taken.
int link_add_bridge(Netlink *netlink, const char *name, const uint8_t mac[6], uint32_t mtu)
    __attribute__((warn_unused_result));
// `host` becomes a port of `bridge` and is up; its peer appears as `peer`, down, in the namespace.
int link_add_veth(Netlink *netlink, const char *host, uint32_t bridge, const char *peer,
                  const uint8_t mac[6], int netns_fd, uint32_t mtu)
    __attribute__((warn_unused_result));
// Shows what crosses the bridge to the IP layer's netfilter hooks (module br_netfilter), this
// bridge alone.
int link_set_bridge_filtered(Netlink *netlink, uint32_t index) __attribute__((warn_unused_result));
// Lets a bridge port send a packet back where it came from (a pod that reaches itself by a
// service).
int link_set_hairpin(Netlink *netlink, uint32_t index) __attribute__((warn_unused_result));
// Adds the address, or leaves it as it is. Host byte order.
int address_add(Netlink *netlink, uint32_t index, uint32_t address, unsigned prefix)
    __attribute__((warn_unused_result));
int address_each(Netlink *netlink,
                 void (*visit)(void *user, uint32_t index, uint32_t address, unsigned prefix),
                 void *user) __attribute__((warn_unused_result));
int route_add_default(Netlink *netlink, uint32_t index, uint32_t gateway)
    __attribute__((warn_unused_result));
// Packets to that range leave by the link, with `source` as their source. Replaces a route that is
// there.
int route_add_link(Netlink *netlink, uint32_t index, uint32_t network, unsigned prefix,
                   uint32_t source) __attribute__((warn_unused_result));
// The link of the host's default route, 0 when there is none.
int route_default_link(Netlink *netlink, uint32_t *ret_index) __attribute__((warn_unused_result));
