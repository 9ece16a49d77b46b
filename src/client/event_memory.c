#include "client/event_memory.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/list.h"
#include "base/loop.h"
#include "base/map.h"
#include "base/memory.h"

#define MAX_OBJECTS 1024
#define MAX_EVENTS 64  // of one object; then the one that came least recently is forgotten
#define SIMILAR_MAX 10 // different messages
#define SIMILAR_WINDOW (600 * NSEC_PER_SEC)
#define BURST 25                    // tokens an object
#define REFILL (300 * NSEC_PER_SEC) // one token each

typedef struct Known { // one event
    uint64_t id, group, message;
    int64_t first, last, stamp;
    int count;
    bool combined, past; // past: so long ago that new ones of the group are not similar to it
} Known;

typedef struct Object {
    ListLink link; // least recently used first
    uint64_t id;
    double tokens;
    int64_t filled; // when `tokens` was right
    Known *known;
    size_t n, capacity;
} Object;

struct EventMemory {
    Map *objects; // by the eight bytes of their id
    List recent;
    int64_t last_stamp;
};

EventMemory *event_memory_new(void) {
    EventMemory *memory = memory_new(EventMemory);
    memory->objects = map_new();
    list_init(&memory->recent);
    return memory;
}

static Str id_key(const Object *object) {
    return str_of((const char *)&object->id, sizeof object->id);
}

static void forget(EventMemory *memory, Object *object) {
    map_remove(memory->objects, id_key(object));
    list_remove(&object->link);
    free(object->known);
    free(object);
}

void event_memory_free(EventMemory *memory) {
    Object *object;
    list_for_each(object, &memory->recent, link) forget(memory, object);
    map_free(memory->objects);
    free(memory);
}

static Object *object_of(EventMemory *memory, Str text, int64_t now) {
    uint64_t id = str_hash(text);
    Object *object = map_get(memory->objects, str_of((const char *)&id, sizeof id));
    if (object)
        list_remove(&object->link);
    else {
        if (map_count(memory->objects) >= MAX_OBJECTS)
            forget(memory, container_of(list_first(&memory->recent), Object, link));
        object = memory_new(Object);
        object->id = id;
        object->tokens = BURST;
        object->filled = now;
        map_put(memory->objects, id_key(object), object);
    }
    list_append(&memory->recent, &object->link);
    return object;
}

// The token bucket of an object: a flapping pod can't flood the store.
static bool take_token(Object *object, int64_t now) {
    object->tokens += (double)(now - object->filled) / (double)REFILL;
    if (object->tokens > BURST)
        object->tokens = BURST;
    object->filled = now;
    if (object->tokens < 1)
        return false;
    object->tokens -= 1;
    return true;
}

// From the SIMILAR_MAX-th message on that differs from the others of its group in its text alone,
// new ones become one event.
static bool is_combined(Object *object, uint64_t group, uint64_t message, int64_t now) {
    int64_t newest = INT64_MIN;
    for (size_t i = 0; i < object->n; i++)
        if (object->known[i].group == group && object->known[i].last > newest)
            newest = object->known[i].last;
    bool fresh = newest == INT64_MIN || now - newest > SIMILAR_WINDOW;
    uint64_t messages[SIMILAR_MAX];
    size_t n = 0;
    for (size_t i = 0; i < object->n; i++) {
        Known *known = &object->known[i];
        if (known->group != group)
            continue;
        known->past |= fresh;
        if (known->past || known->combined)
            continue;
        if (known->message == message)
            return false;
        size_t at = 0;
        while (at < n && messages[at] != known->message)
            at++;
        if (at == n && n < SIMILAR_MAX)
            messages[n++] = known->message;
    }
    return n + 1 >= SIMILAR_MAX;
}

static Known *known_new(Object *object) {
    if (object->n == MAX_EVENTS) {
        Known *oldest = object->known;
        for (size_t i = 1; i < object->n; i++)
            if (object->known[i].last < oldest->last)
                oldest = &object->known[i];
        return oldest;
    }
    if (object->n == object->capacity) {
        object->capacity = object->capacity ? object->capacity * 2 : 4;
        object->known = memory_resize_array(object->known, object->capacity, sizeof(Known));
    }
    return &object->known[object->n++];
}

static Known *find(Object *object, uint64_t id) {
    for (size_t i = 0; i < object->n; i++)
        if (object->known[i].id == id)
            return &object->known[i];
    return NULL;
}

EventSeen event_memory_count(EventMemory *memory, Str object_text, Str group_text, Str field_path,
                             Str message_text, int64_t now) {
    _arena_free_ Arena *arena = arena_new();
    Object *object = object_of(memory, object_text, now);
    uint64_t group = str_hash(group_text), message = str_hash(message_text);
    bool combined = is_combined(object, group, message, now);
    uint64_t id = combined ? group
                           : str_hash(arena_printf(arena, "%.*s|%.*s|%.*s", STR_ARG(group_text),
                                                   STR_ARG(field_path), STR_ARG(message_text)));
    Known *known = find(object, id);
    if (!known) {
        int64_t *stamp = &memory->last_stamp;
        *stamp = now > *stamp ? now : *stamp + 1;
        known = known_new(object);
        *known = (Known){.id = id,
                         .group = group,
                         .message = message,
                         .first = now,
                         .stamp = *stamp,
                         .combined = combined};
    }
    known->last = now;
    known->past = false;
    known->count++;
    return (EventSeen){.first = known->first,
                       .stamp = known->stamp,
                       .count = known->count,
                       .combined = combined,
                       .held = !take_token(object, now)};
}
