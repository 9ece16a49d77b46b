#include "cmd/node_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "cmd/cmd.h"
#include "cmd/node_services.h"
#include "cmd/pod_network.h"
#include "net/ipam.h"
#include "net/podnet.h"
#include "node/pressure.h"

struct NodeParts {
    NodeNetwork *network; // what the node sees of podnet
    NodeServices *services;
    Loop *loop;
    NodeAgent *agent;
    void (*stopped)(void *user);
    void *user;
};

// Options
// ------------------------------------------------------------------------------------------

void node_options_init(Arena *arena, NodeOptions *options) {
    char name[256] = "localhost";
    gethostname(name, sizeof name - 1);
    for (char *c = name; *c; c++)
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 'a' - 'A') : *c;
    *options = (NodeOptions){.data_dir = STR(DEFAULT_DATA_DIR),
                             .node_name = arena_str(arena, str_from(name)),
                             .node_ip = cmd_node_address(arena),
                             .cgroup_parent = STR(DEFAULT_CGROUP_PARENT),
                             .cluster_cidr = STR("10.42.0.0/16"),
                             .service_cidr = STR("10.43.0.0/16"),
                             .node_api_port = 10250,
                             .image_gc_high = 85,
                             .image_gc_low = 80,
                             .image_min_age = 120};
}

size_t node_options_table(NodeOptions *o, Option *ret) {
    const Option table[] = {
        {"data-dir", OPTION_STRING, &o->data_dir, "DIR",
         "for everything that is kept (default " DEFAULT_DATA_DIR ")"},
        {"node-name", OPTION_STRING, &o->node_name, "NAME",
         "of this node (default: the host name)"},
        {"node-ip", OPTION_STRING, &o->node_ip, "IP",
         "of this node (default: the one towards the default route)"},
        {"node-label", OPTION_LIST, &o->labels, "KEY=VALUE", "a label of this node (repeatable)"},
        {"node-taint", OPTION_LIST, &o->taints, "KEY=VALUE:EFFECT",
         "a taint of this node when it registers (repeatable)"},
        {"node-api-port", OPTION_NUMBER, &o->node_api_port, "PORT",
         "of the node's endpoint (default 10250)"},
        {"cgroup-parent", OPTION_STRING, &o->cgroup_parent, "PATH",
         "of all pods (default " DEFAULT_CGROUP_PARENT ")"},
        {"cluster-cidr", OPTION_STRING, &o->cluster_cidr, "CIDR",
         "of pod addresses (default 10.42.0.0/16)"},
        {"service-cidr", OPTION_STRING, &o->service_cidr, "CIDR",
         "of cluster IPs (default 10.43.0.0/16)"},
        {"cluster-dns", OPTION_STRING, &o->cluster_dns, "IP",
         "of the cluster's DNS server (default: the tenth address of --service-cidr)"},
        {"dns-upstream", OPTION_LIST, &o->dns_upstreams, "IP[:PORT]",
         "asked for other names (repeatable; default: those of /etc/resolv.conf)"},
        {"registry-mirror", OPTION_LIST, &o->mirrors, "HOST=URL",
         "docker.io=http://127.0.0.1:5000 (repeatable)"},
        {"registry-config", OPTION_STRING, &o->registry_config, "FILE",
         "credentials and authorities of registries"},
        {"manifests", OPTION_STRING, &o->manifests, "DIR", "of static pods: files of a Pod each"},
        {"eviction-hard", OPTION_STRING, &o->eviction_hard, "SIGNAL<AMOUNT,...",
         "from when pods are evicted (default memory.available<100Mi,nodefs.available<10%,"
         "nodefs.inodesFree<5%)"},
        {"image-gc-high-threshold", OPTION_NUMBER, &o->image_gc_high, "PERCENT",
         "of the disk in use, from which unused images are removed (default 85)"},
        {"image-gc-low-threshold", OPTION_NUMBER, &o->image_gc_low, "PERCENT",
         "down to which they are (default 80)"},
        {"minimum-image-ttl", OPTION_NUMBER, &o->image_min_age, "SECONDS",
         "an image is kept at least so long (default 120)"},
    };
    memcpy(ret, table, sizeof table);
    return sizeof table / sizeof *table;
}

void node_options_finish(Arena *arena, NodeOptions *o) {
    Ipv4Range range;
    char text[IPAM_TEXT];
    if (o->cluster_dns.len || ipv4_range_parse(o->service_cidr, &range))
        return; // a range that is none is told of by whoever needs it
    ipv4_format(range.network + 10, text);
    o->cluster_dns = arena_str(arena, str_from(text));
}

// This node's part of the cluster's range: while there is one node, the first /24.
static Str pod_range(Arena *arena, Str cluster_cidr) {
    ptrdiff_t slash = str_find(cluster_cidr, '/');
    Str base = slash < 0 ? cluster_cidr : str_slice(cluster_cidr, 0, (size_t)slash);
    int64_t bits = 32;
    if (slash >= 0 &&
        str_to_i64(str_slice(cluster_cidr, (size_t)slash + 1, cluster_cidr.len), &bits) != 0)
        bits = 32;
    return arena_printf(arena, "%.*s/%lld", STR_ARG(base), (long long)(bits < 24 ? 24 : bits));
}

static PodnetConfig podnet_config(Arena *arena, Loop *loop, const NodeOptions *options) {
    const char *name = cmd_bridge(arena, options->data_dir).ptr;
    Str run = cmd_run_directory(arena, options->data_dir);
    return (PodnetConfig){.loop = loop,
                          .bridge = name,
                          .table = name,
                          .pod_range = pod_range(arena, options->cluster_cidr).ptr,
                          .cluster_range = arena_cstr(arena, options->cluster_cidr),
                          .service_range = arena_cstr(arena, options->service_cidr),
                          .dns = arena_cstr(arena, options->cluster_dns),
                          .directory = arena_printf(arena, "%.*s/network", STR_ARG(run)).ptr};
}

static CrunConfig crun_config(Arena *arena, Loop *loop, const NodeOptions *options) {
    return (CrunConfig){
        .loop = loop,
        .state_directory = arena_printf(arena, "%.*s/run", STR_ARG(options->data_dir)).ptr,
        .run_directory = arena_cstr(arena, cmd_run_directory(arena, options->data_dir)),
        .pause = cmd_helper(arena, "seapod-pause").ptr};
}

static int fail(Arena *arena, int error, char *message, Str *ret_message) {
    *ret_message =
        arena_str(arena, str_from(message ? message : strerror(error < 0 ? -error : EINVAL)));
    free(message);
    return error;
}

// Life
// -----------------------------------------------------------------------------------------------

static void parts_free(NodeParts *parts) {
    node_services_free(parts->services);
    if (parts->network)
        pod_network_free(parts->network);
    free(parts);
}

static int make_networks(Arena *arena, NodeParts *parts, const NodeOptions *options, Client *proxy,
                         char **ret_message) {
    PodnetConfig network = podnet_config(arena, parts->loop, options);
    int error = pod_network_new(&network, &parts->network, ret_message);
    if (!error && proxy)
        error =
            node_services_new(arena, parts->loop, options, proxy, &parts->services, ret_message);
    else if (!error)
        log_warn("node", "services are not served: there is no client for the proxy");
    return error;
}

int node_parts_new(Arena *arena, Loop *loop, const NodeOptions *options, const NodeClients *clients,
                   void (*ready)(void *user, int error), void *user, NodeParts **ret,
                   Str *ret_message) {
    int error = pressure_check_thresholds(arena, options->eviction_hard, ret_message);
    if (error)
        return error;
    NodeParts *parts = memory_new(NodeParts);
    parts->loop = loop;
    char *message = NULL;
    Str directories[] = {cmd_run_directory(arena, options->data_dir),
                         arena_printf(arena, "%.*s/run", STR_ARG(options->data_dir))};
    for (size_t i = 0; i < 2 && !error; i++)
        error = cmd_make_directories(arena_cstr(arena, directories[i]), 0711);
    if (!error)
        error = make_networks(arena, parts, options, clients->proxy, &message);
    if (error) {
        parts_free(parts);
        return fail(arena, error, message, ret_message);
    }
    Runtime *runtime;
    CrunConfig crun = crun_config(arena, loop, options);
    error = runtime_crun_new(&crun, &runtime, &message);
    if (error) {
        parts_free(parts);
        return fail(arena, error, message, ret_message);
    }
    NodeConfig config = {
        .loop = loop,
        .client = clients->node,
        .runtime = runtime,
        .network = parts->network,
        .name = options->node_name,
        .address = options->node_ip,
        .port = (uint16_t)options->node_api_port,
        .data_directory = options->data_dir,
        .log_directory = STR("/var/log/pods"),
        .cgroup_parent = options->cgroup_parent,
        .labels = options->labels.items,
        .n_labels = options->labels.n,
        .taints = options->taints.items,
        .n_taints = options->taints.n,
        .cluster_dns = clients->proxy ? options->cluster_dns : STR(""),
        .cluster_domain = STR("cluster.local"),
        .image_program = cmd_helper(arena, "seapod-image"),
        .registry_mirrors = options->mirrors.items,
        .n_registry_mirrors = options->mirrors.n,
        .registry_config = options->registry_config,
        .manifests = options->manifests,
        .eviction_hard = options->eviction_hard,
        .image_gc_high = (int)options->image_gc_high,
        .image_gc_low = (int)options->image_gc_low,
        .image_min_age = options->image_min_age * NSEC_PER_SEC};
    error = node_new(&config, ready, user, &parts->agent);
    if (error) {
        runtime->ops->free(runtime);
        parts_free(parts);
        return fail(arena, error, NULL, ret_message);
    }
    *ret = parts;
    return 0;
}

void node_parts_handle(void *parts, HttpRequest *request) {
    node_handle(((NodeParts *)parts)->agent, request);
}

static void on_stopped(void *user) {
    NodeParts *parts = user;
    void (*stopped)(void *) = parts->stopped;
    void *stopped_user = parts->user;
    parts_free(parts);
    stopped(stopped_user);
}

void node_parts_stop(NodeParts *parts, void (*stopped)(void *user), void *user) {
    parts->stopped = stopped;
    parts->user = user;
    node_stop(parts->agent, on_stopped, parts);
}

int node_parts_cleanup(Arena *arena, const NodeOptions *options, Str *ret_message) {
    char *message = NULL;
    CrunConfig crun = crun_config(arena, NULL, options);
    int error = runtime_crun_cleanup(&crun, arena_cstr(arena, options->cgroup_parent), &message);
    if (!error) {
        PodnetConfig network = podnet_config(arena, NULL, options);
        error = podnet_cleanup(&network, &message);
    }
    if (!error)
        error = node_services_cleanup(arena, options);
    return error ? fail(arena, error, message, ret_message) : 0;
}
