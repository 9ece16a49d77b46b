#include "node/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/time.h"

#define CHUNK (64 * 1024)
// A longer line is shown in pieces (conmon cuts lines at some 8 KiB anyway).
#define MAX_LINE (1024 * 1024)

typedef struct LogReader {
    ListLink link; // in the agent's followers
    NodeAgent *agent;
    HttpRequest *request;
    LogOptions options;
    LogFormat format;
    int fd, notify;
    LoopFd *watch;
    LoopTask step;
    Buf pending; // read, but not a whole line yet
    Str path, container_id;
    bool ended, waiting; // ended: nothing is added any more; waiting: for the client
} LogReader;

// Format
// -------------------------------------------------------------------------------------------

static bool split_line(Str line, Str *ret_time, Str *ret_tag, Str *ret_text) {
    Str rest = line, time = str_cut(&rest, ' '), stream = str_cut(&rest, ' '),
        tag = str_cut(&rest, ' ');
    if (!stream.len || !tag.len)
        return false;
    *ret_time = time;
    *ret_tag = tag;
    *ret_text = rest.ptr ? rest : STR("");
    return true;
}

static void format_line(LogFormat *format, Str line, Buf *out) {
    Str time, tag, text;
    int64_t at;
    if (!split_line(line, &time, &tag, &text))
        return;
    if (format->since && (time_parse(time, &at) != 0 || at < format->since))
        return;
    if (format->timestamps && !format->partial) {
        buf_str(out, time);
        buf_char(out, ' ');
    }
    buf_str(out, text);
    format->partial = tag.ptr[0] == 'P';
    if (!format->partial)
        buf_char(out, '\n');
}

size_t log_format(LogFormat *format, Str text, Buf *out) {
    size_t taken = 0;
    while (taken < text.len) {
        const char *newline = memchr(text.ptr + taken, '\n', text.len - taken);
        if (!newline)
            break;
        size_t end = (size_t)(newline - text.ptr);
        format_line(format, str_slice(text, taken, end), out);
        taken = end + 1;
    }
    return taken;
}

// Tail
// ---------------------------------------------------------------------------------------------

// True when the line that begins at `offset` is a whole one or the end of one: it counts. (So does
// the last one, whatever it is.)
static bool counts(int fd, int64_t offset) {
    char head[128];
    ssize_t got = pread(fd, head, sizeof head, offset);
    Str time, tag, text, line = str_of(head, got > 0 ? (size_t)got : 0);
    return !split_line(line, &time, &tag, &text) || tag.ptr[0] != 'P';
}

int log_tail_offset(int fd, int64_t size, int64_t lines, int64_t *ret_offset) {
    char *chunk = memory_alloc(CHUNK);
    int64_t position = size, found = 0, begin = size; // `begin`: of the earliest line that is in
    int error = 0;
    *ret_offset = size;
    while (position > 0 && !error) {
        int64_t from = position > CHUNK ? position - CHUNK : 0;
        ssize_t got = pread(fd, chunk, (size_t)(position - from), from);
        if (got < position - from) {
            error = got < 0 ? -errno : -EIO;
            break;
        }
        for (int64_t i = position - from; i-- > 0;) {
            int64_t start = from + i; // a line begins after a newline, or at 0
            bool at_start = start == 0;
            if (chunk[i] != '\n' && !at_start)
                continue;
            int64_t line = at_start && chunk[i] != '\n' ? 0 : start + 1;
            if (line < size && line < begin) {
                if ((found == 0 || counts(fd, line)) && ++found > lines)
                    goto done;
                begin = line;
            }
            if (at_start && chunk[i] == '\n' && 0 < begin) { // an empty first line
                begin = 0;
            }
        }
        position = from;
    }
done:
    free(chunk);
    *ret_offset = begin;
    return error;
}

// Options
// ------------------------------------------------------------------------------------------

static bool is_true(Str text) {
    return str_eq(text, STR("true")) || str_eq(text, STR("1"));
}

static int number(HttpRequest *request, const char *name, int64_t least, int64_t *ret,
                  Str *ret_message) {
    Str text = http_query(request, str_from(name));
    if (!text.len)
        return 0;
    int64_t value;
    if (str_to_i64(text, &value) == 0 && value >= least) {
        *ret = value;
        return 0;
    }
    *ret_message = arena_printf(
        request->arena, "%s: Invalid value: \"%.*s\": must be greater than or equal to %lld", name,
        STR_ARG(text), (long long)least);
    return -EINVAL;
}

int log_options_parse(HttpRequest *request, int64_t now, LogOptions *ret, Str *ret_message) {
    *ret = (LogOptions){.tail_lines = -1, .limit_bytes = -1};
    ret->follow = is_true(http_query(request, STR("follow")));
    ret->timestamps = is_true(http_query(request, STR("timestamps")));
    int64_t since = 0;
    if (number(request, "tailLines", 0, &ret->tail_lines, ret_message) ||
        number(request, "limitBytes", 1, &ret->limit_bytes, ret_message) ||
        number(request, "sinceSeconds", 1, &since, ret_message))
        return -EINVAL;
    if (since)
        ret->since = now - since * NSEC_PER_SEC;
    Str time = http_query(request, STR("sinceTime"));
    if (time.len && time_parse(time, &ret->since) != 0) {
        *ret_message = arena_printf(
            request->arena, "sinceTime: Invalid value: \"%.*s\": must be a time in RFC 3339",
            STR_ARG(time));
        return -EINVAL;
    }
    return 0;
}

// Serving
// ------------------------------------------------------------------------------------------

static void reader_free(LogReader *reader) {
    list_remove(&reader->link);
    loop_task_cancel(reader->agent->loop, &reader->step);
    if (reader->watch)
        loop_fd_free(reader->watch);
    if (reader->notify >= 0)
        close(reader->notify);
    if (reader->fd >= 0)
        close(reader->fd);
    buf_deinit(&reader->pending);
    free(reader);
}

static void on_close(HttpRequest *request, bool completed) {
    reader_free(request->user);
}

static void on_drain(HttpRequest *request) {
    LogReader *reader = request->user;
    reader->waiting = false;
    loop_post(reader->agent->loop, &reader->step);
}

static void send(LogReader *reader, Str text) {
    if (reader->options.limit_bytes >= 0 && (int64_t)text.len > reader->options.limit_bytes)
        text.len = (size_t)reader->options.limit_bytes;
    if (reader->options.limit_bytes >= 0)
        reader->options.limit_bytes -= (int64_t)text.len;
    if (!text.len)
        return;
    _bytes_unref_ Bytes *bytes = bytes_new(text.ptr, text.len);
    http_respond_data(reader->request, bytes);
}

// Reads one chunk. Returns how many bytes came, 0 at the end of what is there, or negative errno.
static ssize_t read_chunk(LogReader *reader) {
    char *into = buf_reserve(&reader->pending, CHUNK);
    if (!into)
        return -EMSGSIZE;
    ssize_t got = read(reader->fd, into, CHUNK);
    if (got < 0)
        return -errno;
    buf_commit(&reader->pending, (size_t)got);
    Buf out = BUF_INIT(2 * MAX_LINE + 2 * CHUNK);
    buf_consume(&reader->pending, log_format(&reader->format, buf_view(&reader->pending), &out));
    send(reader, buf_view(&out));
    buf_deinit(&out);
    return got;
}

static void step(void *user) {
    LogReader *reader = user;
    ssize_t got = 1;
    while (got > 0 && reader->options.limit_bytes != 0) {
        if (http_respond_queued(reader->request) > STREAM_HIGH_WATER) {
            reader->waiting = true; // on_drain goes on
            return;
        }
        got = read_chunk(reader);
    }
    if (got < 0 || reader->options.limit_bytes == 0 || !reader->options.follow || reader->ended)
        http_respond_end(reader->request); // on_close frees the reader
}

static void on_notify(void *user, int events) {
    LogReader *reader = user;
    char changes[4096] __attribute__((aligned(8)));
    while (read(reader->notify, changes, sizeof changes) > 0)
        ;
    if (!reader->waiting)
        loop_post(reader->agent->loop, &reader->step);
}

static int follow(LogReader *reader) {
    reader->notify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (reader->notify < 0 || inotify_add_watch(reader->notify, reader->path.ptr, IN_MODIFY) < 0)
        return -errno;
    reader->watch = loop_fd_new(reader->agent->loop, reader->notify, on_notify, reader);
    loop_fd_want(reader->watch, LOOP_READ);
    return 0;
}

static int open_log(LogReader *reader) {
    reader->fd = open(reader->path.ptr, O_RDONLY | O_CLOEXEC);
    if (reader->fd < 0)
        return -errno;
    struct stat status;
    int64_t offset = 0;
    int error = 0;
    if (reader->options.tail_lines >= 0 && fstat(reader->fd, &status) == 0)
        error = log_tail_offset(reader->fd, status.st_size, reader->options.tail_lines, &offset);
    if (!error && lseek(reader->fd, offset, SEEK_SET) < 0)
        error = -errno;
    return error ? error : reader->options.follow ? follow(reader) : 0;
}

void log_serve(NodeAgent *agent, HttpRequest *request, Str path, Str container_id, bool running,
               const LogOptions *options) {
    LogReader *reader = memory_new(LogReader);
    reader->agent = agent;
    reader->request = request;
    reader->options = *options;
    reader->format = (LogFormat){.timestamps = options->timestamps, .since = options->since};
    reader->fd = reader->notify = -1;
    reader->path = arena_str(request->arena, path);
    reader->container_id = arena_str(request->arena, container_id);
    reader->ended = !running;
    reader->pending = BUF_INIT(MAX_LINE + CHUNK);
    reader->step = (LoopTask){.fn = step, .user = reader};
    list_append(&agent->log_readers, &reader->link);
    int error = open_log(reader);
    if (error) {
        reader_free(reader);
        Str text = arena_printf(request->arena, "failed to open log file \"%.*s\": %s\n",
                                STR_ARG(path), strerror(-error));
        _bytes_unref_ Bytes *body = bytes_new(text.ptr, text.len);
        http_respond(request, error == -ENOENT ? 404 : 500, STR("text/plain; charset=utf-8"), body);
        return;
    }
    request->user = reader;
    request->on_close = on_close;
    request->on_drain = on_drain;
    const HttpHeader header = {STR("Content-Type"), STR("text/plain")};
    http_respond_head(request, 200, &header, 1);
    loop_post(agent->loop, &reader->step);
}

void log_container_ended(NodeAgent *agent, Str container_id) {
    LogReader *reader;
    list_for_each(reader, &agent->log_readers, link) {
        if (!str_eq(reader->container_id, container_id))
            continue;
        reader->ended = true;
        if (!reader->waiting)
            loop_post(agent->loop, &reader->step);
    }
}
