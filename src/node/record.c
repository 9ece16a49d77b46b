#include "node/record.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

void record_put(Buf *buf, const char *key, Str value) {
    if (buf->len == 0)
        buf_printf(buf, "format=%d\n", RECORD_FORMAT);
    buf_printf(buf, "%s=", key);
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];
        if (c == '\n' || c == '\\')
            buf_char(buf, '\\');
        buf_char(buf, c == '\n' ? 'n' : c);
    }
    buf_char(buf, '\n');
}

void record_put_int(Buf *buf, const char *key, int64_t value) {
    char text[32];
    record_put(buf, key, str_of(text, (size_t)snprintf(text, sizeof text, "%" PRId64, value)));
}

int record_save(const char *path, const Buf *buf) {
    char temporary[4096];
    if (buf->failed)
        return -E2BIG;
    if ((size_t)snprintf(temporary, sizeof temporary, "%s.new", path) >= sizeof temporary)
        return -ENAMETOOLONG;
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    ssize_t n = write(fd, buf->data, buf->len);
    int error = n < 0 ? -errno : (size_t)n < buf->len ? -ENOSPC : 0;
    if (close(fd) < 0 && !error)
        error = -errno;
    if (!error && rename(temporary, path) < 0)
        error = -errno;
    if (error)
        unlink(temporary);
    return error;
}

static bool is_key(Str key) {
    for (size_t i = 0; i < key.len; i++)
        if ((key.ptr[i] < 'a' || key.ptr[i] > 'z') && key.ptr[i] != '_')
            return false;
    return key.len > 0;
}

static Str unescape(Arena *arena, Str value) {
    if (str_find(value, '\\') < 0)
        return arena_str(arena, value);
    char *text = arena_alloc(arena, value.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < value.len; i++) {
        bool escaped = value.ptr[i] == '\\' && i + 1 < value.len;
        if (escaped)
            i++;
        text[n++] = escaped && value.ptr[i] == 'n' ? '\n' : value.ptr[i];
    }
    text[n] = 0;
    return str_of(text, n);
}

int record_parse(Arena *arena, Str text, Record *ret) {
    size_t lines = 0;
    *ret = (Record){0};
    for (size_t i = 0; i < text.len; i++)
        lines += text.ptr[i] == '\n';
    if (lines == 0 || text.ptr[text.len - 1] != '\n')
        return -EBADMSG; // cut off
    ret->keys = arena_array_of(arena, Str, lines);
    ret->values = arena_array_of(arena, Str, lines);
    text.len--;
    while (text.ptr) {
        Str line = str_cut(&text, '\n');
        Str key = str_cut(&line, '=');
        if (!line.ptr || !is_key(key))
            return -EBADMSG;
        ret->keys[ret->n] = arena_str(arena, key);
        ret->values[ret->n++] = unescape(arena, line);
    }
    int64_t format = record_int(ret, "format");
    return format < 1 ? -EBADMSG : format > RECORD_FORMAT ? -EPROTONOSUPPORT : 0;
}

int record_load(Arena *arena, const char *path, Record *ret) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    char *text = arena_alloc(arena, RECORD_MAX);
    ssize_t n = read(fd, text, RECORD_MAX);
    int error = n < 0 ? -errno : 0;
    close(fd);
    return error ? error : record_parse(arena, str_of(text, (size_t)n), ret);
}

Str record_get(const Record *record, const char *key) {
    for (size_t i = 0; i < record->n; i++)
        if (str_eq(record->keys[i], str_from(key)))
            return record->values[i];
    return STR("");
}

int64_t record_int(const Record *record, const char *key) {
    int64_t number;
    return str_to_i64(record_get(record, key), &number) ? 0 : number;
}
