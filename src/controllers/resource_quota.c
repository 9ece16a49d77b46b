// Keeps the status of ResourceQuotas: puts spec.hard in force, and adds up what is used when a quota
// is new or changed, and when something that it counts has gone. What is created the API server
// charges itself (admission); what it charged and then did not write is found a few seconds later.
// https://kubernetes.io/docs/concepts/policy/resource-quotas/
// (kube-controller-manager's pkg/controller/resourcequota)

#include <stdlib.h>

#include "base/memory.h"
#include "controllers/kind_index.h"
#include "kinds/tree.h"
#include "rules/quota.h"

#define GATHER (100 * NSEC_PER_MSEC) // several deletions are one calculation
#define RECHECK (5 * NSEC_PER_SEC)   // after a quota was charged

typedef struct QuotaController {
    Controller base;
    Informer *quotas;
    InformerIndex *by_namespace; // of quotas
    KindIndex *kinds;
    List monitors;
} QuotaController;

typedef struct Monitor { // of a kind that some quota counts
    ListLink link;
    QuotaController *self;
    const Resource *resource;
    QuotaKind kind;
    bool whole; // the objects themselves matter, not only how many there are
    bool own;   // the informer
    Informer *informer;
    InformerIndex *by_namespace;
} Monitor;

static void emit_namespace(const InformerObject *object, InformerEmit emit, void *emit_user) {
    emit(emit_user, object->namespace_);
}

static Value *parse(Arena *arena, const InformerObject *object) {
    Value *value = NULL;
    ParseError error;
    Str json = object->bytes ? arena_str(arena, bytes_str(object->bytes)) : STR("{}");
    return value_parse_json(arena, json, NULL, &value, &error) == 0 ? value
                                                                    : value_new_object(arena);
}

// ---- what sets it off

typedef struct Due {
    QuotaController *self;
    int64_t delay;
} Due;

static void enqueue_quota(void *user, const InformerObject *quota) {
    const Due *due = user;
    controller_enqueue_after(&due->self->base, quota->namespace_, quota->name, due->delay);
}

static void has_one(void *user, const InformerObject *quota) {
    *(bool *)user = true;
}

// Whether a change of an object is one of what it uses.
static bool changes_usage(const Monitor *monitor, const InformerObject *old,
                          const InformerObject *now) {
    if (!monitor->whole)
        return false;
    _arena_free_ Arena *arena = arena_new();
    int64_t time = loop_wall(monitor->self->base.loop);
    ResourceAmounts before = quota_usage(arena, &monitor->kind, parse(arena, old), time);
    ResourceAmounts after = quota_usage(arena, &monitor->kind, parse(arena, now), time);
    return !quota_amounts_equal(&before, &after);
}

static void on_object(void *user, const InformerObject *old, const InformerObject *now) {
    const Monitor *monitor = user;
    bool counted = false;
    if (!old) // charged by the API server
        return;
    informer_index_each(monitor->self->by_namespace, old->namespace_, has_one, &counted);
    if (!counted || (now && !changes_usage(monitor, old, now)))
        return;
    informer_index_each(monitor->self->by_namespace, old->namespace_, enqueue_quota,
                        &(Due){monitor->self, GATHER});
}

static bool same_spec(const InformerObject *old, const InformerObject *now) {
    _arena_free_ Arena *arena = arena_new();
    const Value *a = value_get(parse(arena, old), STR("spec"));
    const Value *b = value_get(parse(arena, now), STR("spec"));
    return a == b || (a && b && value_equal(a, b));
}

static void on_quota(void *user, const InformerObject *old, const InformerObject *now) {
    QuotaController *self = user;
    if (now)
        controller_enqueue_after(&self->base, now->namespace_, now->name,
                                 old && same_spec(old, now) ? RECHECK : 0);
}

// ---- monitors

static void monitor_start(Monitor *monitor, Informer *informer) {
    static const InformerHandler handler = {.on_change = on_object};
    monitor->informer = informer;
    monitor->by_namespace = informer_add_index(informer, emit_namespace);
    informer_add_handler(informer, &handler, monitor);
}

static Monitor *monitor_new(QuotaController *self, const Resource *resource) {
    Monitor *monitor = memory_new(Monitor);
    monitor->self = self;
    monitor->resource = resource;
    monitor->kind = (QuotaKind){resource->group, resource->plural};
    list_append(&self->monitors, &monitor->link);
    return monitor;
}

// Pods, services and claims count for more than their number, so the objects themselves are needed.
static bool is_whole(const QuotaKind *kind) {
    return !kind->group.len &&
           (str_eq(kind->plural, STR("pods")) || str_eq(kind->plural, STR("services")) ||
            str_eq(kind->plural, STR("persistentvolumeclaims")));
}

static Monitor *monitor_make(QuotaController *self, const Resource *resource) {
    Monitor *monitor = monitor_new(self, resource);
    monitor->whole = is_whole(&monitor->kind);
    monitor->own = !monitor->whole;
    if (monitor->whole) {
        monitor_start(monitor, controller_informer(&self->base, resource, STR("")));
        return monitor;
    }
    monitor_start(monitor, informer_new_light(self->base.client, resource));
    controller_wait_for(&self->base, monitor->informer);
    return monitor;
}

static void monitor_free(Monitor *monitor) {
    list_remove(&monitor->link);
    if (monitor->own)
        informer_free(monitor->informer);
    free(monitor);
}

static const Resource *resource_of(const QuotaController *self, const QuotaKind *kind) {
    const Resource *resource;
    for (size_t i = 0; (resource = kind_index_at(self->kinds, i)); i++) {
        if (resource->namespaced && str_eq(resource->group, kind->group) &&
            str_eq(resource->plural, kind->plural))
            return resource;
    }
    return NULL;
}

// The monitor of a kind, made when there is none; NULL when there is no such kind.
static Monitor *monitor_of(QuotaController *self, const QuotaKind *kind, bool *ret_new) {
    Monitor *monitor;
    list_for_each(monitor, &self->monitors, link) {
        if (str_eq(monitor->kind.group, kind->group) && str_eq(monitor->kind.plural, kind->plural))
            return monitor;
    }
    const Resource *resource = resource_of(self, kind);
    if (resource)
        *ret_new = true;
    return resource ? monitor_make(self, resource) : NULL;
}

static void on_kind_removed(void *user, const Resource *resource) {
    QuotaController *self = user;
    Monitor *monitor;
    list_for_each(monitor, &self->monitors, link) {
        if (monitor->resource == resource && monitor->own)
            monitor_free(monitor);
    }
}

static void on_kind_added(void *user, const Resource *resource) {
    QuotaController *self = user;
    informer_each(self->quotas, STR(""), enqueue_quota, &(Due){self, 0});
}

// ---- adding up

typedef struct Sum {
    Arena *arena;
    const Monitor *monitor;
    const Value *quota;
    bool scoped;
    ResourceAmounts *used; // the names that count, with what they have come to
    int64_t now;
} Sum;

static void add_usage(Sum *sum, const ResourceAmounts *usage) {
    for (size_t i = 0; i < sum->used->n; i++) {
        ResourceAmount *amount = &sum->used->items[i];
        Quantity more;
        if (resource_amounts_get(usage, amount->name, &more))
            amount->quantity = quantity_add(amount->quantity, more);
    }
}

static void add_object(void *user, const InformerObject *object) {
    Sum *sum = user;
    const Monitor *monitor = sum->monitor;
    _arena_free_ Arena *arena = arena_new();
    const Value *value = monitor->whole ? parse(arena, object) : NULL;
    if (sum->scoped && !quota_scopes_match(arena, &monitor->kind, sum->quota, value))
        return;
    ResourceAmounts usage = quota_usage(arena, &monitor->kind, value, sum->now);
    add_usage(sum, &usage);
}

static void add_kind(QuotaController *self, Reconcile *r, const Monitor *monitor,
                     const Value *quota, ResourceAmounts *used) {
    ResourceAmounts names = {arena_array_of(r->arena, ResourceAmount, used->n + 1), 0};
    for (size_t i = 0; i < used->n; i++) {
        if (quota_names_kind(r->arena, &monitor->kind, used->items[i].name))
            names.items[names.n++] = used->items[i];
    }
    Sum sum = {
        .arena = r->arena,
        .monitor = monitor,
        .quota = quota,
        .scoped = tree_count(quota, "spec.scopes") ||
                  value_at(quota, "spec.scopeSelector"),
        .used = &names,
        .now = loop_wall(self->base.loop),
    };
    informer_index_each(monitor->by_namespace, r->namespace_, add_object, &sum);
    for (size_t i = 0, j = 0; i < used->n && j < names.n; i++) {
        if (str_eq(used->items[i].name, names.items[j].name))
            used->items[i] = names.items[j++];
    }
}

// The names of spec.hard that can be counted, at zero; *ret_new when an informer must sync first.
static ResourceAmounts names_at_zero(QuotaController *self, Reconcile *r, const Value *quota,
                                     bool *ret_new) {
    const Value *hard = value_at(quota, "spec.hard");
    ResourceAmounts used = {
        arena_array_of(r->arena, ResourceAmount, tree_count(quota, "spec.hard") + 1), 0};
    for (uint32_t i = 0; i < tree_count(quota, "spec.hard"); i++) {
        QuotaKind kind;
        Str name = hard->members[i].key;
        if (quota_kind_of_name(r->arena, name, &kind) && monitor_of(self, &kind, ret_new))
            used.items[used.n++] =
                (ResourceAmount){name, quantity_from_int(0, QUANTITY_DECIMAL_SI)};
    }
    return used;
}

static void write_status(QuotaController *self, Reconcile *r, Value *quota,
                         const ResourceAmounts *hard, const ResourceAmounts *used) {
    Value *status = value_at_make(r->arena, quota, "status");
    value_set(r->arena, status, STR("hard"), quota_amounts_value(r->arena, hard));
    value_set(r->arena, status, STR("used"), quota_amounts_value(r->arena, used));
    _buf_deinit_ Buf body = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(quota, &body);
    ClientTarget target = {.resource = kinds_resource_core_v1_resourcequotas(),
                           .namespace_ = r->namespace_,
                           .name = r->name,
                           .subresource = STR("status")};
    client_update(self->base.client, &target, buf_view(&body), reconcile_finish, r);
}

static void reconcile(Reconcile *r) {
    QuotaController *self = (QuotaController *)r->controller;
    const InformerObject *object = informer_get(self->quotas, r->namespace_, r->name);
    bool is_new = false;
    if (!object) {
        reconcile_done(r, false);
        return;
    }
    Value *quota = parse(r->arena, object);
    ResourceAmounts used = names_at_zero(self, r, quota, &is_new);
    if (is_new) { // the queue rests until the new informer is synced
        controller_enqueue(&self->base, r->namespace_, r->name);
        reconcile_done(r, false);
        return;
    }
    Monitor *monitor;
    list_for_each(monitor, &self->monitors, link) add_kind(self, r, monitor, quota, &used);
    ResourceAmounts hard = quota_amounts(r->arena, value_at(quota, "spec.hard"));
    ResourceAmounts hard_now = quota_amounts(r->arena, value_at(quota, "status.hard"));
    ResourceAmounts used_now = quota_amounts(r->arena, value_at(quota, "status.used"));
    if (value_at(quota, "status.hard") && quota_amounts_equal(&hard, &hard_now) &&
        quota_amounts_equal(&used, &used_now))
        reconcile_done(r, false);
    else
        write_status(self, r, quota, &hard, &used);
}

static void stop(Controller *controller) {
    QuotaController *self = (QuotaController *)controller;
    Monitor *monitor;
    list_for_each(monitor, &self->monitors, link) monitor_free(monitor);
    free(self);
}

Controller *resource_quota_controller_start(Controllers *all) {
    static const KindListener kinds = {.on_added = on_kind_added, .on_removed = on_kind_removed};
    static const InformerHandler handler = {.on_change = on_quota};
    QuotaController *self = memory_new(QuotaController);
    list_init(&self->monitors);
    controller_init(&self->base, all, "resourcequota-controller", 5, reconcile, stop);
    self->quotas =
        controller_informer(&self->base, kinds_resource_core_v1_resourcequotas(), STR(""));
    self->by_namespace = informer_add_index(self->quotas, emit_namespace);
    informer_add_handler(self->quotas, &handler, self);
    self->kinds = kind_index_of(&self->base);
    kind_index_listen(self->kinds, &kinds, self);
    return &self->base;
}
