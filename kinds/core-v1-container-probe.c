// Probes and hooks (validateProbe, validateHandler, validateLifecycle upstream).

#include "kinds/pod.h"

static void check_port(FieldErrors *errors, const Value *port, const Path *path) {
    if (port && port->kind == VALUE_STRING) {
        schema_check_format(errors, path, FORMAT_PORT_NAME, port->string);
        return;
    }
    int64_t number = port && port->kind == VALUE_INT ? port->integer : 0;
    if (number < 1 || number > 65535)
        field_invalid_int(errors, path, number, "must be between 1 and 65535, inclusive");
}

static bool is_header_name(Str name) {
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            c != '-')
            return false;
    }
    return name.len > 0;
}

static void check_http_get(FieldErrors *errors, const Value *get, const Path *path) {
    const Value *headers = GET(get, "httpHeaders");
    check_port(errors, GET(get, "port"), AT(path, "port"));
    for (uint32_t i = 0; i < list_count(headers); i++)
        if (!is_header_name(GET_STR(headers->items[i], "name")))
            field_invalid(errors, AT(path, "httpHeaders"), GET_STR(headers->items[i], "name"),
                          "a valid HTTP header must consist of alphanumeric characters or '-' "
                          "(e.g. 'X-Header-Name', regex used for validation is "
                          "'[-A-Za-z0-9]+')");
}

static void check_sleep(FieldErrors *errors, const PodScope *scope, const Value *sleep,
                        const Path *path) {
    int64_t seconds = value_int_at(sleep, "seconds", 0);
    if (!scope->grace || (seconds >= 0 && seconds <= scope->grace->integer))
        return;
    Str detail = arena_printf(errors->arena,
                              "must be non-negative and less than terminationGracePeriodSeconds "
                              "(%lld)",
                              (long long)scope->grace->integer);
    field_invalid_int(errors, path, seconds, detail.ptr);
}

// Exactly one of them; what a gRPC port and a command must be is in the table.
static void check_handler(FieldErrors *errors, const PodScope *scope, const Value *handler,
                          const Path *path) {
    static const Str kinds[] = {
        {"exec", 4}, {"httpGet", 7}, {"tcpSocket", 9}, {"grpc", 4}, {"sleep", 5}};
    unsigned n = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const Value *action = value_get(handler, kinds[i]);
        const Path *at = PATH(path, kinds[i]);
        if (!action)
            continue;
        if (n++)
            field_forbidden(errors, at, "may not specify more than 1 handler type");
        else if (i == 1)
            check_http_get(errors, action, at);
        else if (i == 2)
            check_port(errors, GET(action, "port"), AT(at, "port"));
        else if (i == 4)
            check_sleep(errors, scope, action, at);
    }
    if (!n)
        field_required(errors, path, "must specify a handler type");
}

static void check_probe(FieldErrors *errors, const PodScope *scope, const Value *container,
                        const Path *path, Str name) {
    const Value *probe = value_get(container, name);
    if (!probe)
        return;
    const Path *at = PATH(path, name);
    bool readiness = str_eq(name, STR("readinessProbe"));
    const Value *grace = GET(probe, "terminationGracePeriodSeconds");
    int64_t successes = value_int_at(probe, "successThreshold", 0);
    check_handler(errors, scope, probe, at);
    if (grace && grace->integer <= 0)
        field_invalid_int(errors, AT(at, "terminationGracePeriodSeconds"), grace->integer,
                          "must be greater than 0");
    if (readiness && grace)
        field_invalid_int(errors, AT(at, "terminationGracePeriodSeconds"), grace->integer,
                          "must not be set for readinessProbes");
    if (!readiness && successes != 1)
        field_invalid_int(errors, AT(at, "successThreshold"), successes, "must be 1");
}

void container_validate_lifecycle(FieldErrors *errors, const PodScope *scope,
                                  const Value *container, const Path *path) {
    static const Str hooks[] = {{"postStart", 9}, {"preStop", 7}};
    const Value *lifecycle = GET(container, "lifecycle");
    for (size_t i = 0; lifecycle && i < 2; i++) {
        const Value *hook = value_get(lifecycle, hooks[i]);
        if (hook)
            check_handler(errors, scope, hook, PATH(AT(path, "lifecycle"), hooks[i]));
    }
    check_probe(errors, scope, container, path, STR("livenessProbe"));
    check_probe(errors, scope, container, path, STR("readinessProbe"));
    check_probe(errors, scope, container, path, STR("startupProbe"));
}
