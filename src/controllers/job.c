// Jobs: pods that run until a number of them has succeeded.
// https://kubernetes.io/docs/concepts/workloads/controllers/job/
// (pkg/controller/job upstream)

#include "controllers/job.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/memory.h"
#include "base/time.h"
#include "client/object_head.h"

#define BURST 500                       // pods made or deleted by one reconcile
#define GENERATED_MAX 58                // of a generated name's fixed part
#define PODS_PREFIX "pods/"             // keys "namespace/pods/name": pods whose job is gone
#define LOOK_AGAIN (300 * NSEC_PER_SEC) // if what was written does not show

typedef struct JobRecord { // what is remembered of a job from one reconcile to the next
    int64_t version;       // of its status as written last
    JobBackoff backoff;
} JobRecord;

typedef struct JobController {
    Controller base;
    Informer *jobs;
    InformerIndex *by_uid;
    PodControl control;
    Map *records; // UID -> JobRecord
} JobController;

typedef struct Step { // r->state
    JobSync sync;
    const Value *template; // of new pods, with all that is the same in them
    int64_t *indexes;      // of new pods
    const JobPod **let_go; // whose finalizers go
    size_t n_let_go, n_chosen;
    const JobPod **chosen; // to be deleted
    bool all, finished;
    Value *written; // the status as the server has it
    void (*after_write)(Reconcile *r);
} Step;

static JobController *controller_of(const Reconcile *r) {
    return (JobController *)r->controller;
}

static JobSync *sync_of(const Reconcile *r) {
    return &((Step *)r->state)->sync;
}

static JobRecord *record_of(const Reconcile *r) {
    JobController *self = controller_of(r);
    Str uid = sync_of(r)->owner.uid;
    JobRecord *record = map_get(self->records, uid);
    if (!record)
        map_put(self->records, uid, record = memory_new(JobRecord));
    return record;
}

static void enqueue_after(const Reconcile *r, int64_t delay_ns) {
    controller_enqueue_after(r->controller, r->namespace_, r->name, delay_ns);
}

// ---- writing the status

static void on_written(void *user, const ClientResult *result) {
    Reconcile *r = user;
    Step *step = r->state;
    ObjectHead head;
    if (result->error) {
        reconcile_done(r, reconcile_should_retry(r, result));
        return;
    }
    if (object_head_read(result->arena, result->body, &head) == 0) {
        JobRecord *record = record_of(r);
        int64_t version;
        if (str_to_i64(head.resource_version, &version) == 0)
            record->version = version;
        record->backoff = step->sync.backoff;
        value_set_str(r->arena, value_get(step->sync.job, STR("metadata")), STR("resourceVersion"),
                      arena_str(r->arena, head.resource_version));
    }
    step->after_write(r);
}

static void write_status(Reconcile *r, void (*after)(Reconcile *r)) {
    Step *step = r->state;
    JobSync *sync = &step->sync;
    step->after_write = after;
    if (step->written && value_equal(step->written, sync->status)) {
        after(r);
        return;
    }
    step->written = value_copy(r->arena, sync->status);
    value_set(r->arena, sync->job, STR("status"), sync->status);
    _buf_deinit_ Buf body = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(sync->job, &body);
    ClientTarget target = {.resource = kinds_resource_batch_v1_jobs(),
                           .namespace_ = r->namespace_,
                           .name = r->name,
                           .subresource = STR("status")};
    client_update(r->controller->client, &target, buf_view(&body), on_written, r);
}

// ---- counting

static void on_finished(Reconcile *r) {
    Step *step = r->state;
    JobSync *sync = &step->sync;
    if (!step->finished) {
        reconcile_done(r, sync->retry);
        return;
    }
    if (sync->end == JOB_FAILS) {
        pod_owner_event(&sync->owner, "Warning", arena_cstr(r->arena, sync->reason), sync->message);
    } else {
        if (sync->completions >= 0 && sync->succeeded > sync->completions)
            pod_owner_event(&sync->owner, "Warning", "TooManySucceededPods",
                            STR("Too many succeeded pods running after completion count reached"));
        pod_owner_event(&sync->owner, "Normal", "Completed", STR("Job completed"));
    }
    reconcile_done(r, sync->retry);
}

static void on_let_go(void *user, const PodOutcome *outcome) {
    Reconcile *r = user;
    Step *step = r->state;
    if (outcome->message.ptr) { // what was done shows in the pods
        reconcile_done(r, true);
        return;
    }
    for (size_t i = 0; i < step->n_let_go; i++)
        ((JobPod *)step->let_go[i])->tracked = false;
    job_status_count(&step->sync);
    step->finished = step->all && job_status_finish(&step->sync);
    write_status(r, on_finished);
}

static size_t facts_of(const Reconcile *r, const JobPod *const *pods, size_t n,
                       const PodFacts **ret) {
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        const PodFacts *facts =
            owned_pods_get(controller_of(r)->control.pods, r->namespace_, pods[i]->name);
        if (facts && facts->job_tracked && str_eq(facts->uid, pods[i]->uid))
            ret[found++] = facts;
    }
    return found;
}

static void on_collected(Reconcile *r) {
    Step *step = r->state;
    const PodFacts **facts = arena_array_of(r->arena, const PodFacts *, step->n_let_go + 1);
    size_t n = facts_of(r, step->let_go, step->n_let_go, facts);
    if (step->sync.suspend_changed) {
        if (step->sync.suspended)
            pod_owner_event(&step->sync.owner, "Normal", "Suspended", STR("Job suspended"));
        else
            pod_owner_event(&step->sync.owner, "Normal", "Resumed", STR("Job resumed"));
    }
    pods_let_go(&step->sync.owner, facts, n, false, on_let_go, r);
}

static void collect(Reconcile *r) {
    Step *step = r->state;
    step->let_go = arena_array_of(r->arena, const JobPod *, step->sync.n_pods + 1);
    step->n_let_go = job_status_collect(&step->sync, step->let_go, &step->all);
    write_status(r, on_collected);
}

// ---- pods

// After pods were made or deleted: whether that is all.
static void note_end(Reconcile *r) {
    JobSync *sync = sync_of(r);
    bool enough =
        sync->completions < 0 ? sync->succeeded > 0 : sync->succeeded >= sync->completions;
    if (enough && sync->active == 0) {
        sync->end = JOB_SUCCEEDS;
        sync->reason = STR("CompletionsReached");
        sync->message = STR("Reached expected number of succeeded pods");
    } else if (!sync->deleting && sync->suspended) {
        sync->suspend_changed =
            job_condition_set(sync, "Suspended", true, STR("JobSuspended"), STR("Job suspended"));
    } else if (!sync->deleting) {
        sync->suspend_changed =
            job_condition_set(sync, "Suspended", false, STR("JobResumed"), STR("Job resumed"));
        if (sync->suspend_changed) // the deadline counts from now
            value_set_str(r->arena, sync->status, STR("startTime"),
                          time_format(r->arena, sync->now));
    }
    collect(r);
}

static void on_created(void *user, const PodOutcome *outcome) {
    JobSync *sync = sync_of(user);
    sync->active += (int64_t)outcome->succeeded;
    sync->retry |= outcome->message.ptr != NULL;
    note_end(user);
}

static void note_deleted(Reconcile *r, const PodOutcome *outcome) {
    Step *step = r->state;
    JobSync *sync = &step->sync;
    if (outcome->message.ptr) { // which ones went, the next round sees
        sync->retry = true;
        sync->end = JOB_GOES_ON;
        return;
    }
    for (size_t i = 0; i < step->n_chosen; i++) {
        sync->active--;
        sync->terminating++;
        sync->ready -= step->chosen[i]->ready;
    }
}

static void on_surplus_deleted(void *user, const PodOutcome *outcome) {
    note_deleted(user, outcome);
    note_end(user);
}

static void on_all_deleted(void *user, const PodOutcome *outcome) {
    note_deleted(user, outcome);
    collect(user);
}

static void delete_chosen(Reconcile *r, bool let_go, PodsDone done) {
    Step *step = r->state;
    const PodFacts **facts = arena_array_of(r->arena, const PodFacts *, step->n_chosen + 1);
    for (size_t i = 0; i < step->n_chosen; i++)
        facts[i] = step->chosen[i]->facts;
    if (let_go)
        pods_let_go(&step->sync.owner, facts, step->n_chosen, true, done, r);
    else
        pods_delete(&step->sync.owner, facts, step->n_chosen, done, r);
}

// ---- making pods

static void add_index_env(Arena *arena, const Value *containers) {
    for (uint32_t i = 0; containers && i < containers->n; i++) {
        Value *env = value_get(containers->items[i], STR("env"));
        bool has = false;
        for (uint32_t k = 0; env && k < env->n; k++)
            has |= str_eq(value_string_at(env->items[k], "name"), STR("JOB_COMPLETION_INDEX"));
        if (has)
            continue;
        if (!env)
            value_set(arena, containers->items[i], STR("env"), env = value_new_array(arena));
        Value *variable = value_new_object(arena);
        value_set_str(arena, variable, STR("name"), STR("JOB_COMPLETION_INDEX"));
        value_set_str(arena, value_at_make(arena, variable, "valueFrom.fieldRef"), STR("fieldPath"),
                      STR("metadata.labels['" JOB_INDEX "']"));
        value_push(arena, env, variable);
    }
}

static const Value *template_of(JobSync *sync) {
    Arena *arena = sync->arena;
    Value *template = value_copy(arena, value_at(sync->spec, "template"));
    Value *metadata = value_at_make(arena, template, "metadata");
    Value *finalizers = value_get(metadata, STR("finalizers"));
    if (!finalizers)
        value_set(arena, metadata, STR("finalizers"), finalizers = value_new_array(arena));
    value_push(arena, finalizers, value_new_string(arena, STR(JOB_FINALIZER)));
    if (sync->indexed) {
        add_index_env(arena, value_at(template, "spec.initContainers"));
        add_index_env(arena, value_at(template, "spec.containers"));
    }
    return template;
}

static void add_index(JobSync *sync, Value *pod, int64_t index) {
    Arena *arena = sync->arena;
    Str number = arena_printf(arena, "%" PRId64, index), name = sync->owner.reconcile->name;
    Str suffix = arena_printf(arena, "-%.*s-", STR_ARG(number));
    Str start = name.len + suffix.len > GENERATED_MAX
                    ? str_slice(name, 0, GENERATED_MAX - suffix.len)
                    : name;
    Value *metadata = value_get(pod, STR("metadata"));
    Value *annotations = value_at_make(arena, metadata, "annotations");
    value_set_str(arena, metadata, STR("generateName"),
                  arena_printf(arena, "%.*s%.*s", STR_ARG(start), STR_ARG(suffix)));
    value_set_str(arena, annotations, STR(JOB_INDEX), number);
    value_set_str(arena, value_at_make(arena, metadata, "labels"), STR(JOB_INDEX), number);
    value_set_str(arena, value_get(pod, STR("spec")), STR("hostname"),
                  arena_printf(arena, "%.*s-%.*s", STR_ARG(name), STR_ARG(number)));
    if (sync->per_index < 0)
        return;
    const JobPod *before = job_pod_before(sync, index);
    int64_t failures = before ? before->index_failures + before->counts : 0;
    int64_t ignored = before ? before->index_ignored + !before->counts : 0;
    value_set_str(arena, annotations, STR(JOB_INDEX_FAILURES),
                  arena_printf(arena, "%" PRId64, failures));
    if (ignored)
        value_set_str(arena, annotations, STR(JOB_INDEX_IGNORED),
                      arena_printf(arena, "%" PRId64, ignored));
}

static Str pod_body(void *user, size_t i) {
    Reconcile *r = user;
    Step *step = r->state;
    Value *pod = pod_from_template(&step->sync.owner, step->template);
    if (step->sync.indexed)
        add_index(&step->sync, pod, step->indexes[i]);
    _buf_deinit_ Buf body = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(pod, &body);
    return arena_str(r->arena, buf_view(&body));
}

// Which indexes get a pod now. Those that must wait are queued again.
static size_t choose_indexes(Reconcile *r, size_t n) {
    Step *step = r->state;
    JobSync *sync = &step->sync;
    int64_t *busy = arena_array_of(r->arena, int64_t, sync->n_pods + 1), wait = 0;
    size_t n_busy = 0, n_ready = 0;
    for (size_t i = 0; i < sync->n_pods; i++) {
        const JobPod *pod = &sync->pods[i];
        if (pod->index >= 0 && (pod->active || (sync->only_failed && pod->terminating)))
            busy[n_busy++] = pod->index;
    }
    JobIndexes taken = job_indexes_of(r->arena, busy, n_busy);
    taken = job_indexes_union(r->arena, &taken, &sync->done);
    taken = job_indexes_union(r->arena, &taken, &sync->failed_indexes);
    step->indexes = arena_array_of(r->arena, int64_t, n + 1);
    n = job_indexes_missing(&taken, sync->completions, step->indexes, n);
    for (size_t i = 0; i < n; i++) {
        const JobPod *before = sync->per_index < 0 ? NULL : job_pod_before(sync, step->indexes[i]);
        JobBackoff backoff = {0};
        if (before)
            backoff =
                (JobBackoff){before->index_failures + before->index_ignored + 1, before->ended};
        int64_t left = job_backoff_left(&backoff, sync->now);
        if (!left)
            step->indexes[n_ready++] = step->indexes[i];
        else if (!wait || left < wait)
            wait = left;
    }
    if (wait)
        enqueue_after(r, wait);
    return n_ready;
}

static void create(Reconcile *r, size_t n) {
    Step *step = r->state;
    JobSync *sync = &step->sync;
    int64_t left = sync->per_index < 0 ? job_backoff_left(&sync->backoff, sync->now) : 0;
    n = n < BURST ? n : BURST;
    if (left) {
        enqueue_after(r, left);
        n = 0;
    } else if (sync->indexed) {
        n = choose_indexes(r, n);
    }
    if (!n) {
        note_end(r);
        return;
    }
    step->template = template_of(sync);
    pods_create(&sync->owner, n, pod_body, on_created, r);
}

static size_t wanted_of(const JobSync *sync) {
    int64_t parallelism = value_int_at(sync->spec, "parallelism", 1), left;
    if (sync->suspended)
        return 0;
    if (sync->completions < 0)
        return (size_t)(sync->succeeded > 0 ? sync->active : parallelism);
    left = sync->completions - sync->succeeded;
    left = left < parallelism ? left : parallelism;
    return left > 0 ? (size_t)left : 0;
}

static void manage(Reconcile *r) {
    Step *step = r->state;
    JobSync *sync = &step->sync;
    size_t wanted = wanted_of(sync), active = (size_t)sync->active;
    step->chosen = arena_array_of(r->arena, const JobPod *, sync->n_pods + 1);
    step->n_chosen = job_pods_surplus(sync, active > wanted ? active - wanted : 0, step->chosen);
    if (step->n_chosen > BURST && !sync->suspended)
        step->n_chosen = BURST;
    size_t held = active + (sync->only_failed ? (size_t)sync->terminating : 0);
    if (step->n_chosen)
        delete_chosen(r, true, on_surplus_deleted);
    else if (wanted > held && !sync->suspended)
        create(r, wanted - held);
    else
        note_end(r);
}

static void end_all(Reconcile *r) {
    Step *step = r->state;
    JobSync *sync = &step->sync;
    step->chosen = arena_array_of(r->arena, const JobPod *, sync->n_pods + 1);
    for (size_t i = 0; i < sync->n_pods; i++)
        if (sync->pods[i].active)
            step->chosen[step->n_chosen++] = &sync->pods[i];
    if (step->n_chosen)
        delete_chosen(r, false, on_all_deleted);
    else
        collect(r);
}

// ---- reconciling

static bool begin(Reconcile *r, Value *job) {
    Step *step = arena_new_of(r->arena, Step);
    JobSync *sync = &step->sync;
    Value *status = value_get(job, STR("status"));
    r->state = step;
    sync->arena = r->arena;
    sync->job = job;
    sync->spec = value_get(job, STR("spec"));
    sync->status = status ? value_copy(r->arena, status) : value_new_object(r->arena);
    step->written = status;
    sync->now = loop_wall(r->controller->loop);
    sync->indexed = str_eq(value_string_at(sync->spec, "completionMode"), STR("Indexed"));
    sync->suspended = value_bool_at(sync->spec, "suspend", false);
    sync->deleting = value_string_at(job, "metadata.deletionTimestamp").len > 0;
    sync->only_failed =
        str_eq(value_string_at(sync->spec, "podReplacementPolicy"), STR("Failed")) ||
        value_get(sync->spec, STR("podFailurePolicy"));
    sync->completions = value_int_at(sync->spec, "completions", -1);
    sync->per_index = value_int_at(sync->spec, "backoffLimitPerIndex", -1);
    sync->owner = (PodOwner){.control = &controller_of(r)->control,
                             .reconcile = r,
                             .resource = kinds_resource_batch_v1_jobs(),
                             .uid = value_string_at(job, "metadata.uid"),
                             .object = job};
    return sync->spec && (!sync->indexed || sync->completions >= 0);
}

static void start(Reconcile *r) {
    JobSync *sync = sync_of(r);
    const JobRecord *record = map_get(controller_of(r)->records, sync->owner.uid);
    if (record)
        sync->backoff = record->backoff;
    value_at_make(r->arena, sync->status, "uncountedTerminatedPods");
    if (!sync->suspended && !value_get(sync->status, STR("startTime")))
        value_set_str(r->arena, sync->status, STR("startTime"), time_format(r->arena, sync->now));
    job_pods_read(sync);
    job_judge(sync);
    if (sync->end != JOB_GOES_ON)
        end_all(r);
    else if (sync->deleting)
        note_end(r);
    else
        manage(r);
}

static void on_claimed(void *user, const PodOutcome *outcome) {
    reconcile_done(user, outcome->message.ptr != NULL); // what was claimed comes as a change
}

static void reconcile_job(Reconcile *r, Value *job) {
    JobController *self = controller_of(r);
    Str manager = value_string_at(job, "spec.managedBy"), message;
    Selector *selector;
    if (!begin(r, job) || job_is_finished(job) ||
        (manager.len && !str_eq(manager, STR("kubernetes.io/job-controller"))) ||
        selector_from_value(r->arena, value_at(job, "spec.selector"), &selector, &message) != 0 ||
        selector_is_everything(selector)) {
        reconcile_done(r, false);
        return;
    }
    const JobRecord *record = map_get(self->records, sync_of(r)->owner.uid);
    if (!pod_control_is_settled(&sync_of(r)->owner) ||
        (record && informer_version(self->jobs) < record->version)) {
        enqueue_after(r, LOOK_AGAIN); // the change that is awaited comes before
        reconcile_done(r, false);
        return;
    }
    if (!pods_claim(&sync_of(r)->owner, selector, sync_of(r)->deleting, on_claimed, r))
        start(r);
}

static void find_live(void *user, const InformerObject *object) {
    _arena_free_ Arena *arena = arena_new();
    Value *job;
    ParseError error;
    if (value_parse_json(arena, bytes_str(object->bytes), NULL, &job, &error) == 0)
        *(bool *)user = !job_is_finished(job);
}

// A pod that nobody counts any more keeps no finalizer.
static bool is_stray(const JobController *self, const PodFacts *pod) {
    bool live = false;
    if (pod->job_tracked && pod->owner_uid.len)
        informer_index_each(self->by_uid, pod->owner_uid, find_live, &live);
    return pod->job_tracked && !live;
}

static void reconcile_stray(Reconcile *r, Str name) {
    JobController *self = controller_of(r);
    const PodFacts *pod = owned_pods_get(self->control.pods, r->namespace_, name);
    if (!pod || !is_stray(self, pod)) {
        reconcile_done(r, false);
        return;
    }
    ClientTarget target = {
        .resource = kinds_resource_core_v1_pods(), .namespace_ = r->namespace_, .name = name};
    Str patch = arena_printf(r->arena,
                             "{\"metadata\":{\"$deleteFromPrimitiveList/finalizers\":"
                             "[\"" JOB_FINALIZER "\"],\"uid\":\"%.*s\"}}",
                             STR_ARG(pod->uid));
    client_patch(r->controller->client, &target, PATCH_STRATEGIC, patch, reconcile_finish, r);
}

static void reconcile(Reconcile *r) {
    JobController *self = controller_of(r);
    Str prefix = STR(PODS_PREFIX);
    if (str_starts_with(r->name, prefix)) {
        reconcile_stray(r, str_slice(r->name, prefix.len, r->name.len));
        return;
    }
    const InformerObject *object = informer_get(self->jobs, r->namespace_, r->name);
    Value *job;
    ParseError error;
    if (object && value_parse_json(r->arena, arena_str(r->arena, bytes_str(object->bytes)), NULL,
                                   &job, &error) == 0)
        reconcile_job(r, job);
    else
        reconcile_done(r, false);
}

// ---- what brings them in

static void enqueue_stray(void *user, const PodFacts *pod) {
    JobController *self = user;
    if (!is_stray(self, pod))
        return;
    _arena_free_ Arena *arena = arena_new();
    controller_enqueue(&self->base, pod->namespace_,
                       arena_printf(arena, PODS_PREFIX "%.*s", STR_ARG(pod->name)));
}

static void on_job(void *user, const InformerObject *old, const InformerObject *now) {
    JobController *self = user;
    if (old && (!now || !str_eq(old->uid, now->uid))) {
        pod_control_forget(&self->control, old->uid);
        free(map_remove(self->records, old->uid));
        owned_pods_each(self->control.pods, old->uid, enqueue_stray, self);
    }
    if (!now)
        return;
    bool live = false;
    find_live(&live, now);
    if (live)
        controller_enqueue(&self->base, now->namespace_, now->name);
    else
        owned_pods_each(self->control.pods, now->uid, enqueue_stray, self);
}

// After owned_pods has heard of it.
static void on_pod(void *user, const InformerObject *old, const InformerObject *now) {
    JobController *self = user;
    const PodFacts *pod =
        now ? owned_pods_get(self->control.pods, now->namespace_, now->name) : NULL;
    if (pod)
        enqueue_stray(self, pod);
}

typedef struct Orphan {
    JobController *self;
    const PodFacts *pod;
} Orphan;

static void enqueue_if_matching(void *user, const InformerObject *object) {
    const Orphan *orphan = user;
    _arena_free_ Arena *arena = arena_new();
    Value *job;
    ParseError error;
    Selector *selector;
    Str message;
    if (value_parse_json(arena, bytes_str(object->bytes), NULL, &job, &error) == 0 &&
        selector_from_value(arena, value_at(job, "spec.selector"), &selector, &message) == 0 &&
        pod_matches(selector, orphan->pod))
        controller_enqueue(&orphan->self->base, object->namespace_, object->name);
}

static void on_orphan(Controller *controller, const PodFacts *pod) {
    Orphan orphan = {(JobController *)controller, pod};
    informer_each(orphan.self->jobs, pod->namespace_, enqueue_if_matching, &orphan);
}

static void index_by_uid(const InformerObject *object, InformerEmit emit, void *emit_user) {
    emit(emit_user, object->uid);
}

static void stop(Controller *controller) {
    JobController *self = (JobController *)controller;
    MapIter it = {0};
    while (map_next(self->records, &it))
        free(it.value);
    map_free(self->records);
    pod_control_deinit(&self->control);
    free(self);
}

Controller *job_controller_start(Controllers *all) {
    static const InformerHandler handler = {.on_change = on_job}, pods = {.on_change = on_pod};
    JobController *self = memory_new(JobController);
    self->records = map_new();
    controller_init(&self->base, all, "job-controller", 5, reconcile, stop);
    self->jobs = controller_informer(&self->base, kinds_resource_batch_v1_jobs(), STR(""));
    self->by_uid = informer_add_index(self->jobs, index_by_uid);
    pod_control_init(&self->control, &self->base, kinds_resource_batch_v1_jobs(), "job-controller",
                     on_orphan);
    self->control.finalizer = JOB_FINALIZER;
    informer_add_handler(owned_pods_informer(self->control.pods), &pods, self);
    informer_add_handler(self->jobs, &handler, self);
    return &self->base;
}
