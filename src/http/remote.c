#include "http/remote.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/memory.h"
#include "http/connection.h"
#include "http/remote_session.h"
#include "http/websocket.h"

typedef struct Refusal {
    RemoteReady on_ready;
    void *user;
} Refusal;

static void tell_refusal(void *user) {
    Refusal refusal = *(Refusal *)user;
    free(user);
    refusal.on_ready(refusal.user, -EPROTO, NULL, NULL);
}

void remote_command_accept(HttpRequest *request, const RemoteOptions *options,
                           void (*on_ready)(void *user, int error, RemoteSession *session,
                                            const RemoteChannels *channels),
                           void (*on_gone)(void *user), void *user) {
    RemoteSession template = {
        .loop = request->loop, .on_ready = on_ready, .on_gone = on_gone, .user = user};
    bool accepted = false;
    if (websocket_is_request(request))
        accepted = remote_websocket_accept(request, options, &template);
    else if (remote_is_spdy_request(request))
        accepted = remote_spdy_accept(request, options, &template);
    else
        http_respond_status(request, 400, STR("BadRequest"), STR("Upgrade request required"));
    if (accepted)
        return;
    Refusal *refusal = memory_new(Refusal);
    *refusal = (Refusal){on_ready, user};
    loop_call(template.loop, tell_refusal, refusal);
}

static void put_json_string(Buf *out, Str s) {
    buf_char(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c < 0x20)
            buf_printf(out, "\\u%04x", c);
        else
            buf_char(out, (char)c);
    }
    buf_char(out, '"');
}

// The Status that kubectl takes the exit code from (kubelet's server/remotecommand/exec.go).
static void write_status(Buf *out, int exit_code, Str message) {
    if (exit_code == 0) {
        buf_str(out, STR("{\"metadata\":{},\"status\":\"Success\"}"));
    } else if (exit_code > 0) {
        buf_printf(out,
                   "{\"metadata\":{},\"status\":\"Failure\",\"message\":\"command terminated with "
                   "non-zero exit code: exit status %d\",\"reason\":\"NonZeroExitCode\","
                   "\"details\":{\"causes\":[{\"reason\":\"ExitCode\",\"message\":\"%d\"}]}}",
                   exit_code, exit_code);
    } else {
        _buf_deinit_ Buf text = BUF_INIT(8192);
        buf_printf(&text, "Internal error occurred: %.*s", STR_ARG(message));
        buf_str(out, STR("{\"metadata\":{},\"status\":\"Failure\",\"message\":"));
        put_json_string(out, buf_view(&text));
        buf_str(out, STR(",\"reason\":\"InternalError\",\"details\":{\"causes\":[{\"message\":"));
        put_json_string(out, message);
        buf_str(out, STR("}]},\"code\":500}"));
    }
}

static void write_plain(Buf *out, int exit_code, Str message) {
    if (exit_code > 0)
        buf_printf(out, "command terminated with non-zero exit code: exit status %d", exit_code);
    else if (exit_code < 0)
        buf_printf(out, "Internal error occurred: %.*s", STR_ARG(message));
}

void remote_command_finish(RemoteSession *session, int exit_code, Str message) {
    _buf_deinit_ Buf status = BUF_INIT(64 * 1024);
    if (message.len > 4096)
        message.len = 4096;
    if (session->json_status)
        write_status(&status, exit_code, message);
    else
        write_plain(&status, exit_code, message);
    session->finished = true;
    session->ops->finish(session, buf_view(&status));
}
