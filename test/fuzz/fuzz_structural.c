// Schemas of custom kinds and objects under them. The first line is an openAPIV3Schema; what passes
// as one is made into tables. The second is an object, the rest what it was before: pruned, with
// defaults, validated. What has been brought to the schema stays as it is.

#include <assert.h>

#include "kinds/custom_resource.h"
#include "kinds/kinds.h"
#include "schema/structural.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static Value *read_json(Arena *arena, Str text) {
    Value *value;
    ParseError error;
    if (!text.len || value_parse_json(arena, text, NULL, &value, &error) ||
        value->kind != VALUE_OBJECT)
        return NULL;
    return value;
}

static bool is_schema(Arena *arena, Value *source) {
    FieldErrors errors = {.arena = arena};
    Str message;
    if (schema_normalize(arena, kinds_type_JSONSchemaProps(), source, NULL, &message))
        return false;
    crd_check_structural(&errors, source, NULL);
    if (errors.n)
        return false;
    crd_check_defaults(&errors, source, NULL);
    crd_check_schema(&errors, source, NULL);
    return !errors.n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _arena_free_ Arena *arena = arena_new();
    Str rest = str_of(data, size);
    Value *source = read_json(arena, str_cut(&rest, '\n'));
    Value *object = read_json(arena, str_cut(&rest, '\n')), *old = read_json(arena, rest);
    CustomType custom = {.metadata = kinds_type_ObjectMeta()};
    if (!source || !is_schema(arena, source) || !object)
        return 0;
    int r = structural_build(arena, source, &custom.schema);
    assert(r == 0);
    structural_conform(arena, &custom, object);
    Value *again = value_copy(arena, object);
    structural_conform(arena, &custom, again);
    assert(value_equal(object, again));
    FieldErrors errors = {.arena = arena};
    structural_validate(&errors, custom.schema, object, old, NULL);
    structural_validate_embedded(&errors, custom.schema, object, NULL);
    structural_validate_lists(&errors, custom.schema, object, NULL);
    for (size_t i = 0; i < errors.n; i++)
        assert(errors.items[i].message.len > 0);
    errors.n = 0; // nothing changed, nothing is wrong with it
    structural_validate(&errors, custom.schema, object, object, NULL);
    assert(!errors.n);
    return 0;
}
