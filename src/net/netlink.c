#include "net/netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/veth.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// ---- sockets

static int open_here(Netlink *netlink, int bus) {
    netlink->socket = mnl_socket_open2(bus, SOCK_CLOEXEC);
    if (!netlink->socket)
        return -errno;
    if (mnl_socket_bind(netlink->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
        int error = -errno;
        mnl_socket_close(netlink->socket);
        netlink->socket = NULL;
        return error;
    }
    return 0;
}

int netlink_open(Netlink *netlink, int bus, int netns_fd) {
    *netlink = (Netlink){0};
    if (netns_fd < 0)
        return open_here(netlink, bus);
    int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (home < 0)
        return -errno;
    int error = setns(netns_fd, CLONE_NEWNET) < 0 ? -errno : 0;
    if (!error) {
        error = open_here(netlink, bus);
        if (setns(home, CLONE_NEWNET) < 0)
            abort(); // a thread in the wrong network would do harm wherever it is used next
    }
    close(home);
    return error;
}

void netlink_close(Netlink *netlink) {
    if (netlink->socket)
        mnl_socket_close(netlink->socket);
    netlink->socket = NULL;
}

void *netlink_request(NetlinkRequest *request, uint16_t type, uint16_t flags, size_t size) {
    memset(request->buffer, 0, sizeof(struct nlmsghdr) + size + 16);
    request->header = mnl_nlmsg_put_header(request->buffer);
    request->header->nlmsg_type = type;
    request->header->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    return mnl_nlmsg_put_extra_header(request->header, size);
}

int netlink_talk(Netlink *netlink, NetlinkRequest *request,
                 int (*data)(const struct nlmsghdr *header, void *user), void *user) {
    char buffer[32768];
    unsigned port = mnl_socket_get_portid(netlink->socket);
    request->header->nlmsg_seq = ++netlink->sequence;
    if (mnl_socket_sendto(netlink->socket, request->header, request->header->nlmsg_len) < 0)
        return -errno;
    for (;;) {
        ssize_t n = mnl_socket_recvfrom(netlink->socket, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        int result = mnl_cb_run(buffer, (size_t)n, netlink->sequence, port, data, user);
        if (result < 0)
            return -errno;
        if (result == MNL_CB_STOP)
            return 0;
    }
}

static int talk(Netlink *netlink, NetlinkRequest *request) {
    return netlink_talk(netlink, request, NULL, NULL);
}

// ---- links

typedef struct LinkVisit {
    uint32_t master;
    void (*visit)(void *user, const LinkInfo *link);
    void *user;
} LinkVisit;

static void copy_text(char *out, size_t size, const struct nlattr *attribute) {
    size_t n = mnl_attr_get_payload_len(attribute);
    if (n >= size)
        n = size - 1;
    memcpy(out, mnl_attr_get_payload(attribute), n);
    out[n] = 0;
}

static int on_link(const struct nlmsghdr *header, void *user) {
    LinkVisit *visit = user;
    const struct ifinfomsg *message = mnl_nlmsg_get_payload(header);
    LinkInfo link = {.index = (uint32_t)message->ifi_index, .up = message->ifi_flags & IFF_UP};
    const struct nlattr *attribute, *nested;
    mnl_attr_for_each(attribute, header, sizeof *message) {
        switch (mnl_attr_get_type(attribute)) {
        case IFLA_IFNAME:
            copy_text(link.name, sizeof link.name, attribute);
            break;
        case IFLA_MASTER:
            link.master = mnl_attr_get_u32(attribute);
            break;
        case IFLA_MTU:
            link.mtu = mnl_attr_get_u32(attribute);
            break;
        case IFLA_LINKINFO:
            mnl_attr_for_each_nested(nested, attribute) {
                if (mnl_attr_get_type(nested) == IFLA_INFO_KIND)
                    copy_text(link.kind, sizeof link.kind, nested);
            }
            break;
        }
    }
    if (!visit->master || visit->master == link.master)
        visit->visit(visit->user, &link);
    return MNL_CB_OK;
}

int link_each(Netlink *netlink, uint32_t master, void (*visit)(void *user, const LinkInfo *link),
              void *user) {
    NetlinkRequest request;
    LinkVisit context = {master, visit, user};
    netlink_request(&request, RTM_GETLINK, NLM_F_DUMP, sizeof(struct ifinfomsg));
    return netlink_talk(netlink, &request, on_link, &context);
}

static void keep_link(void *user, const LinkInfo *link) {
    *(LinkInfo *)user = *link;
}

int link_find(Netlink *netlink, const char *name, LinkInfo *ret) {
    NetlinkRequest request;
    LinkVisit context = {0, keep_link, ret};
    *ret = (LinkInfo){0};
    netlink_request(&request, RTM_GETLINK, 0, sizeof(struct ifinfomsg));
    mnl_attr_put_strz(request.header, IFLA_IFNAME, name);
    int error = netlink_talk(netlink, &request, on_link, &context);
    return error ? error : ret->index ? 0 : -ENODEV;
}

int link_delete(Netlink *netlink, uint32_t index) {
    NetlinkRequest request;
    struct ifinfomsg *message = netlink_request(&request, RTM_DELLINK, 0, sizeof *message);
    message->ifi_index = (int)index;
    return talk(netlink, &request);
}

int link_set_up(Netlink *netlink, uint32_t index) {
    NetlinkRequest request;
    struct ifinfomsg *message = netlink_request(&request, RTM_NEWLINK, 0, sizeof *message);
    message->ifi_index = (int)index;
    message->ifi_flags = message->ifi_change = IFF_UP;
    return talk(netlink, &request);
}

int link_set_master(Netlink *netlink, uint32_t index, uint32_t master) {
    NetlinkRequest request;
    struct ifinfomsg *message = netlink_request(&request, RTM_NEWLINK, 0, sizeof *message);
    message->ifi_index = (int)index;
    mnl_attr_put_u32(request.header, IFLA_MASTER, master);
    return talk(netlink, &request);
}

int link_add_bridge(Netlink *netlink, const char *name, const uint8_t mac[6], uint32_t mtu) {
    NetlinkRequest request;
    struct ifinfomsg *message =
        netlink_request(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof *message);
    message->ifi_flags = message->ifi_change = IFF_UP;
    mnl_attr_put_strz(request.header, IFLA_IFNAME, name);
    // Given, so that it does not follow the ports' as they come and go.
    mnl_attr_put(request.header, IFLA_ADDRESS, 6, mac);
    mnl_attr_put_u32(request.header, IFLA_MTU, mtu);
    struct nlattr *info = mnl_attr_nest_start(request.header, IFLA_LINKINFO);
    mnl_attr_put_strz(request.header, IFLA_INFO_KIND, "bridge");
    mnl_attr_nest_end(request.header, info);
    return talk(netlink, &request);
}

int link_set_bridge_filtered(Netlink *netlink, uint32_t index) {
    NetlinkRequest request;
    struct ifinfomsg *message = netlink_request(&request, RTM_NEWLINK, 0, sizeof *message);
    message->ifi_index = (int)index;
    struct nlattr *info = mnl_attr_nest_start(request.header, IFLA_LINKINFO);
    mnl_attr_put_strz(request.header, IFLA_INFO_KIND, "bridge");
    struct nlattr *data = mnl_attr_nest_start(request.header, IFLA_INFO_DATA);
    mnl_attr_put_u8(request.header, IFLA_BR_NF_CALL_IPTABLES, 1);
    mnl_attr_nest_end(request.header, data);
    mnl_attr_nest_end(request.header, info);
    return talk(netlink, &request);
}

int link_add_veth(Netlink *netlink, const char *host, uint32_t bridge, const char *peer,
                  const uint8_t mac[6], int netns_fd, uint32_t mtu) {
    NetlinkRequest request;
    struct ifinfomsg *message =
        netlink_request(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof *message);
    struct nlmsghdr *header = request.header;
    message->ifi_flags = message->ifi_change = IFF_UP;
    mnl_attr_put_strz(header, IFLA_IFNAME, host);
    mnl_attr_put_u32(header, IFLA_MTU, mtu);
    mnl_attr_put_u32(header, IFLA_MASTER, bridge);
    struct nlattr *info = mnl_attr_nest_start(header, IFLA_LINKINFO);
    mnl_attr_put_strz(header, IFLA_INFO_KIND, "veth");
    struct nlattr *data = mnl_attr_nest_start(header, IFLA_INFO_DATA);
    struct nlattr *other = mnl_attr_nest_start(header, VETH_INFO_PEER);
    struct ifinfomsg *peer_message = mnl_nlmsg_put_extra_header(header, sizeof *peer_message);
    peer_message->ifi_flags = 0; // a veth whose other half is not made yet cannot be set up
    mnl_attr_put_strz(header, IFLA_IFNAME, peer);
    mnl_attr_put(header, IFLA_ADDRESS, 6, mac);
    mnl_attr_put_u32(header, IFLA_MTU, mtu);
    mnl_attr_put_u32(header, IFLA_NET_NS_FD, (uint32_t)netns_fd);
    mnl_attr_nest_end(header, other);
    mnl_attr_nest_end(header, data);
    mnl_attr_nest_end(header, info);
    return talk(netlink, &request);
}

int link_set_hairpin(Netlink *netlink, uint32_t index) {
    NetlinkRequest request;
    struct ifinfomsg *message = netlink_request(&request, RTM_SETLINK, 0, sizeof *message);
    message->ifi_family = AF_BRIDGE;
    message->ifi_index = (int)index;
    struct nlattr *port = mnl_attr_nest_start(request.header, IFLA_PROTINFO);
    mnl_attr_put_u8(request.header, IFLA_BRPORT_MODE, 1);
    mnl_attr_nest_end(request.header, port);
    port->nla_type |= NLA_F_NESTED;
    return talk(netlink, &request);
}

// ---- addresses and routes

int address_add(Netlink *netlink, uint32_t index, uint32_t address, unsigned prefix) {
    NetlinkRequest request;
    struct ifaddrmsg *message =
        netlink_request(&request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof *message);
    message->ifa_family = AF_INET;
    message->ifa_prefixlen = (uint8_t)prefix;
    message->ifa_scope = RT_SCOPE_UNIVERSE;
    message->ifa_index = index;
    uint32_t broadcast = address | (prefix ? ~(~0U << (32 - prefix)) : ~0U);
    mnl_attr_put_u32(request.header, IFA_LOCAL, htonl(address));
    mnl_attr_put_u32(request.header, IFA_ADDRESS, htonl(address));
    mnl_attr_put_u32(request.header, IFA_BROADCAST, htonl(broadcast));
    int error = talk(netlink, &request);
    return error == -EEXIST ? 0 : error;
}

typedef struct AddressVisit {
    void (*visit)(void *user, uint32_t index, uint32_t address, unsigned prefix);
    void *user;
} AddressVisit;

static int on_address(const struct nlmsghdr *header, void *user) {
    AddressVisit *visit = user;
    const struct ifaddrmsg *message = mnl_nlmsg_get_payload(header);
    const struct nlattr *attribute;
    uint32_t address = 0;
    mnl_attr_for_each(attribute, header, sizeof *message) {
        if (mnl_attr_get_type(attribute) == IFA_LOCAL && mnl_attr_get_payload_len(attribute) == 4)
            address = ntohl(mnl_attr_get_u32(attribute));
    }
    if (message->ifa_family == AF_INET && address)
        visit->visit(visit->user, message->ifa_index, address, message->ifa_prefixlen);
    return MNL_CB_OK;
}

int address_each(Netlink *netlink,
                 void (*visit)(void *user, uint32_t index, uint32_t address, unsigned prefix),
                 void *user) {
    NetlinkRequest request;
    AddressVisit context = {visit, user};
    struct ifaddrmsg *message = netlink_request(&request, RTM_GETADDR, NLM_F_DUMP, sizeof *message);
    message->ifa_family = AF_INET;
    return netlink_talk(netlink, &request, on_address, &context);
}

int route_add_default(Netlink *netlink, uint32_t index, uint32_t gateway) {
    NetlinkRequest request;
    struct rtmsg *message =
        netlink_request(&request, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, sizeof *message);
    message->rtm_family = AF_INET;
    message->rtm_table = RT_TABLE_MAIN;
    message->rtm_protocol = RTPROT_BOOT;
    message->rtm_scope = RT_SCOPE_UNIVERSE;
    message->rtm_type = RTN_UNICAST;
    mnl_attr_put_u32(request.header, RTA_OIF, index);
    mnl_attr_put_u32(request.header, RTA_GATEWAY, htonl(gateway));
    return talk(netlink, &request);
}

int route_add_link(Netlink *netlink, uint32_t index, uint32_t network, unsigned prefix,
                   uint32_t source) {
    NetlinkRequest request;
    struct rtmsg *message =
        netlink_request(&request, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, sizeof *message);
    message->rtm_family = AF_INET;
    message->rtm_dst_len = (unsigned char)prefix;
    message->rtm_table = RT_TABLE_MAIN;
    message->rtm_protocol = RTPROT_BOOT;
    message->rtm_scope = RT_SCOPE_LINK;
    message->rtm_type = RTN_UNICAST;
    mnl_attr_put_u32(request.header, RTA_DST, htonl(network));
    mnl_attr_put_u32(request.header, RTA_OIF, index);
    mnl_attr_put_u32(request.header, RTA_PREFSRC, htonl(source));
    return talk(netlink, &request);
}

static int on_route(const struct nlmsghdr *header, void *user) {
    const struct rtmsg *message = mnl_nlmsg_get_payload(header);
    const struct nlattr *attribute;
    uint32_t *index = user;
    if (message->rtm_dst_len != 0 || message->rtm_table != RT_TABLE_MAIN || *index)
        return MNL_CB_OK;
    mnl_attr_for_each(attribute, header, sizeof *message) {
        if (mnl_attr_get_type(attribute) == RTA_OIF)
            *index = mnl_attr_get_u32(attribute);
    }
    return MNL_CB_OK;
}

int route_default_link(Netlink *netlink, uint32_t *ret_index) {
    NetlinkRequest request;
    struct rtmsg *message = netlink_request(&request, RTM_GETROUTE, NLM_F_DUMP, sizeof *message);
    message->rtm_family = AF_INET;
    *ret_index = 0;
    return netlink_talk(netlink, &request, on_route, ret_index);
}
