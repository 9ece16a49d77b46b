// Fields that one operating system has and another has not (validateOS, validateLinux,
// validateWindows, validateWindowsHostProcessPod upstream).

#include "kinds/pod.h"

#define NAME(text)                                                                                 \
    { text, sizeof text - 1 }

// Calls with each container of every kind and its path.
typedef void Visit(FieldErrors *errors, const Value *container, const Path *path, void *user);
static void visit_containers(FieldErrors *errors, const PodScope *scope, Visit *visit, void *user) {
    static const Str lists[] = {NAME("initContainers"), NAME("containers"),
                                NAME("ephemeralContainers")};
    for (size_t k = 0; k < 3; k++) {
        const Value *list = value_get(scope->spec, lists[k]);
        for (uint32_t i = 0; i < list_count(list); i++)
            visit(errors, list->items[i], PATH_INDEX(PATH(scope->path, lists[k]), i), user);
    }
}

static void forbid(FieldErrors *errors, const Value *object, const Str *fields, size_t n,
                   const char *detail, const Path *path) {
    for (size_t i = 0; i < n; i++) {
        const Value *value = value_get(object, fields[i]);
        if (value &&
            !(value->kind == VALUE_BOOL && !value->boolean &&
              str_starts_with(fields[i], STR("host")) && !str_eq(fields[i], STR("hostUsers"))))
            field_forbidden(errors, PATH(path, fields[i]), detail);
    }
}
#define FORBID(errors, object, fields, detail, path)                                               \
    forbid((errors), (object), (fields), sizeof(fields) / sizeof *(fields), (detail), (path))

// ---- Linux

static void forbid_windows_options(FieldErrors *errors, const Value *holder, const Path *path,
                                   void *user) {
    static const Str options[] = {NAME("windowsOptions")};
    FORBID(errors, GET(holder, "securityContext"), options,
           "windows options cannot be set for a linux pod", AT(path, "securityContext"));
}

// ---- Windows

#define NOT_ON_WINDOWS "cannot be set for a windows pod"

static void forbid_in_container(FieldErrors *errors, const Value *container, const Path *path,
                                void *user) {
    static const Str fields[] = {NAME("appArmorProfile"),
                                 NAME("seLinuxOptions"),
                                 NAME("seccompProfile"),
                                 NAME("capabilities"),
                                 NAME("readOnlyRootFilesystem"),
                                 NAME("privileged"),
                                 NAME("allowPrivilegeEscalation"),
                                 NAME("procMount"),
                                 NAME("runAsUser"),
                                 NAME("runAsGroup")};
    FORBID(errors, GET(container, "securityContext"), fields, NOT_ON_WINDOWS,
           AT(path, "securityContext"));
}

static void check_windows(FieldErrors *errors, const PodScope *scope) {
    static const Str in_spec[] = {NAME("hostUsers"), NAME("hostPID"), NAME("hostIPC"),
                                  NAME("shareProcessNamespace")};
    static const Str in_context[] = {NAME("appArmorProfile"),     NAME("seLinuxOptions"),
                                     NAME("seccompProfile"),      NAME("fsGroup"),
                                     NAME("fsGroupChangePolicy"), NAME("sysctls"),
                                     NAME("runAsUser"),           NAME("runAsGroup"),
                                     NAME("supplementalGroups"),  NAME("supplementalGroupsPolicy"),
                                     NAME("seLinuxChangePolicy")};
    FORBID(errors, scope->spec, in_spec, NOT_ON_WINDOWS, scope->path);
    FORBID(errors, GET(scope->spec, "securityContext"), in_context, NOT_ON_WINDOWS,
           AT(scope->path, "securityContext"));
    visit_containers(errors, scope, forbid_in_container, NULL);
}

// ---- HostProcess containers

typedef struct HostProcess {
    const Value *pod; // the pod's own setting
    unsigned containers, host;
} HostProcess;

static void count_host_process(FieldErrors *errors, const Value *container, const Path *path,
                               void *user) {
    HostProcess *count = user;
    const Value *own = value_at(container, "securityContext.windowsOptions.hostProcess");
    const Value *effective = own ? own : count->pod;
    count->containers++;
    count->host += effective && effective->boolean;
    if (!own || !count->pod || own->boolean == count->pod->boolean)
        return;
    Str detail = arena_printf(errors->arena,
                              "pod hostProcess value must be identical if both are specified, was "
                              "%s",
                              count->pod->boolean ? "true" : "false");
    field_invalid_value(errors,
                        AT(AT(AT(path, "securityContext"), "windowsOptions"), "hostProcess"), own,
                        detail.ptr);
}

static void check_host_process(FieldErrors *errors, const PodScope *scope) {
    HostProcess count = {.pod =
                             value_at(scope->spec, "securityContext.windowsOptions.hostProcess")};
    visit_containers(errors, scope, count_host_process, &count);
    if (!count.host)
        return;
    if (count.host != count.containers)
        field_invalid(errors, scope->path, STR(""),
                      "If pod contains any hostProcess containers then all containers must be "
                      "HostProcess containers");
    Value no = {.kind = VALUE_BOOL};
    if (!value_bool_at(scope->spec, "hostNetwork", false))
        field_invalid_value(errors, AT(scope->path, "hostNetwork"), &no,
                            "hostNetwork must be true if pod contains any hostProcess containers");
}

void pod_validate_os(FieldErrors *errors, const PodScope *scope) {
    static const Str systems[] = {NAME("linux"), NAME("windows")};
    const Value *os = GET(scope->spec, "os");
    Str name = GET_STR(os, "name");
    const Path *path = AT(scope->path, "os");
    check_host_process(errors, scope);
    if (!os)
        return;
    if (!name.len) {
        field_required(errors, AT(path, "name"), "cannot be empty");
    } else if (str_eq(name, systems[0])) {
        forbid_windows_options(errors, scope->spec, scope->path, NULL);
        visit_containers(errors, scope, forbid_windows_options, NULL);
    } else if (str_eq(name, systems[1])) {
        check_windows(errors, scope);
    } else {
        field_not_supported(errors, path, name, systems, 2);
    }
}
