#pragma once
// Which form the answer takes (the Accept header) and which form the body has (Content-Type), as
// apiserver's negotiation does. JSON is what objects are kept as, so a client that
// lists Protobuf among others gets its next choice.

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
    bool protobuf;       // only when the client accepts nothing else
    char include_object; // Table: 'M'etadata, 'N'one, 'O'bject
} Output;

// `protobuf`: whether the kind has a Protobuf form. Returns NULL, or why nothing fits (406, or 400
// for a bad includeObject).
ApiStatus *negotiate_output(const HttpRequest *request, bool protobuf, Output *ret)
    __attribute__((warn_unused_result));

typedef enum InputFormat { INPUT_JSON, INPUT_YAML, INPUT_PROTOBUF } InputFormat;
ApiStatus *negotiate_input(const HttpRequest *request, InputFormat *ret)
    __attribute__((warn_unused_result));
// The Content-Type of an answer in that form, and of a watch's stream.
Str output_media_type(const Output *output);
Str output_stream_type(const Output *output);
// 415. `protobuf`: whether the kind has a Protobuf form.
ApiStatus *negotiate_refuse_input(Arena *arena, bool protobuf);

// The header's media type without parameters ("application/json; charset=utf-8"), as sent.
Str media_type(Str header);
