// Security contexts of pods and containers: validatePodSpecSecurityContext and
// ValidateSecurityContext upstream. Enums are the table's to check.

#include "kinds/kinds.h"
#include "kinds/pod.h"

// ---- ids

void pod_validate_user_id(FieldErrors *errors, const Value *id, const Path *path) {
    if (id && id->kind == VALUE_INT && (id->integer < 0 || id->integer > INT32_MAX))
        field_invalid_int(errors, path, id->integer, "must be between 0 and 2147483647, inclusive");
}

static void check_ids(FieldErrors *errors, const Value *context, const Path *path) {
    static const Str fields[] = {{"fsGroup", 7}, {"runAsUser", 9}, {"runAsGroup", 10}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        pod_validate_user_id(errors, value_get(context, fields[i]), PATH(path, fields[i]));
    const Value *groups = GET(context, "supplementalGroups");
    for (uint32_t i = 0; i < list_count(groups); i++)
        pod_validate_user_id(errors, groups->items[i],
                             PATH_INDEX(AT(path, "supplementalGroups"), i));
}

// ---- profiles

static void check_seccomp(FieldErrors *errors, const Value *context, const Path *parent) {
    const Value *profile = GET(context, "seccompProfile");
    const Value *file = GET(profile, "localhostProfile");
    const Path *path = AT(parent, "seccompProfile"), *at = AT(path, "localhostProfile");
    Str type = GET_STR(profile, "type");
    if (!profile)
        return;
    if (!type.len)
        field_required(errors, AT(path, "type"), "type is required when seccompProfile is set");
    if (!str_eq(type, STR("Localhost"))) {
        if (file)
            field_invalid_value(
                errors, at, pod_internal_shape(errors->arena, kinds_type_SeccompProfile(), profile),
                "can only be set when seccomp type is Localhost");
    } else if (!file) {
        field_required(errors, at, "must be set when seccomp type is Localhost");
    } else {
        pod_validate_local_path(errors, tree_string(file), at);
    }
}

#define MAX_PROFILE 4095 // PATH_MAX - 1

static void check_apparmor_file(FieldErrors *errors, const Value *file, const Path *path) {
    const char *missing = "must be set when AppArmor type is Localhost";
    Str text = tree_string(file);
    if (!file) {
        field_required(errors, path, missing);
        return;
    }
    if (str_trim(text).len != text.len)
        field_invalid(errors, path, text, "must not be padded with whitespace");
    else if (!text.len)
        field_required(errors, path, missing);
    if (text.len > MAX_PROFILE)
        field_too_long(errors, path, MAX_PROFILE);
}

static void check_apparmor(FieldErrors *errors, const Value *context, const Path *parent) {
    const Value *profile = GET(context, "appArmorProfile");
    const Value *file = GET(profile, "localhostProfile");
    const Path *path = AT(parent, "appArmorProfile"), *at = AT(path, "localhostProfile");
    Str type = GET_STR(profile, "type");
    if (!profile)
        return;
    if (!type.len)
        field_required(errors, AT(path, "type"), "type is required when appArmorProfile is set");
    else if (str_eq(type, STR("Localhost")))
        check_apparmor_file(errors, file, at);
    else if (file && (str_eq(type, STR("RuntimeDefault")) || str_eq(type, STR("Unconfined"))))
        field_invalid(errors, at, tree_string(file),
                      "can only be set when AppArmor type is Localhost");
}

// ---- Windows

static bool has_control(Str text) {
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
            return true;
    return false;
}

static bool has_any(Str text, const char *characters) {
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] && strchr(characters, text.ptr[i]))
            return true;
    return false;
}

static bool is_net_bios(Str domain) {
    return domain.len >= 1 && domain.len <= 15 && domain.ptr[0] != '.' &&
           !has_any(domain, "\\/:*?\"<>|");
}

static bool is_dns(Str domain) {
    if (!domain.len)
        return false;
    while (domain.ptr) {
        Str label = str_cut(&domain, '.');
        if (!label.len || label.len > 63 || label.ptr[0] == '-' || label.ptr[label.len - 1] == '-')
            return false;
        for (size_t i = 0; i < label.len; i++) {
            char c = label.ptr[i] | 0x20;
            if (!(c >= 'a' && c <= 'z') && !(label.ptr[i] >= '0' && label.ptr[i] <= '9') &&
                label.ptr[i] != '-')
                return false;
        }
    }
    return true;
}

static void check_windows_user(FieldErrors *errors, Str name, const Path *path) {
    Str user = name, domain = STR_NONE;
    ptrdiff_t slash = str_find(name, '\\');
    if (slash >= 0) {
        domain = str_slice(name, 0, (size_t)slash);
        user = str_slice(name, (size_t)slash + 1, name.len);
    }
    if (!name.len || has_control(name) || str_find(user, '\\') >= 0) {
        field_invalid(errors, path, name,
                      !name.len           ? "runAsUserName cannot be an empty string"
                      : has_control(name) ? "runAsUserName cannot contain control characters"
                                          : "runAsUserName cannot contain more than one backslash");
        return;
    }
    if (domain.len >= 256)
        field_invalid(errors, path, name,
                      "runAsUserName's Domain length must be under 256 characters");
    if (domain.ptr && !is_net_bios(domain) && !is_dns(domain))
        field_invalid(errors, path, name,
                      "runAsUserName's Domain doesn't match the NetBios nor the DNS format");
    if (!user.len)
        field_invalid(errors, path, name, "runAsUserName's User cannot be empty");
    else if (user.len > 104)
        field_invalid(errors, path, name,
                      "runAsUserName's User length must not be longer than 104 characters");
    size_t blank = 0;
    while (blank < user.len && (user.ptr[blank] == '.' || user.ptr[blank] == ' '))
        blank++;
    if (user.len && blank == user.len)
        field_invalid(errors, path, name,
                      "runAsUserName's User cannot contain only periods or spaces");
    if (has_any(user, "\"/\\:;|=,+*?<>@[]"))
        field_invalid(errors, path, name,
                      "runAsUserName's User cannot contain the following characters: "
                      "\"/\\:;|=,+*?<>@[]");
}

#define MAX_CREDENTIAL (64 * 1024)

static void check_windows(FieldErrors *errors, const Value *context, const Path *parent) {
    const Value *options = GET(context, "windowsOptions");
    const Path *path = AT(parent, "windowsOptions");
    if (!options)
        return;
    const Value *name = GET(options, "gmsaCredentialSpecName");
    const Value *credential = GET(options, "gmsaCredentialSpec");
    const Value *user = GET(options, "runAsUserName");
    if (name)
        schema_check_format(errors, AT(path, "gmsaCredentialSpecName"), FORMAT_DNS_SUBDOMAIN,
                            tree_string(name));
    size_t size = tree_string(credential).len;
    if (credential && !size)
        field_invalid(errors, AT(path, "gmsaCredentialSpec"), STR(""),
                      "gmsaCredentialSpec cannot be an empty string");
    else if (size > MAX_CREDENTIAL)
        field_invalid(errors, AT(path, "gmsaCredentialSpec"), tree_string(credential),
                      "gmsaCredentialSpec size must be under 64 KiB");
    if (user)
        check_windows_user(errors, tree_string(user), AT(path, "runAsUserName"));
}

static void check_profiles(FieldErrors *errors, const Value *context, const Path *path) {
    check_seccomp(errors, context, path);
    check_windows(errors, context, path);
    check_apparmor(errors, context, path);
}

// ---- sysctls

#define MAX_SYSCTL 253
#define SYSCTL_SEGMENT "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"

// Segments of lower case letters and digits, with "-" and "_" inside, joined by "." or "/".
static bool is_sysctl(Str name) {
    bool edge = true; // at the start of a segment
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool separator = c == '.' || c == '/';
        bool inner = c == '-' || c == '_';
        if (!separator && !inner && !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9'))
            return false;
        char before = i ? name.ptr[i - 1] : '.';
        if ((inner && edge) || (separator && (edge || before == '-' || before == '_')))
            return false;
        edge = separator;
    }
    char last = name.len ? name.ptr[name.len - 1] : '.';
    return name.len <= MAX_SYSCTL && last != '.' && last != '/' && last != '-' && last != '_';
}

// The namespace that a parameter belongs to: "net", "ipc" or none.
static Str sysctl_namespace(Arena *arena, Str name) {
    char *dotted = arena_cstr(arena, name);
    size_t first = strcspn(dotted, "./");
    bool slashes = dotted[first] == '/';
    for (char *c = dotted; slashes && *c; c++)
        *c = *c == '/' ? '.' : *c == '.' ? '/' : *c;
    Str text = str_of(dotted, name.len);
    if (str_starts_with(text, STR("net.")))
        return STR("net");
    if (str_eq(text, STR("kernel.sem")) || str_starts_with(text, STR("kernel.shm")) ||
        str_starts_with(text, STR("kernel.msg")) || str_starts_with(text, STR("fs.mqueue.")))
        return STR("ipc");
    return STR_NONE;
}

static void check_sysctls(FieldErrors *errors, const PodScope *scope, const Value *list,
                          const Path *path) {
    bool host_network = value_bool_at(scope->spec, "hostNetwork", false);
    bool host_ipc = value_bool_at(scope->spec, "hostIPC", false);
    _name_set_deinit_ NameSet names = {.n = 0};
    for (uint32_t i = 0; i < list_count(list); i++) {
        Str name = GET_STR(list->items[i], "name");
        const Path *at = AT(PATH_INDEX(path, i), "name");
        if (!name.len)
            continue; // the table says so
        if (!is_sysctl(name))
            field_invalid(errors, at, name,
                          "must have at most 253 characters and match regex ^(" SYSCTL_SEGMENT
                          "[\\./])*" SYSCTL_SEGMENT "$");
        else if (name_set_get(&names, name))
            field_duplicate(errors, at, name);
        Str space = sysctl_namespace(errors->arena, name);
        if (host_network && str_eq(space, STR("net")))
            field_invalid(errors, at, name, "may not be specified when 'hostNetwork' is true");
        else if (host_ipc && str_eq(space, STR("ipc")))
            field_invalid(errors, at, name, "may not be specified when 'hostIPC' is true");
        name_set_add(&names, name, list);
    }
}

// ---- the two contexts

static void check_change_policy(FieldErrors *errors, const Value *context, const Path *path) {
    static const Str policies[] = {{"MountOption", 11}, {"Recursive", 9}};
    const Value *policy = GET(context, "seLinuxChangePolicy");
    if (policy && !str_eq(tree_string(policy), policies[0]) &&
        !str_eq(tree_string(policy), policies[1]))
        field_not_supported(errors, AT(path, "seLinuxChangePolicy"), tree_string(policy), policies,
                            2);
}

void pod_validate_security(FieldErrors *errors, const PodScope *scope) {
    const Value *context = GET(scope->spec, "securityContext");
    const Path *path = AT(scope->path, "securityContext");
    check_ids(errors, context, path);
    // In the internal type that upstream validates this is a part of the security context.
    if (value_bool_at(scope->spec, "shareProcessNamespace", false) &&
        value_bool_at(scope->spec, "hostPID", false))
        field_invalid_value(errors, AT(path, "shareProcessNamespace"),
                            GET(scope->spec, "shareProcessNamespace"),
                            "ShareProcessNamespace and HostPID cannot both be enabled");
    check_sysctls(errors, scope, GET(context, "sysctls"), AT(path, "sysctls"));
    check_profiles(errors, context, path);
    check_change_policy(errors, context, path);
}

static bool adds_admin(const Value *context) {
    const Value *add = value_at(context, "capabilities.add");
    for (uint32_t i = 0; i < list_count(add); i++)
        if (str_eq(tree_string(add->items[i]), STR("CAP_SYS_ADMIN")))
            return true;
    return false;
}

static void check_escalation(FieldErrors *errors, const Value *context, const Path *path) {
    bool privileged = value_bool_at(context, "privileged", false);
    if (value_bool_at(context, "allowPrivilegeEscalation", true) ||
        (!privileged && !adds_admin(context)))
        return;
    Value *shown = pod_internal_shape(errors->arena, kinds_type_SecurityContext(), context);
    if (privileged)
        field_invalid_value(errors, path, shown,
                            "cannot set `allowPrivilegeEscalation` to false and `privileged` to "
                            "true");
    if (adds_admin(context))
        field_invalid_value(errors, path, shown,
                            "cannot set `allowPrivilegeEscalation` to false and "
                            "`capabilities.Add` CAP_SYS_ADMIN");
}

void container_validate_security(FieldErrors *errors, const PodScope *scope, const Value *container,
                                 const Path *parent) {
    const Value *context = GET(container, "securityContext");
    const Path *path = AT(parent, "securityContext");
    check_ids(errors, context, path);
    Str proc = GET_STR(context, "procMount");
    if (scope->host_users && str_eq(proc, STR("Unmasked")))
        field_invalid(errors, AT(path, "procMount"), proc,
                      "`hostUsers` must be false to use `Unmasked`");
    check_escalation(errors, context, path);
    check_profiles(errors, context, path);
}
