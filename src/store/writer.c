#include "store/writer.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "store/group.h"

enum {
    GROUP_REQUESTS = 512, // one commit for at most so many calls, or so many bytes
    GROUP_BYTES = 4 << 20,
    WAL_PAGES = 1000, // then it is copied into the database
    STACK = 512 << 10,
};

struct Writer {
    Group group;
    Outbox *outbox;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    List queue; // of Request, under the lock
    bool is_failing;
};

Request *writer_request_new(RequestKind kind, StoreDone done, void *user) {
    Request *request = memory_new(Request);
    request->kind = kind;
    request->done = done;
    request->user = user;
    return request;
}

static void request_free(Request *request) {
    bytes_unref(request->key);
    bytes_unref(request->from);
    bytes_unref(request->value);
    free(request);
}

void writer_submit(Writer *writer, Request *request) {
    pthread_mutex_lock(&writer->lock);
    bool was_empty = list_is_empty(&writer->queue);
    list_append(&writer->queue, &request->link);
    if (was_empty)
        pthread_cond_signal(&writer->wake);
    pthread_mutex_unlock(&writer->lock);
}

// Waits for calls and takes as many as make one group. A closing call comes alone.
static void writer_take(Writer *writer, List *requests) {
    size_t n = 0, bytes = 0;
    pthread_mutex_lock(&writer->lock);
    while (list_is_empty(&writer->queue))
        pthread_cond_wait(&writer->wake, &writer->lock);
    Request *request;
    list_for_each(request, &writer->queue, link) {
        bytes += request->value ? request->value->len : 0;
        if (n > 0 && (n == GROUP_REQUESTS || bytes > GROUP_BYTES || request->kind == REQUEST_CLOSE))
            break;
        list_remove(&request->link);
        list_append(requests, &request->link);
        n++;
    }
    pthread_mutex_unlock(&writer->lock);
}

// Says once that writing fails, and once that it works again.
static void writer_report(Writer *writer, int error) {
    if (error && !writer->is_failing)
        log_error("store", "cannot write", "error=\"%s\"",
                  error == STORE_E_FULL ? "no space left on the disk" : strerror(-error));
    else if (!error && writer->is_failing)
        log_info("store", "writing works again");
    writer->is_failing = error != 0;
}

static void writer_close(Writer *writer) {
    int error = group_close(&writer->group);
    if (error)
        log_error("store", "volatile writes were lost on closing", "error=\"%s\"",
                  error == STORE_E_FULL ? "no space left on the disk" : strerror(-error));
    database_close(writer->group.database);
    outbox_push_one(writer->outbox, delivery_new(DELIVERY_CLOSED));
}

static void *writer_run(void *user) {
    Writer *writer = user;
    for (bool closing = false; !closing;) {
        List requests, deliveries;
        list_init(&requests);
        list_init(&deliveries);
        writer_take(writer, &requests);
        closing = container_of(list_first(&requests), Request, link)->kind == REQUEST_CLOSE;
        if (closing) {
            writer_close(writer);
        } else {
            bool committed;
            int error = group_run(&writer->group, &requests, &deliveries, &committed);
            outbox_push(writer->outbox, &deliveries);
            if (committed || error)
                writer_report(writer, error);
            if (committed && writer->group.database->wal_pages > WAL_PAGES)
                database_checkpoint(writer->group.database);
        }
        Request *request;
        list_for_each(request, &requests, link) request_free(request);
    }
    return NULL;
}

int writer_new(Database *database, Outbox *outbox, Writer **ret) {
    Writer *writer = memory_new(Writer);
    group_init(&writer->group, database);
    writer->outbox = outbox;
    pthread_mutex_init(&writer->lock, NULL);
    pthread_cond_init(&writer->wake, NULL);
    list_init(&writer->queue);

    // Signals belong to the loops.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    int error = pthread_create(&writer->thread, &attributes, writer_run, writer);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) {
        database_close(database);
        free(writer);
        return -error;
    }
    pthread_setname_np(writer->thread, "store");
    *ret = writer;
    return 0;
}

void writer_free(Writer *writer) {
    pthread_join(writer->thread, NULL);
    assert(list_is_empty(&writer->queue));
    pthread_mutex_destroy(&writer->lock);
    pthread_cond_destroy(&writer->wake);
    free(writer);
}
