// A version 2 document in the Protobuf form of github.com/google/gnostic-models
// openapiv2/OpenAPIv2.proto: what kubectl 1.20 reads, and every client-go since for strategic merge
// patches. Each function writes one message; its numbers are that file's.
#include "api/openapi_build.h"

#define MAX_DOCUMENT (32 * 1024 * 1024)

static void put_varint(Buf *buf, uint64_t value) {
    while (value >= 0x80) {
        buf_char(buf, (char)(value | 0x80));
        value >>= 7;
    }
    buf_char(buf, (char)value);
}

static void put_string(Buf *buf, unsigned number, Str text) {
    put_varint(buf, number << 3 | 2);
    put_varint(buf, text.len);
    buf_str(buf, text);
}

static void put_text(Buf *buf, unsigned number, const Value *object, const char *key) {
    const Value *value = value_get(object, str_from(key));
    if (value && value->kind == VALUE_STRING && value->string.len)
        put_string(buf, number, value->string);
}

static void put_true(Buf *buf, unsigned number, const Value *object, const char *key) {
    if (!value_bool_at(object, key, false))
        return;
    put_varint(buf, number << 3);
    put_varint(buf, 1);
}

static void put_texts(Buf *buf, unsigned number, const Value *object, const char *key) {
    const Value *list = value_get(object, str_from(key));
    for (uint32_t i = 0; list && list->kind == VALUE_ARRAY && i < list->n; i++)
        put_string(buf, number, list->items[i]->string);
}

typedef void (*WriteMessage)(Buf *buf, const Value *value);

static void put_message(Buf *buf, unsigned number, WriteMessage write, const Value *value) {
    Buf inner = BUF_INIT(MAX_DOCUMENT);
    write(&inner, value);
    put_string(buf, number, buf_view(&inner));
    buf_deinit(&inner);
}

static void put_member(Buf *buf, unsigned number, WriteMessage write, const Value *object,
                       const char *key) {
    const Value *value = value_get(object, str_from(key));
    if (value)
        put_message(buf, number, write, value);
}

// A repeated message {name = 1, value = 2} for each member.
static void put_named(Buf *buf, unsigned number, WriteMessage write, const Value *object) {
    for (uint32_t i = 0; i < object->n; i++) {
        Buf inner = BUF_INIT(MAX_DOCUMENT);
        put_string(&inner, 1, object->members[i].key);
        put_message(&inner, 2, write, object->members[i].value);
        put_string(buf, number, buf_view(&inner));
        buf_deinit(&inner);
    }
}

static void write_any(Buf *buf, const Value *value) { // Any: its YAML, of which JSON is a part
    Buf text = BUF_INIT(MAX_DOCUMENT);
    value_write_json(value, &text);
    buf_char(&text, '\n');
    put_string(buf, 2, buf_view(&text));
    buf_deinit(&text);
}

static void put_extensions(Buf *buf, unsigned number, const Value *object) {
    for (uint32_t i = 0; i < object->n; i++) {
        if (!str_starts_with(object->members[i].key, STR("x-")))
            continue;
        Buf inner = BUF_INIT(MAX_DOCUMENT);
        put_string(&inner, 1, object->members[i].key);
        put_message(&inner, 2, write_any, object->members[i].value);
        put_string(buf, number, buf_view(&inner));
        buf_deinit(&inner);
    }
}

static void write_schema(Buf *buf, const Value *schema);

static void write_first_schema(Buf *buf, const Value *schema) {
    put_message(buf, 1, write_schema, schema);
}
static void write_type(Buf *buf, const Value *type) {
    put_string(buf, 1, type->string);
}
static void write_properties(Buf *buf, const Value *properties) {
    put_named(buf, 1, write_schema, properties);
}

static void write_schema(Buf *buf, const Value *schema) {
    put_text(buf, 1, schema, "$ref");
    put_text(buf, 2, schema, "format");
    put_text(buf, 4, schema, "description");
    put_texts(buf, 19, schema, "required");
    put_member(buf, 21, write_first_schema, schema,
               "additionalProperties");                       // AdditionalPropertiesItem
    put_member(buf, 22, write_type, schema, "type");          // TypeItem
    put_member(buf, 23, write_first_schema, schema, "items"); // ItemsItem
    put_member(buf, 25, write_properties, schema, "properties");
    put_extensions(buf, 31, schema);
}

static void write_body_parameter(Buf *buf, const Value *parameter) {
    put_text(buf, 1, parameter, "description");
    put_text(buf, 2, parameter, "name");
    put_text(buf, 3, parameter, "in");
    put_true(buf, 4, parameter, "required");
    put_member(buf, 5, write_schema, parameter, "schema");
}

static void write_query(Buf *buf, const Value *parameter) { // QueryParameterSubSchema
    put_true(buf, 1, parameter, "required");
    put_text(buf, 2, parameter, "in");
    put_text(buf, 3, parameter, "description");
    put_text(buf, 4, parameter, "name");
    put_text(buf, 6, parameter, "type");
    put_true(buf, 20, parameter, "uniqueItems");
}

static void write_path_parameter(Buf *buf, const Value *parameter) { // PathParameterSubSchema
    put_true(buf, 1, parameter, "required");
    put_text(buf, 2, parameter, "in");
    put_text(buf, 3, parameter, "description");
    put_text(buf, 4, parameter, "name");
    put_text(buf, 5, parameter, "type");
    put_true(buf, 19, parameter, "uniqueItems");
}

static void write_non_body(Buf *buf, const Value *parameter) {
    bool path = str_eq(value_string_at(parameter, "in"), STR("path"));
    put_message(buf, path ? 4 : 3, path ? write_path_parameter : write_query, parameter);
}

static void write_parameter(Buf *buf, const Value *parameter) { // Parameter: body or not
    bool body = str_eq(value_string_at(parameter, "in"), STR("body"));
    put_message(buf, body ? 1 : 2, body ? write_body_parameter : write_non_body, parameter);
}

static void write_parameters_item(Buf *buf, const Value *parameter) {
    put_message(buf, 1, write_parameter, parameter);
}

static void put_parameters(Buf *buf, unsigned number, const Value *object) {
    const Value *list = value_get(object, STR("parameters"));
    for (uint32_t i = 0; list && i < list->n; i++)
        put_message(buf, number, write_parameters_item, list->items[i]);
}

static void write_response(Buf *buf, const Value *response) {
    put_text(buf, 1, response, "description");
    put_member(buf, 2, write_first_schema, response, "schema"); // SchemaItem
}

static void write_response_value(Buf *buf, const Value *response) {
    put_message(buf, 1, write_response, response);
}
static void write_responses(Buf *buf, const Value *responses) {
    put_named(buf, 1, write_response_value, responses);
}

static void write_operation(Buf *buf, const Value *operation) {
    put_text(buf, 3, operation, "description");
    put_text(buf, 5, operation, "operationId");
    put_texts(buf, 6, operation, "produces");
    put_texts(buf, 7, operation, "consumes");
    put_parameters(buf, 8, operation);
    put_member(buf, 9, write_responses, operation, "responses");
    put_extensions(buf, 13, operation);
}

static void write_path_item(Buf *buf, const Value *item) {
    static const struct {
        unsigned number;
        const char *method;
    } methods[] = {{2, "get"}, {3, "put"}, {4, "post"}, {5, "delete"}, {8, "patch"}};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        put_member(buf, methods[i].number, write_operation, item, methods[i].method);
    put_parameters(buf, 9, item);
}

static void write_paths(Buf *buf, const Value *paths) {
    put_named(buf, 2, write_path_item, paths);
}
static void write_definitions(Buf *buf, const Value *definitions) {
    put_named(buf, 1, write_schema, definitions);
}

static void write_info(Buf *buf, const Value *info) {
    put_text(buf, 1, info, "title");
    put_text(buf, 2, info, "version");
}

void openapi_v2_write_protobuf(const Value *document, Buf *buf) {
    put_text(buf, 1, document, "swagger");
    put_member(buf, 2, write_info, document, "info");
    put_member(buf, 8, write_paths, document, "paths");
    put_member(buf, 9, write_definitions, document, "definitions");
}
