#include "base/loop.h"

#include <assert.h>
#include <stdlib.h>

#include "base/loop_backend.h"
#include "base/memory.h"

void loop_base_init(Loop *loop, const LoopOps *ops) {
    loop->ops = ops;
    list_init(&loop->posted);
    list_init(&loop->running);
    pthread_mutex_init(&loop->lock, NULL);
}

void loop_free(Loop *loop) {
    if (loop)
        loop->ops->free(loop);
}

int loop_run(Loop *loop) {
    pthread_mutex_lock(&loop->lock);
    assert(!loop->is_running);
    loop->thread = pthread_self();
    loop->is_running = true;
    pthread_mutex_unlock(&loop->lock);
    int r = loop->ops->run(loop);
    pthread_mutex_lock(&loop->lock);
    loop->is_running = false;
    pthread_mutex_unlock(&loop->lock);
    loop->now_is_fresh = false;
    atomic_store(&loop->stopping, false);
    return r;
}

void loop_stop(Loop *loop) {
    atomic_store(&loop->stopping, true);
    loop->ops->wake(loop);
}

void loop_touch(Loop *loop) {
    if (loop->now_is_fresh)
        return;
    loop->now = loop->ops->monotonic(loop);
    loop->now_is_fresh = true;
}

int64_t loop_now(const Loop *loop) {
    return loop->now_is_fresh ? loop->now : loop->ops->monotonic(loop);
}

int64_t loop_wall(const Loop *loop) {
    return loop->ops->wall(loop);
}
uint64_t loop_random(Loop *loop) {
    return loop->ops->random(loop);
}

// Timers

static bool is_earlier(const LoopTimer *a, const LoopTimer *b) {
    return a->due != b->due ? a->due < b->due : a->order < b->order;
}

static void place(Loop *loop, size_t index, LoopTimer *timer) {
    loop->timers[index] = timer;
    timer->heap = index + 1;
}

static void sift_up(Loop *loop, size_t index, LoopTimer *timer) {
    while (index > 0) {
        size_t parent = (index - 1) / 2;
        if (!is_earlier(timer, loop->timers[parent]))
            break;
        place(loop, index, loop->timers[parent]);
        index = parent;
    }
    place(loop, index, timer);
}

static void sift_down(Loop *loop, size_t index, LoopTimer *timer) {
    for (;;) {
        size_t child = 2 * index + 1;
        if (child >= loop->n_timers)
            break;
        if (child + 1 < loop->n_timers && is_earlier(loop->timers[child + 1], loop->timers[child]))
            child++;
        if (!is_earlier(loop->timers[child], timer))
            break;
        place(loop, index, loop->timers[child]);
        index = child;
    }
    place(loop, index, timer);
}

void loop_timer_init(LoopTimer *timer, Loop *loop, void (*fn)(void *user), void *user) {
    *timer = (LoopTimer){.loop = loop, .fn = fn, .user = user};
}

void loop_timer_stop(LoopTimer *timer) {
    if (!timer->heap)
        return;
    Loop *loop = timer->loop;
    size_t index = timer->heap - 1;
    assert(index < loop->n_timers && loop->timers[index] == timer);
    LoopTimer *last = loop->timers[--loop->n_timers];
    timer->heap = 0;
    if (last == timer)
        return;
    if (index > 0 && is_earlier(last, loop->timers[(index - 1) / 2]))
        sift_up(loop, index, last);
    else
        sift_down(loop, index, last);
}

void loop_timer_start(LoopTimer *timer, int64_t delay_ns) {
    Loop *loop = timer->loop;
    loop_timer_stop(timer);
    if (delay_ns < 0)
        delay_ns = 0;
    if (__builtin_add_overflow(loop_now(loop), delay_ns, &timer->due))
        timer->due = INT64_MAX;
    timer->order = loop->tie_break ? rand_next(loop->tie_break) : loop->next_order++;
    if (loop->n_timers == loop->timers_capacity) {
        loop->timers_capacity = loop->timers_capacity ? 2 * loop->timers_capacity : 16;
        loop->timers =
            memory_resize_array(loop->timers, loop->timers_capacity, sizeof *loop->timers);
    }
    sift_up(loop, loop->n_timers++, timer);
}

LoopTimer *loop_next_timer(const Loop *loop) {
    return loop->n_timers ? loop->timers[0] : NULL;
}

void loop_fire_timer(Loop *loop, LoopTimer *timer) {
    loop_timer_stop(timer);
    timer->fn(timer->user);
}

void loop_run_timers(Loop *loop) {
    // One that is started meanwhile waits for the next iteration, even with no delay.
    uint64_t limit = loop->next_order;
    LoopTimer *timer;
    while ((timer = loop_next_timer(loop)) && timer->due <= loop->now && timer->order < limit)
        loop_fire_timer(loop, timer);
}

// Tasks

void loop_post(Loop *loop, LoopTask *task) {
    pthread_mutex_lock(&loop->lock);
    bool wake = false;
    if (!list_is_linked(&task->link)) {
        // One wake-up for many tasks, and none from the loop's own thread, which looks before it
        // waits.
        wake = list_is_empty(&loop->posted) &&
               !(loop->is_running && pthread_equal(loop->thread, pthread_self()));
        list_append(&loop->posted, &task->link);
    }
    pthread_mutex_unlock(&loop->lock);
    if (wake)
        loop->ops->wake(loop);
}

void loop_task_cancel(Loop *loop, LoopTask *task) {
    pthread_mutex_lock(&loop->lock);
    list_remove(&task->link);
    pthread_mutex_unlock(&loop->lock);
}

bool loop_has_posted(Loop *loop) {
    pthread_mutex_lock(&loop->lock);
    bool has = !list_is_empty(&loop->posted);
    pthread_mutex_unlock(&loop->lock);
    return has;
}

static LoopTask *take_running(Loop *loop) {
    pthread_mutex_lock(&loop->lock);
    ListLink *link = list_first(&loop->running);
    if (link)
        list_remove(link);
    pthread_mutex_unlock(&loop->lock);
    return link ? container_of(link, LoopTask, link) : NULL;
}

void loop_run_posted(Loop *loop) {
    pthread_mutex_lock(&loop->lock);
    ListLink *link;
    while ((link = list_first(&loop->posted))) {
        list_remove(link);
        list_append(&loop->running, link);
    }
    pthread_mutex_unlock(&loop->lock);
    LoopTask *task;
    while ((task = take_running(loop)))
        task->fn(task->user);
}

// A task that owns itself.
typedef struct Call {
    LoopTask task;
    void (*fn)(void *user);
    void *user;
} Call;

static void run_call(void *user) {
    Call call = *(Call *)user;
    free(user);
    call.fn(call.user);
}

void loop_call(Loop *loop, void (*fn)(void *user), void *user) {
    Call *call = memory_new(Call);
    *call = (Call){.task = {.fn = run_call, .user = call}, .fn = fn, .user = user};
    loop_post(loop, &call->task);
}

void loop_run_one_posted(Loop *loop, Rand *rand) {
    LoopTask *task, *chosen = NULL, *first_call = NULL;
    uint64_t n = 0;
    pthread_mutex_lock(&loop->lock);
    list_for_each(task, &loop->posted, link) {
        if (!first_call && task->fn == run_call)
            first_call = task;
        if (rand_below(rand, ++n) == 0)
            chosen = task;
    }
    if (chosen && chosen->fn == run_call)
        chosen = first_call;
    if (chosen)
        list_remove(&chosen->link);
    pthread_mutex_unlock(&loop->lock);
    if (chosen)
        chosen->fn(chosen->user);
}

void loop_base_deinit(Loop *loop) {
    LoopTask *task;
    list_for_each(task, &loop->posted, link) {
        list_remove(&task->link);
        if (task->fn == run_call)
            free(task->user);
    }
    // Owners may stop their timers after the loop is gone.
    for (size_t i = 0; i < loop->n_timers; i++)
        loop->timers[i]->heap = 0;
    free(loop->timers);
    pthread_mutex_destroy(&loop->lock);
}

// The rest is the backend's.

LoopFd *loop_fd_new(Loop *loop, int fd, void (*fn)(void *user, int events), void *user) {
    return loop->ops->fd_new(loop, fd, fn, user);
}

void loop_on_signal(Loop *loop, int signal, void (*fn)(void *user, int signal), void *user) {
    loop->ops->on_signal(loop, signal, fn, user);
}

void loop_work(Loop *loop, void (*work)(void *user), void (*done)(void *user), void *user) {
    loop->ops->work(loop, work, done, user);
}
