// The pods behind each service with a selector, as Endpoints, the older form of EndpointSlices.
// Upstream's pkg/controller/endpoint.
#include <stdlib.h>

#include "base/memory.h"
#include "controllers/endpoint_slice_plan.h"
#include "controllers/service_backends.h"

#define CAPACITY 1000
#define OVER_CAPACITY STR("endpoints.kubernetes.io/over-capacity")
#define TRIGGER_TIME STR("endpoints.kubernetes.io/last-change-trigger-time")
#define MANAGED_BY STR("endpoints.kubernetes.io/managed-by")
#define LEADER STR("control-plane.alpha.kubernetes.io/leader")

typedef struct EndpointsController {
    Controller base;
    ServiceBackends *backends;
    Informer *services, *endpoints;
} EndpointsController;

typedef struct Gather {
    Arena *arena;
    const Service *service;
    EndpointSubset *subsets;
    size_t n;
} Gather;

// ---- subsets: addresses with equal ports

static EndpointPort *ports_of(Gather *gather, const Backend *backend, size_t *ret_n) {
    const Service *service = gather->service;
    EndpointPort *ports = arena_array_of(gather->arena, EndpointPort, service->spec.ports.len + 1);
    *ret_n = 0;
    for (size_t i = 0; i < service->spec.ports.len; i++) {
        const ServicePort *port = &service->spec.ports.items[i];
        int32_t number = backend_port(backend, port);
        if (number)
            ports[(*ret_n)++] = (EndpointPort){.name = port->name,
                                               .port = number,
                                               .protocol = port->protocol,
                                               .app_protocol = port->app_protocol};
    }
    return ports;
}

static bool same_port(const EndpointPort *a, const EndpointPort *b) {
    return str_eq(a->name, b->name) && a->port == b->port && str_eq(a->protocol, b->protocol) &&
           str_eq(a->app_protocol, b->app_protocol);
}

static bool same_ports(const EndpointSubset *subset, const EndpointPort *ports, size_t n) {
    if (subset->ports.len != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!same_port(&subset->ports.items[i], &ports[i]))
            return false;
    return true;
}

static EndpointSubset *subset_of(Gather *gather, EndpointPort *ports, size_t n) {
    for (size_t i = 0; i < gather->n; i++)
        if (same_ports(&gather->subsets[i], ports, n))
            return &gather->subsets[i];
    size_t old = gather->n * sizeof(EndpointSubset);
    gather->subsets = arena_grow(gather->arena, gather->subsets, old, old + sizeof(EndpointSubset));
    EndpointSubset *subset = &gather->subsets[gather->n++];
    *subset = (EndpointSubset){0};
    subset->ports.items = ports;
    subset->ports.len = n;
    return subset;
}

static void add_backend(void *user, const Backend *backend) {
    Gather *gather = user;
    const Service *service = gather->service;
    bool all = service->spec.publish_not_ready_addresses;
    size_t n_ports;
    if (!backend_counts(backend, all))
        return;
    EndpointPort *ports = ports_of(gather, backend, &n_ports);
    if (!n_ports && (service->spec.ports.len || !str_eq(service->spec.cluster_ip, STR("None"))))
        return;
    EndpointSubset *subset = subset_of(gather, ports, n_ports);
    ObjectReference *target = arena_new_of(gather->arena, ObjectReference);
    *target = (ObjectReference){.kind = STR("Pod"),
                                .namespace = backend->namespace_,
                                .name = backend->name,
                                .uid = backend->uid};
    EndpointAddress address = {.ip = backend->ip, .target_ref = target};
    if (backend->node_name.len)
        address.node_name = backend->node_name;
    if (backend_has_hostname(backend, service))
        address.hostname = backend->hostname;
    bool ready = all || backend->ready;
    size_t *n = ready ? &subset->addresses.len : &subset->not_ready_addresses.len;
    EndpointAddress **items = ready ? &subset->addresses.items : &subset->not_ready_addresses.items;
    if ((*n & (*n - 1)) == 0) // full at powers of two
        *items = arena_grow(gather->arena, *items, *n * sizeof address,
                            (*n ? 2 * *n : 1) * sizeof address);
    (*items)[(*n)++] = address;
}

// The order in which upstream sorts addresses: by IP as text, then uid.
static int by_address(const void *a, const void *b) {
    const EndpointAddress *x = a, *y = b;
    int order = str_cmp(x->ip, y->ip);
    return order || !x->target_ref || !y->target_ref
               ? order
               : str_cmp(x->target_ref->uid, y->target_ref->uid);
}

static void sort_subsets(Gather *gather) {
    for (size_t i = 0; i < gather->n; i++) {
        EndpointSubset *s = &gather->subsets[i];
        if (s->addresses.len)
            qsort(s->addresses.items, s->addresses.len, sizeof(EndpointAddress), by_address);
        if (s->not_ready_addresses.len)
            qsort(s->not_ready_addresses.items, s->not_ready_addresses.len, sizeof(EndpointAddress),
                  by_address);
    }
}

// At most CAPACITY addresses, ready ones first, each subset its share; upstream's
// truncateEndpoints. True when some were left out.
static bool truncate_subsets(Gather *gather) {
    size_t ready = 0, not_ready = 0;
    for (size_t i = 0; i < gather->n; i++) {
        ready += gather->subsets[i].addresses.len;
        not_ready += gather->subsets[i].not_ready_addresses.len;
    }
    if (ready + not_ready <= CAPACITY)
        return false;
    bool cut_ready = ready > CAPACITY;
    size_t room = cut_ready ? CAPACITY : CAPACITY - ready;
    size_t total = cut_ready ? ready : not_ready, left = room;
    for (size_t i = 0; i < gather->n; i++) {
        EndpointSubset *s = &gather->subsets[i];
        size_t *len = cut_ready ? &s->addresses.len : &s->not_ready_addresses.len;
        size_t share = (*len * room + total - 1) / total;
        share = share > left ? left : share;
        *len = *len < share ? *len : share;
        left -= *len;
        if (cut_ready)
            s->not_ready_addresses.len = 0;
    }
    return true;
}

// ---- the object

static bool same_address(const EndpointAddress *a, const EndpointAddress *b) {
    Str x = a->target_ref ? a->target_ref->uid : STR(""),
        y = b->target_ref ? b->target_ref->uid : STR("");
    return str_eq(a->ip, b->ip) && str_eq(a->hostname, b->hostname) &&
           str_eq(a->node_name, b->node_name) && str_eq(x, y);
}

static bool same_addresses(const EndpointAddress *a, size_t n_a, const EndpointAddress *b,
                           size_t n_b) {
    if (n_a != n_b)
        return false;
    for (size_t i = 0; i < n_a; i++)
        if (!same_address(&a[i], &b[i]))
            return false;
    return true;
}

static bool same_subset(const EndpointSubset *a, const EndpointSubset *b) {
    return same_ports(a, b->ports.items, b->ports.len) &&
           same_addresses(a->addresses.items, a->addresses.len, b->addresses.items,
                          b->addresses.len) &&
           same_addresses(a->not_ready_addresses.items, a->not_ready_addresses.len,
                          b->not_ready_addresses.items, b->not_ready_addresses.len);
}

static bool same_subsets(const Endpoints *endpoints, const Gather *gather) {
    if (endpoints->subsets.len != gather->n)
        return false;
    for (size_t i = 0; i < gather->n; i++) {
        size_t j = 0;
        while (j < gather->n && !same_subset(&endpoints->subsets.items[i], &gather->subsets[j]))
            j++;
        if (j == gather->n)
            return false;
    }
    return true;
}

static bool same_labels(const StrMap *a, const StrMap *b) {
    if (a->len != b->len)
        return false;
    for (size_t i = 0; i < a->len; i++) {
        Str value = str_map_get(b, a->keys[i]);
        if (!value.ptr || !str_eq(value, a->values[i]))
            return false;
    }
    return true;
}

static StrMap labels_of(Arena *arena, const Service *service) {
    const StrMap *from = &service->metadata.labels;
    StrMap labels = {0};
    for (size_t i = 0; i < from->len; i++)
        if (!str_eq(from->keys[i], HEADLESS_LABEL))
            slice_map_set(arena, &labels, from->keys[i], from->values[i]);
    if (service_is_headless(service))
        slice_map_set(arena, &labels, HEADLESS_LABEL, STR(""));
    slice_map_set(arena, &labels, MANAGED_BY, STR("endpoint-controller"));
    return labels;
}

static StrMap annotations_of(Arena *arena, const Endpoints *old, bool truncated) {
    StrMap annotations = {0};
    for (size_t i = 0; old && i < old->metadata.annotations.len; i++) {
        Str key = old->metadata.annotations.keys[i];
        if (!str_eq(key, OVER_CAPACITY) && !str_eq(key, TRIGGER_TIME))
            slice_map_set(arena, &annotations, key, old->metadata.annotations.values[i]);
    }
    if (truncated)
        slice_map_set(arena, &annotations, OVER_CAPACITY, STR("truncated"));
    return annotations;
}

static void on_written(void *user, const ClientResult *result) {
    Reconcile *r = user;
    if (result->code == 403) // the namespace ends, and this with it
        reconcile_done(r, false);
    else
        reconcile_finish(r, result);
}

static void write_endpoints(Reconcile *r, const Service *service, Endpoints *old, Gather *gather) {
    bool truncated = truncate_subsets(gather);
    StrMap labels = labels_of(r->arena, service);
    bool marked = old && str_map_get(&old->metadata.annotations, OVER_CAPACITY).ptr;
    if (old && same_subsets(old, gather) && same_labels(&old->metadata.labels, &labels) &&
        marked == truncated) {
        reconcile_done(r, false);
        return;
    }
    Endpoints *wanted = arena_new_of(r->arena, Endpoints);
    if (old)
        wanted->metadata = old->metadata;
    wanted->api_version = STR("v1");
    wanted->kind = STR("Endpoints");
    wanted->metadata.name = r->name;
    wanted->metadata.namespace = r->namespace_;
    wanted->metadata.annotations = annotations_of(r->arena, old, truncated);
    wanted->metadata.labels = labels;
    wanted->subsets.items = gather->subsets;
    wanted->subsets.len = gather->n;
    _buf_deinit_ Buf body = BUF_INIT(VALUE_MAX_BYTES);
    typed_write_json(kinds_type_Endpoints(), wanted, &body);
    ClientTarget target = {.resource = kinds_resource_core_v1_endpoints(),
                           .namespace_ = r->namespace_,
                           .name = old ? r->name : STR("")};
    if (old)
        client_update(r->controller->client, &target, buf_view(&body), on_written, r);
    else
        client_create(r->controller->client, &target, buf_view(&body), on_written, r);
}

static void reconcile(Reconcile *r) {
    EndpointsController *self = (EndpointsController *)r->controller;
    Service *service =
        reconcile_object(r, self->services, r->namespace_, r->name, kinds_type_Service());
    Endpoints *old =
        reconcile_object(r, self->endpoints, r->namespace_, r->name, kinds_type_Endpoints());
    if (!service && old && !str_map_get(&old->metadata.annotations, LEADER).ptr) {
        ClientTarget target = {.resource = kinds_resource_core_v1_endpoints(),
                               .namespace_ = r->namespace_,
                               .name = r->name};
        client_delete(self->base.client, &target, STR(""), reconcile_finish, r);
        return;
    }
    if (!service || !service->spec.selector.len ||
        str_eq(service->spec.type, STR("ExternalName"))) {
        reconcile_done(r, false);
        return;
    }
    Gather gather = {.arena = r->arena, .service = service};
    service_backends_each(self->backends, r->namespace_, &service->spec.selector, add_backend,
                          &gather);
    sort_subsets(&gather);
    write_endpoints(r, service, old, &gather);
}

// Somebody removed them, or their service went while nobody looked. Those that a user made before
// the service stay.
static void on_endpoints(void *user, const InformerObject *old, const InformerObject *now) {
    _arena_free_ Arena *arena = arena_new();
    Endpoints *endpoints = arena_new_of(arena, Endpoints);
    if (old && now)
        return;
    if (now &&
        (typed_from_json(arena, kinds_type_Endpoints(), bytes_str(now->bytes), endpoints) != 0 ||
         !str_map_get(&endpoints->metadata.labels, MANAGED_BY).ptr))
        return;
    controller_enqueue(user, now ? now->namespace_ : old->namespace_, now ? now->name : old->name);
}

static void stop(Controller *controller) {
    free(controller);
}

Controller *endpoints_controller_start(Controllers *all) {
    static const InformerHandler watch_endpoints = {.on_change = on_endpoints};
    EndpointsController *self = memory_new(EndpointsController);
    controller_init(&self->base, all, "endpoint-controller", 5, reconcile, stop);
    self->backends = service_backends_join(&self->base, &self->services);
    self->endpoints = controller_informer(&self->base, kinds_resource_core_v1_endpoints(), STR(""));
    controller_follow(&self->base, self->services);
    informer_add_handler(self->endpoints, &watch_endpoints, self);
    return &self->base;
}
