// A value against a structural schema, with the words of kube-openapi's pkg/validation
// (validate/*.go, errors/schema.go) and of apiextensions' kubeOpenAPIResultToFieldErrors. Names of
// map keys are joined by dots there, which is kept.

#include <inttypes.h>
#include <stdio.h>

#include "base/map.h"
#include "schema/quote.h"
#include "schema/structural.h"

typedef struct Check {
    FieldErrors *errors;
    size_t matches; // how much was right: which of several alternatives is told of
} Check;

static void check(Check *c, const Schema *schema, const Value *value, const Value *old,
                  const Path *path);

// ---- numbers, without the library of mathematics

static bool is_large(double number) { // beyond int64
    return number >= 9e18 || number <= -9e18;
}

static bool is_integral(double number) {
    return is_large(number) || (double)(int64_t)number == number;
}

// ---- wording

static Str name_of(Arena *arena, const Path *path) {
    return path ? path_str(arena, path) : STR("");
}

// At the root upstream has no path, which Go prints so.
static const Path *shown_path(const Path *path) {
    static const Path none = {.name = {"<nil>", 5}, .index = -1};
    return path ? path : &none;
}

static void report(Check *c, FieldErrorKind kind, const Path *path, Str shown, Str what) {
    Arena *arena = c->errors->arena;
    Str name = name_of(arena, path);
    field_add(c->errors, kind, shown_path(path), shown,
              arena_printf(arena, "%.*s in body %.*s", STR_ARG(name), STR_ARG(what)));
}

// Go's %v of a float64.
static Str go_float(Arena *arena, double number) {
    char text[40];
    for (int precision = 1; precision <= 17; precision++) {
        snprintf(text, sizeof text, "%.*e", precision - 1, number);
        double back;
        if (sscanf(text, "%lf", &back) == 1 && back == number)
            break;
    }
    int exponent = 0;
    const char *e = strchr(text, 'e');
    if (!e)
        return arena_printf(arena, "%s", text); // infinite
    sscanf(e + 1, "%d", &exponent);
    size_t digits = (size_t)(e - text) - (strchr(text, '.') ? 1 : 0) - (number < 0 ? 1 : 0);
    if (exponent < -4 || exponent >= 6) // strconv's decision for the shortest form
        return arena_str(arena, str_from(text));
    int decimals = (int)digits - 1 - exponent;
    return arena_printf(arena, "%.*f", decimals > 0 ? decimals : 0, number);
}

static Str shown_value(Arena *arena, const Value *value) {
    if (value->kind == VALUE_STRING)
        return quote_str(arena, value->string);
    if (value->kind == VALUE_DOUBLE)
        return go_float(arena, value->number);
    Buf buf = BUF_INIT(VALUE_MAX_BYTES * 2);
    value_write_json(value, &buf);
    Str shown = arena_str(arena, buf_view(&buf));
    buf_deinit(&buf);
    return shown;
}

static Str shown_int(Arena *arena, int64_t number) {
    return arena_printf(arena, "%" PRId64, number);
}

// A bound in the words of the value's own type: integers meet integers.
static Str shown_bound(Arena *arena, const Value *value, double bound) {
    return value->kind == VALUE_INT && !is_large(bound) ? shown_int(arena, (int64_t)bound)
                                                        : go_float(arena, bound);
}

// ---- types

static const char *const type_names[] = {"",        "object", "array",  "string",
                                         "integer", "number", "boolean"};

static const char *value_type(const Value *value) {
    static const char *const names[] = {"null",   "boolean", "integer", "number",
                                        "string", "array",   "object"};
    return names[value->kind];
}

static bool is_whole(const Value *value) {
    return value->kind == VALUE_INT ||
           (value->kind == VALUE_DOUBLE && is_integral(value->number) && !is_large(value->number));
}

static bool fits_type(const Schema *schema, const Value *value) {
    if (schema->flags & SCHEMA_INT_OR_STRING)
        return value->kind == VALUE_STRING || is_whole(value);
    switch ((SchemaType)schema->type) {
    case SCHEMA_ANY:
        return true;
    case SCHEMA_OBJECT:
        return value->kind == VALUE_OBJECT;
    case SCHEMA_ARRAY:
        return value->kind == VALUE_ARRAY;
    case SCHEMA_STRING:
        return value->kind == VALUE_STRING;
    case SCHEMA_INTEGER:
        return is_whole(value);
    case SCHEMA_NUMBER:
        return value->kind == VALUE_INT || value->kind == VALUE_DOUBLE;
    case SCHEMA_BOOLEAN:
        return value->kind == VALUE_BOOL;
    }
    return true;
}

static void wrong_type(Check *c, const Path *path, Str wanted, const char *found) {
    Arena *arena = c->errors->arena;
    Str shown = quote_str(arena, str_from(found));
    report(c, FIELD_ERROR_TYPE_INVALID, path, shown,
           arena_printf(arena, "must be of type %.*s: %.*s", STR_ARG(wanted), STR_ARG(shown)));
}

static void check_type(Check *c, const Schema *schema, const Value *value, const Path *path) {
    bool either = schema->flags & SCHEMA_INT_OR_STRING;
    Str wanted = either ? STR("integer,string") : str_from(type_names[schema->type]);
    Str format = schema->rules ? schema->rules->format : STR("");
    if (value->kind == VALUE_NULL) {
        if (wanted.len && !(schema->flags & SCHEMA_NULLABLE))
            wrong_type(c, path, wanted, "null");
        else
            c->matches++;
        return;
    }
    if (fits_type(schema, value)) {
        c->matches++;
        return;
    }
    bool textual = value->kind == VALUE_STRING || value->kind == VALUE_ARRAY;
    bool numeric = schema->type == SCHEMA_INTEGER || schema->type == SCHEMA_NUMBER;
    if (format.len && !textual)
        wrong_type(c, path, format,
                   value->kind == VALUE_INT      ? "int64"
                   : value->kind == VALUE_DOUBLE ? "double"
                                                 : "");
    else if (!format.len || numeric)
        wrong_type(c, path, wanted, value_type(value));
}

// ---- scalars

static size_t runes(Str text) {
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++)
        n += ((unsigned char)text.ptr[i] & 0xc0) != 0x80;
    return n;
}

static void check_string(Check *c, const SchemaRules *rules, const Value *value, const Path *path) {
    Arena *arena = c->errors->arena;
    Str text = value->string;
    int64_t length = (int64_t)runes(text);
    if (rules->max_length >= 0 && length > rules->max_length)
        field_too_long(c->errors, shown_path(path), (size_t)rules->max_length);
    if (rules->min_length >= 0 && length < rules->min_length)
        report(c, FIELD_ERROR_INVALID, path, quote_str(arena, text),
               arena_printf(arena, "should be at least %" PRId64 " chars long", rules->min_length));
    if (rules->pattern && !pattern_matches(rules->pattern, text))
        report(c, FIELD_ERROR_INVALID, path, quote_str(arena, text),
               arena_printf(arena, "should match '%.*s'", STR_ARG(pattern_text(rules->pattern))));
    if (rules->format.len && !schema_format_matches(rules->format, text)) {
        Str shown = quote_str(arena, text);
        report(c, FIELD_ERROR_TYPE_INVALID, path, shown,
               arena_printf(arena, "must be of type %.*s: %.*s", STR_ARG(rules->format),
                            STR_ARG(shown)));
    }
    c->matches++;
}

static bool is_multiple(const Value *value, double of) {
    if (of == 0)
        return true;
    if (value->kind == VALUE_INT && is_integral(of) && !is_large(of))
        return value->integer % (int64_t)of == 0;
    double number = value->kind == VALUE_INT ? (double)value->integer : value->number;
    double times = of < 1 ? 1 / of * number : number / of;
    return is_integral(times);
}

static void check_number(Check *c, const SchemaRules *rules, const Value *value, const Path *path) {
    Arena *arena = c->errors->arena;
    double number = value->kind == VALUE_INT ? (double)value->integer : value->number;
    Str shown = shown_value(arena, value);
    const SchemaLimit *low = &rules->minimum, *high = &rules->maximum, *of = &rules->multiple_of;
    if (of->given && !is_multiple(value, of->value))
        report(c, FIELD_ERROR_INVALID, path, shown,
               arena_printf(arena, "should be a multiple of %.*s",
                            STR_ARG(shown_bound(arena, value, of->value))));
    if (high->given && (high->exclusive ? number >= high->value : number > high->value))
        report(c, FIELD_ERROR_INVALID, path, shown,
               arena_printf(arena, "should be less than %s%.*s",
                            high->exclusive ? "" : "or equal to ",
                            STR_ARG(shown_bound(arena, value, high->value))));
    if (low->given && (low->exclusive ? number <= low->value : number < low->value))
        report(c, FIELD_ERROR_INVALID, path, shown,
               arena_printf(arena, "should be greater than %s%.*s",
                            low->exclusive ? "" : "or equal to ",
                            STR_ARG(shown_bound(arena, value, low->value))));
    c->matches++;
}

static void check_enum(Check *c, const Value *allowed, const Value *value, const Path *path) {
    Arena *arena = c->errors->arena;
    for (uint32_t i = 0; i < allowed->n; i++)
        if (value->kind != VALUE_NULL && value_equal(allowed->items[i], value))
            return;
    Buf buf = BUF_INIT(VALUE_MAX_BYTES);
    for (uint32_t i = 0; i < allowed->n; i++) {
        Str text = allowed->items[i]->kind == VALUE_STRING ? allowed->items[i]->string
                                                           : shown_value(arena, allowed->items[i]);
        buf_str(&buf, i ? STR(", ") : STR("supported values: "));
        quote_write(&buf, text);
    }
    field_add(c->errors, FIELD_ERROR_NOT_SUPPORTED, shown_path(path), shown_value(arena, value),
              buf_view(&buf));
    buf_deinit(&buf);
}

// ---- lists and objects

static Str canonical(Arena *arena, const Value *value) {
    return value->kind == VALUE_STRING ? quote_str(arena, value->string)
                                       : shown_value(arena, value);
}

static bool has_duplicates(Arena *arena, const Value *list) {
    _map_free_ Map *seen = map_new();
    for (uint32_t i = 0; i < list->n; i++)
        if (map_put(seen, canonical(arena, list->items[i]), seen))
            return true;
    return false;
}

// The item of before with the same keys; other lists are told apart by nothing.
static const Value *old_item(const Schema *schema, const Value *old, const Value *item,
                             uint32_t position) {
    if (!old || old->kind != VALUE_ARRAY || schema->list_type != LIST_MAP || !schema->n_keys)
        return NULL;
    for (uint32_t k = 0; k < old->n && k < 64; k++) { // mostly at the same place
        const Value *candidate = old->items[(position + k) % old->n];
        bool same = true;
        for (size_t i = 0; i < schema->n_keys && same; i++)
            same = value_equal(value_get(candidate, schema->keys[i]),
                               value_get(item, schema->keys[i]));
        if (same)
            return candidate;
    }
    return NULL;
}

static void check_list(Check *c, const Schema *schema, const Value *list, const Value *old,
                       const Path *path) {
    Arena *arena = c->errors->arena;
    const SchemaRules *rules = schema->rules;
    for (uint32_t i = 0; schema->items && i < list->n; i++)
        check(c, schema->items, list->items[i], old_item(schema, old, list->items[i], i),
              PATH_INDEX(path, i));
    if (rules && rules->min_items >= 0 && list->n < rules->min_items)
        report(c, FIELD_ERROR_INVALID, path, shown_int(arena, list->n),
               arena_printf(arena, "should have at least %" PRId64 " items", rules->min_items));
    if (rules && rules->max_items >= 0 && list->n > rules->max_items)
        field_too_many(c->errors, shown_path(path), list->n, (size_t)rules->max_items);
    if (rules && rules->unique_items && has_duplicates(arena, list))
        report(c, FIELD_ERROR_INVALID, path, STR("\"\""), STR("shouldn't contain duplicates"));
    c->matches++;
}

// False when there are too few or too many: then upstream looks no further.
static bool check_size(Check *c, const SchemaRules *rules, const Value *object, const Path *path) {
    Arena *arena = c->errors->arena;
    if (rules && rules->min_properties >= 0 && object->n < rules->min_properties) {
        report(c, FIELD_ERROR_INVALID, path, shown_int(arena, object->n),
               arena_printf(arena, "should have at least %" PRId64 " properties",
                            rules->min_properties));
        return false;
    }
    if (rules && rules->max_properties >= 0 && object->n > rules->max_properties) {
        field_too_many(c->errors, shown_path(path), object->n, (size_t)rules->max_properties);
        return false;
    }
    return true;
}

static void forbid(Check *c, Str key, const Path *path) {
    Arena *arena = c->errors->arena;
    field_add(c->errors, FIELD_ERROR_INVALID, shown_path(path), quote_str(arena, key),
              arena_printf(arena, "%.*s.%.*s in body is a forbidden property",
                           STR_ARG(name_of(arena, path)), STR_ARG(key)));
}

static void check_object(Check *c, const Schema *schema, const Value *object, const Value *old,
                         const Path *path) {
    const SchemaRules *rules = schema->rules;
    if (!check_size(c, rules, object, path))
        return;
    for (uint32_t i = 0; i < object->n; i++) {
        const Member *member = &object->members[i];
        const Schema *inner = schema_property(schema, member->key);
        if (!inner)
            inner = schema->additional;
        if (inner)
            check(c, inner, member->value, value_get(old, member->key), PATH(path, member->key));
        else if (schema->flags & SCHEMA_CLOSED)
            forbid(c, member->key, path);
    }
    for (size_t i = 0; rules && i < rules->n_required; i++)
        if (!value_get(object, rules->required[i]))
            field_required(c->errors, PATH(path, rules->required[i]), "");
}

// ---- alternatives

static void append(FieldErrors *errors, const FieldErrors *more) {
    for (size_t i = 0; i < more->n; i++)
        field_append(errors, &more->items[i]);
}

// A message of no type of its own: upstream puts it at no path.
static void composite(Check *c, const Path *path, const char *format, const char *more) {
    Arena *arena = c->errors->arena;
    Str name = quote_str(arena, name_of(arena, path));
    field_add(c->errors, FIELD_ERROR_INVALID, shown_path(NULL), STR("\"\""),
              arena_printf(arena, "%.*s %s%s", STR_ARG(name), format, more));
}

typedef struct Trials {
    size_t valid;
    FieldErrors best; // of the alternative that is nearest
    size_t best_matches;
} Trials;

static Trials try_all(Check *c, const SchemaList *list, const Value *value, const Value *old,
                      const Path *path, bool first_is_enough) {
    Trials trials = {.best = {.arena = c->errors->arena}};
    for (size_t i = 0; i < list->n; i++) {
        FieldErrors errors = {.arena = c->errors->arena};
        Check trial = {.errors = &errors};
        check(&trial, list->items[i], value, old, path);
        if (!errors.n) {
            trials.valid++;
            if (first_is_enough)
                return trials;
        } else if (!trials.best.n || trial.matches > trials.best_matches) {
            trials.best = errors;
            trials.best_matches = trial.matches;
        }
    }
    return trials;
}

static void check_alternatives(Check *c, const SchemaRules *rules, const Value *value,
                               const Value *old, const Path *path) {
    if (rules->any_of.n) {
        Trials any = try_all(c, &rules->any_of, value, old, path, true);
        if (!any.valid) {
            composite(c, path, "must validate at least one schema (anyOf)", "");
            append(c->errors, &any.best);
        }
    }
    if (rules->one_of.n) {
        Trials one = try_all(c, &rules->one_of, value, old, path, false);
        char found[64] = "Found none valid";
        if (one.valid)
            snprintf(found, sizeof found, "Found %zu valid alternatives", one.valid);
        if (one.valid != 1)
            composite(c, path, "must validate one and only one schema (oneOf). ", found);
        if (!one.valid)
            append(c->errors, &one.best);
    }
    size_t valid = 0;
    for (size_t i = 0; i < rules->all_of.n; i++) {
        size_t before = c->errors->n;
        check(c, rules->all_of.items[i], value, old, path);
        valid += c->errors->n == before;
    }
    if (valid != rules->all_of.n)
        composite(c, path, "must validate all the schemas (allOf)",
                  valid ? "" : ". None validated");
    if (rules->not ) {
        FieldErrors errors = {.arena = c->errors->arena};
        Check trial = {.errors = &errors};
        check(&trial, rules->not, value, NULL, path);
        if (!errors.n)
            composite(c, path, "must not validate the schema (not)", "");
    }
}

static void check(Check *c, const Schema *schema, const Value *value, const Value *old,
                  const Path *path) {
    const SchemaRules *rules = schema->rules;
    if (old && value_equal(value, old)) {
        c->matches++;
        return;
    }
    check_type(c, schema, value, path);
    if (value->kind != VALUE_NULL) {
        if (rules)
            check_alternatives(c, rules, value, old, path);
        if (rules && value->kind == VALUE_STRING)
            check_string(c, rules, value, path);
        if (rules && (value->kind == VALUE_INT || value->kind == VALUE_DOUBLE))
            check_number(c, rules, value, path);
        if (value->kind == VALUE_ARRAY)
            check_list(c, schema, value, old, path);
    }
    if (rules && rules->enum_values)
        check_enum(c, rules->enum_values, value, path);
    if (value->kind == VALUE_OBJECT)
        check_object(c, schema, value, old, path);
    c->matches++;
}

void structural_validate(FieldErrors *errors, const Schema *schema, const Value *value,
                         const Value *old, const Path *path) {
    Check c = {.errors = errors};
    check(&c, schema, value, old, path);
}
