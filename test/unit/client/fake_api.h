#pragma once
// An API server that says what the test tells it to: every request waits here until it is answered.

#include "client/client.h"
#include "kinds/kinds.h"

typedef struct FakeApi {
    Loop *loop;
    Client *client;
    HttpRequest *requests[64]; // in the order in which they came, unanswered
    size_t n_requests;
    size_t n_seen;   // ever
    size_t n_closed; // exchanges that are over
} FakeApi;

FakeApi *fake_api_new(void);
void fake_api_free(FakeApi *api); // the actors before
void fake_run(FakeApi *api, int64_t ns);
// The oldest unanswered request, which must be "METHOD TARGET"; stays unanswered.
HttpRequest *fake_expect(FakeApi *api, const char *line);
void fake_expect_nothing(FakeApi *api);
// Answers the oldest one. `json` with ' for ".
void fake_answer(FakeApi *api, int status, const char *json);
void fake_cut(FakeApi *api); // no answer, the connection breaks
// Begins the oldest one's answer, a watch; returns it.
HttpRequest *fake_watch(FakeApi *api);
void fake_event(FakeApi *api, HttpRequest *watch, const char *json);
void fake_watch_end(FakeApi *api, HttpRequest *watch);
const char *fake_body(FakeApi *api, HttpRequest *request); // what was sent
