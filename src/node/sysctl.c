#include <errno.h>

#include "node/crun_private.h"

// Which sysctls belong to a namespace:
// https://kubernetes.io/docs/tasks/administer-cluster/sysctl-cluster/
static bool is_of_network(Str name) {
    return str_starts_with(name, STR("net/"));
}

static bool is_of_ipc(Str name) {
    return str_starts_with(name, STR("fs/mqueue/")) || str_starts_with(name, STR("kernel/shm")) ||
           str_starts_with(name, STR("kernel/msg")) || str_eq(name, STR("kernel/sem"));
}

// "net.ipv4.tcp_syncookies" or "net/ipv4/conf/eth0.1/rp_filter": what separates first, separates.
static bool to_path(Str name, char *out, size_t size) {
    bool dots = true;
    if (name.len == 0 || name.len >= size)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] != '.' && name.ptr[i] != '/')
            continue;
        dots = name.ptr[i] == '.';
        break;
    }
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && !strchr("_-./", c))
            return false;
        out[i] = dots && c == '.' ? '/' : dots && c == '/' ? '.' : c;
    }
    out[name.len] = 0;
    return !strstr(out, "..") && !strstr(out, "//") && out[0] != '/';
}

int sysctl_argument(Arena *arena, const RuntimePair *sysctl, bool host_network, bool host_ipc,
                    Str *ret, Str *ret_message) {
    char path[256];
    if (!to_path(sysctl->name, path, sizeof path) ||
        (!is_of_network(str_from(path)) && !is_of_ipc(str_from(path)))) {
        *ret_message = arena_printf(arena, "sysctl \"%.*s\" is not in a separate kernel namespace",
                                    STR_ARG(sysctl->name));
        return -EINVAL;
    }
    if (is_of_network(str_from(path)) ? host_network : host_ipc) {
        *ret_message =
            arena_printf(arena, "sysctl \"%.*s\" is not allowed with the host's namespace",
                         STR_ARG(sysctl->name));
        return -EINVAL;
    }
    *ret = arena_printf(arena, "/proc/sys/%s=%.*s", path, STR_ARG(sysctl->value));
    return 0;
}
