#include "net/dns_message.h"

#include <assert.h>
#include <string.h>

#define HEADER 12
#define FLAG_QR 0x8000
#define FLAG_AA 0x0400
#define FLAG_TC 0x0200
#define FLAG_RD 0x0100
#define FLAG_RA 0x0080
#define CLASS_IN 1
#define OPT_SIZE 11
#define POINTERS_MAX 32

static uint16_t get16(const uint8_t *p) {
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put16(uint8_t *p, uint16_t value) {
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static void put32(uint8_t *p, uint32_t value) {
    put16(p, (uint16_t)(value >> 16));
    put16(p + 2, (uint16_t)value);
}

// ---- names

static char plain(uint8_t c) {
    if (c >= 'A' && c <= 'Z')
        return (char)(c + 'a' - 'A');
    return c <= ' ' || c == '.' || c >= 127 ? '?' : (char)c;
}

// The name at `at` as text; where it goes on in the packet, or 0 when it is none. Pointers lead
// backwards only, so that there is an end to them.
static size_t read_name(const uint8_t *packet, size_t len, size_t at, char *text, size_t *ret_len) {
    size_t end = 0, out = 0, wire = 0, lowest = at;
    for (int pointers = 0;;) {
        if (at >= len)
            return 0;
        uint8_t n = packet[at];
        if (n >= 0xc0) {
            if (at + 2 > len || ++pointers > POINTERS_MAX)
                return 0;
            end = end ? end : at + 2;
            at = (size_t)(get16(packet + at) & 0x3fff);
            if (at >= lowest)
                return 0;
            lowest = at;
            continue;
        }
        if (n > 63 || at + 1 + n > len || (wire += 1 + (size_t)n) > DNS_NAME_MAX)
            return 0;
        if (n == 0) {
            *ret_len = out;
            text[out] = 0;
            return end ? end : at + 1;
        }
        if (out)
            text[out++] = '.';
        for (size_t i = 0; i < n; i++)
            text[out++] = plain(packet[at + 1 + i]);
        at += 1 + (size_t)n;
    }
}

// ---- questions

typedef struct Record {
    char owner[DNS_NAME_MAX + 1];
    size_t owner_len, start, data, data_len;
    uint16_t type, class_;
    uint32_t ttl;
} Record;

// Reads the record at `at`; the offset after it, or 0.
static size_t read_record(const uint8_t *packet, size_t len, size_t at, Record *ret) {
    ret->start = read_name(packet, len, at, ret->owner, &ret->owner_len);
    if (!ret->start || ret->start + 10 > len)
        return 0;
    ret->type = get16(packet + ret->start);
    ret->class_ = get16(packet + ret->start + 2);
    ret->ttl = get32(packet + ret->start + 4);
    ret->data_len = get16(packet + ret->start + 8);
    ret->data = ret->start + 10;
    return ret->data + ret->data_len <= len ? ret->data + ret->data_len : 0;
}

// EDNS0 stands among the additional records of a question.
static int read_options(const uint8_t *packet, size_t len, DnsQuery *ret) {
    size_t at = ret->question_end;
    size_t n = (size_t)get16(packet + 6) + get16(packet + 8) + get16(packet + 10);
    for (size_t i = 0; i < n; i++) {
        Record record;
        at = read_record(packet, len, at, &record);
        if (!at)
            return DNS_FORMERR;
        if (record.type != DNS_OPT)
            continue;
        if (ret->edns || record.owner_len)
            return DNS_FORMERR;
        ret->edns = true;
        ret->udp_size = record.class_ < DNS_UDP_PLAIN ? DNS_UDP_PLAIN : record.class_;
        ret->edns_version = (uint8_t)(record.ttl >> 16);
        ret->dnssec_ok = record.ttl & 0x8000;
    }
    return 0;
}

int dns_query_parse(const uint8_t *packet, size_t len, DnsQuery *ret) {
    if (len < HEADER || (get16(packet + 2) & FLAG_QR))
        return -1;
    ret->id = get16(packet);
    ret->flags = get16(packet + 2);
    ret->opcode = (ret->flags >> 11) & 15;
    ret->has_question = ret->edns = ret->dnssec_ok = false;
    ret->edns_version = 0;
    ret->udp_size = DNS_UDP_PLAIN;
    ret->question_end = HEADER;
    ret->name_len = 0;
    ret->type = ret->class_ = 0;
    if (ret->opcode != 0)
        return DNS_NOTIMP;
    if (get16(packet + 4) != 1)
        return DNS_FORMERR;
    size_t at = read_name(packet, len, HEADER, ret->name, &ret->name_len);
    if (!at || at + 4 > len)
        return DNS_FORMERR;
    ret->type = get16(packet + at);
    ret->class_ = get16(packet + at + 2);
    ret->question_end = at + 4;
    ret->has_question = true;
    int error = read_options(packet, len, ret);
    if (error)
        return error;
    if (ret->edns_version)
        return DNS_BADVERS;
    return ret->class_ == CLASS_IN ? 0 : DNS_REFUSED;
}

// ---- answers

void dns_answer_begin(DnsWriter *w, const DnsQuery *query, const uint8_t *packet, uint8_t *data,
                      size_t max) {
    assert(max >= DNS_UDP_PLAIN);
    *w = (DnsWriter){.data = data, .query = query};
    w->len = query->has_question ? query->question_end : HEADER;
    w->counts[0] = query->has_question;
    memcpy(data, packet, w->len);
    w->max = max - (query->edns ? OPT_SIZE : 0);
}

// Where the question's name ends in these very words, the rest is a pointer to it.
static size_t find_suffix(const DnsWriter *w, Str rest) {
    const DnsQuery *q = w->query;
    Str name = str_of(q->name, q->name_len);
    if (!rest.len || !q->has_question || !str_ends_with(name, rest))
        return 0;
    size_t before = name.len - rest.len;
    return before == 0 || name.ptr[before - 1] == '.' ? HEADER + before : 0;
}

// Returns the length, 0 when there is no room or a label is none.
static size_t write_name(const DnsWriter *w, uint8_t *to, size_t room, Str name) {
    size_t at = 0;
    while (name.len) {
        size_t pointer = find_suffix(w, name);
        if (pointer) {
            if (at + 2 > room)
                return 0;
            put16(to + at, (uint16_t)(0xc000 | pointer));
            return at + 2;
        }
        Str label = str_cut(&name, '.');
        if (!label.len || label.len > 63 || at + 2 + label.len > room)
            return 0;
        to[at++] = (uint8_t)label.len;
        memcpy(to + at, label.ptr, label.len);
        at += label.len;
    }
    if (at + 1 > room)
        return 0;
    to[at] = 0;
    return at + 1;
}

// Owner, type, class and TTL; the data follows with end_record(). NULL when there is no room.
static uint8_t *begin_record(DnsWriter *w, Str owner, uint16_t type, uint32_t ttl, size_t *room) {
    if (w->truncated)
        return NULL;
    uint8_t *to = w->data + w->len;
    size_t left = w->max - w->len, n = write_name(w, to, left, owner);
    if (!n || n + 10 > left) {
        w->truncated = true;
        return NULL;
    }
    put16(to + n, type);
    put16(to + n + 2, CLASS_IN);
    put32(to + n + 4, ttl);
    *room = left - n - 10;
    return to + n + 10;
}

static void end_record(DnsWriter *w, DnsSection section, uint8_t *data, size_t len) {
    put16(data - 2, (uint16_t)len);
    w->len = (size_t)(data - w->data) + len;
    w->counts[section]++;
}

void dns_add(DnsWriter *w, DnsSection section, Str owner, uint16_t type, uint32_t ttl,
             const void *bytes, size_t len) {
    size_t room;
    uint8_t *data = begin_record(w, owner, type, ttl, &room);
    if (!data)
        return;
    if (len > room) {
        w->truncated = true;
        return;
    }
    memcpy(data, bytes, len);
    end_record(w, section, data, len);
}

void dns_add_a(DnsWriter *w, DnsSection section, Str owner, uint32_t ttl, uint32_t address) {
    uint8_t bytes[4];
    put32(bytes, address);
    dns_add(w, section, owner, DNS_A, ttl, bytes, sizeof bytes);
}

// A name, after `head` bytes that are there already.
static void add_named(DnsWriter *w, DnsSection section, Str owner, uint16_t type, uint32_t ttl,
                      const uint8_t *head, size_t head_len, Str target) {
    size_t room, n = 0;
    uint8_t *data = begin_record(w, owner, type, ttl, &room);
    if (!data)
        return;
    if (head_len < room)
        n = write_name(w, data + head_len, room - head_len, target);
    if (!n) {
        w->truncated = true;
        return;
    }
    if (head_len)
        memcpy(data, head, head_len);
    end_record(w, section, data, head_len + n);
}

void dns_add_name(DnsWriter *w, DnsSection section, Str owner, uint16_t type, uint32_t ttl,
                  Str target) {
    add_named(w, section, owner, type, ttl, NULL, 0, target);
}

void dns_add_srv(DnsWriter *w, DnsSection section, Str owner, uint32_t ttl, uint16_t weight,
                 uint16_t port, Str target) {
    uint8_t head[6] = {0};
    put16(head + 2, weight);
    put16(head + 4, port);
    add_named(w, section, owner, DNS_SRV, ttl, head, sizeof head, target);
}

void dns_add_soa(DnsWriter *w, DnsSection section, Str zone, uint32_t ttl, uint32_t serial) {
    static const uint32_t times[] = {7200, 1800, 86400}; // refresh, retry, expire: CoreDNS'
    char server[DNS_NAME_MAX + 16], owner[DNS_NAME_MAX + 16];
    size_t room, n, m = 0;
    if (zone.len > DNS_NAME_MAX)
        return;
    memcpy(server, "ns.dns.", 7);
    memcpy(server + 7, zone.ptr, zone.len);
    memcpy(owner, "hostmaster.", 11);
    memcpy(owner + 11, zone.ptr, zone.len);
    uint8_t *data = begin_record(w, zone, DNS_SOA, ttl, &room);
    if (!data)
        return;
    n = write_name(w, data, room, str_of(server, zone.len + 7));
    if (n)
        m = write_name(w, data + n, room - n, str_of(owner, zone.len + 11));
    if (!n || !m || n + m + 20 > room) {
        w->truncated = true;
        return;
    }
    put32(data + n + m, serial);
    for (size_t i = 0; i < 3; i++)
        put32(data + n + m + 4 + 4 * i, times[i]);
    put32(data + n + m + 16, ttl);
    end_record(w, section, data, n + m + 20);
}

void dns_add_txt(DnsWriter *w, DnsSection section, Str owner, uint32_t ttl, Str text) {
    uint8_t bytes[256];
    assert(text.len < sizeof bytes);
    bytes[0] = (uint8_t)text.len;
    memcpy(bytes + 1, text.ptr, text.len);
    dns_add(w, section, owner, DNS_TXT, ttl, bytes, text.len + 1);
}

size_t dns_answer_end(DnsWriter *w, uint8_t code, bool authoritative) {
    const DnsQuery *q = w->query;
    uint16_t flags = (uint16_t)(FLAG_QR | FLAG_RA | (q->flags & (FLAG_RD | 0x7800)) | (code & 15));
    if (authoritative)
        flags |= FLAG_AA;
    if (w->truncated)
        flags |= FLAG_TC;
    if (q->edns) {
        uint8_t *to = w->data + w->len;
        memset(to, 0, OPT_SIZE);
        put16(to + 1, DNS_OPT);
        put16(to + 3, DNS_UDP_MAX);
        to[5] = (uint8_t)(code >> 4);
        to[7] = q->dnssec_ok ? 0x80 : 0;
        w->len += OPT_SIZE;
        w->counts[DNS_ADDITIONAL]++;
    }
    put16(w->data, q->id);
    put16(w->data + 2, flags);
    for (size_t i = 0; i < 4; i++)
        put16(w->data + 4 + 2 * i, w->counts[i]);
    return w->len;
}

// ---- upstream

size_t dns_question(uint8_t *data, uint16_t id, Str name, uint16_t type, bool dnssec_ok) {
    static const DnsQuery nobody = {0};
    DnsWriter w = {.query = &nobody};
    memset(data, 0, HEADER);
    put16(data, id);
    put16(data + 2, FLAG_RD);
    put16(data + 4, 1);
    put16(data + 10, 1);
    size_t n = name.len ? write_name(&w, data + HEADER, DNS_NAME_MAX, name) : 1;
    if (!name.len)
        data[HEADER] = 0;
    if (!n)
        return 0;
    size_t at = HEADER + n;
    put16(data + at, type);
    put16(data + at + 2, CLASS_IN);
    at += 4;
    memset(data + at, 0, OPT_SIZE);
    put16(data + at + 1, DNS_OPT);
    put16(data + at + 3, DNS_UDP_MAX);
    data[at + 7] = dnssec_ok ? 0x80 : 0;
    return at + OPT_SIZE;
}

#define NEGATIVE_TTL 30 // of a negative answer without an SOA

// RFC 2308: the lesser of the SOA's own TTL and its last field.
static uint32_t negative_ttl(const uint8_t *packet, const Record *soa) {
    if (soa->data_len < 20)
        return NEGATIVE_TTL;
    uint32_t minimum = get32(packet + soa->data + soa->data_len - 4);
    return minimum < soa->ttl ? minimum : soa->ttl;
}

bool dns_reply_parse(const uint8_t *packet, size_t len, uint16_t id, Str name, uint16_t type,
                     DnsReply *ret) {
    char text[DNS_NAME_MAX + 1];
    size_t text_len;
    if (len < HEADER || get16(packet) != id || !(get16(packet + 2) & FLAG_QR) ||
        get16(packet + 4) != 1)
        return false;
    size_t at = read_name(packet, len, HEADER, text, &text_len);
    if (!at || at + 4 > len || !str_eq(str_of(text, text_len), name) || get16(packet + at) != type)
        return false;
    *ret = (DnsReply){.code = packet[3] & 15,
                      .truncated = get16(packet + 2) & FLAG_TC,
                      .ttl = UINT32_MAX,
                      .question_end = at + 4};
    for (size_t i = 0; i < 4; i++)
        ret->counts[i] = get16(packet + 4 + 2 * i);
    at += 4;
    uint32_t negative = NEGATIVE_TTL;
    for (size_t section = 1; section < 4; section++)
        for (size_t i = 0; i < ret->counts[section]; i++) {
            Record record;
            at = read_record(packet, len, at, &record);
            if (!at)
                return ret->truncated;
            if (record.type == DNS_OPT)
                continue;
            if (record.type == DNS_SOA && section == DNS_AUTHORITY)
                negative = negative_ttl(packet, &record);
            if (record.ttl < ret->ttl)
                ret->ttl = record.ttl;
        }
    if (ret->code == DNS_NXDOMAIN || !ret->counts[DNS_ANSWER])
        ret->ttl = negative < ret->ttl ? negative : ret->ttl;
    return true;
}

// It is the last record of most replies; else all additional ones go with it, since others may be
// pointed to.
size_t dns_reply_plain(uint8_t *packet, size_t len) {
    char text[DNS_NAME_MAX + 1];
    size_t text_len, n_before = (size_t)get16(packet + 6) + get16(packet + 8);
    size_t n = get16(packet + 10), first = 0;
    size_t at = read_name(packet, len, HEADER, text, &text_len);
    at += at ? 4 : 0;
    for (size_t i = 0; at && i < n_before + n; i++) {
        Record record;
        size_t next = read_record(packet, len, at, &record);
        if (i == n_before)
            first = at;
        if (next && record.type == DNS_OPT && i >= n_before) {
            bool last = i + 1 == n_before + n;
            put16(packet + 10, (uint16_t)(last ? n - 1 : 0));
            return last ? at : first;
        }
        at = next;
    }
    return len;
}

void dns_reply_age(uint8_t *packet, size_t len, uint32_t age) {
    char text[DNS_NAME_MAX + 1];
    size_t text_len, n = 0;
    size_t at = read_name(packet, len, HEADER, text, &text_len);
    for (size_t i = 1; i < 4; i++)
        n += get16(packet + 4 + 2 * i);
    at += at ? 4 : 0;
    for (size_t i = 0; at && i < n; i++) {
        Record record;
        at = read_record(packet, len, at, &record);
        if (at && record.type != DNS_OPT)
            put32(packet + record.start + 4, record.ttl > age ? record.ttl - age : 0);
    }
}

void dns_reply_each(const uint8_t *packet, size_t len,
                    void (*visit)(void *user, Str owner, uint16_t type, uint32_t ttl,
                                  const uint8_t *data, size_t len, Str target),
                    void *user) {
    char text[DNS_NAME_MAX + 1];
    size_t text_len;
    if (len < HEADER)
        return;
    size_t at = read_name(packet, len, HEADER, text, &text_len), n = get16(packet + 6);
    at += at ? 4 : 0;
    for (size_t i = 0; at && i < n; i++) {
        Record record;
        Str target = STR_NONE;
        at = read_record(packet, len, at, &record);
        if (!at)
            return;
        if (record.type == DNS_CNAME) {
            if (!read_name(packet, len, record.data, text, &text_len))
                return;
            target = str_of(text, text_len);
        }
        visit(user, str_of(record.owner, record.owner_len), record.type, record.ttl,
              packet + record.data, record.data_len, target);
    }
}
