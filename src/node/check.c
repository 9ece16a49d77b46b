#include "node/check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/memory.h"
#include "base/time.h"
#include "http/client.h"
#include "node/grpc_health.h"

#define MAX_OUTPUT (10 * 1024) // as upstream's probes keep

struct Check {
    ListLink link; // in agent->cancelled_checks
    NodeAgent *agent;
    Arena *arena;
    int64_t timeout_ns;
    void (*done)(void *user, CheckOutcome outcome, Str message);
    void *user;
    // The answer, delivered by a task of its own, so that everything may be freed there.
    CheckOutcome outcome;
    Str message;
    LoopTask deliver;
    LoopTimer timeout;
    bool decided, cancelled, exec_running;
    Str command; // its words, for people
    // HTTP
    HttpClient *client;
    Str url;
    int status;
    Buf body;
    GrpcAnswer grpc;
    void (*expired)(struct Check *check);
    // TCP
    int fd;
    LoopFd *watch;
    Str address;
};

static void check_free(Check *check) {
    list_remove(&check->link);
    loop_task_cancel(check->agent->loop, &check->deliver);
    loop_timer_stop(&check->timeout);
    if (check->client)
        http_client_free(check->client);
    if (check->watch)
        loop_fd_free(check->watch);
    if (check->fd >= 0)
        close(check->fd);
    buf_deinit(&check->body);
    arena_free(check->arena);
    free(check);
}

static void deliver(void *user) {
    Check *check = user;
    void (*done)(void *, CheckOutcome, Str) = check->done;
    void *done_user = check->user;
    Arena *arena = check->arena; // holds the message
    CheckOutcome outcome = check->outcome;
    Str message = check->message;
    check->arena = NULL;
    check_free(check);
    done(done_user, outcome, message);
    arena_free(arena);
}

static void decide(Check *check, CheckOutcome outcome, Str message) {
    if (check->decided)
        return;
    check->decided = true;
    loop_timer_stop(&check->timeout);
    check->outcome = outcome;
    check->message = arena_str(check->arena, message);
    loop_post(check->agent->loop, &check->deliver);
}

void check_cancel(Check *check) {
    if (check->exec_running) { // its end frees it
        check->cancelled = true;
        list_append(&check->agent->cancelled_checks, &check->link);
        check->decided = true;
        loop_timer_stop(&check->timeout);
        loop_task_cancel(check->agent->loop, &check->deliver);
        return;
    }
    check_free(check);
}

void checks_drop(NodeAgent *agent) {
    Check *check;
    list_for_each(check, &agent->cancelled_checks, link) check_free(check);
}

// A command
// ----------------------------------------------------------------------------------------

static void on_exec(void *user, int error, int exit_code, Str output) {
    Check *check = user;
    check->exec_running = false;
    if (check->cancelled) {
        check_free(check);
        return;
    }
    if (error == -ETIMEDOUT)
        decide(check, CHECK_FAILURE,
               arena_printf(check->arena, "command \"%.*s\" timed out", STR_ARG(check->command)));
    else if (error)
        decide(check, CHECK_ERROR, output.len ? output : str_from(strerror(-error)));
    else
        decide(check, exit_code == 0 ? CHECK_SUCCESS : CHECK_FAILURE, output);
}

static void start_exec(Check *check, const ExecAction *action, Str container_id) {
    Runtime *runtime = check->agent->runtime;
    Str *argv = arena_array_of(check->arena, Str, action->command.len + 1);
    for (size_t i = 0; i < action->command.len; i++)
        argv[i] = arena_str(check->arena, action->command.items[i]);
    check->command = arena_concat(check->arena, argv, action->command.len, STR(" "));
    check->exec_running = true;
    runtime->ops->exec_sync(runtime, arena_str(check->arena, container_id), argv,
                            action->command.len, check->timeout_ns, MAX_OUTPUT, on_exec, check);
}

// Where
// ------------------------------------------------------------------------------------------------

// A number, or the name of one of the container's ports. Returns 0 when there is none.
static uint16_t resolve_port(const IntOrString *port, const Container *container) {
    int64_t number = port->integer;
    if (port->is_string && str_to_i64(port->string, &number) != 0) {
        number = 0;
        for (size_t i = 0; i < container->ports.len; i++)
            if (str_eq(container->ports.items[i].name, port->string))
                number = container->ports.items[i].container_port;
    }
    return number > 0 && number < 65536 ? (uint16_t)number : 0;
}

static bool check_port(Check *check, const IntOrString *wanted, const Container *container,
                       uint16_t *ret_port) {
    *ret_port = resolve_port(wanted, container);
    if (*ret_port)
        return true;
    decide(check, CHECK_ERROR,
           wanted->is_string
               ? arena_printf(check->arena, "couldn't find port: \"%.*s\"", STR_ARG(wanted->string))
               : arena_printf(check->arena, "invalid port number: %d", (int)wanted->integer));
    return false;
}

// How Go's net package words it.
static Str dial_error(Arena *arena, Str address, int error) {
    if (error == -ETIMEDOUT)
        return arena_printf(arena, "dial tcp %.*s: i/o timeout", STR_ARG(address));
    Str why = error == -ECONNREFUSED   ? STR("connection refused")
              : error == -EHOSTUNREACH ? STR("no route to host")
              : error == -ENETUNREACH  ? STR("network is unreachable")
              : error == -ECONNRESET   ? STR("connection reset by peer")
                                       : str_from(strerror(-error));
    return arena_printf(arena, "dial tcp %.*s: connect: %.*s", STR_ARG(address), STR_ARG(why));
}

// HTTP
// -------------------------------------------------------------------------------------------------

static void on_head(void *user, int status, const HttpHeader *headers, size_t n) {
    ((Check *)user)->status = status;
}

static void on_data(void *user, Str data) {
    Check *check = user;
    size_t room = check->body.max - check->body.len;
    buf_append(&check->body, data.ptr, data.len < room ? data.len : room);
}

static void on_done(void *user, int error, Str message) {
    Check *check = user;
    Arena *arena = check->arena;
    if (error == -ETIMEDOUT)
        decide(check, CHECK_FAILURE,
               arena_printf(arena,
                            "Get \"%.*s\": context deadline exceeded (Client.Timeout exceeded "
                            "while awaiting headers)",
                            STR_ARG(check->url)));
    else if (error)
        decide(check, CHECK_FAILURE,
               arena_printf(arena, "Get \"%.*s\": %.*s", STR_ARG(check->url),
                            STR_ARG(dial_error(arena, check->address, error))));
    else if (check->status >= 200 && check->status < 400)
        decide(check, CHECK_SUCCESS, buf_view(&check->body));
    else
        decide(check, CHECK_FAILURE,
               arena_printf(arena, "HTTP probe failed with statuscode: %d", check->status));
}

static void http_expired(Check *check) {
    on_done(check, -ETIMEDOUT, STR_NONE);
}

static void start_http(Check *check, const CheckSpec *spec) {
    static const HttpCallEvents events = {
        .on_head = on_head, .on_data = on_data, .on_done = on_done};
    const HTTPGetAction *action = spec->http_get;
    Arena *arena = check->arena;
    uint16_t port;
    if (!check_port(check, &action->port, spec->container, &port))
        return;
    Str host = arena_str(arena, action->host.len ? action->host : spec->pod_ip);
    bool https = str_eq_nocase(action->scheme, STR("HTTPS"));
    Str path = action->path.len ? action->path : STR("/");
    if (path.ptr[0] != '/')
        path = arena_printf(arena, "/%.*s", STR_ARG(path));
    check->address = arena_printf(arena, "%.*s:%u", STR_ARG(host), port);
    check->url = arena_printf(arena, "%s://%.*s%.*s", https ? "https" : "http",
                              STR_ARG(check->address), STR_ARG(path));
    TlsContext *tls = NULL;
    int error = https ? tls_client_context_unverified(STR_NONE, false, &tls) : 0;
    if (!error)
        error = http_client_new(
            &(HttpClientConfig){.loop = check->agent->loop, .host = host, .port = port, .tls = tls},
            &check->client);
    tls_context_unref(tls);
    if (error) {
        decide(check, CHECK_ERROR, str_from(strerror(-error)));
        return;
    }
    HttpHeader *headers = arena_array_of(arena, HttpHeader, action->http_headers.len + 2);
    size_t n = 0;
    bool has_agent = false, has_accept = false;
    for (size_t i = 0; i < action->http_headers.len; i++) {
        const HTTPHeader *header = &action->http_headers.items[i];
        has_agent |= str_eq_nocase(header->name, STR("User-Agent"));
        has_accept |= str_eq_nocase(header->name, STR("Accept"));
        headers[n++] = (HttpHeader){header->name, header->value};
    }
    if (!has_agent)
        headers[n++] = (HttpHeader){STR("User-Agent"), spec->user_agent};
    if (!has_accept)
        headers[n++] = (HttpHeader){STR("Accept"), STR("*/*")};
    check->body = BUF_INIT(MAX_OUTPUT);
    check->expired = http_expired;
    HttpCallSpec call = {.method = STR("GET"),
                         .target = path,
                         .headers = headers,
                         .n_headers = n,
                         .timeout_ns = check->timeout_ns};
    http_call(check->client, &call, &events, check);
}

// gRPC
// -------------------------------------------------------------------------------------------------

static void on_grpc_head(void *user, int status, const HttpHeader *headers, size_t n) {
    Check *check = user;
    check->status = status;
    grpc_answer_read(&check->grpc, check->arena, headers, n);
}

static void on_grpc_trailers(void *user, const HttpHeader *headers, size_t n) {
    Check *check = user;
    grpc_answer_read(&check->grpc, check->arena, headers, n);
}

static void grpc_expired(Check *check) {
    decide(check, CHECK_FAILURE,
           arena_printf(check->arena, "timeout: health rpc did not complete within %.*s",
                        STR_ARG(time_go_duration(check->arena, check->timeout_ns))));
}

static void on_grpc_done(void *user, int error, Str message) {
    Check *check = user;
    Arena *arena = check->arena;
    if (error == -ETIMEDOUT) {
        grpc_expired(check);
        return;
    }
    if (error && !check->status) {
        Str why = dial_error(arena, check->address, error);
        decide(
            check, CHECK_FAILURE,
            arena_printf(arena,
                         "error: failed to connect service at \"%.*s\": connection error: desc = "
                         "\"transport: Error while dialing: %.*s\"",
                         STR_ARG(check->address), STR_ARG(why)));
        return;
    }
    Str text;
    bool good =
        grpc_health_judge(arena, &check->grpc, check->status, buf_view(&check->body), &text);
    decide(check, good ? CHECK_SUCCESS : CHECK_FAILURE, text);
}

static void start_grpc(Check *check, const CheckSpec *spec) {
    static const HttpCallEvents events = {.on_head = on_grpc_head,
                                          .on_data = on_data,
                                          .on_trailers = on_grpc_trailers,
                                          .on_done = on_grpc_done};
    const HttpHeader headers[] = {{STR("Content-Type"), STR("application/grpc")},
                                  {STR("TE"), STR("trailers")},
                                  {STR("User-Agent"), spec->user_agent}};
    uint16_t port = (uint16_t)spec->grpc->port;
    check->address = arena_printf(check->arena, "%.*s:%u", STR_ARG(spec->pod_ip), port);
    check->grpc.status = -1;
    check->expired = grpc_expired;
    int error = http_client_new(
        &(HttpClientConfig){
            .loop = check->agent->loop, .host = spec->pod_ip, .port = port, .http2 = true},
        &check->client);
    if (error) {
        decide(check, CHECK_ERROR, str_from(strerror(-error)));
        return;
    }
    check->body = BUF_INIT(MAX_OUTPUT);
    _bytes_unref_ Bytes *body = grpc_health_request(spec->grpc->service);
    HttpCallSpec call = {.method = STR("POST"),
                         .target = STR(GRPC_HEALTH_PATH),
                         .headers = headers,
                         .n_headers = 3,
                         .body = body,
                         .timeout_ns = check->timeout_ns};
    http_call(check->client, &call, &events, check);
}

// TCP
// --------------------------------------------------------------------------------------------------

static void on_connected(void *user, int ready) {
    Check *check = user;
    int error = 0;
    socklen_t len = sizeof error;
    loop_fd_want(check->watch, 0);
    if (getsockopt(check->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    if (error)
        decide(check, CHECK_FAILURE, dial_error(check->arena, check->address, -error));
    else
        decide(check, CHECK_SUCCESS, STR(""));
}

static void start_tcp(Check *check, const CheckSpec *spec) {
    const TCPSocketAction *action = spec->tcp_socket;
    uint16_t port;
    if (!check_port(check, &action->port, spec->container, &port))
        return;
    Str host = action->host.len ? action->host : spec->pod_ip;
    check->address = arena_printf(check->arena, "%.*s:%u", STR_ARG(host), port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, *found;
    if (getaddrinfo(arena_cstr(check->arena, host), arena_printf(check->arena, "%u", port).ptr,
                    &hints, &found) != 0) {
        decide(check, CHECK_ERROR,
               arena_printf(check->arena, "dial tcp: lookup %.*s: no such host", STR_ARG(host)));
        return;
    }
    check->fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error = check->fd < 0                                                ? errno
                : connect(check->fd, found->ai_addr, found->ai_addrlen) == 0 ? 0
                                                                             : errno;
    freeaddrinfo(found);
    if (!error)
        decide(check, CHECK_SUCCESS, STR(""));
    else if (error != EINPROGRESS)
        decide(check, CHECK_FAILURE, dial_error(check->arena, check->address, -error));
    else {
        check->watch = loop_fd_new(check->agent->loop, check->fd, on_connected, check);
        loop_fd_want(check->watch, LOOP_WRITE);
    }
}

static void on_timeout(void *user) {
    Check *check = user;
    if (check->expired)
        check->expired(check);
    else
        decide(check, CHECK_FAILURE, dial_error(check->arena, check->address, -ETIMEDOUT));
}

Check *check_start(const CheckSpec *spec,
                   void (*done)(void *user, CheckOutcome outcome, Str message), void *user) {
    Check *check = memory_new(Check);
    check->agent = spec->agent;
    check->arena = arena_new();
    check->timeout_ns = spec->timeout_ns;
    check->done = done;
    check->user = user;
    check->fd = -1;
    check->deliver = (LoopTask){.fn = deliver, .user = check};
    loop_timer_init(&check->timeout, check->agent->loop, on_timeout, check);
    if (check->timeout_ns && !spec->exec)
        loop_timer_start(&check->timeout, check->timeout_ns);
    if (spec->exec)
        start_exec(check, spec->exec, spec->container_id);
    else if (spec->http_get)
        start_http(check, spec);
    else if (spec->tcp_socket)
        start_tcp(check, spec);
    else if (spec->grpc)
        start_grpc(check, spec);
    else
        decide(check, CHECK_ERROR, STR("missing probe handler"));
    return check;
}
