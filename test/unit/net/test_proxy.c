// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdio.h>
#include <stdlib.h>

#include "net/proxy_rules.h"
#include "net/proxy_work.h"

// A service with one port 80 (node port 30080) and endpoints 10.42.0.N:8080; number N is local when
// even.
typedef struct World {
    Arena *arena;
    NetPort port;
    NetService service;
    NetPort slice_port;
    NetEndpoint endpoints[64];
    NetSlice slice;
    const NetSlice *slices[1];
    NetBackends backends;
    ProxyElements before;
} World;

#define CLUSTER_IP 0x0a2b0007u // 10.43.0.7
#define POD(n) (0x0a2a0000u + (n))

static int setup(void **state) {
    World *w = calloc(1, sizeof *w);
    w->arena = arena_new();
    w->port = (NetPort){.name = STR("http"), .protocol = NET_TCP, .port = 80};
    w->slice_port = (NetPort){.name = STR("http"), .protocol = NET_TCP, .port = 8080};
    w->service = (NetService){.namespace_ = STR("default"),
                              .name = STR("web"),
                              .cluster_ip = CLUSTER_IP,
                              .ports = &w->port,
                              .n_ports = 1};
    w->slice = (NetSlice){.ports = &w->slice_port, .n_ports = 1, .endpoints = w->endpoints};
    w->slices[0] = &w->slice;
    w->backends = (NetBackends){
        .key = STR("default/web"), .service = &w->service, .slices = w->slices, .n_slices = 1};
    *state = w;
    return 0;
}

static int teardown(void **state) {
    World *w = *state;
    arena_free(w->arena);
    free(w);
    return 0;
}

static NetEndpoint *add(World *w, uint32_t n) {
    NetEndpoint *e = &w->endpoints[w->slice.n_endpoints++];
    *e = (NetEndpoint){.address = POD(n), .ready = true, .serving = true, .local = n % 2 == 0};
    return e;
}

static void drop(World *w, uint32_t n) {
    size_t at = 0;
    while (w->endpoints[at].address != POD(n))
        at++;
    memmove(&w->endpoints[at], &w->endpoints[at + 1],
            (--w->slice.n_endpoints - at) * sizeof *w->endpoints);
}

// The elements as text, a line each: "SET KEY = VALUE".
static const char *text_of(World *w, const ProxyElements *list) {
    static const char *const sets[] = {"endpoint", "hairpin",      "allowed", "restricted",
                                       "refused",  "refused-port", "service", "node-port"};
    Buf out = BUF_INIT(1 << 16);
    for (size_t i = 0; i < list->n; i++) {
        const ProxyElement *e = &list->items[i];
        char chain[PROXY_CHAIN_NAME];
        proxy_chain_name(&e->chain, chain);
        buf_printf(&out, "%s", sets[e->set]);
        if (e->address)
            buf_printf(&out, " %u.%u", (e->address >> 16) & 255, e->address & 255);
        if (e->port)
            buf_printf(&out, ":%u", e->port);
        if (e->set == PROXY_ENDPOINTS)
            buf_printf(&out, " %s%u = %u:%u", e->index & PROXY_LOCAL_BASE ? "local " : "",
                       e->index & ~PROXY_LOCAL_BASE, e->to_address & 255, e->to_port);
        if (e->set == PROXY_SERVICES || e->set == PROXY_NODE_PORTS)
            buf_printf(&out, " = %s", chain);
        if (e->set == PROXY_ALLOWED)
            buf_printf(&out, " from %08x/%u", e->index, e->prefix);
        buf_char(&out, '\n');
    }
    const char *text = arena_cstr(w->arena, buf_view(&out));
    buf_deinit(&out);
    return text;
}

static const char *run(World *w) {
    w->before = proxy_elements(w->arena, &w->backends, &w->before, NULL);
    return text_of(w, &w->before);
}

static void test_cluster_ip(void **state) {
    World *w = *state;
    assert_string_equal(run(w), "");
    add(w, 1);
    add(w, 2);
    assert_string_equal(run(w), "endpoint 43.7:80 0 = 1:8080\nendpoint 43.7:80 1 = 2:8080\n"
                                "hairpin 42.2\nservice 43.7:80 = to-2\n");
    w->service.affinity = 60;
    assert_non_null(strstr(run(w), "service 43.7:80 = to-2-sticky-60\n"));
    w->service.headless = true;
    assert_string_equal(run(w), "");
}

// What stays keeps its index; the last one fills a gap.
static void test_one_change_moves_one(void **state) {
    World *w = *state;
    for (uint32_t n = 1; n <= 9; n += 2)
        add(w, n);
    run(w);
    ProxyElements old = w->before;
    drop(w, 3);
    assert_string_equal(run(w), "endpoint 43.7:80 0 = 1:8080\nendpoint 43.7:80 1 = 9:8080\n"
                                "endpoint 43.7:80 2 = 5:8080\nendpoint 43.7:80 3 = 7:8080\n"
                                "service 43.7:80 = to-4\n");
    ProxyWork work = {.arena = w->arena};
    proxy_work_add_difference(&work, &old, &w->before, true);
    assert_int_equal(work.n_ops, 5); // the gap filled, the last one gone, the chain of four
    assert_int_equal(work.n_stale, 0);
    add(w, 11);
    assert_non_null(strstr(run(w), "endpoint 43.7:80 4 = 11:8080\n"));
}

static void test_who_is_to_be_forgotten(void **state) {
    World *w = *state;
    w->port.protocol = w->slice_port.protocol = NET_UDP;
    w->service.affinity = 10;
    add(w, 1);
    add(w, 3);
    ProxyElements none = {0};
    run(w);
    ProxyWork first = {.arena = w->arena};
    proxy_work_add_difference(&first, &none, &w->before, true);
    assert_int_equal(first.n_stale, 1); // answers from before there was an endpoint
    assert_int_equal(first.stale[0].to_address, 0);
    assert_int_equal(first.n_moves, 0);
    ProxyElements old = w->before;
    drop(w, 1);
    run(w);
    ProxyWork second = {.arena = w->arena};
    proxy_work_add_difference(&second, &old, &w->before, true);
    assert_int_equal(second.n_stale, 1);
    assert_int_equal(second.stale[0].to_address, POD(1));
    assert_int_equal(second.n_moves, 2); // the clients of 3 go with it to its new index
    assert_false(second.moves[0].goes_on);
    assert_true(second.moves[1].goes_on);
    assert_int_equal(second.moves[1].from, 1);
    assert_int_equal(second.moves[1].to, 0);
}

// Endpoints that end serve on when there is no other (KEP-1669).
static void test_ending(void **state) {
    World *w = *state;
    NetEndpoint *one = add(w, 1);
    one->ready = false;
    one->terminating = true;
    assert_non_null(strstr(run(w), "to-1"));
    add(w, 3);
    assert_string_equal(run(w), "endpoint 43.7:80 0 = 3:8080\nservice 43.7:80 = to-1\n");
    one->serving = false;
    drop(w, 3);
    assert_string_equal(run(w), "");
}

static void test_internal_local(void **state) {
    World *w = *state;
    w->service.internal_local = true;
    add(w, 1);
    assert_string_equal(run(w), "service 43.7:80 = none\n"); // dropped, as upstream does
    add(w, 2);
    assert_string_equal(run(w),
                        "endpoint 43.7:80 0 = 2:8080\nhairpin 42.2\nservice 43.7:80 = to-1\n");
}

static void test_outside(void **state) {
    World *w = *state;
    static const uint32_t external[] = {0xc6336407};
    w->service.external_ips = external;
    w->service.n_external_ips = 1;
    w->port.node_port = 30080;
    assert_string_equal(run(w), "refused 51.7:80\nrefused-port:30080\n");
    add(w, 1);
    assert_string_equal(run(w), "endpoint:30080 0 = 1:8080\nendpoint 43.7:80 0 = 1:8080\n"
                                "endpoint 51.7:80 0 = 1:8080\nservice 43.7:80 = to-1\n"
                                "service 51.7:80 = out-1\nnode-port:30080 = out-1-port\n");
    w->service.external_local = true;
    assert_non_null(strstr(run(w), "node-port:30080 = own-1-0-port\n"));
    add(w, 2);
    const char *text = run(w);
    assert_non_null(strstr(text, "endpoint:30080 local 0 = 2:8080\n"));
    assert_non_null(strstr(text, "service 51.7:80 = own-2-1\n"));
    assert_int_equal(proxy_local_endpoints(&w->backends), 1);
}

static void test_sources(void **state) {
    World *w = *state;
    static const uint32_t balancer[] = {0xc6336407};
    static const Ipv4Range sources[] = {{0x0a010000, 16}, {0x0a000000, 8}, {0xc0000200, 24}};
    w->service.balancer_ips = balancer;
    w->service.n_balancer_ips = 1;
    w->service.sources = sources;
    w->service.n_sources = 3;
    add(w, 1);
    const char *text = run(w); // 10.1.0.0/16 is within 10.0.0.0/8
    assert_non_null(strstr(text, "allowed 51.7:80 from 0a000000/8\nallowed 51.7:80 from "
                                 "c0000200/24\nrestricted 51.7:80\n"));
}

static void test_hints(void **state) {
    World *w = *state;
    add(w, 1)->for_others = true;
    add(w, 2)->for_us = true;
    assert_non_null(strstr(run(w), "endpoint 43.7:80 0 = 2:8080\nhairpin"));
    add(w, 3); // without a hint: they don't count
    assert_non_null(strstr(run(w), "to-3"));
}

static void test_chain_names(void **state) {
    static const char *const names[] = {"to-1",  "to-10-port", "local-3-sticky-60",
                                        "out-2", "own-4-0",    "own-10-2-port-sticky-10800",
                                        "none"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        ProxyChain chain;
        char name[PROXY_CHAIN_NAME];
        assert_true(proxy_chain_parse(names[i], &chain));
        proxy_chain_name(&chain, name);
        assert_string_equal(name, names[i]);
    }
    static const char *const others[] = {"",      "to",     "to-",         "to-x",   "services",
                                         "own-1", "to-1-x", "to-1-sticky", "none-1", "to-99999"};
    ProxyChain chain;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(proxy_chain_parse(others[i], &chain));
}

// Elements of a set share messages, and no attribute passes its 16 bits of length.
static void test_messages(void **state) {
    static const ProxyRules rules = {.table = "t"};
    NftBatch batch;
    nft_batch_init(&batch);
    for (uint32_t i = 0; i < 5000; i++)
        proxy_element_put(&batch, &rules, true,
                          &(ProxyElement){.set = PROXY_ENDPOINTS,
                                          .address = CLUSTER_IP,
                                          .index = i,
                                          .protocol = NET_TCP,
                                          .port = 80,
                                          .to_address = POD(i),
                                          .to_port = 1});
    nft_batch_message(&batch, 0, 0); // ends the list
    size_t messages = 0, at = 0;
    while (at < batch.len) {
        const struct nlmsghdr *header = (const struct nlmsghdr *)(batch.data + at);
        assert_true(header->nlmsg_len >= sizeof *header && header->nlmsg_len < 65536);
        at += NLMSG_ALIGN(header->nlmsg_len);
        messages++;
    }
    assert_int_equal(at, batch.len);
    assert_true(messages > 2 && messages < 15);
    nft_batch_deinit(&batch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_cluster_ip),
        TEST(test_one_change_moves_one),
        TEST(test_who_is_to_be_forgotten),
        TEST(test_ending),
        TEST(test_internal_local),
        TEST(test_outside),
        TEST(test_sources),
        TEST(test_hints),
        TEST(test_chain_names),
        TEST(test_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
