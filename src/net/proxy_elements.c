#include "net/proxy_elements.h"

#include <stdlib.h>
#include <string.h>

typedef struct Target { // an endpoint of one port
    uint32_t address;
    uint16_t port;
} Target;
typedef struct Targets {
    Target *items;
    size_t n;
} Targets;

typedef struct Build {
    Arena *arena;
    const NetBackends *backends;
    const NetService *service;
    const ProxyElements *before;
    const ProxyContext *context;
    ProxyElements out;
    size_t capacity;
} Build;

static void add(Build *b, ProxyElement element) {
    if (b->out.n == b->capacity) {
        size_t capacity = b->capacity ? b->capacity * 2 : 16;
        b->out.items = arena_grow(b->arena, b->out.items, b->capacity * sizeof element,
                                  capacity * sizeof element);
        b->capacity = capacity;
    }
    b->out.items[b->out.n++] = element;
}

// ---- which endpoints

typedef enum Choice { ALL_READY, ALL_ENDING, LOCAL_READY, LOCAL_ENDING } Choice;

static bool is_chosen(const NetEndpoint *e, Choice choice, bool hinted) {
    if ((choice == LOCAL_READY || choice == LOCAL_ENDING) && !e->local)
        return false;
    if (choice == ALL_READY && hinted && !e->for_us)
        return false;
    return choice == ALL_READY || choice == LOCAL_READY ? e->ready : e->serving && e->terminating;
}

static const NetPort *port_of(const NetSlice *slice, const NetPort *wanted) {
    for (size_t i = 0; i < slice->n_ports; i++)
        if (slice->ports[i].protocol == wanted->protocol &&
            str_eq(slice->ports[i].name, wanted->name))
            return &slice->ports[i];
    return NULL;
}

// Hints count when every endpoint that is ready has one and one is meant for this node; upstream's
// pkg/proxy/topology.go.
static bool follows_hints(const Build *b, const NetPort *port) {
    bool ours = false;
    for (size_t i = 0; i < b->backends->n_slices; i++) {
        const NetSlice *slice = b->backends->slices[i];
        for (size_t j = 0; port_of(slice, port) && j < slice->n_endpoints; j++) {
            const NetEndpoint *e = &slice->endpoints[j];
            if (!e->ready)
                continue;
            if (!e->for_us && !e->for_others)
                return false;
            ours |= e->for_us;
        }
    }
    return ours;
}

static bool has(const Targets *targets, Target target) {
    for (size_t i = 0; i < targets->n; i++)
        if (targets->items[i].address == target.address && targets->items[i].port == target.port)
            return true;
    return false;
}

static Targets choose(Build *b, const NetPort *port, Choice choice) {
    Targets targets = {0};
    size_t capacity = 0;
    bool hinted = choice == ALL_READY && follows_hints(b, port);
    for (size_t i = 0; i < b->backends->n_slices; i++)
        capacity += b->backends->slices[i]->n_endpoints;
    targets.items = arena_alloc(b->arena, (capacity + 1) * sizeof *targets.items);
    for (size_t i = 0; i < b->backends->n_slices; i++) {
        const NetSlice *slice = b->backends->slices[i];
        const NetPort *found = port_of(slice, port);
        for (size_t j = 0; found && j < slice->n_endpoints; j++) {
            const NetEndpoint *e = &slice->endpoints[j];
            Target target = {e->address, found->port ? found->port : port->port};
            // Twice only while it moves from one slice to another.
            if (is_chosen(e, choice, hinted) && targets.n < PROXY_ENDPOINTS_MAX &&
                !(b->backends->n_slices > 1 && has(&targets, target)))
                targets.items[targets.n++] = target;
        }
    }
    return targets;
}

// Ready ones, or when there are none those that still serve while they end (KEP-1669).
static Targets choose_any(Build *b, const NetPort *port, bool local) {
    Targets ready = choose(b, port, local ? LOCAL_READY : ALL_READY);
    return ready.n ? ready : choose(b, port, local ? LOCAL_ENDING : ALL_ENDING);
}

// ---- their elements

static const ProxyElement *find_before(const Build *b, const ProxyElement *key) {
    size_t low = 0, high = b->before ? b->before->n : 0;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = proxy_element_compare_key(&b->before->items[middle], key);
        if (order == 0)
            return &b->before->items[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

typedef struct Sorted { // targets by address, to be taken one by one
    Target target;
    bool taken;
} Sorted;

static int by_target(const void *a, const void *b) {
    const Target *x = &((const Sorted *)a)->target, *y = &((const Sorted *)b)->target;
    if (x->address != y->address)
        return x->address < y->address ? -1 : 1;
    return (int)x->port - (int)y->port;
}

// What had an index keeps it, unless that is now past the end; the others fill the gaps.
static void add_targets(Build *b, uint32_t address, const NetPort *port, const Targets *targets,
                        uint32_t base) {
    Sorted *rest = arena_array_of(b->arena, Sorted, targets->n + 1);
    bool *filled = arena_array_of(b->arena, bool, targets->n + 1);
    for (size_t i = 0; i < targets->n; i++)
        rest[i].target = targets->items[i];
    if (targets->n)
        qsort(rest, targets->n, sizeof *rest, by_target);
    ProxyElement element = {.set = PROXY_ENDPOINTS,
                            .address = address,
                            .protocol = port->protocol,
                            .port = address ? port->port : port->node_port};
    for (size_t i = 0; i < targets->n; i++) {
        element.index = base + (uint32_t)i;
        const ProxyElement *old = find_before(b, &element);
        Sorted wanted = {.target = {old ? old->to_address : 0, old ? old->to_port : 0}};
        Sorted *found = old ? bsearch(&wanted, rest, targets->n, sizeof *rest, by_target) : NULL;
        if (!found || found->taken)
            continue;
        found->taken = filled[i] = true;
        element.to_address = old->to_address;
        element.to_port = old->to_port;
        add(b, element);
    }
    for (size_t i = 0, next = 0; i < targets->n; i++) {
        if (filled[i])
            continue;
        while (rest[next].taken)
            next++;
        element.index = base + (uint32_t)i;
        element.to_address = rest[next].target.address;
        element.to_port = rest[next++].target.port;
        add(b, element);
    }
}

static bool is_claimed(Build *b, uint32_t address, uint8_t protocol, uint16_t port) {
    const ProxyContext *context = b->context;
    return !context || !context->claim ||
           context->claim(context->user, b->backends, address, protocol, port);
}

// Address 0: the node port.
static void add_frontend(Build *b, uint32_t address, const NetPort *port, ProxyChain chain,
                         const Targets *all, const Targets *local) {
    uint16_t number = address ? port->port : port->node_port;
    ProxyElement element = {.address = address, .protocol = port->protocol, .port = number};
    chain.node_port = address == 0;
    chain.all = (uint16_t)all->n;
    chain.local = chain.external_local ? (uint16_t)local->n : 0;
    if (all->n) {
        element.set = address ? PROXY_SERVICES : PROXY_NODE_PORTS;
        element.chain = chain;
        add(b, element);
        add_targets(b, address, port, all, 0);
        if (chain.external_local)
            add_targets(b, address, port, local, PROXY_LOCAL_BASE);
    } else if (chain.external) { // a cluster IP without endpoints is refused with its whole range
        element.set = address ? PROXY_REFUSED : PROXY_REFUSED_PORTS;
        add(b, element);
    }
}

// Ranges may not overlap in a set, and of two that do one holds the other.
static bool is_covered(const NetService *service, size_t at) {
    const Ipv4Range *range = &service->sources[at];
    for (size_t i = 0; i < service->n_sources; i++) {
        const Ipv4Range *other = &service->sources[i];
        bool wider = other->prefix < range->prefix || (other->prefix == range->prefix && i < at);
        if (wider && ipv4_range_has(*other, range->network))
            return true;
    }
    return false;
}

static void add_sources(Build *b, uint32_t address, const NetPort *port) {
    const NetService *service = b->service;
    ProxyElement element = {.set = PROXY_RESTRICTED,
                            .address = address,
                            .protocol = port->protocol,
                            .port = port->port};
    if (!service->n_sources)
        return;
    add(b, element);
    element.set = PROXY_ALLOWED;
    for (size_t i = 0; i < service->n_sources; i++) {
        if (is_covered(service, i))
            continue;
        element.index = service->sources[i].network;
        element.prefix = (uint8_t)service->sources[i].prefix;
        add(b, element);
    }
}

static void add_port(Build *b, const NetPort *port) {
    const NetService *service = b->service;
    Targets all = choose_any(b, port, false), local = {0};
    if (service->internal_local || service->external_local)
        local = choose_any(b, port, true);
    ProxyChain inside = {.affinity = service->affinity};
    ProxyChain outside = {
        .affinity = service->affinity, .external = true, .external_local = service->external_local};
    if (service->cluster_ip && service->internal_local && !local.n && all.n) {
        inside.external_local = true; // nothing here: dropped, as upstream does
        ProxyElement none = {.set = PROXY_SERVICES,
                             .address = service->cluster_ip,
                             .protocol = port->protocol,
                             .port = port->port,
                             .chain = inside};
        add(b, none);
    } else if (service->cluster_ip) {
        add_frontend(b, service->cluster_ip, port, inside, service->internal_local ? &local : &all,
                     NULL);
    }
    for (size_t i = 0; i < service->n_external_ips; i++)
        if (is_claimed(b, service->external_ips[i], port->protocol, port->port))
            add_frontend(b, service->external_ips[i], port, outside, &all, &local);
    for (size_t i = 0; i < service->n_balancer_ips; i++)
        if (is_claimed(b, service->balancer_ips[i], port->protocol, port->port)) {
            add_frontend(b, service->balancer_ips[i], port, outside, &all, &local);
            add_sources(b, service->balancer_ips[i], port);
        }
    if (port->node_port && is_claimed(b, 0, port->protocol, port->node_port))
        add_frontend(b, 0, port, outside, &all, &local);
}

static void add_hairpins(Build *b) {
    for (size_t i = 0; i < b->backends->n_slices; i++) {
        const NetSlice *slice = b->backends->slices[i];
        for (size_t j = 0; j < slice->n_endpoints; j++)
            if (slice->endpoints[j].local)
                add(b,
                    (ProxyElement){.set = PROXY_HAIRPIN, .address = slice->endpoints[j].address});
    }
}

// ---- lists

int proxy_element_compare_key(const ProxyElement *a, const ProxyElement *b) {
    if (a->set != b->set)
        return a->set < b->set ? -1 : 1;
    if (a->address != b->address)
        return a->address < b->address ? -1 : 1;
    if (a->protocol != b->protocol)
        return a->protocol < b->protocol ? -1 : 1;
    if (a->port != b->port)
        return a->port < b->port ? -1 : 1;
    if (a->index != b->index)
        return a->index < b->index ? -1 : 1;
    return a->set == PROXY_ALLOWED ? (int)a->prefix - (int)b->prefix : 0;
}

bool proxy_element_same_value(const ProxyElement *a, const ProxyElement *b) {
    const ProxyChain *x = &a->chain, *y = &b->chain;
    return a->to_address == b->to_address && a->to_port == b->to_port &&
           x->affinity == y->affinity && x->all == y->all && x->local == y->local &&
           x->external == y->external && x->external_local == y->external_local &&
           x->node_port == y->node_port;
}

static int by_key(const void *a, const void *b) {
    return proxy_element_compare_key(a, b);
}

void proxy_elements_sort(ProxyElements *elements) {
    size_t kept = 0;
    if (elements->n)
        qsort(elements->items, elements->n, sizeof *elements->items, by_key);
    for (size_t i = 0; i < elements->n; i++) // an address in two lists of a service counts once
        if (!kept ||
            proxy_element_compare_key(&elements->items[kept - 1], &elements->items[i]) != 0)
            elements->items[kept++] = elements->items[i];
    elements->n = kept;
}

ProxyElements proxy_elements(Arena *arena, const NetBackends *backends, const ProxyElements *before,
                             const ProxyContext *context) {
    Build build = {.arena = arena,
                   .backends = backends,
                   .service = backends->service,
                   .before = before,
                   .context = context};
    if (!backends->service || backends->service->headless || backends->service->external_name.len)
        return build.out;
    for (size_t i = 0; i < backends->service->n_ports; i++)
        add_port(&build, &backends->service->ports[i]);
    add_hairpins(&build);
    proxy_elements_sort(&build.out);
    return build.out;
}

size_t proxy_local_endpoints(const NetBackends *backends) {
    size_t n = 0;
    for (size_t i = 0; i < backends->n_slices; i++)
        for (size_t j = 0; j < backends->slices[i]->n_endpoints; j++) {
            const NetEndpoint *e = &backends->slices[i]->endpoints[j];
            n += e->local && e->ready;
        }
    return n;
}
