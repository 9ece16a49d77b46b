// field.Error: what is wrong with one field, worded as apimachinery words it.

#include <stdio.h>

#include "schema/check.h"
#include "schema/quote.h"

#define MAX_ERRORS 1000 // one object's; what comes after is not reported
#define MAX_MESSAGE (8 * 1024 * 1024)

static const char *const kind_text[] = {
    [FIELD_ERROR_REQUIRED] = "Required value",
    [FIELD_ERROR_INVALID] = "Invalid value",
    [FIELD_ERROR_NOT_SUPPORTED] = "Unsupported value",
    [FIELD_ERROR_DUPLICATE] = "Duplicate value",
    [FIELD_ERROR_NOT_FOUND] = "Not found",
    [FIELD_ERROR_FORBIDDEN] = "Forbidden",
    [FIELD_ERROR_TOO_LONG] = "Too long",
    [FIELD_ERROR_TOO_MANY] = "Too many",
    [FIELD_ERROR_TYPE_INVALID] = "Invalid value",
};

void field_append(FieldErrors *errors, const FieldError *error) {
    if (errors->n >= MAX_ERRORS)
        return;
    if (!(errors->n & (errors->n - 1))) { // the capacity is the next power of two
        size_t capacity = errors->n ? errors->n * 2 : 1;
        errors->items = arena_grow(errors->arena, errors->items, errors->n * sizeof(FieldError),
                                   capacity * sizeof(FieldError));
    }
    errors->items[errors->n++] = *error;
}

void field_add(FieldErrors *errors, FieldErrorKind kind, const Path *path, Str shown, Str detail) {
    if (errors->n >= MAX_ERRORS)
        return;
    const FieldError error = {
        .kind = kind,
        .path = path_str(errors->arena, path),
        .message =
            arena_printf(errors->arena, "%s%s%.*s%s%.*s", kind_text[kind], shown.ptr ? ": " : "",
                         STR_ARG(shown), detail.len ? ": " : "", STR_ARG(detail)),
    };
    field_append(errors, &error);
}

void field_required(FieldErrors *errors, const Path *path, const char *detail) {
    field_add(errors, FIELD_ERROR_REQUIRED, path, STR_NONE, str_from(detail));
}

void field_invalid(FieldErrors *errors, const Path *path, Str value, const char *detail) {
    field_add(errors, FIELD_ERROR_INVALID, path, quote_str(errors->arena, value), str_from(detail));
}

void field_invalid_int(FieldErrors *errors, const Path *path, int64_t value, const char *detail) {
    field_add(errors, FIELD_ERROR_INVALID, path,
              arena_printf(errors->arena, "%lld", (long long)value), str_from(detail));
}

static Str show(Arena *arena, const Value *value) {
    if (!value)
        return STR("null");
    if (value->kind == VALUE_STRING)
        return quote_str(arena, value->string);
    _buf_deinit_ Buf buf = BUF_INIT(MAX_MESSAGE);
    value_write_json(value, &buf);
    return arena_str(arena, buf_view(&buf));
}

void field_invalid_value(FieldErrors *errors, const Path *path, const Value *value,
                         const char *detail) {
    field_add(errors, FIELD_ERROR_INVALID, path, show(errors->arena, value), str_from(detail));
}

void field_invalid_unshown(FieldErrors *errors, const Path *path, const char *detail) {
    field_add(errors, FIELD_ERROR_INVALID, path, STR_NONE, str_from(detail));
}

void field_not_supported_value(FieldErrors *errors, const Path *path, const Value *value,
                               const Str *supported, size_t n) {
    _buf_deinit_ Buf buf = BUF_INIT(MAX_MESSAGE);
    for (size_t i = 0; i < n; i++) {
        buf_str(&buf, i ? STR(", ") : STR("supported values: "));
        quote_write(&buf, supported[i]);
    }
    field_add(errors, FIELD_ERROR_NOT_SUPPORTED, path, show(errors->arena, value), buf_view(&buf));
}

void field_not_supported(FieldErrors *errors, const Path *path, Str value, const Str *supported,
                         size_t n) {
    field_not_supported_value(errors, path, value_new_string(errors->arena, value), supported, n);
}

void field_duplicate(FieldErrors *errors, const Path *path, Str value) {
    field_add(errors, FIELD_ERROR_DUPLICATE, path, quote_str(errors->arena, value), STR_NONE);
}

void field_duplicate_value(FieldErrors *errors, const Path *path, const Value *value) {
    field_add(errors, FIELD_ERROR_DUPLICATE, path, show(errors->arena, value), STR_NONE);
}

void field_not_found(FieldErrors *errors, const Path *path, Str value) {
    field_add(errors, FIELD_ERROR_NOT_FOUND, path, quote_str(errors->arena, value), STR_NONE);
}

void field_forbidden(FieldErrors *errors, const Path *path, const char *detail) {
    field_add(errors, FIELD_ERROR_FORBIDDEN, path, STR_NONE, str_from(detail));
}

void field_too_long(FieldErrors *errors, const Path *path, size_t max_length) {
    field_add(errors, FIELD_ERROR_TOO_LONG, path, STR_NONE,
              arena_printf(errors->arena, "may not be more than %zu byte%s", max_length,
                           max_length == 1 ? "" : "s"));
}

void field_too_many(FieldErrors *errors, const Path *path, size_t actual, size_t max) {
    field_add(
        errors, FIELD_ERROR_TOO_MANY, path, arena_printf(errors->arena, "%zu", actual),
        arena_printf(errors->arena, "must have at most %zu item%s", max, max == 1 ? "" : "s"));
}

#define MAX_WARNINGS 100

void warning_add(Arena *arena, ValuePaths *warnings, const Path *path, Str text) {
    if (warnings->n >= MAX_WARNINGS)
        return;
    if (path)
        text = arena_concat(arena, (Str[]){path_str(arena, path), text}, 2, STR(": "));
    warnings->paths = arena_grow(arena, warnings->paths, warnings->n * sizeof(Str),
                                 (warnings->n + 1) * sizeof(Str));
    warnings->paths[warnings->n++] = text;
}
