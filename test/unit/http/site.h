#pragma once
// A handler with a few paths that tests of every transport share.

#include "harness.h"

typedef struct Site {
    Loop *loop;
    HttpServer *server;
    size_t requests, closed, completed, drains;
    HttpRequest *held; // the last /hold or /stream
    Stream *upgraded;  // the last /upgrade
    bool stop_on_request, stop_on_close, stop_on_drain;
    Buf seen; // "METHOD path?query body\n" of every request
} Site;

static inline void site_on_close(HttpRequest *request, bool completed) {
    Site *site = request->user;
    site->closed++;
    site->completed += completed;
    if (site->held == request)
        site->held = NULL;
    if (site->stop_on_close)
        loop_stop(site->loop);
}

static inline void site_on_drain(HttpRequest *request) {
    Site *site = request->user;
    site->drains++;
    if (site->stop_on_drain)
        loop_stop(site->loop);
}

static inline void site_text(HttpRequest *request, int status, Str text) {
    _bytes_unref_ Bytes *body = bytes_new(text.ptr, text.len);
    http_respond(request, status, STR("text/plain"), body);
}

static inline void site_handle(void *user, HttpRequest *request) {
    Site *site = user;
    site->requests++;
    request->user = site;
    request->on_close = site_on_close;
    request->on_drain = site_on_drain;
    buf_printf(&site->seen, "%.*s %.*s?%.*s %zu\n", STR_ARG(request->method),
               STR_ARG(request->path), STR_ARG(request->query), request->body.len);
    if (str_eq(request->path, STR("/echo"))) {
        site_text(request, 200, request->body);
    } else if (str_eq(request->path, STR("/hold"))) {
        site->held = request;
    } else if (str_eq(request->path, STR("/stream"))) {
        site->held = request;
        HttpHeader header = {STR("Content-Type"), STR("application/json")};
        http_respond_head(request, 200, &header, 1);
    } else if (str_eq(request->path, STR("/large"))) {
        _bytes_unref_ Bytes *body = bytes_alloc(1 << 20);
        memset(body->data, 'x', body->len);
        http_respond(request, 200, STR("text/plain"), body);
    } else if (str_eq(request->path, STR("/abort"))) {
        http_respond_abort(request);
    } else if (str_eq(request->path, STR("/peer"))) {
        site_text(
            request, 200,
            arena_printf(
                request->arena, "%d cert=%d cn=%.*s orgs=%zu first=%.*s error=%.*s",
                request->version, request->peer.certificate, STR_ARG(request->peer.common_name),
                request->peer.n_organizations,
                STR_ARG(request->peer.n_organizations ? request->peer.organizations[0] : STR("")),
                STR_ARG(request->peer.certificate_error)));
    } else if (str_eq(request->path, STR("/upgrade"))) {
        HttpHeader header = {STR("Upgrade"), STR("test")};
        site->upgraded = http_upgrade(request, &header, 1);
        if (!site->upgraded)
            site_text(request, 400, STR("no upgrade here"));
    } else {
        site_text(request, 404, STR("nothing here"));
    }
    if (site->stop_on_request)
        loop_stop(site->loop);
}

static inline void site_init(Site *site, TlsContext *tls) {
    *site = (Site){.loop = loop_new(), .seen = BUF_INIT(1 << 20)};
    HttpServerConfig config = {.loop = site->loop,
                               .address = "127.0.0.1",
                               .tls = tls,
                               .handler = site_handle,
                               .user = site,
                               .max_body = 1 << 20};
    assert_int_equal(http_server_new(&config, &site->server), 0);
}

static inline void site_free(Site *site) {
    http_server_free(site->server);
    assert_int_equal(site->closed, site->requests);
    loop_free(site->loop);
    buf_deinit(&site->seen);
}

static inline HttpClient *site_client(Site *site, TlsContext *tls) {
    HttpClient *client;
    HttpClientConfig config = {.loop = site->loop,
                               .host = STR("127.0.0.1"),
                               .port = http_server_port(site->server),
                               .tls = tls};
    assert_int_equal(http_client_new(&config, &client), 0);
    return client;
}

static inline void site_send(Site *site, const char *text) {
    _bytes_unref_ Bytes *bytes = bytes_new(text, strlen(text));
    http_respond_data(site->held, bytes);
}
