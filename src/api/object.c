#include "api/object.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "schema/structural.h"

#define METADATA "\"metadata\":{"
#define RESOURCE_VERSION "\"resourceVersion\":\""

// Where the members of metadata begin. kind and apiVersion come before and hold no quotes, so the
// first occurrence is the one. -1 when there is none.
static ptrdiff_t metadata_offset(Str json) {
    const char *at = memmem(json.ptr, json.len, METADATA, sizeof METADATA - 1);
    return at ? at - json.ptr + (ptrdiff_t)(sizeof METADATA - 1) : -1;
}

static Bytes *splice_revision(Str before, int64_t revision, Str after) {
    char text[64];
    int len = snprintf(text, sizeof text, RESOURCE_VERSION "%" PRId64 "\",", revision);
    assert(len > 0 && (size_t)len < sizeof text);
    Bytes *bytes = bytes_alloc(before.len + (size_t)len + after.len);
    memcpy(bytes->data, before.ptr, before.len);
    memcpy(bytes->data + before.len, text, (size_t)len);
    memcpy(bytes->data + before.len + (size_t)len, after.ptr, after.len);
    bytes->data[bytes->len] = 0;
    return bytes;
}

// How much room the copied parts take: labels as one object value, strings stay where they are
// unless they lie outside the JSON (unescaped ones).
typedef struct Layout {
    size_t labels, strings;
} Layout;

static bool inside(Str json, Str s) {
    return s.len == 0 || (s.ptr >= json.ptr && s.ptr + s.len <= json.ptr + json.len);
}

static void measure(Layout *layout, Str json, Str s) {
    if (!inside(json, s))
        layout->strings += s.len;
}

static Str keep(Str json, Str s, char **strings) {
    if (inside(json, s))
        return s.len ? s : STR("");
    char *at = *strings;
    memcpy(at, s.ptr, s.len);
    *strings += s.len;
    return str_of(at, s.len);
}

static Str field_text(Arena *scratch, const Value *value, Str zero) {
    if (!value)
        return zero;
    switch (value->kind) {
    case VALUE_STRING:
        return value->string;
    case VALUE_BOOL:
        return value->boolean ? STR("true") : STR("false");
    case VALUE_INT:
        return arena_printf(scratch, "%" PRId64, value->integer);
    case VALUE_OBJECT: // an Event's `source` means source.component
        return field_text(scratch, value_get(value, STR("component")), STR(""));
    default:
        return zero;
    }
}

static const Value *field_value(Arena *scratch, const Value *tree, Str path) {
    return value_at(tree, arena_cstr(scratch, path));
}

static const Value *keep_labels(const Value *labels, Str json, char *room, char **strings) {
    Value *object = (Value *)room;
    Value *values = object + 1;
    Member *members = (Member *)(values + labels->n);
    *object = (Value){.kind = VALUE_OBJECT, .n = labels->n, .capacity = labels->n};
    object->members = members;
    for (uint32_t i = 0; i < labels->n; i++) {
        const Value *value = labels->members[i].value;
        Str text = value->kind == VALUE_STRING ? value->string : STR("");
        values[i] = (Value){.kind = VALUE_STRING, .string = keep(json, text, strings)};
        members[i] = (Member){keep(json, labels->members[i].key, strings), &values[i]};
    }
    return object;
}

static size_t align(size_t size) {
    return (size + 15) & ~(size_t)15;
}

static CachedObject *assemble(Arena *scratch, const ServedResource *served, Str key, Bytes *json,
                              const Value *tree) {
    const Resource *storage = served->storage;
    Str text = bytes_str(json);
    const Value *metadata = value_get(tree, STR("metadata"));
    const Value *labels = value_get(metadata, STR("labels"));
    if (labels && (labels->kind != VALUE_OBJECT || labels->n == 0))
        labels = NULL;
    Layout layout = {0};
    Str uid = value_string_at(metadata, "uid");
    measure(&layout, text, uid);
    Str *fields = arena_array_of(scratch, Str, storage->n_selectable + 1);
    for (size_t i = 0; i < storage->n_selectable; i++) {
        fields[i] = field_text(scratch, field_value(scratch, tree, resource_field_path(storage, i)),
                               served->field_zeros[i]);
        measure(&layout, text, fields[i]);
    }
    for (uint32_t i = 0; labels && i < labels->n; i++) {
        measure(&layout, text, labels->members[i].key);
        if (labels->members[i].value->kind == VALUE_STRING)
            measure(&layout, text, labels->members[i].value->string);
    }
    if (labels)
        layout.labels = sizeof(Value) + labels->n * (sizeof(Value) + sizeof(Member));

    size_t fields_size = storage->n_selectable * sizeof(Str);
    char *block = memory_alloc(align(sizeof(CachedObject)) + align(layout.labels) +
                               align(fields_size) + key.len + layout.strings + 1);
    CachedObject *object = (CachedObject *)block;
    char *labels_room = block + align(sizeof(CachedObject));
    Str *kept_fields = (Str *)(labels_room + align(layout.labels));
    char *strings = (char *)kept_fields + align(fields_size);
    *object = (CachedObject){.references = 1, .json = json};
    memcpy(strings, key.ptr, key.len);
    object->key = str_of(strings, key.len);
    strings += key.len;
    ptrdiff_t slash = str_find(object->key, '/');
    object->namespace_ = slash < 0 ? STR("") : str_slice(object->key, 0, (size_t)slash);
    object->name = str_slice(object->key, (size_t)(slash + 1), object->key.len);
    object->uid = keep(text, uid, &strings);
    for (size_t i = 0; i < storage->n_selectable; i++)
        kept_fields[i] = keep(text, fields[i], &strings);
    object->fields = kept_fields;
    object->labels = labels ? keep_labels(labels, text, labels_room, &strings) : NULL;
    object->deleting = value_get(metadata, STR("deletionTimestamp")) != NULL;
    return object;
}

// Takes `json` over.
static CachedObject *object_from_json(Arena *scratch, const ServedResource *served, Str key,
                                      Bytes *json, int64_t create_revision, int64_t revision) {
    Value *tree;
    ParseError error;
    if (value_parse_json(scratch, bytes_str(json), NULL, &tree, &error) != 0 ||
        tree->kind != VALUE_OBJECT) {
        bytes_unref(json);
        return NULL;
    }
    CachedObject *object = assemble(scratch, served, key, json, tree);
    object->revision = revision;
    object->create_revision = create_revision;
    return object;
}

// A custom object as its schema has it today: it may have been stored under another one, or in
// another version. NULL when it is that already.
static Bytes *conform(Arena *scratch, const ServedResource *served, const Bytes *stored) {
    Value *tree;
    ParseError error;
    const Resource *storage = served->storage;
    if (value_parse_json(scratch, bytes_str(stored), NULL, &tree, &error) != 0 ||
        tree->kind != VALUE_OBJECT || !value_get(tree, STR("metadata")))
        return NULL;
    Str version =
        arena_printf(scratch, "%.*s/%.*s", STR_ARG(storage->group), STR_ARG(storage->version));
    bool changed = !str_eq(value_string_at(tree, "apiVersion"), version);
    return structural_conform(scratch, storage->type->custom, tree) || changed
               ? object_encode(storage, tree)
               : NULL;
}

CachedObject *object_new(Arena *scratch, const ServedResource *served, Str key, const Bytes *stored,
                         int64_t create_revision, int64_t revision) {
    arena_reset(scratch);
    _bytes_unref_ Bytes *conformed = served->kind ? conform(scratch, served, stored) : NULL;
    Str at_rest = bytes_str(conformed ? conformed : stored);
    ptrdiff_t offset = metadata_offset(at_rest);
    if (offset < 0)
        return NULL;
    Bytes *json = splice_revision(str_slice(at_rest, 0, (size_t)offset), revision,
                                  str_slice(at_rest, (size_t)offset, at_rest.len));
    return object_from_json(scratch, served, key, json, create_revision, revision);
}

CachedObject *object_at_revision(Arena *scratch, const ServedResource *served,
                                 const CachedObject *object, int64_t revision) {
    arena_reset(scratch);
    Str json = bytes_str(object->json);
    ptrdiff_t offset = metadata_offset(json);
    assert(offset > 0);
    const char *number = json.ptr + offset + sizeof RESOURCE_VERSION - 1;
    const char *comma = memchr(number, ',', json.len - (size_t)(number - json.ptr));
    assert(comma);
    Bytes *spliced = splice_revision(str_slice(json, 0, (size_t)offset), revision,
                                     str_slice(json, (size_t)(comma + 1 - json.ptr), json.len));
    return object_from_json(scratch, served, object->key, spliced, object->create_revision,
                            revision);
}

CachedObject *object_ref(CachedObject *object) {
    if (object)
        object->references++;
    return object;
}

void object_unref(CachedObject *object) {
    if (!object)
        return;
    assert(object->references > 0);
    if (--object->references > 0)
        return;
    bytes_unref(object->json);
    free(object);
}

static void write_members(const Value *object, Buf *buf, const Str *skip, size_t n_skip,
                          bool *first) {
    for (uint32_t i = 0; i < object->n; i++) {
        Str key = object->members[i].key;
        bool skipped = false;
        for (size_t j = 0; j < n_skip && !skipped; j++)
            skipped = str_eq(key, skip[j]);
        if (skipped)
            continue;
        if (!*first)
            buf_char(buf, ',');
        *first = false;
        Value text = {.kind = VALUE_STRING, .string = key};
        value_write_json(&text, buf);
        buf_char(buf, ':');
        value_write_json(object->members[i].value, buf);
    }
}

Bytes *object_encode(const Resource *storage, const Value *object) {
    // Three times what a request may hold: defaults make objects grow. The store has its own limit.
    _buf_deinit_ Buf buf = BUF_INIT(3 * VALUE_MAX_BYTES);
    bool core = str_is_empty(storage->group);
    buf_printf(&buf, "{\"kind\":\"%.*s\",\"apiVersion\":\"%.*s%s%.*s\",\"metadata\":{",
               STR_ARG(storage->kind), STR_ARG(storage->group), core ? "" : "/",
               STR_ARG(storage->version));
    const Value *metadata = value_get(object, STR("metadata"));
    bool first = true;
    if (metadata)
        write_members(metadata, &buf, (Str[]){STR("resourceVersion")}, 1, &first);
    buf_char(&buf, '}');
    first = false;
    write_members(object, &buf, (Str[]){STR("kind"), STR("apiVersion"), STR("metadata")}, 3,
                  &first);
    buf_char(&buf, '}');
    return buf_bytes(&buf);
}

static void drop_object(void *object) {
    object_unref(object);
}

Value *object_decode(Arena *arena, CachedObject *object) {
    Value *tree = NULL;
    ParseError error;
    int r = value_parse_json(arena, bytes_str(object->json), NULL, &tree, &error);
    assert(r == 0); // it was parsed when it came into the cache
    arena_defer(arena, drop_object, object_ref(object));
    return tree;
}

Str object_json_tail(const CachedObject *object) {
    Str json = bytes_str(object->json);
    ptrdiff_t offset = metadata_offset(json);
    assert(offset > 0);
    return str_slice(json, (size_t)offset - (sizeof METADATA - 1), json.len);
}
