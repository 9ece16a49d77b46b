#include "net/conntrack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "net/netlink.h"

#define TUPLE_MAX 256

typedef struct Tuple {
    uint32_t source, destination;
    uint16_t source_port, destination_port;
    uint8_t protocol;
} Tuple;

typedef struct Victim { // the original tuple as the kernel wrote it
    uint16_t len;
    char bytes[TUPLE_MAX];
} Victim;

typedef struct Search {
    const ConntrackStale *stale;
    size_t n;
    Victim *victims;
    size_t n_victims;
} Search;

static void read_part(const struct nlattr *nest, Tuple *tuple, bool ip) {
    const struct nlattr *attribute;
    mnl_attr_for_each_nested(attribute, nest) {
        size_t len = mnl_attr_get_payload_len(attribute);
        uint16_t type = mnl_attr_get_type(attribute);
        if (ip && type == CTA_IP_V4_SRC && len == 4)
            tuple->source = ntohl(mnl_attr_get_u32(attribute));
        else if (ip && type == CTA_IP_V4_DST && len == 4)
            tuple->destination = ntohl(mnl_attr_get_u32(attribute));
        else if (!ip && type == CTA_PROTO_NUM && len == 1)
            tuple->protocol = mnl_attr_get_u8(attribute);
        else if (!ip && type == CTA_PROTO_SRC_PORT && len == 2)
            tuple->source_port = ntohs(mnl_attr_get_u16(attribute));
        else if (!ip && type == CTA_PROTO_DST_PORT && len == 2)
            tuple->destination_port = ntohs(mnl_attr_get_u16(attribute));
    }
}

static Tuple read_tuple(const struct nlattr *nest) {
    Tuple tuple = {0};
    const struct nlattr *attribute;
    mnl_attr_for_each_nested(attribute, nest) {
        uint16_t type = mnl_attr_get_type(attribute);
        if (type == CTA_TUPLE_IP || type == CTA_TUPLE_PROTO)
            read_part(attribute, &tuple, type == CTA_TUPLE_IP);
    }
    return tuple;
}

static bool is_stale(const Search *search, const Tuple *called, const Tuple *answered) {
    for (size_t i = 0; i < search->n; i++) {
        const ConntrackStale *stale = &search->stale[i];
        if ((stale->address && stale->address != called->destination) ||
            stale->port != called->destination_port)
            continue;
        bool translated = answered->source != called->destination;
        if (stale->to_address
                ? answered->source == stale->to_address && answered->source_port == stale->to_port
                : !translated)
            return true;
    }
    return false;
}

static int on_connection(const struct nlmsghdr *header, void *user) {
    Search *search = user;
    const struct nlattr *attribute, *original = NULL, *reply = NULL;
    mnl_attr_for_each(attribute, header, sizeof(struct nfgenmsg)) {
        if (mnl_attr_get_type(attribute) == CTA_TUPLE_ORIG)
            original = attribute;
        if (mnl_attr_get_type(attribute) == CTA_TUPLE_REPLY)
            reply = attribute;
    }
    if (!original || !reply || mnl_attr_get_payload_len(original) > TUPLE_MAX)
        return MNL_CB_OK;
    Tuple called = read_tuple(original), answered = read_tuple(reply);
    if (called.protocol != IPPROTO_UDP || !is_stale(search, &called, &answered))
        return MNL_CB_OK;
    search->victims = memory_resize_array(search->victims, search->n_victims + 1, sizeof(Victim));
    Victim *victim = &search->victims[search->n_victims++];
    victim->len = mnl_attr_get_payload_len(original);
    memcpy(victim->bytes, mnl_attr_get_payload(original), victim->len);
    return MNL_CB_OK;
}

static struct nlmsghdr *request_of(NetlinkRequest *request, uint16_t type, uint16_t flags) {
    struct nfgenmsg *message = netlink_request(
        request, (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type), flags, sizeof *message);
    message->nfgen_family = AF_INET;
    message->version = NFNETLINK_V0;
    return request->header;
}

static int forget(Netlink *netlink, Search *search) {
    NetlinkRequest request;
    request_of(&request, IPCTNL_MSG_CT_GET, NLM_F_DUMP);
    int result = netlink_talk(netlink, &request, on_connection, search);
    for (size_t i = 0; i < search->n_victims && !result; i++) {
        struct nlmsghdr *header = request_of(&request, IPCTNL_MSG_CT_DELETE, 0);
        const Victim *victim = &search->victims[i];
        mnl_attr_put(header, CTA_TUPLE_ORIG | NLA_F_NESTED, victim->len, victim->bytes);
        result = netlink_talk(netlink, &request, NULL, NULL);
        result = result == -ENOENT ? 0 : result; // it ended meanwhile
    }
    free(search->victims);
    return result;
}

int conntrack_forget(const ConntrackStale *stale, size_t n) {
    Netlink netlink;
    Search search = {.stale = stale, .n = n};
    int error = netlink_open(&netlink, NETLINK_NETFILTER, -1);
    if (error)
        return error;
    error = forget(&netlink, &search);
    netlink_close(&netlink);
    return error;
}
