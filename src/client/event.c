#include "client/event.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/map.h"
#include "base/time.h"
#include "schema/value.h"

// The numbers of client-go's tools/record/events_cache.go.
#define MAX_CACHE 4096
#define SIMILAR_MAX 10 // different messages
#define SIMILAR_WINDOW (600 * NSEC_PER_SEC)
#define BURST 25                    // tokens a source and object
#define REFILL (300 * NSEC_PER_SEC) // one token each
#define MAX_WAITING 1000
#define MAX_TRIES 12 // of one event, while the API does not answer or is overloaded
#define TRY_AGAIN (10 * NSEC_PER_SEC)
#define MAX_MESSAGE 1024 // the API's limit on an event's note

// What is known of one event, of a group of similar ones, or of one object's bucket: one cache,
// three kinds of keys.
typedef struct Record {
    ListLink link; // least recently used first
    Str key;
    int64_t last;
    // one event
    Str name;
    int64_t first;
    int count;
    // a group of similar ones
    Map *messages;
    // a bucket
    double tokens;
    char text[];
} Record;

typedef struct Waiting { // to be sent, or under way
    ListLink link;
    EventRecorder *recorder;
    Arena *arena;
    Str namespace_, key, name, object; // the whole event
    Str patch;                         // set when it is a repeat
    int tries;
} Waiting;

struct EventRecorder {
    Client *client;
    const Resource *resource;
    Arena *arena;
    Str component, host;
    Map *cache;
    List recent, waiting;
    size_t n_waiting;
    ClientCall *call;
    LoopTimer retry;
    uint64_t dropped;
    int64_t last_stamp; // in the newest event's name
};

static void send_next(void *user);

EventRecorder *event_recorder_new(Client *client, Str component, Str host) {
    EventRecorder *recorder = calloc(1, sizeof *recorder);
    assert(recorder);
    recorder->client = client;
    recorder->resource = kinds_resource(STR(""), STR("v1"), STR("events"));
    recorder->arena = arena_new();
    recorder->component = arena_str(recorder->arena, component);
    recorder->host = arena_str(recorder->arena, host);
    recorder->cache = map_new();
    list_init(&recorder->recent);
    list_init(&recorder->waiting);
    loop_timer_init(&recorder->retry, client_loop(client), send_next, recorder);
    return recorder;
}

static void record_free(EventRecorder *recorder, Record *record) {
    map_remove(recorder->cache, record->key);
    list_remove(&record->link);
    map_free(record->messages);
    free((char *)record->name.ptr);
    free(record);
}

void event_recorder_free(EventRecorder *recorder) {
    if (!recorder)
        return;
    if (recorder->call)
        client_cancel(recorder->call);
    loop_timer_stop(&recorder->retry);
    Record *record;
    list_for_each(record, &recorder->recent, link) record_free(recorder, record);
    Waiting *waiting;
    list_for_each(waiting, &recorder->waiting, link) arena_free(waiting->arena);
    map_free(recorder->cache);
    arena_free(recorder->arena);
    free(recorder);
}

static Record *record_of(EventRecorder *recorder, Str key, bool *ret_new) {
    Record *record = map_get(recorder->cache, key);
    *ret_new = !record;
    if (record) {
        list_remove(&record->link);
        list_append(&recorder->recent, &record->link);
        return record;
    }
    if (map_count(recorder->cache) >= MAX_CACHE)
        record_free(recorder, container_of(list_first(&recorder->recent), Record, link));
    record = calloc(1, sizeof *record + key.len);
    assert(record);
    memcpy(record->text, key.ptr, key.len);
    record->key = str_of(record->text, key.len);
    map_put(recorder->cache, record->key, record);
    list_append(&recorder->recent, &record->link);
    return record;
}

// The token bucket a source and object: a flapping pod can't flood the store.
static bool take_token(EventRecorder *recorder, Str object_key, int64_t now) {
    bool is_new;
    Record *bucket = record_of(recorder, object_key, &is_new);
    if (is_new)
        bucket->tokens = BURST;
    else {
        bucket->tokens += (double)(now - bucket->last) / (double)REFILL;
        if (bucket->tokens > BURST)
            bucket->tokens = BURST;
    }
    bucket->last = now;
    if (bucket->tokens < 1)
        return false;
    bucket->tokens -= 1;
    return true;
}

// From the SIMILAR_MAX-th message on that differs from the others in its text alone, new ones
// become one event.
static bool is_aggregated(EventRecorder *recorder, Str group_key, Str message, int64_t now) {
    static char present;
    bool is_new;
    Record *group = record_of(recorder, group_key, &is_new);
    if (is_new || now - group->last > SIMILAR_WINDOW) {
        map_free(group->messages);
        group->messages = map_new();
    }
    group->last = now;
    if (map_get(group->messages, message))
        return false;
    if (map_count(group->messages) + 1 >= SIMILAR_MAX)
        return true;
    map_put(group->messages, message, &present);
    return false;
}

static Value *reference(Arena *arena, const EventTarget *target) {
    Value *v = value_new_object(arena);
    const struct {
        Str key, value;
    } members[] = {
        {STR("kind"), target->kind},
        {STR("namespace"), target->namespace_},
        {STR("name"), target->name},
        {STR("uid"), target->uid},
        {STR("apiVersion"), target->api_version},
        {STR("resourceVersion"), target->resource_version},
        {STR("fieldPath"), target->field_path},
    };
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (members[i].value.len)
            value_set_str(arena, v, members[i].key, members[i].value);
    return v;
}

static Str json_of(Arena *arena, const Value *value) {
    _buf_deinit_ Buf buf = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(value, &buf);
    return arena_str(arena, buf_view(&buf));
}

static void compose(EventRecorder *recorder, Waiting *waiting, const EventTarget *target,
                    const char *type, const char *reason, Str message, const Record *record,
                    int64_t now) {
    Arena *arena = waiting->arena;
    Value *event = value_new_object(arena), *metadata = value_new_object(arena),
          *source = value_new_object(arena);
    value_set_str(arena, event, STR("apiVersion"), STR("v1"));
    value_set_str(arena, event, STR("kind"), STR("Event"));
    value_set_str(arena, metadata, STR("name"), record->name);
    value_set_str(arena, metadata, STR("namespace"), waiting->namespace_);
    value_set(arena, event, STR("metadata"), metadata);
    value_set(arena, event, STR("involvedObject"), reference(arena, target));
    value_set_str(arena, event, STR("reason"), str_from(reason));
    value_set_str(arena, event, STR("message"), message);
    value_set_str(arena, event, STR("type"), str_from(type));
    value_set_str(arena, source, STR("component"), recorder->component);
    if (recorder->host.len)
        value_set_str(arena, source, STR("host"), recorder->host);
    value_set(arena, event, STR("source"), source);
    value_set_str(arena, event, STR("firstTimestamp"), time_format(arena, record->first));
    value_set_str(arena, event, STR("lastTimestamp"), time_format(arena, now));
    value_set_int(arena, event, STR("count"), record->count);
    value_set_str(arena, event, STR("reportingComponent"), recorder->component);
    value_set_str(arena, event, STR("reportingInstance"), recorder->host);
    waiting->object = json_of(arena, event);
    if (record->count > 1) {
        Value *patch = value_new_object(arena);
        value_set_int(arena, patch, STR("count"), record->count);
        value_set_str(arena, patch, STR("lastTimestamp"), time_format(arena, now));
        value_set_str(arena, patch, STR("message"), message);
        waiting->patch = json_of(arena, patch);
    }
}

static void waiting_free(EventRecorder *recorder, Waiting *waiting) {
    list_remove(&waiting->link);
    recorder->n_waiting--;
    arena_free(waiting->arena); // holds `waiting` too
}

static void on_sent(void *user, const ClientResult *result) {
    Waiting *waiting = user;
    EventRecorder *recorder = waiting->recorder;
    recorder->call = NULL;
    bool try_again = result->error < 0 || result->code == 429 || result->code >= 500;
    if (try_again && ++waiting->tries < MAX_TRIES) {
        loop_timer_start(&recorder->retry, TRY_AGAIN);
        return;
    }
    if (waiting->patch.len && result->code == 404)
        waiting->patch = STR_NONE; // it expired: written anew
    else {
        if (result->error)
            log_debug("client", "event not recorded", "code=%d message=\"%.*s\"", result->code,
                      STR_ARG(result->status ? result->status->message : STR("no answer")));
        waiting_free(recorder, waiting);
    }
    send_next(recorder);
}

// One at a time and in order, so that a repeat never overtakes its first.
static void send_next(void *user) {
    EventRecorder *recorder = user;
    if (recorder->call || loop_timer_is_running(&recorder->retry) ||
        list_is_empty(&recorder->waiting))
        return;
    Waiting *waiting = container_of(list_first(&recorder->waiting), Waiting, link);
    ClientTarget target = {.resource = recorder->resource, .namespace_ = waiting->namespace_};
    if (waiting->patch.len) {
        target.name = waiting->name;
        recorder->call = client_patch(recorder->client, &target, PATCH_STRATEGIC, waiting->patch,
                                      on_sent, waiting);
    } else
        recorder->call =
            client_create(recorder->client, &target, waiting->object, on_sent, waiting);
}

static void enqueue(EventRecorder *recorder, Waiting *waiting) {
    if (recorder->n_waiting >= MAX_WAITING) {
        // The head may be under way; the one behind it is the oldest that may go.
        ListLink *oldest = list_first(&recorder->waiting)->next;
        waiting_free(recorder, container_of(oldest, Waiting, link));
        if (!recorder->dropped++)
            log_warn("client", "events dropped, the API server does not keep up", "waiting=%d",
                     MAX_WAITING);
    }
    list_append(&recorder->waiting, &waiting->link);
    recorder->n_waiting++;
    send_next(recorder);
}

static Waiting *waiting_new(EventRecorder *recorder, const EventTarget *target) {
    Arena *arena = arena_new();
    Waiting *waiting = arena_new_of(arena, Waiting);
    waiting->arena = arena;
    waiting->recorder = recorder;
    waiting->namespace_ =
        arena_str(arena, target->namespace_.len ? target->namespace_ : STR("default"));
    return waiting;
}

// Not in the middle of a character.
static Str shorten(Str message) {
    if (message.len <= MAX_MESSAGE)
        return message;
    message.len = MAX_MESSAGE;
    while (message.len && ((unsigned char)message.ptr[message.len] & 0xc0) == 0x80)
        message.len--;
    return message;
}

// Counts this one; a bucket that is empty holds back the telling, not the counting.
static Record *count(EventRecorder *recorder, const EventTarget *target, Str key, int64_t now) {
    bool is_new;
    Record *record = record_of(recorder, key, &is_new);
    if (is_new) {
        char *name;
        int64_t *stamp = &recorder->last_stamp;
        *stamp = now > *stamp ? now : *stamp + 1;
        int len = asprintf(&name, "%.*s.%llx", STR_ARG(target->name), (unsigned long long)*stamp);
        assert(len > 0);
        record->name = str_of(name, (size_t)len);
        record->first = now;
    }
    record->last = now;
    record->count++;
    return record;
}

void event_record(EventRecorder *recorder, const EventTarget *target, const char *type,
                  const char *reason, const char *format, ...) {
    int64_t now = loop_wall(client_loop(recorder->client));
    Waiting *waiting = waiting_new(recorder, target);
    Arena *arena = waiting->arena;
    va_list args;
    va_start(args, format);
    Str message = shorten(arena_vprintf(arena, format, args));
    va_end(args);
    Str object_key = arena_printf(arena, "b|%.*s|%.*s|%.*s|%.*s|%.*s", STR_ARG(target->api_version),
                                  STR_ARG(target->kind), STR_ARG(target->namespace_),
                                  STR_ARG(target->name), STR_ARG(target->uid));
    Str group_key = arena_printf(arena, "g|%.*s|%s|%s", STR_ARG(object_key), type, reason);
    if (is_aggregated(recorder, group_key, message, now)) {
        message =
            shorten(arena_printf(arena, "(combined from similar events): %.*s", STR_ARG(message)));
        waiting->key = arena_printf(arena, "a|%.*s", STR_ARG(group_key));
    } else
        waiting->key = arena_printf(arena, "e|%.*s|%.*s|%.*s", STR_ARG(group_key),
                                    STR_ARG(target->field_path), STR_ARG(message));
    Record *record = count(recorder, target, waiting->key, now);
    waiting->name = arena_str(arena, record->name);
    compose(recorder, waiting, target, type, reason, message, record, now);
    if (take_token(recorder, object_key, now))
        enqueue(recorder, waiting);
    else
        arena_free(arena);
}
