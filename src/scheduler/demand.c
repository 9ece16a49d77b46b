#include "scheduler/demand.h"

#include <assert.h>
#include <string.h>

#include "base/memory.h"
#include "rules/pod_resources.h"

static void set(Arena *arena, Resources *resources, Str name, Quantity quantity) {
    if (str_eq(name, STR("cpu"))) {
        resources->milli_cpu = quantity_milli_value(quantity);
    } else if (str_eq(name, STR("memory"))) {
        resources->memory = quantity_value(quantity);
    } else if (str_eq(name, STR("ephemeral-storage"))) {
        resources->ephemeral_storage = quantity_value(quantity);
    } else if (quantity.nano != 0) {
        size_t size = sizeof *resources->others, n = resources->n_others++;
        resources->others = arena_grow(arena, resources->others, n * size, (n + 1) * size);
        resources->others[n] = (NamedAmount){name, quantity_value(quantity)};
    }
}

Resources resources_of(Arena *arena, const StrMap *map) {
    Resources resources = {0};
    for (size_t i = 0; i < map->len; i++) {
        Quantity quantity;
        if (quantity_parse(map->values[i], &quantity) == 0)
            set(arena, &resources, map->keys[i], quantity);
    }
    return resources;
}

Amount resources_other(const Resources *resources, Str name) {
    for (size_t i = 0; i < resources->n_others; i++) {
        if (str_eq(resources->others[i].name, name))
            return resources->others[i].amount;
    }
    return 0;
}

// framework.DefaultMilliCPURequest, DefaultMemoryRequest (kubernetes' pkg/scheduler/util).
static void set_scored(Arena *arena, Demand *demand, const PodSpec *spec) {
    ResourceAmount missing_items[] = {
        {STR("cpu"), {.nano = (__int128)100 * 1000000}},
        {STR("memory"), quantity_from_int((int64_t)200 * 1024 * 1024, QUANTITY_BINARY_SI)},
    };
    ResourceAmounts missing = {missing_items, 2};
    ResourceAmounts requests = pod_requests(arena, spec, &missing);
    Quantity quantity;
    resource_amounts_get(&requests, STR("cpu"), &quantity);
    demand->scored_milli_cpu = quantity_milli_value(quantity);
    resource_amounts_get(&requests, STR("memory"), &quantity);
    demand->scored_memory = quantity_value(quantity);
}

static void add_ports(Arena *arena, Demand *demand, const Container *container) {
    for (size_t i = 0; i < container->ports.len; i++) {
        const ContainerPort *port = &container->ports.items[i];
        if (port->host_port <= 0)
            continue;
        size_t size = sizeof *demand->ports, n = demand->n_ports++;
        demand->ports = arena_grow(arena, demand->ports, n * size, (n + 1) * size);
        demand->ports[n] = (HostPort){
            .ip = port->host_ip.len ? port->host_ip : STR("0.0.0.0"),
            .protocol = port->protocol.len ? port->protocol : STR("TCP"),
            .port = port->host_port,
        };
    }
}

Demand demand_of(Arena *arena, const Pod *pod) {
    const PodSpec *spec = &pod->spec;
    Demand demand = {.priority = spec->priority ? *spec->priority : 0};
    ResourceAmounts requests = pod_requests(arena, spec, NULL);
    for (size_t i = 0; i < requests.n; i++)
        set(arena, &demand.requests, requests.items[i].name, requests.items[i].quantity);
    set_scored(arena, &demand, spec);
    for (size_t i = 0; i < spec->containers.len; i++)
        add_ports(arena, &demand, &spec->containers.items[i]);
    for (size_t i = 0; i < spec->init_containers.len; i++) {
        if (str_eq(spec->init_containers.items[i].restart_policy, STR("Always")))
            add_ports(arena, &demand, &spec->init_containers.items[i]);
    }
    return demand;
}

static Str put(char **at, Str s) {
    Str copy = {*at, s.len};
    if (s.len)
        memcpy(*at, s.ptr, s.len);
    *at += s.len;
    return copy;
}

Demand *demand_copy(const Demand *demand) {
    size_t n_others = demand->requests.n_others, n_ports = demand->n_ports, text = 0;
    for (size_t i = 0; i < n_others; i++)
        text += demand->requests.others[i].name.len;
    for (size_t i = 0; i < n_ports; i++)
        text += demand->ports[i].ip.len + demand->ports[i].protocol.len;
    Demand *copy = memory_alloc(sizeof *copy + n_others * sizeof(NamedAmount) +
                                n_ports * sizeof(HostPort) + text);
    *copy = *demand;
    copy->requests.others = (NamedAmount *)(copy + 1);
    copy->ports = (HostPort *)(copy->requests.others + n_others);
    char *at = (char *)(copy->ports + n_ports);
    for (size_t i = 0; i < n_others; i++) {
        const NamedAmount *other = &demand->requests.others[i];
        copy->requests.others[i] = (NamedAmount){put(&at, other->name), other->amount};
    }
    for (size_t i = 0; i < n_ports; i++) {
        const HostPort *port = &demand->ports[i];
        copy->ports[i] = (HostPort){put(&at, port->ip), put(&at, port->protocol), port->port};
    }
    return copy;
}
