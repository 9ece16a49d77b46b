#pragma once
// What an EventRecorder remembers of events, to count repeats and to hold back floods as
// client-go's tools/record/events_cache.go does. Texts are told apart by keyed hashes; an object
// costs some 600 bytes, and the 1,024 that events were about last are known.

#include "base/str.h"

#include <stdbool.h>

typedef struct EventMemory EventMemory;

EventMemory *event_memory_new(void);
void event_memory_free(EventMemory *memory);

typedef struct EventSeen { // Unix ns
    int64_t first;         // when the first of these was
    int64_t stamp;         // of this event and no other, for its name
    int count;
    bool combined; // with similar ones: the message is to say so
    bool held;     // not to be told: the object's tokens are used up
} EventSeen;

// An event about `object` (all that tells objects apart), of a `group` (type and reason), counted.
EventSeen event_memory_count(EventMemory *memory, Str object, Str group, Str field_path,
                             Str message, int64_t now);
