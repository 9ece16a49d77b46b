#include "api/table.h"

#include "api/table_cells.h"
#include "base/time.h"
#include "schema/json_path.h"

static Str kind_name(ColumnKind kind) {
    static const Str names[] = {
        [COLUMN_STRING] = STR("string"), [COLUMN_INTEGER] = STR("integer"),
        [COLUMN_NUMBER] = STR("number"), [COLUMN_BOOLEAN] = STR("boolean"),
        [COLUMN_DATE] = STR("date"),
    };
    return names[kind];
}

// As kubectl's JSONPath prints a value: strings as they are, all else as JSON.
static Value *printed(const CellInput *input, const Value *value) {
    if (value->kind == VALUE_STRING)
        return (Value *)value;
    Buf buf = BUF_INIT(VALUE_MAX_BYTES * 2);
    value_write_json(value, &buf);
    Str text = arena_str(input->arena, buf_view(&buf));
    buf_deinit(&buf);
    return value_new_string(input->arena, text);
}

static Value *definitions(Arena *arena, const Resource *resource) {
    Value *list = value_new_array(arena);
    for (size_t i = 0; i < resource->n_columns; i++) {
        const Column *column = &resource->columns[i];
        Value *definition = value_new_object(arena);
        value_set_str(arena, definition, STR("name"), str_from(column->name));
        value_set_str(arena, definition, STR("type"), kind_name(column->kind));
        value_set_str(arena, definition, STR("format"), str_from(column->format));
        value_set_str(arena, definition, STR("description"), str_from(column->doc));
        value_set_int(arena, definition, STR("priority"), column->priority);
        value_push(arena, list, definition);
    }
    return list;
}

// What a printer column's path leads to (apiextensions-apiserver's tableconvertor).
static Value *custom_cell(const CellInput *input, const Column *column) {
    const Value *found = json_path_first(column->json_path, input->object);
    bool number = found && (found->kind == VALUE_INT || found->kind == VALUE_DOUBLE);
    if (!found || found->kind == VALUE_NULL)
        return value_new_null(input->arena);
    switch (column->kind) {
    case COLUMN_STRING:
        return printed(input, found);
    case COLUMN_INTEGER:
        if (number && found->kind == VALUE_DOUBLE && found->number < 9e18 && found->number > -9e18)
            return value_new_int(input->arena, (int64_t)found->number);
        return number ? (Value *)found : value_new_null(input->arena);
    case COLUMN_NUMBER:
        return number ? (Value *)found : value_new_null(input->arena);
    case COLUMN_BOOLEAN:
        return found->kind == VALUE_BOOL ? (Value *)found : value_new_null(input->arena);
    case COLUMN_DATE: {
        int64_t time;
        if (found->kind != VALUE_STRING)
            break;
        return time_parse(found->string, &time) == 0
                   ? cell_age(input, found->string)
                   : value_new_string(input->arena, STR("<invalid>"));
    }
    }
    return value_new_null(input->arena);
}

static Value *cell(const CellInput *input, const Column *column) {
    if (column->json_path)
        return custom_cell(input, column);
    if (column->function) {
        CellFunction function = table_cell_function(str_from(column->function));
        if (function)
            return function(input);
    }
    if (input->field)
        return (Value *)input->field;
    return column->kind == COLUMN_STRING ? value_new_string(input->arena, STR(""))
                                         : value_new_null(input->arena);
}

static Value *row_object(Arena *arena, const Value *object, TableInclude include) {
    if (include == TABLE_NONE)
        return NULL;
    if (include == TABLE_OBJECT)
        return (Value *)object;
    Value *partial = value_new_object(arena);
    value_set_str(arena, partial, STR("kind"), STR("PartialObjectMetadata"));
    value_set_str(arena, partial, STR("apiVersion"), STR("meta.k8s.io/v1"));
    Value *metadata = value_get(object, STR("metadata"));
    value_set(arena, partial, STR("metadata"), metadata ? metadata : value_new_object(arena));
    return partial;
}

static Value *row(Arena *arena, const Resource *resource, const Value *object, TableInclude include,
                  int64_t now) {
    Value *cells = value_new_array(arena), *made = value_new_object(arena);
    for (size_t i = 0; i < resource->n_columns; i++) {
        const Column *column = &resource->columns[i];
        CellInput input = {.arena = arena,
                           .object = object,
                           .field = column->path ? value_at(object, column->path) : NULL,
                           .now = now};
        value_push(arena, cells, cell(&input, column));
    }
    value_set(arena, made, STR("cells"), cells);
    Value *shown = row_object(arena, object, include);
    if (shown)
        value_set(arena, made, STR("object"), shown);
    return made;
}

Value *table_render(Arena *arena, const Resource *resource, const Value *const *objects, size_t n,
                    const Value *list_metadata, TableInclude include, bool columns, int64_t now) {
    Value *table = value_new_object(arena), *rows = value_new_array(arena);
    value_set_str(arena, table, STR("kind"), STR("Table"));
    value_set_str(arena, table, STR("apiVersion"), STR("meta.k8s.io/v1"));
    value_set(arena, table, STR("metadata"),
              list_metadata ? value_copy(arena, list_metadata) : value_new_object(arena));
    value_set(arena, table, STR("columnDefinitions"),
              columns ? definitions(arena, resource) : value_new_array(arena));
    for (size_t i = 0; i < n; i++)
        value_push(arena, rows, row(arena, resource, objects[i], include, now));
    value_set(arena, table, STR("rows"), rows);
    return table;
}
