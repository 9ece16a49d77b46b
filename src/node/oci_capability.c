#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "node/oci_names.h"
#include "node/oci_spec.h"

#define BIT(n) (1ULL << (n))

static const char *const names[] = {
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
};
#define CAPABILITIES (sizeof names / sizeof *names)

// chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service net_raw sys_chroot
// mknod audit_write setfcap: https://github.com/containerd/containerd, oci.defaultUnixCaps
#define DEFAULT_SET                                                                                \
    (BIT(0) | BIT(1) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(10) | BIT(13) |   \
     BIT(18) | BIT(27) | BIT(29) | BIT(31))

static int find(Str name) {
    if (name.len > 4 && str_eq_nocase(str_slice(name, 0, 4), STR("CAP_")))
        name = str_slice(name, 4, name.len);
    for (size_t i = 0; i < CAPABILITIES; i++)
        if (str_eq_nocase(name, str_from(names[i])))
            return (int)i;
    return -1;
}

Str oci_capability_name(Arena *arena, unsigned number) {
    return number < CAPABILITIES ? arena_printf(arena, "CAP_%s", names[number]) : STR_NONE;
}

static int change(Arena *arena, const Str *list, size_t n, bool add, uint64_t *set,
                  Str *ret_message) {
    for (size_t i = 0; i < n; i++)
        if (str_eq_nocase(list[i], STR("ALL")))
            *set = add ? BIT(CAPABILITIES) - 1 : 0;
    for (size_t i = 0; i < n; i++) {
        if (str_eq_nocase(list[i], STR("ALL")))
            continue;
        int number = find(list[i]);
        if (number < 0) {
            *ret_message = arena_printf(arena, "unknown capability \"%.*s\" to %s",
                                        STR_ARG(list[i]), add ? "add" : "drop");
            return -EINVAL;
        }
        *set = add ? *set | BIT(number) : *set & ~BIT(number);
    }
    return 0;
}

static bool has_all(const Str *list, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (str_eq_nocase(list[i], STR("ALL")))
            return true;
    return false;
}

int oci_capabilities(Arena *arena, const ContainerSpec *spec, uint64_t allowed, uint64_t *ret,
                     Str *ret_message) {
    uint64_t set = DEFAULT_SET;
    int error = 0;
    if (spec->privileged) {
        *ret = (BIT(CAPABILITIES) - 1) & allowed;
        return 0;
    }
    // "drop: [ALL], add: [X]" leaves X; "add: [ALL], drop: [X]" all but X.
    if (has_all(spec->capabilities_drop, spec->n_capabilities_drop))
        set = 0;
    error =
        change(arena, spec->capabilities_add, spec->n_capabilities_add, true, &set, ret_message);
    if (!error && !has_all(spec->capabilities_drop, spec->n_capabilities_drop))
        error = change(arena, spec->capabilities_drop, spec->n_capabilities_drop, false, &set,
                       ret_message);
    *ret = set & allowed;
    return error;
}

static bool read_number(const char *path, const char *key, const char *format, void *ret) {
    FILE *file = fopen(path, "re");
    char line[256];
    bool found = false;
    while (file && !found && fgets(line, sizeof line, file))
        found =
            strncmp(line, key, strlen(key)) == 0 && sscanf(line + strlen(key), format, ret) == 1;
    if (file)
        fclose(file);
    return found;
}

void oci_host_init(OciHost *host, int cgroup_version) {
    *host = (OciHost){.cgroup_version = cgroup_version, .oom_score_adj_floor = -1000};
    for (unsigned number = 0; number < CAPABILITIES; number++)
        if (prctl(PR_CAPBSET_READ, number, 0, 0, 0) == 1)
            host->capabilities |= BIT(number);
    unsigned long long effective = 0;
    read_number("/proc/self/status", "CapEff:", "%llx", &effective);
    if (!(effective & BIT(24 /* SYS_RESOURCE */)))
        read_number("/proc/self/oom_score_adj", "", "%d", &host->oom_score_adj_floor);
}
