#include "api/scale.h"

#include "api/meta.h"
#include "schema/check.h"
#include "schema/selector.h"

// printScale upstream
static const Column columns[] = {
    {.name = "Name", .doc = "Name of the object.", .format = "name", .path = "metadata.name"},
    {.name = "Desired",
     .doc = "How many pods there should be.",
     .format = "",
     .kind = COLUMN_INTEGER,
     .path = "spec.replicas",
     .function = "number"},
    {.name = "Available",
     .doc = "How many there are.",
     .format = "",
     .kind = COLUMN_INTEGER,
     .path = "status.replicas",
     .function = "number"},
    {.name = "Age",
     .doc = "Time since it was created.",
     .format = "",
     .path = "metadata.creationTimestamp",
     .function = "age"},
};

const ScaleView *scale_view(const ApiRequest *request) {
    if (!request->subresource || !request->subresource->scale)
        return NULL;
    ScaleView *view = arena_new_of(request->arena, ScaleView);
    view->paths = request->subresource->scale;
    view->parent = request->served->resource->type;
    view->resource = (Resource){
        .group = STR("autoscaling"),
        .version = STR("v1"),
        .plural = request->served->resource->plural,
        .kind = STR("Scale"),
        .type = request->subresource->type,
        .columns = columns,
        .n_columns = sizeof columns / sizeof *columns,
        .namespaced = request->served->resource->namespaced,
    };
    view->served = (ServedResource){.resource = &view->resource, .storage = &view->resource};
    return view;
}

// ---- selectors have three forms

static const Field *field_at(const Type *type, Str path) {
    const Field *field = NULL;
    while (path.len && type) {
        field = type_field(type, str_cut(&path, '.'));
        type = field ? field->type : NULL;
    }
    return path.len ? NULL : field;
}

static Str selector_text(Arena *arena, const ScaleView *view, const Value *object) {
    if (!view->paths->selector.len)
        return STR("");
    const Value *selector = value_at(object, arena_cstr(arena, view->paths->selector));
    if (!selector)
        return STR("");
    if (selector->kind == VALUE_STRING)
        return selector->string;
    const Field *field = field_at(view->parent, view->paths->selector);
    return field && field->shape == SHAPE_MAP ? selector_map_string(arena, selector)
                                              : selector_string(arena, selector);
}

// ---- out and in

static int64_t number_at(Arena *arena, const Value *object, Str path) {
    return value_int_at(object, arena_cstr(arena, path), 0);
}

Value *scale_show(Arena *arena, const ScaleView *view, const Value *object) {
    static const Str shown[] = {{"name", 4},
                                {"namespace", 9},
                                {"uid", 3},
                                {"resourceVersion", 15},
                                {"creationTimestamp", 17}};
    Value *scale = value_new_object(arena), *metadata = value_new_object(arena);
    Value *spec = value_new_object(arena), *status = value_new_object(arena);
    value_set_str(arena, scale, STR("kind"), STR("Scale"));
    value_set_str(arena, scale, STR("apiVersion"), STR("autoscaling/v1"));
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        Value *value = value_get(value_get(object, STR("metadata")), shown[i]);
        if (value)
            value_set(arena, metadata, shown[i], value);
    }
    value_set(arena, scale, STR("metadata"), metadata);
    int64_t replicas = number_at(arena, object, view->paths->spec_replicas);
    if (replicas)
        value_set_int(arena, spec, STR("replicas"), replicas);
    value_set(arena, scale, STR("spec"), spec);
    value_set_int(arena, status, STR("replicas"),
                  number_at(arena, object, view->paths->status_replicas));
    Str selector = selector_text(arena, view, object);
    if (selector.len)
        value_set_str(arena, status, STR("selector"), selector);
    value_set(arena, scale, STR("status"), status);
    return scale;
}

// Sets a number at a dotted path.
static void set_number(Arena *arena, Value *object, Str path, int64_t number) {
    Str rest = path;
    while (str_find(rest, '.') >= 0) {
        Str step = str_cut(&rest, '.');
        Value *next = value_get(object, step);
        if (!next || next->kind != VALUE_OBJECT) {
            next = value_new_object(arena);
            value_set(arena, object, step, next);
        }
        object = next;
    }
    value_set_int(arena, object, rest, number);
}

void scale_take(Arena *arena, const ScaleView *view, Value *object, const Value *scale) {
    set_number(arena, object, view->paths->spec_replicas, value_int_at(scale, "spec.replicas", 0));
    Str version = meta_resource_version(scale);
    if (version.len)
        value_set_str(arena, meta_of(arena, object), STR("resourceVersion"), version);
}

// ValidateScale upstream (pkg/apis/autoscaling/validation).
ApiStatus *scale_validate(Arena *arena, const ScaleView *view, const Value *scale) {
    FieldErrors errors = {.arena = arena};
    schema_validate_type(&errors, view->resource.type, scale, NULL, NULL);
    return errors.n ? status_invalid(arena, view->resource.group, view->resource.kind,
                                     meta_name(scale), &errors)
                    : NULL;
}

Value *scale_config(Arena *arena, const ScaleView *view, const Resource *parent,
                    const Value *config) {
    Value *own = value_copy(arena, config);
    const Value *replicas = value_at(config, "spec.replicas");
    // Another kind is refused by its own name.
    if (!str_eq(value_string_at(config, "kind"), STR("Scale")) ||
        !str_eq(value_string_at(config, "apiVersion"), STR("autoscaling/v1")))
        return own;
    value_set_str(arena, own, STR("kind"), parent->kind);
    value_set_str(arena, own, STR("apiVersion"),
                  parent->group.len ? arena_printf(arena, "%.*s/%.*s", STR_ARG(parent->group),
                                                   STR_ARG(parent->version))
                                    : parent->version);
    value_unset(own, STR("spec"));
    value_unset(own, STR("status"));
    if (replicas && replicas->kind == VALUE_INT)
        set_number(arena, own, view->paths->spec_replicas, replicas->integer);
    return own;
}
