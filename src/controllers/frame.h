#pragma once
// What every controller is made of: shared informers that put keys in a queue, and one reconcile at
// a time per key, which looks at the world as it is (never at what changed) and takes one step or
// several towards what should be.
//
// A controller's file holds a struct whose first member is Controller, a start function named in
// the table of frame.c, and a reconcile function. A reconcile ends with exactly one
// reconcile_done(), now or in a later callback.

#include "base/list.h"
#include "client/event.h"
#include "client/informer.h"
#include "client/work_queue.h"
#include "controllers/controllers.h"
#include "kinds/kinds.h"

typedef struct Controller Controller;

typedef struct Reconcile { // lives from the start of a reconcile to reconcile_done()
    Controller *controller;
    ListLink link; // in controller->running
    Arena *arena;
    Str key, namespace_, name; // "namespace/name" or "/name"
    void *state;               // the reconcile's own, across its calls
} Reconcile;

struct Controller {
    const char *name;
    Controllers *all;
    Loop *loop;
    Client *client;
    WorkQueue *queue;
    void (*reconcile)(Reconcile *reconcile);
    void (*stop)(Controller *controller); // frees what the controller made itself, and the struct
    int waiting;                          // informers not yet synced: nothing is reconciled before
    List running;                         // Reconciles
};

// Called by a start function: names the controller, its client and its queue.
void controller_init(Controller *controller, Controllers *all, const char *name, int workers,
                     void (*reconcile)(Reconcile *reconcile), void (*stop)(Controller *controller));
// The shared informer of a collection, or of the part of it that `field_selector` names (may be
// empty); made at its first use. The controller begins once all its informers are synced.
Informer *controller_informer(Controller *controller, const Resource *resource, Str field_selector);
// The controller begins only after that informer, too, is synced. Call it before the loop runs on.
void controller_wait_for(Controller *controller, Informer *informer);
// Queues "namespace/name" of every object of that informer that appears, changes or goes.
void controller_follow(Controller *controller, Informer *informer);
void controller_enqueue(Controller *controller, Str namespace_, Str name);
void controller_enqueue_after(Controller *controller, Str namespace_, Str name, int64_t delay_ns);
// What several controllers use together: made at its first use, freed after them.
typedef struct ControllersPart {
    void *(*make)(void);
    void (*drop)(void *part);
} ControllersPart;
void *controllers_part(Controllers *all, const ControllersPart *kind, bool *ret_is_new);
const char *controllers_cluster_ca(const Controllers *all, size_t *ret_len);
const ControllersConfig *controllers_config(const Controllers *all);

// `retry`: the key comes again, later and later each time.
void reconcile_done(Reconcile *reconcile, bool retry);
// Logs why a call failed and says whether trying again makes sense (conflicts and races: soon and
// silently).
bool reconcile_should_retry(const Reconcile *reconcile, const ClientResult *result);
// The end of most reconciles: a ClientDone whose user is the Reconcile. 404 and 409 AlreadyExists
// count as success.
void reconcile_finish(void *reconcile, const ClientResult *result);
// Makes `status` the status of the object at hand, whose tree `object` is and stays, unless it says
// so already. Then `then`, perhaps from inside; a failure worth a retry ends the reconcile instead.
void reconcile_write_status(Reconcile *reconcile, const Resource *resource, const Value *object,
                            Value *status, void (*then)(Reconcile *reconcile));
// The object in that informer as a struct of `type`, in the reconcile's arena; NULL when it is not
// there.
void *reconcile_object(Reconcile *reconcile, Informer *informer, Str namespace_, Str name,
                       const Type *type);

// The start functions, one per file.
Controller *namespace_controller_start(Controllers *all);
Controller *service_account_controller_start(Controllers *all);
Controller *root_ca_controller_start(Controllers *all);
Controller *node_lifecycle_controller_start(Controllers *all);
Controller *endpoints_controller_start(Controllers *all);
Controller *load_balancer_controller_start(Controllers *all);
Controller *endpoint_slice_controller_start(Controllers *all);
Controller *endpoint_slice_mirroring_controller_start(Controllers *all);
Controller *garbage_collector_start(Controllers *all);
Controller *resource_quota_controller_start(Controllers *all);
Controller *disruption_controller_start(Controllers *all);
Controller *replica_set_controller_start(Controllers *all);
Controller *replication_controller_start(Controllers *all);
Controller *deployment_controller_start(Controllers *all);
Controller *job_controller_start(Controllers *all);
Controller *daemon_set_controller_start(Controllers *all);
Controller *stateful_set_controller_start(Controllers *all);
Controller *ttl_after_finished_start(Controllers *all);
Controller *cron_job_controller_start(Controllers *all);
Controller *cluster_role_aggregation_start(Controllers *all);
Controller *account_tokens_start(Controllers *all);
Controller *token_cleaner_start(Controllers *all);
Controller *bootstrap_signer_start(Controllers *all);
Controller *csr_approving_start(Controllers *all);
Controller *csr_signing_start(Controllers *all);
Controller *csr_cleaner_start(Controllers *all);
