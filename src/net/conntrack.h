#pragma once
// Connections that the kernel remembers. UDP has no end of its own: a client that goes on sending
// would stay with an endpoint that is gone, or with an answer from before there was one.

#include <stddef.h>
#include <stdint.h>

typedef struct ConntrackStale {
    uint32_t address;    // that was called; 0: any
    uint32_t to_address; // that answered; 0: any but nobody's translation
    uint16_t port, to_port;
} ConntrackStale;

// Drops UDP entries that match one of them. Blocking: it looks at all. Returns 0 or negative errno.
int conntrack_forget(const ConntrackStale *stale, size_t n) __attribute__((warn_unused_result));
