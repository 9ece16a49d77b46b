#include "net/proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "net/proxy_health.h"
#include "net/proxy_work.h"
#include "net/ruleset_watch.h"

#define RETRY_FIRST (100 * NSEC_PER_MSEC)
#define RETRY_LAST (30 * NSEC_PER_SEC)

typedef struct Claim { // of an address that is not the service's alone; address 0: a node port
    uint32_t address;
    uint16_t port;
    uint8_t protocol;
    bool kept;
} Claim;

typedef struct Programmed { // a service
    ListLink dirty;
    ProxyElements elements; // as the kernel has them, or will once the work at hand is done
    Claim *claims;
    size_t n_claims;
    bool contested; // somebody else has an address that it wants
    ProxyHealth *health;
    char key[];
} Programmed;

struct Proxy {
    Loop *loop;
    ServiceTable *services;
    ProxyRules rules;
    char *table;
    uint32_t node_address;
    uint16_t *reserved;
    size_t n_reserved;
    Netlink netlink;
    Map *programmed; // service key -> Programmed
    Map *claims;     // ClaimKey -> Programmed
    Map *hairpins;   // address -> count of services
    Map *chains;
    List dirty;
    size_t n_contested;
    LoopTask task;
    LoopTimer retry;
    int64_t backoff;
    ProxyWork *work; // under way
    RulesetWatch *watch;
    bool synced, must_compare, comparing, freed;
};

static void next(void *user);

static void wake(Proxy *proxy) {
    loop_post(proxy->loop, &proxy->task);
}

// ---- addresses that several services may want

#define CLAIM_KEY 7

static Str claim_key(const Claim *claim, char buffer[CLAIM_KEY]) {
    memcpy(buffer, &claim->address, 4);
    memcpy(buffer + 4, &claim->port, 2);
    buffer[6] = (char)claim->protocol;
    return str_of(buffer, CLAIM_KEY);
}

static bool is_reserved(const Proxy *proxy, const Claim *claim) {
    if (claim->address != proxy->node_address || claim->protocol != NET_TCP)
        return false;
    for (size_t i = 0; i < proxy->n_reserved; i++)
        if (proxy->reserved[i] == claim->port)
            return true;
    return false;
}

static void warn_contested(const NetBackends *backends, const Claim *claim, const char *why) {
    char address[IPAM_TEXT];
    ipv4_format(claim->address, address);
    log_warn("net", "a service does not get an address",
             "service=%.*s address=%s port=%u why=\"%s\"", STR_ARG(backends->key), address,
             claim->port, why);
}

static void set_contested(Proxy *proxy, Programmed *self, bool contested) {
    proxy->n_contested += (size_t)contested;
    proxy->n_contested -= (size_t)self->contested;
    self->contested = contested;
}

static bool claim(void *user, const NetBackends *backends, uint32_t address, uint8_t protocol,
                  uint16_t port) {
    Proxy *proxy = user;
    char buffer[CLAIM_KEY];
    Programmed *self = map_get(proxy->programmed, backends->key);
    Claim wanted = {.address = address, .port = port, .protocol = protocol, .kept = true};
    if (is_reserved(proxy, &wanted)) {
        warn_contested(backends, &wanted, "the port is Seapod's own");
        return false;
    }
    Str key = claim_key(&wanted, buffer);
    const Programmed *owner = map_get(proxy->claims, key);
    if (owner && owner != self) {
        warn_contested(backends, &wanted, owner->key);
        set_contested(proxy, self, true);
        return false;
    }
    for (size_t i = 0; owner && i < self->n_claims; i++)
        if (self->claims[i].address == address && self->claims[i].port == port &&
            self->claims[i].protocol == protocol)
            self->claims[i].kept = true;
    if (owner)
        return true;
    self->claims = memory_resize_array(self->claims, self->n_claims + 1, sizeof wanted);
    self->claims[self->n_claims++] = wanted;
    map_put(proxy->claims, key, self);
    return true;
}

static void mark_dirty(Proxy *proxy, Programmed *programmed) {
    if (!list_is_linked(&programmed->dirty))
        list_append(&proxy->dirty, &programmed->dirty);
}

// Whoever was refused tries again.
static void release_claims(Proxy *proxy, Programmed *self) {
    size_t kept = 0, all = self->n_claims;
    for (size_t i = 0; i < all; i++) {
        char buffer[CLAIM_KEY];
        if (self->claims[i].kept)
            self->claims[kept++] = self->claims[i];
        else
            map_remove(proxy->claims, claim_key(&self->claims[i], buffer));
    }
    self->n_claims = kept;
    MapIter iter = {0};
    while (kept < all && proxy->n_contested && map_next(proxy->programmed, &iter))
        if (((Programmed *)iter.value)->contested)
            mark_dirty(proxy, iter.value);
}

// ---- what a service needs

static ProxyElements compute(Proxy *proxy, Arena *arena, Programmed *self,
                             const NetBackends *backends, const ProxyElements *before) {
    const ProxyContext context = {claim, proxy};
    for (size_t i = 0; i < self->n_claims; i++)
        self->claims[i].kept = false;
    set_contested(proxy, self, false);
    ProxyElements elements = {0};
    if (backends)
        elements = proxy_elements(arena, backends, before, &context);
    release_claims(proxy, self);
    return elements;
}

static void remember(Programmed *self, const ProxyElements *elements) {
    self->elements.items =
        memory_resize_array(self->elements.items, elements->n + 1, sizeof *elements->items);
    if (elements->n)
        memcpy(self->elements.items, elements->items, elements->n * sizeof *elements->items);
    self->elements.n = elements->n;
}

static void serve_health(Proxy *proxy, Programmed *self, const NetBackends *backends) {
    const NetService *service = backends ? backends->service : NULL;
    uint16_t port = service && service->external_local ? service->health_port : 0;
    if (proxy_health_port(self->health) != port) {
        proxy_health_free(self->health);
        self->health =
            port ? proxy_health_new(proxy->loop, service->namespace_, service->name, port) : NULL;
    }
    if (self->health)
        proxy_health_set(self->health, proxy_local_endpoints(backends));
}

static void drop(Proxy *proxy, Programmed *self) {
    set_contested(proxy, self, false);
    list_remove(&self->dirty);
    map_remove(proxy->programmed, str_from(self->key));
    proxy_health_free(self->health);
    free(self->elements.items);
    free(self->claims);
    free(self);
}

// ---- addresses that several services share: endpoints that may reach themselves

static bool count_hairpin(Proxy *proxy, uint32_t address, bool add) {
    Str key = str_of(&address, sizeof address);
    uintptr_t count = (uintptr_t)map_get(proxy->hairpins, key);
    if (add)
        map_put(proxy->hairpins, key, (void *)(count + 1));
    else if (count > 1)
        map_put(proxy->hairpins, key, (void *)(count - 1));
    else
        map_remove(proxy->hairpins, key);
    return add ? count == 0 : count == 1;
}

static void count_hairpins(Proxy *proxy, const ProxyElements *elements) {
    for (size_t i = 0; i < elements->n; i++)
        if (elements->items[i].set == PROXY_HAIRPIN)
            count_hairpin(proxy, elements->items[i].address, true);
}

// The difference holds what this service has; the set holds each address once.
static void share_hairpins(Proxy *proxy, ProxyWork *work, size_t first) {
    size_t kept = first;
    for (size_t i = first; i < work->n_ops; i++) {
        const ProxyOp *op = &work->ops[i];
        if (op->element.set != PROXY_HAIRPIN || count_hairpin(proxy, op->element.address, op->add))
            work->ops[kept++] = *op;
    }
    work->n_ops = kept;
}

// ---- work

static void proxy_destroy(Proxy *proxy) {
    netlink_close(&proxy->netlink);
    map_free(proxy->chains);
    free(proxy->table);
    free(proxy->reserved);
    free(proxy);
}

static ProxyWork *work_new(Proxy *proxy) {
    Arena *arena = arena_new();
    ProxyWork *work = arena_new_of(arena, ProxyWork);
    *work = (ProxyWork){.arena = arena,
                        .rules = &proxy->rules,
                        .netlink = &proxy->netlink,
                        .chains = proxy->chains};
    return work;
}

static void do_dump(void *user) {
    proxy_work_dump(((Proxy *)user)->work);
}

static void do_commit(void *user) {
    proxy_work_commit(((Proxy *)user)->work);
}

static bool finish_work(Proxy *proxy) {
    if (!proxy->freed)
        return true;
    arena_free(proxy->work->arena);
    proxy_destroy(proxy);
    return false;
}

static void failed(Proxy *proxy, int error) {
    log_warn("net", "service rules could not be written, comparing with what is there",
             "error=\"%s\"", strerrordesc_np(-error));
    proxy->must_compare = true;
    proxy->comparing = true; // until the timer
    loop_timer_start(&proxy->retry, proxy->backoff);
    proxy->backoff = proxy->backoff * 2 > RETRY_LAST ? RETRY_LAST : proxy->backoff * 2;
}

static void on_retry(void *user) {
    Proxy *proxy = user;
    proxy->comparing = false;
    next(proxy);
}

static void on_committed(void *user) {
    Proxy *proxy = user;
    if (!finish_work(proxy))
        return;
    int error = proxy->work->error;
    arena_free(proxy->work->arena);
    proxy->work = NULL;
    if (error) {
        failed(proxy, error);
        return;
    }
    proxy->backoff = RETRY_FIRST;
    next(proxy);
}

static void start(Proxy *proxy, ProxyWork *work, void (*fn)(void *), void (*done)(void *)) {
    proxy->work = work;
    loop_work(proxy->loop, fn, done, proxy);
}

// ---- all of it

typedef struct Everything {
    Proxy *proxy;
    Arena *arena;
    ProxyElements all;
    size_t capacity;
} Everything;

static void add_all(Everything *e, const ProxyElements *more) {
    if (!more->n)
        return;
    if (e->all.n + more->n > e->capacity) {
        size_t old = e->capacity * sizeof *more->items;
        e->capacity = 2 * e->capacity + more->n;
        e->all.items =
            arena_grow(e->arena, e->all.items, old, e->capacity * sizeof *more->items);
    }
    memcpy(e->all.items + e->all.n, more->items, more->n * sizeof *more->items);
    e->all.n += more->n;
}

static void clear_hairpins(Proxy *proxy) {
    MapIter iter = {0};
    while (map_next(proxy->hairpins, &iter))
        map_remove(proxy->hairpins, iter.key);
}

static void on_dumped(void *user) {
    Proxy *proxy = user;
    if (!finish_work(proxy))
        return;
    ProxyWork *work = proxy->work;
    if (work->error) {
        int error = work->error;
        arena_free(work->arena);
        proxy->work = NULL;
        failed(proxy, error);
        return;
    }
    work->rebuild = !work->dump.current;
    Everything everything = {.proxy = proxy, .arena = work->arena};
    clear_hairpins(proxy);
    MapIter iter = {0};
    while (map_next(proxy->programmed, &iter)) {
        Programmed *self = iter.value;
        list_remove(&self->dirty);
        Str rest = str_from(self->key), namespace_ = str_cut(&rest, '/');
        const NetBackends *backends = service_table_get(proxy->services, namespace_, rest);
        // Endpoints keep the index that they have in the kernel, though it be of our last life.
        ProxyElements elements = compute(proxy, work->arena, self, backends, &work->dump.elements);
        remember(self, &elements);
        count_hairpins(proxy, &elements);
        add_all(&everything, &elements);
        serve_health(proxy, self, backends);
        if (!backends)
            drop(proxy, self);
    }
    proxy_elements_sort(&everything.all);
    proxy_work_add_difference(work, &work->dump.elements, &everything.all, true);
    if (work->rebuild || work->n_ops)
        log_info("net", "service rules are brought up to date", "rebuilt=%d changes=%zu",
                 work->rebuild, work->n_ops);
    start(proxy, work, do_commit, on_committed);
}

static void add_changes(Proxy *proxy, ProxyWork *work, Programmed *self) {
    Str rest = str_from(self->key), namespace_ = str_cut(&rest, '/');
    const NetBackends *backends = service_table_get(proxy->services, namespace_, rest);
    ProxyElements elements = compute(proxy, work->arena, self, backends, &self->elements);
    size_t first = work->n_ops;
    proxy_work_add_difference(work, &self->elements, &elements, true);
    share_hairpins(proxy, work, first);
    remember(self, &elements);
    serve_health(proxy, self, backends);
    if (!backends)
        drop(proxy, self);
}

static void next(void *user) {
    Proxy *proxy = user;
    if (proxy->work || !proxy->synced || proxy->comparing)
        return;
    if (proxy->must_compare) {
        proxy->must_compare = false;
        start(proxy, work_new(proxy), do_dump, on_dumped);
        return;
    }
    if (list_is_empty(&proxy->dirty))
        return;
    ProxyWork *work = work_new(proxy);
    while (!list_is_empty(&proxy->dirty)) {
        Programmed *self = container_of(list_first(&proxy->dirty), Programmed, dirty);
        list_remove(&self->dirty);
        add_changes(proxy, work, self);
    }
    if (work->n_ops) {
        start(proxy, work, do_commit, on_committed);
        return;
    }
    arena_free(work->arena);
}

// ---- events

static void on_change(void *user, const NetBackends *now) {
    Proxy *proxy = user;
    Programmed *self = map_get(proxy->programmed, now->key);
    if (!self) {
        self = memory_zalloc(sizeof *self + now->key.len + 1);
        memcpy(self->key, now->key.ptr, now->key.len);
        map_put(proxy->programmed, now->key, self);
    }
    mark_dirty(proxy, self);
    wake(proxy);
}

static void on_synced(void *user) {
    Proxy *proxy = user;
    proxy->synced = true;
    proxy->must_compare = true;
    wake(proxy);
}

static void on_foreign_change(void *user) {
    Proxy *proxy = user;
    proxy->must_compare = true;
    wake(proxy);
}

bool proxy_is_idle(const Proxy *proxy) {
    return proxy->synced && !proxy->work && !proxy->must_compare && list_is_empty(&proxy->dirty);
}

// ---- life

static int fail(int error, char **ret_message, const char *format, const char *what) {
    if (asprintf(ret_message, format, what) < 0)
        abort();
    return error;
}

static int parse(const ProxyConfig *config, Proxy *proxy, char **ret_message) {
    if (ipv4_range_parse(str_from(config->service_range), &proxy->rules.services))
        return fail(-EINVAL, ret_message, "%s is no range for services", config->service_range);
    if (ipv4_range_parse(str_from(config->pod_range), &proxy->rules.pods))
        return fail(-EINVAL, ret_message, "%s is no range of addresses", config->pod_range);
    if (config->dns && ipv4_parse(str_from(config->dns), &proxy->rules.dns))
        return fail(-EINVAL, ret_message, "%s is no address", config->dns);
    if (config->node_address)
        (void)!ipv4_parse(str_from(config->node_address), &proxy->node_address);
    return 0;
}

int proxy_new(const ProxyConfig *config, Proxy **ret, char **ret_message) {
    static const ServiceTableListener listener = {on_change, on_synced};
    Proxy *proxy = memory_new(Proxy);
    *ret_message = NULL;
    int error = parse(config, proxy, ret_message);
    if (!error && (error = netlink_open(&proxy->netlink, NETLINK_NETFILTER, -1)))
        fail(error, ret_message, "cannot reach nftables: %s", strerrordesc_np(-error));
    if (error) {
        free(proxy);
        return error;
    }
    proxy->loop = config->loop;
    proxy->services = config->services;
    proxy->rules.table = proxy->table = strdup(config->table);
    proxy->n_reserved = config->n_reserved_ports;
    proxy->reserved = memory_resize_array(NULL, proxy->n_reserved + 1, sizeof *proxy->reserved);
    if (proxy->n_reserved)
        memcpy(proxy->reserved, config->reserved_ports,
               proxy->n_reserved * sizeof *proxy->reserved);
    proxy->programmed = map_new();
    proxy->claims = map_new();
    proxy->hairpins = map_new();
    proxy->chains = map_new();
    list_init(&proxy->dirty);
    proxy->backoff = RETRY_FIRST;
    proxy->task = (LoopTask){.fn = next, .user = proxy};
    loop_timer_init(&proxy->retry, proxy->loop, on_retry, proxy);
    proxy->watch =
        ruleset_watch_new(proxy->loop, proxy->table, mnl_socket_get_portid(proxy->netlink.socket),
                          on_foreign_change, proxy);
    service_table_listen(proxy->services, &listener, proxy);
    *ret = proxy;
    return 0;
}

void proxy_free(Proxy *proxy) {
    if (!proxy)
        return;
    ruleset_watch_free(proxy->watch);
    loop_timer_stop(&proxy->retry);
    loop_task_cancel(proxy->loop, &proxy->task);
    MapIter iter = {0};
    while (map_next(proxy->programmed, &iter))
        drop(proxy, iter.value);
    map_free(proxy->programmed);
    map_free(proxy->claims);
    map_free(proxy->hairpins);
    proxy->freed = true;
    if (!proxy->work)
        proxy_destroy(proxy);
}

int proxy_cleanup(const char *table) {
    Netlink netlink;
    NftBatch batch;
    int error = netlink_open(&netlink, NETLINK_NETFILTER, -1);
    if (error)
        return error;
    nft_batch_init(&batch);
    nft_delete_table(&batch, table);
    error = nft_batch_commit(&batch, &netlink);
    nft_batch_deinit(&batch);
    netlink_close(&netlink);
    return error;
}
