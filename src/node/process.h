#pragma once
// Processes that are not our children, told apart by process id and start time: an id alone may
// have been given to another since.

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct ProcessId {
    pid_t pid;           // 0: none
    uint64_t start_time; // clock ticks since boot, field 22 of /proc/PID/stat
} ProcessId;

// 0 or -ESRCH.
int process_identify(pid_t pid, ProcessId *ret) __attribute__((warn_unused_result));
bool process_lives(ProcessId process); // false for a zombie
// Signals that very process. 0, or negative errno (-ESRCH when it is gone).
int process_signal(ProcessId process, int signal);
// Its parent, 0 when it is gone.
pid_t process_parent(pid_t pid);
