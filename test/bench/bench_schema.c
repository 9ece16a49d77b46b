// How long the road of one pod through the schema room takes, in microseconds a step.

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "kinds/kinds.h"
#include "schema/apply.h"
#include "schema/check.h"
#include "schema/patch.h"

typedef struct Bench {
    Arena *arena;
    Str text;
    Value *tree;    // normal and defaulted
    Value *parsed;  // as it came
    Value *tracked; // `tree` with managedFields
    Pod pod;
    Buf buf;
} Bench;

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void check(int r) {
    if (!r)
        return;
    fprintf(stderr, "step failed: %d\n", r);
    exit(1);
}

static void bench_parse(Bench *b, Arena *arena) {
    Value *value;
    ParseError error;
    ValuePaths duplicates = {0};
    check(value_parse_json(arena, b->text, &duplicates, &value, &error));
}

static void bench_yaml(Bench *b, Arena *arena) {
    Value *value;
    ParseError error;
    check(value_parse_yaml(arena, b->text, NULL, &value, &error));
}

static void bench_copy(Bench *b, Arena *arena) {
    value_copy(arena, b->tree);
}

static void bench_normalize(Bench *b, Arena *arena) {
    Str message;
    ValuePaths unknown = {0};
    check(schema_normalize(arena, kinds_type_Pod(), value_copy(arena, b->parsed), &unknown,
                           &message));
}

static void bench_default(Bench *b, Arena *arena) {
    schema_default(arena, kinds_resource_core_v1_pods(), b->tree);
}

static void bench_validate(Bench *b, Arena *arena) {
    FieldErrors errors = {.arena = arena};
    schema_validate(&errors, kinds_resource_core_v1_pods(), b->tree, NULL);
    for (size_t i = 0; i < errors.n; i++)
        fprintf(stderr, "%.*s: %.*s\n", STR_ARG(errors.items[i].path),
                STR_ARG(errors.items[i].message));
    check((int)errors.n);
}

static void bench_encode(Bench *b, Arena *arena) {
    buf_clear(&b->buf);
    value_write_json(b->tree, &b->buf);
}

static void bench_typed_from_value(Bench *b, Arena *arena) {
    Pod pod;
    check(typed_from_value(arena, kinds_type_Pod(), b->tree, &pod));
}

static void bench_typed_from_json(Bench *b, Arena *arena) {
    Pod pod;
    check(typed_from_json(arena, kinds_type_Pod(), b->text, &pod));
}

static void bench_typed_write(Bench *b, Arena *arena) {
    buf_clear(&b->buf);
    typed_write_json(kinds_type_Pod(), &b->pod, &b->buf);
}

static void bench_strategic(Bench *b, Arena *arena) {
    Value *patch, *after;
    ParseError error;
    Str message;
    Str text = STR("{\"status\":{\"$setElementOrder/conditions\":[{\"type\":\"Ready\"}],"
                   "\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\"}]}}");
    check(value_parse_json(arena, text, NULL, &patch, &error));
    check(patch_strategic(arena, kinds_type_Pod(), b->tree, patch, &after, &message));
}

static void bench_track(Bench *b, Arena *arena) {
    ApplyRequest request = {.resource = kinds_resource_core_v1_pods(),
                            .api_version = STR("v1"),
                            .manager = STR("kubelet"),
                            .subresource = STR("status")};
    Value *next = value_copy(arena, b->tracked);
    value_set_str(arena, value_get(next, STR("status")), STR("phase"), STR("Failed"));
    apply_track_update(arena, &request, b->tracked, next);
}

static const struct {
    const char *name;
    void (*run)(Bench *b, Arena *arena);
} steps[] = {
    {"parse JSON to a tree", bench_parse},
    {"parse the same as YAML", bench_yaml},
    {"copy the tree", bench_copy},
    {"copy and normalize", bench_normalize},
    {"default", bench_default},
    {"validate", bench_validate},
    {"encode the tree", bench_encode},
    {"struct from the tree", bench_typed_from_value},
    {"struct from JSON", bench_typed_from_json},
    {"struct to JSON", bench_typed_write},
    {"strategic merge patch", bench_strategic},
    {"managedFields of an update", bench_track},
};

static Str read_file(Arena *arena, const char *path) {
    FILE *file = fopen(path, "r");
    if (!file)
        check(1);
    char *text = arena_alloc(arena, 1 << 20);
    size_t n = fread(text, 1, 1 << 20, file);
    fclose(file);
    return str_trim(str_of(text, n));
}

int main(int argc, char **argv) {
    Bench b = {.arena = arena_new(), .buf = BUF_INIT(1 << 20)};
    ParseError error;
    Str message;
    b.text = read_file(b.arena, argc > 1 ? argv[1] : POD_JSON);
    check(value_parse_json(b.arena, b.text, NULL, &b.parsed, &error));
    b.tree = value_copy(b.arena, b.parsed);
    check(schema_normalize(b.arena, kinds_type_Pod(), b.tree, NULL, &message));
    schema_default(b.arena, kinds_resource_core_v1_pods(), b.tree);
    check(typed_from_value(b.arena, kinds_type_Pod(), b.tree, &b.pod));
    ApplyRequest create = {.resource = kinds_resource_core_v1_pods(),
                           .api_version = STR("v1"),
                           .manager = STR("controller"),
                           .subresource = STR("")};
    b.tracked = value_copy(b.arena, b.tree);
    apply_track_update(b.arena, &create, NULL, b.tracked);
    printf("a pod of %zu bytes: best time of a step, arena space it takes\n", b.text.len);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        Arena *arena = arena_new();
        double best = 1e9;
        size_t used = 0;
        for (int round = 0; round < 20; round++) {
            double start = now_us();
            for (int n = 0; n < 500; n++) {
                arena_reset(arena);
                steps[i].run(&b, arena);
            }
            double us = (now_us() - start) / 500;
            best = us < best ? us : best;
            used = arena_size(arena);
        }
        printf("%-26s %8.2f us %8zu bytes\n", steps[i].name, best, used);
        arena_free(arena);
    }
    buf_deinit(&b.buf);
    arena_free(b.arena);
    return 0;
}
