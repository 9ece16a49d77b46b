// Exec and port-forward as kubectl's and other clients' bytes see them.

#include "harness.h"

#include <errno.h>

#include "http/remote.h"
#include "http/spdy.h"
#include "http/websocket.h"

typedef struct Setting {
    Loop *loop;
    HttpServer *server;
    HttpClient *client;
    RemoteOptions options;
    bool forward_mode;
    // What the server's side got.
    int readies, gones, error;
    RemoteSession *session;
    bool has_stdin, has_stdout, has_stderr, has_resize;
    Raw in, out, err, resize;
    PortForward *forward;
    size_t n_pairs;
    uint16_t ports[8];
    Raw data[8], errors[8];
} Setting;

static void take(Setting *s, Raw *raw, bool *has, Stream *stream) {
    *has = stream != NULL;
    if (stream)
        raw_take(raw, s->loop, stream);
}

static void on_ready(void *user, int error, RemoteSession *session, const RemoteChannels *c) {
    Setting *s = user;
    s->readies++;
    s->error = error;
    s->session = session;
    if (!error) {
        assert_null(c->error_stream);
        take(s, &s->in, &s->has_stdin, c->stdin_stream);
        take(s, &s->out, &s->has_stdout, c->stdout_stream);
        take(s, &s->err, &s->has_stderr, c->stderr_stream);
        take(s, &s->resize, &s->has_resize, c->resize_stream);
    }
    loop_stop(s->loop);
}

static void on_gone(void *user) {
    Setting *s = user;
    s->gones++;
    s->session = NULL;
    s->forward = NULL;
    loop_stop(s->loop);
}

static void on_connect(void *user, uint16_t port, Stream *data, Stream *error) {
    Setting *s = user;
    s->ports[s->n_pairs] = port;
    raw_take(&s->data[s->n_pairs], s->loop, data);
    raw_take(&s->errors[s->n_pairs], s->loop, error);
    s->n_pairs++;
    loop_stop(s->loop);
}

static void handle(void *user, HttpRequest *request) {
    Setting *s = user;
    if (s->forward_mode)
        s->forward = remote_port_forward_accept(request, on_connect, on_gone, s);
    else
        remote_command_accept(request, &s->options, on_ready, on_gone, s);
}

static int setup(void **state) {
    Setting *s = calloc(1, sizeof *s);
    s->loop = loop_new();
    s->options = (RemoteOptions){.stdin_open = true, .stdout_open = true, .stderr_open = true};
    HttpServerConfig config = {
        .loop = s->loop, .address = "127.0.0.1", .handler = handle, .user = s};
    assert_int_equal(http_server_new(&config, &s->server), 0);
    HttpClientConfig client = {
        .loop = s->loop, .host = STR("127.0.0.1"), .port = http_server_port(s->server)};
    assert_int_equal(http_client_new(&client, &s->client), 0);
    *state = s;
    return 0;
}

static int teardown(void **state) {
    Setting *s = *state;
    raw_close(&s->in);
    raw_close(&s->out);
    raw_close(&s->err);
    raw_close(&s->resize);
    for (size_t i = 0; i < s->n_pairs; i++) {
        raw_close(&s->data[i]);
        raw_close(&s->errors[i]);
    }
    if (s->session)
        remote_command_finish(s->session, 0, STR_NONE);
    if (s->forward)
        remote_port_forward_close(s->forward);
    run_for(s->loop, 50 * NSEC_PER_MSEC);
    http_client_free(s->client);
    http_server_free(s->server);
    loop_free(s->loop);
    free(s);
    return 0;
}

// ---- a WebSocket client: what came, by channel ----

typedef struct Client {
    Loop *loop;
    WebSocket *socket;
    Buf channels[5];
    size_t messages[5];
    int channel;
    bool text, closed;
    int error;
    bool stop_on_close;
} Client;

static void client_message(void *user, Str data, bool text, bool first, bool last) {
    Client *client = user;
    if (first) {
        client->text = text;
        client->channel = text ? data.ptr[0] - '0' : data.ptr[0];
        assert_true(client->channel >= 0 && client->channel < 5);
        client->messages[client->channel]++;
        data = str_slice(data, 1, data.len);
    }
    buf_str(&client->channels[client->channel], data);
}

static void client_close(void *user, int error) {
    Client *client = user;
    client->closed = true;
    client->socket = NULL;
    client->error = error;
    if (client->stop_on_close)
        loop_stop(client->loop);
}

static const WebSocketEvents client_events = {.on_message = client_message,
                                              .on_close = client_close};

static Stream *upgrade(Setting *s, const HttpHeader *headers, size_t n, const char *target,
                       const char *method) {
    Got got;
    got_init(&got, s->loop);
    HttpCallSpec spec = {.method = str_from(method),
                         .target = str_from(target),
                         .headers = headers,
                         .n_headers = n,
                         .upgrade = true};
    got.call = http_call(s->client, &spec, &got_events, &got);
    got_wait(&got);
    assert_int_equal(got.status, 101);
    Stream *stream = got.upgraded;
    got_free(&got);
    return stream;
}

static Stream *upgrade_websocket(Setting *s, const char *protocol, const char *target) {
    HttpHeader headers[] = {
        {STR("Upgrade"), STR("websocket")},
        {STR("Connection"), STR("Upgrade")},
        {STR("Sec-WebSocket-Version"), STR("13")},
        {STR("Sec-WebSocket-Key"), STR("dGhlIHNhbXBsZSBub25jZQ==")},
        {STR("Sec-WebSocket-Protocol"), str_from(protocol)},
    };
    return upgrade(s, headers, protocol ? 5 : 4, target, "GET");
}

static void client_connect(Setting *s, Client *client, const char *protocol, const char *target) {
    *client = (Client){.loop = s->loop};
    for (int i = 0; i < 5; i++)
        client->channels[i] = BUF_INIT(1 << 26);
    client->socket =
        websocket_connect(upgrade_websocket(s, protocol, target), &client_events, client);
    if (!s->forward_mode && !s->readies)
        run(s->loop);
}

static void client_free(Client *client) {
    if (client->socket)
        websocket_abort(client->socket);
    for (int i = 0; i < 5; i++)
        buf_deinit(&client->channels[i]);
}

static void client_wait_close(Client *client) {
    client->stop_on_close = true;
    if (!client->closed)
        run(client->loop);
}

static void websocket_v5_exec(void **state) {
    Setting *s = *state;
    Client client;
    client_connect(s, &client, "v5.channel.k8s.io", "/exec");
    assert_int_equal(s->error, 0);
    assert_true(s->has_stdin && s->has_stdout && s->has_stderr && !s->has_resize);
    websocket_send(client.socket, false, STR("\0"), STR("typed"));
    raw_wait(&s->in, "typed");
    websocket_send(client.socket, false, STR("\xff"), STR("\0"));
    raw_wait_end(&s->in);
    raw_send(&s->out, "to stdout");
    raw_send(&s->err, "to stderr");
    remote_command_finish(s->session, 3, STR_NONE);
    s->session = NULL;
    client_wait_close(&client);
    assert_int_equal(client.error, 0);
    assert_int_equal(client.messages[1], 2); // an empty one told that the connection stands
    assert_str(buf_view(&client.channels[1]), "to stdout");
    assert_str(buf_view(&client.channels[2]), "to stderr");
    assert_str(buf_view(&client.channels[3]),
               "{\"metadata\":{},\"status\":\"Failure\",\"message\":\"command terminated with "
               "non-zero exit code: exit status 3\",\"reason\":\"NonZeroExitCode\",\"details\":{"
               "\"causes\":[{\"reason\":\"ExitCode\",\"message\":\"3\"}]}}");
    run_for(s->loop, 20 * NSEC_PER_MSEC);
    assert_int_equal(s->gones, 0);
    assert_true(s->out.closed && s->err.closed && s->in.closed);
    client_free(&client);
}

static void websocket_v4_has_no_half_close(void **state) {
    Setting *s = *state;
    s->options = (RemoteOptions){.stdin_open = true, .stdout_open = true, .tty = true};
    Client client;
    client_connect(s, &client, "v4.channel.k8s.io", "/exec");
    assert_true(s->has_resize && !s->has_stderr);
    websocket_send(client.socket, false, STR("\xff"), STR("\0"));
    websocket_send(client.socket, false, STR("\x04"), STR("{\"Width\":80,\"Height\":24}"));
    websocket_send(client.socket, false, STR("\x09"), STR("for nobody"));
    raw_wait(&s->resize, "{\"Width\":80,\"Height\":24}");
    assert_false(s->in.ended);
    remote_command_finish(s->session, 0, STR_NONE);
    s->session = NULL;
    client_wait_close(&client);
    assert_str(buf_view(&client.channels[3]), "{\"metadata\":{},\"status\":\"Success\"}");
    client_free(&client);
}

static void websocket_base64(void **state) {
    Setting *s = *state;
    Client client;
    client_connect(s, &client, "base64.channel.k8s.io", "/exec");
    websocket_send(client.socket, true, STR("0"), STR("Zm9vCg==")); // foo
    websocket_send(client.socket, true, STR("0"), STR("YmFy"));     // bar
    raw_wait(&s->in, "foo\nbar");
    raw_send(&s->out, "hi");
    remote_command_finish(s->session, 2, STR_NONE);
    s->session = NULL;
    client_wait_close(&client);
    assert_true(client.text);
    assert_str(buf_view(&client.channels[1]), "aGk=");
    // before v4 the error channel has plain text
    assert_str(buf_view(&client.channels[3]),
               "Y29tbWFuZCB0ZXJtaW5hdGVkIHdpdGggbm9uLXplcm8gZXhpdCBjb2RlOiBleGl0IHN0YXR1cyAy");
    client_free(&client);
}

static void internal_error_is_told(void **state) {
    Setting *s = *state;
    Client client;
    client_connect(s, &client, "v4.channel.k8s.io", "/exec");
    remote_command_finish(s->session, -1, STR("no \"such\" file"));
    s->session = NULL;
    client_wait_close(&client);
    assert_str(buf_view(&client.channels[3]),
               "{\"metadata\":{},\"status\":\"Failure\",\"message\":\"Internal error occurred: no "
               "\\\"such\\\" file\",\"reason\":\"InternalError\",\"details\":{\"causes\":[{"
               "\"message\":\"no \\\"such\\\" file\"}]},\"code\":500}");
    client_free(&client);
}

static void websocket_client_that_leaves_is_noticed(void **state) {
    Setting *s = *state;
    Client client;
    client_connect(s, &client, "v5.channel.k8s.io", "/exec");
    websocket_abort(client.socket);
    client.socket = NULL;
    run(s->loop);
    assert_int_equal(s->gones, 1);
    assert_true(s->in.closed && s->out.closed && s->err.closed);
    client_free(&client);
}

static void websocket_backpressure(void **state) {
    Setting *s = *state;
    Client client;
    client_connect(s, &client, "v5.channel.k8s.io", "/exec");
    stream_pause(s->in.stream, true);
    char *data = malloc(100000);
    memset(data, 'i', 100000);
    size_t sent = 0;
    while (websocket_queued(client.socket) < STREAM_HIGH_WATER && sent < 1 << 28) {
        websocket_send(client.socket, false, STR("\0"), str_of(data, 100000));
        sent += 100000;
        run_for(s->loop, NSEC_PER_MSEC / 10);
    }
    assert_true(sent < 1 << 28); // it does not pile up here
    stream_pause(s->in.stream, false);
    while (s->in.in.len < sent)
        run_for(s->loop, NSEC_PER_MSEC);
    assert_int_equal(s->in.in.len, sent);
    free(data);
    client_free(&client);
}

// ---- SPDY ----

static void spdy_closed(void *user, int error) {
    *(bool *)user = true;
}
static const SpdyEvents spdy_events = {.on_close = spdy_closed};

static SpdySession *spdy_connect(Setting *s, const char *versions, bool *closed) {
    HttpHeader headers[] = {{STR("Upgrade"), STR("SPDY/3.1")},
                            {STR("Connection"), STR("Upgrade")},
                            {STR("X-Stream-Protocol-Version"), str_from(versions)}};
    *closed = false;
    return spdy_session_new(upgrade(s, headers, 3, "/exec", "POST"), false, &spdy_events, closed);
}

static void spdy_stream(Setting *s, SpdySession *session, Raw *raw, const char *type) {
    HttpHeader header = {STR("streamType"), str_from(type)};
    raw_take(raw, s->loop, spdy_open(session, &header, 1));
}

static void spdy_v4_exec(void **state) {
    Setting *s = *state;
    bool closed;
    SpdySession *session = spdy_connect(s, "v4.channel.k8s.io, v3.channel.k8s.io", &closed);
    Raw error, in, out, err;
    spdy_stream(s, session, &error, "error");
    spdy_stream(s, session, &in, "stdin");
    spdy_stream(s, session, &out, "stdout");
    run_for(s->loop, 20 * NSEC_PER_MSEC);
    assert_int_equal(s->readies, 0); // one is missing
    spdy_stream(s, session, &err, "stderr");
    run(s->loop);
    assert_int_equal(s->error, 0);
    raw_send(&in, "input");
    stream_end(in.stream);
    raw_wait_end(&s->in);
    assert_str(buf_view(&s->in.in), "input");
    raw_send(&s->out, "output");
    stream_end(s->out.stream);
    raw_wait_end(&out);
    remote_command_finish(s->session, 42, STR_NONE);
    s->session = NULL;
    raw_wait_end(&error);
    assert_str(buf_view(&out.in), "output");
    assert_true(raw_has(&error, "\"message\":\"42\""));
    while (!closed)
        run_for(s->loop, NSEC_PER_MSEC);
    run_for(s->loop, 20 * NSEC_PER_MSEC);
    assert_true(s->in.closed && s->out.closed && s->err.closed);
    assert_true(error.closed && in.closed && out.closed && err.closed);
    assert_int_equal(s->gones, 0);
    raw_close(&error);
    raw_close(&in);
    raw_close(&out);
    raw_close(&err);
}

static void spdy_v2_has_plain_errors_and_no_resize(void **state) {
    Setting *s = *state;
    s->options = (RemoteOptions){.stdout_open = true, .tty = true};
    bool closed;
    SpdySession *session = spdy_connect(s, "v2.channel.k8s.io", &closed);
    Raw error, out;
    spdy_stream(s, session, &error, "error");
    spdy_stream(s, session, &out, "stdout");
    run(s->loop);
    assert_int_equal(s->error, 0);
    remote_command_finish(s->session, 1, STR_NONE);
    s->session = NULL;
    raw_wait_end(&error);
    assert_str(buf_view(&error.in), "command terminated with non-zero exit code: exit status 1");
    while (!closed)
        run_for(s->loop, NSEC_PER_MSEC);
    run_for(s->loop, 20 * NSEC_PER_MSEC);
    raw_close(&error);
    raw_close(&out);
}

static void spdy_client_that_leaves_early_is_an_error(void **state) {
    Setting *s = *state;
    bool closed;
    SpdySession *session = spdy_connect(s, "v4.channel.k8s.io", &closed);
    Raw error, in;
    spdy_stream(s, session, &error, "error");
    spdy_stream(s, session, &in, "stdin");
    run_for(s->loop, 20 * NSEC_PER_MSEC);
    spdy_session_abort(session);
    run(s->loop);
    assert_int_equal(s->readies, 1);
    assert_true(s->error < 0);
    run_for(s->loop, 20 * NSEC_PER_MSEC);
    raw_close(&error);
    raw_close(&in);
}

static void refused(Setting *s, const HttpHeader *headers, size_t n, int status) {
    s->readies = 0;
    Got got;
    got_init(&got, s->loop);
    HttpCallSpec spec = {
        .method = STR("GET"), .target = STR("/exec"), .headers = headers, .n_headers = n};
    got.call = http_call(s->client, &spec, &got_events, &got);
    got_wait(&got);
    assert_int_equal(got.status, status);
    if (!s->forward_mode) {
        assert_int_equal(s->readies, 1);
        assert_int_equal(s->error, -EPROTO);
    }
    got_free(&got);
}

static void unknown_protocols_are_refused(void **state) {
    Setting *s = *state;
    HttpHeader spdy[] = {{STR("Upgrade"), STR("SPDY/3.1")},
                         {STR("Connection"), STR("Upgrade")},
                         {STR("X-Stream-Protocol-Version"), STR("v9.channel.k8s.io")}};
    HttpHeader websocket[] = {{STR("Upgrade"), STR("websocket")},
                              {STR("Connection"), STR("Upgrade")},
                              {STR("Sec-WebSocket-Version"), STR("13")},
                              {STR("Sec-WebSocket-Key"), STR("dGhlIHNhbXBsZSBub25jZQ==")},
                              {STR("Sec-WebSocket-Protocol"), STR("v9.channel.k8s.io")}};
    for (int forward = 0; forward < 2; forward++) {
        s->forward_mode = forward;
        refused(s, NULL, 0, 400);
        refused(s, spdy, 2, 400);
        refused(s, spdy, 3, 403);
        refused(s, websocket, 5, 403);
    }
}

// ---- port-forward ----

static void forward_pair(Setting *s, SpdySession *session, const char *id, const char *port,
                         Raw *error, Raw *data) {
    HttpHeader headers[] = {{STR("streamType"), STR("error")},
                            {STR("port"), str_from(port)},
                            {STR("requestID"), str_from(id)}};
    size_t n = id ? 3 : 2;
    raw_take(error, s->loop, spdy_open(session, headers, n));
    stream_end(error->stream);
    headers[0].value = STR("data");
    raw_take(data, s->loop, spdy_open(session, headers, n));
}

static void forward_both(Setting *s, SpdySession *session, const char *id0, const char *id1) {
    Raw error[2], data[2];
    forward_pair(s, session, id0, "8080", &error[0], &data[0]);
    forward_pair(s, session, id1, "9090", &error[1], &data[1]);
    while (s->n_pairs < 2)
        run(s->loop);
    assert_int_equal(s->ports[0], 8080);
    assert_int_equal(s->ports[1], 9090);
    raw_send(&data[1], "request");
    raw_wait(&s->data[1], "request");
    raw_send(&s->data[1], "response");
    stream_close(s->errors[1].stream);
    stream_close(s->data[1].stream);
    raw_wait_end(&data[1]);
    assert_str(buf_view(&data[1].in), "response");
    raw_wait_end(&error[1]);
    assert_int_equal(error[1].in.len, 0);
    raw_send(&s->errors[0], "connection refused");
    stream_close(s->errors[0].stream);
    raw_wait_end(&error[0]);
    assert_str(buf_view(&error[0].in), "connection refused");
    assert_false(s->data[0].closed);
    spdy_session_abort(session);
    while (!s->gones)
        run(s->loop);
    assert_true(s->data[0].closed);
    run_for(s->loop, 10 * NSEC_PER_MSEC);
    for (int i = 0; i < 2; i++) {
        raw_close(&error[i]);
        raw_close(&data[i]);
    }
}

static SpdySession *forward_connect(Setting *s, bool *closed) {
    s->forward_mode = true;
    return spdy_connect(s, "portforward.k8s.io", closed);
}

static void forward_over_spdy(void **state) {
    bool closed;
    SpdySession *session = forward_connect(*state, &closed);
    forward_both(*state, session, "0", "1");
}

static void forward_without_request_ids(void **state) {
    bool closed;
    SpdySession *session = forward_connect(*state, &closed);
    forward_both(*state, session, NULL, NULL);
}

static void forward_refuses_bad_streams(void **state) {
    Setting *s = *state;
    bool closed;
    SpdySession *session = forward_connect(s, &closed);
    static const char *ports[] = {"0", "65536", "x", ""};
    for (int i = 0; i < 4; i++) {
        Raw error, data;
        forward_pair(s, session, "1", ports[i], &error, &data);
        run_for(s->loop, 10 * NSEC_PER_MSEC);
        assert_true(error.closed && data.closed);
        raw_close(&error);
        raw_close(&data);
    }
    assert_int_equal(s->n_pairs, 0);
    spdy_session_abort(session);
    while (!s->gones)
        run(s->loop);
}

// The client's end of the tunnel: bytes to and from binary messages.
typedef struct Tunnel {
    WebSocket *socket;
    Stream *inner;
} Tunnel;

static void tunnel_message(void *user, Str data, bool text, bool first, bool last) {
    stream_write(((Tunnel *)user)->inner, data);
}
static void tunnel_close(void *user, int error) {
    Tunnel *tunnel = user;
    tunnel->socket = NULL;
    if (tunnel->inner)
        stream_close(tunnel->inner);
}
static const WebSocketEvents tunnel_events = {.on_message = tunnel_message,
                                              .on_close = tunnel_close};
static void inner_data(void *user, Str data) {
    Tunnel *tunnel = user;
    if (tunnel->socket)
        websocket_send(tunnel->socket, false, STR(""), data);
}
static void inner_end(void *user) {
    Tunnel *tunnel = user;
    if (tunnel->socket)
        websocket_close(tunnel->socket, WEBSOCKET_NORMAL);
}
static void inner_closed(void *user, int error) {
    Tunnel *tunnel = user;
    tunnel->inner = NULL;
    inner_end(user);
}
static const StreamEvents inner_events = {
    .on_data = inner_data, .on_end = inner_end, .on_close = inner_closed};

static void forward_tunnelled_in_websocket(void **state) {
    Setting *s = *state;
    s->forward_mode = true;
    Tunnel tunnel;
    Stream *end;
    stream_pair(s->loop, &tunnel.inner, &end);
    tunnel.socket = websocket_connect(upgrade_websocket(s, "SPDY/3.1+portforward.k8s.io", "/pf"),
                                      &tunnel_events, &tunnel);
    stream_start(tunnel.inner, &inner_events, &tunnel);
    bool closed = false;
    SpdySession *session = spdy_session_new(end, false, &spdy_events, &closed);
    forward_both(s, session, "0", "1");
    run_for(s->loop, 20 * NSEC_PER_MSEC);
}

static void forward_over_channels(void **state) {
    Setting *s = *state;
    s->forward_mode = true;
    Client client;
    client_connect(s, &client, "v4.channel.k8s.io", "/pf?ports=8080,9090");
    while (s->n_pairs < 2)
        run(s->loop);
    assert_int_equal(s->ports[1], 9090);
    websocket_send(client.socket, false, STR("\x02"), STR("request"));
    raw_wait(&s->data[1], "request");
    raw_send(&s->data[1], "response");
    for (int i = 0; i < 2; i++) {
        stream_close(s->data[i].stream);
        stream_close(s->errors[i].stream);
    }
    client_wait_close(&client); // nothing is left to forward
    assert_int_equal(client.error, 0);
    assert_str(buf_view(&client.channels[0]), "\x90\x1f");
    assert_str(buf_view(&client.channels[2]), "\x82\x23response");
    while (!s->gones)
        run(s->loop);
    client_free(&client);
}

static void forward_can_be_closed(void **state) {
    Setting *s = *state;
    bool closed;
    SpdySession *session = forward_connect(s, &closed);
    Raw error, data;
    forward_pair(s, session, "0", "80", &error, &data);
    while (!s->n_pairs)
        run(s->loop);
    remote_port_forward_close(s->forward);
    s->forward = NULL;
    raw_wait_end(&data);
    while (!closed)
        run_for(s->loop, NSEC_PER_MSEC);
    run_for(s->loop, 10 * NSEC_PER_MSEC);
    assert_true(s->data[0].closed);
    assert_int_equal(s->gones, 0);
    raw_close(&error);
    raw_close(&data);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(websocket_v5_exec),
        TEST(websocket_v4_has_no_half_close),
        TEST(websocket_base64),
        TEST(internal_error_is_told),
        TEST(websocket_client_that_leaves_is_noticed),
        TEST(websocket_backpressure),
        TEST(spdy_v4_exec),
        TEST(spdy_v2_has_plain_errors_and_no_resize),
        TEST(spdy_client_that_leaves_early_is_an_error),
        TEST(unknown_protocols_are_refused),
        TEST(forward_over_spdy),
        TEST(forward_without_request_ids),
        TEST(forward_refuses_bad_streams),
        TEST(forward_tunnelled_in_websocket),
        TEST(forward_over_channels),
        TEST(forward_can_be_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
