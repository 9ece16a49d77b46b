#include "image/archive.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "image/inflate.h"
#include "image/layer_flow.h"
#include "image/split.h"
#include "image/tree.h"

#define CHUNK (128u << 10)
#define ARCHIVE_FILES_MAX 100000
#define ARCHIVE_DOCUMENTS_MAX (64u << 20) // bytes, all together
#define LINKS_MAX 8
#define HEAD_SIZE 512 // what tells a tar

// A layer that is being unpacked, fed by blocking reads.
typedef struct Feed {
    Job *job;
    LayerFlow *flow;
    int directory;
    Str name;
    size_t bar;
} Feed;

static int feed_start(Job *job, Str label, uint64_t total, Feed *ret_feed) {
    *ret_feed = (Feed){.job = job, .directory = -1};
    int code = depot_new_layer(job->depot, job->arena, &ret_feed->name, &ret_feed->directory,
                               job->failure);
    if (code)
        return code;
    ret_feed->flow = layer_flow_new(ret_feed->directory, depot_empty(job->depot), &job->limits);
    ret_feed->bar = output_layer(job->output, label, total);
    return 0;
}

static int feed_wait(Feed *feed, bool (*until)(const LayerFlow *)) {
    for (;;) {
        int code = layer_flow_step(feed->flow, feed->job->failure);
        if (code || until(feed->flow))
            return code;
        struct pollfd fds[LAYER_FLOW_FDS];
        size_t n = layer_flow_poll(feed->flow, fds);
        if (poll(fds, n, -1) < 0 && errno != EINTR)
            return failure_errno(feed->job->failure, -errno, "cannot poll");
    }
}

static int feed_push(Feed *feed, const void *data, size_t len) {
    int code = 0;
    if (!layer_flow_is_idle(feed->flow))
        code = feed_wait(feed, layer_flow_is_idle);
    if (code)
        return code;
    bool taken = layer_flow_push(feed->flow, data, len);
    assert(taken);
    output_layer_state(feed->job->output, feed->bar, LAYER_DOWNLOADING,
                       layer_flow_pushed(feed->flow));
    return layer_flow_step(feed->flow, feed->job->failure);
}

static int feed_end(Feed *feed, ArchiveFile *ret_layer) {
    Job *job = feed->job;
    LayerDone done;
    layer_flow_finish(feed->flow);
    output_layer_state(job->output, feed->bar, LAYER_UNPACKING, layer_flow_pushed(feed->flow));
    int code = feed_wait(feed, layer_flow_is_done);
    if (!code)
        code = layer_flow_end(feed->flow, job->arena, &done, job->failure);
    if (code)
        return code;
    output_layer_state(job->output, feed->bar, LAYER_DONE, done.pushed);
    *ret_layer = (ArchiveFile){.layer = feed->name,
                               .blob = done.blob,
                               .diff_id = done.diff_id,
                               .size = done.pushed,
                               .unpacked = done.unpacked};
    return 0;
}

static void feed_free(Feed *feed, bool drop) {
    layer_flow_free(feed->flow);
    if (feed->directory >= 0)
        close(feed->directory);
    if (drop && feed->name.ptr)
        depot_drop_layer(feed->job->depot, feed->name);
}

static ssize_t read_some(int fd, void *data, size_t len) {
    ssize_t n;
    do
        n = read(fd, data, len);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

int archive_unpack_fd(Job *job, int fd, Str label, ArchiveFile *ret_layer) {
    static char chunk[CHUNK];
    struct stat status;
    bool known = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
    Feed feed;
    int code = feed_start(job, label, known ? (uint64_t)status.st_size : 0, &feed);
    while (!code) {
        ssize_t n = read_some(fd, chunk, sizeof(chunk));
        if (n < 0)
            code = failure_errno(job->failure, (int)n, "cannot read the archive");
        if (n <= 0)
            break;
        code = feed_push(&feed, chunk, (size_t)n);
    }
    if (!code)
        code = feed_end(&feed, ret_layer);
    feed_free(&feed, code != 0);
    return code;
}

// The frames of the splitting stage.
typedef struct Frames {
    Job *job;
    Archive *archive;
    int fd;
    uint64_t documents; // bytes kept
    bool ended;         // the stage stopped; it will say why
} Frames;

// Reads exactly `len` bytes; less only when the stage stopped.
static int read_frame(Frames *frames, void *data, size_t len) {
    char *at = data;
    while (len > 0) {
        ssize_t n = read_some(frames->fd, at, len);
        if (n < 0)
            return failure_errno(frames->job->failure, (int)n, "cannot read the archive");
        if (n == 0) {
            frames->ended = true;
            return 0;
        }
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

static int skip_frame(Frames *frames, uint64_t len) {
    static char trash[CHUNK];
    int code = 0;
    while (!code && !frames->ended && len > 0) {
        size_t part = len < sizeof(trash) ? len : sizeof(trash);
        code = read_frame(frames, trash, part);
        len -= part;
    }
    return code;
}

static bool looks_like_document(Str head) {
    Str text = str_trim(head);
    return text.len > 0 && (text.ptr[0] == '{' || text.ptr[0] == '[');
}

static bool looks_like_layer(Str head, Str path) {
    return (head.len >= 262 && memcmp(head.ptr + 257, "ustar", 5) == 0) ||
           compression_of(head) != COMPRESSION_NONE || str_ends_with(path, STR(".tar"));
}

static int keep_document(Frames *frames, Str head, uint64_t size, ArchiveFile *file) {
    frames->documents += size;
    if (frames->documents > ARCHIVE_DOCUMENTS_MAX)
        return failure_set(frames->job->failure, IMAGE_E_BAD_DATA,
                           "the archive's documents are larger than 64 MiB");
    char *bytes = arena_alloc(frames->job->arena, size + 1);
    memcpy(bytes, head.ptr, head.len);
    bytes[size] = '\0';
    file->document = str_of(bytes, size);
    return read_frame(frames, bytes + head.len, size - head.len);
}

static int feed_frame(Frames *frames, Feed *feed, Str head, uint64_t rest) {
    static char chunk[CHUNK];
    int code = feed_push(feed, head.ptr, head.len);
    while (!code && !frames->ended && rest > 0) {
        ssize_t n = read_some(frames->fd, chunk, rest < sizeof(chunk) ? rest : sizeof(chunk));
        if (n < 0)
            return failure_errno(frames->job->failure, (int)n, "cannot read the archive");
        if (n == 0) {
            frames->ended = true;
            return 0;
        }
        rest -= (uint64_t)n;
        code = feed_push(feed, chunk, (size_t)n);
        if (code == IMAGE_E_BAD_DATA) { // perhaps nobody needs it
            int skip_code = skip_frame(frames, rest);
            return skip_code ? skip_code : code;
        }
    }
    return code;
}

static int keep_layer(Frames *frames, Str path, Str head, uint64_t size, ArchiveFile *file) {
    Job *job = frames->job;
    Str label = path;
    ptrdiff_t slash = str_find_last(label, '/');
    if (str_starts_with(path, STR("blobs/sha256/")))
        label = arena_printf(job->arena, "sha256:%.*s", (int)(path.len - 13), path.ptr + 13);
    else if (slash > 0) // "HEX/layer.tar"
        label = arena_printf(job->arena, "sha256:%.*s", (int)slash, path.ptr);
    Feed feed;
    int code = feed_start(job, label, size, &feed);
    if (!code)
        code = feed_frame(frames, &feed, head, size - head.len);
    if (!code && !frames->ended)
        code = feed_end(&feed, file);
    feed_free(&feed, code || frames->ended);
    if (code != IMAGE_E_BAD_DATA || frames->ended)
        return code;
    file->failure = arena_zalloc(job->arena, sizeof(Failure));
    *file->failure = *job->failure;
    job->failure->code = 0;
    return 0;
}

static int take_file(Frames *frames, Str path, uint64_t size, ArchiveFile *file) {
    char head_bytes[HEAD_SIZE];
    Str head = str_of(head_bytes, size < HEAD_SIZE ? size : HEAD_SIZE);
    int code = read_frame(frames, head_bytes, head.len);
    if (code || frames->ended)
        return code;
    if (looks_like_document(head) && size <= DOCUMENT_MAX &&
        !(head.len >= 262 && memcmp(head.ptr + 257, "ustar", 5) == 0))
        return keep_document(frames, head, size, file);
    if (looks_like_layer(head, path))
        return keep_layer(frames, path, head, size, file);
    return skip_frame(frames, size - head.len);
}

static int take_link(Frames *frames, const SplitHead *head, Str path, ArchiveFile *file) {
    if (head->size > SPLIT_NAME_MAX)
        return failure_set(frames->job->failure, IMAGE_E_BAD_DATA, "link in the archive too long");
    char target[SPLIT_NAME_MAX + 1];
    int code = read_frame(frames, target, head->size);
    if (code || frames->ended)
        return code;
    Str text = str_of(target, head->size), parent, name, clean;
    tree_split(path, &parent, &name);
    if (head->kind == SPLIT_SYMBOLIC_LINK)
        text = arena_printf(frames->job->arena, "%.*s/%.*s", STR_ARG(parent), STR_ARG(text));
    if (tree_clean_path(frames->job->arena, text, &clean) == 0)
        file->link = clean;
    return 0;
}

static int take_frame(Frames *frames) {
    Job *job = frames->job;
    SplitHead head;
    int code = read_frame(frames, &head, sizeof(head));
    if (code || frames->ended)
        return code;
    if (head.kind < SPLIT_FILE || head.kind > SPLIT_HARD_LINK || head.name_len > SPLIT_NAME_MAX)
        return failure_set(job->failure, IMAGE_E_OTHER, "the process that splits sends nonsense");
    char name[SPLIT_NAME_MAX];
    code = read_frame(frames, name, head.name_len);
    if (code || frames->ended)
        return code;
    Str path;
    if (tree_clean_path(job->arena, str_of(name, head.name_len), &path) != 0)
        return failure_set(job->failure, IMAGE_E_BAD_DATA, "bad file name in the archive");
    ArchiveFile *file = arena_new_of(job->arena, ArchiveFile);
    code = head.kind == SPLIT_FILE ? take_file(frames, path, head.size, file)
                                   : take_link(frames, &head, path, file);
    if (!code && !frames->ended)
        (void)map_put(frames->archive->files, path, file);
    return code;
}

// FILE ─▶ inflate ─▶ split ─▶ frames
static int start_stages(Job *job, int fd, Stage *inflate, Stage *split, int *ret_frames) {
    int plain[2], frames[2];
    if (pipe2(plain, O_CLOEXEC) < 0)
        return failure_errno(job->failure, -errno, "cannot make a pipe");
    int code = stage_start(STAGE_INFLATE, fd, plain[1], depot_empty(job->depot), &job->limits,
                           inflate, job->failure);
    close(plain[1]);
    if (!code && pipe2(frames, O_CLOEXEC) < 0)
        code = failure_errno(job->failure, -errno, "cannot make a pipe");
    if (!code) {
        UnpackLimits limits = {job->limits.bytes, ARCHIVE_FILES_MAX};
        code = stage_start(STAGE_SPLIT, plain[0], frames[1], depot_empty(job->depot), &limits,
                           split, job->failure);
        close(frames[1]);
        *ret_frames = frames[0];
    }
    close(plain[0]);
    return code;
}

int archive_read_stream(Job *job, int fd, Archive *ret_archive) {
    *ret_archive = (Archive){map_new(), -1};
    Frames frames = {.job = job, .archive = ret_archive, .fd = -1};
    Stage inflate = {0}, split = {0};
    int code = start_stages(job, fd, &inflate, &split, &frames.fd);
    while (!code && !frames.ended)
        code = take_frame(&frames);
    if (frames.fd >= 0)
        close(frames.fd);
    // Damage to the compression shows to the next stage as an archive that ends too early, so the
    // first stage's word counts more; but when the second stage stopped first, the first one only
    // says that nobody reads on.
    if (!code) {
        Failure *failure = job->failure, second = {0};
        int split_code = stage_end(&split, NULL, &second);
        code = stage_end(&inflate, NULL, failure);
        if (split_code && code != IMAGE_E_BAD_DATA) {
            *failure = second;
            code = split_code;
        }
    }
    stage_kill(&split);
    stage_kill(&inflate);
    return code;
}

void archive_use_directory(int fd, Archive *ret_archive) {
    *ret_archive = (Archive){map_new(), fd};
}

void archive_deinit(Archive *archive) {
    map_free(archive->files);
    *archive = (Archive){NULL, -1};
}

// Opens a file of an open layout; links may not lead out of it.
static int open_below(Arena *arena, int directory, Str path) {
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, directory, arena_cstr(arena, path), &how, sizeof(how));
    struct stat status;
    if (fd < 0)
        return -errno;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        return -EINVAL;
    }
    return fd;
}

static Str read_document(Job *job, Archive *archive, Str path) {
    int fd = open_below(job->arena, archive->directory, path);
    if (fd < 0)
        return STR_NONE;
    char *bytes = arena_alloc(job->arena, DOCUMENT_MAX + 1);
    size_t len = 0;
    ssize_t n;
    while (len <= DOCUMENT_MAX && (n = read_some(fd, bytes + len, DOCUMENT_MAX + 1 - len)) > 0)
        len += (size_t)n;
    close(fd);
    return len <= DOCUMENT_MAX ? str_of(bytes, len) : STR_NONE;
}

static ArchiveFile *find(Archive *archive, Str path) {
    ArchiveFile *file = map_get(archive->files, path);
    for (int links = 0; file && file->link.ptr; links++) {
        if (links == LINKS_MAX)
            return NULL;
        file = map_get(archive->files, file->link);
    }
    return file;
}

Str archive_document(Job *job, Archive *archive, Str path) {
    if (archive->directory >= 0)
        return read_document(job, archive, path);
    ArchiveFile *file = find(archive, path);
    return file ? file->document : STR_NONE;
}

int archive_layer(Job *job, Archive *archive, Str path, ArchiveFile **ret_layer) {
    ArchiveFile *file = find(archive, path);
    if (!file && archive->directory >= 0) {
        int fd = open_below(job->arena, archive->directory, path);
        if (fd >= 0) {
            file = arena_new_of(job->arena, ArchiveFile);
            Str label = arena_printf(job->arena, "sha256:%.*s", (int)(path.len - 13),
                                     path.ptr + 13); // "blobs/sha256/HEX"
            int code = archive_unpack_fd(job, fd, label, file);
            close(fd);
            if (code)
                return code;
            (void)map_put(archive->files, path, file);
        }
    }
    if (file && file->failure) {
        *job->failure = *file->failure;
        return failure_wrap(job->failure, "layer %.*s", STR_ARG(path));
    }
    if (!file || !file->diff_id.ptr)
        return failure_set(job->failure, IMAGE_E_BAD_DATA, "the archive lacks the layer %.*s",
                           STR_ARG(path));
    *ret_layer = file;
    return 0;
}
