#include "api/auth/rules.h"

static bool holds(const Str *list, size_t n, Str value) {
    for (size_t i = 0; i < n; i++) {
        if (str_eq(list[i], STR("*")) || str_eq(list[i], value))
            return true;
    }
    return false;
}

static bool has_exactly(const Str *list, size_t n, Str value) {
    for (size_t i = 0; i < n; i++) {
        if (str_eq(list[i], value))
            return true;
    }
    return false;
}

static bool is_combined(Str text, Str resource, Str subresource) { // "pods/log"
    return text.len == resource.len + 1 + subresource.len && str_starts_with(text, resource) &&
           text.ptr[resource.len] == '/' && str_ends_with(text, subresource);
}

static bool resource_matches(const PolicyRuleView *rule, Str resource, Str subresource) {
    for (size_t i = 0; i < rule->n_resources; i++) {
        Str have = rule->resources[i];
        if (str_eq(have, STR("*")))
            return true;
        if (!subresource.len ? str_eq(have, resource)
                             : is_combined(have, resource, subresource) ||
                                   is_combined(have, STR("*"), subresource))
            return true;
    }
    return false;
}

static bool url_matches(const Str *urls, size_t n, Str path) {
    for (size_t i = 0; i < n; i++) {
        Str url = urls[i];
        if (str_eq(url, STR("*")) || str_eq(url, path))
            return true;
        if (!str_ends_with(url, STR("*")))
            continue;
        while (str_ends_with(url, STR("*")))
            url.len--;
        if (str_starts_with(path, url))
            return true;
    }
    return false;
}

bool rule_allows(const PolicyRuleView *rule, const Attributes *attributes) {
    if (!holds(rule->verbs, rule->n_verbs, attributes->verb))
        return false;
    if (!attributes->is_resource)
        return url_matches(rule->urls, rule->n_urls, attributes->path);
    return holds(rule->groups, rule->n_groups, attributes->group) &&
           resource_matches(rule, attributes->resource, attributes->subresource) &&
           (rule->n_names == 0 || has_exactly(rule->names, rule->n_names, attributes->name));
}

// ---- covering (component-helpers' rbac/validation: a rule is broken down into single permissions)

static bool resource_covered(const PolicyRuleView *rule, Str resource) {
    if (has_exactly(rule->resources, rule->n_resources, STR("*")) ||
        has_exactly(rule->resources, rule->n_resources, resource))
        return true;
    ptrdiff_t slash = str_find(resource, '/');
    if (slash < 0)
        return false;
    Str subresource = str_slice(resource, (size_t)slash + 1, resource.len);
    for (size_t i = 0; i < rule->n_resources; i++) {
        if (is_combined(rule->resources[i], STR("*"), subresource))
            return true;
    }
    return false;
}

static bool url_covered(const PolicyRuleView *rule, Str url) {
    if (has_exactly(rule->urls, rule->n_urls, STR("*")) ||
        has_exactly(rule->urls, rule->n_urls, url))
        return true;
    for (size_t i = 0; i < rule->n_urls; i++) {
        Str held = rule->urls[i];
        if (str_ends_with(held, STR("*")) && str_starts_with(url, str_slice(held, 0, held.len - 1)))
            return true;
    }
    return false;
}

typedef struct Single { // one verb on one resource, or on one path
    Str verb, group, resource, name, url;
    bool named;
} Single;

static bool covers(const PolicyRuleView *rule, const Single *single) {
    if (!has_exactly(rule->verbs, rule->n_verbs, STR("*")) &&
        !has_exactly(rule->verbs, rule->n_verbs, single->verb))
        return false;
    if (single->url.ptr)
        return url_covered(rule, single->url);
    if (!has_exactly(rule->groups, rule->n_groups, STR("*")) &&
        !has_exactly(rule->groups, rule->n_groups, single->group))
        return false;
    if (!resource_covered(rule, single->resource))
        return false;
    return rule->n_names == 0 ||
           (single->named && has_exactly(rule->names, rule->n_names, single->name));
}

typedef struct Missing {
    Arena *arena;
    const PolicyRuleView *held;
    size_t n_held;
    PolicyRuleView *rules;
    size_t n;
} Missing;

static const Str *one(Arena *arena, Str s) {
    Str *list = arena_array_of(arena, Str, 1);
    list[0] = s;
    return list;
}

static bool same_but_verbs(const PolicyRuleView *rule, const Single *single) {
    if (single->url.ptr)
        return rule->n_urls == 1 && str_eq(rule->urls[0], single->url);
    return rule->n_urls == 0 && str_eq(rule->groups[0], single->group) &&
           str_eq(rule->resources[0], single->resource) && (rule->n_names > 0) == single->named &&
           (!single->named || str_eq(rule->names[0], single->name));
}

static void add_missing(Missing *missing, const Single *single) {
    Arena *arena = missing->arena;
    for (size_t i = 0; i < missing->n_held; i++) {
        if (covers(&missing->held[i], single))
            return;
    }
    for (size_t i = 0; i < missing->n; i++) { // verbs of one resource are shown together
        PolicyRuleView *rule = &missing->rules[i];
        if (!same_but_verbs(rule, single))
            continue;
        if (has_exactly(rule->verbs, rule->n_verbs, single->verb))
            return;
        rule->verbs = arena_grow(arena, (void *)rule->verbs, rule->n_verbs * sizeof(Str),
                                 (rule->n_verbs + 1) * sizeof(Str));
        ((Str *)rule->verbs)[rule->n_verbs++] = single->verb;
        return;
    }
    missing->rules = arena_grow(arena, missing->rules, missing->n * sizeof *missing->rules,
                                (missing->n + 1) * sizeof *missing->rules);
    PolicyRuleView *rule = &missing->rules[missing->n++];
    *rule = (PolicyRuleView){.verbs = one(arena, single->verb), .n_verbs = 1};
    if (single->url.ptr) {
        rule->urls = one(arena, single->url);
        rule->n_urls = 1;
        return;
    }
    rule->groups = one(arena, single->group);
    rule->resources = one(arena, single->resource);
    rule->n_groups = rule->n_resources = 1;
    if (single->named) {
        rule->names = one(arena, single->name);
        rule->n_names = 1;
    }
}

static void add_resource_parts(Missing *missing, const PolicyRuleView *rule, Str verb) {
    for (size_t g = 0; g < rule->n_groups; g++) {
        for (size_t r = 0; r < rule->n_resources; r++) {
            Single single = {
                .verb = verb, .group = rule->groups[g], .resource = rule->resources[r]};
            if (rule->n_names == 0)
                add_missing(missing, &single);
            for (size_t i = 0; i < rule->n_names; i++) {
                single.named = true;
                single.name = rule->names[i];
                add_missing(missing, &single);
            }
        }
    }
}

size_t rules_missing(Arena *arena, const PolicyRuleView *held, size_t n_held,
                     const PolicyRuleView *wanted, size_t n_wanted, const PolicyRuleView **ret) {
    Missing missing = {.arena = arena, .held = held, .n_held = n_held};
    for (size_t i = 0; i < n_wanted; i++) {
        for (size_t v = 0; v < wanted[i].n_verbs; v++) {
            add_resource_parts(&missing, &wanted[i], wanted[i].verbs[v]);
            for (size_t u = 0; u < wanted[i].n_urls; u++)
                add_missing(&missing,
                            &(Single){.verb = wanted[i].verbs[v], .url = wanted[i].urls[u]});
        }
    }
    *ret = missing.rules;
    return missing.n;
}

static void write_list(Buf *buf, const char *name, const Str *list, size_t n, bool *first) {
    if (n == 0)
        return;
    buf_printf(buf, "%s%s:[", *first ? "" : ", ", name);
    *first = false;
    for (size_t i = 0; i < n; i++)
        buf_printf(buf, "%s\"%.*s\"", i ? " " : "", STR_ARG(list[i]));
    buf_char(buf, ']');
}

Str rule_text(Arena *arena, const PolicyRuleView *rule) {
    Buf buf = BUF_INIT(64 * 1024);
    bool first = true;
    buf_char(&buf, '{');
    write_list(&buf, "APIGroups", rule->groups, rule->n_groups, &first);
    write_list(&buf, "Resources", rule->resources, rule->n_resources, &first);
    write_list(&buf, "ResourceNames", rule->names, rule->n_names, &first);
    write_list(&buf, "NonResourceURLs", rule->urls, rule->n_urls, &first);
    write_list(&buf, "Verbs", rule->verbs, rule->n_verbs, &first);
    buf_char(&buf, '}');
    Str text = arena_str(arena, buf_view(&buf));
    buf_deinit(&buf);
    return text;
}
