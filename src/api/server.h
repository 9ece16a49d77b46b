#pragma once
// The API server's state, private to its room.

#include "api/api.h"
#include "api/cache.h"
#include "api/request.h"

typedef struct Authorizer Authorizer;
typedef struct WatchTimer WatchTimer;
typedef struct Webhooks Webhooks;
typedef struct ClassDefaults ClassDefaults;
typedef struct QuotaBook QuotaBook;

struct Api {
    ApiConfig config; // strings are copied into `arena`
    Arena *arena;     // lives as long as the server
    Arena *scratch;   // for decoding one object; reset by whoever uses it
    Loop *loop;
    Store *store;
    Registry *registry;
    Authorizer *authorizer;
    struct JwtVerifier *tokens; // of service accounts
    struct StaticTokens *static_tokens; // NULL: there is no such file
    StoreWatch *watch;
    int64_t revision;        // the caches show everything up to it
    List waiting;            // for a revision
    List requests;           // open ones
    size_t reading, writing; // requests in flight of each kind, long-running ones excluded
    List bookmarked;         // watches that want bookmarks
    LoopTimer bookmark_timer;
    Bytes *event_heads[3], *event_end; // of watches inside the process
    bool ready, closing;
    void (*on_ready)(void *user, int error);
    void *on_ready_user;
    void *loading;     // the first listing, while it is under way
    void *bootstrap;   // while making what every cluster has
    void *nonresource; // discovery, OpenAPI
    struct CustomKinds *custom_kinds;
    void *event_expiry;
    void *allocator;   // cluster IPs and node ports
    Webhooks *webhooks;            // admission's, as the next
    ClassDefaults *class_defaults; // which priority and storage class is the default
    QuotaBook *quota_book;         // charges under way
};

bool api_is_ready(const Api *api);
int64_t api_now(const Api *api); // Unix time in nanoseconds

// Every object in the store that the caches hold: loads them, then follows. `done` once, later.
void feed_start(Api *api, void (*done)(Api *api, int error));
void feed_stop(Api *api);
void event_expiry_init(Api *api);
void event_expiry_free(Api *api);
void watch_init(Api *api);
void watch_deinit(Api *api);
void watch_schedule_bookmarks(Api *api);
void api_revision_reached(Api *api); // api->revision has grown: those who wait for it go on
