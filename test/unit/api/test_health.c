// Health checks, and what every cluster has besides roles.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "harness.h"

static int setup(void **state) {
    *state = harness_new();
    return 0;
}

static int teardown(void **state) {
    harness_free(*state);
    return 0;
}

static void assert_text(Answer *a, int status, const char *text) {
    assert_status(a, status);
    assert_true(str_eq(a->body, str_from(text)));
    assert_true(str_eq(a->content_type, STR("text/plain; charset=utf-8")));
}

// Texts: apiserver's pkg/server/healthz/healthz.go
static void test_health(void **state) {
    Harness *h = *state;
    static const char *const short_[] = {"/healthz",      "/livez",      "/readyz",
                                         "/healthz/ping", "/livez/ping", "/readyz/ping",
                                         "/healthz/etcd", "/livez/etcd", "/readyz/etcd"};
    for (size_t i = 0; i < sizeof short_ / sizeof *short_; i++)
        assert_text(call(h, "GET", short_[i], NULL), 200, "ok");
    assert_text(call(h, "GET", "/readyz/poststarthook/rbac/bootstrap-roles", NULL), 200, "ok");
    assert_text(call(h, "GET", "/livez?verbose", NULL), 200,
                "[+]ping ok\n[+]etcd ok\nlivez check passed\n");
    assert_text(call(h, "GET", "/readyz?verbose=true&exclude=etcd&exclude=foo&exclude=bar", NULL),
                200,
                "[+]ping ok\n[+]etcd excluded: ok\n[+]poststarthook/rbac/bootstrap-roles ok\n"
                "[+]informer-sync ok\n[+]shutdown ok\n"
                "warn: some health checks cannot be excluded: no matches for \"foo\",\"bar\"\n"
                "readyz check passed\n");
    assert_status(call(h, "GET", "/livez/shutdown", NULL), 404);
    assert_status(call(h, "GET", "/readyz/nothing", NULL), 404);
    assert_status(call(h, "POST", "/readyz", NULL), 405);
}

static void ignore(void *user) {}

// A server that has not finished its start lives, and is not ready.
static void test_not_ready(void **state) {
    Harness *h = *state;
    Loop *loop = loop_new_simulated(1, 1790000000LL * NSEC_PER_SEC);
    Store *store = store_memory_new(loop);
    ApiConfig config = {.loop = loop,
                        .store = store,
                        .service_cidr = STR("10.43.0.0/24"),
                        .cluster_dns = STR("10.43.0.10"),
                        .advertise_address = STR("192.0.2.1"),
                        .advertise_port = 6443};
    Harness other = {.loop = loop, .arena = h->arena};
    assert_int_equal(api_new(&config, NULL, NULL, &other.api), 0);
    HttpClient *client = harness_client(&other, "admin", "system:masters");
    static const char *const targets[] = {"/livez", "/readyz", "/readyz/shutdown",
                                          "/readyz/poststarthook/rbac/bootstrap-roles"};
    Answer *answers[4];
    for (int i = 0; i < 4; i++)
        answers[i] = call_start(&other, client, "GET", targets[i], NULL, NULL, NULL);
    for (int i = 0; i < 10 && !answers[3]->done; i++)
        assert_int_equal(loop_run_until(loop, loop_now(loop) + 1), 0);
    assert_text(answers[0], 200, "ok");
    assert_status(answers[1], 500);
    assert_non_null(strstr(answers[1]->body.ptr,
                           "[-]poststarthook/rbac/bootstrap-roles failed: reason withheld\n"));
    assert_text(answers[2], 200, "ok");
    assert_text(answers[3], 500, "internal server error: not finished\n");
    http_client_free(client);
    api_free(other.api);
    store_close(store, ignore, NULL);
    assert_int_equal(loop_run_until(loop, loop_now(loop) + NSEC_PER_SEC), 0);
    loop_free(loop);
}

// Names and labels: apiserver's pkg/endpoints/metrics/metrics.go
static void test_metrics(void **state) {
    Harness *h = *state;
    const char *maps = "/api/v1/namespaces/default/configmaps";
    assert_status(call(h, "POST", maps, "{\"metadata\":{\"name\":\"a\"}}"), 201);
    assert_status(call(h, "GET", "/api/v1/namespaces/default/configmaps/none", NULL), 404);
    assert_status(call(h, "GET", "/apis/apps/v1/deployments", NULL), 200);
    Answer *a = call(h, "GET", "/metrics", NULL);
    assert_status(a, 200);
    static const char *const lines[] = {
        "# TYPE apiserver_request_total counter\n",
        "# TYPE apiserver_request_duration_seconds histogram\n",
        "\napiserver_request_total{verb=\"POST\",dry_run=\"\",group=\"\",version=\"v1\",resource="
        "\"configmaps\",subresource=\"\",scope=\"resource\",component=\"apiserver\",code=\"201\"} ",
        "\napiserver_request_total{verb=\"GET\",dry_run=\"\",group=\"\",version=\"v1\",resource="
        "\"configmaps\",subresource=\"\",scope=\"resource\",component=\"apiserver\",code=\"404\"} ",
        "\napiserver_request_duration_seconds_bucket{verb=\"LIST\",dry_run=\"\",group=\"apps\","
        "version=\"v1\",resource=\"deployments\",subresource=\"\",scope=\"cluster\",component="
        "\"apiserver\",le=\"0.005\"} ",
        "\napiserver_current_inflight_requests{request_kind=\"readOnly\"} ",
        "\napiserver_current_inflight_requests{request_kind=\"mutating\"} ",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!memmem(a->body.ptr, a->body.len, lines[i], strlen(lines[i])))
            fail_msg("no %s", lines[i]);
}

static Value *named(Harness *h, const char *collection, const char *name) {
    char target[256];
    snprintf(target, sizeof target, "%s/%s", collection, name);
    Answer *a = call(h, "GET", target, NULL);
    assert_status(a, 200);
    return a->json;
}

// apiserver's pkg/apis/flowcontrol/bootstrap/default.go
static void test_flow_control(void **state) {
    Harness *h = *state;
#define LEVELS "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations"
#define SCHEMAS "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas"
    static const struct {
        const char *name;
        int64_t shares, lendable, queues, hand;
    } levels[] = {
        {"system", 30, 33, 64, 6},         {"node-high", 40, 25, 64, 6},
        {"leader-election", 10, 0, 16, 4}, {"workload-high", 40, 50, 128, 6},
        {"workload-low", 100, 90, 128, 6}, {"global-default", 20, 50, 128, 6},
        {"catch-all", 5, 0, -1, -1},
    };
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        Value *level = named(h, LEVELS, levels[i].name);
        Value *limited = value_at(level, "spec.limited");
        assert_int_equal(value_int_at(limited, "nominalConcurrencyShares", -1), levels[i].shares);
        assert_int_equal(value_int_at(limited, "lendablePercent", -1), levels[i].lendable);
        assert_int_equal(value_int_at(limited, "limitResponse.queuing.queues", -1),
                         levels[i].queues);
        assert_int_equal(value_int_at(limited, "limitResponse.queuing.handSize", -1),
                         levels[i].hand);
        const Value *annotations = value_at(level, "metadata.annotations");
        assert_non_null(value_get(annotations, STR("apf.kubernetes.io/autoupdate-spec")));
    }
    assert_true(str_eq(value_string_at(named(h, LEVELS, "exempt"), "spec.type"), STR("Exempt")));
    static const struct {
        const char *name, *level, *distinguisher;
        int64_t precedence;
    } schemas[] = {
        {"exempt", "exempt", "", 1},
        {"probes", "exempt", "", 2},
        {"system-leader-election", "leader-election", "ByUser", 100},
        {"system-node-high", "node-high", "ByUser", 400},
        {"system-nodes", "system", "ByUser", 500},
        {"kube-controller-manager", "workload-high", "ByNamespace", 800},
        {"kube-scheduler", "workload-high", "ByNamespace", 800},
        {"kube-system-service-accounts", "workload-high", "ByNamespace", 900},
        {"service-accounts", "workload-low", "ByUser", 9000},
        {"global-default", "global-default", "ByUser", 9900},
        {"catch-all", "catch-all", "ByUser", 10000},
    };
    for (size_t i = 0; i < sizeof schemas / sizeof *schemas; i++) {
        const Value *schema = named(h, SCHEMAS, schemas[i].name);
        assert_int_equal(value_int_at(schema, "spec.matchingPrecedence", -1),
                         schemas[i].precedence);
        assert_true(str_eq(value_string_at(schema, "spec.priorityLevelConfiguration.name"),
                           str_from(schemas[i].level)));
        assert_true(str_eq(value_string_at(schema, "spec.distinguisherMethod.type"),
                           str_from(schemas[i].distinguisher)));
        assert_int_equal(value_at(schema, "spec.rules")->n, 1);
    }
    assert_int_equal(value_get(call(h, "GET", LEVELS, NULL)->json, STR("items"))->n, 8);
    assert_int_equal(value_get(call(h, "GET", SCHEMAS, NULL)->json, STR("items"))->n, 11);
    const Value *probes = value_at(named(h, SCHEMAS, "probes"), "spec.rules")->items[0];
    const Value *urls =
        value_get(value_get(probes, STR("nonResourceRules"))->items[0], STR("nonResourceURLs"));
    assert_int_equal(urls->n, 3);
    assert_true(str_eq(urls->items[0]->string, STR("/healthz")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_health, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_ready, setup, teardown),
        cmocka_unit_test_setup_teardown(test_metrics, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flow_control, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
