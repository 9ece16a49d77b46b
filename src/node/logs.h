#pragma once
// Container logs in CRI format (`TIME stdout F text`), as conmon writes them and `kubectl logs`
// asks for them.

#include "http/message.h"
#include "node/agent.h"

typedef struct LogOptions { // PodLogOptions
    bool follow, timestamps;
    int64_t tail_lines;  // -1: all
    int64_t limit_bytes; // -1: none
    int64_t since;       // Unix ns, 0: everything
} LogOptions;

// From the request's query. Returns 0, or -EINVAL with *ret_message.
int log_options_parse(HttpRequest *request, int64_t now, LogOptions *ret, Str *ret_message)
    __attribute__((warn_unused_result));
// Streams the log as text/plain, and with `follow` until the container has ended. `container_id`
// says which one it is.
void log_serve(NodeAgent *agent, HttpRequest *request, Str path, Str container_id, bool running,
               const LogOptions *options);
// The container has ended: who follows its log gets the rest and the end.
void log_container_ended(NodeAgent *agent, Str container_id);

// The reader alone (tests, fuzzing): turns CRI lines into what is shown.
typedef struct LogFormat {
    bool timestamps, partial; // partial: the last piece shown had no end of line
    int64_t since;
} LogFormat;
// Takes whole lines from the front of `text` and appends what is shown to `out`; returns how many
// bytes were taken.
size_t log_format(LogFormat *format, Str text, Buf *out);
// Where the last `lines` lines begin in a file of `size` bytes; lines that are joined by P count as
// one.
int log_tail_offset(int fd, int64_t size, int64_t lines, int64_t *ret_offset)
    __attribute__((warn_unused_result));
