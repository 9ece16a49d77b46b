#pragma once
// Addresses of pods: each node hands out its own range. Who has which is kept in one small file per
// address, so it survives us; addresses go round, so one that was just given back rests as long as
// the range allows (peers may still know its old owner). Not thread-safe; file operations are a few
// microseconds on a tmpfs.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

#define IPAM_E_EXHAUSTED 1 // no address is free
#define IPAM_TEXT 19       // room for "255.255.255.255/32" and a NUL

typedef struct Ipam Ipam;

typedef struct Ipv4Range {
    uint32_t network; // host byte order, host bits cleared
    unsigned prefix;
} Ipv4Range;

// "10.42.0.0/24". Returns 0 or -EINVAL (also when host bits are set).
int ipv4_range_parse(Str text, Ipv4Range *ret) __attribute__((warn_unused_result));
int ipv4_parse(Str text, uint32_t *ret) __attribute__((warn_unused_result));
void ipv4_format(uint32_t address, char out[IPAM_TEXT]);
bool ipv4_range_has(Ipv4Range range, uint32_t address);
bool ipv4_ranges_overlap(Ipv4Range a, Ipv4Range b);
uint32_t ipv4_range_mask(Ipv4Range range);

// Prefixes 16 to 30. The first address after the network's is the gateway, never handed out, and so
// are the network's and the broadcast address. Reads DIRECTORY/ (made when absent): addresses
// outside the range are forgotten, other files left alone. Returns 0 or negative errno.
int ipam_new(Ipv4Range range, const char *directory, Ipam **ret)
    __attribute__((warn_unused_result));
void ipam_free(Ipam *ipam);
uint32_t ipam_gateway(const Ipam *ipam);
size_t ipam_count(const Ipam *ipam); // addresses in use

// The owner's address, a new one when it has none. Returns 0, IPAM_E_EXHAUSTED or negative errno
// (nothing is allocated then).
int ipam_allocate(Ipam *ipam, Str owner, uint32_t *ret) __attribute__((warn_unused_result));
bool ipam_find(const Ipam *ipam, Str owner, uint32_t *ret);
// Returns 0 (also when it had none) or negative errno.
int ipam_release(Ipam *ipam, Str owner);
// Calls `visit` for every owner; it may release the one it is told of.
void ipam_each(Ipam *ipam, void (*visit)(void *user, Str owner, uint32_t address), void *user);
// Gives everything back and removes the files of the directory that are ours.
void ipam_clear(Ipam *ipam);
