#include "client/work_queue.h"

#include <assert.h>
#include <stdlib.h>

#include "base/map.h"

#define DEFAULT_BASE_DELAY (5 * NSEC_PER_MSEC)
#define DEFAULT_MAX_DELAY (1000 * NSEC_PER_SEC)

typedef struct Item {
    WorkQueue *queue;
    ListLink link; // in `ready` while dirty and not being processed
    LoopTimer timer;
    int64_t due; // of the timer, absolute
    int failures;
    bool dirty, processing;
    Str key;
    char text[];
} Item;

struct WorkQueue {
    WorkQueueConfig config;
    Map *items;
    List ready;
    size_t n_ready;
    int running;
    bool in_dispatch, freed, paused;
    LoopTask dispatch;
};

// An item that nothing is known of any more costs nothing.
static void item_release(Item *item) {
    if (item->dirty || item->processing || item->failures || loop_timer_is_running(&item->timer))
        return;
    map_remove(item->queue->items, item->key);
    free(item);
}

static void wake(WorkQueue *queue) {
    if (!queue->paused && queue->n_ready && queue->running < queue->config.workers)
        loop_post(queue->config.loop, &queue->dispatch);
}

static void dispatch(void *user) {
    WorkQueue *queue = user;
    queue->in_dispatch = true;
    while (!queue->freed && !queue->paused && queue->running < queue->config.workers &&
           !list_is_empty(&queue->ready)) {
        Item *item = container_of(list_first(&queue->ready), Item, link);
        list_remove(&item->link);
        queue->n_ready--;
        item->dirty = false;
        item->processing = true;
        queue->running++;
        queue->config.reconcile(queue->config.user, item->key);
    }
    queue->in_dispatch = false;
    if (queue->freed)
        free(queue);
}

WorkQueue *work_queue_new(const WorkQueueConfig *config) {
    WorkQueue *queue = calloc(1, sizeof *queue);
    assert(queue);
    queue->config = *config;
    if (!queue->config.workers)
        queue->config.workers = 1;
    if (!queue->config.base_delay_ns)
        queue->config.base_delay_ns = DEFAULT_BASE_DELAY;
    if (!queue->config.max_delay_ns)
        queue->config.max_delay_ns = DEFAULT_MAX_DELAY;
    queue->items = map_new();
    queue->dispatch = (LoopTask){.fn = dispatch, .user = queue};
    list_init(&queue->ready);
    return queue;
}

void work_queue_free(WorkQueue *queue) {
    if (!queue)
        return;
    loop_task_cancel(queue->config.loop, &queue->dispatch);
    MapIter iter = {0};
    while (map_next(queue->items, &iter)) {
        Item *item = iter.value;
        loop_timer_stop(&item->timer);
        free(item);
    }
    map_free(queue->items);
    queue->items = NULL;
    list_init(&queue->ready);
    queue->freed = true;
    if (!queue->in_dispatch)
        free(queue);
}

static void on_due(void *user) {
    Item *item = user;
    work_queue_add(item->queue, item->key);
}

static Item *item_of(WorkQueue *queue, Str key) {
    Item *item = map_get(queue->items, key);
    if (item)
        return item;
    item = calloc(1, sizeof *item + key.len + 1);
    assert(item);
    item->queue = queue;
    memcpy(item->text, key.ptr, key.len);
    item->key = str_of(item->text, key.len);
    loop_timer_init(&item->timer, queue->config.loop, on_due, item);
    map_put(queue->items, item->key, item);
    return item;
}

void work_queue_add(WorkQueue *queue, Str key) {
    if (queue->freed)
        return;
    Item *item = item_of(queue, key);
    loop_timer_stop(&item->timer);
    if (item->dirty)
        return;
    item->dirty = true;
    if (item->processing)
        return; // work_queue_done() queues it again
    list_append(&queue->ready, &item->link);
    queue->n_ready++;
    wake(queue);
}

void work_queue_add_after(WorkQueue *queue, Str key, int64_t delay_ns) {
    if (delay_ns <= 0) {
        work_queue_add(queue, key);
        return;
    }
    if (queue->freed)
        return;
    Item *item = item_of(queue, key);
    int64_t due = loop_now(queue->config.loop) + delay_ns;
    if (loop_timer_is_running(&item->timer) && item->due <= due)
        return;
    item->due = due;
    loop_timer_start(&item->timer, delay_ns);
}

void work_queue_done(WorkQueue *queue, Str key, bool retry) {
    if (queue->freed)
        return;
    Item *item = map_get(queue->items, key);
    assert(item && item->processing);
    item->processing = false;
    queue->running--;
    if (item->dirty) {
        list_append(&queue->ready, &item->link);
        queue->n_ready++;
    }
    if (retry) {
        int shift = item->failures < 40 ? item->failures : 40;
        item->failures++;
        int64_t delay = queue->config.max_delay_ns;
        if (queue->config.base_delay_ns <= (queue->config.max_delay_ns >> shift))
            delay = queue->config.base_delay_ns << shift;
        if (!item->dirty)
            work_queue_add_after(queue, item->key, delay);
    } else {
        item->failures = 0;
        item_release(item);
    }
    wake(queue);
}

void work_queue_pause(WorkQueue *queue, bool paused) {
    queue->paused = paused;
    wake(queue);
}

size_t work_queue_length(const WorkQueue *queue) {
    return queue->n_ready;
}
