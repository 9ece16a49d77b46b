#pragma once
// Label and field selectors, as strings (kubectl -l, --field-selector) and as LabelSelector
// objects.

#include "schema/value.h"

typedef struct Selector Selector; // in an arena; immutable

// "a=b,c!=d,e in (f,g),!h,i,j>5". Returns 0 or -EINVAL with *ret_message as labels.Parse words it.
int selector_parse(Arena *arena, Str text, Selector **ret, Str *ret_message)
    __attribute__((warn_unused_result));
// A metav1.LabelSelector (matchLabels, matchExpressions); NULL matches nothing, an empty one
// everything.
int selector_from_value(Arena *arena, const Value *label_selector, Selector **ret, Str *ret_message)
    __attribute__((warn_unused_result));
// The plain map of a Service or ReplicationController.
Selector *selector_from_map(Arena *arena, const Value *map);
// A LabelSelector as a string, its terms ordered by key: "a=b,c in (d,e),!f"; "" for NULL and for
// an empty one. The same of a plain map of labels.
Str selector_string(Arena *arena, const Value *label_selector);
Str selector_map_string(Arena *arena, const Value *labels);
bool selector_matches(const Selector *selector, const Value *labels); // labels: object or NULL
struct StrMap; // schema/typed.h
bool selector_matches_map(const Selector *selector, const struct StrMap *labels);
bool selector_is_everything(const Selector *selector);

// "status.phase=Running,spec.nodeName!=n1". Terms are compared as strings.
typedef struct FieldTerm {
    Str path, value;
    bool equal;
} FieldTerm;
typedef struct FieldSelector {
    FieldTerm *terms;
    size_t n;
} FieldSelector;
int field_selector_parse(Arena *arena, Str text, FieldSelector *ret, Str *ret_message)
    __attribute__((warn_unused_result));
