#include <stdlib.h>

#include "base/map.h"
#include "base/memory.h"
#include "net/dns_private.h"

#define ENTRIES_MAX 10000
#define BYTES_MAX (8 * 1024 * 1024)
#define TTL_MAX 300
#define KEY_MAX (DNS_NAME_MAX + 4)

typedef struct Entry {
    ListLink link;           // least recently used first
    int64_t stored, expires; // loop_now()
    size_t key_len, len;
    char key[KEY_MAX];
    uint8_t data[];
} Entry;

struct DnsCache {
    Map *entries;
    List order;
    size_t bytes;
};

static Str make_key(char buffer[KEY_MAX], Str name, uint16_t type, bool dnssec_ok) {
    memcpy(buffer, &type, 2);
    buffer[2] = dnssec_ok;
    memcpy(buffer + 3, name.ptr ? name.ptr : "", name.len);
    return str_of(buffer, name.len + 3);
}

DnsCache *dns_cache_new(void) {
    DnsCache *cache = memory_new(DnsCache);
    cache->entries = map_new();
    list_init(&cache->order);
    return cache;
}

static void drop(DnsCache *cache, Entry *entry) {
    list_remove(&entry->link);
    cache->bytes -= sizeof *entry + entry->len;
    map_remove(cache->entries, str_of(entry->key, entry->key_len));
    free(entry);
}

void dns_cache_free(DnsCache *cache) {
    while (!list_is_empty(&cache->order))
        drop(cache, container_of(list_first(&cache->order), Entry, link));
    map_free(cache->entries);
    free(cache);
}

size_t dns_cache_count(const DnsCache *cache) {
    return map_count(cache->entries);
}

size_t dns_cache_get(DnsCache *cache, Str name, uint16_t type, bool dnssec_ok, int64_t now,
                     uint8_t *data) {
    char buffer[KEY_MAX];
    Entry *entry = map_get(cache->entries, make_key(buffer, name, type, dnssec_ok));
    if (!entry)
        return 0;
    if (now >= entry->expires) {
        drop(cache, entry);
        return 0;
    }
    list_remove(&entry->link);
    list_append(&cache->order, &entry->link);
    memcpy(data, entry->data, entry->len);
    dns_reply_age(data, entry->len, (uint32_t)((now - entry->stored) / NSEC_PER_SEC));
    return entry->len;
}

void dns_cache_put(DnsCache *cache, Str name, uint16_t type, bool dnssec_ok, int64_t now,
                   uint32_t ttl, const uint8_t *data, size_t len) {
    char buffer[KEY_MAX];
    Str key = make_key(buffer, name, type, dnssec_ok);
    Entry *old = map_get(cache->entries, key);
    if (old)
        drop(cache, old);
    if (!ttl)
        return;
    Entry *entry = memory_zalloc(sizeof *entry + len);
    memcpy(entry->key, key.ptr, key.len);
    entry->key_len = key.len;
    entry->stored = now;
    entry->expires = now + (ttl > TTL_MAX ? TTL_MAX : ttl) * NSEC_PER_SEC;
    entry->len = len;
    memcpy(entry->data, data, len);
    map_put(cache->entries, key, entry);
    list_append(&cache->order, &entry->link);
    cache->bytes += sizeof *entry + len;
    while (map_count(cache->entries) > ENTRIES_MAX || cache->bytes > BYTES_MAX)
        drop(cache, container_of(list_first(&cache->order), Entry, link));
}
