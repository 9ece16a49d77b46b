// Deployments: looks at a deployment and its ReplicaSets, lets deployment_plan.c say what is to
// become of them, writes that, and then the status. What was written must show in the informer
// before the next look.

#include <stdlib.h>

#include "base/map.h"
#include "base/memory.h"
#include "client/object_head.h"
#include "controllers/deployment.h"
#include "controllers/pod_control.h"

typedef struct DeploymentController {
    Controller base;
    Informer *deployments, *sets;
    InformerIndex *by_controller; // UID of what controls a set; "/NAMESPACE" when nothing does
    EventRecorder *events;
    Map *
        written; // UID of a deployment -> int64_t *, the last version of a set that we wrote for it
} DeploymentController;

typedef struct Sync { // r->state
    DeploymentController *self;
    PodOwner owner; // of the sets
    Rollout *rollout;
    Selector *selector;
    Value **claims; // sets to adopt or release, as patches
    Str *claimed;   // their names
    size_t n_claims, next;
    bool adopts;
    bool retry; // come again, after the status
} Sync;

static Value *parse(Arena *arena, const InformerObject *object) {
    Value *value;
    ParseError error;
    if (!object || value_parse_json(arena, arena_str(arena, bytes_str(object->bytes)), NULL, &value,
                                    &error) != 0)
        return NULL;
    return value;
}

static const Value *controller_of(const Value *object) {
    const Value *owners = value_at(object, "metadata.ownerReferences");
    for (uint32_t i = 0; owners && i < owners->n; i++)
        if (value_bool_at(owners->items[i], "controller", false))
            return owners->items[i];
    return NULL;
}

static Selector *selector_of(Arena *arena, const Value *deployment) {
    Selector *selector;
    Str message;
    if (selector_from_value(arena, value_at(deployment, "spec.selector"), &selector, &message) != 0)
        return NULL;
    return selector;
}

static Str text_of(Arena *arena, const Value *value) {
    _buf_deinit_ Buf text = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(value, &text);
    return arena_str(arena, buf_view(&text));
}

static ClientTarget set_target(const Reconcile *r, Str name) {
    return (ClientTarget){.resource = kinds_resource_apps_v1_replicasets(),
                          .namespace_ = r->namespace_,
                          .name = name};
}

static void event(Reconcile *r, const char *type, const char *reason, Str message) {
    const Sync *sync = r->state;
    EventTarget target = {.api_version = STR("apps/v1"),
                          .kind = STR("Deployment"),
                          .namespace_ = r->namespace_,
                          .name = r->name,
                          .uid = sync->owner.uid,
                          .resource_version =
                              value_string_at(sync->owner.object, "metadata.resourceVersion")};
    event_record(sync->self->events, &target, type, reason, "%.*s", STR_ARG(message));
}

// ---- what was written must show

static void remember(const Sync *sync, const ClientResult *result) {
    Map *written = sync->self->written;
    ObjectHead head;
    int64_t version;
    if (result->error || object_head_read(result->arena, result->body, &head) != 0 ||
        str_to_i64(head.resource_version, &version) != 0)
        return;
    int64_t *last = map_get(written, sync->owner.uid);
    if (!last)
        map_put(written, sync->owner.uid, last = memory_new(int64_t));
    if (version > *last)
        *last = version;
}

static void forget(DeploymentController *self, Str uid) {
    free(map_remove(self->written, uid));
}

// When not, the sets' changes will queue the deployment again.
static bool is_settled(const Sync *sync) {
    const int64_t *last = map_get(sync->self->written, sync->owner.uid);
    if (last && informer_version(sync->self->sets) < *last)
        return false;
    forget(sync->self, sync->owner.uid);
    return true;
}

// ---- status

static void on_status(void *user, const ClientResult *result) {
    Reconcile *r = user;
    const Sync *sync = r->state;
    reconcile_done(r, (result->error && reconcile_should_retry(r, result)) || sync->retry);
}

static void write_status(Reconcile *r) {
    Sync *sync = r->state;
    Rollout *rollout = sync->rollout;
    Value *deployment = rollout->deployment;
    int64_t check;
    Value *status = rollout_status(rollout, &check);
    Str revision = rollout->revision ? arena_printf(r->arena, "%lld", (long long)rollout->revision)
                                     : rollout_annotation(deployment, ROLLOUT_REVISION);
    const Value *old = value_get(deployment, STR("status"));
    if (old && value_equal(old, status) &&
        str_eq(revision, rollout_annotation(deployment, ROLLOUT_REVISION))) {
        if (check)
            controller_enqueue_after(r->controller, r->namespace_, r->name, check);
        reconcile_done(r, sync->retry);
        return;
    }
    if (revision.len)
        rollout_annotate(r->arena, deployment, ROLLOUT_REVISION, revision);
    value_set(r->arena, deployment, STR("status"), status);
    ClientTarget target = {.resource = kinds_resource_apps_v1_deployments(),
                           .namespace_ = r->namespace_,
                           .name = r->name,
                           .subresource = STR("status")};
    client_update(r->controller->client, &target, text_of(r->arena, deployment), on_status, r);
}

// ---- carrying out the plan, one call after the other

static void go_on(Reconcile *r);

static void tell_scaled(Reconcile *r, const RolloutSet *set, int32_t from) {
    if (set->wanted != from)
        event(r, "Normal", "ScalingReplicaSet",
              arena_printf(r->arena, "Scaled %s replica set %.*s from %d to %d",
                           set->wanted > from ? "up" : "down", STR_ARG(set->name), (int)from,
                           (int)set->wanted));
}

static void on_written(void *user, const ClientResult *result) {
    Reconcile *r = user;
    Sync *sync = r->state;
    const RolloutSet *set = sync->rollout->sets[sync->next++];
    if (result->error && !(set->removed && result->code == 404)) {
        reconcile_done(r, reconcile_should_retry(r, result) || result->code == 404);
        return;
    }
    if (!set->removed) {
        remember(sync, result);
        tell_scaled(r, set, set->replicas);
    }
    go_on(r);
}

static bool is_namespace_ending(const ClientResult *result) {
    for (size_t i = 0; result->status && i < result->status->n_causes; i++)
        if (str_eq(result->status->causes[i].type, STR("NamespaceTerminating")))
            return true;
    return false;
}

// The name is taken. By a set that is ours and of this template: the informer will show it. By
// another: another name, which depends on how often that happened.
static void on_namesake(void *user, const ClientResult *result) {
    Reconcile *r = user;
    Sync *sync = r->state;
    Rollout *rollout = sync->rollout;
    Value *set;
    ParseError error;
    sync->retry = true;
    if (result->error ||
        value_parse_json(r->arena, arena_str(r->arena, result->body), NULL, &set, &error) != 0) {
        reconcile_done(r, true);
        return;
    }
    if (str_eq(value_string_at(controller_of(set), "uid"), sync->owner.uid) &&
        rollout_same_template(value_at(set, "spec.template"),
                              value_at(rollout->deployment, "spec.template"))) {
        remember(sync, result);
        reconcile_done(r, true);
        return;
    }
    rollout->collisions = rollout->collisions < 0 ? 1 : rollout->collisions + 1;
    write_status(r);
}

static void fail_to_create(Reconcile *r, const ClientResult *result) {
    Sync *sync = r->state;
    Rollout *rollout = sync->rollout;
    Str why = result->status ? result->status->message : STR("the API server does not answer");
    Str message = arena_printf(r->arena, "Failed to create new replica set \"%.*s\": %.*s",
                               STR_ARG(rollout->current->name), STR_ARG(why));
    rollout_note_failure(rollout, message);
    event(r, "Warning", "ReplicaSetCreateError", message);
    sync->retry = true;
    write_status(r);
}

static void without_current(Rollout *rollout) {
    for (size_t i = 0; i < rollout->n; i++)
        if (rollout->sets[i] == rollout->current)
            rollout->sets[i--] = rollout->sets[--rollout->n];
}

static void on_created(void *user, const ClientResult *result) {
    Reconcile *r = user;
    Sync *sync = r->state;
    Rollout *rollout = sync->rollout;
    RolloutSet *current = rollout->current;
    if (!result->error) {
        remember(sync, result);
        tell_scaled(r, current, 0);
        if (rollout->deadline >= 0)
            rollout_set_condition(
                rollout, "Progressing", "True", "NewReplicaSetCreated",
                arena_printf(r->arena, "Created new replica set \"%.*s\"", STR_ARG(current->name)));
        go_on(r);
        return;
    }
    if (is_namespace_ending(result)) {
        reconcile_done(r, false);
        return;
    }
    // Nothing of the plan came true: the status is about what there was before.
    without_current(rollout);
    for (size_t i = 0; i < rollout->n; i++)
        rollout->sets[i]->wanted = rollout->sets[i]->replicas;
    rollout->revision = 0;
    if (result->code == 409) {
        ClientTarget target = set_target(r, current->name);
        client_get(r->controller->client, &target, on_namesake, r);
    } else {
        fail_to_create(r, result);
    }
}

static void create(Reconcile *r) {
    const Sync *sync = r->state;
    ClientTarget target = set_target(r, STR_NONE);
    Value *set = rollout_new_set(sync->rollout, pod_owner_reference(&sync->owner));
    client_create(r->controller->client, &target, text_of(r->arena, set), on_created, r);
}

static void remove_set(Reconcile *r, const RolloutSet *set) {
    ClientTarget target = set_target(r, set->name);
    Str options =
        arena_printf(r->arena, "{\"preconditions\":{\"uid\":\"%.*s\"}}", STR_ARG(set->uid));
    client_delete(r->controller->client, &target, options, on_written, r);
}

static void go_on(Reconcile *r) {
    Sync *sync = r->state;
    Rollout *rollout = sync->rollout;
    for (; sync->next < rollout->n; sync->next++) {
        RolloutSet *set = rollout->sets[sync->next];
        if (set->removed) {
            remove_set(r, set);
            return;
        }
        if (set->object && rollout_apply(rollout, set)) {
            ClientTarget target = set_target(r, set->name);
            client_update(r->controller->client, &target, text_of(r->arena, set->object),
                          on_written, r);
            return;
        }
    }
    write_status(r);
}

static void carry_out(Reconcile *r) {
    Sync *sync = r->state;
    Rollout *rollout = sync->rollout;
    rollout_ready(rollout);
    rollout_note(rollout);
    rollout_plan(rollout);
    if (!rollout->deleting)
        rollout_sync_revision(rollout);
    sync->next = 0;
    if (rollout->current && !rollout->current->object)
        create(r);
    else
        go_on(r);
}

// ---- whose sets

static Value *patch_of(Arena *arena, Value *reference, Str uid) {
    Value *patch = value_new_object(arena), *owners = value_new_array(arena);
    Value *metadata = value_at_make(arena, patch, "metadata");
    value_push(arena, owners, reference);
    value_set(arena, metadata, STR("ownerReferences"), owners);
    value_set_str(arena, metadata, STR("uid"), uid);
    return patch;
}

static void add_claim(Reconcile *r, Str name, Value *patch) {
    Sync *sync = r->state;
    size_t n = sync->n_claims++;
    sync->claims =
        arena_grow(r->arena, sync->claims, n * sizeof(Value *), (n + 1) * sizeof(Value *));
    sync->claimed = arena_grow(r->arena, sync->claimed, n * sizeof(Str), (n + 1) * sizeof(Str));
    sync->claims[n] = patch;
    sync->claimed[n] = name;
}

static void take_owned(void *user, const InformerObject *object) {
    Reconcile *r = user;
    Sync *sync = r->state;
    Value *set = parse(r->arena, object);
    if (!set || !str_eq(object->namespace_, r->namespace_))
        return;
    if (selector_matches(sync->selector, value_at(set, "metadata.labels")) ||
        value_string_at(set, "metadata.deletionTimestamp").len) {
        rollout_add(sync->rollout, set);
        return;
    }
    Value *reference = value_new_object(r->arena);
    value_set_str(r->arena, reference, STR("$patch"), STR("delete"));
    value_set_str(r->arena, reference, STR("uid"), sync->owner.uid);
    add_claim(r, value_string_at(set, "metadata.name"),
              patch_of(r->arena, reference, value_string_at(set, "metadata.uid")));
}

static void take_orphan(void *user, const InformerObject *object) {
    Reconcile *r = user;
    Sync *sync = r->state;
    Value *set = parse(r->arena, object);
    if (!set || !selector_matches(sync->selector, value_at(set, "metadata.labels")) ||
        value_string_at(set, "metadata.deletionTimestamp").len)
        return;
    sync->adopts = true;
    add_claim(r, value_string_at(set, "metadata.name"),
              patch_of(r->arena, pod_owner_reference(&sync->owner),
                       value_string_at(set, "metadata.uid")));
}

static void claim(Reconcile *r);

static void on_claimed(void *user, const ClientResult *result) {
    Reconcile *r = user;
    Sync *sync = r->state;
    remember(sync, result);
    if (result->error && result->code != 404 && result->code != 422 &&
        reconcile_should_retry(r, result))
        sync->retry = true;
    sync->next++;
    claim(r);
}

// The changes of what was claimed queue the deployment again.
static void claim(Reconcile *r) {
    Sync *sync = r->state;
    if (sync->next == sync->n_claims) {
        reconcile_done(r, sync->retry);
        return;
    }
    ClientTarget target = set_target(r, sync->claimed[sync->next]);
    client_patch(r->controller->client, &target, PATCH_STRATEGIC,
                 text_of(r->arena, sync->claims[sync->next]), on_claimed, r);
}

// What the informer shows of the deployment may be old; nothing is adopted for one that is gone.
static void on_owner(void *user, const ClientResult *result) {
    Reconcile *r = user;
    const Sync *sync = r->state;
    ObjectHead head;
    if (!result->error && object_head_read(result->arena, result->body, &head) == 0 &&
        str_eq(head.uid, sync->owner.uid) && !head.deletion_timestamp.len)
        claim(r);
    else
        reconcile_done(r, result->error && result->code != 404);
}

static void reconcile(Reconcile *r) {
    DeploymentController *self = (DeploymentController *)r->controller;
    Value *deployment = parse(r->arena, informer_get(self->deployments, r->namespace_, r->name));
    Sync *sync = arena_new_of(r->arena, Sync);
    sync->selector = deployment ? selector_of(r->arena, deployment) : NULL;
    if (!sync->selector || selector_is_everything(sync->selector)) {
        reconcile_done(r, false); // gone; the API admits no selector of everything
        return;
    }
    r->state = sync;
    sync->self = self;
    sync->owner = (PodOwner){.reconcile = r,
                             .resource = kinds_resource_apps_v1_deployments(),
                             .uid = value_string_at(deployment, "metadata.uid"),
                             .object = deployment};
    if (!is_settled(sync)) {
        reconcile_done(r, false);
        return;
    }
    sync->rollout = rollout_new(r->arena, deployment, loop_wall(self->base.loop));
    informer_index_each(self->by_controller, sync->owner.uid, take_owned, r);
    if (!sync->rollout->deleting)
        informer_index_each(self->by_controller,
                            arena_printf(r->arena, "/%.*s", STR_ARG(r->namespace_)), take_orphan,
                            r);
    ClientTarget target = {
        .resource = sync->owner.resource, .namespace_ = r->namespace_, .name = r->name};
    if (sync->adopts)
        client_get(self->base.client, &target, on_owner, r);
    else if (sync->n_claims)
        claim(r);
    else
        carry_out(r);
}

// ---- what brings them in

static void on_deployment(void *user, const InformerObject *old, const InformerObject *now) {
    DeploymentController *self = user;
    if (old && (!now || !str_eq(old->uid, now->uid)))
        forget(self, old->uid);
    if (now)
        controller_enqueue(&self->base, now->namespace_, now->name);
}

typedef struct Orphan {
    DeploymentController *self;
    const Value *labels;
} Orphan;

static void enqueue_if_matching(void *user, const InformerObject *object) {
    const Orphan *orphan = user;
    _arena_free_ Arena *arena = arena_new();
    Value *deployment = parse(arena, object);
    const Selector *selector = deployment ? selector_of(arena, deployment) : NULL;
    if (selector && selector_matches(selector, orphan->labels))
        controller_enqueue(&orphan->self->base, object->namespace_, object->name);
}

static void enqueue_owner(DeploymentController *self, const InformerObject *object, bool adopts) {
    _arena_free_ Arena *arena = arena_new();
    const Value *set = object ? parse(arena, object) : NULL;
    const Value *owner = controller_of(set);
    Orphan orphan = {self, value_at(set, "metadata.labels")};
    if (!set)
        return;
    if (owner && str_eq(value_string_at(owner, "kind"), STR("Deployment")))
        controller_enqueue(&self->base, object->namespace_, value_string_at(owner, "name"));
    else if (!owner && adopts)
        informer_each(self->deployments, object->namespace_, enqueue_if_matching, &orphan);
}

static void on_set(void *user, const InformerObject *old, const InformerObject *now) {
    enqueue_owner(user, old, false);
    enqueue_owner(user, now, true);
}

static void index_by_controller(const InformerObject *object, InformerEmit emit, void *emit_user) {
    _arena_free_ Arena *arena = arena_new();
    Value *set = parse(arena, object);
    Str uid = value_string_at(controller_of(set), "uid");
    if (set)
        emit(emit_user, uid.len ? uid : arena_printf(arena, "/%.*s", STR_ARG(object->namespace_)));
}

static void stop(Controller *controller) {
    DeploymentController *self = (DeploymentController *)controller;
    MapIter it = {0};
    while (map_next(self->written, &it))
        free(it.value);
    map_free(self->written);
    event_recorder_free(self->events);
    free(self);
}

Controller *deployment_controller_start(Controllers *all) {
    static const InformerHandler deployment = {.on_change = on_deployment},
                                 set = {.on_change = on_set};
    DeploymentController *self = memory_new(DeploymentController);
    controller_init(&self->base, all, "deployment-controller", 5, reconcile, stop);
    self->written = map_new();
    self->events = event_recorder_new(self->base.client, STR("deployment-controller"), STR_NONE);
    self->deployments =
        controller_informer(&self->base, kinds_resource_apps_v1_deployments(), STR(""));
    self->sets = controller_informer(&self->base, kinds_resource_apps_v1_replicasets(), STR(""));
    self->by_controller = informer_add_index(self->sets, index_by_controller);
    informer_add_handler(self->deployments, &deployment, self);
    informer_add_handler(self->sets, &set, self);
    return &self->base;
}
