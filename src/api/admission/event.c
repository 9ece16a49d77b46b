// What plugins have to say about an object that they let pass: events, once the object is there.

#include "api/admission/admission.h"

#include <inttypes.h>

#include "api/meta.h"
#include "api/server.h"
#include "api/write.h"
#include "base/log.h"
#include "base/time.h"

struct AdmissionNote {
    AdmissionNote *next;
    const char *reason;
    Str message;
};

void admission_note(Admission *admission, const char *reason, Str message) {
    Arena *arena = admission->request->arena;
    AdmissionNote *note = arena_new_of(arena, AdmissionNote);
    if (message.len > ADMISSION_LONGEST_NOTE) {
        size_t len = ADMISSION_LONGEST_NOTE - 3;
        while (len && ((unsigned char)message.ptr[len] & 0xc0) == 0x80) // between two characters
            len--;
        message = arena_concat(arena, (Str[]){str_slice(message, 0, len), STR("...")}, 2, STR(""));
    }
    *note = (AdmissionNote){admission->notes, reason, message};
    admission->notes = note;
}

static Value *involved(Arena *arena, const Admission *admission) {
    const Resource *resource = admission->served->resource;
    const Value *object = admission->object;
    Value *reference = value_new_object(arena);
    value_set_str(arena, reference, STR("kind"), resource->kind);
    value_set_str(arena, reference, STR("namespace"), meta_namespace(object));
    value_set_str(arena, reference, STR("name"), meta_name(object));
    value_set_str(arena, reference, STR("uid"), meta_uid(object));
    value_set_str(arena, reference, STR("apiVersion"),
                  resource->group.len ? arena_printf(arena, "%.*s/%.*s", STR_ARG(resource->group),
                                                     STR_ARG(resource->version))
                                      : resource->version);
    return reference;
}

static Value *event_of(Arena *arena, const Admission *admission, const AdmissionNote *note) {
    Api *api = admission->request->api;
    Value *event = value_new_object(arena), *metadata = meta_of(arena, event);
    Str now = time_format(arena, api_now(api));
    meta_fill(api, arena, event);
    value_set_str(arena, metadata, STR("name"),
                  arena_printf(arena, "%.*s.%016" PRIx64, STR_ARG(meta_name(admission->object)),
                               loop_random(api->loop)));
    value_set_str(arena, metadata, STR("namespace"), meta_namespace(admission->object));
    value_set(arena, event, STR("involvedObject"), involved(arena, admission));
    value_set_str(arena, event, STR("reason"), str_from(note->reason));
    value_set_str(arena, event, STR("message"), note->message);
    value_set_str(arena, value_at_make(arena, event, "source"), STR("component"),
                  STR("admission"));
    value_set_str(arena, event, STR("firstTimestamp"), now);
    value_set_str(arena, event, STR("lastTimestamp"), now);
    value_set_int(arena, event, STR("count"), 1);
    value_set_str(arena, event, STR("type"), STR("Warning"));
    value_set(arena, event, STR("eventTime"), value_new_null(arena));
    value_set_str(arena, event, STR("reportingComponent"), STR("admission"));
    value_set_str(arena, event, STR("reportingInstance"), STR(""));
    return event;
}

static void written(void *user, int error, const StoreResult *result) {
    if (error)
        log_warn("api", "an event of admission was not recorded", "error=%d", error);
}

void admission_tell(const Admission *admission) {
    Api *api = admission->request->api;
    Arena *arena = admission->request->arena;
    for (const AdmissionNote *note = admission->notes; note; note = note->next) {
        const ServedResource *events =
            registry_find(api->registry, STR(""), STR("v1"), STR("events"));
        Value *event = event_of(arena, admission, note);
        _bytes_unref_ Bytes *bytes = object_encode(events->storage, event);
        Str key = write_key(arena, events, meta_namespace(event), meta_name(event));
        store_put(api->store, key, bytes, STORE_ABSENT, STORE_VOLATILE, written, NULL);
    }
}
