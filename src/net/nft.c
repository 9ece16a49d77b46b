#include "net/nft.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/memory.h"

#define MESSAGE_ROOM (128 * 1024) // more than any message takes
#define LIST_MAX 60000            // an attribute's length has 16 bits

// ---- batches

static void make_room(NftBatch *batch) {
    if (batch->capacity - batch->len >= MESSAGE_ROOM)
        return;
    batch->capacity = batch->capacity * 2 + MESSAGE_ROOM;
    batch->data = memory_resize(batch->data, batch->capacity);
}

static void begin(NftBatch *batch) {
    batch->sequence = 1;
    batch->len = 0;
    make_room(batch);
    batch->len = nftnl_batch_begin(batch->data, batch->sequence++)->nlmsg_len;
}

void nft_batch_init(NftBatch *batch) {
    *batch = (NftBatch){0};
    begin(batch);
}

void nft_batch_deinit(NftBatch *batch) {
    free(batch->data);
    *batch = (NftBatch){0};
}

static struct nlattr *list_of(const NftBatch *batch) {
    return (struct nlattr *)(batch->data + batch->list);
}

static void end_elements(NftBatch *batch) {
    if (!batch->message)
        return;
    struct nlmsghdr *header = (struct nlmsghdr *)(batch->data + batch->message);
    mnl_attr_nest_end(header, list_of(batch));
    batch->len = batch->message + NLMSG_ALIGN(header->nlmsg_len);
    batch->message = 0;
}

struct nlmsghdr *nft_batch_message(NftBatch *batch, uint16_t type, uint16_t flags) {
    end_elements(batch);
    make_room(batch);
    return nftnl_nlmsg_build_hdr(batch->data + batch->len, type, NFPROTO_IPV4, flags,
                                 batch->sequence++);
}

void nft_batch_next(NftBatch *batch) {
    batch->len += NLMSG_ALIGN(((struct nlmsghdr *)(batch->data + batch->len))->nlmsg_len);
}

static int first_error(int fd) {
    _Alignas(struct nlmsghdr) char buffer[16384];
    int result = 0;
    for (;;) {
        ssize_t n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == ENOBUFS) { // more errors than the socket holds
            result = result ? result : -ENOBUFS;
            continue;
        }
        if (n <= 0)
            return result;
        int left = (int)n;
        for (struct nlmsghdr *header = (struct nlmsghdr *)buffer; mnl_nlmsg_ok(header, left);
             header = mnl_nlmsg_next(header, &left)) {
            const struct nlmsgerr *answer = mnl_nlmsg_get_payload(header);
            if (header->nlmsg_type == NLMSG_ERROR && answer->error && !result)
                result = answer->error;
        }
    }
}

// The kernel has answered every message by the time that sending returns.
int nft_batch_commit(NftBatch *batch, Netlink *netlink) {
    end_elements(batch);
    make_room(batch);
    batch->len += nftnl_batch_end(batch->data + batch->len, batch->sequence++)->nlmsg_len;
    int fd = mnl_socket_get_fd(netlink->socket), size = (int)batch->len * 2 + 65536;
    if (size > 212992) // more than sockets get by themselves
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    int error = mnl_socket_sendto(netlink->socket, batch->data, batch->len) < 0 ? -errno : 0;
    int refused = first_error(fd);
    begin(batch);
    return error ? error : refused;
}

// ---- tables, chains, rules

static void put_table(NftBatch *batch, const char *name, uint16_t type, uint16_t flags) {
    struct nftnl_table *table = nftnl_table_alloc();
    nftnl_table_set_u32(table, NFTNL_TABLE_FAMILY, NFPROTO_IPV4);
    nftnl_table_set_str(table, NFTNL_TABLE_NAME, name);
    nftnl_table_nlmsg_build_payload(nft_batch_message(batch, type, flags), table);
    nftnl_table_free(table);
    nft_batch_next(batch);
}

void nft_add_table(NftBatch *batch, const char *table) {
    put_table(batch, table, NFT_MSG_NEWTABLE, NLM_F_CREATE);
}

void nft_delete_table(NftBatch *batch, const char *table) {
    put_table(batch, table, NFT_MSG_NEWTABLE, NLM_F_CREATE); // so that it exists
    put_table(batch, table, NFT_MSG_DELTABLE, 0);
}

void nft_add_chain(NftBatch *batch, const char *table, const char *name, const NftHook *hook) {
    struct nftnl_chain *chain = nftnl_chain_alloc();
    nftnl_chain_set_u32(chain, NFTNL_CHAIN_FAMILY, NFPROTO_IPV4);
    nftnl_chain_set_str(chain, NFTNL_CHAIN_TABLE, table);
    nftnl_chain_set_str(chain, NFTNL_CHAIN_NAME, name);
    if (hook) {
        nftnl_chain_set_str(chain, NFTNL_CHAIN_TYPE, hook->type);
        nftnl_chain_set_u32(chain, NFTNL_CHAIN_HOOKNUM, hook->hook);
        nftnl_chain_set_s32(chain, NFTNL_CHAIN_PRIO, hook->priority);
    }
    nftnl_chain_nlmsg_build_payload(nft_batch_message(batch, NFT_MSG_NEWCHAIN, NLM_F_CREATE),
                                    chain);
    nftnl_chain_free(chain);
    nft_batch_next(batch);
}

struct nftnl_rule *nft_rule(const char *table, const char *chain) {
    struct nftnl_rule *rule = nftnl_rule_alloc();
    nftnl_rule_set_u32(rule, NFTNL_RULE_FAMILY, NFPROTO_IPV4);
    nftnl_rule_set_str(rule, NFTNL_RULE_TABLE, table);
    nftnl_rule_set_str(rule, NFTNL_RULE_CHAIN, chain);
    return rule;
}

void nft_add_rule(NftBatch *batch, struct nftnl_rule *rule, bool at_head) {
    uint16_t flags = at_head ? NLM_F_CREATE : NLM_F_CREATE | NLM_F_APPEND;
    nftnl_rule_nlmsg_build_payload(nft_batch_message(batch, NFT_MSG_NEWRULE, flags), rule);
    nftnl_rule_free(rule);
    nft_batch_next(batch);
}

// ---- elements

static void begin_elements(NftBatch *batch, const char *table, const char *set, uint16_t type) {
    uint16_t flags = type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE | NLM_F_EXCL : 0;
    struct nlmsghdr *header = nft_batch_message(batch, type, flags);
    mnl_attr_put_strz(header, NFTA_SET_ELEM_LIST_TABLE, table);
    mnl_attr_put_strz(header, NFTA_SET_ELEM_LIST_SET, set);
    struct nlattr *list = mnl_attr_nest_start(header, NFTA_SET_ELEM_LIST_ELEMENTS);
    batch->message = batch->len;
    batch->list = (size_t)((char *)list - batch->data);
    batch->set = set;
    batch->message_type = type;
}

static void put_data(struct nlmsghdr *header, uint16_t type, const void *data, size_t len) {
    struct nlattr *nest = mnl_attr_nest_start(header, type);
    mnl_attr_put(header, NFTA_DATA_VALUE, len, data);
    mnl_attr_nest_end(header, nest);
}

void nft_put_element(NftBatch *batch, const char *table, const char *set, bool add,
                     const NftElement *element) {
    uint16_t type = add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM;
    struct nlmsghdr *header = (struct nlmsghdr *)(batch->data + batch->message);
    if (!batch->message || batch->set != set || batch->message_type != type ||
        header->nlmsg_len > LIST_MAX) {
        begin_elements(batch, table, set, type);
        header = (struct nlmsghdr *)(batch->data + batch->message);
    }
    struct nlattr *item = mnl_attr_nest_start(header, NFTA_LIST_ELEM);
    put_data(header, NFTA_SET_ELEM_KEY, element->key, element->key_len);
    if (element->key_end)
        put_data(header, NFTA_SET_ELEM_KEY_END, element->key_end, element->key_len);
    if (add && element->timeout)
        mnl_attr_put_u64(header, NFTA_SET_ELEM_TIMEOUT, htobe64(element->timeout));
    if (add && element->expires)
        mnl_attr_put_u64(header, NFTA_SET_ELEM_EXPIRATION, htobe64(element->expires));
    if (add && element->value)
        put_data(header, NFTA_SET_ELEM_DATA, element->value, element->value_len);
    if (add && element->chain) {
        struct nlattr *data = mnl_attr_nest_start(header, NFTA_SET_ELEM_DATA);
        struct nlattr *verdict = mnl_attr_nest_start(header, NFTA_DATA_VERDICT);
        mnl_attr_put_u32(header, NFTA_VERDICT_CODE, htonl((uint32_t)NFT_GOTO));
        mnl_attr_put_strz(header, NFTA_VERDICT_CHAIN, element->chain);
        mnl_attr_nest_end(header, verdict);
        mnl_attr_nest_end(header, data);
    }
    mnl_attr_nest_end(header, item);
}

// ---- expressions

static struct nftnl_expr *add(struct nftnl_rule *rule, const char *name) {
    struct nftnl_expr *e = nftnl_expr_alloc(name);
    if (!e)
        abort();
    nftnl_rule_add_expr(rule, e);
    return e;
}

void nft_meta(struct nftnl_rule *rule, uint32_t key, uint32_t to) {
    struct nftnl_expr *e = add(rule, "meta");
    nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, key);
    nftnl_expr_set_u32(e, NFTNL_EXPR_META_DREG, to);
}

void nft_payload(struct nftnl_rule *rule, uint32_t base, uint32_t offset, uint32_t len,
                 uint32_t to) {
    struct nftnl_expr *e = add(rule, "payload");
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, base);
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, to);
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, len);
}

void nft_compare(struct nftnl_rule *rule, uint32_t op, const void *data, size_t len) {
    struct nftnl_expr *e = add(rule, "cmp");
    nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
    nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_OP, op);
    nftnl_expr_set(e, NFTNL_EXPR_CMP_DATA, data, (uint32_t)len);
}

void nft_bitwise(struct nftnl_rule *rule, uint32_t at, uint32_t mask, uint32_t flip) {
    struct nftnl_expr *e = add(rule, "bitwise");
    nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_SREG, at);
    nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_DREG, at);
    nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_OP, NFT_BITWISE_BOOL);
    nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_LEN, sizeof mask);
    nftnl_expr_set(e, NFTNL_EXPR_BITWISE_MASK, &mask, sizeof mask);
    nftnl_expr_set(e, NFTNL_EXPR_BITWISE_XOR, &flip, sizeof flip);
}

void nft_range(struct nftnl_rule *rule, uint32_t offset, uint32_t op, Ipv4Range range) {
    uint32_t network = htonl(range.network);
    nft_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, offset, sizeof network, NFT_REG_1);
    nft_bitwise(rule, NFT_REG_1, htonl(ipv4_range_mask(range)), 0);
    nft_compare(rule, op, &network, sizeof network);
}

void nft_verdict(struct nftnl_rule *rule, int verdict, const char *chain) {
    struct nftnl_expr *e = add(rule, "immediate");
    nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
    nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, (uint32_t)verdict);
    if (chain)
        nftnl_expr_set_str(e, NFTNL_EXPR_IMM_CHAIN, chain);
}

static struct nftnl_expr *lookup(struct nftnl_rule *rule, const char *set, uint32_t from) {
    struct nftnl_expr *e = add(rule, "lookup");
    nftnl_expr_set_str(e, NFTNL_EXPR_LOOKUP_SET, set);
    nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SREG, from);
    return e;
}

void nft_lookup(struct nftnl_rule *rule, const char *set, uint32_t from, uint32_t to) {
    struct nftnl_expr *e = lookup(rule, set, from);
    if (to)
        nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_DREG, to);
}

void nft_lookup_verdict(struct nftnl_rule *rule, const char *set) {
    nftnl_expr_set_u32(lookup(rule, set, NFT_REG_1), NFTNL_EXPR_LOOKUP_DREG, NFT_REG_VERDICT);
}

void nft_lookup_none(struct nftnl_rule *rule, const char *set) {
    nftnl_expr_set_u32(lookup(rule, set, NFT_REG_1), NFTNL_EXPR_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
}

void nft_local(struct nftnl_rule *rule, uint32_t flags, uint32_t op) {
    uint32_t local = RTN_LOCAL;
    struct nftnl_expr *e = add(rule, "fib");
    nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_DREG, NFT_REG_1);
    nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
    nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_FLAGS, flags);
    nft_compare(rule, op, &local, sizeof local);
}

void nft_if_mark(struct nftnl_rule *rule, uint32_t bit) {
    nft_meta(rule, NFT_META_MARK, NFT_REG_1);
    nft_bitwise(rule, NFT_REG_1, bit, 0);
    nft_compare(rule, NFT_CMP_EQ, &bit, sizeof bit);
}

void nft_set_mark(struct nftnl_rule *rule, uint32_t bit) {
    nft_meta(rule, NFT_META_MARK, NFT_REG_1);
    nft_bitwise(rule, NFT_REG_1, ~bit, bit);
    struct nftnl_expr *e = add(rule, "meta");
    nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, NFT_META_MARK);
    nftnl_expr_set_u32(e, NFTNL_EXPR_META_SREG, NFT_REG_1);
}
