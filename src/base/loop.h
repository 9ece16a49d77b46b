#pragma once
// The event loop: timers, tasks from other threads, readiness of file descriptors, blocking work on
// a small thread pool. The only place that knows libuv. It has a simulated twin whose time is
// virtual and whose order is seeded (no file descriptors, no threads there). Everything but
// loop_post() and loop_stop() is called on the loop's own thread. Callbacks are never called from
// inside the function that registers them.

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

typedef struct Loop Loop;

#define NSEC_PER_MSEC 1000000LL
#define NSEC_PER_SEC 1000000000LL

Loop *loop_new(void); // also ignores SIGPIPE: a peer that left is an error of write(2)
// Virtual time starts at `wall_ns` (Unix time); equal seeds give equal runs.
Loop *loop_new_simulated(uint64_t seed, int64_t wall_ns);
// Waits for loop_work() under way. Watches, children and streams must be gone before.
void loop_free(Loop *loop);
// Runs until loop_stop() (returns at once when that came before); the simulated one also returns
// when nothing is left to do. Returns 0 or negative errno.
int loop_run(Loop *loop);
int loop_run_until(Loop *loop, int64_t monotonic_ns); // simulated only
void loop_stop(Loop *loop);                           // from any thread

int64_t loop_now(const Loop *loop);  // monotonic nanoseconds, cached per iteration
int64_t loop_wall(const Loop *loop); // Unix time in nanoseconds, read fresh
uint64_t loop_random(Loop *loop);    // getrandom(2), or the seeded generator when simulated

// A timer embedded in its owner; zero it, then loop_timer_init(). Starting a running timer moves
// it.
typedef struct LoopTimer LoopTimer;
struct LoopTimer {
    Loop *loop;
    void (*fn)(void *user);
    void *user;
    int64_t due; // private
    size_t heap; // private: 1 + index, 0 while stopped
    uint64_t order;
};
void loop_timer_init(LoopTimer *timer, Loop *loop, void (*fn)(void *user), void *user);
void loop_timer_start(LoopTimer *timer, int64_t delay_ns); // one shot
void loop_timer_stop(LoopTimer *timer);                    // fine when stopped
static inline bool loop_timer_is_running(const LoopTimer *timer) {
    return timer->heap != 0;
}

// A task embedded in its owner, run once on the loop's next iteration. Posting a task that is
// already posted does nothing. Thread-safe. The owner must outlive it or cancel it on the loop's
// thread. Tasks run in no promised order.
typedef struct LoopTask {
    ListLink link;
    void (*fn)(void *user);
    void *user;
} LoopTask;
void loop_post(Loop *loop, LoopTask *task);
void loop_task_cancel(Loop *loop, LoopTask *task);
// The same without an owner: allocates, runs `fn(user)` once. Thread-safe; calls from one thread
// run in the order in which they were made.
void loop_call(Loop *loop, void (*fn)(void *user), void *user);

// Readiness of a non-blocking descriptor, level triggered. The callback may stop or free the watch.
// HANGUP means an error (see SO_ERROR) or that nobody reads a pipe any more; it comes while READ or
// WRITE is wanted, together with what is wanted. loop_fd_new() returns NULL with errno when the
// descriptor cannot be polled: EPERM for a regular file, ENOSYS on a simulated loop. One watch a
// descriptor.
enum { LOOP_READ = 1, LOOP_WRITE = 2, LOOP_HANGUP = 4 };
typedef struct LoopFd LoopFd;
LoopFd *loop_fd_new(Loop *loop, int fd, void (*fn)(void *user, int events), void *user);
void loop_fd_want(LoopFd *watch, int events); // which of READ, WRITE; 0 pauses
void loop_fd_free(LoopFd *watch);             // stops; does not close the descriptor

// Signals as events (SIGTERM, SIGINT, SIGHUP); the watch lasts as long as the loop. Does nothing on
// a simulated loop.
void loop_on_signal(Loop *loop, int signal, void (*fn)(void *user, int signal), void *user);

// `work` runs on a pool thread (at once and inline when simulated), then `done` (may be NULL) on
// the loop.
void loop_work(Loop *loop, void (*work)(void *user), void (*done)(void *user), void *user);
