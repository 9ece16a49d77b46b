// Warnings about pods that are allowed, but hardly meant: pkg/api/pod/warnings.go upstream.

#include "base/quantity.h"
#include "kinds/pod.h"
#include "schema/format.h"
#include "schema/path.h"

typedef struct Warnings {
    Arena *arena;
    ValuePaths *list;
    const Value *pod, *spec;     // or a template
    const Path *path, *metadata; // of both
    NameSet ports;               // PortGroups by number and protocol
    unsigned n_ports;
} Warnings;

static void add(Warnings *w, const Path *path, Str text) {
    warning_add(w->arena, w->list, path, text);
}

static void add_text(Warnings *w, const Path *path, const char *text) {
    add(w, path, str_from(text));
}

// Calls with each container of every kind and its path.
typedef void Visit(Warnings *w, const Value *container, const Path *path);
static void visit(Warnings *w, Visit *fn) {
    static const Str lists[] = {
        {"initContainers", 14}, {"containers", 10}, {"ephemeralContainers", 19}};
    for (size_t k = 0; k < 3; k++) {
        const Value *list = value_get(w->spec, lists[k]);
        for (uint32_t i = 0; i < list_count(list); i++)
            fn(w, list->items[i], PATH_INDEX(PATH(w->path, lists[k]), i));
    }
}

// ---- node labels that were renamed

static const struct {
    const char *old, *now;
} labels[] = {
    {"beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"},
    {"beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"},
    {"failure-domain.beta.kubernetes.io/region",
     "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead"},
    {"failure-domain.beta.kubernetes.io/zone",
     "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"},
    {"beta.kubernetes.io/instance-type",
     "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"},
    {"app.kubernetes.io/created-by", "deprecated since v1.9"},
    {"scheduler.alpha.kubernetes.io/preferAvoidPods",
     "deprecated since v1.22; use Taints and Tolerations instead"},
    {"node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead"},
};

static const char *renamed(Str label) {
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++)
        if (str_eq(label, str_from(labels[i].old)))
            return labels[i].now;
    return NULL;
}

// Values of a wish are not checked otherwise.
static void warn_values(Warnings *w, const Value *values, const Path *path) {
    for (uint32_t i = 0; i < list_count(values); i++) {
        Str value = tree_string(values->items[i]);
        FormatProblems problems = format_check(w->arena, FORMAT_LABEL_VALUE, value);
        for (size_t k = 0; k < problems.n; k++)
            add(w, PATH_INDEX(path, i),
                arena_printf(w->arena, "%.*s is invalid, %.*s", STR_ARG(value),
                             STR_ARG(problems.messages[k])));
    }
}

static void warn_term(Warnings *w, const Value *term, bool check_values, const Path *path) {
    const Value *expressions = GET(term, "matchExpressions");
    for (uint32_t i = 0; i < list_count(expressions); i++) {
        Str key = GET_STR(expressions->items[i], "key");
        const Path *at = PATH_INDEX(AT(path, "matchExpressions"), i);
        const char *wrong = renamed(key);
        if (wrong)
            add(w, AT(at, "key"), arena_printf(w->arena, "%.*s is %s", STR_ARG(key), wrong));
        if (check_values)
            warn_values(w, GET(expressions->items[i], "values"), AT(at, "values"));
    }
}

#define REQUIRED "requiredDuringSchedulingIgnoredDuringExecution"
#define PREFERRED "preferredDuringSchedulingIgnoredDuringExecution"
#define NULL_SELECTOR "a null labelSelector results in matching no pod"

static void warn_node_affinity(Warnings *w, const Value *affinity, const Path *path) {
    const Value *terms = value_at(affinity, REQUIRED ".nodeSelectorTerms");
    const Value *preferred = GET(affinity, PREFERRED);
    for (uint32_t i = 0; i < list_count(terms); i++)
        warn_term(w, terms->items[i], false,
                  PATH_INDEX(AT(AT(path, REQUIRED), "nodeSelectorTerms"), i));
    for (uint32_t i = 0; i < list_count(preferred); i++)
        warn_term(w, GET(preferred->items[i], "preference"), true,
                  AT(PATH_INDEX(AT(path, PREFERRED), i), "preference"));
}

static void warn_pod_affinity(Warnings *w, const Value *affinity, const Path *path) {
    const Value *required = GET(affinity, REQUIRED), *preferred = GET(affinity, PREFERRED);
    for (uint32_t i = 0; i < list_count(required); i++)
        if (!GET(required->items[i], "labelSelector"))
            add_text(w, AT(PATH_INDEX(AT(path, REQUIRED), i), "labelSelector"), NULL_SELECTOR);
    for (uint32_t i = 0; i < list_count(preferred); i++)
        if (!value_at(preferred->items[i], "podAffinityTerm.labelSelector"))
            add_text(w,
                     AT(AT(PATH_INDEX(AT(path, PREFERRED), i), "podAffinityTerm"), "labelSelector"),
                     NULL_SELECTOR);
}

static void warn_scheduling(Warnings *w) {
    const Value *selector = GET(w->spec, "nodeSelector");
    const Value *spread = GET(w->spec, "topologySpreadConstraints");
    const Value *affinity = GET(w->spec, "affinity");
    const Path *path = AT(w->path, "affinity");
    const char *wrong;
    for (uint32_t i = 0; i < map_count_of(selector); i++)
        if ((wrong = renamed(selector->members[i].key)))
            add_text(w, PATH_KEY(AT(w->path, "nodeSelector"), selector->members[i].key), wrong);
    warn_node_affinity(w, GET(affinity, "nodeAffinity"), AT(path, "nodeAffinity"));
    for (uint32_t i = 0; i < list_count(spread); i++) {
        const Path *at = PATH_INDEX(AT(w->path, "topologySpreadConstraints"), i);
        Str key = GET_STR(spread->items[i], "topologyKey");
        if ((wrong = renamed(key)))
            add(w, AT(at, "topologyKey"),
                arena_printf(w->arena, "%.*s is %s", STR_ARG(key), wrong));
        if (!GET(spread->items[i], "labelSelector"))
            add_text(w, AT(at, "labelSelector"), NULL_SELECTOR);
    }
    warn_pod_affinity(w, GET(affinity, "podAffinity"), AT(path, "podAffinity"));
    warn_pod_affinity(w, GET(affinity, "podAntiAffinity"), AT(path, "podAntiAffinity"));
}

// ---- annotations and fields of old

static const struct {
    const char *name, *text;
} annotations[] = {
    {"scheduler.alpha.kubernetes.io/critical-pod",
     "non-functional in v1.16+; use the \"priorityClassName\" field instead"},
    {"security.alpha.kubernetes.io/sysctls",
     "non-functional in v1.11+; use the \"sysctls\" field instead"},
    {"security.alpha.kubernetes.io/unsafe-sysctls",
     "non-functional in v1.11+; use the \"sysctls\" field instead"},
};
static const struct {
    const char *name, *text;
} volumes[] = {
    {"photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"},
    {"gitRepo", "deprecated in v1.11"},
    {"scaleIO", "deprecated in v1.16, non-functional in v1.22+"},
    {"flocker", "deprecated in v1.22, non-functional in v1.25+"},
    {"storageos", "deprecated in v1.22, non-functional in v1.25+"},
    {"quobyte", "deprecated in v1.22, non-functional in v1.25+"},
    {"glusterfs", "deprecated in v1.25, non-functional in v1.26+"},
    {"cephfs", "deprecated in v1.28, non-functional in v1.31+"},
    {"rbd", "deprecated in v1.28, non-functional in v1.31+"},
};

#define SECCOMP_TEXT "non-functional in v1.27+; use the \"seccompProfile\" field instead"

static void warn_annotation(Warnings *w, Str key, const char *text) {
    if (value_get(value_at(w->pod, "metadata.annotations"), key))
        add_text(w, PATH_KEY(AT(w->metadata, "annotations"), key), text);
}

static void warn_old(Warnings *w) {
    const Value *list = GET(w->spec, "volumes");
    for (size_t i = 0; i < sizeof annotations / sizeof *annotations; i++)
        warn_annotation(w, str_from(annotations[i].name), annotations[i].text);
    for (uint32_t i = 0; i < list_count(list); i++)
        for (size_t k = 0; k < sizeof volumes / sizeof *volumes; k++)
            if (value_get(list->items[i], str_from(volumes[k].name)))
                add_text(w,
                         PATH(PATH_INDEX(AT(w->path, "volumes"), i),
                              str_from(strcmp(volumes[k].name, "storageos") ? volumes[k].name
                                                                            : "storageOS")),
                         volumes[k].text);
    if (!value_at(w->spec, "securityContext.seccompProfile"))
        warn_annotation(w, STR("seccomp.security.alpha.kubernetes.io/pod"), SECCOMP_TEXT);
}

static void warn_old_in_container(Warnings *w, const Value *container, const Path *path) {
    Str seccomp[] = {STR("container.seccomp.security.alpha.kubernetes.io/"),
                     GET_STR(container, "name")};
    Str apparmor[] = {STR("container.apparmor.security.beta.kubernetes.io/"), seccomp[1]};
    if (!value_at(container, "securityContext.seccompProfile"))
        warn_annotation(w, arena_concat(w->arena, seccomp, 2, STR("")), SECCOMP_TEXT);
    warn_annotation(w, arena_concat(w->arena, apparmor, 2, STR("")),
                    "deprecated since v1.30; use the \"appArmorProfile\" field instead");
}

// ---- doubles

static void warn_doubles(Warnings *w, const char *list_name, const char *key) {
    const Value *list = value_get(w->spec, str_from(list_name));
    _name_set_deinit_ NameSet seen = {.n = 0};
    for (uint32_t i = 0; i < list_count(list); i++) {
        Str value = tree_string(value_get(list->items[i], str_from(key)));
        if (name_set_add(&seen, value, list))
            add(w, PATH(PATH_INDEX(PATH(w->path, str_from(list_name)), i), str_from(key)),
                arena_printf(w->arena, "duplicate %s \"%.*s\"", key, STR_ARG(value)));
    }
}

static void warn_secret_names(Warnings *w) {
    const Value *list = GET(w->spec, "imagePullSecrets");
    for (uint32_t i = 0; i < list_count(list); i++)
        if (!GET_STR(list->items[i], "name").len)
            add_text(w, AT(PATH_INDEX(AT(w->path, "imagePullSecrets"), i), "name"),
                     "invalid empty name \"\"");
}

static bool contains(Str text, Str part) {
    for (size_t i = 0; i + part.len <= text.len; i++)
        if (!memcmp(text.ptr + i, part.ptr, part.len))
            return true;
    return false;
}

// X="abc", X="$(X)123" is fine: the second builds on the first.
static void warn_env(Warnings *w, const Value *container, const Path *path) {
    const Value *env = GET(container, "env");
    _name_set_deinit_ NameSet seen = {.n = 0};
    for (uint32_t i = 0; i < list_count(env); i++) {
        const Value *variable = env->items[i];
        Str name = GET_STR(variable, "name"), value = GET_STR(variable, "value");
        if (!name_set_add(&seen, name, env))
            continue;
        Str parts[] = {STR("$("), name, STR(")")};
        Str reference = arena_concat(w->arena, parts, 3, STR(""));
        if (GET(variable, "valueFrom") || str_eq(value, reference) || !contains(value, reference))
            add(w, PATH_INDEX(AT(path, "env"), i),
                arena_printf(w->arena,
                             "hides previous definition of \"%.*s\", which may be dropped when "
                             "using apply",
                             STR_ARG(name)));
    }
}

// ---- ports

typedef struct Port {
    struct Port *next; // of the same number and protocol
    Str where, host_ip;
    int64_t host;
} Port;
typedef struct PortGroup {
    Port *first, *last;
} PortGroup;

#define MAX_PORTS 1000 // that are compared with each other

static const char *compare_ports(const Port *port, const Port *other) {
    if (str_eq(port->host_ip, other->host_ip) && port->host == other->host)
        return "duplicate port definition with";
    if (!port->host || !other->host)
        return "overlapping port definition with";
    if (port->host == other->host && !port->host_ip.len != !other->host_ip.len)
        return "dangerously ambiguous port definition with";
    return NULL;
}

static void warn_port(Warnings *w, const Value *value, const Path *path) {
    int64_t number = value_int_at(value, "containerPort", 0);
    Str key =
        arena_printf(w->arena, "%lld/%.*s", (long long)number, STR_ARG(GET_STR(value, "protocol")));
    Port *port = arena_new_of(w->arena, Port);
    *port = (Port){.where = path_str(w->arena, path),
                   .host_ip = GET_STR(value, "hostIP"),
                   .host = value_int_at(value, "hostPort", 0)};
    PortGroup *group = (PortGroup *)name_set_get(&w->ports, key);
    if (port->host_ip.len && !port->host)
        add(w, path, STR("hostIP set without hostPort"));
    if (!group) {
        group = arena_new_of(w->arena, PortGroup);
        *group = (PortGroup){.first = port, .last = port};
        name_set_add(&w->ports, key, group);
        return;
    }
    for (const Port *other = group->first; other; other = other->next) {
        const char *relation = compare_ports(port, other);
        if (relation)
            add(w, path, arena_printf(w->arena, "%s %.*s", relation, STR_ARG(other->where)));
    }
    group->last->next = port;
    group->last = port;
}

static void warn_ports(Warnings *w, const Value *container, const Path *path) {
    const Value *ports = GET(container, "ports");
    for (uint32_t i = 0; i < list_count(ports) && w->n_ports < MAX_PORTS; i++, w->n_ports++)
        warn_port(w, ports->items[i], PATH_INDEX(AT(path, "ports"), i));
}

// ---- bytes come in whole numbers

static void warn_fractions(Warnings *w, const Value *list, const Path *path) {
    static const Str names[] = {{"memory", 6}, {"ephemeral-storage", 17}};
    for (size_t i = 0; list && i < 2; i++) {
        Str text = tree_string(value_get(list, names[i]));
        Quantity quantity;
        if (text.len && quantity_parse(text, &quantity) == 0 &&
            quantity_milli_value(quantity) % 1000)
            add(w, PATH_KEY(path, names[i]),
                arena_printf(w->arena,
                             "fractional byte value \"%.*s\" is invalid, must be an integer",
                             STR_ARG(text)));
    }
}

static void warn_resources(Warnings *w, const Value *container, const Path *path) {
    const Value *resources = GET(container, "resources");
    warn_fractions(w, GET(resources, "limits"), AT(AT(path, "resources"), "limits"));
    warn_fractions(w, GET(resources, "requests"), AT(AT(path, "resources"), "requests"));
}

void pod_name_warn(Arena *arena, const Value *object, const char *where, ValuePaths *list) {
    FormatProblems problems =
        format_check(arena, FORMAT_DNS_LABEL, value_string_at(object, "metadata.name"));
    if (!problems.n)
        return;
    Str all = arena_concat(arena, problems.messages, problems.n, STR(" "));
    Warnings w = {.arena = arena, .list = list};
    add(&w, AT(PATH(NULL, STR("metadata")), "name"),
        arena_printf(arena,
                     "this is used in %s, which can result in surprising behavior; a DNS label is "
                     "recommended: [%.*s]",
                     where, STR_ARG(all)));
}

static void warn_all(Warnings *w) {
    warn_scheduling(w);
    warn_old(w);
    warn_doubles(w, "hostAliases", "ip");
    warn_doubles(w, "imagePullSecrets", "name");
    warn_secret_names(w);
    warn_fractions(w, GET(w->spec, "overhead"), AT(w->path, "overhead"));
    if (value_at(w->pod, "metadata.annotations"))
        visit(w, warn_old_in_container);
    visit(w, warn_resources);
    visit(w, warn_env);
    visit(w, warn_ports);
    name_set_deinit(&w->ports);
    if (value_int_at(w->spec, "terminationGracePeriodSeconds", 0) < 0)
        add_text(w, AT(w->path, "terminationGracePeriodSeconds"),
                 "must be >= 0; negative values are invalid and will be treated as 1");
}

void pod_warn(Arena *arena, const Value *pod, ValuePaths *list) {
    Warnings w = {.arena = arena,
                  .list = list,
                  .pod = pod,
                  .spec = GET(pod, "spec"),
                  .path = &pod_spec_path,
                  .metadata = PATH(NULL, STR("metadata"))};
    pod_name_warn(arena, pod, "the Pod's hostname", list);
    warn_all(&w);
}

void pod_template_warn(Arena *arena, const Value *template, const Path *path, ValuePaths *list) {
    Warnings w = {.arena = arena,
                  .list = list,
                  .pod = template,
                  .spec = GET(template, "spec"),
                  .path = AT(path, "spec"),
                  .metadata = AT(path, "metadata")};
    warn_all(&w);
}
