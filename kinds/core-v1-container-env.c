// Environment variables and where they come from (ValidateEnv, ValidateEnvFrom upstream).

#include "base/quantity.h"
#include "kinds/pod.h"

// ---- fields of the pod (the downward API)

#define NAMES(...)                                                                                 \
    { __VA_ARGS__ }
#define NAME(text)                                                                                 \
    { text, sizeof text - 1 }
#define COUNT(array) (sizeof(array) / sizeof *(array))

static const Str env_fields[] =
    NAMES(NAME("metadata.name"), NAME("metadata.namespace"), NAME("metadata.uid"),
          NAME("spec.nodeName"), NAME("spec.serviceAccountName"), NAME("status.hostIP"),
          NAME("status.hostIPs"), NAME("status.podIP"), NAME("status.podIPs"));
static const Str volume_fields[] =
    NAMES(NAME("metadata.annotations"), NAME("metadata.labels"), NAME("metadata.name"),
          NAME("metadata.namespace"), NAME("metadata.uid"));
// What has a name at all.
static const Str pod_fields[] =
    NAMES(NAME("metadata.annotations"), NAME("metadata.labels"), NAME("metadata.name"),
          NAME("metadata.namespace"), NAME("metadata.uid"), NAME("spec.nodeName"),
          NAME("spec.restartPolicy"), NAME("spec.serviceAccountName"), NAME("spec.schedulerName"),
          NAME("status.phase"), NAME("status.hostIP"), NAME("status.hostIPs"), NAME("status.podIP"),
          NAME("status.podIPs"));

static bool is_one_of(Str text, const Str *names, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (str_eq(text, names[i]))
            return true;
    return false;
}

// "metadata.labels['KEY']" is cut into path and key.
static bool cut_subscript(Str text, Str *ret_path, Str *ret_key) {
    if (!str_ends_with(text, STR("']")))
        return false;
    Str inner = str_slice(text, 0, text.len - 2);
    for (size_t i = 1; i + 2 <= inner.len; i++)
        if (inner.ptr[i] == '[' && inner.ptr[i + 1] == '\'') {
            *ret_path = str_slice(inner, 0, i);
            *ret_key = str_slice(inner, i + 2, inner.len);
            return true;
        }
    return false;
}

static void check_key(FieldErrors *errors, Str field, Str key, const Path *path) {
    char *copy = arena_cstr(errors->arena, key);
    if (str_eq(field, STR("metadata.annotations"))) // whose case does not matter
        for (char *c = copy; *c; c++)
            if (*c >= 'A' && *c <= 'Z')
                *c |= 0x20;
    schema_check_format(errors, path, FORMAT_LABEL_KEY, str_of(copy, key.len));
}

// Why a version does not know a path; STR_NONE when it does.
static Str unknown_field(Arena *arena, Str version, Str text, Str field) {
    if (!str_eq(version, STR("v1")))
        return arena_printf(arena, "unsupported pod version: %.*s", STR_ARG(version));
    if (field.ptr && !str_eq(field, STR("metadata.annotations")) &&
        !str_eq(field, STR("metadata.labels")))
        return arena_printf(arena, "field label does not support subscript: %.*s", STR_ARG(text));
    if (!field.ptr && !is_one_of(text, pod_fields, COUNT(pod_fields)) &&
        !str_eq(text, STR("spec.host")))
        return arena_printf(arena, "field label not supported: %.*s", STR_ARG(text));
    return STR_NONE;
}

void pod_validate_field_ref(FieldErrors *errors, const Value *ref, const Path *path,
                            bool in_volume) {
    Str version = GET_STR(ref, "apiVersion"), text = GET_STR(ref, "fieldPath");
    Str field = STR_NONE, key = STR_NONE; // of a subscripted path
    const Path *at = AT(path, "fieldPath");
    if (!version.len || !text.len) {
        field_required(errors, version.len ? at : AT(path, "apiVersion"), "");
        return;
    }
    bool subscripted = cut_subscript(text, &field, &key);
    Str wrong = unknown_field(errors->arena, version, text, field);
    if (wrong.ptr) {
        Str parts[] = {STR("error converting fieldPath"), wrong};
        field_invalid(errors, at, text, arena_concat(errors->arena, parts, 2, STR(": ")).ptr);
        return;
    }
    if (subscripted) {
        check_key(errors, field, key, path);
        return;
    }
    if (str_eq(text, STR("spec.host"))) // of very old clients
        text = STR("spec.nodeName");
    const Str *fields = in_volume ? volume_fields : env_fields;
    size_t n = in_volume ? COUNT(volume_fields) : COUNT(env_fields);
    if (!is_one_of(text, fields, n))
        field_not_supported(errors, at, text, fields, n);
}

// ---- requests and limits of containers

static const Str resource_fields[] =
    NAMES(NAME("limits.cpu"), NAME("limits.ephemeral-storage"), NAME("limits.memory"),
          NAME("requests.cpu"), NAME("requests.ephemeral-storage"), NAME("requests.memory"));

static bool is_hugepages(Str resource) {
    return str_starts_with(resource, STR("requests.hugepages-")) ||
           str_starts_with(resource, STR("limits.hugepages-"));
}

#define UNITS "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei"

static bool is_unit(Str divisor) {
    static const char prefixes[] = "kMGTPE", binary[] = "KMGTPE";
    if (divisor.len < 1 || divisor.len > 3 || divisor.ptr[0] != '1')
        return false;
    if (divisor.len == 1)
        return true;
    char c = divisor.ptr[1];
    return divisor.len == 2 ? c && strchr(prefixes, c)
                            : c && strchr(binary, c) && divisor.ptr[2] == 'i';
}

static void check_divisor(FieldErrors *errors, const Value *ref, Str resource, const Path *path) {
    Str divisor = GET_STR(ref, "divisor"); // in canonical form
    const Path *at = AT(path, "divisor");
    if (!divisor.len || str_eq(divisor, STR("0")))
        return;
    if (str_ends_with(resource, STR("s.cpu"))) {
        if (!str_eq(divisor, STR("1m")) && !str_eq(divisor, STR("1")))
            field_invalid(errors, at, resource,
                          "only divisor's values 1m and 1 are supported with the cpu resource");
        return;
    }
    const char *kind = str_ends_with(resource, STR("s.memory")) ? "memory"
                       : str_ends_with(resource, STR("s.ephemeral-storage"))
                           ? "local ephemeral storage"
                       : is_hugepages(resource) ? "hugepages"
                                                : NULL;
    if (kind && !is_unit(divisor))
        field_invalid(
            errors, at, resource,
            arena_printf(errors->arena,
                         "only divisor's values " UNITS " are supported with the %s resource", kind)
                .ptr);
}

void pod_validate_resource_field_ref(FieldErrors *errors, const Value *ref, const Path *path,
                                     bool in_volume) {
    Str resource = GET_STR(ref, "resource");
    if (in_volume && !GET_STR(ref, "containerName").len)
        field_required(errors, AT(path, "containerName"), "");
    else if (!resource.len)
        field_required(errors, AT(path, "resource"), "");
    else if (!is_one_of(resource, resource_fields, COUNT(resource_fields)) &&
             !is_hugepages(resource))
        field_not_supported(errors, AT(path, "resource"), resource, resource_fields,
                            COUNT(resource_fields));
    check_divisor(errors, ref, resource, path);
}

// ---- env

// The key's form is the table's to check.
static void check_key_ref(FieldErrors *errors, const Value *ref, const Path *path) {
    schema_check_format(errors, AT(path, "name"), FORMAT_DNS_SUBDOMAIN, GET_STR(ref, "name"));
}

static void check_file_ref(FieldErrors *errors, const PodScope *scope, const Value *ref,
                           const Path *path) {
    Str volume = GET_STR(ref, "volumeName"), file = GET_STR(ref, "path"), key = GET_STR(ref, "key");
    const Value *source = name_set_get(&scope->volumes, volume);
    if (volume.len && !source)
        field_not_found(errors, AT(path, "volumeName"), volume);
    else if (volume.len && !GET(source, "emptyDir"))
        field_invalid(errors, AT(path, "volumeName"), volume, "must be an emptyDir volume");
    if (file.len)
        pod_validate_file_path(errors, file, AT(path, "path"));
    if (key.len)
        schema_check_format(errors, AT(path, "key"), FORMAT_ENV_NAME, key);
}

static void check_value_from(FieldErrors *errors, const PodScope *scope, const Value *variable,
                             const Path *path) {
    const Value *from = GET(variable, "valueFrom"), *ref;
    unsigned sources = 0;
    if ((ref = GET(from, "fieldRef")) && ++sources)
        pod_validate_field_ref(errors, ref, AT(path, "fieldRef"), false);
    if ((ref = GET(from, "resourceFieldRef")) && ++sources)
        pod_validate_resource_field_ref(errors, ref, AT(path, "resourceFieldRef"), false);
    if ((ref = GET(from, "configMapKeyRef")) && ++sources)
        check_key_ref(errors, ref, AT(path, "configMapKeyRef"));
    if ((ref = GET(from, "secretKeyRef")) && ++sources)
        check_key_ref(errors, ref, AT(path, "secretKeyRef"));
    if ((ref = GET(from, "fileKeyRef")) && ++sources)
        check_file_ref(errors, scope, ref, AT(path, "fileKeyRef"));
    if (!sources)
        field_invalid(errors, path, STR(""),
                      "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, "
                      "`secretKeyRef` or `fileKeyRef`");
    else if (GET_STR(variable, "value").len)
        field_invalid(errors, path, STR(""), "may not be specified when `value` is not empty");
    else if (sources > 1)
        field_invalid(errors, path, STR(""),
                      "may not have more than one field specified at a time");
}

static void check_env_from(FieldErrors *errors, const Value *list, const Path *path) {
    static const Str refs[] = NAMES(NAME("configMapRef"), NAME("secretRef"));
    for (uint32_t i = 0; i < list_count(list); i++) {
        const Path *at = PATH_INDEX(path, i);
        Str prefix = GET_STR(list->items[i], "prefix");
        unsigned sources = 0;
        if (prefix.len)
            schema_check_format(errors, AT(at, "prefix"), FORMAT_ENV_NAME, prefix);
        for (size_t k = 0; k < COUNT(refs); k++) {
            const Value *ref = value_get(list->items[i], refs[k]);
            Str name = GET_STR(ref, "name");
            const Path *name_path = AT(PATH(at, refs[k]), "name");
            sources += ref != NULL;
            if (ref && !name.len)
                field_required(errors, name_path, "");
            else if (ref)
                schema_check_format(errors, name_path, FORMAT_DNS_SUBDOMAIN, name);
        }
        if (!sources)
            field_invalid(errors, path, STR(""),
                          "must specify one of: `configMapRef` or `secretRef`");
        else if (sources > 1)
            field_invalid(errors, path, STR(""),
                          "may not have more than one field specified at a time");
    }
}

void container_validate_env(FieldErrors *errors, const PodScope *scope, const Value *container,
                            const Path *path) {
    const Value *env = GET(container, "env");
    for (uint32_t i = 0; i < list_count(env); i++)
        if (GET(env->items[i], "valueFrom"))
            check_value_from(errors, scope, env->items[i],
                             AT(PATH_INDEX(AT(path, "env"), i), "valueFrom"));
    check_env_from(errors, GET(container, "envFrom"), AT(path, "envFrom"));
}
