#include "controllers/expectations.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/memory.h"

#define TIMEOUT (300 * NSEC_PER_SEC) // upstream's ExpectationsTimeout

typedef struct Expected {
    Arena *arena; // names
    int64_t version, since;
    struct Gone {
        Str namespace_, name, uid;
    } * gone;
    size_t n_gone;
} Expected;

struct Expectations {
    Map *by_owner;
};

Expectations *expectations_new(void) {
    Expectations *expectations = memory_new(Expectations);
    expectations->by_owner = map_new();
    return expectations;
}

static void expected_free(Expected *expected) {
    if (!expected)
        return;
    arena_free(expected->arena);
    free(expected);
}

void expectations_free(Expectations *expectations) {
    if (!expectations)
        return;
    MapIter it = {0};
    while (map_next(expectations->by_owner, &it))
        expected_free(it.value);
    map_free(expectations->by_owner);
    free(expectations);
}

static Expected *expected_of(Expectations *expectations, Str owner_uid, int64_t now) {
    Expected *expected = map_get(expectations->by_owner, owner_uid);
    if (!expected) {
        expected = memory_new(Expected);
        expected->arena = arena_new();
        map_put(expectations->by_owner, owner_uid, expected);
    }
    expected->since = now;
    return expected;
}

void expectations_created(Expectations *expectations, Str owner_uid, int64_t version, int64_t now) {
    Expected *expected = expected_of(expectations, owner_uid, now);
    if (version > expected->version)
        expected->version = version;
}

void expectations_deleted(Expectations *expectations, Str owner_uid, Str namespace_, Str name,
                          Str uid, int64_t now) {
    Expected *expected = expected_of(expectations, owner_uid, now);
    expected->gone =
        arena_grow(expected->arena, expected->gone, expected->n_gone * sizeof *expected->gone,
                   (expected->n_gone + 1) * sizeof *expected->gone);
    expected->gone[expected->n_gone++] =
        (struct Gone){arena_str(expected->arena, namespace_), arena_str(expected->arena, name),
                      arena_str(expected->arena, uid)};
}

static bool is_met(Expected *expected, const OwnedPods *pods) {
    if (informer_version(owned_pods_informer(pods)) < expected->version)
        return false;
    for (; expected->n_gone; expected->n_gone--) {
        const struct Gone *gone = &expected->gone[expected->n_gone - 1];
        const PodFacts *pod = owned_pods_get(pods, gone->namespace_, gone->name);
        if (pod && !pod->deleting && str_eq(pod->uid, gone->uid))
            return false;
    }
    return true;
}

bool expectations_met(Expectations *expectations, Str owner_uid, const OwnedPods *pods,
                      int64_t now) {
    Expected *expected = map_get(expectations->by_owner, owner_uid);
    if (!expected)
        return true;
    if (now - expected->since < TIMEOUT && !is_met(expected, pods))
        return false;
    expectations_forget(expectations, owner_uid);
    return true;
}

void expectations_forget(Expectations *expectations, Str owner_uid) {
    expected_free(map_remove(expectations->by_owner, owner_uid));
}
