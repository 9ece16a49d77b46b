#include "image/layer_flow.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/memory.h"
#include "image/digest.h"
#include "image/inflate.h"

#define PUSH_MAX (1u << 20)
#define PUSHED_ENOUGH (256u << 10)
#define CHUNK (128u << 10)
#define PIPE_SIZE (512 << 10)

struct LayerFlow {
    int directory, empty;
    UnpackLimits limits;
    bool started, compressed;
    bool finished;    // nothing more will be pushed
    bool plain_ended; // the whole tar went by
    bool broken;      // the unpacking stage takes no more
    Stage inflate, unpack;
    int to_inflate, from_inflate, to_unpack; // -1 when closed
    Buf pushed;                              // still to go to the first stage
    Buf plain;                               // still to go to the unpacking stage
    Sha256 *blob_sha, *diff_sha;
    uint64_t blob_bytes, plain_bytes;
};

LayerFlow *layer_flow_new(int directory, int empty, const UnpackLimits *limits) {
    LayerFlow *flow = memory_new(LayerFlow);
    flow->directory = directory;
    flow->empty = empty;
    flow->limits = *limits;
    flow->to_inflate = flow->from_inflate = flow->to_unpack = -1;
    flow->pushed = BUF_INIT(2 * PUSH_MAX);
    flow->plain = BUF_INIT(2 * PUSH_MAX);
    flow->blob_sha = sha256_new();
    flow->diff_sha = sha256_new();
    return flow;
}

static void close_fd(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void layer_flow_free(LayerFlow *flow) {
    if (!flow)
        return;
    close_fd(&flow->to_inflate);
    close_fd(&flow->from_inflate);
    close_fd(&flow->to_unpack);
    stage_kill(&flow->inflate);
    stage_kill(&flow->unpack);
    buf_deinit(&flow->pushed);
    buf_deinit(&flow->plain);
    sha256_free(flow->blob_sha);
    sha256_free(flow->diff_sha);
    free(flow);
}

uint64_t layer_flow_pushed(const LayerFlow *flow) {
    return flow->blob_bytes;
}

bool layer_flow_is_idle(const LayerFlow *flow) {
    return !flow->finished && flow->pushed.len < PUSHED_ENOUGH;
}

bool layer_flow_push(LayerFlow *flow, const void *data, size_t len) {
    assert(len <= PUSH_MAX && !flow->finished);
    if (!layer_flow_is_idle(flow))
        return false;
    sha256_add(flow->blob_sha, data, len);
    flow->blob_bytes += len;
    buf_append(&flow->pushed, data, len);
    return true;
}

void layer_flow_finish(LayerFlow *flow) {
    flow->finished = true;
}

// A pipe whose end at `ours` does not block.
static int make_pipe(int fds[2], int ours) {
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    (void)fcntl(fds[0], F_SETPIPE_SZ, PIPE_SIZE); // a wish
    return fcntl(fds[ours], F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static int start_unpack(LayerFlow *flow, Failure *failure) {
    int fds[2];
    int error = make_pipe(fds, 1);
    if (error)
        return failure_errno(failure, error, "cannot make a pipe");
    int code = stage_start(STAGE_UNPACK, fds[0], -1, flow->directory, &flow->limits, &flow->unpack,
                           failure);
    close(fds[0]);
    flow->to_unpack = fds[1];
    return code;
}

static int start_inflate(LayerFlow *flow, Failure *failure) {
    int in[2], out[2];
    int error = make_pipe(in, 1);
    if (error)
        return failure_errno(failure, error, "cannot make a pipe");
    flow->to_inflate = in[1];
    error = make_pipe(out, 0);
    if (error) {
        close(in[0]);
        return failure_errno(failure, error, "cannot make a pipe");
    }
    flow->from_inflate = out[0];
    int code = stage_start(STAGE_INFLATE, in[0], out[1], flow->empty, &flow->limits, &flow->inflate,
                           failure);
    close(in[0]);
    close(out[1]);
    return code;
}

static int start(LayerFlow *flow, Failure *failure) {
    flow->started = true;
    flow->compressed = compression_of(buf_view(&flow->pushed)) != COMPRESSION_NONE;
    int code = start_unpack(flow, failure);
    if (!code && flow->compressed)
        code = start_inflate(flow, failure);
    return code;
}

// Bytes of the uncompressed tar.
static int take_plain(LayerFlow *flow, const void *data, size_t len, Failure *failure) {
    flow->plain_bytes += len;
    if (flow->plain_bytes > flow->limits.bytes)
        return failure_set(failure, IMAGE_E_BAD_DATA,
                           "layer unpacks to more than %" PRIu64 " bytes", flow->limits.bytes);
    sha256_add(flow->diff_sha, data, len);
    buf_append(&flow->plain, data, len);
    assert(!flow->plain.failed);
    return 0;
}

// Writes what the pipe takes. Returns how much, -EPIPE when nobody reads any more.
static ssize_t drain_into(int fd, Buf *buf) {
    ssize_t n = write(fd, buf->data, buf->len);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    buf_consume(buf, (size_t)n);
    return n;
}

static int read_inflated(LayerFlow *flow, bool *ret_moved, Failure *failure) {
    static char chunk[CHUNK];
    ssize_t n = read(flow->from_inflate, chunk, sizeof(chunk));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n < 0)
        return failure_errno(failure, -errno, "cannot read from a pipe");
    *ret_moved = true;
    if (n > 0)
        return take_plain(flow, chunk, (size_t)n, failure);
    close_fd(&flow->from_inflate);
    flow->plain_ended = true;
    // Its complaint, if it has one, comes before those of the stage that got only a part.
    return stage_end(&flow->inflate, NULL, failure);
}

// Feeds the unpacking stage.
static int step_plain(LayerFlow *flow, bool *ret_moved, Failure *failure) {
    int code = 0;
    if (flow->plain.len > 0) {
        ssize_t n = drain_into(flow->to_unpack, &flow->plain);
        if (n < 0) {
            flow->broken = true;
            return 0;
        }
        *ret_moved = *ret_moved || n > 0;
    } else if (flow->from_inflate >= 0) {
        code = read_inflated(flow, ret_moved, failure);
    } else if (!flow->compressed && flow->pushed.len > 0) {
        *ret_moved = true;
        code = take_plain(flow, flow->pushed.data, flow->pushed.len, failure);
        buf_clear(&flow->pushed);
    } else if (!flow->compressed && flow->finished) {
        flow->plain_ended = true;
    }
    if (!code && flow->plain_ended && flow->plain.len == 0)
        close_fd(&flow->to_unpack);
    return code;
}

// Feeds the decompressing stage.
static void step_compressed(LayerFlow *flow, bool *ret_moved) {
    if (flow->pushed.len > 0) {
        ssize_t n = drain_into(flow->to_inflate, &flow->pushed);
        if (n < 0) { // it has failed: its output ends, and then it tells why
            buf_clear(&flow->pushed);
            return;
        }
        *ret_moved = *ret_moved || n > 0;
    }
    if (flow->pushed.len == 0 && flow->finished)
        close_fd(&flow->to_inflate);
}

int layer_flow_step(LayerFlow *flow, Failure *failure) {
    if (!flow->started) {
        if (flow->pushed.len < COMPRESSION_MAGIC && !flow->finished)
            return 0;
        int code = start(flow, failure);
        if (code)
            return code;
    }
    bool moved = true;
    while (moved && !flow->broken && flow->to_unpack >= 0) {
        moved = false;
        if (flow->to_inflate >= 0)
            step_compressed(flow, &moved);
        int code = step_plain(flow, &moved, failure);
        if (code)
            return code;
    }
    if (!flow->broken)
        return 0;
    // The unpacking stage gave up before the end and says why.
    int code = stage_end(&flow->unpack, NULL, failure);
    return code ? code
                : failure_set(failure, IMAGE_E_OTHER, "the process that unpacks ended too early");
}

bool layer_flow_is_done(const LayerFlow *flow) {
    if (!flow->started || flow->to_unpack >= 0)
        return false;
    struct pollfd fd = {.fd = flow->unpack.status, .events = POLLIN};
    return poll(&fd, 1, 0) != 0;
}

size_t layer_flow_poll(const LayerFlow *flow, struct pollfd *fds) {
    size_t n = 0;
    if (!flow->started)
        return 0;
    if (flow->to_inflate >= 0 && flow->pushed.len > 0)
        fds[n++] = (struct pollfd){.fd = flow->to_inflate, .events = POLLOUT};
    if (flow->from_inflate >= 0 && flow->plain.len == 0)
        fds[n++] = (struct pollfd){.fd = flow->from_inflate, .events = POLLIN};
    if (flow->to_unpack >= 0 && flow->plain.len > 0)
        fds[n++] = (struct pollfd){.fd = flow->to_unpack, .events = POLLOUT};
    if (flow->to_unpack < 0)
        fds[n++] = (struct pollfd){.fd = flow->unpack.status, .events = POLLIN};
    assert(n <= LAYER_FLOW_FDS);
    return n;
}

int layer_flow_end(LayerFlow *flow, Arena *arena, LayerDone *ret_done, Failure *failure) {
    assert(flow->plain_ended);
    int code = stage_end(&flow->unpack, &ret_done->unpacked, failure);
    if (code)
        return code;
    ret_done->blob = sha256_end(flow->blob_sha, arena);
    ret_done->diff_id = sha256_end(flow->diff_sha, arena);
    ret_done->pushed = flow->blob_bytes;
    return 0;
}
