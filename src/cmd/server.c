// `seapod server`: the wiring of a control plane and a node in one process.
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/api.h"
#include "base/log.h"
#include "cmd/cmd.h"
#include "cmd/kubeconfig.h"
#include "cmd/manifests.h"
#include "cmd/node_parts.h"
#include "controllers/controllers.h"
#include "http/server.h"
#include "pki/rotation.h"
#include "scheduler/scheduler.h"
#include "store/store.h"

#define YEAR (365LL * 24 * 3600 * NSEC_PER_SEC)
#define CLOCK_SKEW (300 * NSEC_PER_SEC)
#define SETTLE_AFTER (2 * NSEC_PER_SEC)
#define AGE_AFTER (80 * NSEC_PER_SEC) // the caches' history of changes is kept for 75 s
#define SETTLE_REQUESTS 64

typedef struct Options {
    NodeOptions node;
    Str bind_address, write_kubeconfig, store, controllers, config;
    int64_t secure_port, verbosity;
    Str token_auth_file;
    OptionList tls_sans, service_account_key_files;
    bool no_node, no_scheduler;
} Options;

typedef struct Server {
    Arena *arena;
    Options options;
    Loop *loop;
    PkiFiles pki;
    TlsContext *serving_tls;
    PkiRotation *rotation;
    PkiPair node_identity; // what the API server shows to nodes
    Store *store;
    Api *api;
    HttpServer *http, *node_http;
    Client *scheduler_client, *node_client, *proxy_client;
    Client *controller_clients[64];
    size_t n_controller_clients;
    HttpClient *node_http_client; // from the API server to the node of this process
    Scheduler *scheduler;
    Controllers *controllers;
    Manifests *manifests;
    NodeParts *node;
    LoopTimer settle, age;
    unsigned requests; // since the heap was last trimmed
    bool is_ready; // the kubeconfig is written
    bool stopping;
    int exit_code;
} Server;

// Certificates
// --------------------------------------------------------------------------------------

static Str first_service_address(Arena *arena, Str cidr) { // "10.43.0.0/16" -> "10.43.0.1"
    Str base = str_slice(
        cidr, 0, (size_t)(str_find(cidr, '/') < 0 ? (ptrdiff_t)cidr.len : str_find(cidr, '/')));
    ptrdiff_t dot = str_find_last(base, '.');
    return dot < 0 ? base : arena_printf(arena, "%.*s.1", STR_ARG(str_slice(base, 0, (size_t)dot)));
}

// The serving certificate, for handshakes from now on.
static int issue_serving(Server *server, int64_t not_before, int64_t not_after) {
    Options *o = &server->options;
    Str sans[64] = {STR("localhost"),
                    STR("127.0.0.1"),
                    STR("kubernetes"),
                    STR("kubernetes.default"),
                    STR("kubernetes.default.svc"),
                    STR("kubernetes.default.svc.cluster.local"),
                    o->node.node_name,
                    o->node.node_ip,
                    first_service_address(server->arena, o->node.service_cidr)};
    size_t n = 9;
    for (size_t i = 0; i < o->tls_sans.n && n < 64; i++)
        sans[n++] = o->tls_sans.items[i];
    PkiPair pair;
    int error = pki_issue(server->arena, &server->pki.ca,
                          &(PkiSubject){.common_name = STR("kube-apiserver")}, PKI_SERVER, sans, n,
                          not_before, not_after, &pair);
    if (error)
        return error;
    return server->serving_tls
               ? tls_context_replace(server->serving_tls, pair.certificate, pair.key)
               : tls_server_context(pair.certificate, pair.key, server->pki.ca.certificate, true,
                                    &server->serving_tls);
}

static int write_admin_kubeconfig(Server *server, int64_t not_before, int64_t not_after) {
    Options *o = &server->options;
    Str masters = STR("system:masters");
    PkiPair admin;
    int error = pki_issue(server->arena, &server->pki.ca,
                          &(PkiSubject){STR("kubernetes-admin"), &masters, 1}, PKI_CLIENT, NULL, 0,
                          not_before, not_after, &admin);
    if (error)
        return error;
    Str host = str_eq(o->bind_address, STR("0.0.0.0")) || str_eq(o->bind_address, STR("::"))
                   ? STR("127.0.0.1")
                   : o->bind_address;
    Str url = arena_printf(server->arena, "https://%.*s:%d", STR_ARG(host),
                           (int)http_server_port(server->http));
    Str text = kubeconfig_write(server->arena, url, server->pki.ca.certificate, &admin,
                                STR("kubernetes-admin"));
    return cmd_write_file(arena_cstr(server->arena, o->write_kubeconfig), text, 0600);
}

// All certificates that this process issues to itself and to the administrator; again and again.
static int issue_certificates(void *user, int64_t not_before, int64_t not_after) {
    Server *server = user;
    Str masters = STR("system:masters");
    int error = issue_serving(server, not_before, not_after);
    if (!error)
        error = pki_issue(server->arena, &server->pki.ca,
                          &(PkiSubject){STR("kube-apiserver-kubelet-client"), &masters, 1},
                          PKI_CLIENT, NULL, 0, not_before, not_after, &server->node_identity);
    if (!error && server->api)
        api_set_node_identity(server->api, server->node_identity.certificate,
                              server->node_identity.key);
    if (!error && server->is_ready)
        error = write_admin_kubeconfig(server, not_before, not_after);
    return error;
}

// Clients of this process
// ----------------------------------------------------------------------------

// Work leaves holes in the heap. They go back a while after some of it was done; an idle server,
// with its few heartbeats, is not woken for that.
static void on_settled(void *user) {
    ((Server *)user)->requests = 0;
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

static void on_age(void *user) {
    Server *server = user;
    if (api_age(server->api))
        loop_timer_start(&server->age, AGE_AFTER);
    on_settled(server);
}

static void handle(void *user, HttpRequest *request) {
    Server *server = user;
    if (++server->requests >= SETTLE_REQUESTS && !loop_timer_is_running(&server->settle)) {
        loop_timer_start(&server->settle, SETTLE_AFTER);
        if (!loop_timer_is_running(&server->age))
            loop_timer_start(&server->age, AGE_AFTER);
    }
    api_handle(server->api, request);
}

static Client *local_client(Server *server, Str user, const Str *groups, size_t n_groups,
                            Str agent) {
    HttpPeer peer = {
        .address = STR("@"), .local = true, .user = user, .groups = groups, .n_groups = n_groups};
    HttpClient *transport =
        http_client_new_local(server->loop, server->loop, handle, server, &peer);
    return client_new(server->loop, transport, agent);
}

static Client *controller_client(void *user, Str name) {
    Server *server = user;
    static const Str groups[] = {{"system:serviceaccounts", 22},
                                 {"system:serviceaccounts:kube-system", 34}};
    if (server->n_controller_clients ==
        sizeof server->controller_clients / sizeof *server->controller_clients)
        abort();
    Str agent = STR("seapod-controllers/" SEAPOD_VERSION);
    Str user_name = STR("system:kube-controller-manager");
    if (name.len)
        user_name =
            arena_printf(server->arena, "system:serviceaccount:kube-system:%.*s", STR_ARG(name));
    Client *client = local_client(server, user_name, groups, name.len ? 2 : 0, agent);
    server->controller_clients[server->n_controller_clients++] = client;
    return client;
}

static HttpClient *client_of_node(void *user, Str node_name) {
    Server *server = user;
    return server->node && str_eq(node_name, server->options.node.node_name)
               ? server->node_http_client
               : NULL;
}

// Start and stop
// ---------------------------------------------------------------------------------------

static void closed(void *user) {
    loop_stop(((Server *)user)->loop);
}

static void stop_control_plane(void *user) {
    Server *server = user;
    pki_rotation_free(server->rotation);
    manifests_free(server->manifests);
    controllers_free(server->controllers);
    scheduler_free(server->scheduler);
    http_client_free(server->node_http_client);
    http_server_free(server->node_http);
    http_server_free(server->http);
    client_free(server->scheduler_client);
    client_free(server->node_client);
    client_free(server->proxy_client);
    for (size_t i = 0; i < server->n_controller_clients; i++)
        client_free(server->controller_clients[i]);
    loop_timer_stop(&server->age);
    api_free(server->api);
    store_close(server->store, closed, server);
}

static void stop(Server *server) {
    if (server->stopping)
        return;
    server->stopping = true;
    if (server->http)
        http_server_stop_listening(server->http);
    if (server->node)
        node_parts_stop(server->node, stop_control_plane, server);
    else
        stop_control_plane(server);
}

static void give_up(Server *server, const char *what, Str why) {
    cmd_fail("server", "%s: %.*s", what, STR_ARG(why));
    server->exit_code = 1;
    stop(server);
}

static void on_signal(void *user, int signal) {
    log_info("server", "stopping, containers go on", "signal=%d", signal);
    stop(user);
}

static void on_node_ready(void *user, int error) {
    Server *server = user;
    if (error && !server->stopping)
        give_up(server, "node", str_from(strerror(-error)));
    else
        log_info("server", "node runs", "node=%.*s", STR_ARG(server->options.node.node_name));
}

static bool start_node(Server *server) {
    NodeOptions *o = &server->options.node;
    Str user = arena_printf(server->arena, "system:node:%.*s", STR_ARG(o->node_name)), message;
    static const Str groups[] = {{"system:nodes", 12}};
    server->node_client = local_client(server, user, groups, 1, STR("seapod-node/" SEAPOD_VERSION));
    static const Str no_groups[1];
    server->proxy_client = local_client(server, STR("system:kube-proxy"), no_groups, 0,
                                        STR("seapod-proxy/" SEAPOD_VERSION));
    const NodeClients clients = {server->node_client, server->proxy_client};
    int error = node_parts_new(server->arena, server->loop, o, &clients, on_node_ready, server,
                               &server->node, &message);
    if (error) {
        give_up(server, "node", message);
        return false;
    }
    HttpPeer peer = {.address = STR("@"), .local = true, .user = STR("system:apiserver")};
    server->node_http_client =
        http_client_new_local(server->loop, server->loop, node_parts_handle, server->node, &peer);
    error = http_server_new(
        &(HttpServerConfig){.loop = server->loop,
                            .address = arena_cstr(server->arena, server->options.bind_address),
                            .port = (uint16_t)o->node_api_port,
                            .tls = server->serving_tls,
                            .handler = node_parts_handle,
                            .user = server->node},
        &server->node_http);
    if (error)
        give_up(server, "node endpoint",
                arena_printf(server->arena, "port %lld: %s", (long long)o->node_api_port,
                             strerror(-error)));
    return !error;
}

static void apply_manifests(Server *server) {
    static const Str groups[] = {{"system:masters", 14}};
    HttpPeer peer = {.address = STR("@"),
                     .local = true,
                     .user = STR("system:apiserver"),
                     .groups = groups,
                     .n_groups = 1};
    server->manifests = manifests_apply(
        server->loop, http_client_new_local(server->loop, server->loop, handle, server, &peer),
        arena_printf(server->arena, "%.*s/manifests", STR_ARG(server->options.node.data_dir)).ptr);
}

static void on_api_ready(void *user, int error) {
    Server *server = user;
    Options *o = &server->options;
    if (error) {
        give_up(server, "API server", str_from(strerror(-error)));
        return;
    }
    int64_t now = loop_wall(server->loop);
    server->is_ready = true;
    if ((error = write_admin_kubeconfig(server, now - CLOCK_SKEW, now + YEAR))) {
        give_up(server, "kubeconfig",
                arena_printf(server->arena, "%.*s: %s", STR_ARG(o->write_kubeconfig),
                             strerror(-error)));
        return;
    }
    static const Str no_groups[1];
    char *message = NULL;
    server->controllers =
        controllers_new(&(ControllersConfig){.loop = server->loop,
                                             .client = controller_client,
                                             .user = server,
                                             .selection = o->controllers,
                                             .cluster_ca = server->pki.ca.certificate,
                                             .cluster_ca_key = server->pki.ca.key,
                                             .service_account_key =
                                                 server->pki.service_account_key},
                        &message);
    if (!server->controllers) {
        give_up(server, "controllers", str_from(message));
        return;
    }
    if (!o->no_scheduler) {
        server->scheduler_client = local_client(server, STR("system:kube-scheduler"), no_groups, 0,
                                                STR("seapod-scheduler/" SEAPOD_VERSION));
        server->scheduler = scheduler_new(
            &(SchedulerConfig){.loop = server->loop, .client = server->scheduler_client});
    }
    if (!o->no_node && !start_node(server))
        return;
    apply_manifests(server);
    log_info("server", "serving", "port=%d kubeconfig=%.*s", (int)http_server_port(server->http),
             STR_ARG(o->write_kubeconfig));
}

static int open_store(Server *server) {
    Options *o = &server->options;
    if (str_eq(o->store, STR("memory"))) {
        server->store = store_memory_new(server->loop);
        return 0;
    }
    if (!str_eq(o->store, STR("sqlite")))
        return cmd_fail("server", "--store %.*s is not supported (sqlite and memory are)",
                        STR_ARG(o->store));
    char *message = NULL;
    Str path = arena_printf(server->arena, "%.*s/store.db", STR_ARG(o->node.data_dir));
    int error = store_sqlite_open(server->loop, path.ptr, &server->store, &message);
    if (error)
        return cmd_fail("server", "%s: %s", path.ptr,
                        message ? message : strerror(error < 0 ? -error : EINVAL));
    return 0;
}

// Pods can't reach a loopback address, and the API refuses one in Endpoints: then the machine's own
// is told, or none.
static Str advertise_address(Server *server) {
    Str address = server->options.node.node_ip;
    if (str_starts_with(address, STR("127.")))
        address = cmd_node_address(server->arena);
    return str_starts_with(address, STR("127.")) ? STR("") : address;
}

#define MAX_KEY_FILE (1024 * 1024)
#define MAX_TOKEN_FILE (16 * 1024 * 1024)

// The keys whose tokens are good: our own first, then those of --service-account-key-file.
static int read_account_keys(Server *server, const Str **ret, size_t *ret_n) {
    Options *o = &server->options;
    Arena *arena = server->arena;
    Str *all = arena_array_of(arena, Str, 1);
    size_t n = 0;
    all[n++] = server->pki.service_account_public;
    for (size_t i = 0; i < o->service_account_key_files.n; i++) {
        const char *path = arena_cstr(arena, o->service_account_key_files.items[i]);
        Str text, *keys;
        size_t more;
        int error = cmd_read_file(arena, path, MAX_KEY_FILE, &text);
        if (error)
            return cmd_fail("server", "--service-account-key-file %s: %s", path, strerror(-error));
        if (pki_read_publics(arena, text, &keys, &more) != 0)
            return cmd_fail("server", "--service-account-key-file %s: no key in it", path);
        all = arena_grow(arena, all, n * sizeof *all, (n + more) * sizeof *all);
        for (size_t j = 0; j < more; j++)
            all[n++] = keys[j];
    }
    *ret = all;
    *ret_n = n;
    return 0;
}

static int read_tokens(Server *server, Str *ret) {
    Str file = server->options.token_auth_file;
    *ret = STR_NONE;
    if (!file.len)
        return 0;
    const char *path = arena_cstr(server->arena, file);
    int error = cmd_read_file(server->arena, path, MAX_TOKEN_FILE, ret);
    return error ? cmd_fail("server", "--token-auth-file %s: %s", path, strerror(-error)) : 0;
}

static int open_api(Server *server) {
    Options *o = &server->options;
    const Str *publics = NULL;
    size_t n_publics = 0;
    Str tokens;
    if (read_account_keys(server, &publics, &n_publics) != 0 || read_tokens(server, &tokens) != 0)
        return 1;
    ApiConfig config = {.loop = server->loop,
                        .store = server->store,
                        .service_account_key = server->pki.service_account_key,
                        .service_account_publics = publics,
                        .n_service_account_publics = n_publics,
                        .static_tokens = tokens,
                        .service_account_issuer =
                            STR("https://kubernetes.default.svc.cluster.local"),
                        .cluster_ca = server->pki.ca.certificate,
                        .service_cidr = o->node.service_cidr,
                        .cluster_dns = o->node.cluster_dns,
                        .advertise_address = advertise_address(server),
                        .advertise_port = (uint16_t)o->secure_port,
                        .garbage_collector = true,
                        .node_client = client_of_node,
                        .node_client_user = server,
                        .node_certificate = server->node_identity.certificate,
                        .node_key = server->node_identity.key};
    int error = api_new(&config, on_api_ready, server, &server->api);
    if (error)
        return cmd_fail("server", "API server: %s", strerror(-error));
    error =
        http_server_new(&(HttpServerConfig){.loop = server->loop,
                                            .address = arena_cstr(server->arena, o->bind_address),
                                            .port = (uint16_t)o->secure_port,
                                            .tls = server->serving_tls,
                                            .handler = handle,
                                            .user = server},
                        &server->http);
    if (error)
        return cmd_fail("server", "cannot listen on %.*s port %lld: %s", STR_ARG(o->bind_address),
                        (long long)o->secure_port, strerror(-error));
    return 0;
}

static void parse(Server *server, int argc, char **argv) {
    Options *o = &server->options;
    *o = (Options){.bind_address = STR("0.0.0.0"),
                   .store = STR("sqlite"),
                   .secure_port = 6443,
                   .verbosity = 2};
    node_options_init(server->arena, &o->node);
    Option table[32] = {
        {"config", OPTION_STRING, &o->config, "FILE",
         "these settings in YAML; the command line wins"},
        {"bind-address", OPTION_STRING, &o->bind_address, "IP", "to listen on (default 0.0.0.0)"},
        {"secure-port", OPTION_NUMBER, &o->secure_port, "PORT", "of the API (default 6443)"},
        {"tls-san", OPTION_LIST, &o->tls_sans, "NAME",
         "one more name or address in the serving certificate"},
        {"write-kubeconfig", OPTION_STRING, &o->write_kubeconfig, "FILE",
         "the administrator's (default DATA_DIR/kubeconfig)"},
        {"store", OPTION_STRING, &o->store, "KIND", "sqlite (default) or memory"},
        {"controllers", OPTION_STRING, &o->controllers, "LIST",
         "which run: \"*\" (default), \"*,-NAME\", \"NAME,NAME\""},
        {"token-auth-file", OPTION_STRING, &o->token_auth_file, "FILE",
         "static tokens: token,user,uid,\"group,group\" a line"},
        {"service-account-key-file", OPTION_LIST, &o->service_account_key_files, "FILE",
         "PEM keys whose service account tokens are good, too"},
        {"no-node", OPTION_FLAG, &o->no_node, NULL, "control plane only"},
        {"no-scheduler", OPTION_FLAG, &o->no_scheduler, NULL,
         "leave scheduling to another process"},
        {"v", OPTION_NUMBER, &o->verbosity, "LEVEL",
         "of the log: 0 errors, 1 warnings, 2 messages (default), 3, 4"},
    };
    size_t n = 12;
    n += node_options_table(&o->node, table + n);
    options_parse(server->arena, "server", "[FLAGS]", table, n, argc, argv, NULL);
    o->node.api_port = o->secure_port;
    node_options_finish(server->arena, &o->node);
    if (!o->write_kubeconfig.len)
        o->write_kubeconfig =
            arena_printf(server->arena, "%.*s/kubeconfig", STR_ARG(o->node.data_dir));
    log_set_level((LogLevel)(o->verbosity < 0 ? 0 : o->verbosity > 4 ? 4 : o->verbosity));
}

int cmd_server(int argc, char **argv) {
    Server *server = calloc(1, sizeof *server);
    if (!server)
        abort();
    server->arena = arena_new();
    parse(server, argc, argv);
    Options *o = &server->options;
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    signal(SIGPIPE, SIG_IGN);
    umask(022);
    Str data_dir = o->node.data_dir, lacks;
    int error = cmd_make_directories(arena_cstr(server->arena, data_dir), 0700);
    if (error)
        return cmd_fail("server", "data directory %.*s: %s", STR_ARG(data_dir), strerror(-error));
    if (!o->no_node && cmd_check_host(server->arena, true, &lacks) > 0)
        return cmd_fail("server", "this host cannot run pods yet (see seapod check):\n%.*s",
                        STR_ARG(lacks));
    server->loop = loop_new();
    loop_timer_init(&server->settle, server->loop, on_settled, server);
    loop_timer_init(&server->age, server->loop, on_age, server);
    if (open_store(server) != 0)
        return 1;
    int64_t now = loop_wall(server->loop);
    Str pki_directory = arena_printf(server->arena, "%.*s/pki", STR_ARG(data_dir));
    error = pki_load_or_create(server->arena, pki_directory.ptr, now, &server->pki);
    if (!error)
        server->rotation =
            pki_rotation_new(server->loop, YEAR, issue_certificates, server, &error);
    if (error)
        return cmd_fail("server", "keys in %.*s: %s", STR_ARG(pki_directory), strerror(-error));
    if (open_api(server) != 0)
        return 1;
    loop_on_signal(server->loop, SIGTERM, on_signal, server);
    loop_on_signal(server->loop, SIGINT, on_signal, server);
    error = loop_run(server->loop);
    if (error)
        return cmd_fail("server", "event loop: %s", strerror(-error));
    return server->exit_code;
}
