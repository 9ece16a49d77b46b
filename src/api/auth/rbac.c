#include <assert.h>
#include <stdlib.h>

#include "api/auth/node_authorizer.h"
#include "api/auth/rules.h"
#include "api/server.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/memory.h"

typedef struct Role {
    Arena *arena;
    const PolicyRuleView *rules;
    size_t n_rules;
    CachedObject *object; // strings of the rules lie in it
    Selector *
        *selectors; // aggregationRule; its rules are those of the roles that one of these selects
    size_t n_selectors;
    struct Role **members; // of an aggregated role, as of `generation`
    size_t n_members;
    uint64_t generation;
} Role;

typedef struct Binding {
    Arena *arena;
    bool cluster;
    Str namespace_, name; // "" for a cluster role binding's namespace
    Str role_kind, role_name;
    Str *subjects; // as keys of the index
    size_t n_subjects;
} Binding;

typedef struct Bindings { // of one subject
    Binding **items;
    size_t n;
} Bindings;

struct Authorizer {
    Api *api;
    Map *roles;          // "name" of a cluster role, "namespace/name" of a role
    Map *bindings;       // likewise
    Map *subjects;       // -> Bindings
    NodeGraph *nodes;
    uint64_t generation; // of the cluster roles
};

#define MAX_AGGREGATION 8 // roles that aggregate aggregated roles: view, edit, admin are three

// ---- taking objects apart

static const Str *strings_of(Arena *arena, const Value *array, size_t *ret_n) {
    *ret_n = 0;
    if (!array || array->kind != VALUE_ARRAY)
        return NULL;
    Str *list = arena_array_of(arena, Str, array->n ? array->n : 1);
    for (uint32_t i = 0; i < array->n; i++) {
        if (array->items[i]->kind == VALUE_STRING)
            list[(*ret_n)++] = array->items[i]->string;
    }
    return list;
}

size_t rules_from_value(Arena *arena, const Value *rules, const PolicyRuleView **ret) {
    *ret = NULL;
    if (!rules || rules->kind != VALUE_ARRAY)
        return 0;
    PolicyRuleView *list = arena_array_of(arena, PolicyRuleView, rules->n ? rules->n : 1);
    for (uint32_t i = 0; i < rules->n; i++) {
        const Value *rule = rules->items[i];
        list[i].verbs = strings_of(arena, value_get(rule, STR("verbs")), &list[i].n_verbs);
        list[i].groups = strings_of(arena, value_get(rule, STR("apiGroups")), &list[i].n_groups);
        list[i].resources =
            strings_of(arena, value_get(rule, STR("resources")), &list[i].n_resources);
        list[i].names = strings_of(arena, value_get(rule, STR("resourceNames")), &list[i].n_names);
        list[i].urls = strings_of(arena, value_get(rule, STR("nonResourceURLs")), &list[i].n_urls);
    }
    *ret = list;
    return rules->n;
}

static void role_free(Role *role) {
    if (!role)
        return;
    free(role->members);
    object_unref(role->object);
    arena_free(role->arena);
}

// What lies in the object's JSON stays there.
static Str keep_string(Arena *arena, const CachedObject *object, Str s) {
    Str json = bytes_str(object->json);
    bool inside = s.ptr >= json.ptr && s.ptr + s.len <= json.ptr + json.len;
    return inside || !s.len ? s : arena_str(arena, s);
}

static const Str *keep_strings(Arena *arena, const CachedObject *object, const Str *list,
                               size_t n) {
    Str *kept = n ? arena_array_of(arena, Str, n) : NULL;
    for (size_t i = 0; i < n; i++)
        kept[i] = keep_string(arena, object, list[i]);
    return kept;
}

static const PolicyRuleView *keep_rules(Arena *arena, const CachedObject *object,
                                        const PolicyRuleView *rules, size_t n) {
    PolicyRuleView *kept = arena_array_of(arena, PolicyRuleView, n ? n : 1);
    for (size_t i = 0; i < n; i++) {
        kept[i] = rules[i];
        kept[i].verbs = keep_strings(arena, object, rules[i].verbs, rules[i].n_verbs);
        kept[i].groups = keep_strings(arena, object, rules[i].groups, rules[i].n_groups);
        kept[i].resources = keep_strings(arena, object, rules[i].resources, rules[i].n_resources);
        kept[i].names = keep_strings(arena, object, rules[i].names, rules[i].n_names);
        kept[i].urls = keep_strings(arena, object, rules[i].urls, rules[i].n_urls);
    }
    return kept;
}

static Role *role_new(CachedObject *object) {
    Arena *arena = arena_new_small();
    _arena_free_ Arena *scratch = arena_new(); // a decoded role is ten times as large as its rules
    Role *role = arena_new_of(arena, Role);
    role->arena = arena;
    role->object = object_ref(object);
    Value *tree = object_decode(scratch, object);
    const PolicyRuleView *rules;
    role->n_rules = rules_from_value(scratch, value_get(tree, STR("rules")), &rules);
    role->rules = keep_rules(arena, object, rules, role->n_rules);
    const Value *selectors = value_at(tree, "aggregationRule.clusterRoleSelectors");
    if (!selectors || selectors->kind != VALUE_ARRAY || !selectors->n)
        return role;
    // Selectors point into what they are made from.
    _buf_deinit_ Buf buf = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(selectors, &buf);
    Value *kept;
    ParseError error;
    if (value_parse_json(arena, arena_str(arena, buf_view(&buf)), NULL, &kept, &error) != 0)
        abort(); // we wrote it
    selectors = kept;
    role->selectors = arena_array_of(arena, Selector *, selectors->n);
    for (uint32_t i = 0; i < selectors->n; i++) {
        Str message;
        if (selector_from_value(arena, selectors->items[i], &role->selectors[role->n_selectors],
                                &message) == 0)
            role->n_selectors++;
    }
    return role;
}

static Str subject_key(Arena *arena, const Value *subject, Str binding_namespace) {
    Str kind = value_string_at(subject, "kind"), name = value_string_at(subject, "name");
    if (str_eq(kind, STR("ServiceAccount"))) {
        Str namespace_ = value_string_at(subject, "namespace");
        if (!namespace_.len)
            namespace_ = binding_namespace;
        return arena_printf(arena, "U:system:serviceaccount:%.*s:%.*s", STR_ARG(namespace_),
                            STR_ARG(name));
    }
    return arena_printf(arena, "%s:%.*s", str_eq(kind, STR("Group")) ? "G" : "U", STR_ARG(name));
}

static Binding *binding_new(CachedObject *object, bool cluster) {
    Arena *arena = arena_new_small();
    Binding *binding = arena_new_of(arena, Binding);
    binding->arena = arena;
    binding->cluster = cluster;
    binding->namespace_ = arena_str(arena, object->namespace_);
    binding->name = arena_str(arena, object->name);
    _arena_free_ Arena *scratch = arena_new();
    Value *tree = object_decode(scratch, object);
    binding->role_kind = arena_str(arena, value_string_at(tree, "roleRef.kind"));
    binding->role_name = arena_str(arena, value_string_at(tree, "roleRef.name"));
    const Value *subjects = value_get(tree, STR("subjects"));
    size_t n = subjects && subjects->kind == VALUE_ARRAY ? subjects->n : 0;
    binding->subjects = arena_array_of(arena, Str, n ? n : 1);
    for (size_t i = 0; i < n; i++)
        binding->subjects[binding->n_subjects++] =
            subject_key(arena, subjects->items[i], binding->namespace_);
    return binding;
}

// ---- the index

static void index_add(Authorizer *self, Binding *binding) {
    for (size_t i = 0; i < binding->n_subjects; i++) {
        Bindings *of = map_get(self->subjects, binding->subjects[i]);
        if (!of) {
            of = memory_new(Bindings);
            map_put(self->subjects, binding->subjects[i], of);
        }
        of->items = memory_resize_array(of->items, of->n + 1, sizeof(Binding *));
        of->items[of->n++] = binding;
    }
}

static void index_remove(Authorizer *self, Binding *binding) {
    for (size_t i = 0; i < binding->n_subjects; i++) {
        Bindings *of = map_get(self->subjects, binding->subjects[i]);
        size_t kept = 0;
        for (size_t j = 0; of && j < of->n; j++) {
            if (of->items[j] != binding)
                of->items[kept++] = of->items[j];
        }
        if (!of)
            continue;
        of->n = kept;
        if (kept == 0) {
            map_remove(self->subjects, binding->subjects[i]);
            free(of->items);
            free(of);
        }
    }
}

static void on_role(void *user, CachedObject *previous, CachedObject *object) {
    Authorizer *self = user;
    const CachedObject *any = object ? object : previous;
    self->generation++;
    role_free(object ? map_put(self->roles, any->key, role_new(object))
                     : map_remove(self->roles, any->key));
}

static void on_binding(void *user, CachedObject *previous, CachedObject *object) {
    Authorizer *self = user;
    const CachedObject *any = object ? object : previous;
    Binding *old = map_remove(self->bindings, any->key);
    if (old) {
        index_remove(self, old);
        arena_free(old->arena);
    }
    if (object) {
        Binding *binding = binding_new(object, any->namespace_.len == 0);
        map_put(self->bindings, any->key, binding);
        index_add(self, binding);
    }
}

Authorizer *authorizer_new(Api *api) {
    Authorizer *self = memory_new(Authorizer);
    self->api = api;
    self->roles = map_new();
    self->bindings = map_new();
    self->subjects = map_new();
    self->nodes = node_graph_new(api);
    static const struct {
        const char *cache;
        CacheListener listener;
    } sources[] = {
        {"rbac.authorization.k8s.io/clusterroles", on_role},
        {"rbac.authorization.k8s.io/roles", on_role},
        {"rbac.authorization.k8s.io/clusterrolebindings", on_binding},
        {"rbac.authorization.k8s.io/rolebindings", on_binding},
    };
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        Cache *cache = registry_cache(api->registry, str_from(sources[i].cache));
        assert(cache);
        cache_listen(cache, sources[i].listener, self);
    }
    return self;
}

void authorizer_free(Authorizer *self) {
    if (!self)
        return;
    MapIter it = {0};
    while (map_next(self->roles, &it))
        role_free(it.value);
    it = (MapIter){0};
    while (map_next(self->bindings, &it))
        arena_free(((Binding *)it.value)->arena);
    it = (MapIter){0};
    while (map_next(self->subjects, &it)) {
        Bindings *of = it.value;
        free(of->items);
        free(of);
    }
    map_free(self->roles);
    map_free(self->bindings);
    map_free(self->subjects);
    node_graph_free(self->nodes);
    free(self);
}

// ---- rules of a role

typedef bool (*RuleVisitor)(void *user, const PolicyRuleView *rule); // false stops

static void find_members(const Authorizer *self, Role *role) {
    role->n_members = 0;
    MapIter it = {0};
    while (map_next(self->roles, &it)) {
        Role *other = it.value;
        if (other == role || str_find(it.key, '/') >= 0)
            continue;
        bool selected = false;
        for (size_t i = 0; i < role->n_selectors && !selected; i++)
            selected = selector_matches(role->selectors[i], other->object->labels);
        if (!selected)
            continue;
        role->members = memory_resize_array(role->members, role->n_members + 1, sizeof(Role *));
        role->members[role->n_members++] = other;
    }
    role->generation = self->generation;
}

static bool visit_role(const Authorizer *self, Role *role, RuleVisitor visit, void *user,
                       int depth) {
    if (!role->n_selectors) {
        for (size_t i = 0; i < role->n_rules; i++) {
            if (!visit(user, &role->rules[i]))
                return false;
        }
        return true;
    }
    if (role->generation != self->generation)
        find_members(self, role);
    for (size_t i = 0; depth < MAX_AGGREGATION && i < role->n_members; i++) {
        if (!visit_role(self, role->members[i], visit, user, depth + 1))
            return false;
    }
    return true;
}

static Role *find_role(const Authorizer *self, Str kind, Str namespace_, Str name) {
    if (str_eq(kind, STR("ClusterRole")))
        return map_get(self->roles, name);
    _arena_free_ Arena *arena = arena_new();
    return map_get(self->roles,
                   arena_printf(arena, "%.*s/%.*s", STR_ARG(namespace_), STR_ARG(name)));
}

// ---- visiting what a user holds

typedef struct Visit {
    const Authorizer *self;
    Arena *arena;
    Str namespace_;
    RuleVisitor visit;
    void *user;
    void (*missing)(void *user, const Binding *binding); // its role does not exist
    const Binding *at;
    Str subject;
} Visit;

static bool visit_subject(Visit *visit, Str key) {
    const Bindings *of = map_get(visit->self->subjects, key);
    visit->subject = key;
    for (size_t i = 0; of && i < of->n; i++) {
        const Binding *binding = of->items[i];
        if (!binding->cluster && !str_eq(binding->namespace_, visit->namespace_))
            continue;
        Role *role =
            find_role(visit->self, binding->role_kind, binding->namespace_, binding->role_name);
        visit->at = binding;
        if (!role) {
            if (visit->missing)
                visit->missing(visit->user, binding);
        } else if (!visit_role(visit->self, role, visit->visit, visit->user, 0)) {
            return false;
        }
    }
    return true;
}

static bool is_node(const User *user) {
    return user_in_group(user, STR("system:nodes")) &&
           str_starts_with(user->name, STR("system:node:"));
}

// Nodes hold the role system:node by being nodes (upstream's Node authorizer grants it).
static bool visit_node(Visit *visit, const User *user) {
    if (!is_node(user))
        return true;
    Role *role = map_get(visit->self->roles, STR("system:node"));
    return !role || visit_role(visit->self, role, visit->visit, visit->user, 0);
}

static bool visit_user(Visit *visit, const User *user) {
    if (!visit_subject(visit, arena_printf(visit->arena, "U:%.*s", STR_ARG(user->name))))
        return false;
    for (size_t i = 0; i < user->n_groups; i++) {
        if (!visit_subject(visit, arena_printf(visit->arena, "G:%.*s", STR_ARG(user->groups[i]))))
            return false;
    }
    visit->at = NULL;
    return visit_node(visit, user);
}

// ---- decisions

// A selector that can't be read is none here; the verb says what is wrong with it.
static const FieldSelector *selector_of(const ApiRequest *request) {
    static const char *const verbs[] = {"list", "watch", "deletecollection"};
    Str text = http_query(request->http, STR("fieldSelector")), message;
    for (size_t i = 0; text.len && i < sizeof verbs / sizeof *verbs; i++) {
        if (!str_eq(request->info.verb, str_from(verbs[i])))
            continue;
        FieldSelector *fields = arena_new_of(request->arena, FieldSelector);
        return field_selector_parse(request->arena, text, fields, &message) == 0 ? fields : NULL;
    }
    return NULL;
}

Attributes attributes_of(const ApiRequest *request) {
    const RequestInfo *info = &request->info;
    return (Attributes){
        .user = request->user,
        .is_resource = info->is_resource,
        .verb = info->verb,
        .group = info->group,
        .version = info->version,
        .resource = info->resource,
        .subresource = info->subresource,
        .namespace_ = info->namespace_,
        .name = info->name,
        .fields = info->is_resource ? selector_of(request) : NULL,
        .path = info->path,
    };
}

typedef struct Decision {
    Visit visit;
    const Attributes *attributes;
    bool allowed;
    Str missing; // roles that bindings name and that do not exist
} Decision;

static bool decide(void *user, const PolicyRuleView *rule) {
    Decision *decision = user;
    decision->allowed = rule_allows(rule, decision->attributes);
    return !decision->allowed;
}

static void note_missing(void *user, const Binding *binding) {
    Decision *decision = user;
    Arena *arena = decision->visit.arena;
    Str text = arena_printf(arena, "%s.rbac.authorization.k8s.io \"%.*s\" not found",
                            str_eq(binding->role_kind, STR("ClusterRole")) ? "clusterrole" : "role",
                            STR_ARG(binding->role_name));
    decision->missing =
        decision->missing.ptr
            ? arena_printf(arena, "%.*s, %.*s", STR_ARG(decision->missing), STR_ARG(text))
            : text;
}

static Str allowed_reason(const Decision *decision) {
    const Binding *binding = decision->visit.at;
    Arena *arena = decision->visit.arena;
    if (!binding)
        return STR("");
    Str subject = decision->visit.subject;
    bool group = subject.ptr[0] == 'G';
    Str name = str_slice(subject, 2, subject.len);
    Str where = binding->cluster ? binding->name
                                 : arena_printf(arena, "%.*s/%.*s", STR_ARG(binding->name),
                                                STR_ARG(binding->namespace_));
    return arena_printf(arena, "RBAC: allowed by %s \"%.*s\" of %.*s \"%.*s\" to %s \"%.*s\"",
                        binding->cluster ? "ClusterRoleBinding" : "RoleBinding", STR_ARG(where),
                        STR_ARG(binding->role_kind), STR_ARG(binding->role_name),
                        group ? "Group" : "User", STR_ARG(name));
}

bool authorize(const Authorizer *self, Arena *arena, const Attributes *attributes,
               Str *ret_reason) {
    Str unused;
    if (!ret_reason)
        ret_reason = &unused;
    *ret_reason = STR("");
    if (user_in_group(attributes->user, STR("system:masters")))
        return true;
    Decision decision = {
        .visit = {.self = self,
                  .arena = arena,
                  .namespace_ = attributes->namespace_,
                  .visit = decide},
        .attributes = attributes,
    };
    decision.visit.user = &decision;
    decision.visit.missing = note_missing;
    visit_user(&decision.visit, attributes->user);
    // What a node holds by being a node ends where it must know why; other bindings of its user do
    // not.
    if (is_node(attributes->user) &&
        (decision.allowed ? !decision.visit.at : node_beyond_role(attributes)))
        return node_authorize(self->api, self->nodes, arena, attributes, ret_reason);
    if (decision.allowed)
        *ret_reason = allowed_reason(&decision);
    else if (decision.missing.ptr)
        *ret_reason = arena_printf(arena, "RBAC: %.*s", STR_ARG(decision.missing));
    return decision.allowed;
}

static Str html_safe(Arena *arena, Str text) { // upstream avoids answers that look like HTML
    Buf buf = BUF_INIT(64 * 1024);
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        buf_str(&buf, c == '&'   ? STR("&amp;")
                      : c == '<' ? STR("&lt;")
                      : c == '>' ? STR("&gt;")
                                 : str_of(&c, 1));
    }
    Str safe = arena_str(arena, buf_view(&buf));
    buf_deinit(&buf);
    return safe;
}

ApiStatus *authz_forbidden(Arena *arena, const Attributes *attributes, Str reason) {
    Str user = attributes->user->name;
    Str message;
    if (!attributes->is_resource) {
        message = arena_printf(arena, "User \"%.*s\" cannot %.*s path \"%.*s\"", STR_ARG(user),
                               STR_ARG(attributes->verb), STR_ARG(attributes->path));
    } else {
        Str resource = attributes->subresource.len
                           ? arena_printf(arena, "%.*s/%.*s", STR_ARG(attributes->resource),
                                          STR_ARG(attributes->subresource))
                           : attributes->resource;
        Str where = attributes->namespace_.len ? arena_printf(arena, "in the namespace \"%.*s\"",
                                                              STR_ARG(attributes->namespace_))
                                               : STR("at the cluster scope");
        message = arena_printf(
            arena, "User \"%.*s\" cannot %.*s resource \"%.*s\" in API group \"%.*s\" %.*s",
            STR_ARG(user), STR_ARG(attributes->verb), STR_ARG(resource), STR_ARG(attributes->group),
            STR_ARG(where));
    }
    message = html_safe(arena, message);
    if (reason.len)
        message = arena_printf(arena, "%.*s: %.*s", STR_ARG(message), STR_ARG(reason));
    return status_forbidden(arena, attributes->group, attributes->resource, attributes->name,
                            message);
}

typedef struct Collected {
    Arena *arena;
    PolicyRuleView *rules;
    size_t n;
} Collected;

static bool collect(void *user, const PolicyRuleView *rule) {
    Collected *into = user;
    into->rules =
        arena_grow(into->arena, into->rules, into->n * sizeof *rule, (into->n + 1) * sizeof *rule);
    into->rules[into->n++] = *rule;
    return true;
}

size_t authorizer_rules(const Authorizer *self, Arena *arena, const User *user, Str namespace_,
                        const PolicyRuleView **ret) {
    Collected collected = {.arena = arena};
    Visit visit = {.self = self,
                   .arena = arena,
                   .namespace_ = namespace_,
                   .visit = collect,
                   .user = &collected};
    visit_user(&visit, user);
    *ret = collected.rules;
    return collected.n;
}

bool authorizer_role_rules(const Authorizer *self, Arena *arena, Str kind, Str namespace_, Str name,
                           const PolicyRuleView **ret, size_t *ret_n) {
    Role *role = find_role(self, kind, namespace_, name);
    if (!role)
        return false;
    Collected collected = {.arena = arena};
    visit_role(self, role, collect, &collected, 0);
    *ret = collected.rules;
    *ret_n = collected.n;
    return true;
}
