// Service accounts: pkg/registry/core/serviceaccount/strategy.go upstream.

#include "kinds/rules.h"
#include "kinds/tree.h"

// Secrets are named and nothing else: they are of the same namespace.
static void prepare(Arena *arena, Value *account, const Value *old) {
    Value *secrets = value_get(account, STR("secrets"));
    for (uint32_t i = 0; secrets && secrets->kind == VALUE_ARRAY && i < secrets->n; i++) {
        Str name = value_string_at(secrets->items[i], "name");
        secrets->items[i] = value_new_object(arena);
        if (name.len)
            value_set_str(arena, secrets->items[i], STR("name"), name);
    }
}

const ResourceRules service_account_rules = {.prepare = prepare};
