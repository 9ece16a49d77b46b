// The default roles and bindings on their way into a cluster, new or old. Additive: a rule, subject,
// label or annotation that is missing is added, what people added stays. Whoever wants to be left
// alone sets rbac.authorization.kubernetes.io/autoupdate to "false".
// https://kubernetes.io/docs/reference/access-authn-authz/rbac/#auto-reconciliation

#include <stdlib.h>

#include "api/auth/rules.h"
#include "api/bootstrap_private.h"

#define GROUP "rbac.authorization.k8s.io"
#define RBAC GROUP "/v1"
#define AUTOUPDATE STR("rbac.authorization.kubernetes.io/autoupdate")

static int compare_items(const void *a, const void *b) {
    return str_cmp((*(Value *const *)a)->string, (*(Value *const *)b)->string);
}

// In order, as upstream's builder of rules puts them.
static Value *split_list(Arena *arena, const char *text) {
    Value *list = value_new_array(arena);
    Str rest = str_from(text);
    while (rest.ptr)
        value_push(arena, list, value_new_string(arena, str_cut(&rest, ',')));
    qsort(list->items, list->n, sizeof *list->items, compare_items);
    return list;
}

static void mark_default(Arena *arena, Value *object) {
    bootstrap_set_metadata(arena, object, "labels", STR("kubernetes.io/bootstrapping"),
                           "rbac-defaults");
    bootstrap_set_metadata(arena, object, "annotations", AUTOUPDATE, "true");
}

static Value *role_rules(Arena *arena, const BootstrapRole *role) {
    Value *rules = value_new_array(arena);
    for (size_t i = 0; i < role->n_rules; i++) {
        const BootstrapRule *rule = &role->rules[i];
        Value *value = value_new_object(arena);
        value_set(arena, value, STR("verbs"), split_list(arena, rule->verbs));
        const struct {
            const char *field, *list;
        } lists[] = {{"apiGroups", rule->groups},
                     {"resources", rule->resources},
                     {"resourceNames", rule->names},
                     {"nonResourceURLs", rule->urls}};
        for (size_t j = 0; j < sizeof lists / sizeof *lists; j++) {
            if (lists[j].list)
                value_set(arena, value, str_from(lists[j].field), split_list(arena, lists[j].list));
        }
        value_push(arena, rules, value);
    }
    return rules;
}

static Value *role_object(Arena *arena, const BootstrapRole *role) {
    Value *object =
        bootstrap_object(arena, RBAC, role->namespace_ ? "Role" : "ClusterRole", role->name);
    mark_default(arena, object);
    if (role->feeds)
        bootstrap_set_metadata(arena, object, "labels",
                               arena_printf(arena, GROUP "/aggregate-to-%s", role->feeds), "true");
    if (role->collects) {
        Value *selector = value_new_object(arena), *selectors = value_new_array(arena);
        value_set_str(arena, value_at_make(arena, selector, "matchLabels"),
                      arena_printf(arena, GROUP "/aggregate-to-%s", role->collects), STR("true"));
        value_push(arena, selectors, selector);
        value_set(arena, value_at_make(arena, object, "aggregationRule"),
                  STR("clusterRoleSelectors"), selectors);
    }
    value_set(arena, object, STR("rules"), role_rules(arena, role));
    return object;
}

// ---- bringing up to date: each returns whether there was something to add

static bool add_metadata(Arena *arena, Value *object, const Value *wanted, const char *path) {
    Value *map = value_at_make(arena, object, path);
    const Value *from = value_at(wanted, path);
    bool changed = false;
    for (uint32_t i = 0; from && i < from->n; i++) {
        if (value_get(map, from->members[i].key))
            continue;
        value_set(arena, map, from->members[i].key, from->members[i].value);
        changed = true;
    }
    return changed;
}

static bool add_marks(Arena *arena, Value *object, const Value *wanted) {
    bool changed = add_metadata(arena, object, wanted, "metadata.labels");
    return add_metadata(arena, object, wanted, "metadata.annotations") || changed;
}

static Value *strings(Arena *arena, const Str *list, size_t n) {
    Value *array = value_new_array(arena);
    for (size_t i = 0; i < n; i++)
        value_push(arena, array, value_new_string(arena, list[i]));
    return array;
}

static Value *rule_value(Arena *arena, const PolicyRuleView *rule) {
    const struct {
        const char *field;
        const Str *list;
        size_t n;
    } lists[] = {{"verbs", rule->verbs, rule->n_verbs},
                 {"apiGroups", rule->groups, rule->n_groups},
                 {"resources", rule->resources, rule->n_resources},
                 {"resourceNames", rule->names, rule->n_names},
                 {"nonResourceURLs", rule->urls, rule->n_urls}};
    Value *value = value_new_object(arena);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        if (lists[i].n)
            value_set(arena, value, str_from(lists[i].field),
                      strings(arena, lists[i].list, lists[i].n));
    }
    return value;
}

static Value *array_at(Arena *arena, Value *object, Str key) {
    Value *array = value_get(object, key);
    if (!array || array->kind != VALUE_ARRAY)
        value_set(arena, object, key, array = value_new_array(arena));
    return array;
}

static bool add_rules(Arena *arena, Value *object, const Value *wanted) {
    const PolicyRuleView *held, *expected, *missing;
    size_t n_held = rules_from_value(arena, value_get(object, STR("rules")), &held);
    size_t n_expected = rules_from_value(arena, value_get(wanted, STR("rules")), &expected);
    size_t n = rules_missing(arena, held, n_held, expected, n_expected, &missing);
    Value *rules = n ? array_at(arena, object, STR("rules")) : NULL;
    for (size_t i = 0; i < n; i++)
        value_push(arena, rules, rule_value(arena, &missing[i]));
    return n > 0;
}

static bool add_items(Arena *arena, Value *list, const Value *wanted) {
    bool changed = false;
    for (uint32_t i = 0; wanted && i < wanted->n; i++) {
        bool there = false;
        for (uint32_t j = 0; j < list->n && !there; j++)
            there = value_equal(list->items[j], wanted->items[i]);
        if (!there)
            value_push(arena, list, wanted->items[i]);
        changed |= !there;
    }
    return changed;
}

static bool add_selectors(Arena *arena, Value *object, const Value *wanted) {
    const Value *from = value_at(wanted, "aggregationRule.clusterRoleSelectors");
    if (!from)
        return false;
    Value *rule = value_at_make(arena, object, "aggregationRule");
    return add_items(arena, array_at(arena, rule, STR("clusterRoleSelectors")), from);
}

static bool is_protected(const Value *object) {
    const Value *update = value_get(value_at(object, "metadata.annotations"), AUTOUPDATE);
    return update && update->kind == VALUE_STRING && str_eq(update->string, STR("false"));
}

// ---- roles

static Str collection_path(Arena *arena, const char *namespace_, const char *plural) {
    return namespace_ ? arena_printf(arena, "/apis/" RBAC "/namespaces/%s/%s", namespace_, plural)
                      : arena_printf(arena, "/apis/" RBAC "/%s", plural);
}

static Str object_path(Arena *arena, Str collection, const char *name) {
    Str encoded = http_percent_encode(arena, str_from(name));
    return arena_printf(arena, "%.*s/%.*s", STR_ARG(collection), STR_ARG(encoded));
}

void bootstrap_roles(Bootstrap *self) {
    Arena *arena = self->arena;
    BootstrapRole role = {0};
    while (bootstrap_role_next(&role)) {
        Str path =
            collection_path(arena, role.namespace_, role.namespace_ ? "roles" : "clusterroles");
        CachedObject *there =
            bootstrap_existing(self, role.namespace_ ? GROUP "/roles" : GROUP "/clusterroles",
                               role.namespace_, role.name);
        Value *wanted = role_object(arena, &role);
        if (!there) {
            bootstrap_send(self, "POST", path, wanted);
            continue;
        }
        Value *object = object_decode(arena, there);
        if (is_protected(object))
            continue;
        bool changed = add_marks(arena, object, wanted);
        changed |= add_rules(arena, object, wanted);
        changed |= add_selectors(arena, object, wanted);
        if (changed)
            bootstrap_send(self, "PUT", object_path(arena, path, role.name), object);
    }
}

// ---- bindings

static Value *subject_value(Arena *arena, Str text) { // "KIND/NAME"
    Value *subject = value_new_object(arena);
    Str kind = str_cut(&text, '/');
    value_set_str(arena, subject, STR("kind"), kind);
    if (str_eq(kind, STR("ServiceAccount")))
        value_set_str(arena, subject, STR("namespace"), STR("kube-system"));
    else
        value_set_str(arena, subject, STR("apiGroup"), STR(GROUP));
    value_set_str(arena, subject, STR("name"), text);
    return subject;
}

static Value *binding_object(Arena *arena, const BootstrapBinding *binding) {
    Value *object = bootstrap_object(
        arena, RBAC, binding->namespace_ ? "RoleBinding" : "ClusterRoleBinding", binding->name);
    mark_default(arena, object);
    Value *role = value_at_make(arena, object, "roleRef");
    value_set_str(arena, role, STR("apiGroup"), STR(GROUP));
    value_set_str(arena, role, STR("kind"),
                  binding->namespace_ ? STR("Role") : STR("ClusterRole"));
    value_set_str(arena, role, STR("name"), str_from(binding->role));
    Str rest = binding->subjects ? str_from(binding->subjects) : STR_NONE;
    if (!rest.ptr)
        return object;
    Value *subjects = value_new_array(arena);
    while (rest.ptr)
        value_push(arena, subjects, subject_value(arena, str_cut(&rest, ',')));
    value_set(arena, object, STR("subjects"), subjects);
    return object;
}

static void reconcile_binding(Bootstrap *self, const BootstrapBinding *binding) {
    Arena *arena = self->arena;
    bool namespaced = binding->namespace_ != NULL;
    Str path = collection_path(arena, binding->namespace_,
                               namespaced ? "rolebindings" : "clusterrolebindings");
    CachedObject *there =
        bootstrap_existing(self, namespaced ? GROUP "/rolebindings" : GROUP "/clusterrolebindings",
                           binding->namespace_, binding->name);
    Value *wanted = binding_object(arena, binding);
    if (!there) {
        bootstrap_send(self, "POST", path, wanted);
        return;
    }
    Value *object = object_decode(arena, there);
    if (is_protected(object))
        return;
    if (!value_equal(value_get(object, STR("roleRef")), value_get(wanted, STR("roleRef")))) {
        bootstrap_send(self, "DELETE", object_path(arena, path, binding->name), NULL);
        return; // a role reference never changes: the next round makes it anew
    }
    bool changed = add_marks(arena, object, wanted);
    const Value *subjects = value_get(wanted, STR("subjects"));
    if (subjects && add_items(arena, array_at(arena, object, STR("subjects")), subjects))
        changed = true;
    if (changed)
        bootstrap_send(self, "PUT", object_path(arena, path, binding->name), object);
}

#define CONTROLLER "system:controller:"

void bootstrap_bindings(Bootstrap *self) {
    const BootstrapBinding *binding;
    for (size_t i = 0; (binding = bootstrap_binding_at(i)); i++)
        reconcile_binding(self, binding);
    BootstrapRole role = {0};
    while (bootstrap_role_next(&role)) {
        Str name = str_from(role.name);
        if (!str_starts_with(name, STR(CONTROLLER)))
            continue;
        Str account = str_slice(name, sizeof CONTROLLER - 1, name.len);
        BootstrapBinding of_controller = {
            .name = role.name,
            .role = role.name,
            .namespace_ = role.namespace_,
            .subjects = arena_printf(self->arena, "ServiceAccount/%.*s", STR_ARG(account)).ptr,
        };
        reconcile_binding(self, &of_controller);
    }
}
