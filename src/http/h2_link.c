#include "http/h2_link.h"

#include <stdlib.h>

#define FLOOD_BURST 2000
#define FLOOD_PER_SECOND 200

nghttp2_option *h2_options(void) {
    nghttp2_option *option;
    if (nghttp2_option_new(&option) != 0)
        abort();
    nghttp2_option_set_no_closed_streams(option, 1); // for priorities, which we don't use
    nghttp2_option_set_max_outbound_ack(option, 100);
    nghttp2_option_set_stream_reset_rate_limit(option, FLOOD_BURST, FLOOD_PER_SECOND);
    return option;
}

static void pump(H2Link *link);

static void on_task(void *user) {
    pump(user);
}

void h2_link_init(H2Link *link, nghttp2_session *session, Stream *stream,
                  void (*on_pumped)(void *user), void *user) {
    *link = (H2Link){
        .session = session,
        .stream = stream,
        .task = {.fn = on_task, .user = link},
        .on_pumped = on_pumped,
        .user = user,
        .budget = FLOOD_BURST,
        .budgeted_at = loop_now(stream->loop),
    };
}

void h2_link_deinit(H2Link *link) {
    if (!link->session)
        return;
    nghttp2_session_del(link->session);
    link->session = NULL;
}

void h2_link_begin(H2Link *link, bool server) {
    const nghttp2_settings_entry entries[] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_STREAM_WINDOW},
        {server ? NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS : NGHTTP2_SETTINGS_ENABLE_PUSH,
         server ? H2_MAX_STREAMS : 0},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, 1024 * 1024},
    };
    if (nghttp2_submit_settings(link->session, NGHTTP2_FLAG_NONE, entries,
                                sizeof entries / sizeof *entries) != 0 ||
        nghttp2_session_set_local_window_size(link->session, NGHTTP2_FLAG_NONE, 0,
                                              H2_CONNECTION_WINDOW) != 0)
        abort();
    h2_link_wake(link);
}

void h2_link_wake(H2Link *link) {
    loop_post(link->stream->loop, &link->task);
}

// Makes frames as long as the connection takes them. Small ones travel together.
static void pump(H2Link *link) {
    char gathered[16 * 1024];
    size_t n = 0;
    link->busy = true;
    while (link->stream && stream_queued(link->stream) + n < STREAM_HIGH_WATER) {
        const uint8_t *data;
        ssize_t len = nghttp2_session_mem_send(link->session, &data);
        if (len <= 0 || !link->stream) // a callback may have ended the connection
            break;
        if ((size_t)len > sizeof gathered - n) {
            stream_write(link->stream, str_of(gathered, n));
            n = 0;
        }
        if ((size_t)len > sizeof gathered) {
            stream_write(link->stream, str_of(data, (size_t)len));
        } else {
            memcpy(gathered + n, data, (size_t)len);
            n += (size_t)len;
        }
    }
    if (n && link->stream)
        stream_write(link->stream, str_of(gathered, n));
    link->busy = false;
    link->on_pumped(link->user);
}

bool h2_link_receive(H2Link *link, Str data) {
    link->busy = true;
    ssize_t n = nghttp2_session_mem_recv(link->session, (const uint8_t *)data.ptr, data.len);
    link->busy = false;
    return n == (ssize_t)data.len;
}

bool h2_link_spend(H2Link *link) {
    int64_t now = loop_now(link->stream->loop);
    int64_t refill = (now - link->budgeted_at) * FLOOD_PER_SECOND / NSEC_PER_SEC;
    if (refill > 0) {
        link->budget = link->budget + refill < FLOOD_BURST ? link->budget + refill : FLOOD_BURST;
        link->budgeted_at = now;
    }
    return --link->budget >= 0;
}

bool h2_link_flooded(H2Link *link, const nghttp2_frame *frame) {
    switch (frame->hd.type) {
    case NGHTTP2_DATA:
        if (frame->hd.length > 0 || frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
            return false;
        break;
    case NGHTTP2_HEADERS:
    case NGHTTP2_WINDOW_UPDATE:
        return false;
    default:
        break;
    }
    return !h2_link_spend(link);
}

bool h2_link_is_over(const H2Link *link) {
    return !nghttp2_session_want_read(link->session) && !nghttp2_session_want_write(link->session);
}

size_t h2_take(StreamQueue *queue, uint8_t *buffer, size_t len) {
    size_t taken = 0;
    struct iovec part;
    while (taken < len && stream_queue_peek(queue, &part, 1)) {
        size_t n = part.iov_len < len - taken ? part.iov_len : len - taken;
        memcpy(buffer + taken, part.iov_base, n);
        stream_queue_consume(queue, n);
        taken += n;
    }
    return taken;
}
