#include "net/proxy_private.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <libnftnl/common.h>
#include <libnftnl/set.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>

#define VERSION 1 // of these rules: a table of another one is replaced
#define AFFINITY_MAX 262144

// Types of nft's user space, so that `nft list` can print them; 6 bits each in a concatenation.
enum { MARK = 19, ADDRESS = 7, PROTOCOL = 12, PORT = 13, VERDICT = 1 };
#define JOIN2(a, b) ((a) << 6 | (b))
#define JOIN3(a, b, c) (JOIN2(a, b) << 6 | (c))
#define JOIN4(a, b, c, d) (JOIN3(a, b, c) << 6 | (d))

static const SetType set_types[] = {
    [PROXY_ENDPOINTS] = {"endpoints", NFT_SET_MAP, JOIN4(MARK, ADDRESS, PROTOCOL, PORT), 16,
                         JOIN2(ADDRESS, PORT), 8, 0},
    [PROXY_HAIRPIN] = {"hairpin", 0, JOIN2(ADDRESS, ADDRESS), 8, 0, 0, 0},
    [PROXY_ALLOWED] = {"allowed", NFT_SET_INTERVAL | NFT_SET_CONCAT,
                       JOIN4(ADDRESS, ADDRESS, PROTOCOL, PORT), 16, 0, 0, 0},
    [PROXY_RESTRICTED] = {"restricted", 0, JOIN3(ADDRESS, PROTOCOL, PORT), 12, 0, 0, 0},
    [PROXY_REFUSED] = {"refused", 0, JOIN3(ADDRESS, PROTOCOL, PORT), 12, 0, 0, 0},
    [PROXY_REFUSED_PORTS] = {"refused-ports", 0, JOIN2(PROTOCOL, PORT), 8, 0, 0, 0},
    [PROXY_SERVICES] = {"services", NFT_SET_MAP, JOIN3(ADDRESS, PROTOCOL, PORT), 12,
                        NFT_DATA_VERDICT, 0, 0},
    [PROXY_NODE_PORTS] = {"node-ports", NFT_SET_MAP, JOIN2(PROTOCOL, PORT), 8, NFT_DATA_VERDICT, 0,
                          0},
    [PROXY_SETS] = {"affinity", NFT_SET_MAP | NFT_SET_TIMEOUT | NFT_SET_EVAL,
                    JOIN4(ADDRESS, ADDRESS, PROTOCOL, PORT), 16, MARK, 4, AFFINITY_MAX},
};
#define N_SET_TYPES (sizeof set_types / sizeof *set_types)

const SetType *proxy_set_type(ProxySet set) {
    return &set_types[set];
}

static void add_set(NftBatch *batch, const char *table, const SetType *type, uint32_t id) {
    struct nftnl_set *set = nftnl_set_alloc();
    static const uint8_t fields[] = {4, 4, 1, 2}; // of "allowed", which is kept by field
    nftnl_set_set_u32(set, NFTNL_SET_FAMILY, NFPROTO_IPV4);
    nftnl_set_set_str(set, NFTNL_SET_TABLE, table);
    nftnl_set_set_str(set, NFTNL_SET_NAME, type->name);
    nftnl_set_set_u32(set, NFTNL_SET_ID, id);
    nftnl_set_set_u32(set, NFTNL_SET_FLAGS, type->flags);
    nftnl_set_set_u32(set, NFTNL_SET_KEY_TYPE, type->key_type);
    nftnl_set_set_u32(set, NFTNL_SET_KEY_LEN, type->key_len);
    if (type->flags & NFT_SET_MAP) {
        nftnl_set_set_u32(set, NFTNL_SET_DATA_TYPE, type->data_type);
        nftnl_set_set_u32(set, NFTNL_SET_DATA_LEN, type->data_len);
    }
    if (type->flags & NFT_SET_CONCAT)
        nftnl_set_set_data(set, NFTNL_SET_DESC_CONCAT, fields, sizeof fields);
    if (type->size)
        nftnl_set_set_u32(set, NFTNL_SET_DESC_SIZE, type->size);
    nftnl_set_nlmsg_build_payload(nft_batch_message(batch, NFT_MSG_NEWSET, NLM_F_CREATE), set);
    nftnl_set_free(set);
    nft_batch_next(batch);
}

// ---- rules

void proxy_load_destination(struct nftnl_rule *rule, uint32_t to) {
    nft_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, NFT_IP_DESTINATION, 4, to);
}

void proxy_load_port(struct nftnl_rule *rule, uint32_t to) {
    nft_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, to);
}

// (address, protocol, port) from register 1 on
static void load_frontend(struct nftnl_rule *rule) {
    proxy_load_destination(rule, NFT_REG_1);
    nft_meta(rule, NFT_META_L4PROTO, NFT_REG32_01);
    proxy_load_port(rule, NFT_REG32_02);
}

// (protocol, port)
static void load_node_port(struct nftnl_rule *rule) {
    nft_meta(rule, NFT_META_L4PROTO, NFT_REG_1);
    proxy_load_port(rule, NFT_REG32_01);
}

static void add_services_chain(NftBatch *batch, const ProxyRules *r) {
    struct nftnl_rule *rule = nft_rule(r->table, "services");
    nft_range(rule, NFT_IP_DESTINATION, NFT_CMP_EQ, r->services);
    nft_range(rule, NFT_IP_SOURCE, NFT_CMP_NEQ, r->pods);
    nft_set_mark(rule, PROXY_MARK);
    nft_add_rule(batch, rule, false);

    rule = nft_rule(r->table, "services");
    load_frontend(rule);
    nft_lookup(rule, set_types[PROXY_RESTRICTED].name, NFT_REG_1, 0);
    nft_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, NFT_IP_SOURCE, 4, NFT_REG_1);
    proxy_load_destination(rule, NFT_REG32_01);
    nft_meta(rule, NFT_META_L4PROTO, NFT_REG32_02);
    proxy_load_port(rule, NFT_REG32_03);
    nft_lookup_none(rule, set_types[PROXY_ALLOWED].name);
    nft_verdict(rule, NF_DROP, NULL);
    nft_add_rule(batch, rule, false);

    rule = nft_rule(r->table, "services");
    load_frontend(rule);
    nft_lookup_verdict(rule, set_types[PROXY_SERVICES].name);
    nft_add_rule(batch, rule, false);

    rule = nft_rule(r->table, "services"); // not on the loopback: replies could not come back
    nft_local(rule, NFTA_FIB_F_DADDR, NFT_CMP_EQ);
    nft_range(rule, NFT_IP_DESTINATION, NFT_CMP_NEQ, (Ipv4Range){0x7f000000, 8});
    load_node_port(rule);
    nft_lookup_verdict(rule, set_types[PROXY_NODE_PORTS].name);
    nft_add_rule(batch, rule, false);
}

static void add_masquerade(NftBatch *batch, struct nftnl_rule *rule) {
    struct nftnl_expr *e = nftnl_expr_alloc("masq");
    nftnl_expr_set_u32(e, NFTNL_EXPR_MASQ_FLAGS, NF_NAT_RANGE_PROTO_RANDOM_FULLY);
    nftnl_rule_add_expr(rule, e);
    nft_add_rule(batch, rule, false);
}

static void add_postrouting(NftBatch *batch, const ProxyRules *r) {
    struct nftnl_rule *rule = nft_rule(r->table, "postrouting");
    nft_if_mark(rule, PROXY_MARK);
    add_masquerade(batch, rule);
    rule = nft_rule(r->table, "postrouting");
    nft_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, NFT_IP_SOURCE, 4, NFT_REG_1);
    proxy_load_destination(rule, NFT_REG32_01);
    nft_lookup(rule, set_types[PROXY_HAIRPIN].name, NFT_REG_1, 0);
    add_masquerade(batch, rule);
}

static void add_reject(NftBatch *batch, struct nftnl_rule *rule, uint32_t type, uint8_t code) {
    struct nftnl_expr *e = nftnl_expr_alloc("reject");
    nftnl_expr_set_u32(e, NFTNL_EXPR_REJECT_TYPE, type);
    nftnl_expr_set_u8(e, NFTNL_EXPR_REJECT_CODE, code);
    nftnl_rule_add_expr(rule, e);
    nft_add_rule(batch, rule, false);
}

static void add_refusals(NftBatch *batch, const ProxyRules *r) {
    uint8_t tcp = NET_TCP;
    struct nftnl_rule *rule = nft_rule(r->table, "refuse");
    nft_meta(rule, NFT_META_L4PROTO, NFT_REG_1);
    nft_compare(rule, NFT_CMP_EQ, &tcp, sizeof tcp);
    add_reject(batch, rule, NFT_REJECT_TCP_RST, 0);
    add_reject(batch, nft_rule(r->table, "refuse"), NFT_REJECT_ICMP_UNREACH, 3); // port

    // What is still meant for a cluster IP belongs to no service that has endpoints.
    rule = nft_rule(r->table, "filter");
    nft_range(rule, NFT_IP_DESTINATION, NFT_CMP_EQ, r->services);
    if (r->dns)
        nft_range(rule, NFT_IP_DESTINATION, NFT_CMP_NEQ, (Ipv4Range){r->dns, 32});
    nft_verdict(rule, NFT_GOTO, "refuse");
    nft_add_rule(batch, rule, false);

    rule = nft_rule(r->table, "filter");
    load_frontend(rule);
    nft_lookup(rule, set_types[PROXY_REFUSED].name, NFT_REG_1, 0);
    nft_verdict(rule, NFT_GOTO, "refuse");
    nft_add_rule(batch, rule, false);

    rule = nft_rule(r->table, "filter");
    nft_local(rule, NFTA_FIB_F_DADDR, NFT_CMP_EQ);
    load_node_port(rule);
    nft_lookup(rule, set_types[PROXY_REFUSED_PORTS].name, NFT_REG_1, 0);
    nft_verdict(rule, NFT_GOTO, "refuse");
    nft_add_rule(batch, rule, false);
}

static const struct {
    const char *name, *to;
    NftHook hook;
} base_chains[] = {
    {"prerouting", "services", {"nat", NF_INET_PRE_ROUTING, -100}},
    {"output", "services", {"nat", NF_INET_LOCAL_OUT, -100}},
    {"postrouting", NULL, {"nat", NF_INET_POST_ROUTING, 100}},
    {"filter-forward", "filter", {"filter", NF_INET_FORWARD, 0}},
    {"filter-input", "filter", {"filter", NF_INET_LOCAL_IN, 0}},
    {"filter-output", "filter", {"filter", NF_INET_LOCAL_OUT, 0}},
};
#define N_BASE_CHAINS (sizeof base_chains / sizeof *base_chains)

void proxy_mark_name(const ProxyRules *r, char ret[PROXY_MARK_NAME]) {
    snprintf(ret, PROXY_MARK_NAME, "made-%d-%08x-%u-%08x-%u-%08x", VERSION, r->services.network,
             r->services.prefix, r->pods.network, r->pods.prefix, r->dns);
}

void proxy_rules_build(NftBatch *batch, const ProxyRules *r) {
    char mark[PROXY_MARK_NAME];
    proxy_mark_name(r, mark);
    nft_delete_table(batch, r->table);
    nft_add_table(batch, r->table);
    for (size_t i = 0; i < N_SET_TYPES; i++)
        add_set(batch, r->table, &set_types[i], (uint32_t)i + 1);
    nft_add_chain(batch, r->table, mark, NULL);
    nft_add_chain(batch, r->table, "services", NULL);
    nft_add_chain(batch, r->table, "filter", NULL);
    nft_add_chain(batch, r->table, "refuse", NULL);
    add_services_chain(batch, r);
    add_refusals(batch, r);
    for (size_t i = 0; i < N_BASE_CHAINS; i++) {
        nft_add_chain(batch, r->table, base_chains[i].name, &base_chains[i].hook);
        if (!base_chains[i].to)
            continue;
        struct nftnl_rule *rule = nft_rule(r->table, base_chains[i].name);
        nft_verdict(rule, NFT_JUMP, base_chains[i].to);
        nft_add_rule(batch, rule, false);
    }
    add_postrouting(batch, r);
}

size_t proxy_chain_rules(const char *name) {
    static const struct {
        const char *name;
        size_t n;
    } fixed[] = {{"services", 4}, {"filter", 3}, {"refuse", 2}, {"postrouting", 2}};
    ProxyChain chain;
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (strcmp(name, fixed[i].name) == 0)
            return fixed[i].n;
    for (size_t i = 0; i < N_BASE_CHAINS; i++)
        if (strcmp(name, base_chains[i].name) == 0)
            return 1;
    if (!proxy_chain_parse(name, &chain))
        return 0;
    if (chain.external)
        return chain.external_local ? 3 : 1;
    return chain.affinity ? 5 : 1;
}
