#include "controllers/pod_control.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/memory.h"
#include "client/object_head.h"
#include "controllers/expectations.h"

#define AT_ONCE 64 // calls under way for one reconcile

void pod_control_init(PodControl *control, Controller *controller, const Resource *owner,
                      const char *component,
                      void (*adopts)(Controller *controller, const PodFacts *orphan)) {
    control->pods = owned_pods_join(controller, owner, adopts);
    control->events = event_recorder_new(controller->client, str_from(component), STR_NONE);
    control->expected = expectations_new();
}

void pod_control_deinit(PodControl *control) {
    event_recorder_free(control->events);
    expectations_free(control->expected);
}

bool pod_control_is_settled(const PodOwner *owner) {
    return expectations_met(owner->control->expected, owner->uid, owner->control->pods,
                            loop_now(owner->reconcile->controller->loop));
}

void pod_control_forget(PodControl *control, Str owner_uid) {
    expectations_forget(control->expected, owner_uid);
}

static int64_t now_of(const PodOwner *owner) {
    return loop_now(owner->reconcile->controller->loop);
}

static Str api_version_of(Arena *arena, const Resource *resource) {
    return arena_printf(arena, "%.*s%s%.*s", STR_ARG(resource->group),
                        resource->group.len ? "/" : "", STR_ARG(resource->version));
}

static EventTarget target_of(const PodOwner *owner) {
    const Reconcile *r = owner->reconcile;
    return (EventTarget){.api_version = api_version_of(r->arena, owner->resource),
                         .kind = owner->resource->kind,
                         .namespace_ = r->namespace_,
                         .name = r->name,
                         .uid = owner->uid,
                         .resource_version =
                             value_string_at(owner->object, "metadata.resourceVersion")};
}

void pod_owner_event(const PodOwner *owner, const char *type, const char *reason, Str message) {
    EventTarget target = target_of(owner);
    event_record(owner->control->events, &target, type, reason, "%.*s", STR_ARG(message));
}

// ---- pods from templates

Value *pod_owner_reference(const PodOwner *owner) {
    Arena *arena = owner->reconcile->arena;
    Value *reference = value_new_object(arena);
    value_set_str(arena, reference, STR("apiVersion"), api_version_of(arena, owner->resource));
    value_set_str(arena, reference, STR("kind"), owner->resource->kind);
    value_set_str(arena, reference, STR("name"), owner->reconcile->name);
    value_set_str(arena, reference, STR("uid"), owner->uid);
    value_set_bool(arena, reference, STR("controller"), true);
    value_set_bool(arena, reference, STR("blockOwnerDeletion"), true);
    return reference;
}

Value *pod_from_template(const PodOwner *owner, const Value *template) {
    static const char *const kept[] = {"labels", "annotations", "finalizers"};
    const Reconcile *r = owner->reconcile;
    Arena *arena = r->arena;
    Value *pod = value_new_object(arena), *metadata = value_new_object(arena);
    Value *owners = value_new_array(arena);
    const Value *given = value_get(template, STR("metadata"));
    value_set_str(arena, metadata, STR("generateName"),
                  arena_printf(arena, "%.*s-", STR_ARG(r->name)));
    value_set_str(arena, metadata, STR("namespace"), r->namespace_);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        const Value *part = value_get(given, str_from(kept[i]));
        if (part)
            value_set(arena, metadata, str_from(kept[i]), value_copy(arena, part));
    }
    value_push(arena, owners, pod_owner_reference(owner));
    value_set(arena, metadata, STR("ownerReferences"), owners);
    value_set_str(arena, pod, STR("apiVersion"), STR("v1"));
    value_set_str(arena, pod, STR("kind"), STR("Pod"));
    value_set(arena, pod, STR("metadata"), metadata);
    Value *spec = value_get(template, STR("spec"));
    value_set(arena, pod, STR("spec"), spec ? spec : value_new_object(arena));
    return pod;
}

// ---- calls, many at a time

typedef struct Work Work;
struct Work { // in the reconcile's arena
    const PodOwner *owner;
    size_t n, next, width, running;
    bool stops;   // at the first failure
    bool deletes; // what was patched
    void (*start)(Work *work, size_t i);
    Str (*body)(void *user, size_t i); // of what is created
    struct PodRef *refs;               // of what is deleted or patched
    PodOutcome outcome;
    PodsDone done;
    void *user;
};

typedef struct PodRef { // copied: a pod may change while calls are under way
    Work *work;
    Str name, uid, patch;
} PodRef;

static void work_go_on(Work *work) {
    if (work->running)
        return;
    bool failed = work->outcome.message.ptr != NULL;
    if (work->next == work->n || (failed && work->stops)) {
        work->done(work->user, &work->outcome);
        return;
    }
    size_t left = work->n - work->next, width = work->width < left ? work->width : left;
    work->width = work->width * 2 < AT_ONCE ? work->width * 2 : AT_ONCE;
    work->running = width;
    for (size_t i = 0; i < width; i++)
        work->start(work, work->next++);
}

static void work_ended(Work *work, const ClientResult *result) {
    Arena *arena = work->owner->reconcile->arena;
    if (!result->error) {
        work->outcome.succeeded++;
    } else if (!work->outcome.message.ptr) {
        work->outcome.error = result->error;
        const char *why = strerror(result->error < 0 ? -result->error : 0);
        work->outcome.message =
            arena_str(arena, result->status ? result->status->message : str_from(why));
        if (result->status) {
            ApiStatus *status = arena_new_of(arena, ApiStatus);
            status->code = result->status->code;
            status->reason = arena_str(arena, result->status->reason);
            status->message = work->outcome.message;
            work->outcome.status = status;
        }
    }
    work->running--;
    work_go_on(work);
}

static Work *work_new(const PodOwner *owner, size_t n, void (*start)(Work *work, size_t i),
                      PodsDone done, void *user) {
    Work *work = arena_new_of(owner->reconcile->arena, Work);
    *work = (Work){
        .owner = owner, .n = n, .width = AT_ONCE, .start = start, .done = done, .user = user};
    work->outcome.asked = n;
    return work;
}

static ClientTarget pod_target(const PodOwner *owner, Str name) {
    return (ClientTarget){.resource = kinds_resource_core_v1_pods(),
                          .namespace_ = owner->reconcile->namespace_,
                          .name = name};
}

static const char *why_of(const ClientResult *result, Arena *arena) {
    return result->status ? arena_cstr(arena, result->status->message)
                          : strerror(result->error < 0 ? -result->error : 0);
}

// ---- creating

static void record(const PodOwner *owner, bool creates, Str pod, const char *error) {
    PodControl *control = owner->control;
    EventTarget target = target_of(owner);
    if (control->record)
        control->record(owner, creates ? "create" : "delete", pod, error);
    else if (error)
        event_record(control->events, &target, "Warning", creates ? "FailedCreate" : "FailedDelete",
                     "Error %s: %s", creates ? "creating" : "deleting", error);
    else
        event_record(control->events, &target, "Normal",
                     creates ? "SuccessfulCreate" : "SuccessfulDelete", "%s pod: %.*s",
                     creates ? "Created" : "Deleted", STR_ARG(pod));
}

static bool is_namespace_ending(const ClientResult *result) {
    for (size_t i = 0; result->status && i < result->status->n_causes; i++)
        if (str_eq(result->status->causes[i].type, STR("NamespaceTerminating")))
            return true;
    return false;
}

static void on_created(void *user, const ClientResult *result) {
    PodRef *ref = user;
    const PodOwner *owner = ref->work->owner;
    static const ClientResult no_failure;
    bool excused = result->error && is_namespace_ending(result);
    ObjectHead head;
    int64_t version;
    if (!result->error && object_head_read(result->arena, result->body, &head) == 0) {
        if (str_to_i64(head.resource_version, &version) == 0)
            expectations_created(owner->control->expected, owner->uid, version, now_of(owner));
        record(owner, true, head.name, NULL);
    } else if (result->error && !excused) {
        record(owner, true, ref->name, why_of(result, result->arena));
    }
    work_ended(ref->work, excused ? &no_failure : result);
}

static void start_create(Work *work, size_t i) {
    Arena *arena = work->owner->reconcile->arena;
    ClientTarget target = pod_target(work->owner, STR_NONE);
    Str body = work->body(work->user, i);
    PodRef *ref = arena_new_of(arena, PodRef);
    ObjectHead head;
    ref->work = work;
    if (work->owner->control->record && object_head_read(arena, body, &head) == 0)
        ref->name = arena_str(arena, head.name);
    client_create(work->owner->reconcile->controller->client, &target, body, on_created, ref);
}

void pods_create(const PodOwner *owner, size_t n, Str (*body)(void *user, size_t i), PodsDone done,
                 void *user) {
    Work *work = work_new(owner, n, start_create, done, user);
    work->body = body;
    work->stops = true;
    work->width = 1;
    work_go_on(work);
}

// ---- deleting

static void on_deleted(void *user, const ClientResult *result) {
    PodRef *ref = user;
    const PodOwner *owner = ref->work->owner;
    static const ClientResult no_failure;
    bool excused = result->code == 404;
    if (!excused)
        record(owner, false, ref->name, result->error ? why_of(result, result->arena) : NULL);
    if (!result->error || excused)
        expectations_deleted(owner->control->expected, owner->uid, owner->reconcile->namespace_,
                             ref->name, ref->uid, now_of(owner));
    work_ended(ref->work, excused ? &no_failure : result);
}

static void start_delete(Work *work, size_t i) {
    PodRef *ref = &work->refs[i];
    ClientTarget target = pod_target(work->owner, ref->name);
    Str options = arena_printf(work->owner->reconcile->arena,
                               "{\"preconditions\":{\"uid\":\"%.*s\"}}", STR_ARG(ref->uid));
    client_delete(work->owner->reconcile->controller->client, &target, options, on_deleted, ref);
}

static PodRef ref_of(Work *work, const PodFacts *pod) {
    Arena *arena = work->owner->reconcile->arena;
    return (PodRef){work, arena_str(arena, pod->name), arena_str(arena, pod->uid), STR_NONE};
}

void pods_delete(const PodOwner *owner, const PodFacts *const *pods, size_t n, PodsDone done,
                 void *user) {
    Work *work = work_new(owner, n, start_delete, done, user);
    work->refs = arena_array_of(owner->reconcile->arena, PodRef, n ? n : 1);
    for (size_t i = 0; i < n; i++)
        work->refs[i] = ref_of(work, pods[i]);
    work_go_on(work);
}

// ---- adopting and releasing

typedef struct Claim {
    Work *work;
    const Selector *selector;
    size_t n_adopt; // they stand first
    Str reference;  // as JSON
} Claim;

bool pod_matches(const Selector *selector, const PodFacts *pod) {
    return selector_matches_map(selector, &pod->labels);
}

#define REMOVAL "$deleteFromPrimitiveList/finalizers"

static Str finalizer_patch(const PodOwner *owner, const char *key) {
    const char *finalizer = owner->control->finalizer;
    if (!finalizer)
        return STR("");
    return arena_printf(owner->reconcile->arena, "\"%s\":[\"%s\"],", key, finalizer);
}

static bool claims(const Claim *claim, const PodFacts *pod) {
    const PodOwner *owner = claim->work->owner;
    return pod_matches(claim->selector, pod) &&
           (!owner->control->may_own || owner->control->may_own(owner, pod));
}

static PodRef *add_ref(Claim *claim, const PodFacts *pod) {
    Work *work = claim->work;
    work->refs = arena_grow(work->owner->reconcile->arena, work->refs, work->n * sizeof(PodRef),
                            (work->n + 1) * sizeof(PodRef));
    work->refs[work->n] = ref_of(work, pod);
    return &work->refs[work->n++];
}

static void adopt_orphan(void *user, const PodFacts *pod) {
    Claim *claim = user;
    if (!pod_facts_active(pod) || !claims(claim, pod))
        return;
    PodRef *ref = add_ref(claim, pod);
    ref->patch =
        arena_printf(claim->work->owner->reconcile->arena,
                     "{\"metadata\":{\"ownerReferences\":[%.*s],%.*s\"uid\":\"%.*s\"}}",
                     STR_ARG(claim->reference),
                     STR_ARG(finalizer_patch(claim->work->owner, "finalizers")), STR_ARG(ref->uid));
    claim->n_adopt++;
}

static void release_owned(void *user, const PodFacts *pod) {
    Claim *claim = user;
    if (pod->deleting || claims(claim, pod))
        return;
    PodRef *ref = add_ref(claim, pod);
    ref->patch = arena_printf(
        claim->work->owner->reconcile->arena,
        "{\"metadata\":{\"ownerReferences\":[{\"$patch\":\"delete\",\"uid\":\"%.*s\"}],"
        "%.*s\"uid\":\"%.*s\"}}",
        STR_ARG(claim->work->owner->uid), STR_ARG(finalizer_patch(claim->work->owner, REMOVAL)),
        STR_ARG(ref->uid));
}

static void on_patched(void *user, const ClientResult *result) {
    PodRef *ref = user;
    const PodOwner *owner = ref->work->owner;
    static const ClientResult no_failure;
    bool excused = result->code == 404 || result->code == 422; // gone, or no longer ours
    ObjectHead head;
    int64_t version;
    if (!result->error && object_head_read(result->arena, result->body, &head) == 0 &&
        str_to_i64(head.resource_version, &version) == 0)
        expectations_created(owner->control->expected, owner->uid, version, now_of(owner));
    if (ref->work->deletes && !result->error)
        start_delete(ref->work, (size_t)(ref - ref->work->refs));
    else
        work_ended(ref->work, excused ? &no_failure : result);
}

static void start_patch(Work *work, size_t i) {
    PodRef *ref = &work->refs[i];
    ClientTarget target = pod_target(work->owner, ref->name);
    client_patch(work->owner->reconcile->controller->client, &target, PATCH_STRATEGIC, ref->patch,
                 on_patched, ref);
}

void pods_let_go(const PodOwner *owner, const PodFacts *const *pods, size_t n, bool deletes,
                 PodsDone done, void *user) {
    Work *work = work_new(owner, n, start_patch, done, user);
    work->deletes = deletes;
    work->refs = arena_array_of(owner->reconcile->arena, PodRef, n ? n : 1);
    for (size_t i = 0; i < n; i++) {
        PodRef *ref = &work->refs[i];
        *ref = ref_of(work, pods[i]);
        ref->patch = arena_printf(owner->reconcile->arena, "{\"metadata\":{%.*s\"uid\":\"%.*s\"}}",
                                  STR_ARG(finalizer_patch(owner, REMOVAL)), STR_ARG(ref->uid));
    }
    work_go_on(work);
}

// What the informer shows of the owner may be old; nothing is adopted for one that is gone.
static void on_owner(void *user, const ClientResult *result) {
    Claim *claim = user;
    Work *work = claim->work;
    ObjectHead head;
    if (!result->error && object_head_read(result->arena, result->body, &head) == 0 &&
        str_eq(head.uid, work->owner->uid) && !head.deletion_timestamp.len) {
        work_go_on(work);
        return;
    }
    work->next = work->n;
    work->outcome.error = result->error;
    work->outcome.message = STR("the owner is not there any more");
    work->done(work->user, &work->outcome);
}

size_t pods_claim(const PodOwner *owner, const Selector *selector, bool is_deleting, PodsDone done,
                  void *user) {
    const Reconcile *r = owner->reconcile;
    Claim *claim = arena_new_of(r->arena, Claim);
    claim->work = work_new(owner, 0, start_patch, done, user);
    claim->selector = selector;
    _buf_deinit_ Buf reference = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(pod_owner_reference(owner), &reference);
    claim->reference = arena_str(r->arena, buf_view(&reference));
    if (!is_deleting)
        owned_pods_each_orphan(owner->control->pods, r->namespace_, adopt_orphan, claim);
    owned_pods_each(owner->control->pods, owner->uid, release_owned, claim);
    Work *work = claim->work;
    work->outcome.asked = work->n;
    if (!claim->n_adopt) {
        if (work->n)
            work_go_on(work);
        return work->n;
    }
    ClientTarget target = {
        .resource = owner->resource, .namespace_ = r->namespace_, .name = r->name};
    client_get(r->controller->client, &target, on_owner, claim);
    return work->n;
}
