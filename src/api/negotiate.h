#pragma once
// Which form the answer takes (the Accept header) and which form the body has (Content-Type), as
// apiserver's negotiation does. A client that lists Protobuf among others gets its next choice.

#include "http/message.h"
#include "schema/status.h"

#define PROTOBUF_MEDIA_TYPE "application/vnd.kubernetes.protobuf"

typedef enum OutputKind {
    OUTPUT_OBJECT,
    OUTPUT_TABLE,
    OUTPUT_PARTIAL,
    OUTPUT_PARTIAL_LIST
} OutputKind;

typedef struct Output {
    OutputKind kind;
    Str version; // of meta.k8s.io: "v1" or "v1beta1"
    bool yaml, pretty;
    char include_object; // Table: 'M'etadata, 'N'one, 'O'bject
} Output;

// Returns NULL, or why nothing fits (406, or 400 for a bad includeObject).
ApiStatus *negotiate_output(const HttpRequest *request, Output *ret)
    __attribute__((warn_unused_result));

typedef enum InputFormat { INPUT_JSON, INPUT_YAML, INPUT_PROTOBUF } InputFormat;
ApiStatus *negotiate_input(const HttpRequest *request, InputFormat *ret)
    __attribute__((warn_unused_result));
// 415. `protobuf`: whether the kind has a Protobuf form.
ApiStatus *negotiate_refuse_input(Arena *arena, bool protobuf);

// The header's media type without parameters ("application/json; charset=utf-8"), as sent.
Str media_type(Str header);
