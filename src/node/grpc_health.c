#include "node/grpc_health.h"

#include "base/buf.h"

#define PREFIX 5 // a flag and the length
#define SERVICE_MAX 4096
#define SERVING 1

enum { GRPC_OK = 0, GRPC_UNKNOWN = 2, GRPC_UNIMPLEMENTED = 12 };

static void put_varint(Buf *buf, uint64_t value) {
    for (; value >= 0x80; value >>= 7)
        buf_char(buf, (char)(value | 0x80));
    buf_char(buf, (char)value);
}

Bytes *grpc_health_request(Str service) {
    _buf_deinit_ Buf message = BUF_INIT(SERVICE_MAX + 16), frame = BUF_INIT(SERVICE_MAX + 32);
    if (service.len) { // field 1, a string
        buf_char(&message, 1 << 3 | 2);
        put_varint(&message, service.len);
        buf_str(&message, service);
    }
    const char head[PREFIX] = {0, 0, 0, (char)(message.len >> 8), (char)message.len};
    buf_append(&frame, head, PREFIX);
    buf_str(&frame, buf_view(&message));
    return buf_bytes(&frame);
}

void grpc_answer_read(GrpcAnswer *answer, Arena *arena, const HttpHeader *headers, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint64_t status;
        if (str_eq_nocase(headers[i].name, STR("grpc-status")))
            answer->status = str_to_u64(headers[i].value, &status) == 0 && status < 1000
                                 ? (int)status
                                 : GRPC_UNKNOWN;
        else if (str_eq_nocase(headers[i].name, STR("grpc-message")) &&
                 http_percent_decode(arena, headers[i].value, &answer->message) != 0)
            answer->message = arena_str(arena, headers[i].value);
    }
}

static bool get_varint(Str *text, uint64_t *ret) {
    *ret = 0;
    for (unsigned shift = 0; text->len && shift < 64; shift += 7) {
        unsigned char byte = (unsigned char)text->ptr[0];
        *text = str_slice(*text, 1, text->len);
        *ret |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

// Field 1 of HealthCheckResponse, whatever else is in it. False when it is none.
static bool parse_status(Str message, uint64_t *ret) {
    *ret = 0;
    while (message.len) {
        uint64_t tag, value;
        if (!get_varint(&message, &tag))
            return false;
        unsigned wire = tag & 7;
        if (wire == 0 || wire == 2) {
            if (!get_varint(&message, &value))
                return false;
            if (tag >> 3 == 1 && wire == 0)
                *ret = value;
        } else
            value = wire == 1 ? 8 : wire == 5 ? 4 : UINT64_MAX;
        size_t skip = wire == 0 ? 0 : value > message.len ? SIZE_MAX : (size_t)value;
        if (skip > message.len)
            return false;
        message = str_slice(message, skip, message.len);
    }
    return true;
}

static const char *code_name(int code) {
    static const char *const names[] = {
        "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
        "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
        "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
        "DataLoss", "Unauthenticated"};
    return code >= 0 && (size_t)code < sizeof names / sizeof *names ? names[code] : "Unknown";
}

static Str rpc_error(Arena *arena, int code, Str why) {
    return arena_printf(arena, "error: health rpc probe failed: rpc error: code = %s desc = %.*s",
                        code_name(code), STR_ARG(why));
}

bool grpc_health_judge(Arena *arena, const GrpcAnswer *answer, int http_status, Str body,
                       Str *ret_message) {
    static const char *const states[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
    uint64_t state;
    if (answer->status == GRPC_UNIMPLEMENTED)
        *ret_message = arena_printf(arena,
                                    "error: this server does not implement the grpc health "
                                    "protocol (grpc.health.v1.Health): %.*s",
                                    STR_ARG(answer->message));
    else if (answer->status > 0)
        *ret_message = rpc_error(arena, answer->status, answer->message);
    else if (http_status != 200)
        *ret_message = rpc_error(arena, GRPC_UNKNOWN,
                                 arena_printf(arena,
                                              "unexpected HTTP status code received from server: "
                                              "%d",
                                              http_status));
    else if (answer->status < 0)
        *ret_message =
            rpc_error(arena, 13, STR("server closed the stream without sending trailers"));
    else if (body.len < PREFIX || body.ptr[0] != 0 ||
             !parse_status(str_slice(body, PREFIX, body.len), &state))
        *ret_message = rpc_error(arena, 13, STR("the answer is no HealthCheckResponse"));
    else if (state == SERVING)
        *ret_message = STR("service healthy");
    else
        *ret_message =
            state < sizeof states / sizeof *states
                ? arena_printf(arena, "service unhealthy (responded with \"%s\")", states[state])
                : arena_printf(arena, "service unhealthy (responded with \"%llu\")",
                               (unsigned long long)state);
    return answer->status == GRPC_OK && str_eq(*ret_message, STR("service healthy"));
}
