// One question to one webhook: over HTTPS, with its own time limit, on connections that stay.

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/admission/webhook.h"
#include "api/server.h"
#include "base/memory.h"
#include "base/rand.h"
#include "http/tls.h"
#include "schema/quote.h"

#define MOST_CLIENTS 16 // addresses of one webhook that we stay connected to

typedef struct WebhookClient {
    ListLink link;
    HttpClient *client;
    bool borrowed; // the embedder's
    unsigned calls;
    uint16_t port;
    char host[];
} WebhookClient;

typedef struct WebhookCall {
    Webhook *webhook;
    ApiRequest *request;
    bool validating, retried;
    Str uid;
    Bytes *body;
    WebhookDone done;
    void *user;
    WebhookClient *client;
    HttpCall *call;
    LoopTimer timer;
    LoopTask task; // tells of a failure that came at once
    Str failure;
    int status;
    Buf answer;
    bool ended;
} WebhookCall;

// ---- connections

static void client_free(WebhookClient *client) {
    list_remove(&client->link);
    if (!client->borrowed)
        http_client_free(client->client);
    free(client);
}

void webhook_clients_free(Webhook *webhook) {
    WebhookClient *client;
    list_for_each(client, &webhook->clients, link) client_free(client);
    tls_context_unref(webhook->tls);
    webhook->tls = NULL;
}

static void make_room(Webhook *webhook) {
    size_t n = 0;
    WebhookClient *client, *idle = NULL;
    list_for_each(client, &webhook->clients, link) {
        n++;
        if (!client->calls && !idle)
            idle = client;
    }
    if (n >= MOST_CLIENTS && idle)
        client_free(idle);
}

static int connect_tls(Webhook *webhook, Str *ret_failure, Arena *arena) {
    if (webhook->tls)
        return 0;
    Str name = webhook->url.len ? webhook->at.host
                                : arena_printf(arena, "%.*s.%.*s.svc", STR_ARG(webhook->service),
                                               STR_ARG(webhook->service_namespace));
    int r = tls_client_context(webhook->ca, STR(""), STR(""), name, false, &webhook->tls);
    if (r != 0)
        *ret_failure = STR("could not get REST client: unable to load root certificates: unable to "
                           "parse bytes as PEM block");
    return r;
}

static WebhookClient *client_of(Api *api, Webhook *webhook, Arena *arena, Str host, uint16_t port,
                                Str *ret_failure) {
    WebhookClient *client;
    list_for_each(client, &webhook->clients, link) {
        if (client->port == port && str_eq(str_from(client->host), host))
            return client;
    }
    HttpClient *http = api->config.webhook_client
                           ? api->config.webhook_client(api->config.webhook_client_user, host, port)
                           : NULL;
    bool borrowed = http != NULL;
    if (!http && connect_tls(webhook, ret_failure, arena) != 0)
        return NULL;
    HttpClientConfig config = {.loop = api->loop, .host = host, .port = port, .tls = webhook->tls};
    if (!http && http_client_new(&config, &http) != 0) {
        *ret_failure = STR("could not get REST client: there is no address");
        return NULL;
    }
    make_room(webhook);
    client = memory_zalloc(sizeof *client + host.len + 1);
    client->client = http;
    client->borrowed = borrowed;
    client->port = port;
    memcpy(client->host, host.ptr, host.len);
    list_append(&webhook->clients, &client->link);
    return client;
}

// ---- ends

static void release(WebhookCall *call) {
    if (call->call)
        http_call_cancel(call->call);
    call->call = NULL;
    if (call->client)
        call->client->calls--;
    call->client = NULL;
    loop_timer_stop(&call->timer);
    loop_task_cancel(call->request->api->loop, &call->task);
    bytes_unref(call->body);
    call->body = NULL;
    buf_deinit(&call->answer);
}

// The request has ended, one way or the other.
static void drop(void *user) {
    WebhookCall *call = user;
    if (!call->ended)
        release(call);
    webhook_config_unref(call->webhook->config);
}

static void finish(WebhookCall *call, const WebhookAnswer *answer) {
    call->ended = true;
    release(call);
    call->done(call->user, answer);
}

static void fail(WebhookCall *call, Str why) {
    finish(call, &(WebhookAnswer){.failure = why});
}

static void fail_later(void *user) {
    WebhookCall *call = user;
    fail(call, call->failure);
}

static Str url_of(const WebhookCall *call) {
    const Webhook *webhook = call->webhook;
    Arena *arena = call->request->arena;
    int seconds = (int)(webhook->timeout_ns / NSEC_PER_SEC);
    return webhook->url.len ? arena_printf(arena, "%.*s?timeout=%ds", STR_ARG(webhook->url), seconds)
                            : arena_printf(arena, "https://%.*s.%.*s.svc:%u%.*s?timeout=%ds",
                                           STR_ARG(webhook->service),
                                           STR_ARG(webhook->service_namespace), webhook->port,
                                           STR_ARG(webhook->path), seconds);
}

// As Go's url.Error says it.
static Str post_failure(const WebhookCall *call, Str why) {
    return arena_printf(call->request->arena, "failed to call webhook: Post %.*s: %.*s",
                        STR_ARG(quote_str(call->request->arena, url_of(call))), STR_ARG(why));
}

static Str reason_of(const WebhookCall *call, int error) {
    Arena *arena = call->request->arena;
    if (error == -EKEYREJECTED)
        return STR("tls: failed to verify certificate: x509: the certificate is not valid for this "
                   "server, or its authority is not known");
    if (error == -ECONNREFUSED && call->client)
        return arena_printf(arena, "dial tcp %s:%u: connect: connection refused",
                            call->client->host, call->client->port);
    if (error == -ETIMEDOUT)
        return STR("context deadline exceeded");
    return str_from(strerror(-error));
}

static void on_timeout(void *user) {
    WebhookCall *call = user;
    fail(call, post_failure(call, STR("context deadline exceeded")));
}

// ---- the exchange

static void send(WebhookCall *call);

static void on_head(void *user, int status, const HttpHeader *headers, size_t n) {
    ((WebhookCall *)user)->status = status;
}

static void on_data(void *user, Str data) {
    WebhookCall *call = user;
    buf_str(&call->answer, data);
    if (!call->answer.failed)
        return;
    call->failure = post_failure(call, STR("the answer is too long"));
    loop_post(call->request->api->loop, &call->task); // not from inside the client
}

static void on_done(void *user, int error, Str message) {
    WebhookCall *call = user;
    Arena *arena = call->request->arena;
    call->call = NULL;
    bool lost = error == -ECONNRESET || error == -EPIPE;
    if (lost && !call->status && !call->retried) { // it had closed a connection that we kept
        call->retried = true;
        send(call);
        return;
    }
    if (error || call->answer.failed) {
        fail(call, error ? post_failure(call, reason_of(call, error)) : call->failure);
        return;
    }
    Str body = arena_str(arena, buf_view(&call->answer));
    WebhookAnswer answer = {.failure = STR("")};
    if (call->status < 200 || call->status > 206)
        answer.failure = arena_printf(arena, "failed to call webhook: %.*s",
                                      STR_ARG(status_from_body(arena, call->status, body)->message));
    else
        webhook_read_answer(call->webhook, call->request, body, call->uid, call->validating,
                            &answer);
    finish(call, &answer);
}

static void send(WebhookCall *call) {
    static const HttpCallEvents events = {
        .on_head = on_head, .on_data = on_data, .on_done = on_done};
    const Webhook *webhook = call->webhook;
    HttpHeader headers[] = {{STR("Content-Type"), STR("application/json")},
                            {STR("Accept"), STR("application/json, */*")},
                            {STR("User-Agent"), STR("kube-apiserver-admission")}};
    HttpCallSpec spec = {
        .method = STR("POST"),
        .target = arena_printf(call->request->arena, "%.*s?timeout=%ds",
                               STR_ARG(webhook->path.len ? webhook->path : STR("/")),
                               (int)(webhook->timeout_ns / NSEC_PER_SEC)),
        .headers = headers,
        .n_headers = sizeof headers / sizeof *headers,
        .body = call->body,
        .timeout_ns = webhook->timeout_ns + NSEC_PER_SEC, // the call's own timer is first
    };
    call->call = http_call(call->client->client, &spec, &events, call);
}

// Connects; false with call->failure.
static bool prepare(WebhookCall *call) {
    Webhook *webhook = call->webhook;
    Api *api = call->request->api;
    Arena *arena = call->request->arena;
    Str host = webhook->at.host, why = STR("");
    uint16_t port = webhook->port;
    if (!webhook->url.len && !webhook_resolve(api, webhook, arena, &host, &port, &why))
        call->failure = post_failure(call, why);
    else if (!(call->client = client_of(api, webhook, arena, host, port, &call->failure)))
        return false;
    return !call->failure.len;
}

void webhook_call(Webhook *webhook, const Admission *admission, const ServedResource *as,
                  bool validating, WebhookDone done, void *user) {
    ApiRequest *request = admission->request;
    Loop *loop = request->api->loop;
    WebhookCall *call = arena_new_of(request->arena, WebhookCall);
    uint64_t high = loop_random(loop), low = loop_random(loop);
    *call = (WebhookCall){
        .webhook = webhook,
        .request = request,
        .validating = validating,
        .uid = rand_uuid(request->arena, high, low),
        .done = done,
        .user = user,
        .failure = STR(""),
        .answer = BUF_INIT(VALUE_MAX_BYTES),
    };
    webhook_config_ref(webhook->config);
    loop_timer_init(&call->timer, loop, on_timeout, call);
    call->task = (LoopTask){.fn = fail_later, .user = call};
    arena_defer(request->arena, drop, call);
    if (!prepare(call)) {
        loop_post(loop, &call->task);
        return;
    }
    call->client->calls++;
    call->body = webhook_review(webhook, admission, as, call->uid);
    loop_timer_start(&call->timer, webhook->timeout_ns);
    send(call);
}
