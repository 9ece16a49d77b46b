// Admission webhooks: who is asked about what, with which question, and what the answer does.
// Wording: apiserver's admission/plugin/webhook ({mutating,validating}/dispatcher.go,
// request/admissionreview.go, errors/statuserror.go), util/webhook/error.go.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "harness.h"
#include "schema/scalar.h"

#define MAPS "/api/v1/namespaces/default/configmaps"
#define MUTATING "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
#define VALIDATING "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"

#define MOST 64

// A webhook server; the path says how it answers.
typedef struct World {
    Harness *h;
    HttpClient *client;
    Arena *arena;
    Value *asked[MOST]; // AdmissionReviews, in order
    Str paths[MOST];
    size_t n;
    HttpRequest *hanging[8];
    size_t n_hanging;
    Str host; // that was connected to last
    uint16_t port;
} World;

static Str json(Arena *arena, const Value *value) {
    Buf buf = BUF_INIT(1024 * 1024);
    value_write_json(value, &buf);
    Str text = arena_str(arena, buf_view(&buf));
    buf_deinit(&buf);
    return text;
}

static Str patch_member(Arena *arena, const char *patch) {
    Str encoded = scalar_encode_base64(arena, str_from(patch));
    return arena_printf(arena, ",\"patchType\":\"JSONPatch\",\"patch\":\"%.*s\"",
                        STR_ARG(encoded));
}

// Adds a member to data; the value is how many members were there.
static Str add_member(Arena *arena, const Value *review, const char *name) {
    const Value *data = value_at(review, "request.object.data");
    return patch_member(arena, arena_printf(arena,
                                            "[{\"op\":\"add\",\"path\":\"/data/%s\","
                                            "\"value\":\"%u\"}]",
                                            name, data ? data->n : 0)
                                   .ptr);
}

static void answer(HttpRequest *http, Str text) {
    Bytes *body = bytes_new(text.ptr, text.len);
    http_respond(http, 200, STR("application/json"), body);
    bytes_unref(body);
}

static Str response_for(World *w, const Value *review, Str path) {
    static const struct {
        const char *path, *response;
    } fixed[] = {
        {"/allow", "\"allowed\":true"},
        {"/deny", "\"allowed\":false"},
        {"/deny-message", "\"allowed\":false,\"status\":{\"message\":\"no such thing\"}"},
        {"/deny-reason", "\"allowed\":false,\"status\":{\"reason\":\"Because\"}"},
        {"/deny-code",
         "\"allowed\":false,\"status\":{\"code\":403,\"reason\":\"Forbidden\",\"message\":\"m\"}"},
        {"/deny-200", "\"allowed\":false,\"status\":{\"code\":200,\"message\":\"m\"}"},
        {"/warn", "\"allowed\":true,\"warnings\":[\"one\",\"two\"]"},
        {"/untyped", "\"allowed\":true,\"patch\":\"W10=\""},
        {"/unpatched", "\"allowed\":true,\"patchType\":\"JSONPatch\""},
        {"/merge", "\"allowed\":true,\"patchType\":\"Merge\",\"patch\":\"W10=\""},
        {"/undecodable", "\"allowed\":true,\"patchType\":\"JSONPatch\",\"patch\":\"eHg=\""},
    };
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        if (str_eq(path, str_from(fixed[i].path)))
            return str_from(fixed[i].response);
    }
    Str patch = STR("");
    if (str_starts_with(path, STR("/add-")))
        patch = add_member(w->arena, review,
                           arena_cstr(w->arena, str_slice(path, 5, path.len)));
    else if (str_eq(path, STR("/label")))
        patch = patch_member(w->arena, "[{\"op\":\"add\",\"path\":\"/metadata/labels\",\"value\":"
                                       "{\"by\":\"webhook\"}}]");
    else if (str_eq(path, STR("/bad-pointer")))
        patch = patch_member(w->arena, "[{\"op\":\"remove\",\"path\":\"/data/none\"}]");
    else if (str_eq(path, STR("/bad-type")))
        patch = patch_member(w->arena, "[{\"op\":\"add\",\"path\":\"/data\",\"value\":7}]");
    else if (str_eq(path, STR("/sidecar")))
        patch = patch_member(w->arena,
                             "[{\"op\":\"add\",\"path\":\"/spec/containers/-\",\"value\":{\"name\":"
                             "\"side\",\"image\":\"s\"}}]");
    else
        fail_msg("unexpected path %.*s", STR_ARG(path));
    return arena_printf(w->arena, "\"allowed\":true%.*s", STR_ARG(patch));
}

static void on_close(HttpRequest *http, bool completed) {
    World *w = http->user;
    for (size_t i = 0; i < w->n_hanging; i++) {
        if (w->hanging[i] == http)
            w->hanging[i] = w->hanging[--w->n_hanging];
    }
}

static void serve(void *user, HttpRequest *http) {
    World *w = user;
    Value *review = NULL;
    ParseError error;
    Str body = arena_str(w->arena, http->body);
    Str path = arena_str(w->arena, http->path);
    assert_int_equal(value_parse_json(w->arena, body, NULL, &review, &error), 0);
    assert_true(w->n < MOST);
    w->paths[w->n] = path;
    w->asked[w->n++] = review;
    Str uid = value_string_at(review, "request.uid");
    Str version = value_string_at(review, "apiVersion");
    if (str_eq(path, STR("/hang"))) {
        w->hanging[w->n_hanging++] = http;
        http->user = w;
        http->on_close = on_close;
    } else if (str_eq(path, STR("/500"))) {
        http_respond(http, 500, STR_NONE, NULL);
    } else if (str_eq(path, STR("/garbage"))) {
        answer(http, STR("{"));
    } else if (str_eq(path, STR("/absent"))) {
        answer(http, STR("{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/v1\"}"));
    } else if (str_eq(path, STR("/huge"))) {
        Buf buf = BUF_INIT(5 * 1024 * 1024);
        for (int i = 0; i < 4 * 1024 * 1024; i++)
            buf_char(&buf, ' ');
        answer(http, buf_view(&buf));
        buf_deinit(&buf);
    } else if (str_eq(path, STR("/other-uid"))) {
        answer(http, STR("{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/v1\","
                         "\"response\":{\"uid\":\"x\",\"allowed\":true}}"));
    } else if (str_eq(path, STR("/other-version"))) {
        answer(http, arena_printf(w->arena,
                                  "{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/"
                                  "v1beta1\",\"response\":{\"uid\":\"%.*s\",\"allowed\":true}}",
                                  STR_ARG(uid)));
    } else {
        answer(http, arena_printf(w->arena,
                                  "{\"kind\":\"AdmissionReview\",\"apiVersion\":\"%.*s\","
                                  "\"response\":{\"uid\":\"%.*s\",%.*s}}",
                                  STR_ARG(version), STR_ARG(uid),
                                  STR_ARG(response_for(w, review, path))));
    }
}

static HttpClient *connect_to(void *user, Str host, uint16_t port) {
    World *w = user;
    w->host = arena_str(w->arena, host);
    w->port = port;
    return w->client;
}

static int setup(void **state) {
    World *w = memory_new(World);
    w->arena = arena_new();
    w->h = harness_new();
    HttpPeer peer = {.address = STR("@"), .local = true};
    w->client = http_client_new_local(w->h->loop, w->h->loop, serve, w, &peer);
    w->h->webhook_client = connect_to;
    w->h->webhook_client_user = w;
    harness_restart(w->h);
    assert_status(call(w->h, "POST", "/api/v1/namespaces/default/serviceaccounts",
                       "{\"metadata\":{\"name\":\"default\"},"
                       "\"automountServiceAccountToken\":false}"),
                  201);
    *state = w;
    return 0;
}

static int teardown(void **state) {
    World *w = *state;
    harness_run(w->h, NSEC_PER_MSEC);
    assert_int_equal(w->n_hanging, 0);
    http_client_free(w->client);
    harness_free(w->h);
    arena_free(w->arena);
    free(w);
    return 0;
}

static const char rules_config_maps[] =
    "[{\"operations\":[\"CREATE\",\"UPDATE\"],\"apiGroups\":[\"\"],\"apiVersions\":[\"v1\"],"
    "\"resources\":[\"configmaps\"]}]";

static Str webhook(Arena *arena, const char *name, const char *path, const char *rules,
                   const char *more) {
    return arena_printf(arena,
                        "{\"name\":\"%s.example.com\",\"clientConfig\":{\"url\":"
                        "\"https://hook.example.com%s\"},\"sideEffects\":\"None\","
                        "\"admissionReviewVersions\":[\"v1\"],\"rules\":%s%s}",
                        name, path, rules, more);
}

// A configuration with one webhook; its name is the path's.
static void configure(World *w, const char *collection, const char *path, const char *rules,
                      const char *more) {
    Str hook = webhook(w->arena, path + 1, path, rules, more);
    Str body = arena_printf(w->arena, "{\"metadata\":{\"name\":\"%s\"},\"webhooks\":[%.*s]}",
                            path + 1, STR_ARG(hook));
    assert_status(call(w->h, "POST", collection, body.ptr), 201);
    w->n = 0;
}

static Answer *make_map(World *w) {
    return call(w->h, "POST", MAPS,
                "{\"metadata\":{\"name\":\"m\",\"labels\":{\"a\":\"b\"}},\"data\":{\"k\":\"v\"}}");
}

// ---- the question

static void test_question(void **state) {
    World *w = *state;
    configure(w, VALIDATING, "/allow", rules_config_maps, "");
    assert_status(make_map(w), 201);
    assert_int_equal(w->n, 1);
    const Value *review = w->asked[0], *request = value_get(review, STR("request"));
    static const char *const expected[][2] = {
        {"kind.group", ""},
        {"kind.version", "v1"},
        {"kind.kind", "ConfigMap"},
        {"resource.group", ""},
        {"resource.version", "v1"},
        {"resource.resource", "configmaps"},
        {"requestKind.kind", "ConfigMap"},
        {"requestResource.resource", "configmaps"},
        {"name", "m"},
        {"namespace", "default"},
        {"operation", "CREATE"},
        {"userInfo.username", "admin"},
        {"object.kind", "ConfigMap"},
        {"object.apiVersion", "v1"},
        {"object.data.k", "v"},
        {"options.kind", "CreateOptions"},
        {"options.apiVersion", "meta.k8s.io/v1"},
    };
    assert_true(str_eq(value_string_at(review, "kind"), STR("AdmissionReview")));
    assert_true(str_eq(value_string_at(review, "apiVersion"), STR("admission.k8s.io/v1")));
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        Str got = value_string_at(request, expected[i][0]);
        if (!got.ptr || !str_eq(got, str_from(expected[i][1])))
            fail_msg("%s is \"%.*s\"", expected[i][0], STR_ARG(got));
    }
    assert_int_equal(value_string_at(request, "uid").len, 36);
    assert_int_equal(value_get(request, STR("oldObject"))->kind, VALUE_NULL);
    assert_false(value_bool_at(request, "dryRun", true));
    assert_int_equal(value_string_at(request, "object.metadata.uid").len, 36);
    assert_null(value_get(request, STR("subResource")));

    assert_status(call_patch(w->h, "merge", MAPS "/m?fieldManager=me",
                             "{\"data\":{\"k\":\"w\"}}"),
                  200);
    request = value_get(w->asked[1], STR("request"));
    assert_true(str_eq(value_string_at(request, "operation"), STR("UPDATE")));
    assert_true(str_eq(value_string_at(request, "oldObject.data.k"), STR("v")));
    assert_true(str_eq(value_string_at(request, "object.data.k"), STR("w")));
    assert_true(str_eq(value_string_at(request, "options.kind"), STR("UpdateOptions")));
    assert_true(str_eq(value_string_at(request, "options.fieldManager"), STR("me")));
}

static void test_dry_run(void **state) {
    World *w = *state;
    configure(w, VALIDATING, "/allow", rules_config_maps, "");
    assert_status(call(w->h, "POST", MAPS "?dryRun=All", "{\"metadata\":{\"name\":\"m\"}}"), 201);
    assert_true(value_bool_at(w->asked[0], "request.dryRun", false));
    assert_int_equal(value_at(w->asked[0], "request.options.dryRun")->n, 1);
}

static void test_delete_and_connect(void **state) {
    World *w = *state;
    configure(w, VALIDATING, "/deny",
              "[{\"operations\":[\"DELETE\",\"CONNECT\"],\"apiGroups\":[\"*\"],\"apiVersions\":"
              "[\"*\"],\"resources\":[\"*/*\"]}]",
              "");
    assert_status(make_map(w), 201);
    const char *text = "admission webhook \"deny.example.com\" denied the request without "
                       "explanation";
    assert_refused(call(w->h, "DELETE", MAPS "/m?gracePeriodSeconds=5", NULL), 400, text);
    const Value *request = value_get(w->asked[0], STR("request"));
    assert_true(str_eq(value_string_at(request, "operation"), STR("DELETE")));
    assert_true(str_eq(value_string_at(request, "oldObject.metadata.name"), STR("m")));
    assert_int_equal(value_get(request, STR("object"))->kind, VALUE_NULL);
    assert_true(str_eq(value_string_at(request, "options.kind"), STR("DeleteOptions")));
    assert_int_equal(value_int_at(request, "options.gracePeriodSeconds", 0), 5);
    assert_status(call(w->h, "DELETE", MAPS, NULL), 400); // of a collection, each is judged

    w->n = 0;
    assert_refused(call(w->h, "POST",
                        "/api/v1/namespaces/default/pods/p/exec?command=sh&command=-c&stdin=true"
                        "&container=c",
                        NULL),
                   400, text);
    request = value_get(w->asked[0], STR("request"));
    assert_true(str_eq(value_string_at(request, "operation"), STR("CONNECT")));
    assert_true(str_eq(value_string_at(request, "subResource"), STR("exec")));
    assert_true(str_eq(value_string_at(request, "kind.kind"), STR("PodExecOptions")));
    assert_true(str_eq(value_string_at(request, "object.kind"), STR("PodExecOptions")));
    assert_true(str_eq(value_string_at(request, "object.container"), STR("c")));
    assert_true(value_bool_at(request, "object.stdin", false));
    assert_true(str_eq(json(w->arena, value_at(request, "object.command")), STR("[\"sh\",\"-c\"]")));
    assert_int_equal(value_get(request, STR("options"))->kind, VALUE_NULL);
}

static void test_subresources(void **state) {
    World *w = *state;
    const char *pod = "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"c\","
                      "\"image\":\"i\"}]}}";
    assert_status(call(w->h, "POST", "/api/v1/namespaces/default/pods", pod), 201);
    configure(w, VALIDATING, "/deny",
              "[{\"operations\":[\"*\"],\"apiGroups\":[\"\"],\"apiVersions\":[\"v1\"],"
              "\"resources\":[\"pods/eviction\",\"pods/status\"]}]",
              "");
    assert_status(call_patch(w->h, "merge", "/api/v1/namespaces/default/pods/p",
                             "{\"metadata\":{\"labels\":{\"x\":\"y\"}}}"),
                  200);
    assert_int_equal(w->n, 0);
    assert_status(call(w->h, "POST", "/api/v1/namespaces/default/pods/p/eviction",
                       "{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\",\"metadata\":{\"name\":"
                       "\"p\"}}"),
                  400);
    const Value *request = value_get(w->asked[0], STR("request"));
    assert_true(str_eq(value_string_at(request, "operation"), STR("CREATE")));
    assert_true(str_eq(value_string_at(request, "kind.group"), STR("policy")));
    assert_true(str_eq(value_string_at(request, "kind.kind"), STR("Eviction")));
    assert_true(str_eq(value_string_at(request, "resource.resource"), STR("pods")));
    assert_true(str_eq(value_string_at(request, "subResource"), STR("eviction")));
    assert_status(call_patch(w->h, "merge", "/api/v1/namespaces/default/pods/p/status",
                             "{\"status\":{\"phase\":\"Running\"}}"),
                  400);
    request = value_get(w->asked[1], STR("request"));
    assert_true(str_eq(value_string_at(request, "kind.kind"), STR("Pod")));
    assert_true(str_eq(value_string_at(request, "subResource"), STR("status")));
}

// ---- who is asked

static void test_rules(void **state) {
    static const struct {
        const char *rules, *more;
        bool asked;
    } cases[] = {
        {"[]", "", false},
        {"[{\"operations\":[\"UPDATE\"],\"apiGroups\":[\"\"],\"apiVersions\":[\"v1\"],"
         "\"resources\":[\"configmaps\"]}]",
         "", false},
        {"[{\"operations\":[\"*\"],\"apiGroups\":[\"*\"],\"apiVersions\":[\"*\"],\"resources\":"
         "[\"*\"]}]",
         "", true},
        {"[{\"operations\":[\"*\"],\"apiGroups\":[\"*\"],\"apiVersions\":[\"*\"],\"resources\":"
         "[\"*/*\"]}]",
         "", true},
        {"[{\"operations\":[\"*\"],\"apiGroups\":[\"apps\"],\"apiVersions\":[\"*\"],\"resources\":"
         "[\"*\"]}]",
         "", false},
        {"[{\"operations\":[\"*\"],\"apiGroups\":[\"\"],\"apiVersions\":[\"v2\"],\"resources\":"
         "[\"*\"]}]",
         "", false},
        {"[{\"operations\":[\"*\"],\"apiGroups\":[\"\"],\"apiVersions\":[\"v1\"],\"resources\":"
         "[\"configmaps/status\"]}]",
         "", false},
        {"[{\"operations\":[\"*\"],\"apiGroups\":[\"\"],\"apiVersions\":[\"v1\"],\"resources\":"
         "[\"configmaps/*\"]}]",
         "", true},
        {"[{\"operations\":[\"*\"],\"apiGroups\":[\"\"],\"apiVersions\":[\"v1\"],\"resources\":"
         "[\"*\"],\"scope\":\"Namespaced\"}]",
         "", true},
        {"[{\"operations\":[\"*\"],\"apiGroups\":[\"\"],\"apiVersions\":[\"v1\"],\"resources\":"
         "[\"*\"],\"scope\":\"Cluster\"}]",
         "", false},
        {rules_config_maps, ",\"objectSelector\":{\"matchLabels\":{\"a\":\"b\"}}", true},
        {rules_config_maps, ",\"objectSelector\":{\"matchLabels\":{\"a\":\"c\"}}", false},
        {rules_config_maps,
         ",\"namespaceSelector\":{\"matchLabels\":{\"kubernetes.io/metadata.name\":\"default\"}}",
         true},
        {rules_config_maps, ",\"namespaceSelector\":{\"matchLabels\":{\"x\":\"y\"}}", false},
    };
    World *w = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        configure(w, VALIDATING, "/allow", cases[i].rules, cases[i].more);
        assert_status(call(w->h, "POST", MAPS "?dryRun=All",
                           "{\"metadata\":{\"name\":\"m\",\"labels\":{\"a\":\"b\"}}}"),
                      201);
        if (w->n != cases[i].asked)
            fail_msg("case %zu: asked %zu times", i, w->n);
        assert_status(call(w->h, "DELETE", VALIDATING "/allow", NULL), 200);
    }
}

static void test_namespaces_by_their_own_labels(void **state) {
    World *w = *state;
    configure(w, VALIDATING, "/deny",
              "[{\"operations\":[\"CREATE\"],\"apiGroups\":[\"\"],\"apiVersions\":[\"v1\"],"
              "\"resources\":[\"namespaces\"],\"scope\":\"Cluster\"}]",
              ",\"namespaceSelector\":{\"matchLabels\":{\"strict\":\"yes\"}}");
    assert_status(call(w->h, "POST", "/api/v1/namespaces", "{\"metadata\":{\"name\":\"a\"}}"), 201);
    assert_status(call(w->h, "POST", "/api/v1/namespaces",
                       "{\"metadata\":{\"name\":\"b\",\"labels\":{\"strict\":\"yes\"}}}"),
                  400);
}

// An old label counts as well as a new one.
static void test_object_selector_sees_both(void **state) {
    World *w = *state;
    assert_status(make_map(w), 201);
    configure(w, VALIDATING, "/deny", rules_config_maps,
              ",\"objectSelector\":{\"matchLabels\":{\"a\":\"b\"}}");
    assert_status(call_patch(w->h, "merge", MAPS "/m", "{\"metadata\":{\"labels\":{\"a\":null}}}"),
                  400);
}

static void test_equivalent_versions(void **state) {
    World *w = *state;
    const char *event =
        "{\"apiVersion\":\"events.k8s.io/v1\",\"kind\":\"Event\",\"metadata\":{\"name\":\"e\","
        "\"namespace\":\"default\"},\"eventTime\":\"2026-01-01T00:00:00.000000Z\",\"type\":"
        "\"Normal\",\"reason\":\"R\",\"action\":\"A\",\"note\":\"hello\",\"reportingController\":"
        "\"c/c\",\"reportingInstance\":\"i\",\"regarding\":{\"kind\":\"Pod\",\"namespace\":"
        "\"default\",\"name\":\"p\"}}";
    const char *rules = "[{\"operations\":[\"CREATE\"],\"apiGroups\":[\"\"],\"apiVersions\":[\"v1\"],"
                        "\"resources\":[\"events\"]}]";
    const char *events = "/apis/events.k8s.io/v1/namespaces/default/events?dryRun=All";
    configure(w, VALIDATING, "/allow", rules, ",\"matchPolicy\":\"Exact\"");
    assert_status(call(w->h, "POST", events, event), 201);
    assert_int_equal(w->n, 0);
    assert_status(call(w->h, "DELETE", VALIDATING "/allow", NULL), 200);
    configure(w, VALIDATING, "/allow", rules, "");
    assert_status(call(w->h, "POST", events, event), 201);
    assert_int_equal(w->n, 1);
    const Value *request = value_get(w->asked[0], STR("request"));
    assert_true(str_eq(value_string_at(request, "resource.group"), STR("")));
    assert_true(str_eq(value_string_at(request, "requestResource.group"), STR("events.k8s.io")));
    assert_true(str_eq(value_string_at(request, "object.apiVersion"), STR("v1")));
    assert_true(str_eq(value_string_at(request, "object.message"), STR("hello")));
    assert_true(str_eq(value_string_at(request, "object.involvedObject.name"), STR("p")));
}

static void test_never_about_webhooks(void **state) {
    World *w = *state;
    const char *everything = "[{\"operations\":[\"*\"],\"apiGroups\":[\"*\"],\"apiVersions\":"
                             "[\"*\"],\"resources\":[\"*/*\"]}]";
    configure(w, VALIDATING, "/deny", everything, "");
    configure(w, MUTATING, "/label", everything, "");
    Answer *made = call(w->h, "GET", MUTATING "/label", NULL);
    assert_null(value_at(made->json, "metadata.labels"));
    assert_status(make_map(w), 400);
    assert_status(call(w->h, "DELETE", VALIDATING "/deny", NULL), 200);
    assert_status(call(w->h, "DELETE", MUTATING "/label", NULL), 200);
    assert_status(make_map(w), 201);
}

// ---- refusals

static void test_denials(void **state) {
    static const struct {
        const char *path;
        int code;
        const char *reason, *message;
    } cases[] = {
        {"/deny", 400, "", "admission webhook \"deny.example.com\" denied the request without "
                           "explanation"},
        {"/deny-message", 400, "",
         "admission webhook \"deny-message.example.com\" denied the request: no such thing"},
        {"/deny-reason", 400, "Because",
         "admission webhook \"deny-reason.example.com\" denied the request: Because"},
        {"/deny-code", 403, "Forbidden",
         "admission webhook \"deny-code.example.com\" denied the request: m"},
        {"/deny-200", 400, "", "admission webhook \"deny-200.example.com\" denied the request: m"},
    };
    World *w = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int mutating = 0; mutating < 2; mutating++) {
            const char *collection = mutating ? MUTATING : VALIDATING;
            configure(w, collection, cases[i].path, rules_config_maps, "");
            Answer *made = make_map(w);
            assert_refused(made, cases[i].code, cases[i].message);
            assert_string_equal(text_at(made, "reason"), cases[i].reason);
            Str target = arena_printf(w->arena, "%s%s", collection, cases[i].path);
            assert_status(call(w->h, "DELETE", target.ptr, NULL), 200);
        }
    }
}

static void test_failures(void **state) {
#define FAILED(name, why) "Internal error occurred: failed calling webhook \"" name ".example.com\": " why
    static const struct {
        bool mutating;
        const char *path, *message;
    } cases[] = {
        {false, "/500",
         FAILED("500", "failed to call webhook: an error on the server (\"\") has prevented the "
                       "request from succeeding")},
        {false, "/absent",
         FAILED("absent", "received invalid webhook response: webhook response was absent")},
        {false, "/other-version",
         FAILED("other-version",
                "received invalid webhook response: expected webhook response of "
                "admission.k8s.io/v1, Kind=AdmissionReview, got admission.k8s.io/v1beta1, "
                "Kind=AdmissionReview")},
        {false, "/untyped", FAILED("untyped", "received invalid webhook response: validating webhook may "
                                       "not return response.patch")},
        {false, "/unpatched", FAILED("unpatched", "received invalid webhook response: validating webhook "
                                           "may not return response.patchType")},
        {true, "/untyped",
         FAILED("untyped", "received invalid webhook response: webhook returned response.patch but "
                           "not response.patchType")},
        {true, "/unpatched",
         FAILED("unpatched", "received invalid webhook response: webhook returned "
                             "response.patchType but not response.patch")},
        {true, "/merge", FAILED("merge", "unsupported patch type \"Merge\"")},
        {false, "/huge", FAILED("huge", "failed to call webhook: Post "
                                 "\"https://hook.example.com/huge?timeout=10s\": the answer is too "
                                 "long")},
    };
    World *w = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *collection = cases[i].mutating ? MUTATING : VALIDATING;
        Str target = arena_printf(w->arena, "%s%s", collection, cases[i].path);
        configure(w, collection, cases[i].path, rules_config_maps, "");
        assert_refused(make_map(w), 500, cases[i].message);
        assert_status(call(w->h, "DELETE", target.ptr, NULL), 200);
        configure(w, collection, cases[i].path, rules_config_maps,
                  ",\"failurePolicy\":\"Ignore\"");
        assert_status(make_map(w), 201);
        assert_status(call(w->h, "DELETE", MAPS "/m", NULL), 200);
        assert_status(call(w->h, "DELETE", target.ptr, NULL), 200);
    }
    configure(w, VALIDATING, "/garbage", rules_config_maps, "");
    Answer *made = make_map(w);
    assert_status(made, 500);
    assert_non_null(strstr(text_at(made, "message"),
                           "failed calling webhook \"garbage.example.com\": failed to call "
                           "webhook: "));
    assert_status(call(w->h, "DELETE", VALIDATING "/garbage", NULL), 200);
    configure(w, VALIDATING, "/other-uid", rules_config_maps, "");
    made = make_map(w);
    assert_status(made, 500);
    assert_non_null(strstr(text_at(made, "message"), "expected response.uid=\""));
    assert_non_null(strstr(text_at(made, "message"), ", got \"x\""));
}

static void test_time_limit(void **state) {
    World *w = *state;
    configure(w, VALIDATING, "/hang", rules_config_maps, ",\"timeoutSeconds\":2");
    int64_t began = loop_now(w->h->loop);
    assert_refused(make_map(w), 500,
                   "Internal error occurred: failed calling webhook \"hang.example.com\": failed to "
                   "call webhook: Post \"https://hook.example.com/hang?timeout=2s\": context "
                   "deadline exceeded");
    int64_t took = loop_now(w->h->loop) - began;
    assert_true(took >= 2 * NSEC_PER_SEC && took < 3 * NSEC_PER_SEC);
}

// The client goes away while a webhook thinks: nothing is written, nothing is left.
static void test_client_goes_away(void **state) {
    World *w = *state;
    configure(w, VALIDATING, "/hang", rules_config_maps, "");
    HttpCall *waiting;
    call_start(w->h, w->h->admin, "POST", MAPS, "{\"metadata\":{\"name\":\"gone\"}}", NULL,
               &waiting);
    harness_run(w->h, NSEC_PER_MSEC);
    assert_int_equal(w->n, 1);
    http_call_cancel(waiting);
    harness_run(w->h, 20 * NSEC_PER_SEC);
    assert_status(call(w->h, "DELETE", VALIDATING "/hang", NULL), 200);
    assert_status(call(w->h, "GET", MAPS "/gone", NULL), 404);
}

// The configuration goes while its webhook is asked: the answer still counts.
static void test_configuration_goes_away(void **state) {
    World *w = *state;
    configure(w, VALIDATING, "/hang", rules_config_maps, "");
    HttpCall *waiting;
    Answer *made = call_start(w->h, w->h->admin, "POST", MAPS, "{\"metadata\":{\"name\":\"m\"}}",
                              NULL, &waiting);
    harness_run(w->h, NSEC_PER_MSEC);
    assert_status(call(w->h, "DELETE", VALIDATING "/hang", NULL), 200);
    assert_false(made->done);
    answer(w->hanging[0],
           arena_printf(w->arena,
                        "{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/v1\","
                        "\"response\":{\"uid\":\"%.*s\",\"allowed\":true}}",
                        STR_ARG(value_string_at(w->asked[0], "request.uid"))));
    harness_run(w->h, NSEC_PER_SEC);
    assert_true(made->done);
    assert_status(made, 201);
}

static void test_warnings(void **state) {
    World *w = *state;
    configure(w, VALIDATING, "/warn", rules_config_maps, "");
    Answer *made = make_map(w);
    assert_status(made, 201);
    assert_string_equal(arena_cstr(w->arena, made->warnings), "299 - \"one\"\n299 - \"two\"\n");
}

// ---- mutation

static void test_order_and_effect(void **state) {
    World *w = *state;
    configure(w, MUTATING, "/add-b", rules_config_maps, "");
    configure(w, MUTATING, "/add-a", rules_config_maps, "");
    configure(w, VALIDATING, "/allow", rules_config_maps, "");
    Answer *made = make_map(w);
    assert_status(made, 201);
    // In the order of the configurations' names, each seeing what was done before; then validation.
    assert_int_equal(w->n, 3);
    assert_true(str_eq(w->paths[0], STR("/add-a")));
    assert_true(str_eq(w->paths[1], STR("/add-b")));
    assert_string_equal(text_at(made, "data.a"), "1");
    assert_string_equal(text_at(made, "data.b"), "2");
    assert_true(str_eq(value_string_at(w->asked[2], "request.object.data.b"), STR("2")));
    assert_string_equal(text_at(call(w->h, "GET", MAPS "/m", NULL), "data.b"), "2");
}

static void test_reinvocation(void **state) {
    World *w = *state;
    configure(w, MUTATING, "/add-a", rules_config_maps, ",\"reinvocationPolicy\":\"IfNeeded\"");
    configure(w, MUTATING, "/add-b", rules_config_maps, ",\"reinvocationPolicy\":\"IfNeeded\"");
    configure(w, MUTATING, "/add-c", rules_config_maps, "");
    Answer *made = make_map(w);
    assert_status(made, 201);
    // a and b once more, since others changed the object after them; c not, and there is no third
    // round.
    static const char *const order[] = {"/add-a", "/add-b", "/add-c", "/add-a", "/add-b"};
    assert_int_equal(w->n, 5);
    for (size_t i = 0; i < 5; i++)
        assert_true(str_eq(w->paths[i], str_from(order[i])));
    assert_string_equal(text_at(made, "data.a"), "4");
}

static void test_nothing_changed_nobody_asked_again(void **state) {
    World *w = *state;
    configure(w, MUTATING, "/allow", rules_config_maps, ",\"reinvocationPolicy\":\"IfNeeded\"");
    configure(w, MUTATING, "/warn", rules_config_maps, "");
    assert_status(make_map(w), 201);
    assert_int_equal(w->n, 2);
}

static void test_patched_pods_get_defaults(void **state) {
    World *w = *state;
    configure(w, MUTATING, "/sidecar",
              "[{\"operations\":[\"CREATE\"],\"apiGroups\":[\"\"],\"apiVersions\":[\"v1\"],"
              "\"resources\":[\"pods\"]}]",
              "");
    Answer *made = call(w->h, "POST", "/api/v1/namespaces/default/pods",
                        "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"c\","
                        "\"image\":\"i\"}]}}");
    assert_status(made, 201);
    const Value *side = value_at(made->json, "spec.containers")->items[1];
    assert_true(str_eq(value_string_at(side, "imagePullPolicy"), STR("Always")));
    assert_true(
        str_eq(value_string_at(side, "terminationMessagePath"), STR("/dev/termination-log")));
}

static void test_bad_patches(void **state) {
    World *w = *state;
    static const char *const paths[] = {"/bad-pointer", "/bad-type", "/undecodable"};
    for (size_t i = 0; i < 3; i++) {
        configure(w, MUTATING, paths[i], rules_config_maps, "");
        Answer *made = make_map(w);
        assert_status(made, 500);
        assert_string_equal(text_at(made, "reason"), "InternalError");
        assert_status(
            call(w->h, "DELETE", arena_printf(w->arena, "%s%s", MUTATING, paths[i]).ptr, NULL),
            200);
    }
    assert_status(make_map(w), 201);
    configure(w, MUTATING, "/label",
              "[{\"operations\":[\"DELETE\"],\"apiGroups\":[\"\"],\"apiVersions\":[\"v1\"],"
              "\"resources\":[\"configmaps\"]}]",
              "");
    assert_refused(call(w->h, "DELETE", MAPS "/m", NULL), 500,
                   "Internal error occurred: admission webhook \"label.example.com\" attempted to "
                   "modify the object, which is not supported for this operation");
}

// The first refusal in order counts, whoever answers first.
static void test_several_validate(void **state) {
    World *w = *state;
    configure(w, VALIDATING, "/deny-message", rules_config_maps, "");
    configure(w, VALIDATING, "/deny-code", rules_config_maps, "");
    configure(w, VALIDATING, "/allow", rules_config_maps, "");
    assert_status(make_map(w), 403);
    assert_int_equal(w->n, 3);
}

// ---- where it is

static void test_service(void **state) {
    World *w = *state;
    Str body = arena_printf(
        w->arena,
        "{\"metadata\":{\"name\":\"s\"},\"webhooks\":[{\"name\":\"s.example.com\",\"clientConfig\":{"
        "\"service\":{\"namespace\":\"default\",\"name\":\"hook\",\"path\":\"/deny\",\"port\":8443}"
        "},\"sideEffects\":\"None\",\"admissionReviewVersions\":[\"v1\"],\"rules\":%s}]}",
        rules_config_maps);
    assert_status(call(w->h, "POST", VALIDATING, body.ptr), 201);
#define SERVICE(why)                                                                               \
    "Internal error occurred: failed calling webhook \"s.example.com\": failed to call webhook: "  \
    "Post \"https://hook.default.svc:8443/deny?timeout=10s\": " why
    assert_refused(make_map(w), 500, SERVICE("service \"hook\" not found"));
    assert_status(call(w->h, "POST", "/api/v1/namespaces/default/services",
                       "{\"metadata\":{\"name\":\"hook\"},\"spec\":{\"ports\":[{\"name\":\"web\","
                       "\"port\":443}]}}"),
                  201);
    assert_refused(make_map(w), 500, SERVICE("no service port 8443 found for service \"hook\""));
    assert_status(call_patch(w->h, "merge", "/api/v1/namespaces/default/services/hook",
                             "{\"spec\":{\"ports\":[{\"name\":\"web\",\"port\":8443}]}}"),
                  200);
    assert_refused(make_map(w), 500, SERVICE("endpoints \"hook\" not found"));
    assert_status(call(w->h, "POST", "/api/v1/namespaces/default/endpoints",
                       "{\"metadata\":{\"name\":\"hook\"},\"subsets\":[{\"notReadyAddresses\":[{"
                       "\"ip\":\"10.1.2.3\"}],\"ports\":[{\"name\":\"web\",\"port\":9443}]}]}"),
                  201);
    assert_refused(make_map(w), 500, SERVICE("no endpoints available for service \"hook\""));
    assert_status(call(w->h, "PUT", "/api/v1/namespaces/default/endpoints/hook",
                       "{\"metadata\":{\"name\":\"hook\"},\"subsets\":[{\"addresses\":[{\"ip\":"
                       "\"10.1.2.4\"}],\"ports\":[{\"name\":\"other\",\"port\":1},{\"name\":\"web\","
                       "\"port\":9443}]}]}"),
                  200);
    assert_status(make_map(w), 400);
    assert_true(str_eq(w->host, STR("10.1.2.4")));
    assert_int_equal(w->port, 9443);
}

static void test_v1beta1(void **state) {
    World *w = *state;
    Str body = arena_printf(
        w->arena,
        "{\"metadata\":{\"name\":\"s\"},\"webhooks\":[{\"name\":\"s.example.com\",\"clientConfig\":{"
        "\"url\":\"https://[::1]:444/add-x\"},\"sideEffects\":\"NoneOnDryRun\","
        "\"admissionReviewVersions\":[\"v7\",\"v1beta1\",\"v1\"],\"rules\":%s}]}",
        rules_config_maps);
    assert_status(call(w->h, "POST", MUTATING, body.ptr), 201);
    Answer *made = make_map(w);
    assert_status(made, 201);
    assert_string_equal(text_at(made, "data.x"), "1");
    assert_true(str_eq(value_string_at(w->asked[0], "apiVersion"),
                       STR("admission.k8s.io/v1beta1")));
    assert_true(str_eq(w->host, STR("::1")));
    assert_int_equal(w->port, 444);
}

// After a restart they are there from the first request on.
static void test_restart(void **state) {
    World *w = *state;
    configure(w, VALIDATING, "/deny", rules_config_maps, "");
    harness_restart(w->h);
    assert_status(make_map(w), 400);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_question),
        T(test_dry_run),
        T(test_delete_and_connect),
        T(test_subresources),
        T(test_rules),
        T(test_namespaces_by_their_own_labels),
        T(test_object_selector_sees_both),
        T(test_equivalent_versions),
        T(test_never_about_webhooks),
        T(test_denials),
        T(test_failures),
        T(test_time_limit),
        T(test_client_goes_away),
        T(test_configuration_goes_away),
        T(test_warnings),
        T(test_order_and_effect),
        T(test_reinvocation),
        T(test_nothing_changed_nobody_asked_again),
        T(test_patched_pods_get_defaults),
        T(test_bad_patches),
        T(test_several_validate),
        T(test_service),
        T(test_v1beta1),
        T(test_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
