#include "kinds/workload.h"

#include "schema/selector.h"

// ---- selectors and templates

void workload_check_selector(FieldErrors *errors, const Value *spec, const Path *path,
                             const char *kind) {
    const Value *selector = GET(spec, "selector");
    if (!selector)
        field_required(errors, AT(path, "selector"), "");
    else if (!tree_count(selector, "matchLabels") && !tree_count(selector, "matchExpressions"))
        field_invalid_value(
            errors, AT(path, "selector"), selector,
            arena_printf(errors->arena, "empty selector is invalid for %s", kind).ptr);
}

void workload_check_labels(FieldErrors *errors, const Value *spec, const Path *path) {
    const Value *labels = value_at(spec, "template.metadata.labels");
    Selector *selector;
    Str message;
    if (selector_from_value(errors->arena, GET(spec, "selector"), &selector, &message) != 0)
        return; // the selector's own rules have said why
    if (!selector_matches(selector, labels))
        field_invalid_value(errors, AT(AT(AT(path, "template"), "metadata"), "labels"), labels,
                            "`selector` does not match template `labels`");
}

void workload_check_pods(FieldErrors *errors, const Value *template, const Path *path,
                         const char *kind) {
    const Value *spec = GET(template, "spec");
    Str policy = GET_STR(spec, "restartPolicy");
    if (!str_eq(policy, STR("Always")))
        field_not_supported(errors, AT(AT(path, "spec"), "restartPolicy"), policy,
                            (Str[]){STR("Always")}, 1);
    if (GET(spec, "activeDeadlineSeconds"))
        field_forbidden(
            errors, AT(AT(path, "spec"), "activeDeadlineSeconds"),
            arena_printf(errors->arena, "activeDeadlineSeconds in %s is not Supported", kind).ptr);
}

// ---- numbers that may be percentages

static bool percentage(Str text, int64_t *ret) {
    if (text.len < 2 || text.ptr[text.len - 1] != '%')
        return false;
    for (size_t i = 0; i + 1 < text.len; i++)
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
    if (str_to_i64(str_slice(text, 0, text.len - 1), ret) != 0)
        *ret = INT64_MAX; // too long a number
    return true;
}

void workload_check_amount(FieldErrors *errors, const Value *amount, const Path *path) {
    int64_t number;
    if (amount && amount->kind == VALUE_INT && amount->integer < 0)
        field_invalid_int(errors, path, amount->integer, "must be greater than or equal to 0");
    if (amount && amount->kind == VALUE_STRING && !percentage(amount->string, &number))
        field_invalid(errors, path, amount->string,
                      "a valid percent string must be a numeric string followed by an ending '%' "
                      "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')");
}

void workload_check_hundred(FieldErrors *errors, const Value *amount, const Path *path) {
    int64_t number;
    if (amount && amount->kind == VALUE_STRING && percentage(amount->string, &number) &&
        number > 100)
        field_invalid(errors, path, amount->string, "must not be greater than 100%");
}

int64_t workload_amount(const Value *amount) {
    int64_t number = 0;
    if (amount && amount->kind == VALUE_INT)
        return amount->integer;
    if (amount && amount->kind == VALUE_STRING && !percentage(amount->string, &number) &&
        str_to_i64(amount->string, &number) != 0)
        number = 0;
    return number;
}

// ---- status

static const Path status_path = {.name = {"status", 6}, .index = -1};

void workload_check_replicas(FieldErrors *errors, const Value *status, const char *const *fields) {
    int64_t replicas = value_int_at(status, "replicas", 0);
    for (; *fields; fields++) {
        int64_t number = value_int_at(status, *fields, 0);
        if (number > replicas)
            field_invalid_int(errors, PATH(&status_path, str_from(*fields)), number,
                              "cannot be greater than status.replicas");
    }
}

void workload_check_available(FieldErrors *errors, const Value *status, const char *detail) {
    int64_t number = value_int_at(status, "availableReplicas", 0);
    if (number > value_int_at(status, "readyReplicas", 0))
        field_invalid_int(errors, AT(&status_path, "availableReplicas"), number, detail);
}

// IsDecremented: one that was there may not go away either.
void workload_check_collisions(FieldErrors *errors, const Value *object, const Value *old) {
    const Value *before = value_at(old, "status.collisionCount");
    int64_t now = value_int_at(object, "status.collisionCount", -1);
    if (before && now < before->integer)
        field_invalid_int(errors, AT(&status_path, "collisionCount"), now < 0 ? 0 : now,
                          "cannot be decremented");
}

// ---- warnings

void workload_warn(Arena *arena, const Value *object, const char *path, ValuePaths *warnings) {
    if (!tree_has_string(object, "metadata.resourceVersion")) // that is, a new one
        pod_name_warn(arena, object, "Pod names and hostnames", warnings);
    const Value *template = value_at(object, path);
    if (template)
        pod_template_warn(arena, template, PATH(NULL, str_from(path)), warnings);
}
