// Every kind goes through every operation: what the conformance tests "... API operations" ask of a
// kind (create, get, list in a namespace and everywhere, watch, patch, update, status, delete,
// deletecollection). A kind that is served and has no sample here fails the test.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "harness.h"
#include "kinds/kinds.h"

// `content` is the object without type and metadata, written with ' for "; $ stands for the
// object's number.
typedef struct Sample {
    const char *group, *plural, *content;
    const char *name; // NULL: op-$
} Sample;

#define CORE ""
#define RBAC "rbac.authorization.k8s.io"
#define STORAGE "storage.k8s.io"
#define NETWORKING "networking.k8s.io"
#define ADMISSION "admissionregistration.k8s.io"
#define CONTAINERS "'spec':{'containers':[{'name':'c','image':'i'}]}"
#define TEMPLATE "'template':{'metadata':{'labels':{'a':'b'}}," CONTAINERS "}"
#define WORKLOAD "'spec':{'selector':{'matchLabels':{'a':'b'}}," TEMPLATE "}"
#define ONCE "'template':{'spec':{'restartPolicy':'Never','containers':[{'name':'c','image':'i'}]}}"
#define WEBHOOK                                                                                    \
    "'webhooks':[{'name':'a.example.com','sideEffects':'None','admissionReviewVersions':['v1'],'"  \
    "rules':[{'operations':"                                                                       \
    "['CREATE'],'apiGroups':['nothing.example.com'],'apiVersions':['v1'],'resources':['nothings']" \
    "}],'clientConfig':"                                                                           \
    "{'url':'https://127.0.0.1/'}}]"

static const Sample samples[] = {
    {CORE, "configmaps", "'data':{'a':'b'}", NULL},
    {CORE, "endpoints", "'subsets':[]", NULL},
    {CORE, "events", "'involvedObject':{'namespace':'default'},'reason':'R'", NULL},
    {CORE, "limitranges", "'spec':{'limits':[{'type':'Pod','max':{'cpu':'1'}}]}", NULL},
    {CORE, "nodes", "'spec':{}", NULL},
    {CORE, "persistentvolumeclaims",
     "'spec':{'accessModes':['ReadWriteOnce'],'resources':{'requests':{'storage':'1'}}}", NULL},
    {CORE, "persistentvolumes",
     "'spec':{'capacity':{'storage':'1'},'accessModes':['ReadWriteOnce'],'hostPath':{'path':'/a'}}",
     NULL},
    {CORE, "pods", CONTAINERS, NULL},
    {CORE, "podtemplates", TEMPLATE, NULL},
    {CORE, "replicationcontrollers", "'spec':{'replicas':0,'selector':{'a':'b'}," TEMPLATE "}",
     NULL},
    {CORE, "resourcequotas", "'spec':{'hard':{'count/widgets.example.com':'9'}}", NULL},
    {CORE, "secrets", "'data':{'a':'YQ=='}", NULL},
    {CORE, "serviceaccounts", "'secrets':[]", NULL},
    {CORE, "services", "'spec':{'ports':[{'port':80}]}", NULL},
    {"events.k8s.io", "events",
     "'eventTime':'2026-01-01T00:00:00.000000Z','regarding':{'namespace':'default'},'"
     "reportingController':'a.b/c',"
     "'reportingInstance':'i','action':'A','reason':'R','type':'Normal'",
     NULL},
    {"apps", "controllerrevisions", "'revision':1,'data':{}", NULL},
    {"apps", "daemonsets", WORKLOAD, NULL},
    {"apps", "deployments", WORKLOAD, NULL},
    {"apps", "replicasets", WORKLOAD, NULL},
    {"apps", "statefulsets", WORKLOAD, NULL},
    {"autoscaling", "horizontalpodautoscalers",
     "'spec':{'maxReplicas':1,'scaleTargetRef':{'kind':'K','name':'n'}}", NULL},
    {"batch", "cronjobs", "'spec':{'schedule':'0 3 * * *','jobTemplate':{'spec':{" ONCE "}}}",
     NULL},
    {"batch", "jobs", "'spec':{" ONCE "}", NULL},
    {"policy", "poddisruptionbudgets", "'spec':{'minAvailable':1}", NULL},
    {RBAC, "clusterrolebindings", "'roleRef':{'kind':'ClusterRole','name':'view'}", NULL},
    {RBAC, "clusterroles", "'rules':[]", NULL},
    {RBAC, "rolebindings", "'roleRef':{'kind':'ClusterRole','name':'view'}", NULL},
    {RBAC, "roles", "'rules':[]", NULL},
    {ADMISSION, "mutatingwebhookconfigurations", WEBHOOK, NULL},
    {ADMISSION, "validatingadmissionpolicies",
     "'spec':{'matchConstraints':{'resourceRules':[{'operations':['CREATE'],'apiGroups':['g'],'"
     "apiVersions':['v1'],"
     "'resources':['r']}]},'validations':[{'expression':'true'}]}",
     NULL},
    {ADMISSION, "validatingadmissionpolicybindings",
     "'spec':{'policyName':'p','validationActions':['Deny']}", NULL},
    {ADMISSION, "validatingwebhookconfigurations", WEBHOOK, NULL},
    {"coordination.k8s.io", "leases", "'spec':{'holderIdentity':'h'}", NULL},
    {"discovery.k8s.io", "endpointslices", "'addressType':'IPv4','endpoints':[]", NULL},
    {"scheduling.k8s.io", "priorityclasses", "'value':1", NULL},
    {STORAGE, "csidrivers", "'spec':{}", NULL},
    {STORAGE, "csinodes", "'spec':{'drivers':[]}", NULL},
    {STORAGE, "csistoragecapacities", "'storageClassName':'c'", NULL},
    {STORAGE, "storageclasses", "'provisioner':'p'", NULL},
    {STORAGE, "volumeattachments",
     "'spec':{'attacher':'a','nodeName':'n','source':{'persistentVolumeName':'v'}}", NULL},
    {STORAGE, "volumeattributesclasses", "'driverName':'d','parameters':{'a':'b'}", NULL},
    {NETWORKING, "ingressclasses", "'spec':{'controller':'example.com/c'}", NULL},
    {NETWORKING, "ingresses", "'spec':{'rules':[{'host':'h'}]}", NULL},
    {NETWORKING, "ipaddresses", "'spec':{'parentRef':{'resource':'services','name':'s'}}",
     "192.0.2.$"},
    {NETWORKING, "networkpolicies", "'spec':{'podSelector':{}}", NULL},
    {NETWORKING, "servicecidrs", "'spec':{'cidrs':['192.0.2.0/24']}", NULL},
    {"node.k8s.io", "runtimeclasses", "'handler':'h'", NULL},
    {"flowcontrol.apiserver.k8s.io", "flowschemas",
     "'spec':{'priorityLevelConfiguration':{'name':'p'}}", NULL},
    {"flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations", "'spec':{'type':'Exempt'}",
     NULL},
    {"resource.k8s.io", "deviceclasses", "'spec':{}", NULL},
    {"resource.k8s.io", "resourceclaims", "'spec':{'devices':{}}", NULL},
    {"resource.k8s.io", "resourceclaimtemplates", "'spec':{'spec':{'devices':{}}}", NULL},
    {"resource.k8s.io", "resourceslices",
     "'spec':{'driver':'d','nodeName':'n','pool':{'name':'p','generation':1,'resourceSliceCount':1}"
     "}",
     NULL},
    {"apiregistration.k8s.io", "apiservices",
     "'spec':{'group':'op$.example.com','version':'v1','groupPriorityMinimum':1,'versionPriority':"
     "1}",
     "v1.op$.example.com"},
    {"settings.k8s.io", "podpresets", "'spec':{'env':[{'name':'A','value':'b'}]}", NULL},
    // Elsewhere: namespaces go with their content (controllers), definitions of custom kinds and
    // certificate requests have tests of their own.
    {CORE, "namespaces", NULL, NULL},
    {"apiextensions.k8s.io", "customresourcedefinitions", NULL, NULL},
    {"certificates.k8s.io", "certificatesigningrequests", NULL, NULL},
};

static const Sample *sample_of(const Resource *resource) {
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
        if (str_eq(resource->group, str_from(samples[i].group)) &&
            str_eq(resource->plural, str_from(samples[i].plural)))
            return &samples[i];
    return NULL;
}

#define N_OBJECTS 3

typedef struct Operations {
    Harness *harness;
    const Resource *resource;
    const Sample *sample;
    const char *everywhere, *collection; // URLs
    const char *object[N_OBJECTS];
} Operations;

static const char *numbered(Arena *arena, const char *text, size_t number) {
    char *copy = arena_cstr(arena, str_from(text));
    for (char *c = copy; *c; c++)
        *c = *c == '$' ? (char)('1' + number) : *c == '\'' ? '"' : *c;
    return copy;
}

static Operations operations_on(Harness *harness, const Resource *resource, const Sample *sample) {
    Arena *arena = harness->arena;
    Operations o = {.harness = harness, .resource = resource, .sample = sample};
    const char *base = resource->group.len
                           ? arena_printf(arena, "/apis/%.*s/%.*s", STR_ARG(resource->group),
                                          STR_ARG(resource->version))
                                 .ptr
                           : "/api/v1";
    o.everywhere = arena_printf(arena, "%s/%.*s", base, STR_ARG(resource->plural)).ptr;
    o.collection =
        resource->namespaced
            ? arena_printf(arena, "%s/namespaces/default/%.*s", base, STR_ARG(resource->plural)).ptr
            : o.everywhere;
    for (size_t i = 0; i < N_OBJECTS; i++)
        o.object[i] = arena_printf(arena, "%s/%s", o.collection,
                                   numbered(arena, sample->name ? sample->name : "op-$", i))
                          .ptr;
    return o;
}

static void create(const Operations *o, size_t i) {
    Arena *arena = o->harness->arena;
    Str group = o->resource->group;
    const char *body = arena_printf(arena,
                                    "{\"apiVersion\":\"%.*s%s%.*s\",\"kind\":\"%.*s\",\"metadata\":"
                                    "{\"name\":\"%s\",\"labels\":{\"suite\":"
                                    "\"operations\"}},%s}",
                                    STR_ARG(group), group.len ? "/" : "",
                                    STR_ARG(o->resource->version), STR_ARG(o->resource->kind),
                                    numbered(arena, o->sample->name ? o->sample->name : "op-$", i),
                                    numbered(arena, o->sample->content, i))
                           .ptr;
    Answer *answer = call(o->harness, "POST", o->collection, body);
    assert_status(answer, 201);
    assert_true(value_string_at(answer->json, "metadata.uid").len > 0);
}

static uint32_t count(const Operations *o, const char *url) {
    const char *target =
        arena_printf(o->harness->arena, "%s?labelSelector=suite%%3Doperations", url).ptr;
    Answer *answer = call(o->harness, "GET", target, NULL);
    assert_status(answer, 200);
    assert_true(str_eq(value_string_at(answer->json, "kind"), o->resource->list_kind));
    return value_get(answer->json, STR("items"))->n;
}

static unsigned occurrences(Str text, const char *word) {
    unsigned n = 0;
    size_t len = strlen(word);
    for (size_t i = 0; i + len <= text.len; i++)
        n += !memcmp(text.ptr + i, word, len);
    return n;
}

static bool has_annotation(const Answer *answer, const char *key) {
    return value_get(value_at(answer->json, "metadata.annotations"), str_from(key)) != NULL;
}

static void change(const Operations *o) {
    Answer *answer = call_patch(o->harness, "merge", o->object[0],
                                "{\"metadata\":{\"annotations\":{\"patched\":\"yes\"}}}");
    assert_status(answer, 200);
    assert_true(has_annotation(answer, "patched"));
    value_set_str(o->harness->arena,
                  value_at_make(o->harness->arena, answer->json, "metadata.annotations"),
                  STR("updated"), STR("yes"));
    Buf buf = BUF_INIT(1 << 20);
    value_write_json(answer->json, &buf);
    const char *body = arena_cstr(o->harness->arena, buf_view(&buf));
    buf_deinit(&buf);
    assert_status(call(o->harness, "PUT", o->object[0], body), 200);
    answer = call(o->harness, "GET", o->object[0], NULL);
    assert_status(answer, 200);
    assert_true(has_annotation(answer, "patched") && has_annotation(answer, "updated"));
    // What was read before is out of date now.
    value_unset(value_get(answer->json, STR("metadata")), STR("nothing"));
    assert_status(call(o->harness, "PUT", o->object[0], body), 409);
    if (!o->resource->status_split)
        return;
    const char *status = arena_printf(o->harness->arena, "%s/status", o->object[0]).ptr;
    assert_status(call(o->harness, "GET", status, NULL), 200);
    assert_status(call_patch(o->harness, "merge", status,
                             "{\"metadata\":{\"annotations\":{\"patchedstatus\":\"yes\"}}}"),
                  200);
}

static void check_operations(Harness *harness, const Resource *resource, const Sample *sample) {
    Operations o = operations_on(harness, resource, sample);
    HttpCall *watching;
    const char *target =
        arena_printf(harness->arena, "%s?watch=true&labelSelector=suite%%3Doperations",
                     o.collection)
            .ptr;
    Answer *watch = call_start(harness, harness->admin, "GET", target, NULL, NULL, &watching);
    for (size_t i = 0; i < N_OBJECTS; i++)
        create(&o, i);
    assert_int_equal(count(&o, o.collection), N_OBJECTS);
    assert_int_equal(count(&o, o.everywhere), N_OBJECTS);
    change(&o);
    assert_status(
        call(harness, "DELETE",
             arena_printf(harness->arena, "%s?gracePeriodSeconds=0&propagationPolicy=Background",
                          o.object[0])
                 .ptr,
             NULL),
        200);
    assert_status(call(harness, "GET", o.object[0], NULL), 404);
    assert_int_equal(count(&o, o.collection), N_OBJECTS - 1);
    target = arena_printf(harness->arena,
                          "%s?labelSelector=suite%%3Doperations&gracePeriodSeconds=0&"
                          "propagationPolicy=Background",
                          o.collection)
                 .ptr;
    assert_status(call(harness, "DELETE", target, NULL), 200);
    assert_int_equal(count(&o, o.collection), 0);
    harness_run(harness, 10 * NSEC_PER_MSEC);
    assert_int_equal(occurrences(watch->body, "\"type\":\"ADDED\""), N_OBJECTS);
    assert_true(occurrences(watch->body, "\"type\":\"MODIFIED\"") >= 2);
    assert_int_equal(occurrences(watch->body, "\"type\":\"DELETED\""), N_OBJECTS);
    http_call_cancel(watching);
}

static void test_operations(void **state) {
    Harness *harness = harness_new();
    const Resource *resource;
    assert_status(call(harness, "POST", "/api/v1/namespaces/default/serviceaccounts",
                       "{\"metadata\":{\"name\":\"default\"}}"),
                  201);
    for (size_t i = 0; (resource = kinds_resource_at(i)); i++) {
        if (!resource->stored)
            continue;
        const Sample *sample = sample_of(resource);
        if (!sample)
            fail_msg("no sample of %.*s in group \"%.*s\"", STR_ARG(resource->plural),
                     STR_ARG(resource->group));
        print_message("%.*s/%.*s\n", STR_ARG(resource->group), STR_ARG(resource->plural));
        if (sample->content)
            check_operations(harness, resource, sample);
    }
    harness_free(harness);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_operations)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
