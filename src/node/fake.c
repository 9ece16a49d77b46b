#include "node/fake.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/memory.h"

typedef struct FakeRuntime FakeRuntime;

typedef struct FakeSandbox {
    Arena *arena;
    Sandbox view;
} FakeSandbox;

typedef struct FakeContainer {
    FakeRuntime *runtime;
    Arena *arena;
    RuntimeContainer view;
    LoopTimer end; // of the process: exit_after or the grace period
    int end_code;
    Str target;   // ContainerSpec.target_container_id
    List waiting; // FakeCall of stop_container, until it has exited
} FakeContainer;

typedef struct FakeRule { // by container name
    int64_t exit_after_ns;
    int exit_code; // < 0: runs on
    bool ignores_term;
} FakeRule;

// A call under way: its answer comes by the timer.
typedef struct FakeCall {
    ListLink link; // in runtime->calls or a container's waiting
    FakeRuntime *runtime;
    LoopTimer timer;
    void (*finish)(struct FakeCall *call);
    int error;
    char *message;
    char id[65];
    int exit_code;
    char *output;
    size_t n_output;
    Stream *streams[3];
    union {
        SandboxDone sandbox;
        ContainerDone container;
        RuntimeDone plain;
        ExecDone exec;
        ExecSyncDone exec_sync;
    } done;
    void *user;
} FakeCall;

typedef struct FakeFailure {
    unsigned times;
    int error;
    char *message;
} FakeFailure;

struct FakeRuntime {
    Runtime base;
    Map *sandboxes, *containers, *rules;
    List calls;
    int64_t delay;
    FakeFailure failures[FAKE_OPS];
    size_t counts[FAKE_OPS];
    FakeExecResult (*on_exec)(void *user, Str container_id, const Str *argv, size_t n_argv);
    void *on_exec_user;
};

struct RuntimeExec {
    FakeCall call;
};

static FakeRuntime *fake(Runtime *runtime) {
    return container_of(runtime, FakeRuntime, base);
}

static void call_free(FakeCall *call) {
    list_remove(&call->link);
    loop_timer_stop(&call->timer);
    free(call->message);
    free(call->output);
    free(call);
}

static void call_ready(void *user) {
    FakeCall *call = user;
    list_remove(&call->link);
    call->finish(call);
    call_free(call);
}

static FakeCall *call_new(FakeRuntime *runtime, Str id, void (*finish)(FakeCall *), void *user) {
    FakeCall *call = memory_new(FakeCall);
    call->runtime = runtime;
    call->finish = finish;
    call->user = user;
    snprintf(call->id, sizeof call->id, "%.*s", STR_ARG(id));
    list_append(&runtime->calls, &call->link);
    loop_timer_init(&call->timer, runtime->base.loop, call_ready, call);
    loop_timer_start(&call->timer, runtime->delay);
    return call;
}

static void call_fail(FakeCall *call, int error, Str message) {
    call->error = error;
    call->message = memory_alloc(message.len + 1);
    snprintf(call->message, message.len + 1, "%.*s", STR_ARG(message));
}

static Str call_message(const FakeCall *call) {
    return call->message ? str_from(call->message) : STR("");
}

static void count_call(FakeCall *call, FakeOp op) {
    FakeRuntime *runtime = call->runtime;
    runtime->counts[op]++;
    FakeFailure *failure = &runtime->failures[op];
    if (failure->times == 0)
        return;
    failure->times--;
    call_fail(call, failure->error, str_from(failure->message));
}

static void new_id(Loop *loop, char id[65]) {
    for (int i = 0; i < 4; i++)
        snprintf(id + 16 * i, 17, "%016" PRIx64, loop_random(loop));
}

// ---- sandboxes

static void sandbox_free(FakeSandbox *sandbox) {
    arena_free(sandbox->arena);
    free(sandbox);
}

static void run_sandbox_finish(FakeCall *call) {
    FakeSandbox *sandbox = map_get(call->runtime->sandboxes, str_from(call->id));
    if (call->error && sandbox) {
        map_remove(call->runtime->sandboxes, str_from(call->id));
        sandbox_free(sandbox);
        sandbox = NULL;
    }
    call->done.sandbox(call->user, call->error, call_message(call),
                       sandbox ? &sandbox->view : NULL);
}

static void fake_run_sandbox(Runtime *base, const SandboxSpec *spec, SandboxDone done, void *user) {
    FakeRuntime *runtime = fake(base);
    char id[65];
    new_id(base->loop, id);
    FakeSandbox *sandbox = memory_new(FakeSandbox);
    Arena *arena = sandbox->arena = arena_new();
    sandbox->view = (Sandbox){
        .id = arena_str(arena, str_from(id)),
        .pod_uid = arena_str(arena, spec->pod_uid),
        .pod_name = arena_str(arena, spec->pod_name),
        .pod_namespace = arena_str(arena, spec->pod_namespace),
        .attempt = spec->attempt,
        .pid = (pid_t)(1000 + runtime->counts[FAKE_RUN_SANDBOX]),
        .ready = true,
        .network_namespace =
            spec->host_network ? STR("") : arena_printf(arena, "/run/seapod/ns/%s/net", id),
        .cgroup = arena_str(arena, spec->cgroup),
        .log_directory = arena_str(arena, spec->log_directory),
        .created_at = loop_wall(base->loop),
    };
    map_put(runtime->sandboxes, sandbox->view.id, sandbox);
    FakeCall *call = call_new(runtime, sandbox->view.id, run_sandbox_finish, user);
    call->done.sandbox = done;
    count_call(call, FAKE_RUN_SANDBOX);
}

static void container_end(FakeContainer *container, int exit_code, bool oom_killed) {
    FakeRuntime *runtime = container->runtime;
    if (container->view.state == CONTAINER_EXITED)
        return;
    loop_timer_stop(&container->end);
    container->view.state = CONTAINER_EXITED;
    container->view.pid = 0;
    container->view.exit_code = exit_code;
    container->view.oom_killed = oom_killed;
    container->view.finished_at = loop_wall(runtime->base.loop);
    FakeCall *call;
    list_for_each(call, &container->waiting, link) {
        list_remove(&call->link);
        list_append(&runtime->calls, &call->link);
        loop_timer_start(&call->timer, 0);
    }
    if (runtime->base.events && runtime->base.events->on_container_exit)
        runtime->base.events->on_container_exit(runtime->base.events_user, &container->view);
}

static void container_end_timer(void *user) {
    FakeContainer *container = user;
    container_end(container, container->end_code, false);
}

static void container_free(FakeContainer *container) {
    FakeCall *call;
    list_for_each(call, &container->waiting, link) {
        list_remove(&call->link);
        list_append(&container->runtime->calls, &call->link);
        loop_timer_start(&call->timer, 0);
    }
    loop_timer_stop(&container->end);
    arena_free(container->arena);
    free(container);
}

static void plain_finish(FakeCall *call) {
    call->done.plain(call->user, call->error, call_message(call));
}

static void end_containers(FakeRuntime *runtime, Str sandbox_id, bool remove) {
    MapIter it = {0};
    while (map_next(runtime->containers, &it)) {
        FakeContainer *container = it.value;
        if (!str_eq(container->view.sandbox_id, sandbox_id))
            continue;
        container_end(container, 128 + SIGKILL, false);
        if (!remove)
            continue;
        map_remove(runtime->containers, it.key);
        container_free(container);
    }
}

static void fake_stop_sandbox(Runtime *base, Str id, RuntimeDone done, void *user) {
    FakeRuntime *runtime = fake(base);
    FakeCall *call = call_new(runtime, id, plain_finish, user);
    call->done.plain = done;
    FakeSandbox *sandbox = map_get(runtime->sandboxes, id);
    if (!sandbox) {
        call_fail(call, -ENOENT, STR("no such sandbox"));
        return;
    }
    sandbox->view.ready = false;
    sandbox->view.pid = 0;
    end_containers(runtime, id, false);
}

static void fake_remove_sandbox(Runtime *base, Str id, RuntimeDone done, void *user) {
    FakeRuntime *runtime = fake(base);
    FakeCall *call = call_new(runtime, id, plain_finish, user);
    call->done.plain = done;
    end_containers(runtime, id, true);
    FakeSandbox *sandbox = map_remove(runtime->sandboxes, id);
    if (sandbox)
        sandbox_free(sandbox);
}

// ---- containers

static void container_finish(FakeCall *call) {
    FakeContainer *container = map_get(call->runtime->containers, str_from(call->id));
    if (call->error && container) {
        map_remove(call->runtime->containers, str_from(call->id));
        container_free(container);
        container = NULL;
    }
    call->done.container(call->user, call->error, call_message(call),
                         container ? &container->view : NULL);
}

static void fake_create_container(Runtime *base, const ContainerSpec *spec, ContainerDone done,
                                  void *user) {
    FakeRuntime *runtime = fake(base);
    FakeSandbox *sandbox = map_get(runtime->sandboxes, spec->sandbox_id);
    char id[65];
    new_id(base->loop, id);
    FakeCall *call = call_new(runtime, str_from(id), container_finish, user);
    call->done.container = done;
    if (!sandbox || !sandbox->view.ready) {
        call_fail(call, -ENOENT, STR("the sandbox does not run"));
        return;
    }
    FakeContainer *container = memory_new(FakeContainer);
    container->runtime = runtime;
    Arena *arena = container->arena = arena_new();
    list_init(&container->waiting);
    loop_timer_init(&container->end, base->loop, container_end_timer, container);
    container->view = (RuntimeContainer){
        .id = arena_str(arena, str_from(id)),
        .sandbox_id = arena_str(arena, spec->sandbox_id),
        .pod_uid = arena_str(arena, sandbox->view.pod_uid),
        .name = arena_str(arena, spec->name),
        .attempt = spec->attempt,
        .pid = (pid_t)(100000 + runtime->counts[FAKE_CREATE_CONTAINER]),
        .created_at = loop_wall(base->loop),
        .log_path = arena_str(arena, spec->log_path),
        .cgroup = arena_printf(arena, "%.*s/%s", STR_ARG(sandbox->view.cgroup), id),
    };
    container->target = arena_str(arena, spec->target_container_id);
    map_put(runtime->containers, container->view.id, container);
    count_call(call, FAKE_CREATE_CONTAINER);
}

static FakeRule *rule_of(FakeRuntime *runtime, Str name) {
    FakeRule *rule = map_get(runtime->rules, name);
    if (rule)
        return rule;
    rule = memory_new(FakeRule);
    rule->exit_code = -1;
    map_put(runtime->rules, name, rule);
    return rule;
}

static void start_finish(FakeCall *call) {
    FakeRuntime *runtime = call->runtime;
    FakeContainer *container = map_get(runtime->containers, str_from(call->id));
    if (!call->error && (!container || container->view.state != CONTAINER_CREATED))
        call_fail(call, container ? -EINVAL : -ENOENT,
                  STR("the container is not in state created"));
    if (!call->error) {
        container->view.state = CONTAINER_RUNNING;
        container->view.started_at = loop_wall(runtime->base.loop);
        FakeRule *rule = rule_of(runtime, container->view.name);
        container->end_code = rule->exit_code;
        if (rule->exit_code >= 0)
            loop_timer_start(&container->end, rule->exit_after_ns);
    }
    plain_finish(call);
}

static void fake_start_container(Runtime *base, Str id, RuntimeDone done, void *user) {
    FakeCall *call = call_new(fake(base), id, start_finish, user);
    call->done.plain = done;
    count_call(call, FAKE_START_CONTAINER);
}

static void fake_stop_container(Runtime *base, Str id, int signal, int64_t grace_ns,
                                RuntimeDone done, void *user) {
    FakeRuntime *runtime = fake(base);
    FakeCall *call = call_new(runtime, id, plain_finish, user);
    call->done.plain = done;
    FakeContainer *container = map_get(runtime->containers, id);
    if (!container) {
        call_fail(call, -ENOENT, STR("no such container"));
        return;
    }
    if (container->view.state == CONTAINER_EXITED)
        return;
    loop_timer_stop(&call->timer);
    list_remove(&call->link);
    list_append(&container->waiting, &call->link);
    bool kill =
        grace_ns <= 0 || signal == SIGKILL || rule_of(runtime, container->view.name)->ignores_term;
    container->end_code = 128 + (kill ? SIGKILL : signal ? signal : SIGTERM);
    loop_timer_start(&container->end, kill && grace_ns > 0 ? grace_ns : runtime->delay);
}

static void fake_remove_container(Runtime *base, Str id, RuntimeDone done, void *user) {
    FakeRuntime *runtime = fake(base);
    FakeCall *call = call_new(runtime, id, plain_finish, user);
    call->done.plain = done;
    FakeContainer *container = map_get(runtime->containers, id);
    if (!container)
        return;
    container_end(container, 128 + SIGKILL, false);
    map_remove(runtime->containers, id);
    container_free(container);
}

// ---- exec and attach

static void exec_begin(FakeCall *call, Str id, const Str *argv, size_t n_argv, int64_t timeout_ns) {
    FakeRuntime *runtime = call->runtime;
    FakeContainer *container = map_get(runtime->containers, id);
    if (!container || container->view.state != CONTAINER_RUNNING) {
        call_fail(call, -ENOENT, STR("the container does not run"));
        return;
    }
    if (!runtime->on_exec)
        return;
    FakeExecResult result = runtime->on_exec(runtime->on_exec_user, id, argv, n_argv);
    int64_t takes = result.takes_ns ? result.takes_ns : runtime->delay;
    if (timeout_ns > 0 && takes > timeout_ns) {
        call->error = -ETIMEDOUT;
        takes = timeout_ns;
    } else if (result.error) {
        call_fail(call, result.error, result.output);
    }
    call->exit_code = result.exit_code;
    call->n_output = result.output.len;
    call->output = memory_alloc(result.output.len + 1);
    if (result.output.len)
        memcpy(call->output, result.output.ptr, result.output.len);
    loop_timer_start(&call->timer, takes);
}

static void exec_sync_finish(FakeCall *call) {
    call->done.exec_sync(call->user, call->error, call->exit_code,
                         str_of(call->output ? call->output : "", call->n_output));
}

static void fake_exec_sync(Runtime *base, Str id, const Str *argv, size_t n_argv,
                           int64_t timeout_ns, size_t max_output, ExecSyncDone done, void *user) {
    FakeCall *call = call_new(fake(base), id, exec_sync_finish, user);
    call->done.exec_sync = done;
    exec_begin(call, id, argv, n_argv, timeout_ns);
    if (call->n_output > max_output)
        call->n_output = max_output;
}

static void ignore_data(void *user, Str data) {}
static void ignore_end(void *user) {}
static void ignore_close(void *user, int error) {}
static const StreamEvents ignore_events = {
    .on_data = ignore_data, .on_end = ignore_end, .on_close = ignore_close};

static void take_streams(FakeCall *call, Stream *in, Stream *out, Stream *err) {
    Stream *streams[3] = {in, out, err};
    for (int i = 0; i < 3; i++) {
        call->streams[i] = streams[i];
        if (streams[i])
            stream_start(streams[i], &ignore_events, NULL);
    }
}

static void close_streams(FakeCall *call) {
    for (int i = 0; i < 3; i++)
        if (call->streams[i])
            stream_close(call->streams[i]);
}

static void exec_finish(FakeCall *call) {
    if (call->streams[1] && call->n_output)
        stream_write(call->streams[1], str_of(call->output, call->n_output));
    close_streams(call);
    call->done.exec(call->user, call->error, call_message(call), call->exit_code);
}

static RuntimeExec *fake_exec(Runtime *base, const ExecSpec *spec, ExecDone done, void *user) {
    FakeCall *call = call_new(fake(base), spec->container_id, exec_finish, user);
    call->done.exec = done;
    take_streams(call, spec->stdin_stream, spec->stdout_stream, spec->stderr_stream);
    exec_begin(call, spec->container_id, spec->argv, spec->n_argv, 0);
    return (RuntimeExec *)call;
}

static void fake_exec_resize(RuntimeExec *exec, uint16_t width, uint16_t height) {}

static void fake_exec_cancel(RuntimeExec *exec) {
    close_streams(&exec->call);
    call_free(&exec->call);
}

static void attach_finish(FakeCall *call) {
    close_streams(call);
    plain_finish(call);
}

static void fake_attach(Runtime *base, Str id, Stream *in, Stream *out, Stream *err,
                        RuntimeDone done, void *user) {
    FakeRuntime *runtime = fake(base);
    FakeCall *call = call_new(runtime, id, attach_finish, user);
    call->done.plain = done;
    take_streams(call, in, out, err);
    FakeContainer *container = map_get(runtime->containers, id);
    if (!container || container->view.state != CONTAINER_RUNNING) {
        call_fail(call, -ENOENT, STR("the container does not run"));
        return;
    }
    loop_timer_stop(&call->timer);
    list_remove(&call->link);
    list_append(&container->waiting, &call->link);
}

static void fake_attach_resize(Runtime *base, Str id, uint16_t width, uint16_t height) {}

static void fake_reopen_log(Runtime *base, Str id) {}

// ---- the rest

static void fake_recover(Runtime *base, RuntimeDone done, void *user) {
    FakeCall *call = call_new(fake(base), STR(""), plain_finish, user);
    call->done.plain = done;
}

static void fake_each_sandbox(Runtime *base, void (*visit)(void *user, const Sandbox *sandbox),
                              void *user) {
    MapIter it = {0};
    while (map_next(fake(base)->sandboxes, &it))
        visit(user, &((FakeSandbox *)it.value)->view);
}

static void fake_each_container(Runtime *base,
                                void (*visit)(void *user, const RuntimeContainer *container),
                                void *user) {
    MapIter it = {0};
    while (map_next(fake(base)->containers, &it))
        visit(user, &((FakeContainer *)it.value)->view);
}

static Str fake_name(Runtime *base) {
    return STR("fake");
}

static Str fake_version(Runtime *base) {
    return STR("1.0.0");
}

static void fake_free(Runtime *base) {
    FakeRuntime *runtime = fake(base);
    MapIter it = {0};
    while (map_next(runtime->containers, &it))
        container_free(it.value);
    it = (MapIter){0};
    while (map_next(runtime->sandboxes, &it))
        sandbox_free(it.value);
    it = (MapIter){0};
    while (map_next(runtime->rules, &it))
        free(it.value);
    FakeCall *call;
    list_for_each(call, &runtime->calls, link) {
        for (int i = 0; i < 3; i++)
            if (call->streams[i])
                stream_abort(call->streams[i]);
        call_free(call);
    }
    for (int i = 0; i < FAKE_OPS; i++)
        free(runtime->failures[i].message);
    map_free(runtime->containers);
    map_free(runtime->sandboxes);
    map_free(runtime->rules);
    free(runtime);
}

static const RuntimeOps fake_ops = {
    .run_sandbox = fake_run_sandbox,
    .stop_sandbox = fake_stop_sandbox,
    .remove_sandbox = fake_remove_sandbox,
    .create_container = fake_create_container,
    .start_container = fake_start_container,
    .stop_container = fake_stop_container,
    .remove_container = fake_remove_container,
    .exec = fake_exec,
    .exec_resize = fake_exec_resize,
    .exec_cancel = fake_exec_cancel,
    .exec_sync = fake_exec_sync,
    .attach = fake_attach,
    .attach_resize = fake_attach_resize,
    .reopen_log = fake_reopen_log,
    .recover = fake_recover,
    .each_sandbox = fake_each_sandbox,
    .each_container = fake_each_container,
    .name = fake_name,
    .version = fake_version,
    .free = fake_free,
};

Runtime *runtime_fake_new(Loop *loop) {
    FakeRuntime *runtime = memory_new(FakeRuntime);
    runtime->base = (Runtime){.ops = &fake_ops, .loop = loop};
    runtime->sandboxes = map_new();
    runtime->containers = map_new();
    runtime->rules = map_new();
    runtime->delay = NSEC_PER_MSEC;
    list_init(&runtime->calls);
    return &runtime->base;
}

// ---- controls

void fake_set_delay(Runtime *runtime, int64_t delay_ns) {
    fake(runtime)->delay = delay_ns;
}

void fake_fail(Runtime *runtime, FakeOp op, unsigned times, int error, Str message) {
    assert(op < FAKE_OPS && error < 0);
    FakeFailure *failure = &fake(runtime)->failures[op];
    free(failure->message);
    failure->message = memory_alloc(message.len + 1);
    snprintf(failure->message, message.len + 1, "%.*s", STR_ARG(message));
    failure->times = times;
    failure->error = error;
}

void fake_exit(Runtime *runtime, Str container_id, int exit_code, bool oom_killed) {
    FakeContainer *container = map_get(fake(runtime)->containers, container_id);
    assert(container);
    container_end(container, exit_code, oom_killed);
}

void fake_exit_after(Runtime *runtime, Str container_name, int64_t after_ns, int exit_code) {
    FakeRule *rule = rule_of(fake(runtime), container_name);
    rule->exit_after_ns = after_ns;
    rule->exit_code = exit_code;
}

void fake_sandbox_exit(Runtime *runtime, Str sandbox_id) {
    FakeSandbox *sandbox = map_get(fake(runtime)->sandboxes, sandbox_id);
    assert(sandbox);
    if (!sandbox->view.ready)
        return;
    sandbox->view.ready = false;
    sandbox->view.pid = 0;
    if (runtime->events && runtime->events->on_sandbox_exit)
        runtime->events->on_sandbox_exit(runtime->events_user, &sandbox->view);
}

void fake_ignore_term(Runtime *runtime, Str container_name) {
    rule_of(fake(runtime), container_name)->ignores_term = true;
}

void fake_on_exec(Runtime *runtime,
                  FakeExecResult (*fn)(void *user, Str container_id, const Str *argv,
                                       size_t n_argv),
                  void *user) {
    fake(runtime)->on_exec = fn;
    fake(runtime)->on_exec_user = user;
}

Str fake_container(Runtime *runtime, Str pod_uid, Str container_name) {
    Str found = STR_NONE;
    MapIter it = {0};
    while (map_next(fake(runtime)->containers, &it)) {
        const RuntimeContainer *view = &((FakeContainer *)it.value)->view;
        if (str_eq(view->pod_uid, pod_uid) && str_eq(view->name, container_name))
            found = view->id;
    }
    return found;
}

Str fake_container_target(Runtime *runtime, Str container_id) {
    const FakeContainer *container = map_get(fake(runtime)->containers, container_id);
    return container ? container->target : STR_NONE;
}

size_t fake_count(Runtime *runtime, FakeOp op) {
    assert(op < FAKE_OPS);
    return fake(runtime)->counts[op];
}

// ---- network

typedef struct FakeNetwork {
    NodeNetwork base;
    Loop *loop;
    Map *addresses; // char *, by sandbox
    unsigned next;
} FakeNetwork;

typedef struct FakeNetworkCall {
    char *ip;
    NetworkAttached attached;
    NetworkDetached detached;
    void *user;
} FakeNetworkCall;

static void network_answer(void *user) {
    FakeNetworkCall *call = user;
    if (call->attached)
        call->attached(call->user, 0, STR(""), str_from(call->ip));
    else
        call->detached(call->user, 0, STR(""));
    free(call->ip);
    free(call);
}

static void fake_network_attach(NodeNetwork *base, const NetworkAttachment *attachment,
                                NetworkAttached done, void *user) {
    FakeNetwork *network = container_of(base, FakeNetwork, base);
    char *ip = map_get(network->addresses, attachment->sandbox_id);
    if (!ip) {
        ip = memory_alloc(16);
        unsigned n = network->next++;
        snprintf(ip, 16, "10.42.%u.%u", n / 256 % 256, n % 256);
        map_put(network->addresses, attachment->sandbox_id, ip);
    }
    FakeNetworkCall *call = memory_new(FakeNetworkCall);
    *call = (FakeNetworkCall){.attached = done, .user = user, .ip = memory_alloc(16)};
    snprintf(call->ip, 16, "%s", ip);
    loop_call(network->loop, network_answer, call);
}

static void fake_network_detach(NodeNetwork *base, Str sandbox_id, NetworkDetached done,
                                void *user) {
    FakeNetwork *network = container_of(base, FakeNetwork, base);
    free(map_remove(network->addresses, sandbox_id));
    FakeNetworkCall *call = memory_new(FakeNetworkCall);
    *call = (FakeNetworkCall){.detached = done, .user = user};
    loop_call(network->loop, network_answer, call);
}

static Str fake_network_address(NodeNetwork *base, Str sandbox_id) {
    return str_from(map_get(container_of(base, FakeNetwork, base)->addresses, sandbox_id));
}

static void fake_network_retain(NodeNetwork *base, const Str *ids, size_t n_ids) {
    FakeNetwork *network = container_of(base, FakeNetwork, base);
    MapIter it = {0};
    while (map_next(network->addresses, &it)) {
        bool keep = false;
        for (size_t i = 0; i < n_ids && !keep; i++)
            keep = str_eq(ids[i], it.key);
        if (!keep)
            free(map_remove(network->addresses, it.key));
    }
}

static bool fake_network_ready(NodeNetwork *base, Str *ret_message) {
    *ret_message = STR("");
    return true;
}

static const NodeNetworkOps fake_network_ops = {
    .attach = fake_network_attach,
    .detach = fake_network_detach,
    .address = fake_network_address,
    .retain = fake_network_retain,
    .ready = fake_network_ready,
};

NodeNetwork *network_fake_new(Loop *loop) {
    FakeNetwork *network = memory_new(FakeNetwork);
    network->base.ops = &fake_network_ops;
    network->loop = loop;
    network->addresses = map_new();
    network->next = 2;
    return &network->base;
}

void network_fake_free(NodeNetwork *base) {
    FakeNetwork *network = container_of(base, FakeNetwork, base);
    MapIter it = {0};
    while (map_next(network->addresses, &it))
        free(it.value);
    map_free(network->addresses);
    free(network);
}
