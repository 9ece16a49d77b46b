#pragma once
// What the tests of pods share. A pod is given by its spec's members.

#include "road.h"
#include "kinds/tree.h"

static inline const char *pod_json(Arena *arena, const char *metadata, const char *spec) {
    return arena_printf(arena, "{'metadata':{'name':'p'%s%s},'spec':{%s}}", *metadata ? "," : "",
                        metadata, spec)
        .ptr;
}
// What is wrong with a new pod; *ret (may be NULL) gets it.
static inline const char *pod_create(Arena *arena, const char *metadata, const char *spec,
                                     Value **ret) {
    return road_create(arena, kinds_resource_core_v1_pods(), pod_json(arena, metadata, spec), ret);
}
// The same with one container; `members` are more members of the spec.
#define POD_CONTAINERS "'containers':[{'name':'c','image':'i'}]"
static inline const char *pod_spec(Arena *arena, const char *members) {
    return pod_create(arena, "", arena_printf(arena, POD_CONTAINERS ",%s", members).ptr, NULL);
}
// A pod with one container of these members beside name and image.
static inline const char *pod_container(Arena *arena, const char *members) {
    return pod_create(
        arena, "", arena_printf(arena, "'containers':[{'name':'c','image':'i',%s}]", members).ptr,
        NULL);
}

typedef struct PodCase {
    const char *json, *problems; // "path: message\n" each
} PodCase;
#define POD_CASES(cases) (cases), sizeof(cases) / sizeof *(cases)

static inline void pod_check(const PodCase *cases, size_t n,
                             const char *(*validate)(Arena *arena, const char *json)) {
    for (size_t i = 0; i < n; i++) {
        _arena_free_ Arena *arena = arena_new();
        const char *problems = validate(arena, cases[i].json);
        if (strcmp(problems, cases[i].problems))
            fail_msg("%s\n%sinstead of\n%s", cases[i].json, problems, cases[i].problems);
    }
}
