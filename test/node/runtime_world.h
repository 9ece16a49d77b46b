#pragma once
// What the tests of the container runtime share: a runtime on directories and groups of its own, a
// layer made of busybox, and calls that wait for their answer on the loop.

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/loop.h"
#include "base/stream.h"
#include "node/cgroup.h"
#include "node/process.h"
#include "node/runtime.h"

#define SECOND NSEC_PER_SEC

typedef struct World {
    char root[64], state[96], run[96], layer[96], logs[96], cgroup_parent[48], pod_cgroup[80];
    Loop *loop;
    Runtime *runtime;
    Arena *arena;
    // What the last callback said.
    bool done;
    int error, exit_code;
    Str message, output;
    Sandbox sandbox;
    RuntimeContainer container;
    // What the events said.
    unsigned container_exits, sandbox_exits;
    RuntimeContainer exited;
    char *before;
    CgroupHost *cgroups;
} World;

// The one of this program.
World *the_world(void);
#define world (*the_world())
double now_ms(void);
void await(void);
void on_done(void *user, int error, Str message);
void on_sandbox(void *user, int error, Str message, const Sandbox *sandbox);
void on_container(void *user, int error, Str message, const RuntimeContainer *container);
void on_sync(void *user, int error, int exit_code, Str output);
void on_exec(void *user, int error, Str message, int exit_code);
void run_until_stopped(void);
void wait_exits(unsigned count);
void pass_time(int64_t ns);
char *shell(const char *command);
char *inventory(void);
void write_text(const char *directory, const char *name, const char *text);
void new_runtime(void);
int world_setup(void **state);
int world_teardown(void **state);
Str run_sandbox(void);
ContainerSpec shell_spec(Str sandbox, const char *script, Str argv[3]);
Str create(const ContainerSpec *spec);
void start(Str id);
Str run_spec(const ContainerSpec *spec);
Str run(Str sandbox, const char *script);
void stop(Str id, int64_t grace_ns);
void remove_container(Str id);
void remove_sandbox(Str id);
Str exec_sync(Str id, const char *script, int64_t timeout_ns);
void assert_output(Str id, const char *script, const char *want);
char *read_log(const RuntimeContainer *container);
ino_t namespace_of(pid_t pid, const char *kind);
RuntimeContainer copy_container(const RuntimeContainer *container);
void test_nothing_left(void **state);
bool world_is_possible(void); // else the test is skipped
