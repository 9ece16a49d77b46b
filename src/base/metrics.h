#pragma once
// Counters, gauges and histograms in Prometheus' text format (0.0.4). A metric is a static object
// that registers itself at first use; updates are atomic and cheap.

#include <stdatomic.h>
#include <stdint.h>

#include "base/buf.h"

typedef enum MetricKind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM } MetricKind;
typedef struct MetricTable MetricTable; // its series, one for each set of label values
typedef struct Metric {
    const char *name, *help;
    MetricKind kind;
    const char *labels;   // comma-separated label names, or NULL
    const double *bounds; // histogram: upper bounds, ascending
    size_t n_bounds;
    _Atomic(MetricTable *) table; // private
    struct Metric *_Atomic next;  // private
} Metric;
// `values`: comma-separated label values matching `labels` (STR_NONE without labels). At most 1,000
// series a metric; further ones are folded into one whose values are "other".
void metric_add(Metric *metric, Str values, double amount);
void metric_set(Metric *metric, Str values, double value);
void metric_observe(Metric *metric, Str values, double value);
void metrics_write(Buf *buf); // everything registered
