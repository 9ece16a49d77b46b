// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdio.h>
#include <stdlib.h>

#include "client/event.h"
#include "fake_api.h"
#include "schema/value.h"

typedef struct Fixture {
    FakeApi *api;
    EventRecorder *recorder;
    Arena *arena;
} Fixture;

static int setup(void **state) {
    Fixture *f = calloc(1, sizeof *f);
    f->api = fake_api_new();
    f->arena = arena_new();
    f->recorder = event_recorder_new(f->api->client, STR("kubelet"), STR("n1"));
    *state = f;
    return 0;
}

static int teardown(void **state) {
    Fixture *f = *state;
    event_recorder_free(f->recorder);
    fake_api_free(f->api);
    arena_free(f->arena);
    free(f);
    return 0;
}

static const EventTarget pod = {.api_version = STR("v1"),
                                .kind = STR("Pod"),
                                .namespace_ = STR("ns"),
                                .name = STR("web"),
                                .uid = STR("u1"),
                                .resource_version = STR("7"),
                                .field_path = STR("spec.containers{c}")};

#define CREATE "POST /api/v1/namespaces/ns/events"

// What the oldest request carries.
static Value *sent(Fixture *f) {
    assert_true(f->api->n_requests > 0);
    Value *value;
    ParseError error;
    Str body = arena_str(f->arena, f->api->requests[0]->body);
    assert_int_equal(value_parse_json(f->arena, body, NULL, &value, &error), 0);
    return value;
}

static const char *field(Fixture *f, const Value *value, const char *path) {
    return arena_cstr(f->arena, value_string_at(value, path));
}

static void record(Fixture *f, const char *message) {
    event_record(f->recorder, &pod, "Warning", "BackOff", "%s", message);
    fake_run(f->api, 0);
}

static void test_the_first(void **state) {
    Fixture *f = *state;
    event_record(f->recorder, &pod, "Normal", "Pulled", "Container image \"%s\" already present",
                 "busybox");
    fake_expect(f->api, CREATE);
    Value *event = sent(f);
    assert_string_equal(field(f, event, "kind"), "Event");
    assert_string_equal(field(f, event, "metadata.namespace"), "ns");
    assert_int_equal(strncmp(field(f, event, "metadata.name"), "web.", 4), 0);
    assert_string_equal(field(f, event, "involvedObject.kind"), "Pod");
    assert_string_equal(field(f, event, "involvedObject.name"), "web");
    assert_string_equal(field(f, event, "involvedObject.uid"), "u1");
    assert_string_equal(field(f, event, "involvedObject.apiVersion"), "v1");
    assert_string_equal(field(f, event, "involvedObject.resourceVersion"), "7");
    assert_string_equal(field(f, event, "involvedObject.fieldPath"), "spec.containers{c}");
    assert_string_equal(field(f, event, "type"), "Normal");
    assert_string_equal(field(f, event, "reason"), "Pulled");
    assert_string_equal(field(f, event, "message"), "Container image \"busybox\" already present");
    assert_string_equal(field(f, event, "source.component"), "kubelet");
    assert_string_equal(field(f, event, "source.host"), "n1");
    assert_string_equal(field(f, event, "reportingComponent"), "kubelet");
    assert_string_equal(field(f, event, "firstTimestamp"), field(f, event, "lastTimestamp"));
    assert_int_equal(value_int_at(event, "count", 0), 1);
    fake_answer(f->api, 201, "{}");
    fake_expect_nothing(f->api);
}

static void test_repeats_are_counted(void **state) {
    Fixture *f = *state;
    record(f, "again");
    const char *name = field(f, sent(f), "metadata.name");
    const char *first = field(f, sent(f), "firstTimestamp");
    fake_answer(f->api, 201, "{}");
    fake_run(f->api, 5 * NSEC_PER_SEC);
    record(f, "again");
    char line[256];
    snprintf(line, sizeof line, "PATCH /api/v1/namespaces/ns/events/%s", name);
    HttpRequest *request = fake_expect(f->api, line);
    assert_true(str_eq(http_header(request, STR("Content-Type")),
                       STR("application/strategic-merge-patch+json")));
    assert_int_equal(value_int_at(sent(f), "count", 0), 2);
    assert_string_not_equal(field(f, sent(f), "lastTimestamp"), first);
    assert_null(value_get(sent(f), STR("firstTimestamp")));
    fake_answer(f->api, 200, "{}");
    // It expired meanwhile: written anew, with what was counted.
    record(f, "again");
    fake_expect(f->api, line);
    fake_answer(f->api, 404, "{'kind':'Status','code':404,'reason':'NotFound'}");
    fake_expect(f->api, CREATE);
    assert_int_equal(value_int_at(sent(f), "count", 0), 3);
    assert_string_equal(field(f, sent(f), "firstTimestamp"), first);
    assert_string_equal(field(f, sent(f), "metadata.name"), name);
    fake_answer(f->api, 201, "{}");
}

static void test_others_are_others(void **state) {
    Fixture *f = *state;
    static const struct {
        const char *type, *reason, *message;
        Str uid, field_path;
    } all[] = {
        {"Normal", "A", "m", STR("u1"), STR("f")}, {"Warning", "A", "m", STR("u1"), STR("f")},
        {"Normal", "B", "m", STR("u1"), STR("f")}, {"Normal", "A", "n", STR("u1"), STR("f")},
        {"Normal", "A", "m", STR("u2"), STR("f")}, {"Normal", "A", "m", STR("u1"), STR("g")},
    };
    const char *names[6];
    for (int i = 0; i < 6; i++) {
        EventTarget target = pod;
        target.uid = all[i].uid;
        target.field_path = all[i].field_path;
        event_record(f->recorder, &target, all[i].type, all[i].reason, "%s", all[i].message);
    }
    for (int i = 0; i < 6; i++) {
        fake_expect(f->api, CREATE);
        names[i] = field(f, sent(f), "metadata.name");
        for (int j = 0; j < i; j++) // even those of one moment
            assert_string_not_equal(names[i], names[j]);
        fake_answer(f->api, 201, "{}");
    }
    fake_expect_nothing(f->api);
}

static void test_cluster_scope(void **state) {
    Fixture *f = *state;
    EventTarget node = {.kind = STR("Node"), .name = STR("n1"), .uid = STR("n1")};
    event_record(f->recorder, &node, "Normal", "Starting", "Starting kubelet.");
    fake_expect(f->api, "POST /api/v1/namespaces/default/events");
    assert_null(value_at(sent(f), "involvedObject.namespace"));
    fake_answer(f->api, 201, "{}");
}

// The tenth message that differs from the others in its text alone, and all further new ones, are
// one event; those known go on being counted on their own.
static void test_similar_ones_are_combined(void **state) {
    Fixture *f = *state;
    char message[32], line[256];
    for (int i = 0; i < 9; i++) {
        snprintf(message, sizeof message, "try %d", i);
        record(f, message);
        assert_string_equal(field(f, sent(f), "message"), message);
        fake_answer(f->api, 201, "{}");
    }
    record(f, "try 9");
    fake_expect(f->api, CREATE);
    assert_string_equal(field(f, sent(f), "message"), "(combined from similar events): try 9");
    snprintf(line, sizeof line, "PATCH /api/v1/namespaces/ns/events/%s",
             field(f, sent(f), "metadata.name"));
    fake_answer(f->api, 201, "{}");
    record(f, "try 10");
    fake_expect(f->api, line);
    assert_string_equal(field(f, sent(f), "message"), "(combined from similar events): try 10");
    assert_int_equal(value_int_at(sent(f), "count", 0), 2);
    fake_answer(f->api, 200, "{}");
    record(f, "try 3");
    assert_string_equal(field(f, sent(f), "message"), "try 3");
    assert_int_equal(value_int_at(sent(f), "count", 0), 2);
    fake_answer(f->api, 200, "{}");
    fake_run(f->api, 601 * NSEC_PER_SEC); // and then they are no longer similar
    record(f, "try 11");
    fake_expect(f->api, CREATE);
    assert_string_equal(field(f, sent(f), "message"), "try 11");
    fake_answer(f->api, 201, "{}");
}

static int burst(Fixture *f, int n) {
    int told = 0;
    for (int i = 0; i < n; i++) {
        record(f, "flapping");
        if (f->api->n_requests) {
            told++;
            fake_answer(f->api, 200, "{}");
        }
    }
    return told;
}

// 25 at once, then one in five minutes; and counted all the same.
static void test_the_bucket(void **state) {
    Fixture *f = *state;
    assert_int_equal(burst(f, 100), 25);
    fake_run(f->api, 299 * NSEC_PER_SEC);
    assert_int_equal(burst(f, 1), 0);
    fake_run(f->api, 2 * NSEC_PER_SEC);
    record(f, "flapping");
    assert_int_equal(value_int_at(sent(f), "count", 0), 102);
    fake_answer(f->api, 200, "{}");
    assert_int_equal(burst(f, 5), 0);
    // Another object has a bucket of its own.
    EventTarget other = pod;
    other.uid = STR("u2");
    event_record(f->recorder, &other, "Warning", "BackOff", "flapping");
    fake_expect(f->api, CREATE);
    fake_answer(f->api, 201, "{}");
    fake_run(f->api, 24 * 3600 * NSEC_PER_SEC);
    assert_int_equal(burst(f, 100), 25);
}

static void test_one_at_a_time_and_in_order(void **state) {
    Fixture *f = *state;
    record(f, "a");
    record(f, "b");
    record(f, "a");
    assert_int_equal(f->api->n_requests, 1);
    fake_answer(f->api, 201, "{}");
    assert_string_equal(field(f, sent(f), "message"), "b");
    fake_answer(f->api, 201, "{}");
    assert_int_equal(value_int_at(sent(f), "count", 0), 2);
    fake_answer(f->api, 200, "{}");
    fake_expect_nothing(f->api);
}

// While the API is away, events wait; what it refuses is dropped.
static void test_tried_again(void **state) {
    Fixture *f = *state;
    record(f, "a");
    fake_cut(f->api);
    record(f, "b");
    fake_run(f->api, 9 * NSEC_PER_SEC);
    fake_expect_nothing(f->api);
    fake_run(f->api, 1 * NSEC_PER_SEC);
    assert_string_equal(field(f, sent(f), "message"), "a");
    fake_answer(f->api, 503, "{}");
    fake_run(f->api, 10 * NSEC_PER_SEC);
    fake_answer(f->api, 201, "{}");
    assert_string_equal(field(f, sent(f), "message"), "b");
    fake_answer(f->api, 403, "{'kind':'Status','code':403,'reason':'Forbidden'}");
    fake_expect_nothing(f->api);
    fake_run(f->api, 3600 * NSEC_PER_SEC);
    fake_expect_nothing(f->api);
    // And not for ever.
    record(f, "c");
    for (int i = 0; i < 12; i++) {
        assert_int_equal(f->api->n_requests, 1);
        fake_cut(f->api);
        fake_run(f->api, 10 * NSEC_PER_SEC);
    }
    fake_expect_nothing(f->api);
}

// A thousand wait; then the oldest go, but not the one that is being sent.
static void test_too_many(void **state) {
    Fixture *f = *state;
    char uid[16];
    for (int i = 0; i < 1100; i++) {
        EventTarget target = pod;
        snprintf(uid, sizeof uid, "u%d", i);
        target.uid = str_from(uid);
        event_record(f->recorder, &target, "Normal", "A", "m");
    }
    fake_run(f->api, 0);
    assert_string_equal(field(f, sent(f), "involvedObject.uid"), "u0");
    fake_answer(f->api, 201, "{}");
    assert_string_equal(field(f, sent(f), "involvedObject.uid"), "u101");
    int n = 1;
    for (; f->api->n_requests; n++)
        fake_answer(f->api, 201, "{}");
    assert_int_equal(n, 1000);
}

// What was seen of the objects that events were about last is remembered, of a thousand of them.
static void test_what_is_forgotten(void **state) {
    Fixture *f = *state;
    char uid[16];
    for (int i = 0; i < 1024; i++) {
        EventTarget target = pod;
        snprintf(uid, sizeof uid, "u%d", i);
        target.uid = str_from(uid);
        event_record(f->recorder, &target, "Normal", "A", "m");
        fake_run(f->api, 0);
        fake_answer(f->api, 201, "{}");
    }
    EventTarget first = pod, other = pod;
    first.uid = STR("u0");
    other.uid = STR("another");
    event_record(f->recorder, &first, "Normal", "A", "m");
    fake_run(f->api, 0);
    assert_int_equal(value_int_at(sent(f), "count", 0), 2);
    fake_answer(f->api, 200, "{}");
    event_record(f->recorder, &other, "Normal", "A", "m"); // in place of u1
    fake_run(f->api, 0);
    fake_answer(f->api, 201, "{}");
    first.uid = STR("u1");
    event_record(f->recorder, &first, "Normal", "A", "m");
    fake_run(f->api, 0);
    assert_int_equal(value_int_at(sent(f), "count", 0), 1);
    fake_answer(f->api, 201, "{}");
}

static void test_long_messages(void **state) {
    Fixture *f = *state;
    char message[1200];
    memset(message, 'x', sizeof message);
    memcpy(message + 1023, "\xe2\x82\xac", 3); // a character across the limit
    message[sizeof message - 1] = 0;
    record(f, message);
    assert_int_equal(strlen(field(f, sent(f), "message")), 1023);
    fake_answer(f->api, 201, "{}");
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_the_first),
        TEST(test_repeats_are_counted),
        TEST(test_others_are_others),
        TEST(test_cluster_scope),
        TEST(test_similar_ones_are_combined),
        TEST(test_the_bucket),
        TEST(test_one_at_a_time_and_in_order),
        TEST(test_tried_again),
        TEST(test_too_many),
        TEST(test_what_is_forgotten),
        TEST(test_long_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
