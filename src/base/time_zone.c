#include "base/time_zone.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/time_zone_rule.h"

#define DIRECTORY "/usr/share/zoneinfo"
#define MAX_FILE (256 * 1024)
#define MAX_NAME 255
#define HEADER 44

struct TimeZone {
    ZoneRule rule; // after the last change
    size_t n_changes;
    int64_t *times;   // of changes, rising
    int32_t *offsets; // n_changes + 1 of them: before the first, and after each
};

// ---- names and files

static bool is_part(Str part) {
    if (!part.len || part.len > 14 || part.ptr[0] == '-' || str_eq(part, STR(".")) ||
        str_eq(part, STR("..")))
        return false;
    for (size_t i = 0; i < part.len; i++) {
        char c = part.ptr[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            (!c || !strchr("._-+", c)))
            return false;
    }
    return true;
}

static int open_zone(Str name) {
    char path[sizeof DIRECTORY + MAX_NAME + 1];
    if (!name.len || name.len > MAX_NAME)
        return -ENOENT;
    for (Str rest = name; rest.ptr;)
        if (!is_part(str_cut(&rest, '/')))
            return -ENOENT;
    snprintf(path, sizeof path, DIRECTORY "/%.*s", STR_ARG(name));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static bool is_utc(Str name) {
    return str_eq(name, STR("UTC"));
}

// ---- the format

static int64_t big_endian(const unsigned char *at, int bytes) {
    uint64_t value = at[0] & 0x80 ? UINT64_MAX : 0;
    for (int i = 0; i < bytes; i++)
        value = value << 8 | at[i];
    return (int64_t)value;
}

typedef struct Header {
    size_t utc, standard, leaps, times, types, letters; // as the file orders them
} Header;

static bool read_header(const unsigned char *bytes, size_t len, Header *ret) {
    if (len < HEADER || memcmp(bytes, "TZif", 4) != 0)
        return false;
    size_t *fields[] = {&ret->utc,   &ret->standard, &ret->leaps,
                        &ret->times, &ret->types,    &ret->letters};
    for (size_t i = 0; i < 6; i++) {
        int64_t number = big_endian(bytes + 20 + i * 4, 4);
        if (number < 0 || number > MAX_FILE)
            return false;
        *fields[i] = (size_t)number;
    }
    return ret->types > 0;
}

static size_t body_size(const Header *h, size_t time_size) {
    return h->times * (time_size + 1) + h->types * 6 + h->letters + h->leaps * (time_size + 4) +
           h->standard + h->utc;
}

// The second part of the file, with 64-bit times and the rule.
static int read_body(TimeZone *zone, const unsigned char *bytes, size_t len) {
    Header h;
    if (!read_header(bytes, len, &h) || len - HEADER < body_size(&h, 8))
        return -EBADMSG;
    const unsigned char *times = bytes + HEADER, *types = times + h.times * 8;
    const unsigned char *infos = types + h.times;
    zone->n_changes = h.times;
    zone->times = memory_resize_array(NULL, h.times + 1, sizeof *zone->times);
    zone->offsets = memory_resize_array(NULL, h.times + 1, sizeof *zone->offsets);
    zone->offsets[0] = (int32_t)big_endian(infos, 4);
    for (size_t i = 0; i < h.times; i++) {
        zone->times[i] = big_endian(times + i * 8, 8);
        if (types[i] >= h.types || (i && zone->times[i] <= zone->times[i - 1]))
            return -EBADMSG;
        zone->offsets[i + 1] = (int32_t)big_endian(infos + types[i] * 6, 4);
    }
    Str rest = str_of(bytes + HEADER + body_size(&h, 8), len - HEADER - body_size(&h, 8));
    (void)str_cut(&rest, '\n');
    Str rule = rest.ptr ? str_cut(&rest, '\n') : STR("");
    return !rule.len || zone_rule_parse(rule, &zone->rule) ? 0 : -EBADMSG;
}

static int read_zone(TimeZone *zone, const unsigned char *bytes, size_t len) {
    Header first;
    if (!read_header(bytes, len, &first) || bytes[4] < '2') // version 1 was given up in 2014
        return -EBADMSG;
    size_t skip = HEADER + body_size(&first, 4);
    return skip > len ? -EBADMSG : read_body(zone, bytes + skip, len - skip);
}

// ---- the interface

bool time_zone_exists(Str name) {
    char magic[4];
    if (is_utc(name))
        return true;
    int fd = open_zone(name);
    if (fd < 0)
        return false;
    bool good = read(fd, magic, sizeof magic) == sizeof magic && memcmp(magic, "TZif", 4) == 0;
    close(fd);
    return good;
}

int time_zone_load(Str name, TimeZone **ret) {
    TimeZone *zone = memory_new(TimeZone);
    *ret = NULL;
    if (is_utc(name)) {
        zone->rule.known = true;
        *ret = zone;
        return 0;
    }
    int fd = open_zone(name), r = fd < 0 ? fd : 0;
    unsigned char *bytes = memory_alloc(MAX_FILE);
    ssize_t len = fd < 0 ? 0 : read(fd, bytes, MAX_FILE);
    if (fd >= 0 && len < 0)
        r = -errno;
    if (fd >= 0)
        close(fd);
    if (!r)
        r = read_zone(zone, bytes, (size_t)len);
    free(bytes);
    if (r) {
        time_zone_free(zone);
        return r;
    }
    *ret = zone;
    return 0;
}

void time_zone_free(TimeZone *zone) {
    if (!zone)
        return;
    free(zone->times);
    free(zone->offsets);
    free(zone);
}

int32_t time_zone_offset(const TimeZone *zone, int64_t at, int64_t *ret_until) {
    *ret_until = INT64_MAX;
    if (!zone)
        return 0;
    size_t low = 0, high = zone->n_changes; // the first change after `at`
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (zone->times[middle] <= at)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == zone->n_changes && zone->rule.known)
        return zone_rule_offset(&zone->rule, at, ret_until);
    if (low < zone->n_changes)
        *ret_until = zone->times[low];
    return zone->n_changes || zone->offsets ? zone->offsets[low] : 0;
}
