#include "controllers/service_backends.h"

#include <assert.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/memory.h"
#include "rules/pod_status.h"

#define LISTENERS_MAX 4
#define ZONE_LABEL STR("topology.kubernetes.io/zone")

struct ServiceBackends {
    Map *pods;     // "namespace/name" -> Entry
    Map *services; // "namespace/name" -> Selection
    Map *pairs;    // "namespace/key=value" -> Pair
    Map *zones;    // node name -> char *
    Controller *listeners[LISTENERS_MAX];
    size_t n_listeners;
};

typedef struct Pair { // a label of pods, or of a selector
    List labels, selections;
    size_t n_labels;
    char key[];
} Pair;

typedef struct Entry Entry;
typedef struct Label {
    ListLink link; // in pair->labels
    Entry *entry;
    Pair *pair;
    Str key, value;
} Label;

struct Entry { // one allocation, with all that it points to
    Backend backend;
    Label *labels;
    size_t n_labels;
};

typedef struct Selection { // a service
    ListLink link;         // in pair->selections
    Pair *pair;
    Str namespace_, name;
    StrMap selector;
} Selection; // one allocation, too

// ---- pairs

static Str pair_key(Arena *arena, Str namespace_, Str key, Str value) {
    return arena_printf(arena, "%.*s/%.*s=%.*s", STR_ARG(namespace_), STR_ARG(key), STR_ARG(value));
}

static Pair *pair_get(ServiceBackends *self, Arena *arena, Str namespace_, Str key, Str value) {
    Str name = pair_key(arena, namespace_, key, value);
    Pair *pair = map_get(self->pairs, name);
    if (pair)
        return pair;
    pair = memory_zalloc(sizeof *pair + name.len + 1);
    list_init(&pair->labels);
    list_init(&pair->selections);
    memcpy(pair->key, name.ptr, name.len);
    map_put(self->pairs, name, pair);
    return pair;
}

static void pair_drop(ServiceBackends *self, Pair *pair) {
    if (!list_is_empty(&pair->labels) || !list_is_empty(&pair->selections))
        return;
    map_remove(self->pairs, str_from(pair->key));
    free(pair);
}

// ---- telling the controllers

static const Str *label_of(const Entry *entry, Str key) {
    for (size_t i = 0; i < entry->n_labels; i++)
        if (str_eq(entry->labels[i].key, key))
            return &entry->labels[i].value;
    return NULL;
}

static bool matches(const StrMap *selector, const Entry *entry) {
    for (size_t i = 0; i < selector->len; i++) {
        const Str *value = label_of(entry, selector->keys[i]);
        if (!value || !str_eq(*value, selector->values[i]))
            return false;
    }
    return true;
}

static void tell_services(ServiceBackends *self, const Entry *entry) {
    for (size_t i = 0; i < entry->n_labels; i++) {
        Selection *selection;
        list_for_each(selection, &entry->labels[i].pair->selections, link) {
            if (!matches(&selection->selector, entry))
                continue;
            for (size_t j = 0; j < self->n_listeners; j++)
                controller_enqueue(self->listeners[j], selection->namespace_, selection->name);
        }
    }
}

// ---- pods

static Str pack(char **at, Str s) {
    char *to = *at;
    memcpy(to, s.ptr ? s.ptr : "", s.len);
    *at += s.len;
    return str_of(to, s.len);
}

static size_t map_text(const StrMap *map) {
    size_t size = 0;
    for (size_t i = 0; i < map->len; i++)
        size += map->keys[i].len + map->values[i].len;
    return size;
}

typedef struct Ports { // named ones of a pod, in an arena
    BackendPort *items;
    size_t n, text;
} Ports;

static void collect_ports(Arena *arena, const Container *containers, size_t n, bool sidecars,
                          Ports *ports) {
    for (size_t i = 0; i < n; i++) {
        if (sidecars && !str_eq(containers[i].restart_policy, STR("Always")))
            continue;
        for (size_t j = 0; j < containers[i].ports.len; j++) {
            const ContainerPort *port = &containers[i].ports.items[j];
            if (!port->name.len)
                continue;
            ports->items = arena_grow(arena, ports->items, ports->n * sizeof *ports->items,
                                      (ports->n + 1) * sizeof *ports->items);
            ports->items[ports->n++] =
                (BackendPort){port->name, port->protocol, port->container_port};
            ports->text += port->name.len + port->protocol.len;
        }
    }
}

static Entry *entry_pack(const InformerObject *object, const Pod *pod, const Ports *ports) {
    const StrMap *labels = &pod->metadata.labels;
    Str texts[] = {object->namespace_,  object->name,       object->uid,        pod->status.pod_ip,
                   pod->spec.node_name, pod->spec.hostname, pod->spec.subdomain};
    size_t n_texts = sizeof texts / sizeof *texts;
    size_t fixed = sizeof(Entry) + labels->len * sizeof(Label) + ports->n * sizeof(BackendPort);
    size_t text = ports->text + map_text(labels);
    for (size_t i = 0; i < n_texts; i++)
        text += texts[i].len;
    Entry *entry = memory_zalloc(fixed + text);
    entry->labels = (Label *)(entry + 1);
    entry->n_labels = labels->len;
    BackendPort *to = (BackendPort *)(entry->labels + labels->len);
    char *at = (char *)entry + fixed;
    for (size_t i = 0; i < n_texts; i++)
        texts[i] = pack(&at, texts[i]);
    for (size_t i = 0; i < ports->n; i++)
        to[i] = (BackendPort){pack(&at, ports->items[i].name), pack(&at, ports->items[i].protocol),
                              ports->items[i].number};
    for (size_t i = 0; i < labels->len; i++) {
        entry->labels[i].key = pack(&at, labels->keys[i]);
        entry->labels[i].value = pack(&at, labels->values[i]);
    }
    entry->backend = (Backend){.namespace_ = texts[0],
                               .name = texts[1],
                               .uid = texts[2],
                               .ip = texts[3],
                               .node_name = texts[4],
                               .hostname = texts[5],
                               .subdomain = texts[6],
                               .ready = pod_is_ready(pod),
                               .terminating = pod->metadata.deletion_timestamp != 0,
                               .terminal = pod_is_terminal(pod),
                               .ports = to,
                               .n_ports = ports->n};
    return entry;
}

static Entry *entry_new(ServiceBackends *self, const InformerObject *object) {
    _arena_free_ Arena *arena = arena_new();
    Pod *pod = arena_new_of(arena, Pod);
    Ports ports = {0};
    if (typed_from_json(arena, kinds_type_Pod(), bytes_str(object->bytes), pod) != 0)
        return NULL;
    collect_ports(arena, pod->spec.containers.items, pod->spec.containers.len, false, &ports);
    collect_ports(arena, pod->spec.init_containers.items, pod->spec.init_containers.len, true,
                  &ports);
    Entry *entry = entry_pack(object, pod, &ports);
    for (size_t i = 0; i < entry->n_labels; i++) {
        Label *label = &entry->labels[i];
        label->entry = entry;
        label->pair = pair_get(self, arena, object->namespace_, label->key, label->value);
        list_append(&label->pair->labels, &label->link);
        label->pair->n_labels++;
    }
    return entry;
}

static void entry_free(ServiceBackends *self, Entry *entry) {
    if (!entry)
        return;
    for (size_t i = 0; i < entry->n_labels; i++) {
        list_remove(&entry->labels[i].link);
        entry->labels[i].pair->n_labels--;
        pair_drop(self, entry->labels[i].pair);
    }
    free(entry);
}

static bool same_labels(const Entry *a, const Entry *b) {
    if (a->n_labels != b->n_labels)
        return false;
    for (size_t i = 0; i < a->n_labels; i++) {
        const Str *value = label_of(b, a->labels[i].key);
        if (!value || !str_eq(*value, a->labels[i].value))
            return false;
    }
    return true;
}

static bool is_same(const Entry *old, const Entry *now) {
    const Backend *a = &old->backend, *b = &now->backend;
    return str_eq(a->uid, b->uid) && str_eq(a->ip, b->ip) && str_eq(a->node_name, b->node_name) &&
           str_eq(a->hostname, b->hostname) && str_eq(a->subdomain, b->subdomain) &&
           a->ready == b->ready && a->terminating == b->terminating && a->terminal == b->terminal &&
           same_labels(old, now);
}

static void on_pod(void *user, const InformerObject *old, const InformerObject *now) {
    ServiceBackends *self = user;
    const InformerObject *object = now ? now : old;
    _arena_free_ Arena *arena = arena_new();
    Str key = arena_printf(arena, "%.*s/%.*s", STR_ARG(object->namespace_), STR_ARG(object->name));
    Entry *entry = now ? entry_new(self, now) : NULL;
    Entry *before = entry ? map_put(self->pods, key, entry) : map_remove(self->pods, key);
    if (!(entry && before && is_same(before, entry))) {
        if (before)
            tell_services(self, before);
        if (entry)
            tell_services(self, entry);
    }
    entry_free(self, before);
}

// ---- services

static void selection_free(ServiceBackends *self, Selection *selection) {
    if (!selection)
        return;
    list_remove(&selection->link);
    pair_drop(self, selection->pair);
    free(selection);
}

static Selection *selection_pack(const InformerObject *object, const StrMap *from) {
    size_t fixed = sizeof(Selection) + 2 * from->len * sizeof(Str);
    Selection *selection =
        memory_zalloc(fixed + object->namespace_.len + object->name.len + map_text(from));
    char *at = (char *)selection + fixed;
    selection->namespace_ = pack(&at, object->namespace_);
    selection->name = pack(&at, object->name);
    selection->selector.keys = (Str *)(selection + 1);
    selection->selector.values = selection->selector.keys + from->len;
    selection->selector.len = from->len;
    for (size_t i = 0; i < from->len; i++) {
        selection->selector.keys[i] = pack(&at, from->keys[i]);
        selection->selector.values[i] = pack(&at, from->values[i]);
    }
    return selection;
}

static Selection *selection_new(ServiceBackends *self, const InformerObject *object) {
    _arena_free_ Arena *arena = arena_new();
    Service *service = arena_new_of(arena, Service);
    if (typed_from_json(arena, kinds_type_Service(), bytes_str(object->bytes), service) != 0 ||
        !service->spec.selector.len)
        return NULL;
    Selection *selection = selection_pack(object, &service->spec.selector);
    const StrMap *selector = &selection->selector;
    size_t rarest = 0, fewest = SIZE_MAX;
    for (size_t i = 0; i < selector->len; i++) {
        Str key = pair_key(arena, object->namespace_, selector->keys[i], selector->values[i]);
        const Pair *pair = map_get(self->pairs, key);
        if ((pair ? pair->n_labels : 0) < fewest) {
            fewest = pair ? pair->n_labels : 0;
            rarest = i;
        }
    }
    selection->pair =
        pair_get(self, arena, object->namespace_, selector->keys[rarest], selector->values[rarest]);
    list_append(&selection->pair->selections, &selection->link);
    return selection;
}

static void on_service(void *user, const InformerObject *old, const InformerObject *now) {
    ServiceBackends *self = user;
    const InformerObject *object = now ? now : old;
    _arena_free_ Arena *arena = arena_new();
    Str key = arena_printf(arena, "%.*s/%.*s", STR_ARG(object->namespace_), STR_ARG(object->name));
    Selection *selection = now ? selection_new(self, now) : NULL;
    selection_free(self, selection ? map_put(self->services, key, selection)
                                   : map_remove(self->services, key));
}

// ---- nodes

static void on_node(void *user, const InformerObject *old, const InformerObject *now) {
    ServiceBackends *self = user;
    if (!now) {
        free(map_remove(self->zones, old->name));
        return;
    }
    _arena_free_ Arena *arena = arena_new();
    Node *node = arena_new_of(arena, Node);
    if (typed_from_json(arena, kinds_type_Node(), bytes_str(now->bytes), node) != 0)
        return;
    Str zone = str_map_get(&node->metadata.labels, ZONE_LABEL);
    const char *known = map_get(self->zones, now->name);
    if (known && str_eq(str_from(known), zone))
        return;
    char *copy = memory_zalloc(zone.len + 1);
    memcpy(copy, zone.ptr ? zone.ptr : "", zone.len);
    free(map_put(self->zones, now->name, copy));
}

bool service_backends_zone(const ServiceBackends *self, Str node_name, Str *ret_zone) {
    const char *zone = map_get(self->zones, node_name);
    *ret_zone = str_from(zone ? zone : "");
    return zone != NULL;
}

// ---- look-ups

void service_backends_each(const ServiceBackends *self, Str namespace_, const StrMap *selector,
                           void (*visit)(void *user, const Backend *backend), void *user) {
    _arena_free_ Arena *arena = arena_new();
    const Pair *rarest = NULL;
    for (size_t i = 0; i < selector->len; i++) {
        Str key = pair_key(arena, namespace_, selector->keys[i], selector->values[i]);
        const Pair *pair = map_get(self->pairs, key);
        if (!pair)
            return;
        if (!rarest || pair->n_labels < rarest->n_labels)
            rarest = pair;
    }
    Label *label;
    if (rarest)
        list_for_each(label, &rarest->labels, link) if (matches(selector, label->entry))
            visit(user, &label->entry->backend);
}

bool backend_counts(const Backend *backend, bool include_terminating) {
    return backend->ip.len && !backend->terminal && (include_terminating || !backend->terminating);
}

bool backend_has_hostname(const Backend *backend, const Service *service) {
    return backend->hostname.len && str_eq(backend->subdomain, service->metadata.name);
}

int32_t backend_port(const Backend *backend, const ServicePort *port) {
    if (!port->target_port.is_set)
        return port->port;
    if (!port->target_port.is_string)
        return port->target_port.integer;
    for (size_t i = 0; i < backend->n_ports; i++)
        if (str_eq(backend->ports[i].name, port->target_port.string) &&
            str_eq(backend->ports[i].protocol, port->protocol))
            return backend->ports[i].number;
    return 0;
}

bool service_is_headless(const Service *service) {
    return !service->spec.cluster_ip.len || str_eq(service->spec.cluster_ip, STR("None"));
}

// ---- life

static void *make(void) {
    ServiceBackends *self = memory_new(ServiceBackends);
    self->pods = map_new();
    self->services = map_new();
    self->pairs = map_new();
    self->zones = map_new();
    return self;
}

static void drop(void *part) {
    ServiceBackends *self = part;
    MapIter pods = {0}, services = {0}, zones = {0};
    while (map_next(self->pods, &pods))
        entry_free(self, pods.value);
    while (map_next(self->services, &services))
        selection_free(self, services.value);
    while (map_next(self->zones, &zones))
        free(zones.value);
    assert(!map_count(self->pairs));
    map_free(self->pods);
    map_free(self->services);
    map_free(self->pairs);
    map_free(self->zones);
    free(self);
}

ServiceBackends *service_backends_join(Controller *controller, Informer **ret_services) {
    static const ControllersPart part = {make, drop};
    static const InformerHandler pods = {.on_change = on_pod}, services = {.on_change = on_service},
                                 nodes = {.on_change = on_node};
    bool is_new;
    ServiceBackends *self = controllers_part(controller->all, &part, &is_new);
    Informer *pod_informer =
        controller_informer(controller, kinds_resource_core_v1_pods(), STR(""));
    *ret_services = controller_informer(controller, kinds_resource_core_v1_services(), STR(""));
    Informer *node_informer =
        controller_informer(controller, kinds_resource_core_v1_nodes(), STR(""));
    assert(self->n_listeners < LISTENERS_MAX);
    self->listeners[self->n_listeners++] = controller;
    if (!is_new)
        return self;
    informer_add_handler(*ret_services, &services, self);
    informer_add_handler(pod_informer, &pods, self);
    informer_add_handler(node_informer, &nodes, self);
    return self;
}
