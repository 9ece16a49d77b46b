#include "scheduler/queue.h"

#include <assert.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/memory.h"

#define BACKOFF_FIRST (1 * NSEC_PER_SEC)
#define BACKOFF_LAST (10 * NSEC_PER_SEC)

typedef struct Heap {
    QueuedPod **items;
    size_t n, capacity;
    bool (*before)(const QueuedPod *a, const QueuedPod *b);
} Heap;

struct SchedulingQueue {
    Loop *loop;
    void (*on_ready)(void *user);
    void *user;
    Map *pods;
    Heap active, backoff, errors;
    List unschedulable;
    size_t counts[QUEUE_IN_FLIGHT + 1];
    LoopTimer timer; // for the first of `errors`
    uint64_t order;
};

// Heaps ------------------------------------------------------------------------------------------

static bool is_more_urgent(const QueuedPod *a, const QueuedPod *b) {
    if (a->priority != b->priority)
        return a->priority > b->priority;
    return a->added != b->added ? a->added < b->added : a->order < b->order;
}

static bool is_over_earlier(const QueuedPod *a, const QueuedPod *b) {
    return a->backoff_until != b->backoff_until ? a->backoff_until < b->backoff_until
                                                : is_more_urgent(a, b);
}

static void heap_set(Heap *heap, size_t i, QueuedPod *pod) {
    heap->items[i] = pod;
    pod->heap = i + 1;
}

static void heap_up(Heap *heap, size_t i) {
    QueuedPod *pod = heap->items[i];
    for (; i > 0 && heap->before(pod, heap->items[(i - 1) / 2]); i = (i - 1) / 2)
        heap_set(heap, i, heap->items[(i - 1) / 2]);
    heap_set(heap, i, pod);
}

static void heap_down(Heap *heap, size_t i) {
    QueuedPod *pod = heap->items[i];
    for (size_t child; (child = 2 * i + 1) < heap->n; i = child) {
        if (child + 1 < heap->n && heap->before(heap->items[child + 1], heap->items[child]))
            child++;
        if (!heap->before(heap->items[child], pod))
            break;
        heap_set(heap, i, heap->items[child]);
    }
    heap_set(heap, i, pod);
}

static void heap_push(Heap *heap, QueuedPod *pod) {
    if (heap->n == heap->capacity) {
        heap->capacity = heap->capacity ? 2 * heap->capacity : 16;
        heap->items = memory_resize_array(heap->items, heap->capacity, sizeof *heap->items);
    }
    heap_set(heap, heap->n++, pod);
    heap_up(heap, heap->n - 1);
}

static void heap_remove(Heap *heap, QueuedPod *pod) {
    size_t i = pod->heap - 1;
    assert(i < heap->n && heap->items[i] == pod);
    pod->heap = 0;
    QueuedPod *last = heap->items[--heap->n];
    if (last == pod)
        return;
    heap_set(heap, i, last);
    heap_up(heap, i);
    heap_down(heap, last->heap - 1);
}

static Heap *heap_of(SchedulingQueue *queue, QueuePlace place) {
    return place == QUEUE_ACTIVE    ? &queue->active
           : place == QUEUE_BACKOFF ? &queue->backoff
           : place == QUEUE_ERROR   ? &queue->errors
                                    : NULL;
}

// Places -----------------------------------------------------------------------------------------

static void start_timer(SchedulingQueue *queue) {
    if (!queue->errors.n) {
        loop_timer_stop(&queue->timer);
        return;
    }
    int64_t delay = queue->errors.items[0]->backoff_until - loop_now(queue->loop);
    loop_timer_start(&queue->timer, delay > 0 ? delay : 0);
}

static void take_out(SchedulingQueue *queue, QueuedPod *pod) {
    Heap *heap = heap_of(queue, pod->place);
    if (heap)
        heap_remove(heap, pod);
    else if (pod->place == QUEUE_UNSCHEDULABLE)
        list_remove(&pod->link);
    queue->counts[pod->place]--;
    if (pod->place == QUEUE_ERROR)
        start_timer(queue);
}

static void put_in(SchedulingQueue *queue, QueuedPod *pod, QueuePlace place) {
    pod->place = place;
    queue->counts[place]++;
    Heap *heap = heap_of(queue, place);
    if (heap)
        heap_push(heap, pod);
    else if (place == QUEUE_UNSCHEDULABLE)
        list_append(&queue->unschedulable, &pod->link);
    if (place == QUEUE_ERROR)
        start_timer(queue);
    if (place == QUEUE_ACTIVE || place == QUEUE_BACKOFF)
        queue->on_ready(queue->user);
}

static void move(SchedulingQueue *queue, QueuedPod *pod, QueuePlace place) {
    take_out(queue, pod);
    put_in(queue, pod, place);
}

static void on_timer(void *user) {
    SchedulingQueue *queue = user;
    int64_t now = loop_now(queue->loop);
    while (queue->errors.n && queue->errors.items[0]->backoff_until <= now)
        move(queue, queue->errors.items[0], QUEUE_ACTIVE);
    start_timer(queue);
}

SchedulingQueue *queue_new(Loop *loop, void (*on_ready)(void *user), void *user) {
    SchedulingQueue *queue = memory_new(SchedulingQueue);
    queue->loop = loop;
    queue->on_ready = on_ready;
    queue->user = user;
    queue->pods = map_new();
    queue->active.before = is_more_urgent;
    queue->backoff.before = queue->errors.before = is_over_earlier;
    list_init(&queue->unschedulable);
    loop_timer_init(&queue->timer, loop, on_timer, queue);
    return queue;
}

void queue_free(SchedulingQueue *queue) {
    if (!queue)
        return;
    loop_timer_stop(&queue->timer);
    MapIter iter = {0};
    while (map_next(queue->pods, &iter))
        free(iter.value);
    map_free(queue->pods);
    free(queue->active.items);
    free(queue->backoff.items);
    free(queue->errors.items);
    free(queue);
}

QueuedPod *queue_add(SchedulingQueue *queue, Str namespace_, Str name, Str uid, int32_t priority) {
    size_t key_len = namespace_.len + 1 + name.len;
    QueuedPod *pod = memory_zalloc(sizeof *pod + key_len + uid.len);
    memcpy(pod->text, namespace_.ptr, namespace_.len);
    pod->text[namespace_.len] = '/';
    memcpy(pod->text + namespace_.len + 1, name.ptr, name.len);
    if (uid.len)
        memcpy(pod->text + key_len, uid.ptr, uid.len);
    pod->key = str_of(pod->text, key_len);
    pod->namespace_ = str_of(pod->text, namespace_.len);
    pod->name = str_of(pod->text + namespace_.len + 1, name.len);
    pod->uid = str_of(pod->text + key_len, uid.len);
    pod->priority = priority;
    pod->added = loop_now(queue->loop);
    pod->order = queue->order++;
    assert(!map_get(queue->pods, pod->key));
    map_put(queue->pods, pod->key, pod);
    put_in(queue, pod, QUEUE_ACTIVE);
    return pod;
}

QueuedPod *queue_get(const SchedulingQueue *queue, Str key) {
    return map_get(queue->pods, key);
}

void queue_remove(SchedulingQueue *queue, Str key) {
    QueuedPod *pod = map_remove(queue->pods, key);
    if (!pod)
        return;
    take_out(queue, pod);
    free(pod);
}

QueuedPod *queue_pop(SchedulingQueue *queue) {
    int64_t now = loop_now(queue->loop);
    while (queue->backoff.n && queue->backoff.items[0]->backoff_until <= now) {
        QueuedPod *pod = queue->backoff.items[0];
        take_out(queue, pod);
        pod->place = QUEUE_ACTIVE; // not by put_in(): nobody need be told
        queue->counts[QUEUE_ACTIVE]++;
        heap_push(&queue->active, pod);
    }
    Heap *heap = queue->active.n ? &queue->active : &queue->backoff;
    if (!heap->n)
        return NULL;
    QueuedPod *pod = heap->items[0];
    move(queue, pod, QUEUE_IN_FLIGHT);
    return pod;
}

static int64_t backoff(int count) {
    int64_t delay = BACKOFF_FIRST;
    for (int i = 1; i < count && delay < BACKOFF_LAST; i++)
        delay *= 2;
    return delay < BACKOFF_LAST ? delay : BACKOFF_LAST;
}

static void begin_rest(SchedulingQueue *queue, QueuedPod *pod, int count) {
    assert(pod->place == QUEUE_IN_FLIGHT);
    pod->added = loop_now(queue->loop);
    pod->backoff_until = pod->added + backoff(count);
}

void queue_put_back(SchedulingQueue *queue, QueuedPod *pod, unsigned wake_on) {
    pod->error_count = 0;
    begin_rest(queue, pod, ++pod->unschedulable_count);
    pod->wake_on = wake_on;
    move(queue, pod, QUEUE_UNSCHEDULABLE);
}

void queue_put_back_failed(SchedulingQueue *queue, QueuedPod *pod) {
    begin_rest(queue, pod, ++pod->error_count);
    move(queue, pod, QUEUE_ERROR);
}

void queue_wake_pod(SchedulingQueue *queue, QueuedPod *pod) {
    if (pod->place != QUEUE_UNSCHEDULABLE)
        return;
    bool rested = pod->backoff_until <= loop_now(queue->loop);
    move(queue, pod, rested ? QUEUE_ACTIVE : QUEUE_BACKOFF);
}

void queue_wake(SchedulingQueue *queue, unsigned events) {
    QueuedPod *pod;
    list_for_each(pod, &queue->unschedulable, link) {
        if (pod->wake_on & events)
            queue_wake_pod(queue, pod);
    }
}

size_t queue_count(const SchedulingQueue *queue, QueuePlace place) {
    return queue->counts[place];
}
