// pods/NAME/proxy and services/NAME/proxy: the API server passes a request on to what a pod, or one
// of a service's endpoints, serves by HTTP (upstream's registry/core/{pod,service} ProxyREST and
// apimachinery's util/proxy).
// https://kubernetes.io/docs/tasks/access-application-cluster/access-cluster-services/

#include <arpa/inet.h>

#include "api/auth/authz.h"
#include "api/proxy_html.h"
#include "api/server.h"
#include "api/subresources.h"
#include "http/client.h"

typedef struct Backend { // where to
    Str host;
    uint16_t port;
    bool tls;
} Backend;

typedef struct BackendCall {
    ApiRequest *request;
    HttpClient *client;
    HttpCall *call;
    ProxyHtml *html; // of a page whose links are being rewritten
    Backend backend;
    Str prefix; // "/api/v1/namespaces/default/pods/web:80/proxy"
    bool head_sent;
} BackendCall;

static void free_call(void *user) {
    BackendCall *self = user;
    http_client_free(self->client);
    proxy_html_free(self->html);
}

// ---- which backend

typedef struct Target { // "https:web:443"
    Str scheme, name, port;
} Target;

// apimachinery's util/net SplitSchemeNamePort.
static bool split_target(Str id, Target *ret) {
    Str parts[3] = {STR_NONE}, rest = id;
    size_t n = 0;
    while (rest.ptr && n < 3)
        parts[n++] = str_cut(&rest, ':');
    if (rest.ptr)
        return false;
    *ret = (Target){STR(""), parts[n == 3 ? 1 : 0], n == 1 ? STR("") : parts[n - 1]};
    if (n == 3)
        ret->scheme = parts[0];
    return ret->name.len && (!ret->scheme.len || str_eq(ret->scheme, STR("http")) ||
                             str_eq(ret->scheme, STR("https")));
}

// Not the node's own loopback, nor a cloud's metadata.
static bool is_allowed(Str text) {
    char buffer[INET_ADDRSTRLEN] = {0};
    struct in_addr address;
    if (text.len >= sizeof buffer)
        return false;
    memcpy(buffer, text.ptr, text.len);
    if (inet_pton(AF_INET, buffer, &address) != 1)
        return false;
    uint32_t ip = ntohl(address.s_addr);
    return ip && ip != UINT32_MAX && ip >> 24 != 127 && ip >> 16 != 0xa9fe && ip >> 28 != 14;
}

static ApiStatus *not_allowed(ApiRequest *request) {
    return status_bad_request(request->arena, STR("address not allowed"));
}

static bool port_number(Str text, uint16_t *ret) {
    uint64_t number;
    if (str_to_u64(text, &number) || number < 1 || number > 65535)
        return false;
    *ret = (uint16_t)number;
    return true;
}

static uint16_t first_port(const Value *pod) {
    const Value *containers = value_at(pod, "spec.containers");
    for (uint32_t i = 0; containers && i < containers->n; i++) {
        const Value *ports = value_get(containers->items[i], STR("ports"));
        if (ports && ports->n)
            return (uint16_t)value_int_at(ports->items[0], "containerPort", 0);
    }
    return 0;
}

static ApiStatus *find_pod(ApiRequest *request, const Target *target, Backend *ret) {
    Arena *arena = request->arena;
    CachedObject *object =
        cache_get(request->served->cache, request->info.namespace_, target->name);
    if (!object)
        return request_not_found(request, target->name);
    const Value *pod = object_decode(arena, object);
    ret->host = value_string_at(pod, "status.podIP");
    if (!ret->host.len || !is_allowed(ret->host))
        return not_allowed(request);
    ret->tls = str_eq(target->scheme, STR("https"));
    ret->port = first_port(pod);
    if (target->port.len && !port_number(target->port, &ret->port))
        return status_bad_request(arena, arena_printf(arena, "invalid pod request \"%.*s\"",
                                                      STR_ARG(request->info.name)));
    if (!ret->port)
        ret->port = ret->tls ? 443 : 80;
    return NULL;
}

// The name of the service's port: it may be asked for by number.
static ApiStatus *name_port(ApiRequest *request, const Value *service, const Target *target,
                            Str *ret) {
    Arena *arena = request->arena;
    const Value *ports = value_at(service, "spec.ports");
    uint16_t number;
    *ret = target->port;
    if (!port_number(target->port, &number))
        return NULL;
    for (uint32_t i = 0; ports && i < ports->n; i++) {
        if (value_int_at(ports->items[i], "port", 0) == number) {
            Str name = value_string_at(ports->items[i], "name");
            *ret = name.ptr ? name : STR("");
            return NULL;
        }
    }
    return status_unavailable(arena,
                              arena_printf(arena, "no service port %u found for service \"%.*s\"",
                                           number, STR_ARG(target->name)));
}

typedef struct Candidates {
    Backend *items;
    size_t n;
} Candidates;

static void add_subset(Arena *arena, const Value *subset, Str port_name, Candidates *all) {
    const Value *ports = value_get(subset, STR("ports"));
    const Value *addresses = value_get(subset, STR("addresses"));
    for (uint32_t i = 0; ports && i < ports->n; i++) {
        Str name = value_string_at(ports->items[i], "name");
        if (!str_eq(name, port_name))
            continue;
        for (uint32_t j = 0; addresses && j < addresses->n; j++) {
            size_t old = all->n * sizeof *all->items;
            all->items = arena_grow(arena, all->items, old, old + sizeof *all->items);
            all->items[all->n++] =
                (Backend){.host = value_string_at(addresses->items[j], "ip"),
                          .port = (uint16_t)value_int_at(ports->items[i], "port", 0)};
        }
    }
}

static ApiStatus *find_service(ApiRequest *request, const Target *target, Backend *ret) {
    Arena *arena = request->arena;
    Str port, namespace_ = request->info.namespace_;
    CachedObject *object = cache_get(request->served->cache, namespace_, target->name);
    if (!object)
        return request_not_found(request, target->name);
    ApiStatus *refused = name_port(request, object_decode(arena, object), target, &port);
    if (refused)
        return refused;
    CachedObject *endpoints = cache_get(
        registry_cache(request->api->registry, STR("core/endpoints")), namespace_, target->name);
    const Value *subsets =
        endpoints ? value_get(object_decode(arena, endpoints), STR("subsets")) : NULL;
    Candidates all = {0};
    for (uint32_t i = 0; subsets && i < subsets->n; i++)
        add_subset(arena, subsets->items[i], port, &all);
    if (!all.n)
        return status_unavailable(arena,
                                  arena_printf(arena, "no endpoints available for service \"%.*s\"",
                                               STR_ARG(target->name)));
    *ret = all.items[loop_random(request->api->loop) % all.n];
    ret->tls = str_eq(target->scheme, STR("https"));
    return is_allowed(ret->host) ? NULL : not_allowed(request);
}

// ---- the answer

static bool is_hop(Str name) { // headers of one connection, RFC 9110 section 7.6.1
    static const char *const names[] = {"Connection", "Keep-Alive",        "Proxy-Connection",
                                        "TE",         "Transfer-Encoding", "Trailer",
                                        "Upgrade",    "Content-Length",    "Proxy-Authenticate"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_eq_nocase(name, str_from(names[i])))
            return true;
    return false;
}

static Str header_of(const HttpHeader *headers, size_t n, Str name) {
    for (size_t i = 0; i < n; i++)
        if (str_eq_nocase(headers[i].name, name))
            return headers[i].value;
    return STR("");
}

static Str authority(Arena *arena, const Backend *backend) {
    return arena_printf(arena, "%.*s:%u", STR_ARG(backend->host), backend->port);
}

// A place on the backend becomes one below the proxy.
static Str rewrite_location(BackendCall *self, Str location) {
    Arena *arena = self->request->arena;
    Str origin = arena_printf(arena, "%s://%.*s", self->backend.tls ? "https" : "http",
                              STR_ARG(authority(arena, &self->backend)));
    if (str_starts_with(location, origin))
        location = str_slice(location, origin.len, location.len);
    if (!str_starts_with(location, STR("/")) || str_starts_with(location, STR("//")) ||
        str_starts_with(location, self->prefix))
        return location;
    return arena_printf(arena, "%.*s%.*s", STR_ARG(self->prefix), STR_ARG(location));
}

static void on_head(void *user, int status, const HttpHeader *headers, size_t n) {
    BackendCall *self = user;
    Arena *arena = self->request->arena;
    HttpHeader *passed = arena_array_of(arena, HttpHeader, n + 1);
    size_t n_passed = 0;
    Str type = header_of(headers, n, STR("Content-Type"));
    bool plain = !header_of(headers, n, STR("Content-Encoding")).len;
    if (plain && str_starts_with(type, STR("text/html")))
        self->html = proxy_html_new(self->prefix, authority(arena, &self->backend));
    for (size_t i = 0; i < n; i++) {
        HttpHeader header = {arena_str(arena, headers[i].name), arena_str(arena, headers[i].value)};
        if (is_hop(header.name))
            continue;
        if (str_eq_nocase(header.name, STR("Location")))
            header.value = rewrite_location(self, header.value);
        passed[n_passed++] = header;
    }
    self->head_sent = true;
    self->request->status = status;
    http_respond_head(self->request->http, status, passed, n_passed);
}

static void send_data(BackendCall *self, Str data) {
    if (!data.len)
        return;
    _bytes_unref_ Bytes *bytes = bytes_new(data.ptr, data.len);
    http_respond_data(self->request->http, bytes);
    if (self->call && http_respond_queued(self->request->http) >= STREAM_HIGH_WATER)
        http_call_pause(self->call, true);
}

static void on_data(void *user, Str data) {
    BackendCall *self = user;
    send_data(self, self->html ? proxy_html_feed(self->html, data) : data);
}

static void on_done(void *user, int error, Str message) {
    BackendCall *self = user;
    Arena *arena = self->request->arena;
    self->call = NULL;
    if (self->head_sent && error) {
        http_respond_abort(self->request->http);
    } else if (self->head_sent) {
        if (self->html)
            send_data(self, proxy_html_end(self->html));
        http_respond_end(self->request->http);
    } else {
        request_status(
            self->request,
            status_unavailable(arena, arena_printf(arena, "error trying to reach service: %.*s",
                                                   STR_ARG(message))));
    }
}

static void on_upgrade(void *user, Stream *stream, const HttpHeader *headers, size_t n) {
    BackendCall *self = user;
    ApiRequest *request = self->request;
    HttpHeader *passed = arena_array_of(request->arena, HttpHeader, n + 1);
    self->call = NULL;
    for (size_t i = 0; i < n; i++)
        passed[i] = (HttpHeader){arena_str(request->arena, headers[i].name),
                                 arena_str(request->arena, headers[i].value)};
    Stream *client = http_upgrade(request->http, passed, n);
    if (client) {
        stream_splice(client, stream, STR(""), NULL, NULL);
        return;
    }
    stream_abort(stream);
    request_status(request, status_bad_request(request->arena, STR("Upgrade request required")));
}

static void on_drain(ApiRequest *request) {
    BackendCall *self = request->state;
    if (self->call)
        http_call_pause(self->call, false);
}

static void on_close(ApiRequest *request, bool completed) {
    BackendCall *self = request->state;
    if (self->call)
        http_call_cancel(self->call);
    self->call = NULL;
}

// ---- the question

// Neither who the client is nor an encoding that would hide links.
static bool is_kept_back(Str name) {
    static const char *const names[] = {"Authorization",    "Host",
                                        "Accept-Encoding",  "X-Forwarded-Uri",
                                        "X-Forwarded-Host", "X-Forwarded-Proto"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_eq_nocase(name, str_from(names[i])))
            return true;
    return name.len > 12 && str_eq_nocase(str_slice(name, 0, 12), STR("Impersonate-"));
}

static size_t request_headers_of(BackendCall *self, bool upgrade, HttpHeader **ret) {
    const HttpRequest *http = self->request->http;
    Arena *arena = self->request->arena;
    HttpHeader *headers = arena_array_of(arena, HttpHeader, http->n_headers + 4);
    size_t n = 0;
    for (size_t i = 0; i < http->n_headers; i++) {
        Str name = http->headers[i].name;
        bool upgrades = upgrade && (str_eq_nocase(name, STR("Connection")) ||
                                    str_eq_nocase(name, STR("Upgrade")));
        if (!is_kept_back(name) && (!is_hop(name) || upgrades))
            headers[n++] = http->headers[i];
    }
    Str host = http_header(http, STR("Host"));
    headers[n++] = (HttpHeader){STR("X-Forwarded-Uri"), http->path};
    headers[n++] = (HttpHeader){STR("X-Forwarded-Host"), host.ptr ? host : STR("")};
    headers[n++] = (HttpHeader){STR("X-Forwarded-Proto"), STR("https")};
    *ret = headers;
    return n;
}

static ApiStatus *open_client(BackendCall *self) {
    TlsContext *tls = NULL;
    // As upstream: what pods serve is not signed by the cluster.
    int error = self->backend.tls ? tls_client_context_unverified(STR(""), false, &tls) : 0;
    if (!error) {
        HttpClientConfig config = {.loop = self->request->api->loop,
                                   .host = self->backend.host,
                                   .port = self->backend.port,
                                   .tls = tls};
        error = http_client_new(&config, &self->client);
    }
    if (tls)
        tls_context_unref(tls);
    return error ? request_internal(self->request, "error dialing backend", error) : NULL;
}

// What follows "/proxy" in the URL as it was sent.
static Str split_path(Str path, size_t steps, Str *ret_prefix) {
    size_t at = 0;
    for (; steps && at < path.len; steps--) {
        while (at < path.len && path.ptr[at] == '/')
            at++;
        while (at < path.len && path.ptr[at] != '/')
            at++;
    }
    *ret_prefix = str_slice(path, 0, at);
    return str_slice(path, at, path.len);
}

static void redirect(ApiRequest *request) {
    const HttpRequest *http = request->http;
    Str to = arena_printf(request->arena, "%.*s/%s%.*s", STR_ARG(http->path),
                          http->query.len ? "?" : "", STR_ARG(http->query));
    const HttpHeader header = {STR("Location"), to};
    request->status = 301;
    http_respond_with(request->http, 301, &header, 1, NULL);
}

static void call_backend(BackendCall *self, Str tail) {
    static const HttpCallEvents events = {
        .on_head = on_head, .on_data = on_data, .on_done = on_done, .on_upgrade = on_upgrade};
    ApiRequest *request = self->request;
    const HttpRequest *http = request->http;
    bool upgrade = http_header_has_token(http, STR("Connection"), STR("upgrade"));
    HttpHeader *headers;
    size_t n = request_headers_of(self, upgrade, &headers);
    _bytes_unref_ Bytes *body = http->body.len ? bytes_new(http->body.ptr, http->body.len) : NULL;
    HttpCallSpec spec = {.method = http->method,
                         .target = arena_printf(request->arena, "%.*s%s%.*s", STR_ARG(tail),
                                                http->query.len ? "?" : "", STR_ARG(http->query)),
                         .headers = headers,
                         .n_headers = n,
                         .body = body,
                         .upgrade = upgrade};
    request->state = self;
    request->on_drain = on_drain;
    request->on_close = on_close;
    self->call = http_call(self->client, &spec, &events, self);
}

#define STEPS_TO_PROXY 7 // api, v1, namespaces, NS, pods, NAME, proxy

static void proxy(ApiRequest *request,
                  ApiStatus *(*find)(ApiRequest *, const Target *, Backend *)) {
    BackendCall *self = arena_new_of(request->arena, BackendCall);
    Target target;
    self->request = request;
    Str tail = split_path(request->http->path, STEPS_TO_PROXY, &self->prefix);
    if (!split_target(request->info.name, &target)) {
        request_status(request,
                       status_bad_request(
                           request->arena,
                           arena_printf(request->arena, "invalid %.*s request \"%.*s\"",
                                        (int)request->info.resource.len - 1,
                                        request->info.resource.ptr, STR_ARG(request->info.name))));
        return;
    }
    ApiStatus *refused = find(request, &target, &self->backend);
    if (!refused && !tail.len) { // so that relative links lead below it
        redirect(request);
        return;
    }
    arena_defer(request->arena, free_call, self);
    if (!refused)
        refused = open_client(self);
    if (refused)
        request_status(request, refused);
    else
        call_backend(self, tail);
}

static void pod_admitted(ApiRequest *request, const Value *options) {
    proxy(request, find_pod);
}

static void service_admitted(ApiRequest *request, const Value *options) {
    proxy(request, find_service);
}

void pod_proxy(ApiRequest *request) {
    connect_admit(request, pod_admitted);
}

void service_proxy(ApiRequest *request) {
    connect_admit(request, service_admitted);
}
