// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdio.h>
#include <stdlib.h>

#include "controllers/controllers.h"
#include "sim.h"

typedef struct World {
    Sim *sim;
    Controllers *controllers;
} World;

#define PODS "/api/v1/namespaces/default/pods"
#define SERVICES "/api/v1/namespaces/default/services"
#define ENDPOINTS "/api/v1/namespaces/default/endpoints"
#define SLICES "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
#define WEB "\"selector\":{\"app\":\"web\"},\"ports\":[{\"port\":80,\"targetPort\":\"http\"}]"

static int setup(void **state) {
    World *world = calloc(1, sizeof *world);
    world->sim = sim_new();
    world->controllers = controllers_new(&(ControllersConfig){.loop = world->sim->api->loop,
                                                              .client = sim_controller_client,
                                                              .user = world->sim,
                                                              .cluster_ca = STR("the CA")},
                                         NULL);
    sim_run(world->sim, NSEC_PER_SEC);
    sim_add_node(world->sim, "n1",
                 "{\"metadata\":{\"labels\":{\"topology.kubernetes.io/zone\":\"z1\"}}}");
    *state = world;
    return 0;
}

static int teardown(void **state) {
    World *world = *state;
    controllers_free(world->controllers);
    sim_free(world->sim);
    free(world);
    return 0;
}

static void settle(Sim *sim) {
    sim_run(sim, 100 * NSEC_PER_MSEC);
}

static void add_service(Sim *sim, const char *name, const char *spec) {
    char text[2048];
    snprintf(text, sizeof text, "{\"metadata\":{\"name\":\"%s\"},\"spec\":{%s}}", name, spec);
    sim_create(sim, SERVICES, text);
}

// A pod of the app "web" on n1 with a named port; `spec`: more members of its spec.
static void add_pod(Sim *sim, const char *name, int ip, bool ready, const char *spec) {
    char text[2048], path[256];
    snprintf(text, sizeof text,
             "{\"metadata\":{\"name\":\"%s\",\"labels\":{\"app\":\"web\",\"x\":\"%s\"}},\"spec\":{"
             "\"nodeName\":\"n1\",\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"ports\":[{"
             "\"name\":\"http\",\"containerPort\":8080}]}]%s}}",
             name, name, spec);
    sim_create(sim, PODS, text);
    snprintf(path, sizeof path, PODS "/%s/status", name);
    snprintf(text, sizeof text,
             "{\"status\":{\"phase\":\"Running\",\"podIP\":\"10.42.0.%d\",\"podIPs\":[{\"ip\":"
             "\"10.42.0.%d\"}],\"conditions\":[{\"type\":\"Ready\",\"status\":\"%s\"}]}}",
             ip, ip, ready ? "True" : "False");
    assert_status(call_patch(sim->api, "merge", path, text), 200);
}

static void set_ready(Sim *sim, const char *name, bool ready) {
    char text[256], path[256];
    snprintf(path, sizeof path, PODS "/%s/status", name);
    snprintf(text, sizeof text,
             "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"%s\"}]}}",
             ready ? "True" : "False");
    assert_status(call_patch(sim->api, "merge", path, text), 200);
}

// The slices of a service: "ADDRESS[+HOSTNAME]=rst ... :PORT", a line each in the order of names;
// r, s, t where the condition is true.
static const char *slices(Sim *sim, const char *service) {
    char path[256];
    Buf out = BUF_INIT(1 << 20);
    snprintf(path, sizeof path, SLICES "?labelSelector=kubernetes.io/service-name%%3D%s", service);
    Answer *answer = call(sim->api, "GET", path, NULL);
    assert_status(answer, 200);
    const Value *items = value_get(answer->json, STR("items"));
    for (uint32_t i = 0; i < items->n; i++) {
        const Value *endpoints = value_get(items->items[i], STR("endpoints"));
        for (uint32_t j = 0; endpoints && j < endpoints->n; j++) {
            const Value *e = endpoints->items[j];
            Str host = value_string_at(e, "hostname");
            buf_printf(&out, "%.*s%s%.*s=%s%s%s ",
                       STR_ARG(value_get(e, STR("addresses"))->items[0]->string),
                       host.len ? "+" : "", STR_ARG(host),
                       value_bool_at(e, "conditions.ready", false) ? "r" : "",
                       value_bool_at(e, "conditions.serving", false) ? "s" : "",
                       value_bool_at(e, "conditions.terminating", false) ? "t" : "");
        }
        const Value *ports = value_get(items->items[i], STR("ports"));
        for (uint32_t j = 0; ports && j < ports->n; j++)
            buf_printf(&out, ":%d", (int)value_int_at(ports->items[j], "port", 0));
        buf_printf(&out, "\n");
    }
    const char *text = arena_cstr(sim->api->arena, buf_view(&out));
    buf_deinit(&out);
    return text;
}

// The Endpoints as "READY,... -NOTREADY,... :PORT", a line a subset; "-" when there are none.
static const char *endpoints(Sim *sim, const char *service) {
    char path[256];
    Buf out = BUF_INIT(1 << 20);
    snprintf(path, sizeof path, ENDPOINTS "/%s", service);
    Answer *answer = call(sim->api, "GET", path, NULL);
    if (answer->status == 404)
        return "-";
    const Value *subsets = value_get(answer->json, STR("subsets"));
    for (uint32_t i = 0; subsets && i < subsets->n; i++) {
        static const char *const lists[] = {"addresses", "notReadyAddresses"};
        for (int k = 0; k < 2; k++) {
            const Value *list = value_get(subsets->items[i], str_from(lists[k]));
            for (uint32_t j = 0; list && j < list->n; j++)
                buf_printf(&out, "%s%.*s ", k ? "-" : "",
                           STR_ARG(value_string_at(list->items[j], "ip")));
        }
        const Value *ports = value_get(subsets->items[i], STR("ports"));
        for (uint32_t j = 0; ports && j < ports->n; j++)
            buf_printf(&out, ":%d", (int)value_int_at(ports->items[j], "port", 0));
        buf_printf(&out, "\n");
    }
    const char *text = arena_cstr(sim->api->arena, buf_view(&out));
    buf_deinit(&out);
    return text;
}

static void test_pods_come_and_go(void **state) {
    Sim *sim = ((World *)*state)->sim;
    add_service(sim, "web", WEB);
    settle(sim);
    assert_string_equal(slices(sim, "web"), "\n"); // the placeholder
    assert_string_equal(endpoints(sim, "web"), "");
    add_pod(sim, "a", 5, true, "");
    settle(sim);
    assert_string_equal(slices(sim, "web"), "10.42.0.5=rs :8080\n");
    assert_string_equal(endpoints(sim, "web"), "10.42.0.5 :8080\n");
    add_pod(sim, "b", 6, false, "");
    settle(sim);
    assert_string_equal(slices(sim, "web"), "10.42.0.5=rs 10.42.0.6= :8080\n");
    assert_string_equal(endpoints(sim, "web"), "10.42.0.5 -10.42.0.6 :8080\n");
    set_ready(sim, "b", true);
    set_ready(sim, "a", false);
    settle(sim);
    assert_string_equal(slices(sim, "web"), "10.42.0.5= 10.42.0.6=rs :8080\n");
    assert_string_equal(endpoints(sim, "web"), "10.42.0.6 -10.42.0.5 :8080\n");
    sim_delete(sim, PODS "/a");
    settle(sim);
    assert_string_equal(slices(sim, "web"), "10.42.0.6=rs :8080\n");
    sim_delete(sim, SERVICES "/web");
    settle(sim);
    assert_string_equal(slices(sim, "web"), "");
    assert_string_equal(endpoints(sim, "web"), "-");
}

static void test_terminating_and_terminal(void **state) {
    Sim *sim = ((World *)*state)->sim;
    add_service(sim, "web", WEB);
    add_pod(sim, "a", 5, true, "");
    add_pod(sim, "b", 6, true, "");
    settle(sim);
    assert_status(call(sim->api, "DELETE", PODS "/a", "{\"gracePeriodSeconds\":30}"), 200);
    settle(sim);
    assert_string_equal(slices(sim, "web"), "10.42.0.5=st 10.42.0.6=rs :8080\n");
    assert_string_equal(endpoints(sim, "web"), "10.42.0.6 :8080\n");
    assert_status(
        call_patch(sim->api, "merge", PODS "/b/status", "{\"status\":{\"phase\":\"Failed\"}}"),
        200);
    settle(sim);
    assert_string_equal(slices(sim, "web"), "10.42.0.5=st :8080\n");
}

static void test_publish_not_ready(void **state) {
    Sim *sim = ((World *)*state)->sim;
    add_service(sim, "web", WEB ",\"clusterIP\":\"None\",\"publishNotReadyAddresses\":true");
    add_pod(sim, "a", 5, false, "");
    settle(sim);
    assert_string_equal(slices(sim, "web"), "10.42.0.5=r :8080\n");
    assert_string_equal(endpoints(sim, "web"), "10.42.0.5 :8080\n");
}

static const Value *first_slice(Sim *sim, const char *service) {
    char path[256];
    snprintf(path, sizeof path, SLICES "?labelSelector=kubernetes.io/service-name%%3D%s", service);
    Answer *answer = call(sim->api, "GET", path, NULL);
    assert_status(answer, 200);
    assert_int_equal(value_get(answer->json, STR("items"))->n, 1);
    return value_get(answer->json, STR("items"))->items[0];
}

#define assert_member(value, key, wanted)                                                          \
    do {                                                                                           \
        const Value *at = value_get(value, STR(key));                                              \
        assert_non_null(at);                                                                       \
        assert_string_equal(arena_cstr(sim->api->arena, at->string), wanted);                      \
    } while (0)

static void test_what_a_slice_says(void **state) {
    Sim *sim = ((World *)*state)->sim;
    add_service(sim, "web",
                WEB ",\"clusterIP\":\"None\",\"trafficDistribution\":\"PreferSameNode\"");
    assert_status(call_patch(sim->api, "merge", SERVICES "/web",
                             "{\"metadata\":{\"labels\":{\"team\":\"t\"}}}"),
                  200);
    add_pod(sim, "a", 5, true, ",\"hostname\":\"one\",\"subdomain\":\"web\"");
    settle(sim);
    assert_string_equal(slices(sim, "web"), "10.42.0.5+one=rs :8080\n");
    const Value *slice = first_slice(sim, "web"), *labels = value_at(slice, "metadata.labels");
    assert_member(labels, "kubernetes.io/service-name", "web");
    assert_member(labels, "endpointslice.kubernetes.io/managed-by",
                  "endpointslice-controller.k8s.io");
    assert_member(labels, "service.kubernetes.io/headless", "");
    assert_member(labels, "team", "t");
    assert_true(str_starts_with(value_string_at(slice, "metadata.name"), STR("web-")));
    const Value *owner = value_at(slice, "metadata.ownerReferences")->items[0];
    assert_member(owner, "kind", "Service");
    assert_member(owner, "name", "web");
    const Value *endpoint = value_get(slice, STR("endpoints"))->items[0];
    assert_member(endpoint, "nodeName", "n1");
    assert_member(endpoint, "zone", "z1");
    assert_member(value_get(endpoint, STR("targetRef")), "name", "a");
    assert_member(value_at(endpoint, "hints.forNodes")->items[0], "name", "n1");
    assert_member(value_at(endpoint, "hints.forZones")->items[0], "name", "z1");
}

static void test_ports(void **state) {
    Sim *sim = ((World *)*state)->sim;
    add_service(sim, "web",
                "\"selector\":{\"app\":\"web\"},\"ports\":[{\"name\":\"a\",\"port\":80},{\"name\":"
                "\"b\",\"port\":81,\"targetPort\":\"http\"},{\"name\":\"c\",\"port\":82,"
                "\"targetPort\":\"other\"}]");
    add_pod(sim, "a", 5, true, "");
    add_pod(sim, "b", 6, true,
            ",\"initContainers\":[{\"name\":\"s\",\"image\":\"i\",\"restartPolicy\":\"Always\","
            "\"ports\":[{\"name\":\"other\",\"containerPort\":9}]}]");
    settle(sim);
    const char *text = slices(sim, "web");
    assert_non_null(strstr(text, "10.42.0.5=rs :80:8080\n"));
    assert_non_null(strstr(text, "10.42.0.6=rs :80:8080:9\n"));
}

static void test_only_its_namespace_and_labels(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim_create(sim, "/api/v1/namespaces", "{\"metadata\":{\"name\":\"other\"}}");
    settle(sim);
    add_service(sim, "web", WEB);
    add_service(sim, "one", "\"selector\":{\"app\":\"web\",\"x\":\"b\"},\"ports\":[{\"port\":80}]");
    add_pod(sim, "a", 5, true, "");
    add_pod(sim, "b", 6, true, "");
    settle(sim);
    assert_string_equal(slices(sim, "one"), "10.42.0.6=rs :80\n");
    // A pod's labels, a service's selector change.
    assert_status(
        call_patch(sim->api, "merge", PODS "/a", "{\"metadata\":{\"labels\":{\"app\":\"x\"}}}"),
        200);
    settle(sim);
    assert_string_equal(slices(sim, "web"), "10.42.0.6=rs :8080\n");
    assert_status(call_patch(sim->api, "merge", SERVICES "/one",
                             "{\"spec\":{\"selector\":{\"app\":\"x\",\"x\":null}}}"),
                  200);
    settle(sim);
    assert_string_equal(slices(sim, "one"), "10.42.0.5=rs :80\n");
}

// One pod's change is one request to each kind, however many services and pods there are.
static void test_one_change_is_one_write(void **state) {
    Sim *sim = ((World *)*state)->sim;
    char name[16], spec[256];
    for (int i = 0; i < 30; i++) {
        snprintf(name, sizeof name, "p%d", i);
        add_pod(sim, name, 10 + i, true, "");
        snprintf(spec, sizeof spec,
                 "\"selector\":{\"app\":\"web\",\"x\":\"p%d\"},\"ports\":[{\"port\":80}]", i);
        snprintf(name, sizeof name, "s%d", i);
        add_service(sim, name, spec);
    }
    settle(sim);
    sim_log_clear(sim);
    set_ready(sim, "p7", false);
    settle(sim);
    Str log = str_from(sim_log(sim));
    int writes = 0;
    while (log.len)
        writes += !str_starts_with(str_cut(&log, '\n'), STR("GET"));
    assert_int_equal(writes, 2);
}

// Upstream's maxCapacity: 1,000 addresses, the rest is left out and said to be.
static void test_more_than_endpoints_hold(void **state) {
    Sim *sim = ((World *)*state)->sim;
    char name[16];
    for (int i = 0; i < 1005; i++) {
        snprintf(name, sizeof name, "p%d", i);
        char text[1024], path[128];
        snprintf(text, sizeof text,
                 "{\"metadata\":{\"name\":\"%s\",\"labels\":{\"app\":\"web\"}},\"spec\":{"
                 "\"nodeName\":\"n1\",\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}",
                 name);
        sim_create(sim, PODS, text);
        snprintf(path, sizeof path, PODS "/%s/status", name);
        snprintf(text, sizeof text,
                 "{\"status\":{\"phase\":\"Running\",\"podIP\":\"10.42.%d.%d\",\"conditions\":[{"
                 "\"type\":\"Ready\",\"status\":\"True\"}]}}",
                 i / 250, i % 250 + 2);
        assert_status(call_patch(sim->api, "merge", path, text), 200);
    }
    add_service(sim, "web", "\"selector\":{\"app\":\"web\"},\"ports\":[{\"port\":80}]");
    settle(sim);
    Answer *answer = call(sim->api, "GET", ENDPOINTS "/web", NULL);
    const Value *subsets = value_get(answer->json, STR("subsets"));
    assert_int_equal(value_get(subsets->items[0], STR("addresses"))->n, 1000);
    assert_member(value_at(answer->json, "metadata.annotations"),
                  "endpoints.kubernetes.io/over-capacity", "truncated");
    answer = call(sim->api, "GET", SLICES, NULL);
    assert_int_equal(value_get(answer->json, STR("items"))->n, 11 + 1); // that of `kubernetes`
    sim_log_clear(sim);
    sim_run(sim, 10 * NSEC_PER_SEC); // and it rests
    assert_string_equal(sim_log(sim), "");
}

static void test_mirrored(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim_create(
        sim, ENDPOINTS,
        "{\"metadata\":{\"name\":\"db\",\"labels\":{\"a\":\"b\"}},\"subsets\":[{\"addresses\":"
        "[{\"ip\":\"192.0.2.1\"}],\"notReadyAddresses\":[{\"ip\":\"192.0.2.2\"}],\"ports\":"
        "[{\"port\":5432}]}]}");
    settle(sim);
    assert_string_equal(slices(sim, "db"), "");
    add_service(sim, "db", "\"ports\":[{\"port\":5432}]");
    settle(sim);
    assert_string_equal(slices(sim, "db"), "192.0.2.1=r 192.0.2.2= :5432\n");
    const Value *slice = first_slice(sim, "db");
    assert_member(value_at(slice, "metadata.labels"), "endpointslice.kubernetes.io/managed-by",
                  "endpointslicemirroring-controller.k8s.io");
    assert_member(value_at(slice, "metadata.labels"), "a", "b");
    assert_status(call_patch(sim->api, "merge", ENDPOINTS "/db",
                             "{\"subsets\":[{\"addresses\":[{\"ip\":\"192.0.2.3\"}],\"ports\":[{"
                             "\"port\":5432}]}]}"),
                  200);
    settle(sim);
    assert_string_equal(slices(sim, "db"), "192.0.2.3=r :5432\n");
    sim_delete(sim, ENDPOINTS "/db");
    settle(sim);
    assert_string_equal(slices(sim, "db"), "");
}

// "IP IP", what status.loadBalancer says.
static const char *balancer(Sim *sim, const char *service) {
    char path[256];
    Buf out = BUF_INIT(4096);
    snprintf(path, sizeof path, SERVICES "/%s", service);
    Answer *answer = call(sim->api, "GET", path, NULL);
    assert_status(answer, 200);
    const Value *list = value_at(answer->json, "status.loadBalancer.ingress");
    for (uint32_t i = 0; list && i < list->n; i++)
        buf_printf(&out, "%s%.*s", i ? " " : "", STR_ARG(value_string_at(list->items[i], "ip")));
    const char *text = arena_cstr(sim->api->arena, buf_view(&out));
    buf_deinit(&out);
    return text;
}

#define ADDRESS(ip)                                                                                \
    "{\"status\":{\"addresses\":[{\"type\":\"InternalIP\",\"address\":\"" ip "\"}]}}"

static void test_load_balancer(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim_add_node(sim, "n2", ADDRESS("192.0.2.12"));
    sim_patch(sim, "/api/v1/nodes/n1/status", ADDRESS("192.0.2.11"));
    add_service(sim, "lb", WEB ",\"type\":\"LoadBalancer\"");
    add_service(sim, "theirs",
                WEB ",\"type\":\"LoadBalancer\",\"loadBalancerClass\":\"example.com/vip\"");
    add_service(sim, "plain", WEB);
    settle(sim);
    assert_string_equal(balancer(sim, "lb"), "192.0.2.11 192.0.2.12");
    assert_string_equal(balancer(sim, "theirs"), "");
    assert_string_equal(balancer(sim, "plain"), "");
    sim_patch(sim, "/api/v1/nodes/n1",
              "{\"metadata\":{\"labels\":{\"node.kubernetes.io/"
              "exclude-from-external-load-balancers\":\"\"}}}");
    settle(sim);
    assert_string_equal(balancer(sim, "lb"), "192.0.2.12");
    sim_delete(sim, "/api/v1/nodes/n2");
    settle(sim);
    assert_string_equal(balancer(sim, "lb"), "");
}

// What users wrote stays; what somebody spoiled comes back.
static void test_whose_it_is(void **state) {
    Sim *sim = ((World *)*state)->sim;
    sim_create(sim, ENDPOINTS, "{\"metadata\":{\"name\":\"lonely\"}}");
    add_service(sim, "web", WEB);
    add_pod(sim, "a", 5, true, "");
    settle(sim);
    assert_true(sim_exists(sim, ENDPOINTS "/lonely"));
    sim_delete(sim, ENDPOINTS "/web");
    char path[256];
    snprintf(
        path, sizeof path, SLICES "/%s",
        arena_cstr(sim->api->arena, value_string_at(first_slice(sim, "web"), "metadata.name")));
    sim_delete(sim, path);
    settle(sim);
    assert_string_equal(endpoints(sim, "web"), "10.42.0.5 :8080\n");
    assert_string_equal(slices(sim, "web"), "10.42.0.5=rs :8080\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_pods_come_and_go),
        TEST(test_terminating_and_terminal),
        TEST(test_publish_not_ready),
        TEST(test_what_a_slice_says),
        TEST(test_ports),
        TEST(test_only_its_namespace_and_labels),
        TEST(test_one_change_is_one_write),
        TEST(test_more_than_endpoints_hold),
        TEST(test_mirrored),
        TEST(test_load_balancer),
        TEST(test_whose_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
