#pragma once
// DNS messages: questions read, answers written (RFC 1035, EDNS0 of RFC 6891). Nothing is
// allocated.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define DNS_NAME_MAX 255 // of a name in wire form, and so more than its text
#define DNS_UDP_PLAIN 512
#define DNS_UDP_MAX 1232 // what fits every path: the largest answer by UDP
#define DNS_TCP_MAX 65535

enum {
    DNS_A = 1,
    DNS_NS = 2,
    DNS_CNAME = 5,
    DNS_SOA = 6,
    DNS_PTR = 12,
    DNS_TXT = 16,
    DNS_AAAA = 28,
    DNS_SRV = 33,
    DNS_OPT = 41,
    DNS_ANY = 255
};
enum {
    DNS_OK = 0,
    DNS_FORMERR = 1,
    DNS_SERVFAIL = 2,
    DNS_NXDOMAIN = 3,
    DNS_NOTIMP = 4,
    DNS_REFUSED = 5,
    DNS_BADVERS = 16
};

typedef struct DnsQuery {
    uint16_t id, flags, type, class_;
    uint8_t opcode;
    bool has_question, edns, dnssec_ok;
    uint8_t edns_version;
    uint16_t udp_size;   // what the client takes
    size_t question_end; // of the packet: what an answer repeats
    size_t name_len;     // of `name`
    char name[DNS_NAME_MAX +
              1]; // in lower case, "web.default.svc.cluster.local", no dot at the end;
                  // a label with a dot or a control character in it turns that to '?'
} DnsQuery;

// 0, a DNS_* code with which the packet is to be answered, or -1: it is not worth an answer.
int dns_query_parse(const uint8_t *packet, size_t len, DnsQuery *ret);

typedef struct DnsWriter {
    uint8_t *data;
    size_t len, max;
    const DnsQuery *query;
    uint16_t counts[4]; // question, answer, authority, additional
    bool truncated;     // a record did not fit: no further ones are taken
} DnsWriter;

typedef enum DnsSection { DNS_ANSWER = 1, DNS_AUTHORITY = 2, DNS_ADDITIONAL = 3 } DnsSection;

// `packet`: that of the query. `data` has room for `max` bytes, at least DNS_UDP_PLAIN.
void dns_answer_begin(DnsWriter *writer, const DnsQuery *query, const uint8_t *packet,
                      uint8_t *data, size_t max);
// `owner`: as text. Records of `section` come in the order of the sections. `data`: as it is.
void dns_add(DnsWriter *writer, DnsSection section, Str owner, uint16_t type, uint32_t ttl,
             const void *data, size_t len);
void dns_add_a(DnsWriter *writer, DnsSection section, Str owner, uint32_t ttl, uint32_t address);
void dns_add_name(DnsWriter *writer, DnsSection section, Str owner, uint16_t type, uint32_t ttl,
                  Str target); // CNAME, PTR, NS
void dns_add_srv(DnsWriter *writer, DnsSection section, Str owner, uint32_t ttl, uint16_t weight,
                 uint16_t port, Str target);
void dns_add_soa(DnsWriter *writer, DnsSection section, Str zone, uint32_t ttl, uint32_t serial);
void dns_add_txt(DnsWriter *writer, DnsSection section, Str owner, uint32_t ttl, Str text);
// Ends the message; returns its length. `authoritative`: AA. The OPT record is added by itself.
size_t dns_answer_end(DnsWriter *writer, uint8_t code, bool authoritative);

// A question of our own, to an upstream server; `data` has room for DNS_UDP_PLAIN. Returns its
// length, 0 when the name is none.
size_t dns_question(uint8_t *data, uint16_t id, Str name, uint16_t type, bool dnssec_ok);

// What an upstream server answered.
typedef struct DnsReply {
    uint8_t code;
    bool truncated;
    uint32_t ttl; // the least of its records; of a negative answer: the SOA's word
    size_t question_end;
    uint16_t counts[4];
} DnsReply;
// Whether it is a whole answer to that question (id, name, type).
bool dns_reply_parse(const uint8_t *packet, size_t len, uint16_t id, Str name, uint16_t type,
                     DnsReply *ret);
// For a client without EDNS0: takes the OPT record away. Returns the new length.
size_t dns_reply_plain(uint8_t *packet, size_t len);
// Lowers every TTL by `age` seconds.
void dns_reply_age(uint8_t *packet, size_t len, uint32_t age);
// Visits the answer section: name and type of each record, and of a CNAME its target as text.
void dns_reply_each(const uint8_t *packet, size_t len,
                    void (*visit)(void *user, Str owner, uint16_t type, uint32_t ttl,
                                  const uint8_t *data, size_t len, Str target),
                    void *user);
