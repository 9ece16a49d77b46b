#pragma once
// The server side of exec, attach and port-forward: several byte streams over one upgraded
// connection. WebSocket (v5.channel.k8s.io, v4.channel.k8s.io, their base64 forms; KEP-4006) and
// SPDY/3.1 (v4.channel.k8s.io ... ) look the same from here: each channel is a Stream.

#include "http/message.h"

typedef struct RemoteSession RemoteSession;

typedef struct RemoteChannels { // NULL where not asked for
    Stream *stdin_stream, *stdout_stream, *stderr_stream;
    Stream *error_stream;  // the final Status goes here
    Stream *resize_stream; // JSON messages {"Width":80,"Height":24}
} RemoteChannels;

typedef struct RemoteOptions {
    bool stdin_open, stdout_open, stderr_open, tty; // which channels the request asks for
} RemoteOptions;

// Upgrades the request and waits (30 s) until the client has opened its channels, then calls
// `on_ready` (error 0), or with a negative errno when it went away (-ETIMEDOUT, -ECONNRESET...), or
// -EPROTO when the request asked for no protocol we know: it has been answered with 400 or 403
// then. `on_ready` always comes, once, and never from inside. From then on the channels are the
// caller's, each by the rules of base/stream.h: start them, close or abort each. stdin ends
// (on_end) when the client closes it, where the protocol can tell (all but v4 WebSocket).
// error_stream is NULL: remote_command_finish() writes there.
// `on_gone`: the connection is lost, later than on_ready and before finish; channels that were
// started have reported on_close before, others must be aborted. The session is gone.
void remote_command_accept(HttpRequest *request, const RemoteOptions *options,
                           void (*on_ready)(void *user, int error, RemoteSession *session,
                                            const RemoteChannels *channels),
                           void (*on_gone)(void *user), void *user);
// Writes the last word to the error channel, lets what is queued go out, closes. exit_code 0:
// Success; > 0: a NonZeroExitCode Status ("command terminated with non-zero exit code: exit status
// 3"); < 0: InternalError with `message` (kubelet's are "error executing command in container:
// ..."). Gives the session back: no on_gone any more. Channels that the caller has not closed yet
// report on_close within half a minute.
void remote_command_finish(RemoteSession *session, int exit_code, Str message);

// Port-forward: `on_connect` for each pair of streams the client opens (data both ways, error for a
// message). SPDY, SPDY tunnelled in WebSocket (SPDY/3.1+portforward.k8s.io) and the v4 WebSocket
// protocol (?ports=). Both streams are the callee's: kubectl waits until both are closed. NULL: the
// request was answered with 400 or 403, nothing follows. Else `on_gone` comes once, when the
// connection is over.
typedef struct PortForward PortForward;
PortForward *remote_port_forward_accept(HttpRequest *request,
                                        void (*on_connect)(void *user, uint16_t port, Stream *data,
                                                           Stream *error),
                                        void (*on_gone)(void *user), void *user);
void remote_port_forward_close(PortForward *forward); // ends all streams; no on_gone any more
