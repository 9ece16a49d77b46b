#pragma once
// What loop.c shares with its two backends, loop_uv.c and loop_sim.c. Not for others.

#include <pthread.h>
#include <stdatomic.h>

#include "base/loop.h"
#include "base/rand.h"

typedef struct LoopOps {
    int (*run)(Loop *loop);
    void (*wake)(Loop *loop); // from any thread: makes run() look at tasks and the stop flag
    void (*free)(Loop *loop);
    int64_t (*monotonic)(const Loop *loop);
    int64_t (*wall)(const Loop *loop);
    uint64_t (*random)(Loop *loop);
    LoopFd *(*fd_new)(Loop *loop, int fd, void (*fn)(void *user, int events), void *user);
    void (*on_signal)(Loop *loop, int signal, void (*fn)(void *user, int signal), void *user);
    void (*work)(Loop *loop, void (*work)(void *user), void (*done)(void *user), void *user);
} LoopOps;

struct Loop { // the first member of a backend's loop
    const LoopOps *ops;
    atomic_bool stopping;

    int64_t now; // valid while now_is_fresh: from the first callback after a wait to the next wait
    bool now_is_fresh;

    LoopTimer **timers; // a binary heap, earliest first
    size_t n_timers, timers_capacity;
    uint64_t next_order; // breaks ties between equal due times: first started, first fired
    Rand *tie_break;     // or at random, where this is set

    pthread_mutex_t lock; // of what follows
    List posted;          // waiting for the next iteration
    List running;         // what is left of this iteration's tasks
    pthread_t thread;
    bool is_running; // `thread` is inside loop_run()
};

void loop_base_init(Loop *loop, const LoopOps *ops);
void loop_base_deinit(Loop *loop); // frees calls that were never made
void loop_touch(Loop *loop);       // at every entry from a wait: reads the clock once

LoopTimer *loop_next_timer(const Loop *loop);       // NULL when none runs
void loop_fire_timer(Loop *loop, LoopTimer *timer); // takes it off the heap and calls it
void loop_run_timers(Loop *loop);                   // all that are due
bool loop_has_posted(Loop *loop);
void loop_run_posted(Loop *loop);                 // all that were posted before the call
void loop_run_one_posted(Loop *loop, Rand *rand); // one at random; calls keep their order
