// The store on this machine's disk: durable puts one after another and 100 in flight, volatile
// puts, how long after a put its watch hears of it, and what reading costs.
//   bench_store [DIRECTORY]   (default: the current one; the disk below it is what is measured)

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/memory.h"
#include "store/store.h"

enum { SIZE = 4300, OBJECTS = 1000, SAMPLES = 100000 }; // SIZE: a pod with its status

typedef struct Bench {
    Loop *loop;
    Store *store;
    const char *name;
    Bytes *value;
    int left, in_flight;
    unsigned flags;
    int64_t next;
    int64_t started[SAMPLES], took[SAMPLES]; // of each put
    int64_t watched[SAMPLES];
    int n, n_watched;
    int64_t begin;
} Bench;

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * NSEC_PER_SEC + time.tv_nsec;
}

static int compare(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double percentile(int64_t *samples, int n, double p) {
    qsort(samples, (size_t)n, sizeof *samples, compare);
    return n ? (double)samples[(int)((n - 1) * p)] / 1000.0 : 0;
}

static void put_one(Bench *bench);

static void put_done(void *user, int error, const StoreResult *result) {
    Bench *bench = user;
    if (error)
        abort();
    bench->took[bench->n] = now() - bench->started[bench->n]; // answers come in order
    bench->n++;
    bench->in_flight--;
    if (bench->left)
        put_one(bench);
    else if (!bench->in_flight)
        loop_stop(bench->loop);
}

static void put_one(Bench *bench) {
    char key[64];
    int len = snprintf(key, sizeof key, "/registry/pods/default/pod-%06d",
                       (int)(bench->next++ * 7919 % OBJECTS));
    bench->left--;
    bench->started[bench->n + bench->in_flight] = now();
    bench->in_flight++;
    store_put(bench->store, str_of(key, (size_t)len), bench->value, STORE_ANY, bench->flags,
              put_done, bench);
}

static void on_events(void *user, const StoreEvent *events, size_t n, int64_t revision) {
    Bench *bench = user;
    int64_t at = now();
    for (size_t i = 0; i < n && bench->n_watched < SAMPLES; i++, bench->n_watched++)
        bench->watched[bench->n_watched] = at - bench->started[bench->n_watched];
}

static void on_error(void *user, int error) {
    abort();
}

static void wait_done(void *user, int error, const StoreResult *result) {
    Bench *bench = user;
    if (error)
        abort();
    bench->n = (int)result->n;
    bench->begin = result->revision;
    loop_stop(bench->loop);
}

static void run_puts(Bench *bench, const char *what, int n, int in_flight, unsigned flags) {
    store_sync(bench->store, wait_done, bench);
    loop_run(bench->loop);
    StoreWatch *watch =
        store_watch(bench->store, STR("/registry/pods/"), bench->begin, on_events, on_error, bench);
    bench->n = bench->n_watched = 0;
    bench->left = n;
    bench->flags = flags;
    int64_t begin = now();
    for (int i = 0; i < in_flight; i++)
        put_one(bench);
    loop_run(bench->loop);
    double seconds = (double)(now() - begin) / 1e9;
    store_watch_cancel(bench->store, watch);
    printf("%-8s %-28s %9.0f /s   put p50 %8.0f us  p99 %8.0f us   watch p50 %8.0f us\n",
           bench->name, what, n / seconds, percentile(bench->took, n, 0.5),
           percentile(bench->took, n, 0.99), percentile(bench->watched, bench->n_watched, 0.5));
}

static void run_range(Bench *bench, const char *what, size_t limit) {
    int64_t begin = now();
    store_range(bench->store, STR("/registry/pods/"), STR(""), 0, limit, wait_done, bench);
    loop_run(bench->loop);
    printf("%-8s %-28s %9.3f ms for %d objects\n", bench->name, what, (double)(now() - begin) / 1e6,
           bench->n);
}

static void closed(void *user) {
    loop_stop(((Bench *)user)->loop);
}

static void run_store(Bench *bench, int n) {
    run_puts(bench, "durable, 1 in flight", n / 10, 1, 0);
    run_puts(bench, "durable, 100 in flight", n, 100, 0);
    run_puts(bench, "volatile, 1 in flight", n / 10, 1, STORE_VOLATILE);
    run_range(bench, "range of all", 0);
    run_range(bench, "range, limit 50", 50);
    store_close(bench->store, closed, bench);
    loop_run(bench->loop);
}

static long resident_kib(void) {
    long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%ld %ld", &pages, &resident) != 2)
        abort();
    fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

int main(int argc, char **argv) {
    char path[4096];
    snprintf(path, sizeof path, "%s/bench-store-%d.db", argc > 1 ? argv[1] : ".", (int)getpid());
    Bench *bench = memory_new(Bench);
    bench->loop = loop_new();
    bench->value = bytes_alloc(SIZE);
    memset(bench->value->data, 'v', SIZE);

    long before = resident_kib();
    char *message;
    int64_t begin = now();
    if (store_sqlite_open(bench->loop, path, &bench->store, &message) != 0) {
        fprintf(stderr, "bench_store: %s\n", message);
        return 1;
    }
    printf("sqlite   open, new                    %9.3f ms\n", (double)(now() - begin) / 1e6);
    bench->name = "sqlite";
    run_store(bench, 20000);
    begin = now();
    if (store_sqlite_open(bench->loop, path, &bench->store, &message) != 0)
        return 1;
    printf("sqlite   open, existing               %9.3f ms\n", (double)(now() - begin) / 1e6);
    run_puts(bench, "durable, 1 in flight, again", 200, 1, 0);
    printf("sqlite   memory                       %9ld KiB more than before it was opened\n",
           resident_kib() - before);
    store_close(bench->store, closed, bench);
    loop_run(bench->loop);
    unlink(path);
    snprintf(path + strlen(path), sizeof path - strlen(path), ".lock");
    unlink(path);

    bench->name = "memory";
    bench->store = store_memory_new(bench->loop);
    run_store(bench, 50000);
    bytes_unref(bench->value);
    loop_free(bench->loop);
    free(bench);
    return 0;
}
