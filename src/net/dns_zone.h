#pragma once
// What the cluster's own names mean, from the table of services: the Kubernetes DNS specification
// 1.1.0 (https://github.com/kubernetes/dns/blob/master/docs/specification.md), and where that is
// silent CoreDNS' kubernetes plugin.

#include "net/dns_message.h"
#include "net/service_table.h"

#define DNS_ZONE_TTL 5 // seconds; CoreDNS' too

typedef struct DnsZone DnsZone;

typedef struct DnsZoneConfig {
    ServiceTable *services;
    Str domain;                         // "cluster.local"
    uint32_t address;                   // of the DNS server itself
    Ipv4Range service_range, pod_range; // whose reverse names are answered here
} DnsZoneConfig;

DnsZone *dns_zone_new(const DnsZoneConfig *config);
void dns_zone_free(DnsZone *zone); // before its ServiceTable

typedef enum DnsVerdict {
    DNS_ANSWERED, // the records are written, `code` is set
    DNS_ALIAS,    // the CNAME is written; its target, `alias`, is another zone's
    DNS_FOREIGN,  // another zone's name
} DnsVerdict;
// Writes records, not the end. `alias` is valid until the zone changes.
DnsVerdict dns_zone_answer(DnsZone *zone, const DnsQuery *query, DnsWriter *writer, uint8_t *code,
                           Str *alias);
bool dns_zone_holds(const DnsZone *zone, Str name); // name is the domain or below it
