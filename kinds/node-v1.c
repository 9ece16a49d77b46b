// RuntimeClasses: pkg/apis/node/validation upstream.

#include "kinds/pod.h"
#include "kinds/resource_list.h"
#include "kinds/rules.h"

#define MAX_TOLERATIONS 500 // upstream has no limit; this one keeps the comparisons short

static void default_overhead(Arena *arena, Value *object) {
    resource_round_list(arena, value_at(object, "overhead.podFixed"));
}

static void check_tolerations(FieldErrors *errors, const Value *list, const Path *path) {
    if (list_count(list) > MAX_TOLERATIONS) {
        field_too_many(errors, path, list->n, MAX_TOLERATIONS);
        return;
    }
    tolerations_validate(errors, list, path);
    for (uint32_t i = 1; i < list_count(list); i++)
        for (uint32_t k = 0; k < i; k++)
            if (value_equal(list->items[i], list->items[k])) {
                field_duplicate_value(errors, PATH_INDEX(path, i), list->items[i]);
                break;
            }
}

static void validate(FieldErrors *errors, const Value *object) {
    const Value *overhead = value_at(object, "overhead.podFixed"),
                *scheduling = GET(object, "scheduling");
    const Path *path = AT(NULL, "scheduling");
    if (overhead)
        resource_validate_overhead(errors, overhead, AT(AT(NULL, "overhead"), "podFixed"));
    if (GET(scheduling, "nodeSelector"))
        schema_validate_labels(errors, GET(scheduling, "nodeSelector"), AT(path, "nodeSelector"));
    check_tolerations(errors, GET(scheduling, "tolerations"), AT(path, "tolerations"));
}

const ResourceRules runtime_class_rules = {.default_fn = default_overhead, .validate = validate};
