#include "base/metrics.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"

#define SERIES_LIMIT 1000u
#define BUCKETS 64u // of a table with labels

typedef struct MetricSeries MetricSeries;
struct MetricSeries {
    MetricSeries *next; // in its bucket
    char *values;
    size_t len;
    _Atomic uint64_t sum;      // the bits of a double: the value, or a histogram's sum
    _Atomic uint64_t counts[]; // histogram: one for each bound, and one above all
};

// Readers walk the lists without a lock; series are only ever added, under `lock`.
struct MetricTable {
    size_t n_buckets;
    _Atomic uint32_t count;
    _Atomic(MetricSeries *) buckets[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(Metric *) all;

static MetricTable *table_of(Metric *metric) {
    MetricTable *table = atomic_load_explicit(&metric->table, memory_order_acquire);
    if (table)
        return table;
    pthread_mutex_lock(&lock);
    table = atomic_load_explicit(&metric->table, memory_order_relaxed);
    if (!table) {
        size_t n = metric->labels ? BUCKETS : 1;
        table = memory_zalloc(sizeof *table + n * sizeof table->buckets[0]);
        table->n_buckets = n;
        metric->next = atomic_load_explicit(&all, memory_order_relaxed);
        atomic_store_explicit(&metric->table, table, memory_order_release);
        atomic_store_explicit(&all, metric, memory_order_release);
    }
    pthread_mutex_unlock(&lock);
    return table;
}

static MetricSeries *find(MetricTable *table, size_t bucket, Str values) {
    MetricSeries *series = atomic_load_explicit(&table->buckets[bucket], memory_order_acquire);
    while (series && !str_eq(str_of(series->values, series->len), values))
        series = series->next;
    return series;
}

static MetricSeries *add_series(Metric *metric, MetricTable *table, size_t bucket, Str values) {
    size_t n_counts = metric->kind == METRIC_HISTOGRAM ? metric->n_bounds + 1 : 0;
    MetricSeries *series = memory_zalloc(sizeof *series + n_counts * sizeof series->counts[0]);
    series->values = memory_alloc(values.len + 1);
    series->len = values.len;
    if (values.len)
        memcpy(series->values, values.ptr, values.len);
    series->next = atomic_load_explicit(&table->buckets[bucket], memory_order_relaxed);
    atomic_store_explicit(&table->buckets[bucket], series, memory_order_release);
    atomic_fetch_add_explicit(&table->count, 1, memory_order_relaxed);
    return series;
}

// Where label values run wild (a client chose them), what is too many counts together.
static MetricSeries *series_of(Metric *metric, Str values) {
    MetricTable *table = table_of(metric);
    size_t bucket = table->n_buckets > 1 ? str_hash(values) % table->n_buckets : 0;
    MetricSeries *series = find(table, bucket, values);
    if (series)
        return series;
    pthread_mutex_lock(&lock);
    series = find(table, bucket, values);
    bool full = !series && atomic_load(&table->count) >= SERIES_LIMIT;
    if (!series && !full)
        series = add_series(metric, table, bucket, values);
    if (full) {
        Str other = STR("other"); // stands for every label, see write_labels()
        bucket = table->n_buckets > 1 ? str_hash(other) % table->n_buckets : 0;
        series = find(table, bucket, other);
        if (!series)
            series = add_series(metric, table, bucket, other);
    }
    pthread_mutex_unlock(&lock);
    return series;
}

static double to_double(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint64_t to_bits(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static void add_double(_Atomic uint64_t *target, double amount) {
    uint64_t old = atomic_load_explicit(target, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(target, &old, to_bits(to_double(old) + amount),
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}

void metric_add(Metric *metric, Str values, double amount) {
    assert(metric->kind == METRIC_GAUGE || (metric->kind == METRIC_COUNTER && amount >= 0));
    add_double(&series_of(metric, values)->sum, amount);
}

void metric_set(Metric *metric, Str values, double value) {
    assert(metric->kind == METRIC_GAUGE);
    atomic_store_explicit(&series_of(metric, values)->sum, to_bits(value), memory_order_relaxed);
}

void metric_observe(Metric *metric, Str values, double value) {
    assert(metric->kind == METRIC_HISTOGRAM);
    MetricSeries *series = series_of(metric, values);
    size_t at = 0;
    while (at < metric->n_bounds && value > metric->bounds[at])
        at++;
    atomic_fetch_add_explicit(&series->counts[at], 1, memory_order_relaxed);
    add_double(&series->sum, value);
}

// Writing

static void write_number(Buf *buf, double value) {
    if (isnan(value))
        return buf_str(buf, STR("NaN"));
    if (isinf(value))
        return buf_str(buf, value > 0 ? STR("+Inf") : STR("-Inf"));
    char text[32];
    snprintf(text, sizeof text, "%.15g", value);
    if (strtod(text, NULL) != value)
        snprintf(text, sizeof text, "%.17g", value);
    buf_str(buf, str_from(text));
}

static void write_escaped(Buf *buf, Str text, bool quotes) {
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '\n')
            buf_str(buf, STR("\\n"));
        else if (c == '\\' || (quotes && c == '"'))
            buf_printf(buf, "\\%c", c);
        else
            buf_char(buf, c);
    }
}

static void write_label(Buf *buf, bool *first, Str name, Str value) {
    buf_char(buf, *first ? '{' : ',');
    *first = false;
    buf_str(buf, name);
    buf_str(buf, STR("=\""));
    write_escaped(buf, value, true);
    buf_char(buf, '"');
}

// `bound` is a histogram's `le`, or NULL.
static void write_sample(Buf *buf, const Metric *metric, const MetricSeries *series,
                         const char *suffix, const double *bound, double value) {
    bool first = true;
    buf_printf(buf, "%s%s", metric->name, suffix);
    Str values = str_of(series->values, series->len), names = str_from(metric->labels);
    bool is_other = str_eq(values, STR("other"));
    while (names.ptr) {
        Str name = str_cut(&names, ',');
        // The last name takes what is left, commas included.
        Str one = is_other ? values : names.ptr ? str_cut(&values, ',') : values;
        write_label(buf, &first, name, one);
    }
    if (bound) {
        _buf_deinit_ Buf text = BUF_INIT(64);
        write_number(&text, *bound);
        write_label(buf, &first, STR("le"), buf_view(&text));
    }
    buf_str(buf, first ? STR(" ") : STR("} "));
    write_number(buf, value);
    buf_char(buf, '\n');
}

static void write_series(Buf *buf, const Metric *metric, const MetricSeries *series) {
    double sum = to_double(atomic_load_explicit(&series->sum, memory_order_relaxed));
    if (metric->kind != METRIC_HISTOGRAM)
        return write_sample(buf, metric, series, "", NULL, sum);
    uint64_t count = 0;
    for (size_t i = 0; i <= metric->n_bounds; i++) {
        double bound = i < metric->n_bounds ? metric->bounds[i] : INFINITY;
        count += atomic_load_explicit(&series->counts[i], memory_order_relaxed);
        write_sample(buf, metric, series, "_bucket", &bound, (double)count);
    }
    write_sample(buf, metric, series, "_sum", NULL, sum);
    write_sample(buf, metric, series, "_count", NULL, (double)count);
}

static int by_values(const void *a, const void *b) {
    const MetricSeries *x = *(MetricSeries *const *)a, *y = *(MetricSeries *const *)b;
    return str_cmp(str_of(x->values, x->len), str_of(y->values, y->len));
}

static void write_metric(Buf *buf, Metric *metric) {
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    MetricTable *table = atomic_load_explicit(&metric->table, memory_order_acquire);
    size_t n = 0, room = SERIES_LIMIT + 1; // with the one for all others
    MetricSeries **sorted = memory_resize_array(NULL, room, sizeof(MetricSeries *));
    for (size_t i = 0; i < table->n_buckets; i++) {
        MetricSeries *series = atomic_load_explicit(&table->buckets[i], memory_order_acquire);
        for (; series && n < room; series = series->next)
            sorted[n++] = series;
    }
    qsort(sorted, n, sizeof(MetricSeries *), by_values);
    buf_printf(buf, "# HELP %s ", metric->name);
    write_escaped(buf, str_from(metric->help), false);
    buf_printf(buf, "\n# TYPE %s %s\n", metric->name, kinds[metric->kind]);
    for (size_t i = 0; i < n; i++)
        write_series(buf, metric, sorted[i]);
    free(sorted);
}

static int by_name(const void *a, const void *b) {
    const Metric *x = *(Metric *const *)a, *y = *(Metric *const *)b;
    return strcmp(x->name, y->name);
}

void metrics_write(Buf *buf) {
    size_t n = 0, i = 0;
    Metric *first = atomic_load_explicit(&all, memory_order_acquire);
    for (Metric *metric = first; metric; metric = metric->next)
        n++;
    Metric **sorted = memory_resize_array(NULL, n, sizeof(Metric *));
    for (Metric *metric = first; metric; metric = metric->next)
        sorted[i++] = metric;
    qsort(sorted, n, sizeof(Metric *), by_name);
    for (i = 0; i < n; i++)
        write_metric(buf, sorted[i]);
    free(sorted);
}
