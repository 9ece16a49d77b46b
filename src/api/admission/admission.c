#include "api/admission/admission.h"

#include <stdio.h>

#include "api/server.h"

static const AdmissionPlugin plugins[] = {
    {"NamespaceLifecycle", admission_namespace_lifecycle, NULL},
    {"LimitRanger", admission_limit_ranger_mutate, admission_limit_ranger_validate},
    {"ServiceAccount", admission_service_account_mutate, admission_service_account_validate},
    {"PodPreset", admission_pod_preset, NULL},
    {"NodeRestriction", admission_node_restriction, NULL},
    {"TaintNodesByCondition", admission_taint_nodes, NULL},
    {"Priority", admission_priority, admission_priority_class},
    {"DefaultTolerationSeconds", admission_default_tolerations, NULL},
    {"DefaultStorageClass", admission_default_storage_class, NULL},
    {"RuntimeClass", admission_runtime_class_mutate, admission_runtime_class_validate},
    // CertificateApproval, CertificateSigning and CertificateSubjectRestriction.
    {"Certificates", NULL, admission_certificates_validate},
    {"MutatingAdmissionWebhook", admission_mutating_webhooks, NULL},
    {"CertificateRequester", admission_certificates_mutate, NULL}, // webhooks don't choose who asked
    {"ValidatingAdmissionWebhook", NULL, admission_validating_webhooks},
    {"ResourceQuota", NULL, admission_resource_quota},
};

const AdmissionPlugin *admission_plugin_at(size_t index) {
    return index < sizeof plugins / sizeof *plugins ? &plugins[index] : NULL;
}

// How long a plugin may wait for what should be there any moment (a new namespace's default service
// account).
#define LONGEST_WAIT (1500 * NSEC_PER_MSEC)

struct AdmissionRun {
    Admission *admission;
    bool validating;
    size_t next;
    int64_t deadline; // 0: nobody has waited yet
    AdmissionThen then;
    void *user;
};

static void go_on(AdmissionRun *run);

static void resume(ApiRequest *request, void *user, int error) {
    go_on(user);
}

// True when the plugin shall be asked again.
static bool waits(AdmissionRun *run) {
    ApiRequest *request = run->admission->request;
    int64_t now = loop_now(request->api->loop);
    if (!run->deadline)
        run->deadline = now + LONGEST_WAIT;
    if (now >= run->deadline)
        return false;
    request_wait_revision(request, request->api->revision + 1, run->deadline - now, resume, run);
    return true;
}

// What a webhook changed goes once through all that mutates again (upstream's reinvocation).
static bool begins_again(AdmissionRun *run) {
    Admission *admission = run->admission;
    if (run->validating || admission->again || !admission->repeat)
        return false;
    admission->again = true;
    run->next = 0;
    return true;
}

static void go_on(AdmissionRun *run) {
    Admission *admission = run->admission;
    const AdmissionPlugin *plugin;
    for (; (plugin = admission_plugin_at(run->next)); run->next++) {
        ApiStatus *(*check)(Admission *) = run->validating ? plugin->validate : plugin->mutate;
        admission->wait = admission->pending = false;
        const ApiStatus *refusal = check ? check(admission) : NULL;
        if (admission->pending)
            return;
        if (!refusal)
            continue;
        if (!admission->wait || !waits(run))
            run->then(admission->request, run->user, refusal);
        return;
    }
    if (begins_again(run))
        go_on(run);
    else
        run->then(admission->request, run->user, NULL);
}

void admission_continue(Admission *admission, const ApiStatus *refusal) {
    AdmissionRun *run = admission->run;
    run->next++;
    if (refusal)
        run->then(admission->request, run->user, refusal);
    else
        go_on(run);
}

static void start(Admission *admission, bool validating, AdmissionThen then, void *user) {
    AdmissionRun *run = arena_new_of(admission->request->arena, AdmissionRun);
    *run = (AdmissionRun){
        .admission = admission, .validating = validating, .then = then, .user = user};
    admission->run = run;
    go_on(run);
}

void admission_mutate(Admission *admission, AdmissionThen then, void *user) {
    start(admission, false, then, user);
}

void admission_validate(Admission *admission, AdmissionThen then, void *user) {
    start(admission, true, then, user);
}

typedef struct Check {
    Admission *admission;
    AdmissionThen then;
    void *user;
} Check;

static void check_mutated(ApiRequest *request, void *user, const ApiStatus *refusal) {
    Check *check = user;
    if (refusal)
        check->then(request, check->user, refusal);
    else
        admission_validate(check->admission, check->then, check->user);
}

void admission_check(Admission *admission, AdmissionThen then, void *user) {
    Check *check = arena_new_of(admission->request->arena, Check);
    *check = (Check){admission, then, user};
    admission_mutate(admission, check_mutated, check);
}

bool admission_is(const Admission *admission, Str group, Str resource, Str subresource) {
    const Resource *of = admission->served->resource;
    return str_eq(of->group, group) && str_eq(of->plural, resource) &&
           str_eq(admission->subresource, subresource);
}

bool admission_in_namespace(const Admission *admission, const Cache *cache, size_t *ret_from,
                            size_t *ret_to) {
    const Snapshot *root = cache_root(cache);
    char prefix[256]; // a namespace's name has at most 63 characters
    *ret_from = *ret_to = 0;
    if (snapshot_size(root) == 0 || admission->namespace_.len >= sizeof prefix)
        return false;
    int len = snprintf(prefix, sizeof prefix, "%.*s/", STR_ARG(admission->namespace_));
    snapshot_prefix(root, str_of(prefix, (size_t)len), ret_from, ret_to);
    return *ret_from < *ret_to;
}

ApiStatus *admission_forbidden(const Admission *admission, Str why) {
    const Resource *of = admission->served->resource;
    Str name = admission->name;
    if (!name.len && admission->object) {
        Str own = value_string_at(admission->object, "metadata.name");
        Str base = value_string_at(admission->object, "metadata.generateName");
        name = own.len ? own : base.len ? base : STR("Unknown");
    }
    return status_forbidden(admission->request->arena, of->group, of->plural, name, why);
}

void admission_init(Api *api) {
    webhooks_init(api);
    class_defaults_init(api);
    quota_book_init(api);
}

void admission_free(Api *api) {
    webhooks_free(api);
    class_defaults_free(api);
    quota_book_free(api);
}
