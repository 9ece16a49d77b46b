// What a list and a watch answer for each resourceVersion, match, limit and token:
// https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions. Messages:
// apimachinery's pkg/apis/meta/internalversion/validation, apiserver's pkg/storage/{continue,
// interfaces,errors}.go and pkg/storage/etcd3/errors.go.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "harness.h"
#include "store/store.h"

#define MAPS "/api/v1/namespaces/default/configmaps"

typedef struct Fixture {
    Harness *h;
    int64_t first, last; // revisions of a and c; b and c came later
} Fixture;

static Fixture fixture;

static int64_t make(Harness *h, const char *name) {
    char body[128];
    snprintf(body, sizeof body, "{\"metadata\":{\"name\":\"%s\"}}", name);
    Answer *made = call(h, "POST", MAPS, body);
    assert_status(made, 201);
    return strtoll(text_at(made, "metadata.resourceVersion"), NULL, 10);
}

static int setup(void **state) {
    fixture.h = harness_new();
    fixture.first = make(fixture.h, "a");
    make(fixture.h, "b");
    fixture.last = make(fixture.h, "c");
    *state = &fixture;
    return 0;
}

static int teardown(void **state) {
    harness_free(fixture.h);
    return 0;
}

static const char *names(Harness *h, const Answer *list) {
    Str text = STR("");
    const Value *items = value_get(list->json, STR("items"));
    for (uint32_t i = 0; items && i < items->n; i++)
        text = arena_printf(h->arena, "%.*s%.*s", STR_ARG(text),
                            STR_ARG(value_string_at(items->items[i], "metadata.name")));
    return arena_cstr(h->arena, text);
}

static const char *url(Harness *h, const char *query) { // @1 the first revision, @9 a future one
    Str text = STR("");
    for (const char *c = query; *c; c++)
        text = *c == '@' ? arena_printf(h->arena, "%.*s%" PRId64, STR_ARG(text),
                                        c[1] == '1' ? fixture.first : fixture.last + 1000)
                         : arena_printf(h->arena, "%.*s%c", STR_ARG(text), *c),
        c += *c == '@';
    return arena_printf(h->arena, MAPS "?%.*s", STR_ARG(text)).ptr;
}

static void test_versions_and_limits(void **state) {
    Harness *h = fixture.h;
    static const struct {
        const char *query;
        int status;
        const char *names;
        bool exact; // the list is of the first revision
    } lists[] = {
        {"", 200, "abc", false}, // most recent
        {"limit=2", 200, "ab", false},
        {"resourceVersion=0", 200, "abc", false}, // any
        {"resourceVersion=0&limit=2", 200, "ab", false},
        {"resourceVersion=0&resourceVersionMatch=NotOlderThan", 200, "abc", false},
        {"resourceVersion=@1", 200, "abc", false},      // not older than
        {"resourceVersion=@1&limit=2", 200, "a", true}, // exact, by tradition
        {"resourceVersion=@1&resourceVersionMatch=NotOlderThan", 200, "abc", false},
        {"resourceVersion=@1&resourceVersionMatch=NotOlderThan&limit=2", 200, "ab", false},
        {"resourceVersion=@1&resourceVersionMatch=Exact", 200, "a", true},
        {"resourceVersion=@1&resourceVersionMatch=Exact&limit=2", 200, "a", true},
        {"resourceVersion=0&resourceVersionMatch=Exact", 422, NULL, false},
        {"resourceVersionMatch=Exact", 422, NULL, false},
        {"resourceVersionMatch=NotOlderThan", 422, NULL, false},
        {"resourceVersion=@1&resourceVersionMatch=Newest", 422, NULL, false},
        {"resourceVersion=@1&sendInitialEvents=true", 422, NULL, false},
        {"resourceVersion=-1", 400, NULL, false},
        {"limit=x", 400, NULL, false},
        {"resourceVersion=@9", 504, NULL, false},
        {"resourceVersion=@9&limit=2", 504, NULL, false},
        {"resourceVersion=@9&resourceVersionMatch=Exact", 504, NULL, false},
        {"resourceVersion=@9&resourceVersionMatch=NotOlderThan", 504, NULL, false},
    };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        Answer *list = call(h, "GET", url(h, lists[i].query), NULL);
        assert_status(list, lists[i].status);
        if (list->status != 200)
            continue;
        assert_string_equal(names(h, list), lists[i].names);
        int64_t revision = strtoll(text_at(list, "metadata.resourceVersion"), NULL, 10);
        assert_int_equal(revision == fixture.first, lists[i].exact);
    }
    assert_refused(call(h, "GET", url(h, "resourceVersion=0&resourceVersionMatch=Exact"), NULL),
                   422,
                   "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: "
                   "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
    assert_refused(call(h, "GET", MAPS "?resourceVersionMatch=Exact", NULL), 422,
                   "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: "
                   "resourceVersionMatch is forbidden unless resourceVersion is provided");
    Answer *future = call(h, "GET", url(h, "resourceVersion=@9"), NULL);
    const Value *cause = value_at(future->json, "details.causes")->items[0];
    assert_true(str_eq(value_string_at(cause, "reason"), STR("ResourceVersionTooLarge")));
    assert_int_equal(number_at(future, "details.retryAfterSeconds"), 1);
}

static Answer *next_page(Harness *h, const Answer *page, const char *more) {
    return call(h, "GET",
                arena_printf(h->arena, MAPS "?limit=1&continue=%s%s",
                             text_at(page, "metadata.continue"), more)
                    .ptr,
                NULL);
}

static void on_compacted(void *user, int error, const StoreResult *result) {
    assert_int_equal(error, 0);
}

static void test_expired_token(void **state) {
    Harness *h = fixture.h;
    Answer *page = call(h, "GET", MAPS "?limit=1", NULL);
    assert_string_equal(names(h, page), "a");
    assert_int_equal(number_at(page, "metadata.remainingItemCount"), 2);
    assert_refused(next_page(h, page, "&resourceVersion=5"), 400,
                   "specifying resource version is not allowed when using continue");
    assert_string_equal(names(h, next_page(h, page, "&resourceVersion=0")), "b");
    assert_status(call(h, "DELETE", MAPS "/b", NULL), 200);
    make(h, "d");
    assert_string_equal(names(h, next_page(h, page, "")), "b"); // of its revision still
    store_compact(h->store, fixture.last + 2, on_compacted, NULL);
    harness_run(h, NSEC_PER_MSEC);
    Answer *expired = next_page(h, page, "");
    assert_refused(expired, 410,
                   "The provided continue parameter is too old to display a consistent list "
                   "result. You can start a new list without the continue parameter, or use the "
                   "continue token in this response to retrieve the remainder of the results. "
                   "Continuing with the provided token results in an inconsistent list - objects "
                   "that were created, modified, or deleted between the time the first chunk was "
                   "returned and now may show up in the list.");
    assert_string_equal(text_at(expired, "reason"), "Expired");
    Answer *rest = next_page(h, expired, "");
    assert_status(rest, 200);
    assert_string_equal(names(h, rest), "c"); // b is gone by now
    rest = next_page(h, rest, "");
    assert_string_equal(names(h, rest), "d");
    assert_string_equal(text_at(rest, "metadata.continue"), "");
    Answer *old = call(h, "GET", url(h, "resourceVersion=@1&resourceVersionMatch=Exact"), NULL);
    assert_refused(old, 410, "The resourceVersion for the provided list is too old.");
}

static void test_bad_tokens(void **state) {
    Harness *h = fixture.h;
#define INVALID "invalid continue token: continue key is not valid"
    assert_non_null(
        strstr(text_at(call(h, "GET", MAPS "?continue=%25%25", NULL), "message"), INVALID ": "));
    // {"v":"v2","rv":1,"start":"a"}, {"v":"meta.k8s.io/v1","start":"a"}
    assert_refused(call(h, "GET", MAPS "?continue=eyJ2IjoidjIiLCJydiI6MSwic3RhcnQiOiJhIn0", NULL),
                   400, INVALID ": server does not recognize this encoded version v2");
    assert_refused(
        call(h, "GET", MAPS "?continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJzdGFydCI6ImEifQ", NULL), 400,
        INVALID ": incorrect encoded start resourceVersion (version meta.k8s.io/v1)");
}

// ---- watches

static Answer *watch(Harness *h, const char *query, HttpCall **ret_call) {
    Answer *answer =
        call_start(h, h->admin, "GET", url(h, arena_printf(h->arena, "watch=true&%s", query).ptr),
                   NULL, NULL, ret_call);
    harness_run(h, 10 * NSEC_PER_MSEC);
    return answer;
}

// "Aa Mb Dc": the first letter of each event's type and the object's name.
static const char *events(Harness *h, const Answer *answer) {
    Str text = STR(""), rest = answer->body;
    while (rest.ptr && rest.len) {
        Value *event;
        ParseError error;
        assert_int_equal(value_parse_json(h->arena, str_cut(&rest, '\n'), NULL, &event, &error), 0);
        text = arena_printf(h->arena, "%.*s%s%.1s%.*s", STR_ARG(text), text.len ? " " : "",
                            value_string_at(event, "type").ptr,
                            STR_ARG(value_string_at(event, "object.metadata.name")));
    }
    return arena_cstr(h->arena, text);
}

static void test_where_watches_begin(void **state) {
    Harness *h = fixture.h;
#define NOT_OLDER "&resourceVersionMatch=NotOlderThan"
    static const struct {
        const char *query, *events;
    } watches[] = {
        {"", "Aa Ab Ac"}, // synthetic events of what there is
        {"resourceVersion=0", "Aa Ab Ac"},
        {"resourceVersion=@1", "Ab Ac"},
        {"sendInitialEvents=true" NOT_OLDER, "Aa Ab Ac"},
        {"sendInitialEvents=true&allowWatchBookmarks=true" NOT_OLDER, "Aa Ab Ac B"},
        {"sendInitialEvents=true&allowWatchBookmarks=true&resourceVersion=@1" NOT_OLDER,
         "Aa Ab Ac B"},
        {"sendInitialEvents=false" NOT_OLDER, ""},
        {"sendInitialEvents=false&resourceVersion=0" NOT_OLDER, ""},
        {"sendInitialEvents=false&resourceVersion=@1" NOT_OLDER, "Ab Ac"},
        {"fieldSelector=metadata.name%3Db", "Ab"},
        {"fieldSelector=metadata.name!%3Db,metadata.namespace%3Ddefault", "Aa Ac"},
    };
    for (size_t i = 0; i < sizeof watches / sizeof *watches; i++) {
        HttpCall *call;
        Answer *answer = watch(h, watches[i].query, &call);
        assert_int_equal(answer->status, 200);
        assert_string_equal(events(h, answer), watches[i].events);
        http_call_cancel(call);
    }
    static const struct {
        const char *query, *message;
    } refused[] = {
        {"sendInitialEvents=true",
         "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: "
         "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"},
        {"resourceVersion=1&resourceVersionMatch=NotOlderThan",
         "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: "
         "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        assert_refused(call(h, "GET",
                            url(h, arena_printf(h->arena, "watch=1&%s", refused[i].query).ptr),
                            NULL),
                       422, refused[i].message);
    // What nobody has seen yet is waited for, three seconds.
    HttpCall *held;
    Answer *future = watch(
        h, "sendInitialEvents=true&allowWatchBookmarks=true&resourceVersion=@9" NOT_OLDER, &held);
    assert_false(future->done);
    harness_run(h, 4 * NSEC_PER_SEC);
    assert_status(future, 504);
    assert_int_equal(number_at(future, "details.retryAfterSeconds"), 1);
}

static void test_watch_ends(void **state) {
    Harness *h = fixture.h;
    HttpCall *call_;
    Answer *short_ = watch(h, "timeoutSeconds=5", &call_);
    harness_run(h, 4 * NSEC_PER_SEC);
    assert_false(short_->done);
    harness_run(h, 2 * NSEC_PER_SEC);
    assert_true(short_->done);
    assert_int_equal(short_->error, 0);
    // Without a timeout it ends between half an hour and an hour (--min-request-timeout).
    Answer *long_ = watch(h, "", &call_);
    harness_run(h, 1799 * NSEC_PER_SEC);
    assert_false(long_->done);
    harness_run(h, 1802 * NSEC_PER_SEC);
    assert_true(long_->done);
}

// apimachinery's pkg/labels/selector.go
static void test_selector_errors(void **state) {
    Harness *h = fixture.h;
    static const struct {
        const char *selector, *message;
    } bad[] = {
        {"a%20in", "unable to parse requirement: found '' expected: '('"},
        {"a%20in%20(b", "unable to parse requirement: found '', expected: ',' or ')'"},
        {"a%20like%20b", "unable to parse requirement: found 'like', expected: in, notin, =, ==, "
                         "!=, gt, lt"},
        {"a%3Db%3Dc", "found '=', expected: ',' or 'end of string'"},
        {"_a%3Db", "unable to parse requirement: <nil>: Invalid value: \"_a\": "},
        {"a%3D-b", "unable to parse requirement: values[0][a]: Invalid value: \"-b\": a valid "
                   "label must be an empty string or consist of alphanumeric characters"},
        {"a%3Eb", "for 'Gt', 'Lt' operators, the value must be an integer"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Answer *a = call(
            h, "GET", arena_printf(h->arena, MAPS "?labelSelector=%s", bad[i].selector).ptr, NULL);
        assert_status(a, 400);
        if (!strstr(text_at(a, "message"), bad[i].message))
            fail_msg("%s: %s", bad[i].selector, text_at(a, "message"));
        a = call(h, "GET",
                 arena_printf(h->arena, MAPS "?watch=1&labelSelector=%s", bad[i].selector).ptr,
                 NULL);
        assert_status(a, 400);
    }
    assert_status(
        call(h, "GET", MAPS "?labelSelector=a%20in%20(b,c),!d,e,f%20notin%20(),g!%3D1", NULL), 200);
    assert_status(call(h, "GET", MAPS "?fieldSelector=metadata.name", NULL), 400);
    assert_refused(call(h, "GET", MAPS "?fieldSelector=metadata.name%3Da,b", NULL), 400,
                   "invalid selector: 'metadata.name=a,b'; can't understand 'b'");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_versions_and_limits), T(test_expired_token), T(test_bad_tokens),
        T(test_where_watches_begin), T(test_watch_ends),    T(test_selector_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
