// PriorityClasses: pkg/apis/scheduling/validation upstream.

#include "kinds/rules.h"
#include "kinds/tree.h"

#define MOST_FOR_USERS 1000000000

static const struct {
    Str name;
    int64_t value;
} system_classes[] = {
    {STR("system-node-critical"), 2000001000},
    {STR("system-cluster-critical"), 2000000000},
};

// Why it is no class of the system; NULL when it is one.
static const char *not_a_system_class(Arena *arena, const Value *object, Str name) {
    for (size_t i = 0; i < sizeof system_classes / sizeof *system_classes; i++) {
        if (!str_eq(name, system_classes[i].name))
            continue;
        if (value_int_at(object, "value", 0) != system_classes[i].value)
            return arena_printf(arena, "value of %.*s PriorityClass must be %lld", STR_ARG(name),
                                (long long)system_classes[i].value)
                .ptr;
        if (value_bool_at(object, "globalDefault", false))
            return arena_printf(arena, "globalDefault of %.*s PriorityClass must be false",
                                STR_ARG(name))
                .ptr;
        return NULL;
    }
    return arena_printf(arena, "%.*s is not a known system priority class", STR_ARG(name)).ptr;
}

static void validate_create(FieldErrors *errors, const Value *object) {
    Str name = tree_string(value_at(object, "metadata.name"));
    if (!str_starts_with(name, STR("system-"))) {
        if (value_int_at(object, "value", 0) > MOST_FOR_USERS)
            field_forbidden(errors, PATH(NULL, STR("value")),
                            "maximum allowed value of a user defined priority is 1000000000");
        return;
    }
    const char *why = not_a_system_class(errors->arena, object, name);
    if (why)
        field_forbidden(errors, PATH(PATH(NULL, STR("metadata")), STR("name")),
                        arena_printf(errors->arena,
                                     "priority class names with 'system-' prefix are reserved for "
                                     "system use only. error: %s",
                                     why)
                            .ptr);
}

static void validate_update(FieldErrors *errors, const Value *object, const Value *old) {
    if (value_int_at(object, "value", 0) != value_int_at(old, "value", 0))
        field_forbidden(errors, PATH(NULL, STR("value")), "may not be changed in an update.");
}

const ResourceRules priority_class_rules = {.validate_create = validate_create,
                                            .validate_update = validate_update};
