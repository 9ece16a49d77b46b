#include "http/spdy.h"
#include "peer.h"

typedef struct Session {
    SpdySession *spdy;
    Peer streams[64];
    size_t n;
    bool closed;
} Session;

static bool on_stream(void *user, Stream *stream, uint32_t id, const HttpHeader *headers,
                      size_t n) {
    Session *session = user;
    must(!session->closed);
    if (session->n == 64 || n > 3)
        return false;
    if (n == 3) { // its user changes its mind
        stream_abort(stream);
        return true;
    }
    Peer *peer = &session->streams[session->n++];
    peer_start(peer, stream);
    if (n == 2)
        stream_pause(stream, true);
    stream_write(stream, STR("hello"));
    if (id % 4 == 3)
        stream_end(stream);
    return true;
}

static void on_close(void *user, int error) {
    Session *session = user;
    must(!session->closed);
    session->closed = true;
    session->spdy = NULL;
}

static const SpdyEvents events = {.on_stream = on_stream, .on_close = on_close};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Loop *loop = loop_new_simulated(1, 0);
    Stream *ours, *theirs;
    stream_pair(loop, &ours, &theirs);
    static Session session;
    session = (Session){0};
    session.spdy = spdy_session_new(theirs, true, &events, &session);
    Peer peer;
    peer_start(&peer, ours);
    peer_feed(loop, &peer, data, size);
    if (session.spdy && size % 2)
        spdy_session_close(session.spdy);
    turn(loop);
    peer_finish(loop, &peer);
    must(loop_run_until(loop, loop_now(loop) + 60 * NSEC_PER_SEC) == 0);
    must(session.closed);
    // Each was told before the session was, but for those that ended well and have yet to be read.
    for (size_t i = 0; i < session.n; i++)
        if (session.streams[i].stream)
            stream_pause(session.streams[i].stream, false);
    turn(loop);
    for (size_t i = 0; i < session.n; i++)
        must(!session.streams[i].stream);
    loop_free(loop);
    return 0;
}
