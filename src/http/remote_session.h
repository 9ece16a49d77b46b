#pragma once
// Between remote.c and the two ways a client may speak (remote_websocket.c, remote_spdy.c).

#include "http/remote.h"

typedef struct RemoteSessionOps {
    // Writes `status` to the error channel and closes. The session frees itself.
    void (*finish)(RemoteSession *session, Str status);
} RemoteSessionOps;

typedef void (*RemoteReady)(void *user, int error, RemoteSession *session,
                            const RemoteChannels *channels);

struct RemoteSession { // first member of both
    const RemoteSessionOps *ops;
    Loop *loop;
    bool json_status; // v4 and later; before, the error channel has plain text
    bool finished;
    RemoteReady on_ready;
    void (*on_gone)(void *user);
    void *user;
};

// Each answers the request. False: with a refusal; the caller tells on_ready.
bool remote_websocket_accept(HttpRequest *request, const RemoteOptions *options,
                             const RemoteSession *template);
bool remote_spdy_accept(HttpRequest *request, const RemoteOptions *options,
                        const RemoteSession *template);

// X-Stream-Protocol-Version (apimachinery httpstream.Handshake): the first of the client's that is
// supported, or STR_NONE after it has answered 400 or 403.
Str remote_spdy_choose_protocol(HttpRequest *request, const Str *supported, size_t n);
// Answers 101 for SPDY/3.1; NULL after it has answered 400.
Stream *remote_spdy_upgrade(HttpRequest *request, Str protocol);
bool remote_is_spdy_request(const HttpRequest *request);
