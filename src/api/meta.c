#include "api/meta.h"

#include <inttypes.h>

#include "api/server.h"
#include "base/rand.h"
#include "base/time.h"

#define MOST_OWNERS 500 // beyond that nobody pays for comparing each with each

static Str string_at(const Value *object, const char *path) {
    Str s = value_string_at(object, path);
    return s.ptr ? s : STR("");
}

Str meta_name(const Value *object) {
    return string_at(object, "metadata.name");
}

Str meta_namespace(const Value *object) {
    return string_at(object, "metadata.namespace");
}

Str meta_uid(const Value *object) {
    return string_at(object, "metadata.uid");
}

Str meta_resource_version(const Value *object) {
    return string_at(object, "metadata.resourceVersion");
}

Value *meta_of(Arena *arena, Value *object) {
    Value *metadata = value_get(object, STR("metadata"));
    if (!metadata || metadata->kind != VALUE_OBJECT) {
        metadata = value_new_object(arena);
        value_set(arena, object, STR("metadata"), metadata);
    }
    return metadata;
}

bool meta_is_deleting(const Value *object) {
    return value_string_at(object, "metadata.deletionTimestamp").len > 0;
}

bool meta_has_finalizers(const Value *object) {
    const Value *finalizers = value_at(object, "metadata.finalizers");
    return finalizers && finalizers->kind == VALUE_ARRAY && finalizers->n > 0;
}

bool meta_has_finalizer(const Value *object, Str finalizer) {
    const Value *finalizers = value_at(object, "metadata.finalizers");
    for (uint32_t i = 0; finalizers && finalizers->kind == VALUE_ARRAY && i < finalizers->n; i++) {
        if (finalizers->items[i]->kind == VALUE_STRING &&
            str_eq(finalizers->items[i]->string, finalizer))
            return true;
    }
    return false;
}

void meta_set_revision(Arena *arena, Value *object, int64_t revision) {
    value_set_str(arena, meta_of(arena, object), STR("resourceVersion"),
                  arena_printf(arena, "%" PRId64, revision));
}

void meta_wipe(Value *object) {
    Value *metadata = value_get(object, STR("metadata"));
    if (!metadata)
        return;
    value_unset(metadata, STR("creationTimestamp"));
    value_unset(metadata, STR("uid"));
    value_unset(metadata, STR("deletionTimestamp"));
    value_unset(metadata, STR("deletionGracePeriodSeconds"));
    value_unset(metadata, STR("selfLink"));
}

void meta_fill(Api *api, Arena *arena, Value *object) {
    Value *metadata = meta_of(arena, object);
    uint64_t high = loop_random(api->loop), low = loop_random(api->loop);
    value_set_str(arena, metadata, STR("uid"), rand_uuid(arena, high, low));
    value_set_str(arena, metadata, STR("creationTimestamp"), time_format(arena, api_now(api)));
}

void meta_generate_name(Api *api, Arena *arena, Value *object) {
    Value *metadata = meta_of(arena, object);
    Str base = string_at(metadata, "generateName");
    if (base.len > 58)
        base = str_slice(base, 0, 58);
    Str suffix = rand_suffix(arena, loop_random(api->loop), 5);
    value_set_str(arena, metadata, STR("name"),
                  arena_printf(arena, "%.*s%.*s", STR_ARG(base), STR_ARG(suffix)));
}

ApiStatus *meta_match_namespace(Arena *arena, Value *object, Str namespace_) {
    Str own = meta_namespace(object);
    if (str_eq(own, namespace_))
        return NULL;
    if (!own.len) {
        value_set_str(arena, meta_of(arena, object), STR("namespace"), namespace_);
        return NULL;
    }
    if (!namespace_.len) {
        value_unset(meta_of(arena, object), STR("namespace"));
        return NULL;
    }
    return status_bad_request(arena, STR("the namespace of the provided object does not match the "
                                         "namespace sent on the request"));
}

void meta_unique_owners(ApiRequest *request, Value *object, bool after_admission) {
    Value *owners = value_at(object, "metadata.ownerReferences");
    if (!owners || owners->kind != VALUE_ARRAY || owners->n < 2 || owners->n > MOST_OWNERS)
        return;
    Arena *arena = request->arena;
    Str dropped = STR("");
    for (uint32_t i = 1; i < owners->n; i++) {
        bool seen = false;
        for (uint32_t j = 0; j < i && !seen; j++)
            seen = value_equal(owners->items[i], owners->items[j]);
        if (!seen)
            continue;
        Str uid = string_at(owners->items[i], "uid");
        dropped =
            dropped.len ? arena_printf(arena, "%.*s, %.*s", STR_ARG(dropped), STR_ARG(uid)) : uid;
        value_remove_item(owners, i--);
    }
    if (!dropped.len)
        return;
    request_warn(
        request,
        after_admission
            ? arena_printf(
                  arena,
                  ".metadata.ownerReferences contains duplicate entries after mutating admission "
                  "happens; API server dedups owner references in 1.20+, and may reject such "
                  "requests as early as 1.24; please fix your requests; duplicate UID(s) "
                  "observed: %.*s",
                  STR_ARG(dropped))
            : arena_printf(
                  arena,
                  ".metadata.ownerReferences contains duplicate entries; API server dedups owner "
                  "references in 1.20+, and may reject such requests as early as 1.24; please "
                  "fix your requests; duplicate UID(s) observed: %.*s",
                  STR_ARG(dropped)));
}

static void carry(Arena *arena, Value *metadata, const Value *old, Str key) {
    Value *value = value_get(old, key);
    if (value)
        value_set(arena, metadata, key, value);
    else
        value_unset(metadata, key);
}

void meta_carry_over(Arena *arena, Value *object, const Value *old) {
    Value *metadata = meta_of(arena, object);
    const Value *was = value_get(old, STR("metadata"));
    carry(arena, metadata, was, STR("generation"));
    carry(arena, metadata, was, STR("creationTimestamp"));
    value_unset(metadata, STR("selfLink"));
    if (!meta_uid(object).len)
        carry(arena, metadata, was, STR("uid"));
    if (value_get(was, STR("deletionTimestamp")))
        carry(arena, metadata, was, STR("deletionTimestamp"));
    if (!value_get(metadata, STR("deletionGracePeriodSeconds")) &&
        value_get(was, STR("deletionGracePeriodSeconds")))
        carry(arena, metadata, was, STR("deletionGracePeriodSeconds"));
}

static bool is_type_or_state(Str key) {
    return str_eq(key, STR("metadata")) || str_eq(key, STR("status")) || str_eq(key, STR("kind")) ||
           str_eq(key, STR("apiVersion"));
}

static bool contained(const Value *a, const Value *b) {
    for (uint32_t i = 0; i < a->n; i++) {
        if (is_type_or_state(a->members[i].key))
            continue;
        const Value *other = value_get(b, a->members[i].key);
        if (!other || !value_equal(a->members[i].value, other))
            return false;
    }
    return true;
}

bool meta_spec_changed(const Value *object, const Value *old) {
    return !contained(object, old) || !contained(old, object);
}

static Value *without_times(Arena *arena, const Value *managed) {
    Value *copy = value_copy(arena, managed);
    for (uint32_t i = 0; copy->kind == VALUE_ARRAY && i < copy->n; i++)
        value_unset(copy->items[i], STR("time"));
    return copy;
}

bool meta_same(Arena *arena, const Value *object, const Value *old) {
    const Value *managed = value_at(object, "metadata.managedFields");
    Value *was = value_at(old, "metadata.managedFields");
    if (!managed || !was || value_equal(managed, was))
        return value_equal(object, old);
    if (!value_equal(without_times(arena, managed), without_times(arena, was)))
        return false;
    Value *copy = value_copy(arena, object);
    value_set(arena, value_get(copy, STR("metadata")), STR("managedFields"), was);
    return value_equal(copy, old);
}
