#include "node/oci_json.h"
#include "node/oci_spec.h"

// RuntimeDefault: what ordinary programs need is allowed, the rest fails with EPERM, and what
// reaches around namespaces is allowed with the capability that guards it. The same intent as the
// default profile of the container engines. Names that libseccomp doesn't know are skipped by crun.

// clang-format off
static const char *const always[] = {
    "accept", "accept4", "access", "adjtimex", "alarm", "bind", "brk", "cachestat", "capget",
    "capset", "chdir", "chmod", "chown", "chown32", "clock_adjtime", "clock_adjtime64",
    "clock_getres", "clock_getres_time64", "clock_gettime", "clock_gettime64", "clock_nanosleep",
    "clock_nanosleep_time64", "close", "close_range", "connect", "copy_file_range", "creat", "dup",
    "dup2", "dup3", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_pwait",
    "epoll_pwait2", "epoll_wait", "epoll_wait_old", "eventfd", "eventfd2", "execve", "execveat",
    "exit", "exit_group", "faccessat", "faccessat2", "fadvise64", "fadvise64_64", "fallocate",
    "fanotify_mark", "fchdir", "fchmod", "fchmodat", "fchmodat2", "fchown", "fchown32", "fchownat",
    "fcntl", "fcntl64", "fdatasync", "fgetxattr", "flistxattr", "flock", "fork", "fremovexattr",
    "fsetxattr", "fstat", "fstat64", "fstatat64", "fstatfs", "fstatfs64", "fsync", "ftruncate",
    "ftruncate64", "futex", "futex_requeue", "futex_time64", "futex_wait", "futex_waitv",
    "futex_wake", "futimesat", "get_mempolicy", "get_robust_list", "get_thread_area", "getcpu",
    "getcwd", "getdents", "getdents64", "getegid", "getegid32", "geteuid", "geteuid32", "getgid",
    "getgid32", "getgroups", "getgroups32", "getitimer", "getpeername", "getpgid", "getpgrp",
    "getpid", "getppid", "getpriority", "getrandom", "getresgid", "getresgid32", "getresuid",
    "getresuid32", "getrlimit", "getrusage", "getsid", "getsockname", "getsockopt", "gettid",
    "gettimeofday", "getuid", "getuid32", "getxattr", "getxattrat", "inotify_add_watch",
    "inotify_init", "inotify_init1", "inotify_rm_watch", "io_cancel", "io_destroy", "io_getevents",
    "io_pgetevents", "io_pgetevents_time64", "io_setup", "io_submit", "ioctl", "ioprio_get",
    "ioprio_set", "ipc", "kill", "landlock_add_rule", "landlock_create_ruleset",
    "landlock_restrict_self", "lchown", "lchown32", "lgetxattr", "link", "linkat", "listen",
    "listmount", "listxattr", "listxattrat", "llistxattr", "_llseek", "lremovexattr", "lseek",
    "lsetxattr", "lstat", "lstat64", "madvise", "map_shadow_stack", "membarrier", "memfd_create",
    "memfd_secret", "mincore", "mkdir", "mkdirat", "mknod", "mknodat", "mlock", "mlock2",
    "mlockall", "mmap", "mmap2", "mprotect", "mq_getsetattr", "mq_notify", "mq_open",
    "mq_timedreceive", "mq_timedreceive_time64", "mq_timedsend", "mq_timedsend_time64", "mq_unlink",
    "mremap", "mseal", "msgctl", "msgget", "msgrcv", "msgsnd", "msync", "munlock", "munlockall",
    "munmap", "name_to_handle_at", "nanosleep", "newfstatat", "_newselect", "open", "openat",
    "openat2", "pause", "pidfd_open", "pidfd_send_signal", "pipe", "pipe2", "pkey_alloc",
    "pkey_free", "pkey_mprotect", "poll", "ppoll", "ppoll_time64", "prctl", "pread64", "preadv",
    "preadv2", "prlimit64", "process_mrelease", "pselect6", "pselect6_time64", "pwrite64",
    "pwritev", "pwritev2", "read", "readahead", "readlink", "readlinkat", "readv", "recv",
    "recvfrom", "recvmmsg", "recvmmsg_time64", "recvmsg", "remap_file_pages", "removexattr",
    "removexattrat", "rename", "renameat", "renameat2", "restart_syscall", "rmdir", "rseq",
    "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn",
    "rt_sigsuspend", "rt_sigtimedwait", "rt_sigtimedwait_time64", "rt_tgsigqueueinfo",
    "sched_getaffinity", "sched_getattr", "sched_getparam", "sched_get_priority_max",
    "sched_get_priority_min", "sched_getscheduler", "sched_rr_get_interval",
    "sched_rr_get_interval_time64", "sched_setaffinity", "sched_setattr", "sched_setparam",
    "sched_setscheduler", "sched_yield", "seccomp", "select", "semctl", "semget", "semop",
    "semtimedop", "semtimedop_time64", "send", "sendfile", "sendfile64", "sendmmsg", "sendmsg",
    "sendto", "setfsgid", "setfsgid32", "setfsuid", "setfsuid32", "setgid", "setgid32", "setgroups",
    "setgroups32", "setitimer", "setpgid", "setpriority", "setregid", "setregid32", "setresgid",
    "setresgid32", "setresuid", "setresuid32", "setreuid", "setreuid32", "setrlimit",
    "set_robust_list", "setsid", "setsockopt", "set_thread_area", "set_tid_address", "setuid",
    "setuid32", "setxattr", "setxattrat", "shmat", "shmctl", "shmdt", "shmget", "shutdown",
    "sigaltstack", "signalfd", "signalfd4", "sigprocmask", "sigreturn", "socketcall", "socketpair",
    "splice", "stat", "stat64", "statfs", "statfs64", "statmount", "statx", "symlink", "symlinkat",
    "sync", "sync_file_range", "syncfs", "sysinfo", "tee", "tgkill", "time", "timer_create",
    "timer_delete", "timer_getoverrun", "timer_gettime", "timer_gettime64", "timer_settime",
    "timer_settime64", "timerfd_create", "timerfd_gettime", "timerfd_gettime64", "timerfd_settime",
    "timerfd_settime64", "times", "tkill", "truncate", "truncate64", "ugetrlimit", "umask", "uname",
    "unlink", "unlinkat", "utime", "utimensat", "utimensat_time64", "utimes", "vfork", "vmsplice",
    "wait4", "waitid", "waitpid", "write", "writev", "ptrace", "process_vm_readv",
    "process_vm_writev",
#if defined(__x86_64__)
    "arch_prctl", "modify_ldt", "uretprobe",
#elif defined(__aarch64__)
    "arm_fadvise64_64", "arm_sync_file_range", "sync_file_range2", "breakpoint", "cacheflush",
    "set_tls",
#endif
    NULL};
// clang-format on

static const char *const with_dac_read_search[] = {"open_by_handle_at", NULL};
static const char *const with_sys_admin[] = {"bpf",           "clone",           "clone3",
                                             "fanotify_init", "fsconfig",        "fsmount",
                                             "fsopen",        "fspick",          "lookup_dcookie",
                                             "mount",         "mount_setattr",   "move_mount",
                                             "open_tree",     "perf_event_open", "quotactl",
                                             "quotactl_fd",   "setdomainname",   "sethostname",
                                             "setns",         "syslog",          "umount",
                                             "umount2",       "unshare",         NULL};
static const char *const with_sys_boot[] = {"reboot", NULL};
static const char *const with_sys_chroot[] = {"chroot", NULL};
static const char *const with_sys_module[] = {"delete_module", "init_module", "finit_module", NULL};
static const char *const with_sys_pacct[] = {"acct", NULL};
static const char *const with_sys_ptrace[] = {"kcmp", "pidfd_getfd", "process_madvise", NULL};
static const char *const with_sys_rawio[] = {"iopl", "ioperm", NULL};
static const char *const with_sys_time[] = {"settimeofday", "stime", "clock_settime",
                                            "clock_settime64", NULL};
static const char *const with_sys_tty_config[] = {"vhangup", NULL};
static const char *const with_sys_nice[] = {"get_mempolicy", "mbind", "set_mempolicy",
                                            "set_mempolicy_home_node", NULL};
static const char *const with_syslog[] = {"syslog", NULL};
static const char *const with_bpf[] = {"bpf", NULL};
static const char *const with_perfmon[] = {"perf_event_open", NULL};

static const struct {
    unsigned capability;
    const char *const *names;
} guarded[] = {
    {2, with_dac_read_search},
    {21, with_sys_admin},
    {22, with_sys_boot},
    {18, with_sys_chroot},
    {16, with_sys_module},
    {20, with_sys_pacct},
    {19, with_sys_ptrace},
    {17, with_sys_rawio},
    {25, with_sys_time},
    {26, with_sys_tty_config},
    {23, with_sys_nice},
    {34, with_syslog},
    {39, with_bpf},
    {38, with_perfmon},
};

static void write_names(OciJson *json, const char *const *names) {
    oci_json_array(json, "names");
    for (; *names; names++)
        oci_json_string(json, NULL, str_from(*names));
    oci_json_end(json, ']');
}

static void write_rule(OciJson *json, const char *const *names) {
    oci_json_object(json, NULL);
    write_names(json, names);
    oci_json_string(json, "action", STR("SCMP_ACT_ALLOW"));
    oci_json_end(json, '}');
}

// One call with one condition on one argument.
static void write_condition(OciJson *json, const char *name, int index, int64_t value,
                            int64_t value_two, const char *op) {
    const char *const names[] = {name, NULL};
    oci_json_object(json, NULL);
    write_names(json, names);
    oci_json_string(json, "action", STR("SCMP_ACT_ALLOW"));
    oci_json_array(json, "args");
    oci_json_object(json, NULL);
    oci_json_int(json, "index", index);
    oci_json_int(json, "value", value);
    oci_json_int(json, "valueTwo", value_two);
    oci_json_string(json, "op", str_from(op));
    oci_json_end(json, '}');
    oci_json_end(json, ']');
    oci_json_end(json, '}');
}

void oci_seccomp_default(Buf *buf, uint64_t capabilities) {
    OciJson json = {.buf = buf};
    oci_json_object(&json, NULL);
    oci_json_string(&json, "defaultAction", STR("SCMP_ACT_ERRNO"));
    oci_json_int(&json, "defaultErrnoRet", 1 /* EPERM */);
    oci_json_array(&json, "architectures");
#if defined(__x86_64__)
    oci_json_string(&json, NULL, STR("SCMP_ARCH_X86_64"));
    oci_json_string(&json, NULL, STR("SCMP_ARCH_X86"));
    oci_json_string(&json, NULL, STR("SCMP_ARCH_X32"));
#elif defined(__aarch64__)
    oci_json_string(&json, NULL, STR("SCMP_ARCH_AARCH64"));
    oci_json_string(&json, NULL, STR("SCMP_ARCH_ARM"));
#endif
    oci_json_end(&json, ']');
    oci_json_array(&json, "syscalls");
    write_rule(&json, always);
    for (size_t i = 0; i < sizeof guarded / sizeof *guarded; i++)
        if (capabilities & 1ULL << guarded[i].capability)
            write_rule(&json, guarded[i].names);
    // Every address family but AF_VSOCK (40), which no network namespace contains.
    write_condition(&json, "socket", 0, 40, 0, "SCMP_CMP_NE");
    static const int64_t personalities[] = {0, 8, 0x20000, 0x20008, 0xffffffff};
    for (size_t i = 0; i < sizeof personalities / sizeof *personalities; i++)
        write_condition(&json, "personality", 0, personalities[i], 0, "SCMP_CMP_EQ");
    if (!(capabilities & 1ULL << 21)) {
        // Threads and processes, but no new namespaces. clone3 hides its flags in memory: libc
        // falls back to clone when it is told ENOSYS.
        write_condition(&json, "clone", 0, 0x7e020000, 0, "SCMP_CMP_MASKED_EQ");
        oci_json_object(&json, NULL);
        const char *const clone3[] = {"clone3", NULL};
        write_names(&json, clone3);
        oci_json_string(&json, "action", STR("SCMP_ACT_ERRNO"));
        oci_json_int(&json, "errnoRet", 38 /* ENOSYS */);
        oci_json_end(&json, '}');
    }
    oci_json_end(&json, ']');
    oci_json_end(&json, '}');
}
