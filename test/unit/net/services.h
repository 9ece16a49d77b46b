#pragma once
// A ServiceTable filled from JSON, without an API server.

#include <stdlib.h>

#include "net/service_table.h"

static inline InformerObject *fed_object(const char *name, const char *json) {
    Bytes *bytes = bytes_new(json, strlen(json));
    InformerObject *object =
        informer_object_new(STR("default"), str_from(name), STR("uid"), 1, bytes);
    bytes_unref(bytes);
    return object;
}

// `old`, `now`: JSON of the object before and after; NULL: it is not there.
static inline void feed(ServiceTable *table, bool slice, const char *name, const char *old,
                        const char *now) {
    InformerObject *before = old ? fed_object(name, old) : NULL;
    InformerObject *after = now ? fed_object(name, now) : NULL;
    service_table_feed(table, slice, before, after);
    if (before)
        informer_object_unref(before);
    if (after)
        informer_object_unref(after);
}
