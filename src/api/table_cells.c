#include "api/table_cells.h"

#include <stdlib.h>

#include "base/time.h"

Value *cell_string(const CellInput *input, Str text) {
    return value_new_string(input->arena, text.ptr ? text : STR(""));
}

Value *cell_age(const CellInput *input, Str time) {
    int64_t at;
    if (!time.len || time_parse(time, &at) != 0)
        return cell_string(input, STR("<unknown>"));
    return cell_string(input, time_human_duration(input->arena, input->now - at));
}

uint32_t cell_count(const Value *list) {
    return list && (list->kind == VALUE_ARRAY || list->kind == VALUE_OBJECT) ? list->n : 0;
}

Str cell_text(const CellInput *input) {
    return input->field && input->field->kind == VALUE_STRING ? input->field->string : STR_NONE;
}

void words_add(Words *words, Str word) {
    if (words->n == words->capacity) {
        size_t more = words->capacity ? words->capacity * 2 : 8;
        words->items = arena_grow(words->arena, words->items, words->capacity * sizeof(Str),
                                  more * sizeof(Str));
        words->capacity = more;
    }
    words->items[words->n++] = word;
}

static int compare_words(const void *a, const void *b) {
    return str_cmp(*(const Str *)a, *(const Str *)b);
}

void words_sort(Words *words) {
    if (words->n)
        qsort(words->items, words->n, sizeof(Str), compare_words);
}

Str words_join(const Words *words, Str separator, Str otherwise) {
    return words->n ? arena_concat(words->arena, words->items, words->n, separator) : otherwise;
}

// Any kind
// -----------------------------------------------------------------------------------------

static Value *age(const CellInput *input) {
    return cell_age(input, cell_text(input));
}

static Value *or_none(const CellInput *input) {
    Str text = cell_text(input);
    return cell_string(input, text.len ? text : STR("<none>"));
}

static Value *or_unknown(const CellInput *input) {
    Str text = cell_text(input);
    return cell_string(input, text.len ? text : STR("<unknown>"));
}

static Value *boolean(const CellInput *input) {
    return value_new_bool(input->arena, input->field && input->field->kind == VALUE_BOOL &&
                                            input->field->boolean);
}

static Value *joined(const CellInput *input) {
    Words words = {.arena = input->arena};
    for (uint32_t i = 0; i < cell_count(input->field); i++)
        if (input->field->items[i]->kind == VALUE_STRING)
            words_add(&words, input->field->items[i]->string);
    return cell_string(input, words_join(&words, STR(","), STR("<none>")));
}

static Value *counted(const CellInput *input) {
    return value_new_int(input->arena, cell_count(input->field));
}

static Value *labels(const CellInput *input) {
    Words words = {.arena = input->arena};
    for (uint32_t i = 0; i < cell_count(input->field); i++) {
        const Member *member = &input->field->members[i];
        Str pair[] = {member->key, STR("="),
                      member->value->kind == VALUE_STRING ? member->value->string : STR("")};
        words_add(&words, arena_concat(input->arena, pair, 3, STR("")));
    }
    words_sort(&words);
    return cell_string(input, words_join(&words, STR(","), STR("<none>")));
}

// Nodes
// --------------------------------------------------------------------------------------------

static Value *node_status(const CellInput *input) {
    const Value *conditions = value_at(input->object, "status.conditions");
    Str word = STR("Unknown");
    for (uint32_t i = 0; i < cell_count(conditions); i++)
        if (str_eq(value_string_at(conditions->items[i], "type"), STR("Ready")))
            word = str_eq(value_string_at(conditions->items[i], "status"), STR("True"))
                       ? STR("Ready")
                       : STR("NotReady");
    bool cordoned = value_bool_at(input->object, "spec.unschedulable", false);
    return cell_string(
        input,
        cordoned ? arena_printf(input->arena, "%.*s,SchedulingDisabled", STR_ARG(word)) : word);
}

static Value *node_roles(const CellInput *input) {
    const Value *all = value_at(input->object, "metadata.labels");
    Words words = {.arena = input->arena};
    for (uint32_t i = 0; i < cell_count(all); i++) {
        Str key = all->members[i].key, prefix = STR("node-role.kubernetes.io/");
        if (str_starts_with(key, prefix) && key.len > prefix.len)
            words_add(&words, str_slice(key, prefix.len, key.len));
        else if (str_eq(key, STR("kubernetes.io/role")) &&
                 all->members[i].value->kind == VALUE_STRING && all->members[i].value->string.len)
            words_add(&words, all->members[i].value->string);
    }
    words_sort(&words);
    return cell_string(input, words_join(&words, STR(","), STR("<none>")));
}

static Value *node_address(const CellInput *input, Str type) {
    const Value *addresses = value_at(input->object, "status.addresses");
    for (uint32_t i = 0; i < cell_count(addresses); i++)
        if (str_eq(value_string_at(addresses->items[i], "type"), type))
            return cell_string(input, value_string_at(addresses->items[i], "address"));
    return cell_string(input, STR("<none>"));
}

static Value *node_address_internal(const CellInput *input) {
    return node_address(input, STR("InternalIP"));
}
static Value *node_address_external(const CellInput *input) {
    return node_address(input, STR("ExternalIP"));
}

// Config maps, secrets
// -------------------------------------------------------------------------------

static Value *config_map_size(const CellInput *input) {
    return value_new_int(input->arena, cell_count(value_get(input->object, STR("data"))) +
                                           cell_count(value_get(input->object, STR("binaryData"))));
}

static Value *secret_size(const CellInput *input) {
    return value_new_int(input->arena, cell_count(value_get(input->object, STR("data"))));
}

static Value *usage_cpu(const CellInput *input) {
    return cell_string(input, value_string_at(input->object, "usage.cpu"));
}

static Value *usage_memory(const CellInput *input) {
    return cell_string(input, value_string_at(input->object, "usage.memory"));
}

// Services and endpoints
// -----------------------------------------------------------------------------

static Value *endpoints_addresses(const CellInput *input) {
    const Value *subsets = value_get(input->object, STR("subsets"));
    Words words = {.arena = input->arena};
    size_t total = 0;
    for (uint32_t i = 0; i < cell_count(subsets); i++) {
        const Value *addresses = value_get(subsets->items[i], STR("addresses")),
                    *ports = value_get(subsets->items[i], STR("ports"));
        uint32_t n_ports = cell_count(ports);
        for (uint32_t p = 0; p < (n_ports ? n_ports : 1); p++)
            for (uint32_t j = 0; j < cell_count(addresses); j++) {
                if (total++ >= 3)
                    continue;
                Str ip = value_string_at(addresses->items[j], "ip");
                words_add(&words, n_ports ? arena_printf(
                                                input->arena, "%.*s:%lld", STR_ARG(ip),
                                                (long long)value_int_at(ports->items[p], "port", 0))
                                          : ip);
            }
    }
    Str text = words_join(&words, STR(","), STR("<none>"));
    if (total > 3)
        text = arena_printf(input->arena, "%.*s + %zu more...", STR_ARG(text), total - 3);
    return cell_string(input, text);
}

static Value *service_cluster_ip(const CellInput *input) {
    const Value *ips = value_at(input->object, "spec.clusterIPs");
    Str ip = cell_count(ips) ? ips->items[0]->string : value_string_at(input->object, "spec.clusterIP");
    return cell_string(input, ip.len ? ip : STR("<none>"));
}

static void add_external_ips(Words *words, const Value *service) {
    const Value *ips = value_at(service, "spec.externalIPs");
    for (uint32_t i = 0; i < cell_count(ips); i++)
        words_add(words, ips->items[i]->string);
}

static Value *service_external_ip(const CellInput *input) {
    const Value *service = input->object;
    Str type = value_string_at(service, "spec.type"), otherwise = STR("<none>");
    Words words = {.arena = input->arena};
    if (str_eq(type, STR("ExternalName")))
        return cell_string(input, value_string_at(service, "spec.externalName"));
    if (str_eq(type, STR("LoadBalancer"))) {
        const Value *ingress = value_at(service, "status.loadBalancer.ingress");
        for (uint32_t i = 0; i < cell_count(ingress); i++) {
            Str ip = value_string_at(ingress->items[i], "ip");
            words_add(&words, ip.len ? ip : value_string_at(ingress->items[i], "hostname"));
        }
        otherwise = STR("<pending>");
    }
    add_external_ips(&words, service);
    return cell_string(input, words_join(&words, STR(","), otherwise));
}

static Value *service_ports(const CellInput *input) {
    const Value *ports = value_at(input->object, "spec.ports");
    Words words = {.arena = input->arena};
    for (uint32_t i = 0; i < cell_count(ports); i++) {
        const Value *port = ports->items[i];
        Str protocol = value_string_at(port, "protocol");
        long long number = value_int_at(port, "port", 0),
                  node_port = value_int_at(port, "nodePort", 0);
        if (!protocol.len)
            protocol = STR("TCP");
        words_add(&words, node_port
                              ? arena_printf(input->arena, "%lld:%lld/%.*s", number, node_port,
                                             STR_ARG(protocol))
                              : arena_printf(input->arena, "%lld/%.*s", number, STR_ARG(protocol)));
    }
    return cell_string(input, words_join(&words, STR(","), STR("<none>")));
}

// Events, in the core group's form and in events.k8s.io's
// ----------------------------------------------

static Str first_of(const Value *object, const char *const *paths, size_t n) {
    for (size_t i = 0; i < n; i++) {
        Str text = value_string_at(object, paths[i]);
        if (text.len)
            return text;
    }
    return STR_NONE;
}
#define FIRST_OF(object, ...)                                                                      \
    first_of(object, (const char *const[]){__VA_ARGS__},                                           \
             sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static Value *event_last_seen(const CellInput *input) {
    return cell_age(input, FIRST_OF(input->object, "series.lastObservedTime", "lastTimestamp",
                                    "deprecatedLastTimestamp", "eventTime"));
}

static Value *event_first_seen(const CellInput *input) {
    return cell_age(
        input, FIRST_OF(input->object, "firstTimestamp", "deprecatedFirstTimestamp", "eventTime"));
}

static Value *event_count(const CellInput *input) {
    int64_t number = value_int_at(input->object, "series.count", 0);
    if (!number)
        number =
            value_int_at(input->object, "count", value_int_at(input->object, "deprecatedCount", 0));
    if (!number && value_string_at(input->object, "eventTime").len)
        number = 1;
    return cell_string(input, arena_printf(input->arena, "%lld", (long long)number));
}

static Value *event_object(const CellInput *input) {
    Str kind = FIRST_OF(input->object, "involvedObject.kind", "regarding.kind");
    Str name = FIRST_OF(input->object, "involvedObject.name", "regarding.name");
    Str text = arena_printf(input->arena, "%.*s/%.*s", STR_ARG(kind), STR_ARG(name));
    char *letters = (char *)text.ptr;
    for (size_t i = 0; i < kind.len; i++)
        if (letters[i] >= 'A' && letters[i] <= 'Z')
            letters[i] += 'a' - 'A';
    return cell_string(input, text);
}

static Value *event_source(const CellInput *input) {
    Str component = FIRST_OF(input->object, "source.component", "deprecatedSource.component");
    Str host = FIRST_OF(input->object, "source.host", "deprecatedSource.host");
    if (!component.len) {
        component = FIRST_OF(input->object, "reportingComponent", "reportingController");
        host = value_string_at(input->object, "reportingInstance");
    }
    return cell_string(input, host.len ? arena_printf(input->arena, "%.*s, %.*s",
                                                      STR_ARG(component), STR_ARG(host))
                                       : component);
}

static Value *event_message(const CellInput *input) {
    return cell_string(input, str_trim(FIRST_OF(input->object, "message", "note")));
}

// RBAC
// ---------------------------------------------------------------------------------------------

static Value *role_ref(const CellInput *input) {
    return cell_string(input,
                       arena_printf(input->arena, "%.*s/%.*s",
                                    STR_ARG(value_string_at(input->object, "roleRef.kind")),
                                    STR_ARG(value_string_at(input->object, "roleRef.name"))));
}

static Value *subjects(const CellInput *input, Str kind, bool with_namespace) {
    const Value *all = value_get(input->object, STR("subjects"));
    Words words = {.arena = input->arena};
    for (uint32_t i = 0; i < cell_count(all); i++) {
        const Value *subject = all->items[i];
        if (!str_eq(value_string_at(subject, "kind"), kind))
            continue;
        Str name = value_string_at(subject, "name");
        words_add(&words,
                  with_namespace
                      ? arena_printf(input->arena, "%.*s/%.*s",
                                     STR_ARG(value_string_at(subject, "namespace")), STR_ARG(name))
                      : name);
    }
    return cell_string(input, words_join(&words, STR(", "), STR("")));
}

static Value *subjects_users(const CellInput *input) {
    return subjects(input, STR("User"), false);
}
static Value *subjects_groups(const CellInput *input) {
    return subjects(input, STR("Group"), false);
}
static Value *subjects_service_accounts(const CellInput *input) {
    return subjects(input, STR("ServiceAccount"), true);
}

// Admission policies
// -----------------------------------------------------------------------------------

static Value *policy_param_kind(const CellInput *input) {
    if (!input->field)
        return cell_string(input, STR("<unset>"));
    return cell_string(input, arena_printf(input->arena, "%.*s/%.*s",
                                           STR_ARG(value_string_at(input->field, "apiVersion")),
                                           STR_ARG(value_string_at(input->field, "kind"))));
}

static Value *policy_param_ref(const CellInput *input) {
    Str name = value_string_at(input->field, "name");
    Str namespace_ = value_string_at(input->field, "namespace");
    if (!name.len)
        return cell_string(input, STR("<unset>"));
    return cell_string(input, namespace_.len ? arena_printf(input->arena, "%.*s/%.*s",
                                                            STR_ARG(namespace_), STR_ARG(name))
                                             : name);
}

CellFunction cell_find(const CellEntry *table, size_t n, Str name) {
    for (size_t i = 0; i < n; i++)
        if (str_eq(table[i].name, name))
            return table[i].function;
    return NULL;
}

CellFunction table_cell_function(Str name) {
    static const CellEntry table[] = {
        {STR("age"), age},
        {STR("or_none"), or_none},
        {STR("or_unknown"), or_unknown},
        {STR("bool"), boolean},
        {STR("joined"), joined},
        {STR("count"), counted},
        {STR("labels"), labels},
        {STR("pod_ready"), cell_pod_ready},
        {STR("pod_status"), cell_pod_status},
        {STR("pod_restarts"), cell_pod_restarts},
        {STR("pod_ip"), cell_pod_ip},
        {STR("pod_readiness_gates"), cell_pod_readiness_gates},
        {STR("node_status"), node_status},
        {STR("node_roles"), node_roles},
        {STR("node_address_internal"), node_address_internal},
        {STR("node_address_external"), node_address_external},
        {STR("config_map_size"), config_map_size},
        {STR("secret_size"), secret_size},
        {STR("endpoints_addresses"), endpoints_addresses},
        {STR("service_cluster_ip"), service_cluster_ip},
        {STR("service_external_ip"), service_external_ip},
        {STR("service_ports"), service_ports},
        {STR("event_last_seen"), event_last_seen},
        {STR("event_first_seen"), event_first_seen},
        {STR("event_count"), event_count},
        {STR("event_object"), event_object},
        {STR("event_source"), event_source},
        {STR("event_message"), event_message},
        {STR("role_ref"), role_ref},
        {STR("usage_cpu"), usage_cpu},
        {STR("usage_memory"), usage_memory},
        {STR("subjects_users"), subjects_users},
        {STR("subjects_groups"), subjects_groups},
        {STR("subjects_service_accounts"), subjects_service_accounts},
        {STR("policy_param_kind"), policy_param_kind},
        {STR("policy_param_ref"), policy_param_ref},
    };
    CellFunction function = cell_find(table, sizeof table / sizeof *table, name);
    if (!function)
        function = table_storage_cell(name);
    if (!function)
        function = table_workload_cell(name);
    return function ? function : table_cluster_cell(name);
}
