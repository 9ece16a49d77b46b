#pragma once
// A whole API server on a memory store in virtual time, and requests to it.

#include "api/api.h"
#include "http/client.h"
#include "schema/value.h"

typedef struct Harness {
    Loop *loop;
    Store *store;
    Api *api;
    Arena *arena;           // of answers; lives as long as the harness
    HttpClient *admin;      // system:masters
    // Of the API's configuration, from the next harness_restart() on.
    bool garbage_collector; // set
    HttpClient *(*webhook_client)(void *user, Str host, uint16_t port);
    void *webhook_client_user;
    const char *static_tokens;
    Str service_account_key; // PEM, of the server at hand
} Harness;

typedef struct Answer {
    int status;
    Str body;
    Value *json;  // NULL when the body is none
    Str warnings; // the Warning headers, a line each
    Str content_type;
    bool done;
    int error;
    bool upgraded;
} Answer;

Harness *harness_new(void);
Harness *harness_new_on(Loop *loop, Store *store); // takes both
void harness_free(Harness *harness);
void harness_restart(Harness *harness); // a new API server on the same store
HttpClient *harness_client(Harness *harness, const char *user,
                           const char *group);  // the harness frees none of these
void harness_run(Harness *harness, int64_t ns); // virtual time goes on

// `body` may be NULL. Runs until the answer is there.
Answer *call(Harness *harness, const char *method, const char *target, const char *body);
Answer *call_as(Harness *harness, HttpClient *client, const char *method, const char *target,
                const char *body);
// With headers, a NULL-terminated list of name, value.
Answer *call_with(Harness *harness, HttpClient *client, const char *method, const char *target,
                  const char *body, const char *const *headers);
// The same with any bytes as the body.
Answer *call_bytes(Harness *harness, HttpClient *client, const char *method, const char *target,
                   Str body, const char *const *headers);
Answer *call_patch(Harness *harness, const char *type, const char *target,
                   const char *body); // "merge", "json", "strategic-merge"
Answer *call_start(Harness *harness, HttpClient *client, const char *method, const char *target,
                   const char *body, const char *const *headers,
                   HttpCall **ret_call); // does not wait: a watch
const char *text_at(const Answer *answer,
                    const char *path); // a string in the answer's JSON; "" when absent
int64_t number_at(const Answer *answer, const char *path);

#define assert_status(answer, code)                                                                \
    do {                                                                                           \
        Answer *_a = (answer);                                                                     \
        if (_a->status != (code))                                                                  \
            fail_msg("status %d instead of %d: %.*s", _a->status, (code), STR_ARG(_a->body));      \
    } while (0)
#define assert_refused(answer, code, text)                                                         \
    do {                                                                                           \
        Answer *_r = (answer);                                                                     \
        assert_status(_r, code);                                                                   \
        assert_string_equal(text_at(_r, "message"), text);                                         \
    } while (0)
