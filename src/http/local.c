// Calls straight into a handler of this process, also across loops (threads). What each side has
// for the other is put into a queue and fetched by a task on the other's loop; answers travel as
// references.

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/call.h"
#include "http/connection.h"

// What the calls of one client share; outlives it as long as handlers are busy.
typedef struct Origin {
    _Atomic uint32_t references;
    Loop *loop;
    HttpHandler handler;
    void *user;
    HttpPeer *peer;
} Origin;

typedef struct LocalClient {
    HttpClient base;
    Origin *origin;
} LocalClient;

typedef enum PartKind { PART_HEAD, PART_DATA, PART_END, PART_ABORT, PART_UPGRADE } PartKind;

typedef struct Part { // one piece of an answer on its way to the caller
    ListLink link;
    PartKind kind;
    int status;
    Bytes *data;
    size_t n_headers;
    HttpHeader *headers; // behind the struct
    Stream *stream;      // PART_UPGRADE on one loop...
    int fd;              // ...and across loops
} Part;

typedef struct LocalCall LocalCall;

typedef struct Exchange {
    HttpRequest request; // first: this is what the handler sees
    _Atomic uint32_t references;
    Origin *origin;
    Loop *caller_loop;
    bool may_upgrade;
    Bytes *body;
    pthread_mutex_t lock; // for the rest of what both sides touch
    List parts;
    size_t queued;
    bool caller_posted, handler_posted;
    bool cancelled; // by the caller
    bool choked;    // the queue was above the low water mark
    // The handler's side alone.
    LoopTask handler_task;
    bool begun, over, head_sent, ended, aborted;
    // The caller's side alone.
    LoopTask caller_task;
    LocalCall *call; // NULL once told or cancelled
} Exchange;

struct LocalCall {
    HttpCall base;
    Exchange *exchange;
    LoopTimer timer;
    bool paused;
};

static void origin_unref(Origin *origin) {
    if (atomic_fetch_sub(&origin->references, 1) != 1)
        return;
    free(origin->peer);
    free(origin);
}

static void part_free(Part *part) {
    bytes_unref(part->data);
    if (part->stream)
        stream_abort(part->stream);
    if (part->fd >= 0)
        close(part->fd);
    free(part);
}

static void exchange_unref(Exchange *x) {
    if (atomic_fetch_sub(&x->references, 1) != 1)
        return;
    Part *part;
    list_for_each(part, &x->parts, link) part_free(part);
    bytes_unref(x->body);
    pthread_mutex_destroy(&x->lock);
    origin_unref(x->origin);
    free(x);
}

// With the lock held: makes sure that the other side looks into the exchange soon. The task holds a
// reference.
static void wake(Exchange *x, bool *posted, Loop *loop, LoopTask *task) {
    if (*posted)
        return;
    *posted = true;
    atomic_fetch_add(&x->references, 1);
    loop_post(loop, task);
}

static void wake_caller(Exchange *x) {
    wake(x, &x->caller_posted, x->caller_loop, &x->caller_task);
}

static void wake_handler(Exchange *x) {
    wake(x, &x->handler_posted, x->origin->loop, &x->handler_task);
}

// ---- the handler's side ----

static Part *part_new(PartKind kind, const HttpHeader *headers, size_t n) {
    size_t strings = 0;
    for (size_t i = 0; i < n; i++)
        strings += headers[i].name.len + headers[i].value.len;
    Part *part = calloc(1, sizeof *part + n * sizeof(HttpHeader) + strings);
    if (!part)
        abort();
    part->kind = kind;
    part->fd = -1;
    part->headers = (HttpHeader *)(part + 1);
    part->n_headers = n;
    char *at = (char *)(part->headers + n);
    for (size_t i = 0; i < n; i++) {
        Str name = headers[i].name, value = headers[i].value;
        part->headers[i].name = str_of(memcpy(at, name.ptr, name.len), name.len);
        at += name.len;
        if (value.len)
            memcpy(at, value.ptr, value.len);
        part->headers[i].value = str_of(at, value.len);
        at += value.len;
    }
    return part;
}

static void send_part(Exchange *x, Part *part) {
    pthread_mutex_lock(&x->lock);
    list_append(&x->parts, &part->link);
    if (part->data) {
        x->queued += part->data->len;
        x->choked = x->choked || x->queued >= STREAM_LOW_WATER;
    }
    wake_caller(x);
    pthread_mutex_unlock(&x->lock);
}

// The exchange is over for the handler; told in a moment, not from inside its own call.
static void finish_later(Exchange *x) {
    pthread_mutex_lock(&x->lock);
    wake_handler(x);
    pthread_mutex_unlock(&x->lock);
}

static void op_head(HttpRequest *request, int status, const HttpHeader *headers, size_t n) {
    Exchange *x = (Exchange *)request;
    if (x->aborted)
        return;
    assert(!x->head_sent);
    x->head_sent = true;
    Part *part = part_new(PART_HEAD, headers, n);
    part->status = status;
    send_part(x, part);
}

static void op_data(HttpRequest *request, Bytes *data) {
    Exchange *x = (Exchange *)request;
    if (x->aborted || data->len == 0)
        return;
    assert(x->head_sent && !x->ended);
    Part *part = part_new(PART_DATA, NULL, 0);
    part->data = bytes_ref(data);
    send_part(x, part);
}

static size_t op_queued(const HttpRequest *request) {
    Exchange *x = (Exchange *)(uintptr_t)request;
    pthread_mutex_lock(&x->lock);
    size_t queued = x->queued;
    pthread_mutex_unlock(&x->lock);
    return queued;
}

static void op_end(HttpRequest *request) {
    Exchange *x = (Exchange *)request;
    if (x->aborted)
        return;
    assert(x->head_sent && !x->ended);
    x->ended = true;
    send_part(x, part_new(PART_END, NULL, 0));
    finish_later(x);
}

static void op_abort(HttpRequest *request) {
    Exchange *x = (Exchange *)request;
    if (x->aborted || x->ended)
        return;
    x->aborted = true;
    send_part(x, part_new(PART_ABORT, NULL, 0));
    finish_later(x);
}

static Stream *op_upgrade(HttpRequest *request, const HttpHeader *headers, size_t n) {
    Exchange *x = (Exchange *)request;
    if (!x->may_upgrade || x->head_sent || x->aborted)
        return NULL;
    Part *part = part_new(PART_UPGRADE, headers, n);
    Stream *ours;
    if (x->origin->loop == x->caller_loop) {
        stream_pair(x->caller_loop, &ours, &part->stream);
    } else {
        int fds[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0) {
            part_free(part);
            return NULL;
        }
        ours = stream_from_fd(x->origin->loop, fds[0]);
        part->fd = fds[1];
    }
    x->head_sent = x->ended = true;
    send_part(x, part);
    finish_later(x);
    return ours;
}

static const HttpRequestOps request_ops = {
    .head = op_head,
    .data = op_data,
    .queued = op_queued,
    .end = op_end,
    .abort = op_abort,
    .upgrade = op_upgrade,
};

static void close_request(Exchange *x, bool completed) {
    x->over = true;
    if (x->request.on_close)
        x->request.on_close(&x->request, completed);
    arena_free(x->request.arena);
    x->request.arena = NULL;
    exchange_unref(x);
}

static void on_handler_task(void *user) {
    Exchange *x = user;
    pthread_mutex_lock(&x->lock);
    x->handler_posted = false;
    bool cancelled = x->cancelled;
    bool drained = x->choked && x->queued < STREAM_LOW_WATER;
    if (drained)
        x->choked = false;
    pthread_mutex_unlock(&x->lock);
    if (x->over) {
        // nothing left to tell
    } else if (!x->begun) {
        x->begun = true;
        if (cancelled)
            close_request(x, false);
        else
            x->origin->handler(x->origin->user, &x->request);
    } else if (x->ended) {
        close_request(x, true);
    } else if (x->aborted || cancelled) {
        close_request(x, false);
    } else if (drained && x->request.on_drain) {
        x->request.on_drain(&x->request);
    }
    exchange_unref(x);
}

// ---- the caller's side ----

static void let_go(LocalCall *call) {
    Exchange *x = call->exchange;
    x->call = NULL;
    loop_timer_stop(&call->timer);
    list_remove(&call->base.link);
    free(call);
    exchange_unref(x);
}

static void cancel_exchange(Exchange *x) {
    pthread_mutex_lock(&x->lock);
    x->cancelled = true;
    wake_handler(x);
    pthread_mutex_unlock(&x->lock);
}

static void op_cancel(HttpCall *base) {
    LocalCall *call = (LocalCall *)base;
    cancel_exchange(call->exchange);
    let_go(call);
}

static void tell_done(LocalCall *call, int error, const char *message) {
    HttpCallEvents events = call->base.events;
    void *user = call->base.user;
    let_go(call);
    if (events.on_done)
        events.on_done(user, error, str_from(message));
}

static void tell_upgrade(LocalCall *call, Part *part) {
    HttpCallEvents events = call->base.events;
    void *user = call->base.user;
    Loop *loop = call->exchange->caller_loop;
    Stream *stream = part->stream ? part->stream : stream_from_fd(loop, part->fd);
    part->stream = NULL;
    part->fd = -1;
    let_go(call);
    if (events.on_upgrade)
        events.on_upgrade(user, stream, part->headers, part->n_headers);
    else
        stream_abort(stream);
}

// The user may cancel from inside each of these.
static void tell(LocalCall *call, Part *part) {
    const HttpCallEvents *events = &call->base.events;
    switch (part->kind) {
    case PART_HEAD:
        loop_timer_stop(&call->timer);
        if (events->on_head)
            events->on_head(call->base.user, part->status, part->headers, part->n_headers);
        break;
    case PART_DATA:
        if (events->on_bytes)
            events->on_bytes(call->base.user, part->data);
        else if (events->on_data)
            events->on_data(call->base.user, bytes_str(part->data));
        break;
    case PART_END:
        tell_done(call, 0, "");
        break;
    case PART_ABORT:
        tell_done(call, -ECONNRESET, "the answer was cut off");
        break;
    case PART_UPGRADE:
        tell_upgrade(call, part);
        break;
    }
}

static Part *take_part(Exchange *x) {
    pthread_mutex_lock(&x->lock);
    ListLink *first = list_first(&x->parts);
    Part *part = first ? container_of(first, Part, link) : NULL;
    if (part) {
        list_remove(&part->link);
        if (part->data) {
            x->queued -= part->data->len;
            if (x->choked && x->queued < STREAM_LOW_WATER)
                wake_handler(x);
        }
    }
    pthread_mutex_unlock(&x->lock);
    return part;
}

static void on_caller_task(void *user) {
    Exchange *x = user; // the task's reference keeps it
    pthread_mutex_lock(&x->lock);
    x->caller_posted = false;
    pthread_mutex_unlock(&x->lock);
    while (x->call && !x->call->paused) {
        Part *part = take_part(x);
        if (!part)
            break;
        tell(x->call, part);
        part_free(part);
    }
    exchange_unref(x);
}

static void op_pause(HttpCall *base, bool paused) {
    LocalCall *call = (LocalCall *)base;
    Exchange *x = call->exchange;
    call->paused = paused;
    if (paused)
        return;
    pthread_mutex_lock(&x->lock);
    wake_caller(x);
    pthread_mutex_unlock(&x->lock);
}

static const HttpCallOps call_ops = {.cancel = op_cancel, .pause = op_pause};

static void on_timeout(void *user) {
    LocalCall *call = user;
    cancel_exchange(call->exchange);
    tell_done(call, -ETIMEDOUT, "no answer in time");
}

static void fill_request(HttpRequest *request, Arena *arena, const HttpCallSpec *spec,
                         const Origin *origin) {
    Str target = arena_str(arena, spec->target);
    HttpHeader *headers = arena_array_of(arena, HttpHeader, spec->n_headers + 1);
    for (size_t i = 0; i < spec->n_headers; i++) {
        headers[i].name = arena_str(arena, spec->headers[i].name);
        headers[i].value = arena_str(arena, spec->headers[i].value);
    }
    *request = (HttpRequest){
        .arena = arena,
        .loop = origin->loop,
        .method = arena_str(arena, spec->method),
        .path = str_cut(&target, '?'),
        .headers = headers,
        .n_headers = spec->n_headers,
        .body = spec->body ? bytes_str(spec->body) : STR(""),
        .peer = *origin->peer,
        .version = 0,
        .ops = &request_ops,
    };
    request->query = target; // what str_cut left
}

static Exchange *exchange_new(LocalClient *client, const HttpCallSpec *spec) {
    Exchange *x = calloc(1, sizeof *x);
    if (!x)
        abort();
    x->references = 2; // the caller's and the handler's
    x->origin = client->origin;
    atomic_fetch_add(&x->origin->references, 1);
    x->caller_loop = client->base.loop;
    x->may_upgrade = spec->upgrade;
    x->body = bytes_ref(spec->body);
    pthread_mutex_init(&x->lock, NULL);
    list_init(&x->parts);
    x->handler_task = (LoopTask){.fn = on_handler_task, .user = x};
    x->caller_task = (LoopTask){.fn = on_caller_task, .user = x};
    fill_request(&x->request, arena_new_small(), spec, x->origin);
    return x;
}

static HttpCall *op_call(HttpClient *base, const HttpCallSpec *spec, const HttpCallEvents *events,
                         void *user) {
    LocalClient *client = (LocalClient *)base;
    LocalCall *call = calloc(1, sizeof *call);
    if (!call)
        abort();
    call->base = (HttpCall){.ops = &call_ops, .events = *events, .user = user};
    Exchange *x = call->exchange = exchange_new(client, spec);
    x->call = call;
    list_append(&base->calls, &call->base.link);
    loop_timer_init(&call->timer, base->loop, on_timeout, call);
    loop_timer_start(&call->timer, spec->timeout_ns > 0 ? spec->timeout_ns : HTTP_DEFAULT_TIMEOUT);
    pthread_mutex_lock(&x->lock);
    wake_handler(x);
    pthread_mutex_unlock(&x->lock);
    return &call->base;
}

static void op_free(HttpClient *base) {
    LocalClient *client = (LocalClient *)base;
    origin_unref(client->origin);
    free(client);
}

static const HttpClientOps client_ops = {.call = op_call, .free = op_free};

HttpClient *http_client_new_local(Loop *loop, Loop *handler_loop, HttpHandler handler,
                                  void *handler_user, const HttpPeer *peer) {
    LocalClient *client = calloc(1, sizeof *client);
    Origin *origin = calloc(1, sizeof *origin);
    if (!client || !origin)
        abort();
    HttpPeer local = *peer;
    local.local = true;
    if (!local.address.ptr)
        local.address = STR("@");
    *origin = (Origin){
        .references = 1,
        .loop = handler_loop,
        .handler = handler,
        .user = handler_user,
        .peer = http_peer_copy(&local),
    };
    client->base.ops = &client_ops;
    client->base.loop = loop;
    list_init(&client->base.calls);
    client->origin = origin;
    return &client->base;
}
