#include "controllers/frame.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

// Names as kube-controller-manager's --controllers knows them, and the service account each one
// acts as.
static const struct {
    const char *name;
    Controller *(*start)(Controllers *all);
} table[] = {
    {"namespace-controller", namespace_controller_start},
    {"serviceaccount-controller", service_account_controller_start},
    {"root-ca-certificate-publisher-controller", root_ca_controller_start},
    {"node-lifecycle-controller", node_lifecycle_controller_start},
    {"endpoints-controller", endpoints_controller_start},
    {"endpointslice-controller", endpoint_slice_controller_start},
    {"endpointslice-mirroring-controller", endpoint_slice_mirroring_controller_start},
    {"service-lb-controller", load_balancer_controller_start},
    {"garbage-collector-controller", garbage_collector_start},
    {"resourcequota-controller", resource_quota_controller_start},
    {"disruption-controller", disruption_controller_start},
    {"replicaset-controller", replica_set_controller_start},
    {"replicationcontroller-controller", replication_controller_start},
    {"deployment-controller", deployment_controller_start},
    {"job-controller", job_controller_start},
    {"daemonset-controller", daemon_set_controller_start},
    {"statefulset-controller", stateful_set_controller_start},
    {"ttl-after-finished-controller", ttl_after_finished_start},
    {"cronjob-controller", cron_job_controller_start},
    {"clusterrole-aggregation-controller", cluster_role_aggregation_start},
    {"serviceaccount-token-controller", account_tokens_start},
    {"token-cleaner-controller", token_cleaner_start},
    {"bootstrap-signer-controller", bootstrap_signer_start},
    {"certificatesigningrequest-approving-controller", csr_approving_start},
    {"certificatesigningrequest-signing-controller", csr_signing_start},
    {"certificatesigningrequest-cleaner-controller", csr_cleaner_start},
};
#define N_CONTROLLERS (sizeof table / sizeof *table)

typedef struct SharedInformer {
    ListLink link;
    const Resource *resource;
    Str field_selector;
    Informer *informer;
} SharedInformer;

typedef struct SharedPart {
    ListLink link;
    const ControllersPart *kind;
    void *part;
} SharedPart;

struct Controllers {
    ControllersConfig config;
    Arena *arena;
    Client *client; // reads, for all
    List informers, parts;
    Controller *running[N_CONTROLLERS];
    size_t n_running;
};

// "*,-job" and "job,cronjob": the last word on a name wins, "*" speaks for those not named.
static bool is_selected(Str selection, Str name) {
    bool others = !selection.len, named = false, on = false;
    Str rest = selection;
    while (rest.ptr) {
        Str word = str_trim(str_cut(&rest, ','));
        bool minus = str_starts_with(word, STR("-"));
        if (str_eq(word, STR("*")))
            others = true;
        else if (str_eq(minus ? str_slice(word, 1, word.len) : word, name)) {
            named = true;
            on = !minus;
        }
    }
    return named ? on : others;
}

static bool is_known(Str word) {
    if (str_starts_with(word, STR("-")))
        word = str_slice(word, 1, word.len);
    for (size_t i = 0; i < N_CONTROLLERS; i++)
        if (str_eq(word, str_from(table[i].name)))
            return true;
    return !word.len || str_eq(word, STR("*"));
}

Controllers *controllers_new(const ControllersConfig *config, char **ret_message) {
    Str rest = config->selection;
    while (rest.ptr) {
        Str word = str_trim(str_cut(&rest, ','));
        if (is_known(word))
            continue;
        if (asprintf(ret_message, "there is no controller \"%.*s\"", STR_ARG(word)) < 0)
            abort();
        return NULL;
    }
    Controllers *all = calloc(1, sizeof *all);
    assert(all);
    all->config = *config;
    all->arena = arena_new();
    all->config.cluster_ca = arena_str(all->arena, config->cluster_ca);
    all->config.cluster_ca_key = arena_str(all->arena, config->cluster_ca_key);
    all->config.service_account_key = arena_str(all->arena, config->service_account_key);
    list_init(&all->informers);
    list_init(&all->parts);
    all->client = config->client(config->user, STR_NONE);
    for (size_t i = 0; i < N_CONTROLLERS; i++)
        if (is_selected(config->selection, str_from(table[i].name)))
            all->running[all->n_running++] = table[i].start(all);
    return all;
}

void controllers_free(Controllers *all) {
    if (!all)
        return;
    SharedInformer *shared;
    list_for_each(shared, &all->informers, link) {
        informer_free(shared->informer);
        free(shared);
    }
    for (size_t i = 0; i < all->n_running; i++) {
        Controller *controller = all->running[i];
        work_queue_free(controller->queue);
        Reconcile *reconcile;
        list_for_each(reconcile, &controller->running, link) arena_free(reconcile->arena);
        controller->stop(controller);
    }
    SharedPart *shared_part;
    list_for_each(shared_part, &all->parts, link) {
        shared_part->kind->drop(shared_part->part);
        free(shared_part);
    }
    arena_free(all->arena);
    free(all);
}

void *controllers_part(Controllers *all, const ControllersPart *kind, bool *ret_is_new) {
    SharedPart *shared;
    *ret_is_new = false;
    list_for_each(shared, &all->parts, link) if (shared->kind == kind) return shared->part;
    shared = calloc(1, sizeof *shared);
    assert(shared);
    shared->kind = kind;
    shared->part = kind->make();
    list_append(&all->parts, &shared->link);
    *ret_is_new = true;
    return shared->part;
}

const ControllersConfig *controllers_config(const Controllers *all) {
    return &all->config;
}

const char *controllers_cluster_ca(const Controllers *all, size_t *ret_len) {
    *ret_len = all->config.cluster_ca.len;
    return all->config.cluster_ca.ptr;
}

static void begin(void *user, Str key) {
    Controller *controller = user;
    Arena *arena = arena_new();
    Reconcile *reconcile = arena_new_of(arena, Reconcile);
    reconcile->controller = controller;
    list_append(&controller->running, &reconcile->link);
    reconcile->arena = arena;
    reconcile->key = arena_str(arena, key);
    Str rest = reconcile->key;
    reconcile->namespace_ = str_cut(&rest, '/');
    reconcile->name = rest;
    controller->reconcile(reconcile);
}

void controller_init(Controller *controller, Controllers *all, const char *name, int workers,
                     void (*reconcile)(Reconcile *reconcile),
                     void (*stop)(Controller *controller)) {
    controller->name = name;
    controller->all = all;
    controller->loop = all->config.loop;
    controller->client = all->config.client(all->config.user, str_from(name));
    controller->reconcile = reconcile;
    controller->stop = stop;
    list_init(&controller->running);
    controller->queue = work_queue_new(&(WorkQueueConfig){
        .loop = controller->loop, .workers = workers, .reconcile = begin, .user = controller});
}

static void count_synced(void *user) {
    Controller *controller = user;
    assert(controller->waiting > 0);
    if (--controller->waiting == 0)
        work_queue_pause(controller->queue, false);
}

static void ignore_change(void *user, const InformerObject *old, const InformerObject *now) {}

void controller_wait_for(Controller *controller, Informer *informer) {
    static const InformerHandler wait = {.on_change = ignore_change, .on_synced = count_synced};
    controller->waiting++;
    work_queue_pause(controller->queue, true);
    informer_add_handler(informer, &wait, controller);
}

Informer *controller_informer(Controller *controller, const Resource *resource,
                              Str field_selector) {
    Controllers *all = controller->all;
    SharedInformer *shared, *found = NULL;
    list_for_each(shared, &all->informers, link) if (shared->resource == resource &&
                                                     str_eq(shared->field_selector, field_selector))
        found = shared;
    if (!found) {
        found = calloc(1, sizeof *found);
        assert(found);
        found->resource = resource;
        found->field_selector = arena_str(all->arena, field_selector);
        found->informer = informer_new(all->client, resource, STR_NONE, STR_NONE, field_selector);
        list_append(&all->informers, &found->link);
    }
    controller_wait_for(controller, found->informer);
    return found->informer;
}

static void enqueue_changed(void *user, const InformerObject *old, const InformerObject *now) {
    const InformerObject *object = now ? now : old;
    controller_enqueue(user, object->namespace_, object->name);
}

void controller_follow(Controller *controller, Informer *informer) {
    static const InformerHandler follow = {.on_change = enqueue_changed};
    informer_add_handler(informer, &follow, controller);
}

void controller_enqueue_after(Controller *controller, Str namespace_, Str name, int64_t delay_ns) {
    _arena_free_ Arena *arena = arena_new();
    work_queue_add_after(controller->queue,
                         arena_printf(arena, "%.*s/%.*s", STR_ARG(namespace_), STR_ARG(name)),
                         delay_ns);
}

void controller_enqueue(Controller *controller, Str namespace_, Str name) {
    controller_enqueue_after(controller, namespace_, name, 0);
}

void reconcile_done(Reconcile *reconcile, bool retry) {
    list_remove(&reconcile->link);
    work_queue_done(reconcile->controller->queue, reconcile->key, retry);
    arena_free(reconcile->arena);
}

bool reconcile_should_retry(const Reconcile *reconcile, const ClientResult *result) {
    if (!result->error || result->code == 404)
        return false;
    if (result->code == 409)
        return !result->status || !str_eq(result->status->reason, STR("AlreadyExists"));
    log_warn("controllers", "request failed", "controller=%s key=%.*s code=%d message=\"%.*s\"",
             reconcile->controller->name, STR_ARG(reconcile->key), result->code,
             STR_ARG(result->status ? result->status->message
                                    : str_from(strerror(result->error < 0 ? -result->error : 0))));
    return true;
}

void reconcile_finish(void *user, const ClientResult *result) {
    Reconcile *reconcile = user;
    reconcile_done(reconcile, reconcile_should_retry(reconcile, result));
}

typedef struct StatusWrite {
    Reconcile *reconcile;
    void (*then)(Reconcile *reconcile);
} StatusWrite;

static void on_status_written(void *user, const ClientResult *result) {
    StatusWrite *write = user;
    if (result->error && reconcile_should_retry(write->reconcile, result))
        reconcile_done(write->reconcile, true);
    else
        write->then(write->reconcile);
}

void reconcile_write_status(Reconcile *r, const Resource *resource, const Value *object,
                            Value *status, void (*then)(Reconcile *reconcile)) {
    const Value *old = value_get(object, STR("status"));
    if (old && value_equal(old, status)) {
        then(r);
        return;
    }
    Value *changed = value_copy(r->arena, object);
    value_set(r->arena, changed, STR("status"), status);
    _buf_deinit_ Buf body = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(changed, &body);
    StatusWrite *write = arena_new_of(r->arena, StatusWrite);
    *write = (StatusWrite){r, then};
    ClientTarget target = {.resource = resource,
                           .namespace_ = r->namespace_,
                           .name = r->name,
                           .subresource = STR("status")};
    client_update(r->controller->client, &target, buf_view(&body), on_status_written, write);
}

void *reconcile_object(Reconcile *reconcile, Informer *informer, Str namespace_, Str name,
                       const Type *type) {
    const InformerObject *object = informer_get(informer, namespace_, name);
    if (!object)
        return NULL;
    void *out = arena_zalloc(reconcile->arena, type->struct_size);
    Str json =
        arena_str(reconcile->arena, bytes_str(object->bytes)); // the cache may drop it meanwhile
    return typed_from_json(reconcile->arena, type, json, out) == 0 ? out : NULL;
}
