#pragma once
// What the parts of the DNS server share: who asked (dns.c), and what other zones say
// (dns_forward.c, dns_cache.c).

#include <netinet/in.h>

#include "base/list.h"
#include "net/dns.h"
#include "net/dns_message.h"
#include "net/dns_zone.h"

// ---- who asked

typedef struct DnsAsker { // lives from a question that waits for others to its answer
    ListLink link;        // in DnsConnection.askers, of those by TCP
    ListLink waiting;     // for a question of dns_forward.c
    Dns *dns;
    struct DnsConnection *connection; // NULL: by UDP, from `from`
    struct sockaddr_in from;
    DnsQuery query;
    uint8_t question[DNS_NAME_MAX + 32]; // the packet up to its question's end
    bool alias;                          // the name asked upstream is another: that of a CNAME
} DnsAsker;
// Sends and frees. `reply` NULL: SERVFAIL.
void dns_asker_answer(DnsAsker *asker, const uint8_t *reply, size_t len);

// ---- cache: whole replies by name, type and DO

typedef struct DnsCache DnsCache;
DnsCache *dns_cache_new(void);
void dns_cache_free(DnsCache *cache);
// A copy of what is fresh, with its TTLs lowered, in `data` (DNS_TCP_MAX bytes); its length or 0.
size_t dns_cache_get(DnsCache *cache, Str name, uint16_t type, bool dnssec_ok, int64_t now,
                     uint8_t *data);
void dns_cache_put(DnsCache *cache, Str name, uint16_t type, bool dnssec_ok, int64_t now,
                   uint32_t ttl, const uint8_t *data, size_t len);
size_t dns_cache_count(const DnsCache *cache);

// ---- upstream

typedef struct DnsForwarder DnsForwarder;
DnsForwarder *dns_forwarder_new(const DnsConfig *config);
void dns_forwarder_free(DnsForwarder *forwarder); // askers of open questions are freed
// Asks for `name`; takes the asker, answers it now or later.
void dns_forward(DnsForwarder *forwarder, Str name, DnsAsker *asker);
// Another connection is gone: drop it from the open questions. Frees it.
void dns_forward_cancel(DnsForwarder *forwarder, DnsAsker *asker);
