#include "node/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

typedef struct Stat {
    char state;
    int parent;
    uint64_t start_time;
} Stat;

static int read_stat(pid_t pid, Stat *ret) {
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return -ESRCH;
    text[n] = 0;
    const char *after_name = strrchr(text, ')'); // the name may hold anything
    if (!after_name || sscanf(after_name + 1,
                              " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
                              "%*d %*d %" SCNu64,
                              &ret->state, &ret->parent, &ret->start_time) != 3)
        return -ESRCH;
    return 0;
}

int process_identify(pid_t pid, ProcessId *ret) {
    Stat stat;
    *ret = (ProcessId){0};
    if (pid <= 0 || read_stat(pid, &stat) < 0)
        return -ESRCH;
    *ret = (ProcessId){.pid = pid, .start_time = stat.start_time};
    return 0;
}

bool process_lives(ProcessId process) {
    Stat stat;
    return process.pid > 0 && read_stat(process.pid, &stat) == 0 &&
           stat.start_time == process.start_time && stat.state != 'Z' && stat.state != 'X';
}

int process_signal(ProcessId process, int signal) {
    if (process.pid <= 0)
        return -ESRCH;
    int fd = pidfd_open(process.pid, 0);
    if (fd < 0)
        return -errno;
    // The descriptor is of whoever has the id now; only then is it compared.
    int result = !process_lives(process)                      ? -ESRCH
                 : pidfd_send_signal(fd, signal, NULL, 0) < 0 ? -errno
                                                              : 0;
    close(fd);
    return result;
}

pid_t process_parent(pid_t pid) {
    Stat stat;
    return pid > 0 && read_stat(pid, &stat) == 0 ? stat.parent : 0;
}
