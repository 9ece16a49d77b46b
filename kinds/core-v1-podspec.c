// What a pod should be, in pods and in templates of pods: ValidatePodSpec upstream.

#include "kinds/address.h"
#include "kinds/pod.h"
#include "kinds/rules.h"

// ---- DNS

#define MAX_NAMESERVERS 3
#define MAX_SEARCHES 32
#define MAX_SEARCH_CHARACTERS 2048

// A label of a search domain: like any, but with underscores inside and one in front.
static bool is_search_label(Str label) {
    if (label.len && label.ptr[0] == '_')
        label = str_slice(label, 1, label.len);
    for (size_t i = 0; i < label.len; i++) {
        char c = label.ptr[i];
        bool edge = i == 0 || i + 1 == label.len;
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && (edge || (c != '-' && c != '_')))
            return false;
    }
    return label.len > 0;
}

#define SEARCH_LABEL "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"

static void check_search(FieldErrors *errors, Str search, const Path *path) {
    Str name = search;
    if (str_eq(name, STR(".")))
        return;
    if (name.len && name.ptr[name.len - 1] == '.')
        name.len--;
    bool good = true;
    for (Str rest = name; rest.ptr && good;)
        good = is_search_label(str_cut(&rest, '.'));
    if (name.len > 253)
        field_invalid(errors, path, name, "must be no more than 253 characters");
    if (!good)
        field_invalid(errors, path, name,
                      "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric "
                      "characters, '_', '-' or '.', and must start and end with an alphanumeric "
                      "character (e.g. 'example.com', regex used for validation is '" SEARCH_LABEL
                      "(\\." SEARCH_LABEL ")*')");
}

static void check_searches(FieldErrors *errors, const Value *searches, const Path *path) {
    uint32_t n = list_count(searches);
    size_t characters = n ? n - 1 : 0; // with blanks between them
    for (uint32_t i = 0; i < n; i++)
        characters += tree_string(searches->items[i]).len;
    if (n > MAX_SEARCHES)
        field_invalid_value(errors, path, searches, "must not have more than 32 search paths");
    if (characters > MAX_SEARCH_CHARACTERS)
        field_invalid_value(errors, path, searches,
                            "must not have more than 2048 characters (including spaces) in the "
                            "search list");
    for (uint32_t i = 0; i < n; i++)
        check_search(errors, tree_string(searches->items[i]), PATH_INDEX(path, i));
}

static void check_dns(FieldErrors *errors, const PodScope *scope) {
    const Value *config = GET(scope->spec, "dnsConfig");
    const Value *servers = GET(config, "nameservers"), *options = GET(config, "options");
    const Path *path = AT(scope->path, "dnsConfig");
    bool none = tree_is(scope->spec, "dnsPolicy", "None");
    if (none && !config) {
        field_required(errors, path, "must provide `dnsConfig` when `dnsPolicy` is None");
        return;
    }
    if (none && !list_count(servers)) {
        field_required(errors, AT(path, "nameservers"),
                       "must provide at least one DNS nameserver when `dnsPolicy` is None");
        return;
    }
    if (list_count(servers) > MAX_NAMESERVERS)
        field_invalid_value(errors, AT(path, "nameservers"), servers,
                            "must not have more than 3 nameservers");
    for (uint32_t i = 0; i < list_count(servers); i++)
        address_check(errors, PATH_INDEX(AT(path, "nameservers"), i),
                      tree_string(servers->items[i]));
    check_searches(errors, GET(config, "searches"), AT(path, "searches"));
    for (uint32_t i = 0; i < list_count(options); i++)
        if (!GET_STR(options->items[i], "name").len)
            field_required(errors, PATH_INDEX(AT(path, "options"), i), "must not be empty");
}

// ---- host namespaces

// In pods every port has a host port then; in templates it may be left out.
static void check_host_network(FieldErrors *errors, const PodScope *scope) {
    const Value *containers = GET(scope->spec, "containers");
    if (!value_bool_at(scope->spec, "hostNetwork", false))
        return;
    for (uint32_t i = 0; i < list_count(containers); i++) {
        const Value *ports = GET(containers->items[i], "ports");
        const Path *path = AT(PATH_INDEX(AT(scope->path, "containers"), i), "ports");
        for (uint32_t k = 0; k < list_count(ports); k++) {
            int64_t host = value_int_at(ports->items[k], "hostPort", 0);
            if (host && host != value_int_at(ports->items[k], "containerPort", 0))
                field_invalid_int(errors, AT(PATH_INDEX(path, k), "hostPort"), host,
                                  "must match `containerPort` when `hostNetwork` is true");
        }
    }
}

static void check_host_users(FieldErrors *errors, const PodScope *scope) {
    static const struct {
        const char *field;
        Str shown;
    } fields[] = {{"hostNetwork", {"hostNetwork", 11}},
                  {"hostPID", {"HostPID", 7}},
                  {"hostIPC", {"HostIPC", 7}}};
    for (size_t i = 0; !scope->host_users && i < 3; i++)
        if (value_bool_at(scope->spec, fields[i].field, false))
            field_forbidden(errors, PATH(scope->path, fields[i].shown),
                            "when `pod.Spec.HostUsers` is false");
}

#define MAX_HOSTNAME 64 // what the kernel takes

static void check_hostname(FieldErrors *errors, const PodScope *scope) {
    const Value *override = GET(scope->spec, "hostnameOverride");
    const Path *path = AT(scope->path, "hostnameOverride");
    Str name = tree_string(override);
    if (!override)
        return;
    if (value_bool_at(scope->spec, "setHostnameAsFQDN", false))
        field_forbidden(errors, path,
                        "setHostnameAsFQDN and hostnameOverride are mutually exclusive");
    if (value_bool_at(scope->spec, "hostNetwork", false))
        field_forbidden(errors, path, "hostNetwork and hostnameOverride are mutually exclusive");
    if (name.len > MAX_HOSTNAME)
        field_invalid(errors, path, name, "must be no more than 64 characters");
    schema_check_format(errors, path, FORMAT_DNS_SUBDOMAIN, name);
}

// ---- all of it

static void validate(FieldErrors *errors, const Value *spec, const Path *path) {
    PodScope scope = {
        .spec = spec,
        .path = path,
        .host_users = value_bool_at(spec, "hostUsers", true),
        .never_restarts = tree_is(spec, "restartPolicy", "Never"),
        .grace = GET(spec, "terminationGracePeriodSeconds"),
    };
    pod_validate_volumes(errors, &scope);
    pod_validate_resource_claims(errors, &scope);
    pod_validate_containers(errors, &scope);
    name_set_deinit(&scope.volumes);
    pod_validate_resources(errors, &scope);
    check_host_network(errors, &scope);
    pod_validate_security(errors, &scope);
    check_dns(errors, &scope);
    pod_validate_scheduling(errors, &scope);
    check_host_users(errors, &scope);
    check_hostname(errors, &scope);
    pod_validate_overhead(errors, &scope);
    pod_validate_os(errors, &scope);
}

const TypeRules pod_spec_rules = {.default_fn = pod_spec_default, .validate = validate};

// ValidatePodTemplateSpec; the spec has its own rules.
static void validate_template(FieldErrors *errors, const Value *template, const Path *path) {
    const Value *metadata = GET(template, "metadata"), *spec = GET(template, "spec");
    const Path *annotations = AT(path, "annotations"); // sic
    schema_validate_labels(errors, GET(metadata, "labels"), AT(path, "labels"));
    schema_validate_annotations(errors, GET(metadata, "annotations"), annotations);
    pod_validate_annotations(errors, template, annotations);
    pod_validate_annotations_agree(errors, template, AT(path, "spec"));
    if (GET(spec, "ephemeralContainers"))
        field_forbidden(errors, AT(AT(path, "spec"), "ephemeralContainers"),
                        "ephemeral containers not allowed in pod template");
}

const TypeRules pod_template_spec_rules = {.validate = validate_template};
