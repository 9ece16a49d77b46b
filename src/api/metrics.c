// metrics.k8s.io: what nodes and pods use, asked of the nodes' /stats/summary whenever somebody
// wants to know (kubectl top). Objects and their units are those of kubernetes-sigs/metrics-server.

#include <inttypes.h>

#include "api/list_options.h"
#include "api/node_client.h"
#include "api/output.h"
#include "api/server.h"
#include "api/subresources.h"
#include "base/time.h"

#define MAX_SUMMARY (16 * 1024 * 1024)
#define TIMEOUT (10 * NSEC_PER_SEC)
#define USUAL_WINDOW (10 * NSEC_PER_SEC) // of a stock kubelet, which does not say
#define SUMMARY_TARGET "/stats/summary?only_cpu_and_memory=true"

typedef struct Metrics Metrics;

typedef struct NodeSummary { // one node that is asked
    Metrics *metrics;
    CachedObject *node;
    HttpClient *own;
    HttpCall *call;
    int status;
    Buf body;
} NodeSummary;

struct Metrics {
    ApiRequest *request;
    ListOptions options;
    bool pods;
    NodeSummary *nodes;
    size_t n, left;
    Value **items;
    size_t n_items, capacity;
};

static bool wants_one(const Metrics *metrics) {
    return metrics->request->info.name.len > 0;
}

// ---- objects

static void push(Metrics *metrics, Value *item) {
    if (metrics->n_items == metrics->capacity) {
        size_t more = metrics->capacity ? metrics->capacity * 2 : 32;
        metrics->items = arena_grow(metrics->request->arena, metrics->items,
                                    metrics->capacity * sizeof(Value *), more * sizeof(Value *));
        metrics->capacity = more;
    }
    metrics->items[metrics->n_items++] = item;
}

static void set_usage(Arena *arena, Value *object, const Value *of) {
    Value *usage = value_new_object(arena);
    int64_t cpu = value_int_at(of, "cpu.usageNanoCores", 0);
    int64_t memory = value_int_at(of, "memory.workingSetBytes", 0);
    value_set_str(arena, usage, STR("cpu"),
                  cpu ? arena_printf(arena, "%" PRId64 "n", cpu) : STR("0"));
    value_set_str(arena, usage, STR("memory"), arena_printf(arena, "%" PRId64 "Ki", memory / 1024));
    value_set(arena, object, STR("usage"), usage);
}

static Value *new_object(Metrics *metrics, const Value *summary, CachedObject *of) {
    ApiRequest *request = metrics->request;
    Arena *arena = request->arena;
    const Value *source = object_decode(arena, of);
    Value *object = value_new_object(arena), *metadata = value_new_object(arena);
    Str time = value_string_at(summary, "node.cpu.time");
    value_set_str(arena, object, STR("kind"), request->served->resource->kind);
    value_set_str(arena, object, STR("apiVersion"), STR("metrics.k8s.io/v1beta1"));
    value_set_str(arena, metadata, STR("name"), value_string_at(source, "metadata.name"));
    if (metrics->pods)
        value_set_str(arena, metadata, STR("namespace"),
                      value_string_at(source, "metadata.namespace"));
    value_set_str(arena, metadata, STR("creationTimestamp"), time);
    Value *labels = value_at(source, "metadata.labels");
    if (labels)
        value_set(arena, metadata, STR("labels"), labels);
    value_set(arena, object, STR("metadata"), metadata);
    value_set_str(arena, object, STR("timestamp"), time);
    value_set_str(
        arena, object, STR("window"),
        time_go_duration(arena, value_int_at(summary, "windowNanoSeconds", USUAL_WINDOW)));
    return object;
}

static void add_node(Metrics *metrics, const NodeSummary *node, const Value *summary) {
    if (!value_at(summary, "node.cpu.usageNanoCores"))
        return;
    Value *object = new_object(metrics, summary, node->node);
    set_usage(metrics->request->arena, object, value_get(summary, STR("node")));
    push(metrics, object);
}

static CachedObject *wanted_pod(const Metrics *metrics, const Value *pod) {
    const ApiRequest *request = metrics->request;
    Str namespace_ = value_string_at(pod, "podRef.namespace");
    Str name = value_string_at(pod, "podRef.name");
    if (request->info.namespace_.len && !str_eq(namespace_, request->info.namespace_))
        return NULL;
    if (wants_one(metrics) && !str_eq(name, request->info.name))
        return NULL;
    CachedObject *found =
        cache_get(registry_cache(request->api->registry, STR("core/pods")), namespace_, name);
    if (!found || !str_eq(found->uid, value_string_at(pod, "podRef.uid")))
        return NULL;
    return filter_matches(&metrics->options.filter, found) ? found : NULL;
}

static void add_pods(Metrics *metrics, const Value *summary) {
    Arena *arena = metrics->request->arena;
    const Value *pods = value_get(summary, STR("pods"));
    for (uint32_t i = 0; pods && pods->kind == VALUE_ARRAY && i < pods->n; i++) {
        CachedObject *found = wanted_pod(metrics, pods->items[i]);
        const Value *from = value_get(pods->items[i], STR("containers"));
        if (!found || !from || from->kind != VALUE_ARRAY || !from->n)
            continue; // nothing of it runs
        Value *object = new_object(metrics, summary, found), *containers = value_new_array(arena);
        for (uint32_t j = 0; j < from->n; j++) {
            Value *container = value_new_object(arena);
            value_set_str(arena, container, STR("name"), value_string_at(from->items[j], "name"));
            set_usage(arena, container, from->items[j]);
            value_push(arena, containers, container);
        }
        value_set(arena, object, STR("containers"), containers);
        push(metrics, object);
    }
}

// ---- the answer

static void answer_list(Metrics *metrics) {
    ApiRequest *request = metrics->request;
    Arena *arena = request->arena;
    Value *metadata = value_new_object(arena);
    if (request->output.kind == OUTPUT_TABLE) {
        request_object(request, 200, NULL,
                       output_table(request, arena, request->served,
                                    (const Value *const *)metrics->items, metrics->n_items,
                                    metadata, true));
        return;
    }
    Value *list = value_new_object(arena), *items = value_new_array(arena);
    value_set_str(arena, list, STR("kind"),
                  metrics->pods ? STR("PodMetricsList") : STR("NodeMetricsList"));
    value_set_str(arena, list, STR("apiVersion"), STR("metrics.k8s.io/v1beta1"));
    value_set(arena, list, STR("metadata"), metadata);
    for (size_t i = 0; i < metrics->n_items; i++)
        value_push(arena, items, metrics->items[i]);
    value_set(arena, list, STR("items"), items);
    request_object(request, 200, NULL, list);
}

static void answer(Metrics *metrics) {
    ApiRequest *request = metrics->request;
    Str name = request->info.name;
    if (!wants_one(metrics))
        answer_list(metrics);
    else if (metrics->n_items)
        request_object(request, 200, request->served, metrics->items[0]);
    else
        request_status(request, status_not_found(
                                    request->arena, STR("metrics.k8s.io"),
                                    metrics->pods ? STR("podmetrics") : STR("nodemetrics"),
                                    metrics->pods ? arena_printf(request->arena, "%.*s/%.*s",
                                                                 STR_ARG(request->info.namespace_),
                                                                 STR_ARG(name))
                                                  : name));
}

// ---- asking

static void on_head(void *user, int status, const HttpHeader *headers, size_t n) {
    ((NodeSummary *)user)->status = status;
}

static void on_data(void *user, Str data) {
    buf_str(&((NodeSummary *)user)->body, data);
}

static void node_done(Metrics *metrics) {
    if (--metrics->left == 0)
        answer(metrics);
}

// A node that does not answer is left out.
static void on_done(void *user, int error, Str message) {
    NodeSummary *node = user;
    Metrics *metrics = node->metrics;
    node->call = NULL;
    Value *summary;
    ParseError ignored;
    if (!error && node->status == 200 && !node->body.failed &&
        value_parse_json(metrics->request->arena, buf_view(&node->body), NULL, &summary,
                         &ignored) == 0) {
        if (metrics->pods)
            add_pods(metrics, summary);
        else
            add_node(metrics, node, summary);
    }
    node_done(metrics);
}

static void ask(NodeSummary *node) {
    static const HttpCallEvents events = {
        .on_head = on_head, .on_data = on_data, .on_done = on_done};
    HttpClient *client;
    if (node_client_find(node->metrics->request, node->node->name, &client, &node->own)) {
        node_done(node->metrics);
        return;
    }
    HttpCallSpec spec = {
        .method = STR("GET"), .target = STR(SUMMARY_TARGET), .timeout_ns = TIMEOUT};
    node->call = http_call(client, &spec, &events, node);
}

static void on_close(ApiRequest *request, bool completed) {
    Metrics *metrics = request->state;
    for (size_t i = 0; i < metrics->n; i++)
        if (metrics->nodes[i].call)
            http_call_cancel(metrics->nodes[i].call);
}

static void drop(void *user) {
    Metrics *metrics = user;
    for (size_t i = 0; i < metrics->n; i++) {
        buf_deinit(&metrics->nodes[i].body);
        http_client_free(metrics->nodes[i].own);
        object_unref(metrics->nodes[i].node);
    }
}

static bool wants_node(const Metrics *metrics, const CachedObject *node, Str of_pod) {
    if (metrics->pods)
        return !wants_one(metrics) || str_eq(node->name, of_pod);
    return wants_one(metrics) ? str_eq(node->name, metrics->request->info.name)
                              : filter_matches(&metrics->options.filter, node);
}

static Str node_of_pod(Metrics *metrics) {
    ApiRequest *request = metrics->request;
    CachedObject *pod =
        wants_one(metrics) ? cache_get(registry_cache(request->api->registry, STR("core/pods")),
                                       request->info.namespace_, request->info.name)
                           : NULL;
    return pod ? value_string_at(object_decode(request->arena, pod), "spec.nodeName") : STR("");
}

void metrics_get(ApiRequest *request) {
    Arena *arena = request->arena;
    Metrics *metrics = arena_new_of(arena, Metrics);
    metrics->request = request;
    metrics->pods = str_eq(request->info.resource, STR("pods"));
    ApiStatus *refused = list_options_parse(request, false, &metrics->options);
    if (refused) {
        request_status(request, refused);
        return;
    }
    metrics->options.filter.namespace_ = STR_NONE; // seen to here
    Cache *nodes = registry_cache(request->api->registry, STR("core/nodes"));
    Str of_pod = metrics->pods ? node_of_pod(metrics) : STR("");
    Snapshot *root = snapshot_ref(cache_root(nodes));
    size_t begin, end;
    snapshot_prefix(root, STR(""), &begin, &end);
    metrics->nodes = arena_array_of(arena, NodeSummary, end - begin);
    for (size_t i = begin; i < end; i++) {
        CachedObject *node = snapshot_at(root, i);
        if (wants_node(metrics, node, of_pod))
            metrics->nodes[metrics->n++] = (NodeSummary){
                .metrics = metrics, .node = object_ref(node), .body = BUF_INIT(MAX_SUMMARY)};
    }
    snapshot_unref(root);
    arena_defer(arena, drop, metrics);
    request->state = metrics;
    request->on_close = on_close;
    metrics->left = metrics->n + 1;
    for (size_t i = 0; i < metrics->n; i++)
        ask(&metrics->nodes[i]);
    node_done(metrics);
}
