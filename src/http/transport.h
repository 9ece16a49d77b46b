#pragma once
// Between the client's pool (client.c) and its connections (client_h1.c, client_h2.c).

#include "http/call.h"

typedef struct NetClient NetClient;
typedef struct NetCall NetCall;
typedef struct Transport Transport;

struct NetCall {
    HttpCall base;
    NetClient *client;
    Arena *arena;
    HttpCallSpec spec; // copied into `arena`
    ListLink waiting;  // for a connection
    Transport *transport;
    void *exchange;  // the transport's own
    LoopTimer timer; // until the head
    bool paused, head_seen, retried;
};

typedef struct TransportOps {
    void (*start)(Transport *transport, NetCall *call);
    void (*cancel)(Transport *transport, NetCall *call); // forget it; may free the transport
    void (*pause)(Transport *transport, NetCall *call, bool paused);
    void (*free)(Transport *transport); // at once, without a word
} TransportOps;

struct Transport { // first member of every kind of connection
    const TransportOps *ops;
    NetClient *client;
    ListLink link;    // in the client's list of transports
    bool multiplexed; // takes calls while others are open
    bool usable;      // takes a (further) call now
    bool served;      // had a call before: the server may have closed it meanwhile
};

// Each takes the stream. `authority` is for the Host header and lives as long as the client.
Transport *transport_h1_new(NetClient *client, Stream *stream, Str authority);
Transport *transport_h2_new(NetClient *client, Stream *stream, Str authority, bool tls);

void transport_init(Transport *transport, const TransportOps *ops, NetClient *client);
// Leaves the client's list; waiting calls may be started on others from inside.
void transport_deinit(Transport *transport);
// `usable` turned true: a waiting call may be started from inside.
void transport_ready(Transport *transport);

// What happens to a call. The user may do anything in these, also free the client: after all but
// net_call_interrupted() the caller must not touch call or transport before it has made sure that
// they live (`destroyed` flags).
void net_call_head(NetCall *call, int status, const HttpHeader *headers, size_t n);
void net_call_trailers(NetCall *call, const HttpHeader *headers, size_t n);
void net_call_data(NetCall *call, Str data);
void net_call_done(NetCall *call, int error, Str message);
void net_call_upgraded(NetCall *call, Stream *stream, const HttpHeader *headers, size_t n);
// The connection failed under a call before anything of an answer came. It is tried once more on
// another connection when that can do no harm: `unprocessed` says that the server did not look at
// it; else it changes nothing and this connection had served before (a kept connection that the
// server closed meanwhile).
void net_call_interrupted(NetCall *call, bool unprocessed, bool reused, int error);
