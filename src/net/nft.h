#pragma once
// Transactions of nftables: messages are collected in a batch, which the kernel carries out whole
// or not at all. And the expressions of which rules are made. Family ip throughout.

// clang-format off
#include <stdio.h> // libnftnl's headers need it
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
// clang-format on

#include "net/ipam.h"
#include "net/netlink.h"

// ---- batches

typedef struct NftBatch {
    char *data;
    size_t len, capacity;
    uint32_t sequence;
    // The element message under construction: its offsets in `data`, 0: none.
    size_t message, list;
    const char *set;
    uint16_t message_type;
} NftBatch;

void nft_batch_init(NftBatch *batch);
void nft_batch_deinit(NftBatch *batch);
struct nlmsghdr *nft_batch_message(NftBatch *batch, uint16_t type, uint16_t flags);
void nft_batch_next(NftBatch *batch); // after the message's payload
// Sends and waits; the batch is empty afterwards. Returns the first error of any message.
int nft_batch_commit(NftBatch *batch, Netlink *netlink) __attribute__((warn_unused_result));

void nft_add_table(NftBatch *batch, const char *table);
// Fine when it does not exist.
void nft_delete_table(NftBatch *batch, const char *table);
typedef struct NftHook {
    const char *type; // "nat", "filter"
    uint32_t hook;    // NF_INET_...
    int32_t priority;
} NftHook;
void nft_add_chain(NftBatch *batch, const char *table, const char *chain, const NftHook *hook);
struct nftnl_rule *nft_rule(const char *table, const char *chain);
// At the end of its chain, or at its head. Takes the rule.
void nft_add_rule(NftBatch *batch, struct nftnl_rule *rule, bool at_head);

// Elements of sets and maps: several calls for one set make one message.
typedef struct NftElement {
    const void *key, *key_end, *value; // key_end: of an interval; NULL: none
    const char *chain;                 // of a verdict map: go there; NULL with `value`
    size_t key_len, value_len;
    uint64_t timeout, expires; // in ms; 0: those of the set
} NftElement;
void nft_put_element(NftBatch *batch, const char *table, const char *set, bool add,
                     const NftElement *element);

// ---- expressions. The first register is NFT_REG_1; the four bytes after it are NFT_REG32_01.

#define NFT_IP_SOURCE 12 // offsets in the IPv4 header
#define NFT_IP_DESTINATION 16
void nft_meta(struct nftnl_rule *rule, uint32_t key, uint32_t to);
void nft_payload(struct nftnl_rule *rule, uint32_t base, uint32_t offset, uint32_t len,
                 uint32_t to);
void nft_compare(struct nftnl_rule *rule, uint32_t op, const void *data, size_t len);
// "ip saddr RANGE", "ip daddr != RANGE".
void nft_range(struct nftnl_rule *rule, uint32_t offset, uint32_t op, Ipv4Range range);
// register = (register & mask) ^ flip
void nft_bitwise(struct nftnl_rule *rule, uint32_t at, uint32_t mask, uint32_t flip);
void nft_verdict(struct nftnl_rule *rule, int verdict, const char *chain); // NFT_GOTO, NF_DROP
// Ends the rule unless what begins at NFT_REG_1 (or `from`) is in the set; `to` gets the value.
void nft_lookup(struct nftnl_rule *rule, const char *set, uint32_t from, uint32_t to);
void nft_lookup_verdict(struct nftnl_rule *rule, const char *set);
void nft_lookup_none(struct nftnl_rule *rule, const char *set); // ends it when it is there
// "fib daddr type local": flags NFTA_FIB_F_DADDR or _SADDR; op NFT_CMP_EQ or _NEQ.
void nft_local(struct nftnl_rule *rule, uint32_t flags, uint32_t op);
// "meta mark and BIT == BIT", "meta mark set mark or BIT".
void nft_if_mark(struct nftnl_rule *rule, uint32_t bit);
void nft_set_mark(struct nftnl_rule *rule, uint32_t bit);
