#pragma once
// Several Streams over one WebSocket, by a byte with the channel's number in front of each message
// (channel.k8s.io and its versions, see apimachinery httpstream/wsstream).

#include "http/websocket.h"

typedef struct ChannelSocket ChannelSocket;

enum { CHANNEL_IGNORED = 0, CHANNEL_READ = 1, CHANNEL_WRITE = 2 };

typedef struct ChannelSocketSpec {
    Str protocol;           // chosen, for the answer
    bool base64;            // messages are text: '0' + number, then base64
    bool closes;            // v5: [255, number] ends a channel
    const uint8_t *kinds;   // of each channel
    size_t n;               // channels
    bool close_when_unused; // once every channel is closed by its user
} ChannelSocketSpec;

// `on_close` comes last, after every channel has reported the same. NULL: the request was answered
// with 400.
ChannelSocket *channel_socket_accept(HttpRequest *request, const ChannelSocketSpec *spec,
                                     void (*on_close)(void *user, int error), void *user);
Stream *channel_socket_stream(ChannelSocket *socket, size_t channel); // NULL when ignored
// One message as it is, also an empty one.
void channel_socket_send(ChannelSocket *socket, size_t channel, Str data);
// What is queued goes out, then a Close frame; on_close follows.
void channel_socket_close(ChannelSocket *socket);
