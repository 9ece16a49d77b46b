#include "node/oci_spec.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "node/oci_json.h"
#include "node/oci_names.h"

static const char default_path[] =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

static const Str default_masked[] = {
    STR("/proc/asound"),     STR("/proc/acpi"),        STR("/proc/interrupts"),
    STR("/proc/kcore"),      STR("/proc/keys"),        STR("/proc/latency_stats"),
    STR("/proc/timer_list"), STR("/proc/timer_stats"), STR("/proc/sched_debug"),
    STR("/proc/scsi"),       STR("/sys/firmware"),     STR("/sys/devices/virtual/powercap"),
};
static const Str default_read_only[] = {
    STR("/proc/bus"),           STR("/proc/fs"), STR("/proc/irq"), STR("/proc/sys"),
    STR("/proc/sysrq-trigger"),
};
#define COUNT(array) (sizeof(array) / sizeof *(array))

// ---- process

static bool has_variable(const ContainerSpec *spec, Str name) {
    for (size_t i = 0; i < spec->n_env; i++)
        if (str_eq(spec->env[i].name, name))
            return true;
    return false;
}

static void write_env(Arena *arena, OciJson *json, const OciInput *input) {
    const ContainerSpec *spec = input->spec;
    oci_json_array(json, "env");
    if (!has_variable(spec, STR("PATH")))
        oci_json_string(json, NULL, str_from(default_path));
    if (!has_variable(spec, STR("HOSTNAME")))
        oci_json_string(json, NULL, arena_printf(arena, "HOSTNAME=%.*s", STR_ARG(input->hostname)));
    if (spec->tty && !has_variable(spec, STR("TERM")))
        oci_json_string(json, NULL, STR("TERM=xterm"));
    for (size_t i = 0; i < spec->n_env; i++)
        oci_json_string(json, NULL,
                        arena_printf(arena, "%.*s=%.*s", STR_ARG(spec->env[i].name),
                                     STR_ARG(spec->env[i].value)));
    oci_json_end(json, ']');
}

static void write_user(OciJson *json, const ImageUser *user) {
    oci_json_object(json, "user");
    oci_json_int(json, "uid", user->uid);
    oci_json_int(json, "gid", user->gid);
    oci_json_array(json, "additionalGids");
    for (size_t i = 0; i < user->n_groups; i++)
        oci_json_int(json, NULL, user->groups[i]);
    oci_json_end(json, ']');
    oci_json_end(json, '}');
}

static void write_capabilities(Arena *arena, OciJson *json, uint64_t set) {
    static const char *const kinds[] = {"bounding", "effective", "permitted"};
    oci_json_object(json, "capabilities");
    for (size_t i = 0; i < COUNT(kinds); i++) {
        oci_json_array(json, kinds[i]);
        for (unsigned number = 0; number < 64; number++)
            if (set & 1ULL << number)
                oci_json_string(json, NULL, oci_capability_name(arena, number));
        oci_json_end(json, ']');
    }
    oci_json_end(json, '}');
}

static int write_process_members(Arena *arena, OciJson *json, const OciInput *input,
                                 Str *ret_message) {
    const ContainerSpec *spec = input->spec;
    uint64_t capabilities;
    int error =
        oci_capabilities(arena, spec, input->host->capabilities, &capabilities, ret_message);
    if (error)
        return error;
    write_user(json, input->user);
    write_env(arena, json, input);
    oci_json_string(json, "cwd", spec->working_directory.len ? spec->working_directory : STR("/"));
    write_capabilities(arena, json, capabilities);
    oci_json_bool(json, "noNewPrivileges", spec->no_new_privileges);
    // No rlimits: like a CRI runtime's, a container inherits ours, which the host's hard limits
    // bound.
    if (spec->resources.oom_score_adj_set) {
        int wanted = spec->resources.oom_score_adj, floor = input->host->oom_score_adj_floor;
        oci_json_int(json, "oomScoreAdj", wanted < floor ? floor : wanted);
    }
    return 0;
}

int oci_process_write(Arena *arena, const OciInput *input, Buf *buf, Str *ret_message) {
    OciJson json = {.buf = buf};
    return write_process_members(arena, &json, input, ret_message);
}

// ---- mounts

static void write_mount(OciJson *json, Str target, const char *type, Str source, const Str *options,
                        size_t n_options) {
    oci_json_object(json, NULL);
    oci_json_string(json, "destination", target);
    oci_json_string(json, "type", str_from(type));
    oci_json_string(json, "source", source);
    oci_json_strings(json, "options", options, n_options);
    oci_json_end(json, '}');
}

static bool is_replaced(const ContainerSpec *spec, Str target) {
    for (size_t i = 0; i < spec->n_mounts; i++) {
        Str own = spec->mounts[i].target;
        while (own.len > 1 && own.ptr[own.len - 1] == '/')
            own.len--;
        if (str_eq(own, target))
            return true;
    }
    return false;
}

static void write_default_mounts(OciJson *json, const OciInput *input) {
    static const Str proc[] = {STR("nosuid"), STR("noexec"), STR("nodev")};
    static const Str dev[] = {STR("nosuid"), STR("strictatime"), STR("mode=755"),
                              STR("size=65536k")};
    static const Str pts[] = {STR("nosuid"),        STR("noexec"),    STR("newinstance"),
                              STR("ptmxmode=0666"), STR("mode=0620"), STR("gid=5")};
    static const Str sys[] = {STR("nosuid"), STR("noexec"), STR("nodev"), STR("ro")};
    static const Str shm[] = {STR("rbind"), STR("nosuid"), STR("noexec"), STR("nodev")};
    const struct {
        const char *target, *type;
        Str source;
        const Str *options;
        size_t n_options;
    } mounts[] = {
        {"/proc", "proc", STR("proc"), proc, COUNT(proc)},
        {"/dev", "tmpfs", STR("tmpfs"), dev, COUNT(dev)},
        {"/dev/pts", "devpts", STR("devpts"), pts, COUNT(pts)},
        {"/dev/mqueue", "mqueue", STR("mqueue"), proc, COUNT(proc)},
        // Privileged containers write there: without the last option, "ro".
        {"/sys", "sysfs", STR("sysfs"), sys, COUNT(sys) - input->spec->privileged},
        {"/sys/fs/cgroup", "cgroup", STR("cgroup"), sys, COUNT(sys) - input->spec->privileged},
        {"/dev/shm", "bind", input->shm, shm, COUNT(shm)},
    };
    for (size_t i = 0; i < COUNT(mounts); i++)
        if (!is_replaced(input->spec, str_from(mounts[i].target)))
            write_mount(json, str_from(mounts[i].target), mounts[i].type, mounts[i].source,
                        mounts[i].options, mounts[i].n_options);
}

static size_t depth_of(Str path) {
    size_t depth = 0;
    for (size_t i = 0; i < path.len; i++)
        depth += path.ptr[i] == '/';
    return depth;
}

static int by_depth(const void *a, const void *b) {
    const ContainerMount *const *left = a, *const *right = b;
    size_t l = depth_of((*left)->target), r = depth_of((*right)->target);
    return l != r ? (l < r ? -1 : 1) : (*left < *right ? -1 : 1);
}

// Parents first, so that a mount below another one is not hidden by it.
static void write_own_mounts(Arena *arena, OciJson *json, const ContainerSpec *spec) {
    static const char *const propagation[] = {
        [PROPAGATION_PRIVATE] = "rprivate",
        [PROPAGATION_HOST_TO_CONTAINER] = "rslave",
        [PROPAGATION_BIDIRECTIONAL] = "rshared",
    };
    const ContainerMount **sorted = arena_array_of(arena, const ContainerMount *, spec->n_mounts);
    for (size_t i = 0; i < spec->n_mounts; i++)
        sorted[i] = &spec->mounts[i];
    if (spec->n_mounts)
        qsort(sorted, spec->n_mounts, sizeof *sorted, by_depth);
    for (size_t i = 0; i < spec->n_mounts; i++) {
        const ContainerMount *mount = sorted[i];
        Str options[] = {STR("rbind"), str_from(propagation[mount->propagation]),
                         mount->recursive_read_only ? STR("rro")
                         : mount->read_only         ? STR("ro")
                                                    : STR("rw"),
                         STR("noexec")};
        write_mount(json, mount->target, "bind", mount->source, options,
                    COUNT(options) - !mount->no_exec);
    }
    if (spec->termination_message_host_path.len && spec->termination_message_path.len) {
        Str options[] = {STR("rbind"), STR("rprivate"), STR("rw")};
        write_mount(json, spec->termination_message_path, "bind",
                    spec->termination_message_host_path, options, COUNT(options));
    }
}

// The root must not be more private than what is mounted below it.
static Str root_propagation(const ContainerSpec *spec) {
    Str result = STR("rprivate");
    for (size_t i = 0; i < spec->n_mounts; i++) {
        if (spec->mounts[i].propagation == PROPAGATION_BIDIRECTIONAL)
            return STR("rshared");
        if (spec->mounts[i].propagation == PROPAGATION_HOST_TO_CONTAINER)
            result = STR("rslave");
    }
    return result;
}

// ---- linux

static void write_namespace(OciJson *json, const char *type, Str path) {
    if (path.ptr && path.len == 0)
        return; // the host's
    oci_json_object(json, NULL);
    oci_json_string(json, "type", str_from(type));
    if (path.len)
        oci_json_string(json, "path", path);
    oci_json_end(json, '}');
}

static void write_namespaces(OciJson *json, const OciInput *input) {
    oci_json_array(json, "namespaces");
    write_namespace(json, "mount", STR_NONE);
    write_namespace(json, "network", input->network_namespace);
    write_namespace(json, "ipc", input->ipc_namespace);
    write_namespace(json, "uts", input->uts_namespace);
    write_namespace(json, "pid", input->pid_namespace);
    if (input->host->cgroup_version == 2 && !input->spec->privileged)
        write_namespace(json, "cgroup", STR_NONE);
    oci_json_end(json, ']');
}

// Privileged containers see the host's devices, but for terminals and what has a mount of its own.
static void write_devices(Arena *arena, OciJson *json, const char *directory_path, int depth) {
    static const char *const left_out[] = {"pts", "shm", "fd", "mqueue", "console", "ptmx", "core"};
    DIR *directory = depth < 4 ? opendir(directory_path) : NULL;
    struct dirent *entry;
    while (directory && (entry = readdir(directory))) {
        bool skip = entry->d_name[0] == '.';
        for (size_t i = 0; i < COUNT(left_out) && !skip; i++)
            skip = depth == 0 && strcmp(entry->d_name, left_out[i]) == 0;
        Str path = arena_printf(arena, "%s/%s", directory_path, entry->d_name);
        struct stat info;
        if (skip || lstat(path.ptr, &info) < 0)
            continue;
        if (S_ISDIR(info.st_mode))
            write_devices(arena, json, path.ptr, depth + 1);
        if (!S_ISCHR(info.st_mode) && !S_ISBLK(info.st_mode))
            continue;
        oci_json_object(json, NULL);
        oci_json_string(json, "path", path);
        oci_json_string(json, "type", S_ISCHR(info.st_mode) ? STR("c") : STR("b"));
        oci_json_int(json, "major", major(info.st_rdev));
        oci_json_int(json, "minor", minor(info.st_rdev));
        oci_json_int(json, "fileMode", info.st_mode & 07777);
        oci_json_int(json, "uid", info.st_uid);
        oci_json_int(json, "gid", info.st_gid);
        oci_json_end(json, '}');
    }
    if (directory)
        closedir(directory);
}

static void write_resources(OciJson *json, const OciInput *input) {
    const ContainerResources *resources = &input->spec->resources;
    oci_json_object(json, "resources");
    oci_json_array(json, "devices");
    oci_json_object(json, NULL);
    oci_json_bool(json, "allow", input->spec->privileged);
    oci_json_string(json, "access", STR("rwm"));
    oci_json_end(json, '}');
    oci_json_end(json, ']');
    oci_json_object(json, "cpu");
    if (resources->cpu_shares)
        oci_json_int(json, "shares", (int64_t)resources->cpu_shares);
    if (resources->cpu_quota) {
        oci_json_int(json, "quota", resources->cpu_quota);
        oci_json_int(json, "period", resources->cpu_period ? resources->cpu_period : 100000);
    }
    oci_json_end(json, '}');
    if (resources->memory_limit > 0) {
        oci_json_object(json, "memory");
        oci_json_int(json, "limit", resources->memory_limit);
        oci_json_int(json, "swap", resources->memory_limit); // memory and swap together: no swap
        oci_json_end(json, '}');
    }
    if (resources->pids_limit > 0) {
        oci_json_object(json, "pids");
        oci_json_int(json, "limit", resources->pids_limit);
        oci_json_end(json, '}');
    }
    oci_json_end(json, '}');
}

static void write_seccomp(Arena *arena, OciJson *json, const OciInput *input) {
    const ContainerSpec *spec = input->spec;
    if (spec->privileged || !spec->seccomp.len || str_eq(spec->seccomp, STR("Unconfined")))
        return;
    if (!str_eq(spec->seccomp, STR("RuntimeDefault"))) {
        oci_json_raw(json, "seccomp", input->seccomp);
        return;
    }
    uint64_t capabilities;
    Str ignored;
    if (oci_capabilities(arena, spec, input->host->capabilities, &capabilities, &ignored))
        return; // write_process_members has failed for it
    oci_json_raw(json, "seccomp", STR(""));
    oci_seccomp_default(json->buf, capabilities);
}

static void write_linux(Arena *arena, OciJson *json, const OciInput *input) {
    const ContainerSpec *spec = input->spec;
    oci_json_object(json, "linux");
    oci_json_string(json, "cgroupsPath", input->cgroup);
    write_namespaces(json, input);
    write_resources(json, input);
    oci_json_string(json, "rootfsPropagation", root_propagation(spec));
    if (spec->privileged) {
        oci_json_array(json, "devices");
        write_devices(arena, json, "/dev", 0);
        oci_json_end(json, ']');
    } else {
        bool own = spec->masked_paths;
        oci_json_strings(json, "maskedPaths", own ? spec->masked_paths : default_masked,
                         own ? spec->n_masked_paths : COUNT(default_masked));
        own = spec->read_only_paths;
        oci_json_strings(json, "readonlyPaths", own ? spec->read_only_paths : default_read_only,
                         own ? spec->n_read_only_paths : COUNT(default_read_only));
    }
    write_seccomp(arena, json, input);
    oci_json_end(json, '}');
}

int oci_spec_write(Arena *arena, const OciInput *input, Buf *buf, Str *ret_message) {
    const ContainerSpec *spec = input->spec;
    OciJson json = {.buf = buf};
    if (spec->n_argv == 0) {
        *ret_message = STR("no command specified");
        return -EINVAL;
    }
    oci_json_object(&json, NULL);
    oci_json_string(&json, "ociVersion", STR("1.0.2"));
    oci_json_object(&json, "process");
    oci_json_bool(&json, "terminal", spec->tty);
    oci_json_strings(&json, "args", spec->argv, spec->n_argv);
    int error = write_process_members(arena, &json, input, ret_message);
    if (error)
        return error;
    oci_json_end(&json, '}');
    oci_json_object(&json, "root");
    oci_json_string(&json, "path", input->root);
    oci_json_bool(&json, "readonly", spec->read_only_root);
    oci_json_end(&json, '}');
    oci_json_array(&json, "mounts");
    write_default_mounts(&json, input);
    write_own_mounts(arena, &json, spec);
    oci_json_end(&json, ']');
    write_linux(arena, &json, input);
    oci_json_end(&json, '}');
    if (buf->failed) {
        *ret_message = STR("the container's configuration is too large");
        return -E2BIG;
    }
    return 0;
}
