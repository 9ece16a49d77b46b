#pragma once
// What conmon says and hears: the line on its sync pipe, the packets of its attach socket, the
// messages of its control fifo, and its arguments.

#include "base/arena.h"
#include "base/buf.h"

#define CONMON_PACKET_MAX 32768 // what it reads at once; it sends at most 8193

typedef struct ConmonSpec {
    const char *conmon, *crun;
    const char *crun_root; // of crun's own state
    const char *id, *bundle, *log_path, *exit_directory;
    bool tty, stdin_open, stdin_once;
} ConmonSpec;
// NULL-terminated.
const char *const *conmon_arguments(Arena *arena, const ConmonSpec *spec);

// {"data": PID} or {"data": -1, "message": "why"}. Returns 0, or -EBADMSG. The message comes
// without crun's own prefix ("error: ", a time) and trailing newline.
int conmon_parse_sync(Arena *arena, Str line, int64_t *ret_pid, Str *ret_message)
    __attribute__((warn_unused_result));

// One packet of the attach socket: *ret_stream is 1 or 2 (stdout, stderr). False for anything else.
bool conmon_parse_packet(Str packet, int *ret_stream, Str *ret_data);
