#include "node/node_reporter.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/log.h"
#include "base/time.h"
#include "node/images.h"
#include "node/pressure.h"
#include "node/static_pods.h"

#define LEASE_DURATION 40
#define LEASE_RENEW (10 * NSEC_PER_SEC)
#define STATUS_REPORT (300 * NSEC_PER_SEC) // a kubelet's nodeStatusReportFrequency
#define RETRY (1 * NSEC_PER_SEC)
#define CHANGE_DELAY (1 * NSEC_PER_SEC) // so that several make one write
#define MAX_IMAGES 50                   // a kubelet's nodeStatusMaxImages
#define MAX_IMAGE_NAMES 5
#define MAX_PODS 110
#define KUBELET_VERSION "v1.35.0+seapod-" SEAPOD_VERSION

struct NodeReporter {
    NodeAgent *agent;
    void (*registered)(void *user, int error);
    void *user;
    ClientCall *call, *lease_call;
    LoopTimer report, renew;
    bool have_lease, changed;
    int64_t memory, milli_cpu, storage;
    int64_t ready_since, started;
    bool was_ready;
};

int64_t node_reporter_memory(const NodeReporter *status) {
    return status->memory;
}
int64_t node_reporter_milli_cpu(const NodeReporter *status) {
    return status->milli_cpu;
}

static Str json_of(Arena *arena, const Value *value) {
    Buf buf = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(value, &buf);
    Str text = arena_str(arena, buf_view(&buf));
    buf_deinit(&buf);
    return text;
}

static Value *object_at(Arena *arena, Value *parent, const char *key) {
    Value *object = value_new_object(arena);
    value_set(arena, parent, str_from(key), object);
    return object;
}

// What the machine is
// ---------------------------------------------------------------------------------

static Str first_line(Arena *arena, const char *path) {
    char text[256] = "";
    FILE *file = fopen(path, "re");
    if (file) {
        if (!fgets(text, sizeof text, file))
            text[0] = '\0';
        fclose(file);
    }
    return arena_str(arena, str_trim(str_from(text)));
}

static Str os_image(Arena *arena) {
    char line[512];
    Str name = STR("Linux");
    FILE *file = fopen("/etc/os-release", "re");
    while (file && fgets(line, sizeof line, file)) {
        Str text = str_trim(str_from(line));
        if (!str_starts_with(text, STR("PRETTY_NAME=")))
            continue;
        text = str_slice(text, 12, text.len);
        if (text.len >= 2 && text.ptr[0] == '"')
            text = str_slice(text, 1, text.len - 1);
        name = arena_str(arena, text);
    }
    if (file)
        fclose(file);
    return name;
}

static void measure(NodeReporter *status) {
    struct sysinfo info;
    if (sysinfo(&info) == 0)
        status->memory = (int64_t)info.totalram * info.mem_unit;
    status->milli_cpu = sysconf(_SC_NPROCESSORS_ONLN) * 1000;
    struct statvfs files;
    _arena_free_ Arena *arena = arena_new();
    if (statvfs(arena_cstr(arena, status->agent->config.data_directory), &files) == 0)
        status->storage = (int64_t)files.f_blocks * (int64_t)files.f_frsize;
}

// `kept`: without what the node keeps free, as allocatable has it.
static void fill_resources(Arena *arena, const NodeReporter *status, bool kept, Value *into) {
    const Pressure *pressure = status->agent->pressure;
    int64_t memory = status->memory - (kept ? pressure_reserved_memory(pressure) : 0);
    int64_t storage =
        status->storage - (kept ? pressure_reserved_disk(pressure, status->storage) : 0);
    value_set_str(arena, into, STR("cpu"),
                  arena_printf(arena, "%lld", (long long)(status->milli_cpu / 1000)));
    value_set_str(arena, into, STR("memory"),
                  arena_printf(arena, "%lldKi", (long long)(memory / 1024)));
    value_set_str(arena, into, STR("ephemeral-storage"),
                  arena_printf(arena, "%lldKi", (long long)(storage / 1024)));
    value_set_str(arena, into, STR("pods"), arena_printf(arena, "%d", MAX_PODS));
}

static void fill_info(Arena *arena, NodeReporter *status, Value *info) {
    struct utsname uts;
    uname(&uts);
    Runtime *runtime = status->agent->runtime;
    bool x86 = !strcmp(uts.machine, "x86_64");
    const struct {
        Str key, value;
    } members[] = {
        {STR("machineID"), first_line(arena, "/etc/machine-id")},
        {STR("systemUUID"), first_line(arena, "/sys/class/dmi/id/product_uuid")},
        {STR("bootID"), first_line(arena, "/proc/sys/kernel/random/boot_id")},
        {STR("kernelVersion"), arena_str(arena, str_from(uts.release))},
        {STR("osImage"), os_image(arena)},
        {STR("containerRuntimeVersion"),
         arena_printf(arena, "%.*s://%.*s", STR_ARG(runtime->ops->name(runtime)),
                      STR_ARG(runtime->ops->version(runtime)))},
        {STR("kubeletVersion"), STR(KUBELET_VERSION)},
        {STR("kubeProxyVersion"), STR("")},
        {STR("operatingSystem"), STR("linux")},
        {STR("architecture"),
         x86 ? STR("amd64")
             : arena_str(arena, str_from(!strcmp(uts.machine, "aarch64") ? "arm64" : uts.machine))},
    };
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        value_set_str(arena, info, members[i].key, members[i].value);
}

static void add_condition(Arena *arena, Value *list, const char *type, const char *state,
                          const char *reason, Str message, int64_t now, int64_t since) {
    Value *condition = value_new_object(arena);
    value_set_str(arena, condition, STR("type"), str_from(type));
    value_set_str(arena, condition, STR("status"), str_from(state));
    value_set_str(arena, condition, STR("lastHeartbeatTime"), time_format(arena, now));
    value_set_str(arena, condition, STR("lastTransitionTime"), time_format(arena, since));
    value_set_str(arena, condition, STR("reason"), str_from(reason));
    value_set_str(arena, condition, STR("message"), message);
    value_push(arena, list, condition);
}

static void add_pressures(Arena *arena, NodeReporter *status, Value *list, int64_t now) {
    static const struct {
        const char *type, *reasons[2], *messages[2]; // without and with pressure
    } kinds[PRESSURE_KINDS] = {
        [PRESSURE_MEMORY] = {"MemoryPressure",
                             {"KubeletHasSufficientMemory", "KubeletHasInsufficientMemory"},
                             {"kubelet has sufficient memory available",
                              "kubelet has insufficient memory available"}},
        [PRESSURE_DISK] = {"DiskPressure",
                           {"KubeletHasNoDiskPressure", "KubeletHasDiskPressure"},
                           {"kubelet has no disk pressure", "kubelet has disk pressure"}},
        [PRESSURE_PIDS] = {"PIDPressure",
                           {"KubeletHasSufficientPID", "KubeletHasInsufficientPID"},
                           {"kubelet has sufficient PID available",
                            "kubelet has insufficient PID available"}},
    };
    for (int i = 0; i < PRESSURE_KINDS; i++) {
        int64_t since;
        bool holds = pressure_holds(status->agent->pressure, (PressureKind)i, &since);
        add_condition(arena, list, kinds[i].type, holds ? "True" : "False", kinds[i].reasons[holds],
                      str_from(kinds[i].messages[holds]), now, since ? since : status->started);
    }
}

static bool network_ready(NodeReporter *status, Str *ret_message) {
    return status->agent->network->ops->ready(status->agent->network, ret_message);
}

static void fill_images(Arena *arena, NodeReporter *status, Value *list) {
    const Image *images;
    size_t n = images_list(status->agent->images, arena, &images);
    for (size_t i = 0; i < n && i < MAX_IMAGES; i++) {
        const ImageStrings *kinds[] = {&images[i].repo_digests, &images[i].repo_tags};
        Value *image = value_new_object(arena), *names = value_new_array(arena);
        for (size_t k = 0; k < 2; k++)
            for (size_t j = 0; j < kinds[k]->n && names->n < MAX_IMAGE_NAMES; j++)
                value_push(arena, names, value_new_string(arena, kinds[k]->items[j]));
        value_set(arena, image, STR("names"), names);
        value_set_int(arena, image, STR("sizeBytes"), (int64_t)images[i].size);
        value_push(arena, list, image);
    }
}

static Value *status_value(Arena *arena, NodeReporter *status) {
    NodeAgent *agent = status->agent;
    int64_t now = loop_wall(agent->loop);
    measure(status);
    Value *object = value_new_object(arena);
    fill_resources(arena, status, false, object_at(arena, object, "capacity"));
    fill_resources(arena, status, true, object_at(arena, object, "allocatable"));
    Value *conditions = value_new_array(arena);
    Str message = STR_NONE;
    bool ready = network_ready(status, &message);
    if (ready != status->was_ready || !status->ready_since)
        status->ready_since = now;
    status->was_ready = ready;
    int64_t since = status->ready_since;
    add_pressures(arena, status, conditions, now);
    add_condition(
        arena, conditions, "Ready", ready ? "True" : "False",
        ready ? "KubeletReady" : "KubeletNotReady",
        ready ? STR("kubelet is posting ready status")
              : arena_printf(arena, "container runtime network not ready: %.*s", STR_ARG(message)),
        now, since);
    value_set(arena, object, STR("conditions"), conditions);
    Value *addresses = value_new_array(arena);
    const struct {
        const char *type;
        Str address;
    } known[] = {{"InternalIP", agent->config.address}, {"Hostname", agent->config.name}};
    for (size_t i = 0; i < 2; i++) {
        Value *address = value_new_object(arena);
        value_set_str(arena, address, STR("type"), str_from(known[i].type));
        value_set_str(arena, address, STR("address"), known[i].address);
        value_push(arena, addresses, address);
    }
    value_set(arena, object, STR("addresses"), addresses);
    value_set_int(arena,
                  object_at(arena, object_at(arena, object, "daemonEndpoints"), "kubeletEndpoint"),
                  STR("Port"), agent->config.port);
    fill_info(arena, status, object_at(arena, object, "nodeInfo"));
    Value *images = value_new_array(arena);
    fill_images(arena, status, images);
    value_set(arena, object, STR("images"), images);
    return object;
}

// Labels that every node has, and those of the command line.
static void fill_labels(Arena *arena, NodeReporter *status, Value *labels) {
    NodeAgent *agent = status->agent;
    struct utsname uts;
    uname(&uts);
    Str architecture = !strcmp(uts.machine, "x86_64")    ? STR("amd64")
                       : !strcmp(uts.machine, "aarch64") ? STR("arm64")
                                                         : STR("unknown");
    value_set_str(arena, labels, STR("kubernetes.io/hostname"), agent->config.name);
    value_set_str(arena, labels, STR("kubernetes.io/os"), STR("linux"));
    value_set_str(arena, labels, STR("kubernetes.io/arch"), architecture);
    value_set_str(arena, labels, STR("beta.kubernetes.io/os"), STR("linux"));
    value_set_str(arena, labels, STR("beta.kubernetes.io/arch"), architecture);
    for (size_t i = 0; i < agent->config.n_labels; i++) {
        Str value = agent->config.labels[i], key = str_cut(&value, '=');
        value_set_str(arena, labels, key, value.ptr ? value : STR(""));
    }
}

static void fill_taints(Arena *arena, NodeReporter *status, Value *spec) {
    NodeAgent *agent = status->agent;
    if (!agent->config.n_taints)
        return;
    Value *taints = value_new_array(arena);
    for (size_t i = 0; i < agent->config.n_taints; i++) { // KEY[=VALUE]:EFFECT
        Str effect = agent->config.taints[i], value = str_cut(&effect, ':'),
            key = str_cut(&value, '=');
        Value *taint = value_new_object(arena);
        value_set_str(arena, taint, STR("key"), key);
        if (value.ptr)
            value_set_str(arena, taint, STR("value"), value);
        value_set_str(arena, taint, STR("effect"), effect.ptr ? effect : STR("NoSchedule"));
        value_push(arena, taints, taint);
    }
    value_set(arena, spec, STR("taints"), taints);
}

// Registration and reports
// --------------------------------------------------------------------------

static void send_status(void *user);

static void retry_report(NodeReporter *status) {
    loop_timer_start(&status->report, RETRY);
}

// Mirror pods are owned by the Node.
static void note_uid(NodeAgent *agent, Str body) {
    _arena_free_ Arena *arena = arena_new();
    Node node;
    if (typed_from_json(arena, kinds_type_Node(), body, &node) != 0 ||
        str_eq(node.metadata.uid, agent->node_uid))
        return;
    agent->node_uid = arena_str(agent->arena, node.metadata.uid);
    static_pods_reconcile(agent->static_pods);
}

static void on_reported(void *user, const ClientResult *result) {
    NodeReporter *status = user;
    status->call = NULL;
    if (result->error) {
        if (result->code != 404)
            log_warn("node", "node status not written", "code=%d message=\"%.*s\"", result->code,
                     STR_ARG(result->status ? result->status->message : STR("no answer")));
        retry_report(status); // a deleted Node is registered again
        return;
    }
    note_uid(status->agent, result->body);
    bool soon = status->changed;
    status->changed = false;
    loop_timer_start(&status->report, soon                ? CHANGE_DELAY
                                      : status->was_ready ? STATUS_REPORT
                                                          : RETRY);
    if (status->registered)
        status->registered(status->user, 0);
    status->registered = NULL;
}

static void patch_status(NodeReporter *status) {
    _arena_free_ Arena *arena = arena_new();
    Value *object = value_new_object(arena), *metadata = object_at(arena, object, "metadata");
    fill_labels(arena, status, object_at(arena, metadata, "labels"));
    value_set(arena, object, STR("status"), status_value(arena, status));
    ClientTarget target = {.resource = kinds_resource_core_v1_nodes(),
                           .name = status->agent->config.name,
                           .subresource = STR("status")};
    status->call = client_patch(status->agent->client, &target, PATCH_STRATEGIC,
                                json_of(arena, object), on_reported, status);
}

static void on_created(void *user, const ClientResult *result) {
    NodeReporter *status = user;
    status->call = NULL;
    if (result->error && !(result->code == 409)) {
        log_warn("node", "node not registered", "code=%d message=\"%.*s\"", result->code,
                 STR_ARG(result->status ? result->status->message : STR("no answer")));
        retry_report(status);
        return;
    }
    patch_status(status);
}

static void register_node(NodeReporter *status) {
    _arena_free_ Arena *arena = arena_new();
    Value *object = value_new_object(arena);
    value_set_str(arena, object, STR("apiVersion"), STR("v1"));
    value_set_str(arena, object, STR("kind"), STR("Node"));
    Value *metadata = object_at(arena, object, "metadata");
    value_set_str(arena, metadata, STR("name"), status->agent->config.name);
    fill_labels(arena, status, object_at(arena, metadata, "labels"));
    fill_taints(arena, status, object_at(arena, object, "spec"));
    value_set(arena, object, STR("status"), status_value(arena, status));
    ClientTarget target = {.resource = kinds_resource_core_v1_nodes()};
    status->call =
        client_create(status->agent->client, &target, json_of(arena, object), on_created, status);
}

static void send_status(void *user) {
    NodeReporter *status = user;
    if (status->call)
        return;
    register_node(status); // 409 when it exists: then its status is patched
    images_collect(status->agent->images);
}

void node_reporter_changed(NodeReporter *status) {
    if (!status)
        return;
    if (status->call)
        status->changed = true;
    else
        loop_timer_start(&status->report, CHANGE_DELAY);
}

// Lease
// ---------------------------------------------------------------------------------------------

static void renew(void *user);

static void on_renewed(void *user, const ClientResult *result) {
    NodeReporter *status = user;
    status->lease_call = NULL;
    if (result->code == 404)
        status->have_lease = false;
    else if (result->code == 409)
        status->have_lease = true;
    else if (!result->error)
        status->have_lease = true;
    if (result->error && result->code != 409 && result->code != 404)
        log_warn("node", "lease not renewed", "code=%d message=\"%.*s\"", result->code,
                 STR_ARG(result->status ? result->status->message : STR("no answer")));
    loop_timer_start(&status->renew, result->error ? RETRY : LEASE_RENEW);
}

static void renew(void *user) {
    NodeReporter *status = user;
    NodeAgent *agent = status->agent;
    pressure_look(agent->pressure);
    _arena_free_ Arena *arena = arena_new();
    Value *object = value_new_object(arena), *spec = value_new_object(arena);
    value_set_str(arena, spec, STR("holderIdentity"), agent->config.name);
    value_set_int(arena, spec, STR("leaseDurationSeconds"), LEASE_DURATION);
    value_set_str(arena, spec, STR("renewTime"), time_format_micro(arena, loop_wall(agent->loop)));
    value_set(arena, object, STR("spec"), spec);
    ClientTarget target = {.resource = kinds_resource_coordination_v1_leases(),
                           .namespace_ = STR("kube-node-lease")};
    if (status->have_lease) {
        target.name = agent->config.name;
        status->lease_call = client_patch(agent->client, &target, PATCH_MERGE,
                                          json_of(arena, object), on_renewed, status);
        return;
    }
    value_set_str(arena, object, STR("apiVersion"), STR("coordination.k8s.io/v1"));
    value_set_str(arena, object, STR("kind"), STR("Lease"));
    value_set_str(arena, object_at(arena, object, "metadata"), STR("name"), agent->config.name);
    status->lease_call =
        client_create(agent->client, &target, json_of(arena, object), on_renewed, status);
}

NodeReporter *node_reporter_new(NodeAgent *agent, void (*registered)(void *user, int error),
                                void *user) {
    NodeReporter *status = calloc(1, sizeof *status);
    assert(status);
    status->agent = agent;
    status->registered = registered;
    status->user = user;
    status->started = loop_wall(agent->loop);
    loop_timer_init(&status->report, agent->loop, send_status, status);
    loop_timer_init(&status->renew, agent->loop, renew, status);
    measure(status);
    send_status(status);
    renew(status);
    return status;
}

void node_reporter_free(NodeReporter *status) {
    if (!status)
        return;
    if (status->call)
        client_cancel(status->call);
    if (status->lease_call)
        client_cancel(status->lease_call);
    loop_timer_stop(&status->report);
    loop_timer_stop(&status->renew);
    free(status);
}
