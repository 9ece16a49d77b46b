#pragma once
// RBAC's policy rules: matching a request against one, and whether some rules cover another.

#include "api/auth/authz.h"

bool rule_allows(const PolicyRuleView *rule, const Attributes *attributes);
// Every part of `wanted` that `held` does not cover, as compact rules; empty when all is covered.
size_t rules_missing(Arena *arena, const PolicyRuleView *held, size_t n_held,
                     const PolicyRuleView *wanted, size_t n_wanted, const PolicyRuleView **ret);
// {APIGroups:[""], Resources:["pods"], Verbs:["get"]}
Str rule_text(Arena *arena, const PolicyRuleView *rule);
