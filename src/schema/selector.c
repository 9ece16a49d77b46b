// Label selectors: apimachinery's pkg/labels/selector.go.

#include "schema/selector.h"
#include "schema/typed.h"

#include <errno.h>
#include <stdlib.h>

#include "schema/check.h"
#include "schema/format.h"
#include "schema/quote.h"

typedef enum Operator {
    OPERATOR_IN, // also = and ==
    OPERATOR_NOT_IN,
    OPERATOR_EXISTS,
    OPERATOR_NOT_EXISTS,
    OPERATOR_GREATER,
    OPERATOR_LESS,
} Operator;

typedef struct Requirement {
    Str key;
    Operator operator;
    Str *values;
    size_t n;
    int64_t number; // of GREATER and LESS
} Requirement;

struct Selector {
    Requirement *requirements;
    size_t n;
    bool nothing;
};

static int fail(Arena *arena, Str *ret_message, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int fail(Arena *arena, Str *ret_message, const char *format, ...) {
    va_list args;
    va_start(args, format);
    *ret_message = arena_vprintf(arena, format, args);
    va_end(args);
    return -EINVAL;
}

static void add_requirement(Arena *arena, Selector *selector, Requirement requirement) {
    if (!(selector->n & (selector->n - 1))) // the capacity is the next power of two
        selector->requirements =
            arena_grow(arena, selector->requirements, selector->n * sizeof(Requirement),
                       (selector->n ? selector->n * 2 : 1) * sizeof(Requirement));
    selector->requirements[selector->n++] = requirement;
}

static void add_value(Arena *arena, Requirement *requirement, Str value) {
    for (size_t i = 0; i < requirement->n && i < 64; i++)
        if (str_eq(requirement->values[i], value))
            return;
    if (!(requirement->n & (requirement->n - 1)))
        requirement->values = arena_grow(arena, requirement->values, requirement->n * sizeof(Str),
                                         (requirement->n ? requirement->n * 2 : 1) * sizeof(Str));
    requirement->values[requirement->n++] = value;
}

static Str join_problems(Arena *arena, const FormatProblems *problems) {
    return arena_concat(arena, problems->messages, problems->n, STR("; "));
}

static void check_key(FieldErrors *errors, const Path *path, Str key) {
    FormatProblems problems = format_check(errors->arena, FORMAT_LABEL_KEY, key);
    if (problems.n)
        field_invalid(errors, path, key, join_problems(errors->arena, &problems).ptr);
}

// Checks a requirement as NewRequirement() does.
static int check_requirement(Arena *arena, Requirement *requirement, Str *ret_message) {
    FieldErrors errors = {.arena = arena};
    const Path *values = PATH(NULL, STR("values"));
    check_key(&errors, PATH(NULL, STR("key")), requirement->key);
    if ((requirement->operator== OPERATOR_IN || requirement->operator== OPERATOR_NOT_IN) &&
        !requirement->n)
        field_invalid_value(&errors, values, value_new_array(arena),
                            "for 'in', 'notin' operators, values set can't be empty");
    if ((requirement->operator== OPERATOR_EXISTS || requirement->operator== OPERATOR_NOT_EXISTS) &&
        requirement->n) {
        Value *list = value_new_array(arena);
        for (size_t i = 0; i < requirement->n; i++)
            value_push(arena, list, value_new_string(arena, requirement->values[i]));
        field_invalid_value(&errors, values, list,
                            "values set must be empty for exists and does not exist");
    }
    for (size_t i = 0; i < requirement->n; i++) {
        Str value = requirement->values[i];
        const Path *path = PATH_INDEX(values, i);
        if (requirement->operator>= OPERATOR_GREATER && str_to_i64(value, &requirement->number))
            field_invalid(&errors, path, value,
                          "for 'Gt', 'Lt' operators, the value must be an integer");
        FormatProblems problems = format_check(arena, FORMAT_LABEL_VALUE, value);
        if (problems.n)
            field_invalid(&errors, PATH_KEY(path, requirement->key), value,
                          join_problems(arena, &problems).ptr);
    }
    if (!errors.n)
        return 0;
    Str *lines = arena_array_of(arena, Str, errors.n);
    for (size_t i = 0; i < errors.n; i++)
        lines[i] = arena_printf(arena, "%.*s: %.*s", STR_ARG(errors.items[i].path),
                                STR_ARG(errors.items[i].message));
    Str all = arena_concat(arena, lines, errors.n, STR(", "));
    return fail(arena, ret_message, errors.n > 1 ? "[%.*s]" : "%.*s", STR_ARG(all));
}

typedef enum Token {
    TOKEN_END,
    TOKEN_ERROR,
    TOKEN_IDENTIFIER,
    TOKEN_OPEN,
    TOKEN_CLOSE,
    TOKEN_COMMA,
    TOKEN_NOT,
    TOKEN_NOT_EQUALS,
    TOKEN_EQUALS,
    TOKEN_GREATER,
    TOKEN_LESS,
    TOKEN_IN,
    TOKEN_NOT_IN,
} Token;

typedef struct SelectorParser {
    Arena *arena;
    Str text;
    size_t position;
    Token token; // the one at hand
    Str literal;
    Str *message;
} SelectorParser;

static bool is_special(char c) {
    return c && strchr("=!(),><", c);
}
static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

// Reads the next token. A NUL byte ends the text, as upstream.
static void advance(SelectorParser *parser) {
    static const struct {
        const char *text;
        Token token;
    } symbols[] = {{"==", TOKEN_EQUALS}, {"!=", TOKEN_NOT_EQUALS}, {"=", TOKEN_EQUALS},
                   {"!", TOKEN_NOT},     {"(", TOKEN_OPEN},        {")", TOKEN_CLOSE},
                   {",", TOKEN_COMMA},   {">", TOKEN_GREATER},     {"<", TOKEN_LESS}};
    const Str *text = &parser->text;
    size_t at = parser->position;
    while (at < text->len && is_space(text->ptr[at]))
        at++;
    if (at >= text->len || !text->ptr[at]) {
        parser->position = text->len;
        parser->token = TOKEN_END;
        parser->literal = STR("");
        return;
    }
    Str rest = str_slice(*text, at, text->len);
    for (size_t i = 0; is_special(text->ptr[at]) && i < sizeof symbols / sizeof symbols[0]; i++)
        if (str_starts_with(rest, str_from(symbols[i].text))) {
            parser->token = symbols[i].token;
            parser->literal = str_slice(rest, 0, strlen(symbols[i].text));
            parser->position = at + parser->literal.len;
            return;
        }
    size_t end = at;
    while (end < text->len && text->ptr[end] && !is_special(text->ptr[end]) &&
           !is_space(text->ptr[end]))
        end++;
    parser->literal = str_slice(*text, at, end);
    parser->position = end;
    parser->token = str_eq(parser->literal, STR("in"))      ? TOKEN_IN
                    : str_eq(parser->literal, STR("notin")) ? TOKEN_NOT_IN
                                                            : TOKEN_IDENTIFIER;
}

// Where a value or a key stands, "in" and "notin" are ordinary words.
static Token word_token(const SelectorParser *parser) {
    return parser->token == TOKEN_IN || parser->token == TOKEN_NOT_IN ? TOKEN_IDENTIFIER
                                                                      : parser->token;
}

static int expected(SelectorParser *parser, const char *what) {
    return fail(parser->arena, parser->message, "found '%.*s', expected: %s",
                STR_ARG(parser->literal), what);
}

static int parse_operator(SelectorParser *parser, Requirement *requirement) {
    switch (parser->token) {
    case TOKEN_IN:
    case TOKEN_EQUALS:
        requirement->operator= OPERATOR_IN;
        break;
    case TOKEN_NOT_IN:
    case TOKEN_NOT_EQUALS:
        requirement->operator= OPERATOR_NOT_IN;
        break;
    case TOKEN_GREATER:
        requirement->operator= OPERATOR_GREATER;
        break;
    case TOKEN_LESS:
        requirement->operator= OPERATOR_LESS;
        break;
    default:
        return expected(parser, "in, notin, =, ==, !=, gt, lt");
    }
    return 0;
}

// "(a,b)", where an empty place is an empty value.
static int parse_set(SelectorParser *parser, Requirement *requirement) {
    if (parser->token != TOKEN_OPEN)
        return fail(parser->arena, parser->message, "found '%.*s' expected: '('",
                    STR_ARG(parser->literal));
    bool before_is_word = false;
    for (;;) {
        advance(parser);
        switch (word_token(parser)) {
        case TOKEN_IDENTIFIER:
            if (before_is_word)
                return expected(parser, "',' or ')'");
            add_value(parser->arena, requirement, parser->literal);
            before_is_word = true;
            break;
        case TOKEN_COMMA:
            if (!before_is_word)
                add_value(parser->arena, requirement, STR(""));
            before_is_word = false;
            break;
        case TOKEN_CLOSE:
            if (!before_is_word)
                add_value(parser->arena, requirement, STR(""));
            advance(parser);
            return 0;
        default:
            return expected(parser, before_is_word   ? "',' or ')'"
                                    : requirement->n ? "',', or identifier"
                                                     : "',', ')' or identifier");
        }
    }
}

static int parse_exact_value(SelectorParser *parser, Requirement *requirement) {
    Str value = STR("");
    if (parser->token != TOKEN_END && parser->token != TOKEN_COMMA) {
        if (word_token(parser) != TOKEN_IDENTIFIER)
            return expected(parser, "identifier");
        value = parser->literal;
        advance(parser);
    }
    add_value(parser->arena, requirement, value);
    return 0;
}

static int compare_str(const void *a, const void *b) {
    return str_cmp(*(const Str *)a, *(const Str *)b);
}

static int parse_requirement(SelectorParser *parser, Requirement *requirement) {
    bool not = parser->token == TOKEN_NOT;
    *requirement = (Requirement){.operator= OPERATOR_EXISTS };
    if (not )
        advance(parser);
    if (word_token(parser) != TOKEN_IDENTIFIER)
        return expected(parser, "identifier");
    requirement->key = parser->literal;
    FormatProblems problems = format_check(parser->arena, FORMAT_LABEL_KEY, requirement->key);
    if (problems.n) {
        Str key = quote_str(parser->arena, requirement->key);
        Str all = join_problems(parser->arena, &problems);
        return fail(parser->arena, parser->message, "<nil>: Invalid value: %.*s: %.*s",
                    STR_ARG(key), STR_ARG(all));
    }
    advance(parser);
    if (not || parser->token == TOKEN_END || parser->token == TOKEN_COMMA) {
        requirement->operator= not? OPERATOR_NOT_EXISTS : OPERATOR_EXISTS;
        return check_requirement(parser->arena, requirement, parser->message);
    }
    bool is_set = parser->token == TOKEN_IN || parser->token == TOKEN_NOT_IN;
    int r = parse_operator(parser, requirement);
    if (r)
        return r;
    advance(parser);
    r = is_set ? parse_set(parser, requirement) : parse_exact_value(parser, requirement);
    if (r)
        return r;
    qsort(requirement->values, requirement->n, sizeof(Str), compare_str);
    return check_requirement(parser->arena, requirement, parser->message);
}

int selector_parse(Arena *arena, Str text, Selector **ret, Str *ret_message) {
    SelectorParser parser = {.arena = arena, .text = text, .message = ret_message};
    Selector *selector = *ret = arena_new_of(arena, Selector);
    advance(&parser);
    for (;;) {
        Requirement requirement;
        Token token = word_token(&parser);
        if (token == TOKEN_END)
            return 0;
        if (token != TOKEN_IDENTIFIER && token != TOKEN_NOT)
            return expected(&parser, "!, identifier, or 'end of string'");
        if (parse_requirement(&parser, &requirement)) {
            Str why = *ret_message;
            return fail(arena, ret_message, "unable to parse requirement: %.*s", STR_ARG(why));
        }
        requirement.key = arena_str(arena, requirement.key);
        for (size_t i = 0; i < requirement.n; i++)
            requirement.values[i] = arena_str(arena, requirement.values[i]);
        add_requirement(arena, selector, requirement);
        if (parser.token == TOKEN_END)
            return 0;
        if (parser.token != TOKEN_COMMA)
            return expected(&parser, "',' or 'end of string'");
        advance(&parser);
        if (word_token(&parser) != TOKEN_IDENTIFIER && parser.token != TOKEN_NOT)
            return expected(&parser, "identifier after ','");
    }
}

static int requirement_from_expression(Arena *arena, const Value *expression,
                                       Requirement *requirement, Str *ret_message) {
    static const struct {
        const char *name;
        Operator operator;
    } operators[] = {{"In", OPERATOR_IN},
                     {"NotIn", OPERATOR_NOT_IN},
                     {"Exists", OPERATOR_EXISTS},
                     {"DoesNotExist", OPERATOR_NOT_EXISTS}};
    Str name = value_string_at(expression, "operator");
    size_t i = 0;
    while (i < 4 && !str_eq(name, str_from(operators[i].name)))
        i++;
    if (i == 4) {
        Str quoted = quote_str(arena, name);
        return fail(arena, ret_message, "%.*s is not a valid label selector operator",
                    STR_ARG(quoted));
    }
    Str key = value_string_at(expression, "key");
    *requirement = (Requirement){.key = key.ptr ? key : STR(""), .operator= operators[i].operator};
    const Value *values = value_get(expression, STR("values"));
    for (uint32_t j = 0; values && values->kind == VALUE_ARRAY && j < values->n; j++)
        if (values->items[j]->kind == VALUE_STRING)
            add_value(arena, requirement, values->items[j]->string);
    return check_requirement(arena, requirement, ret_message);
}

int selector_from_value(Arena *arena, const Value *label_selector, Selector **ret,
                        Str *ret_message) {
    Selector *selector = *ret = arena_new_of(arena, Selector);
    if (!label_selector || label_selector->kind != VALUE_OBJECT) {
        selector->nothing = true;
        return 0;
    }
    const Value *labels = value_get(label_selector, STR("matchLabels"));
    for (uint32_t i = 0; labels && labels->kind == VALUE_OBJECT && i < labels->n; i++) {
        Requirement requirement = {.key = labels->members[i].key};
        if (labels->members[i].value->kind == VALUE_STRING)
            add_value(arena, &requirement, labels->members[i].value->string);
        int r = check_requirement(arena, &requirement, ret_message);
        if (r)
            return r;
        add_requirement(arena, selector, requirement);
    }
    const Value *expressions = value_get(label_selector, STR("matchExpressions"));
    for (uint32_t i = 0; expressions && expressions->kind == VALUE_ARRAY && i < expressions->n;
         i++) {
        Requirement requirement;
        int r =
            requirement_from_expression(arena, expressions->items[i], &requirement, ret_message);
        if (r)
            return r;
        add_requirement(arena, selector, requirement);
    }
    return 0;
}

Selector *selector_from_map(Arena *arena, const Value *map) {
    Selector *selector = arena_new_of(arena, Selector);
    for (uint32_t i = 0; map && map->kind == VALUE_OBJECT && i < map->n; i++) {
        Requirement requirement = {.key = map->members[i].key};
        if (map->members[i].value->kind != VALUE_STRING)
            continue;
        add_value(arena, &requirement, map->members[i].value->string);
        add_requirement(arena, selector, requirement);
    }
    return selector;
}

static bool has_value(const Requirement *requirement, Str value) {
    for (size_t i = 0; i < requirement->n; i++)
        if (str_eq(requirement->values[i], value))
            return true;
    return false;
}

// `label`: STR_NONE when there is none of that key.
static bool requirement_matches(const Requirement *requirement, Str label) {
    bool exists = label.ptr != NULL;
    int64_t number;
    switch (requirement->operator) {
    case OPERATOR_IN:
        return exists && has_value(requirement, label);
    case OPERATOR_NOT_IN:
        return !exists || !has_value(requirement, label);
    case OPERATOR_EXISTS:
        return exists;
    case OPERATOR_NOT_EXISTS:
        return !exists;
    case OPERATOR_GREATER:
        return exists && !str_to_i64(label, &number) && number > requirement->number;
    case OPERATOR_LESS:
        return exists && !str_to_i64(label, &number) && number < requirement->number;
    }
    return false;
}

bool selector_matches(const Selector *selector, const Value *labels) {
    if (selector->nothing)
        return false;
    for (size_t i = 0; i < selector->n; i++) {
        const Value *label = value_get(labels, selector->requirements[i].key);
        Str text = label && label->kind == VALUE_STRING ? label->string : STR_NONE;
        if (!requirement_matches(&selector->requirements[i], text))
            return false;
    }
    return true;
}

bool selector_matches_map(const Selector *selector, const StrMap *labels) {
    if (selector->nothing)
        return false;
    for (size_t i = 0; i < selector->n; i++)
        if (!requirement_matches(&selector->requirements[i],
                                 str_map_get(labels, selector->requirements[i].key)))
            return false;
    return true;
}

bool selector_is_everything(const Selector *selector) {
    return !selector->nothing && !selector->n;
}
