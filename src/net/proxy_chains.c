#include "net/proxy_private.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <string.h>

// ---- chains of endpoints

void proxy_chain_name(const ProxyChain *chain, char ret[PROXY_CHAIN_NAME]) {
    char sticky[24] = "";
    const char *port = chain->node_port ? "-port" : "";
    if (chain->affinity)
        snprintf(sticky, sizeof sticky, "-sticky-%u", chain->affinity);
    if (!chain->external && chain->external_local)
        snprintf(ret, PROXY_CHAIN_NAME, "none");
    else if (chain->external_local)
        snprintf(ret, PROXY_CHAIN_NAME, "own-%u-%u%s%s", chain->all, chain->local, port, sticky);
    else if (chain->external)
        snprintf(ret, PROXY_CHAIN_NAME, "out-%u%s%s", chain->all, port, sticky);
    else if (chain->local)
        snprintf(ret, PROXY_CHAIN_NAME, "local-%u%s%s", chain->local, port, sticky);
    else
        snprintf(ret, PROXY_CHAIN_NAME, "to-%u%s%s", chain->all, port, sticky);
}

bool proxy_chain_parse(const char *name, ProxyChain *ret) {
    Str rest = str_from(name), kind = str_cut(&rest, '-');
    uint64_t all = 0, local = 0, seconds = 0;
    *ret = (ProxyChain){0};
    if (str_eq(kind, STR("none")) && !rest.ptr) {
        ret->external_local = true;
        return true;
    }
    bool own = str_eq(kind, STR("own")), out = str_eq(kind, STR("out"));
    bool is_local = str_eq(kind, STR("local"));
    if (!own && !out && !is_local && !str_eq(kind, STR("to")))
        return false;
    if (str_to_u64(str_cut(&rest, '-'), is_local ? &local : &all) ||
        (own && str_to_u64(str_cut(&rest, '-'), &local)))
        return false;
    Str word = rest.ptr ? str_cut(&rest, '-') : STR_NONE;
    if (str_eq(word, STR("port"))) {
        ret->node_port = true;
        word = rest.ptr ? str_cut(&rest, '-') : STR_NONE;
    }
    if (str_eq(word, STR("sticky"))) {
        if (str_to_u64(rest, &seconds))
            return false;
    } else if (word.ptr) {
        return false;
    }
    if (all > PROXY_ENDPOINTS_MAX || local > PROXY_ENDPOINTS_MAX || seconds > UINT32_MAX)
        return false;
    ret->all = (uint16_t)all;
    ret->local = (uint16_t)local;
    ret->external = own || out;
    ret->external_local = own;
    ret->affinity = (uint32_t)seconds;
    return true;
}

// (daddr or 0) . l4proto . dport, as it is called
static void load_called(struct nftnl_rule *rule, const ProxyChain *chain, uint32_t to) {
    proxy_load_destination(rule, to);
    if (chain->node_port)
        nft_bitwise(rule, to, 0, 0);
    nft_meta(rule, NFT_META_L4PROTO, to + 1);
    proxy_load_port(rule, to + 2);
}

static void load_choice(struct nftnl_rule *rule, const ProxyChain *chain, uint32_t to) {
    struct nftnl_expr *e = nftnl_expr_alloc("numgen");
    nftnl_expr_set_u32(e, NFTNL_EXPR_NG_DREG, to);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NG_TYPE, NFT_NG_RANDOM);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NG_MODULUS, chain->local ? chain->local : chain->all);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NG_OFFSET, chain->local ? PROXY_LOCAL_BASE : 0);
    nftnl_rule_add_expr(rule, e);
}

// The endpoint with the index in register 1.
static void add_endpoint(NftBatch *batch, struct nftnl_rule *rule, const ProxyChain *chain) {
    load_called(rule, chain, NFT_REG32_01);
    nft_lookup(rule, proxy_set_type(PROXY_ENDPOINTS)->name, NFT_REG_1, NFT_REG_1);
    struct nftnl_expr *e = nftnl_expr_alloc("nat");
    nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_TYPE, NFT_NAT_DNAT);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_FAMILY, NFPROTO_IPV4);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_ADDR_MIN, NFT_REG_1);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_PROTO_MIN, NFT_REG32_01);
    nftnl_rule_add_expr(rule, e);
    nft_add_rule(batch, rule, false);
}

static void set_priority(NftBatch *batch, struct nftnl_rule *rule) {
    struct nftnl_expr *e = nftnl_expr_alloc("meta");
    nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, NFT_META_PRIORITY);
    nftnl_expr_set_u32(e, NFTNL_EXPR_META_SREG, NFT_REG_1);
    nftnl_rule_add_expr(rule, e);
    nft_add_rule(batch, rule, false);
}

// saddr . (daddr or 0) . l4proto . dport
static void load_client(struct nftnl_rule *rule, const ProxyChain *chain) {
    nft_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, NFT_IP_SOURCE, 4, NFT_REG_1);
    load_called(rule, chain, NFT_REG32_01);
}

// @affinity holds a client's index. From one rule to the next it travels as the packet's priority,
// since nft (1.0) can print neither nested look-ups nor one as the value of an element; forwarding
// sets the priority anew, and only a connection's first packet comes here.
static void add_affinity(NftBatch *batch, const ProxyRules *r, const char *name,
                         const ProxyChain *chain) {
    struct nftnl_rule *rule = nft_rule(r->table, name); // for when @affinity is full
    load_choice(rule, chain, NFT_REG_1);
    set_priority(batch, rule);

    rule = nft_rule(r->table, name); // chosen now, or its time begins anew
    load_client(rule, chain);
    load_choice(rule, chain, NFT_REG_2);
    struct nftnl_expr *e = nftnl_expr_alloc("dynset");
    nftnl_expr_set_str(e, NFTNL_EXPR_DYNSET_SET_NAME, PROXY_AFFINITY);
    nftnl_expr_set_u32(e, NFTNL_EXPR_DYNSET_OP, NFT_DYNSET_OP_UPDATE);
    nftnl_expr_set_u32(e, NFTNL_EXPR_DYNSET_SREG_KEY, NFT_REG_1);
    nftnl_expr_set_u32(e, NFTNL_EXPR_DYNSET_SREG_DATA, NFT_REG_2);
    nftnl_expr_set_u64(e, NFTNL_EXPR_DYNSET_TIMEOUT, (uint64_t)chain->affinity * 1000);
    nftnl_rule_add_expr(rule, e);
    nft_add_rule(batch, rule, false);

    rule = nft_rule(r->table, name);
    load_client(rule, chain);
    nft_lookup(rule, PROXY_AFFINITY, NFT_REG_1, NFT_REG_1);
    set_priority(batch, rule);

    rule = nft_rule(r->table, name);
    nft_meta(rule, NFT_META_PRIORITY, NFT_REG_1);
    add_endpoint(batch, rule, chain);
}

static void add_goto(NftBatch *batch, struct nftnl_rule *rule, const char *chain) {
    nft_verdict(rule, NFT_GOTO, chain);
    nft_add_rule(batch, rule, false);
}

// externalTrafficPolicy Local: whoever is in the cluster takes the short way to any endpoint.
static void add_own(NftBatch *batch, const ProxyRules *r, const char *name, const char *all,
                    const char *local) {
    struct nftnl_rule *rule = nft_rule(r->table, name);
    nft_range(rule, NFT_IP_SOURCE, NFT_CMP_EQ, r->pods);
    add_goto(batch, rule, all);
    rule = nft_rule(r->table, name);
    nft_local(rule, NFTA_FIB_F_SADDR, NFT_CMP_EQ);
    nft_set_mark(rule, PROXY_MARK);
    add_goto(batch, rule, all);
    rule = nft_rule(r->table, name);
    if (local) {
        add_goto(batch, rule, local);
    } else {
        nft_verdict(rule, NF_DROP, NULL);
        nft_add_rule(batch, rule, false);
    }
}

void proxy_chain_build(NftBatch *batch, const ProxyRules *r, const ProxyChain *chain,
                       const ProxyChains *chains) {
    char name[PROXY_CHAIN_NAME], all_name[PROXY_CHAIN_NAME], local_name[PROXY_CHAIN_NAME];
    ProxyChain all = {
        .affinity = chain->affinity, .all = chain->all, .node_port = chain->node_port};
    ProxyChain local = {
        .affinity = chain->affinity, .local = chain->local, .node_port = chain->node_port};
    proxy_chain_name(chain, name);
    if (chains->exists(chains->user, name))
        return;
    if (chain->external)
        proxy_chain_build(batch, r, &all, chains);
    if (chain->external_local && chain->local)
        proxy_chain_build(batch, r, &local, chains);
    proxy_chain_name(&all, all_name);
    proxy_chain_name(&local, local_name);
    nft_add_chain(batch, r->table, name, NULL);
    chains->made(chains->user, name);
    struct nftnl_rule *rule;
    if (!chain->external && chain->external_local) {
        rule = nft_rule(r->table, name);
        nft_verdict(rule, NF_DROP, NULL);
        nft_add_rule(batch, rule, false);
    } else if (chain->external_local) {
        add_own(batch, r, name, all_name, chain->local ? local_name : NULL);
    } else if (chain->external) {
        rule = nft_rule(r->table, name);
        nft_set_mark(rule, PROXY_MARK);
        add_goto(batch, rule, all_name);
    } else {
        if (chain->affinity)
            add_affinity(batch, r, name, chain);
        rule = nft_rule(r->table, name);
        load_choice(rule, chain, NFT_REG_1);
        add_endpoint(batch, rule, chain);
    }
}
