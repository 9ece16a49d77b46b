#include "client/client.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "schema/value.h"

// An answer larger than this is refused; lists are asked for in pages.
#define MAX_ANSWER (64 * 1024 * 1024)
// One watch event: an object of the maximal size and its frame.
#define MAX_WATCH_LINE (VALUE_MAX_BYTES * 2)

struct Client {
    Loop *loop;
    HttpClient *transport;
    Str user_agent;
    Arena *arena; // lives as long as the client
    List calls;
};

struct ClientCall {
    Client *client;
    ListLink link;
    HttpCall *http;
    int code;
    Buf answer; // the body; of a watch, what follows the last whole line
    ClientDone done;
    void *user;
    // Of watches only.
    void (*on_event)(void *user, Str type, Bytes *object);
    char event_type[16]; // of an event in parts, after its first
    Bytes *object;       // after its second
    bool cancelled, in_event;
};

Client *client_new(Loop *loop, HttpClient *transport, Str user_agent) {
    Client *client = calloc(1, sizeof *client);
    assert(client);
    client->loop = loop;
    client->transport = transport;
    client->arena = arena_new();
    client->user_agent = arena_str(client->arena, user_agent);
    list_init(&client->calls);
    return client;
}

Loop *client_loop(const Client *client) {
    return client->loop;
}

static void call_free(ClientCall *call) {
    list_remove(&call->link);
    buf_deinit(&call->answer);
    bytes_unref(call->object);
    free(call);
}

void client_free(Client *client) {
    if (!client)
        return;
    ClientCall *call;
    list_for_each(call, &client->calls, link) client_cancel(call);
    http_client_free(client->transport);
    arena_free(client->arena);
    free(client);
}

void client_cancel(ClientCall *call) {
    if (call->in_event) { // its own handler: freed when that returns
        call->cancelled = true;
        return;
    }
    http_call_cancel(call->http);
    call_free(call);
}

static void append_segment(Buf *path, Arena *arena, Str segment) {
    buf_char(path, '/');
    buf_str(path, http_percent_encode(arena, segment));
}

static Str target_path(Arena *arena, const ClientTarget *target, Str more_query) {
    const Resource *resource = target->resource;
    _buf_deinit_ Buf path = BUF_INIT(64 * 1024);
    buf_str(&path, resource->group.len ? STR("/apis") : STR("/api"));
    if (resource->group.len)
        append_segment(&path, arena, resource->group);
    append_segment(&path, arena, resource->version);
    if (resource->namespaced && target->namespace_.len) {
        buf_str(&path, STR("/namespaces"));
        append_segment(&path, arena, target->namespace_);
    }
    append_segment(&path, arena, resource->plural);
    if (target->name.len)
        append_segment(&path, arena, target->name);
    if (target->subresource.len)
        append_segment(&path, arena, target->subresource);
    char separator = '?';
    if (target->query.len) {
        buf_char(&path, separator);
        buf_str(&path, target->query);
        separator = '&';
    }
    if (more_query.len) {
        buf_char(&path, separator);
        buf_str(&path, more_query);
    }
    return arena_str(arena, buf_view(&path));
}

static void on_head(void *user, int status, const HttpHeader *headers, size_t n) {
    ((ClientCall *)user)->code = status;
}

static void on_data(void *user, Str data) {
    ClientCall *call = user;
    buf_str(&call->answer, data);
}

static void finish(ClientCall *call, int error, Str message) {
    _arena_free_ Arena *arena = arena_new();
    ClientResult result = {.error = error, .code = call->code, .arena = arena};
    result.body = buf_view(&call->answer);
    if (!error && call->answer.failed)
        result.error = -EMSGSIZE;
    else if (!error && call->code >= 400) {
        result.error = CLIENT_E_STATUS;
        result.status = status_from_body(arena, call->code, result.body);
    }
    if (result.error < 0)
        log_debug("client", "request failed", "error=\"%s\" message=\"%.*s\"",
                  strerror(-result.error), STR_ARG(message));
    ClientDone done = call->done;
    void *done_user = call->user;
    list_remove(&call->link); // a cancel from the callback must not find it
    if (done)
        done(done_user, &result);
    call_free(call);
}

static void on_done(void *user, int error, Str message) {
    ClientCall *call = user;
    call->in_event = true; // a cancel in the callback of a finished call does nothing more
    finish(call, error, message);
}

static const HttpCallEvents plain_events = {
    .on_head = on_head, .on_data = on_data, .on_done = on_done};

static ClientCall *start(Client *client, const char *method, const ClientTarget *target,
                         Str more_query, Str content_type, Str body, size_t max_answer,
                         const HttpCallEvents *events, ClientDone done, void *user) {
    _arena_free_ Arena *arena = arena_new();
    ClientCall *call = calloc(1, sizeof *call);
    assert(call);
    call->client = client;
    call->answer = BUF_INIT(max_answer);
    call->done = done;
    call->user = user;
    list_append(&client->calls, &call->link);
    HttpHeader headers[3] = {{STR("User-Agent"), client->user_agent},
                             {STR("Accept"), STR("application/json")},
                             {STR("Content-Type"), content_type}};
    _bytes_unref_ Bytes *bytes = body.len ? bytes_new(body.ptr, body.len) : NULL;
    HttpCallSpec spec = {.method = str_from(method),
                         .target = target_path(arena, target, more_query),
                         .headers = headers,
                         .n_headers = bytes ? 3 : 2,
                         .body = bytes};
    call->http = http_call(client->transport, &spec, events, call);
    return call;
}

#define JSON STR("application/json")

ClientCall *client_get(Client *client, const ClientTarget *target, ClientDone done, void *user) {
    assert(target->name.len);
    return start(client, "GET", target, STR_NONE, JSON, STR_NONE, MAX_ANSWER, &plain_events, done,
                 user);
}

ClientCall *client_list(Client *client, const ClientTarget *target, ClientDone done, void *user) {
    assert(!target->name.len);
    return start(client, "GET", target, STR_NONE, JSON, STR_NONE, MAX_ANSWER, &plain_events, done,
                 user);
}

ClientCall *client_create(Client *client, const ClientTarget *target, Str body, ClientDone done,
                          void *user) {
    return start(client, "POST", target, STR_NONE, JSON, body, MAX_ANSWER, &plain_events, done,
                 user);
}

ClientCall *client_update(Client *client, const ClientTarget *target, Str body, ClientDone done,
                          void *user) {
    assert(target->name.len);
    return start(client, "PUT", target, STR_NONE, JSON, body, MAX_ANSWER, &plain_events, done,
                 user);
}

ClientCall *client_patch(Client *client, const ClientTarget *target, PatchKind kind, Str body,
                         ClientDone done, void *user) {
    static const char *const types[] = {
        [PATCH_JSON] = "application/json-patch+json",
        [PATCH_MERGE] = "application/merge-patch+json",
        [PATCH_STRATEGIC] = "application/strategic-merge-patch+json",
        [PATCH_APPLY] = "application/apply-patch+yaml",
    };
    assert(target->name.len);
    return start(client, "PATCH", target, STR_NONE, str_from(types[kind]), body, MAX_ANSWER,
                 &plain_events, done, user);
}

ClientCall *client_delete(Client *client, const ClientTarget *target, Str options, ClientDone done,
                          void *user) {
    assert(target->name.len);
    return start(client, "DELETE", target, STR_NONE, JSON, options, MAX_ANSWER, &plain_events, done,
                 user);
}

ClientCall *client_delete_collection(Client *client, const ClientTarget *target, ClientDone done,
                                     void *user) {
    assert(!target->name.len);
    return start(client, "DELETE", target, STR_NONE, JSON, STR_NONE, MAX_ANSWER, &plain_events,
                 done, user);
}

// A frame is {"type":"ADDED","object":{...}}. Every server writes it in this order and without
// spaces, so the object is cut out as it stands; any other spelling is parsed.
static bool split_event(Arena *arena, Str line, Str *ret_type, Str *ret_object) {
    static const Str head = {"{\"type\":\"", 9}, middle = {"\",\"object\":", 11};
    if (str_starts_with(line, head) && str_ends_with(line, STR("}"))) {
        Str rest = str_slice(line, head.len, line.len);
        ptrdiff_t quote = str_find(rest, '"');
        if (quote > 0 && str_starts_with(str_slice(rest, (size_t)quote, rest.len), middle)) {
            *ret_type = str_slice(rest, 0, (size_t)quote);
            *ret_object = str_trim(str_slice(rest, (size_t)quote + middle.len, rest.len - 1));
            return true;
        }
    }
    Value *frame;
    ParseError error;
    if (value_parse_json(arena, line, NULL, &frame, &error) != 0 ||
        !value_get(frame, STR("object")))
        return false;
    *ret_type = value_string_at(frame, "type");
    Buf buf = BUF_INIT(MAX_WATCH_LINE);
    value_write_json(value_get(frame, STR("object")), &buf);
    *ret_object = arena_str(arena, buf_view(&buf));
    buf_deinit(&buf);
    return true;
}

// Hands whole lines on and keeps the rest. Returns false when the handler cancelled the call.
static bool deliver_lines(ClientCall *call) {
    size_t from = 0;
    Str all = buf_view(&call->answer);
    for (;;) {
        const char *newline = memchr(all.ptr + from, '\n', all.len - from);
        if (!newline)
            break;
        size_t to = (size_t)(newline - all.ptr);
        Str line = str_trim(str_slice(all, from, to)), type, object;
        from = to + 1;
        if (!line.len)
            continue;
        _arena_free_ Arena *arena = arena_new();
        if (!split_event(arena, line, &type, &object)) {
            type = STR("ERROR");
            object = STR("{\"kind\":\"Status\",\"status\":\"Failure\",\"code\":500,"
                         "\"message\":\"a watch event could not be read\"}");
        }
        _bytes_unref_ Bytes *bytes = bytes_new(object.ptr, object.len);
        call->on_event(call->user, type, bytes);
        if (call->cancelled)
            return false;
    }
    buf_consume(&call->answer, from);
    return true;
}

static void end_watch(ClientCall *call, int error, Str message) {
    HttpCall *http = call->http;
    call->in_event = true;
    http_call_cancel(http);
    finish(call, error, message);
}

static void on_watch_data(void *user, Str data) {
    ClientCall *call = user;
    buf_str(&call->answer, data);
    if (call->code != 200)
        return;
    call->in_event = true;
    bool goes_on = deliver_lines(call);
    call->in_event = false;
    if (goes_on && call->answer.failed) { // a line without end
        end_watch(call, -EMSGSIZE, STR("watch event too large"));
    } else if (!goes_on) {
        http_call_cancel(call->http);
        call_free(call);
    }
}

// `{"type":"ADDED","object":` alone: the object's block comes next, then "}\n".
static bool take_event_head(ClientCall *call, Str data) {
    static const Str head = {"{\"type\":\"", 9}, tail = {"\",\"object\":", 11};
    if (call->answer.len || !str_starts_with(data, head) || !str_ends_with(data, tail))
        return false;
    Str type = str_slice(data, head.len, data.len - tail.len);
    if (type.len >= sizeof call->event_type)
        return false;
    memcpy(call->event_type, type.ptr, type.len);
    call->event_type[type.len] = 0;
    return true;
}

static void on_watch_bytes(void *user, Bytes *data) {
    ClientCall *call = user;
    if (!call->event_type[0]) {
        if (call->code != 200 || !take_event_head(call, bytes_str(data)))
            on_watch_data(call, bytes_str(data));
        return;
    }
    if (!call->object) {
        call->object = bytes_ref(data);
        return;
    }
    _bytes_unref_ Bytes *object = call->object;
    call->object = NULL;
    if (!str_eq(bytes_str(data), STR("}\n"))) {
        end_watch(call, -EPROTO, STR("a watch event does not end"));
        return;
    }
    char type[sizeof call->event_type];
    memcpy(type, call->event_type, sizeof type);
    call->event_type[0] = 0;
    call->in_event = true;
    call->on_event(call->user, str_from(type), object);
    call->in_event = false;
    if (call->cancelled) {
        http_call_cancel(call->http);
        call_free(call);
    }
}

ClientCall *client_watch(Client *client, const ClientTarget *target, Str resource_version,
                         void (*on_event)(void *user, Str type, Bytes *object), ClientDone done,
                         void *user) {
    static const HttpCallEvents events = {.on_head = on_head,
                                          .on_data = on_watch_data,
                                          .on_bytes = on_watch_bytes,
                                          .on_done = on_done};
    _arena_free_ Arena *arena = arena_new();
    Str query = arena_printf(arena, "watch=true&allowWatchBookmarks=true&resourceVersion=%.*s",
                             STR_ARG(resource_version));
    ClientCall *call =
        start(client, "GET", target, query, JSON, STR_NONE, MAX_WATCH_LINE, &events, done, user);
    call->on_event = on_event;
    return call;
}
