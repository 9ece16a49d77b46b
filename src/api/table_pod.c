// The cells of `kubectl get pods`, as upstream's printers print them.
#include "api/table_cells.h"
#include "base/time.h"

static uint32_t count(const Value *list) {
    return list && list->kind == VALUE_ARRAY ? list->n : 0;
}

static const Value *item(const Value *list, uint32_t index) {
    return list->items[index];
}

static const Value *spec_of(const Value *pod, const char *list, Str name) {
    const Value *containers = value_at(pod, list);
    for (uint32_t i = 0; i < count(containers); i++)
        if (str_eq(value_string_at(item(containers, i), "name"), name))
            return item(containers, i);
    return NULL;
}

static bool is_sidecar(const Value *pod, const Value *status) {
    const Value *spec = spec_of(pod, "spec.initContainers", value_string_at(status, "name"));
    return spec && str_eq(value_string_at(spec, "restartPolicy"), STR("Always"));
}

Value *cell_pod_ready(const CellInput *input) {
    const Value *pod = input->object, *statuses = value_at(pod, "status.containerStatuses");
    uint32_t total = count(value_at(pod, "spec.containers")), ready = 0;
    for (uint32_t i = 0; i < count(statuses); i++)
        ready += value_bool_at(item(statuses, i), "ready", false) &&
                 value_at(item(statuses, i), "state.running");
    const Value *inits = value_at(pod, "spec.initContainers"),
                *init_statuses = value_at(pod, "status.initContainerStatuses");
    for (uint32_t i = 0; i < count(inits); i++)
        total += str_eq(value_string_at(item(inits, i), "restartPolicy"), STR("Always"));
    for (uint32_t i = 0; i < count(init_statuses); i++)
        ready += is_sidecar(pod, item(init_statuses, i)) &&
                 value_bool_at(item(init_statuses, i), "ready", false) &&
                 value_at(item(init_statuses, i), "state.running");
    return cell_string(input, arena_printf(input->arena, "%u/%u", ready, total));
}

// What a container that is not running says of itself; STR_NONE when it says nothing.
static Str container_word(Arena *arena, const Value *status) {
    const Value *waiting = value_at(status, "state.waiting"),
                *terminated = value_at(status, "state.terminated");
    if (waiting && value_string_at(waiting, "reason").len)
        return value_string_at(waiting, "reason");
    if (!terminated)
        return STR_NONE;
    if (value_string_at(terminated, "reason").len)
        return value_string_at(terminated, "reason");
    int64_t signal = value_int_at(terminated, "signal", 0);
    return signal ? arena_printf(arena, "Signal:%lld", (long long)signal)
                  : arena_printf(arena, "ExitCode:%lld",
                                 (long long)value_int_at(terminated, "exitCode", 0));
}

// The word while init containers are at work; STR_NONE when they are done.
static Str init_word(const CellInput *input) {
    const Value *pod = input->object, *statuses = value_at(pod, "status.initContainerStatuses");
    for (uint32_t i = 0; i < count(statuses); i++) {
        const Value *status = item(statuses, i), *terminated = value_at(status, "state.terminated");
        if (terminated && value_int_at(terminated, "exitCode", 0) == 0)
            continue;
        if (is_sidecar(pod, status) && value_bool_at(status, "started", false))
            continue;
        Str reason = value_string_at(status, "state.waiting.reason");
        if (terminated)
            return arena_printf(input->arena, "Init:%.*s",
                                STR_ARG(container_word(input->arena, status)));
        if (reason.len && !str_eq(reason, STR("PodInitializing")))
            return arena_printf(input->arena, "Init:%.*s", STR_ARG(reason));
        return arena_printf(input->arena, "Init:%u/%u", i,
                            count(value_at(pod, "spec.initContainers")));
    }
    return STR_NONE;
}

static bool condition_is_true(const Value *pod, Str type) {
    const Value *conditions = value_at(pod, "status.conditions");
    for (uint32_t i = 0; i < count(conditions); i++)
        if (str_eq(value_string_at(item(conditions, i), "type"), type))
            return str_eq(value_string_at(item(conditions, i), "status"), STR("True"));
    return false;
}

static bool is_gated(const Value *pod) {
    const Value *conditions = value_at(pod, "status.conditions");
    for (uint32_t i = 0; i < count(conditions); i++)
        if (str_eq(value_string_at(item(conditions, i), "type"), STR("PodScheduled")) &&
            str_eq(value_string_at(item(conditions, i), "reason"), STR("SchedulingGated")))
            return true;
    return false;
}

static Str main_word(const CellInput *input, Str word) {
    const Value *pod = input->object, *statuses = value_at(pod, "status.containerStatuses");
    bool running = false;
    for (uint32_t i = count(statuses); i-- > 0;) {
        const Value *status = item(statuses, i);
        Str own = container_word(input->arena, status);
        if (own.len)
            word = own;
        else if (value_bool_at(status, "ready", false) && value_at(status, "state.running"))
            running = true;
    }
    // One has completed while another still runs: the pod runs.
    if (str_eq(word, STR("Completed")) && running)
        word = condition_is_true(pod, STR("Ready")) ? STR("Running") : STR("NotReady");
    return word;
}

Value *cell_pod_status(const CellInput *input) {
    const Value *pod = input->object;
    Str phase = value_string_at(pod, "status.phase"),
        reason = value_string_at(pod, "status.reason");
    Str word = reason.len ? reason : is_gated(pod) ? STR("SchedulingGated") : phase;
    Str init = init_word(input);
    if (init.len && !condition_is_true(pod, STR("Initialized")))
        word = init;
    else
        word = main_word(input, word);
    if (value_at(pod, "metadata.deletionTimestamp")) {
        bool ended = str_eq(phase, STR("Succeeded")) || str_eq(phase, STR("Failed"));
        if (str_eq(reason, STR("NodeLost")))
            word = STR("Unknown");
        else if (!ended)
            word = STR("Terminating");
    }
    return cell_string(input, word);
}

typedef struct Restarts {
    int64_t number, last; // last: Unix ns of the newest end, 0 unknown
} Restarts;

static void count_restarts(Restarts *restarts, const Value *status) {
    restarts->number += value_int_at(status, "restartCount", 0);
    int64_t finished;
    if (time_parse(value_string_at(status, "lastState.terminated.finishedAt"), &finished) == 0 &&
        finished > restarts->last)
        restarts->last = finished;
}

Value *cell_pod_restarts(const CellInput *input) {
    const Value *pod = input->object, *statuses = value_at(pod, "status.containerStatuses");
    const Value *inits = value_at(pod, "status.initContainerStatuses");
    Restarts mains = {0}, sidecars = {0}, all_inits = {0};
    for (uint32_t i = 0; i < count(inits); i++) {
        count_restarts(&all_inits, item(inits, i));
        if (is_sidecar(pod, item(inits, i)))
            count_restarts(&sidecars, item(inits, i));
    }
    for (uint32_t i = 0; i < count(statuses); i++)
        count_restarts(&mains, item(statuses, i));
    bool initializing = init_word(input).len && !condition_is_true(pod, STR("Initialized"));
    Restarts shown = initializing ? all_inits : mains;
    if (!initializing) {
        shown.number += sidecars.number;
        if (sidecars.last > shown.last)
            shown.last = sidecars.last;
    }
    if (!shown.number || !shown.last)
        return cell_string(input, arena_printf(input->arena, "%lld", (long long)shown.number));
    Str ago = time_human_duration(input->arena, input->now - shown.last);
    return cell_string(input, arena_printf(input->arena, "%lld (%.*s ago)", (long long)shown.number,
                                           STR_ARG(ago)));
}

Value *cell_pod_ip(const CellInput *input) {
    const Value *ips = value_at(input->object, "status.podIPs");
    Str ip = count(ips) ? value_string_at(item(ips, 0), "ip")
                        : value_string_at(input->object, "status.podIP");
    return cell_string(input, ip.len ? ip : STR("<none>"));
}

Value *cell_pod_readiness_gates(const CellInput *input) {
    const Value *gates = value_at(input->object, "spec.readinessGates");
    if (!count(gates))
        return cell_string(input, STR("<none>"));
    uint32_t passed = 0;
    for (uint32_t i = 0; i < count(gates); i++)
        passed +=
            condition_is_true(input->object, value_string_at(item(gates, i), "conditionType"));
    return cell_string(input, arena_printf(input->arena, "%u/%u", passed, count(gates)));
}
