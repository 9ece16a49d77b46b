// Cells of quotas, endpoint slices and other kinds of the cluster: upstream's
// pkg/printers/internalversion.

#include "api/table_cells.h"
#include "base/loop.h"
#include "base/time.h"

// ---- quotas

static Value *quota(const CellInput *input, bool limits) {
    const Value *hard = value_at(input->object, "status.hard"),
                *used = value_at(input->object, "status.used");
    Words words = {.arena = input->arena};
    for (uint32_t i = 0; hard && hard->kind == VALUE_OBJECT && i < hard->n; i++) {
        Str name = hard->members[i].key;
        if (str_starts_with(name, STR("limits.")) != limits)
            continue;
        const Value *use = value_get(used, name);
        words_add(&words, arena_printf(input->arena, "%.*s: %.*s/%.*s", STR_ARG(name),
                                       STR_ARG(use ? use->string : STR("0")),
                                       STR_ARG(hard->members[i].value->string)));
    }
    words_sort(&words);
    return cell_string(input, words_join(&words, STR(", "), STR("")));
}

static Value *quota_requests(const CellInput *input) {
    return quota(input, false);
}
static Value *quota_limits(const CellInput *input) {
    return quota(input, true);
}

// ---- endpoint slices

// The first three words, and how many more there are (listWithMoreString).
static Value *first_three(const CellInput *input, const Words *words, size_t total) {
    Str text = words_join(words, STR(","), STR("<unset>"));
    if (total > 3)
        text = arena_printf(input->arena, "%.*s + %zu more...", STR_ARG(text), total - 3);
    return cell_string(input, text);
}

static Value *endpoint_slice_ports(const CellInput *input) {
    const Value *ports = value_get(input->object, STR("ports"));
    Words words = {.arena = input->arena};
    for (uint32_t i = 0; i < cell_count(ports) && i < 3; i++) {
        const Value *port = ports->items[i], *number = value_get(port, STR("port"));
        Str name = value_string_at(port, "name");
        if (number)
            words_add(&words, arena_printf(input->arena, "%lld", (long long)number->integer));
        else
            words_add(&words, name.ptr ? name : STR("*"));
    }
    return first_three(input, &words, cell_count(ports));
}

static Value *endpoint_slice_addresses(const CellInput *input) {
    const Value *endpoints = value_get(input->object, STR("endpoints"));
    Words words = {.arena = input->arena};
    size_t total = 0;
    for (uint32_t i = 0; i < cell_count(endpoints); i++) {
        const Value *addresses = value_get(endpoints->items[i], STR("addresses"));
        for (uint32_t j = 0; j < cell_count(addresses); j++)
            if (total++ < 3)
                words_add(&words, addresses->items[j]->string);
    }
    return first_three(input, &words, total);
}

// ---- networking

static Value *ingress_class_parameters(const CellInput *input) {
    const Value *parameters = value_at(input->object, "spec.parameters");
    if (!parameters)
        return cell_string(input, STR("<none>"));
    Str group = value_string_at(parameters, "apiGroup");
    return cell_string(input, arena_printf(input->arena, "%.*s%s%.*s/%.*s",
                                           STR_ARG(value_string_at(parameters, "kind")),
                                           group.ptr ? "." : "", STR_ARG(group),
                                           STR_ARG(value_string_at(parameters, "name"))));
}

static Value *ingress_hosts(const CellInput *input) {
    const Value *rules = value_at(input->object, "spec.rules");
    Words words = {.arena = input->arena};
    uint32_t i = 0;
    for (; i < cell_count(rules) && words.n < 3; i++) {
        Str host = value_string_at(rules->items[i], "host");
        if (host.len)
            words_add(&words, host);
    }
    Str text = words_join(&words, STR(","), STR("*"));
    if (i < cell_count(rules))
        text =
            arena_printf(input->arena, "%.*s + %u more...", STR_ARG(text), cell_count(rules) - 3);
    return cell_string(input, text);
}

static Value *ingress_ports(const CellInput *input) {
    return cell_string(input, cell_count(value_at(input->object, "spec.tls")) ? STR("80, 443")
                                                                              : STR("80"));
}

static Value *load_balancer(const CellInput *input) {
    const Value *ingress = value_get(input->field, STR("ingress"));
    Words words = {.arena = input->arena};
    for (uint32_t i = 0; i < cell_count(ingress); i++) {
        Str ip = value_string_at(ingress->items[i], "ip");
        words_add(&words, ip.len ? ip : value_string_at(ingress->items[i], "hostname"));
    }
    words_sort(&words);
    return cell_string(input, words_join(&words, STR(","), STR("")));
}

static Value *ip_address_parent(const CellInput *input) {
    const Value *parent = value_at(input->object, "spec.parentRef");
    Str group = value_string_at(parent, "group"), namespace_ = value_string_at(parent, "namespace");
    return cell_string(input,
                       arena_printf(input->arena, "%.*s%s%.*s%s%.*s/%.*s",
                                    STR_ARG(value_string_at(parent, "resource")),
                                    group.len ? "." : "", STR_ARG(group), namespace_.len ? "/" : "",
                                    STR_ARG(namespace_), STR_ARG(value_string_at(parent, "name"))));
}

// ---- flow control

static Value *number_or_none(const CellInput *input) {
    if (input->field && input->field->kind == VALUE_INT)
        return (Value *)input->field;
    return cell_string(input, STR("<none>"));
}

static const Value *condition(const Value *object, Str type) {
    const Value *conditions = value_at(object, "status.conditions");
    for (uint32_t i = 0; i < cell_count(conditions); i++)
        if (str_eq(value_string_at(conditions->items[i], "type"), type))
            return conditions->items[i];
    return NULL;
}

static Value *flow_schema_dangling(const CellInput *input) {
    const Value *dangling = condition(input->object, STR("Dangling"));
    return cell_string(input, dangling ? value_string_at(dangling, "status") : STR("?"));
}

// ---- certificates, devices, API services

static Value *duration(const CellInput *input) {
    if (!input->field || input->field->kind != VALUE_INT)
        return cell_string(input, STR("<none>"));
    return cell_string(input,
                       time_human_duration(input->arena, input->field->integer * NSEC_PER_SEC));
}

static Value *csr_condition(const CellInput *input) {
    const char *state = condition(input->object, STR("Denied"))     ? "Denied"
                        : condition(input->object, STR("Approved")) ? "Approved"
                                                                    : "Pending";
    bool failed = condition(input->object, STR("Failed")),
         issued = value_string_at(input->object, "status.certificate").len > 0;
    return cell_string(input, arena_printf(input->arena, "%s%s%s", state, failed ? ",Failed" : "",
                                           issued ? ",Issued" : ""));
}

static Value *resource_claim_state(const CellInput *input) {
    bool going = value_at(input->object, "metadata.deletionTimestamp"),
         allocated = value_at(input->object, "status.allocation");
    Words words = {.arena = input->arena};
    if (going)
        words_add(&words, STR("deleted"));
    if (allocated)
        words_add(&words, STR("allocated"));
    else if (!going)
        words_add(&words, STR("pending"));
    if (allocated && cell_count(value_at(input->object, "status.reservedFor")))
        words_add(&words, STR("reserved"));
    return cell_string(input, words_join(&words, STR(","), STR("")));
}

static Value *api_service_backend(const CellInput *input) {
    const Value *service = value_at(input->object, "spec.service");
    if (!service)
        return cell_string(input, STR("Local"));
    return cell_string(input, arena_printf(input->arena, "%.*s/%.*s",
                                           STR_ARG(value_string_at(service, "namespace")),
                                           STR_ARG(value_string_at(service, "name"))));
}

static Value *api_service_available(const CellInput *input) {
    const Value *available = condition(input->object, STR("Available"));
    Str status = value_string_at(available, "status"),
        reason = value_string_at(available, "reason");
    if (!available)
        return cell_string(input, STR("Unknown"));
    if (str_eq(status, STR("True")) || !reason.len)
        return cell_string(input, status);
    return cell_string(input,
                       arena_printf(input->arena, "%.*s (%.*s)", STR_ARG(status), STR_ARG(reason)));
}

static Value *component(const CellInput *input, Str member, Str yes, Str otherwise) {
    const Value *conditions = value_get(input->object, STR("conditions"));
    for (uint32_t i = 0; i < cell_count(conditions); i++) {
        if (!str_eq(value_string_at(conditions->items[i], "type"), STR("Healthy")))
            continue;
        const Value *value = value_get(conditions->items[i], member);
        Str text = value && value->kind == VALUE_STRING ? value->string : STR("");
        if (!yes.len)
            return cell_string(input, text);
        return cell_string(input, str_eq(text, STR("True")) ? yes : otherwise);
    }
    return cell_string(input, otherwise);
}

static Value *component_status(const CellInput *input) {
    return component(input, STR("status"), STR("Healthy"), STR("Unhealthy"));
}
static Value *component_message(const CellInput *input) {
    return component(input, STR("message"), STR(""), STR(""));
}
static Value *component_error(const CellInput *input) {
    return component(input, STR("error"), STR(""), STR(""));
}

CellFunction table_cluster_cell(Str name) {
    static const CellEntry table[] = {
        {STR("quota_requests"), quota_requests},
        {STR("quota_limits"), quota_limits},
        {STR("endpoint_slice_ports"), endpoint_slice_ports},
        {STR("endpoint_slice_addresses"), endpoint_slice_addresses},
        {STR("ingress_class_parameters"), ingress_class_parameters},
        {STR("ingress_hosts"), ingress_hosts},
        {STR("ingress_ports"), ingress_ports},
        {STR("load_balancer"), load_balancer},
        {STR("ip_address_parent"), ip_address_parent},
        {STR("number_or_none"), number_or_none},
        {STR("flow_schema_dangling"), flow_schema_dangling},
        {STR("duration"), duration},
        {STR("csr_condition"), csr_condition},
        {STR("resource_claim_state"), resource_claim_state},
        {STR("api_service_backend"), api_service_backend},
        {STR("api_service_available"), api_service_available},
        {STR("component_status"), component_status},
        {STR("component_message"), component_message},
        {STR("component_error"), component_error},
    };
    return cell_find(table, sizeof table / sizeof *table, name);
}
