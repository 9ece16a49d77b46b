// Gives services of type LoadBalancer their addresses: those of the nodes, whose proxies take the
// traffic in. Services with a loadBalancerClass are left to others.
// https://kubernetes.io/docs/concepts/services-networking/service/#loadbalancer
#include <stdlib.h>

#include "base/map.h"
#include "base/memory.h"
#include "controllers/frame.h"

#define EXCLUDED STR("node.kubernetes.io/exclude-from-external-load-balancers")

typedef struct LoadBalancerController {
    Controller base;
    Informer *services, *nodes;
    Map *addresses; // of nodes that take traffic: name -> char *
} LoadBalancerController;

// ---- nodes

static bool is_ready(const Node *node) {
    for (size_t i = 0; i < node->status.conditions.len; i++)
        if (str_eq(node->status.conditions.items[i].type, STR("Ready")))
            return str_eq(node->status.conditions.items[i].status, STR("True"));
    return false;
}

// The external address where the node has one. Nobody else could reach a loopback.
static Str address_of(const Node *node) {
    Str internal = STR("");
    for (size_t i = 0; i < node->status.addresses.len; i++) {
        const NodeAddress *address = &node->status.addresses.items[i];
        if (str_starts_with(address->address, STR("127.")) || str_find(address->address, ':') >= 0)
            continue;
        if (str_eq(address->type, STR("ExternalIP")))
            return address->address;
        if (str_eq(address->type, STR("InternalIP")) && !internal.len)
            internal = address->address;
    }
    return internal;
}

static Str takes_traffic_at(const Node *node) {
    if (node->metadata.deletion_timestamp || !is_ready(node) ||
        str_map_get(&node->metadata.labels, EXCLUDED).ptr)
        return STR("");
    return address_of(node);
}

static void enqueue_service(void *user, const InformerObject *object) {
    controller_enqueue(user, object->namespace_, object->name);
}

// Heartbeats change nothing.
static void on_node(void *user, const InformerObject *old, const InformerObject *now) {
    LoadBalancerController *self = user;
    _arena_free_ Arena *arena = arena_new();
    Node *node = arena_new_of(arena, Node);
    Str address = STR(""), name = now ? now->name : old->name;
    if (now && typed_from_json(arena, kinds_type_Node(), bytes_str(now->bytes), node) == 0)
        address = takes_traffic_at(node);
    const char *known = map_get(self->addresses, name);
    if (str_eq(str_from(known ? known : ""), address))
        return;
    free(map_remove(self->addresses, name));
    if (address.len) {
        char *copy = memory_zalloc(address.len + 1);
        memcpy(copy, address.ptr, address.len);
        map_put(self->addresses, name, copy);
    }
    informer_each(self->services, STR(""), enqueue_service, self);
}

// ---- services

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static size_t wanted_addresses(const LoadBalancerController *self, Arena *arena,
                               const char ***ret) {
    MapIter iter = {0};
    size_t n = 0;
    *ret = arena_array_of(arena, const char *, map_count(self->addresses) + 1);
    while (map_next(self->addresses, &iter))
        (*ret)[n++] = iter.value;
    qsort(*ret, n, sizeof **ret, by_text);
    return n;
}

static bool has_them(const Service *service, const char **addresses, size_t n) {
    if (service->status.load_balancer.ingress.len != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!str_eq(service->status.load_balancer.ingress.items[i].ip, str_from(addresses[i])))
            return false;
    return true;
}

static void write_status(Reconcile *r, const char **addresses, size_t n) {
    Arena *arena = r->arena;
    Value *patch = value_new_object(arena),
          *list = n ? value_new_array(arena) : value_new_null(arena);
    for (size_t i = 0; i < n; i++) {
        Value *ingress = value_new_object(arena);
        value_set_str(arena, ingress, STR("ip"), str_from(addresses[i]));
        value_set_str(arena, ingress, STR("ipMode"), STR("VIP"));
        value_push(arena, list, ingress);
    }
    value_set(arena, value_at_make(arena, patch, "status.loadBalancer"), STR("ingress"), list);
    _buf_deinit_ Buf body = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(patch, &body);
    ClientTarget target = {.resource = kinds_resource_core_v1_services(),
                           .namespace_ = r->namespace_,
                           .name = r->name,
                           .subresource = STR("status")};
    client_patch(r->controller->client, &target, PATCH_MERGE, buf_view(&body), reconcile_finish, r);
}

static void reconcile(Reconcile *r) {
    LoadBalancerController *self = (LoadBalancerController *)r->controller;
    Service *service =
        reconcile_object(r, self->services, r->namespace_, r->name, kinds_type_Service());
    bool balanced = service && str_eq(service->spec.type, STR("LoadBalancer"));
    if (!service || service->metadata.deletion_timestamp ||
        (balanced && service->spec.load_balancer_class.len)) {
        reconcile_done(r, false);
        return;
    }
    const char **addresses = NULL;
    size_t n = balanced ? wanted_addresses(self, r->arena, &addresses) : 0;
    if (has_them(service, addresses, n))
        reconcile_done(r, false);
    else
        write_status(r, addresses, n);
}

static void stop(Controller *controller) {
    LoadBalancerController *self = (LoadBalancerController *)controller;
    MapIter iter = {0};
    while (map_next(self->addresses, &iter))
        free(iter.value);
    map_free(self->addresses);
    free(self);
}

Controller *load_balancer_controller_start(Controllers *all) {
    static const InformerHandler nodes = {.on_change = on_node};
    LoadBalancerController *self = memory_new(LoadBalancerController);
    self->addresses = map_new();
    controller_init(&self->base, all, "service-controller", 1, reconcile, stop);
    self->services = controller_informer(&self->base, kinds_resource_core_v1_services(), STR(""));
    self->nodes = controller_informer(&self->base, kinds_resource_core_v1_nodes(), STR(""));
    informer_add_handler(self->nodes, &nodes, self);
    controller_follow(&self->base, self->services);
    return &self->base;
}
