#pragma once
// What the parts of the proxy's table share.

#include "net/proxy_rules.h"

typedef struct SetType {
    const char *name;
    uint32_t flags, key_type, key_len, data_type, data_len, size;
} SetType;

const SetType *proxy_set_type(ProxySet set); // PROXY_SETS: that of "affinity"
#define PROXY_AFFINITY (proxy_set_type(PROXY_SETS)->name)

#define PROXY_MARK_NAME 64
// A chain without rules whose name says by what rules the table was made.
void proxy_mark_name(const ProxyRules *rules, char ret[PROXY_MARK_NAME]);
// How many rules a chain has, by its name; 0 when it is none of ours.
size_t proxy_chain_rules(const char *name);

void proxy_load_destination(struct nftnl_rule *rule, uint32_t to);
void proxy_load_port(struct nftnl_rule *rule, uint32_t to);
