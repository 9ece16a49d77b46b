// One APIService for each group and version that is served, as kube-aggregator's autoregistration
// makes them. What it says of itself is in kinds/apiregistration-v1.c.

#include "api/bootstrap_private.h"
#include "kinds/kinds.h"

#define COLLECTION "/apis/apiregistration.k8s.io/v1/apiservices"

// Priorities of groups and versions: kube-apiserver's pkg/controlplane/apiserver/aggregator.go.
static const struct {
    const char *group, *version;
    int group_priority, version_priority;
} priorities[] = {
    {"", "v1", 18000, 1},
    {"apps", "v1", 17800, 15},
    {"events.k8s.io", "v1", 17750, 15},
    {"authentication.k8s.io", "v1", 17700, 15},
    {"authorization.k8s.io", "v1", 17600, 15},
    {"autoscaling", "v1", 17500, 15},
    {"autoscaling", "v2", 17500, 30},
    {"batch", "v1", 17400, 15},
    {"certificates.k8s.io", "v1", 17300, 15},
    {"networking.k8s.io", "v1", 17200, 15},
    {"policy", "v1", 17100, 15},
    {"rbac.authorization.k8s.io", "v1", 17000, 15},
    {"settings.k8s.io", "v1alpha1", 16900, 9},
    {"storage.k8s.io", "v1", 16800, 15},
    {"apiextensions.k8s.io", "v1", 16700, 15},
    {"admissionregistration.k8s.io", "v1", 16700, 15},
    {"scheduling.k8s.io", "v1", 16600, 15},
    {"coordination.k8s.io", "v1", 16500, 15},
    {"node.k8s.io", "v1", 16300, 15},
    {"discovery.k8s.io", "v1", 16200, 15},
    {"flowcontrol.apiserver.k8s.io", "v1", 16100, 21},
    {"resource.k8s.io", "v1", 15900, 20},
    {"metrics.k8s.io", "v1beta1", 100, 100}, // as metrics-server registers itself
};

static bool is_served(const Bootstrap *self, const char *group, const char *version) {
    return registry_has_version(self->api->registry, str_from(group), str_from(version));
}

void bootstrap_api_services(Bootstrap *self) {
    Arena *arena = self->arena;
    for (size_t i = 0; i < sizeof priorities / sizeof *priorities; i++) {
        const char *group = priorities[i].group, *version = priorities[i].version;
        char *name = arena_cstr(arena, arena_printf(arena, "%s.%s", version, group));
        if (!is_served(self, group, version) ||
            bootstrap_existing(self, "apiregistration.k8s.io/apiservices", NULL, name))
            continue;
        Value *object = bootstrap_object(arena, "apiregistration.k8s.io/v1", "APIService", name);
        bootstrap_set_metadata(arena, object, "labels",
                               STR("kube-aggregator.kubernetes.io/automanaged"), "onstart");
        Value *spec = value_at_make(arena, object, "spec");
        value_set_str(arena, spec, STR("group"), str_from(group));
        value_set_str(arena, spec, STR("version"), str_from(version));
        value_set_int(arena, spec, STR("groupPriorityMinimum"), priorities[i].group_priority);
        value_set_int(arena, spec, STR("versionPriority"), priorities[i].version_priority);
        bootstrap_send(self, "POST", STR(COLLECTION), object);
    }
}
