// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "fake_api.h"

typedef struct Fixture {
    FakeApi *api;
    int done, error, code, events;
    char body[256], message[256], heard[256];
    ClientCall *call;
    int cancel_at; // the event at which the watch is cancelled
    const Bytes *last; // only to compare
} Fixture;

static int setup(void **state) {
    Fixture *f = calloc(1, sizeof *f);
    f->api = fake_api_new();
    *state = f;
    return 0;
}

static int teardown(void **state) {
    Fixture *f = *state;
    fake_api_free(f->api);
    free(f);
    return 0;
}

static void copy(char *to, Str from) {
    size_t n = from.len < 255 ? from.len : 255;
    if (n)
        memcpy(to, from.ptr, n);
    to[n] = 0;
}

static void on_done(void *user, const ClientResult *result) {
    Fixture *f = user;
    f->done++;
    f->error = result->error;
    f->code = result->code;
    copy(f->body, result->body);
    copy(f->message, result->status ? result->status->message : STR(""));
    f->call = NULL;
}

static void on_event(void *user, Str type, Bytes *object) {
    Fixture *f = user;
    size_t len = strlen(f->heard);
    snprintf(f->heard + len, sizeof f->heard - len, "%.*s %.*s\n", STR_ARG(type),
             STR_ARG(bytes_str(object)));
    f->last = object;
    if (++f->events == f->cancel_at)
        client_cancel(f->call);
}

static const ClientTarget pod = {.namespace_ = STR("ns"), .name = STR("a/b")};

static ClientTarget pods(Str name, Str subresource, Str query) {
    ClientTarget target = pod;
    target.resource = kinds_resource_core_v1_pods();
    target.name = name;
    target.subresource = subresource;
    target.query = query;
    return target;
}

static void test_where_calls_go(void **state) {
    Fixture *f = *state;
    Client *client = f->api->client;
    ClientTarget target = pods(STR("a/b"), STR("status"), STR("x=1"));
    client_get(client, &target, on_done, f);
    fake_expect(f->api, "GET /api/v1/namespaces/ns/pods/a%2Fb/status?x=1");
    assert_int_equal(f->done, 0); // never from inside
    fake_answer(f->api, 200, "{'a':1}");
    assert_int_equal(f->done, 1);
    assert_int_equal(f->error, 0);
    assert_string_equal(f->body, "{\"a\":1}");

    target = pods(STR_NONE, STR_NONE, STR_NONE);
    target.namespace_ = STR_NONE;
    client_list(client, &target, on_done, f);
    fake_expect(f->api, "GET /api/v1/pods");
    fake_answer(f->api, 200, "{}");

    target = (ClientTarget){.resource = kinds_resource_core_v1_nodes(),
                            .namespace_ = STR("ignored"),
                            .name = STR("n1")};
    client_delete(client, &target, STR("{\"gracePeriodSeconds\":0}"), on_done, f);
    HttpRequest *request = fake_expect(f->api, "DELETE /api/v1/nodes/n1");
    assert_string_equal(fake_body(f->api, request), "{\"gracePeriodSeconds\":0}");
    fake_answer(f->api, 200, "{}");

    target = (ClientTarget){.resource = kinds_resource_coordination_v1_leases(),
                            .namespace_ = STR("ns")};
    client_delete_collection(client, &target, on_done, f);
    fake_expect(f->api, "DELETE /apis/coordination.k8s.io/v1/namespaces/ns/leases");
    fake_answer(f->api, 200, "{}");
    assert_int_equal(f->done, 4);
}

static void test_what_calls_carry(void **state) {
    Fixture *f = *state;
    static const struct {
        PatchKind kind;
        const char *type;
    } kinds[] = {
        {PATCH_JSON, "application/json-patch+json"},
        {PATCH_MERGE, "application/merge-patch+json"},
        {PATCH_STRATEGIC, "application/strategic-merge-patch+json"},
        {PATCH_APPLY, "application/apply-patch+yaml"},
    };
    ClientTarget target = pods(STR("p"), STR_NONE, STR_NONE);
    for (size_t i = 0; i < 4; i++) {
        client_patch(f->api->client, &target, kinds[i].kind, STR("patch"), on_done, f);
        HttpRequest *request = fake_expect(f->api, "PATCH /api/v1/namespaces/ns/pods/p");
        assert_true(str_eq(http_header(request, STR("Content-Type")), str_from(kinds[i].type)));
        assert_true(str_eq(http_header(request, STR("User-Agent")), STR("test")));
        assert_string_equal(fake_body(f->api, request), "patch");
        fake_answer(f->api, 200, "{}");
    }
    client_update(f->api->client, &target, STR("{}"), on_done, f);
    HttpRequest *request = fake_expect(f->api, "PUT /api/v1/namespaces/ns/pods/p");
    assert_true(str_eq(http_header(request, STR("Content-Type")), STR("application/json")));
    fake_answer(f->api, 200, "{}");
}

static void test_refusals(void **state) {
    Fixture *f = *state;
    ClientTarget target = pods(STR("p"), STR_NONE, STR_NONE);
    client_get(f->api->client, &target, on_done, f);
    fake_answer(f->api, 404,
                "{'kind':'Status','message':'pods is not there','reason':'NotFound','code':404}");
    assert_int_equal(f->error, CLIENT_E_STATUS);
    assert_int_equal(f->code, 404);
    assert_string_equal(f->message, "pods is not there");
    // Not from an API server at all.
    client_get(f->api->client, &target, on_done, f);
    fake_answer(f->api, 502, "<html>bad gateway</html>");
    assert_int_equal(f->error, CLIENT_E_STATUS);
    assert_int_equal(f->code, 502);
    assert_true(f->message[0]);
    client_get(f->api->client, &target, on_done, f);
    fake_cut(f->api);
    assert_true(f->error < 0);
    assert_int_equal(f->done, 3);
}

static void test_cancelled(void **state) {
    Fixture *f = *state;
    ClientTarget target = pods(STR("p"), STR_NONE, STR_NONE);
    client_cancel(client_get(f->api->client, &target, on_done, f)); // before it was sent
    fake_run(f->api, NSEC_PER_SEC);
    ClientCall *call = client_get(f->api->client, &target, on_done, f);
    fake_run(f->api, NSEC_PER_SEC);
    client_cancel(call); // while it is under way
    fake_run(f->api, NSEC_PER_SEC);
    client_get(f->api->client, &target, on_done, f); // left to the end of the client
    fake_run(f->api, NSEC_PER_SEC);
    assert_int_equal(f->done, 0);
}

static void start_watch(Fixture *f) {
    ClientTarget target = pods(STR_NONE, STR_NONE, STR("labelSelector=a"));
    f->call = client_watch(f->api->client, &target, STR("7"), on_event, on_done, f);
    fake_expect(f->api, "GET /api/v1/namespaces/ns/pods?labelSelector=a&watch=true&"
                        "allowWatchBookmarks=true&resourceVersion=7");
}

static void test_watch(void **state) {
    Fixture *f = *state;
    start_watch(f);
    HttpRequest *watch = fake_watch(f->api);
    fake_event(f->api, watch, "{'type':'ADDED','object':{'a':1}}");
    fake_event(f->api, watch,
               "{ 'object':{'type':'x'}, 'type':'DELETED' }\n{'type':'BOOKMARK','object':{}}");
    assert_string_equal(f->heard, "ADDED {\"a\":1}\nDELETED {\"type\":\"x\"}\nBOOKMARK {}\n");
    assert_int_equal(f->done, 0);
    fake_watch_end(f->api, watch);
    assert_int_equal(f->done, 1);
    assert_int_equal(f->error, 0);
}

static void send_text(Fixture *f, HttpRequest *watch, const char *text) {
    _bytes_unref_ Bytes *bytes = bytes_new(text, strlen(text));
    http_respond_data(watch, bytes);
    fake_run(f->api, NSEC_PER_MSEC);
}

// From inside the process an event comes in three parts, and its object is the block that was sent.
static void test_watch_in_parts(void **state) {
    Fixture *f = *state;
    start_watch(f);
    HttpRequest *watch = fake_watch(f->api);
    _bytes_unref_ Bytes *object = bytes_new("{\"a\":1}", 7);
    send_text(f, watch, "{\"type\":\"ADDED\",\"object\":");
    http_respond_data(watch, object);
    fake_run(f->api, NSEC_PER_MSEC);
    assert_int_equal(f->events, 0);
    send_text(f, watch, "}\n");
    assert_string_equal(f->heard, "ADDED {\"a\":1}\n");
    assert_ptr_equal(f->last, object);
    fake_event(f->api, watch, "{'type':'BOOKMARK','object':{}}");
    assert_string_equal(f->heard, "ADDED {\"a\":1}\nBOOKMARK {}\n");
    send_text(f, watch, "{\"type\":\"DELETED\",\"object\":");
    send_text(f, watch, "{}");
    send_text(f, watch, "nonsense");
    assert_int_equal(f->events, 2);
    assert_int_equal(f->done, 1);
    assert_int_equal(f->error, -EPROTO);
}

// Cut or cancelled in the middle of an event, nothing stays behind (the sanitizer looks).
static void test_watch_cut_between_parts(void **state) {
    Fixture *f = *state;
    start_watch(f);
    HttpRequest *watch = fake_watch(f->api);
    send_text(f, watch, "{\"type\":\"ADDED\",\"object\":");
    send_text(f, watch, "{}");
    client_cancel(f->call);
    fake_run(f->api, NSEC_PER_MSEC);
    start_watch(f);
    watch = fake_watch(f->api);
    f->cancel_at = 1;
    send_text(f, watch, "{\"type\":\"ADDED\",\"object\":");
    send_text(f, watch, "{}");
    send_text(f, watch, "}\n");
    assert_int_equal(f->events, 1);
    assert_int_equal(f->done, 0);
}

static void test_watch_refused(void **state) {
    Fixture *f = *state;
    start_watch(f);
    fake_answer(f->api, 410, "{'kind':'Status','message':'too old','code':410}");
    assert_int_equal(f->events, 0);
    assert_int_equal(f->error, CLIENT_E_STATUS);
    assert_int_equal(f->code, 410);
    assert_string_equal(f->message, "too old");
}

static void test_watch_cancelled_by_its_handler(void **state) {
    Fixture *f = *state;
    start_watch(f);
    f->cancel_at = 2;
    HttpRequest *watch = fake_watch(f->api);
    fake_event(f->api, watch,
               "{'type':'ADDED','object':{}}\n{'type':'ADDED','object':{}}\n{'type':'ADDED',"
               "'object':{}}");
    assert_int_equal(f->events, 2);
    assert_int_equal(f->done, 0);
}

static void test_nonsense_is_an_error_event(void **state) {
    Fixture *f = *state;
    start_watch(f);
    HttpRequest *watch = fake_watch(f->api);
    fake_event(f->api, watch, "what?");
    fake_event(f->api, watch, "{'type':'ADDED'}");
    assert_int_equal(f->events, 2);
    assert_int_equal(strncmp(f->heard, "ERROR {", 7), 0);
}

// A line without end does not fill the memory.
static void test_an_endless_event(void **state) {
    Fixture *f = *state;
    start_watch(f);
    HttpRequest *watch = fake_watch(f->api);
    _bytes_unref_ Bytes *piece = bytes_alloc(64 * 1024);
    memset(piece->data, 'x', piece->len);
    for (int i = 0; i < 200 && !f->done; i++) {
        http_respond_data(watch, piece);
        fake_run(f->api, NSEC_PER_MSEC);
    }
    assert_int_equal(f->done, 1);
    assert_int_equal(f->error, -EMSGSIZE);
    assert_int_equal(f->events, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_where_calls_go),
        TEST(test_what_calls_carry),
        TEST(test_refusals),
        TEST(test_cancelled),
        TEST(test_watch),
        TEST(test_watch_in_parts),
        TEST(test_watch_cut_between_parts),
        TEST(test_watch_refused),
        TEST(test_watch_cancelled_by_its_handler),
        TEST(test_nonsense_is_an_error_event),
        TEST(test_an_endless_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
