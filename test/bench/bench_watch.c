// Fan-out: one writer changes ConfigMaps of 1 KiB, many watches over TLS and HTTP/2 see every
// change. Counts what arrives and checks that no watch misses or reorders one.
//   bench_watch PORT CA_FILE TOKEN WATCHES CHANGES_PER_SECOND SECONDS
// The namespace `bench` must exist. Prints one JSON object.

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/buf.h"
#include "base/memory.h"
#include "http/client.h"

enum { OBJECTS = 100, PER_CONNECTION = 100, VALUE = 900, TICK_MS = 5, PATIENCE_S = 20 };
#define COLLECTION "/api/v1/namespaces/bench/configmaps"

typedef struct Bench Bench;
typedef struct Watch {
    Bench *bench;
    Buf line;
    int64_t revision; // of the last event
    size_t events;
    bool ended;
} Watch;

struct Bench {
    Loop *loop;
    HttpClient *writer;
    Watch *watches;
    size_t n_watches, open, rate, seconds;
    HttpHeader headers[2];
    size_t created, sent, written, refused, in_flight, ticks;
    size_t delivered, bytes, misordered;
    double began, stopped, ended;
    LoopTimer timer, deadline;
    size_t seen_at_deadline;
    bool stopping;
};

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void must(bool good, const char *what) {
    if (good)
        return;
    fprintf(stderr, "bench_watch: %s failed\n", what);
    exit(1);
}

static void end_if_over(Bench *bench) {
    if (bench->stopping && bench->in_flight == 0 &&
        bench->delivered >= bench->written * bench->n_watches) {
        bench->ended = now();
        loop_stop(bench->loop);
    }
}

// ---- watches ----

static void take_event(Watch *watch, Str line) {
    static const char key[] = "\"resourceVersion\":\"";
    Bench *bench = watch->bench;
    const char *at = memmem(line.ptr, line.len, key, sizeof key - 1);
    must(at && memmem(line.ptr, line.len, "\"MODIFIED\"", 10), "an event");
    int64_t revision = strtoll(at + sizeof key - 1, NULL, 10);
    bench->misordered += revision <= watch->revision;
    watch->revision = revision;
    watch->events++;
    bench->delivered++;
}

static void on_watch_head(void *user, int status, const HttpHeader *headers, size_t n) {
    must(status == 200, "a watch");
}

static void begin_writing(Bench *bench);

static void on_watch_data(void *user, Str data) {
    Watch *watch = user;
    watch->bench->bytes += data.len;
    buf_str(&watch->line, data);
    Str rest = buf_view(&watch->line);
    ptrdiff_t end;
    while ((end = str_find(rest, '\n')) >= 0) {
        take_event(watch, str_slice(rest, 0, (size_t)end));
        rest = str_slice(rest, (size_t)end + 1, rest.len);
    }
    buf_consume(&watch->line, watch->line.len - rest.len);
    end_if_over(watch->bench);
}

static void on_watch_done(void *user, int error, Str message) {
    ((Watch *)user)->ended = true; // counted at the end
}

static const HttpCallEvents watch_events = {
    .on_head = on_watch_head, .on_data = on_watch_data, .on_done = on_watch_done};

static HttpClient *connect_client(Bench *bench, uint16_t port, Str ca) {
    TlsContext *context;
    must(tls_client_context(ca, STR(""), STR(""), STR("127.0.0.1"), true, &context) == 0, "TLS");
    HttpClientConfig config = {
        .loop = bench->loop, .host = STR("127.0.0.1"), .port = port, .tls = context};
    HttpClient *client;
    must(http_client_new(&config, &client) == 0, "the client");
    tls_context_unref(context);
    return client;
}

static void open_watches(Bench *bench, uint16_t port, Str ca, int64_t revision) {
    char target[128];
    int len =
        snprintf(target, sizeof target, COLLECTION "?watch=1&resourceVersion=%" PRId64, revision);
    HttpClient *client = NULL;
    for (size_t i = 0; i < bench->n_watches; i++) {
        if (i % PER_CONNECTION == 0)
            client = connect_client(bench, port, ca);
        Watch *watch = &bench->watches[i];
        *watch = (Watch){.bench = bench, .line = BUF_INIT(1 << 20), .revision = revision};
        HttpCallSpec spec = {.method = STR("GET"),
                             .target = str_of(target, (size_t)len),
                             .headers = bench->headers,
                             .n_headers = 1};
        http_call(client, &spec, &watch_events, watch);
    }
}

// ---- the writer ----

static Bytes *body_of(size_t object, size_t number, bool create) {
    char filler[VALUE + 1];
    memset(filler, 'v', VALUE);
    filler[VALUE] = 0;
    _buf_deinit_ Buf buf = BUF_INIT(4096);
    if (create)
        buf_printf(&buf, "{\"metadata\":{\"name\":\"c%zu\"},\"data\":{\"n\":\"\",\"v\":\"%s\"}}",
                   object, filler);
    else
        buf_printf(&buf, "{\"data\":{\"n\":\"%zu\"}}", number);
    return buf_bytes(&buf);
}

static void write_one(Bench *bench, size_t number, bool create, const HttpCallEvents *events) {
    char target[128];
    size_t object = number % OBJECTS;
    int len = create ? snprintf(target, sizeof target, COLLECTION)
                     : snprintf(target, sizeof target, COLLECTION "/c%zu", object);
    _bytes_unref_ Bytes *body = body_of(object, number, create);
    HttpCallSpec spec = {.method = create ? STR("POST") : STR("PATCH"),
                         .target = str_of(target, (size_t)len),
                         .headers = bench->headers,
                         .n_headers = 2,
                         .body = body};
    bench->in_flight++;
    http_call(bench->writer, &spec, events, bench);
}

static void on_write_head(void *user, int status, const HttpHeader *headers, size_t n) {
    Bench *bench = user;
    if (status == 200)
        bench->written++;
    else
        bench->refused++;
}

static void on_write_done(void *user, int error, Str message) {
    Bench *bench = user;
    bench->in_flight--;
    end_if_over(bench);
}

static const HttpCallEvents write_events = {.on_head = on_write_head, .on_done = on_write_done};

// Each tick brings the number sent up to what the clock asks for, with at most a second's worth
// unanswered.
static void tick(void *user) {
    Bench *bench = user;
    double elapsed = now() - bench->began;
    if (elapsed >= (double)bench->seconds) {
        bench->stopping = true;
        bench->stopped = now();
        end_if_over(bench);
        return;
    }
    while ((double)bench->sent < elapsed * (double)bench->rate && bench->in_flight < 100)
        write_one(bench, bench->sent++, false, &write_events);
    loop_timer_start(&bench->timer, TICK_MS * NSEC_PER_MSEC);
}

static void look_for_progress(void *user) {
    Bench *bench = user;
    if (bench->stopping && bench->delivered == bench->seen_at_deadline) {
        bench->ended = now();
        loop_stop(bench->loop);
        return;
    }
    bench->seen_at_deadline = bench->delivered;
    loop_timer_start(&bench->deadline, PATIENCE_S * NSEC_PER_SEC);
}

static void begin_writing(Bench *bench) {
    bench->headers[1].value = STR("application/merge-patch+json");
    bench->began = now();
    loop_timer_init(&bench->deadline, bench->loop, look_for_progress, bench);
    look_for_progress(bench);
    loop_timer_init(&bench->timer, bench->loop, tick, bench);
    tick(bench);
}

// ---- the objects, and the revision to watch from ----

static void on_begin(void *user) {
    begin_writing(user);
}

typedef struct Creation {
    Bench *bench;
    uint16_t port;
    Str ca;
    int64_t revision;
} Creation;

static void on_created_data(void *user, Str data) {
    Creation *creation = user;
    static const char key[] = "\"resourceVersion\":\"";
    const char *at = memmem(data.ptr, data.len, key, sizeof key - 1);
    int64_t revision = at ? strtoll(at + sizeof key - 1, NULL, 10) : 0;
    creation->revision = revision > creation->revision ? revision : creation->revision;
}

static void on_created(void *user, int error, Str message) {
    Creation *creation = user;
    Bench *bench = creation->bench;
    must(error == 0, "making the objects");
    bench->in_flight--;
    if (++bench->created < OBJECTS)
        return;
    open_watches(bench, creation->port, creation->ca, creation->revision);
    loop_timer_init(&bench->timer, bench->loop, on_begin, bench);
    loop_timer_start(&bench->timer, 2 * NSEC_PER_SEC); // until the watches stand
}

static const HttpCallEvents create_events = {.on_data = on_created_data, .on_done = on_created};

static void create_objects(Creation *creation) {
    Bench *bench = creation->bench;
    for (size_t i = 0; i < OBJECTS; i++) {
        _bytes_unref_ Bytes *body = body_of(i, 0, true);
        HttpCallSpec spec = {.method = STR("POST"),
                             .target = STR(COLLECTION),
                             .headers = bench->headers,
                             .n_headers = 2,
                             .body = body};
        bench->in_flight++;
        http_call(bench->writer, &spec, &create_events, creation);
    }
}

static Str read_file(Arena *arena, const char *path) {
    FILE *file = fopen(path, "r");
    must(file != NULL, path);
    char *text = arena_alloc(arena, 65536);
    size_t len = fread(text, 1, 65536, file);
    fclose(file);
    return str_of(text, len);
}

static void report(const Bench *bench) {
    size_t expected = bench->written * bench->n_watches, short_watches = 0, ended = 0;
    for (size_t i = 0; i < bench->n_watches; i++) {
        short_watches += bench->watches[i].events < bench->written;
        ended += bench->watches[i].ended;
    }
    double took = bench->ended - bench->began;
    printf("{\"watches\": %zu, \"written\": %zu, \"refused\": %zu, \"writes_per_s\": %.0f, "
           "\"delivered\": %zu, \"lost\": %zu, \"misordered\": %zu, \"watches_cut\": %zu, "
           "\"watches_short\": %zu, \"events_per_s\": %.0f, \"megabytes_per_s\": %.1f, "
           "\"behind_s\": %.2f}\n",
           bench->n_watches, bench->written, bench->refused,
           (double)bench->written / (bench->stopped - bench->began), bench->delivered,
           expected - bench->delivered, bench->misordered, ended, short_watches,
           (double)bench->delivered / took, (double)bench->bytes / took / 1e6,
           bench->ended - bench->stopped);
}

int main(int argc, char **argv) {
    must(argc == 7, "usage: bench_watch PORT CA_FILE TOKEN WATCHES CHANGES_PER_SECOND SECONDS;");
    Arena *arena = arena_new();
    Bench bench = {.loop = loop_new(),
                   .n_watches = strtoul(argv[4], NULL, 10),
                   .rate = strtoul(argv[5], NULL, 10),
                   .seconds = strtoul(argv[6], NULL, 10)};
    Creation creation = {
        .bench = &bench, .port = (uint16_t)atoi(argv[1]), .ca = read_file(arena, argv[2])};
    bench.watches = memory_zalloc(bench.n_watches * sizeof(Watch));
    bench.headers[0] =
        (HttpHeader){STR("authorization"), arena_printf(arena, "Bearer %s", argv[3])};
    bench.headers[1] = (HttpHeader){STR("content-type"), STR("application/json")};
    bench.writer = connect_client(&bench, creation.port, creation.ca);
    create_objects(&creation);
    must(loop_run(bench.loop) == 0, "the loop");
    report(&bench);
    return 0;
}
