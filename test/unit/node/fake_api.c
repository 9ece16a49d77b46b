#include "fake_api.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/time.h"
#include "http/message.h"
#include "schema/check.h"

#define START 1790000000000000000LL

typedef struct Watch {
    ListLink link;
    HttpRequest *request;
    Str prefix, name; // "plural/namespace/" or "plural/"
} Watch;

static void respond(HttpRequest *request, int status, Str text) {
    _bytes_unref_ Bytes *bytes = bytes_new(text.ptr, text.len);
    http_respond(request, status, STR("application/json"), bytes);
}

static void on_watch_close(HttpRequest *request, bool completed) {
    Watch *watch = request->user;
    list_remove(&watch->link);
    free(watch);
}

static bool is_of(Str key, Str prefix, Str name) {
    if (!str_starts_with(key, prefix))
        return false;
    return !name.len ||
           str_eq(str_slice(key, (size_t)(str_find_last(key, '/') + 1), key.len), name);
}

static void list(FakeApi *api, HttpRequest *request, Str prefix, Str name) {
    Buf buf = BUF_INIT(1 << 20);
    buf_printf(&buf, "{\"metadata\":{\"resourceVersion\":\"%lld\"},\"items\":[",
               (long long)api->version);
    MapIter iter = {0};
    bool first = true;
    while (map_next(api->objects, &iter)) {
        if (!is_of(iter.key, prefix, name))
            continue;
        if (!first)
            buf_char(&buf, ',');
        first = false;
        buf_str(&buf, bytes_str(iter.value));
    }
    buf_str(&buf, STR("]}"));
    api->lists++;
    respond(request, 200, buf_view(&buf));
    buf_deinit(&buf);
}

static void watch(FakeApi *api, HttpRequest *request, Str prefix, Str name) {
    Watch *added = memory_new(Watch);
    added->request = request;
    added->prefix = prefix;
    added->name = name;
    request->user = added;
    request->on_close = on_watch_close;
    list_append(&api->watches, &added->link);
    HttpHeader header = {STR("Content-Type"), STR("application/json")};
    http_respond_head(request, 200, &header, 1);
}

static void answer_token(FakeApi *api, HttpRequest *request) {
    _arena_free_ Arena *arena = arena_new();
    api->tokens++;
    free((char *)api->token_request.ptr);
    Str parts[] = {request->path, request->body};
    Str both = arena_concat(arena, parts, 2, STR(" "));
    char *copy = memory_zalloc(both.len + 1);
    memcpy(copy, both.ptr, both.len);
    api->token_request = str_of(copy, both.len);
    if (api->token_error) {
        respond(request, 403,
                arena_printf(arena,
                             "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Failure\","
                             "\"message\":\"%s\",\"reason\":\"Forbidden\",\"code\":403}",
                             api->token_error));
        return;
    }
    Str expires = time_format(arena, loop_wall(api->agent.loop) + 3600 * NSEC_PER_SEC);
    respond(request, 201,
            arena_printf(arena,
                         "{\"kind\":\"TokenRequest\",\"apiVersion\":\"authentication.k8s.io/v1\","
                         "\"status\":{\"token\":\"token-%u\",\"expirationTimestamp\":\"%.*s\"}}",
                         api->tokens, STR_ARG(expires)));
}

static void answer_event(FakeApi *api, HttpRequest *request) {
    Value *event;
    ParseError error;
    if (value_parse_json(request->arena, request->body, NULL, &event, &error) == 0 &&
        value_string_at(event, "reason").len)
        buf_printf(&api->events, "%.*s %.*s\n", STR_ARG(value_string_at(event, "reason")),
                   STR_ARG(value_string_at(event, "message")));
    respond(request, str_eq(request->method, STR("POST")) ? 201 : 200, request->body);
}

static void handle(void *user, HttpRequest *request) {
    FakeApi *api = user;
    Str rest = request->path, namespace_ = STR("");
    assert_true(str_starts_with(rest, STR("/api/v1/")));
    rest = str_slice(rest, 8, rest.len);
    Str plural = str_cut(&rest, '/');
    if (str_eq(plural, STR("namespaces"))) {
        namespace_ = str_cut(&rest, '/');
        plural = str_cut(&rest, '/');
    }
    if (str_eq(plural, STR("events"))) {
        answer_event(api, request);
        return;
    }
    if (rest.ptr && str_ends_with(rest, STR("/token"))) {
        answer_token(api, request);
        return;
    }
    Str selector = http_query(request, STR("fieldSelector")), name = selector;
    if (selector.ptr)
        str_cut(&name, '=');
    Str prefix = namespace_.len ? arena_printf(request->arena, "%.*s/%.*s/", STR_ARG(plural),
                                               STR_ARG(namespace_))
                                : arena_printf(request->arena, "%.*s/", STR_ARG(plural));
    if (str_eq(http_query(request, STR("watch")), STR("true")))
        watch(api, request, prefix, name);
    else
        list(api, request, prefix, name);
}

static void tell(FakeApi *api, const char *type, Str key, Bytes *object) {
    Watch *watch;
    list_for_each(watch, &api->watches, link) {
        if (!is_of(key, watch->prefix, watch->name))
            continue;
        Buf buf = BUF_INIT(1 << 20);
        buf_printf(&buf, "{\"type\":\"%s\",\"object\":", type);
        buf_str(&buf, bytes_str(object));
        buf_str(&buf, STR("}\n"));
        _bytes_unref_ Bytes *bytes = buf_bytes(&buf);
        http_respond_data(watch->request, bytes);
        buf_deinit(&buf);
    }
}

void fake_api_put(FakeApi *api, const char *plural, const char *namespace_, const char *name,
                  const char *members) {
    _arena_free_ Arena *arena = arena_new();
    Str key = arena_printf(arena, "%s/%s/%s", plural, namespace_, name);
    Str json = arena_printf(
        arena,
        "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"%s\",\"uid\":\"uid-%s\","
        "\"resourceVersion\":\"%lld\"}%s%s}",
        name, namespace_, name, (long long)++api->version, *members ? "," : "", members);
    Bytes *old = map_put(api->objects, key, bytes_new(json.ptr, json.len));
    tell(api, old ? "MODIFIED" : "ADDED", key, map_get(api->objects, key));
    bytes_unref(old);
}

void fake_api_delete(FakeApi *api, const char *plural, const char *namespace_, const char *name) {
    _arena_free_ Arena *arena = arena_new();
    Str key = arena_printf(arena, "%s/%s/%s", plural, namespace_, name);
    Bytes *old = map_remove(api->objects, key);
    assert_non_null(old);
    api->version++;
    tell(api, "DELETED", key, old);
    bytes_unref(old);
}

void fake_api_run(FakeApi *api, int64_t ns) {
    assert_int_equal(loop_run_until(api->agent.loop, loop_now(api->agent.loop) + ns), 0);
}

bool fake_api_event(const FakeApi *api, const char *text) {
    return api->events.len && memmem(api->events.data, api->events.len, text, strlen(text));
}

FakeApi *fake_api_new(void) {
    FakeApi *api = memory_new(FakeApi);
    NodeAgent *agent = &api->agent;
    snprintf(api->directory, sizeof api->directory, "/tmp/seapod-node-XXXXXX");
    assert_non_null(mkdtemp(api->directory));
    char pods[sizeof api->directory + 8];
    snprintf(pods, sizeof pods, "%s/pods", api->directory);
    assert_int_equal(mkdir(pods, 0750), 0);
    api->objects = map_new();
    api->events = BUF_INIT(1 << 20);
    list_init(&api->watches);
    agent->arena = arena_new();
    agent->loop = loop_new_simulated(1, START);
    agent->config.data_directory = str_from(api->directory);
    agent->config.address = STR("192.168.1.9");
    agent->config.cluster_domain = STR("cluster.local");
    agent->config.cgroup_parent = STR("/seapod");
    HttpPeer peer = {.local = true, .user = STR("system:node:n")};
    HttpClient *transport = http_client_new_local(agent->loop, agent->loop, handle, api, &peer);
    agent->client = client_new(agent->loop, transport, STR("test"));
    agent->events = event_recorder_new(agent->client, STR("kubelet"), STR("n"));
    agent->references = references_new(agent);
    return api;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where) {
    return remove(path);
}

void fake_api_free(FakeApi *api) {
    NodeAgent *agent = &api->agent;
    informer_free(agent->services);
    references_free(agent->references);
    event_recorder_free(agent->events);
    client_free(agent->client);
    loop_run_until(agent->loop, loop_now(agent->loop) + NSEC_PER_SEC);
    loop_free(agent->loop);
    arena_free(agent->arena);
    MapIter iter = {0};
    while (map_next(api->objects, &iter))
        bytes_unref(iter.value);
    map_free(api->objects);
    buf_deinit(&api->events);
    free((char *)api->token_request.ptr);
    nftw(api->directory, remove_entry, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    free(api);
}

static void set_default(Arena *arena, Value *object, const char *path, const char *key, Str value) {
    Value *at = value_at_make(arena, object, path);
    if (!value_get(at, str_from(key)))
        value_set_str(arena, at, str_from(key), value);
}

Pod *fake_pod(Arena *arena, const char *yaml) {
    Value *value;
    ParseError error;
    assert_int_equal(value_parse_yaml(arena, str_from(yaml), NULL, &value, &error), 0);
    set_default(arena, value, "metadata", "name", STR("p"));
    set_default(arena, value, "metadata", "namespace", STR("default"));
    set_default(arena, value, "metadata", "uid", STR("uid-1"));
    Str message = STR_NONE;
    if (schema_normalize(arena, kinds_type_Pod(), value, NULL, &message) != 0)
        fail_msg("%.*s", STR_ARG(message));
    Pod *pod = arena_new_of(arena, Pod);
    assert_int_equal(typed_from_value(arena, kinds_type_Pod(), value, pod), 0);
    return pod;
}
