#include "api/auth/node_graph.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/memory.h"
#include "schema/json_scan.h"

typedef struct Edge { // from a node to an object; shared by the node's pods
    Str key;          // in `text`
    uint32_t count;
    char text[];
} Edge;

typedef struct PodEdges {
    size_t n;
    Edge *edges[];
} PodEdges;

typedef struct Volumes { // whose secret it is
    Str *names;
    size_t n;
} Volumes;

struct NodeGraph {
    Api *api;
    size_t node_field; // of spec.nodeName in a pod's fields
    Map *edges;        // "NODE KIND NAMESPACE/NAME" -> Edge
    Map *pods;         // key -> PodEdges
    Map *secrets;      // "NAMESPACE/NAME" -> Volumes
};

// ---- what a pod refers to

typedef struct Collector {
    NodeGraph *graph;
    Str node, namespace_;
    Edge **edges;
    size_t n;
} Collector;

#define KEY_MAX 1024

static Str edge_key(char *buffer, Str node, NodeReference kind, Str namespace_, Str name) {
    int n = snprintf(buffer, KEY_MAX, "%.*s %d %.*s/%.*s", STR_ARG(node), (int)kind,
                     STR_ARG(namespace_), STR_ARG(name));
    return n > 0 && n < KEY_MAX ? str_of(buffer, (size_t)n) : STR_NONE;
}

static void refer(Collector *collector, NodeReference kind, Str name) {
    char buffer[KEY_MAX];
    if (!name.len)
        return;
    Str key = edge_key(buffer, collector->node, kind, collector->namespace_, name);
    if (!key.len)
        return;
    Edge *edge = map_get(collector->graph->edges, key);
    if (!edge) {
        edge = memory_zalloc(sizeof *edge + key.len);
        memcpy(edge->text, key.ptr, key.len);
        edge->key = str_of(edge->text, key.len);
        map_put(collector->graph->edges, edge->key, edge);
    }
    edge->count++;
    collector->edges = memory_resize_array(collector->edges, collector->n + 1, sizeof(Edge *));
    collector->edges[collector->n++] = edge;
}

static void refer_at(Collector *collector, NodeReference kind, const Value *value,
                     const char *path) {
    refer(collector, kind, value_string_at(value, path));
}

// Drivers that authenticate: the secret stands under different names.
static const char *const volume_secrets[] = {
    "csi.nodePublishSecretRef.name", "cephfs.secretRef.name",     "rbd.secretRef.name",
    "iscsi.secretRef.name",          "flexVolume.secretRef.name", "azureFile.secretName",
    "scaleIO.secretRef.name",        "storageos.secretRef.name",  "secret.secretName"};

static void collect_volume(Collector *collector, const Value *volume, Str pod) {
    for (size_t i = 0; i < sizeof volume_secrets / sizeof *volume_secrets; i++)
        refer_at(collector, NODE_SECRET, volume, volume_secrets[i]);
    refer_at(collector, NODE_CONFIG_MAP, volume, "configMap.name");
    refer_at(collector, NODE_CLAIM, volume, "persistentVolumeClaim.claimName");
    const Value *sources = value_at(volume, "projected.sources");
    for (uint32_t i = 0; sources && sources->kind == VALUE_ARRAY && i < sources->n; i++) {
        refer_at(collector, NODE_SECRET, sources->items[i], "secret.name");
        refer_at(collector, NODE_CONFIG_MAP, sources->items[i], "configMap.name");
    }
    if (!value_get(volume, STR("ephemeral")))
        return;
    char claim[600]; // pods and volumes have names of at most 253 and 63 characters
    int n = snprintf(claim, sizeof claim, "%.*s-%.*s", STR_ARG(pod),
                     STR_ARG(value_string_at(volume, "name")));
    if (n > 0 && (size_t)n < sizeof claim)
        refer(collector, NODE_CLAIM, str_of(claim, (size_t)n));
}

static void collect_container(Collector *collector, const Value *container) {
    const Value *env = value_get(container, STR("env")),
                *from = value_get(container, STR("envFrom"));
    for (uint32_t i = 0; env && env->kind == VALUE_ARRAY && i < env->n; i++) {
        refer_at(collector, NODE_SECRET, env->items[i], "valueFrom.secretKeyRef.name");
        refer_at(collector, NODE_CONFIG_MAP, env->items[i], "valueFrom.configMapKeyRef.name");
    }
    for (uint32_t i = 0; from && from->kind == VALUE_ARRAY && i < from->n; i++) {
        refer_at(collector, NODE_SECRET, from->items[i], "secretRef.name");
        refer_at(collector, NODE_CONFIG_MAP, from->items[i], "configMapRef.name");
    }
}

static void collect(Collector *collector, const Value *pod) {
    static const char *const lists[] = {"spec.containers", "spec.initContainers",
                                        "spec.ephemeralContainers"};
    Str name = value_string_at(pod, "metadata.name");
    refer_at(collector, NODE_SERVICE_ACCOUNT, pod, "spec.serviceAccountName");
    const Value *volumes = value_at(pod, "spec.volumes");
    for (uint32_t i = 0; volumes && i < volumes->n; i++)
        collect_volume(collector, volumes->items[i], name);
    const Value *pull = value_at(pod, "spec.imagePullSecrets");
    for (uint32_t i = 0; pull && i < pull->n; i++)
        refer_at(collector, NODE_SECRET, pull->items[i], "name");
    for (size_t list = 0; list < sizeof lists / sizeof *lists; list++) {
        const Value *containers = value_at(pod, lists[list]);
        for (uint32_t i = 0; containers && i < containers->n; i++)
            collect_container(collector, containers->items[i]);
    }
    const Value *claims = value_at(pod, "spec.resourceClaims");
    for (uint32_t i = 0; claims && i < claims->n; i++)
        refer_at(collector, NODE_RESOURCE_CLAIM, claims->items[i], "resourceClaimName");
    const Value *generated = value_at(pod, "status.resourceClaimStatuses");
    for (uint32_t i = 0; generated && i < generated->n; i++)
        refer_at(collector, NODE_RESOURCE_CLAIM, generated->items[i], "resourceClaimName");
}

// ---- pods

static void drop_pod(NodeGraph *graph, Str key) {
    PodEdges *of = map_remove(graph->pods, key);
    for (size_t i = 0; of && i < of->n; i++) {
        Edge *edge = of->edges[i];
        if (--edge->count)
            continue;
        map_remove(graph->edges, edge->key);
        free(edge);
    }
    free(of);
}

static void add_pod(NodeGraph *graph, CachedObject *object, Str node) {
    _arena_free_ Arena *arena = arena_new();
    Collector collector = {.graph = graph, .node = node, .namespace_ = object->namespace_};
    collect(&collector, object_decode(arena, object));
    PodEdges *of = memory_alloc(sizeof *of + collector.n * sizeof(Edge *));
    of->n = collector.n;
    if (collector.n)
        memcpy(of->edges, collector.edges, collector.n * sizeof(Edge *));
    free(collector.edges);
    map_put(graph->pods, object->key, of);
}

// The text of one member of an object, as it stands in its JSON.
static Str member_text(const CachedObject *object, Str name) {
    _arena_free_ Arena *arena = arena_new();
    ParseError error;
    Str json = bytes_str(object->json), key;
    JsonScan scan = {.start = json.ptr,
                     .p = json.ptr,
                     .end = json.ptr + json.len,
                     .arena = arena,
                     .error = &error};
    if (json_peek(&scan) != '{')
        return STR_NONE;
    scan.p++;
    while (json_peek(&scan) == '"' && json_key(&scan, &key) == 0) {
        json_peek(&scan);
        const char *start = scan.p;
        if (json_skip(&scan, 1) != 0)
            return STR_NONE;
        if (str_eq(key, name))
            return str_of(start, (size_t)(scan.p - start));
        if (json_next(&scan, '}') != 1)
            break;
    }
    return STR_NONE;
}

// Most changes of a pod are to its status, of which only the names of generated claims count.
static bool refers_alike(const CachedObject *a, const CachedObject *b) {
    static const Str claims = {"resourceClaimStatuses", 21};
    Str spec = member_text(a, STR("spec"));
    Str json = bytes_str(b->json);
    return spec.ptr && str_eq(spec, member_text(b, STR("spec"))) &&
           !memmem(json.ptr, json.len, claims.ptr, claims.len);
}

static void on_pod(void *user, CachedObject *previous, CachedObject *object) {
    NodeGraph *graph = user;
    Str node = object ? object->fields[graph->node_field] : STR("");
    if (previous && object && str_eq(previous->uid, object->uid) &&
        str_eq(previous->fields[graph->node_field], node) &&
        (!node.len || refers_alike(previous, object)))
        return;
    drop_pod(graph, (object ? object : previous)->key);
    if (node.len)
        add_pod(graph, object, node);
}

// ---- volumes: a claim leads to them through the volume's claimRef, and they lead to secrets

static const char *const persistent_secrets[] = {
    "spec.csi.nodeStageSecretRef", "spec.csi.nodePublishSecretRef", "spec.csi.nodeExpandSecretRef",
    "spec.cephfs.secretRef",       "spec.rbd.secretRef",            "spec.iscsi.secretRef",
    "spec.flexVolume.secretRef",   "spec.scaleIO.secretRef",        "spec.storageos.secretRef"};

static void note_secret(NodeGraph *graph, Str volume, Str namespace_, Str name, bool there) {
    char buffer[KEY_MAX];
    int len = snprintf(buffer, sizeof buffer, "%.*s/%.*s", STR_ARG(namespace_), STR_ARG(name));
    if (!name.len || len < 0 || len >= KEY_MAX)
        return;
    Str key = str_of(buffer, (size_t)len);
    Volumes *of = map_get(graph->secrets, key);
    if (there) {
        if (!of)
            map_put(graph->secrets, key, of = memory_new(Volumes));
        of->names = memory_resize_array(of->names, of->n + 1, sizeof(Str));
        char *copy = memory_alloc(volume.len + 1);
        memcpy(copy, volume.ptr, volume.len);
        of->names[of->n++] = str_of(copy, volume.len);
        return;
    }
    for (size_t i = 0; of && i < of->n; i++) {
        if (!str_eq(of->names[i], volume))
            continue;
        free((char *)of->names[i].ptr);
        of->names[i] = of->names[--of->n];
        break;
    }
    if (!of || of->n)
        return;
    map_remove(graph->secrets, key);
    free(of->names);
    free(of);
}

static void note_volume(NodeGraph *graph, CachedObject *object, bool there) {
    _arena_free_ Arena *arena = arena_new();
    const Value *volume = object_decode(arena, object);
    Str namespace_ = value_string_at(volume, "spec.claimRef.namespace");
    for (size_t i = 0; i < sizeof persistent_secrets / sizeof *persistent_secrets; i++) {
        const Value *reference = value_at(volume, persistent_secrets[i]);
        Str own = value_string_at(reference, "namespace");
        note_secret(graph, object->name, own.len ? own : namespace_,
                    value_string_at(reference, "name"), there);
    }
    Str own = value_string_at(volume, "spec.azureFile.secretNamespace");
    note_secret(graph, object->name, own.len ? own : namespace_,
                value_string_at(volume, "spec.azureFile.secretName"), there);
}

static void on_volume(void *user, CachedObject *previous, CachedObject *object) {
    if (previous)
        note_volume(user, previous, false);
    if (object)
        note_volume(user, object, true);
}

// ---- the graph

NodeGraph *node_graph_new(Api *api) {
    NodeGraph *graph = memory_new(NodeGraph);
    graph->api = api;
    graph->edges = map_new();
    graph->pods = map_new();
    graph->secrets = map_new();
    Cache *pods = registry_cache(api->registry, STR("core/pods"));
    const Resource *resource = cache_served(pods)->storage;
    while (!str_eq(resource->fields[graph->node_field], STR("spec.nodeName")))
        graph->node_field++;
    cache_listen(pods, on_pod, graph);
    cache_listen(registry_cache(api->registry, STR("core/persistentvolumes")), on_volume, graph);
    return graph;
}

void node_graph_free(NodeGraph *graph) {
    if (!graph)
        return;
    MapIter it = {0};
    while (map_next(graph->edges, &it))
        free(it.value);
    it = (MapIter){0};
    while (map_next(graph->pods, &it))
        free(it.value);
    it = (MapIter){0};
    while (map_next(graph->secrets, &it)) {
        Volumes *of = it.value;
        for (size_t i = 0; i < of->n; i++)
            free((char *)of->names[i].ptr);
        free(of->names);
        free(of);
    }
    map_free(graph->edges);
    map_free(graph->pods);
    map_free(graph->secrets);
    free(graph);
}

bool node_graph_has_volume(const NodeGraph *graph, Str node, Str volume) {
    CachedObject *object =
        cache_get(registry_cache(graph->api->registry, STR("core/persistentvolumes")), STR(""),
                  volume);
    if (!object)
        return false;
    _arena_free_ Arena *arena = arena_new();
    const Value *reference = value_at(object_decode(arena, object), "spec.claimRef");
    return node_graph_refers(graph, node, NODE_CLAIM, value_string_at(reference, "namespace"),
                             value_string_at(reference, "name"));
}

bool node_graph_refers(const NodeGraph *graph, Str node, NodeReference kind, Str namespace_,
                       Str name) {
    char buffer[KEY_MAX];
    Str key = edge_key(buffer, node, kind, namespace_, name);
    if (!name.len || !key.len)
        return false;
    if (map_get(graph->edges, key))
        return true;
    if (kind != NODE_SECRET)
        return false;
    int len = snprintf(buffer, sizeof buffer, "%.*s/%.*s", STR_ARG(namespace_), STR_ARG(name));
    const Volumes *of = map_get(graph->secrets, str_of(buffer, (size_t)len));
    for (size_t i = 0; of && i < of->n; i++) {
        if (node_graph_has_volume(graph, node, of->names[i]))
            return true;
    }
    return false;
}
