// What the node answers: logs, exec, attach, port-forward, and its other endpoints. The API server
// checks, finds the node, and from then on copies bytes (kubernetes' registry/core/pod/rest).

#include <assert.h>
#include <inttypes.h>

#include "api/auth/authz.h"
#include "api/node_client.h"
#include "api/server.h"
#include "api/subresources.h"

#define MAX_ERROR_TEXT 10240

typedef struct NodeCall {
    ApiRequest *request;
    HttpClient *own; // made for this call
    HttpCall *call;
    bool explain; // errors of the node become Status objects; else its answer is passed on
    bool head_sent;
    int code;
    Str content_type;
    Buf error_text;
} NodeCall;

static void free_own(void *user) {
    NodeCall *self = user;
    buf_deinit(&self->error_text);
    http_client_free(self->own);
}

static void end_call(NodeCall *self) {
    if (self->call)
        http_call_cancel(self->call);
    self->call = NULL;
}

// ---- the node's answer

static Str header_of(const HttpHeader *headers, size_t n, Str name) {
    for (size_t i = 0; i < n; i++) {
        if (str_eq_nocase(headers[i].name, name))
            return headers[i].value;
    }
    return STR_NONE;
}

static void on_head(void *user, int status, const HttpHeader *headers, size_t n) {
    NodeCall *self = user;
    ApiRequest *request = self->request;
    self->code = status;
    if (self->explain && status >= 300)
        return; // the text follows
    Str type = header_of(headers, n, STR("Content-Type"));
    self->head_sent = true;
    request_head(request, status, type.ptr ? type : STR("text/plain"));
}

static void on_data(void *user, Str data) {
    NodeCall *self = user;
    HttpRequest *http = self->request->http;
    if (!self->head_sent) {
        buf_str(&self->error_text, data);
        return;
    }
    _bytes_unref_ Bytes *bytes = bytes_new(data.ptr, data.len);
    http_respond_data(http, bytes);
    if (http_respond_queued(http) >= STREAM_HIGH_WATER)
        http_call_pause(self->call, true);
}

static void on_drain(ApiRequest *request) {
    NodeCall *self = request->state;
    if (self->call)
        http_call_pause(self->call, false);
}

static void explain(NodeCall *self) {
    Arena *arena = self->request->arena;
    Str text = arena_str(arena, str_trim(buf_view(&self->error_text)));
    ApiStatus *status = self->code == 400   ? status_bad_request(arena, text)
                        : self->code == 500 ? status_internal(arena, text)
                                            : status_from_body(arena, self->code, text);
    request_status(self->request, status);
}

static void on_done(void *user, int error, Str message) {
    NodeCall *self = user;
    ApiRequest *request = self->request;
    self->call = NULL;
    if (self->head_sent && error) {
        http_respond_abort(request->http);
    } else if (self->head_sent) {
        http_respond_end(request->http);
    } else if (error) {
        request_status(request,
                       status_internal(request->arena,
                                       arena_printf(request->arena, "error dialing backend: %.*s",
                                                    STR_ARG(message))));
    } else {
        explain(self);
    }
}

static void on_upgrade(void *user, Stream *stream, const HttpHeader *headers, size_t n) {
    NodeCall *self = user;
    ApiRequest *request = self->request;
    self->call = NULL;
    HttpHeader passed[16];
    size_t n_passed = 0;
    for (size_t i = 0; i < n && n_passed < 16; i++) {
        Str name = headers[i].name;
        if (str_eq_nocase(name, STR("Upgrade")) || str_eq_nocase(name, STR("Connection")) ||
            str_eq_nocase(name, STR("X-Stream-Protocol-Version")) ||
            (name.len > 14 && str_eq_nocase(str_slice(name, 0, 14), STR("Sec-WebSocket-"))))
            passed[n_passed++] = headers[i];
    }
    Stream *client = http_upgrade(request->http, passed, n_passed);
    if (client) {
        stream_splice(client, stream, STR(""), NULL, NULL);
        return;
    }
    stream_abort(stream);
    request_status(request, status_bad_request(request->arena, STR("Upgrade request required")));
}

static void on_close(ApiRequest *request, bool completed) {
    end_call(request->state);
}

// ---- reaching the node

// What a node gets to see of the client's headers: nothing that authenticates.
static bool passes(Str name) {
    static const char *const names[] = {"Upgrade",
                                        "Connection",
                                        "X-Stream-Protocol-Version",
                                        "Accept",
                                        "Content-Type",
                                        "User-Agent",
                                        "Sec-WebSocket-Key",
                                        "Sec-WebSocket-Version",
                                        "Sec-WebSocket-Extensions",
                                        "Origin"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (str_eq_nocase(name, str_from(names[i])))
            return true;
    }
    return false;
}

// Without the token that a browser hides among the subprotocols.
static Str safe_protocols(Arena *arena, Str protocols) {
    Str kept = STR("");
    while (protocols.ptr) {
        Str protocol = str_trim(str_cut(&protocols, ','));
        if (!protocol.len ||
            str_starts_with(protocol, STR("base64url.bearer.authorization.k8s.io.")))
            continue;
        kept = kept.len ? arena_printf(arena, "%.*s, %.*s", STR_ARG(kept), STR_ARG(protocol))
                        : protocol;
    }
    return kept;
}

static void call_node(NodeCall *self, HttpClient *client, Str target, bool upgrade) {
    static const HttpCallEvents events = {
        .on_head = on_head, .on_data = on_data, .on_done = on_done, .on_upgrade = on_upgrade};
    ApiRequest *request = self->request;
    const HttpRequest *http = request->http;
    HttpHeader *headers = arena_array_of(request->arena, HttpHeader, http->n_headers + 1);
    size_t n = 0;
    for (size_t i = 0; i < http->n_headers; i++) {
        if (passes(http->headers[i].name))
            headers[n++] = http->headers[i];
        else if (str_eq_nocase(http->headers[i].name, STR("Sec-WebSocket-Protocol")))
            headers[n++] = (HttpHeader){http->headers[i].name,
                                        safe_protocols(request->arena, http->headers[i].value)};
    }
    _bytes_unref_ Bytes *body = http->body.len ? bytes_new(http->body.ptr, http->body.len) : NULL;
    HttpCallSpec spec = {.method = http->method,
                         .target = target,
                         .headers = headers,
                         .n_headers = n,
                         .body = body,
                         .upgrade = upgrade};
    request->state = self;
    request->on_drain = on_drain;
    request->on_close = on_close;
    self->call = http_call(client, &spec, &events, self);
}

static NodeCall *node_call_new(ApiRequest *request) {
    NodeCall *self = arena_new_of(request->arena, NodeCall);
    self->request = request;
    self->error_text = BUF_INIT(MAX_ERROR_TEXT);
    arena_defer(request->arena, free_own, self);
    return self;
}

static void send(NodeCall *self, Str node, Str target, bool upgrade) {
    HttpClient *client;
    ApiStatus *refused = node_client_find(self->request, node, &client, &self->own);
    if (refused)
        request_status(self->request, refused);
    else
        call_node(self, client, target, upgrade);
}

// ---- pods

static const Value *find_pod(ApiRequest *request) {
    CachedObject *pod =
        cache_get(request->served->cache, request->info.namespace_, request->info.name);
    if (pod)
        return object_decode(request->arena, pod);
    request_status(request, request_not_found(request, request->info.name));
    return NULL;
}

typedef struct Names {
    Str text; // "a b"
    bool found;
    size_t n;
} Names;

static void look_through(Arena *arena, const Value *containers, Str wanted, Names *names) {
    for (uint32_t i = 0; containers && containers->kind == VALUE_ARRAY && i < containers->n; i++) {
        Str name = value_string_at(containers->items[i], "name");
        names->text = names->n++
                          ? arena_printf(arena, "%.*s %.*s", STR_ARG(names->text), STR_ARG(name))
                          : name;
        names->found |= str_eq(name, wanted);
    }
}

// Which container is meant. Without a name there must be only one.
static ApiStatus *choose_container(ApiRequest *request, const Value *pod, Str wanted, Str *ret) {
    Arena *arena = request->arena;
    const Value *containers = value_at(pod, "spec.containers");
    Names names = {.text = STR("")};
    look_through(arena, value_at(pod, "spec.initContainers"), wanted, &names);
    look_through(arena, containers, wanted, &names);
    look_through(arena, value_at(pod, "spec.ephemeralContainers"), wanted, &names);
    Str pod_name = request->info.name;
    *ret = wanted;
    if (wanted.len)
        return names.found
                   ? NULL
                   : status_bad_request(
                         arena, arena_printf(arena, "container %.*s is not valid for pod %.*s",
                                             STR_ARG(wanted), STR_ARG(pod_name)));
    if (containers && containers->n == 1) {
        *ret = value_string_at(containers->items[0], "name");
        return NULL;
    }
    return status_bad_request(
        arena, arena_printf(arena,
                            "a container name must be specified for pod %.*s, choose one of: "
                            "[%.*s]",
                            STR_ARG(pod_name), STR_ARG(names.text)));
}

static void add_parameter(Buf *buf, Arena *arena, const char *name, Str value) {
    Str encoded = http_percent_encode(arena, value);
    buf_printf(buf, "%c%s=%.*s", buf->len ? '&' : '?', name, STR_ARG(encoded));
}

static bool is_true(Str value) {
    return value.ptr && !str_eq(value, STR("false")) && !str_eq(value, STR("0"));
}

static Str target_of(Arena *arena, const char *path, const ApiRequest *request, Str container,
                     const Buf *query) {
    return container.ptr
               ? arena_printf(arena, "/%s/%.*s/%.*s/%.*s%.*s", path,
                              STR_ARG(request->info.namespace_), STR_ARG(request->info.name),
                              STR_ARG(container), STR_ARG(buf_view(query)))
               : arena_printf(arena, "/%s/%.*s/%.*s%.*s", path, STR_ARG(request->info.namespace_),
                              STR_ARG(request->info.name), STR_ARG(buf_view(query)));
}

static ApiStatus *log_parameters(ApiRequest *request, Buf *query) {
    static const char *const flags[] = {"follow", "previous", "timestamps"};
    static const char *const numbers[] = {"sinceSeconds", "tailLines", "limitBytes"};
    Arena *arena = request->arena;
    FieldErrors errors = {.arena = arena};
    for (size_t i = 0; i < 3; i++) {
        if (is_true(http_query(request->http, str_from(flags[i]))))
            add_parameter(query, arena, flags[i], STR("true"));
    }
    for (size_t i = 0; i < 3; i++) {
        Str value = http_query(request->http, str_from(numbers[i]));
        int64_t number, least = i == 1 ? 0 : 1;
        if (!value.len)
            continue;
        if (str_to_i64(value, &number) != 0)
            return status_bad_request(
                arena, arena_printf(arena, "strconv.ParseInt: parsing \"%.*s\": invalid syntax",
                                    STR_ARG(value)));
        if (number < least)
            field_invalid_int(&errors, PATH(NULL, str_from(numbers[i])), number,
                              least ? "must be greater than 0"
                                    : "must be greater than or equal to 0");
        add_parameter(query, arena, numbers[i], value);
    }
    Str since = http_query(request->http, STR("sinceTime")),
        stream = http_query(request->http, STR("stream"));
    if (since.len && http_query(request->http, STR("sinceSeconds")).len)
        field_forbidden(&errors, PATH(NULL, STR("sinceTime")),
                        "at most one of `sinceTime` or `sinceSeconds` may be specified");
    if (since.len)
        add_parameter(query, arena, "sinceTime", since);
    if (stream.len)
        add_parameter(query, arena, "stream", stream);
    return errors.n
               ? status_invalid(arena, STR(""), STR("PodLogOptions"), request->info.name, &errors)
               : NULL;
}

void pod_log_get(ApiRequest *request) {
    const Value *pod = find_pod(request);
    if (!pod)
        return;
    Buf query = BUF_INIT(4096);
    Str container;
    ApiStatus *refused = log_parameters(request, &query);
    if (!refused)
        refused = choose_container(request, pod, http_query(request->http, STR("container")),
                                   &container);
    Str node = value_string_at(pod, "spec.nodeName");
    if (refused) {
        request_status(request, refused);
    } else if (!node.len) {
        request_text(request, 200, STR("")); // not scheduled: there is nothing to show
    } else {
        NodeCall *self = node_call_new(request);
        self->explain = true;
        send(self, node, target_of(request->arena, "containerLogs", request, container, &query),
             false);
    }
    buf_deinit(&query);
}

// A GET (WebSocket) would need no more than the right to look; running something is more than that.
static ApiStatus *may_create(ApiRequest *request) {
    Attributes attributes = attributes_of(request);
    Str reason;
    attributes.verb = STR("create");
    if (authorize(request->api->authorizer, request->arena, &attributes, &reason))
        return NULL;
    return authz_forbidden(request->arena, &attributes, reason);
}

static void stream_parameters(ApiRequest *request, const Value *options, Buf *query) {
    static const struct {
        const char *ours, *nodes;
    } flags[] = {{"stdin", "input"}, {"stdout", "output"}, {"stderr", "error"}, {"tty", "tty"}};
    for (size_t i = 0; i < 4; i++) {
        if (value_bool_at(options, flags[i].ours, false))
            add_parameter(query, request->arena, flags[i].nodes, STR("1"));
    }
    const Value *command = value_get(options, STR("command"));
    for (uint32_t i = 0; command && command->kind == VALUE_ARRAY && i < command->n; i++)
        add_parameter(query, request->arena, "command", command->items[i]->string);
}

static void port_parameters(ApiRequest *request, Buf *query) {
    const Str *ports;
    size_t n = http_query_all(request->http, STR("ports"), &ports);
    for (size_t i = 0; i < n; i++)
        add_parameter(query, request->arena, "port", ports[i]);
}

static void stream_admitted(ApiRequest *request, const Value *options) {
    Arena *arena = request->arena;
    bool forward = str_eq(request->info.subresource, STR("portforward"));
    const Value *pod = find_pod(request);
    if (!pod)
        return;
    ApiStatus *refused = NULL;
    Str container = STR_NONE;
    if (!forward)
        refused =
            choose_container(request, pod, value_string_at(options, "container"), &container);
    Str node = value_string_at(pod, "spec.nodeName");
    if (!refused && !node.len)
        refused =
            status_bad_request(arena, arena_printf(arena, "pod %.*s does not have a host assigned",
                                                   STR_ARG(request->info.name)));
    if (!refused && !http_header_has_token(request->http, STR("Connection"), STR("upgrade")))
        refused = status_bad_request(arena, STR("Upgrade request required"));
    if (refused) {
        request_status(request, refused);
        return;
    }
    Buf query = BUF_INIT(256 * 1024);
    if (forward)
        port_parameters(request, &query);
    else
        stream_parameters(request, options, &query);
    const char *path = forward                                          ? "portForward"
                       : str_eq(request->info.subresource, STR("exec")) ? "exec"
                                                                        : "attach";
    Str target = target_of(arena, path, request, container, &query);
    buf_deinit(&query);
    send(node_call_new(request), node, target, true);
}

void pod_stream(ApiRequest *request) {
    ApiStatus *refused = may_create(request);
    if (refused)
        request_status(request, refused);
    else
        connect_admit(request, stream_admitted);
}

// ---- nodes/NAME/proxy/PATH

static void proxy_admitted(ApiRequest *request, const Value *options) {
    Str path = request->info.tail.len ? request->info.tail : STR("/");
    Str query = request->http->query;
    Str target =
        query.len ? arena_printf(request->arena, "%.*s?%.*s", STR_ARG(path), STR_ARG(query)) : path;
    send(node_call_new(request), request->info.name, target,
         http_header_has_token(request->http, STR("Connection"), STR("upgrade")));
}

void node_proxy(ApiRequest *request) {
    connect_admit(request, proxy_admitted);
}
