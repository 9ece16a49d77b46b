// DNS messages: questions from clients, replies from upstream servers, names of the cluster's zone.

#include <assert.h>

#include "../unit/net/services.h"
#include "net/dns_message.h"
#include "net/dns_zone.h"

static const char service[] =
    "{\"metadata\":{\"name\":\"db\",\"namespace\":\"default\"},\"spec\":{\"type\":\"ClusterIP\","
    "\"clusterIP\":\"None\",\"ports\":[{\"name\":\"sql\",\"port\":3306,\"protocol\":\"TCP\"}]}}";
static const char slice[] =
    "{\"metadata\":{\"name\":\"db-1\",\"namespace\":\"default\",\"labels\":{"
    "\"kubernetes.io/service-name\":\"db\"}},\"addressType\":\"IPv4\",\"endpoints\":[{"
    "\"addresses\":[\"10.42.0.5\"],\"hostname\":\"db-0\"},{\"addresses\":[\"10.42.0.6\"]}],"
    "\"ports\":[{\"name\":\"sql\",\"protocol\":\"TCP\",\"port\":3306}]}";

static void see(void *user, Str owner, uint16_t type, uint32_t ttl, const uint8_t *data, size_t len,
                Str target) {
    size_t *sum = user;
    for (size_t i = 0; i < len; i++)
        *sum += data[i];
    *sum += owner.len + target.len;
}

static void answer(DnsZone *zone, const uint8_t *data, size_t size) {
    static uint8_t out[DNS_TCP_MAX];
    DnsQuery query, again;
    DnsWriter writer;
    uint8_t code = 0;
    Str alias;
    int wrong = dns_query_parse(data, size, &query);
    if (wrong < 0)
        return;
    size_t max = query.udp_size > DNS_UDP_MAX ? DNS_UDP_MAX : query.udp_size;
    dns_answer_begin(&writer, &query, data, out, max);
    if (!wrong)
        dns_zone_answer(zone, &query, &writer, &code, &alias);
    size_t len = dns_answer_end(&writer, wrong ? (uint8_t)wrong : code, true);
    assert(len <= max && dns_query_parse(out, len, &again) == -1);
    DnsReply reply;
    if (!wrong)
        assert(dns_reply_parse(out, len, query.id, str_of(query.name, query.name_len), query.type,
                               &reply));
    dns_question(out, 1, str_of(query.name, query.name_len), query.type, false);
}

static void read_reply(const uint8_t *data, size_t size) {
    static uint8_t copy[DNS_TCP_MAX];
    DnsReply reply;
    size_t sum = 0;
    if (size < 12 || size > sizeof copy)
        return;
    memcpy(copy, data, size);
    dns_reply_parse(data, size, (uint16_t)(data[0] << 8 | data[1]), STR("example.com"), DNS_A,
                    &reply);
    dns_reply_each(data, size, see, &sum);
    dns_reply_age(copy, size, 10);
    assert(dns_reply_plain(copy, size) <= size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static ServiceTable *table;
    static DnsZone *zone;
    if (!table) {
        table = service_table_new(NULL, STR("node"));
        zone = dns_zone_new(&(DnsZoneConfig){.services = table,
                                             .domain = STR("cluster.local"),
                                             .address = 0x0a2b000a,
                                             .service_range = {0x0a2b0000, 16},
                                             .pod_range = {0x0a2a0000, 16}});
        feed(table, false, "db", NULL, service);
        feed(table, true, "db-1", NULL, slice);
    }
    answer(zone, data, size);
    read_reply(data, size);
    return 0;
}
