#pragma once
// WebSocket (RFC 6455) over a Stream: messages in pieces, pings answered, closing handshake.
// Messages may be of any length since nothing is gathered; frames that only cost (pings) are
// rationed.

#include "http/message.h"

typedef struct WebSocket WebSocket;

// Never called from inside a websocket_* call.
typedef struct WebSocketEvents {
    // A piece of a message; `first` and `last` mark its ends (both for a short one, which may be
    // empty).
    void (*on_message)(void *user, Str data, bool text, bool first, bool last);
    void (*on_drain)(void *user); // the queue fell below STREAM_LOW_WATER
    // Last: 0 after a closing handshake, else negative errno. The WebSocket is gone.
    void (*on_close)(void *user, int error);
} WebSocketEvents;

enum {
    WEBSOCKET_NORMAL = 1000,
    WEBSOCKET_PROTOCOL_ERROR = 1002,
    WEBSOCKET_POLICY_VIOLATION = 1008
};

bool websocket_is_request(const HttpRequest *request);
// The first of the client's subprotocols (Sec-WebSocket-Protocol) that is in `supported`. With none
// asked for: "" when that is in `supported`. STR_NONE when nothing fits.
Str websocket_choose_protocol(const HttpRequest *request, const Str *supported, size_t n);
// Answers 101, speaking `protocol` ("": none is named). Returns NULL after it has answered 400 (no
// proper handshake, or a connection that can't be upgraded).
WebSocket *websocket_accept(HttpRequest *request, Str protocol, const WebSocketEvents *events,
                            void *user);
// The client's side, over the stream of an upgraded call (HttpCallEvents.on_upgrade).
WebSocket *websocket_connect(Stream *stream, const WebSocketEvents *events, void *user);
// Value of Sec-WebSocket-Accept for a Sec-WebSocket-Key.
Str websocket_accept_key(Arena *arena, Str key);

// One message: `head` and `data` one after the other (head is for channel bytes, may be empty).
void websocket_send(WebSocket *socket, bool text, Str head, Str data);
size_t websocket_queued(const WebSocket *socket);
void websocket_pause(WebSocket *socket, bool paused);
// What is queued and a Close frame go out; on_close follows when the peer has answered, 10 s later
// at most.
void websocket_close(WebSocket *socket, uint16_t code);
void websocket_abort(WebSocket *socket); // at once, no callback

// The same as a flow of bytes: each write is one binary message (SPDY tunnelled in WebSocket).
// Takes the WebSocket's place: websocket_* must not be called any more.
Stream *websocket_stream(HttpRequest *request, Str protocol); // NULL: 400 was answered
