#include "image/stage.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <locale.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "image/inflate.h"
#include "image/sandbox.h"
#include "image/split.h"

// The stage's descriptors, besides 0 to 2.
#define STATUS_FD 3
#define DIRECTORY_FD 4

// What a stage writes to its status pipe, once. The reader trusts none of it.
typedef struct StageReport {
    UnpackResult result;
    Failure failure;
} StageReport;

static const char *const kind_names[] = {
    [STAGE_INFLATE] = "inflate", [STAGE_SPLIT] = "split", [STAGE_UNPACK] = "unpack"};

// Duplicates above the numbers that the stage will use, so that none hides another.
static int move_away(int fd) {
    return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 16);
}

static int spawn_stage(char *const *argv, const int fds[5], pid_t *ret_pid) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int moved[5], error = 0;
    for (int i = 0; i < 5; i++) {
        moved[i] = move_away(fds[i]);
        if (moved[i] >= 0)
            posix_spawn_file_actions_adddup2(&actions, moved[i], i);
        else if (fds[i] >= 0)
            error = -errno;
        else if (i < 2)
            posix_spawn_file_actions_addopen(&actions, i, "/dev/null", i ? O_WRONLY : O_RDONLY, 0);
    }
    // What libraries opened without O_CLOEXEC: connections, of all things.
    posix_spawn_file_actions_addclosefrom_np(&actions, DIRECTORY_FD + 1);
    // Locale and libraries must not depend on who started us.
    static char *const environment[] = {NULL};
    if (!error)
        error = -posix_spawn(ret_pid, "/proc/self/exe", &actions, &attributes, argv, environment);
    for (int i = 0; i < 5; i++)
        if (moved[i] >= 0)
            close(moved[i]);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

int stage_start(StageKind kind, int input, int output, int directory, const UnpackLimits *limits,
                Stage *ret_stage, Failure *failure) {
    char parent[16], bytes[24], entries[24];
    snprintf(parent, sizeof(parent), "%d", getpid());
    snprintf(bytes, sizeof(bytes), "%" PRIu64, limits->bytes);
    snprintf(entries, sizeof(entries), "%" PRIu64, limits->entries);
    char *argv[] = {"seapod-image", "--stage", (char *)kind_names[kind], parent, bytes,
                    entries,        NULL};
    int status[2];
    if (pipe2(status, O_CLOEXEC) < 0)
        return failure_errno(failure, -errno, "cannot make a pipe");
    const int fds[5] = {input, output, STDERR_FILENO, status[1], directory};
    int error = spawn_stage(argv, fds, &ret_stage->pid);
    close(status[1]);
    if (error) {
        close(status[0]);
        *ret_stage = (Stage){0, -1};
        return failure_errno(failure, error, "cannot start a process to %s", kind_names[kind]);
    }
    ret_stage->status = status[0];
    return 0;
}

static int reap(Stage *stage) {
    int status = 0;
    while (waitpid(stage->pid, &status, 0) < 0 && errno == EINTR)
        ;
    stage->pid = 0;
    close(stage->status);
    stage->status = -1;
    return status;
}

void stage_kill(Stage *stage) {
    if (stage->pid <= 0)
        return;
    kill(stage->pid, SIGKILL);
    (void)reap(stage);
}

int stage_end(Stage *stage, UnpackResult *ret_result, Failure *failure) {
    assert(stage->pid > 0);
    StageReport report;
    size_t len = 0;
    while (len < sizeof(report)) {
        ssize_t n = read(stage->status, (char *)&report + len, sizeof(report) - len);
        if (n == 0 || (n < 0 && errno != EINTR))
            break;
        if (n > 0)
            len += (size_t)n;
    }
    int status = reap(stage);
    if (len < sizeof(report)) {
        if (WIFSIGNALED(status))
            return failure_set(failure, IMAGE_E_OTHER, "the process that unpacks was killed: %s",
                               strsignal(WTERMSIG(status)));
        return failure_set(failure, IMAGE_E_OTHER, "the process that unpacks failed (exit code %d)",
                           WEXITSTATUS(status));
    }
    if (report.failure.code < 0 || report.failure.code > IMAGE_E_BAD_DATA)
        return failure_set(failure, IMAGE_E_OTHER, "the process that unpacks reports nonsense");
    if (report.failure.code) {
        report.failure.message[sizeof(report.failure.message) - 1] = '\0';
        failure_clean(report.failure.message);
        *failure = report.failure;
        return failure->code;
    }
    if (ret_result)
        *ret_result = report.result;
    return 0;
}

static int run(int argc, char **argv, StageReport *report) {
    Failure *failure = &report->failure;
    if (argc != 6)
        return failure_set(failure, IMAGE_E_USAGE, "--stage is not for people");
    UnpackLimits limits;
    uint64_t parent;
    if (str_to_u64(str_from(argv[3]), &parent) < 0 ||
        str_to_u64(str_from(argv[4]), &limits.bytes) < 0 ||
        str_to_u64(str_from(argv[5]), &limits.entries) < 0)
        return failure_set(failure, IMAGE_E_USAGE, "--stage is not for people");
    bool unpacks = strcmp(argv[2], kind_names[STAGE_UNPACK]) == 0;
    // Names in archives are UTF-8 or plain bytes; libarchive wants to know.
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        return failure_set(failure, IMAGE_E_OTHER, "there is no C.UTF-8 locale");
    int code = sandbox_enter(unpacks ? SANDBOX_UNPACK : SANDBOX_COMPUTE, DIRECTORY_FD, (int)parent,
                             failure);
    if (code)
        return code;
    if (strcmp(argv[2], kind_names[STAGE_INFLATE]) == 0)
        return inflate_stream(STDIN_FILENO, STDOUT_FILENO, failure);
    if (strcmp(argv[2], kind_names[STAGE_SPLIT]) == 0)
        return split_archive(STDIN_FILENO, STDOUT_FILENO, limits.entries, failure);
    if (!unpacks)
        return failure_set(failure, IMAGE_E_USAGE, "--stage is not for people");
    int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return failure_errno(failure, -errno, "cannot open the layer's directory");
    return unpack_tar(STDIN_FILENO, root, &limits, &report->result, failure);
}

_Noreturn void stage_main(int argc, char **argv) {
    static StageReport report;
    // A reader that is gone makes our write fail, and its end is what will be told.
    signal(SIGPIPE, SIG_IGN);
    int code = run(argc, argv, &report);
    // At most PIPE_BUF would be atomic; the reader takes it in any pieces.
    const char *at = (const char *)&report;
    for (size_t len = sizeof(report); len > 0;) {
        ssize_t n = write(STATUS_FD, at, len);
        if (n < 0 && errno != EINTR)
            _exit(IMAGE_E_OTHER);
        if (n > 0) {
            at += n;
            len -= (size_t)n;
        }
    }
    // No handlers of libraries: the sandbox would not let them do much.
    _exit(code);
}
