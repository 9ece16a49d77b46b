// Ingresses and their classes: pkg/apis/networking/validation upstream.

#include "kinds/address.h"
#include "kinds/pod.h"
#include "kinds/rules.h"

#define MAX_CONTROLLER_BYTES 250
#define WILDCARD                                                                                   \
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, "      \
    "which must consist of lower "                                                                 \
    "case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. "       \
    "'*.example.com', regex used "                                                                 \
    "for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
#define HTTP_PATH "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')"

static const Path spec_path = {.name = {"spec", 4}, .index = -1};

// ---- backends

static void check_segment(FieldErrors *errors, const Value *reference, Str field,
                          const Path *path) {
    Str text = tree_string(value_get(reference, field));
    if (text.len)
        schema_check_format(errors, PATH(path, field), FORMAT_PATH_SEGMENT, text);
    else
        field_required(errors, PATH(path, field), "");
}

static void check_reference(FieldErrors *errors, const Value *reference, const Path *path) {
    Str group = GET_STR(reference, "apiGroup");
    if (group.len)
        schema_check_format(errors, AT(path, "apiGroup"), FORMAT_DNS_SUBDOMAIN, group);
    check_segment(errors, reference, STR("kind"), path);
    check_segment(errors, reference, STR("name"), path);
}

static void check_service(FieldErrors *errors, const Value *service, const Path *path) {
    Str name = GET_STR(service, "name"), port = tree_string(value_at(service, "port.name"));
    int64_t number = value_int_at(service, "port.number", 0);
    const Path *at = AT(path, "service"), *port_path = AT(at, "port");
    if (name.len)
        schema_check_format(errors, AT(at, "name"), FORMAT_DNS_LABEL_1035, name);
    else
        field_required(errors, AT(at, "name"), "");
    if (port.len && number)
        field_invalid(errors, path, STR(""), "cannot set both port name & port number");
    else if (port.len)
        schema_check_format(errors, AT(port_path, "name"), FORMAT_PORT_NAME, port);
    else if (number < 0 || number > 65535)
        field_invalid_int(errors, AT(port_path, "number"), number,
                          "must be between 1 and 65535, inclusive");
    else if (!number)
        field_required(errors, path, "port name or number is required");
}

static void check_backend(FieldErrors *errors, const Value *backend, const Path *path) {
    const Value *service = GET(backend, "service"), *resource = GET(backend, "resource");
    if (service && resource)
        field_invalid(errors, path, STR(""), "cannot set both resource and service backends");
    else if (resource)
        check_reference(errors, resource, AT(path, "resource"));
    else if (service)
        check_service(errors, service, path);
    else
        field_invalid(errors, path, STR(""), "resource or service backend is required");
}

// ---- rules

static void check_host(FieldErrors *errors, Str host, const Path *path) {
    if (str_find(host, '*') < 0) {
        schema_check_format(errors, path, FORMAT_DNS_SUBDOMAIN, host);
        return;
    }
    FieldErrors unseen = {.arena = errors->arena};
    if (!str_starts_with(host, STR("*.")) ||
        !schema_check_format(&unseen, path, FORMAT_DNS_SUBDOMAIN, str_slice(host, 2, host.len)))
        field_invalid(errors, path, host, WILDCARD);
}

static bool contains(Str text, Str part) {
    for (size_t i = 0; i + part.len <= text.len; i++)
        if (str_starts_with(str_slice(text, i, text.len), part))
            return true;
    return false;
}

static void check_path_text(FieldErrors *errors, Str text, const Path *path) {
    static const Str sequences[] = {{"//", 2}, {"/./", 3}, {"/../", 4}, {"%2f", 3}, {"%2F", 3}};
    static const Str ends[] = {{"/..", 3}, {"/.", 2}};
    if (!str_starts_with(text, STR("/")))
        field_invalid(errors, path, text, "must be an absolute path");
    for (size_t i = 0; i < sizeof sequences / sizeof *sequences; i++)
        if (contains(text, sequences[i]))
            field_invalid(
                errors, path, text,
                arena_printf(errors->arena, "must not contain '%.*s'", STR_ARG(sequences[i])).ptr);
    for (size_t i = 0; i < 2; i++)
        if (str_ends_with(text, ends[i]))
            field_invalid(
                errors, path, text,
                arena_printf(errors->arena, "cannot end with '%.*s'", STR_ARG(ends[i])).ptr);
}

static void check_http_path(FieldErrors *errors, const Value *entry, const Path *path) {
    static const Str types[] = {{"Exact", 5}, {"ImplementationSpecific", 22}, {"Prefix", 6}};
    const Value *type = GET(entry, "pathType");
    Str text = GET_STR(entry, "path"), word = tree_string(type);
    if (!type)
        field_required(errors, AT(path, "pathType"), "pathType must be specified");
    else if (str_eq(word, types[0]) || str_eq(word, types[2]))
        check_path_text(errors, text, AT(path, "path"));
    else if (!str_eq(word, types[1]))
        field_not_supported(errors, AT(path, "pathType"), word, types, 3);
    else if (text.len && !str_starts_with(text, STR("/")))
        field_invalid(errors, AT(path, "path"), text, "must be an absolute path");
    check_backend(errors, GET(entry, "backend"), AT(path, "backend"));
}

static void check_rule(FieldErrors *errors, const Value *rule, const Path *path) {
    Str host = GET_STR(rule, "host");
    const Value *http = GET(rule, "http"), *paths = GET(http, "paths");
    const Path *paths_path = AT(AT(path, "http"), "paths");
    Address address;
    if (host.len && address_parse(host, &address))
        field_invalid(errors, AT(path, "host"), host, "must be a DNS name, not an IP address");
    if (host.len)
        check_host(errors, host, AT(path, "host"));
    if (http && !list_count(paths))
        field_required(errors, paths_path, "");
    for (uint32_t i = 0; i < list_count(paths); i++)
        check_http_path(errors, paths->items[i], PATH_INDEX(paths_path, i));
}

static void check_certificates(FieldErrors *errors, const Value *list, const Path *path) {
    for (uint32_t i = 0; i < list_count(list); i++) {
        const Value *hosts = GET(list->items[i], "hosts");
        Str secret = GET_STR(list->items[i], "secretName");
        for (uint32_t k = 0; k < list_count(hosts); k++)
            check_host(errors, tree_string(hosts->items[k]), AT(PATH_INDEX(path, i), "hosts"));
        if (secret.len)
            schema_check_format(errors, AT(PATH_INDEX(path, i), "secretName"), FORMAT_DNS_SUBDOMAIN,
                                secret);
    }
}

// ---- ingresses

static void validate(FieldErrors *errors, const Value *ingress) {
    const Value *spec = GET(ingress, "spec"), *rules = GET(spec, "rules"),
                *backend = GET(spec, "defaultBackend"), *class = GET(spec, "ingressClassName");
    if (!list_count(rules) && !backend)
        field_invalid_value(errors, &spec_path, rules,
                            "either `defaultBackend` or `rules` must be specified");
    if (backend)
        check_backend(errors, backend, AT(&spec_path, "defaultBackend"));
    for (uint32_t i = 0; i < list_count(rules); i++)
        check_rule(errors, rules->items[i], PATH_INDEX(AT(&spec_path, "rules"), i));
    if (class)
        schema_check_format(errors, AT(&spec_path, "ingressClassName"), FORMAT_DNS_SUBDOMAIN,
                            tree_string(class));
    check_certificates(errors, GET(spec, "tls"), AT(&spec_path, "tls"));
}

static void validate_create(FieldErrors *errors, const Value *ingress) {
    Str key = STR("kubernetes.io/ingress.class");
    const Value *annotation = value_get(value_at(ingress, "metadata.annotations"), key);
    if (annotation && value_at(ingress, "spec.ingressClassName"))
        field_invalid(errors, PATH(AT(AT(NULL, "metadata"), "annotations"), key),
                      tree_string(annotation), "can not be set when the class field is also set");
}

static void validate_status(FieldErrors *errors, const Value *ingress, const Value *old) {
    const Value *list = value_at(ingress, "status.loadBalancer.ingress");
    const Path *path = AT(AT(AT(NULL, "status"), "loadBalancer"), "ingress");
    Address address;
    for (uint32_t i = 0; i < list_count(list); i++) {
        Str ip = GET_STR(list->items[i], "ip"), host = GET_STR(list->items[i], "hostname");
        const Path *at = AT(PATH_INDEX(path, i), "hostname");
        if (ip.len)
            address_check(errors, AT(PATH_INDEX(path, i), "ip"), ip);
        if (host.len)
            schema_check_format(errors, at, FORMAT_DNS_SUBDOMAIN, host);
        if (host.len && address_parse(host, &address))
            field_invalid(errors, at, host, "must be a DNS name, not an IP address");
    }
}

// The annotation that was there before the field (ingressStrategy.WarningsOnCreate).
static void warn(Arena *arena, const Value *ingress, ValuePaths *warnings) {
    if (value_get(value_at(ingress, "metadata.annotations"), STR("kubernetes.io/ingress.class")))
        warning_add(arena, warnings, NULL,
                    STR("annotation \"kubernetes.io/ingress.class\" is deprecated, please use "
                        "'spec.ingressClassName' "
                        "instead"));
}

const ResourceRules ingress_rules = {
    .validate = validate,
    .validate_create = validate_create,
    .validate_status_update = validate_status,
    .warn = warn,
    .warn_on_create = true,
};

// ---- classes

// SetDefaults_IngressClass
static void default_scope(Arena *arena, Value *class) {
    Value *parameters = value_at(class, "spec.parameters");
    if (parameters && !GET(parameters, "scope"))
        value_set_str(arena, parameters, STR("scope"), STR("Cluster"));
}

static void check_controller(FieldErrors *errors, Str name, const Path *path) {
    Str rest = name;
    Str host = str_cut(&rest, '/');
    if (name.len > MAX_CONTROLLER_BYTES)
        field_too_long(errors, path, MAX_CONTROLLER_BYTES);
    if (!name.len) {
        field_required(errors, path, "");
        return;
    }
    if (!host.len || !rest.len) {
        field_invalid(errors, path, name,
                      "must be a domain-prefixed path (such as \"acme.io/foo\")");
        return;
    }
    schema_check_format(errors, path, FORMAT_DNS_SUBDOMAIN, host);
    for (size_t i = 0; i < rest.len; i++) {
        char c = rest.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (letter || (c && strchr("/-._~%!$&'()*+,;=:", c)))
            continue;
        field_invalid(errors, path, rest, HTTP_PATH);
        return;
    }
}

static void check_scope(FieldErrors *errors, const Value *parameters, const Path *path) {
    static const Str scopes[] = {{"Cluster", 7}, {"Namespace", 9}};
    Str scope = GET_STR(parameters, "scope");
    const Value *namespace_ = GET(parameters, "namespace");
    if (str_eq(scope, scopes[1])) {
        if (!namespace_)
            field_required(errors, AT(path, "namespace"),
                           "`parameters.scope` is set to 'Namespace'");
        else
            schema_check_format(errors, AT(path, "namespace"), FORMAT_DNS_LABEL,
                                tree_string(namespace_));
    } else if (!str_eq(scope, scopes[0])) {
        field_not_supported(errors, AT(path, "scope"), scope, scopes, 2);
    } else if (namespace_) {
        field_forbidden(errors, AT(path, "namespace"), "`parameters.scope` is set to 'Cluster'");
    }
}

static void validate_class(FieldErrors *errors, const Value *class) {
    const Value *parameters = value_at(class, "spec.parameters");
    const Path *path = AT(&spec_path, "parameters");
    check_controller(errors, tree_string(value_at(class, "spec.controller")),
                     AT(&spec_path, "controller"));
    if (!parameters)
        return;
    check_reference(errors, parameters, path);
    check_scope(errors, parameters, path);
}

static void validate_class_update(FieldErrors *errors, const Value *class, const Value *old) {
    Str name = tree_string(value_at(class, "spec.controller"));
    if (!str_eq(name, tree_string(value_at(old, "spec.controller"))))
        field_invalid(errors, AT(&spec_path, "controller"), name, "field is immutable");
}

const ResourceRules ingress_class_rules = {
    .default_fn = default_scope,
    .validate = validate_class,
    .validate_update = validate_class_update,
};
