// Flow schemas and priority levels: pkg/apis/flowcontrol/validation upstream.

#include "kinds/pod.h"
#include "kinds/rules.h"
#include "schema/format.h"

#define MAX_PRECEDENCE 10000
#define MAX_QUEUES (10 * 1000 * 1000)
#define MAX_HASH_BITS 60

static const Path spec_path = {.name = {"spec", 4}, .index = -1};

static bool has_all(const Value *list) { // "*"
    for (uint32_t i = 0; i < list_count(list); i++)
        if (str_eq(tree_string(list->items[i]), STR("*")))
            return true;
    return false;
}

// ---- subjects

static void check_account(FieldErrors *errors, const Value *account, const Path *path) {
    Str name = GET_STR(account, "name"), namespace_ = GET_STR(account, "namespace");
    if (!name.len)
        field_required(errors, AT(path, "name"), "");
    else if (!str_eq(name, STR("*")))
        schema_check_format(errors, AT(path, "name"), FORMAT_DNS_SUBDOMAIN, name);
    if (namespace_.len)
        schema_check_format(errors, AT(path, "namespace"), FORMAT_DNS_LABEL, namespace_);
    else
        field_required(errors, AT(path, "namespace"), "must specify namespace for service account");
}

static void check_subject(FieldErrors *errors, const Value *subject, const Path *path) {
    static const struct {
        Str kind, field;
    } kinds[] = {{STR("Group"), STR("group")},
                 {STR("ServiceAccount"), STR("serviceAccount")},
                 {STR("User"), STR("user")}};
    static const Str names[] = {{"Group", 5}, {"ServiceAccount", 14}, {"User", 4}};
    Str kind = GET_STR(subject, "kind");
    size_t is = 0;
    while (is < 3 && !str_eq(kind, kinds[is].kind))
        is++;
    if (is == 3) {
        field_not_supported(errors, AT(path, "kind"), kind, names, 3);
        return;
    }
    for (size_t i = 0; i < 3; i++) {
        Str field = kinds[i].field;
        const Value *value = value_get(subject, field);
        const Path *at = PATH(path, field);
        if (i != is && value)
            field_forbidden(errors, at,
                            arena_printf(errors->arena,
                                         "%.*s is forbidden when subject kind is not '%.*s'",
                                         STR_ARG(field), STR_ARG(kinds[i].kind))
                                .ptr);
        else if (i == is && !value)
            field_required(errors, at,
                           arena_printf(errors->arena,
                                        "%.*s is required when subject kind is '%.*s'",
                                        STR_ARG(field), STR_ARG(kind))
                               .ptr);
        else if (i == is && i == 1)
            check_account(errors, value, at);
        else if (i == is && !tree_has_string(value, "name"))
            field_required(errors, AT(at, "name"), "");
    }
}

// ---- rules

static void check_verbs(FieldErrors *errors, const Value *rule, const Path *path) {
    static const Str known[] = {
        {"connect", 7}, {"create", 6}, {"delete", 6}, {"deletecollection", 16},
        {"get", 3},     {"list", 4},   {"patch", 5},  {"proxy", 5},
        {"update", 6},  {"watch", 5}};
    const Value *verbs = GET(rule, "verbs");
    const Path *at = AT(path, "verbs");
    if (!list_count(verbs)) {
        field_required(errors, at, "verbs must contain at least one value");
    } else if (has_all(verbs)) {
        if (verbs->n > 1)
            field_invalid_value(errors, at, verbs,
                                "if '*' is present, must not specify other verbs");
        return;
    }
    for (uint32_t i = 0; i < list_count(verbs); i++) {
        size_t k = 0;
        while (k < 10 && !str_eq(tree_string(verbs->items[i]), known[k]))
            k++;
        if (k < 10)
            continue;
        field_not_supported_value(errors, at, verbs, known, 10);
        return;
    }
}

static void check_list(FieldErrors *errors, const Value *rule, Str field, const char *missing,
                       const char *others, const Path *path) {
    const Value *list = value_get(rule, field);
    if (!list_count(list))
        field_required(errors, PATH(path, field), missing);
    else if (list->n > 1 && has_all(list))
        field_invalid_value(errors, PATH(path, field), list, others);
}

static void check_namespaces(FieldErrors *errors, const Value *rule, const Path *path) {
    const Value *list = GET(rule, "namespaces");
    const Path *at = AT(path, "namespaces");
    if (!list_count(list) && !value_bool_at(rule, "clusterScope", false)) {
        field_required(
            errors, at,
            "resource rules that are not cluster scoped must supply at least one namespace");
    } else if (has_all(list)) {
        if (list->n > 1)
            field_invalid_value(errors, at, list,
                                "if '*' is present, must not specify other namespaces");
        return;
    }
    for (uint32_t i = 0; i < list_count(list); i++) {
        FormatProblems problems =
            format_check(errors->arena, FORMAT_DNS_LABEL, tree_string(list->items[i]));
        for (size_t k = 0; k < problems.n; k++)
            field_invalid(
                errors, PATH_INDEX(at, i), tree_string(list->items[i]),
                arena_printf(errors->arena,
                             "each member of this list must be '*' or a DNS-1123 label; %.*s",
                             STR_ARG(problems.messages[k]))
                    .ptr);
    }
}

static void check_resource_rule(FieldErrors *errors, const Value *rule, const Path *path) {
    check_verbs(errors, rule, path);
    check_list(errors, rule, STR("apiGroups"), "resource rules must supply at least one api group",
               "if '*' is present, must not specify other api groups", path);
    check_list(errors, rule, STR("resources"), "resource rules must supply at least one resource",
               "if '*' is present, must not specify other resources", path);
    check_namespaces(errors, rule, path);
}

// ValidateNonResourceURLPath
static void check_url(FieldErrors *errors, Str url, const Path *path) {
    ptrdiff_t star = str_find(url, '*');
    if (!url.len)
        field_invalid(errors, path, url, "must not be empty");
    else if (url.ptr[0] != '/')
        field_invalid(errors, path, url, "must start with slash");
    else if (str_find(url, ' ') >= 0)
        field_invalid(errors, path, url, "must not contain white-space");
    else if (memmem(url.ptr, url.len, "//", 2))
        field_invalid(errors, path, url, "must not contain double slash");
    else if (star >= 0 && ((size_t)star + 1 != url.len || url.ptr[star - 1] != '/'))
        field_invalid(errors, path, url, "wildcard can only do suffix matching");
}

static void check_url_rule(FieldErrors *errors, const Value *rule, const Path *path) {
    const Value *urls = GET(rule, "nonResourceURLs");
    const Path *at = AT(path, "nonResourceURLs");
    check_verbs(errors, rule, path);
    check_list(errors, rule, STR("nonResourceURLs"),
               "nonResourceURLs must contain at least one value",
               "if '*' is present, must not specify other non-resource URLs", path);
    for (uint32_t i = 0; !has_all(urls) && i < list_count(urls); i++)
        check_url(errors, tree_string(urls->items[i]), PATH_INDEX(at, i));
}

static void check_rule(FieldErrors *errors, const Value *rule, const Path *path) {
    const Value *subjects = GET(rule, "subjects"), *resources = GET(rule, "resourceRules"),
                *urls = GET(rule, "nonResourceRules");
    if (!list_count(subjects))
        field_required(errors, AT(path, "subjects"), "subjects must contain at least one value");
    for (uint32_t i = 0; i < list_count(subjects); i++)
        check_subject(errors, subjects->items[i], PATH_INDEX(AT(path, "subjects"), i));
    if (!list_count(resources) && !list_count(urls))
        field_required(errors, path,
                       "at least one of resourceRules and nonResourceRules has to be non-empty");
    for (uint32_t i = 0; i < list_count(resources); i++)
        check_resource_rule(errors, resources->items[i], PATH_INDEX(AT(path, "resourceRules"), i));
    for (uint32_t i = 0; i < list_count(urls); i++)
        check_url_rule(errors, urls->items[i], PATH_INDEX(AT(path, "nonResourceRules"), i));
}

static void validate_schema(FieldErrors *errors, const Value *schema) {
    static const Str methods[] = {{"ByNamespace", 11}, {"ByUser", 6}};
    const Value *spec = GET(schema, "spec"), *method = GET(spec, "distinguisherMethod"),
                *rules = GET(spec, "rules");
    const Path *path = AT(&spec_path, "matchingPrecedence"),
               *level_path = AT(&spec_path, "priorityLevelConfiguration");
    int64_t precedence = value_int_at(spec, "matchingPrecedence", 0);
    Str level = tree_string(value_at(spec, "priorityLevelConfiguration.name")),
        type = GET_STR(method, "type");
    if (precedence <= 0)
        field_invalid_int(errors, path, precedence, "must be a positive value");
    if (precedence > MAX_PRECEDENCE)
        field_invalid_int(errors, path, precedence, "must not be greater than 10000");
    if (precedence == 1 && !tree_is(schema, "metadata.name", "exempt"))
        field_invalid_int(errors, path, precedence,
                          "only the schema named 'exempt' may have matchingPrecedence 1");
    if (method && !str_eq(type, methods[0]) && !str_eq(type, methods[1]))
        field_not_supported(errors, AT(AT(&spec_path, "distinguisherMethod"), "type"), type,
                            methods, 2);
    if (level.len)
        schema_check_format(errors, AT(level_path, "name"), FORMAT_DNS_SUBDOMAIN, level);
    else
        field_required(errors, AT(level_path, "name"), "must reference a priority level");
    for (uint32_t i = 0; i < list_count(rules); i++)
        check_rule(errors, rules->items[i], PATH_INDEX(AT(&spec_path, "rules"), i));
}

const ResourceRules flow_schema_rules = {.validate = validate_schema};

// ---- priority levels

// Whether dealing `hand` out of `deck` needs more bits of a hash than there are
// (shufflesharding.RequiredEntropyBits).
static bool needs_more_bits(int64_t deck, int64_t hand) {
    unsigned __int128 deals = 1, most = (unsigned __int128)1 << MAX_HASH_BITS;
    for (int64_t i = 0; i < hand && deals <= most; i++)
        deals *= (unsigned __int128)(deck - i);
    return deals > most;
}

static void check_queuing(FieldErrors *errors, const Value *queuing, const Path *path) {
    Arena *arena = errors->arena;
    int64_t length = value_int_at(queuing, "queueLengthLimit", 0),
            queues = value_int_at(queuing, "queues", 0),
            hand = value_int_at(queuing, "handSize", 0);
    if (length <= 0)
        field_invalid_int(errors, AT(path, "queueLengthLimit"), length, "must be positive");
    if (queues <= 0)
        field_invalid_int(errors, AT(path, "queues"), queues, "must be positive");
    else if (queues > MAX_QUEUES)
        field_invalid_int(errors, AT(path, "queues"), queues, "must not be greater than 10000000");
    if (hand <= 0)
        field_invalid_int(errors, AT(path, "handSize"), hand, "must be positive");
    else if (hand > queues)
        field_invalid_int(
            errors, AT(path, "handSize"), hand,
            arena_printf(arena, "should not be greater than queues (%lld)", (long long)queues).ptr);
    else if (needs_more_bits(queues, hand))
        field_invalid_int(errors, AT(path, "handSize"), hand,
                          arena_printf(arena,
                                       "required entropy bits of deckSize %lld and handSize %lld "
                                       "should not be greater than "
                                       "%d",
                                       (long long)queues, (long long)hand, MAX_HASH_BITS)
                              .ptr);
}

static void check_response(FieldErrors *errors, const Value *response, const Path *path) {
    static const Str types[] = {{"Queue", 5}, {"Reject", 6}};
    Str type = GET_STR(response, "type");
    const Value *queuing = GET(response, "queuing");
    const Path *at = AT(path, "queuing");
    if (str_eq(type, types[0])) {
        if (queuing)
            check_queuing(errors, queuing, at);
        else
            field_required(errors, at,
                           "must not be empty if limited.limitResponse.type is Limited");
    } else if (!str_eq(type, types[1])) {
        field_not_supported(errors, AT(path, "type"), type, types, 2);
    } else if (queuing) {
        field_forbidden(errors, at, "must be nil if limited.limitResponse.type is not Limited");
    }
}

// Shares and what may be lent, of either kind of level.
static void check_shares(FieldErrors *errors, const Value *level, const Path *path) {
    int64_t shares = value_int_at(level, "nominalConcurrencyShares", 0),
            lent = value_int_at(level, "lendablePercent", 0);
    if (shares < 0)
        field_invalid_int(errors, AT(path, "nominalConcurrencyShares"), shares,
                          "must be a non-negative integer");
    if (lent < 0 || lent > 100)
        field_invalid_int(errors, AT(path, "lendablePercent"), lent,
                          "must be between 0 and 100, inclusive");
}

static void validate_level(FieldErrors *errors, const Value *object) {
    static const Str types[] = {{"Exempt", 6}, {"Limited", 7}};
    const Value *spec = GET(object, "spec"), *limited = GET(spec, "limited"),
                *exempt = GET(spec, "exempt");
    Str type = GET_STR(spec, "type");
    bool is_limited = str_eq(type, types[1]);
    const Path *path = AT(&spec_path, "limited"), *exempt_path = AT(&spec_path, "exempt");
    int64_t borrowed = value_int_at(limited, "borrowingLimitPercent", 0);
    if (!is_limited && !str_eq(type, types[0])) {
        field_not_supported(errors, AT(&spec_path, "type"), type, types, 2);
        return;
    }
    if (!is_limited && limited)
        field_forbidden(errors, path, "must be nil if the type is not Limited");
    if (!is_limited && exempt)
        check_shares(errors, exempt, exempt_path);
    if (is_limited && exempt)
        field_forbidden(errors, exempt_path, "must be nil if the type is Limited");
    if (is_limited && !limited)
        field_required(errors, path, "must not be empty when type is Limited");
    if (!is_limited || !limited)
        return;
    check_shares(errors, limited, path);
    if (borrowed < 0)
        field_invalid_int(errors, AT(path, "borrowingLimitPercent"), borrowed,
                          "if specified, must be a non-negative integer");
    check_response(errors, GET(limited, "limitResponse"), AT(path, "limitResponse"));
}

const ResourceRules priority_level_configuration_rules = {.validate = validate_level};
