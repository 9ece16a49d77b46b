// JSON text to a tree, in one pass.

#include <errno.h>
#include <stdlib.h>

#include "schema/json_scan.h"
#include "schema/path.h"

typedef struct Parser {
    JsonScan scan;
    ValuePaths *duplicates;
    Member *stack; // children of the containers that are still open
    size_t top, capacity;
    Value *slab; // values not handed out yet
    size_t slab_left, slab_size;
    Member first[128];
} Parser;

#define SMALL_OBJECT 24 // up to here keys are compared with each other, above they are hashed

static inline Value *new_value(Parser *parser) {
    if (!parser->slab_left) {
        if (parser->slab_size < 128)
            parser->slab_size *= 2;
        parser->slab_left = parser->slab_size;
        parser->slab = arena_alloc(parser->scan.arena, parser->slab_size * sizeof(Value));
    }
    parser->slab_left--;
    return parser->slab++;
}

static void grow_stack(Parser *parser) {
    size_t capacity = parser->capacity * 2;
    Member *grown = malloc(capacity * sizeof(Member));
    if (!grown)
        abort();
    memcpy(grown, parser->stack, parser->top * sizeof(Member));
    if (parser->stack != parser->first)
        free(parser->stack);
    parser->stack = grown;
    parser->capacity = capacity;
}

static inline void push(Parser *parser, Str key, Value *value) {
    if (parser->top == parser->capacity)
        grow_stack(parser);
    parser->stack[parser->top++] = (Member){key, value};
}

static void report_duplicate(Parser *parser, const Path *parent, Str key) {
    value_paths_add(parser->scan.arena, parser->duplicates, PATH(parent, key));
}

// A cheap signature: keys that share it are compared in full.
static inline unsigned signature(Str key) {
    if (!key.len)
        return 0;
    return ((unsigned char)key.ptr[0] * 5u + (unsigned char)key.ptr[key.len - 1] * 3u +
            (unsigned)key.len * 11u) &
           63u;
}

// The number of distinct keys after later ones have replaced earlier ones.
static size_t fold_small(Parser *parser, const Path *path, Member *members, size_t n) {
    uint64_t seen = 0;
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t bit = 1ULL << signature(members[i].key);
        size_t at = kept;
        if (seen & bit) {
            for (at = 0; at < kept && !str_eq(members[at].key, members[i].key);)
                at++;
        }
        seen |= bit;
        if (at < kept)
            report_duplicate(parser, path, members[i].key);
        members[at] = members[i];
        kept += at == kept;
    }
    return kept;
}

static size_t fold_large(Parser *parser, const Path *path, Member *members, size_t n) {
    size_t size = 64;
    while (size < n * 2)
        size *= 2;
    uint32_t *table = calloc(size, sizeof *table); // 1 + position in `members`
    if (!table)
        abort();
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        size_t slot = str_hash(members[i].key) & (size - 1);
        while (table[slot] && !str_eq(members[table[slot] - 1].key, members[i].key))
            slot = (slot + 1) & (size - 1);
        if (table[slot]) {
            report_duplicate(parser, path, members[i].key);
            members[table[slot] - 1].value = members[i].value;
            continue;
        }
        members[kept] = members[i];
        table[slot] = (uint32_t)++kept;
    }
    free(table);
    return kept;
}

static int parse_value(Parser *parser, const Path *parent, int depth, Value **ret);

static int close_object(Parser *parser, const Path *parent, size_t base, Value *object) {
    Member *members = parser->stack + base;
    size_t n = parser->top - base;
    n = n <= SMALL_OBJECT ? fold_small(parser, parent, members, n)
                          : fold_large(parser, parent, members, n);
    object->n = object->capacity = (uint32_t)n;
    object->members = arena_alloc(parser->scan.arena, n * sizeof(Member));
    memcpy(object->members, members, n * sizeof(Member));
    parser->top = base;
    return 0;
}

static int parse_object(Parser *parser, const Path *parent, int depth, Value *object) {
    JsonScan *scan = &parser->scan;
    size_t base = parser->top;
    *object = (Value){.kind = VALUE_OBJECT};
    scan->p++;
    if (json_peek(scan) == '}') {
        scan->p++;
        return 0;
    }
    for (int more = 1; more;) {
        Path path = {.parent = parent, .index = -1};
        Value *value;
        if (json_key(scan, &path.name) || parse_value(parser, &path, depth + 1, &value))
            return scan->status;
        push(parser, path.name, value);
        more = json_next(scan, '}');
        if (more < 0)
            return more;
    }
    return close_object(parser, parent, base, object);
}

static int parse_array(Parser *parser, const Path *parent, int depth, Value *array) {
    JsonScan *scan = &parser->scan;
    size_t base = parser->top;
    *array = (Value){.kind = VALUE_ARRAY};
    scan->p++;
    if (json_peek(scan) == ']') {
        scan->p++;
        return 0;
    }
    Path path = {.parent = parent};
    for (int more = 1; more; path.index++) {
        Value *value;
        if (parse_value(parser, &path, depth + 1, &value))
            return scan->status;
        push(parser, STR_NONE, value);
        more = json_next(scan, ']');
        if (more < 0)
            return more;
    }
    size_t n = parser->top - base;
    array->n = array->capacity = (uint32_t)n;
    array->items = arena_alloc(scan->arena, n * sizeof(Value *));
    for (size_t i = 0; i < n; i++)
        array->items[i] = parser->stack[base + i].value;
    parser->top = base;
    return 0;
}

static int parse_value(Parser *parser, const Path *parent, int depth, Value **ret) {
    JsonScan *scan = &parser->scan;
    int c = json_peek(scan);
    Value *value = *ret = new_value(parser);
    switch (c) {
    case '"':
        *value = (Value){.kind = VALUE_STRING};
        return json_string(scan, &value->string);
    case '{':
    case '[':
        if (depth >= VALUE_MAX_DEPTH)
            return json_fail(scan, -E2BIG, STR("exceeded max depth"));
        return c == '{' ? parse_object(parser, parent, depth, value)
                        : parse_array(parser, parent, depth, value);
    case '-':
    case '0' ... '9':
        *value = (Value){.kind = VALUE_INT};
        return json_number(scan, value);
    case -1:
        return json_fail_at(scan, scan->p, "");
    default:
        return json_literal(scan, value);
    }
}

int value_parse_json(Arena *arena, Str text, ValuePaths *duplicates, Value **ret,
                     ParseError *ret_error) {
    Parser parser;
    parser.scan = (JsonScan){.start = text.ptr,
                             .p = text.ptr,
                             .end = text.ptr + text.len,
                             .arena = arena,
                             .error = ret_error};
    parser.duplicates = duplicates;
    parser.stack = parser.first;
    parser.top = 0;
    parser.capacity = sizeof parser.first / sizeof parser.first[0];
    parser.slab_left = 0;
    parser.slab_size = 4;
    JsonScan *scan = &parser.scan;
    if (text.len > VALUE_MAX_BYTES)
        return json_fail(scan, -E2BIG, arena_printf(arena, "limit is %d bytes", VALUE_MAX_BYTES));
    if (!parse_value(&parser, NULL, 0, ret) && json_peek(scan) >= 0)
        json_fail_at(scan, scan->p, "after top-level value");
    if (parser.stack != parser.first)
        free(parser.stack);
    return scan->status;
}
