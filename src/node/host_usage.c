#include "node/host_usage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>

static int64_t first_number(const char *path) {
    char text[64] = "";
    FILE *file = fopen(path, "re");
    if (file && !fgets(text, sizeof text, file))
        text[0] = '\0';
    if (file)
        fclose(file);
    return strtoll(text, NULL, 10);
}

static void read_memory(HostUsage *ret) {
    char line[128];
    long long kib;
    FILE *file = fopen("/proc/meminfo", "re");
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "MemTotal: %lld kB", &kib) == 1)
            ret->memory_capacity = kib * 1024;
        else if (sscanf(line, "MemAvailable: %lld kB", &kib) == 1)
            ret->memory_available = kib * 1024;
    }
    if (file)
        fclose(file);
}

void host_usage(const NodeAgent *agent, HostUsage *ret) {
    const NodeConfig *config = &agent->config;
    *ret = (HostUsage){0};
    if (config->measure) {
        config->measure(config->measure_user, ret);
        return;
    }
    read_memory(ret);
    struct statvfs files;
    _arena_free_ Arena *arena = arena_new();
    if (statvfs(arena_cstr(arena, config->data_directory), &files) == 0) {
        ret->disk_capacity = (int64_t)files.f_blocks * (int64_t)files.f_frsize;
        ret->disk_available = (int64_t)files.f_bavail * (int64_t)files.f_frsize;
        ret->inodes = (int64_t)files.f_files;
        ret->inodes_free = (int64_t)files.f_ffree;
    }
    struct sysinfo info;
    ret->pids_max = first_number("/proc/sys/kernel/pid_max");
    ret->pids = sysinfo(&info) == 0 ? info.procs : 0;
}
