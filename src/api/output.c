#include "api/output.h"

#include "api/server.h"
#include "api/table.h"
#include "schema/structural.h"

// ---- writing

static void indent(Buf *buf, int depth) {
    buf_char(buf, '\n');
    for (int i = 0; i < depth; i++)
        buf_append(buf, "  ", 2);
}

static void write_pretty(const Value *value, int depth, Buf *buf) {
    bool object = value->kind == VALUE_OBJECT;
    if ((!object && value->kind != VALUE_ARRAY) || value->n == 0) {
        value_write_json(value, buf);
        return;
    }
    buf_char(buf, object ? '{' : '[');
    for (uint32_t i = 0; i < value->n; i++) {
        if (i)
            buf_char(buf, ',');
        indent(buf, depth + 1);
        if (object) {
            Value key = {.kind = VALUE_STRING, .string = value->members[i].key};
            value_write_json(&key, buf);
            buf_append(buf, ": ", 2);
        }
        write_pretty(object ? value->members[i].value : value->items[i], depth + 1, buf);
    }
    indent(buf, depth);
    buf_char(buf, object ? '}' : ']');
}

void output_write(const Value *value, bool pretty, Buf *buf) {
    if (pretty)
        write_pretty(value, 0, buf);
    else
        value_write_json(value, buf);
}

// ---- versions

// The two Event groups show the same objects under other names (k8s.io/kubernetes' events/v1
// conversion).
static const struct {
    const char *core, *events;
} event_fields[] = {
    {"involvedObject", "regarding"},
    {"message", "note"},
    {"source", "deprecatedSource"},
    {"firstTimestamp", "deprecatedFirstTimestamp"},
    {"lastTimestamp", "deprecatedLastTimestamp"},
    {"count", "deprecatedCount"},
    {"reportingComponent", "reportingController"},
};

static void rename_event_fields(Value *object, bool from_core) {
    for (uint32_t i = 0; i < object->n; i++) {
        for (size_t j = 0; j < sizeof event_fields / sizeof *event_fields; j++) {
            Str from = str_from(from_core ? event_fields[j].core : event_fields[j].events);
            if (!str_eq(object->members[i].key, from))
                continue;
            object->members[i].key =
                str_from(from_core ? event_fields[j].events : event_fields[j].core);
            break;
        }
    }
}

static void set_type(Arena *arena, const Resource *resource, Value *object) {
    Str version = resource->group.len ? arena_printf(arena, "%.*s/%.*s", STR_ARG(resource->group),
                                                     STR_ARG(resource->version))
                                      : resource->version;
    value_set_str(arena, object, STR("kind"), resource->kind);
    value_set_str(arena, object, STR("apiVersion"), version);
}

static bool is_event(const ServedResource *served) {
    return str_eq(served->resource->kind, STR("Event"));
}

Value *output_from_storage(Arena *arena, const ServedResource *served, Value *object) {
    if (served->resource == served->storage)
        return object;
    const ResourceRules *rules = served->resource->rules;
    if (is_event(served))
        rename_event_fields(object, !served->storage->group.len);
    if (rules && rules->from_storage)
        rules->from_storage(arena, object);
    set_type(arena, served->resource, object);
    if (served->kind)
        structural_conform(arena, served->resource->type->custom, object);
    return object;
}

Value *output_to_storage(Arena *arena, const ServedResource *served, Value *object) {
    if (served->resource == served->storage)
        return object;
    const ResourceRules *rules = served->resource->rules;
    if (is_event(served))
        rename_event_fields(object, served->storage->group.len > 0);
    if (rules && rules->to_storage)
        rules->to_storage(arena, object);
    set_type(arena, served->storage, object);
    if (served->kind)
        structural_conform(arena, served->storage->type->custom, object);
    return object;
}

// ---- forms

Value *output_partial(Arena *arena, Str meta_version, const Value *object) {
    Value *partial = value_new_object(arena);
    value_set_str(arena, partial, STR("kind"), STR("PartialObjectMetadata"));
    value_set_str(arena, partial, STR("apiVersion"),
                  str_eq(meta_version, STR("v1beta1")) ? STR("meta.k8s.io/v1beta1")
                                                       : STR("meta.k8s.io/v1"));
    Value *metadata = value_get(object, STR("metadata"));
    value_set(arena, partial, STR("metadata"), metadata ? metadata : value_new_object(arena));
    return partial;
}

Value *output_table(ApiRequest *request, Arena *arena, const ServedResource *served,
                    const Value *const *objects, size_t n, Value *list_metadata, bool columns) {
    TableInclude include = request->output.include_object == 'N'   ? TABLE_NONE
                           : request->output.include_object == 'O' ? TABLE_OBJECT
                                                                   : TABLE_METADATA;
    Value *table = table_render(arena, served->resource, objects, n, list_metadata, include,
                                columns, api_now(request->api));
    if (str_eq(request->output.version, STR("v1beta1")))
        value_set_str(arena, table, STR("apiVersion"), STR("meta.k8s.io/v1beta1"));
    return table;
}

Value *output_object(ApiRequest *request, const ServedResource *served, Value *object,
                     const ApiStatus **ret_status) {
    Arena *arena = request->arena;
    *ret_status = NULL;
    switch (request->output.kind) {
    case OUTPUT_OBJECT:
        return object;
    case OUTPUT_PARTIAL:
        return served ? output_partial(arena, request->output.version, object) : object;
    case OUTPUT_PARTIAL_LIST:
        *ret_status = status_not_acceptable(
            arena,
            STR("you requested PartialObjectMetadataList, but the requested object is not a list"));
        return NULL;
    case OUTPUT_TABLE:
        break;
    }
    if (!served)
        return object; // a Status, or another kind than the resource's
    Value *list_metadata = value_new_object(arena);
    Value *version = value_at(object, "metadata.resourceVersion");
    if (version)
        value_set(arena, list_metadata, STR("resourceVersion"), version);
    return output_table(request, arena, served, (const Value *[]){object}, 1, list_metadata, true);
}
