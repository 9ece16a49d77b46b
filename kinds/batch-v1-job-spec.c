// What a job is to do, in jobs and in templates of cron jobs: validateJobSpec upstream
// (pkg/apis/batch/validation).

#include <inttypes.h>

#include "kinds/job.h"
#include "kinds/kinds.h"
#include "schema/quote.h"

#define MOST_PARALLEL 100000 // of an indexed job
#define MOST_FAILED 100000
#define MANY_COMPLETIONS 100000 // beyond that the two below hold for jobs with a limit per index
#define MOST_PARALLEL_OF_MANY 10000
#define MOST_FAILED_OF_MANY 10000

static void at_most(FieldErrors *errors, const Value *spec, const Path *path, const char *field,
                    int64_t most, const char *when) {
    int64_t number = value_int_at(spec, field, 0);
    if (number > most)
        field_invalid_int(
            errors, PATH(path, str_from(field)), number,
            arena_printf(errors->arena, "must be less than or equal to %" PRId64 "%s", most, when)
                .ptr);
}

// ---- completion

static void check_many(FieldErrors *errors, const Value *spec, const Path *path) {
    static const char when[] =
        " when completions are above 100000 and used with backoff limit per index";
    if (value_int_at(spec, "completions", 0) <= MANY_COMPLETIONS ||
        !GET(spec, "backoffLimitPerIndex"))
        return;
    if (!GET(spec, "maxFailedIndexes"))
        field_required(errors, AT(path, "maxFailedIndexes"),
                       "must be specified when completions is above 100000");
    at_most(errors, spec, path, "parallelism", MOST_PARALLEL_OF_MANY, when);
    at_most(errors, spec, path, "maxFailedIndexes", MOST_FAILED_OF_MANY, when);
}

static void check_success_rule(FieldErrors *errors, const Value *rule, const Path *path,
                               int64_t completions) {
    const Value *indexes = GET(rule, "succeededIndexes"), *count = GET(rule, "succeededCount");
    int64_t total = 0;
    if (!indexes && !count)
        field_required(errors, path,
                       "at least one of succeededCount or succeededIndexes must be specified");
    const char *problem =
        indexes ? job_parse_indexes(errors->arena, tree_string(indexes), completions, &total)
                : NULL;
    if (problem)
        field_invalid(
            errors, AT(path, "succeededIndexes"), tree_string(indexes),
            arena_printf(errors->arena, "error parsing succeededIndexes: %s", problem).ptr);
    if (problem)
        total = 0;
    if (count && count->integer > completions)
        field_invalid_int(errors, AT(path, "succeededCount"), count->integer,
                          arena_printf(errors->arena,
                                       "must be less than or equal to %" PRId64
                                       " (the number of specified completions)",
                                       completions)
                              .ptr);
    if (count && indexes && count->integer > total)
        field_invalid_int(errors, AT(path, "succeededCount"), count->integer,
                          arena_printf(errors->arena,
                                       "must be less than or equal to %" PRId64
                                       " (the number of indexes in the specified succeededIndexes "
                                       "field)",
                                       total)
                              .ptr);
}

static void check_success_policy(FieldErrors *errors, const Value *spec, const Path *path) {
    const Value *policy = GET(spec, "successPolicy"), *rules = GET(policy, "rules");
    const Path *rules_path = AT(AT(path, "successPolicy"), "rules");
    if (!policy)
        return;
    if (!list_count(rules))
        field_required(errors, rules_path,
                       "at least one rules must be specified when the successPolicy is specified");
    for (uint32_t i = 0; i < list_count(rules) && GET(spec, "completions"); i++)
        check_success_rule(errors, rules->items[i], PATH_INDEX(rules_path, i),
                           value_int_at(spec, "completions", 0));
}

static void check_indexed(FieldErrors *errors, const Value *spec, const Path *path) {
    const Value *completions = GET(spec, "completions"), *failed = GET(spec, "maxFailedIndexes");
    if (!completions)
        field_required(errors, AT(path, "completions"), "when completion mode is Indexed");
    at_most(errors, spec, path, "parallelism", MOST_PARALLEL, " when completion mode is Indexed");
    if (completions && failed && failed->integer > completions->integer)
        field_invalid_int(errors, AT(path, "maxFailedIndexes"), failed->integer,
                          "must be less than or equal to completions");
    at_most(errors, spec, path, "maxFailedIndexes", MOST_FAILED, "");
    check_many(errors, spec, path);
    check_success_policy(errors, spec, path);
}

static void check_not_indexed(FieldErrors *errors, const Value *spec, const Path *path) {
    static const Str fields[] = {
        {"backoffLimitPerIndex", 20}, {"maxFailedIndexes", 16}, {"successPolicy", 13}};
    for (size_t i = 0; i < 3; i++) {
        const Value *value = value_get(spec, fields[i]);
        if (value && value->kind == VALUE_OBJECT)
            value = pod_internal_shape(errors->arena, kinds_type_SuccessPolicy(), value);
        if (value)
            field_invalid_value(errors, PATH(path, fields[i]), value,
                                "requires indexed completion mode");
    }
}

// ---- failures

static void check_replacement(FieldErrors *errors, const Value *spec, const Path *path) {
    static const Str supported[] = {{"Failed", 6}, {"TerminatingOrFailed", 19}};
    const Value *policy = GET(spec, "podReplacementPolicy");
    size_t n = GET(spec, "podFailurePolicy") ? 1 : 2; // with a failure policy only the first
    for (size_t i = 0; policy && i < n; i++)
        if (str_eq(policy->string, supported[i]))
            return;
    if (policy)
        field_not_supported(errors, AT(path, "podReplacementPolicy"), policy->string, supported, n);
}

static bool has_container(const Value *spec, Str name) {
    static const char *const lists[] = {"template.spec.containers", "template.spec.initContainers"};
    for (size_t k = 0; k < 2; k++)
        for (uint32_t i = 0; i < tree_count(spec, lists[k]); i++)
            if (str_eq(value_string_at(tree_item(spec, lists[k], i), "name"), name))
                return true;
    return false;
}

// What a rule needs to know of the whole.
static void check_failure_policy(FieldErrors *errors, const Value *spec, const Path *path) {
    const Value *rules = value_at(spec, "podFailurePolicy.rules");
    const Path *rules_path = AT(AT(path, "podFailurePolicy"), "rules");
    for (uint32_t i = 0; i < list_count(rules); i++) {
        const Path *rule_path = PATH_INDEX(rules_path, i);
        const Value *container = value_at(rules->items[i], "onExitCodes.containerName");
        if (tree_is(rules->items[i], "action", "FailIndex") && !GET(spec, "backoffLimitPerIndex"))
            field_invalid(errors, AT(rule_path, "action"), STR("FailIndex"),
                          "requires the backoffLimitPerIndex to be set");
        if (container && !has_container(spec, container->string))
            field_invalid(
                errors, AT(AT(rule_path, "onExitCodes"), "containerName"), container->string,
                "must be one of the container or initContainer names in the pod template");
    }
}

static void validate_rule(FieldErrors *errors, const Value *rule, const Path *path) {
    bool codes = GET(rule, "onExitCodes") != NULL, conditions = tree_count(rule, "onPodConditions");
    if (!GET_STR(rule, "action").len)
        field_required(errors, AT(path, "action"),
                       "valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]");
    if (codes && conditions)
        field_invalid_unshown(errors, path,
                              "specifying both OnExitCodes and OnPodConditions is not supported");
    if (!codes && !conditions)
        field_invalid_unshown(errors, path,
                              "specifying one of OnExitCodes and OnPodConditions is required");
}
const TypeRules pod_failure_policy_rule_rules = {.validate = validate_rule};

static void validate_exit_codes(FieldErrors *errors, const Value *codes, const Path *path) {
    const Value *values = GET(codes, "values");
    bool in = tree_is(codes, "operator", "In"), ordered = true;
    if (!GET_STR(codes, "operator").len)
        field_required(errors, AT(path, "operator"), "valid values: [\"In\" \"NotIn\"]");
    if (!list_count(values))
        field_invalid_value(errors, AT(path, "values"), values, "at least one value is required");
    for (uint32_t i = 0; i < list_count(values); i++) {
        if (in && !values->items[i]->integer)
            field_invalid_int(errors, PATH_INDEX(AT(path, "values"), i), 0,
                              "must not be 0 for the In operator");
        ordered = ordered && (!i || values->items[i - 1]->integer <= values->items[i]->integer);
    }
    if (!ordered)
        field_invalid_value(errors, AT(path, "values"), values, "must be ordered");
}
const TypeRules pod_failure_policy_exit_codes_rules = {.validate = validate_exit_codes};

void job_warn(Arena *arena, const Value *spec, const char *path, ValuePaths *warnings) {
    if (tree_is(spec, "completionMode", "Indexed") &&
        value_int_at(spec, "completions", 0) > MANY_COMPLETIONS &&
        value_int_at(spec, "parallelism", 0) > MOST_PARALLEL_OF_MANY)
        warning_add(arena, warnings, PATH(NULL, str_from(path)),
                    STR("In Indexed Jobs with a number of completions higher than 10^5 and a "
                        "parallelism higher than 10^4, Kubernetes might not be able to track "
                        "completedIndexes when a big number of indexes fail"));
}

// ---- the rest

// IsDomainPrefixedPath of apimachinery's pkg/util/validation.
static void check_manager(FieldErrors *errors, const Value *manager, const Path *path) {
    static const char others[] = "/-._~%!$&'()*+,;=:";
    Str rest = tree_string(manager), host = str_cut(&rest, '/');
    if (!manager)
        return;
    if (!tree_string(manager).len) {
        field_required(errors, path, "");
        return;
    }
    if (!rest.len || !host.len) {
        field_invalid(errors, path, tree_string(manager),
                      "must be a domain-prefixed path (such as \"acme.io/foo\")");
        return;
    }
    schema_check_format(errors, path, FORMAT_DNS_SUBDOMAIN, host);
    for (size_t i = 0; i < rest.len; i++) {
        char c = rest.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (plain || (c && strchr(others, c)))
            continue;
        field_invalid(errors, path, rest,
                      "Invalid path (regex used for validation is "
                      "'[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')");
        return;
    }
}

static void check_restarts(FieldErrors *errors, const Value *spec, const Path *path) {
    static const Str supported[] = {{"OnFailure", 9}, {"Never", 5}};
    Str policy = tree_string(value_at(spec, "template.spec.restartPolicy"));
    const Path *at = AT(AT(AT(path, "template"), "spec"), "restartPolicy");
    if (!policy.len || str_eq(policy, STR("Always")))
        field_required(errors, at, "valid values: \"OnFailure\", \"Never\"");
    else if (!str_eq(policy, supported[0]) && !str_eq(policy, supported[1]))
        field_not_supported(errors, at, policy, supported, 2);
    else if (GET(spec, "podFailurePolicy") && !str_eq(policy, supported[1]))
        field_invalid(errors, at, policy,
                      "only \"Never\" is supported when podFailurePolicy is specified");
}

static void validate(FieldErrors *errors, const Value *spec, const Path *path) {
    Str mode = GET_STR(spec, "completionMode");
    if (GET(spec, "maxFailedIndexes") && !GET(spec, "backoffLimitPerIndex"))
        field_required(errors, AT(path, "backoffLimitPerIndex"),
                       "when maxFailedIndexes is specified");
    check_manager(errors, GET(spec, "managedBy"), AT(path, "managedBy"));
    if (str_eq(mode, STR("Indexed")))
        check_indexed(errors, spec, path);
    else if (!mode.len || str_eq(mode, STR("NonIndexed")))
        check_not_indexed(errors, spec, path);
    check_failure_policy(errors, spec, path);
    check_replacement(errors, spec, path);
    check_restarts(errors, spec, path);
}
const TypeRules job_spec_rules = {.validate = validate};
