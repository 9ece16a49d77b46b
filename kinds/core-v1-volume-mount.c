// Where containers see volumes (ValidateVolumeMounts, ValidateVolumeDevices upstream), and paths.

#include "kinds/pod.h"

// ---- paths

bool pod_path_has_backstep(Str text) {
    while (text.ptr)
        if (str_eq(str_cut(&text, '/'), STR("..")))
            return true;
    return false;
}

void pod_validate_local_path(FieldErrors *errors, Str text, const Path *path) {
    if (text.len && text.ptr[0] == '/')
        field_invalid(errors, path, text, "must be a relative path");
    if (pod_path_has_backstep(text))
        field_invalid(errors, path, text, "must not contain '..'");
}

void pod_validate_file_path(FieldErrors *errors, Str text, const Path *path) {
    pod_validate_local_path(errors, text, path);
    if (str_starts_with(text, STR("..")) && !str_starts_with(text, STR("../")))
        field_invalid(errors, path, text, "must not start with '..'");
}

// ---- mounts

static bool is_privileged(const Value *container) {
    return value_bool_at(container, "securityContext.privileged", false);
}

static void check_propagation(FieldErrors *errors, const Value *mount, const Value *container,
                              const Path *path) {
    static const Str supported[] = {{"Bidirectional", 13}, {"HostToContainer", 15}, {"None", 4}};
    const Value *value = GET(mount, "mountPropagation");
    Str propagation = tree_string(value);
    if (!value)
        return;
    if (!str_eq(propagation, supported[0]) && !str_eq(propagation, supported[1]) &&
        !str_eq(propagation, supported[2]))
        field_not_supported(errors, path, propagation, supported, 3);
    if (str_eq(propagation, supported[0]) && !is_privileged(container))
        field_forbidden(errors, path,
                        "Bidirectional mount propagation is available only to privileged "
                        "containers");
}

static void check_recursive(FieldErrors *errors, const Value *mount, const Path *path) {
    static const Str supported[] = {{"Disabled", 8}, {"Enabled", 7}, {"IfPossible", 10}};
    const Value *value = GET(mount, "recursiveReadOnly"), *other = GET(mount, "mountPropagation");
    Str recursive = tree_string(value);
    if (!value || str_eq(recursive, supported[0]))
        return;
    if (!str_eq(recursive, supported[1]) && !str_eq(recursive, supported[2])) {
        field_not_supported(errors, path, recursive, supported, 3);
        return;
    }
    if (!value_bool_at(mount, "readOnly", false))
        field_forbidden(errors, path, "may only be specified when readOnly is true");
    if (other && !str_eq(tree_string(other), STR("None")))
        field_forbidden(errors, path,
                        "may only be specified when mountPropagation is None or not specified");
}

static void check_sub_path(FieldErrors *errors, const Value *mount, const Path *list,
                           const Path *path) {
    Str sub = GET_STR(mount, "subPath"), expression = GET_STR(mount, "subPathExpr");
    if (sub.len)
        pod_validate_local_path(errors, sub, AT(list, "subPath"));
    if (expression.len && sub.len)
        field_invalid(errors, AT(path, "subPathExpr"), expression,
                      "subPathExpr and subPath are mutually exclusive");
    if (expression.len)
        pod_validate_local_path(errors, expression, AT(list, "subPathExpr"));
}

// Names and paths of the other list, where there is one.
typedef struct Taken {
    NameSet names, paths;
} Taken;
static void taken_deinit(Taken *taken) {
    name_set_deinit(&taken->names);
    name_set_deinit(&taken->paths);
}
static void taken_collect(Taken *taken, const Value *list, Str path) {
    for (uint32_t i = 0; i < list_count(list); i++) {
        name_set_add(&taken->names, GET_STR(list->items[i], "name"), list);
        name_set_add(&taken->paths, tree_string(value_get(list->items[i], path)), list);
    }
}

static void check_mounts(FieldErrors *errors, const PodScope *scope, const Value *container,
                         const Path *path) {
    const Value *mounts = GET(container, "volumeMounts");
    __attribute__((cleanup(taken_deinit))) Taken devices = {.names = {.n = 0}};
    _name_set_deinit_ NameSet paths = {.n = 0};
    taken_collect(&devices, GET(container, "volumeDevices"), STR("devicePath"));
    for (uint32_t i = 0; i < list_count(mounts); i++) {
        const Value *mount = mounts->items[i];
        const Path *at = PATH_INDEX(path, i);
        Str name = GET_STR(mount, "name"), where = GET_STR(mount, "mountPath");
        if (!name_set_get(&scope->volumes, name))
            field_not_found(errors, AT(at, "name"), name);
        if (name_set_add(&paths, where, mount))
            field_invalid(errors, AT(at, "mountPath"), where, "must be unique");
        if (name_set_get(&devices.names, name))
            field_invalid(errors, AT(at, "name"), name, "must not already exist in volumeDevices");
        if (name_set_get(&devices.paths, where))
            field_invalid(errors, AT(at, "mountPath"), where,
                          "must not already exist as a path in volumeDevices");
        check_sub_path(errors, mount, path, at);
        check_propagation(errors, mount, container, AT(path, "mountPropagation"));
        check_recursive(errors, mount, AT(path, "recursiveReadOnly"));
    }
}

static void check_device_source(FieldErrors *errors, const PodScope *scope, Str name,
                                const Path *path) {
    const Value *volume = name_set_get(&scope->volumes, name);
    if (!volume)
        field_not_found(errors, path, name);
    else if (!GET(volume, "persistentVolumeClaim") && !GET(volume, "ephemeral"))
        field_invalid(errors, path, name,
                      "can only use volume source type of PersistentVolumeClaim or Ephemeral for "
                      "block mode");
}

static void check_devices(FieldErrors *errors, const PodScope *scope, const Value *container,
                          const Path *path) {
    const Value *devices = GET(container, "volumeDevices");
    __attribute__((cleanup(taken_deinit))) Taken mounts = {.names = {.n = 0}};
    _name_set_deinit_ NameSet names = {.n = 0}, paths = {.n = 0};
    taken_collect(&mounts, GET(container, "volumeMounts"), STR("mountPath"));
    for (uint32_t i = 0; i < list_count(devices); i++) {
        const Value *device = devices->items[i];
        const Path *at = PATH_INDEX(path, i);
        Str name = GET_STR(device, "name"), where = GET_STR(device, "devicePath");
        if (name.len && name_set_add(&names, name, device))
            field_invalid(errors, AT(at, "name"), name, "must be unique");
        check_device_source(errors, scope, name, AT(at, "name"));
        if (name_set_get(&paths, where))
            field_invalid(errors, AT(at, "devicePath"), where, "must be unique");
        if (pod_path_has_backstep(where))
            field_invalid(errors, AT(at, "devicePath"), where, "can not contain backsteps ('..')");
        else
            name_set_add(&paths, where, device);
        if (name_set_get(&mounts.names, name))
            field_invalid(errors, AT(at, "name"), name, "must not already exist in volumeMounts");
        if (name_set_get(&mounts.paths, where))
            field_invalid(errors, AT(at, "devicePath"), where,
                          "must not already exist as a path in volumeMounts");
    }
}

void container_validate_mounts(FieldErrors *errors, const PodScope *scope, const Value *container,
                               const Path *path) {
    if (GET(container, "volumeMounts"))
        check_mounts(errors, scope, container, AT(path, "volumeMounts"));
    if (GET(container, "volumeDevices"))
        check_devices(errors, scope, container, AT(path, "volumeDevices"));
}
