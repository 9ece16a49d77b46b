#include "node/crun_io.h"

void io_link(IoEnd *from, IoEnd *to) {
    from->to = to;
    to->from = from;
}

static void on_data(void *user, Str data) {
    IoEnd *end = user;
    if (!end->to || !end->to->stream)
        return;
    stream_write(end->to->stream, data);
    if (stream_queued(end->to->stream) > STREAM_HIGH_WATER)
        stream_pause(end->stream, true);
}

static void on_drain(void *user) {
    IoEnd *end = user;
    if (end->from && end->from->stream)
        stream_pause(end->from->stream, false);
}

// Tells the receiver that no more will come.
static void pass_end(IoEnd *end) {
    if (end->ended)
        return;
    end->ended = true;
    if (end->to && end->to->stream && !end->to->keep_open)
        stream_end(end->to->stream);
}

static void on_end(void *user) {
    IoEnd *end = user;
    pass_end(end);
    if (end->changed)
        end->changed(end->user);
}

static void on_close(void *user, int error) {
    IoEnd *end = user;
    end->stream = NULL;
    pass_end(end);
    IoEnd *from = end->from;
    if (from)
        from->to = NULL;
    if (from && from->stream) {
        stream_pause(from->stream, false);
        if (!from->is_client) // so that the process learns that nobody reads any more
            stream_close(from->stream);
    }
    if (end->changed)
        end->changed(end->user);
}

static const StreamEvents events = {
    .on_data = on_data, .on_end = on_end, .on_drain = on_drain, .on_close = on_close};

void io_start(IoEnd *end) {
    if (end->stream)
        stream_start(end->stream, &events, end);
}

void io_close(IoEnd *end) {
    if (end->stream)
        stream_close(end->stream);
}

void io_abort(IoEnd *end) {
    if (end->stream)
        stream_abort(end->stream);
    end->stream = NULL;
}
