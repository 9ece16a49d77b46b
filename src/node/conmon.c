#include "node/conmon.h"

#include <errno.h>

#include "schema/value.h"

const char *const *conmon_arguments(Arena *arena, const ConmonSpec *spec) {
    enum { MAX = 40 };
    const char **argv = arena_array_of(arena, const char *, MAX);
    size_t n = 0;
    argv[n++] = spec->conmon;
    argv[n++] = "--api-version";
    argv[n++] = "--cid";
    argv[n++] = spec->id;
    argv[n++] = "--cuuid";
    argv[n++] = spec->id;
    argv[n++] = "--runtime";
    argv[n++] = spec->crun;
    argv[n++] = "--runtime-arg";
    argv[n++] = "--cgroup-manager=cgroupfs";
    argv[n++] = "--runtime-arg";
    argv[n++] = arena_printf(arena, "--root=%s", spec->crun_root).ptr;
    argv[n++] = "--bundle";
    argv[n++] = spec->bundle;
    argv[n++] = "--container-pidfile";
    argv[n++] = arena_printf(arena, "%s/pidfile", spec->bundle).ptr;
    argv[n++] = "--log-path";
    argv[n++] = arena_printf(arena, "k8s-file:%s", spec->log_path).ptr;
    argv[n++] = "--exit-dir";
    argv[n++] = spec->exit_directory;
    argv[n++] = "--full-attach"; // the attach socket is in the bundle
    argv[n++] = "--no-sync-log";
    argv[n++] = "--sync"; // stays our child while we live
    if (spec->tty)
        argv[n++] = "--terminal";
    if (spec->stdin_open)
        argv[n++] = "--stdin";
    if (spec->stdin_open && !spec->stdin_once)
        argv[n++] = "--leave-stdin-open";
    argv[n] = NULL;
    return argv;
}

int conmon_parse_sync(Arena *arena, Str line, int64_t *ret_pid, Str *ret_message) {
    Value *value;
    ParseError error;
    *ret_message = STR("");
    if (value_parse_json(arena, line, NULL, &value, &error))
        return -EBADMSG;
    const Value *data = value_get(value, STR("data"));
    const Value *message = value_get(value, STR("message"));
    if (!data || data->kind != VALUE_INT)
        return -EBADMSG;
    *ret_pid = data->integer;
    if (message && message->kind == VALUE_STRING)
        *ret_message = str_trim(message->string);
    // "2026-11-23T18:00:00.000000Z: text", and "error: " on a terminal
    Str rest = *ret_message;
    if (rest.len > 29 && rest.ptr[10] == 'T' && rest.ptr[26] == 'Z' && rest.ptr[27] == ':')
        rest = str_trim(str_slice(rest, 28, rest.len));
    if (str_starts_with(rest, STR("error: ")))
        rest = str_slice(rest, 7, rest.len);
    *ret_message = arena_str(arena, rest);
    return 0;
}

bool conmon_parse_packet(Str packet, int *ret_stream, Str *ret_data) {
    if (packet.len < 1 || (packet.ptr[0] != 2 && packet.ptr[0] != 3))
        return false;
    *ret_stream = packet.ptr[0] - 1;
    *ret_data = str_slice(packet, 1, packet.len);
    return true;
}
