#pragma once
// Controls of the runtime and the network that run nothing real: what a test says happens. Works on
// a simulated loop. Every operation succeeds after `delay_ns` unless told otherwise.

#include "node/network.h"
#include "node/runtime.h"

typedef enum FakeOp {
    FAKE_RUN_SANDBOX,
    FAKE_CREATE_CONTAINER,
    FAKE_START_CONTAINER,
    FAKE_OPS,
} FakeOp;

// What an exec_sync gives back; `output` is copied.
typedef struct FakeExecResult {
    int error, exit_code;
    Str output;
    int64_t takes_ns; // beyond the caller's timeout it ends with -ETIMEDOUT
} FakeExecResult;

void fake_set_delay(Runtime *runtime, int64_t delay_ns); // of every operation, default 1 ms
// The next `times` calls of `op` fail so.
void fake_fail(Runtime *runtime, FakeOp op, unsigned times, int error, Str message);
// The container's process ends by itself.
void fake_exit(Runtime *runtime, Str container_id, int exit_code, bool oom_killed);
// The containers that are named so end `after_ns` after each start; exit_code < 0 takes it back.
void fake_exit_after(Runtime *runtime, Str container_name, int64_t after_ns, int exit_code);
// The infra process dies (and with it what shares its pid namespace: nothing here).
void fake_sandbox_exit(Runtime *runtime, Str sandbox_id);
// SIGTERM is ignored by the containers that are named so: they end by SIGKILL after the grace
// period.
void fake_ignore_term(Runtime *runtime, Str container_name);
// Called for each exec_sync and exec; without it they succeed with no output.
void fake_on_exec(Runtime *runtime,
                  FakeExecResult (*fn)(void *user, Str container_id, const Str *argv,
                                       size_t n_argv),
                  void *user);
// Newest container of that name, STR_NONE when there is none.
Str fake_container(Runtime *runtime, Str pod_uid, Str container_name);
// What its specification said of the container whose processes it sees; "" for none.
Str fake_container_target(Runtime *runtime, Str container_id);
size_t fake_count(Runtime *runtime, FakeOp op); // how many calls so far
