// GET ?watch=true: a stream of events. What it begins with (nothing, the current objects, or
// history) is read from the cache at the pace of the client; then events come as they happen. A
// client that is slower than the history is long gets cut.

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "api/list_options.h"
#include "api/output.h"
#include "api/output_protobuf.h"
#include "api/server.h"
#include "api/verbs.h"
#include "base/stream.h"

#define BOOKMARK_INTERVAL (60 * NSEC_PER_SEC)
#define SHORTEST_TIMEOUT_SECONDS 1800 // upstream's --min-request-timeout; up to twice that

typedef struct Watch {
    CacheWatcher watcher;
    ApiRequest *request;
    ListOptions options;
    Snapshot *initial; // the objects to begin with
    size_t next, end;
    bool end_bookmark; // say when the initial events are over
    bool columns_sent; // Table: the definitions go with the first event only
    bool ending;
    int64_t sent; // revision that the client knows of
    LoopTimer timeout;
    ListLink bookmarked; // in api->bookmarked
} Watch;

// A frame of an event that is no object's change: BOOKMARK or ERROR.
static Bytes *other_frame(const ApiRequest *request, Arena *arena, const char *event,
                          const Value *object) {
    if (request->output.protobuf)
        return output_protobuf_event(request, arena, event, object);
    _buf_deinit_ Buf buf = BUF_INIT(SIZE_MAX);
    buf_printf(&buf, "{\"type\":\"%s\",\"object\":", event);
    value_write_json(object, &buf);
    buf_str(&buf, STR("}\n"));
    return buf_bytes(&buf);
}

// What cannot be told must not be passed over: the client lists anew.
static Bytes *protobuf_frame(ApiRequest *request, Arena *arena, CacheEventType type,
                             const Value *tree) {
    Bytes *frame = output_protobuf_event(request, arena, cache_event_name(type), tree);
    if (frame)
        return frame;
    const ApiStatus *status = request_internal(request, "an object could not be encoded", 0);
    return other_frame(request, arena, "ERROR", status_to_value(arena, status));
}

// The event's object in the form asked for, where that is not simply its JSON.
static Bytes *render(Watch *watch, CacheEventType type, CachedObject *object) {
    ApiRequest *request = watch->request;
    Arena *arena = request->api->scratch;
    arena_reset(arena);
    Value *tree = output_from_storage(arena, request->served, object_decode(arena, object));
    switch (request->output.kind) {
    case OUTPUT_TABLE: {
        Value *list_metadata = value_new_object(arena);
        value_set_str(arena, list_metadata, STR("resourceVersion"),
                      arena_printf(arena, "%" PRId64, object->revision));
        tree = output_table(request, arena, request->served, (const Value *[]){tree}, 1,
                            list_metadata, !watch->columns_sent);
        watch->columns_sent = true;
        break;
    }
    case OUTPUT_PARTIAL:
    case OUTPUT_PARTIAL_LIST:
        tree = output_partial(arena, request->output.version, tree);
        break;
    case OUTPUT_OBJECT:
        break;
    }
    Bytes *frame;
    if (request->output.protobuf) {
        frame = protobuf_frame(request, arena, type, tree);
    } else {
        Buf buf = BUF_INIT(SIZE_MAX);
        value_write_json(tree, &buf);
        frame = cache_frame_new(type, buf_view(&buf));
        buf_deinit(&buf);
    }
    arena_reset(arena);
    return frame;
}

static bool is_plain(const ApiRequest *request) {
    return request->output.kind == OUTPUT_OBJECT && !request->output.protobuf &&
           request->served->resource == request->served->storage;
}

// An event to somebody in this process goes in three parts, so that the receiver can keep the block
// that the cache holds.
static void send_parts(Watch *watch, CacheEventType type, CachedObject *object) {
    HttpRequest *http = watch->request->http;
    const Api *api = watch->request->api;
    http_respond_data(http, api->event_heads[type]);
    http_respond_data(http, object->json);
    http_respond_data(http, api->event_end);
}

static bool has_room(const Watch *watch) {
    return http_respond_queued(watch->request->http) < STREAM_HIGH_WATER;
}

static bool deliver(CacheWatcher *watcher, CacheEventType type, CachedObject *object,
                    CacheEvent *event) {
    Watch *watch = container_of(watcher, Watch, watcher);
    if (watch->ending)
        return false;
    HttpRequest *http = watch->request->http;
    if (type == CACHE_DELETED || object->revision > watch->sent)
        watch->sent = object->revision;
    if (is_plain(watch->request) && http->version == 0) {
        send_parts(watch, type, object);
    } else if (is_plain(watch->request) && event) {
        http_respond_data(http, cache_event_frame(event, type, object));
    } else {
        _bytes_unref_ Bytes *frame = is_plain(watch->request)
                                         ? cache_frame_new(type, bytes_str(object->json))
                                         : render(watch, type, object);
        http_respond_data(http, frame);
    }
    return has_room(watch);
}

// An object of the kind that the client expects, with nothing but a resourceVersion.
static Value *bookmark_object(Arena *arena, const ApiRequest *request, Str revision,
                              bool initial_events_end) {
    Value *object = value_new_object(arena), *metadata = value_new_object(arena);
    bool whole = request->output.kind == OUTPUT_OBJECT;
    const Resource *resource = request->served->resource;
    Str group = whole ? resource->group : STR("meta.k8s.io");
    Str version = whole ? resource->version : request->output.version;
    if (group.len)
        version = arena_printf(arena, "%.*s/%.*s", STR_ARG(group), STR_ARG(version));
    value_set_str(arena, object, STR("kind"),
                  whole ? resource->kind : STR("PartialObjectMetadata"));
    value_set_str(arena, object, STR("apiVersion"), version);
    value_set(arena, object, STR("metadata"), metadata);
    value_set_str(arena, metadata, STR("resourceVersion"), revision);
    value_set(arena, metadata, STR("creationTimestamp"), value_new_null(arena));
    if (initial_events_end)
        value_set_str(arena, value_at_make(arena, metadata, "annotations"),
                      STR("k8s.io/initial-events-end"), STR("true"));
    return object;
}

// A Table with one row that has no cells.
static Value *bookmark_table(Arena *arena, const ApiRequest *request, Str revision, Value *object) {
    Value *table = value_new_object(arena), *rows = value_new_array(arena);
    Value *row = value_new_object(arena);
    value_set_str(arena, table, STR("kind"), STR("Table"));
    value_set(arena, table, STR("apiVersion"), value_get(object, STR("apiVersion")));
    value_set_str(arena, value_at_make(arena, table, "metadata"), STR("resourceVersion"), revision);
    value_set(arena, table, STR("columnDefinitions"), value_new_array(arena));
    value_set(arena, table, STR("rows"), rows);
    value_push(arena, rows, row);
    value_set(arena, row, STR("cells"), value_new_array(arena));
    value_set(arena, row, STR("object"), object);
    return table;
}

static void send_bookmark(Watch *watch, int64_t revision, bool initial_events_end) {
    _arena_free_ Arena *arena = arena_new();
    const ApiRequest *request = watch->request;
    Str version = arena_printf(arena, "%" PRId64, revision);
    Value *object = bookmark_object(arena, request, version, initial_events_end);
    if (request->output.kind == OUTPUT_TABLE)
        object = bookmark_table(arena, request, version, object);
    _bytes_unref_ Bytes *frame = other_frame(request, arena, "BOOKMARK", object);
    watch->sent = revision;
    http_respond_data(request->http, frame);
}

static void end_watch(Watch *watch) {
    if (watch->ending)
        return;
    watch->ending = true;
    cache_watcher_stop(&watch->watcher);
    http_respond_end(watch->request->http);
}

static void end(CacheWatcher *watcher) {
    end_watch(container_of(watcher, Watch, watcher));
}

static void cut(CacheWatcher *watcher) {
    Watch *watch = container_of(watcher, Watch, watcher);
    watch->ending = true;
    http_respond_abort(watch->request->http);
}

// Sends what the watch begins with as far as there is room, then turns to events.
static void pump(Watch *watch) {
    while (watch->initial && watch->next < watch->end) {
        if (!has_room(watch))
            return;
        CachedObject *object = snapshot_at(watch->initial, watch->next++);
        if (filter_matches(&watch->options.filter, object))
            deliver(&watch->watcher, CACHE_ADDED, object, NULL);
    }
    if (watch->initial) {
        snapshot_unref(watch->initial);
        watch->initial = NULL;
        watch->sent = watch->watcher.after;
    }
    if (watch->end_bookmark) {
        watch->end_bookmark = false;
        send_bookmark(watch, watch->watcher.after, true);
    }
    cache_watcher_resume(&watch->watcher);
}

static void on_drain(ApiRequest *request) {
    Watch *watch = request->state;
    if (!watch->ending)
        pump(watch);
}

static void on_close(ApiRequest *request, bool completed) {
    Watch *watch = request->state;
    watch->ending = true;
    cache_watcher_stop(&watch->watcher);
    loop_timer_stop(&watch->timeout);
    list_remove(&watch->bookmarked);
    snapshot_unref(watch->initial);
    watch->initial = NULL;
}

static void timed_out(void *user) {
    Watch *watch = user;
    if (watch->ending)
        return;
    // A client that asked for bookmarks can go on from here.
    if (watch->options.bookmarks && !watch->initial && has_room(watch) &&
        watch->sent < watch->request->api->revision)
        send_bookmark(watch, watch->request->api->revision, false);
    end_watch(watch);
}

// ---- bookmarks: about once a minute, and only while there is something new to tell.

static bool wants_bookmark(const Watch *watch) {
    return !watch->initial && !watch->ending && watch->sent < cache_changed(watch->watcher.cache) &&
           !list_is_linked(&watch->watcher.in_lagging);
}

static void send_bookmarks(void *user) {
    Api *api = user;
    Watch *watch;
    list_for_each(watch, &api->bookmarked, bookmarked) {
        if (watch->watcher.cache && wants_bookmark(watch) && has_room(watch))
            send_bookmark(watch, api->revision, false);
    }
}

// Something changed: whoever has not been told of it hears of it within the interval.
void watch_schedule_bookmarks(Api *api) {
    if (!list_is_empty(&api->bookmarked) && !loop_timer_is_running(&api->bookmark_timer))
        loop_timer_start(&api->bookmark_timer, BOOKMARK_INTERVAL);
}

void watch_init(Api *api) {
    list_init(&api->bookmarked);
    loop_timer_init(&api->bookmark_timer, api->loop, send_bookmarks, api);
    for (CacheEventType type = CACHE_ADDED; type <= CACHE_DELETED; type++) {
        char head[64];
        int len =
            snprintf(head, sizeof head, "{\"type\":\"%s\",\"object\":", cache_event_name(type));
        api->event_heads[type] = bytes_new(head, (size_t)len);
    }
    api->event_end = bytes_new("}\n", 2);
}

void watch_deinit(Api *api) {
    loop_timer_stop(&api->bookmark_timer);
    for (CacheEventType type = CACHE_ADDED; type <= CACHE_DELETED; type++)
        bytes_unref(api->event_heads[type]);
    bytes_unref(api->event_end);
}

// ---- beginning

// An error after the stream's form was agreed on is an event, too.
static void refuse_in_stream(Watch *watch, const ApiStatus *status) {
    ApiRequest *request = watch->request;
    request_head(request, 200, output_stream_type(&request->output));
    _bytes_unref_ Bytes *frame =
        other_frame(request, request->arena, "ERROR", status_to_value(request->arena, status));
    http_respond_data(request->http, frame);
    watch->ending = true;
    http_respond_end(request->http);
}

static int64_t timeout_of(Watch *watch) {
    int64_t seconds = watch->options.timeout_seconds;
    if (seconds <= 0)
        seconds = SHORTEST_TIMEOUT_SECONDS +
                  (int64_t)(loop_random(watch->request->api->loop) % SHORTEST_TIMEOUT_SECONDS);
    return seconds > 86400 ? 86400 * NSEC_PER_SEC : seconds * NSEC_PER_SEC;
}

static void begin(Watch *watch) {
    ApiRequest *request = watch->request;
    Api *api = request->api;
    Cache *cache = request->served->cache;
    const ListOptions *options = &watch->options;
    // Without a version, or with "0", a watch begins with the objects that there are, unless it
    // says sendInitialEvents=false.
    bool objects_first =
        options->initial_events || (options->revision == 0 && !options->no_initial_events);
    int64_t after = objects_first || !options->revision ? api->revision : options->revision;
    watch->watcher.filter = options->filter;
    watch->watcher.deliver = deliver;
    watch->watcher.cut = cut;
    watch->watcher.end = end;
    watch->sent = after;
    request->state = watch;
    request->on_drain = on_drain;
    request->on_close = on_close;
    loop_timer_init(&watch->timeout, api->loop, timed_out, watch);
    if (cache_watch(cache, &watch->watcher, after) == CACHE_E_TOO_OLD) {
        refuse_in_stream(
            watch, status_expired(request->arena, arena_printf(request->arena,
                                                               "too old resource version: %" PRId64
                                                               " (%" PRId64 ")",
                                                               after, cache_oldest(cache))));
        return;
    }
    if (objects_first) {
        watch->initial = snapshot_ref(cache_root(cache));
        watch->end = snapshot_size(watch->initial);
        watch->end_bookmark = options->initial_events && options->bookmarks;
    }
    if (options->bookmarks)
        list_append(&api->bookmarked, &watch->bookmarked);
    loop_timer_start(&watch->timeout, timeout_of(watch));
    request_head(request, 200, output_stream_type(&request->output));
    pump(watch);
}

static void reached(ApiRequest *request, void *user, int error) {
    Watch *watch = user;
    if (!error) {
        begin(watch);
        return;
    }
    request_status(request, list_refuse_future(request, watch->options.revision));
}

void verb_watch(ApiRequest *request) {
    Watch *watch = arena_new_of(request->arena, Watch);
    watch->request = request;
    ApiStatus *refused = list_options_parse(request, true, &watch->options);
    if (refused) {
        request_status(request, refused);
        return;
    }
    // "Not older than" has to wait for the future; a plain watch from there just waits for its
    // events.
    request_wait_revision(request, watch->options.initial_events ? watch->options.revision : 0,
                          3 * NSEC_PER_SEC, reached, watch);
}
