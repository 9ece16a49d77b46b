#include "client/event.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/time.h"
#include "client/event_memory.h"
#include "schema/value.h"

#define MAX_WAITING 1000
#define MAX_TRIES 12 // of one event, while the API does not answer or is overloaded
#define TRY_AGAIN (10 * NSEC_PER_SEC)
#define MAX_MESSAGE 1024 // the API's limit on an event's note

typedef struct Waiting { // to be sent, or under way
    ListLink link;
    EventRecorder *recorder;
    Arena *arena;
    Str namespace_, name, object; // the whole event
    Str patch;                    // set when it is a repeat
    int tries;
} Waiting;

struct EventRecorder {
    Client *client;
    const Resource *resource;
    Arena *arena;
    Str component, host;
    EventMemory *memory;
    List waiting;
    size_t n_waiting;
    ClientCall *call;
    LoopTimer retry;
    uint64_t dropped;
};

static void send_next(void *user);

EventRecorder *event_recorder_new(Client *client, Str component, Str host) {
    EventRecorder *recorder = memory_new(EventRecorder);
    recorder->client = client;
    recorder->resource = kinds_resource(STR(""), STR("v1"), STR("events"));
    recorder->arena = arena_new();
    recorder->component = arena_str(recorder->arena, component);
    recorder->host = arena_str(recorder->arena, host);
    recorder->memory = event_memory_new();
    list_init(&recorder->waiting);
    loop_timer_init(&recorder->retry, client_loop(client), send_next, recorder);
    return recorder;
}

void event_recorder_free(EventRecorder *recorder) {
    if (!recorder)
        return;
    if (recorder->call)
        client_cancel(recorder->call);
    loop_timer_stop(&recorder->retry);
    Waiting *waiting;
    list_for_each(waiting, &recorder->waiting, link) arena_free(waiting->arena);
    event_memory_free(recorder->memory);
    arena_free(recorder->arena);
    free(recorder);
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
                    const char *type, const char *reason, Str message, const EventSeen *seen,
                    int64_t now) {
    Arena *arena = waiting->arena;
    Value *event = value_new_object(arena), *metadata = value_new_object(arena),
          *source = value_new_object(arena);
    value_set_str(arena, event, STR("apiVersion"), STR("v1"));
    value_set_str(arena, event, STR("kind"), STR("Event"));
    value_set_str(arena, metadata, STR("name"), waiting->name);
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
    value_set_str(arena, event, STR("firstTimestamp"), time_format(arena, seen->first));
    value_set_str(arena, event, STR("lastTimestamp"), time_format(arena, now));
    value_set_int(arena, event, STR("count"), seen->count);
    value_set_str(arena, event, STR("reportingComponent"), recorder->component);
    value_set_str(arena, event, STR("reportingInstance"), recorder->host);
    waiting->object = json_of(arena, event);
    if (seen->count > 1) {
        Value *patch = value_new_object(arena);
        value_set_int(arena, patch, STR("count"), seen->count);
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

void event_record(EventRecorder *recorder, const EventTarget *target, const char *type,
                  const char *reason, const char *format, ...) {
    int64_t now = loop_wall(client_loop(recorder->client));
    Waiting *waiting = waiting_new(recorder, target);
    Arena *arena = waiting->arena;
    va_list args;
    va_start(args, format);
    Str message = shorten(arena_vprintf(arena, format, args));
    va_end(args);
    Str object = arena_printf(arena, "%.*s|%.*s|%.*s|%.*s|%.*s", STR_ARG(target->api_version),
                              STR_ARG(target->kind), STR_ARG(target->namespace_),
                              STR_ARG(target->name), STR_ARG(target->uid));
    Str group = arena_printf(arena, "%s|%s", type, reason);
    EventSeen seen =
        event_memory_count(recorder->memory, object, group, target->field_path, message, now);
    if (seen.held) { // counted, not told
        arena_free(arena);
        return;
    }
    if (seen.combined)
        message =
            shorten(arena_printf(arena, "(combined from similar events): %.*s", STR_ARG(message)));
    waiting->name =
        arena_printf(arena, "%.*s.%llx", STR_ARG(target->name), (unsigned long long)seen.stamp);
    compose(recorder, waiting, target, type, reason, message, &seen, now);
    enqueue(recorder, waiting);
}
