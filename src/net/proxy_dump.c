#include "net/proxy_private.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <libnftnl/common.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"

// ---- elements

typedef struct Key { // fields of four bytes
    uint32_t field[4];
    size_t n;
} Key;

static void push(Key *key, uint32_t value) {
    key->field[key->n++] = value;
}

static void push_small(Key *key, const void *data, size_t len) {
    uint32_t field = 0;
    memcpy(&field, data, len);
    push(key, field);
}

static Key key_of(const ProxyElement *e) {
    Key key = {0};
    uint16_t port = htons(e->port);
    if (e->set == PROXY_ENDPOINTS)
        push(&key, e->index);
    if (e->set == PROXY_ALLOWED)
        push(&key, htonl(e->index));
    if (e->set != PROXY_REFUSED_PORTS && e->set != PROXY_NODE_PORTS)
        push(&key, htonl(e->address));
    if (e->set == PROXY_HAIRPIN) {
        push(&key, htonl(e->address));
        return key;
    }
    push_small(&key, &e->protocol, 1);
    push_small(&key, &port, 2);
    return key;
}

void proxy_element_put(NftBatch *batch, const ProxyRules *r, bool add, const ProxyElement *e) {
    Key key = key_of(e), end = key;
    char chain[PROXY_CHAIN_NAME];
    NftElement element = {.key = key.field, .key_len = key.n * 4};
    Key value = {0};
    if (e->set == PROXY_ENDPOINTS) {
        uint16_t port = htons(e->to_port);
        push(&value, htonl(e->to_address));
        push_small(&value, &port, 2);
        element.value = value.field;
        element.value_len = 8;
    } else if (e->set == PROXY_SERVICES || e->set == PROXY_NODE_PORTS) {
        proxy_chain_name(&e->chain, chain);
        element.chain = chain;
    } else if (e->set == PROXY_ALLOWED) {
        Ipv4Range range = {e->index, e->prefix};
        end.field[0] = htonl(e->index | ~ipv4_range_mask(range));
        element.key_end = end.field;
    }
    nft_put_element(batch, r->table, proxy_set_type(e->set)->name, add, &element);
}

// ---- what is there

typedef struct Dump {
    Arena *arena;
    ProxyDump *ret;
    const char *mark;
    ProxySet set;
    size_t capacity;
} Dump;

static const struct nlattr *find_attribute(const struct nlattr *nest, uint16_t type) {
    const struct nlattr *attribute;
    mnl_attr_for_each_nested(attribute, nest) {
        if (mnl_attr_get_type(attribute) == type)
            return attribute;
    }
    return NULL;
}

static bool read_fields(const struct nlattr *item, uint16_t type, uint32_t *fields, size_t n) {
    const struct nlattr *nest = find_attribute(item, type);
    const struct nlattr *value = nest ? find_attribute(nest, NFTA_DATA_VALUE) : NULL;
    if (!value || mnl_attr_get_payload_len(value) != n * 4)
        return false;
    memcpy(fields, mnl_attr_get_payload(value), n * 4);
    return true;
}

static uint16_t small_port(uint32_t field) {
    uint16_t port;
    memcpy(&port, &field, sizeof port);
    return ntohs(port);
}

static uint8_t small_byte(uint32_t field) {
    uint8_t byte;
    memcpy(&byte, &field, 1);
    return byte;
}

static bool read_chain(const struct nlattr *item, ProxyChain *ret) {
    const struct nlattr *data = find_attribute(item, NFTA_SET_ELEM_DATA);
    const struct nlattr *verdict = data ? find_attribute(data, NFTA_DATA_VERDICT) : NULL;
    const struct nlattr *name = verdict ? find_attribute(verdict, NFTA_VERDICT_CHAIN) : NULL;
    return name && proxy_chain_parse(mnl_attr_get_str(name), ret);
}

static unsigned prefix_of(uint32_t first, uint32_t last) {
    return first == last ? 32 : (unsigned)__builtin_clz(first ^ last);
}

static bool read_element(ProxySet set, const struct nlattr *item, ProxyElement *ret) {
    uint32_t key[4], value[4], *at = key;
    *ret = (ProxyElement){.set = (uint8_t)set};
    if (!read_fields(item, NFTA_SET_ELEM_KEY, key, proxy_set_type(set)->key_len / 4))
        return false;
    if (set == PROXY_ENDPOINTS)
        ret->index = *at++;
    if (set == PROXY_ALLOWED)
        ret->index = ntohl(*at++);
    if (set != PROXY_REFUSED_PORTS && set != PROXY_NODE_PORTS)
        ret->address = ntohl(*at++);
    if (set == PROXY_HAIRPIN)
        return true;
    ret->protocol = small_byte(*at++);
    ret->port = small_port(*at);
    if (set == PROXY_SERVICES || set == PROXY_NODE_PORTS)
        return read_chain(item, &ret->chain);
    if (set == PROXY_ALLOWED) {
        if (!read_fields(item, NFTA_SET_ELEM_KEY_END, value, 4))
            return false;
        ret->prefix = (uint8_t)prefix_of(ret->index, ntohl(value[0]));
    }
    if (set == PROXY_ENDPOINTS) {
        if (!read_fields(item, NFTA_SET_ELEM_DATA, value, 2))
            return false;
        ret->to_address = ntohl(value[0]);
        ret->to_port = small_port(value[1]);
    }
    return true;
}

static void each_element(const struct nlmsghdr *header,
                         void (*visit)(void *user, const struct nlattr *item), void *user) {
    const struct nlattr *attribute, *item;
    mnl_attr_for_each(attribute, header, sizeof(struct nfgenmsg)) {
        if (mnl_attr_get_type(attribute) == NFTA_SET_ELEM_LIST_ELEMENTS)
            mnl_attr_for_each_nested(item, attribute) visit(user, item);
    }
}

static void take_element(void *user, const struct nlattr *item) {
    Dump *dump = user;
    ProxyElements *list = &dump->ret->elements;
    if (list->n == dump->capacity) {
        size_t old = dump->capacity * sizeof *list->items;
        dump->capacity = dump->capacity ? dump->capacity * 2 : 64;
        list->items =
            arena_grow(dump->arena, list->items, old, dump->capacity * sizeof *list->items);
    }
    if (read_element(dump->set, item, &list->items[list->n]))
        list->n++;
}

static int on_elements(const struct nlmsghdr *header, void *user) {
    each_element(header, take_element, user);
    return MNL_CB_OK;
}

static int on_chain(const struct nlmsghdr *header, void *user) {
    Dump *dump = user;
    ProxyDump *ret = dump->ret;
    const char *table = NULL, *name = NULL;
    const struct nlattr *attribute;
    mnl_attr_for_each(attribute, header, sizeof(struct nfgenmsg)) {
        if (mnl_attr_get_type(attribute) == NFTA_CHAIN_TABLE)
            table = mnl_attr_get_str(attribute);
        if (mnl_attr_get_type(attribute) == NFTA_CHAIN_NAME)
            name = mnl_attr_get_str(attribute);
    }
    if (!table || !name || strcmp(table, dump->mark) != 0)
        return MNL_CB_OK;
    ret->chains = arena_grow(dump->arena, ret->chains, ret->n_chains * sizeof *ret->chains,
                             (ret->n_chains + 1) * sizeof *ret->chains);
    ret->chains[ret->n_chains++] = arena_cstr(dump->arena, str_from(name));
    return MNL_CB_OK;
}

static int dump_set(Netlink *netlink, const char *table, const char *set,
                    int (*fn)(const struct nlmsghdr *, void *), void *user) {
    NetlinkRequest request;
    request.header =
        nftnl_nlmsg_build_hdr(request.buffer, NFT_MSG_GETSETELEM, NFPROTO_IPV4, NLM_F_DUMP, 0);
    mnl_attr_put_strz(request.header, NFTA_SET_ELEM_LIST_TABLE, table);
    mnl_attr_put_strz(request.header, NFTA_SET_ELEM_LIST_SET, set);
    return netlink_talk(netlink, &request, fn, user);
}

static int count_rule(const struct nlmsghdr *header, void *user) {
    const struct nlattr *attribute;
    Map *counts = user;
    mnl_attr_for_each(attribute, header, sizeof(struct nfgenmsg)) {
        if (mnl_attr_get_type(attribute) != NFTA_RULE_CHAIN)
            continue;
        Str name = str_from(mnl_attr_get_str(attribute));
        map_put(counts, name, (char *)map_get(counts, name) + 1);
    }
    return MNL_CB_OK;
}

// Somebody may have flushed chains and left the rest.
static int check_rules(Netlink *netlink, const ProxyRules *r, ProxyDump *ret) {
    _map_free_ Map *counts = map_new();
    NetlinkRequest request;
    request.header =
        nftnl_nlmsg_build_hdr(request.buffer, NFT_MSG_GETRULE, NFPROTO_IPV4, NLM_F_DUMP, 0);
    mnl_attr_put_strz(request.header, NFTA_RULE_TABLE, r->table);
    int error = netlink_talk(netlink, &request, count_rule, counts);
    for (size_t i = 0; i < ret->n_chains && !error; i++)
        if ((size_t)map_get(counts, str_from(ret->chains[i])) != proxy_chain_rules(ret->chains[i]))
            ret->current = false;
    return error;
}

int proxy_dump(Arena *arena, Netlink *netlink, const ProxyRules *r, ProxyDump *ret) {
    char mark[PROXY_MARK_NAME];
    NetlinkRequest request;
    *ret = (ProxyDump){0};
    Dump dump = {.arena = arena, .ret = ret, .mark = r->table};
    proxy_mark_name(r, mark);
    request.header =
        nftnl_nlmsg_build_hdr(request.buffer, NFT_MSG_GETCHAIN, NFPROTO_IPV4, NLM_F_DUMP, 0);
    int error = netlink_talk(netlink, &request, on_chain, &dump);
    for (size_t i = 0; i < ret->n_chains; i++)
        ret->current |= strcmp(ret->chains[i], mark) == 0;
    if (!error && ret->current)
        error = check_rules(netlink, r, ret);
    if (error || !ret->current) {
        ret->n_chains = 0;
        return error;
    }
    for (dump.set = 0; dump.set < PROXY_SETS && !error; dump.set++)
        error = dump_set(netlink, r->table, proxy_set_type(dump.set)->name, on_elements, &dump);
    proxy_elements_sort(&ret->elements);
    return error;
}

// ---- affinity

typedef struct Adjust {
    NftBatch *batch;
    const char *table;
    const ProxyMove *moves;
    size_t n;
    bool any;
} Adjust;

static uint64_t read_time(const struct nlattr *item, uint16_t type) {
    const struct nlattr *attribute = find_attribute(item, type);
    return attribute ? be64toh(mnl_attr_get_u64(attribute)) : 0;
}

static void adjust_one(void *user, const struct nlattr *item) {
    Adjust *adjust = user;
    uint32_t key[4], index;
    if (!read_fields(item, NFTA_SET_ELEM_KEY, key, 4) ||
        !read_fields(item, NFTA_SET_ELEM_DATA, &index, 1))
        return;
    for (size_t i = 0; i < adjust->n; i++) {
        const ProxyMove *move = &adjust->moves[i];
        if (move->address != ntohl(key[1]) || move->protocol != small_byte(key[2]) ||
            move->port != small_port(key[3]) || move->from != index)
            continue;
        NftElement element = {.key = key, .key_len = sizeof key};
        nft_put_element(adjust->batch, adjust->table, PROXY_AFFINITY, false, &element);
        adjust->any = true;
        if (!move->goes_on)
            return;
        element.value = &move->to;
        element.value_len = sizeof move->to;
        element.timeout = read_time(item, NFTA_SET_ELEM_TIMEOUT);
        element.expires = read_time(item, NFTA_SET_ELEM_EXPIRATION);
        nft_put_element(adjust->batch, adjust->table, PROXY_AFFINITY, true, &element);
        return;
    }
}

static int on_affinity(const struct nlmsghdr *header, void *user) {
    each_element(header, adjust_one, user);
    return MNL_CB_OK;
}

int proxy_move_clients(Netlink *netlink, const ProxyRules *r, const ProxyMove *moves, size_t n) {
    NftBatch batch;
    nft_batch_init(&batch);
    Adjust adjust = {.batch = &batch, .table = r->table, .moves = moves, .n = n};
    int error = dump_set(netlink, r->table, PROXY_AFFINITY, on_affinity, &adjust);
    if (!error && adjust.any) {
        error = nft_batch_commit(&batch, netlink);
        error = error == -ENOENT ? 0 : error; // one ran out meanwhile: the others choose anew
    }
    nft_batch_deinit(&batch);
    return error;
}
