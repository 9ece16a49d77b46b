#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "pki/pki.h"

int cmd_fail(const char *verb, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "seapod %s: ", verb);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return 1;
}

Str cmd_helper(Arena *arena, const char *name) {
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    if (len > 0) {
        Str directory = str_slice(str_of(self, (size_t)len), 0,
                                  (size_t)str_find_last(str_of(self, (size_t)len), '/'));
        static const char *const places[] = {"",          "/../lib/seapod", "/src/image",
                                             "/src/node", "/../image",      "/../node"};
        for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
            Str path = arena_printf(arena, "%.*s%s/%s", STR_ARG(directory), places[i], name);
            if (access(path.ptr, X_OK) == 0)
                return path;
        }
    }
    return arena_printf(arena, "/usr/local/lib/seapod/%s", name);
}

Str cmd_instance(Arena *arena, Str data_dir) {
    char resolved[PATH_MAX];
    const char *path = arena_cstr(arena, data_dir);
    Str name = str_from(realpath(path, resolved) ? resolved : path);
    return str_slice(pki_sha256_hex(arena, name), 0, 6);
}

Str cmd_run_directory(Arena *arena, Str data_dir) {
    return arena_printf(arena, "/run/seapod/%.*s", STR_ARG(cmd_instance(arena, data_dir)));
}

Str cmd_bridge(Arena *arena, Str data_dir) {
    return arena_printf(arena, "seapod-%.*s", STR_ARG(cmd_instance(arena, data_dir)));
}

// Connecting a UDP socket sends nothing, but makes the kernel choose a source address.
static bool source_address(char *text, size_t size) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(9)};
    inet_pton(AF_INET, "192.0.2.1", &address.sin_addr); // TEST-NET-1: routed by default
    socklen_t len = sizeof address;
    bool found = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
                 getsockname(fd, (struct sockaddr *)&address, &len) == 0 &&
                 inet_ntop(AF_INET, &address.sin_addr, text, (socklen_t)size);
    if (fd >= 0)
        close(fd);
    return found;
}

Str cmd_node_address(Arena *arena) {
    char text[INET_ADDRSTRLEN];
    if (source_address(text, sizeof text))
        return arena_str(arena, str_from(text));
    struct ifaddrs *all;
    Str found = STR_NONE;
    if (getifaddrs(&all) != 0)
        return STR("127.0.0.1");
    for (struct ifaddrs *i = all; i && !found.len; i = i->ifa_next)
        if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET && !(i->ifa_flags & IFF_LOOPBACK) &&
            !str_starts_with(str_from(i->ifa_name), STR("seapod-")) &&
            inet_ntop(AF_INET, &((struct sockaddr_in *)i->ifa_addr)->sin_addr, text, sizeof text))
            found = arena_str(arena, str_from(text));
    freeifaddrs(all);
    return found.len ? found : STR("127.0.0.1");
}

int cmd_read_file(Arena *arena, const char *path, size_t max, Str *ret) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    char *data = arena_alloc(arena, max + 1);
    size_t len = 0;
    ssize_t got;
    while (len <= max && (got = read(fd, data + len, max + 1 - len)) > 0)
        len += (size_t)got;
    int error = got < 0 ? -errno : len > max ? -EFBIG : 0;
    close(fd);
    *ret = str_of(data, len);
    return error;
}

int cmd_write_file(const char *path, Str text, unsigned mode) {
    char temporary[PATH_MAX];
    if (snprintf(temporary, sizeof temporary, "%s.%d.new", path, (int)getpid()) >=
        (int)sizeof temporary)
        return -ENAMETOOLONG;
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0)
        return -errno;
    int error = 0;
    if (fchmod(fd, mode) != 0 || write(fd, text.ptr, text.len) != (ssize_t)text.len ||
        fsync(fd) != 0)
        error = errno ? -errno : -EIO;
    close(fd);
    if (!error && rename(temporary, path) != 0)
        error = -errno;
    if (error)
        unlink(temporary);
    return error;
}

int cmd_make_directories(const char *path, unsigned mode) {
    char part[PATH_MAX];
    size_t len = strlen(path);
    if (len >= sizeof part)
        return -ENAMETOOLONG;
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, i == len ? mode : 0755) != 0 && errno != EEXIST)
            return -errno;
    }
    return 0;
}
