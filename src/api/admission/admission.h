#pragma once
// What may still change or refuse a write after authorization: an ordered table of plugins, as in
// kube-apiserver (pkg/kubeapiserver/options/plugins.go has the order). A plugin may have to wait for
// others, so the caller goes on in a callback.

#include "api/request.h"

typedef enum AdmissionOperation {
    ADMISSION_CREATE,
    ADMISSION_UPDATE,
    ADMISSION_DELETE,
    ADMISSION_CONNECT
} AdmissionOperation;

typedef struct AdmissionNote AdmissionNote;
typedef struct AdmissionRun AdmissionRun;
typedef struct Admission {
    ApiRequest *request;
    AdmissionOperation operation;
    const ServedResource *served;
    Str subresource;
    Str namespace_, name;
    Value *object;    // NULL for a deletion; plugins may change it while mutating
    const Value *old; // NULL for a creation
    const Value *options; // of the operation, beyond what the request knows; may be NULL
    const Type *type;     // of `object` where that is of the subresource's own kind; else NULL
    bool wait;        // set by a plugin that refuses for now: it is asked again when something has
                      // changed, for a while
    bool pending;     // set by a plugin that will call admission_continue() itself
    AdmissionNote *notes; // admission_note()
    bool again;           // the second round of mutation, after a webhook changed the object
    bool repeat;          // set by a webhook's change: there will be a second round
    void *webhooks;       // what the first round leaves to the second
    struct Quotas *quotas; // being charged
    AdmissionRun *run;    // private
} Admission;

// `refusal` is NULL when every plugin agreed. May be called from inside the call.
typedef void (*AdmissionThen)(ApiRequest *request, void *user, const ApiStatus *refusal);
void admission_mutate(Admission *admission, AdmissionThen then, void *user);
void admission_validate(Admission *admission, AdmissionThen then, void *user);
// Both, where nothing comes between them.
void admission_check(Admission *admission, AdmissionThen then, void *user);

typedef struct AdmissionPlugin {
    const char *name;
    ApiStatus *(*mutate)(Admission *admission); // either may be NULL
    ApiStatus *(*validate)(Admission *admission);
} AdmissionPlugin;
const AdmissionPlugin *admission_plugin_at(size_t index); // NULL past the end

// For plugins.
bool admission_is(const Admission *admission, Str group, Str resource, Str subresource);
// 403 `pods "x" is forbidden: WHY`, by the object's name or, before it has one, generateName-based
// wording.
ApiStatus *admission_forbidden(const Admission *admission, Str why);

// Ends the step of a plugin that set `pending`; NULL: it agrees. Not from inside the plugin.
void admission_continue(Admission *admission, const ApiStatus *refusal);
// Which ranks of the cache's snapshot are the admission's namespace. False when there are none.
bool admission_in_namespace(const Admission *admission, const Cache *cache, size_t *ret_from,
                            size_t *ret_to);
// Something to say about the object: becomes a warning event once the object is stored. `reason` is
// static text; messages are cut at ADMISSION_LONGEST_NOTE bytes (upstream's NoteLengthLimit).
#define ADMISSION_LONGEST_NOTE 1024
void admission_note(Admission *admission, const char *reason, Str message);
void admission_tell(const Admission *admission); // by those who stored it: writes these events

Str admission_operation_name(AdmissionOperation operation); // "CREATE"

// What admission keeps between requests: from before the caches are filled (it follows them) until
// after the last request.
void admission_init(struct Api *api);
void admission_free(struct Api *api);

// The plugins, each in its file.
ApiStatus *admission_namespace_lifecycle(Admission *admission);
ApiStatus *admission_service_account_mutate(Admission *admission);
ApiStatus *admission_service_account_validate(Admission *admission);
ApiStatus *admission_pod_preset(Admission *admission);
ApiStatus *admission_node_restriction(Admission *admission);
ApiStatus *admission_taint_nodes(Admission *admission);
ApiStatus *admission_limit_ranger_mutate(Admission *admission);
ApiStatus *admission_limit_ranger_validate(Admission *admission);
ApiStatus *admission_priority(Admission *admission);
ApiStatus *admission_priority_class(Admission *admission);
ApiStatus *admission_default_storage_class(Admission *admission);
ApiStatus *admission_runtime_class_mutate(Admission *admission);
ApiStatus *admission_runtime_class_validate(Admission *admission);
ApiStatus *admission_certificates_mutate(Admission *admission);
ApiStatus *admission_certificates_validate(Admission *admission);
ApiStatus *admission_default_tolerations(Admission *admission);
ApiStatus *admission_mutating_webhooks(Admission *admission);
ApiStatus *admission_validating_webhooks(Admission *admission);
ApiStatus *admission_resource_quota(Admission *admission);

// Parts of admission_init().
void webhooks_init(struct Api *api);
void webhooks_free(struct Api *api);
void class_defaults_init(struct Api *api);
void class_defaults_free(struct Api *api);
void quota_book_init(struct Api *api);
void quota_book_free(struct Api *api);
