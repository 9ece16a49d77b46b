#pragma once
// What the tests of the kinds that make pods share.

#include "road.h"

#define CONTAINERS "'containers':[{'name':'c','image':'i:1'}]"
#define LABELS "'metadata':{'labels':{'app':'a'}}"
#define TEMPLATE "'template':{" LABELS ",'spec':{" CONTAINERS "}}"
#define SELECTOR "'selector':{'matchLabels':{'app':'a'}}"
// What upstream's tests of defaults call defaultPodTemplate (pkg/apis/apps/v1/defaults_test.go).
#define DEFAULTED_CONTAINERS                                                                       \
    "'containers':[{'name':'c','image':'i:1','resources':{},'terminationMessagePath':"             \
    "'/dev/termination-log','terminationMessagePolicy':'File','imagePullPolicy':'IfNotPresent'}]"
#define DEFAULTED_POD_SPEC(restart)                                                                \
    "'spec':{" DEFAULTED_CONTAINERS ",'restartPolicy':'" restart                                   \
    "','terminationGracePeriodSeconds':30,'dnsPolicy':'ClusterFirst','securityContext':{},"        \
    "'schedulerName':'default-scheduler'}"
#define DEFAULTED_TEMPLATE "'template':{" LABELS "," DEFAULTED_POD_SPEC("Always") "}"

// A new object of these members of its spec: what is wrong with it; *ret (may be NULL) gets it.
static inline const char *workload_create(Arena *arena, const Resource *resource, const char *spec,
                                          Value **ret) {
    return road_create(arena, resource, arena_printf(arena, "{'spec':{%s}}", spec).ptr, ret);
}
// The spec that comes of it, which must be good.
static inline void workload_becomes(const Resource *resource, const char *spec,
                                    const char *expected) {
    _arena_free_ Arena *arena = arena_new();
    Value *object;
    assert_string_equal(workload_create(arena, resource, spec, &object), "");
    road_assert_json(arena, value_at(object, "spec"), arena_printf(arena, "{%s}", expected).ptr);
}
