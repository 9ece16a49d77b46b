// RFC 6902, with the messages of the library that the API server uses (evanphx/json-patch).

#include "schema/patch.h"

#include <errno.h>

typedef struct Patcher {
    Arena *arena;
    Value *document;
    size_t copied; // bytes of JSON that "copy" operations have added
    Str *message;
} Patcher;

typedef struct Place { // where a pointer leads: a member or an item of `container`
    Value *container;  // NULL when there is no such container
    Str key;           // unescaped
    size_t depth;      // of what stands there
} Place;

static int fail(Patcher *patcher, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int fail(Patcher *patcher, const char *format, ...) {
    va_list args;
    va_start(args, format);
    *patcher->message = arena_vprintf(patcher->arena, format, args);
    va_end(args);
    return SCHEMA_E_PATCH;
}

// "~1" is a slash, "~0" a tilde.
static Str unescape(Arena *arena, Str token) {
    if (str_find(token, '~') < 0)
        return token;
    char *start = arena_alloc(arena, token.len + 1), *out = start;
    for (size_t i = 0; i < token.len; i++) {
        char c = token.ptr[i];
        char next = i + 1 < token.len ? token.ptr[i + 1] : '\0';
        if (c == '~' && (next == '0' || next == '1')) {
            c = next == '0' ? '~' : '/';
            i++;
        }
        *out++ = c;
    }
    *out = '\0';
    return str_of(start, (size_t)(out - start));
}

// The index that `key` names in an array of `n`; negative ones count from the end. -1 when none.
static int64_t array_index(Str key, size_t n) {
    int64_t index;
    if (str_to_i64(key, &index))
        return -1;
    if (index < 0)
        index += (int64_t)n;
    return index >= 0 && index < (int64_t)n ? index : -1;
}

static Value *child(Value *container, Str key) {
    if (container->kind == VALUE_OBJECT)
        return value_get(container, key);
    if (container->kind != VALUE_ARRAY)
        return NULL;
    int64_t index = array_index(key, container->n);
    return index < 0 ? NULL : container->items[index];
}

static Place find(Patcher *patcher, Str pointer) {
    Place place = {.container = patcher->document};
    Str rest = pointer;
    str_cut(&rest, '/'); // what stands before the first slash is nothing
    while (rest.ptr) {
        if (place.key.ptr) {
            place.container = child(place.container, place.key);
            if (!place.container)
                return place;
        }
        place.key = unescape(patcher->arena, str_cut(&rest, '/'));
        place.depth++;
    }
    if (place.container->kind != VALUE_OBJECT && place.container->kind != VALUE_ARRAY)
        place.container = NULL;
    return place;
}

static size_t depth_of(const Value *value) {
    size_t deepest = 0;
    for (uint32_t i = 0; i < value->n; i++) {
        const Value *inner = value->kind == VALUE_ARRAY ? value->items[i] : value->members[i].value;
        size_t depth = depth_of(inner);
        deepest = depth > deepest ? depth : deepest;
    }
    return value->kind == VALUE_ARRAY || value->kind == VALUE_OBJECT ? deepest + 1 : 0;
}

static void insert_item(Arena *arena, Value *array, size_t index, Value *item) {
    value_push(arena, array, item);
    memmove(array->items + index + 1, array->items + index,
            (array->n - 1 - index) * sizeof(Value *));
    array->items[index] = item;
}

static int add(Patcher *patcher, Str path, Value *value) {
    if (!path.len) { // the whole document
        patcher->document = value;
        return 0;
    }
    Place place = find(patcher, path);
    if (!place.container)
        return fail(patcher,
                    "add operation does not apply: doc is missing path: \"%.*s\": missing value",
                    STR_ARG(path));
    if (place.depth + depth_of(value) > VALUE_MAX_DEPTH)
        return fail(patcher, "exceeded max depth");
    if (place.container->kind == VALUE_OBJECT) {
        value_set(patcher->arena, place.container, place.key, value);
        return 0;
    }
    Value *array = place.container;
    int64_t index = array->n;
    if (!str_eq(place.key, STR("-"))) {
        if (str_to_i64(place.key, &index))
            return fail(patcher,
                        "error in add for path: '%.*s': value was not a proper array index: "
                        "'%.*s'",
                        STR_ARG(path), STR_ARG(place.key));
        int64_t wanted = index;
        if (index < 0)
            index += (int64_t)array->n + 1;
        if (index < 0 || index > (int64_t)array->n)
            return fail(patcher,
                        "error in add for path: '%.*s': Unable to access invalid index: %lld: "
                        "invalid index referenced",
                        STR_ARG(path), (long long)wanted);
    }
    insert_item(patcher->arena, array, (size_t)index, value);
    return 0;
}

static int remove_at(Patcher *patcher, const char *operation, Str path) {
    Place place = find(patcher, path);
    if (!place.container || !place.key.ptr)
        return fail(patcher,
                    "%s operation does not apply: doc is missing path: \"%.*s\": missing value",
                    operation, STR_ARG(path));
    if (place.container->kind == VALUE_OBJECT) {
        if (value_unset(place.container, place.key))
            return 0;
        return fail(patcher,
                    "error in %s for path: '%.*s': Unable to remove nonexistent key: %.*s: "
                    "missing value",
                    operation, STR_ARG(path), STR_ARG(place.key));
    }
    int64_t index = array_index(place.key, place.container->n);
    if (index < 0)
        return fail(patcher,
                    "error in %s for path: '%.*s': Unable to access invalid index: %.*s: invalid "
                    "index referenced",
                    operation, STR_ARG(path), STR_ARG(place.key));
    value_remove_item(place.container, (size_t)index);
    return 0;
}

static int replace(Patcher *patcher, Str path, Value *value) {
    if (!path.len) {
        patcher->document = value;
        return 0;
    }
    Place place = find(patcher, path);
    if (!place.container)
        return fail(patcher,
                    "replace operation does not apply: doc is missing path: %.*s: missing value",
                    STR_ARG(path));
    if (!child(place.container, place.key))
        return fail(patcher,
                    "replace operation does not apply: doc is missing key: %.*s: missing value",
                    STR_ARG(path));
    if (place.depth + depth_of(value) > VALUE_MAX_DEPTH)
        return fail(patcher, "exceeded max depth");
    if (place.container->kind == VALUE_OBJECT)
        value_set(patcher->arena, place.container, place.key, value);
    else
        place.container->items[array_index(place.key, place.container->n)] = value;
    return 0;
}

static int test(Patcher *patcher, Str path, const Value *expected) {
    const Value *found = patcher->document;
    if (path.len) {
        Place place = find(patcher, path);
        if (!place.container)
            return fail(patcher,
                        "test operation does not apply: is missing path: %.*s: missing value",
                        STR_ARG(path));
        found = child(place.container, place.key);
    }
    bool both_null = (!found || found->kind == VALUE_NULL) && expected->kind == VALUE_NULL;
    if (both_null || value_equal(found, expected))
        return 0;
    return fail(patcher, "testing value %.*s failed: test failed", STR_ARG(path));
}

static const Value *source(Patcher *patcher, Str from) {
    if (!from.len)
        return patcher->document;
    Place place = find(patcher, from);
    return place.container ? child(place.container, place.key) : NULL;
}

static int move(Patcher *patcher, Str from, Str path) {
    const Value *value = from.len ? source(patcher, from) : NULL;
    if (!value)
        return fail(patcher,
                    "move operation does not apply: doc is missing from path: %.*s: missing value",
                    STR_ARG(from));
    int r = remove_at(patcher, "move", from);
    return r ? r : add(patcher, path, (Value *)value);
}

static int copy(Patcher *patcher, Str from, Str path) {
    const Value *value = source(patcher, from);
    if (!value)
        return fail(patcher,
                    "copy operation does not apply: doc is missing from path: %.*s: missing value",
                    STR_ARG(from));
    _buf_deinit_ Buf buf = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(value, &buf);
    patcher->copied += buf.failed ? VALUE_MAX_BYTES + 1 : buf.len;
    if (patcher->copied > VALUE_MAX_BYTES)
        return fail(patcher,
                    "Unable to complete the copy, the accumulated size increase of copy is %zu, "
                    "exceeding the limit %d",
                    patcher->copied, VALUE_MAX_BYTES);
    return add(patcher, path, value_copy(patcher->arena, value));
}

static int bad(Patcher *patcher, Str message) {
    *patcher->message = message;
    return SCHEMA_E_PATCH_FORMAT;
}

static int apply(Patcher *patcher, const Value *operation) {
    if (operation->kind != VALUE_OBJECT)
        return bad(patcher, STR("json: cannot unmarshal a JSON Patch operation that is no object"));
    const Value *value = value_get(operation, STR("value"));
    Str op = value_string_at(operation, "op"), path = value_string_at(operation, "path");
    Str from = value_string_at(operation, "from");
    if (!path.ptr)
        return bad(patcher, STR("operation missing path field: missing value"));
    if (path.len && path.ptr[0] != '/')
        return fail(patcher,
                    "%.*s operation does not apply: doc is missing path: \"%.*s\": "
                    "missing value",
                    STR_ARG(op), STR_ARG(path));
    bool wants_value = str_eq(op, STR("add")) || str_eq(op, STR("replace"));
    bool wants_from = str_eq(op, STR("move")) || str_eq(op, STR("copy"));
    if (wants_value && !value)
        return bad(patcher, STR("operation missing value field: missing value"));
    if (wants_from && !from.ptr)
        return bad(patcher, STR("operation, missing from field: missing value"));
    if (wants_from && from.len && from.ptr[0] != '/')
        return fail(patcher,
                    "%.*s operation does not apply: doc is missing from path: %.*s: missing value",
                    STR_ARG(op), STR_ARG(from));
    if (str_eq(op, STR("add")))
        return add(patcher, path, value_copy(patcher->arena, value));
    if (str_eq(op, STR("remove")))
        return remove_at(patcher, "remove", path);
    if (str_eq(op, STR("replace")))
        return replace(patcher, path, value_copy(patcher->arena, value));
    if (str_eq(op, STR("move")))
        return move(patcher, from, path);
    if (str_eq(op, STR("copy")))
        return copy(patcher, from, path);
    if (str_eq(op, STR("test")))
        return test(patcher, path, value ? value : value_new_null(patcher->arena));
    return bad(patcher, arena_printf(patcher->arena, "Unexpected kind: %.*s", STR_ARG(op)));
}

int patch_json(Arena *arena, const Value *object, const Value *patch, Value **ret,
               Str *ret_message) {
    Patcher patcher = {.arena = arena, .message = ret_message};
    if (patch->kind != VALUE_ARRAY)
        return bad(&patcher, STR("json: cannot unmarshal a value that is no array into Go value "
                                 "of type jsonpatch.Patch"));
    if (patch->n > PATCH_MAX_OPERATIONS) {
        *ret_message =
            arena_printf(arena, "The allowed maximum operations in a JSON patch is %d, got %u",
                         PATCH_MAX_OPERATIONS, patch->n);
        return -E2BIG;
    }
    patcher.document = value_copy(arena, object);
    for (uint32_t i = 0; i < patch->n; i++) {
        int r = apply(&patcher, patch->items[i]);
        if (r)
            return r;
    }
    *ret = patcher.document;
    return 0;
}
