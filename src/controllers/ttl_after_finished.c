// Deletes Jobs some time after they have finished.
// https://kubernetes.io/docs/concepts/workloads/controllers/ttlafterfinished/
// (pkg/controller/ttlafterfinished upstream)

#include <stdlib.h>

#include "base/memory.h"
#include "base/time.h"
#include "controllers/frame.h"

typedef struct TtlController {
    Controller base;
    Informer *jobs;
} TtlController;

// When the job finished, Unix ns; 0: it has not, or lives on.
static int64_t finished_at(const Value *job) {
    const Value *conditions = value_at(job, "status.conditions");
    int64_t at;
    for (uint32_t i = 0; conditions && i < conditions->n; i++) {
        const Value *condition = conditions->items[i];
        Str type = value_string_at(condition, "type");
        if ((str_eq(type, STR("Complete")) || str_eq(type, STR("Failed"))) &&
            str_eq(value_string_at(condition, "status"), STR("True")) &&
            time_parse(value_string_at(condition, "lastTransitionTime"), &at) == 0)
            return at;
    }
    return 0;
}

// The version is asked for: whoever has given the job more time since keeps it.
static void delete_job(Reconcile *r, const Value *job) {
    ClientTarget target = {
        .resource = kinds_resource_batch_v1_jobs(), .namespace_ = r->namespace_, .name = r->name};
    Str options =
        arena_printf(r->arena,
                     "{\"propagationPolicy\":\"Foreground\",\"preconditions\":{\"uid\":\"%.*s\","
                     "\"resourceVersion\":\"%.*s\"}}",
                     STR_ARG(value_string_at(job, "metadata.uid")),
                     STR_ARG(value_string_at(job, "metadata.resourceVersion")));
    client_delete(r->controller->client, &target, options, reconcile_finish, r);
}

static void reconcile(Reconcile *r) {
    TtlController *self = (TtlController *)r->controller;
    const InformerObject *object = informer_get(self->jobs, r->namespace_, r->name);
    Value *job;
    ParseError error;
    if (!object || value_parse_json(r->arena, arena_str(r->arena, bytes_str(object->bytes)), NULL,
                                    &job, &error) != 0) {
        reconcile_done(r, false);
        return;
    }
    int64_t seconds = value_int_at(job, "spec.ttlSecondsAfterFinished", -1);
    int64_t finished = finished_at(job);
    if (seconds < 0 || !finished || value_string_at(job, "metadata.deletionTimestamp").len) {
        reconcile_done(r, false);
        return;
    }
    int64_t left = finished + seconds * NSEC_PER_SEC - loop_wall(self->base.loop);
    if (left <= 0) {
        delete_job(r, job);
        return;
    }
    controller_enqueue_after(&self->base, r->namespace_, r->name, left);
    reconcile_done(r, false);
}

static void stop(Controller *controller) {
    free(controller);
}

Controller *ttl_after_finished_start(Controllers *all) {
    TtlController *self = memory_new(TtlController);
    controller_init(&self->base, all, "ttl-after-finished-controller", 2, reconcile, stop);
    self->jobs = controller_informer(&self->base, kinds_resource_batch_v1_jobs(), STR(""));
    controller_follow(&self->base, self->jobs);
    return &self->base;
}
