#include "net/firewall.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/nft.h"

#define FILTER_TABLE "filter" // iptables-nft's

static int commit(NftBatch *batch) {
    Netlink netlink;
    int error = netlink_open(&netlink, NETLINK_NETFILTER, -1);
    if (!error) {
        error = nft_batch_commit(batch, &netlink);
        netlink_close(&netlink);
    }
    nft_batch_deinit(batch);
    return error;
}

// ---- our table

int firewall_install(const FirewallConfig *config) {
    static const char chain[] = "postrouting";
    static const NftHook hook = {"nat", NF_INET_POST_ROUTING, 100}; // srcnat
    NftBatch batch;
    nft_batch_init(&batch);
    nft_delete_table(&batch, config->table); // replaces it, whatever was there
    nft_add_table(&batch, config->table);
    nft_add_chain(&batch, config->table, chain, &hook);
    // ip saddr PODS ip daddr != CLUSTER ip daddr != 224.0.0.0/4 masquerade
    struct nftnl_rule *rule = nft_rule(config->table, chain);
    nft_range(rule, NFT_IP_SOURCE, NFT_CMP_EQ, config->pods);
    nft_range(rule, NFT_IP_DESTINATION, NFT_CMP_NEQ, config->cluster);
    nft_range(rule, NFT_IP_DESTINATION, NFT_CMP_NEQ, (Ipv4Range){0xe0000000, 4});
    nftnl_rule_add_expr(rule, nftnl_expr_alloc("masq"));
    nft_add_rule(&batch, rule, false);
    return commit(&batch);
}

static int found_rule(const struct nlmsghdr *header, void *user) {
    *(bool *)user = true;
    return MNL_CB_OK;
}

int firewall_restore(const FirewallConfig *config) {
    Netlink netlink;
    NetlinkRequest request;
    bool there = false;
    int error = netlink_open(&netlink, NETLINK_NETFILTER, -1);
    if (error)
        return error;
    request.header =
        nftnl_nlmsg_build_hdr(request.buffer, NFT_MSG_GETRULE, NFPROTO_IPV4, NLM_F_DUMP, 0);
    mnl_attr_put_strz(request.header, NFTA_RULE_TABLE, config->table);
    error = netlink_talk(&netlink, &request, found_rule, &there);
    netlink_close(&netlink);
    return there || (error && error != -ENOENT) ? error : firewall_install(config);
}

// ---- iptables' FORWARD chain

// As iptables-nft writes "-i BRIDGE -j ACCEPT", so that it can list and save it.
static struct nftnl_rule *forward_rule(const char *chain, const char *bridge, uint32_t key) {
    struct nftnl_rule *rule = nft_rule(FILTER_TABLE, chain);
    nft_meta(rule, key, NFT_REG_1);
    nft_compare(rule, NFT_CMP_EQ, bridge, strlen(bridge) + 1);
    nftnl_rule_add_expr(rule, nftnl_expr_alloc("counter"));
    nft_verdict(rule, NF_ACCEPT, NULL);
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
        struct nftnl_rule *rules = nft_rule(FILTER_TABLE, chain);
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
    NftBatch batch;
    nft_batch_init(&batch);
    if (!found->out)
        nft_add_rule(&batch, forward_rule(chain, bridge, NFT_META_OIFNAME), true);
    if (!found->in)
        nft_add_rule(&batch, forward_rule(chain, bridge, NFT_META_IIFNAME), true);
    return commit(&batch);
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
    NftBatch batch;
    nft_batch_init(&batch);
    for (size_t i = 0; i < found->n; i++) {
        struct nftnl_rule *rule = nft_rule(FILTER_TABLE, chain);
        nftnl_rule_set_u64(rule, NFTNL_RULE_HANDLE, found->handles[i]);
        nftnl_rule_nlmsg_build_payload(nft_batch_message(&batch, NFT_MSG_DELRULE, 0), rule);
        nftnl_rule_free(rule);
        nft_batch_next(&batch);
    }
    return commit(&batch);
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
    NftBatch batch;
    nft_batch_init(&batch);
    nft_delete_table(&batch, config->table);
    int error = commit(&batch);
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
