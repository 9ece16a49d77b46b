// Custom kinds through a whole API server in virtual time.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/loop.h"
#include "harness.h"

#define CRDS "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
#define TABS "/apis/stable.example.com/v1/namespaces/default/crontabs"

static int setup(void **state) {
    *state = harness_new();
    return 0;
}

static int teardown(void **state) {
    harness_free(*state);
    return 0;
}

// The documentation's CronTab, with a few more things: status, scale, a default, a column.
static const char crontab[] =
    "{\"apiVersion\":\"apiextensions.k8s.io/v1\",\"kind\":\"CustomResourceDefinition\","
    "\"metadata\":{\"name\":\"crontabs.stable.example.com\"},\"spec\":{\"group\":\"stable.example.com\","
    "\"scope\":\"Namespaced\",\"names\":{\"plural\":\"crontabs\",\"kind\":\"CronTab\",\"shortNames\":[\"ct\"],"
    "\"categories\":[\"all\"]},\"versions\":[{\"name\":\"v1\",\"served\":true,\"storage\":true,"
    "\"subresources\":{\"status\":{},\"scale\":{\"specReplicasPath\":\".spec.replicas\","
    "\"statusReplicasPath\":\".status.replicas\",\"labelSelectorPath\":\".status.labelSelector\"}},"
    "\"selectableFields\":[{\"jsonPath\":\".spec.image\"}],"
    "\"additionalPrinterColumns\":[{\"name\":\"Replicas\",\"type\":\"integer\",\"jsonPath\":\".spec.replicas\"},"
    "{\"name\":\"Ready\",\"type\":\"string\",\"jsonPath\":\".status.conditions[?(@.type==\\\"Ready\\\")].status\"},"
    "{\"name\":\"Age\",\"type\":\"date\",\"jsonPath\":\".metadata.creationTimestamp\"}],"
    "\"schema\":{\"openAPIV3Schema\":{\"type\":\"object\",\"required\":[\"spec\"],\"properties\":{"
    "\"spec\":{\"type\":\"object\",\"properties\":{"
    "\"cronSpec\":{\"type\":\"string\",\"pattern\":\"^(\\\\d+|\\\\*)(/\\\\d+)?(\\\\s+(\\\\d+|\\\\*)(/\\\\d+)?){4}$\"},"
    "\"image\":{\"type\":\"string\"},"
    "\"replicas\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":10,\"default\":1},"
    "\"ports\":{\"type\":\"array\",\"x-kubernetes-list-type\":\"map\",\"x-kubernetes-list-map-keys\":[\"name\"],"
    "\"items\":{\"type\":\"object\",\"required\":[\"name\"],\"properties\":{\"name\":{\"type\":\"string\"},"
    "\"port\":{\"x-kubernetes-int-or-string\":true}}}},"
    "\"any\":{\"type\":\"object\",\"x-kubernetes-preserve-unknown-fields\":true}}},"
    "\"status\":{\"type\":\"object\",\"properties\":{\"replicas\":{\"type\":\"integer\"},"
    "\"labelSelector\":{\"type\":\"string\"},\"conditions\":{\"type\":\"array\",\"items\":{\"type\":\"object\","
    "\"properties\":{\"type\":{\"type\":\"string\"},\"status\":{\"type\":\"string\"}}}}}}}}}}]}}";

static const char *condition(Answer *answer, const char *type) {
    Value *list = value_at(answer->json, "status.conditions");
    for (uint32_t i = 0; list && i < list->n; i++)
        if (str_eq(value_string_at(list->items[i], "type"), str_from(type)))
            return value_string_at(list->items[i], "status").ptr;
    return "";
}

static Answer *define(Harness *h, const char *definition) {
    assert_status(call(h, "POST", CRDS, definition), 201);
    harness_run(h, NSEC_PER_SEC);
    Answer *got = call(h, "GET", CRDS "/crontabs.stable.example.com", NULL);
    assert_status(got, 200);
    assert_memory_equal(condition(got, "Established"), "True", 4);
    assert_memory_equal(condition(got, "NamesAccepted"), "True", 4);
    return got;
}

static Answer *create(Harness *h, const char *name, const char *spec) {
    char body[1024];
    snprintf(body, sizeof body,
             "{\"apiVersion\":\"stable.example.com/v1\",\"kind\":\"CronTab\",\"metadata\":{\"name\":\"%s\"},\"spec\":%s}",
             name, spec);
    return call(h, "POST", TABS, body);
}

static void test_definition(void **state) {
    Harness *h = *state;
    assert_status(call(h, "GET", TABS, NULL), 404);
    Answer *got = define(h, crontab);
    assert_string_equal(text_at(got, "spec.names.singular"), "crontab");
    assert_string_equal(text_at(got, "spec.names.listKind"), "CronTabList");
    assert_string_equal(text_at(got, "spec.conversion.strategy"), "None");
    assert_string_equal(text_at(got, "status.acceptedNames.listKind"), "CronTabList");
    Value *stored = value_at(got->json, "status.storedVersions");
    assert_int_equal(stored->n, 1);
    Answer *list = call(h, "GET", "/apis/stable.example.com/v1", NULL);
    assert_status(list, 200);
    assert_int_equal(value_get(list->json, STR("resources"))->n, 3);
    assert_status(call(h, "GET", TABS, NULL), 200);
}

static void test_protobuf(void **state) {
    Harness *h = *state;
    define(h, crontab);
    const char *const accept[] = {"Accept", "application/vnd.kubernetes.protobuf", NULL};
    Answer *got = call_with(h, h->admin, "GET", CRDS "/crontabs.stable.example.com", NULL, accept);
    assert_status(got, 200);
    const char *const both[] = {"Content-Type", "application/vnd.kubernetes.protobuf", NULL};
    Answer *again = call_bytes(h, h->admin, "PUT", CRDS "/crontabs.stable.example.com", got->body, both);
    assert_status(again, 200);
    Answer *json = call(h, "GET", CRDS "/crontabs.stable.example.com", NULL);
    assert_string_equal(text_at(again, "metadata.resourceVersion"), text_at(json, "metadata.resourceVersion"));
    assert_int_equal(number_at(again, "metadata.generation"), 1); // nothing got lost on the way
    assert_status(create(h, "a", "{}"), 201);
    assert_status(call_with(h, h->admin, "GET", TABS "/a", NULL, accept), 406);
}

// apiapproval_controller.go
static void test_approval(void **state) {
    Harness *h = *state;
    assert_status(call(h, "POST", CRDS,
                       "{\"metadata\":{\"name\":\"tabs.x.k8s.io\",\"annotations\":{\"api-approved.kubernetes.io\":\"unapproved, a test\"}},"
                       "\"spec\":{\"group\":\"x.k8s.io\",\"scope\":\"Cluster\",\"names\":{\"plural\":\"tabs\",\"kind\":\"Tab\"},\"versions\":[{\"name\":"
                       "\"v1\",\"served\":true,\"storage\":true,\"schema\":{\"openAPIV3Schema\":{\"type\":\"object\"}}}]}}"),
                  201);
    harness_run(h, NSEC_PER_SEC);
    Answer *got = call(h, "GET", CRDS "/tabs.x.k8s.io", NULL);
    assert_memory_equal(condition(got, "KubernetesAPIApprovalPolicyConformant"), "False", 5);
    Value *last = value_at(got->json, "status.conditions");
    last = last->items[last->n - 1];
    assert_true(str_eq(value_string_at(last, "reason"), STR("UnapprovedAnnotation")));
    assert_true(str_eq(value_string_at(last, "message"), STR("not approved: \"unapproved, a test\"")));
}

static void test_objects(void **state) {
    Harness *h = *state;
    define(h, crontab);
    Answer *made = create(h, "a", "{\"cronSpec\":\"* * * * */5\",\"image\":\"x\",\"random\":42,\"any\":{\"deep\":{\"er\":1}}}");
    assert_status(made, 201);
    assert_int_equal(number_at(made, "spec.replicas"), 1);
    assert_int_equal(number_at(made, "metadata.generation"), 1);
    assert_null(value_at(made->json, "spec.random"));
    assert_int_equal(number_at(made, "spec.any.deep.er"), 1);
    Answer *free = create(h, "free", "{\"any\":{\"list\":[1,{\"x\":null}],\"n\":null}}");
    assert_status(free, 201);
    free = call(h, "GET", TABS "/free", NULL);
    assert_non_null(strstr(free->body.ptr, "{\"list\":[1,{\"x\":null}],\"n\":null}"));
    assert_non_null(memmem(made->warnings.ptr, made->warnings.len, "spec.random", 11));
}

static void test_refusals(void **state) {
    Harness *h = *state;
    define(h, crontab);
    // kube-openapi's pkg/validation/errors/schema.go and apiextensions' kubeOpenAPIResultToFieldErrors
    assert_refused(create(h, "a", "{\"replicas\":11}"), 422,
                   "CronTab.stable.example.com \"a\" is invalid: spec.replicas: Invalid value: 11: "
                   "spec.replicas in body should be less than or equal to 10");
    assert_refused(create(h, "a", "{\"replicas\":\"2\"}"), 422,
                   "CronTab.stable.example.com \"a\" is invalid: spec.replicas: Invalid value: \"string\": "
                   "spec.replicas in body must be of type integer: \"string\"");
    assert_refused(create(h, "a", "{\"cronSpec\":\"* * *\"}"), 422,
                   "CronTab.stable.example.com \"a\" is invalid: spec.cronSpec: Invalid value: \"* * *\": spec.cronSpec "
                   "in body should match '^(\\d+|\\*)(/\\d+)?(\\s+(\\d+|\\*)(/\\d+)?){4}$'");
    assert_refused(call(h, "POST", TABS, "{\"apiVersion\":\"stable.example.com/v1\",\"kind\":\"CronTab\",\"metadata\":{\"name\":\"a\"}}"),
                   422, "CronTab.stable.example.com \"a\" is invalid: spec: Required value");
    assert_refused(create(h, "a", "{\"ports\":[{\"name\":\"x\"},{\"name\":\"x\"}]}"), 422,
                   "CronTab.stable.example.com \"a\" is invalid: spec.ports[1]: Duplicate value: {\"name\":\"x\"}");
}

static void test_update_and_patches(void **state) {
    Harness *h = *state;
    define(h, crontab);
    assert_status(create(h, "a", "{\"replicas\":2}"), 201);
    Answer *patched = call_patch(h, "merge", TABS "/a", "{\"spec\":{\"replicas\":3},\"status\":{\"replicas\":9}}");
    assert_status(patched, 200);
    assert_int_equal(number_at(patched, "metadata.generation"), 2);
    assert_null(value_at(patched->json, "status"));
    patched = call_patch(h, "merge", TABS "/a/status", "{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"status\":{\"replicas\":9,\"labelSelector\":\"app=x\"}}");
    assert_status(patched, 200);
    assert_int_equal(number_at(patched, "metadata.generation"), 2);
    assert_int_equal(number_at(patched, "status.replicas"), 9);
    assert_null(value_at(patched->json, "metadata.labels"));
    assert_status(call_patch(h, "json", TABS "/a", "[{\"op\":\"replace\",\"path\":\"/spec/replicas\",\"value\":4}]"), 200);
    Answer *refused = call_patch(h, "strategic-merge", TABS "/a", "{}");
    assert_refused(refused, 415,
                   "the body of the request was in an unknown format - accepted media types include: "
                   "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml");
    Answer *scale = call(h, "GET", TABS "/a/scale", NULL);
    assert_status(scale, 200);
    assert_string_equal(text_at(scale, "kind"), "Scale");
    assert_int_equal(number_at(scale, "spec.replicas"), 4);
    assert_int_equal(number_at(scale, "status.replicas"), 9);
    assert_string_equal(text_at(scale, "status.selector"), "app=x");
    assert_status(call_patch(h, "merge", TABS "/a/scale", "{\"spec\":{\"replicas\":5}}"), 200);
    assert_int_equal(number_at(call(h, "GET", TABS "/a", NULL), "spec.replicas"), 5);
    // rest.BeforeUpdate: custom kinds have no unconditional update
    assert_refused(call(h, "PUT", TABS "/a", "{\"apiVersion\":\"stable.example.com/v1\",\"kind\":\"CronTab\",\"metadata\":{\"name\":\"a\"},\"spec\":{}}"),
                   422,
                   "crontabs.stable.example.com \"a\" is invalid: metadata.resourceVersion: Invalid value: 0x0: must be specified "
                   "for an update");
}

static void test_selectors_and_tables(void **state) {
    Harness *h = *state;
    define(h, crontab);
    assert_status(create(h, "a", "{\"image\":\"x\"}"), 201);
    assert_status(create(h, "b", "{\"image\":\"y\"}"), 201);
    Answer *list = call(h, "GET", TABS "?fieldSelector=spec.image%3Dy", NULL);
    assert_status(list, 200);
    assert_int_equal(value_get(list->json, STR("items"))->n, 1);
    assert_status(call(h, "GET", TABS "?fieldSelector=spec.replicas%3D1", NULL), 400);
    assert_status(call_patch(h, "merge", TABS "/a/status", "{\"status\":{\"conditions\":[{\"type\":\"Other\",\"status\":\"x\"},{\"type\":\"Ready\",\"status\":\"True\"}]}}"), 200);
    Answer *table = call_with(h, h->admin, "GET", TABS "/a", NULL,
                              (const char *const[]){"Accept", "application/json;as=Table;v=v1;g=meta.k8s.io", NULL});
    assert_status(table, 200);
    assert_int_equal(value_get(table->json, STR("columnDefinitions"))->n, 4);
    Value *cells = value_get(value_get(table->json, STR("rows"))->items[0], STR("cells"));
    assert_true(str_eq(cells->items[0]->string, STR("a")));
    assert_int_equal(cells->items[1]->integer, 1);
    assert_true(str_eq(cells->items[2]->string, STR("True")));
}

static void test_apply(void **state) {
    Harness *h = *state;
    define(h, crontab);
    const char *const apply[] = {"Content-Type", "application/apply-patch+yaml", NULL};
    Answer *made = call_with(h, h->admin, "PATCH", TABS "/a?fieldManager=one",
                             "{\"apiVersion\":\"stable.example.com/v1\",\"kind\":\"CronTab\",\"metadata\":{\"name\":\"a\"},"
                             "\"spec\":{\"ports\":[{\"name\":\"x\",\"port\":1}]}}",
                             apply);
    assert_status(made, 201);
    Answer *more = call_with(h, h->admin, "PATCH", TABS "/a?fieldManager=two",
                             "{\"apiVersion\":\"stable.example.com/v1\",\"kind\":\"CronTab\",\"metadata\":{\"name\":\"a\"},"
                             "\"spec\":{\"ports\":[{\"name\":\"y\",\"port\":\"http\"}]}}",
                             apply);
    assert_status(more, 200);
    assert_int_equal(value_at(more->json, "spec.ports")->n, 2);
    Answer *conflict = call_with(h, h->admin, "PATCH", TABS "/a?fieldManager=two",
                                 "{\"apiVersion\":\"stable.example.com/v1\",\"kind\":\"CronTab\",\"metadata\":{\"name\":\"a\"},"
                                 "\"spec\":{\"ports\":[{\"name\":\"x\",\"port\":2}]}}",
                                 apply);
    assert_refused(conflict, 409,
                   "Apply failed with 1 conflict: conflict with \"one\": .spec.ports[name=\"x\"].port");
}

static void test_deletion(void **state) {
    Harness *h = *state;
    define(h, crontab);
    assert_status(create(h, "a", "{}"), 201);
    assert_status(create(h, "b", "{}"), 201);
    assert_status(call_patch(h, "merge", TABS "/b", "{\"metadata\":{\"finalizers\":[\"example.com/hold\"]}}"), 200);
    HttpCall *watch;
    Answer *stream = call_start(h, h->admin, "GET", TABS "?watch=true", NULL, NULL, &watch);
    harness_run(h, NSEC_PER_SEC);
    assert_false(stream->done);
    Answer *gone = call(h, "DELETE", CRDS "/crontabs.stable.example.com", NULL);
    assert_status(gone, 200);
    assert_memory_equal(condition(gone, "Terminating"), "True", 4);
    harness_run(h, NSEC_PER_SEC);
    assert_status(call(h, "GET", TABS "/a", NULL), 404);
    assert_status(call(h, "GET", TABS "/b", NULL), 200); // held
    assert_refused(create(h, "c", "{}"), 405, "create not allowed while custom resource definition is terminating");
    assert_status(call_patch(h, "merge", TABS "/b", "{\"metadata\":{\"finalizers\":null}}"), 200);
    harness_run(h, NSEC_PER_SEC);
    assert_status(call(h, "GET", CRDS "/crontabs.stable.example.com", NULL), 404);
    assert_status(call(h, "GET", TABS, NULL), 404);
    assert_status(call(h, "GET", "/apis/stable.example.com/v1", NULL), 404);
    assert_true(stream->done);
    assert_non_null(strstr(stream->body.ptr, "\"DELETED\""));
    define(h, crontab); // a new one begins with nothing
    assert_int_equal(value_get(call(h, "GET", TABS, NULL)->json, STR("items"))->n, 0);
}

static void test_restart(void **state) {
    Harness *h = *state;
    define(h, crontab);
    assert_status(create(h, "a", "{\"image\":\"x\"}"), 201);
    harness_restart(h);
    Answer *got = call(h, "GET", TABS "/a", NULL);
    assert_status(got, 200);
    assert_string_equal(text_at(got, "spec.image"), "x");
    assert_int_equal(value_get(call(h, "GET", TABS "?fieldSelector=spec.image%3Dx", NULL)->json, STR("items"))->n, 1);
}

// What is stored is shown as the schema has it today (conformance: defaulting for requests and from storage).
static void test_schema_changes(void **state) {
    Harness *h = *state;
    define(h, crontab);
    assert_status(create(h, "a", "{\"image\":\"x\"}"), 201);
    Answer *changed = call_patch(h, "json", CRDS "/crontabs.stable.example.com",
                                 "[{\"op\":\"add\",\"path\":\"/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/zone\","
                                 "\"value\":{\"type\":\"string\",\"default\":\"here\"}},"
                                 "{\"op\":\"remove\",\"path\":\"/spec/versions/0/selectableFields\"},"
                                 "{\"op\":\"remove\",\"path\":\"/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/image\"}]");
    assert_status(changed, 200);
    harness_run(h, NSEC_PER_SEC);
    Answer *got = call(h, "GET", TABS "/a", NULL);
    assert_status(got, 200);
    assert_string_equal(text_at(got, "spec.zone"), "here");
    assert_null(value_at(got->json, "spec.image"));
    harness_restart(h);
    got = call(h, "GET", TABS "/a", NULL);
    assert_string_equal(text_at(got, "spec.zone"), "here");
    assert_null(value_at(got->json, "spec.image"));
}

static void test_name_conflicts(void **state) {
    Harness *h = *state;
    define(h, crontab);
    static const char other[] =
        "{\"metadata\":{\"name\":\"others.stable.example.com\"},\"spec\":{\"group\":\"stable.example.com\",\"scope\":\"Cluster\","
        "\"names\":{\"plural\":\"others\",\"kind\":\"Other\",\"shortNames\":[\"ct\"]},\"versions\":[{\"name\":\"v1\",\"served\":true,"
        "\"storage\":true,\"schema\":{\"openAPIV3Schema\":{\"type\":\"object\",\"x-kubernetes-preserve-unknown-fields\":true}}}]}}";
    assert_status(call(h, "POST", CRDS, other), 201);
    harness_run(h, NSEC_PER_SEC);
    Answer *got = call(h, "GET", CRDS "/others.stable.example.com", NULL);
    assert_memory_equal(condition(got, "NamesAccepted"), "False", 5);
    assert_memory_equal(condition(got, "Established"), "False", 5);
    Value *first = value_at(got->json, "status.conditions")->items[0];
    assert_true(str_eq(value_string_at(first, "reason"), STR("ShortNamesConflict")));
    assert_true(str_eq(value_string_at(first, "message"), STR("\"ct\" is already in use")));
    assert_status(call(h, "GET", "/apis/stable.example.com/v1/others", NULL), 404);
    assert_status(call(h, "DELETE", CRDS "/crontabs.stable.example.com", NULL), 200);
    harness_run(h, NSEC_PER_SEC);
    got = call(h, "GET", CRDS "/others.stable.example.com", NULL);
    assert_memory_equal(condition(got, "Established"), "True", 4);
    assert_status(call(h, "GET", "/apis/stable.example.com/v1/others", NULL), 200);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_definition, setup, teardown),
        cmocka_unit_test_setup_teardown(test_protobuf, setup, teardown),
        cmocka_unit_test_setup_teardown(test_approval, setup, teardown),
        cmocka_unit_test_setup_teardown(test_objects, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_update_and_patches, setup, teardown),
        cmocka_unit_test_setup_teardown(test_selectors_and_tables, setup, teardown),
        cmocka_unit_test_setup_teardown(test_apply, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deletion, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_schema_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_name_conflicts, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
