#pragma once
// What the job controller's files share: job.c takes the steps, job_pods.c reads the pods,
// job_status.c keeps the count.
//
// A pod counts once, whatever happens: it has a finalizer until its end stands in the job's status.
// First its UID is written to status.uncountedTerminatedPods, then the finalizer goes, then the
// counter rises and the UID is struck. Who is killed in between goes on from what is there.
// https://kubernetes.io/docs/concepts/workloads/controllers/job/#job-tracking-with-finalizers

#include "controllers/job_indexes.h"
#include "controllers/pod_control.h"

#define JOB_FINALIZER "batch.kubernetes.io/job-tracking"
#define JOB_INDEX "batch.kubernetes.io/job-completion-index"
#define JOB_INDEX_FAILURES "batch.kubernetes.io/job-index-failure-count"
#define JOB_INDEX_IGNORED "batch.kubernetes.io/job-index-ignored-failure-count"

typedef struct JobBackoff { // how long a failure puts off the next pod
    int64_t failures;       // since the last success
    int64_t last;           // Unix ns
} JobBackoff;

typedef struct JobPod {
    Str name, uid;
    const PodFacts *facts; // valid until the first call
    int32_t index;         // completion index; -1
    bool active, ready, terminating, tracked;
    bool succeeded, failed; // has ended, or counts as if it had
    bool is_new;            // ended, and the status does not know yet
    // Of one that failed.
    bool counts, fails_index;
    Str fails_job; // why
    bool delayed;  // its finalizer stays until another pod of its index carries on the count
    int64_t ended, index_failures, index_ignored;
} JobPod;

typedef enum JobEnd { JOB_GOES_ON, JOB_FAILS, JOB_SUCCEEDS } JobEnd;

typedef struct JobSync { // one reconcile
    PodOwner owner;
    Value *job, *spec, *status; // status: as it is to become
    Arena *arena;
    int64_t now; // Unix ns
    bool indexed, suspended, deleting;
    bool only_failed;    // pods are replaced when they are gone, not when they begin to go
    int64_t completions; // -1: not said
    int64_t per_index;   // backoffLimitPerIndex; -1: not said
    JobPod *pods;
    size_t n_pods;
    JobIndexes done_before, done, failed_indexes;
    int64_t active, ready, terminating, succeeded, failed;
    JobBackoff backoff;
    JobEnd end;
    Str reason, message; // of the end
    bool suspend_changed;
    bool retry;
} JobSync;

// Whether the status says Complete or Failed.
bool job_is_finished(const Value *job);

// ---- job_pods.c

// Reads the pods and counts them; sync->backoff goes on from what it was.
void job_pods_read(JobSync *sync);
bool job_pod_has_valid_index(const JobSync *sync, const JobPod *pod);
// How long after its last failure the next pod has to wait yet: 10 s, doubled with each failure, at
// most 10 min.
int64_t job_backoff_left(const JobBackoff *backoff, int64_t now);
// Those active pods that are too many: of indexed jobs all with an index that is not wanted or that
// another one has, and then others until there are `at_least`, those that are worth least first.
// Returns how many it put in `ret`, which has room for all.
size_t job_pods_surplus(JobSync *sync, size_t at_least, const JobPod **ret);
// The failed pod of that index whose count the next one takes over; NULL: none.
const JobPod *job_pod_before(const JobSync *sync, int64_t index);

// ---- job_status.c

const Value *job_condition(const Value *status, const char *type); // NULL unless it is True
// Returns whether that changed anything. A condition that is not there does not become False.
bool job_condition_set(JobSync *sync, const char *type, bool is_true, Str reason, Str message);
// Whether the job ends, and why: from what the status says already, its policies and limits.
void job_judge(JobSync *sync);
// Puts into the status what has ended, at most 500 pods. Puts those in `ret` (room for all) whose
// finalizers may go once the status is written; returns how many. *ret_all: none were left out.
size_t job_status_collect(JobSync *sync, const JobPod **ret, bool *ret_all);
// Counts those that the status lists and that have no finalizer any more.
void job_status_count(JobSync *sync);
// The condition that ends the job, when nothing stands against it. Returns whether it was set.
bool job_status_finish(JobSync *sync);
