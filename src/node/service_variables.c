#include "node/service_variables.h"

#include <ctype.h>

void variables_init(Variables *variables, Arena *arena) {
    *variables = (Variables){.arena = arena, .index = map_new()};
}

void variables_deinit(Variables *variables) {
    map_free(variables->index);
    variables->index = NULL;
}

void variables_set(Variables *variables, Str name, Str value) {
    uintptr_t at = (uintptr_t)map_get(variables->index, name);
    if (at) {
        variables->items[at - 1].value = value;
        return;
    }
    if (variables->n == variables->capacity) {
        size_t more = variables->capacity ? variables->capacity * 2 : 32;
        variables->items =
            arena_grow(variables->arena, variables->items,
                       variables->capacity * sizeof(RuntimePair), more * sizeof(RuntimePair));
        variables->capacity = more;
    }
    variables->items[variables->n++] = (RuntimePair){name, value};
    map_put(variables->index, name, (void *)(uintptr_t)variables->n);
}

Str variables_get(const Variables *variables, Str name) {
    uintptr_t at = (uintptr_t)map_get(variables->index, name);
    return at ? variables->items[at - 1].value : STR_NONE;
}

// Upper case, '.' and '-' become '_', and no digit comes first.
static Str variable_name(Arena *arena, Str name) {
    bool digit = name.len && isdigit((unsigned char)name.ptr[0]);
    char *out = arena_alloc(arena, name.len + 2), *p = out;
    if (digit)
        *p++ = '_';
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        *p++ = c == '.' || c == '-' ? '_' : (char)toupper((unsigned char)c);
    }
    *p = '\0';
    return str_of(out, (size_t)(p - out));
}

static Str change_case(Arena *arena, Str s, int (*change)(int)) {
    char *out = arena_alloc(arena, s.len + 1);
    for (size_t i = 0; i < s.len; i++)
        out[i] = (char)change((unsigned char)s.ptr[i]);
    out[s.len] = '\0';
    return str_of(out, s.len);
}

static void add_link(Variables *variables, Str prefix, Str address, const ServicePort *port,
                     bool first) {
    Arena *arena = variables->arena;
    Str protocol = port->protocol.len ? port->protocol : STR("TCP");
    Str lower = change_case(arena, protocol, tolower);
    Str url = arena_printf(arena, "%.*s://%.*s:%d", STR_ARG(lower), STR_ARG(address), port->port);
    if (first)
        variables_set(variables, arena_printf(arena, "%.*s_PORT", STR_ARG(prefix)), url);
    Str name = arena_printf(arena, "%.*s_PORT_%d_%.*s", STR_ARG(prefix), port->port,
                            STR_ARG(change_case(arena, protocol, toupper)));
    variables_set(variables, name, url);
    variables_set(variables, arena_printf(arena, "%.*s_PROTO", STR_ARG(name)), lower);
    variables_set(variables, arena_printf(arena, "%.*s_PORT", STR_ARG(name)),
                  arena_printf(arena, "%d", port->port));
    variables_set(variables, arena_printf(arena, "%.*s_ADDR", STR_ARG(name)), address);
}

void service_variables_add(Variables *variables, const Service *service) {
    Arena *arena = variables->arena;
    const ServiceSpec *spec = &service->spec;
    if (!spec->cluster_ip.len || str_eq(spec->cluster_ip, STR("None")) || !spec->ports.len)
        return;
    Str prefix = variable_name(arena, service->metadata.name);
    Str address = arena_str(arena, spec->cluster_ip);
    variables_set(variables, arena_printf(arena, "%.*s_SERVICE_HOST", STR_ARG(prefix)), address);
    Str port_name = arena_printf(arena, "%.*s_SERVICE_PORT", STR_ARG(prefix));
    variables_set(variables, port_name, arena_printf(arena, "%d", spec->ports.items[0].port));
    for (size_t i = 0; i < spec->ports.len; i++) {
        const ServicePort *port = &spec->ports.items[i];
        if (!port->name.len)
            continue;
        Str name = variable_name(arena, port->name);
        variables_set(variables,
                      arena_printf(arena, "%.*s_%.*s", STR_ARG(port_name), STR_ARG(name)),
                      arena_printf(arena, "%d", port->port));
    }
    for (size_t i = 0; i < spec->ports.len; i++)
        add_link(variables, prefix, address, &spec->ports.items[i], i == 0);
}
