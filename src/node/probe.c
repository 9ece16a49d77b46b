#include "node/probe.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"
#include "node/check.h"

// What the probe asks, its strings in `arena`: the pod may change while the prober lives.
struct Prober {
    NodeAgent *agent;
    Arena *arena;
    ProbeKind kind;
    Probe *probe;
    Container *container;
    Str container_id, pod_ip;
    void (*on_result)(void *user, ProbeKind kind, bool success);
    void (*on_failure)(void *user, ProbeKind kind, Str message);
    void *user;
    LoopTimer timer;
    Check *check;
    int run;           // equal outcomes in a row
    bool last_outcome; // of the run
    bool decided, result;
};

static const char *const names[] = {
    [PROBE_LIVENESS] = "Liveness", [PROBE_READINESS] = "Readiness", [PROBE_STARTUP] = "Startup"};

static void decide(Prober *prober, bool success) {
    if (prober->decided && prober->result == success)
        return;
    prober->decided = true;
    prober->result = success;
    // The handler may free the prober.
    prober->on_result(prober->user, prober->kind, success);
}

static void on_checked(void *user, CheckOutcome outcome, Str message) {
    Prober *prober = user;
    prober->check = NULL;
    const Probe *probe = prober->probe;
    int64_t period = (probe->period_seconds > 0 ? probe->period_seconds : 10) * NSEC_PER_SEC;
    loop_timer_start(&prober->timer, period);
    if (outcome != CHECK_SUCCESS) {
        _arena_free_ Arena *arena = arena_new();
        const char *format = outcome == CHECK_ERROR
                                 ? "%s probe errored and resulted in unknown state: %.*s"
                                 : "%s probe failed: %.*s";
        prober->on_failure(prober->user, prober->kind,
                           arena_printf(arena, format, names[prober->kind], STR_ARG(message)));
        if (outcome == CHECK_ERROR)
            return; // says nothing about the container
    }
    bool success = outcome == CHECK_SUCCESS;
    prober->run = prober->run && prober->last_outcome == success ? prober->run + 1 : 1;
    prober->last_outcome = success;
    int threshold = success ? probe->success_threshold : probe->failure_threshold;
    if (prober->run < (threshold > 0 ? threshold : 1))
        return;
    // A startup probe is over at its first result; a liveness probe at its first failure: the
    // container is stopped.
    if (prober->kind == PROBE_STARTUP || (prober->kind == PROBE_LIVENESS && !success))
        loop_timer_stop(&prober->timer);
    decide(prober, success);
}

static void ask(void *user) {
    Prober *prober = user;
    const Probe *probe = prober->probe;
    CheckSpec spec = {.agent = prober->agent,
                      .exec = probe->exec,
                      .http_get = probe->http_get,
                      .tcp_socket = probe->tcp_socket,
                      .grpc = probe->grpc,
                      .container = prober->container,
                      .container_id = prober->container_id,
                      .pod_ip = prober->pod_ip,
                      .user_agent = STR("kube-probe/1.35"),
                      .timeout_ns =
                          (probe->timeout_seconds > 0 ? probe->timeout_seconds : 1) * NSEC_PER_SEC};
    prober->check = check_start(&spec, on_checked, prober);
}

static const Probe *probe_of(const Container *container, ProbeKind kind) {
    return kind == PROBE_STARTUP    ? container->startup_probe
           : kind == PROBE_LIVENESS ? container->liveness_probe
                                    : container->readiness_probe;
}

Prober *prober_new(const ProberConfig *config) {
    Prober *prober = memory_new(Prober);
    Arena *arena = prober->arena = arena_new();
    prober->agent = config->agent;
    prober->kind = config->kind;
    prober->on_result = config->on_result;
    prober->on_failure = config->on_failure;
    prober->user = config->user;
    prober->container_id = arena_str(arena, config->container_id);
    prober->pod_ip = arena_str(arena, config->pod_ip);
    // A copy by way of JSON: the same bytes that the API holds.
    Buf buf = BUF_INIT(VALUE_MAX_BYTES);
    typed_write_json(kinds_type_Container(), config->container, &buf);
    prober->container = arena_new_of(arena, Container);
    if (typed_from_json(arena, kinds_type_Container(), arena_str(arena, buf_view(&buf)),
                        prober->container) != 0)
        log_error("node", "probe not understood", "container=%.*s",
                  STR_ARG(config->container->name));
    buf_deinit(&buf);
    prober->probe = (Probe *)probe_of(prober->container, config->kind);
    loop_timer_init(&prober->timer, prober->agent->loop, ask, prober);
    int64_t age = loop_wall(prober->agent->loop) - config->started_at;
    int64_t delay = prober->probe->initial_delay_seconds * NSEC_PER_SEC - age;
    loop_timer_start(&prober->timer, delay > 0 ? delay : 0);
    return prober;
}

void prober_free(Prober *prober) {
    if (!prober)
        return;
    if (prober->check)
        check_cancel(prober->check);
    loop_timer_stop(&prober->timer);
    arena_free(prober->arena);
    free(prober);
}

// Hooks
// ----------------------------------------------------------------------------------------------

struct HookRun {
    NodeAgent *agent;
    Check *check;
    LoopTimer sleep;
    void (*done)(void *user, int error, Str message);
    void *user;
};

static void finish_hook(HookRun *run, int error, Str message) {
    void (*done)(void *, int, Str) = run->done;
    void *user = run->user;
    free(run);
    done(user, error, message);
}

static void on_hook_checked(void *user, CheckOutcome outcome, Str message) {
    finish_hook(user, outcome == CHECK_SUCCESS ? 0 : -1, message);
}

static void on_slept(void *user) {
    finish_hook(user, 0, STR(""));
}

HookRun *hook_run(NodeAgent *agent, const Pod *pod, const Container *container,
                  const LifecycleHandler *handler, Str container_id, Str pod_ip,
                  void (*done)(void *user, int error, Str message), void *user) {
    HookRun *run = memory_new(HookRun);
    run->agent = agent;
    run->done = done;
    run->user = user;
    loop_timer_init(&run->sleep, agent->loop, on_slept, run);
    if (handler->sleep) {
        loop_timer_start(&run->sleep, handler->sleep->seconds * NSEC_PER_SEC);
        return run;
    }
    run->check = check_start(&(CheckSpec){.agent = agent,
                                          .exec = handler->exec,
                                          .http_get = handler->http_get,
                                          .tcp_socket = handler->tcp_socket,
                                          .container = container,
                                          .container_id = container_id,
                                          .pod_ip = pod_ip,
                                          .user_agent = STR("kube-lifecycle/1.35")},
                             on_hook_checked, run);
    return run;
}

void hook_cancel(HookRun *run) {
    if (run->check)
        check_cancel(run->check);
    loop_timer_stop(&run->sleep);
    free(run);
}
