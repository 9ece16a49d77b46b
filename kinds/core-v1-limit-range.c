// LimitRange: SetDefaults_LimitRangeItem (pkg/apis/core/v1/defaults.go) and ValidateLimitRange
// upstream.

#include "kinds/pod.h"
#include "kinds/resource_list.h"
#include "kinds/rules.h"

static const Str lists[] = {
    {"max", 3}, {"min", 3}, {"default", 7}, {"defaultRequest", 14}, {"maxLimitRequestRatio", 20}};
enum { MAX, MIN, DEFAULT, REQUEST, RATIO, N_LISTS };

// ---- defaults

// What `from` says and `into` does not.
static void fill(Arena *arena, Value *item, const char *into, const char *from) {
    const Value *source = value_at(item, from);
    for (uint32_t i = 0; i < map_count_of(source); i++) {
        Value *target = value_at_make(arena, item, into);
        if (!value_get(target, source->members[i].key))
            value_set(arena, target, source->members[i].key, source->members[i].value);
    }
}

// Containers: the default limit is the maximum, the default request the default limit or the
// minimum.
static void limit_range_default(Arena *arena, Value *object) {
    for (uint32_t i = 0; i < tree_count(object, "spec.limits"); i++) {
        Value *item = value_at(object, "spec.limits")->items[i];
        for (size_t k = 0; k < N_LISTS; k++)
            resource_round_list(arena, value_get(item, lists[k]));
        if (!tree_is(item, "type", "Container"))
            continue;
        fill(arena, item, "default", "max");
        fill(arena, item, "defaultRequest", "default");
        fill(arena, item, "defaultRequest", "min");
    }
}

// ---- validation

typedef struct Bounds { // of one resource
    FieldErrors *errors;
    const Path *path; // of the item
    Str name;
    bool has[N_LISTS];
    Str text[N_LISTS];
    Quantity value[N_LISTS];
} Bounds;

// `low` is greater than `high`: reported at `low`'s or `high`'s list, showing `shown`.
static void check_order(const Bounds *b, int low, int high, int at, int shown, const char *low_name,
                        const char *high_name) {
    if (!b->has[low] || !b->has[high] || quantity_cmp(b->value[low], b->value[high]) <= 0)
        return;
    field_invalid(b->errors, PATH_KEY(PATH(b->path, lists[at]), b->name), b->text[shown],
                  arena_printf(b->errors->arena, "%s value %.*s is greater than %s value %.*s",
                               low_name, STR_ARG(b->text[low]), high_name, STR_ARG(b->text[high]))
                      .ptr);
}

static void check_ratio(const Bounds *b) {
    const Path *at = PATH_KEY(PATH(b->path, lists[RATIO]), b->name);
    Arena *arena = b->errors->arena;
    if (!b->has[RATIO])
        return;
    if (quantity_cmp(b->value[RATIO], quantity_from_int(1, QUANTITY_DECIMAL_SI)) < 0)
        field_invalid(
            b->errors, at, b->text[RATIO],
            arena_printf(arena, "ratio %.*s is less than 1", STR_ARG(b->text[RATIO])).ptr);
    if (!b->has[MIN] || !b->has[MAX])
        return;
    double most = (double)b->value[MAX].nano / (double)b->value[MIN].nano;
    if ((double)b->value[RATIO].nano / 1e9 > most)
        field_invalid(b->errors, at, b->text[RATIO],
                      arena_printf(arena, "ratio %.*s is greater than max/min = %f",
                                   STR_ARG(b->text[RATIO]), most)
                          .ptr);
}

static void check_bounds(FieldErrors *errors, const Value *item, Str name, const Path *path) {
    Bounds b = {.errors = errors, .path = path, .name = name};
    for (size_t k = 0; k < N_LISTS; k++) {
        b.text[k] = tree_string(value_get(value_get(item, lists[k]), name));
        b.has[k] = b.text[k].len && quantity_parse(b.text[k], &b.value[k]) == 0;
    }
    check_order(&b, MIN, MAX, MIN, MIN, "min", "max");
    check_order(&b, MIN, REQUEST, REQUEST, REQUEST, "min", "default request");
    check_order(&b, REQUEST, MAX, REQUEST, REQUEST, "default request", "max");
    check_order(&b, REQUEST, DEFAULT, REQUEST, REQUEST, "default request", "default limit");
    check_order(&b, MIN, DEFAULT, DEFAULT, MIN, "min", "default");
    check_order(&b, DEFAULT, MAX, DEFAULT, MAX, "default", "max");
    check_ratio(&b);
    if (!resource_can_overcommit(name) && b.has[DEFAULT] && b.has[REQUEST] &&
        quantity_cmp(b.value[DEFAULT], b.value[REQUEST]))
        field_invalid(
            errors, PATH_KEY(PATH(path, lists[REQUEST]), name), b.text[REQUEST],
            arena_printf(errors->arena,
                         "default value %.*s must equal to defaultRequest value %.*s in %.*s",
                         STR_ARG(b.text[DEFAULT]), STR_ARG(b.text[REQUEST]), STR_ARG(name))
                .ptr);
}

static void check_type(FieldErrors *errors, Str type, const Path *path) {
    if (schema_check_format(errors, path, FORMAT_LABEL_KEY, type) && str_find(type, '/') < 0 &&
        !str_eq(type, STR("Pod")) && !str_eq(type, STR("Container")) &&
        !str_eq(type, STR("PersistentVolumeClaim")))
        field_invalid(errors, path, type, "must be a standard limit type or fully qualified");
}

static void check_item(FieldErrors *errors, const Value *item, const Path *path) {
    Str type = GET_STR(item, "type");
    bool pod = str_eq(type, STR("Pod")), container = str_eq(type, STR("Container"));
    _name_set_deinit_ NameSet names = {.n = 0};
    check_type(errors, type, AT(path, "type"));
    for (size_t k = 0; k < N_LISTS; k++) {
        const Value *list = value_get(item, lists[k]);
        if (pod && (k == DEFAULT || k == REQUEST)) {
            if (map_count_of(list))
                field_forbidden(errors, PATH(path, lists[k]),
                                "may not be specified when `type` is 'Pod'");
            continue;
        }
        for (uint32_t i = 0; i < map_count_of(list); i++) {
            Str name = list->members[i].key;
            const Path *at = PATH_KEY(PATH(path, lists[k]), name);
            if (pod || container)
                container_validate_resource_name(errors, name, at);
            else
                resource_check_name(errors, name, at);
            if (!name_set_add(&names, name, list))
                check_bounds(errors, item, name, path);
        }
    }
    if (str_eq(type, STR("PersistentVolumeClaim")) && !value_at(item, "min.storage") &&
        !value_at(item, "max.storage"))
        field_required(
            errors, AT(path, "limits"),
            "either minimum or maximum storage value is required, but neither was provided");
}

static void validate(FieldErrors *errors, const Value *range) {
    const Path *path = AT(PATH(NULL, STR("spec")), "limits");
    const Value *limits = value_at(range, "spec.limits");
    _name_set_deinit_ NameSet types = {.n = 0};
    for (uint32_t i = 0; i < list_count(limits); i++) {
        const Path *at = PATH_INDEX(path, i);
        if (name_set_add(&types, GET_STR(limits->items[i], "type"), limits))
            field_duplicate(errors, AT(at, "type"), GET_STR(limits->items[i], "type"));
        check_item(errors, limits->items[i], at);
    }
}

const ResourceRules limit_range_rules = {.default_fn = limit_range_default, .validate = validate};
