#include "http/inbox.h"

static void deliver(void *user);

void inbox_init(Inbox *inbox, Stream *stream, const InboxOwner *owner) {
    *inbox = (Inbox){
        .stream = stream,
        .owner = owner,
        .data = BUF_INIT(SIZE_MAX / 2), // bounded by the owner's flow control
        .task = {.fn = deliver, .user = inbox},
    };
}

void inbox_deinit(Inbox *inbox) {
    if (inbox->destroyed)
        *inbox->destroyed = true;
    loop_task_cancel(inbox->stream->loop, &inbox->task);
    buf_deinit(&inbox->data);
}

static bool is_ready(const Inbox *inbox) {
    return inbox->started && !inbox->paused;
}

static void schedule(Inbox *inbox) {
    if (inbox->started)
        loop_post(inbox->stream->loop, &inbox->task);
}

// Hands `data` to the user. Returns false when that made the stream go away.
static bool tell_data(Inbox *inbox, Str data) {
    bool destroyed = false, *outer = inbox->destroyed;
    inbox->destroyed = &destroyed;
    inbox->stream->events->on_data(inbox->stream->user, data);
    if (destroyed) {
        if (outer)
            *outer = true;
        return false;
    }
    inbox->destroyed = outer;
    if (inbox->owner->consumed)
        inbox->owner->consumed(inbox->stream, data.len);
    return true;
}

bool inbox_put(Inbox *inbox, Str data) {
    if (inbox->closed || data.len == 0)
        return true;
    if (inbox->discarding) {
        if (inbox->owner->consumed)
            inbox->owner->consumed(inbox->stream, data.len);
        return true;
    }
    if (is_ready(inbox) && inbox->data.len == 0 && !inbox->destroyed)
        return tell_data(inbox, data);
    buf_str(&inbox->data, data);
    return true;
}

void inbox_end(Inbox *inbox) {
    inbox->ended = true;
    schedule(inbox);
}

void inbox_close(Inbox *inbox, int error) {
    if (inbox->closed)
        return;
    inbox->closed = true;
    inbox->error = error;
    schedule(inbox);
}

void inbox_start(Inbox *inbox) {
    inbox->started = true;
    schedule(inbox);
}

void inbox_pause(Inbox *inbox, bool paused) {
    inbox->paused = paused;
    if (!paused)
        schedule(inbox);
}

void inbox_discard(Inbox *inbox) {
    size_t held = inbox->data.len;
    inbox->discarding = true;
    buf_deinit(&inbox->data);
    if (held && inbox->owner->consumed)
        inbox->owner->consumed(inbox->stream, held);
    schedule(inbox);
}

static bool deliver_data(Inbox *inbox) {
    Buf data = inbox->data; // detached: the user may start, pause or abort from inside
    inbox->data = BUF_INIT(SIZE_MAX / 2);
    bool alive = tell_data(inbox, buf_view(&data));
    buf_deinit(&data);
    return alive;
}

static bool deliver_end(Inbox *inbox) {
    bool destroyed = false;
    inbox->end_told = true;
    inbox->destroyed = &destroyed;
    inbox->stream->events->on_end(inbox->stream->user);
    if (!destroyed)
        inbox->destroyed = NULL;
    return !destroyed;
}

// A reader that paused gets the rest before an orderly end; an error, or a user that let go, does
// not wait for it.
static bool may_close(const Inbox *inbox) {
    if (!inbox->closed)
        return false;
    if (inbox->error || inbox->discarding)
        return true;
    return inbox->data.len == 0 && (!inbox->ended || inbox->end_told);
}

static void deliver(void *user) {
    Inbox *inbox = user;
    Stream *stream = inbox->stream;
    bool wanted = !inbox->discarding;
    if (wanted && is_ready(inbox) && inbox->data.len > 0 && !deliver_data(inbox))
        return;
    if (wanted && is_ready(inbox) && inbox->data.len == 0 && inbox->ended && !inbox->end_told &&
        !deliver_end(inbox))
        return;
    if (!may_close(inbox))
        return;
    const StreamEvents *events = stream->events;
    void *user_data = stream->user;
    int error = inbox->error;
    inbox->owner->gone(stream);
    events->on_close(user_data, error);
}
