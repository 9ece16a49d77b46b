// The HTTP room on this machine: requests a second over loopback (client and server are processes
// of their own) and within the process, and what an idle watch costs the server.
//   bench_http [SECONDS]   (default 2 for each measurement)

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "http/client.h"
#include "http/server.h"
#include "pki/pki.h"

enum { SIZE = 4300, WATCHES = 1000 }; // SIZE: a pod with its status

typedef struct Run { // of calls one after the other, `parallel` at a time
    Loop *loop;
    HttpClient *client;
    size_t answered, failed, in_flight;
    bool stopping;
} Run;

static Arena *arena;
static Bytes *pod;
static PkiPair ca, identity;
static double seconds = 2;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void must(bool good, const char *what) {
    if (good)
        return;
    fprintf(stderr, "bench_http: %s failed\n", what);
    exit(1);
}

// ---- the server ----

static void handle(void *user, HttpRequest *request) {
    if (http_query(request, STR("watch")).ptr) {
        http_respond_head(request, 200, NULL, 0);
        http_respond_data(request, pod); // and then nothing happens
        return;
    }
    http_respond(request, 200, STR("application/json"), pod);
}

static double resident(void) { // KiB
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    long kib = 0;
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmRSS: %ld", &kib) == 1)
            break;
    if (file)
        fclose(file);
    return (double)kib;
}

static double allocated(void) {
    return (double)mallinfo2().uordblks / 1024;
} // KiB

// ---- the client ----

static void next_call(Run *run);

static void on_done(void *user, int error, Str message) {
    Run *run = user;
    run->in_flight--;
    run->answered += error == 0;
    run->failed += error != 0;
    if (!run->stopping)
        next_call(run);
    else if (run->in_flight == 0)
        loop_stop(run->loop);
}

static const HttpCallEvents events = {.on_done = on_done};

static void next_call(Run *run) {
    HttpCallSpec spec = {.method = STR("GET"), .target = STR("/api/v1/namespaces/default/pods/p")};
    run->in_flight++;
    http_call(run->client, &spec, &events, run);
}

static void on_time(void *user) {
    ((Run *)user)->stopping = true;
}

// Returns answers a second.
static double measure(Loop *loop, HttpClient *client, size_t parallel) {
    Run run = {.loop = loop, .client = client};
    LoopTimer timer;
    loop_timer_init(&timer, loop, on_time, &run);
    loop_timer_start(&timer, (int64_t)(seconds * 1e9));
    double begin = now();
    for (size_t i = 0; i < parallel; i++)
        next_call(&run);
    must(loop_run(loop) == 0, "the loop");
    must(run.failed == 0, "a call");
    return (double)run.answered / (now() - begin);
}

static HttpClient *connect_client(Loop *loop, uint16_t port, bool tls, bool http2) {
    TlsContext *context = NULL;
    if (tls)
        must(tls_client_context(ca.certificate, STR(""), STR(""), STR("127.0.0.1"), http2,
                                &context) == 0,
             "the client's TLS");
    HttpClient *client;
    HttpClientConfig config = {
        .loop = loop, .host = STR("127.0.0.1"), .port = port, .tls = context};
    must(http_client_new(&config, &client) == 0, "the client");
    if (context)
        tls_context_unref(context);
    return client;
}

typedef struct Watches {
    Loop *loop;
    size_t begun;
} Watches;

static void on_watch_data(void *user, Str data) {
    Watches *watches = user;
    if (++watches->begun == WATCHES)
        loop_stop(watches->loop);
}
static const HttpCallEvents watch_events = {.on_data = on_watch_data};

// Opens watches, tells the parent, stays until it is killed.
static void watch(uint16_t port, bool tls, bool http2, int told) {
    Watches watches = {.loop = loop_new()};
    size_t per_client = 200; // below the server's and the client's limits
    for (size_t i = 0; i < WATCHES; i++) {
        static HttpClient *client;
        if (i % per_client == 0)
            client = connect_client(watches.loop, port, tls, http2);
        HttpCallSpec spec = {.method = STR("GET"), .target = STR("/api/v1/pods?watch=1")};
        http_call(client, &spec, &watch_events, &watches);
    }
    loop_run(watches.loop);
    must(write(told, "x", 1) == 1, "telling");
    pause();
    _exit(0);
}

// ---- a server and a client process ----

typedef struct Meeting {
    Loop *loop;
    HttpServer *server;
    int told[2]; // the client says something, or ends
} Meeting;

static void on_told(void *user, int happened) {
    loop_stop(((Meeting *)user)->loop);
}

static pid_t meet(Meeting *meeting, bool tls, bool http2,
                  void (*client)(uint16_t, bool, bool, int)) {
    int ports[2];
    must(pipe(meeting->told) == 0 && pipe(ports) == 0, "a pipe");
    pid_t pid = fork();
    must(pid >= 0, "fork");
    if (pid == 0) {
        uint16_t port;
        must(read(ports[0], &port, sizeof port) == sizeof port, "the port");
        close(meeting->told[0]);
        client(port, tls, http2, meeting->told[1]);
        _exit(0);
    }
    TlsContext *context = NULL;
    if (tls)
        must(tls_server_context(identity.certificate, identity.key, ca.certificate, http2,
                                &context) == 0,
             "the server's TLS");
    meeting->loop = loop_new();
    HttpServerConfig config = {
        .loop = meeting->loop, .address = "127.0.0.1", .tls = context, .handler = handle};
    must(http_server_new(&config, &meeting->server) == 0, "the server");
    uint16_t port = http_server_port(meeting->server);
    must(write(ports[1], &port, sizeof port) == sizeof port, "the port");
    close(ports[0]);
    close(ports[1]);
    close(meeting->told[1]);
    LoopFd *fd = loop_fd_new(meeting->loop, meeting->told[0], on_told, meeting);
    loop_fd_want(fd, LOOP_READ);
    loop_run(meeting->loop);
    loop_fd_free(fd);
    if (context)
        tls_context_unref(context);
    return pid;
}

static void part(Meeting *meeting) {
    http_server_free(meeting->server);
    loop_free(meeting->loop);
    close(meeting->told[0]);
}

static void ask(uint16_t port, bool tls, bool http2, int told) {
    static const size_t widths[] = {1, 16, 64};
    Loop *loop = loop_new();
    HttpClient *client = connect_client(loop, port, tls, http2);
    printf("  %-22s", http2 ? "HTTP/2 over TLS" : tls ? "HTTP/1.1 over TLS" : "HTTP/1.1, plain");
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        printf("  %zu at a time: %7.0f/s", widths[i], measure(loop, client, widths[i]));
        fflush(stdout);
    }
    printf("\n");
    fflush(stdout);
}

static void bench_requests(bool tls, bool http2) {
    Meeting meeting;
    pid_t pid = meet(&meeting, tls, http2, ask);
    waitpid(pid, NULL, 0);
    part(&meeting);
}

static void bench_watches(bool tls, bool http2) {
    Meeting meeting;
    double resident_before = resident(), allocated_before = allocated();
    pid_t pid = meet(&meeting, tls, http2, watch);
    printf("  %-22s  %5.1f KiB each, of which allocated %5.1f KiB\n",
           http2 ? "HTTP/2 over TLS"
           : tls ? "HTTP/1.1 over TLS"
                 : "HTTP/1.1, plain",
           (resident() - resident_before) / WATCHES, (allocated() - allocated_before) / WATCHES);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    part(&meeting);
}

// In a process of its own: what one leaves in the allocator must not help the next.
static void apart(void (*bench)(bool tls, bool http2), bool tls, bool http2) {
    fflush(stdout);
    pid_t pid = fork();
    must(pid >= 0, "fork");
    if (pid == 0) {
        bench(tls, http2);
        exit(0);
    }
    waitpid(pid, NULL, 0);
}

static void *run_loop(void *loop) {
    loop_run(loop);
    return NULL;
}

static void bench_local(bool threads) {
    Loop *loop = loop_new(), *other = threads ? loop_new() : loop;
    pthread_t thread;
    if (threads)
        must(pthread_create(&thread, NULL, run_loop, other) == 0, "a thread");
    HttpPeer peer = {.user = STR("system:kube-scheduler")};
    HttpClient *client = http_client_new_local(loop, other, handle, NULL, &peer);
    printf("  %-22s  1 at a time: %7.0f/s  64 at a time: %7.0f/s\n",
           threads ? "between two loops" : "on one loop", measure(loop, client, 1),
           measure(loop, client, 64));
    http_client_free(client);
    if (threads) {
        loop_stop(other);
        pthread_join(thread, NULL);
        loop_free(other);
    }
    loop_free(loop);
}

static void make_identities(void) {
    int64_t wall = (int64_t)time(NULL) * NSEC_PER_SEC;
    Str addresses[] = {STR("127.0.0.1")};
    PkiSubject subject = {.common_name = STR("bench")};
    must(pki_ca_new(arena, STR("bench-ca"), wall - 3600 * NSEC_PER_SEC, wall + 86400 * NSEC_PER_SEC,
                    &ca) == 0 &&
             pki_issue(arena, &ca, &subject, PKI_SERVER, addresses, 1, wall - 3600 * NSEC_PER_SEC,
                       wall + 86400 * NSEC_PER_SEC, &identity) == 0,
         "the certificates");
}

int main(int argc, char **argv) {
    if (argc > 1)
        seconds = atof(argv[1]);
    arena = arena_new();
    pod = bytes_alloc(SIZE);
    memset(pod->data, 'p', SIZE);
    make_identities();
    printf("An idle watch costs the server (%d of them):\n", WATCHES);
    apart(bench_watches, false, false);
    apart(bench_watches, true, false);
    apart(bench_watches, true, true);
    printf("GET of %d bytes:\n", SIZE);
    apart(bench_requests, false, false);
    apart(bench_requests, true, false);
    apart(bench_requests, true, true);
    printf("The same within the process:\n");
    bench_local(false);
    bench_local(true);
    bytes_unref(pod);
    arena_free(arena);
    return 0;
}
