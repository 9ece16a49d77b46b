#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "harness.h"

#define MAPS "/api/v1/namespaces/default/configmaps"

static int setup(void **state) {
    *state = harness_new();
    return 0;
}

static int teardown(void **state) {
    harness_free(*state);
    return 0;
}

static Answer *make(Harness *h, const char *name, const char *color) {
    char body[256];
    snprintf(body, sizeof body, "{\"metadata\":{\"name\":\"%s\",\"labels\":{\"color\":\"%s\"}}}",
             name, color);
    Answer *made = call(h, "POST", MAPS, body);
    assert_status(made, 201);
    return made;
}

static uint32_t count(const Answer *list) {
    return value_get(list->json, STR("items"))->n;
}

static const char *item_name(const Answer *list, uint32_t i) {
    Str s = value_string_at(value_get(list->json, STR("items"))->items[i], "metadata.name");
    static char room[256];
    snprintf(room, sizeof room, "%.*s", STR_ARG(s));
    return room;
}

static void test_list(void **state) {
    Harness *h = *state;
    Answer *empty = call(h, "GET", MAPS, NULL);
    assert_status(empty, 200);
    assert_string_equal(text_at(empty, "kind"), "ConfigMapList");
    assert_string_equal(text_at(empty, "apiVersion"), "v1");
    assert_int_equal(count(empty), 0);
    make(h, "b", "red");
    make(h, "a", "blue");
    make(h, "a.b", "red");
    Answer *list = call(h, "GET", MAPS, NULL);
    assert_int_equal(count(list), 3);
    assert_string_equal(item_name(list, 0), "a");
    assert_string_equal(item_name(list, 2), "b");
    assert_null(value_get(value_get(list->json, STR("items"))->items[0], STR("kind")));
    assert_int_equal(count(call(h, "GET", MAPS "?labelSelector=color%3Dred", NULL)), 2);
    assert_int_equal(count(call(h, "GET", MAPS "?labelSelector=color%20notin%20(red)", NULL)), 1);
    assert_int_equal(count(call(h, "GET", MAPS "?fieldSelector=metadata.name%3Da", NULL)), 1);
    assert_int_equal(count(call(h, "GET", MAPS "?fieldSelector=metadata.name!%3Da", NULL)), 2);
    assert_int_equal(count(call(h, "GET", "/api/v1/configmaps", NULL)), 3);
    assert_int_equal(count(call(h, "GET", "/api/v1/namespaces/kube-system/configmaps", NULL)), 0);
    assert_refused(
        call(h, "GET", MAPS "?fieldSelector=data.k%3Da", NULL), 400,
        "\"data.k\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"");
    assert_refused(call(h, "GET", "/api/v1/pods?fieldSelector=spec.foo%3Da", NULL), 400,
                   "field label not supported: spec.foo");
    assert_status(call(h, "GET", MAPS "?labelSelector=a%3D%3D%3Db", NULL), 400);
}

static void test_pages(void **state) {
    Harness *h = *state;
    for (int i = 0; i < 25; i++) {
        char name[16];
        snprintf(name, sizeof name, "m%02d", i);
        make(h, name, "red");
    }
    Answer *page = call(h, "GET", MAPS "?limit=10", NULL);
    assert_int_equal(count(page), 10);
    assert_int_equal(number_at(page, "metadata.remainingItemCount"), 15);
    const char *version = text_at(page, "metadata.resourceVersion");
    char token[1024], target[1200];
    snprintf(token, sizeof token, "%s", text_at(page, "metadata.continue"));
    // What happens between pages is not seen: they are of one revision.
    assert_status(call(h, "DELETE", MAPS "/m12", NULL), 200);
    make(h, "m10a", "red");
    snprintf(target, sizeof target, MAPS "?limit=10&continue=%s", token);
    page = call(h, "GET", target, NULL);
    assert_int_equal(count(page), 10);
    assert_string_equal(item_name(page, 0), "m10");
    assert_string_equal(item_name(page, 1), "m11");
    assert_string_equal(item_name(page, 2), "m12");
    assert_string_equal(text_at(page, "metadata.resourceVersion"), version);
    snprintf(target, sizeof target, MAPS "?limit=10&continue=%s",
             text_at(page, "metadata.continue"));
    page = call(h, "GET", target, NULL);
    assert_int_equal(count(page), 5);
    assert_string_equal(text_at(page, "metadata.continue"), "");
    // With a selector nobody knows how many remain.
    page = call(h, "GET", MAPS "?limit=10&labelSelector=color%3Dred", NULL);
    assert_null(value_at(page->json, "metadata.remainingItemCount"));
    assert_string_not_equal(text_at(page, "metadata.continue"), "");
    assert_status(call(h, "GET", MAPS "?limit=10&continue=xyz", NULL), 400);
}

static void test_versions(void **state) {
    Harness *h = *state;
    char first[32], target[256];
    snprintf(first, sizeof first, "%s", text_at(make(h, "a", "red"), "metadata.resourceVersion"));
    make(h, "b", "red");
    snprintf(target, sizeof target, MAPS "?resourceVersion=%s&resourceVersionMatch=Exact", first);
    Answer *exact = call(h, "GET", target, NULL);
    assert_status(exact, 200);
    assert_int_equal(count(exact), 1);
    assert_string_equal(text_at(exact, "metadata.resourceVersion"), first);
    snprintf(target, sizeof target, MAPS "?resourceVersion=%s&resourceVersionMatch=NotOlderThan",
             first);
    assert_int_equal(count(call(h, "GET", target, NULL)), 2);
    assert_int_equal(count(call(h, "GET", MAPS "?resourceVersion=0", NULL)), 2);
    Answer *future =
        call(h, "GET", MAPS "?resourceVersion=99999&resourceVersionMatch=NotOlderThan", NULL);
    assert_status(future, 504);
    assert_string_equal(text_at(future, "reason"), "Timeout");
    assert_status(call(h, "GET", MAPS "?resourceVersionMatch=Exact", NULL), 422);
    assert_status(call(h, "GET", MAPS "?resourceVersion=x", NULL), 400);
}

static void test_forms(void **state) {
    Harness *h = *state;
    make(h, "a", "red");
    const char *const table[] = {
        "Accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json", NULL};
    Answer *a = call_with(h, h->admin, "GET", MAPS, NULL, table);
    assert_status(a, 200);
    assert_string_equal(text_at(a, "kind"), "Table");
    assert_string_equal(text_at(a, "apiVersion"), "meta.k8s.io/v1");
    assert_int_equal(value_get(a->json, STR("rows"))->n, 1);
    assert_true(value_get(a->json, STR("columnDefinitions"))->n > 1);
    a = call_with(h, h->admin, "GET", MAPS "/a", NULL, table);
    assert_string_equal(text_at(a, "kind"), "Table");
    const char *const partial[] = {
        "Accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", NULL};
    a = call_with(h, h->admin, "GET", MAPS, NULL, partial);
    assert_string_equal(text_at(a, "kind"), "PartialObjectMetadataList");
    assert_string_equal(item_name(a, 0), "a");
    const char *const other[] = {"Accept", "application/xml", NULL};
    a = call_with(h, h->admin, "GET", MAPS, NULL, other);
    assert_refused(a, 406,
                   "only the following media types are accepted: application/json, "
                   "application/yaml, application/vnd.kubernetes.protobuf");
    const char *const either[] = {"Accept", "application/vnd.kubernetes.protobuf,application/json",
                                  NULL};
    assert_status(call_with(h, h->admin, "GET", MAPS, NULL, either), 200);
    a = call(h, "GET", MAPS "/a?pretty=true", NULL);
    assert_non_null(strstr(a->body.ptr, "{\n  \"kind\": \"ConfigMap\""));
    a = call(h, "GET", MAPS "?pretty=true", NULL);
    assert_non_null(strstr(a->body.ptr, "\n  \"items\": ["));
}

// ---- watching

typedef struct Watching {
    Answer *answer;
    HttpCall *call;
} Watching;

static Watching watch(Harness *h, const char *target) {
    Watching w;
    w.answer = call_start(h, h->admin, "GET", target, NULL, NULL, &w.call);
    harness_run(h, 10 * NSEC_PER_MSEC);
    return w;
}

// The events so far as "ADDED a, DELETED b"; what is not an object's event is shown by its type
// alone.
static const char *events(Harness *h, const Watching *w) {
    harness_run(h, 10 * NSEC_PER_MSEC);
    static char text[4096];
    text[0] = 0;
    Str rest = w->answer->body;
    while (rest.ptr && rest.len) {
        Value *event;
        ParseError error;
        Str line = str_cut(&rest, '\n');
        assert_int_equal(value_parse_json(h->arena, line, NULL, &event, &error), 0);
        size_t len = strlen(text);
        snprintf(text + len, sizeof text - len, "%s%.*s%s%.*s", len ? ", " : "",
                 STR_ARG(value_string_at(event, "type")),
                 value_string_at(event, "object.metadata.name").len ? " " : "",
                 STR_ARG(value_string_at(event, "object.metadata.name")));
    }
    return text;
}

static void test_watch(void **state) {
    Harness *h = *state;
    make(h, "a", "red");
    Watching all = watch(h, MAPS "?watch=true");
    Watching red = watch(h, MAPS "?watch=true&labelSelector=color%3Dred");
    Watching one = watch(h, MAPS "?watch=true&fieldSelector=metadata.name%3Db");
    Watching elsewhere = watch(h, "/api/v1/namespaces/kube-system/configmaps?watch=true");
    assert_int_equal(all.answer->status, 200);
    assert_string_equal(events(h, &all), "ADDED a");
    make(h, "b", "blue");
    assert_status(
        call_patch(h, "merge", MAPS "/b", "{\"metadata\":{\"labels\":{\"color\":\"red\"}}}"), 200);
    assert_status(
        call_patch(h, "merge", MAPS "/a", "{\"metadata\":{\"labels\":{\"color\":\"blue\"}}}"), 200);
    assert_status(call(h, "DELETE", MAPS "/b", NULL), 200);
    assert_string_equal(events(h, &all), "ADDED a, ADDED b, MODIFIED b, MODIFIED a, DELETED b");
    // An object that begins or stops to match comes or goes.
    assert_string_equal(events(h, &red), "ADDED a, ADDED b, DELETED a, DELETED b");
    assert_string_equal(events(h, &one), "ADDED b, MODIFIED b, DELETED b");
    assert_string_equal(events(h, &elsewhere), "");
    http_call_cancel(all.call);
    http_call_cancel(red.call);
    http_call_cancel(one.call);
    http_call_cancel(elsewhere.call);
    harness_run(h, NSEC_PER_MSEC);
}

static void test_watch_from_version(void **state) {
    Harness *h = *state;
    char first[32], target[256];
    snprintf(first, sizeof first, "%s", text_at(make(h, "a", "red"), "metadata.resourceVersion"));
    make(h, "b", "red");
    snprintf(target, sizeof target, MAPS "?watch=true&resourceVersion=%s", first);
    Watching w = watch(h, target);
    assert_string_equal(events(h, &w), "ADDED b");
    http_call_cancel(w.call);
    harness_restart(h); // the history is gone
    w = watch(h, target);
    assert_true(w.answer->done);
    assert_string_equal(events(h, &w), "ERROR");
    assert_non_null(strstr(w.answer->body.ptr, "\"code\":410"));
    assert_non_null(strstr(w.answer->body.ptr, "too old resource version: "));
}

// Changes are remembered for 75 s, the last few for longer.
static void test_history_ages(void **state) {
    Harness *h = *state;
    char name[16], first[32], late[32], old_target[256], late_target[256];
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "m%d", i);
        Answer *made = make(h, name, "red");
        snprintf(i == 0 ? first : late, sizeof first, "%s", text_at(made, "metadata.resourceVersion"));
        if (i == 98)
            snprintf(late_target, sizeof late_target, MAPS "?watch=true&resourceVersion=%s", late);
    }
    snprintf(old_target, sizeof old_target, MAPS "?watch=true&resourceVersion=%s", first);
    harness_run(h, 70 * NSEC_PER_SEC);
    assert_true(api_age(h->api)); // later
    Watching w = watch(h, old_target);
    assert_false(w.answer->done);
    http_call_cancel(w.call);
    harness_run(h, 10 * NSEC_PER_SEC);
    assert_false(api_age(h->api));
    w = watch(h, old_target);
    assert_true(w.answer->done);
    assert_non_null(strstr(w.answer->body.ptr, "too old resource version: "));
    w = watch(h, late_target);
    assert_string_equal(events(h, &w), "ADDED m99");
    http_call_cancel(w.call);
}

static void test_initial_events(void **state) {
    Harness *h = *state;
    make(h, "a", "red");
    Watching w = watch(h, MAPS "?watch=true&sendInitialEvents=true&allowWatchBookmarks=true&"
                               "resourceVersionMatch=NotOlderThan");
    assert_string_equal(events(h, &w), "ADDED a, BOOKMARK");
    assert_non_null(strstr(w.answer->body.ptr, "\"k8s.io/initial-events-end\":\"true\""));
    make(h, "b", "red");
    assert_string_equal(events(h, &w), "ADDED a, BOOKMARK, ADDED b");
    http_call_cancel(w.call);
    assert_status(call(h, "GET", MAPS "?watch=true&sendInitialEvents=true", NULL), 422);
}

static void test_bookmarks_and_timeout(void **state) {
    Harness *h = *state;
    Watching w =
        watch(h, MAPS
              "?watch=true&allowWatchBookmarks=true&timeoutSeconds=200&labelSelector=color%3Dred");
    harness_run(h, 100 * NSEC_PER_SEC);
    assert_string_equal(events(h, &w), ""); // nothing happened, nothing to say
    make(h, "b", "blue");
    harness_run(h, 61 * NSEC_PER_SEC);
    assert_string_equal(events(h, &w), "BOOKMARK");
    harness_run(h, 60 * NSEC_PER_SEC);
    assert_true(w.answer->done);
    assert_int_equal(w.answer->error, 0);
}

// A client that does not read is cut once the history has moved on, and costs no more than the
// history.
static void make_large(Harness *h, int from, int to) {
    static char body[64 * 1024];
    for (int i = from; i < to; i++) {
        int len =
            snprintf(body, sizeof body, "{\"metadata\":{\"name\":\"m%d\"},\"data\":{\"k\":\"", i);
        memset(body + len, 'x', 32 * 1024);
        snprintf(body + len + 32 * 1024, 16, "\"}}");
        assert_status(call(h, "POST", MAPS, body), 201);
    }
}

// Some megabytes behind, but not for long: it misses nothing, and its companion is not held up.
static void test_slow_watcher(void **state) {
    Harness *h = *state;
    Watching slow = watch(h, MAPS "?watch=true"), other = watch(h, MAPS "?watch=true");
    http_call_pause(slow.call, true);
    make_large(h, 0, 200);
    harness_run(h, NSEC_PER_SEC);
    http_call_pause(slow.call, false);
    harness_run(h, NSEC_PER_SEC);
    assert_false(slow.answer->done);
    assert_true(str_eq(slow.answer->body, other.answer->body));
    Str rest = slow.answer->body;
    for (int i = 0; i < 200; i++) {
        char name[32];
        snprintf(name, sizeof name, "\"name\":\"m%d\"", i);
        Str line = str_cut(&rest, '\n');
        assert_non_null(memmem(line.ptr, line.len, name, strlen(name)));
    }
    http_call_cancel(slow.call);
    http_call_cancel(other.call);
}

// More than a burst behind: it is cut, and can begin again.
static void test_stalled_watcher(void **state) {
    Harness *h = *state;
    Watching w = watch(h, MAPS "?watch=true");
    http_call_pause(w.call, true);
    make_large(h, 0, 200);
    harness_run(h, 11 * NSEC_PER_SEC);
    make_large(h, 200, 201);
    http_call_pause(w.call, false);
    harness_run(h, NSEC_PER_SEC);
    assert_true(w.answer->done);
    assert_true(w.answer->error < 0);
}

static void test_watch_forms(void **state) {
    Harness *h = *state;
    make(h, "a", "red");
    const char *const table[] = {"Accept", "application/json;as=Table;v=v1;g=meta.k8s.io", NULL};
    Watching w;
    w.answer = call_start(h, h->admin, "GET", MAPS "?watch=true", NULL, table, &w.call);
    harness_run(h, 10 * NSEC_PER_MSEC);
    make(h, "b", "red");
    harness_run(h, 10 * NSEC_PER_MSEC);
    Str rest = w.answer->body;
    Value *first, *second;
    ParseError error;
    assert_int_equal(value_parse_json(h->arena, str_cut(&rest, '\n'), NULL, &first, &error), 0);
    assert_int_equal(value_parse_json(h->arena, str_cut(&rest, '\n'), NULL, &second, &error), 0);
    assert_true(str_eq(value_string_at(first, "object.kind"), STR("Table")));
    assert_true(value_at(first, "object.columnDefinitions")->n > 1);
    const Value *again = value_at(second, "object.columnDefinitions");
    assert_true(!again || again->kind == VALUE_NULL || again->n == 0);
    assert_int_equal(value_at(second, "object.rows")->n, 1);
    http_call_cancel(w.call);
}

// Field selectors find what is nowhere else: the pods of one node.
static void test_watch_by_field(void **state) {
    Harness *h = *state;
    assert_status(call(h, "POST", "/api/v1/namespaces/default/serviceaccounts",
                       "{\"metadata\":{\"name\":\"default\"}}"),
                  201);
    Watching on_n1 = watch(h, "/api/v1/pods?watch=true&fieldSelector=spec.nodeName%3Dn1");
    Watching pending = watch(h, "/api/v1/pods?watch=true&fieldSelector=spec.nodeName%3D");
    assert_status(call(h, "POST", "/api/v1/namespaces/default/pods",
                       "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"c\","
                       "\"image\":\"i\"}]}}"),
                  201);
    assert_status(
        call(h, "POST", "/api/v1/namespaces/default/pods/p/binding",
             "{\"metadata\":{\"name\":\"p\"},\"target\":{\"kind\":\"Node\",\"name\":\"n1\"}}"),
        201);
    assert_string_equal(events(h, &on_n1), "ADDED p");
    assert_string_equal(events(h, &pending), "ADDED p, DELETED p");
    http_call_cancel(on_n1.call);
    http_call_cancel(pending.call);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_list, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_versions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forms, setup, teardown),
        cmocka_unit_test_setup_teardown(test_watch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_watch_from_version, setup, teardown),
        cmocka_unit_test_setup_teardown(test_history_ages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_initial_events, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bookmarks_and_timeout, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slow_watcher, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stalled_watcher, setup, teardown),
        cmocka_unit_test_setup_teardown(test_watch_forms, setup, teardown),
        cmocka_unit_test_setup_teardown(test_watch_by_field, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
