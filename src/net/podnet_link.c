#include "net/podnet_link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POD_INTERFACE "eth0"
#define DEFAULT_MTU 1500

void podnet_link_name(Str id, char out[PODNET_LINK_NAME]) {
    snprintf(out, PODNET_LINK_NAME, "sp%.*s", (int)(id.len < 12 ? id.len : 12), id.ptr);
}

// Locally administered, and the same whenever the address is: what neighbours remember stays right.
static void mac_of(uint32_t address, uint8_t out[6]) {
    const uint8_t mac[6] = {0x0a,
                            0x58,
                            (uint8_t)(address >> 24),
                            (uint8_t)(address >> 16),
                            (uint8_t)(address >> 8),
                            (uint8_t)address};
    memcpy(out, mac, 6);
}

// ---- the bridge

typedef struct Conflict {
    Ipv4Range range, services;
    uint32_t bridge, other; // numbers of links; 0: none
} Conflict;

static void find_conflict(void *user, uint32_t index, uint32_t address, unsigned prefix) {
    Conflict *conflict = user;
    Ipv4Range theirs = {.prefix = prefix};
    theirs.network = address & ipv4_range_mask(theirs);
    bool overlaps = ipv4_ranges_overlap(theirs, conflict->range) ||
                    (conflict->services.prefix && ipv4_ranges_overlap(theirs, conflict->services));
    if (index != conflict->bridge && prefix > 0 && overlaps)
        conflict->other = index;
}

typedef struct ByIndex {
    uint32_t index;
    LinkInfo link;
} ByIndex;

static void find_index(void *user, const LinkInfo *link) {
    ByIndex *by_index = user;
    if (link->index == by_index->index)
        by_index->link = *link;
}

static uint32_t default_mtu(Netlink *netlink) {
    ByIndex by_index = {0};
    if (route_default_link(netlink, &by_index.index) || !by_index.index ||
        link_each(netlink, 0, find_index, &by_index) || by_index.link.mtu < 576)
        return DEFAULT_MTU;
    return by_index.link.mtu;
}

static int check_conflict(Netlink *netlink, const BridgeConfig *config, uint32_t bridge,
                          char ret_other[PODNET_LINK_NAME]) {
    Conflict conflict = {.range = config->range, .services = config->services, .bridge = bridge};
    int error = address_each(netlink, find_conflict, &conflict);
    if (error || !conflict.other)
        return error;
    ByIndex by_index = {.index = conflict.other};
    error = link_each(netlink, 0, find_index, &by_index);
    snprintf(ret_other, PODNET_LINK_NAME, "%s", by_index.link.name);
    return error ? error : -EADDRINUSE;
}

// A host without a default route could not even begin to talk to a service. And what pods of one
// node say to each other has to pass the rules of services, on its way back, too.
static int ensure_services(Netlink *netlink, const BridgeConfig *config, uint32_t bridge) {
    int error = link_set_bridge_filtered(netlink, bridge);
    if (!error && config->services.prefix)
        error = route_add_link(netlink, bridge, config->services.network, config->services.prefix,
                               config->gateway);
    if (!error && config->dns)
        error = address_add(netlink, bridge, config->dns, 32);
    return error;
}

static int ensure_on(Netlink *netlink, const BridgeConfig *config, uint32_t *ret_index,
                     uint32_t *ret_mtu, char ret_other[PODNET_LINK_NAME]) {
    LinkInfo bridge;
    uint8_t mac[6];
    mac_of(config->gateway, mac);
    *ret_mtu = config->mtu ? config->mtu : default_mtu(netlink);
    int error = link_find(netlink, config->name, &bridge);
    if (error && error != -ENODEV)
        return error;
    if (!error && strcmp(bridge.kind, "bridge") != 0)
        return -EEXIST;
    int conflict = check_conflict(netlink, config, bridge.index, ret_other);
    if (conflict)
        return conflict;
    if (error == -ENODEV)
        error = link_add_bridge(netlink, config->name, mac, *ret_mtu);
    if (!error || error == -EEXIST)
        error = link_find(netlink, config->name, &bridge);
    if (!error && !bridge.up)
        error = link_set_up(netlink, bridge.index);
    *ret_index = bridge.index;
    if (!error)
        error = address_add(netlink, bridge.index, config->gateway, config->range.prefix);
    return error ? error : ensure_services(netlink, config, bridge.index);
}

int bridge_ensure(const BridgeConfig *config, uint32_t *ret_index, uint32_t *ret_mtu,
                  char ret_other[PODNET_LINK_NAME]) {
    Netlink netlink;
    ret_other[0] = 0;
    int error = netlink_open(&netlink, NETLINK_ROUTE, -1);
    if (error)
        return error;
    error = ensure_on(&netlink, config, ret_index, ret_mtu, ret_other);
    netlink_close(&netlink);
    return error;
}

typedef struct Sweep {
    bool (*keep)(void *user, const char *port);
    void *user;
    uint32_t *indexes; // to delete: not from inside the dump
    size_t n;
} Sweep;

static void collect_port(void *user, const LinkInfo *link) {
    Sweep *sweep = user;
    if (sweep->keep && sweep->keep(sweep->user, link->name))
        return;
    uint32_t *more = realloc(sweep->indexes, (sweep->n + 1) * sizeof *more);
    if (!more)
        abort();
    sweep->indexes = more;
    sweep->indexes[sweep->n++] = link->index;
}

static int sweep_on(Netlink *netlink, uint32_t bridge, Sweep *sweep) {
    int result = link_each(netlink, bridge, collect_port, sweep);
    for (size_t i = 0; i < sweep->n && !result; i++) {
        result = link_delete(netlink, sweep->indexes[i]);
        if (result == -ENODEV)
            result = 0;
    }
    free(sweep->indexes);
    return result;
}

static int sweep_bridge(const char *name, Sweep *sweep, bool remove) {
    Netlink netlink;
    LinkInfo bridge;
    int error = netlink_open(&netlink, NETLINK_ROUTE, -1);
    if (error)
        return error;
    error = link_find(&netlink, name, &bridge);
    if (!error)
        error = sweep_on(&netlink, bridge.index, sweep);
    if (!error && remove)
        error = link_delete(&netlink, bridge.index);
    netlink_close(&netlink);
    return error == -ENODEV ? 0 : error;
}

int bridge_remove(const char *name) {
    Sweep sweep = {0};
    return sweep_bridge(name, &sweep, true);
}

int bridge_sweep(const char *name, bool (*keep)(void *user, const char *port), void *user) {
    Sweep sweep = {.keep = keep, .user = user};
    return sweep_bridge(name, &sweep, false);
}

// ---- pods

// The host's end; -EEXIST is fine when the pair is whole.
static int ensure_pair(Netlink *host, Netlink *pod, const PodLink *link, int netns,
                       LinkInfo *ret_pod_link, const char **ret_step) {
    LinkInfo bridge, port;
    uint8_t mac[6];
    mac_of(link->address, mac);
    *ret_step = "find the bridge";
    int error = link_find(host, link->bridge, &bridge);
    if (error)
        return error;
    *ret_step = "look for the pod's interface";
    error = link_find(pod, POD_INTERFACE, ret_pod_link);
    if (error && error != -ENODEV)
        return error;
    *ret_step = "create the veth pair";
    if (error == -ENODEV) {
        error = link_add_veth(host, link->name, bridge.index, POD_INTERFACE, mac, netns, link->mtu);
        if (error == -EEXIST &&
            link_find(host, link->name, &port) == 0) { // of a namespace that is gone
            error = link_delete(host, port.index);
            if (!error)
                error = link_add_veth(host, link->name, bridge.index, POD_INTERFACE, mac, netns,
                                      link->mtu);
        }
    }
    if (error)
        return error;
    *ret_step = "set up the bridge port";
    error = link_find(host, link->name, &port);
    if (!error && port.master != bridge.index) // of a bridge that was deleted
        error = link_set_master(host, port.index, bridge.index);
    if (!error)
        error = link_set_hairpin(host, port.index);
    return error ? error : link_find(pod, POD_INTERFACE, ret_pod_link);
}

static int configure_pod(Netlink *pod, const PodLink *link, const LinkInfo *interface,
                         const char **ret_step) {
    LinkInfo loopback;
    *ret_step = "set the pod's address";
    int error = address_add(pod, interface->index, link->address, link->prefix);
    if (!error && !interface->up)
        error = link_set_up(pod, interface->index);
    if (error)
        return error;
    *ret_step = "set up the pod's loopback";
    error = link_find(pod, "lo", &loopback);
    if (!error)
        error = link_set_up(pod, loopback.index);
    if (error)
        return error;
    *ret_step = "set the pod's default route";
    return route_add_default(pod, interface->index, link->gateway);
}

int pod_link_ensure(const PodLink *link, const char **ret_step) {
    Netlink host = {0}, pod = {0};
    LinkInfo interface;
    *ret_step = "open the pod's network namespace";
    int netns = open(link->netns, O_RDONLY | O_CLOEXEC);
    if (netns < 0)
        return -errno;
    int error = netlink_open(&pod, NETLINK_ROUTE, netns);
    if (!error)
        error = netlink_open(&host, NETLINK_ROUTE, -1);
    if (!error)
        error = ensure_pair(&host, &pod, link, netns, &interface, ret_step);
    if (!error)
        error = configure_pod(&pod, link, &interface, ret_step);
    netlink_close(&host);
    netlink_close(&pod);
    close(netns);
    return error;
}

int pod_link_remove(const char *name) {
    Netlink netlink;
    LinkInfo link;
    int error = netlink_open(&netlink, NETLINK_ROUTE, -1);
    if (error)
        return error;
    error = link_find(&netlink, name, &link);
    if (!error)
        error = link_delete(&netlink, link.index);
    netlink_close(&netlink);
    return error == -ENODEV ? 0 : error;
}
