#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/loop_backend.h"
#include "base/memory.h"

// Time stands still while anything is ready and then jumps to the next timer. What is ready at the
// same moment runs in an order drawn from the seed: other seeds show other interleavings.

typedef struct SimLoop {
    Loop base;
    Rand rand;
    int64_t time, wall_offset;
} SimLoop;

static SimLoop *sim_of(Loop *loop) {
    return container_of(loop, SimLoop, base);
}

static int64_t sim_monotonic(const Loop *loop) {
    return ((const SimLoop *)loop)->time;
}

static int64_t sim_wall(const Loop *loop) {
    const SimLoop *sim = (const SimLoop *)loop;
    return sim->time + sim->wall_offset;
}

static uint64_t sim_random(Loop *loop) {
    return rand_next(&sim_of(loop)->rand);
}

// Runs one thing that is ready by `until`; false when there is none.
static bool step(SimLoop *sim, int64_t until) {
    Loop *loop = &sim->base;
    LoopTimer *timer = loop_next_timer(loop);
    bool has_posted = loop_has_posted(loop);
    bool timer_due = timer && timer->due <= sim->time;
    if (has_posted && (!timer_due || rand_below(&sim->rand, 2))) {
        loop_run_one_posted(loop, &sim->rand);
        return true;
    }
    if (!timer || timer->due > until)
        return false;
    if (timer->due > sim->time)
        sim->time = timer->due;
    loop_fire_timer(loop, timer);
    return true;
}

static int sim_run(Loop *loop) {
    while (!atomic_load(&loop->stopping) && step(sim_of(loop), INT64_MAX))
        ;
    return 0;
}

static void sim_wake(Loop *loop) {}

static LoopFd *sim_fd_new(Loop *loop, int fd, void (*fn)(void *user, int events), void *user) {
    errno = ENOSYS;
    return NULL;
}

static void sim_on_signal(Loop *loop, int number, void (*fn)(void *user, int signal), void *user) {}

static void nothing(void *user) {}

static void sim_work(Loop *loop, void (*work)(void *user), void (*done)(void *user), void *user) {
    work(user);
    loop_call(loop, done ? done : nothing, user);
}

static void sim_free(Loop *loop) {
    loop_base_deinit(loop);
    free(sim_of(loop));
}

static const LoopOps sim_ops = {
    .run = sim_run,
    .wake = sim_wake,
    .free = sim_free,
    .monotonic = sim_monotonic,
    .wall = sim_wall,
    .random = sim_random,
    .fd_new = sim_fd_new,
    .on_signal = sim_on_signal,
    .work = sim_work,
};

int loop_run_until(Loop *loop, int64_t monotonic_ns) {
    assert(loop->ops == &sim_ops);
    SimLoop *sim = sim_of(loop);
    while (!atomic_load(&loop->stopping) && step(sim, monotonic_ns))
        ;
    if (!atomic_exchange(&loop->stopping, false) && sim->time < monotonic_ns)
        sim->time = monotonic_ns;
    return 0;
}

Loop *loop_new_simulated(uint64_t seed, int64_t wall_ns) {
    SimLoop *sim = memory_new(SimLoop);
    loop_base_init(&sim->base, &sim_ops);
    rand_seed(&sim->rand, seed);
    sim->base.tie_break = &sim->rand;
    sim->time = NSEC_PER_SEC; // so that nothing takes 0 for "unset"
    sim->wall_offset = wall_ns - sim->time;
    return &sim->base;
}
