// What pods leave on the host, and its removal off the loop.
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "node/volume_private.h"

typedef struct Removal {
    Arena *arena;
    char *directories[2]; // pods/UID/volumes, pods/UID/volume-subpaths
    void (*done)(void *user);
    void *user;
} Removal;

// "\040" is a space: proc(5) on mountinfo.
static void unescape(char *text) {
    char *out = text;
    for (const char *p = text; *p;) {
        if (p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] && p[3]) {
            *out++ = (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0'));
            p += 4;
        } else
            *out++ = *p++;
    }
    *out = '\0';
}

// Our own and those that containers made in them (Bidirectional), the last one first.
static void unmount_below(Arena *arena, const char *directory) {
    FILE *file = fopen("/proc/self/mountinfo", "re");
    char *line = NULL, **points = NULL;
    size_t size = 0, n = 0, capacity = 0, length = strlen(directory);
    while (file && getline(&line, &size, file) > 0) {
        char *point = NULL;
        if (sscanf(line, "%*d %*d %*s %*s %ms", &point) != 1)
            continue;
        unescape(point);
        if (!strncmp(point, directory, length) && point[length] == '/') {
            if (n == capacity) {
                size_t more = capacity ? capacity * 2 : 16;
                points =
                    arena_grow(arena, points, capacity * sizeof *points, more * sizeof *points);
                capacity = more;
            }
            points[n++] = arena_cstr(arena, str_from(point));
        }
        free(point);
    }
    free(line);
    if (file)
        fclose(file);
    while (n-- > 0)
        if (umount2(points[n], MNT_DETACH | UMOUNT_NOFOLLOW) != 0 && errno != EINVAL)
            log_warn("node", "volume not unmounted", "path=\"%s\" error=\"%s\"", points[n],
                     strerror(errno));
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where) {
    return remove(path) != 0;
}

static void remove_directory(Arena *arena, const char *directory) {
    if (access(directory, F_OK) != 0)
        return;
    unmount_below(arena, directory);
    // FTW_MOUNT: what could not be unmounted is not emptied.
    if (nftw(directory, remove_entry, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0)
        log_warn("node", "volumes not removed", "path=\"%s\"", directory);
}

static void remove_all(void *user) { // on a thread of the pool
    Removal *removal = user;
    for (size_t i = 0; i < 2; i++)
        remove_directory(removal->arena, removal->directories[i]);
}

static void on_removed(void *user) {
    Removal *removal = user;
    if (removal->done)
        removal->done(removal->user);
    arena_free(removal->arena);
}

void volume_remove_all(Loop *loop, Str directory, void (*done)(void *user), void *user) {
    static const char *const names[] = {"volumes", "volume-subpaths"};
    Arena *arena = arena_new();
    Removal *removal = arena_new_of(arena, Removal);
    *removal = (Removal){.arena = arena, .done = done, .user = user};
    for (size_t i = 0; i < 2; i++)
        removal->directories[i] =
            arena_cstr(arena, arena_printf(arena, "%.*s/%s", STR_ARG(directory), names[i]));
    loop_work(loop, remove_all, on_removed, removal);
}

// Pods that are no more
// -----------------------------------------------------------------------------

#define GROUP_TRIES 100
#define GROUP_WAIT (20 * NSEC_PER_MSEC)

typedef struct Sweep {
    Arena *arena;
    Str cgroup_parent;
    Str *uids;
    char **directories;
    size_t n, capacity;
} Sweep;

// Its containers are being removed by the runtime; what they left behind is killed.
static void remove_group(const CgroupHost *host, Str path) {
    for (int i = 0; i < GROUP_TRIES && cgroup_remove(host, path) == -EBUSY; i++) {
        if (cgroup_kill(host, path) < 0)
            return;
        nanosleep(&(struct timespec){.tv_nsec = GROUP_WAIT}, NULL);
    }
}

static void sweep(void *user) { // on a thread of the pool
    Sweep *job = user;
    CgroupHost *host = NULL; // the agent's own may be freed meanwhile
    if (job->n && cgroup_host_new(&host) != 0)
        host = NULL;
    for (size_t i = 0; i < job->n; i++) {
        for (PodQos qos = QOS_GUARANTEED; host && qos <= QOS_BEST_EFFORT; qos++)
            remove_group(host, cgroup_pod_path(job->arena, job->cgroup_parent, qos, job->uids[i]));
        remove_directory(job->arena, job->directories[i]);
    }
    cgroup_host_free(host);
}

static void on_swept(void *user) {
    arena_free(((Sweep *)user)->arena);
}

static void add_directory(NodeAgent *agent, Sweep *job, Str uid) {
    if (job->n == job->capacity) {
        size_t old = job->capacity, more = old ? old * 2 : 16;
        job->uids = arena_grow(job->arena, job->uids, old * sizeof(Str), more * sizeof(Str));
        job->directories =
            arena_grow(job->arena, job->directories, old * sizeof(char *), more * sizeof(char *));
        job->capacity = more;
    }
    job->uids[job->n] = arena_str(job->arena, uid);
    job->directories[job->n++] =
        arena_cstr(job->arena, agent_pod_directory(agent, job->arena, uid));
}

void pod_volumes_sweep(NodeAgent *agent) {
    Arena *arena = arena_new();
    Sweep *job = arena_new_of(arena, Sweep);
    *job = (Sweep){.arena = arena, .cgroup_parent = arena_str(arena, agent->config.cgroup_parent)};
    DIR *directory = opendir(arena_cstr(arena, agent_pod_directory(agent, arena, STR(""))));
    for (struct dirent *entry; directory && (entry = readdir(directory));)
        if (entry->d_name[0] != '.' && !map_get(agent->workers, str_from(entry->d_name)))
            add_directory(agent, job, str_from(entry->d_name));
    if (directory)
        closedir(directory);
    loop_work(agent->loop, sweep, on_swept, job);
}
