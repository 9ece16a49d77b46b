#include "node/endpoint.h"

#include "base/metrics.h"
#include "node/logs.h"
#include "node/pod_worker.h"
#include "node/stats.h"
#include "node/streams.h"

#define MAX_LIST (64 * 1024 * 1024)

static void answer(HttpRequest *request, int status, Str text) {
    _bytes_unref_ Bytes *body = bytes_new(text.ptr, text.len);
    http_respond(request, status, STR("text/plain; charset=utf-8"), body);
}

// The API server comes with a certificate of the cluster's CA (or from inside this process). Others
// are refused until tokens are reviewed by the API server.
static bool admit(HttpRequest *request) {
    const HttpPeer *peer = &request->peer;
    if (peer->local)
        return true;
    if (!peer->certificate) {
        answer(request, 401, STR("Unauthorized"));
        return false;
    }
    for (size_t i = 0; i < peer->n_organizations; i++)
        if (str_eq(peer->organizations[i], STR("system:masters")))
            return true;
    answer(request, 403,
           arena_printf(request->arena,
                        "Forbidden (user=%.*s, verb=%s, resource=nodes, subresource(s)=[proxy])",
                        STR_ARG(peer->common_name),
                        str_eq(request->method, STR("GET")) ? "get" : "create"));
    return false;
}

// NAMESPACE/POD[/UID]/CONTAINER of a path, decoded.
typedef struct Target {
    Str namespace_, pod, uid, container;
} Target;

static bool parse_target(HttpRequest *request, Str rest, bool with_container, Target *ret) {
    Str parts[4];
    size_t n = 0;
    while (rest.ptr && n < 4) {
        Str part;
        if (http_percent_decode(request->arena, str_cut(&rest, '/'), &part) != 0)
            return false;
        parts[n++] = part;
    }
    size_t least = with_container ? 3 : 2;
    if (rest.ptr || n < least || n > least + 1)
        return false;
    *ret = (Target){.namespace_ = parts[0], .pod = parts[1]};
    if (n == least + 1)
        ret->uid = parts[2];
    if (with_container)
        ret->container = parts[n - 1];
    return true;
}

static PodWorker *find_pod(NodeAgent *agent, HttpRequest *request, const Target *target) {
    PodWorker *worker =
        agent->pods ? agent_find_pod(agent, target->namespace_, target->pod, target->uid) : NULL;
    if (!worker)
        answer(request, 404, STR("pod does not exist"));
    return worker;
}

// Logs
// -----------------------------------------------------------------------------------------------

static bool is_true(Str text) {
    return str_eq(text, STR("true")) || str_eq(text, STR("1"));
}

static void serve_logs(NodeAgent *agent, HttpRequest *request, const Target *target) {
    PodWorker *worker = find_pod(agent, request, target);
    if (!worker)
        return;
    bool previous = is_true(http_query(request, STR("previous")));
    PodContainer container;
    if (!pod_worker_container(worker, request->arena, target->container, previous, &container)) {
        answer(request, 400,
               arena_printf(request->arena, "container \"%.*s\" in pod \"%.*s\" is not available",
                            STR_ARG(target->container), STR_ARG(target->pod)));
        return;
    }
    if (!container.id.len && previous) {
        answer(request, 400,
               arena_printf(request->arena,
                            "previous terminated container \"%.*s\" in pod \"%.*s\" not found",
                            STR_ARG(target->container), STR_ARG(target->pod)));
        return;
    }
    if (!container.id.len) {
        bool image = str_eq(container.waiting_reason, STR("ErrImagePull")) ||
                     str_eq(container.waiting_reason, STR("ImagePullBackOff")) ||
                     str_eq(container.waiting_reason, STR("InvalidImageName")) ||
                     str_eq(container.waiting_reason, STR("ErrImageNeverPull"));
        Str why = image ? STR("trying and failing to pull image") : container.waiting_reason;
        answer(request, 400,
               arena_printf(request->arena,
                            "container \"%.*s\" in pod \"%.*s\" is waiting to start: %.*s",
                            STR_ARG(target->container), STR_ARG(target->pod), STR_ARG(why)));
        return;
    }
    LogOptions options;
    Str message;
    if (log_options_parse(request, loop_wall(agent->loop), &options, &message) != 0)
        answer(request, 400, message);
    else
        log_serve(agent, request, container.log_path, container.id, container.running, &options);
}

// Exec, attach, port-forward
// ---------------------------------------------------------------------------

static bool find_running(NodeAgent *agent, HttpRequest *request, const Target *target,
                         PodContainer *ret) {
    PodWorker *worker = find_pod(agent, request, target);
    if (!worker)
        return false;
    if (!pod_worker_container(worker, request->arena, target->container, false, ret) ||
        !ret->running) {
        answer(request, 500,
               arena_printf(request->arena, "container not found (\"%.*s\")",
                            STR_ARG(target->container)));
        return false;
    }
    return true;
}

// A kubelet calls them input, output and error; older clients and ours may say it as the API does.
static bool either(HttpRequest *request, Str name, Str other) {
    return is_true(http_query(request, name)) || is_true(http_query(request, other));
}

static StreamOptions stream_options(HttpRequest *request) {
    return (StreamOptions){.stdin_open = either(request, STR("input"), STR("stdin")),
                           .stdout_open = either(request, STR("output"), STR("stdout")),
                           .stderr_open = either(request, STR("error"), STR("stderr")),
                           .tty = is_true(http_query(request, STR("tty")))};
}

static void serve_exec(NodeAgent *agent, HttpRequest *request, const Target *target) {
    PodContainer container;
    if (!find_running(agent, request, target, &container))
        return;
    const Str *argv;
    size_t n = http_query_all(request, STR("command"), &argv);
    StreamOptions options = stream_options(request);
    if (!n)
        answer(request, 400, STR("you must specify at least 1 command"));
    else if (!options.stdin_open && !options.stdout_open && !options.stderr_open)
        answer(request, 400, STR("you must specify at least 1 of stdin, stdout, stderr"));
    else
        stream_exec(agent, request, container.id, argv, n, &options);
}

static void serve_attach(NodeAgent *agent, HttpRequest *request, const Target *target) {
    PodContainer container;
    if (!find_running(agent, request, target, &container))
        return;
    StreamOptions options = stream_options(request);
    options.tty = container.tty; // the container decides
    if (!options.stdin_open && !options.stdout_open && !options.stderr_open)
        answer(request, 400, STR("you must specify at least 1 of stdin, stdout, stderr"));
    else
        stream_attach(agent, request, container.id, &options);
}

static void serve_port_forward(NodeAgent *agent, HttpRequest *request, const Target *target) {
    PodWorker *worker = find_pod(agent, request, target);
    if (!worker)
        return;
    Str network_namespace = pod_worker_network_namespace(worker);
    if (!network_namespace.len && !pod_worker_pod(worker)->spec.host_network) {
        answer(request, 500, STR("the pod's sandbox is not running"));
        return;
    }
    Str pod = arena_printf(request->arena, "%.*s_%.*s", STR_ARG(target->pod),
                           STR_ARG(target->namespace_));
    stream_port_forward(agent, request, pod, network_namespace);
}

// The node's own state
// ------------------------------------------------------------------------------------

static void append_pod(void *user, const InformerObject *object) {
    Buf *buf = user;
    if (buf->data[buf->len - 1] != '[')
        buf_char(buf, ',');
    buf_str(buf, bytes_str(object->bytes));
}

static void serve_pods(NodeAgent *agent, HttpRequest *request) {
    Buf buf = BUF_INIT(MAX_LIST);
    buf_str(&buf, STR("{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{},\"items\":["));
    if (agent->pods)
        informer_each(agent->pods, STR_NONE, append_pod, &buf);
    buf_str(&buf, STR("]}"));
    _bytes_unref_ Bytes *body = buf_bytes(&buf);
    buf_deinit(&buf);
    http_respond(request, 200, STR("application/json"), body);
}

static void serve_metrics(NodeAgent *agent, HttpRequest *request) {
    Buf buf = BUF_INIT(MAX_LIST);
    metrics_write(&buf);
    _bytes_unref_ Bytes *body = buf_bytes(&buf);
    buf_deinit(&buf);
    http_respond(request, 200, STR("text/plain; version=0.0.4; charset=utf-8"), body);
}

// What is used, read for this request. `write` gets the sample.
typedef struct StatsAnswer {
    NodeAgent *agent;
    HttpRequest *http;
    StatsRequest *request;
    void (*write)(const struct StatsAnswer *answer, const StatsSample *sample, Buf *buf);
    Str content_type;
} StatsAnswer;

static void on_stats(void *user, const StatsSample *sample) {
    StatsAnswer *self = user;
    self->request = NULL;
    Buf buf = BUF_INIT(MAX_LIST);
    self->write(self, sample, &buf);
    _bytes_unref_ Bytes *body = buf_bytes(&buf);
    buf_deinit(&buf);
    http_respond(self->http, 200, self->content_type, body);
}

static void on_stats_close(HttpRequest *request, bool completed) {
    StatsAnswer *self = request->user;
    if (self->request)
        stats_cancel(self->request);
}

static void serve_stats(NodeAgent *agent, HttpRequest *request, bool rates, const char *type,
                        void (*write)(const StatsAnswer *answer, const StatsSample *sample,
                                      Buf *buf)) {
    StatsAnswer *self = arena_new_of(request->arena, StatsAnswer);
    *self = (StatsAnswer){
        .agent = agent, .http = request, .write = write, .content_type = str_from(type)};
    request->user = self;
    request->on_close = on_stats_close;
    self->request = stats_request(agent->stats, rates, on_stats, self);
}

static void write_summary(const StatsAnswer *answer, const StatsSample *sample, Buf *buf) {
    stats_write_summary(answer->http->arena, answer->agent, sample, buf);
}

static void write_resource(const StatsAnswer *answer, const StatsSample *sample, Buf *buf) {
    stats_write_resource(sample, buf);
}

static void write_cadvisor(const StatsAnswer *answer, const StatsSample *sample, Buf *buf) {
    stats_write_cadvisor(sample, buf);
}

static void serve_summary(NodeAgent *agent, HttpRequest *request) {
    serve_stats(agent, request, true, "application/json", write_summary);
}

static void serve_resource(NodeAgent *agent, HttpRequest *request) {
    serve_stats(agent, request, false, "text/plain; version=0.0.4; charset=utf-8", write_resource);
}

static void serve_cadvisor(NodeAgent *agent, HttpRequest *request) {
    serve_stats(agent, request, false, "text/plain; version=0.0.4; charset=utf-8", write_cadvisor);
}

static void serve_health(NodeAgent *agent, HttpRequest *request) {
    answer(request, 200, STR("ok"));
}

void endpoint_handle(NodeAgent *agent, HttpRequest *request) {
    static const struct {
        Str prefix;
        bool with_container;
        void (*serve)(NodeAgent *agent, HttpRequest *request, const Target *target);
    } pod_paths[] = {
        {STR("/containerLogs/"), true, serve_logs},
        {STR("/exec/"), true, serve_exec},
        {STR("/attach/"), true, serve_attach},
        {STR("/portForward/"), false, serve_port_forward},
    };
    static const struct {
        Str path;
        void (*serve)(NodeAgent *agent, HttpRequest *request);
    } paths[] = {
        {STR("/pods"), serve_pods},
        {STR("/metrics"), serve_metrics},
        {STR("/metrics/resource"), serve_resource},
        {STR("/metrics/cadvisor"), serve_cadvisor},
        {STR("/stats/summary"), serve_summary},
        {STR("/healthz"), serve_health},
    };
    if (!admit(request))
        return;
    for (size_t i = 0; i < sizeof pod_paths / sizeof *pod_paths; i++) {
        Target target;
        if (!str_starts_with(request->path, pod_paths[i].prefix))
            continue;
        if (parse_target(request,
                         str_slice(request->path, pod_paths[i].prefix.len, request->path.len),
                         pod_paths[i].with_container, &target))
            pod_paths[i].serve(agent, request, &target);
        else
            answer(request, 404, STR("404 page not found"));
        return;
    }
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (str_eq(request->path, paths[i].path) ||
            str_eq(request->path, arena_printf(request->arena, "%.*s/", STR_ARG(paths[i].path)))) {
            paths[i].serve(agent, request);
            return;
        }
    answer(request, 404, STR("404 page not found"));
}
