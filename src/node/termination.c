// What a container left behind to explain its end.
// https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/
#include "node/termination.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "node/environment.h"

#define MESSAGE_MAX 4096
#define LOG_MESSAGE_MAX 2048
#define LOG_LINES_MAX 80
#define LOG_TAIL (16 * 1024) // holds 80 lines' heads and more than LOG_MESSAGE_MAX of their text

// DIRECTORY/containers/NAME/ATTEMPT, the attempt as in the log's name (".../NAME/3.log").
Str termination_path(Arena *arena, Str files_directory, Str container, Str log_path) {
    ptrdiff_t slash = str_find_last(log_path, '/');
    Str name = str_slice(log_path, (size_t)(slash + 1), log_path.len);
    if (str_ends_with(name, STR(".log")))
        name.len -= 4;
    return arena_printf(arena, "%.*s/containers/%.*s/%.*s", STR_ARG(files_directory),
                        STR_ARG(container), STR_ARG(name));
}

// The last `max` bytes. Returns 0 or negative errno; never follows a link, waits for nothing.
static int read_tail(Arena *arena, const char *path, size_t max, Str *ret, bool *ret_cut) {
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    char *data = arena_alloc(arena, max + 1);
    size_t len = 0;
    ssize_t n = 0;
    int error = fstat(fd, &status) != 0 ? -errno : S_ISREG(status.st_mode) ? 0 : -EINVAL;
    off_t from = !error && status.st_size > (off_t)max ? status.st_size - (off_t)max : 0;
    while (!error && len < max && (n = pread(fd, data + len, max - len, from + (off_t)len)) > 0)
        len += (size_t)n;
    if (!error && n < 0)
        error = -errno;
    close(fd);
    data[len] = '\0';
    *ret = str_of(data, len);
    *ret_cut = from > 0;
    return error;
}

// How long the UTF-8 sequence at `p` is; 0: none.
static size_t sequence(const unsigned char *p, size_t left) {
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = p[0] < 0x80             ? 1
                 : (p[0] & 0xe0) == 0xc0 ? 2
                 : (p[0] & 0xf0) == 0xe0 ? 3
                 : (p[0] & 0xf8) == 0xf0 ? 4
                                         : 0;
    if (len <= 1 || len > left)
        return len == 1;
    unsigned code = p[0] & (0xffu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (p[i] & 0x3f);
    }
    return code < least[len] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0 : len;
}

static Str valid_utf8(Arena *arena, Str text) { // what is none becomes U+FFFD, as in Go's JSON
    Buf buf = BUF_INIT(4 * MESSAGE_MAX);
    for (size_t i = 0; i < text.len;) {
        size_t len = sequence((const unsigned char *)text.ptr + i, text.len - i);
        if (len)
            buf_append(&buf, text.ptr + i, len);
        else
            buf_str(&buf, STR("\xef\xbf\xbd"));
        i += len ? len : 1;
    }
    Str valid = arena_str(arena, buf_view(&buf));
    buf_deinit(&buf);
    return valid;
}

// "TIME STREAM F|P TEXT": the text, with its newline unless the line goes on.
static Str line_text(Str line, bool *ret_partial) {
    str_cut(&line, ' ');
    str_cut(&line, ' ');
    *ret_partial = str_starts_with(str_cut(&line, ' '), STR("P"));
    return line.ptr ? line : STR("");
}

Str termination_log_text(Arena *arena, Str log) {
    Str lines[LOG_LINES_MAX];
    size_t n = 0;
    while (log.len)
        lines[n++ % LOG_LINES_MAX] = str_cut(&log, '\n');
    Buf buf = BUF_INIT(2 * LOG_TAIL);
    for (size_t i = n > LOG_LINES_MAX ? n - LOG_LINES_MAX : 0; i < n; i++) {
        bool partial;
        buf_str(&buf, line_text(lines[i % LOG_LINES_MAX], &partial));
        if (!partial)
            buf_char(&buf, '\n');
    }
    if (buf.len > LOG_MESSAGE_MAX)
        buf_consume(&buf, buf.len - LOG_MESSAGE_MAX);
    Str text = valid_utf8(arena, buf_view(&buf));
    buf_deinit(&buf);
    return text;
}

static Str log_tail(Arena *arena, Str log_path) {
    Str data;
    bool cut;
    int error = read_tail(arena, arena_cstr(arena, log_path), LOG_TAIL, &data, &cut);
    if (error)
        return arena_printf(arena, "Error on reading termination message from logs: %s",
                            strerror(-error));
    if (cut)
        str_cut(&data, '\n');
    return termination_log_text(arena, data);
}

Str termination_message(Arena *arena, const Container *container, Str files_directory,
                        Str container_id, Str log_path, int exit_code) {
    bool from_log = exit_code != 0 &&
                    str_eq(container->termination_message_policy, STR("FallbackToLogsOnError"));
    Str message = STR("");
    if (container->termination_message_path.len && log_path.len) {
        Str path = termination_path(arena, files_directory, container->name, log_path);
        bool cut;
        int error = read_tail(arena, path.ptr, MESSAGE_MAX, &message, &cut);
        if (error && error != -ENOENT)
            return arena_printf(arena, "Error on reading termination log %.*s: %s", STR_ARG(path),
                                strerror(-error));
        if (error)
            message = STR("");
    }
    if (!message.len && from_log && log_path.len)
        return log_tail(arena, log_path);
    return valid_utf8(arena, message);
}

int termination_file_make(Arena *arena, Str files_directory, Str container, Str log_path,
                          uint32_t attempt, Str *ret_path) {
    Str path = termination_path(arena, files_directory, container, log_path);
    Str directory = str_slice(path, 0, (size_t)str_find_last(path, '/'));
    Str parent = str_slice(path, 0, (size_t)str_find_last(directory, '/'));
    const char *directories[] = {arena_cstr(arena, files_directory), arena_cstr(arena, parent),
                                 arena_cstr(arena, directory)};
    for (size_t i = 0; i < 3; i++)
        if (mkdir(directories[i], 0750) != 0 && errno != EEXIST)
            return -errno;
    if (attempt >= 2) // two attempts are remembered: this one and the last
        unlink(arena_printf(arena, "%.*s/%u", STR_ARG(directory), attempt - 2).ptr);
    unlink(path.ptr);
    int fd = open(path.ptr, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return -errno;
    int error = fchmod(fd, 0666) == 0 ? 0 : -errno; // whoever the container runs as
    close(fd);
    *ret_path = path;
    return error;
}
