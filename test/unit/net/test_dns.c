// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdio.h>

#include "net/dns_private.h"
#include "services.h"

#define SERVICE(name, spec)                                                                        \
    "{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"default\"},\"spec\":{" spec "}}"
#define WEB                                                                                        \
    SERVICE("web", "\"type\":\"ClusterIP\",\"clusterIP\":\"10.43.0.7\",\"ports\":[{\"name\":"      \
                   "\"http\",\"port\":80,\"protocol\":\"TCP\"}]")
#define HEADLESS                                                                                   \
    SERVICE("db", "\"type\":\"ClusterIP\",\"clusterIP\":\"None\",\"ports\":[{\"name\":\"sql\","    \
                  "\"port\":3306,\"protocol\":\"TCP\"}]")

typedef struct World {
    ServiceTable *table;
    DnsZone *zone;
    Arena *arena;
    uint8_t answer[DNS_TCP_MAX];
    size_t len;
    DnsReply reply;
} World;

static int setup(void **state) {
    World *w = calloc(1, sizeof *w);
    w->table = service_table_new(NULL, STR("node"));
    w->zone = dns_zone_new(&(DnsZoneConfig){.services = w->table,
                                            .domain = STR("cluster.local"),
                                            .address = 0x0a2b000a,
                                            .service_range = {0x0a2b0000, 16},
                                            .pod_range = {0x0a2a0000, 16}});
    w->arena = arena_new();
    feed(w->table, false, "web", NULL, WEB);
    *state = w;
    return 0;
}

static int teardown(void **state) {
    World *w = *state;
    dns_zone_free(w->zone);
    service_table_free(w->table);
    arena_free(w->arena);
    free(w);
    return 0;
}

static DnsVerdict ask(World *w, const char *name, uint16_t type, size_t max) {
    uint8_t packet[DNS_UDP_PLAIN], code = 0;
    DnsQuery query;
    DnsWriter writer;
    Str alias;
    size_t len = dns_question(packet, 7, str_from(name), type, false);
    assert_int_equal(dns_query_parse(packet, len, &query), 0);
    dns_answer_begin(&writer, &query, packet, w->answer, max);
    DnsVerdict verdict = dns_zone_answer(w->zone, &query, &writer, &code, &alias);
    w->len = dns_answer_end(&writer, code, true);
    assert_true(w->len <= max);
    if (verdict != DNS_FOREIGN)
        assert_true(dns_reply_parse(w->answer, w->len, 7, str_from(name), query.type, &w->reply));
    return verdict;
}

static void add_address(void *user, Str owner, uint16_t type, uint32_t ttl, const uint8_t *data,
                        size_t len, Str target) {
    Buf *out = user;
    if (type == DNS_A)
        buf_printf(out, "%u.%u ", data[2], data[3]);
}

static const char *addresses(World *w, const char *name) {
    Buf out = BUF_INIT(65536);
    ask(w, name, DNS_A, DNS_TCP_MAX);
    dns_reply_each(w->answer, w->len, add_address, &out);
    const char *text = arena_cstr(w->arena, buf_view(&out));
    buf_deinit(&out);
    return text;
}

static const char *slice(World *w, int first, int n) {
    Buf out = BUF_INIT(1 << 20);
    buf_printf(&out, "{\"metadata\":{\"name\":\"db-1\",\"namespace\":\"default\",\"labels\":{"
                     "\"kubernetes.io/service-name\":\"db\"}},\"addressType\":\"IPv4\","
                     "\"ports\":[{\"name\":\"sql\",\"protocol\":\"TCP\",\"port\":3306}],"
                     "\"endpoints\":[");
    for (int i = first; i < first + n; i++)
        buf_printf(&out, "%s{\"addresses\":[\"10.42.%d.%d\"],\"hostname\":\"db-%d\"}",
                   i == first ? "" : ",", i / 250, i % 250, i);
    buf_printf(&out, "]}");
    const char *text = arena_cstr(w->arena, buf_view(&out));
    buf_deinit(&out);
    return text;
}

static void test_a_service(void **state) {
    World *w = *state;
    assert_string_equal(addresses(w, "web.default.svc.cluster.local"), "0.7 ");
    assert_int_equal(w->reply.ttl, DNS_ZONE_TTL);
    feed(w->table, false, "web", WEB, NULL);
    assert_string_equal(addresses(w, "web.default.svc.cluster.local"), "");
    assert_int_equal(w->reply.code, DNS_NXDOMAIN);
    ask(w, "default.svc.cluster.local", DNS_A, DNS_TCP_MAX); // nothing is left in it
    assert_int_equal(w->reply.code, DNS_NXDOMAIN);
}

// Endpoints come and go with their slice, whichever of service and slice is known first.
static void test_endpoints(void **state) {
    World *w = *state;
    const char *two = slice(w, 1, 2), *three = slice(w, 2, 3);
    feed(w->table, true, "db-1", NULL, two);
    feed(w->table, false, "db", NULL, HEADLESS);
    assert_string_equal(addresses(w, "db.default.svc.cluster.local"), "0.1 0.2 ");
    assert_string_equal(addresses(w, "db.default.svc.cluster.local"), "0.2 0.1 "); // in turn
    assert_string_equal(addresses(w, "db-2.db.default.svc.cluster.local"), "0.2 ");
    feed(w->table, true, "db-1", two, three);
    assert_string_equal(addresses(w, "db-1.db.default.svc.cluster.local"), "");
    assert_string_equal(addresses(w, "db-4.db.default.svc.cluster.local"), "0.4 ");
    ask(w, "4.0.42.10.in-addr.arpa", DNS_PTR, DNS_TCP_MAX);
    assert_int_equal(w->reply.counts[1], 1);
    feed(w->table, true, "db-1", three, NULL);
    assert_string_equal(addresses(w, "db.default.svc.cluster.local"), "");
    ask(w, "4.0.42.10.in-addr.arpa", DNS_PTR, DNS_TCP_MAX);
    assert_int_equal(w->reply.code, DNS_NXDOMAIN);
}

static void test_truncation(void **state) {
    World *w = *state;
    feed(w->table, false, "db", NULL, HEADLESS);
    feed(w->table, true, "db-1", NULL, slice(w, 1, 300));
    ask(w, "db.default.svc.cluster.local", DNS_A, DNS_UDP_MAX);
    assert_true(w->reply.truncated);
    assert_true(w->reply.counts[1] > 60 && w->reply.counts[1] < 80);
    ask(w, "db.default.svc.cluster.local", DNS_A, DNS_TCP_MAX);
    assert_false(w->reply.truncated);
    assert_int_equal(w->reply.counts[1], 300);
    ask(w, "_sql._tcp.db.default.svc.cluster.local", DNS_SRV, DNS_TCP_MAX);
    assert_int_equal(w->reply.counts[1], 300);
    assert_int_equal(w->reply.counts[3], 301); // and the OPT record
}

static void test_foreign(void **state) {
    World *w = *state;
    assert_int_equal(ask(w, "example.com", DNS_A, DNS_UDP_MAX), DNS_FOREIGN);
    assert_int_equal(ask(w, "notcluster.local", DNS_A, DNS_UDP_MAX), DNS_FOREIGN);
    assert_int_equal(ask(w, "1.2.0.192.in-addr.arpa", DNS_PTR, DNS_UDP_MAX), DNS_FOREIGN);
    assert_int_equal(ask(w, "1.43.10.in-addr.arpa", DNS_PTR, DNS_UDP_MAX), DNS_FOREIGN);
}

static size_t make_reply(uint8_t *packet, const char *name, uint32_t ttl) {
    DnsQuery query;
    DnsWriter writer;
    uint8_t question[DNS_UDP_PLAIN];
    size_t len = dns_question(question, 9, str_from(name), DNS_A, false);
    assert_int_equal(dns_query_parse(question, len, &query), 0);
    dns_answer_begin(&writer, &query, question, packet, DNS_UDP_PLAIN);
    dns_add_a(&writer, DNS_ANSWER, str_from(name), ttl, 0xc0000201);
    return dns_answer_end(&writer, DNS_OK, false);
}

static void test_cache(void **state) {
    DnsCache *cache = dns_cache_new();
    uint8_t packet[DNS_UDP_PLAIN], out[DNS_TCP_MAX];
    Str name = STR("example.com");
    DnsReply reply;
    size_t len = make_reply(packet, "example.com", 60);
    dns_cache_put(cache, name, DNS_A, false, 0, 60, packet, len);
    assert_int_equal(dns_cache_get(cache, name, DNS_AAAA, false, 0, out), 0);
    assert_int_equal(dns_cache_get(cache, name, DNS_A, true, 0, out), 0);
    assert_int_equal(dns_cache_get(cache, name, DNS_A, false, 25 * NSEC_PER_SEC, out), len);
    assert_true(dns_reply_parse(out, len, 9, name, DNS_A, &reply));
    assert_int_equal(reply.ttl, 35);
    assert_int_equal(dns_cache_get(cache, name, DNS_A, false, 60 * NSEC_PER_SEC, out), 0);
    assert_int_equal(dns_cache_count(cache), 0);
    for (int i = 0; i < 10005; i++) { // the oldest make room
        char text[32];
        snprintf(text, sizeof text, "%d.example.com", i);
        dns_cache_put(cache, str_from(text), DNS_A, false, 0, 60, packet, len);
    }
    assert_int_equal(dns_cache_count(cache), 10000);
    assert_int_equal(dns_cache_get(cache, STR("4.example.com"), DNS_A, false, 0, out), 0);
    assert_int_equal(dns_cache_get(cache, STR("5.example.com"), DNS_A, false, 0, out), len);
    dns_cache_put(cache, name, DNS_A, false, 0, 0, packet, len); // TTL 0 is not kept
    assert_int_equal(dns_cache_get(cache, name, DNS_A, false, 0, out), 0);
    dns_cache_free(cache);
}

static void test_replies(void **state) {
    uint8_t packet[DNS_UDP_PLAIN];
    DnsReply reply;
    size_t len = make_reply(packet, "example.com", 60);
    assert_true(dns_reply_parse(packet, len, 9, STR("example.com"), DNS_A, &reply));
    assert_false(dns_reply_parse(packet, len, 8, STR("example.com"), DNS_A, &reply));
    assert_false(dns_reply_parse(packet, len, 9, STR("example.org"), DNS_A, &reply));
    assert_false(dns_reply_parse(packet, len, 9, STR("example.com"), DNS_AAAA, &reply));
    assert_false(dns_reply_parse(packet, len - 12, 9, STR("example.com"), DNS_A, &reply));
    assert_int_equal(dns_reply_plain(packet, len), len - 11);
    assert_true(dns_reply_parse(packet, len - 11, 9, STR("example.com"), DNS_A, &reply));
    assert_int_equal(reply.counts[3], 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_a_service), TEST(test_endpoints), TEST(test_truncation),
        TEST(test_foreign),   TEST(test_cache),     TEST(test_replies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
