#include "sim.h"

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"

#define START (1790000000LL * NSEC_PER_SEC)

Sim *sim_new_seeded(uint64_t seed) {
    Sim *sim = memory_new(Sim);
    Loop *loop = loop_new_simulated(seed, START);
    sim->api = harness_new_on(loop, store_memory_new(loop));
    return sim;
}

Sim *sim_new(void) {
    const char *seed = getenv("SIM_SEED");
    return sim_new_seeded(seed ? strtoull(seed, NULL, 10) : 1);
}

void sim_free(Sim *sim) {
    sim->cut = true; // what is still open ends; nothing new begins
    for (size_t i = 0; i < sim->n_clients; i++)
        client_free(sim->clients[i]);
    harness_free(sim->api);
    free(sim);
}

static void handle(void *user, HttpRequest *request) {
    Sim *sim = user;
    sim->log = arena_printf(sim->api->arena, "%.*s%.*s %.*s%s%.*s\n", STR_ARG(sim->log),
                            STR_ARG(request->method), STR_ARG(request->path),
                            request->query.len ? "?" : "", STR_ARG(request->query));
    if (sim->cut)
        http_respond_abort(request);
    else if (!sim->intercept || !sim->intercept(sim, request))
        api_handle(sim->api->api, request);
}

Client *sim_client(Sim *sim, const char *user) {
    assert_true(sim->n_clients < sizeof sim->clients / sizeof *sim->clients);
    Str groups[] = {STR("system:authenticated"), STR("system:serviceaccounts")};
    HttpPeer peer = {.address = STR("@"),
                     .local = true,
                     .user = str_from(user),
                     .groups = groups,
                     .n_groups = 2};
    Loop *loop = sim->api->loop;
    Client *client =
        client_new(loop, http_client_new_local(loop, loop, handle, sim, &peer), STR("seapod-sim"));
    sim->clients[sim->n_clients++] = client;
    return client;
}

Client *sim_controller_client(void *user, Str name) {
    Sim *sim = user;
    if (!name.len)
        return sim_client(sim, "system:kube-controller-manager");
    Str text =
        arena_printf(sim->api->arena, "system:serviceaccount:kube-system:%.*s", STR_ARG(name));
    return sim_client(sim, arena_cstr(sim->api->arena, text));
}

void sim_run(Sim *sim, int64_t ns) {
    harness_run(sim->api, ns);
}

void sim_restart_api(Sim *sim) {
    sim->cut = true;
    harness_restart(sim->api);
    sim->cut = false;
}

void sim_log_clear(Sim *sim) {
    sim->log = STR("");
}

const char *sim_log(Sim *sim) {
    return arena_cstr(sim->api->arena, sim->log);
}

void sim_refuse(HttpRequest *request, int code, const char *reason, const char *message) {
    Str text = arena_printf(request->arena,
                            "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Failure\","
                            "\"message\":\"%s\",\"reason\":\"%s\",\"code\":%d}",
                            message, reason, code);
    _bytes_unref_ Bytes *body = bytes_new(text.ptr, text.len);
    http_respond(request, code, STR("application/json"), body);
}

void sim_create(Sim *sim, const char *path, const char *object) {
    assert_status(call(sim->api, "POST", path, object), 201);
}

void sim_patch(Sim *sim, const char *path, const char *merge_patch) {
    assert_status(call_patch(sim->api, "merge", path, merge_patch), 200);
}

// For tests that run no service account controller.
void sim_add_service_account(Sim *sim) {
    sim_create(sim, "/api/v1/namespaces/default/serviceaccounts",
               "{\"metadata\":{\"name\":\"default\"}}");
}

void sim_add_node(Sim *sim, const char *name, const char *more) {
    char text[4096], path[256];
    snprintf(text, sizeof text,
             "{\"metadata\":{\"name\":\"%s\",\"labels\":{\"kubernetes.io/hostname\":\"%s\"}}}",
             name, name);
    sim_create(sim, "/api/v1/nodes", text);
    snprintf(path, sizeof path, "/api/v1/nodes/%s/status", name);
    assert_status(
        call_patch(sim->api, "merge", path,
                   "{\"status\":{\"allocatable\":{\"cpu\":\"4\",\"memory\":\"8Gi\","
                   "\"ephemeral-storage\":\"100Gi\",\"pods\":\"110\"},\"conditions\":[{\"type\":"
                   "\"Ready\",\"status\":\"True\",\"reason\":\"KubeletReady\"}]}}"),
        200);
    snprintf(path, sizeof path, "/api/v1/nodes/%s", name);
    // Admission taints a new node until somebody sees it ready.
    assert_status(call_patch(sim->api, "merge", path, "{\"spec\":{\"taints\":null}}"), 200);
    if (more) {
        assert_status(call_patch(sim->api, "merge", path, more), 200);
        snprintf(path, sizeof path, "/api/v1/nodes/%s/status", name);
        assert_status(call_patch(sim->api, "merge", path, more), 200);
    }
}

void sim_add_pod(Sim *sim, const char *name, const char *spec) {
    char text[8192];
    snprintf(text, sizeof text,
             "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"containers\":[{\"name\":\"c\","
             "\"image\":\"busybox\"}]%s%s}}",
             name, spec ? "," : "", spec ? spec : "");
    sim_create(sim, "/api/v1/namespaces/default/pods", text);
}

bool sim_exists(Sim *sim, const char *path) {
    Answer *answer = call(sim->api, "GET", path, NULL);
    assert_true(answer->status == 200 || answer->status == 404);
    return answer->status == 200;
}

void sim_delete(Sim *sim, const char *path) {
    assert_status(call(sim->api, "DELETE", path, "{\"gracePeriodSeconds\":0}"), 200);
}

Answer *sim_pod(Sim *sim, const char *name) {
    char path[256];
    snprintf(path, sizeof path, "/api/v1/namespaces/default/pods/%s", name);
    Answer *answer = call(sim->api, "GET", path, NULL);
    assert_status(answer, 200);
    return answer;
}

const char *sim_node_of(Sim *sim, const char *pod) {
    return text_at(sim_pod(sim, pod), "spec.nodeName");
}

const char *sim_condition(Sim *sim, const char *pod, const char *type) {
    Arena *arena = sim->api->arena;
    const Value *list = value_at(sim_pod(sim, pod)->json, "status.conditions");
    for (uint32_t i = 0; list && i < list->n; i++) {
        const Value *item = list->items[i];
        if (str_eq(value_string_at(item, "type"), str_from(type)))
            return arena_cstr(arena, arena_printf(arena, "%.*s %.*s %.*s",
                                                  STR_ARG(value_string_at(item, "status")),
                                                  STR_ARG(value_string_at(item, "reason")),
                                                  STR_ARG(value_string_at(item, "message"))));
    }
    return "";
}

const char *sim_events(Sim *sim, const char *name) {
    Arena *arena = sim->api->arena;
    Answer *answer = call(sim->api, "GET", "/api/v1/events", NULL);
    assert_status(answer, 200);
    const Value *items = value_at(answer->json, "items");
    Str text = STR("");
    for (uint32_t i = 0; items && i < items->n; i++) {
        const Value *item = items->items[i];
        if (!str_eq(value_string_at(item, "involvedObject.name"), str_from(name)))
            continue;
        text = arena_printf(
            arena, "%.*s%.*s %.*s %d %.*s\n", STR_ARG(text), STR_ARG(value_string_at(item, "type")),
            STR_ARG(value_string_at(item, "reason")), (int)value_int_at(item, "count", 0),
            STR_ARG(value_string_at(item, "message")));
    }
    return arena_cstr(arena, text);
}

int64_t sim_revision(Sim *sim) {
    Answer *answer = call(sim->api, "GET", "/api/v1/namespaces?limit=1", NULL);
    int64_t revision;
    assert_int_equal(
        str_to_i64(value_string_at(answer->json, "metadata.resourceVersion"), &revision), 0);
    return revision;
}
