#include "image/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/mount.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOBODY 65534

// Makes `directory` the root of a mount namespace of our own, and the only mount in it.
static int enter_root(SandboxKind kind, int directory) {
    // The working directory comes along into the new namespace, a descriptor would not.
    if (fchdir(directory) < 0 ||
        unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
        return -errno;
    // Private before anything is mounted, or the host would see it.
    struct mount_attr private = {.propagation = 1u << 18 /* MS_PRIVATE */};
    if (syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &private, sizeof(private)) < 0)
        return -errno;
    int tree = (int)syscall(SYS_open_tree, AT_FDCWD, ".", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0)
        return -errno;
    struct mount_attr attributes = {.attr_set =
                                        MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC};
    if (kind == SANDBOX_COMPUTE)
        attributes.attr_set |= MOUNT_ATTR_RDONLY;
    if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0 ||
        syscall(SYS_move_mount, tree, "", AT_FDCWD, ".", MOVE_MOUNT_F_EMPTY_PATH) < 0 ||
        fchdir(tree) < 0)
        return -errno;
    close(tree);
    close(directory);
    // Old root and new on top of each other, then the old one goes. The first root of a machine
    // (an initramfs) cannot be pivoted; there a chroot has to do.
    if (syscall(SYS_pivot_root, ".", ".") == 0) {
        if (syscall(SYS_umount2, ".", 2 /* MNT_DETACH */) < 0)
            return -errno;
    } else if (errno != EINVAL || chroot(".") < 0) {
        return -errno;
    }
    return chdir("/") < 0 ? -errno : 0;
}

static int drop_user(void) {
    if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
        setresuid(NOBODY, NOBODY, NOBODY) < 0)
        return -errno;
    return 0;
}

// Takes from this process and all that it might ever execute what is not in `wanted`.
static int drop_bounding_set(uint64_t wanted) {
    for (int capability = 0; capability < 64; capability++)
        if (!(wanted >> capability & 1) && prctl(PR_CAPBSET_READ, capability) == 1 &&
            prctl(PR_CAPBSET_DROP, capability) < 0)
            return -errno;
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    return 0;
}

// Keeps in `wanted` what this process has of it.
static int keep_capabilities(uint64_t wanted) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) < 0)
        return -errno;
    for (int i = 0; i < 2; i++) {
        data[i].permitted &= (uint32_t)(wanted >> (32 * i));
        data[i].effective = data[i].permitted;
        data[i].inheritable = 0;
    }
    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

#if defined(__x86_64__)
#define SANDBOX_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define SANDBOX_ARCH AUDIT_ARCH_AARCH64
#endif

#ifdef SANDBOX_ARCH
static const uint16_t compute_calls[] = {
    SYS_read,           SYS_write,        SYS_readv,       SYS_writev,       SYS_close,
    SYS_fstat,          SYS_newfstatat,   SYS_lseek,       SYS_mmap,         SYS_mremap,
    SYS_munmap,         SYS_mprotect,     SYS_madvise,     SYS_brk,          SYS_futex,
    SYS_getrandom,      SYS_exit,         SYS_exit_group,  SYS_rt_sigreturn, SYS_getpid,
    SYS_clock_gettime,  SYS_rt_sigaction, SYS_sched_yield, SYS_gettid,       SYS_sigaltstack,
    SYS_rt_sigprocmask,
    SYS_tgkill, // abort(3): our own asserts
};
static const uint16_t unpack_calls[] = {
    SYS_openat,     SYS_openat2,   SYS_statx,    SYS_pwrite64,  SYS_ftruncate, SYS_mkdirat,
    SYS_mknodat,    SYS_symlinkat, SYS_linkat,   SYS_unlinkat,  SYS_renameat2, SYS_fchown,
    SYS_fchownat,   SYS_fchmod,    SYS_fchmodat, SYS_fsetxattr, SYS_utimensat, SYS_readlinkat,
    SYS_getdents64, SYS_syncfs,    SYS_fcntl,    SYS_umask,     SYS_fstatfs,
};

#define FILTER_MAX 128
static int filter_calls(SandboxKind kind) {
    struct sock_filter filter[FILTER_MAX] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SANDBOX_ARCH, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    };
    unsigned short n = 4;
    const size_t n_compute = sizeof(compute_calls) / sizeof(compute_calls[0]);
    const size_t n_unpack = sizeof(unpack_calls) / sizeof(unpack_calls[0]);
    _Static_assert(4 + 2 * (sizeof(compute_calls) + sizeof(unpack_calls)) / 2 + 1 < FILTER_MAX,
                   "the filter holds every call");
    for (size_t i = 0; i < n_compute + (kind == SANDBOX_UNPACK ? n_unpack : 0); i++) {
        uint32_t call = i < n_compute ? compute_calls[i] : unpack_calls[i - n_compute];
        filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1);
        filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    }
    // As a kernel without that call: libraries then do without.
    filter[n++] =
        (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (ENOSYS & 0xffff));
    struct sock_fprog program = {.len = n, .filter = filter};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}
#else
static int filter_calls(SandboxKind kind) {
    return 0;
} // numbers of this machine are not listed
#endif

static int limit_resources(void) {
    static const struct {
        int resource;
        rlim_t limit;
    } limits[] = {{RLIMIT_CORE, 0}, {RLIMIT_NOFILE, 128}};
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        struct rlimit limit = {limits[i].limit, limits[i].limit};
        if (setrlimit(limits[i].resource, &limit) < 0)
            return -errno;
    }
    return 0;
}

#define BIT(capability) (UINT64_C(1) << (capability))

int sandbox_enter(SandboxKind kind, int directory, int parent, Failure *failure) {
    // CAP_SYS_ADMIN is what the trusted.* attributes of overlayfs cost; the filter of system calls
    // leaves it nothing else to do.
    const uint64_t unpack = BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FOWNER) |
                            BIT(CAP_FSETID) | BIT(CAP_MKNOD) | BIT(CAP_SETFCAP) |
                            BIT(CAP_SYS_ADMIN);
    const uint64_t wanted = kind == SANDBOX_UNPACK ? unpack : 0;
    const char *step = "enter a root of its own";
    int error = enter_root(kind, directory);
    if (!error)
        step = "limit its resources", error = limit_resources();
    if (!error)
        step = "drop its capabilities", error = drop_bounding_set(wanted);
    if (!error && kind == SANDBOX_COMPUTE)
        step = "become nobody", error = drop_user();
    if (!error)
        step = "drop its capabilities", error = keep_capabilities(wanted);
    // After setuid(2), which clears it.
    if (!error)
        step = "follow its parent", error = prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ? -errno : 0;
    if (!error && getppid() != parent)
        error = -ESRCH;
    if (!error)
        step = "give up new privileges",
        error = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
    if (!error)
        step = "filter its system calls", error = filter_calls(kind);
    if (error)
        return failure_errno(failure, error, "a sandboxed process cannot %s", step);
    return 0;
}
