// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdio.h>
#include <stdlib.h>

#include "client/informer.h"
#include "fake_api.h"

typedef struct Fixture {
    FakeApi *api;
    Informer *informer;
    char told[1024]; // what the handler heard: "+a@1 ~a@1-2 -a@2 synced "
} Fixture;

static void note(Fixture *f, const char *format, ...) {
    size_t len = strlen(f->told);
    va_list args;
    va_start(args, format);
    vsnprintf(f->told + len, sizeof f->told - len, format, args);
    va_end(args);
}

static void on_change(void *user, const InformerObject *old, const InformerObject *now) {
    const InformerObject *object = now ? now : old;
    if (old && now)
        note(user, "~%.*s@%d-%d ", STR_ARG(object->name), (int)old->resource_version,
             (int)now->resource_version);
    else
        note(user, "%s%.*s@%d ", now ? "+" : "-", STR_ARG(object->name),
             (int)object->resource_version);
}

static void on_synced(void *user) {
    note(user, "synced ");
}

static const InformerHandler handler = {.on_change = on_change, .on_synced = on_synced};

static int setup(void **state) {
    Fixture *f = calloc(1, sizeof *f);
    f->api = fake_api_new();
    f->informer = informer_new(f->api->client, kinds_resource_core_v1_configmaps(), STR_NONE,
                               STR_NONE, STR_NONE);
    informer_add_handler(f->informer, &handler, f);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    Fixture *f = *state;
    informer_free(f->informer);
    fake_api_free(f->api);
    free(f);
    return 0;
}

#define OBJECT(name, version)                                                                      \
    "{'metadata':{'name':'" name "','namespace':'ns','uid':'uid-" name                             \
    "','resourceVersion':'" version "'}}"
#define LIST_OF(version, items) "{'metadata':{'resourceVersion':'" version "'},'items':[" items "]}"
#define EVENT(type, object) "{'type':'" type "','object':" object "}"
#define LISTING "GET /api/v1/configmaps?limit=500"
#define WATCHING "GET /api/v1/configmaps?watch=true&allowWatchBookmarks=true&resourceVersion="

#define assert_told(f, text)                                                                       \
    do {                                                                                           \
        assert_string_equal((f)->told, text);                                                      \
        (f)->told[0] = 0;                                                                          \
    } while (0)

static HttpRequest *sync_empty(Fixture *f) {
    fake_expect(f->api, LISTING);
    fake_answer(f->api, 200, LIST_OF("10", ""));
    assert_told(f, "synced ");
    fake_expect(f->api, WATCHING "10");
    return fake_watch(f->api);
}

static void test_list_then_watch(void **state) {
    Fixture *f = *state;
    assert_false(informer_is_synced(f->informer));
    fake_expect(f->api, LISTING);
    fake_answer(f->api, 200, LIST_OF("10", OBJECT("a", "3") "," OBJECT("b", "7")));
    assert_told(f, "+a@3 +b@7 synced ");
    assert_true(informer_is_synced(f->informer));
    fake_expect(f->api, WATCHING "10");
    HttpRequest *watch = fake_watch(f->api);
    fake_event(f->api, watch, EVENT("ADDED", OBJECT("c", "11")));
    fake_event(f->api, watch, EVENT("MODIFIED", OBJECT("a", "12")));
    fake_event(f->api, watch, EVENT("DELETED", OBJECT("b", "13")));
    assert_told(f, "+c@11 ~a@3-12 -b@7 ");
    assert_int_equal(informer_count(f->informer), 2);
    assert_null(informer_get(f->informer, STR("ns"), STR("b")));
    assert_null(informer_get(f->informer, STR("other"), STR("a")));
    const InformerObject *a = informer_get(f->informer, STR("ns"), STR("a"));
    assert_int_equal(a->resource_version, 12);
    assert_true(str_eq(a->uid, STR("uid-a")));
    assert_non_null(strstr(bytes_str(a->bytes).ptr, "\"resourceVersion\":\"12\""));
}

// Events in one piece, and one event in many.
static void test_pieces(void **state) {
    Fixture *f = *state;
    HttpRequest *watch = sync_empty(f);
    fake_event(f->api, watch,
               EVENT("ADDED", OBJECT("a", "11")) "\n\n" EVENT("ADDED", OBJECT("b", "12")));
    assert_told(f, "+a@11 +b@12 ");
    static const char text[] = "{ \"object\" : {\"metadata\":{\"name\":\"c\",\"namespace\":\"ns\","
                               "\"resourceVersion\":\"13\"}}, \"type\":\"ADDED\" }\n";
    for (const char *c = text; *c; c++) {
        _bytes_unref_ Bytes *byte = bytes_new(c, 1);
        http_respond_data(watch, byte);
        fake_run(f->api, 0);
    }
    assert_told(f, "+c@13 ");
}

static void test_pages(void **state) {
    Fixture *f = *state;
    fake_expect(f->api, LISTING);
    fake_answer(
        f->api, 200,
        "{'metadata':{'resourceVersion':'10','continue':'n&xt'},'items':[" OBJECT("a", "1") "]}");
    assert_false(informer_is_synced(f->informer));
    fake_expect(f->api, LISTING "&continue=n%26xt");
    // The rest has expired: from the beginning.
    fake_answer(f->api, 410, "{'kind':'Status','code':410,'reason':'Expired'}");
    fake_run(f->api, NSEC_PER_SEC);
    fake_expect(f->api, LISTING);
    fake_answer(
        f->api, 200,
        "{'metadata':{'resourceVersion':'12','continue':'more'},'items':[" OBJECT("b", "2") "]}");
    fake_expect(f->api, LISTING "&continue=more");
    fake_answer(f->api, 200, LIST_OF("12", OBJECT("c", "3")));
    assert_told(f, "+a@1 +b@2 +c@3 -a@1 synced ");
    fake_expect(f->api, WATCHING "12");
}

static void test_resumes_where_it_was(void **state) {
    Fixture *f = *state;
    HttpRequest *watch = sync_empty(f);
    fake_run(f->api, 60 * NSEC_PER_SEC);
    fake_event(f->api, watch, EVENT("ADDED", OBJECT("a", "11")));
    fake_event(f->api, watch, EVENT("BOOKMARK", "{'metadata':{'resourceVersion':'99'}}"));
    assert_told(f, "+a@11 ");
    fake_watch_end(f->api, watch); // in order: at once
    fake_expect(f->api, WATCHING "99");
    watch = fake_watch(f->api);
    fake_run(f->api, 60 * NSEC_PER_SEC);
    fake_event(f->api, watch, EVENT("MODIFIED", OBJECT("a", "100")));
    http_respond_abort(watch); // broken: after a moment
    fake_expect_nothing(f->api);
    fake_run(f->api, 400 * NSEC_PER_MSEC);
    fake_expect(f->api, WATCHING "100");
    assert_told(f, "~a@11-100 ");
}

static void test_a_server_that_ends_each_watch_at_once(void **state) {
    Fixture *f = *state;
    fake_watch_end(f->api, sync_empty(f));
    size_t seen = f->api->n_seen;
    for (int i = 0; i < 600; i++) {
        fake_run(f->api, 100 * NSEC_PER_MSEC);
        if (f->api->n_requests)
            fake_watch_end(f->api, fake_watch(f->api));
    }
    assert_in_range(f->api->n_seen - seen, 3, 12); // in a minute
}

// What changed while we could not see it is told as the difference.
static void expired(Fixture *f) {
    fake_expect(f->api, LISTING);
    fake_answer(
        f->api, 200,
        LIST_OF("50", OBJECT("same", "11") "," OBJECT("changed", "40") "," OBJECT("new", "45")));
    assert_told(f, "~changed@12-40 +new@45 -gone@13 ");
    fake_expect(f->api, WATCHING "50");
}

static HttpRequest *three(Fixture *f) {
    HttpRequest *watch = sync_empty(f);
    fake_event(f->api, watch, EVENT("ADDED", OBJECT("same", "11")));
    fake_event(f->api, watch, EVENT("ADDED", OBJECT("changed", "12")));
    fake_event(f->api, watch, EVENT("ADDED", OBJECT("gone", "13")));
    assert_told(f, "+same@11 +changed@12 +gone@13 ");
    return watch;
}

static void test_expired_as_an_event(void **state) {
    Fixture *f = *state;
    HttpRequest *watch = three(f);
    fake_event(f->api, watch, EVENT("ERROR", "{'kind':'Status','code':410,'reason':'Expired'}"));
    expired(f);
}

static void test_expired_as_an_answer(void **state) {
    Fixture *f = *state;
    HttpRequest *watch = three(f);
    fake_run(f->api, 60 * NSEC_PER_SEC);
    fake_watch_end(f->api, watch);
    fake_expect(f->api, WATCHING "13");
    fake_answer(f->api, 410, "{'kind':'Status','code':410,'reason':'Expired'}");
    expired(f);
}

// One that always says so gets no stream of lists.
static void test_expired_again_and_again(void **state) {
    Fixture *f = *state;
    for (int i = 0; i < 600; i++) {
        fake_run(f->api, 100 * NSEC_PER_MSEC);
        while (f->api->n_requests) {
            if (strstr(f->api->requests[0]->query.ptr, "watch=true"))
                fake_answer(f->api, 410, "{'kind':'Status','code':410}");
            else
                fake_answer(f->api, 200, LIST_OF("10", ""));
        }
    }
    assert_in_range(f->api->n_seen, 10, 25); // in a minute
}

static void test_another_object_of_that_name(void **state) {
    Fixture *f = *state;
    HttpRequest *watch = sync_empty(f);
    fake_event(f->api, watch, EVENT("ADDED", OBJECT("a", "11")));
    fake_event(f->api, watch,
               EVENT("MODIFIED", "{'metadata':{'name':'a','namespace':'ns','uid':'second',"
                                 "'resourceVersion':'15'}}"));
    assert_told(f, "+a@11 -a@11 +a@15 ");
}

static void test_nonsense_lists_anew(void **state) {
    Fixture *f = *state;
    HttpRequest *watch = three(f);
    fake_event(f->api, watch, "this is no JSON");
    expired(f);
    (void)watch;
}

static void test_lists_fail(void **state) {
    Fixture *f = *state;
    int64_t now = loop_now(f->api->loop), last = 0;
    for (int i = 0; i < 12; i++) {
        fake_expect(f->api, LISTING);
        if (i % 3 == 0)
            fake_cut(f->api);
        else if (i % 3 == 1)
            fake_answer(f->api, 503, "not JSON at all");
        else
            fake_answer(f->api, 200, "{'items':");
        while (!f->api->n_requests)
            fake_run(f->api, 10 * NSEC_PER_MSEC);
        last = loop_now(f->api->loop) - now;
        now = loop_now(f->api->loop);
        assert_true(last <= 60 * NSEC_PER_SEC + 20 * NSEC_PER_MSEC);
    }
    assert_true(last >= 30 * NSEC_PER_SEC); // longer and longer
    fake_answer(f->api, 200, LIST_OF("10", OBJECT("a", "3")));
    assert_told(f, "+a@3 synced ");
}

static void test_a_late_handler(void **state) {
    Fixture *f = *state;
    HttpRequest *watch = sync_empty(f);
    fake_event(f->api, watch, EVENT("ADDED", OBJECT("a", "11")));
    f->told[0] = 0;
    Fixture late = {0};
    informer_add_handler(f->informer, &handler, &late);
    assert_string_equal(late.told, ""); // never from inside
    fake_event(f->api, watch, EVENT("ADDED", OBJECT("b", "12")));
    fake_event(f->api, watch, EVENT("DELETED", OBJECT("a", "13")));
    // Whatever came first, the handler ends where the cache is, and heard of nothing twice.
    if (strstr(late.told, "+a"))
        assert_non_null(strstr(late.told, "-a"));
    assert_non_null(strstr(late.told, "synced "));
    assert_non_null(strstr(late.told, "+b@12 "));
    assert_null(strstr(strstr(late.told, "+b") + 1, "+b"));
}

static void by_prefix(const InformerObject *object, InformerEmit emit, void *emit_user) {
    emit(emit_user, str_slice(object->name, 0, 1));
    emit(emit_user, object->resource_version % 2 ? STR("odd") : STR("even"));
}

static void collect(void *user, const InformerObject *object) {
    note(user, "%.*s ", STR_ARG(object->name));
}

static void check_index(Fixture *f, InformerIndex *index, const char *key, const char *names) {
    informer_index_each(index, str_from(key), collect, f);
    assert_told(f, names);
}

static void test_index(void **state) {
    Fixture *f = *state;
    InformerIndex *index = informer_add_index(f->informer, by_prefix);
    HttpRequest *watch = sync_empty(f);
    fake_event(f->api, watch, EVENT("ADDED", OBJECT("a1", "11")));
    fake_event(f->api, watch, EVENT("ADDED", OBJECT("a2", "12")));
    fake_event(f->api, watch, EVENT("ADDED", OBJECT("b1", "13")));
    InformerIndex *late = informer_add_index(f->informer, by_prefix);
    f->told[0] = 0;
    check_index(f, index, "a", "a1 a2 ");
    check_index(f, index, "odd", "a1 b1 ");
    check_index(f, late, "odd", "a1 b1 ");
    check_index(f, index, "nobody", "");
    fake_event(f->api, watch, EVENT("MODIFIED", OBJECT("a1", "14")));
    fake_event(f->api, watch, EVENT("DELETED", OBJECT("b1", "15")));
    f->told[0] = 0;
    check_index(f, index, "odd", "");
    check_index(f, index, "even", "a2 a1 ");
    check_index(f, late, "even", "a2 a1 ");
    check_index(f, index, "b", "");
}

static void test_each(void **state) {
    Fixture *f = *state;
    HttpRequest *watch = sync_empty(f);
    fake_event(f->api, watch, EVENT("ADDED", OBJECT("a", "11")));
    fake_event(f->api, watch,
               EVENT("ADDED", "{'metadata':{'name':'a','namespace':'two','uid':'x',"
                              "'resourceVersion':'12'}}"));
    f->told[0] = 0;
    informer_each(f->informer, STR("ns"), collect, f);
    assert_told(f, "a ");
    informer_each(f->informer, STR_NONE, collect, f);
    assert_told(f, "a a ");
}

static void test_an_object_outlives_the_cache(void **state) {
    Fixture *f = *state;
    HttpRequest *watch = sync_empty(f);
    fake_event(f->api, watch, EVENT("ADDED", OBJECT("a", "11")));
    InformerObject *a = informer_object_ref(informer_get(f->informer, STR("ns"), STR("a")));
    fake_event(f->api, watch, EVENT("DELETED", OBJECT("a", "12")));
    assert_true(str_eq(a->name, STR("a")));
    assert_true(str_eq(a->namespace_, STR("ns")));
    assert_int_equal(a->resource_version, 11);
    informer_object_unref(a);
}

static void test_selectors(void **state) {
    Fixture *f = *state;
    informer_free(f->informer);
    f->informer = informer_new(f->api->client, kinds_resource_core_v1_configmaps(), STR("ns"),
                               STR("a=b,c"), STR("metadata.name=x"));
    while (f->api->n_requests && strstr(f->api->requests[0]->path.ptr, "/configmaps") ==
                                     f->api->requests[0]->path.ptr + 7)
        fake_answer(f->api, 200, "{}"); // what the first one asked for
    fake_expect(f->api, "GET /api/v1/namespaces/ns/configmaps?labelSelector=a%3Db%2Cc&"
                        "fieldSelector=metadata.name%3Dx&limit=500");
    fake_answer(f->api, 200, LIST_OF("10", ""));
    fake_expect(f->api, "GET /api/v1/namespaces/ns/configmaps?labelSelector=a%3Db%2Cc&"
                        "fieldSelector=metadata.name%3Dx&watch=true&allowWatchBookmarks=true&"
                        "resourceVersion=10");
}

// An informer may go at any moment but from inside its handlers.
static void test_freed_early(void **state) {
    Fixture *f = *state;
    informer_free(f->informer); // with a list under way
    for (int stage = 0; stage < 3; stage++) {
        fake_run(f->api, 0);
        while (f->api->n_requests)
            fake_cut(f->api);
        f->informer = informer_new(f->api->client, kinds_resource_core_v1_configmaps(), STR_NONE,
                                   STR_NONE, STR_NONE);
        informer_add_handler(f->informer, &handler, f);
        fake_expect(f->api, LISTING);
        if (stage == 0) {
            fake_cut(f->api); // waits to try again
        } else {
            fake_answer(f->api, 200, LIST_OF("10", OBJECT("a", "3")));
            if (stage == 2)
                fake_watch(f->api);
            informer_add_handler(f->informer, &handler, f); // has not caught up yet
        }
        informer_free(f->informer);
        f->told[0] = 0;
        fake_run(f->api, 60 * NSEC_PER_SEC);
        assert_told(f, "");
    }
    f->informer = NULL;
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_list_then_watch),
        TEST(test_pieces),
        TEST(test_pages),
        TEST(test_resumes_where_it_was),
        TEST(test_a_server_that_ends_each_watch_at_once),
        TEST(test_expired_as_an_event),
        TEST(test_expired_as_an_answer),
        TEST(test_expired_again_and_again),
        TEST(test_another_object_of_that_name),
        TEST(test_nonsense_lists_anew),
        TEST(test_lists_fail),
        TEST(test_a_late_handler),
        TEST(test_index),
        TEST(test_each),
        TEST(test_an_object_outlives_the_cache),
        TEST(test_selectors),
        TEST(test_freed_early),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
