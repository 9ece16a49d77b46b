// APIServices: kube-aggregator's pkg/registry/apiservice/strategy.go and
// pkg/apis/apiregistration/validation.

#include "kinds/pod.h"
#include "kinds/rules.h"

// ---- status on creation

static void set_available(Arena *arena, Value *service, bool local) {
    Value *condition = value_new_object(arena), *conditions = value_new_array(arena);
    value_set_str(arena, condition, STR("type"), STR("Available"));
    value_set_str(arena, condition, STR("status"), local ? STR("True") : STR("False"));
    value_set_str(arena, condition, STR("lastTransitionTime"),
                  value_string_at(service, "metadata.creationTimestamp"));
    value_set_str(arena, condition, STR("reason"), local ? STR("Local") : STR("NotSupported"));
    value_set_str(arena, condition, STR("message"),
                  local ? STR("Local APIServices are always available")
                        : STR("requests are not passed on to other API servers yet"));
    value_push(arena, conditions, condition);
    value_set(arena, value_at_make(arena, service, "status"), STR("conditions"), conditions);
}

static void prepare(Arena *arena, Value *service, const Value *old) {
    if (!old)
        set_available(arena, service, !value_at(service, "spec.service"));
}

static void warn(Arena *arena, const Value *service, ValuePaths *warnings) {
    if (value_at(service, "spec.service"))
        warning_add(arena, warnings, AT(PATH(NULL, STR("spec")), "service"),
                    STR("requests are not passed on to other API servers yet, so this APIService "
                        "stays unavailable"));
}

// ---- validation

static void check_group_version(FieldErrors *errors, const Value *service, const Path *path) {
    Str group = tree_string(value_at(service, "spec.group")),
        version = tree_string(value_at(service, "spec.version")),
        name = tree_string(value_at(service, "metadata.name"));
    Str wanted = arena_printf(errors->arena, "%.*s.%.*s", STR_ARG(version), STR_ARG(group));
    if (!str_eq(name, wanted))
        field_invalid(errors, AT(PATH(NULL, STR("metadata")), "name"), name,
                      arena_printf(errors->arena,
                                   "must be `spec.version+\".\"+spec.group`: \"%.*s\"",
                                   STR_ARG(wanted))
                          .ptr);
    if (!group.len && !str_eq(version, STR("v1")))
        field_required(errors, AT(path, "group"),
                       "only v1 may have an empty group and it better be legacy kube");
    if (group.len)
        schema_check_format(errors, AT(path, "group"), FORMAT_DNS_SUBDOMAIN, group);
    schema_check_format(errors, AT(path, "version"), FORMAT_DNS_LABEL_1035, version);
}

static void check_priority(FieldErrors *errors, const Value *spec, Str name, int64_t most,
                           const char *detail, const Path *path) {
    const Value *value = value_get(spec, name);
    int64_t number = value ? value->integer : 0;
    if (number <= 0 || number > most)
        field_invalid_int(errors, PATH(path, name), number, detail);
}

// The error shows how long the bundle is, not what it holds.
static void check_local(FieldErrors *errors, const Value *spec, const Path *path) {
    Str bundle = GET_STR(spec, "caBundle");
    size_t padding = str_ends_with(bundle, STR("==")) ? 2 : str_ends_with(bundle, STR("=")) ? 1 : 0;
    if (bundle.len)
        field_invalid(errors, AT(path, "caBundle"),
                      arena_printf(errors->arena, "%zu bytes", bundle.len / 4 * 3 - padding),
                      "local APIServices may not have a caBundle");
    if (value_bool_at(spec, "insecureSkipTLSVerify", false))
        field_invalid_value(errors, AT(path, "insecureSkipTLSVerify"),
                            GET(spec, "insecureSkipTLSVerify"),
                            "local APIServices may not have insecureSkipTLSVerify");
}

static void check_service(FieldErrors *errors, const Value *spec, const Value *service,
                          const Path *path) {
    const Path *at = AT(path, "service");
    int64_t port = value_int_at(service, "port", 0);
    if (!tree_has_string(service, "namespace"))
        field_required(errors, AT(at, "namespace"), "");
    if (!tree_has_string(service, "name"))
        field_required(errors, AT(at, "name"), "");
    if (port < 1 || port > 65535)
        field_invalid_int(errors, AT(at, "port"), port,
                          "port is not valid: must be between 1 and 65535, inclusive");
    if (value_bool_at(spec, "insecureSkipTLSVerify", false) && tree_has_string(spec, "caBundle"))
        field_invalid_value(errors, AT(path, "insecureSkipTLSVerify"),
                            GET(spec, "insecureSkipTLSVerify"),
                            "may not be true if caBundle is present");
}

static void validate(FieldErrors *errors, const Value *service) {
    const Path *path = PATH(NULL, STR("spec"));
    const Value *spec = GET(service, "spec"), *backend = GET(spec, "service");
    check_group_version(errors, service, path);
    check_priority(errors, spec, STR("groupPriorityMinimum"), 20000,
                   "must be positive and less than 20000", path);
    check_priority(errors, spec, STR("versionPriority"), 1000,
                   "must be positive and less than 1000", path);
    if (backend)
        check_service(errors, spec, backend, path);
    else
        check_local(errors, spec, path);
}

static void validate_status(FieldErrors *errors, const Value *service, const Value *old) {
    static const Str known[] = {{"True", 4}, {"False", 5}, {"Unknown", 7}};
    const Path *path = AT(PATH(NULL, STR("status")), "conditions");
    for (uint32_t i = 0; i < tree_count(service, "status.conditions"); i++) {
        Str status = GET_STR(tree_item(service, "status.conditions", i), "status");
        if (!str_eq(status, known[0]) && !str_eq(status, known[1]) && !str_eq(status, known[2]))
            field_not_supported(errors, AT(PATH_INDEX(path, i), "status"), status, known, 3);
    }
}

const ResourceRules api_service_rules = {
    .prepare = prepare,
    .validate = validate,
    .validate_status_update = validate_status,
    .name_format = FORMAT_PATH_SEGMENT,
    .warn = warn,
};
