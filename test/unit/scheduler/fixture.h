#pragma once
// Nodes and pods for the tests, written as JSON with ' for ".

#include <stdlib.h>

#include "scheduler/cycle.h"

static inline Str fixture_json(Arena *arena, const char *text) {
    char *json = arena_cstr(arena, str_from(text));
    for (char *c = json; *c; c++) {
        if (*c == '\'')
            *c = '"';
    }
    return str_from(json);
}

static inline const Pod *fixture_pod(Arena *arena, const char *text) {
    Pod *pod = arena_new_of(arena, Pod);
    if (typed_from_json(arena, kinds_type_Pod(), fixture_json(arena, text), pod) != 0)
        abort();
    return pod;
}

// Returns what snapshot_set_node() returns.
static inline unsigned fixture_node(Arena *arena, Snapshot *snapshot, const char *text) {
    Node node;
    Str json = fixture_json(arena, text);
    if (typed_from_json(arena, kinds_type_Node(), json, &node) != 0)
        abort();
    Bytes *bytes = bytes_new(json.ptr, json.len);
    InformerObject *object = informer_object_new(STR(""), node.metadata.name, STR("uid"), 1, bytes);
    bytes_unref(bytes);
    unsigned events = snapshot_set_node(snapshot, object);
    informer_object_unref(object);
    return events;
}

// Counts a pod where its spec.nodeName says.
static inline void fixture_assign(Arena *arena, Snapshot *snapshot, const char *text) {
    const Pod *pod = fixture_pod(arena, text);
    Demand demand = demand_of(arena, pod);
    snapshot_set_pod(snapshot, arena_printf(arena, "default/%.*s", STR_ARG(pod->metadata.name)),
                     pod->metadata.uid, pod->spec.node_name, &demand, false);
}
