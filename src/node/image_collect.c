// Which images go when the disk fills up: the kubelet's image_gc_manager.go.
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/memory.h"
#include "node/host_usage.h"
#include "node/images_private.h"
#include "node/node_reporter.h"

#define HIGH 85 // percent of the disk
#define LOW 80
#define MIN_AGE (120 * NSEC_PER_SEC)
#define MAX_OUTPUT (16 * 1024)
#define COLLECT_TIMEOUT (600 * NSEC_PER_SEC)

// Uses -----------------------------------------------------------------------------------------

ImageUse *image_use(Images *images, Str manifest) {
    ImageUse *use = map_get(images->uses, manifest);
    if (use)
        return use;
    use = memory_new(ImageUse);
    use->found = loop_wall(images->agent->loop);
    map_put(images->uses, manifest, use);
    return use;
}

void image_uses_free(Images *images) {
    MapIter iter = {0};
    while (map_next(images->uses, &iter))
        free(iter.value);
    map_free(images->uses);
    if (images->collector)
        child_abandon(images->collector);
}

// Images that went, by whoever's hand.
static void forget_others(Images *images, const Image *all, size_t n) {
    MapIter iter = {0};
    while (map_next(images->uses, &iter)) {
        bool there = false;
        for (size_t i = 0; i < n && !there; i++)
            there = str_eq(all[i].manifest, iter.key);
        if (there)
            continue;
        map_remove(images->uses, iter.key);
        free(iter.value);
    }
}

static int by_size(const void *a, const void *b) {
    uint64_t left = ((const Image *)a)->size, right = ((const Image *)b)->size;
    return left < right ? 1 : left > right ? -1 : 0;
}

size_t images_list(Images *images, Arena *arena, const Image **ret) {
    Image *all;
    size_t n;
    *ret = NULL;
    if (images->store_error || image_store_list(images->store, arena, &all, &n) != 0)
        return 0;
    if (n)
        qsort(all, n, sizeof *all, by_size);
    for (size_t i = 0; i < n; i++)
        image_use(images, all[i].manifest);
    forget_others(images, all, n);
    *ret = all;
    return n;
}

// Choosing -------------------------------------------------------------------------------------

static bool goes_before(const ImageUse *a, const ImageUse *b) {
    return a->used != b->used ? a->used < b->used : a->found < b->found;
}

int64_t image_choose(const Image *images, size_t n, const ImageUse *uses, const bool *pinned,
                     int64_t now, int64_t min_age, int64_t to_free, bool *chosen) {
    int64_t freed = 0;
    memset(chosen, 0, n * sizeof *chosen);
    while (freed < to_free) {
        size_t next = n;
        for (size_t i = 0; i < n; i++) {
            if (chosen[i] || pinned[i] || now - uses[i].found < min_age)
                continue;
            if (next == n || goes_before(&uses[i], &uses[next]))
                next = i;
        }
        if (next == n)
            break;
        chosen[next] = true;
        freed += (int64_t)images[next].size;
    }
    return freed;
}

static void mark_pinned(Images *images, Arena *arena, const Image *all, size_t n, bool *pinned) {
    ImageStrings names;
    Str manifest;
    if (image_store_pins(images->store, arena, &names) != 0) {
        memset(pinned, 1, n * sizeof *pinned); // nothing goes on a guess
        return;
    }
    for (size_t i = 0; i < names.n; i++) {
        if (image_store_pinned(images->store, arena, names.items[i], &manifest) != 0)
            continue;
        for (size_t j = 0; j < n; j++)
            pinned[j] |= str_eq(all[j].manifest, manifest);
    }
}

// Removing -------------------------------------------------------------------------------------

static void on_collected(void *user, const SpawnResult *result) {
    Images *images = user;
    images->collector = NULL;
    if (result->error || !WIFEXITED(result->status) || WEXITSTATUS(result->status) != 0)
        log_warn("node", "images not removed", "message=\"%.*s\"",
                 STR_ARG(str_trim(result->stderr_data)));
    node_reporter_changed(images->agent->status);
}

static void remove_chosen(Images *images, Arena *arena, const Image *all, size_t n,
                          const bool *chosen) {
    const char **argv = arena_array_of(arena, const char *, n + 7);
    const NodeConfig *config = &images->agent->config;
    size_t n_argv = 0;
    argv[n_argv++] = arena_cstr(arena, config->image_program);
    argv[n_argv++] = "rm";
    argv[n_argv++] = "--quiet";
    argv[n_argv++] = "--data-dir";
    argv[n_argv++] = arena_cstr(arena, config->data_directory);
    for (size_t i = 0; i < n; i++)
        if (chosen[i])
            argv[n_argv++] = arena_cstr(arena, all[i].id);
    argv[n_argv] = NULL;
    SpawnSpec spec = {.argv = argv};
    images->collector = spawn_run(images->agent->loop, &spec, STR_NONE, MAX_OUTPUT, COLLECT_TIMEOUT,
                                  on_collected, images);
}

static void tell_too_little(Images *images, int64_t wanted, int64_t found) {
    NodeAgent *agent = images->agent;
    EventTarget target = {.api_version = STR("v1"),
                          .kind = STR("Node"),
                          .name = agent->config.name,
                          .uid = agent->config.name};
    event_record(agent->events, &target, "Warning", "FreeDiskSpaceFailed",
                 "Failed to garbage collect required amount of images. Attempted to free %lld "
                 "bytes, but only found %lld bytes eligible to free.",
                 (long long)wanted, (long long)found);
}

bool images_collect_unused(Images *images) {
    if (images->store_error || images->collector)
        return images->collector;
    _arena_free_ Arena *arena = arena_new();
    const Image *all;
    size_t n = images_list(images, arena, &all);
    bool *pinned = arena_array_of(arena, bool, n + 1), *chosen = arena_array_of(arena, bool, n + 1);
    bool any = false;
    mark_pinned(images, arena, all, n, pinned);
    for (size_t i = 0; i < n; i++)
        any |= chosen[i] = !pinned[i];
    if (any)
        remove_chosen(images, arena, all, n, chosen);
    return any;
}

void images_collect(Images *images) {
    const NodeConfig *config = &images->agent->config;
    int64_t high = config->image_gc_high ? config->image_gc_high : HIGH;
    int64_t low = config->image_gc_low ? config->image_gc_low : LOW;
    HostUsage host;
    host_usage(images->agent, &host);
    if (images->store_error || images->collector || host.disk_capacity <= 0 ||
        (__int128)(host.disk_capacity - host.disk_available) * 100 <
            (__int128)host.disk_capacity * high)
        return;
    int64_t to_free =
        (int64_t)((__int128)host.disk_capacity * (100 - low) / 100) - host.disk_available;
    _arena_free_ Arena *arena = arena_new();
    const Image *all;
    size_t n = images_list(images, arena, &all);
    ImageUse *uses = arena_array_of(arena, ImageUse, n + 1);
    bool *pinned = arena_array_of(arena, bool, n + 1), *chosen = arena_array_of(arena, bool, n + 1);
    for (size_t i = 0; i < n; i++)
        uses[i] = *image_use(images, all[i].manifest);
    mark_pinned(images, arena, all, n, pinned);
    int64_t freed =
        image_choose(all, n, uses, pinned, loop_wall(images->agent->loop),
                     config->image_min_age ? config->image_min_age : MIN_AGE, to_free, chosen);
    if (freed < to_free)
        tell_too_little(images, to_free, freed);
    if (freed > 0)
        remove_chosen(images, arena, all, n, chosen);
}
