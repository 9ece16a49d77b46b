#pragma once
// Tells when somebody else changes one of our nftables tables: removes it, flushes the ruleset,
// edits it.

#include "base/loop.h"

typedef struct RulesetWatch RulesetWatch;

// `own_port`: the netlink port whose changes are our own and not told; 0: all are told. `changed`
// comes once for any number of changes at hand. NULL where the kernel does not tell (then nobody
// puts the table back).
RulesetWatch *ruleset_watch_new(Loop *loop, const char *table, uint32_t own_port,
                                void (*changed)(void *user), void *user);
void ruleset_watch_free(RulesetWatch *watch); // NULL is fine
