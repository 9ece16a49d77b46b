#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/stream.h"
#include "http/socket.h"
#include "net/dns_private.h"

#define BATCH 32 // datagrams of one system call
#define RECEIVE_BUFFER (1024 * 1024)
#define CONNECTIONS_MAX 200
#define ASKERS_MAX 32                 // questions of one connection that wait for others
#define IDLE_TIME (30 * NSEC_PER_SEC) // of a connection

struct Dns {
    Loop *loop;
    DnsZone *zone;
    DnsForwarder *forwarder;
    int udp, tcp;
    uint16_t port;
    LoopFd *udp_watch, *tcp_watch;
    List connections;
    size_t n_connections;
    uint8_t questions[BATCH][DNS_UDP_PLAIN * 2], answers[BATCH][DNS_UDP_MAX];
    uint8_t large[DNS_TCP_MAX]; // an answer by TCP
};

typedef struct DnsConnection {
    ListLink link;
    Dns *dns;
    Stream *stream;
    LoopTimer idle;
    Buf received;
    List askers;
    size_t n_askers;
    bool ended; // the client asks nothing more
} DnsConnection;

// ---- answers to those who waited

static void send_to(DnsAsker *asker, const uint8_t *data, size_t len) {
    DnsConnection *connection = asker->connection;
    if (!connection) {
        (void)sendto(asker->dns->udp, data, len, MSG_DONTWAIT,
                     (const struct sockaddr *)&asker->from, sizeof asker->from);
        return;
    }
    const uint8_t head[] = {(uint8_t)(len >> 8), (uint8_t)len};
    stream_write(connection->stream, str_of(head, 2));
    stream_write(connection->stream, str_of(data, len));
    connection->n_askers--;
    if (connection->ended && !connection->n_askers)
        stream_close(connection->stream);
}

static size_t room_of(const DnsAsker *asker) {
    uint16_t size = asker->query.udp_size;
    if (asker->connection)
        return DNS_TCP_MAX;
    return size > DNS_UDP_MAX ? DNS_UDP_MAX : size;
}

static void copy_record(void *user, Str owner, uint16_t type, uint32_t ttl, const uint8_t *data,
                        size_t len, Str target) {
    DnsWriter *writer = user;
    if (type == DNS_CNAME)
        dns_add_name(writer, DNS_ANSWER, owner, type, ttl, target);
    else if (type == DNS_A || type == DNS_AAAA || type == DNS_TXT)
        dns_add(writer, DNS_ANSWER, owner, type, ttl, data, len);
}

// The CNAME again, then what upstream says of its target.
static void answer_alias(DnsAsker *asker, const uint8_t *reply, size_t len, uint8_t *data) {
    DnsWriter writer;
    uint8_t code;
    Str alias;
    dns_answer_begin(&writer, &asker->query, asker->question, data, room_of(asker));
    dns_zone_answer(asker->dns->zone, &asker->query, &writer, &code, &alias);
    if (reply)
        dns_reply_each(reply, len, copy_record, &writer);
    code = reply ? reply[3] & 15 : DNS_SERVFAIL;
    send_to(asker, data, dns_answer_end(&writer, code, reply != NULL));
}

static void answer_plain(DnsAsker *asker, const uint8_t *reply, size_t len, uint8_t *data) {
    const DnsQuery *query = &asker->query;
    memcpy(data, reply, len);
    if (!query->edns)
        len = dns_reply_plain(data, len);
    if (len > room_of(asker)) { // come again by TCP
        DnsWriter writer;
        dns_answer_begin(&writer, query, asker->question, data, DNS_UDP_PLAIN);
        writer.truncated = true;
        len = dns_answer_end(&writer, DNS_OK, false);
    } else {
        memcpy(data, asker->question, 2); // its id, and the name as it wrote it
        memcpy(data + 12, asker->question + 12, query->question_end - 12);
    }
    send_to(asker, data, len);
}

void dns_asker_answer(DnsAsker *asker, const uint8_t *reply, size_t len) {
    uint8_t *data = asker->dns->large;
    DnsWriter writer;
    list_remove(&asker->link);
    if (asker->alias) {
        answer_alias(asker, reply, len, data);
    } else if (reply) {
        answer_plain(asker, reply, len, data);
    } else {
        dns_answer_begin(&writer, &asker->query, asker->question, data, DNS_UDP_PLAIN);
        send_to(asker, data, dns_answer_end(&writer, DNS_SERVFAIL, false));
    }
    free(asker);
}

// ---- questions

typedef struct Origin { // of a question
    DnsConnection *connection;
    const struct sockaddr_in *from;
} Origin;

static void ask_others(Dns *dns, const Origin *origin, const DnsQuery *query, const uint8_t *packet,
                       Str alias) {
    DnsAsker *asker = memory_new(DnsAsker);
    asker->dns = dns;
    asker->query = *query;
    asker->alias = alias.ptr != NULL;
    asker->connection = origin->connection;
    memcpy(asker->question, packet, query->question_end);
    if (origin->connection) {
        list_append(&origin->connection->askers, &asker->link);
        origin->connection->n_askers++;
    } else {
        asker->from = *origin->from;
    }
    char name[DNS_NAME_MAX + 1];
    size_t len = 0;
    if (!alias.ptr)
        alias = str_of(query->name, query->name_len);
    for (; len < alias.len && len < DNS_NAME_MAX; len++)
        name[len] = alias.ptr[len] >= 'A' && alias.ptr[len] <= 'Z'
                        ? (char)(alias.ptr[len] + 'a' - 'A')
                        : alias.ptr[len];
    if (len && name[len - 1] == '.')
        len--;
    dns_forward(dns->forwarder, str_of(name, len), asker);
}

// An alias for a name of the cluster's own is followed here, once.
static bool follow_here(Dns *dns, const DnsQuery *query, DnsWriter *writer, Str alias,
                        uint8_t *code) {
    DnsQuery next = *query;
    Str further;
    if (!dns_zone_holds(dns->zone, alias) || alias.len > DNS_NAME_MAX)
        return false;
    memcpy(next.name, alias.ptr, alias.len);
    next.name_len = alias.len;
    next.has_question = false; // its name is none that pointers could lead to
    const DnsQuery *asked = writer->query;
    writer->query = &next;
    (void)dns_zone_answer(dns->zone, &next, writer, code, &further);
    writer->query = asked;
    return true;
}

// Returns the answer's length, or 0 when there is none yet, or ever.
static size_t answer(Dns *dns, const Origin *origin, const uint8_t *packet, size_t len,
                     uint8_t *data, size_t max) {
    DnsQuery query;
    DnsWriter writer;
    Str alias = STR_NONE;
    uint8_t code = 0;
    int wrong = dns_query_parse(packet, len, &query);
    if (wrong < 0)
        return 0;
    if (!origin->connection)
        max = query.udp_size < max ? query.udp_size : max;
    dns_answer_begin(&writer, &query, packet, data, max);
    if (wrong)
        return dns_answer_end(&writer, (uint8_t)wrong, false);
    DnsVerdict verdict = dns_zone_answer(dns->zone, &query, &writer, &code, &alias);
    if (verdict == DNS_ALIAS && follow_here(dns, &query, &writer, alias, &code))
        verdict = DNS_ANSWERED;
    if (verdict == DNS_ANSWERED)
        return dns_answer_end(&writer, code, true);
    ask_others(dns, origin, &query, packet, verdict == DNS_ALIAS ? alias : STR_NONE);
    return 0;
}

// ---- UDP

static void on_datagrams(void *user, int events) {
    Dns *dns = user;
    struct mmsghdr in[BATCH], out[BATCH];
    struct iovec in_data[BATCH], out_data[BATCH];
    struct sockaddr_in from[BATCH];
    for (size_t i = 0; i < BATCH; i++) {
        in_data[i] = (struct iovec){dns->questions[i], sizeof dns->questions[i]};
        in[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
                                        .msg_namelen = sizeof from[i],
                                        .msg_iov = &in_data[i],
                                        .msg_iovlen = 1};
    }
    int n = recvmmsg(dns->udp, in, BATCH, MSG_DONTWAIT, NULL);
    unsigned answered = 0;
    for (int i = 0; i < n; i++) {
        Origin origin = {.from = &from[i]};
        size_t len = answer(dns, &origin, dns->questions[i], in[i].msg_len, dns->answers[answered],
                            DNS_UDP_MAX);
        if (!len)
            continue;
        out_data[answered] = (struct iovec){dns->answers[answered], len};
        out[answered].msg_hdr = (struct msghdr){.msg_name = &from[i],
                                                .msg_namelen = sizeof from[i],
                                                .msg_iov = &out_data[answered],
                                                .msg_iovlen = 1};
        answered++;
    }
    if (answered)
        (void)sendmmsg(dns->udp, out, answered, MSG_DONTWAIT);
}

// ---- TCP

static void connection_free(DnsConnection *connection) {
    DnsAsker *asker;
    list_for_each(asker, &connection->askers, link) {
        list_remove(&asker->link);
        dns_forward_cancel(connection->dns->forwarder, asker);
    }
    loop_timer_stop(&connection->idle);
    list_remove(&connection->link);
    connection->dns->n_connections--;
    buf_deinit(&connection->received);
    free(connection);
}

static void on_idle(void *user) {
    DnsConnection *connection = user;
    stream_abort(connection->stream);
    connection_free(connection);
}

static void answer_next(DnsConnection *connection, const uint8_t *packet, size_t len) {
    Dns *dns = connection->dns;
    Origin origin = {.connection = connection};
    size_t n = answer(dns, &origin, packet, len, dns->large, DNS_TCP_MAX);
    if (!n)
        return;
    const uint8_t head[] = {(uint8_t)(n >> 8), (uint8_t)n};
    stream_write(connection->stream, str_of(head, 2));
    stream_write(connection->stream, str_of(dns->large, n));
}

static bool is_full(const DnsConnection *connection) {
    return connection->n_askers >= ASKERS_MAX ||
           stream_queued(connection->stream) >= STREAM_HIGH_WATER;
}

static void on_data(void *user, Str data) {
    DnsConnection *connection = user;
    loop_timer_start(&connection->idle, IDLE_TIME);
    buf_str(&connection->received, data);
    for (;;) {
        Str all = buf_view(&connection->received);
        size_t len =
            all.len < 2 ? SIZE_MAX : (size_t)(uint8_t)all.ptr[0] << 8 | (uint8_t)all.ptr[1];
        if (len == SIZE_MAX || all.len < len + 2)
            break;
        if (is_full(connection)) { // it asks and does not listen
            connection->received.failed = true;
            break;
        }
        answer_next(connection, (const uint8_t *)all.ptr + 2, len);
        buf_consume(&connection->received, len + 2);
    }
    if (connection->received.failed)
        on_idle(connection);
}

static void on_end(void *user) {
    DnsConnection *connection = user;
    connection->ended = true;
    if (!connection->n_askers)
        stream_close(connection->stream);
}

static void on_close(void *user, int error) {
    connection_free(user);
}

static void on_accept(void *user, int events) {
    static const StreamEvents stream_events = {
        .on_data = on_data, .on_end = on_end, .on_close = on_close};
    Dns *dns = user;
    int fd = accept4(dns->tcp, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (dns->n_connections >= CONNECTIONS_MAX) {
        close(fd);
        return;
    }
    DnsConnection *connection = memory_new(DnsConnection);
    connection->dns = dns;
    connection->received = BUF_INIT(2 * DNS_TCP_MAX);
    list_init(&connection->askers);
    list_append(&dns->connections, &connection->link);
    dns->n_connections++;
    loop_timer_init(&connection->idle, dns->loop, on_idle, connection);
    loop_timer_start(&connection->idle, IDLE_TIME);
    connection->stream = stream_from_fd(dns->loop, fd);
    stream_start(connection->stream, &stream_events, connection);
}

// ---- life

static int open_udp(Dns *dns, const DnsConfig *config) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(dns->port)};
    int size = RECEIVE_BUFFER;
    if (inet_pton(AF_INET, config->address, &address.sin_addr) != 1)
        return -EINVAL;
    dns->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (dns->udp < 0 || bind(dns->udp, (struct sockaddr *)&address, sizeof address) < 0)
        return -errno;
    (void)setsockopt(dns->udp, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    dns->udp_watch = loop_fd_new(dns->loop, dns->udp, on_datagrams, dns);
    loop_fd_want(dns->udp_watch, LOOP_READ);
    return 0;
}

static int open_tcp(Dns *dns, const DnsConfig *config) {
    int error = socket_listen(config->address, config->port, &dns->tcp, &dns->port);
    if (error)
        return error;
    dns->tcp_watch = loop_fd_new(dns->loop, dns->tcp, on_accept, dns);
    loop_fd_want(dns->tcp_watch, LOOP_READ);
    return 0;
}

static int make_zone(Dns *dns, const DnsConfig *config) {
    DnsZoneConfig zone = {.services = config->services, .domain = str_from(config->domain)};
    if (ipv4_parse(str_from(config->address), &zone.address) ||
        ipv4_range_parse(str_from(config->service_range), &zone.service_range) ||
        ipv4_range_parse(str_from(config->pod_range), &zone.pod_range))
        return -EINVAL;
    dns->zone = dns_zone_new(&zone);
    return 0;
}

int dns_new(const DnsConfig *config, Dns **ret, char **ret_message) {
    Dns *dns = memory_new(Dns);
    dns->loop = config->loop;
    dns->udp = dns->tcp = -1;
    list_init(&dns->connections);
    int error = make_zone(dns, config);
    if (!error) {
        dns->forwarder = dns_forwarder_new(config);
        error = open_tcp(dns, config);
    }
    if (!error)
        error = open_udp(dns, config);
    if (!error) {
        *ret = dns;
        return 0;
    }
    if (asprintf(ret_message, "cluster DNS cannot listen on %s port %u: %s", config->address,
                 config->port, strerrordesc_np(-error)) < 0)
        abort();
    dns_free(dns);
    return error;
}

void dns_free(Dns *dns) {
    if (!dns)
        return;
    DnsConnection *connection;
    list_for_each(connection, &dns->connections, link) on_idle(connection);
    loop_fd_free(dns->udp_watch);
    loop_fd_free(dns->tcp_watch);
    if (dns->udp >= 0)
        close(dns->udp);
    if (dns->tcp >= 0)
        close(dns->tcp);
    if (dns->forwarder)
        dns_forwarder_free(dns->forwarder);
    dns_zone_free(dns->zone);
    free(dns);
}

uint16_t dns_port(const Dns *dns) {
    return dns->port;
}
