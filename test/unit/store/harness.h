#pragma once
// A store on a loop of its own, with calls that wait. One contract suite runs over every backend.

#include "base/loop.h"
#include "store/store.h"

typedef struct Backend {
    const char *name;
    bool on_disk, simulated;
} Backend;
const Backend *backend_memory(void);
const Backend *backend_simulated(void); // the memory store on a loop with virtual time
const Backend *backend_sqlite(void);

typedef struct Harness {
    const Backend *backend;
    Loop *loop;
    Store *store;
    char directory[64], path[96];
} Harness;
Harness *harness_new(const Backend *backend);
void harness_open(Harness *h);  // opens (again) what is on disk
void harness_close(Harness *h); // waits
void harness_rest(Harness *h);  // closes the loop too: before a fork
void harness_free(Harness *h);  // closes what is open, removes the directory

// Answers, with copies of what they carried. Zeroed, given to a call; then harness_wait().
typedef struct Record {
    char *key;
    Bytes *value;
    int64_t create_revision, revision;
} Record;
typedef struct Reply {
    Loop *loop;
    bool is_done;
    int error;
    int64_t revision, remaining;
    bool more;
    Record *records;
    size_t n;
    int order; // how many replies of this process came before it
} Reply;
void reply_done(void *user, int error, const StoreResult *result);
void reply_clear(Reply *reply);
#define _reply_clear_ __attribute__((cleanup(reply_clear)))
void harness_wait(Harness *h, const bool *flag); // runs the loop until *flag
Reply reply_of(Harness *h);

// Calls that wait. Text keys and values; `Reply`s are the caller's to clear.
Reply do_get(Harness *h, const char *key);
Reply do_put(Harness *h, const char *key, const char *value, int64_t expected, unsigned flags);
Reply do_remove(Harness *h, const char *key, int64_t expected);
Reply do_range(Harness *h, const char *prefix, const char *from, int64_t revision, size_t limit);
Reply do_compact(Harness *h, int64_t revision);
int64_t do_sync(Harness *h);
// The same where nothing but success is expected; returns the revision.
int64_t must_put(Harness *h, const char *key, const char *value);
int64_t must_remove(Harness *h, const char *key);
// Calls that do not wait.
void start_put(Harness *h, const char *key, const char *value, int64_t expected, unsigned flags,
               Reply *reply);
// "a=1 b=2 +7": what a range gave, and how many more there are.
char *reply_text(const Reply *reply);
void assert_range(Harness *h, const char *prefix, const char *from, int64_t revision, size_t limit,
                  const char *expected);

// What a watch saw, as text: "+a=1 " created, "~a=2<1 " changed, "-a<2 " deleted. Checks on the way
// that revisions rise and that no event is newer than what its call claims.
typedef struct Seen {
    Harness *h;
    StoreWatch *watch;
    char *text;
    size_t len, calls, events;
    int64_t revision; // told
    int64_t last_event;
    int error;
    bool has_error, reached;
    int64_t goal;
    void (*hook)(struct Seen *seen); // inside on_events
    void *hook_user;
} Seen;
void seen_start(Harness *h, Seen *seen, const char *prefix, int64_t from_revision);
void seen_wait(Seen *seen, int64_t revision); // until told of it
void seen_wait_error(Seen *seen);
void seen_stop(Seen *seen); // cancels unless it ended, frees
