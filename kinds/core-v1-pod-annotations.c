// Annotations that mean something to the API server: ValidatePodSpecificAnnotations, and that
// those which a field has replaced agree with it.

#include "kinds/pod.h"
#include "schema/value_index.h"

#define APPARMOR STR("container.apparmor.security.beta.kubernetes.io/")
#define MIRROR STR("kubernetes.io/config.mirror")
#define SECCOMP_POD STR("seccomp.security.alpha.kubernetes.io/pod")
#define SECCOMP_CONTAINER STR("container.seccomp.security.alpha.kubernetes.io/")
#define DELETION_COST STR("controller.kubernetes.io/pod-deletion-cost")
#define LOCALHOST STR("localhost/")

static void collect_containers(NameSet *names, const Value *pod) {
    static const Str lists[] = {
        {"initContainers", 14}, {"containers", 10}, {"ephemeralContainers", 19}};
    for (size_t k = 0; k < 3; k++) {
        const Value *list = value_get(GET(pod, "spec"), lists[k]);
        for (uint32_t i = 0; i < list_count(list); i++)
            name_set_add(names, GET_STR(list->items[i], "name"), list);
    }
}

static void check_deletion_cost(FieldErrors *errors, Str value, const Path *path) {
    int64_t cost;
    bool odd_sign = value.len && value.ptr[0] == '+'; // Go would take it, the rule does not
    bool zeros = value.len > 1 && value.ptr[0] == '0';
    if (odd_sign || zeros || str_to_i64(value, &cost) || cost < INT32_MIN || cost > INT32_MAX)
        field_invalid(errors, PATH_KEY(path, DELETION_COST), value, "must be a 32bit integer");
}

static void check_seccomp(FieldErrors *errors, Str profile, const Path *path) {
    if (str_eq(profile, STR("runtime/default")) || str_eq(profile, STR("docker/default")) ||
        str_eq(profile, STR("unconfined")))
        return;
    if (str_starts_with(profile, LOCALHOST))
        pod_validate_local_path(errors, str_slice(profile, LOCALHOST.len, profile.len), path);
    else
        field_invalid(errors, path, profile, "must be a valid seccomp profile");
}

static void check_apparmor(FieldErrors *errors, const NameSet *containers, Str key, Str profile,
                           const Path *path) {
    Str container = str_slice(key, APPARMOR.len, key.len);
    if (!name_set_get(containers, container))
        field_invalid(errors, path, container, "container not found");
    if (profile.len && !str_eq(profile, STR("runtime/default")) &&
        !str_eq(profile, STR("unconfined")) && !str_starts_with(profile, LOCALHOST))
        field_invalid(
            errors, path, profile,
            arena_printf(errors->arena, "invalid AppArmor profile name: \"%.*s\"", STR_ARG(profile))
                .ptr);
}

void pod_validate_annotations(FieldErrors *errors, const Value *pod, const Path *path) {
    const Value *annotations = value_at(pod, "metadata.annotations");
    _name_set_deinit_ NameSet containers = {.n = 0};
    for (uint32_t i = 0; i < map_count_of(annotations); i++) {
        Str key = annotations->members[i].key, value = tree_string(annotations->members[i].value);
        if (str_starts_with(key, APPARMOR) && !containers.n)
            collect_containers(&containers, pod);
        if (str_eq(key, MIRROR) && !tree_has_string(pod, "spec.nodeName"))
            field_invalid(errors, PATH_KEY(path, key), value,
                          "must set spec.nodeName if mirror pod annotation is set");
        else if (str_eq(key, DELETION_COST))
            check_deletion_cost(errors, value, path);
        else if (str_eq(key, SECCOMP_POD) || str_starts_with(key, SECCOMP_CONTAINER))
            check_seccomp(errors, value, PATH(path, key));
        else if (str_starts_with(key, APPARMOR))
            check_apparmor(errors, &containers, key, value, PATH_KEY(path, key));
    }
}

// ---- updates

static void refuse(FieldErrors *errors, const Value *these, const Value *others, bool added) {
    const Path *path = AT(PATH(NULL, STR("metadata")), "annotations");
    for (uint32_t i = 0; i < map_count_of(these); i++) {
        Str key = these->members[i].key;
        bool apparmor = str_starts_with(key, APPARMOR);
        if (!apparmor && !str_eq(key, MIRROR))
            continue;
        const Value *other = value_get(others, key);
        if (other && (added || value_equal(other, these->members[i].value)))
            continue;
        field_forbidden(errors, PATH_KEY(path, key),
                        apparmor && added ? "may not add AppArmor annotations"
                        : apparmor        ? "may not remove or update AppArmor annotations"
                        : added           ? "may not add mirror pod annotation"
                                          : "may not remove or update mirror pod annotation");
    }
}

void pod_validate_annotation_update(FieldErrors *errors, const Value *pod, const Value *old) {
    const Value *now = value_at(pod, "metadata.annotations");
    const Value *before = value_at(old, "metadata.annotations");
    if (value_equal(now, before))
        return;
    refuse(errors, before, now, false);
    refuse(errors, now, before, true);
}

// ---- annotation and field must say the same (on create)

static void check_same_profile(FieldErrors *errors, Str annotation, const Value *profile,
                               const char *kind, const Path *path) {
    Str type = GET_STR(profile, "type");
    bool same = true, same_file = true;
    if (str_eq(type, STR("Unconfined"))) {
        same = str_eq(annotation, STR("unconfined"));
    } else if (str_eq(type, STR("RuntimeDefault"))) {
        same = str_eq(annotation, STR("runtime/default")) ||
               (!strcmp(kind, "seccomp") && str_eq(annotation, STR("docker/default")));
    } else if (str_eq(type, STR("Localhost"))) {
        same = str_starts_with(annotation, LOCALHOST);
        same_file = same && str_eq(str_slice(annotation, LOCALHOST.len, annotation.len),
                                   GET_STR(profile, "localhostProfile"));
    }
    const char *what = same ? "profile" : "type";
    if (!same || !same_file)
        field_forbidden(
            errors, same ? AT(path, "localhostProfile") : AT(path, "type"),
            arena_printf(errors->arena, "%s %s in annotation and field must match", kind, what)
                .ptr);
}

static Str annotation(Arena *arena, const ValueIndex *annotations, Str prefix, Str name) {
    Str parts[] = {prefix, name};
    const Member *member = value_index_find(annotations, arena_concat(arena, parts, 2, STR("")));
    return member ? tree_string(member->value) : STR_NONE;
}

static void check_container(FieldErrors *errors, const Value *pod, const ValueIndex *annotations,
                            const Value *container, const Path *path) {
    const Value *context = GET(container, "securityContext");
    const Value *seccomp = GET(context, "seccompProfile"),
                *apparmor = GET(context, "appArmorProfile");
    Str name = GET_STR(container, "name");
    Str text;
    if (!apparmor)
        apparmor = value_at(pod, "spec.securityContext.appArmorProfile");
    if (seccomp && (text = annotation(errors->arena, annotations, SECCOMP_CONTAINER, name)).ptr)
        check_same_profile(errors, text, seccomp, "seccomp",
                           AT(AT(path, "securityContext"), "seccompProfile"));
    if (apparmor && !tree_is(pod, "spec.os.name", "windows") &&
        (text = annotation(errors->arena, annotations, APPARMOR, name)).ptr)
        check_same_profile(errors, text, apparmor, "apparmor",
                           AT(AT(path, "securityContext"), "appArmorProfile"));
}

void pod_validate_annotations_agree(FieldErrors *errors, const Value *pod, const Path *path) {
    static const Str lists[] = {{"initContainers", 14}, {"containers", 10}};
    const Value *annotations = value_at(pod, "metadata.annotations");
    const Value *profile = value_at(pod, "spec.securityContext.seccompProfile");
    if (!annotations)
        return;
    const Value *text = value_get(annotations, SECCOMP_POD);
    if (profile && text)
        check_same_profile(errors, tree_string(text), profile, "seccomp",
                           AT(AT(path, "securityContext"), "seccompProfile"));
    _value_index_deinit_ ValueIndex index = value_index(annotations);
    for (size_t k = 0; k < 2; k++) {
        const Value *list = value_get(GET(pod, "spec"), lists[k]);
        for (uint32_t i = 0; i < list_count(list); i++)
            check_container(errors, pod, &index, list->items[i],
                            PATH_INDEX(PATH(path, lists[k]), i));
    }
}

// ---- an AppArmor annotation becomes the field (applyAppArmorVersionSkew)

static Value *profile_of(Arena *arena, Str annotation) {
    Value *profile = value_new_object(arena);
    if (str_eq(annotation, STR("unconfined"))) {
        value_set_str(arena, profile, STR("type"), STR("Unconfined"));
    } else if (str_eq(annotation, STR("runtime/default"))) {
        value_set_str(arena, profile, STR("type"), STR("RuntimeDefault"));
    } else if (str_starts_with(annotation, LOCALHOST) && annotation.len > LOCALHOST.len) {
        value_set_str(arena, profile, STR("type"), STR("Localhost"));
        value_set_str(arena, profile, STR("localhostProfile"),
                      str_slice(annotation, LOCALHOST.len, annotation.len));
    } else {
        return NULL;
    }
    return profile;
}

void pod_apply_apparmor_annotations(Arena *arena, Value *pod) {
    static const Str lists[] = {{"initContainers", 14}, {"containers", 10}};
    const Value *annotations = value_at(pod, "metadata.annotations");
    const Value *own = value_at(pod, "spec.securityContext.appArmorProfile");
    _value_index_deinit_ ValueIndex index = value_index(annotations);
    for (size_t k = 0; k < 2 && annotations; k++) {
        const Value *list = value_get(GET(pod, "spec"), lists[k]);
        for (uint32_t i = 0; i < list_count(list); i++) {
            Value *container = list->items[i];
            Str text = annotation(arena, &index, APPARMOR, GET_STR(container, "name"));
            if (!text.ptr || value_at(container, "securityContext.appArmorProfile"))
                continue;
            Value *profile = profile_of(arena, text);
            if (profile && !value_equal(profile, own))
                value_set(arena, value_at_make(arena, container, "securityContext"),
                          STR("appArmorProfile"), profile);
        }
    }
}
