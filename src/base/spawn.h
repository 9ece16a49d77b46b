#pragma once
// Child processes: posix_spawn / CLONE_VFORK and a pidfd watched by the loop (never SIGCHLD, never
// a plain fork in the daemon).

#include <stdbool.h>
#include <sys/types.h>

#include "base/loop.h"
#include "base/str.h"

typedef struct Child Child;

typedef struct SpawnFd {
    int source; // our descriptor; stays ours to close
    int target; // its number in the child
} SpawnFd;

typedef struct SpawnSpec {
    const char *const *argv; // argv[0] is searched in PATH unless it holds a slash
    const char *const *envp; // NULL inherits ours
    const char *directory;   // NULL keeps ours
    const SpawnFd *fds;      // 0, 1, 2 default to /dev/null; every other descriptor is closed
    size_t n_fds;
    bool new_session; // setsid(2)
} SpawnSpec;

// `on_exit(user, status)`: waitpid(2)'s status, once, on the loop; the Child is freed after it.
// Returns 0 or negative errno (-ENOENT when the program is missing).
int spawn_child(Loop *loop, const SpawnSpec *spec, void (*on_exit)(void *user, int status),
                void *user, Child **ret_child) __attribute__((warn_unused_result));
pid_t child_pid(const Child *child);
int child_kill(Child *child, int signal); // by pidfd; 0 or negative errno
// Forgets the callback; the child is still reaped.
void child_abandon(Child *child);

// Runs a short program to its end (that of a grandchild which keeps the pipes is not waited for)
// and collects what it printed: stdout and stderr each up to `max_output` bytes (the rest is read
// and dropped, `truncated` says so); killed with SIGKILL after `timeout_ns` (0: never). `on_done`
// comes once, on the loop.
typedef struct SpawnResult {
    int error;  // negative errno when it could not be started, else 0
    int status; // waitpid(2)'s status
    Str stdout_data, stderr_data;
    bool timed_out, truncated;
} SpawnResult;
typedef void (*SpawnDone)(void *user, const SpawnResult *result);
// `input` (may be STR_NONE) is fed to stdin. The returned Child may be killed; NULL when it could
// not be started (then on_done still comes).
Child *spawn_run(Loop *loop, const SpawnSpec *spec, Str input, size_t max_output,
                 int64_t timeout_ns, SpawnDone on_done, void *user);

// Watches a process that is not our child (a container's monitor after our restart). Returns 0 or
// negative errno (-ESRCH when it is gone). `on_exit` comes once; the watch stays the owner's to
// free, in it or later.
typedef struct ProcessWatch ProcessWatch;
int process_watch_new(Loop *loop, pid_t pid, void (*on_exit)(void *user), void *user,
                      ProcessWatch **ret_watch) __attribute__((warn_unused_result));
void process_watch_free(ProcessWatch *watch);
