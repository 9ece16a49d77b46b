#include "http/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <unistd.h>

typedef union SocketAddress {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_storage storage;
} SocketAddress;

static socklen_t parse_address(const char *text, uint16_t port, SocketAddress *ret) {
    *ret = (SocketAddress){0};
    if (inet_pton(AF_INET, text, &ret->v4.sin_addr) == 1) {
        ret->v4.sin_family = AF_INET;
        ret->v4.sin_port = htons(port);
        return sizeof ret->v4;
    }
    if (inet_pton(AF_INET6, text, &ret->v6.sin6_addr) == 1) {
        ret->v6.sin6_family = AF_INET6;
        ret->v6.sin6_port = htons(port);
        return sizeof ret->v6;
    }
    return 0;
}

static int listen_on(int fd, const SocketAddress *address, socklen_t len, uint16_t *ret_port) {
    static const int on = 1, off = 0;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
        return -errno;
    if (address->any.sa_family == AF_INET6 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) < 0)
        return -errno;
    if (bind(fd, &address->any, len) < 0 || listen(fd, 1024) < 0)
        return -errno;
    SocketAddress bound;
    socklen_t bound_len = sizeof bound;
    if (getsockname(fd, &bound.any, &bound_len) < 0)
        return -errno;
    *ret_port = ntohs(bound.any.sa_family == AF_INET6 ? bound.v6.sin6_port : bound.v4.sin_port);
    return 0;
}

int socket_listen(const char *address, uint16_t port, int *ret_fd, uint16_t *ret_port) {
    SocketAddress parsed;
    socklen_t len = parse_address(address, port, &parsed);
    if (len == 0)
        return -EINVAL;
    int fd = socket(parsed.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int r = listen_on(fd, &parsed, len, ret_port);
    if (r < 0) {
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

int socket_connect(const struct sockaddr *address, socklen_t len, int *ret_fd) {
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    socket_tune(fd);
    if (connect(fd, address, len) < 0 && errno != EINPROGRESS) {
        int r = -errno;
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

int socket_error(int fd) {
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        return -errno;
    return -error;
}

void socket_tune(int fd) { // best effort: a unix socket knows none of these
    static const int on = 1, idle = 15, interval = 15, count = 3;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

void socket_peer_address(int fd, char ret[SOCKET_ADDRESS_SIZE]) {
    SocketAddress peer;
    socklen_t len = sizeof peer;
    char host[INET6_ADDRSTRLEN];
    ret[0] = '@';
    ret[1] = '\0';
    if (getpeername(fd, &peer.any, &len) < 0)
        return;
    if (peer.any.sa_family == AF_INET) {
        if (inet_ntop(AF_INET, &peer.v4.sin_addr, host, sizeof host))
            snprintf(ret, SOCKET_ADDRESS_SIZE, "%s:%u", host, ntohs(peer.v4.sin_port));
    } else if (peer.any.sa_family == AF_INET6) {
        const struct in6_addr *a = &peer.v6.sin6_addr;
        if (IN6_IS_ADDR_V4MAPPED(a) && inet_ntop(AF_INET, a->s6_addr + 12, host, sizeof host))
            snprintf(ret, SOCKET_ADDRESS_SIZE, "%s:%u", host, ntohs(peer.v6.sin6_port));
        else if (inet_ntop(AF_INET6, a, host, sizeof host))
            snprintf(ret, SOCKET_ADDRESS_SIZE, "[%s]:%u", host, ntohs(peer.v6.sin6_port));
    }
}
