#pragma once
// Records core/v1 Events, counting repeats as client-go's tools/record correlator does: same event
// again patches count and lastTimestamp; similar ones are aggregated ("(combined from similar
// events): ..."); a token bucket a source and object.

#include "client/client.h"

typedef struct EventRecorder EventRecorder;
typedef struct EventTarget {
    Str api_version, kind, namespace_, name, uid, resource_version, field_path;
} EventTarget;

EventRecorder *event_recorder_new(Client *client, Str component, Str host);
void event_recorder_free(EventRecorder *recorder);
// `type`: "Normal" or "Warning". Never blocks; at most 1,000 wait to be sent, the oldest are
// dropped.
void event_record(EventRecorder *recorder, const EventTarget *target, const char *type,
                  const char *reason, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
