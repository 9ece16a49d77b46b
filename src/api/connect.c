// CONNECT in admission: exec, attach, port-forward and proxy are judged by what they ask for, as an
// object of the subresource's own kind (PodExecOptions) that is made from the URL.

#include "api/admission/admission.h"
#include "api/server.h"
#include "api/subresources.h"

typedef struct Connect {
    Admission admission;
    ConnectThen then;
} Connect;

static bool is_true(Str value) {
    return value.ptr && !str_eq(value, STR("false")) && !str_eq(value, STR("0"));
}

static Value *value_of(Arena *arena, const Field *field, Str text) {
    int64_t number;
    switch (field->kind) {
    case FIELD_BOOL:
        return value_new_bool(arena, is_true(text));
    case FIELD_INT32:
    case FIELD_INT64:
        return str_to_i64(text, &number) == 0 ? value_new_int(arena, number) : NULL;
    default:
        return value_new_string(arena, text);
    }
}

static void read_field(const ApiRequest *request, const Field *field, Value *object) {
    Arena *arena = request->arena;
    const Str *texts;
    size_t n = http_query_all(request->http, field->name, &texts);
    bool list = field->shape == SHAPE_LIST;
    Value *values = value_new_array(arena);
    for (size_t i = 0; i < n; i++) {
        Value *value = value_of(arena, field, texts[i]);
        if (value && list)
            value_push(arena, values, value);
        else if (value && !value_get(object, field->name))
            value_set(arena, object, field->name, value);
    }
    if (values->n)
        value_set(arena, object, field->name, values);
}

static Value *options_of(const ApiRequest *request, Str kind, const Type *type) {
    Arena *arena = request->arena;
    Value *object = value_new_object(arena);
    value_set_str(arena, object, STR("kind"), kind);
    value_set_str(arena, object, STR("apiVersion"), STR("v1"));
    for (size_t i = 0; i < type->n_fields; i++) {
        const Field *field = &type->fields[i];
        if (field->name.len && field->kind != FIELD_OBJECT)
            read_field(request, field, object);
    }
    return object;
}

static void admitted(ApiRequest *request, void *user, const ApiStatus *refusal) {
    const Connect *self = user;
    if (refusal)
        request_status(request, refusal);
    else
        self->then(request, self->admission.object);
}

void connect_admit(ApiRequest *request, ConnectThen then) {
    Arena *arena = request->arena;
    Str kind = request->subresource->kind;
    const Type *type = kinds_type(arena_printf(arena, "io.k8s.api.core.v1.%.*s", STR_ARG(kind)));
    Connect *self = arena_new_of(arena, Connect);
    self->then = then;
    self->admission = (Admission){
        .request = request,
        .operation = ADMISSION_CONNECT,
        .served = request->served,
        .subresource = request->info.subresource,
        .namespace_ = request_namespace(request),
        .name = request->info.name,
        .object = options_of(request, kind, type),
        .type = type,
    };
    admission_check(&self->admission, admitted, self);
}
