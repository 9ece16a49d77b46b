// Every kind's rules, on the API server's road: normal form, defaults, preparation, validation, as
// a create and as an update. The first byte picks the resource, the first line is the new object,
// the rest the old one.

#include <assert.h>
#include <stdlib.h>

#include "kinds/kinds.h"
#include "schema/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static Value *read_object(Arena *arena, const Resource *resource, Str text) {
    Value *object;
    ParseError error;
    Str message;
    if (!text.ptr || value_parse_json(arena, text, NULL, &object, &error) ||
        object->kind != VALUE_OBJECT ||
        schema_normalize(arena, resource->type, object, NULL, &message))
        return NULL;
    value_at_make(arena, object, "metadata"); // as the API server does
    schema_default(arena, resource, object);
    return object;
}

static void check(Arena *arena, const Resource *resource, const Value *object, const Value *old) {
    FieldErrors errors = {.arena = arena};
    schema_validate(&errors, resource, object, old);
    if (old && resource->rules && resource->rules->validate_status_update)
        resource->rules->validate_status_update(&errors, object, old);
    for (size_t i = 0; i < errors.n; i++)
        assert(errors.items[i].message.len > 0);
    ValuePaths warnings = {0};
    if (resource->rules && resource->rules->warn)
        resource->rules->warn(arena, object, &warnings);
}

static void prepare(Arena *arena, const Resource *resource, Value *object, const Value *old) {
    if (old && resource->rules && resource->rules->prepare_status)
        resource->rules->prepare_status(arena, object, old);
    if (resource->rules && resource->rules->prepare)
        resource->rules->prepare(arena, object, old);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Str rest = str_of(data, size);
    Str name = str_cut(&rest, '\n');
    Str group = str_cut(&name, '/');
    Str version = str_cut(&name, '/');
    const Resource *resource = kinds_resource(group, version, name);
    if (!resource)
        return 0;
    _arena_free_ Arena *arena = arena_new();
    Str first = str_cut(&rest, '\n');
    Value *object = read_object(arena, resource, first);
    Value *old = rest.len ? read_object(arena, resource, rest) : NULL;
    if (old) {
        prepare(arena, resource, old, NULL);
        check(arena, resource, old, NULL);
    }
    if (object) {
        prepare(arena, resource, object, old);
        check(arena, resource, object, old);
    }
    return 0;
}
