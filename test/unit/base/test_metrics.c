#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <pthread.h>
#include <stdio.h>

#include "base/metrics.h"

static void assert_written(const char *expected) {
    _buf_deinit_ Buf buf = BUF_INIT(1 << 20);
    metrics_write(&buf);
    buf_char(&buf, '\0');
    if (!strstr(buf.data, expected))
        fail_msg("%s\nis not in\n%s", expected, buf.data);
}

static void test_counter_and_gauge(void **state) {
    static Metric requests = {
        .name = "requests_total", .help = "Requests\nseen.", .labels = "verb,code"};
    static Metric depth = {.name = "depth", .help = "Queue.", .kind = METRIC_GAUGE};
    metric_add(&requests, STR("list,200"), 1);
    metric_add(&requests, STR("get,404"), 2);
    metric_add(&requests, STR("list,200"), 0.5);
    metric_add(&requests, STR("a\"b\\,c,d"), 1);
    metric_set(&depth, STR_NONE, 7);
    metric_add(&depth, STR_NONE, -10);
    assert_written("# HELP requests_total Requests\\nseen.\n"
                   "# TYPE requests_total counter\n"
                   "requests_total{verb=\"a\\\"b\\\\\",code=\"c,d\"} 1\n"
                   "requests_total{verb=\"get\",code=\"404\"} 2\n"
                   "requests_total{verb=\"list\",code=\"200\"} 1.5\n");
    assert_written("# TYPE depth gauge\ndepth -3\n");
    metric_set(&depth, STR_NONE, INFINITY);
    assert_written("\ndepth +Inf\n");
    metric_set(&depth, STR_NONE, 0.1);
    assert_written("\ndepth 0.1\n");
}

static void test_histogram(void **state) {
    static const double bounds[] = {0.1, 1};
    static Metric seconds = {.name = "seconds",
                             .help = "Time.",
                             .kind = METRIC_HISTOGRAM,
                             .labels = "verb",
                             .bounds = bounds,
                             .n_bounds = 2};
    metric_observe(&seconds, STR("get"), 0.1); // a bound belongs to its bucket
    metric_observe(&seconds, STR("get"), 0.4);
    metric_observe(&seconds, STR("get"), 5);
    assert_written("# TYPE seconds histogram\n"
                   "seconds_bucket{verb=\"get\",le=\"0.1\"} 1\n"
                   "seconds_bucket{verb=\"get\",le=\"1\"} 2\n"
                   "seconds_bucket{verb=\"get\",le=\"+Inf\"} 3\n"
                   "seconds_sum{verb=\"get\"} 5.5\n"
                   "seconds_count{verb=\"get\"} 3\n");
}

static void test_series_are_limited(void **state) {
    static Metric wild = {.name = "wild_total", .help = "Wild.", .labels = "x,y"};
    for (int i = 0; i < 1200; i++) {
        char values[16];
        snprintf(values, sizeof values, "%d,y", i);
        metric_add(&wild, str_from(values), 1);
    }
    assert_written("wild_total{x=\"other\",y=\"other\"} 200\n");
    assert_written("wild_total{x=\"999\",y=\"y\"} 1\n");
}

static Metric shared = {.name = "shared_total", .help = "Shared.", .labels = "i"};
static void *add_many(void *user) {
    for (int i = 0; i < 20000; i++)
        metric_add(&shared, i % 2 ? STR("odd") : STR("even"), 1);
    return NULL;
}

static void test_threads_lose_nothing(void **state) {
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_written("shared_total{i=\"even\"} 40000\nshared_total{i=\"odd\"} 40000\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counter_and_gauge),
        cmocka_unit_test(test_histogram),
        cmocka_unit_test(test_series_are_limited),
        cmocka_unit_test(test_threads_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
