#include "net/ipam.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/map.h"
#include "base/memory.h"

#define OWNER_MAX 256

typedef struct Allocation {
    uint32_t address;
} Allocation; // by owner

struct Ipam {
    Ipv4Range range;
    char *directory;
    Map *owners;     // Allocation *
    uint8_t *in_use; // bit by offset in the range
    uint32_t last;   // the offset that was handed out last
};

// ---- addresses

int ipv4_parse(Str text, uint32_t *ret) {
    char copy[IPAM_TEXT];
    struct in_addr address;
    if (text.len == 0 || text.len >= sizeof copy)
        return -EINVAL;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = 0;
    if (strlen(copy) != text.len || inet_pton(AF_INET, copy, &address) != 1)
        return -EINVAL;
    *ret = ntohl(address.s_addr);
    return 0;
}

void ipv4_format(uint32_t address, char out[IPAM_TEXT]) {
    struct in_addr network_order = {htonl(address)};
    inet_ntop(AF_INET, &network_order, out, IPAM_TEXT);
}

uint32_t ipv4_range_mask(Ipv4Range range) {
    return range.prefix == 0 ? 0 : ~0U << (32 - range.prefix);
}

int ipv4_range_parse(Str text, Ipv4Range *ret) {
    uint64_t prefix;
    Str address = str_cut(&text, '/');
    if (!text.ptr || str_to_u64(text, &prefix) || prefix > 32 || ipv4_parse(address, &ret->network))
        return -EINVAL;
    ret->prefix = (unsigned)prefix;
    return ret->network & ~ipv4_range_mask(*ret) ? -EINVAL : 0;
}

bool ipv4_range_has(Ipv4Range range, uint32_t address) {
    return (address & ipv4_range_mask(range)) == range.network;
}

bool ipv4_ranges_overlap(Ipv4Range a, Ipv4Range b) {
    return ipv4_range_has(a, b.network) || ipv4_range_has(b, a.network);
}

// ---- the state

static uint32_t size_of(const Ipam *ipam) {
    return 1U << (32 - ipam->range.prefix);
}

static bool bit(const Ipam *ipam, uint32_t offset) {
    return ipam->in_use[offset / 8] & 1U << offset % 8;
}

static void set_bit(Ipam *ipam, uint32_t offset, bool on) {
    if (on)
        ipam->in_use[offset / 8] |= (uint8_t)(1U << offset % 8);
    else
        ipam->in_use[offset / 8] &= (uint8_t) ~(1U << offset % 8);
}

static bool is_usable(const Ipam *ipam, uint32_t offset) {
    return offset >= 2 && offset < size_of(ipam) - 1;
}

static int file_path(const Ipam *ipam, const char *name, const char *suffix, char out[4096]) {
    int n = snprintf(out, 4096, "%s/%s%s", ipam->directory, name, suffix);
    return n < 4096 ? 0 : -ENAMETOOLONG;
}

static int write_atomically(const Ipam *ipam, const char *name, Str text) {
    char temporary[4096], path[4096];
    int error = file_path(ipam, name, ".new", temporary);
    if (!error)
        error = file_path(ipam, name, "", path);
    int fd = error ? -1 : open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (!error && fd < 0)
        return -errno;
    if (!error) {
        ssize_t n = write(fd, text.ptr, text.len);
        error = n < 0 ? -errno : (size_t)n < text.len ? -ENOSPC : 0;
        close(fd);
    }
    if (!error && rename(temporary, path) < 0)
        error = -errno;
    if (error && fd >= 0)
        unlink(temporary);
    return error;
}

static Str read_small(const Ipam *ipam, const char *name, char *buffer, size_t size) {
    char path[4096];
    if (file_path(ipam, name, "", path))
        return STR("");
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = fd < 0 ? 0 : read(fd, buffer, size);
    if (fd >= 0)
        close(fd);
    return str_trim(str_of(buffer, n > 0 ? (size_t)n : 0));
}

static void load_file(Ipam *ipam, const char *name) {
    char owner[OWNER_MAX], path[4096];
    uint32_t address;
    Str stem = str_from(name);
    bool half = str_ends_with(stem, STR(".new"));
    if (half)
        stem.len -= 4;
    if (ipv4_parse(stem, &address))
        return; // not ours
    bool good = !half && ipv4_range_has(ipam->range, address);
    uint32_t offset = address - ipam->range.network;
    Str text = good ? read_small(ipam, name, owner, sizeof owner) : STR("");
    if (good && is_usable(ipam, offset) && text.len && !map_get(ipam->owners, text)) {
        Allocation *allocation = memory_new(Allocation);
        allocation->address = address;
        map_put(ipam->owners, text, allocation);
        set_bit(ipam, offset, true);
    } else if (file_path(ipam, name, "", path) == 0) {
        unlink(path); // half written, or of a range that we had before
    }
}

static int load(Ipam *ipam) {
    char text[32];
    uint32_t last;
    DIR *directory = opendir(ipam->directory);
    if (!directory)
        return -errno;
    struct dirent *entry;
    while ((entry = readdir(directory)))
        if (entry->d_name[0] != '.')
            load_file(ipam, entry->d_name);
    closedir(directory);
    if (ipv4_parse(read_small(ipam, "last", text, sizeof text), &last) == 0 &&
        ipv4_range_has(ipam->range, last))
        ipam->last = last - ipam->range.network;
    return 0;
}

int ipam_new(Ipv4Range range, const char *directory, Ipam **ret) {
    if (range.prefix < 16 || range.prefix > 30)
        return -EINVAL;
    if (mkdir(directory, 0700) < 0 && errno != EEXIST)
        return -errno;
    Ipam *ipam = memory_new(Ipam);
    ipam->range = range;
    ipam->directory = strdup(directory);
    ipam->owners = map_new();
    ipam->in_use = memory_zalloc((size_of(ipam) + 7) / 8);
    ipam->last = 1;
    int error = load(ipam);
    if (error) {
        ipam_free(ipam);
        return error;
    }
    *ret = ipam;
    return 0;
}

void ipam_free(Ipam *ipam) {
    if (!ipam)
        return;
    MapIter it = {0};
    while (map_next(ipam->owners, &it))
        free(it.value);
    map_free(ipam->owners);
    free(ipam->directory);
    free(ipam->in_use);
    free(ipam);
}

uint32_t ipam_gateway(const Ipam *ipam) {
    return ipam->range.network + 1;
}

size_t ipam_count(const Ipam *ipam) {
    return map_count(ipam->owners);
}

// ---- allocation

// The next free one after the last that was handed out; 0 when there is none.
static uint32_t next_free(const Ipam *ipam) {
    uint32_t size = size_of(ipam);
    for (uint32_t step = 1; step <= size; step++) {
        uint32_t offset = (ipam->last + step) % size;
        if (is_usable(ipam, offset) && !bit(ipam, offset))
            return offset;
    }
    return 0;
}

bool ipam_find(const Ipam *ipam, Str owner, uint32_t *ret) {
    const Allocation *allocation = map_get(ipam->owners, owner);
    if (allocation)
        *ret = allocation->address;
    return allocation;
}

int ipam_allocate(Ipam *ipam, Str owner, uint32_t *ret) {
    char name[IPAM_TEXT];
    if (owner.len == 0 || owner.len >= OWNER_MAX)
        return -EINVAL;
    if (ipam_find(ipam, owner, ret))
        return 0;
    uint32_t offset = next_free(ipam);
    if (!offset)
        return IPAM_E_EXHAUSTED;
    uint32_t address = ipam->range.network + offset;
    ipv4_format(address, name);
    int error = write_atomically(ipam, name, owner);
    if (error)
        return error;
    // Losing this one only makes the next start begin earlier.
    (void)!write_atomically(ipam, "last", str_from(name));
    Allocation *allocation = memory_new(Allocation);
    allocation->address = address;
    map_put(ipam->owners, owner, allocation);
    set_bit(ipam, offset, true);
    ipam->last = offset;
    *ret = address;
    return 0;
}

int ipam_release(Ipam *ipam, Str owner) {
    char name[IPAM_TEXT], path[4096];
    Allocation *allocation = map_get(ipam->owners, owner);
    if (!allocation)
        return 0;
    ipv4_format(allocation->address, name);
    int error = file_path(ipam, name, "", path);
    if (!error && unlink(path) < 0 && errno != ENOENT)
        error = -errno;
    if (error)
        return error;
    set_bit(ipam, allocation->address - ipam->range.network, false);
    map_remove(ipam->owners, owner);
    free(allocation);
    return 0;
}

void ipam_each(Ipam *ipam, void (*visit)(void *user, Str owner, uint32_t address), void *user) {
    MapIter it = {0};
    while (map_next(ipam->owners, &it)) {
        char owner[OWNER_MAX]; // the entry may go during the call
        memcpy(owner, it.key.ptr, it.key.len);
        visit(user, str_of(owner, it.key.len), ((Allocation *)it.value)->address);
    }
}

void ipam_clear(Ipam *ipam) {
    char path[4096];
    MapIter it = {0};
    while (map_next(ipam->owners, &it)) {
        char owner[OWNER_MAX];
        memcpy(owner, it.key.ptr, it.key.len);
        (void)ipam_release(ipam, str_of(owner, it.key.len));
    }
    if (file_path(ipam, "last", "", path) == 0)
        unlink(path);
    ipam->last = 1;
}
