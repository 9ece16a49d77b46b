#include "api/service.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "api/meta.h"
#include "api/server.h"
#include "api/service_families.h"
#include "base/log.h"
#include "base/memory.h"
#include "kinds/service.h"

#define IP_PREFIX "/registry/ranges/serviceips/"
#define PORT_PREFIX "/registry/ranges/servicenodeports/"
#define FIRST_PORT 30000
#define LAST_PORT 32767
#define RANDOM_TRIES 32 // before going through the range in order

typedef struct Range {
    uint32_t first, last; // inclusive
    uint32_t
        dynamic; // automatic allocation begins here (KEP-3070), and only when that is full below
} Range;

typedef struct Allocator {
    Range addresses;
    Str cidr;
    void (*repaired)(Api *api, int error);
    size_t removing;
} Allocator;

static uint32_t dynamic_start(uint32_t first, uint32_t last) {
    uint32_t size = last - first + 1;
    uint32_t reserved = size / 16;
    reserved = reserved < 16 ? 16 : reserved > 256 ? 256 : reserved;
    return reserved < size ? first + reserved : first;
}

int service_allocator_init(Api *api) {
    Allocator *self = memory_new(Allocator);
    api->allocator = self;
    Str cidr = api->config.service_cidr;
    if (!cidr.len)
        return 0; // no Service gets an address
    Str bits_text = cidr;
    Str base = str_cut(&bits_text, '/');
    char text[INET_ADDRSTRLEN] = {0};
    uint64_t bits;
    struct in_addr address;
    if (!bits_text.ptr || base.len >= sizeof text || str_to_u64(bits_text, &bits) != 0 ||
        bits < 8 || bits > 29)
        return -EINVAL;
    memcpy(text, base.ptr, base.len);
    if (inet_pton(AF_INET, text, &address) != 1)
        return -EINVAL;
    uint32_t mask = ~(uint32_t)0 << (32 - bits);
    uint32_t network = ntohl(address.s_addr) & mask;
    self->addresses.first = network + 1;
    self->addresses.last = (network | ~mask) - 1;
    self->addresses.dynamic = dynamic_start(self->addresses.first, self->addresses.last);
    self->cidr = cidr;
    return 0;
}

void service_allocator_free(Api *api) {
    free(api->allocator);
    api->allocator = NULL;
}

static Str address_text(Arena *arena, uint32_t address) {
    return arena_printf(arena, "%u.%u.%u.%u", address >> 24, (address >> 16) & 255,
                        (address >> 8) & 255, address & 255);
}

static bool parse_address(Str s, uint32_t *ret) {
    char text[INET_ADDRSTRLEN] = {0};
    struct in_addr address;
    if (s.len >= sizeof text)
        return false;
    memcpy(text, s.ptr, s.len);
    if (inet_pton(AF_INET, text, &address) != 1)
        return false;
    *ret = ntohl(address.s_addr);
    return true;
}

// ---- what a Service needs

static bool needs_address(const Value *service) {
    return !str_eq(value_string_at(service, "spec.type"), STR("ExternalName"));
}

static bool needs_ports(const Value *service) {
    Str type = value_string_at(service, "spec.type");
    return str_eq(type, STR("NodePort")) ||
           (str_eq(type, STR("LoadBalancer")) &&
            value_bool_at(service, "spec.allocateLoadBalancerNodePorts", true));
}

static Str cluster_ip(const Value *service) {
    Str ip = service ? value_string_at(service, "spec.clusterIP") : STR("");
    return ip.len && !str_eq(ip, STR("None")) ? ip : STR("");
}

static Value *ports_of(const Value *service) {
    Value *ports = service ? value_at(service, "spec.ports") : NULL;
    return ports && ports->kind == VALUE_ARRAY ? ports : NULL;
}

static bool has_port(const Value *service, int64_t number) {
    const Value *ports = ports_of(service);
    for (uint32_t i = 0; ports && i < ports->n; i++) {
        if (value_int_at(ports->items[i], "nodePort", 0) == number)
            return true;
    }
    return service && value_int_at(service, "spec.healthCheckNodePort", 0) == number;
}

// ---- reserving

typedef struct Reservation {
    Str key;
    struct Reservation *next;
} Reservation;

typedef struct Reserve { // of one write
    ApiRequest *request;
    Value *object;
    const Value *old;
    WriteThen then;
    void *user;
    uint32_t port_at; // the port whose number is looked for
    bool address_done;
    bool health; // the search is for healthCheckNodePort, the last one
    // The search under way.
    bool fixed; // the client asked for this very one
    uint32_t candidate, start;
    int tries;
    Range range;
} Reserve;

static void go_on(Reserve *reserve);

static void refuse(Reserve *reserve, ApiStatus *status) {
    reserve->then(reserve->request, reserve->user, status);
}

static ApiStatus *invalid(const Reserve *reserve, const Path *path, Str value, Str detail) {
    Arena *arena = reserve->request->arena;
    FieldErrors errors = {.arena = arena};
    field_invalid(&errors, path, value, arena_cstr(arena, detail));
    return status_invalid(arena, STR(""), STR("Service"), meta_name(reserve->object), &errors);
}

static bool is_address_search(const Reserve *reserve) {
    return !reserve->address_done;
}

static Str candidate_text(const Reserve *reserve) {
    Arena *arena = reserve->request->arena;
    return is_address_search(reserve) ? address_text(arena, reserve->candidate)
                                      : arena_printf(arena, "%u", reserve->candidate);
}

static Str candidate_key(const Reserve *reserve) {
    Str text = candidate_text(reserve);
    return arena_printf(reserve->request->arena, "%s%.*s",
                        is_address_search(reserve) ? IP_PREFIX : PORT_PREFIX, STR_ARG(text));
}

static void set_address(Reserve *reserve) {
    Arena *arena = reserve->request->arena;
    Str text = candidate_text(reserve);
    Value *spec = value_at_make(arena, reserve->object, "spec");
    value_set_str(arena, spec, STR("clusterIP"), text);
    Value *list = value_new_array(arena);
    value_push(arena, list, value_new_string(arena, text));
    value_set(arena, spec, STR("clusterIPs"), list);
    reserve->address_done = true;
}

static void take(Reserve *reserve) {
    if (is_address_search(reserve)) {
        set_address(reserve);
    } else if (reserve->health) {
        value_set_int(reserve->request->arena, value_at(reserve->object, "spec"),
                      STR("healthCheckNodePort"), reserve->candidate);
    } else {
        value_set_int(reserve->request->arena, ports_of(reserve->object)->items[reserve->port_at],
                      STR("nodePort"), reserve->candidate);
        reserve->port_at++;
    }
    go_on(reserve);
}

static ApiStatus *invalid_port(const Reserve *reserve, int64_t number, const char *detail) {
    const Path *spec = PATH(NULL, STR("spec"));
    FieldErrors errors = {.arena = reserve->request->arena};
    if (reserve->health)
        field_invalid_int(&errors, PATH(spec, STR("healthCheckNodePort")), number, detail);
    else
        field_invalid_int(
            &errors,
            PATH(PATH_INDEX(PATH(spec, STR("ports")), reserve->port_at), STR("nodePort")), number,
            detail);
    return status_invalid(reserve->request->arena, STR(""), STR("Service"),
                          meta_name(reserve->object), &errors);
}

static ApiStatus *taken(const Reserve *reserve) {
    Arena *arena = reserve->request->arena;
    Str text = candidate_text(reserve);
    const Path *spec = PATH(NULL, STR("spec"));
    if (is_address_search(reserve))
        return invalid(reserve, PATH_INDEX(PATH(spec, STR("clusterIPs")), 0), text,
                       arena_printf(arena,
                                    "failed to allocate IP %.*s: provided IP is already allocated",
                                    STR_ARG(text)));
    return invalid_port(reserve, reserve->candidate, "provided port is already allocated");
}

// The next number to try: some at random in the upper part, then all in order. False when there is
// none left.
static bool next_candidate(Reserve *reserve) {
    Range *range = &reserve->range;
    reserve->tries++;
    if (reserve->tries <= RANDOM_TRIES) {
        uint32_t size = range->last - range->dynamic + 1;
        reserve->candidate =
            range->dynamic + (uint32_t)(loop_random(reserve->request->api->loop) % size);
        reserve->start = reserve->candidate;
        return true;
    }
    reserve->candidate = reserve->candidate == range->last ? range->first : reserve->candidate + 1;
    return reserve->candidate != reserve->start;
}

static void try_candidate(Reserve *reserve);

static void on_put(ApiRequest *request, void *user, int error, const StoreResult *result) {
    Reserve *reserve = user;
    if (error == STORE_E_CONFLICT && !reserve->fixed && next_candidate(reserve)) {
        try_candidate(reserve);
        return;
    }
    if (error == STORE_E_CONFLICT) {
        refuse(reserve,
               reserve->fixed
                   ? taken(reserve)
                   : status_internal(request->arena,
                                     is_address_search(reserve)
                                         ? STR("failed to allocate a serviceIP: range is full")
                                         : STR("failed to allocate a nodePort: range is full")));
        return;
    }
    if (error) {
        refuse(reserve, request_store_error(request, error));
        return;
    }
    Reservation *reservation = arena_new_of(request->arena, Reservation);
    reservation->key = candidate_key(reserve);
    reservation->next = request->reservations;
    request->reservations = reservation;
    take(reserve);
}

static void try_candidate(Reserve *reserve) {
    ApiRequest *request = reserve->request;
    if (request->dry_run) {
        take(reserve);
        return;
    }
    Str value =
        arena_printf(request->arena, "{\"service\":\"%.*s/%.*s\"}",
                     STR_ARG(meta_namespace(reserve->object)), STR_ARG(meta_name(reserve->object)));
    _bytes_unref_ Bytes *bytes = bytes_new(value.ptr, value.len);
    request_store_put(request, candidate_key(reserve), bytes, STORE_ABSENT, 0, on_put, reserve);
}

static void search(Reserve *reserve, Range range, uint32_t fixed) {
    reserve->range = range;
    reserve->tries = 0;
    reserve->fixed = fixed != 0;
    reserve->candidate = fixed;
    if (!fixed)
        next_candidate(reserve);
    try_candidate(reserve);
}

// Returns true when a search began.
static bool reserve_address(Reserve *reserve) {
    const Allocator *allocator = reserve->request->api->allocator;
    Arena *arena = reserve->request->arena;
    Str wanted = value_string_at(reserve->object, "spec.clusterIP");
    Str held = cluster_ip(reserve->old);
    if (!needs_address(reserve->object) || str_eq(wanted, STR("None")) || !allocator->cidr.len ||
        (held.len && str_eq(wanted, held))) {
        if (str_eq(wanted, STR("None"))) {
            Value *list = value_new_array(arena);
            value_push(arena, list, value_new_string(arena, STR("None")));
            value_set(arena, value_at_make(arena, reserve->object, "spec"), STR("clusterIPs"),
                      list);
        }
        reserve->address_done = true;
        return false;
    }
    uint32_t fixed = 0;
    if (wanted.len && (!parse_address(wanted, &fixed) || fixed < allocator->addresses.first ||
                       fixed > allocator->addresses.last)) {
        Str detail = arena_printf(
            arena,
            "failed to allocate IP %.*s: the provided IP (%.*s) is not in the valid range. The "
            "range of valid IPs is %.*s",
            STR_ARG(wanted), STR_ARG(wanted), STR_ARG(allocator->cidr));
        refuse(reserve,
               invalid(reserve, PATH_INDEX(PATH(PATH(NULL, STR("spec")), STR("clusterIPs")), 0),
                       wanted, detail));
        return true;
    }
    search(reserve, allocator->addresses, fixed);
    return true;
}

// The number was already taken by this write for the same port number with another protocol.
static bool taken_before(const Reserve *reserve, int64_t number) {
    const Value *ports = ports_of(reserve->object);
    for (uint32_t i = 0; i < reserve->port_at; i++) {
        if (value_int_at(ports->items[i], "nodePort", 0) == number)
            return true;
    }
    return false;
}

// One that the client asks for, or (0) any.
static void search_port(Reserve *reserve, int64_t number) {
    const Range range = {FIRST_PORT, LAST_PORT, dynamic_start(FIRST_PORT, LAST_PORT)};
    if (number < 0 || number > LAST_PORT || (number && number < FIRST_PORT))
        refuse(reserve, invalid_port(reserve, number,
                                     "provided port is not in the valid range. The range of valid "
                                     "ports is 30000-32767"));
    else
        search(reserve, range, (uint32_t)number);
}

static bool reserve_health_port(Reserve *reserve) {
    int64_t number = value_int_at(reserve->object, "spec.healthCheckNodePort", 0);
    if (reserve->health || !service_needs_health_port(reserve->object) ||
        (number && has_port(reserve->old, number)))
        return false;
    reserve->health = true;
    search_port(reserve, number);
    return true;
}

static bool reserve_port(Reserve *reserve) {
    const Value *ports = ports_of(reserve->object);
    while (needs_ports(reserve->object) && ports && reserve->port_at < ports->n) {
        int64_t number = value_int_at(ports->items[reserve->port_at], "nodePort", 0);
        if (number && (has_port(reserve->old, number) || taken_before(reserve, number))) {
            reserve->port_at++;
            continue;
        }
        search_port(reserve, number);
        return true;
    }
    return reserve_health_port(reserve);
}

static void go_on(Reserve *reserve) {
    if (!reserve->address_done && reserve_address(reserve))
        return;
    if (reserve_port(reserve))
        return;
    reserve->then(reserve->request, reserve->user, NULL);
}

static bool is_service(const ServedResource *served) {
    return !served->resource->group.len && str_eq(served->resource->plural, STR("services"));
}

void write_reserve(ApiRequest *request, const ServedResource *served, Value *object,
                   const Value *old, WriteThen then, void *user) {
    if (!is_service(served)) {
        then(request, user, NULL);
        return;
    }
    Reserve *reserve = arena_new_of(request->arena, Reserve);
    *reserve =
        (Reserve){.request = request, .object = object, .old = old, .then = then, .user = user};
    ApiStatus *refused = service_init_families(request->arena, object, old);
    if (refused)
        refuse(reserve, refused);
    else
        go_on(reserve);
}

// ---- releasing

// Nobody waits for these: an orphan that stays is found at the next start.
static void released(void *user, int error, const StoreResult *result) {
    if (error && error != STORE_E_CONFLICT)
        log_warn("api", "a cluster IP or node port could not be released", "error=%d", error);
}

static void release_key(Api *api, Str key) {
    store_remove(api->store, key, STORE_ANY, released, NULL);
}

static void release_service(ApiRequest *request, const Value *gone, const Value *kept) {
    Arena *arena = request->arena;
    Str ip = cluster_ip(gone);
    if (ip.len && !(kept && str_eq(cluster_ip(kept), ip)))
        release_key(request->api, arena_printf(arena, IP_PREFIX "%.*s", STR_ARG(ip)));
    const Value *ports = ports_of(gone);
    for (uint32_t i = 0; ports && i < ports->n; i++) {
        int64_t number = value_int_at(ports->items[i], "nodePort", 0);
        if (number && !has_port(kept, number))
            release_key(request->api, arena_printf(arena, PORT_PREFIX "%" PRId64, number));
    }
    int64_t health = value_int_at(gone, "spec.healthCheckNodePort", 0);
    if (health && !has_port(kept, health))
        release_key(request->api, arena_printf(arena, PORT_PREFIX "%" PRId64, health));
}

void write_release(ApiRequest *request, const ServedResource *served, const Value *gone) {
    for (Reservation *r = request->reservations; r; r = r->next)
        release_key(request->api, r->key);
    request->reservations = NULL;
    if (gone && served && is_service(served))
        release_service(request, gone, NULL);
}

void write_keep(ApiRequest *request, const ServedResource *served, const Value *object,
                const Value *old) {
    request->reservations = NULL;
    if (old && is_service(served))
        release_service(request, old, object);
}

// ---- repair

static bool is_held(const Api *api, Arena *arena, Str key) {
    const Cache *cache = registry_cache(api->registry, STR("core/services"));
    const Snapshot *root = cache_root(cache);
    bool address = str_starts_with(key, STR(IP_PREFIX));
    Str text = str_slice(key, address ? sizeof IP_PREFIX - 1 : sizeof PORT_PREFIX - 1, key.len);
    int64_t number = 0;
    if (!address && str_to_i64(text, &number) != 0)
        return false;
    for (size_t i = 0; i < snapshot_size(root); i++) {
        const Value *service = object_decode(arena, snapshot_at(root, i));
        if (address ? str_eq(cluster_ip(service), text) : has_port(service, number))
            return true;
    }
    return false;
}

static void on_held(void *user, int error, const StoreResult *result) {
    Api *api = user;
    Allocator *self = api->allocator;
    for (size_t i = 0; !error && i < result->n; i++) {
        _arena_free_ Arena *arena = arena_new();
        if (!is_held(api, arena, result->records[i].key)) {
            log_warn("api", "an allocation without its Service is released", "key=%.*s",
                     STR_ARG(result->records[i].key));
            release_key(api, result->records[i].key);
        }
    }
    self->repaired(api, error);
}

void service_allocator_repair(Api *api, void (*done)(Api *api, int error)) {
    ((Allocator *)api->allocator)->repaired = done;
    store_range(api->store, STR("/registry/ranges/"), STR(""), 0, 0, on_held, api);
}
