#include "api/request.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "api/output.h"
#include "api/output_protobuf.h"
#include "api/server.h"
#include "base/memory.h"
#include "base/metrics.h"

// ---- waiting

// What a store call keeps of the request: the request may be gone when the answer comes.
typedef struct Ticket {
    ListLink link;
    ApiRequest *request; // NULL once it is gone
    StoreStep step;
    void *user;
} Ticket;

static Ticket *ticket_new(ApiRequest *request, StoreStep step, void *user) {
    Ticket *ticket = memory_new(Ticket);
    ticket->request = request;
    ticket->step = step;
    ticket->user = user;
    list_append(&request->tickets, &ticket->link);
    return ticket;
}

static void ticket_done(void *user, int error, const StoreResult *result) {
    Ticket *ticket = user;
    if (ticket->request) {
        list_remove(&ticket->link);
        ticket->step(ticket->request, ticket->user, error, result);
    }
    free(ticket);
}

void request_store_get(ApiRequest *request, Str key, StoreStep step, void *user) {
    store_get(request->api->store, key, ticket_done, ticket_new(request, step, user));
}

void request_store_put(ApiRequest *request, Str key, Bytes *value, int64_t expected, unsigned flags,
                       StoreStep step, void *user) {
    store_put(request->api->store, key, value, expected, flags, ticket_done,
              ticket_new(request, step, user));
}

void request_store_remove(ApiRequest *request, Str key, int64_t expected, StoreStep step,
                          void *user) {
    store_remove(request->api->store, key, expected, ticket_done, ticket_new(request, step, user));
}

void request_store_range(ApiRequest *request, Str prefix, Str from, int64_t revision, size_t limit,
                         StoreStep step, void *user) {
    store_range(request->api->store, prefix, from, revision, limit, ticket_done,
                ticket_new(request, step, user));
}

typedef struct Waiter {
    ListLink link; // in api->waiting
    ListLink in_request;
    ApiRequest *request;
    int64_t revision;
    LoopTimer timer;
    RevisionStep step;
    void *user;
} Waiter;

static void waiter_end(Waiter *waiter) {
    list_remove(&waiter->link);
    list_remove(&waiter->in_request);
    loop_timer_stop(&waiter->timer);
}

static void waiter_timeout(void *user) {
    Waiter *waiter = user;
    waiter_end(waiter);
    waiter->step(waiter->request, waiter->user, -ETIMEDOUT);
}

void request_wait_revision(ApiRequest *request, int64_t revision, int64_t timeout_ns,
                           RevisionStep step, void *user) {
    Api *api = request->api;
    if (api->revision >= revision) {
        step(request, user, 0);
        return;
    }
    Waiter *waiter = arena_new_of(request->arena, Waiter);
    waiter->request = request;
    waiter->revision = revision;
    waiter->step = step;
    waiter->user = user;
    loop_timer_init(&waiter->timer, api->loop, waiter_timeout, waiter);
    if (timeout_ns)
        loop_timer_start(&waiter->timer, timeout_ns);
    list_append(&api->waiting, &waiter->link);
    list_append(&request->waiters, &waiter->in_request);
}

void api_revision_reached(Api *api) {
    // A step may end its request, and with it other waiters: first set the ready ones apart.
    List ready;
    list_init(&ready);
    Waiter *waiter;
    list_for_each(waiter, &api->waiting, link) {
        if (waiter->revision > api->revision)
            continue;
        list_remove(&waiter->link);
        list_append(&ready, &waiter->link);
    }
    while (!list_is_empty(&ready)) {
        waiter = container_of(list_first(&ready), Waiter, link);
        waiter_end(waiter);
        waiter->step(waiter->request, waiter->user, 0);
    }
}

// ---- the exchange

static void drain(HttpRequest *http) {
    ApiRequest *request = http->user;
    if (request->on_drain)
        request->on_drain(request);
}

static void leave(ApiRequest *request) {
    Api *api = request->api;
    if (request->in_flight == IN_FLIGHT_READ)
        api->reading--;
    if (request->in_flight == IN_FLIGHT_WRITE)
        api->writing--;
    request->in_flight = IN_FLIGHT_FREE;
    Ticket *ticket;
    list_for_each(ticket, &request->tickets, link) {
        list_remove(&ticket->link);
        ticket->request = NULL;
    }
    Waiter *waiter;
    list_for_each(waiter, &request->waiters, in_request) waiter_end(waiter);
}

// Names, labels and bounds are those of apiserver's pkg/endpoints/metrics/metrics.go, which
// dashboards and alerts know.
#define REQUEST_LABELS "verb,dry_run,group,version,resource,subresource,scope,component"
static Metric requests = {
    .name = "apiserver_request_total",
    .help = "Requests that were answered, by what was asked for and HTTP status.",
    .kind = METRIC_COUNTER,
    .labels = REQUEST_LABELS ",code",
};
static const double seconds[] = {0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1,  1.25, 1.5, 2,
                                 3,     4,     5,    6,   8,   10,  15,  20,  30, 45,   60};
static Metric durations = {
    .name = "apiserver_request_duration_seconds",
    .help = "Seconds from a request to the end of its answer.",
    .kind = METRIC_HISTOGRAM,
    .labels = REQUEST_LABELS,
    .bounds = seconds,
    .n_bounds = sizeof seconds / sizeof *seconds,
};

static Str reported_verb(const ApiRequest *request) {
    static const struct {
        const char *verb;
        Str shown;
    } verbs[] = {
        {"get", STR("GET")},       {"list", STR("LIST")},
        {"watch", STR("WATCH")},   {"create", STR("POST")},
        {"update", STR("PUT")},    {"patch", STR("PATCH")},
        {"delete", STR("DELETE")}, {"deletecollection", STR("DELETECOLLECTION")},
    };
    if (str_eq(request->info.verb, STR("patch")) &&
        str_eq(media_type(http_header(request->http, STR("Content-Type"))),
               STR("application/apply-patch+yaml")))
        return STR("APPLY");
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (str_eq(request->info.verb, str_from(verbs[i].verb)))
            return verbs[i].shown;
    return STR("other");
}

static void count(const ApiRequest *request) {
    if (!request->served || !request->status) // what is no resource could have any name
        return;
    const RequestInfo *info = &request->info;
    const char *scope = info->name.len || str_eq(info->verb, STR("create")) ? "resource"
                        : info->namespace_.len                              ? "namespace"
                                                                            : "cluster";
    Str labels =
        arena_printf(request->arena, "%.*s,%s,%.*s,%.*s,%.*s,%.*s,%s,apiserver",
                     STR_ARG(reported_verb(request)), request->dry_run ? "All" : "",
                     STR_ARG(info->group), STR_ARG(info->version), STR_ARG(info->resource),
                     STR_ARG(request->subresource ? request->subresource->name : STR("")), scope);
    double took = (double)(loop_now(request->api->loop) - request->started) / NSEC_PER_SEC;
    metric_observe(&durations, labels, took);
    metric_add(&requests, arena_printf(request->arena, "%.*s,%d", STR_ARG(labels), request->status),
               1);
}

static void closed(HttpRequest *http, bool completed) {
    ApiRequest *request = http->user;
    leave(request);
    count(request);
    if (request->on_close)
        request->on_close(request, completed);
    list_remove(&request->link);
}

void request_abort(ApiRequest *request) {
    HttpRequest *http = request->http;
    closed(http, false);
    http->on_close = NULL;
    http->on_drain = NULL;
    http_respond_abort(http);
}

ApiRequest *api_request_new(Api *api, HttpRequest *http) {
    ApiRequest *request = arena_new_of(http->arena, ApiRequest);
    request->api = api;
    request->http = http;
    request->arena = http->arena;
    request->started = loop_now(api->loop);
    request->field_manager = STR("");
    list_init(&request->tickets);
    list_init(&request->waiters);
    list_append(&api->requests, &request->link);
    http->user = request;
    http->on_drain = drain;
    http->on_close = closed;
    return request;
}

static void release_kind(void *user) {
    served_kind_unref(user);
}

static void release_written_kind(void *user) {
    ServedKind *kind = user;
    if (--kind->writing == 0 && kind->idle)
        kind->idle(kind);
    served_kind_unref(kind);
}

void request_serve(ApiRequest *request, const ServedResource *served) {
    request->served = served;
    if (!served || !served->kind)
        return;
    ServedKind *kind = served_kind_ref(served->kind);
    Str verb = request->info.verb;
    bool reads =
        str_eq(verb, STR("get")) || str_eq(verb, STR("list")) || str_eq(verb, STR("watch"));
    kind->writing += !reads;
    arena_defer(request->arena, reads ? release_kind : release_written_kind, kind);
}

// ---- answering

void request_warn(ApiRequest *request, Str text) {
    ValuePaths *warnings = &request->warnings;
    for (size_t i = 0; i < warnings->n; i++) {
        if (str_eq(warnings->paths[i], text))
            return;
    }
    if (warnings->n >= REQUEST_MAX_HEADERS - 4)
        return; // upstream, too, stops at a bound
    warnings->paths = arena_grow(request->arena, warnings->paths, warnings->n * sizeof(Str),
                                 (warnings->n + 1) * sizeof(Str));
    warnings->paths[warnings->n++] = text;
}

// RFC 7234 section 5.5: code, agent, quoted text.
static Str warning_value(Arena *arena, Str text) {
    Buf buf = BUF_INIT(8192);
    buf_str(&buf, STR("299 - \""));
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '"' || c == '\\')
            buf_char(&buf, '\\');
        if ((unsigned char)c >= ' ' && c != 0x7f)
            buf_char(&buf, c);
    }
    buf_char(&buf, '"');
    Str value = arena_str(arena, buf_view(&buf));
    buf_deinit(&buf);
    return value;
}

size_t request_headers(ApiRequest *request, Str content_type, HttpHeader *headers) {
    size_t n = 0;
    headers[n++] = (HttpHeader){STR("Cache-Control"), STR("no-cache, private")};
    headers[n++] = (HttpHeader){STR("Content-Type"), content_type};
    for (size_t i = 0; i < request->warnings.n; i++)
        headers[n++] =
            (HttpHeader){STR("Warning"), warning_value(request->arena, request->warnings.paths[i])};
    assert(n < REQUEST_MAX_HEADERS);
    return n;
}

void request_head(ApiRequest *request, int code, Str content_type) {
    HttpHeader headers[REQUEST_MAX_HEADERS];
    request->status = code;
    http_respond_head(request->http, code, headers,
                      request_headers(request, content_type, headers));
}

static void answer(ApiRequest *request, int code, Str content_type, Bytes *body, int retry_after) {
    HttpHeader headers[REQUEST_MAX_HEADERS + 1];
    size_t n = request_headers(request, content_type, headers);
    if (retry_after)
        headers[n++] =
            (HttpHeader){STR("Retry-After"), arena_printf(request->arena, "%d", retry_after)};
    request->status = code;
    leave(request);
    http_respond_with(request->http, code, headers, n, body);
}

void request_json(ApiRequest *request, int code, Bytes *json) {
    answer(request, code, output_media_type(&request->output), json, 0);
}

static void answer_value(ApiRequest *request, int code, const Value *value, int retry_after) {
    if (request->output.protobuf) {
        _bytes_unref_ Bytes *encoded = output_protobuf(request, request->arena, value);
        if (encoded) {
            answer(request, code, STR(PROTOBUF_MEDIA_TYPE), encoded, retry_after);
            return;
        }
        request->output.protobuf = false; // as upstream's encoder says it, in JSON
        request_status(request, status_not_acceptable(
                                    request->arena,
                                    STR("the answer cannot be encoded to a protobuf message")));
        return;
    }
    Buf buf = BUF_INIT(SIZE_MAX);
    output_write(value, request->output.pretty, &buf);
    _bytes_unref_ Bytes *body = buf_bytes(&buf);
    buf_deinit(&buf);
    answer(request, code, output_media_type(&request->output), body, retry_after);
}

void request_status(ApiRequest *request, const ApiStatus *status) {
    answer_value(request, status->code, status_to_value(request->arena, status),
                 status->retry_after_seconds);
}

void request_body(ApiRequest *request, int code, Str content_type, Bytes *body) {
    answer(request, code, content_type, body, 0);
}

void request_text(ApiRequest *request, int code, Str text) {
    _bytes_unref_ Bytes *body = bytes_new(text.ptr, text.len);
    answer(request, code, STR("text/plain; charset=utf-8"), body, 0);
}

void request_success(ApiRequest *request, int code, Str kind, Str name, Str uid) {
    Arena *arena = request->arena;
    Value *status = value_new_object(arena);
    value_set_str(arena, status, STR("kind"), STR("Status"));
    value_set_str(arena, status, STR("apiVersion"), STR("v1"));
    value_set(arena, status, STR("metadata"), value_new_object(arena));
    value_set_str(arena, status, STR("status"), STR("Success"));
    Value *details = value_new_object(arena);
    if (name.len)
        value_set_str(arena, details, STR("name"), name);
    if (request->info.group.len)
        value_set_str(arena, details, STR("group"), request->info.group);
    value_set_str(arena, details, STR("kind"), kind);
    if (uid.len)
        value_set_str(arena, details, STR("uid"), uid);
    value_set(arena, status, STR("details"), details);
    if (code != 200)
        value_set_int(arena, status, STR("code"), code);
    answer_value(request, code, status, 0);
}

void request_object(ApiRequest *request, int code, const ServedResource *served, Value *object) {
    const ApiStatus *status = NULL;
    Value *shown = output_object(request, served, object, &status);
    if (status)
        request_status(request, status);
    else
        answer_value(request, code, shown, 0);
}

void request_cached(ApiRequest *request, int code, CachedObject *object) {
    const ServedResource *served = request->served;
    const Output *output = &request->output;
    if (output->kind == OUTPUT_OBJECT && !output->pretty && !output->protobuf &&
        served->resource == served->storage) {
        request_json(request, code, object->json);
        return;
    }
    Value *tree =
        output_from_storage(request->arena, served, object_decode(request->arena, object));
    request_object(request, code, served, tree);
}

// ---- options and statuses

static bool is_printable(Str s) {
    for (size_t i = 0; i < s.len; i++) {
        if ((unsigned char)s.ptr[i] < ' ' || s.ptr[i] == 0x7f)
            return false;
    }
    return true;
}

ApiStatus *request_write_options(ApiRequest *request, Str kind) {
    Arena *arena = request->arena;
    FieldErrors errors = {.arena = arena};
    Str manager = http_query(request->http, STR("fieldManager"));
    if (manager.len > 128)
        field_too_long(&errors, PATH(NULL, STR("fieldManager")), 128);
    else if (!is_printable(manager))
        field_invalid(&errors, PATH(NULL, STR("fieldManager")), manager,
                      "should only contain printable characters");
    request->field_manager = manager.ptr ? manager : STR("");

    const Str *dry_run;
    size_t n = http_query_all(request->http, STR("dryRun"), &dry_run);
    for (size_t i = 0; i < n; i++) {
        if (!str_eq(dry_run[i], STR("All")))
            field_not_supported(&errors, PATH(NULL, STR("dryRun")), dry_run[i], (Str[]){STR("All")},
                                1);
    }
    request->dry_run = n > 0;

    Str validation = http_query(request->http, STR("fieldValidation"));
    if (str_eq(validation, STR("Strict")))
        request->field_validation = FIELD_VALIDATION_STRICT;
    else if (str_eq(validation, STR("Ignore")))
        request->field_validation = FIELD_VALIDATION_IGNORE;
    else if (validation.len && !str_eq(validation, STR("Warn")))
        field_not_supported(&errors, PATH(NULL, STR("fieldValidation")), validation,
                            (Str[]){STR(""), STR("Ignore"), STR("Strict"), STR("Warn")}, 4);
    return errors.n ? status_invalid(arena, STR("meta.k8s.io"), kind, STR(""), &errors) : NULL;
}

ApiStatus *request_not_found(ApiRequest *request, Str name) {
    return status_not_found(request->arena, request->info.group, request->info.resource, name);
}

ApiStatus *request_forbidden(ApiRequest *request, Str name, Str why) {
    return status_forbidden(request->arena, request->info.group, request->info.resource, name, why);
}

ApiStatus *request_internal(ApiRequest *request, const char *what, int error) {
    return status_internal(request->arena,
                           error ? arena_printf(request->arena, "%s: %s", what, strerror(-error))
                                 : arena_printf(request->arena, "%s", what));
}

ApiStatus *request_store_error(ApiRequest *request, int error) {
    if (error == STORE_E_FULL)
        return status_internal(
            request->arena,
            STR("the disk that holds the data directory is full: nothing was written"));
    return request_internal(request, "the store failed", error < 0 ? error : 0);
}
