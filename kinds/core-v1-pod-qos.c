// https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/ (pkg/apis/core/helper/qos)

#include "base/quantity.h"
#include "kinds/pod.h"

enum { CPU, MEMORY, COMPUTE };
typedef struct Sums { // of what is asked for, above zero
    Quantity quantity[COMPUTE];
    bool named[COMPUTE];
} Sums;
typedef struct Qos {
    Sums requests, limits;
    bool all_limited; // every container limits both
} Qos;

static const Str compute[COMPUTE] = {{"cpu", 3}, {"memory", 6}};

// Adds a list to the sums; returns whether it names both resources.
static bool add_list(Sums *sums, const Value *list) {
    bool both = true;
    for (int i = 0; i < COMPUTE; i++) {
        Quantity quantity;
        const Value *value = value_get(list, compute[i]);
        if (!value || quantity_parse(tree_string(value), &quantity) < 0 || quantity.nano <= 0) {
            both = false;
            continue;
        }
        sums->quantity[i] = sums->named[i] ? quantity_add(sums->quantity[i], quantity) : quantity;
        sums->named[i] = true;
    }
    return both;
}

static void add_resources(Qos *qos, const Value *resources) {
    add_list(&qos->requests, value_get(resources, STR("requests")));
    if (!add_list(&qos->limits, value_get(resources, STR("limits"))))
        qos->all_limited = false;
}

static void add_containers(Qos *qos, const Value *containers) {
    for (uint32_t i = 0; containers && containers->kind == VALUE_ARRAY && i < containers->n; i++)
        add_resources(qos, value_get(containers->items[i], STR("resources")));
}

static bool same_named(const Sums *a, const Sums *b) {
    for (int i = 0; i < COMPUTE; i++)
        if (a->named[i] != b->named[i] ||
            (a->named[i] && quantity_cmp(a->quantity[i], b->quantity[i]) != 0))
            return false;
    return true;
}

Str pod_qos(const Value *spec) {
    Qos qos = {.all_limited = true};
    const Value *whole = value_get(spec, STR("resources"));
    if (whole) {
        add_list(&qos.requests, value_get(whole, STR("requests")));
        if (tree_count(whole, "limits") && !add_list(&qos.limits, value_get(whole, STR("limits"))))
            qos.all_limited = false;
    } else {
        add_containers(&qos, value_get(spec, STR("containers")));
        add_containers(&qos, value_get(spec, STR("initContainers")));
    }
    bool any = false;
    for (int i = 0; i < COMPUTE; i++)
        any = any || qos.requests.named[i] || qos.limits.named[i];
    if (!any)
        return STR("BestEffort");
    return qos.all_limited && same_named(&qos.requests, &qos.limits) ? STR("Guaranteed")
                                                                     : STR("Burstable");
}
