#pragma once
// HTTP/1.x messages out of a flow of bytes, for the server and the client. The parser library is
// known to h1_parse.c alone, so that it can be replaced (http-parser is archived upstream).

#include "base/arena.h"
#include "base/buf.h"
#include "http/message.h"

#define HTTP_MAX_HEAD (1024 * 1024) // header lines of one message
#define HTTP_MAX_TARGET (64 * 1024) // request target
#define HTTP_MAX_HEADERS 1000       // header lines, counted

typedef struct H1Head {
    Str method, target; // requests
    int status;         // responses
    int minor;          // HTTP/1.minor
    const HttpHeader *headers;
    size_t n_headers;
    int64_t content_length; // -1: not given
    bool chunked;
    bool keep_alive; // as the head says
    bool upgrade;    // asks for (or, in a 101, grants) another protocol
} H1Head;

typedef struct H1Parser H1Parser;

typedef struct H1Events {
    // The head is complete; what it points at lives in the arena given to h1_parser_begin().
    // Returns false to stop the parser for good (the result is H1_STOPPED).
    bool (*on_head)(void *user, const H1Head *head);
    void (*on_body)(void *user, Str data);
} H1Events;

typedef enum H1Result {
    H1_MORE,             // everything was read, the message is not complete
    H1_DONE,             // the message is complete; the rest of the input belongs to what follows
    H1_PAUSED,           // h1_parser_pause() was called
    H1_STOPPED,          // on_head said so
    H1_BAD,              // not HTTP (400)
    H1_TOO_LONG_TARGET,  // 414
    H1_TOO_LARGE_HEADERS // 431
} H1Result;

struct H1Parser {
    const H1Events *events;
    void *user;
    Arena *arena;
    void *parser;    // the library's, allocated while a message is being read
    Buf head;        // bytes of target and header lines so far
    uint32_t *marks; // end offsets in `head`: target, name, value, name, value...
    size_t n_marks, marks_capacity;
    H1Result result;
    bool response, skip_body, head_done, in_value, pausing;
};

void h1_parser_init(H1Parser *parser, bool response, const H1Events *events, void *user);
void h1_parser_deinit(H1Parser *parser);
// Starts the next message. `skip_body`: the answer to a HEAD request.
void h1_parser_begin(H1Parser *parser, Arena *arena, bool skip_body);
// Reads; `*ret_used` of the bytes were taken. After anything but H1_MORE and H1_PAUSED call
// h1_parser_begin() first.
H1Result h1_parser_read(H1Parser *parser, Str data, size_t *ret_used);
// The peer sends no more: H1_DONE when that is how the message ends, else H1_BAD.
H1Result h1_parser_end(H1Parser *parser);
void h1_parser_pause(H1Parser *parser); // from on_body: return soon
static inline bool h1_parser_started(const H1Parser *parser) {
    return parser->parser != NULL;
}
