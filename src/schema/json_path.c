#include "schema/json_path.h"

#include <limits.h>

typedef enum StepKind {
    STEP_FIELD,
    STEP_WILDCARD,
    STEP_RECURSIVE, // every value below, this one included
    STEP_SLICE,
    STEP_FILTER,
    STEP_UNION,
} StepKind;

typedef enum Comparison { EXISTS, EQUAL, UNEQUAL, LESS, AT_MOST, GREATER, AT_LEAST } Comparison;

typedef struct Operand { // a path from the item at hand or from the root, or a literal
    const JsonPath *path;
    const Value *literal;
    bool from_root;
} Operand;

typedef struct Step Step;
struct Step {
    StepKind kind;
    Str name;                 // FIELD
    int64_t from, to, stride; // SLICE: from <= i < to; INT64_MAX: to the end
    Operand left, right;      // FILTER
    Comparison comparison;
    const JsonPath *const *parts; // UNION: n_parts of them
    size_t n_parts;
};

struct JsonPath {
    Step *steps;
    size_t n;
};

// ---- parsing

typedef struct Parser {
    Arena *arena;
    Str rest;
    int depth; // of filters and unions
    size_t steps;
    Str message;
} Parser;

#define MAX_DEPTH 8

static bool fail(Parser *p, const char *format, Str about) {
    if (!p->message.ptr)
        p->message = arena_printf(p->arena, "%s: %.*s", format, STR_ARG(about));
    return false;
}

static char peek(const Parser *p) {
    return p->rest.len ? p->rest.ptr[0] : 0;
}

static void skip(Parser *p, size_t n) {
    p->rest = str_slice(p->rest, n, p->rest.len);
}

static void skip_blanks(Parser *p) {
    while (peek(p) == ' ' || peek(p) == '\t')
        skip(p, 1);
}

static bool parse_steps(Parser *p, const char *ends, const JsonPath **ret);

static bool ends_name(char c) {
    return !c || strchr(".[]()=!<>,|&?@ \t\r\n{}'\"", c) != NULL;
}

// A name after a dot; a backslash takes the next character as it is.
static bool parse_name(Parser *p, Str *ret) {
    char *name = arena_alloc(p->arena, p->rest.len + 1);
    size_t n = 0;
    while (p->rest.len) {
        char c = peek(p);
        if (c == '\\' && p->rest.len > 1) {
            name[n++] = p->rest.ptr[1];
            skip(p, 2);
            continue;
        }
        if (ends_name(c))
            break;
        name[n++] = c;
        skip(p, 1);
    }
    *ret = str_of(name, n);
    return n > 0 || fail(p, "invalid field name", p->rest);
}

static bool parse_quoted(Parser *p, Str *ret) {
    char quote = peek(p);
    char *text = arena_alloc(p->arena, p->rest.len + 1);
    size_t n = 0;
    Str whole = p->rest;
    skip(p, 1);
    while (p->rest.len && peek(p) != quote) {
        if (peek(p) == '\\' && p->rest.len > 1)
            skip(p, 1);
        text[n++] = peek(p);
        skip(p, 1);
    }
    if (!p->rest.len)
        return fail(p, "unterminated quoted string", whole);
    skip(p, 1);
    *ret = str_of(text, n);
    return true;
}

static bool parse_int(Parser *p, int64_t *ret) {
    size_t n = peek(p) == '-' ? 1 : 0;
    while (n < p->rest.len && p->rest.ptr[n] >= '0' && p->rest.ptr[n] <= '9')
        n++;
    Str number = str_slice(p->rest, 0, n);
    if (str_to_i64(number, ret) != 0 || *ret > INT32_MAX || *ret < INT32_MIN)
        return fail(p, "invalid array index", p->rest);
    skip(p, n);
    return true;
}

static Step *add_step(Parser *p, JsonPath *path, StepKind kind) {
    if (++p->steps > JSON_PATH_MAX_STEPS) {
        fail(p, "too many steps", STR(""));
        return NULL;
    }
    path->steps =
        arena_grow(p->arena, path->steps, path->n * sizeof(Step), (path->n + 1) * sizeof(Step));
    Step *step = &path->steps[path->n++];
    *step = (Step){.kind = kind};
    return step;
}

static bool parse_literal(Parser *p, Operand *ret) {
    size_t n = 0;
    while (n < p->rest.len && !strchr(" \t)=!<>", p->rest.ptr[n]))
        n++;
    ParseError error;
    Value *value;
    if (!n || value_parse_json(p->arena, str_slice(p->rest, 0, n), NULL, &value, &error) != 0 ||
        value->kind == VALUE_ARRAY || value->kind == VALUE_OBJECT)
        return fail(p, "unrecognized text in filter", p->rest);
    ret->literal = value;
    skip(p, n);
    return true;
}

static bool parse_operand(Parser *p, Operand *ret) {
    *ret = (Operand){0};
    skip_blanks(p);
    char c = peek(p);
    if (c == '\'' || c == '"') {
        Str text;
        if (!parse_quoted(p, &text))
            return false;
        ret->literal = value_new_string(p->arena, text);
        return true;
    }
    if (c != '@' && c != '$' && c != '.')
        return parse_literal(p, ret);
    ret->from_root = c == '$';
    if (c != '.')
        skip(p, 1);
    return parse_steps(p, " \t)=!<>", &ret->path);
}

static bool parse_comparison(Parser *p, Comparison *ret) {
    static const struct {
        const char *text;
        Comparison comparison;
    } all[] = {{"==", EQUAL},    {"!=", UNEQUAL}, {"<=", AT_MOST},
               {">=", AT_LEAST}, {"<", LESS},     {">", GREATER}};
    skip_blanks(p);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (!str_starts_with(p->rest, str_from(all[i].text)))
            continue;
        skip(p, strlen(all[i].text));
        *ret = all[i].comparison;
        return true;
    }
    *ret = EXISTS;
    return true;
}

static bool parse_filter(Parser *p, JsonPath *path) {
    Str whole = p->rest;
    Step step = {.kind = STEP_FILTER};
    skip(p, 2);
    if (!parse_operand(p, &step.left) || !parse_comparison(p, &step.comparison))
        return false;
    if (step.comparison != EXISTS && !parse_operand(p, &step.right))
        return false;
    skip_blanks(p);
    if (!str_starts_with(p->rest, STR(")]")))
        return fail(p, "unterminated filter", whole);
    skip(p, 2);
    Step *added = add_step(p, path, STEP_FILTER);
    if (added)
        *added = step;
    return added != NULL;
}

// 1, -1, 1:3, :, 0:5:2
static bool parse_slice(Parser *p, Step *step) {
    *step = (Step){.kind = STEP_SLICE, .from = 0, .to = INT64_MAX, .stride = 1};
    bool given = peek(p) != ':';
    if (given && !parse_int(p, &step->from))
        return false;
    if (peek(p) != ':') {
        step->to = step->from == -1 ? INT64_MAX : step->from + 1;
        return true;
    }
    skip(p, 1);
    if (peek(p) != ':' && peek(p) != ']' && peek(p) != ',' && !parse_int(p, &step->to))
        return false;
    if (peek(p) != ':')
        return true;
    skip(p, 1);
    if (!parse_int(p, &step->stride))
        return false;
    return step->stride > 0 || fail(p, "step must be positive", p->rest);
}

// One entry of a subscript: a name in quotes, an index or slice, a star.
static bool parse_entry(Parser *p, Step *ret) {
    skip_blanks(p);
    char c = peek(p);
    bool ok = true;
    if (c == '*') {
        skip(p, 1);
        *ret = (Step){.kind = STEP_WILDCARD};
    } else if (c == '\'' || c == '"') {
        *ret = (Step){.kind = STEP_FIELD};
        ok = parse_quoted(p, &ret->name);
    } else {
        ok = parse_slice(p, ret);
    }
    skip_blanks(p);
    return ok;
}

static bool parse_subscript(Parser *p, JsonPath *path) {
    Step entries[16];
    size_t n = 0;
    Str whole = p->rest;
    skip(p, 1);
    if (str_starts_with(p->rest, STR("?(")))
        return parse_filter(p, path);
    do {
        if (n == 16)
            return fail(p, "too many entries", whole);
        if (n)
            skip(p, 1);
        if (!parse_entry(p, &entries[n++]))
            return false;
    } while (peek(p) == ',');
    if (peek(p) != ']')
        return fail(p, "unterminated array", whole);
    skip(p, 1);
    Step *step = add_step(p, path, n == 1 ? entries[0].kind : STEP_UNION);
    if (!step)
        return false;
    if (n == 1) {
        *step = entries[0];
        return true;
    }
    const JsonPath **parts = arena_array_of(p->arena, const JsonPath *, n);
    for (size_t i = 0; i < n; i++) {
        JsonPath *part = arena_new_of(p->arena, JsonPath);
        part->steps = arena_new_of(p->arena, Step);
        part->steps[0] = entries[i];
        part->n = 1;
        parts[i] = part;
    }
    step->parts = parts;
    step->n_parts = n;
    return true;
}

static bool parse_dot(Parser *p, JsonPath *path, const char *ends) {
    skip(p, 1);
    if (peek(p) == '.') {
        skip(p, 1);
        if (!add_step(p, path, STEP_RECURSIVE))
            return false;
    }
    char c = peek(p);
    if (!c || c == '[' || (ends && strchr(ends, c)))
        return true; // "." is the value itself
    if (c == '*') {
        skip(p, 1);
        return add_step(p, path, STEP_WILDCARD) != NULL;
    }
    Step *step = add_step(p, path, STEP_FIELD);
    return step && parse_name(p, &step->name);
}

static bool parse_steps(Parser *p, const char *ends, const JsonPath **ret) {
    JsonPath *path = arena_new_of(p->arena, JsonPath);
    *ret = path;
    if (++p->depth > MAX_DEPTH)
        return fail(p, "nested too deeply", STR(""));
    while (p->rest.len && !(ends && strchr(ends, peek(p)))) {
        bool ok;
        if (peek(p) == '.')
            ok = parse_dot(p, path, ends);
        else if (peek(p) == '[')
            ok = parse_subscript(p, path);
        else if (!path->n && !ends_name(peek(p))) {
            Step *step = add_step(p, path, STEP_FIELD); // a name may stand without a dot at first
            ok = step && parse_name(p, &step->name);
        } else
            ok = fail(p, "unrecognized character in action", p->rest);
        if (!ok)
            return false;
    }
    p->depth--;
    return true;
}

JsonPath *json_path_new(Arena *arena, Str text, Str *ret_message) {
    const JsonPath *path = NULL;
    Parser parser = {.arena = arena, .rest = arena_str(arena, text)};
    bool ok = text.len <= JSON_PATH_MAX_BYTES || fail(&parser, "is longer than", STR("4096 bytes"));
    if (ok && memchr(text.ptr, 0, text.len))
        ok = fail(&parser, "unrecognized character in action", STR(""));
    if (ok && (peek(&parser) == '$' || peek(&parser) == '@'))
        skip(&parser, 1);
    if (ok && parse_steps(&parser, NULL, &path))
        return (JsonPath *)path;
    *ret_message = parser.message;
    return NULL;
}

// ---- evaluation

typedef struct Search {
    const Value *root;
    size_t visits;
} Search;

static const Value *walk(Search *search, const JsonPath *path, size_t at, const Value *value);

static const Value *first_of(Search *search, const Operand *operand, const Value *item) {
    if (operand->literal)
        return operand->literal;
    return walk(search, operand->path, 0, operand->from_root ? search->root : item);
}

static int order(const Value *a, const Value *b, bool *ret_comparable) {
    bool numbers = (a->kind == VALUE_INT || a->kind == VALUE_DOUBLE) &&
                   (b->kind == VALUE_INT || b->kind == VALUE_DOUBLE);
    *ret_comparable = true;
    if (numbers) {
        double x = a->kind == VALUE_INT ? (double)a->integer : a->number;
        double y = b->kind == VALUE_INT ? (double)b->integer : b->number;
        return x < y ? -1 : x > y;
    }
    if (a->kind == VALUE_STRING && b->kind == VALUE_STRING)
        return str_cmp(a->string, b->string);
    *ret_comparable = a->kind == VALUE_BOOL && b->kind == VALUE_BOOL;
    return *ret_comparable ? a->boolean - b->boolean : 1;
}

static bool passes(Search *search, const Step *step, const Value *item) {
    const Value *left = first_of(search, &step->left, item);
    if (step->comparison == EXISTS || !left)
        return step->comparison == EXISTS && left;
    const Value *right = first_of(search, &step->right, item);
    bool comparable = false;
    int sign = right ? order(left, right, &comparable) : 0;
    if (!comparable)
        return right && step->comparison == UNEQUAL;
    switch (step->comparison) {
    case EQUAL:
        return sign == 0;
    case UNEQUAL:
        return sign != 0;
    case LESS:
        return sign < 0;
    case AT_MOST:
        return sign <= 0;
    case GREATER:
        return sign > 0;
    default:
        return sign >= 0;
    }
}

static uint32_t children(const Value *value) {
    return value->kind == VALUE_ARRAY || value->kind == VALUE_OBJECT ? value->n : 0;
}

static const Value *child(const Value *value, uint32_t i) {
    return value->kind == VALUE_ARRAY ? value->items[i] : value->members[i].value;
}

static const Value *walk_children(Search *search, const JsonPath *path, size_t at,
                                  const Value *value) {
    const Step *filter = path->steps[at].kind == STEP_FILTER ? &path->steps[at] : NULL;
    for (uint32_t i = 0; i < children(value); i++) {
        const Value *item = child(value, i);
        const Value *found =
            filter && !passes(search, filter, item) ? NULL : walk(search, path, at + 1, item);
        if (found)
            return found;
    }
    return NULL;
}

static const Value *walk_below(Search *search, const JsonPath *path, size_t at,
                               const Value *value) {
    const Value *found = walk(search, path, at + 1, value);
    for (uint32_t i = 0; !found && i < children(value); i++)
        found = walk_below(search, path, at, child(value, i));
    return found;
}

static const Value *walk_slice(Search *search, const JsonPath *path, size_t at,
                               const Value *value) {
    const Step *step = &path->steps[at];
    if (value->kind != VALUE_ARRAY)
        return NULL;
    int64_t n = value->n, from = step->from, to = step->to;
    from = from < 0 ? from + n : from;
    to = to < 0 ? to + n : to > n ? n : to;
    for (int64_t i = from < 0 ? 0 : from; i < to; i += step->stride) {
        const Value *found = walk(search, path, at + 1, value->items[i]);
        if (found)
            return found;
    }
    return NULL;
}

static const Value *walk_union(Search *search, const JsonPath *path, size_t at,
                               const Value *value) {
    const Step *step = &path->steps[at];
    for (size_t i = 0; i < step->n_parts; i++) {
        const Value *part = walk(search, step->parts[i], 0, value);
        const Value *found = part ? walk(search, path, at + 1, part) : NULL;
        if (found)
            return found;
    }
    return NULL;
}

static const Value *walk(Search *search, const JsonPath *path, size_t at, const Value *value) {
    if (++search->visits > JSON_PATH_MAX_VISITS || !value)
        return NULL;
    if (at == path->n)
        return value;
    switch (path->steps[at].kind) {
    case STEP_FIELD:
        return walk(search, path, at + 1, value_get(value, path->steps[at].name));
    case STEP_WILDCARD:
    case STEP_FILTER:
        return walk_children(search, path, at, value);
    case STEP_RECURSIVE:
        return walk_below(search, path, at, value);
    case STEP_SLICE:
        return walk_slice(search, path, at, value);
    case STEP_UNION:
        return walk_union(search, path, at, value);
    }
    return NULL;
}

const Value *json_path_first(const JsonPath *path, const Value *root) {
    Search search = {.root = root};
    return walk(&search, path, 0, root);
}
