// Privilege escalation prevention:
// https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping

#include <stdlib.h>

#include "api/auth/rules.h"
#include "api/meta.h"
#include "api/server.h"

#define GROUP "rbac.authorization.k8s.io"

static bool may(const ApiRequest *request, const char *verb, Str resource, Str namespace_,
                Str name) {
    Attributes attributes = {
        .user = request->user,
        .is_resource = true,
        .verb = str_from(verb),
        .group = STR(GROUP),
        .version = STR("v1"),
        .resource = resource,
        .subresource = STR(""),
        .namespace_ = namespace_,
        .name = name,
    };
    return authorize(request->api->authorizer, request->arena, &attributes, NULL);
}

static int compare_texts(const void *a, const void *b) {
    return str_cmp(*(const Str *)a, *(const Str *)b);
}

static Str quoted_groups(Arena *arena, const User *user) {
    Str *quoted = arena_array_of(arena, Str, user->n_groups + 1);
    for (size_t i = 0; i < user->n_groups; i++)
        quoted[i] = arena_printf(arena, "\"%.*s\"", STR_ARG(user->groups[i]));
    return arena_concat(arena, quoted, user->n_groups, STR(" "));
}

static ApiStatus *check_covered(ApiRequest *request, Str namespace_, Str name,
                                const PolicyRuleView *wanted, size_t n_wanted) {
    Arena *arena = request->arena;
    const PolicyRuleView *held, *missing;
    size_t n_held =
        authorizer_rules(request->api->authorizer, arena, request->user, namespace_, &held);
    size_t n = rules_missing(arena, held, n_held, wanted, n_wanted, &missing);
    if (n == 0)
        return NULL;
    Str *texts = arena_array_of(arena, Str, n);
    for (size_t i = 0; i < n; i++)
        texts[i] = rule_text(arena, &missing[i]);
    qsort(texts, n, sizeof *texts, compare_texts);
    Str why = arena_printf(
        arena,
        "user \"%.*s\" (groups=[%.*s]) is attempting to grant RBAC permissions not currently "
        "held:\n%.*s",
        STR_ARG(request->user->name), STR_ARG(quoted_groups(arena, request->user)),
        STR_ARG(arena_concat(arena, texts, n, STR("\n"))));
    return request_forbidden(request, name, why);
}

static ApiStatus *check_role(ApiRequest *request, const Value *object, const Value *old) {
    const Value *rules = value_get(object, STR("rules"));
    const Value *aggregation = value_get(object, STR("aggregationRule"));
    if (old) {
        const Value *old_rules = value_get(old, STR("rules"));
        const Value *old_aggregation = value_get(old, STR("aggregationRule"));
        bool same_rules = rules && old_rules ? value_equal(rules, old_rules) : rules == old_rules;
        bool same_aggregation = aggregation && old_aggregation
                                    ? value_equal(aggregation, old_aggregation)
                                    : aggregation == old_aggregation;
        if (same_rules && same_aggregation)
            return NULL; // metadata only
    }
    Str name = meta_name(object), namespace_ = request_namespace(request);
    if (may(request, "escalate", request->info.resource, namespace_, name))
        return NULL;
    static const Str all[] = {{"*", 1}};
    static const PolicyRuleView everything[] = {
        {.verbs = all,
         .n_verbs = 1,
         .groups = all,
         .n_groups = 1,
         .resources = all,
         .n_resources = 1},
        {.verbs = all, .n_verbs = 1, .urls = all, .n_urls = 1},
    };
    if (aggregation) { // whoever makes other roles flow in may hold anything
        ApiStatus *refused = check_covered(request, STR(""), name, everything, 2);
        if (refused)
            return request_forbidden(
                request, name,
                STR("must have cluster-admin privileges to use the aggregationRule"));
    }
    const PolicyRuleView *wanted;
    size_t n = rules_from_value(request->arena, rules, &wanted);
    return check_covered(request, namespace_, name, wanted, n);
}

static ApiStatus *check_binding(ApiRequest *request, const Value *object, const Value *old) {
    if (old) {
        const Value *subjects = value_get(object, STR("subjects")),
                    *old_subjects = value_get(old, STR("subjects"));
        bool same = subjects && old_subjects ? value_equal(subjects, old_subjects)
                                             : subjects == old_subjects;
        const Value *role = value_get(object, STR("roleRef")),
                    *old_role = value_get(old, STR("roleRef"));
        if (same && role && old_role && value_equal(role, old_role))
            return NULL;
    }
    Str namespace_ = request_namespace(request);
    Str kind = value_string_at(object, "roleRef.kind"),
        name = value_string_at(object, "roleRef.name");
    bool cluster = str_eq(kind, STR("ClusterRole"));
    if (may(request, "bind", cluster ? STR("clusterroles") : STR("roles"), namespace_, name))
        return NULL;
    const PolicyRuleView *wanted;
    size_t n;
    if (!authorizer_role_rules(request->api->authorizer, request->arena, kind, namespace_, name,
                               &wanted, &n))
        return status_not_found(request->arena, STR(GROUP),
                                cluster ? STR("clusterroles") : STR("roles"), name);
    return check_covered(request, namespace_, meta_name(object), wanted, n);
}

ApiStatus *authz_check_escalation(ApiRequest *request, const Value *object, const Value *old) {
    const Resource *resource = request->served->resource;
    if (!str_eq(resource->group, STR(GROUP)) || user_in_group(request->user, STR("system:masters")))
        return NULL;
    bool role = str_eq(resource->kind, STR("Role")) || str_eq(resource->kind, STR("ClusterRole"));
    return role ? check_role(request, object, old) : check_binding(request, object, old);
}
