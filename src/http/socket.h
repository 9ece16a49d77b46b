#pragma once
// TCP sockets as the server and the client want them.

#include <stdint.h>
#include <sys/socket.h>

#include "base/str.h"

#define SOCKET_ADDRESS_SIZE 72

// Listens with SO_REUSEADDR, non-blocking. "::" takes IPv4 as well. Returns 0 or negative errno
// (-EINVAL: not an IP address). `ret_port` is the real one when `port` is 0.
int socket_listen(const char *address, uint16_t port, int *ret_fd, uint16_t *ret_port)
    __attribute__((warn_unused_result));
// Starts a non-blocking connect. Returns 0 (wait until writable, then socket_error()) or negative
// errno.
int socket_connect(const struct sockaddr *address, socklen_t len, int *ret_fd)
    __attribute__((warn_unused_result));
int socket_error(int fd); // SO_ERROR as 0 or negative errno
// No Nagle delay; a peer that vanished is noticed within about a minute.
void socket_tune(int fd);
void socket_peer_address(int fd,
                         char ret[SOCKET_ADDRESS_SIZE]); // "10.0.0.7:41234", "[::1]:41234", "@"
