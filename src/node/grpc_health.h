#pragma once
// The one gRPC method that probes call: grpc.health.v1.Health/Check. Two messages of one field each
// need no Protobuf library.
// https://github.com/grpc/grpc/blob/master/doc/health-checking.md
// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md

#include "base/arena.h"
#include "base/bytes.h"
#include "http/message.h"

#define GRPC_HEALTH_PATH "/grpc.health.v1.Health/Check"

Bytes *grpc_health_request(Str service); // HealthCheckRequest in a length-prefixed message

typedef struct GrpcAnswer { // what has come so far
    int status;             // grpc-status, -1: none yet
    Str message;            // grpc-message, decoded
} GrpcAnswer;
// From the headers or the trailers of the answer.
void grpc_answer_read(GrpcAnswer *answer, Arena *arena, const HttpHeader *headers, size_t n);
// True when it is healthy; *ret_message is what the kubelet's probe says of it
// (pkg/probe/grpc/grpc.go). `http_status` and `body` as received, `body` bounded by the caller.
bool grpc_health_judge(Arena *arena, const GrpcAnswer *answer, int http_status, Str body,
                       Str *ret_message);
