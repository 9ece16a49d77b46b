#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <uv.h>

#include "base/loop_backend.h"
#include "base/memory.h"

// libuv waits; timers and tasks are loop.c's. An iteration is: `prepare` arms one uv_timer for the
// earliest timer of ours, epoll waits, descriptors are reported, `check` runs what is due. Nothing
// is armed while nothing is to come, so an idle loop sleeps in epoll_wait without end.

typedef struct UvLoop {
    Loop base;
    uv_loop_t uv;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_timer_t timer; // bounds the wait, calls nothing
    uv_async_t async;
} UvLoop;

struct LoopFd {
    uv_poll_t handle;
    Loop *loop;
    void (*fn)(void *user, int events);
    void *user;
    int wanted, armed; // LOOP_* bits; armed: what libuv was last told
    bool closing;
};

typedef struct SignalWatch {
    uv_signal_t handle;
    Loop *loop;
    void (*fn)(void *user, int signal);
    void *user;
} SignalWatch;

typedef struct Work {
    uv_work_t request;
    Loop *loop;
    void (*work)(void *user);
    void (*done)(void *user);
    void *user;
} Work;

static UvLoop *uv_of(Loop *loop) {
    return container_of(loop, UvLoop, base);
}

// What libuv can only answer with success unless we misuse it.
static void must(int r) {
    if (r < 0)
        abort();
}

static int64_t clock_read(clockid_t clock) {
    struct timespec now;
    must(clock_gettime(clock, &now));
    return now.tv_sec * NSEC_PER_SEC + now.tv_nsec;
}

static int64_t uv_monotonic(const Loop *loop) {
    return clock_read(CLOCK_MONOTONIC);
}
static int64_t uv_wall(const Loop *loop) {
    return clock_read(CLOCK_REALTIME);
}

static uint64_t uv_random_number(Loop *loop) {
    uint64_t value;
    rand_bytes(&value, sizeof value);
    return value;
}

static void on_timer(uv_timer_t *handle) {} // check() follows the wait that this one ended
static void on_async(uv_async_t *handle) {}

static void on_prepare(uv_prepare_t *handle) {
    UvLoop *uv = handle->data;
    const LoopTimer *next = loop_next_timer(&uv->base);
    if (loop_has_posted(&uv->base) || atomic_load(&uv->base.stopping)) {
        must(uv_timer_start(&uv->timer, on_timer, 0, 0));
    } else if (next) {
        // libuv counts whole milliseconds of the same clock. Rounding up keeps timers from being
        // early, and from spinning until the millisecond is over.
        uint64_t due = (uint64_t)(next->due / NSEC_PER_MSEC) + (next->due % NSEC_PER_MSEC > 0);
        uint64_t now = uv_now(&uv->uv);
        must(uv_timer_start(&uv->timer, on_timer, due > now ? due - now : 0, 0));
    } else {
        uv_timer_stop(&uv->timer);
    }
    uv->base.now_is_fresh = false;
}

static void on_check(uv_check_t *handle) {
    UvLoop *uv = handle->data;
    loop_touch(&uv->base);
    loop_run_timers(&uv->base);
    loop_run_posted(&uv->base);
    if (atomic_load(&uv->base.stopping))
        uv_stop(&uv->uv);
}

static int uv_backend_run(Loop *loop) {
    UvLoop *uv = uv_of(loop);
    int r = uv_run(&uv->uv, UV_RUN_DEFAULT);
    return r < 0 ? r : 0;
}

static void uv_wake(Loop *loop) {
    must(uv_async_send(&uv_of(loop)->async));
}

// Descriptors

static int to_uv(int events) {
    return (events & LOOP_READ ? UV_READABLE : 0) | (events & LOOP_WRITE ? UV_WRITABLE : 0);
}

static void on_poll(uv_poll_t *handle, int status, int uv_events);

static void arm(LoopFd *watch) {
    if (watch->armed == watch->wanted)
        return;
    watch->armed = watch->wanted;
    must(watch->wanted ? uv_poll_start(&watch->handle, to_uv(watch->wanted), on_poll)
                       : uv_poll_stop(&watch->handle));
}

static void on_poll(uv_poll_t *handle, int status, int uv_events) {
    LoopFd *watch = handle->data;
    int events =
        (uv_events & UV_READABLE ? LOOP_READ : 0) | (uv_events & UV_WRITABLE ? LOOP_WRITE : 0);
    if (status < 0) { // EPOLLERR: libuv has stopped the handle
        watch->armed = 0;
        events = LOOP_HANGUP | watch->wanted;
    }
    loop_touch(watch->loop);
    watch->fn(watch->user, events);
    if (!watch->closing)
        arm(watch);
}

static LoopFd *uv_fd_new(Loop *loop, int fd, void (*fn)(void *user, int events), void *user) {
    LoopFd *watch = memory_new(LoopFd);
    *watch = (LoopFd){.loop = loop, .fn = fn, .user = user};
    int r = uv_poll_init(&uv_of(loop)->uv, &watch->handle, fd);
    if (r < 0) {
        free(watch);
        errno = -r;
        return NULL;
    }
    watch->handle.data = watch;
    return watch;
}

void loop_fd_want(LoopFd *watch, int events) {
    assert(!watch->closing);
    watch->wanted = events & (LOOP_READ | LOOP_WRITE);
    arm(watch);
}

static void free_handle(uv_handle_t *handle) {
    free(handle->data);
}

void loop_fd_free(LoopFd *watch) {
    if (!watch)
        return;
    assert(!watch->closing);
    watch->closing = true;
    uv_close((uv_handle_t *)&watch->handle, free_handle);
}

// Signals

static void on_uv_signal(uv_signal_t *handle, int number) {
    SignalWatch *watch = handle->data;
    loop_touch(watch->loop);
    watch->fn(watch->user, number);
}

static void uv_on_signal(Loop *loop, int number, void (*fn)(void *user, int signal), void *user) {
    SignalWatch *watch = memory_new(SignalWatch);
    *watch = (SignalWatch){.loop = loop, .fn = fn, .user = user};
    must(uv_signal_init(&uv_of(loop)->uv, &watch->handle));
    watch->handle.data = watch;
    must(uv_signal_start(&watch->handle, on_uv_signal, number));
}

// Blocking work

static void on_work(uv_work_t *request) {
    Work *work = request->data;
    work->work(work->user);
}

static void on_work_done(uv_work_t *request, int status) {
    Work *work = request->data;
    loop_touch(work->loop);
    void (*done)(void *user) = work->done;
    void *user = work->user;
    free(work);
    if (done)
        done(user);
}

static void uv_work(Loop *loop, void (*fn)(void *user), void (*done)(void *user), void *user) {
    Work *work = memory_new(Work);
    *work = (Work){.loop = loop, .work = fn, .done = done, .user = user};
    work->request.data = work;
    must(uv_queue_work(&uv_of(loop)->uv, &work->request, on_work, on_work_done));
}

// Life

static void close_handle(uv_handle_t *handle, void *user) {
    if (uv_is_closing(handle))
        return;
    bool owned = handle->type == UV_POLL || handle->type == UV_SIGNAL;
    uv_close(handle, owned ? free_handle : NULL);
}

static void uv_free(Loop *loop) {
    UvLoop *uv = uv_of(loop);
    uv_walk(&uv->uv, close_handle, NULL);
    uv_run(&uv->uv, UV_RUN_DEFAULT); // waits for work under way
    must(uv_loop_close(&uv->uv));
    loop_base_deinit(loop);
    free(uv);
}

static const LoopOps uv_ops = {
    .run = uv_backend_run,
    .wake = uv_wake,
    .free = uv_free,
    .monotonic = uv_monotonic,
    .wall = uv_wall,
    .random = uv_random_number,
    .fd_new = uv_fd_new,
    .on_signal = uv_on_signal,
    .work = uv_work,
};

Loop *loop_new(void) {
    UvLoop *uv = memory_new(UvLoop);
    loop_base_init(&uv->base, &uv_ops);
    signal(SIGPIPE, SIG_IGN); // a peer that left is an error of write(2), not our end
    must(uv_loop_init(&uv->uv));
    must(uv_prepare_init(&uv->uv, &uv->prepare));
    must(uv_check_init(&uv->uv, &uv->check));
    must(uv_timer_init(&uv->uv, &uv->timer));
    must(uv_async_init(&uv->uv, &uv->async, on_async));
    uv->prepare.data = uv->check.data = uv;
    must(uv_prepare_start(&uv->prepare, on_prepare));
    must(uv_check_start(&uv->check, on_check));
    return &uv->base;
}
