#pragma once
// Tables of objects and of what is wrong with them.

#include "road.h"

typedef struct Case {
    const char *json;
    const char *problems; // "path: message" lines
} Case;

static inline void check_cases(const Resource *resource, const Case *cases, size_t n) {
    for (size_t i = 0; i < n; i++) {
        _arena_free_ Arena *arena = arena_new();
        const char *problems = road_create(arena, resource, cases[i].json, NULL);
        if (strcmp(problems, cases[i].problems) != 0)
            fail_msg("%s\n has the problems\n%s and not\n%s", cases[i].json, problems,
                     cases[i].problems);
    }
}
#define CHECK(resource, ...)                                                                       \
    check_cases((resource), (const Case[]){__VA_ARGS__},                                           \
                sizeof((const Case[]){__VA_ARGS__}) / sizeof(Case))

typedef struct Change {
    const char *old, *json;
    const char *problems;
} Change;

static inline void check_changes(const Resource *resource, const Change *changes, size_t n) {
    for (size_t i = 0; i < n; i++) {
        _arena_free_ Arena *arena = arena_new();
        const char *problems = road_update(arena, resource, changes[i].old, changes[i].json, NULL);
        if (strcmp(problems, changes[i].problems) != 0)
            fail_msg("%s\n has the problems\n%s and not\n%s", changes[i].json, problems,
                     changes[i].problems);
    }
}
#define CHECK_CHANGES(resource, ...)                                                               \
    check_changes((resource), (const Change[]){__VA_ARGS__},                                       \
                  sizeof((const Change[]){__VA_ARGS__}) / sizeof(Change))

// What an object becomes at creation, at one of its paths.
static inline void check_made(const Resource *resource, const char *json, const char *path,
                              const char *expected) {
    _arena_free_ Arena *arena = arena_new();
    Value *made;
    assert_string_equal(road_create(arena, resource, json, &made), "");
    road_assert_json(arena, value_at(made, path), expected);
}
