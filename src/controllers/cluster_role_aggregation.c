// Fills the rules of ClusterRoles that have an aggregationRule from those that it selects.
// https://kubernetes.io/docs/reference/access-authn-authz/rbac/#aggregated-clusterroles
#include <stdlib.h>

#include "base/map.h"
#include "base/memory.h"
#include "controllers/frame.h"
#include "schema/selector.h"

typedef struct Aggregator { // a role with an aggregationRule
    Arena *arena;
    Selector **selectors;
    size_t n;
} Aggregator;

typedef struct Aggregation {
    Controller base;
    Informer *roles;
    Map *aggregators; // name -> Aggregator
} Aggregation;

static Value *read_role(Arena *arena, const InformerObject *object) {
    Value *role = NULL;
    ParseError error;
    if (!object || !object->bytes)
        return NULL;
    Str json = arena_str(arena, bytes_str(object->bytes));
    return value_parse_json(arena, json, NULL, &role, &error) == 0 ? role : NULL;
}

static void aggregator_free(Aggregator *aggregator) {
    if (aggregator)
        arena_free(aggregator->arena);
}

// NULL when the role has no aggregationRule.
static Aggregator *aggregator_new(const InformerObject *object) {
    Arena *arena = arena_new();
    const Value *list =
        value_at(read_role(arena, object), "aggregationRule.clusterRoleSelectors");
    if (!list || list->kind != VALUE_ARRAY || !list->n) {
        arena_free(arena);
        return NULL;
    }
    Aggregator *aggregator = arena_new_of(arena, Aggregator);
    aggregator->arena = arena;
    aggregator->selectors = arena_array_of(arena, Selector *, list->n);
    for (uint32_t i = 0; i < list->n; i++) {
        Str message;
        if (selector_from_value(arena, list->items[i], &aggregator->selectors[aggregator->n],
                                &message) == 0)
            aggregator->n++;
    }
    return aggregator;
}

static bool selects(const Aggregator *aggregator, const Value *role) {
    for (size_t i = 0; role && i < aggregator->n; i++) {
        if (selector_matches(aggregator->selectors[i], value_at(role, "metadata.labels")))
            return true;
    }
    return false;
}

// ---- one aggregated role

typedef struct AggregatedRole {
    Str name;
    const Value *rules;
} AggregatedRole;
typedef struct AggregatedRoles {
    Arena *arena;
    const Aggregator *of;
    Str self;
    AggregatedRole *items;
    size_t n;
} AggregatedRoles;

static void collect(void *user, const InformerObject *object) {
    AggregatedRoles *members = user;
    if (str_eq(object->name, members->self))
        return;
    const Value *role = read_role(members->arena, object);
    if (selects(members->of, role))
        members->items[members->n++] =
            (AggregatedRole){arena_str(members->arena, object->name), value_get(role, STR("rules"))};
}

static int compare_members(const void *a, const void *b) {
    return str_cmp(((const AggregatedRole *)a)->name, ((const AggregatedRole *)b)->name);
}

static bool holds(const Value *rules, const Value *rule) {
    for (uint32_t i = 0; i < rules->n; i++) {
        if (value_equal(rules->items[i], rule))
            return true;
    }
    return false;
}

// The members' rules in the order of their names, each once.
static Value *sum_of_rules(Reconcile *r, const Aggregator *aggregator) {
    Aggregation *self = (Aggregation *)r->controller;
    AggregatedRoles members = {.arena = r->arena, .of = aggregator, .self = r->name};
    members.items = arena_array_of(r->arena, AggregatedRole, informer_count(self->roles) + 1);
    informer_each(self->roles, STR_NONE, collect, &members);
    qsort(members.items, members.n, sizeof *members.items, compare_members);
    Value *sum = value_new_array(r->arena);
    for (size_t i = 0; i < members.n; i++) {
        const Value *rules = members.items[i].rules;
        for (uint32_t j = 0; rules && rules->kind == VALUE_ARRAY && j < rules->n; j++) {
            if (!holds(sum, rules->items[j]))
                value_push(r->arena, sum, rules->items[j]);
        }
    }
    return sum;
}

static void reconcile(Reconcile *r) {
    Aggregation *self = (Aggregation *)r->controller;
    const Aggregator *aggregator = map_get(self->aggregators, r->name);
    Value *role = read_role(r->arena, informer_get(self->roles, STR(""), r->name));
    if (!aggregator || !role) {
        reconcile_done(r, false);
        return;
    }
    Value *sum = sum_of_rules(r, aggregator);
    const Value *rules = value_get(role, STR("rules"));
    if (rules && rules->kind == VALUE_ARRAY ? value_equal(rules, sum) : sum->n == 0) {
        reconcile_done(r, false);
        return;
    }
    Value *applied = value_new_object(r->arena);
    value_set_str(r->arena, applied, STR("apiVersion"), STR("rbac.authorization.k8s.io/v1"));
    value_set_str(r->arena, applied, STR("kind"), STR("ClusterRole"));
    value_set_str(r->arena, value_at_make(r->arena, applied, "metadata"), STR("name"), r->name);
    value_set(r->arena, applied, STR("rules"), sum);
    _buf_deinit_ Buf body = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(applied, &body);
    ClientTarget target = {.resource =
                               kinds_resource_rbac_v1_clusterroles(),
                           .name = r->name,
                           .query = STR("fieldManager=clusterrole-aggregation-controller&"
                                        "force=true")};
    client_patch(self->base.client, &target, PATCH_APPLY, buf_view(&body), reconcile_finish, r);
}

// ---- changes

// What aggregates a role, as it was or as it is, is summed up anew.
static void on_role(void *user, const InformerObject *old, const InformerObject *now) {
    Aggregation *self = user;
    Str name = now ? now->name : old->name;
    Aggregator *own = aggregator_new(now);
    aggregator_free(own ? map_put(self->aggregators, name, own)
                        : map_remove(self->aggregators, name));
    if (own)
        controller_enqueue(&self->base, STR(""), name);
    _arena_free_ Arena *arena = arena_new();
    const Value *before = read_role(arena, old), *after = read_role(arena, now);
    MapIter iter = {0};
    while (map_next(self->aggregators, &iter)) {
        const Aggregator *aggregator = iter.value;
        if (aggregator != own && (selects(aggregator, before) || selects(aggregator, after)))
            controller_enqueue(&self->base, STR(""), iter.key);
    }
}

static void stop(Controller *controller) {
    Aggregation *self = (Aggregation *)controller;
    MapIter iter = {0};
    while (map_next(self->aggregators, &iter))
        aggregator_free(iter.value);
    map_free(self->aggregators);
    free(self);
}

Controller *cluster_role_aggregation_start(Controllers *all) {
    static const InformerHandler watch_roles = {.on_change = on_role};
    Aggregation *self = memory_new(Aggregation);
    self->aggregators = map_new();
    controller_init(&self->base, all, "clusterrole-aggregation-controller", 4, reconcile, stop);
    self->roles = controller_informer(
        &self->base, kinds_resource_rbac_v1_clusterroles(), STR(""));
    informer_add_handler(self->roles, &watch_roles, self);
    return &self->base;
}
