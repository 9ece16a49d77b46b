#include "node/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/memory.h"

#define HIERARCHIES_MAX 32

typedef struct Hierarchy {
    Str mount;
    Str controllers; // version 1: "cpu,cpuacct", "name=systemd"; version 2: ""
    bool unified;
} Hierarchy;

struct CgroupHost {
    Arena *arena;
    Hierarchy hierarchies[HIERARCHIES_MAX];
    size_t n;
    bool has_v1_controller;
    unsigned references; // beside the first
};

static int read_file(const char *path, char *buffer, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t len = 0;
    ssize_t n = 0;
    while (len < size - 1 && (n = read(fd, buffer + len, size - 1 - len)) > 0)
        len += (size_t)n;
    int error = n < 0 ? -errno : 0;
    buffer[len] = 0;
    close(fd);
    return error ? error : (int)len;
}

static int write_file(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = write(fd, text, strlen(text));
    int error = n < 0 ? -errno : 0;
    close(fd);
    return error;
}

#define PATH_SIZE 2048

// DIRECTORY PATH [/ FILE]
static int join(char out[PATH_SIZE], Str directory, Str path, const char *file) {
    int n = snprintf(out, PATH_SIZE, "%.*s%.*s%s%s", STR_ARG(directory), STR_ARG(path),
                     file ? "/" : "", file ? file : "");
    return n < PATH_SIZE ? 0 : -ENAMETOOLONG;
}

static int write_below(Str directory, Str path, const char *file, const char *text) {
    char full[PATH_SIZE];
    int error = join(full, directory, path, file);
    return error ? error : write_file(full, text);
}

static int read_below(Str directory, Str path, const char *file, char *buffer, size_t size) {
    char full[PATH_SIZE];
    int error = join(full, directory, path, file);
    return error ? error : read_file(full, buffer, size);
}

// ---- the host

static bool list_has(Str list, Str item) {
    while (list.ptr) {
        if (str_eq(str_cut(&list, ','), item))
            return true;
    }
    return false;
}

static const Str v1_options[] = {
    // of the super block, not names of controllers
    STR("rw"),       STR("ro"),   STR("xattr"),      STR("clone_children"),
    STR("noprefix"), STR("none"), STR("nsdelegate"), STR("favordynmods"),
};

static Str v1_controllers(Arena *arena, Str options) {
    Str parts[16];
    size_t n = 0;
    while (options.ptr && n < 16) {
        Str option = str_cut(&options, ',');
        bool skip = str_starts_with(option, STR("release_agent="));
        for (size_t i = 0; i < sizeof v1_options / sizeof *v1_options && !skip; i++)
            skip = str_eq(option, v1_options[i]);
        if (!skip && option.len)
            parts[n++] = option;
    }
    return arena_concat(arena, parts, n, STR(","));
}

// "36 25 0:31 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory"
static void host_add_line(CgroupHost *host, Str line) {
    Str fields[6];
    for (int i = 0; i < 6; i++)
        fields[i] = str_cut(&line, ' ');
    while (line.ptr && !str_eq(str_cut(&line, ' '), STR("-")))
        ;
    Str type = str_cut(&line, ' ');
    str_cut(&line, ' '); // the source
    bool unified = str_eq(type, STR("cgroup2"));
    if ((!unified && !str_eq(type, STR("cgroup"))) || !str_eq(fields[3], STR("/")) ||
        host->n == HIERARCHIES_MAX)
        return;
    Str controllers = unified ? STR("") : v1_controllers(host->arena, line);
    for (size_t i = 0; i < host->n; i++) // mounted twice
        if (host->hierarchies[i].unified == unified &&
            str_eq(host->hierarchies[i].controllers, controllers))
            return;
    host->hierarchies[host->n++] = (Hierarchy){
        .mount = arena_str(host->arena, fields[4]), .controllers = controllers, .unified = unified};
    if (!unified && !str_starts_with(controllers, STR("name=")))
        host->has_v1_controller = true;
}

int cgroup_host_parse(Str mountinfo, CgroupHost **ret) {
    Arena *arena = arena_new();
    CgroupHost *host = arena_new_of(arena, CgroupHost);
    host->arena = arena;
    while (mountinfo.ptr)
        host_add_line(host, str_cut(&mountinfo, '\n'));
    if (host->n == 0) {
        arena_free(arena);
        return -ENOENT;
    }
    *ret = host;
    return 0;
}

int cgroup_host_new(CgroupHost **ret) {
    enum { SIZE = 1024 * 1024 };
    char *text = memory_alloc(SIZE);
    int len = read_file("/proc/self/mountinfo", text, SIZE);
    int result = len < 0 ? len : cgroup_host_parse(str_of(text, (size_t)len), ret);
    free(text);
    return result;
}

CgroupHost *cgroup_host_ref(CgroupHost *host) {
    host->references++;
    return host;
}

void cgroup_host_free(CgroupHost *host) {
    if (host && host->references-- == 0)
        arena_free(host->arena);
}

int cgroup_version(const CgroupHost *host) {
    return host->has_v1_controller ? 1 : 2;
}

static const Hierarchy *hierarchy_of(const CgroupHost *host, Str controller) {
    for (size_t i = 0; i < host->n; i++)
        if (!host->hierarchies[i].unified && list_has(host->hierarchies[i].controllers, controller))
            return &host->hierarchies[i];
    for (size_t i = 0; i < host->n; i++)
        if (host->hierarchies[i].unified && !host->has_v1_controller)
            return &host->hierarchies[i];
    return NULL;
}

bool cgroup_has_controller(const CgroupHost *host, Str controller) {
    const Hierarchy *hierarchy = hierarchy_of(host, controller);
    if (!hierarchy)
        return false;
    if (!hierarchy->unified)
        return true;
    char text[512];
    int len = read_below(hierarchy->mount, STR(""), "cgroup.controllers", text, sizeof text);
    Str rest = len < 0 ? STR_NONE : str_trim(str_of(text, (size_t)len));
    while (rest.ptr)
        if (str_eq(str_cut(&rest, ' '), controller))
            return true;
    return false;
}

Str cgroup_pod_path(Arena *arena, Str parent, PodQos qos, Str pod_uid) {
    static const char *const levels[] = {
        [QOS_GUARANTEED] = "", [QOS_BURSTABLE] = "/burstable", [QOS_BEST_EFFORT] = "/besteffort"};
    return arena_printf(arena, "%.*s%s/pod%.*s", STR_ARG(parent), levels[qos], STR_ARG(pod_uid));
}

size_t cgroup_hierarchies(const CgroupHost *host) {
    return host->n;
}

Str cgroup_file(Arena *arena, const CgroupHost *host, size_t hierarchy, Str path,
                const char *file) {
    return arena_printf(arena, "%.*s%.*s/%s", STR_ARG(host->hierarchies[hierarchy].mount),
                        STR_ARG(path), file);
}

// Absolute, below the root, without tricks.
static bool path_is_good(Str path) {
    if (path.len < 2 || path.len > 1024 || path.ptr[0] != '/' || path.ptr[path.len - 1] == '/')
        return false;
    Str rest = str_slice(path, 1, path.len);
    while (rest.ptr) {
        Str step = str_cut(&rest, '/');
        if (step.len == 0 || str_eq(step, STR(".")) || str_eq(step, STR("..")))
            return false;
    }
    return true;
}

// ---- making

// A new cpuset group of version 1 has no processor and no memory node and takes no process.
static int cpuset_inherit(Str directory, Str parent) {
    static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
    for (int i = 0; i < 2; i++) {
        char text[1024];
        int len = read_below(directory, STR(""), files[i], text, sizeof text);
        if (len < 0)
            return len;
        if (str_trim(str_of(text, (size_t)len)).len)
            continue;
        len = read_below(parent, STR(""), files[i], text, sizeof text);
        int error = len < 0 ? len : write_below(directory, STR(""), files[i], text);
        if (error)
            return error;
    }
    return 0;
}

// Lets the group at `directory` hand to its children what it has itself. Controllers that refuse
// (cpu with real-time processes outside) are left out.
static void hand_down(Str directory) {
    static const char *const controllers[] = {"+cpu",  "+cpuset", "+memory",
                                              "+pids", "+io",     "+hugetlb"};
    for (size_t i = 0; i < sizeof controllers / sizeof *controllers; i++)
        (void)write_below(directory, STR(""), "cgroup.subtree_control", controllers[i]);
}

static int hierarchy_create(const Hierarchy *hierarchy, Str path, bool with_controllers) {
    char directory[PATH_SIZE];
    bool cpuset = list_has(hierarchy->controllers, STR("cpuset"));
    int error = join(directory, hierarchy->mount, path, NULL);
    size_t end = hierarchy->mount.len;
    Str rest = str_slice(path, 1, path.len);
    while (rest.ptr && !error) {
        Str parent = str_of(directory, end);
        if (hierarchy->unified && with_controllers)
            hand_down(parent);
        end += 1 + str_cut(&rest, '/').len;
        char after = directory[end];
        directory[end] = 0;
        if (mkdir(directory, 0755) < 0 && errno != EEXIST)
            error = -errno;
        else if (cpuset)
            error = cpuset_inherit(str_of(directory, end), parent);
        directory[end] = after;
    }
    return error;
}

int cgroup_create(const CgroupHost *host, Str path) {
    if (!path_is_good(path))
        return -EINVAL;
    for (size_t i = 0; i < host->n; i++) {
        int error = hierarchy_create(&host->hierarchies[i], path, !host->has_v1_controller);
        if (error)
            return error;
    }
    return 0;
}

int cgroup_join(const CgroupHost *host, Str path, pid_t pid) {
    if (!path_is_good(path))
        return -EINVAL;
    char text[32];
    snprintf(text, sizeof text, "%d", (int)pid);
    for (size_t i = 0; i < host->n; i++) {
        int error = write_below(host->hierarchies[i].mount, path, "cgroup.procs", text);
        if (error)
            return error;
    }
    return 0;
}

// ---- limits

uint64_t cgroup_weight_of_shares(uint64_t shares) {
    if (shares < 2)
        shares = 2;
    if (shares > 262144)
        shares = 262144;
    return 1 + (shares - 2) * 9999 / 262142;
}

static int set_value(const Hierarchy *hierarchy, Str path, const char *file, const char *text) {
    return write_below(hierarchy->mount, path, file, text);
}

static int set_number(const Hierarchy *hierarchy, Str path, const char *file, int64_t value,
                      const char *unlimited) {
    char text[32];
    snprintf(text, sizeof text, "%" PRId64, value);
    return set_value(hierarchy, path, file, value < 0 ? unlimited : text);
}

static int set_cpu(const Hierarchy *hierarchy, Str path, const CgroupLimits *limits) {
    int error = 0;
    bool v2 = hierarchy->unified;
    if (limits->cpu_shares)
        error = set_number(
            hierarchy, path, v2 ? "cpu.weight" : "cpu.shares",
            (int64_t)(v2 ? cgroup_weight_of_shares(limits->cpu_shares) : limits->cpu_shares), "");
    if (error || limits->cpu_quota == 0)
        return error;
    int64_t period = limits->cpu_period ? limits->cpu_period : 100000;
    if (v2) {
        char text[64];
        if (limits->cpu_quota < 0)
            snprintf(text, sizeof text, "max %" PRId64, period);
        else
            snprintf(text, sizeof text, "%" PRId64 " %" PRId64, limits->cpu_quota, period);
        return set_value(hierarchy, path, "cpu.max", text);
    }
    error = set_number(hierarchy, path, "cpu.cfs_period_us", period, "");
    return error ? error : set_number(hierarchy, path, "cpu.cfs_quota_us", limits->cpu_quota, "-1");
}

int cgroup_set(const CgroupHost *host, Str path, const CgroupLimits *limits) {
    if (!path_is_good(path))
        return -EINVAL;
    int error = 0;
    if (limits->cpu_shares || limits->cpu_quota) {
        const Hierarchy *cpu = hierarchy_of(host, STR("cpu"));
        error = cpu ? set_cpu(cpu, path, limits) : -ENOTSUP;
    }
    if (!error && limits->memory) {
        const Hierarchy *memory = hierarchy_of(host, STR("memory"));
        error = !memory ? -ENOTSUP
                        : set_number(memory, path,
                                     memory->unified ? "memory.max" : "memory.limit_in_bytes",
                                     limits->memory, memory->unified ? "max" : "-1");
    }
    if (!error && limits->pids) {
        const Hierarchy *pids = hierarchy_of(host, STR("pids"));
        error = !pids ? -ENOTSUP : set_number(pids, path, "pids.max", limits->pids, "max");
    }
    return error;
}

// ---- removing and killing

static int remove_tree(int parent, const char *name) {
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    DIR *directory = fdopendir(fd);
    if (!directory) {
        int error = -errno;
        close(fd);
        return error;
    }
    int result = 0;
    struct dirent *entry;
    while ((entry = readdir(directory)))
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.') {
            int error = remove_tree(fd, entry->d_name);
            if (error && !result)
                result = error;
        }
    closedir(directory);
    if (unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT && !result)
        result = -errno;
    return result;
}

int cgroup_remove(const CgroupHost *host, Str path) {
    if (!path_is_good(path))
        return -EINVAL;
    int result = 0;
    for (size_t i = 0; i < host->n; i++) {
        char full[2048];
        snprintf(full, sizeof full, "%.*s%.*s", STR_ARG(host->hierarchies[i].mount), STR_ARG(path));
        int error = remove_tree(AT_FDCWD, full);
        if (error && !result)
            result = error;
    }
    return result;
}

static int kill_listed(int directory) {
    int fd = openat(directory, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
    if (!file)
        return errno == ENOENT || errno == ENODEV ? 0 : -errno;
    int count = 0, pid;
    while (count >= 0 && fscanf(file, "%d", &pid) == 1)
        count = pid > 0 && kill(pid, SIGKILL) < 0 && errno != ESRCH ? -errno : count + 1;
    fclose(file);
    return count;
}

static int kill_tree(int parent, const char *name) {
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory)
        return errno == ENOENT ? 0 : -errno;
    int count = kill_listed(fd);
    struct dirent *entry;
    while (count >= 0 && (entry = readdir(directory))) {
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        int more = kill_tree(fd, entry->d_name);
        count = more < 0 ? more : count + more;
    }
    closedir(directory);
    return count;
}

int cgroup_kill(const CgroupHost *host, Str path) {
    if (!path_is_good(path))
        return -EINVAL;
    int most = 0; // the hierarchies list the same processes
    for (size_t i = 0; i < host->n; i++) {
        char full[PATH_SIZE];
        int count = join(full, host->hierarchies[i].mount, path, NULL);
        if (!count)
            count = kill_tree(AT_FDCWD, full);
        if (count < 0)
            return count;
        if (count > most)
            most = count;
    }
    return most;
}

// ---- reading

// "KEY N" on a line of its own.
static bool find_number(Str text, Str key, uint64_t *ret) {
    while (text.ptr) {
        Str line = str_cut(&text, '\n');
        if (line.len > key.len && str_starts_with(line, key) && line.ptr[key.len] == ' ')
            return str_to_u64(str_trim(str_slice(line, key.len, line.len)), ret) == 0;
    }
    return false;
}

static int read_value(const Hierarchy *hierarchy, Str path, const char *file, char *buffer,
                      size_t size, Str *ret) {
    if (!hierarchy)
        return -ENOTSUP;
    int len = read_below(hierarchy->mount, path, file, buffer, size);
    if (len < 0)
        return len;
    *ret = str_of(buffer, (size_t)len);
    return 0;
}

static int read_number(const Hierarchy *hierarchy, Str path, const char *file, uint64_t *ret) {
    char buffer[64];
    Str text;
    int error = read_value(hierarchy, path, file, buffer, sizeof buffer, &text);
    return error ? error : str_to_u64(str_trim(text), ret);
}

int64_t cgroup_oom_kills(const CgroupHost *host, Str path) {
    const Hierarchy *memory = hierarchy_of(host, STR("memory"));
    char buffer[1024];
    Str text;
    if (!path_is_good(path))
        return -EINVAL;
    const char *file = memory && memory->unified ? "memory.events" : "memory.oom_control";
    int error = read_value(memory, path, file, buffer, sizeof buffer, &text);
    if (error)
        return error;
    uint64_t count = 0;
    return find_number(text, STR("oom_kill"), &count) ? (int64_t)count : -ENODATA;
}

static int usage_cpu(const CgroupHost *host, Str path, CgroupUsage *ret) {
    const Hierarchy *v1 = hierarchy_of(host, STR("cpuacct"));
    if (v1 && !v1->unified)
        return read_number(v1, path, "cpuacct.usage", &ret->cpu_ns);
    char buffer[2048];
    Str text;
    int error =
        read_value(hierarchy_of(host, STR("cpu")), path, "cpu.stat", buffer, sizeof buffer, &text);
    uint64_t microseconds = 0;
    if (!error && !find_number(text, STR("usage_usec"), &microseconds))
        error = -ENODATA;
    ret->cpu_ns = microseconds * 1000;
    return error;
}

int cgroup_usage(const CgroupHost *host, Str path, CgroupUsage *ret) {
    *ret = (CgroupUsage){0};
    if (!path_is_good(path))
        return -EINVAL;
    int error = usage_cpu(host, path, ret);
    if (error)
        return error;
    const Hierarchy *memory = hierarchy_of(host, STR("memory"));
    char buffer[8192];
    Str text;
    bool v2 = memory && memory->unified;
    error = read_number(memory, path, v2 ? "memory.current" : "memory.usage_in_bytes",
                        &ret->memory_bytes);
    if (!error)
        error = read_value(memory, path, "memory.stat", buffer, sizeof buffer, &text);
    if (error)
        return error;
    uint64_t inactive = 0;
    find_number(text, v2 ? STR("inactive_file") : STR("total_inactive_file"), &inactive);
    find_number(text, v2 ? STR("anon") : STR("total_rss"), &ret->memory_rss);
    find_number(text, v2 ? STR("pgfault") : STR("total_pgfault"), &ret->page_faults);
    find_number(text, v2 ? STR("pgmajfault") : STR("total_pgmajfault"), &ret->major_page_faults);
    ret->memory_working_set = ret->memory_bytes > inactive ? ret->memory_bytes - inactive : 0;
    (void)read_number(hierarchy_of(host, STR("pids")), path, "pids.current", &ret->pids);
    return 0;
}
