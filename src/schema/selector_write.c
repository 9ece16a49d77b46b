// Selectors as strings, the way apimachinery's labels.Selector.String() writes them.

#include <stdlib.h>

#include "schema/selector.h"

static int by_text(const void *a, const void *b) {
    return str_cmp(*(const Str *)a, *(const Str *)b);
}

static Str text_of(const Value *value) {
    return value && value->kind == VALUE_STRING ? value->string : STR("");
}

static uint32_t count(const Value *value) {
    return value && (value->kind == VALUE_ARRAY || value->kind == VALUE_OBJECT) ? value->n : 0;
}

static Str set_of(Arena *arena, const Value *values) {
    uint32_t n = count(values);
    Str *items = arena_array_of(arena, Str, n + 1);
    for (uint32_t i = 0; i < n; i++)
        items[i] = text_of(values->items[i]);
    qsort(items, n, sizeof *items, by_text);
    return arena_concat(arena, items, n, STR(","));
}

static Str expression_text(Arena *arena, const Value *expression) {
    Str key = value_string_at(expression, "key"),
        operation = value_string_at(expression, "operator");
    Str set = set_of(arena, value_get(expression, STR("values")));
    if (str_eq(operation, STR("Exists")))
        return key;
    if (str_eq(operation, STR("DoesNotExist")))
        return arena_printf(arena, "!%.*s", STR_ARG(key));
    return arena_printf(arena, "%.*s %s (%.*s)", STR_ARG(key),
                        str_eq(operation, STR("In")) ? "in" : "notin", STR_ARG(set));
}

typedef struct Term {
    Str key, text;
    uint32_t position;
} Term;

static int by_key(const void *a, const void *b) {
    const Term *x = a, *y = b;
    int order = str_cmp(x->key, y->key);
    return order ? order : (x->position > y->position) - (x->position < y->position);
}

static Str join(Arena *arena, Term *terms, uint32_t n) {
    Str *texts = arena_array_of(arena, Str, n + 1);
    qsort(terms, n, sizeof *terms, by_key);
    for (uint32_t i = 0; i < n; i++)
        texts[i] = terms[i].text;
    return arena_concat(arena, texts, n, STR(","));
}

static uint32_t add_labels(Arena *arena, const Value *labels, Term *terms) {
    uint32_t n = count(labels);
    for (uint32_t i = 0; i < n; i++) {
        Str key = labels->members[i].key;
        terms[i] = (Term){key,
                          arena_printf(arena, "%.*s=%.*s", STR_ARG(key),
                                       STR_ARG(text_of(labels->members[i].value))),
                          i};
    }
    return n;
}

Str selector_map_string(Arena *arena, const Value *labels) {
    Term *terms = arena_array_of(arena, Term, count(labels) + 1);
    return join(arena, terms, add_labels(arena, labels, terms));
}

Str selector_string(Arena *arena, const Value *label_selector) {
    const Value *labels = value_get(label_selector, STR("matchLabels"));
    const Value *expressions = value_get(label_selector, STR("matchExpressions"));
    Term *terms = arena_array_of(arena, Term, count(labels) + count(expressions) + 1);
    uint32_t n = add_labels(arena, labels, terms);
    for (uint32_t i = 0; i < count(expressions); i++, n++)
        terms[n] = (Term){value_string_at(expressions->items[i], "key"),
                          expression_text(arena, expressions->items[i]), n};
    return join(arena, terms, n);
}
