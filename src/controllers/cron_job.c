// CronJobs: Jobs made by the clock. The name of each is made of the time it is for, so that no
// start comes twice, whoever is killed when.
// https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/
// (pkg/controller/cronjob upstream)

#include <inttypes.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/memory.h"
#include "base/time.h"
#include "client/object_head.h"
#include "controllers/cron_times.h"
#include "controllers/frame.h"

#define LOOK_AGAIN (300 * NSEC_PER_SEC) // if what was written does not show
#define TIMESTAMP "batch.kubernetes.io/cronjob-scheduled-timestamp"

typedef struct CronRecord { // what is remembered of a CronJob from one reconcile to the next
    int64_t version;        // of its status as written last
    int64_t job_version;    // of the Job made last
    int64_t told;           // the start that was put off as another Job runs
} CronRecord;

typedef struct CronController {
    Controller base;
    Informer *cron_jobs, *jobs;
    InformerIndex *by_owner; // UID of the CronJob
    EventRecorder *events;
    Map *records;    // UID -> CronRecord
    Map *unexpected; // UIDs of Jobs that an event has told of
} CronController;

typedef struct Child { // one of its Jobs
    Str name, uid, started, completed;
    const Value *job;
    const char *end; // "Complete", "Failed"; NULL: not yet
    bool deleting;
} Child;

typedef struct Sync { // r->state
    CronController *self;
    Reconcile *r;
    Value *cron_job, *spec, *status;
    const Value *written; // the status as the server has it
    Str uid;
    Child *children;
    size_t n_children;
    Str *doomed; // UIDs of children that are to go
    size_t n_doomed, running;
    CronSchedule schedule;
    TimeZone *zone;
    int64_t now, due; // the start that is due; 0: none
    bool retry;
} Sync;

// ---- parts

static void tell(Sync *sync, const char *type, const char *reason, Str message) {
    EventTarget target = {.api_version = STR("batch/v1"),
                          .kind = STR("CronJob"),
                          .namespace_ = sync->r->namespace_,
                          .name = sync->r->name,
                          .uid = sync->uid,
                          .resource_version =
                              value_string_at(sync->cron_job, "metadata.resourceVersion")};
    event_record(sync->self->events, &target, type, reason, "%.*s", STR_ARG(message));
}

static CronRecord *record_of(Sync *sync) {
    CronRecord *record = map_get(sync->self->records, sync->uid);
    if (!record)
        map_put(sync->self->records, sync->uid, record = memory_new(CronRecord));
    return record;
}

static Value *parse(Arena *arena, const InformerObject *object) {
    Value *value;
    ParseError error;
    if (!object || value_parse_json(arena, arena_str(arena, bytes_str(object->bytes)), NULL, &value,
                                    &error) != 0)
        return NULL;
    return value;
}

static int active_index(const Value *active, const char *field, Str wanted) {
    for (uint32_t i = 0; active && i < active->n; i++)
        if (str_eq(value_string_at(active->items[i], field), wanted))
            return (int)i;
    return -1;
}

static Value *active_of(Sync *sync) {
    Value *active = value_get(sync->status, STR("active"));
    if (!active)
        value_set(sync->r->arena, sync->status, STR("active"),
                  active = value_new_array(sync->r->arena));
    return active;
}

static void drop_active(Sync *sync, Str uid) {
    int i = active_index(active_of(sync), "uid", uid);
    if (i >= 0)
        value_remove_item(active_of(sync), (size_t)i);
}

// ---- the end of a reconcile

static void done(Sync *sync) {
    reconcile_done(sync->r, sync->retry);
}

static void on_written(void *user, const ClientResult *result) {
    Sync *sync = user;
    ObjectHead head;
    int64_t version;
    if (result->error)
        sync->retry |= reconcile_should_retry(sync->r, result);
    else if (object_head_read(result->arena, result->body, &head) == 0 &&
             str_to_i64(head.resource_version, &version) == 0)
        record_of(sync)->version = version;
    done(sync);
}

static void write_status(Sync *sync) {
    Arena *arena = sync->r->arena;
    if (!active_of(sync)->n)
        value_unset(sync->status, STR("active"));
    if (sync->written ? value_equal(sync->written, sync->status) : !sync->status->n) {
        done(sync);
        return;
    }
    value_set(arena, sync->cron_job, STR("status"), sync->status);
    _buf_deinit_ Buf body = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(sync->cron_job, &body);
    ClientTarget target = {.resource = kinds_resource_batch_v1_cronjobs(),
                           .namespace_ = sync->r->namespace_,
                           .name = sync->r->name,
                           .subresource = STR("status")};
    client_update(sync->self->base.client, &target, buf_view(&body), on_written, sync);
}

// ---- making a Job

static Str name_of_due(const Sync *sync) {
    return arena_printf(sync->r->arena, "%.*s-%" PRId64, STR_ARG(sync->r->name),
                        (int64_t)(sync->due / (60 * NSEC_PER_SEC)));
}

// RFC 3339 on the clock of the zone.
static Str time_in_zone(const Sync *sync) {
    int64_t until;
    int32_t offset = time_zone_offset(sync->zone, sync->due / NSEC_PER_SEC, &until);
    Arena *arena = sync->r->arena;
    Str text = time_format(arena, sync->due + offset * NSEC_PER_SEC);
    if (!offset)
        return text;
    int minutes = abs(offset / 60);
    return arena_printf(arena, "%.*s%c%02d:%02d", (int)text.len - 1, text.ptr,
                        offset < 0 ? '-' : '+', minutes / 60, minutes % 60);
}

static Value *new_job(const Sync *sync) {
    static const char *const kept[] = {"labels", "annotations"};
    Arena *arena = sync->r->arena;
    const Value *template = value_get(sync->spec, STR("jobTemplate"));
    Value *job = value_new_object(arena), *metadata = value_at_make(arena, job, "metadata");
    Value *owners = value_new_array(arena), *owner = value_new_object(arena);
    value_set_str(arena, job, STR("apiVersion"), STR("batch/v1"));
    value_set_str(arena, job, STR("kind"), STR("Job"));
    value_set_str(arena, metadata, STR("name"), name_of_due(sync));
    value_set_str(arena, metadata, STR("namespace"), sync->r->namespace_);
    for (size_t i = 0; i < 2; i++) {
        const Value *part = value_get(value_get(template, STR("metadata")), str_from(kept[i]));
        if (part)
            value_set(arena, metadata, str_from(kept[i]), value_copy(arena, part));
    }
    value_set_str(arena, value_at_make(arena, metadata, "annotations"), STR(TIMESTAMP),
                  time_in_zone(sync));
    value_set_str(arena, owner, STR("apiVersion"), STR("batch/v1"));
    value_set_str(arena, owner, STR("kind"), STR("CronJob"));
    value_set_str(arena, owner, STR("name"), sync->r->name);
    value_set_str(arena, owner, STR("uid"), sync->uid);
    value_set_bool(arena, owner, STR("controller"), true);
    value_set_bool(arena, owner, STR("blockOwnerDeletion"), true);
    value_push(arena, owners, owner);
    value_set(arena, metadata, STR("ownerReferences"), owners);
    Value *spec = value_get(template, STR("spec"));
    value_set(arena, job, STR("spec"), spec ? spec : value_new_object(arena));
    return job;
}

static void note_started(Sync *sync, Str name, Str uid, Str version) {
    Arena *arena = sync->r->arena;
    Value *reference = value_new_object(arena);
    value_set_str(arena, reference, STR("kind"), STR("Job"));
    value_set_str(arena, reference, STR("namespace"), sync->r->namespace_);
    value_set_str(arena, reference, STR("name"), arena_str(arena, name));
    value_set_str(arena, reference, STR("uid"), arena_str(arena, uid));
    value_set_str(arena, reference, STR("apiVersion"), STR("batch/v1"));
    value_set_str(arena, reference, STR("resourceVersion"), arena_str(arena, version));
    value_push(arena, active_of(sync), reference);
    value_set_str(arena, sync->status, STR("lastScheduleTime"), time_format(arena, sync->due));
}

// Made before, by one who was killed before it stood in the status: that is made up for. A Job of
// somebody else is left alone.
static void note_existing(Sync *sync) {
    Arena *arena = sync->r->arena;
    Str name = name_of_due(sync);
    for (size_t i = 0; i < sync->n_children; i++)
        if (str_eq(sync->children[i].name, name)) {
            note_started(sync, name, sync->children[i].uid,
                         value_string_at(sync->children[i].job, "metadata.resourceVersion"));
            return;
        }
    sync->retry |= !informer_get(sync->self->jobs, sync->r->namespace_, arena_str(arena, name));
}

static void on_created(void *user, const ClientResult *result) {
    Sync *sync = user;
    Arena *arena = sync->r->arena;
    ObjectHead head;
    if (!result->error && object_head_read(result->arena, result->body, &head) == 0) {
        int64_t version;
        if (str_to_i64(head.resource_version, &version) == 0)
            record_of(sync)->job_version = version;
        tell(sync, "Normal", "SuccessfulCreate",
             arena_printf(arena, "Created job %.*s", STR_ARG(head.name)));
        note_started(sync, head.name, head.uid, head.resource_version);
    } else if (result->status && str_eq(result->status->reason, STR("AlreadyExists"))) {
        note_existing(sync);
    } else {
        bool ending = false;
        for (size_t i = 0; result->status && i < result->status->n_causes; i++)
            ending |= str_eq(result->status->causes[i].type, STR("NamespaceTerminating"));
        if (!ending) {
            Str why = result->status ? result->status->message
                                     : str_from(strerror(result->error < 0 ? -result->error : 0));
            tell(sync, "Warning", "FailedCreate",
                 arena_printf(arena, "Error creating job: %.*s", STR_ARG(why)));
            sync->retry = true;
        }
    }
    write_status(sync);
}

static void create(Sync *sync) {
    _buf_deinit_ Buf body = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(new_job(sync), &body);
    ClientTarget target = {.resource = kinds_resource_batch_v1_jobs(),
                           .namespace_ = sync->r->namespace_};
    client_create(sync->self->base.client, &target, buf_view(&body), on_created, sync);
}

// ---- deleting Jobs

static void after_deletions(Sync *sync) {
    if (sync->due && !sync->retry)
        create(sync);
    else
        write_status(sync);
}

typedef struct Deletion {
    Sync *sync;
    const Child *child;
} Deletion;

static void on_deleted(void *user, const ClientResult *result) {
    Deletion *deletion = user;
    Sync *sync = deletion->sync;
    Arena *arena = sync->r->arena;
    Str name = deletion->child->name;
    if (!result->error) {
        tell(sync, "Normal", "SuccessfulDelete",
             arena_printf(arena, "Deleted job %.*s", STR_ARG(name)));
    } else if (reconcile_should_retry(sync->r, result)) {
        tell(sync, "Warning", "FailedDelete",
             arena_printf(arena, "Deleted job: %.*s",
                          STR_ARG(result->status ? result->status->message : STR("no answer"))));
        sync->retry = true;
    }
    if (!result->error || result->code == 404)
        drop_active(sync, deletion->child->uid);
    if (--sync->running == 0)
        after_deletions(sync);
}

static void delete_doomed(Sync *sync) {
    for (size_t i = 0; i < sync->n_children; i++) {
        Child *child = &sync->children[i];
        bool doomed = false;
        for (size_t k = 0; k < sync->n_doomed; k++)
            doomed |= str_eq(sync->doomed[k], child->uid);
        if (!doomed || child->deleting)
            continue;
        Deletion *deletion = arena_new_of(sync->r->arena, Deletion);
        *deletion = (Deletion){sync, child};
        ClientTarget target = {.resource = kinds_resource_batch_v1_jobs(),
                               .namespace_ = sync->r->namespace_,
                               .name = child->name};
        Str options = arena_printf(
            sync->r->arena,
            "{\"propagationPolicy\":\"Background\",\"preconditions\":{\"uid\":\"%.*s\"}}",
            STR_ARG(child->uid));
        sync->running++;
        client_delete(sync->self->base.client, &target, options, on_deleted, deletion);
    }
    if (!sync->running)
        after_deletions(sync);
}

static void doom(Sync *sync, Str uid) {
    sync->doomed[sync->n_doomed++] = uid;
}

static int by_start(const void *left, const void *right) {
    const Child *a = left, *b = right;
    if (!a->started.len != !b->started.len)
        return a->started.len ? -1 : 1;
    int order = str_cmp(a->started, b->started);
    return order ? order : str_cmp(a->name, b->name);
}

// Of those that ended like this, the oldest go until the limit is kept.
static void prune(Sync *sync, const char *end, const char *limit_path) {
    int64_t limit = value_int_at(sync->spec, limit_path, INT64_MAX), n = 0;
    for (size_t i = 0; i < sync->n_children; i++)
        n += sync->children[i].end && strcmp(sync->children[i].end, end) == 0;
    for (size_t i = 0; i < sync->n_children && n > limit; i++)
        if (sync->children[i].end && strcmp(sync->children[i].end, end) == 0) {
            doom(sync, sync->children[i].uid);
            n--;
        }
}

// ---- its Jobs

static const char *end_of(const Value *job) {
    const Value *conditions = value_at(job, "status.conditions");
    for (uint32_t i = 0; conditions && i < conditions->n; i++) {
        Str type = value_string_at(conditions->items[i], "type");
        if (!str_eq(value_string_at(conditions->items[i], "status"), STR("True")))
            continue;
        if (str_eq(type, STR("Complete")))
            return "Complete";
        if (str_eq(type, STR("Failed")))
            return "Failed";
    }
    return NULL;
}

static void count_child(void *user, const InformerObject *object) {
    ++*(size_t *)user;
}

static void add_child(void *user, const InformerObject *object) {
    Sync *sync = user;
    const Value *job = parse(sync->r->arena, object);
    if (!job)
        return;
    sync->children[sync->n_children++] =
        (Child){.name = value_string_at(job, "metadata.name"),
                .uid = value_string_at(job, "metadata.uid"),
                .started = value_string_at(job, "status.startTime"),
                .completed = value_string_at(job, "status.completionTime"),
                .job = job,
                .end = end_of(job),
                .deleting = value_string_at(job, "metadata.deletionTimestamp").len > 0};
}

static void read_children(Sync *sync) {
    size_t n = 0;
    informer_index_each(sync->self->by_owner, sync->uid, count_child, &n);
    sync->children = arena_array_of(sync->r->arena, Child, n + 1);
    sync->doomed = arena_array_of(sync->r->arena, Str, 2 * n + 1);
    informer_index_each(sync->self->by_owner, sync->uid, add_child, sync);
    if (sync->n_children)
        qsort(sync->children, sync->n_children, sizeof *sync->children, by_start);
}

static void note_child(Sync *sync, const Child *child) {
    Arena *arena = sync->r->arena;
    bool is_active = active_index(active_of(sync), "uid", child->uid) >= 0;
    if (!is_active && !child->end && !map_get(sync->self->unexpected, child->uid)) {
        map_put(sync->self->unexpected, child->uid, sync->self);
        tell(sync, "Warning", "UnexpectedJob",
             arena_printf(arena, "Saw a job that the controller did not create or forgot: %.*s",
                          STR_ARG(child->name)));
    }
    if (is_active && child->end) {
        drop_active(sync, child->uid);
        tell(sync, "Normal", "SawCompletedJob",
             arena_printf(arena, "Saw completed job: %.*s, condition: %s", STR_ARG(child->name),
                          child->end));
    }
    // Times in RFC 3339 at UTC sort as they are.
    if (child->completed.len && child->end && strcmp(child->end, "Complete") == 0 &&
        str_cmp(value_string_at(sync->status, "lastSuccessfulTime"), child->completed) < 0)
        value_set_str(arena, sync->status, STR("lastSuccessfulTime"), child->completed);
}

static void drop_missing(Sync *sync) {
    Value *active = active_of(sync);
    for (uint32_t i = active->n; i-- > 0;) {
        Str uid = value_string_at(active->items[i], "uid");
        bool found = false;
        for (size_t k = 0; k < sync->n_children; k++)
            found |= str_eq(sync->children[k].uid, uid);
        if (found)
            continue;
        tell(sync, "Normal", "MissingJob",
             arena_printf(sync->r->arena, "Active job went missing: %.*s",
                          STR_ARG(value_string_at(active->items[i], "name"))));
        value_remove_item(active, i);
    }
}

// ---- when

static void free_zone(void *zone) {
    time_zone_free(zone);
}

// Returns false when it has no schedule to keep, and has told why.
static bool read_schedule(Sync *sync) {
    Arena *arena = sync->r->arena;
    Str zone = value_string_at(sync->spec, "timeZone");
    Str text = value_string_at(sync->spec, "schedule");
    if (zone.len && time_zone_load(zone, &sync->zone) != 0) {
        tell(sync, "Warning", "UnknownTimeZone",
             arena_printf(arena, "invalid timeZone: \"%.*s\": unknown time zone %.*s",
                          STR_ARG(zone), STR_ARG(zone)));
        return false;
    }
    if (sync->zone)
        arena_defer(arena, free_zone, sync->zone);
    const char *problem = cron_parse(arena, text, &sync->schedule);
    if (!problem)
        return true;
    tell(sync, "Warning", "UnparseableSchedule",
         arena_printf(arena, "unparseable schedule: \"%.*s\" : %s", STR_ARG(text), problem));
    return false;
}

static int64_t since_when(const Sync *sync) {
    int64_t since = 0, deadline = value_int_at(sync->spec, "startingDeadlineSeconds", -1);
    if (time_parse(value_string_at(sync->status, "lastScheduleTime"), &since) != 0 &&
        time_parse(value_string_at(sync->cron_job, "metadata.creationTimestamp"), &since) != 0)
        since = sync->now;
    if (deadline >= 0 && deadline < INT64_MAX / NSEC_PER_SEC &&
        sync->now - deadline * NSEC_PER_SEC > since)
        since = sync->now - deadline * NSEC_PER_SEC;
    return since;
}

// Decides whether a Job is made now, and asks to come back for the next one.
static void decide(Sync *sync) {
    Str policy = value_string_at(sync->spec, "concurrencyPolicy");
    if (value_bool_at(sync->spec, "suspend", false) ||
        value_string_at(sync->cron_job, "metadata.deletionTimestamp").len || !read_schedule(sync))
        return;
    CronDue due = cron_due(&sync->schedule, sync->zone, since_when(sync), sync->now);
    if (due.next < INT64_MAX)
        controller_enqueue_after(&sync->self->base, sync->r->namespace_, sync->r->name,
                                 due.next - sync->now);
    sync->due = due.last;
    if (!due.last || active_index(active_of(sync), "name", name_of_due(sync)) >= 0) {
        sync->due = 0;
        return;
    }
    CronRecord *record = record_of(sync);
    bool is_told = record->told == due.last;
    if (due.many && !is_told)
        tell(sync, "Warning", "TooManyMissedTimes",
             STR("too many missed start times. Set or decrease .spec.startingDeadlineSeconds or "
                 "check clock skew"));
    if (str_eq(policy, STR("Forbid")) && active_of(sync)->n) {
        if (!is_told)
            tell(sync, "Normal", "JobAlreadyActive",
                 STR("Not starting job because prior execution is running and concurrency policy "
                     "is Forbid"));
        sync->due = 0;
    } else if (str_eq(policy, STR("Replace"))) {
        for (uint32_t i = 0; i < active_of(sync)->n; i++)
            doom(sync, value_string_at(active_of(sync)->items[i], "uid"));
    }
    record->told = due.last;
}

static void reconcile(Reconcile *r) {
    CronController *self = (CronController *)r->controller;
    Value *cron_job = parse(r->arena, informer_get(self->cron_jobs, r->namespace_, r->name));
    if (!cron_job) {
        reconcile_done(r, false);
        return;
    }
    Sync *sync = arena_new_of(r->arena, Sync);
    r->state = sync;
    sync->self = self;
    sync->r = r;
    sync->cron_job = cron_job;
    sync->spec = value_get(cron_job, STR("spec"));
    sync->written = value_get(cron_job, STR("status"));
    sync->status = sync->written ? value_copy(r->arena, sync->written) : value_new_object(r->arena);
    sync->uid = value_string_at(cron_job, "metadata.uid");
    sync->now = loop_wall(self->base.loop);
    const CronRecord *record = map_get(self->records, sync->uid);
    if (record && (informer_version(self->cron_jobs) < record->version ||
                   informer_version(self->jobs) < record->job_version)) {
        controller_enqueue_after(&self->base, r->namespace_, r->name, LOOK_AGAIN);
        reconcile_done(r, false); // the change that is awaited comes before
        return;
    }
    read_children(sync);
    for (size_t i = 0; i < sync->n_children; i++)
        note_child(sync, &sync->children[i]);
    drop_missing(sync);
    prune(sync, "Complete", "successfulJobsHistoryLimit");
    prune(sync, "Failed", "failedJobsHistoryLimit");
    decide(sync);
    delete_doomed(sync);
}

// ---- what brings them in

// A new schedule holds from now on: what it would have asked for before is not made up for.
static int64_t wait_of(CronController *self, const InformerObject *old, const InformerObject *now) {
    _arena_free_ Arena *arena = arena_new();
    const Value *before = parse(arena, old), *after = parse(arena, now);
    CronSchedule schedule;
    TimeZone *zone = NULL;
    Str name = value_string_at(after, "spec.timeZone");
    if (!before || !after ||
        (str_eq(value_string_at(before, "spec.schedule"),
                value_string_at(after, "spec.schedule")) &&
         str_eq(value_string_at(before, "spec.timeZone"), name)))
        return 0;
    if (cron_parse(arena, value_string_at(after, "spec.schedule"), &schedule) ||
        (name.len && time_zone_load(name, &zone) != 0))
        return 0;
    int64_t wall = loop_wall(self->base.loop), next = cron_next(&schedule, zone, wall);
    time_zone_free(zone);
    return next == INT64_MAX ? 0 : next - wall;
}

static void on_cron_job(void *user, const InformerObject *old, const InformerObject *now) {
    CronController *self = user;
    if (old && (!now || !str_eq(old->uid, now->uid)))
        free(map_remove(self->records, old->uid));
    if (now)
        controller_enqueue_after(&self->base, now->namespace_, now->name,
                                 old ? wait_of(self, old, now) : 0);
}

static const HeadOwner *cron_job_of(Arena *arena, const InformerObject *job) {
    ObjectHead *head = arena_new_of(arena, ObjectHead);
    if (object_head_read(arena, bytes_str(job->bytes), head) != 0)
        return NULL;
    for (size_t i = 0; i < head->owners.len; i++) {
        const HeadOwner *owner = &head->owners.items[i];
        if (owner->controller && *owner->controller && str_eq(owner->kind, STR("CronJob")) &&
            str_starts_with(owner->api_version, STR("batch/")))
            return owner;
    }
    return NULL;
}

static void on_job(void *user, const InformerObject *old, const InformerObject *now) {
    CronController *self = user;
    const InformerObject *job = now ? now : old;
    _arena_free_ Arena *arena = arena_new();
    const HeadOwner *owner = cron_job_of(arena, job);
    if (owner)
        controller_enqueue(&self->base, job->namespace_, owner->name);
    if (!now)
        map_remove(self->unexpected, old->uid);
}

static void index_by_owner(const InformerObject *job, InformerEmit emit, void *emit_user) {
    _arena_free_ Arena *arena = arena_new();
    const HeadOwner *owner = cron_job_of(arena, job);
    if (owner)
        emit(emit_user, owner->uid);
}

static void stop(Controller *controller) {
    CronController *self = (CronController *)controller;
    MapIter it = {0};
    while (map_next(self->records, &it))
        free(it.value);
    map_free(self->records);
    map_free(self->unexpected);
    event_recorder_free(self->events);
    free(self);
}

Controller *cron_job_controller_start(Controllers *all) {
    static const InformerHandler on_crons = {.on_change = on_cron_job},
                                 on_jobs = {.on_change = on_job};
    CronController *self = memory_new(CronController);
    self->records = map_new();
    self->unexpected = map_new();
    controller_init(&self->base, all, "cronjob-controller", 5, reconcile, stop);
    self->events = event_recorder_new(self->base.client, STR("cronjob-controller"), STR_NONE);
    self->cron_jobs = controller_informer(&self->base, kinds_resource_batch_v1_cronjobs(), STR(""));
    self->jobs = controller_informer(&self->base, kinds_resource_batch_v1_jobs(), STR(""));
    self->by_owner = informer_add_index(self->jobs, index_by_owner);
    informer_add_handler(self->cron_jobs, &on_crons, self);
    informer_add_handler(self->jobs, &on_jobs, self);
    return &self->base;
}
