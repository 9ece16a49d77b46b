// A pod's control group. The kernel holds whoever touches groups while somebody moves a process,
// for 10 to 100 ms, so both its making and its end are work for the pool.
#include <errno.h>

#include "base/log.h"
#include "node/pod_private.h"
#include "node/resources.h"

typedef struct CgroupWork {
    Arena *arena;
    CgroupHost *host;
    PodWorker *worker; // not for the pool thread
    void (*done)(PodWorker *worker, int error, Str path);
    PodQos qos;
    CgroupLimits limits;
    Str parent, uid;
    Str path;
    int error, killed;
} CgroupWork;

static void on_end(void *user) {
    CgroupWork *job = user;
    PodWorker *worker = job->worker;
    cgroup_host_free(job->host);
    if (!pod_job_ended(worker)) {
        if (job->killed)
            log_debug("node", "processes left in the pod's group", "pod=%.*s/%.*s killed=%d",
                      STR_ARG(worker->namespace_), STR_ARG(worker->name), job->killed);
        job->done(worker, job->error, job->path);
    }
    arena_free(job->arena);
}

static void start(PodWorker *worker, void (*work)(void *),
                  void (*done)(PodWorker *worker, int error, Str path)) {
    Arena *arena = arena_new();
    CgroupWork *job = arena_new_of(arena, CgroupWork);
    *job = (CgroupWork){.arena = arena,
                        .host = cgroup_host_ref(worker->agent->cgroups),
                        .worker = worker,
                        .done = done,
                        .qos = resources_qos(worker->pod),
                        .limits = resources_of_pod(worker->pod),
                        .parent = arena_str(arena, worker->agent->config.cgroup_parent),
                        .uid = arena_str(arena, worker->uid)};
    worker->jobs++;
    loop_work(worker->agent->loop, work, on_end, job);
}

static void make(void *user) {
    CgroupWork *job = user;
    job->path = cgroup_pod_path(job->arena, job->parent, job->qos, job->uid);
    job->error = cgroup_create(job->host, job->path);
    if (!job->error)
        job->error = cgroup_set(job->host, job->path, &job->limits);
    if (!job->error && job->qos == QOS_BEST_EFFORT) { // together they get what is left
        ptrdiff_t slash = str_find_last(job->path, '/');
        CgroupLimits least = {.cpu_shares = job->limits.cpu_shares};
        job->error = cgroup_set(job->host, str_slice(job->path, 0, (size_t)slash), &least);
    }
}

void pod_cgroup_make(PodWorker *worker, void (*done)(PodWorker *worker, int error, Str path)) {
    start(worker, make, done);
}

static void remove_group(void *user) {
    CgroupWork *job = user;
    for (PodQos qos = QOS_GUARANTEED; qos <= QOS_BEST_EFFORT && !job->error; qos++) {
        Str path = cgroup_pod_path(job->arena, job->parent, qos, job->uid);
        if (cgroup_remove(job->host, path) != -EBUSY)
            continue;
        job->error = -EBUSY; // a process that left its container's group
        job->killed = cgroup_kill(job->host, path);
    }
}

void pod_cgroup_remove(PodWorker *worker, void (*done)(PodWorker *worker, int error, Str path)) {
    start(worker, remove_group, done);
}
