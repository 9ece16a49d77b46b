// `seapod scheduler | controllers | node`: one actor as a process of its own, over HTTPS, against
// this or any other Kubernetes API server.
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/log.h"
#include "cmd/cmd.h"
#include "cmd/kubeconfig.h"
#include "cmd/node_parts.h"
#include "controllers/controllers.h"
#include "http/server.h"
#include "scheduler/scheduler.h"

typedef struct Component {
    const char *verb;
    Arena *arena;
    Loop *loop;
    Client *client;
    Str kubeconfig, config, cluster_ca;
    int64_t verbosity;
    NodeParts *node;
    HttpServer *http;
    int exit_code;
} Component;

static size_t common_table(Component *component, Option *table) {
    const Option common[] = {
        {"config", OPTION_STRING, &component->config, "FILE",
         "these settings in YAML; the command line wins"},
        {"kubeconfig", OPTION_STRING, &component->kubeconfig, "FILE",
         "how to reach the API server, and as whom"},
        {"v", OPTION_NUMBER, &component->verbosity, "LEVEL",
         "of the log: 0 errors, 1 warnings, 2 messages (default), 3, 4"},
    };
    memcpy(table, common, sizeof common);
    return sizeof common / sizeof *common;
}

static void stopped(void *user) {
    loop_stop(((Component *)user)->loop);
}

static void on_signal(void *user, int signal) {
    Component *component = user;
    if (component->node)
        node_parts_stop(component->node, stopped, component);
    else
        loop_stop(component->loop);
}

static int connect_api(Component *component, const char *agent) {
    if (!component->kubeconfig.len) {
        cmd_fail(component->verb, "--kubeconfig is needed");
        return 2;
    }
    log_set_level((LogLevel)(component->verbosity < 0   ? 0
                             : component->verbosity > 4 ? 4
                                                        : component->verbosity));
    signal(SIGPIPE, SIG_IGN);
    umask(022);
    component->loop = loop_new();
    Str message;
    if (kubeconfig_client(component->arena, component->loop,
                          arena_cstr(component->arena, component->kubeconfig), str_from(agent),
                          &component->client, &component->cluster_ca, &message) != 0)
        return cmd_fail(component->verb, "%.*s", STR_ARG(message));
    loop_on_signal(component->loop, SIGTERM, on_signal, component);
    loop_on_signal(component->loop, SIGINT, on_signal, component);
    return 0;
}

static int run(Component *component) {
    int error = loop_run(component->loop);
    if (error)
        return cmd_fail(component->verb, "event loop: %s", strerror(-error));
    return component->exit_code;
}

int cmd_scheduler(int argc, char **argv) {
    Component component = {.verb = "scheduler", .arena = arena_new(), .verbosity = 2};
    Option table[4];
    size_t n = common_table(&component, table);
    options_parse(component.arena, "scheduler", "--kubeconfig FILE [FLAGS]", table, n, argc, argv,
                  NULL);
    int code = connect_api(&component, "seapod-scheduler/" SEAPOD_VERSION);
    if (code)
        return code;
    Scheduler *scheduler =
        scheduler_new(&(SchedulerConfig){.loop = component.loop, .client = component.client});
    code = run(&component);
    scheduler_free(scheduler);
    return code;
}

static Client *same_client(void *user, Str name) {
    return ((Component *)user)->client;
}

int cmd_controllers(int argc, char **argv) {
    Component component = {.verb = "controllers", .arena = arena_new(), .verbosity = 2};
    Str selection = STR_NONE;
    Option table[5];
    size_t n = common_table(&component, table);
    table[n++] = (Option){"controllers", OPTION_STRING, &selection, "LIST",
                          "which run: \"*\" (default), \"*,-NAME\", \"NAME,NAME\""};
    options_parse(component.arena, "controllers", "--kubeconfig FILE [FLAGS]", table, n, argc, argv,
                  NULL);
    int code = connect_api(&component, "seapod-controllers/" SEAPOD_VERSION);
    if (code)
        return code;
    char *message = NULL;
    Controllers *controllers =
        controllers_new(&(ControllersConfig){.loop = component.loop,
                                             .client = same_client,
                                             .user = &component,
                                             .selection = selection,
                                             .cluster_ca = component.cluster_ca},
                        &message);
    if (!controllers)
        return cmd_fail("controllers", "%s", message);
    code = run(&component);
    controllers_free(controllers);
    return code;
}

static void on_node_ready(void *user, int error) {
    Component *component = user;
    if (!error)
        return;
    component->exit_code = cmd_fail("node", "%s", strerror(-error));
    loop_stop(component->loop);
}

// The serving certificate comes from files until certificates are requested by CSR; without them
// the endpoint is not served and logs and exec through the API server are refused.
int cmd_node(int argc, char **argv) {
    Component component = {.verb = "node", .arena = arena_new(), .verbosity = 2};
    NodeOptions options;
    Str certificate_file = STR_NONE, key_file = STR_NONE, proxy_kubeconfig = STR_NONE;
    NodeClients clients = {0};
    node_options_init(component.arena, &options);
    Option table[32];
    size_t n = common_table(&component, table);
    table[n++] = (Option){"tls-cert-file", OPTION_STRING, &certificate_file, "FILE",
                          "serving certificate of the node's endpoint"};
    table[n++] = (Option){"tls-key-file", OPTION_STRING, &key_file, "FILE", "its key"};
    table[n++] = (Option){"proxy-kubeconfig", OPTION_STRING, &proxy_kubeconfig, "FILE",
                          "as whom services are watched (default: they are not served)"};
    n += node_options_table(&options, table + n);
    options_parse(component.arena, "node",
                  "--kubeconfig FILE --tls-cert-file FILE --tls-key-file FILE [FLAGS]", table, n,
                  argc, argv, NULL);
    node_options_finish(component.arena, &options);
    Str certificate, key, message;
    if (!certificate_file.len || !key_file.len) {
        cmd_fail("node", "--tls-cert-file and --tls-key-file are needed");
        return 2;
    }
    int error = cmd_read_file(component.arena, arena_cstr(component.arena, certificate_file),
                              1 << 20, &certificate);
    if (!error)
        error =
            cmd_read_file(component.arena, arena_cstr(component.arena, key_file), 1 << 20, &key);
    if (error)
        return cmd_fail("node", "serving certificate: %s", strerror(-error));
    if (cmd_check_host(component.arena, true, &message) > 0)
        return cmd_fail("node", "this host cannot run pods yet (see seapod check):\n%.*s",
                        STR_ARG(message));
    int code = connect_api(&component, "seapod-node/" SEAPOD_VERSION);
    if (code)
        return code;
    clients.node = component.client;
    const char *proxy_path = arena_cstr(component.arena, proxy_kubeconfig);
    if (proxy_kubeconfig.len &&
        kubeconfig_client(component.arena, component.loop, proxy_path,
                          STR("seapod-proxy/" SEAPOD_VERSION), &clients.proxy, NULL, &message) != 0)
        return cmd_fail("node", "%.*s", STR_ARG(message));
    TlsContext *tls;
    if (tls_server_context(certificate, key, component.cluster_ca, false, &tls) != 0)
        return cmd_fail("node", "the serving certificate and key can't be used");
    if (node_parts_new(component.arena, component.loop, &options, &clients, on_node_ready,
                       &component, &component.node, &message) != 0)
        return cmd_fail("node", "%.*s", STR_ARG(message));
    error = http_server_new(&(HttpServerConfig){.loop = component.loop,
                                                .address = "0.0.0.0",
                                                .port = (uint16_t)options.node_api_port,
                                                .tls = tls,
                                                .handler = node_parts_handle,
                                                .user = component.node},
                            &component.http);
    if (error)
        return cmd_fail("node", "cannot listen on port %lld: %s", (long long)options.node_api_port,
                        strerror(-error));
    return run(&component);
}
