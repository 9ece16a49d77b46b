#pragma once
// The verbs. Each gets argc/argv with argv[0] being the verb, and returns the exit code: 0, 1 (it
// failed, one line on stderr said why), 2 (the command line is wrong).

#include <stdbool.h>

#include "base/arena.h"

int cmd_server(int argc, char **argv);
int cmd_node(int argc, char **argv);
int cmd_scheduler(int argc, char **argv);
int cmd_controllers(int argc, char **argv);
int cmd_image(int argc, char **argv);
int cmd_kubeconfig(int argc, char **argv);
int cmd_certificate(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_cleanup(int argc, char **argv);
int cmd_version(int argc, char **argv);

#define DEFAULT_DATA_DIR "/var/lib/seapod"
#define DEFAULT_CGROUP_PARENT "/seapod"

// What several verbs need.
Str cmd_helper(
    Arena *arena,
    const char *name); // path of seapod-image, seapod-pause: beside us, or in ../lib/seapod
Str cmd_instance(Arena *arena, Str data_dir);      // six hex digits that name this data directory
Str cmd_run_directory(Arena *arena, Str data_dir); // /run/seapod/INSTANCE
Str cmd_bridge(Arena *arena, Str data_dir);        // the pod network's bridge
Str cmd_node_address(
    Arena *arena); // the address towards the default route, else the first one, else 127.0.0.1
int cmd_read_file(Arena *arena, const char *path, size_t max, Str *ret);
int cmd_write_file(const char *path, Str text, unsigned mode); // atomically (rename)
int cmd_make_directories(const char *path, unsigned mode);
// One line on stderr: "seapod VERB: ...". Returns 1, for `return cmd_fail(...)`.
int cmd_fail(const char *verb, const char *format, ...) __attribute__((format(printf, 2, 3)));
// What this host lacks for running pods, one line each on `ret_lines`; mends what can be mended
// when `fix`. Returns how many are left.
int cmd_check_host(Arena *arena, bool fix, Str *ret_lines);
