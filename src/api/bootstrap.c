#include "api/bootstrap.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "api/auth/rules.h"
#include "base/log.h"
#include "base/memory.h"
#include "http/client.h"

// Two rounds: namespaces first, then all that lives in them or beside them.
typedef struct Bootstrap {
    Api *api;
    HttpClient *client;
    Arena *arena; // of the requests of this round
    size_t waiting;
    int round;
    bool failed;
    void (*done)(Api *api, int error);
    LoopTask task;
} Bootstrap;

typedef struct Call {
    Bootstrap *self;
    Str target;
    int status;
} Call;

static void next_round(void *user);

static void on_head(void *user, int status, const HttpHeader *headers, size_t n) {
    ((Call *)user)->status = status;
}

static void on_data(void *user, Str data) {
    const Call *call = user;
    if (call->status >= 300 && call->status != 409)
        log_error("api", "what every cluster has could not be made",
                  "target=%.*s status=%d answer=%.*s", STR_ARG(call->target), call->status,
                  STR_ARG(data));
}

static void on_done(void *user, int error, Str message) {
    Call *call = user;
    Bootstrap *self = call->self;
    if (error || (call->status >= 300 && call->status != 409)) // 409: another server made it
        self->failed = true;
    if (--self->waiting == 0)
        loop_post(self->api->loop, &self->task);
}

static const HttpCallEvents events = {.on_head = on_head, .on_data = on_data, .on_done = on_done};

static void send_object(Bootstrap *self, const char *method, Str target, const Value *object) {
    Buf buf = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(object, &buf);
    _bytes_unref_ Bytes *body = buf_bytes(&buf);
    buf_deinit(&buf);
    Call *call = arena_new_of(self->arena, Call);
    *call = (Call){.self = self, .target = target};
    HttpHeader headers[] = {{STR("Content-Type"), STR("application/json")},
                            {STR("User-Agent"), STR("seapod-bootstrap")}};
    HttpCallSpec spec = {.method = str_from(method),
                         .target = target,
                         .headers = headers,
                         .n_headers = 2,
                         .body = body};
    self->waiting++;
    http_call(self->client, &spec, &events, call);
}

// ---- objects

static Value *object_with_meta(Arena *arena, const char *api_version, const char *kind,
                               const char *name) {
    Value *object = value_new_object(arena);
    value_set_str(arena, object, STR("apiVersion"), str_from(api_version));
    value_set_str(arena, object, STR("kind"), str_from(kind));
    value_set_str(arena, value_at_make(arena, object, "metadata"), STR("name"), str_from(name));
    return object;
}

static void set_metadata(Arena *arena, Value *object, const char *map, Str key, const char *value) {
    Value *metadata = value_get(object, STR("metadata"));
    value_set_str(arena, value_at_make(arena, metadata, map), key, str_from(value));
}

static CachedObject *existing(const Bootstrap *self, const char *cache, const char *namespace_,
                              const char *name) {
    return cache_get(registry_cache(self->api->registry, str_from(cache)),
                     namespace_ ? str_from(namespace_) : STR(""), str_from(name));
}

static Value *split_list(Arena *arena, const char *text) {
    Value *list = value_new_array(arena);
    Str rest = str_from(text);
    while (rest.ptr)
        value_push(arena, list, value_new_string(arena, str_cut(&rest, ',')));
    return list;
}

static void make_namespaces(Bootstrap *self) {
    static const char *const names[] = {"default", "kube-system", "kube-public", "kube-node-lease"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!existing(self, "core/namespaces", NULL, names[i]))
            send_object(self, "POST", STR("/api/v1/namespaces"),
                        object_with_meta(self->arena, "v1", "Namespace", names[i]));
    }
}

#define RBAC "rbac.authorization.k8s.io/v1"
#define RBAC_PATH "/apis/" RBAC

static void mark_default(Arena *arena, Value *object) {
    set_metadata(arena, object, "labels", STR("kubernetes.io/bootstrapping"), "rbac-defaults");
    set_metadata(arena, object, "annotations", STR("rbac.authorization.kubernetes.io/autoupdate"),
                 "true");
}

static Value *role_rules(Arena *arena, const BootstrapRole *role) {
    Value *rules = value_new_array(arena);
    for (size_t i = 0; i < role->n_rules; i++) {
        const BootstrapRule *rule = &role->rules[i];
        Value *value = value_new_object(arena);
        value_set(arena, value, STR("verbs"), split_list(arena, rule->verbs));
        const struct {
            const char *field, *list;
        } lists[] = {{"apiGroups", rule->groups},
                     {"resources", rule->resources},
                     {"resourceNames", rule->names},
                     {"nonResourceURLs", rule->urls}};
        for (size_t j = 0; j < sizeof lists / sizeof *lists; j++) {
            if (lists[j].list)
                value_set(arena, value, str_from(lists[j].field), split_list(arena, lists[j].list));
        }
        value_push(arena, rules, value);
    }
    return rules;
}

static Value *role_object(Arena *arena, const BootstrapRole *role) {
    Value *object =
        object_with_meta(arena, RBAC, role->namespace_ ? "Role" : "ClusterRole", role->name);
    mark_default(arena, object);
    if (role->feeds)
        set_metadata(arena, object, "labels",
                     arena_printf(arena, "rbac.authorization.k8s.io/aggregate-to-%s", role->feeds),
                     "true");
    if (role->collects) {
        Value *selector = value_new_object(arena);
        value_set_str(
            arena, value_at_make(arena, selector, "matchLabels"),
            arena_printf(arena, "rbac.authorization.k8s.io/aggregate-to-%s", role->collects),
            STR("true"));
        Value *selectors = value_new_array(arena);
        value_push(arena, selectors, selector);
        value_set(arena, value_at_make(arena, object, "aggregationRule"),
                  STR("clusterRoleSelectors"), selectors);
    }
    value_set(arena, object, STR("rules"), role_rules(arena, role));
    return object;
}

static Str collection_path(Arena *arena, const char *namespace_, const char *plural) {
    return namespace_ ? arena_printf(arena, RBAC_PATH "/namespaces/%s/%s", namespace_, plural)
                      : arena_printf(arena, RBAC_PATH "/%s", plural);
}

static Str object_path(Arena *arena, Str collection, const char *name) {
    Str encoded = http_percent_encode(arena, str_from(name));
    return arena_printf(arena, "%.*s/%.*s", STR_ARG(collection), STR_ARG(encoded));
}

// A role of an older release gets the rules that it lacks, unless its owner said hands off.
static void complete_role(Bootstrap *self, const BootstrapRole *role, CachedObject *there,
                          Str path) {
    Arena *arena = self->arena;
    Value *object = object_decode(arena, there);
    const Value *annotations = value_at(object, "metadata.annotations");
    const Value *update =
        value_get(annotations, STR("rbac.authorization.kubernetes.io/autoupdate"));
    if (!update || update->kind != VALUE_STRING || !str_eq(update->string, STR("true")) ||
        role->collects)
        return;
    const PolicyRuleView *held, *wanted, *missing;
    size_t n_held = rules_from_value(arena, value_get(object, STR("rules")), &held);
    Value *desired = role_rules(arena, role);
    size_t n_wanted = rules_from_value(arena, desired, &wanted);
    if (rules_missing(arena, held, n_held, wanted, n_wanted, &missing) == 0)
        return;
    Value *rules = value_get(object, STR("rules"));
    for (uint32_t i = 0; rules && i < rules->n; i++)
        value_push(arena, desired, rules->items[i]);
    value_set(arena, object, STR("rules"), desired);
    send_object(self, "PUT", object_path(arena, path, role->name), object);
}

static void make_roles(Bootstrap *self) {
    const BootstrapRole *role;
    for (size_t i = 0; (role = bootstrap_role_at(i)); i++) {
        Str path = collection_path(self->arena, role->namespace_,
                                   role->namespace_ ? "roles" : "clusterroles");
        CachedObject *there = existing(self,
                                       role->namespace_ ? "rbac.authorization.k8s.io/roles"
                                                        : "rbac.authorization.k8s.io/clusterroles",
                                       role->namespace_, role->name);
        if (there)
            complete_role(self, role, there, path);
        else
            send_object(self, "POST", path, role_object(self->arena, role));
    }
}

static Value *binding_object(Arena *arena, const BootstrapBinding *binding) {
    Value *object = object_with_meta(
        arena, RBAC, binding->namespace_ ? "RoleBinding" : "ClusterRoleBinding", binding->name);
    mark_default(arena, object);
    Value *role = value_at_make(arena, object, "roleRef");
    value_set_str(arena, role, STR("apiGroup"), STR("rbac.authorization.k8s.io"));
    value_set_str(arena, role, STR("kind"),
                  binding->role_kind ? str_from(binding->role_kind) : STR("ClusterRole"));
    value_set_str(arena, role, STR("name"), str_from(binding->role));
    if (!binding->subjects)
        return object;
    Value *subjects = value_new_array(arena);
    bool account = !strcmp(binding->kind, "ServiceAccount");
    Str rest = str_from(binding->subjects);
    while (rest.ptr) {
        Value *subject = value_new_object(arena);
        value_set_str(arena, subject, STR("kind"), str_from(binding->kind));
        if (account)
            value_set_str(arena, subject, STR("namespace"), STR("kube-system"));
        else
            value_set_str(arena, subject, STR("apiGroup"), STR("rbac.authorization.k8s.io"));
        value_set_str(arena, subject, STR("name"), str_cut(&rest, ','));
        value_push(arena, subjects, subject);
    }
    value_set(arena, object, STR("subjects"), subjects);
    return object;
}

static void make_bindings(Bootstrap *self) {
    const BootstrapBinding *binding;
    for (size_t i = 0; (binding = bootstrap_binding_at(i)); i++) {
        const char *cache = binding->namespace_ ? "rbac.authorization.k8s.io/rolebindings"
                                                : "rbac.authorization.k8s.io/clusterrolebindings";
        if (existing(self, cache, binding->namespace_, binding->name))
            continue;
        send_object(self, "POST",
                    collection_path(self->arena, binding->namespace_,
                                    binding->namespace_ ? "rolebindings" : "clusterrolebindings"),
                    binding_object(self->arena, binding));
    }
}

// ---- the service `kubernetes`

static Value *https_port(Arena *arena, int64_t port, int64_t target) {
    Value *ports = value_new_array(arena), *entry = value_new_object(arena);
    value_set_str(arena, entry, STR("name"), STR("https"));
    value_set_int(arena, entry, STR("port"), port);
    value_set_str(arena, entry, STR("protocol"), STR("TCP"));
    if (target)
        value_set_int(arena, entry, STR("targetPort"), target);
    value_push(arena, ports, entry);
    return ports;
}

static Str first_address(Arena *arena, Str cidr) {
    Str rest = cidr;
    char *base = arena_cstr(arena, str_cut(&rest, '/'));
    struct in_addr address;
    if (inet_pton(AF_INET, base, &address) != 1)
        return STR("");
    uint32_t number = ntohl(address.s_addr) + 1;
    return arena_printf(arena, "%u.%u.%u.%u", number >> 24, (number >> 16) & 255,
                        (number >> 8) & 255, number & 255);
}

#define DEFAULT_PATH "/api/v1/namespaces/default"

static void make_service(Bootstrap *self) {
    Arena *arena = self->arena;
    const ApiConfig *config = &self->api->config;
    if (!config->service_cidr.len || existing(self, "core/services", "default", "kubernetes"))
        return;
    Value *object = object_with_meta(arena, "v1", "Service", "kubernetes");
    set_metadata(arena, object, "labels", STR("component"), "apiserver");
    set_metadata(arena, object, "labels", STR("provider"), "kubernetes");
    Value *spec = value_at_make(arena, object, "spec");
    value_set_str(arena, spec, STR("clusterIP"), first_address(arena, config->service_cidr));
    value_set_str(arena, spec, STR("type"), STR("ClusterIP"));
    value_set_str(arena, spec, STR("sessionAffinity"), STR("None"));
    value_set(arena, spec, STR("ports"), https_port(arena, 443, config->advertise_port));
    send_object(self, "POST", STR(DEFAULT_PATH "/services"), object);
}

static void make_endpoints(Bootstrap *self) {
    Arena *arena = self->arena;
    const ApiConfig *config = &self->api->config;
    // Endpoints can't be on the loopback: nobody else could reach them.
    if (!config->advertise_address.len || !config->advertise_port ||
        str_starts_with(config->advertise_address, STR("127.")))
        return;
    Value *object = object_with_meta(arena, "v1", "Endpoints", "kubernetes");
    set_metadata(arena, object, "labels", STR("endpointslice.kubernetes.io/skip-mirror"), "true");
    Value *address = value_new_object(arena), *addresses = value_new_array(arena);
    value_set_str(arena, address, STR("ip"), config->advertise_address);
    value_push(arena, addresses, address);
    Value *subset = value_new_object(arena), *subsets = value_new_array(arena);
    value_set(arena, subset, STR("addresses"), addresses);
    value_set(arena, subset, STR("ports"), https_port(arena, config->advertise_port, 0));
    value_push(arena, subsets, subset);
    value_set(arena, object, STR("subsets"), subsets);
    CachedObject *there = existing(self, "core/endpoints", "default", "kubernetes");
    if (!there) {
        send_object(self, "POST", STR(DEFAULT_PATH "/endpoints"), object);
        return;
    }
    const Value *old = value_get(object_decode(arena, there), STR("subsets"));
    if (!old || !value_equal(old, subsets)) // the server has moved
        send_object(self, "PUT", STR(DEFAULT_PATH "/endpoints/kubernetes"), object);
}

// ---- rounds

static void finish(Bootstrap *self, int error) {
    Api *api = self->api;
    void (*done)(Api *, int) = self->done;
    bootstrap_stop(api);
    done(api, error);
}

static void next_round(void *user) {
    Bootstrap *self = user;
    arena_reset(self->arena);
    if (self->failed) {
        finish(self, -EIO);
        return;
    }
    self->waiting = 1; // answers may not end the round while it is being sent
    switch (self->round++) {
    case 0:
        make_namespaces(self);
        break;
    case 1:
        make_roles(self);
        make_bindings(self);
        make_service(self);
        make_endpoints(self);
        break;
    default:
        finish(self, 0);
        return;
    }
    if (--self->waiting == 0)
        loop_post(self->api->loop, &self->task);
}

void bootstrap_start(Api *api, void (*done)(Api *api, int error)) {
    Bootstrap *self = memory_new(Bootstrap);
    api->bootstrap = self;
    self->api = api;
    self->done = done;
    self->arena = arena_new();
    self->task = (LoopTask){.fn = next_round, .user = self};
    Str masters = STR("system:masters");
    HttpPeer peer = {.address = STR("@"),
                     .local = true,
                     .user = STR("system:apiserver"),
                     .groups = &masters,
                     .n_groups = 1};
    self->client = http_client_new_local(api->loop, api->loop, api_handle, api, &peer);
    loop_post(api->loop, &self->task);
}

void bootstrap_stop(Api *api) {
    Bootstrap *self = api->bootstrap;
    if (!self)
        return;
    api->bootstrap = NULL;
    loop_task_cancel(api->loop, &self->task);
    http_client_free(self->client);
    arena_free(self->arena);
    free(self);
}
