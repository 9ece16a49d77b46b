#include "net/firewall.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/netlink.h"

#define BATCH_MAX 16384
#define FILTER_TABLE "filter" // iptables-nft's

// ---- transactions

typedef struct Batch {
    Netlink netlink;
    char buffer[BATCH_MAX + 4096];
    struct mnl_nlmsg_batch *batch;
    uint32_t sequence;
} Batch;

static int batch_begin(Batch *batch) {
    int error = netlink_open(&batch->netlink, NETLINK_NETFILTER, -1);
    if (error)
        return error;
    batch->sequence = 1;
    batch->batch = mnl_nlmsg_batch_start(batch->buffer, BATCH_MAX);
    nftnl_batch_begin(mnl_nlmsg_batch_current(batch->batch), batch->sequence++);
    mnl_nlmsg_batch_next(batch->batch);
    return 0;
}

static struct nlmsghdr *batch_message(Batch *batch, uint16_t type, uint16_t flags) {
    return nftnl_nlmsg_build_hdr(mnl_nlmsg_batch_current(batch->batch), type, NFPROTO_IPV4,
                                 NLM_F_ACK | flags, batch->sequence++);
}

static void batch_next(Batch *batch) {
    mnl_nlmsg_batch_next(batch->batch);
}

// The kernel has answered every message by the time that sending returns.
static int batch_commit(Batch *batch) {
    char buffer[16384];
    nftnl_batch_end(mnl_nlmsg_batch_current(batch->batch), batch->sequence++);
    mnl_nlmsg_batch_next(batch->batch);
    int fd = mnl_socket_get_fd(batch->netlink.socket), result = 0;
    if (mnl_socket_sendto(batch->netlink.socket, mnl_nlmsg_batch_head(batch->batch),
                          mnl_nlmsg_batch_size(batch->batch)) < 0)
        result = -errno;
    for (;;) {
        ssize_t n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        int left = (int)n;
        for (struct nlmsghdr *header = (struct nlmsghdr *)buffer; mnl_nlmsg_ok(header, left);
             header = mnl_nlmsg_next(header, &left)) {
            const struct nlmsgerr *answer = mnl_nlmsg_get_payload(header);
            if (header->nlmsg_type == NLMSG_ERROR && answer->error && !result)
                result = answer->error;
        }
    }
    mnl_nlmsg_batch_stop(batch->batch);
    netlink_close(&batch->netlink);
    return result;
}

// ---- expressions

static void add_meta(struct nftnl_rule *rule, uint32_t key) {
    struct nftnl_expr *e = nftnl_expr_alloc("meta");
    nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, key);
    nftnl_expr_set_u32(e, NFTNL_EXPR_META_DREG, NFT_REG_1);
    nftnl_rule_add_expr(rule, e);
}

static void add_compare(struct nftnl_rule *rule, uint32_t op, const void *data, size_t len) {
    struct nftnl_expr *e = nftnl_expr_alloc("cmp");
    nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
    nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_OP, op);
    nftnl_expr_set(e, NFTNL_EXPR_CMP_DATA, data, (uint32_t)len);
    nftnl_rule_add_expr(rule, e);
}

// "ip saddr RANGE", "ip daddr != RANGE": `offset` is 12 or 16 in the IPv4 header.
static void add_range(struct nftnl_rule *rule, uint32_t offset, uint32_t op, Ipv4Range range) {
    uint32_t mask = htonl(ipv4_range_mask(range)), network = htonl(range.network), zero = 0;
    struct nftnl_expr *e = nftnl_expr_alloc("payload");
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, NFT_PAYLOAD_NETWORK_HEADER);
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, NFT_REG_1);
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, sizeof network);
    nftnl_rule_add_expr(rule, e);
    e = nftnl_expr_alloc("bitwise");
    nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_SREG, NFT_REG_1);
    nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_DREG, NFT_REG_1);
    nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_OP, NFT_BITWISE_BOOL);
    nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_LEN, sizeof mask);
    nftnl_expr_set(e, NFTNL_EXPR_BITWISE_MASK, &mask, sizeof mask);
    nftnl_expr_set(e, NFTNL_EXPR_BITWISE_XOR, &zero, sizeof zero);
    nftnl_rule_add_expr(rule, e);
    add_compare(rule, op, &network, sizeof network);
}

static void put_rule(Batch *batch, struct nftnl_rule *rule, uint16_t flags) {
    nftnl_rule_nlmsg_build_payload(batch_message(batch, NFT_MSG_NEWRULE, flags), rule);
    nftnl_rule_free(rule);
    batch_next(batch);
}

static struct nftnl_rule *new_rule(const char *table, const char *chain) {
    struct nftnl_rule *rule = nftnl_rule_alloc();
    nftnl_rule_set_u32(rule, NFTNL_RULE_FAMILY, NFPROTO_IPV4);
    nftnl_rule_set_str(rule, NFTNL_RULE_TABLE, table);
    nftnl_rule_set_str(rule, NFTNL_RULE_CHAIN, chain);
    return rule;
}

// ---- our table

static void put_table(Batch *batch, const char *name, uint16_t type, uint16_t flags) {
    struct nftnl_table *table = nftnl_table_alloc();
    nftnl_table_set_u32(table, NFTNL_TABLE_FAMILY, NFPROTO_IPV4);
    nftnl_table_set_str(table, NFTNL_TABLE_NAME, name);
    nftnl_table_nlmsg_build_payload(batch_message(batch, type, flags), table);
    nftnl_table_free(table);
    batch_next(batch);
}

int firewall_install(const FirewallConfig *config) {
    static const char chain_name[] = "postrouting";
    Batch batch;
    int error = batch_begin(&batch);
    if (error)
        return error;
    // Adding what may exist, deleting it and adding it again replaces it, whatever was there.
    put_table(&batch, config->table, NFT_MSG_NEWTABLE, NLM_F_CREATE);
    put_table(&batch, config->table, NFT_MSG_DELTABLE, 0);
    put_table(&batch, config->table, NFT_MSG_NEWTABLE, NLM_F_CREATE);
    struct nftnl_chain *chain = nftnl_chain_alloc();
    nftnl_chain_set_u32(chain, NFTNL_CHAIN_FAMILY, NFPROTO_IPV4);
    nftnl_chain_set_str(chain, NFTNL_CHAIN_TABLE, config->table);
    nftnl_chain_set_str(chain, NFTNL_CHAIN_NAME, chain_name);
    nftnl_chain_set_str(chain, NFTNL_CHAIN_TYPE, "nat");
    nftnl_chain_set_u32(chain, NFTNL_CHAIN_HOOKNUM, NF_INET_POST_ROUTING);
    nftnl_chain_set_s32(chain, NFTNL_CHAIN_PRIO, 100); // srcnat
    nftnl_chain_nlmsg_build_payload(batch_message(&batch, NFT_MSG_NEWCHAIN, NLM_F_CREATE), chain);
    nftnl_chain_free(chain);
    batch_next(&batch);
    // ip saddr PODS ip daddr != CLUSTER ip daddr != 224.0.0.0/4 masquerade
    struct nftnl_rule *rule = new_rule(config->table, chain_name);
    add_range(rule, 12, NFT_CMP_EQ, config->pods);
    add_range(rule, 16, NFT_CMP_NEQ, config->cluster);
    add_range(rule, 16, NFT_CMP_NEQ, (Ipv4Range){0xe0000000, 4});
    nftnl_rule_add_expr(rule, nftnl_expr_alloc("masq"));
    put_rule(&batch, rule, NLM_F_CREATE | NLM_F_APPEND);
    return batch_commit(&batch);
}

// ---- iptables' FORWARD chain

// As iptables-nft writes "-i BRIDGE -j ACCEPT", so that it can list and save it.
static struct nftnl_rule *forward_rule(const char *chain, const char *bridge, uint32_t key) {
    struct nftnl_rule *rule = new_rule(FILTER_TABLE, chain);
    add_meta(rule, key);
    add_compare(rule, NFT_CMP_EQ, bridge, strlen(bridge) + 1);
    nftnl_rule_add_expr(rule, nftnl_expr_alloc("counter"));
    struct nftnl_expr *e = nftnl_expr_alloc("immediate");
    nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
    nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, NF_ACCEPT);
    nftnl_rule_add_expr(rule, e);
    return rule;
}

typedef struct Found {
    const char *bridge;
    bool in, out;        // the rule for that direction is there
    uint64_t handles[8]; // of ours
    size_t n;
} Found;

typedef struct RuleView {
    uint32_t key;
    bool bridge, accept;
    const char *name;
} RuleView;

static int view_expression(struct nftnl_expr *e, void *user) {
    RuleView *view = user;
    const char *kind = nftnl_expr_get_str(e, NFTNL_EXPR_NAME);
    uint32_t len = 0;
    if (strcmp(kind, "meta") == 0) {
        view->key = nftnl_expr_get_u32(e, NFTNL_EXPR_META_KEY);
    } else if (strcmp(kind, "cmp") == 0) {
        const char *data = nftnl_expr_get(e, NFTNL_EXPR_CMP_DATA, &len);
        view->bridge = data && len > strlen(view->name) && strcmp(data, view->name) == 0;
    } else if (strcmp(kind, "immediate") == 0) {
        view->accept = nftnl_expr_get_u32(e, NFTNL_EXPR_IMM_VERDICT) == NF_ACCEPT;
    }
    return 0;
}

static int on_rule(const struct nlmsghdr *header, void *user) {
    Found *found = user;
    struct nftnl_rule *rule = nftnl_rule_alloc();
    if (nftnl_rule_nlmsg_parse(header, rule) == 0) {
        RuleView view = {.name = found->bridge};
        nftnl_expr_foreach(rule, view_expression, &view);
        bool in = view.key == NFT_META_IIFNAME, out = view.key == NFT_META_OIFNAME;
        if (view.bridge && view.accept && (in || out) && found->n < 8) {
            found->in |= in;
            found->out |= out;
            found->handles[found->n++] = nftnl_rule_get_u64(rule, NFTNL_RULE_HANDLE);
        }
    }
    nftnl_rule_free(rule);
    return MNL_CB_OK;
}

// -ENOENT when there is no such chain.
static int find_rules(const char *chain, const char *bridge, Found *ret) {
    Netlink netlink;
    NetlinkRequest request;
    *ret = (Found){.bridge = bridge};
    int error = netlink_open(&netlink, NETLINK_NETFILTER, -1);
    if (error)
        return error;
    struct nftnl_chain *wanted = nftnl_chain_alloc();
    nftnl_chain_set_str(wanted, NFTNL_CHAIN_TABLE, FILTER_TABLE);
    nftnl_chain_set_str(wanted, NFTNL_CHAIN_NAME, chain);
    request.header =
        nftnl_nlmsg_build_hdr(request.buffer, NFT_MSG_GETCHAIN, NFPROTO_IPV4, NLM_F_ACK, 0);
    nftnl_chain_nlmsg_build_payload(request.header, wanted);
    nftnl_chain_free(wanted);
    error = netlink_talk(&netlink, &request, NULL, NULL);
    if (!error) {
        struct nftnl_rule *rules = new_rule(FILTER_TABLE, chain);
        request.header =
            nftnl_nlmsg_build_hdr(request.buffer, NFT_MSG_GETRULE, NFPROTO_IPV4, NLM_F_DUMP, 0);
        nftnl_rule_nlmsg_build_payload(request.header, rules);
        nftnl_rule_free(rules);
        error = netlink_talk(&netlink, &request, on_rule, ret);
    }
    netlink_close(&netlink);
    return error;
}

static int insert_rules(const char *chain, const char *bridge, const Found *found) {
    Batch batch;
    int error = batch_begin(&batch);
    if (error)
        return error;
    if (!found->out) // without "append": at the head
        put_rule(&batch, forward_rule(chain, bridge, NFT_META_OIFNAME), NLM_F_CREATE);
    if (!found->in)
        put_rule(&batch, forward_rule(chain, bridge, NFT_META_IIFNAME), NLM_F_CREATE);
    return batch_commit(&batch);
}

static const char *const forward_chains[] = {"DOCKER-USER", "FORWARD"};

int firewall_open_forward(const char *bridge) {
    // Docker flushes much, but never DOCKER-USER, which it jumps to first.
    for (size_t i = 0; i < 2; i++) {
        Found found;
        int error = find_rules(forward_chains[i], bridge, &found);
        if (error == -ENOENT)
            continue;
        return error || (found.in && found.out) ? error
                                                : insert_rules(forward_chains[i], bridge, &found);
    }
    return 0;
}

static int delete_rules(const char *chain, const Found *found) {
    Batch batch;
    int error = batch_begin(&batch);
    if (error)
        return error;
    for (size_t i = 0; i < found->n; i++) {
        struct nftnl_rule *rule = new_rule(FILTER_TABLE, chain);
        nftnl_rule_set_u64(rule, NFTNL_RULE_HANDLE, found->handles[i]);
        nftnl_rule_nlmsg_build_payload(batch_message(&batch, NFT_MSG_DELRULE, 0), rule);
        nftnl_rule_free(rule);
        batch_next(&batch);
    }
    return batch_commit(&batch);
}

int firewall_remove(const FirewallConfig *config) {
    int result = 0;
    for (size_t i = 0; i < 2; i++) {
        Found found;
        int error = find_rules(forward_chains[i], config->bridge, &found);
        if (!error && found.n)
            error = delete_rules(forward_chains[i], &found);
        if (error && error != -ENOENT && !result)
            result = error;
    }
    Batch batch;
    int error = batch_begin(&batch);
    if (!error) {
        put_table(&batch, config->table, NFT_MSG_NEWTABLE, NLM_F_CREATE); // so that it exists
        put_table(&batch, config->table, NFT_MSG_DELTABLE, 0);
        error = batch_commit(&batch);
    }
    return result ? result : error;
}

// ---- the watch

int firewall_watch_open(void) {
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);
    int group = NFNLGRP_NFTABLES;
    struct sockaddr_nl address = {.nl_family = AF_NETLINK};
    if (fd < 0)
        return -errno;
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

static bool is_filter_chain(const struct nlmsghdr *header) {
    if (header->nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN) ||
        mnl_nlmsg_get_payload_len(header) < sizeof(struct nfgenmsg))
        return false;
    const struct nlattr *attribute;
    mnl_attr_for_each(attribute, header, sizeof(struct nfgenmsg)) {
        if (mnl_attr_get_type(attribute) == NFTA_CHAIN_TABLE)
            return mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) == 0 &&
                   strcmp(mnl_attr_get_str(attribute), FILTER_TABLE) == 0;
    }
    return false;
}

bool firewall_watch_read(int fd) {
    char buffer[32768];
    bool concerns = false;
    for (;;) {
        ssize_t n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == ENOBUFS) // there was more than we were told
            concerns = true;
        else if (n <= 0)
            return concerns;
        int left = (int)n;
        for (struct nlmsghdr *header = (struct nlmsghdr *)buffer;
             n > 0 && mnl_nlmsg_ok(header, left); header = mnl_nlmsg_next(header, &left))
            concerns |= is_filter_chain(header);
    }
}
