// Questions about other zones: asked of upstream servers in turn, each by UDP from a port of its
// own and, when the answer is cut short and the client came by TCP, by TCP. Equal questions that
// are under way are asked once.
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/map.h"
#include "base/memory.h"
#include "base/stream.h"
#include "http/dial.h"
#include "net/dns_private.h"

#define SERVERS_MAX 8
#define OPEN_MAX 1000 // questions under way; further ones fail at once
#define ATTEMPTS 4
#define TIMEOUT (1500 * NSEC_PER_MSEC)
#define RESOLV_CHECK (5 * NSEC_PER_SEC)
#define RESOLV_MAX 65536

struct DnsForwarder {
    Loop *loop;
    uint32_t own; // our address: never asked
    struct sockaddr_in servers[SERVERS_MAX];
    size_t n_servers;
    char *resolv_conf; // NULL: the servers are given
    int64_t checked;
    struct timespec modified;
    Map *open; // key -> Question
    DnsCache *cache;
    uint8_t scratch[DNS_TCP_MAX];
};

typedef struct Question { // under way
    DnsForwarder *forwarder;
    List askers;
    uint16_t id, type;
    bool dnssec_ok, wants_tcp;
    unsigned attempt;
    size_t server;
    int fd;
    LoopFd *watch;
    LoopTimer timer;
    Dial *dial;
    Stream *stream;
    Buf received;
    size_t name_len, key_len;
    char name[DNS_NAME_MAX + 1], key[DNS_NAME_MAX + 4];
} Question;

// ---- which servers

static bool parse_server(Str text, struct sockaddr_in *ret) {
    Str rest = text, host = str_cut(&rest, ':');
    uint32_t address;
    uint64_t port = 53;
    if (ipv4_parse(host, &address) || (rest.ptr && (str_to_u64(rest, &port) || port > 65535)))
        return false;
    *ret = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    ret->sin_addr.s_addr = htonl(address);
    return true;
}

static void add_server(DnsForwarder *f, Str text) {
    struct sockaddr_in server;
    if (f->n_servers < SERVERS_MAX && parse_server(text, &server) &&
        ntohl(server.sin_addr.s_addr) != f->own)
        f->servers[f->n_servers++] = server;
}

static void read_servers(DnsForwarder *f) {
    struct stat status;
    char *text = memory_alloc(RESOLV_MAX);
    FILE *file = fopen(f->resolv_conf, "re");
    size_t n = file ? fread(text, 1, RESOLV_MAX, file) : 0;
    if (file && fstat(fileno(file), &status) == 0)
        f->modified = status.st_mtim;
    if (file)
        fclose(file);
    f->n_servers = 0;
    Str rest = str_of(text, n);
    while (rest.len) {
        Str line = str_trim(str_cut(&rest, '\n')), word = STR("nameserver");
        if (str_starts_with(line, word))
            add_server(f, str_trim(str_slice(line, word.len, line.len)));
    }
    free(text);
}

static void refresh_servers(DnsForwarder *f) {
    struct stat status;
    int64_t now = loop_now(f->loop);
    if (!f->resolv_conf || now - f->checked < RESOLV_CHECK)
        return;
    f->checked = now;
    if (stat(f->resolv_conf, &status) == 0 && (status.st_mtim.tv_sec != f->modified.tv_sec ||
                                               status.st_mtim.tv_nsec != f->modified.tv_nsec))
        read_servers(f);
}

// ---- the end of a question

static void close_attempt(Question *q) {
    loop_fd_free(q->watch);
    q->watch = NULL;
    if (q->fd >= 0)
        close(q->fd);
    q->fd = -1;
    if (q->dial)
        dial_cancel(q->dial);
    q->dial = NULL;
    if (q->stream)
        stream_abort(q->stream);
    q->stream = NULL;
    buf_clear(&q->received);
    loop_timer_stop(&q->timer);
}

static void question_free(Question *q) {
    close_attempt(q);
    map_remove(q->forwarder->open, str_of(q->key, q->key_len));
    buf_deinit(&q->received);
    free(q);
}

static void finish(Question *q, const uint8_t *reply, size_t len) {
    List askers;
    list_init(&askers);
    DnsAsker *asker;
    ListLink *link;
    while ((link = list_first(&q->askers))) {
        list_remove(link);
        list_append(&askers, link);
    }
    // The reply may be in the question's own buffers.
    Bytes *copy = reply ? bytes_new(reply, len) : NULL;
    question_free(q);
    while ((link = list_first(&askers))) {
        list_remove(link);
        asker = container_of(link, DnsAsker, waiting);
        dns_asker_answer(asker, copy ? (const uint8_t *)copy->data : NULL, len);
    }
    bytes_unref(copy);
}

static void attempt(Question *q);

static void next_attempt(Question *q) {
    close_attempt(q);
    q->server++;
    if (++q->attempt < ATTEMPTS)
        attempt(q);
    else
        finish(q, NULL, 0);
}

static void on_timeout(void *user) {
    next_attempt(user);
}

static void try_tcp(Question *q);

static void take_reply(Question *q, const uint8_t *packet, size_t len, bool by_tcp) {
    DnsReply reply;
    if (!dns_reply_parse(packet, len, q->id, str_of(q->name, q->name_len), q->type, &reply))
        return; // not ours: the answer may still come
    if (reply.code == DNS_SERVFAIL || reply.code == DNS_REFUSED) {
        if (q->attempt + 1 < ATTEMPTS && q->attempt + 1 < q->forwarder->n_servers)
            next_attempt(q);
        else
            finish(q, packet, len);
        return;
    }
    if (reply.truncated && !by_tcp && q->wants_tcp) {
        try_tcp(q);
        return;
    }
    if (!reply.truncated && (reply.code == DNS_OK || reply.code == DNS_NXDOMAIN))
        dns_cache_put(q->forwarder->cache, str_of(q->name, q->name_len), q->type, q->dnssec_ok,
                      loop_now(q->forwarder->loop), reply.ttl, packet, len);
    finish(q, packet, len);
}

// ---- by UDP

static void on_readable(void *user, int events) {
    Question *q = user;
    uint8_t packet[4096];
    ssize_t n = recv(q->fd, packet, sizeof packet, MSG_DONTWAIT);
    if (n > 0)
        take_reply(q, packet, (size_t)n, false);
    else if (n < 0 && errno != EAGAIN && errno != EINTR)
        next_attempt(q); // nobody listens there
}

static int send_question(Question *q, const struct sockaddr_in *server) {
    uint8_t packet[DNS_UDP_PLAIN];
    size_t len = dns_question(packet, q->id, str_of(q->name, q->name_len), q->type, q->dnssec_ok);
    if (!len)
        return -EINVAL;
    q->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (q->fd < 0 || connect(q->fd, (const struct sockaddr *)server, sizeof *server) < 0 ||
        send(q->fd, packet, len, 0) < 0)
        return -errno;
    q->watch = loop_fd_new(q->forwarder->loop, q->fd, on_readable, q);
    if (!q->watch)
        return -errno;
    loop_fd_want(q->watch, LOOP_READ);
    return 0;
}

static void attempt(Question *q) {
    DnsForwarder *f = q->forwarder;
    q->id = (uint16_t)loop_random(f->loop);
    // A failure here is told later, as every other.
    int error = send_question(q, &f->servers[q->server % f->n_servers]);
    loop_timer_start(&q->timer, error ? 0 : TIMEOUT);
}

// ---- by TCP

static void on_tcp_data(void *user, Str data) {
    Question *q = user;
    buf_str(&q->received, data);
    Str all = buf_view(&q->received);
    size_t len = all.len >= 2 ? (size_t)(uint8_t)all.ptr[0] << 8 | (uint8_t)all.ptr[1] : SIZE_MAX;
    if (len != SIZE_MAX && all.len >= len + 2)
        take_reply(q, (const uint8_t *)all.ptr + 2, len, true);
}

static void on_tcp_end(void *user) {}

static void on_tcp_close(void *user, int error) {
    Question *q = user;
    q->stream = NULL;
    next_attempt(q);
}

static void on_dialled(void *user, Stream *stream, int error, bool http2) {
    static const StreamEvents events = {
        .on_data = on_tcp_data, .on_end = on_tcp_end, .on_close = on_tcp_close};
    Question *q = user;
    uint8_t packet[DNS_UDP_PLAIN + 2];
    q->dial = NULL;
    if (error) {
        next_attempt(q);
        return;
    }
    q->stream = stream;
    stream_start(stream, &events, q);
    size_t len =
        dns_question(packet + 2, q->id, str_of(q->name, q->name_len), q->type, q->dnssec_ok);
    packet[0] = (uint8_t)(len >> 8);
    packet[1] = (uint8_t)len;
    stream_write(stream, str_of(packet, len + 2));
}

static void try_tcp(Question *q) {
    char host[IPAM_TEXT];
    const struct sockaddr_in *server = &q->forwarder->servers[q->server % q->forwarder->n_servers];
    close_attempt(q);
    ipv4_format(ntohl(server->sin_addr.s_addr), host);
    q->dial = dial_start(&(DialSpec){.loop = q->forwarder->loop,
                                     .host = host,
                                     .port = ntohs(server->sin_port),
                                     .http1 = true},
                         on_dialled, q);
    loop_timer_start(&q->timer, TIMEOUT);
}

// ---- asking

static Question *question_new(DnsForwarder *f, Str key, Str name, uint16_t type, bool dnssec_ok) {
    Question *q = memory_new(Question);
    q->forwarder = f;
    list_init(&q->askers);
    q->type = type;
    q->dnssec_ok = dnssec_ok;
    q->fd = -1;
    q->received = BUF_INIT(DNS_TCP_MAX + 2);
    memcpy(q->name, name.ptr, name.len);
    q->name_len = name.len;
    memcpy(q->key, key.ptr, key.len);
    q->key_len = key.len;
    loop_timer_init(&q->timer, f->loop, on_timeout, q);
    map_put(f->open, key, q);
    return q;
}

void dns_forward(DnsForwarder *f, Str name, DnsAsker *asker) {
    uint16_t type = asker->query.type;
    bool dnssec_ok = asker->query.dnssec_ok;
    int64_t now = loop_now(f->loop);
    refresh_servers(f);
    size_t len = name.len <= DNS_NAME_MAX
                     ? dns_cache_get(f->cache, name, type, dnssec_ok, now, f->scratch)
                     : 0;
    if (len || !f->n_servers || name.len > DNS_NAME_MAX || map_count(f->open) >= OPEN_MAX) {
        dns_asker_answer(asker, len ? f->scratch : NULL, len);
        return;
    }
    char key[DNS_NAME_MAX + 4];
    bool by_tcp = asker->connection != NULL;
    memcpy(key, &type, 2);
    key[2] = (char)(dnssec_ok | by_tcp << 1);
    memcpy(key + 3, name.ptr, name.len);
    Question *q = map_get(f->open, str_of(key, name.len + 3));
    bool is_new = !q;
    if (is_new)
        q = question_new(f, str_of(key, name.len + 3), name, type, dnssec_ok);
    q->wants_tcp = by_tcp;
    list_append(&q->askers, &asker->waiting);
    if (is_new)
        attempt(q);
}

void dns_forward_cancel(DnsForwarder *f, DnsAsker *asker) {
    list_remove(&asker->waiting);
    free(asker);
}

DnsForwarder *dns_forwarder_new(const DnsConfig *config) {
    DnsForwarder *f = memory_new(DnsForwarder);
    f->loop = config->loop;
    f->open = map_new();
    f->cache = dns_cache_new();
    (void)!ipv4_parse(str_from(config->address), &f->own);
    for (size_t i = 0; i < config->n_upstreams; i++)
        add_server(f, str_from(config->upstreams[i]));
    if (!config->n_upstreams && config->resolv_conf) {
        f->resolv_conf = strdup(config->resolv_conf);
        read_servers(f);
    }
    return f;
}

void dns_forwarder_free(DnsForwarder *f) {
    MapIter iter = {0};
    while (map_next(f->open, &iter)) {
        Question *q = iter.value;
        ListLink *link;
        while ((link = list_first(&q->askers))) {
            list_remove(link);
            free(container_of(link, DnsAsker, waiting));
        }
        question_free(q);
    }
    map_free(f->open);
    dns_cache_free(f->cache);
    free(f->resolv_conf);
    free(f);
}
