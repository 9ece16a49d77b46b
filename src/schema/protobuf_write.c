// Trees to Protobuf messages, by the tables. A message is written from its end to its beginning, so
// that the length of what is nested is known when its turn comes.

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/time.h"
#include "schema/protobuf.h"
#include "schema/protobuf_wire.h"
#include "schema/scalar.h"

#define MAX_BYTES ((size_t)1 << 30)

typedef struct Writer {
    unsigned char *data; // filled from the end: data[start..capacity)
    size_t start, capacity;
    Arena *scratch; // of decoded base64
    int status;     // 0, -EINVAL or -E2BIG
} Writer;

static void write_message(Writer *w, const Type *type, const Value *object);

// ---- bytes, backwards

static bool make_room(Writer *w, size_t len) {
    if (w->status)
        return false;
    if (len <= w->start)
        return true;
    size_t used = w->capacity - w->start, capacity = w->capacity ? w->capacity : 2048;
    while (capacity < used + len && capacity < MAX_BYTES)
        capacity *= 2;
    if (capacity < used + len || len > MAX_BYTES) {
        w->status = -E2BIG;
        return false;
    }
    unsigned char *grown = malloc(capacity);
    if (!grown)
        abort();
    if (used)
        memcpy(grown + capacity - used, w->data + w->start, used);
    free(w->data);
    *w = (Writer){grown, capacity - used, capacity, w->scratch, 0};
    return true;
}

static void put(Writer *w, const void *bytes, size_t len) {
    if (!len || !make_room(w, len))
        return;
    w->start -= len;
    memcpy(w->data + w->start, bytes, len);
}

static void put_varint(Writer *w, uint64_t value) {
    unsigned char bytes[10];
    size_t n = 0;
    for (; value >= 0x80; value >>= 7)
        bytes[n++] = (unsigned char)(value | 0x80);
    bytes[n++] = (unsigned char)value;
    put(w, bytes, n);
}

static void put_tag(Writer *w, uint32_t number, WireType wire) {
    put_varint(w, (uint64_t)number << 3 | wire);
}

static void put_integer(Writer *w, uint32_t number, uint64_t value) {
    put_varint(w, value);
    put_tag(w, number, WIRE_VARINT);
}

static void put_string(Writer *w, uint32_t number, Str s) {
    put(w, s.ptr, s.len);
    put_varint(w, s.len);
    put_tag(w, number, WIRE_BYTES);
}

// Closes what was written since `end` bytes stood there, as one element.
static size_t written(const Writer *w) {
    return w->capacity - w->start;
}

static void close_message(Writer *w, uint32_t number, size_t end) {
    put_varint(w, written(w) - end);
    put_tag(w, number, WIRE_BYTES);
}

// ---- one value; NULL is what Go has in a field that was never set

static void misfit(Writer *w) {
    if (!w->status)
        w->status = -EINVAL;
}

static Str string_of(Writer *w, const Value *value) {
    if (!value || value->kind == VALUE_NULL)
        return STR("");
    if (value->kind == VALUE_STRING)
        return value->string;
    misfit(w);
    return STR("");
}

static int64_t integer_of(Writer *w, const Value *value) {
    if (!value || value->kind == VALUE_NULL)
        return 0;
    if (value->kind == VALUE_INT)
        return value->integer;
    misfit(w);
    return 0;
}

static void write_double(Writer *w, const Value *value) {
    double number =
        value && value->kind == VALUE_DOUBLE ? value->number : (double)integer_of(w, value);
    unsigned char bytes[8];
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    for (size_t i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(bits >> (8 * i));
    put(w, bytes, sizeof bytes);
}

static void write_time(Writer *w, const Value *value, bool micro) {
    Str text = string_of(w, value);
    int64_t ns;
    if (!text.len)
        return; // the zero time has no bytes
    if (time_parse(text, &ns) != 0) {
        misfit(w);
        return;
    }
    int64_t seconds = ns / 1000000000, nanos = ns % 1000000000;
    if (nanos < 0) {
        seconds--;
        nanos += 1000000000;
    }
    put_integer(w, 2, micro ? (uint64_t)(nanos / 1000 * 1000) : 0);
    put_integer(w, 1, (uint64_t)seconds);
}

static void write_int_or_string(Writer *w, const Value *value) {
    bool is_string = value && value->kind == VALUE_STRING;
    put_string(w, 3, is_string ? value->string : STR(""));
    put_integer(w, 2, is_string ? 0 : (uint64_t)integer_of(w, value));
    put_integer(w, 1, is_string);
}

static void write_bytes(Writer *w, const Value *value) {
    Str text = string_of(w, value);
    size_t bad;
    Str decoded = scalar_decode_base64(w->scratch, text, &bad);
    if (!decoded.ptr)
        misfit(w);
    else
        put(w, decoded.ptr, decoded.len);
    arena_reset(w->scratch);
}

static void write_duration(Writer *w, const Value *value) {
    Str text = string_of(w, value), message;
    int64_t ns = 0;
    if (text.len && scalar_parse_duration(w->scratch, text, &ns, &message) != 0)
        misfit(w);
    arena_reset(w->scratch);
    put_integer(w, 1, (uint64_t)ns);
}

static void write_raw(Writer *w, const Value *value) {
    if (!value || value->kind == VALUE_NULL)
        return;
    Buf buf = BUF_INIT(MAX_BYTES);
    value_write_json(value, &buf);
    if (buf.failed && !w->status)
        w->status = -E2BIG;
    put_string(w, 1, buf_view(&buf));
    buf_deinit(&buf);
}

static void write_strings(Writer *w, const Value *list) {
    if (list && list->kind != VALUE_ARRAY && list->kind != VALUE_NULL)
        misfit(w);
    else
        for (uint32_t i = list ? list->n : 0; i-- > 0;)
            put_string(w, 1, string_of(w, list->items[i]));
}

// JSONSchemaPropsOrBool {allows, schema} and JSONSchemaPropsOrArray {schema, schemas}.
static void write_union(Writer *w, const Field *field, const Value *value) {
    bool or_bool = field->flags & FIELD_OR_BOOL;
    size_t end = written(w);
    if (value && value->kind == VALUE_OBJECT) {
        write_message(w, field->type, value);
        close_message(w, or_bool ? 2 : 1, end);
        if (or_bool)
            put_integer(w, 1, 1);
    } else if (value && value->kind == VALUE_BOOL && or_bool) {
        put_integer(w, 1, value->boolean);
    } else if (value && value->kind == VALUE_ARRAY && !or_bool) {
        for (uint32_t i = value->n; i-- > 0;) {
            end = written(w);
            write_message(w, field->type, value->items[i]);
            close_message(w, 2, end);
        }
    } else if (value && value->kind != VALUE_NULL) {
        misfit(w);
    }
}

static void write_content(Writer *w, const Field *field, const Value *value) {
    switch ((FieldKind)field->kind) {
    case FIELD_STRING: {
        Str text = string_of(w, value);
        put(w, text.ptr, text.len);
        return;
    }
    case FIELD_BYTES:
        write_bytes(w, value);
        return;
    case FIELD_QUANTITY: {
        Str text = string_of(w, value);
        put_string(w, 1, text.len ? text : STR("0"));
        return;
    }
    case FIELD_DURATION:
        write_duration(w, value);
        return;
    case FIELD_TIME:
    case FIELD_MICRO_TIME:
        write_time(w, value, field->kind == FIELD_MICRO_TIME);
        return;
    case FIELD_INT_OR_STRING:
        write_int_or_string(w, value);
        return;
    case FIELD_RAW:
        if (field->flags & (FIELD_OR_BOOL | FIELD_OR_LIST))
            write_union(w, field, value);
        else if (field->shape == SHAPE_MAP)
            write_strings(w, value);
        else
            write_raw(w, value);
        return;
    case FIELD_OBJECT:
        write_message(w, field->type, value);
        return;
    default:
        assert(!"a number");
    }
}

static void write_one(Writer *w, const Field *field, uint32_t number, const Value *value) {
    switch ((FieldKind)field->kind) {
    case FIELD_BOOL:
        if (value && value->kind != VALUE_BOOL && value->kind != VALUE_NULL)
            misfit(w);
        put_integer(w, number, value && value->kind == VALUE_BOOL && value->boolean);
        return;
    case FIELD_INT32:
    case FIELD_INT64:
        put_integer(w, number, (uint64_t)integer_of(w, value));
        return;
    case FIELD_DOUBLE:
        write_double(w, value);
        put_tag(w, number, WIRE_FIXED64);
        return;
    default: {
        size_t end = written(w);
        write_content(w, field, value);
        close_message(w, number, end);
    }
    }
}

// ---- lists, maps, messages

static int by_key(const void *a, const void *b) {
    return str_cmp((*(const Member *const *)a)->key, (*(const Member *const *)b)->key);
}

static void write_map(Writer *w, const Field *field, const Value *map) {
    if (map->kind != VALUE_OBJECT) {
        misfit(w);
        return;
    }
    const Member **sorted = malloc((map->n + 1) * sizeof(Member *));
    if (!sorted)
        abort();
    for (uint32_t i = 0; i < map->n; i++)
        sorted[i] = &map->members[i];
    qsort(sorted, map->n, sizeof(Member *), by_key);
    for (uint32_t i = map->n; i-- > 0;) {
        size_t end = written(w);
        write_one(w, field, 2, sorted[i]->value);
        put_string(w, 1, sorted[i]->key);
        close_message(w, field->number, end);
    }
    free(sorted);
}

static void write_list(Writer *w, const Field *field, const Value *list) {
    if (list->kind != VALUE_ARRAY)
        misfit(w);
    else
        for (uint32_t i = list->n; i-- > 0;)
            write_one(w, field, field->number, list->items[i]);
}

static void write_field(Writer *w, const Field *field, const Value *object) {
    if (field->flags & FIELD_INLINE) {
        size_t end = written(w);
        write_message(w, field->type, object);
        close_message(w, field->number, end);
        return;
    }
    const Value *value = value_get(object, field->name);
    bool absent = !value || value->kind == VALUE_NULL;
    if (field->shape == SHAPE_LIST && !absent)
        write_list(w, field, value);
    else if (field->shape == SHAPE_MAP && !absent)
        write_map(w, field, value);
    else if (field->shape == SHAPE_ONE &&
             !(absent && ((field->flags & FIELD_POINTER) || field->kind == FIELD_BYTES)))
        write_one(w, field, field->number, value);
}

#define MAX_FIELDS 256

// Highest number first, since bytes are put backwards. Fields without a number have no form.
static size_t sort_fields(const Type *type, const Field **sorted) {
    size_t n = 0;
    assert(type->n_fields <= MAX_FIELDS);
    for (uint16_t i = 0; i < type->n_fields; i++) {
        const Field *field = &type->fields[i];
        if (!field->number)
            continue;
        size_t at = n++;
        for (; at > 0 && sorted[at - 1]->number < field->number; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = field;
    }
    return n;
}

static void write_message(Writer *w, const Type *type, const Value *object) {
    if (object && object->kind != VALUE_OBJECT && object->kind != VALUE_NULL) {
        misfit(w);
        return;
    }
    const Field *sorted[MAX_FIELDS];
    size_t n = sort_fields(type, sorted);
    for (size_t i = 0; i < n && !w->status; i++)
        write_field(w, sorted[i], object);
}

bool protobuf_has_form(const Type *type) {
    for (uint16_t i = 0; i < type->n_fields; i++)
        if (type->fields[i].number)
            return true;
    return false;
}

static int finish(Writer *w, Buf *buf) {
    if (!w->status && w->data)
        buf_append(buf, w->data + w->start, written(w));
    if (!w->status && buf->failed)
        w->status = -E2BIG;
    free(w->data);
    arena_free(w->scratch);
    return w->status;
}

int protobuf_encode_message(const Type *type, const Value *object, Buf *buf) {
    Writer w = {.scratch = arena_new()};
    write_message(&w, type, object);
    return finish(&w, buf);
}

int protobuf_encode(const Type *type, const Value *object, Buf *buf) {
    Writer w = {.scratch = arena_new()};
    put_string(&w, 4, STR("")); // contentType
    put_string(&w, 3, STR("")); // contentEncoding
    size_t end = written(&w);
    write_message(&w, type, object);
    close_message(&w, 2, end);
    end = written(&w);
    put_string(&w, 2, string_of(&w, value_get(object, STR("kind"))));
    put_string(&w, 1, string_of(&w, value_get(object, STR("apiVersion"))));
    close_message(&w, 1, end);
    put(&w, "k8s", 4);
    return finish(&w, buf);
}

// ---- forwards

static void append_varint(Buf *buf, uint64_t value) {
    for (; value >= 0x80; value >>= 7)
        buf_char(buf, (char)(value | 0x80));
    buf_char(buf, (char)value);
}

static void append_head(Buf *buf, uint32_t number, size_t len) {
    append_varint(buf, (uint64_t)number << 3 | WIRE_BYTES);
    append_varint(buf, len);
}

void protobuf_put_bytes(Buf *buf, uint32_t number, Str bytes) {
    append_head(buf, number, bytes.len);
    buf_str(buf, bytes);
}

void protobuf_put_envelope(Buf *buf, Str api_version, Str kind, Str head, Str rest) {
    _buf_deinit_ Buf type_meta = BUF_INIT(4096);
    protobuf_put_bytes(&type_meta, 1, api_version);
    protobuf_put_bytes(&type_meta, 2, kind);
    buf_append(buf, "k8s", 4);
    protobuf_put_bytes(buf, 1, buf_view(&type_meta));
    append_head(buf, 2, head.len + rest.len);
    buf_str(buf, head);
    buf_str(buf, rest);
    protobuf_put_bytes(buf, 3, STR(""));
    protobuf_put_bytes(buf, 4, STR(""));
}
