// Server and client over TLS: identities, refusals, ALPN, rotation, large transfers.

#include "certs.h"
#include "site.h"

#include <errno.h>

typedef struct Pki {
    Cert ca, other_ca, server, client, stranger, expired;
} Pki;

static Pki pki;

static int make_pki(void **state) {
    pki.ca = cert_new(NULL, "test-ca", NULL, NULL, 86400);
    pki.other_ca = cert_new(NULL, "other-ca", NULL, NULL, 86400);
    pki.server = cert_new(&pki.ca, "server", NULL, "IP:127.0.0.1,DNS:localhost", 86400);
    pki.client = cert_new(&pki.ca, "kubernetes-admin", "system:masters", NULL, 86400);
    pki.stranger = cert_new(&pki.other_ca, "kubernetes-admin", "system:masters", NULL, 86400);
    pki.expired = cert_new(&pki.ca, "kubernetes-admin", "system:masters", NULL, -3600);
    return 0;
}

static int free_pki(void **state) {
    Cert *all[] = {&pki.ca, &pki.other_ca, &pki.server, &pki.client, &pki.stranger, &pki.expired};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        cert_free(all[i]);
    return 0;
}

static TlsContext *server_context(bool http2) {
    TlsContext *context;
    assert_int_equal(tls_server_context(pki.server.certificate_pem, pki.server.key_pem,
                                        pki.ca.certificate_pem, http2, &context),
                     0);
    return context;
}

static TlsContext *client_context(const Cert *cert, const Cert *ca, const char *name, bool http2) {
    TlsContext *context;
    assert_int_equal(tls_client_context(ca->certificate_pem, cert ? cert->certificate_pem : STR(""),
                                        cert ? cert->key_pem : STR(""), str_from(name), http2,
                                        &context),
                     0);
    return context;
}

// One GET of /peer; the caller frees `got`.
static void ask(Site *site, TlsContext *context, Got *got) {
    HttpClient *client = site_client(site, context);
    got_init(got, site->loop);
    got_call(got, client, "GET", "/peer", NULL);
    got_wait(got);
    http_client_free(client);
}

static void expect_peer(bool http2, const Cert *cert, const char *text) {
    TlsContext *server = server_context(http2),
               *client = client_context(cert, &pki.ca, "127.0.0.1", http2);
    Site site;
    site_init(&site, server);
    Got got;
    ask(&site, client, &got);
    assert_int_equal(got.error, 0);
    buf_char(&got.body, '\0');
    assert_string_equal(got.body.data, text);
    got_free(&got);
    site_free(&site);
    tls_context_unref(server);
    tls_context_unref(client);
}

static void client_without_certificate_is_served(void **state) {
    expect_peer(false, NULL, "1 cert=0 cn= orgs=0 first= error=");
    expect_peer(true, NULL, "2 cert=0 cn= orgs=0 first= error=");
}

static void client_certificate_is_shown(void **state) {
    expect_peer(true, &pki.client,
                "2 cert=1 cn=kubernetes-admin orgs=2 first=system:masters error=");
}

static void bad_client_certificates_are_told_to_the_authenticator(void **state) {
    expect_peer(true, &pki.stranger,
                "2 cert=0 cn= orgs=0 first= error=unable to get local issuer certificate");
    expect_peer(true, &pki.expired, "2 cert=0 cn= orgs=0 first= error=certificate has expired");
}

static void server_that_does_not_verify_is_refused(void **state) {
    static const char *names[] = {"127.0.0.1", "example.com", "127.0.0.2"};
    const Cert *cas[] = {&pki.other_ca, &pki.ca, &pki.ca};
    for (int i = 0; i < 3; i++) {
        TlsContext *server = server_context(true),
                   *client = client_context(NULL, cas[i], names[i], true);
        Site site;
        site_init(&site, server);
        Got got;
        ask(&site, client, &got);
        assert_int_equal(got.error, -EKEYREJECTED);
        assert_int_equal(site.requests, 0);
        got_free(&got);
        site_free(&site);
        tls_context_unref(server);
        tls_context_unref(client);
    }
}

static void unverified_client_talks_to_anybody(void **state) {
    TlsContext *server = server_context(true), *client;
    assert_int_equal(tls_client_context_unverified(STR(""), true, &client), 0);
    Site site;
    site_init(&site, server);
    Got got;
    ask(&site, client, &got);
    assert_int_equal(got.status, 200);
    got_free(&got);
    site_free(&site);
    tls_context_unref(server);
    tls_context_unref(client);
}

static void replaced_certificate_is_used(void **state) {
    TlsContext *server = server_context(true),
               *client = client_context(NULL, &pki.other_ca, "localhost", true);
    Site site;
    site_init(&site, server);
    Got got;
    ask(&site, client, &got);
    assert_int_equal(got.error, -EKEYREJECTED);
    got_free(&got);
    Cert other = cert_new(&pki.other_ca, "server", NULL, "DNS:localhost", 86400);
    assert_int_equal(tls_context_replace(server, other.certificate_pem, pki.server.key_pem),
                     -EINVAL);
    assert_int_equal(tls_context_replace(server, other.certificate_pem, other.key_pem), 0);
    ask(&site, client, &got);
    assert_int_equal(got.status, 200);
    got_free(&got);
    site_free(&site);
    cert_free(&other);
    tls_context_unref(server);
    tls_context_unref(client);
}

static void broken_pem_is_refused(void **state) {
    TlsContext *context;
    assert_int_equal(tls_server_context(STR("x"), STR("y"), STR(""), true, &context), -EINVAL);
    assert_int_equal(
        tls_server_context(pki.server.certificate_pem, pki.client.key_pem, STR(""), true, &context),
        -EINVAL);
    assert_int_equal(tls_server_context(pki.server.certificate_pem, pki.server.key_pem, STR("no"),
                                        true, &context),
                     -EINVAL);
    assert_int_equal(tls_client_context(STR("no"), STR(""), STR(""), STR("a"), true, &context),
                     -EINVAL);
    assert_int_equal(
        tls_client_context(pki.ca.certificate_pem, STR(""), STR(""), STR(""), true, &context),
        -EINVAL);
}

static void large_bodies_go_both_ways(void **state) {
    for (int http2 = 0; http2 < 2; http2++) {
        TlsContext *server = server_context(http2),
                   *context = client_context(NULL, &pki.ca, "127.0.0.1", http2);
        Site site;
        site_init(&site, server);
        HttpClient *client = site_client(&site, context);
        char *text = malloc(1000001);
        for (int i = 0; i < 1000000; i++)
            text[i] = (char)('a' + i % 23);
        text[1000000] = '\0';
        Got got;
        got_init(&got, site.loop);
        got_call(&got, client, "POST", "/echo", text);
        got_wait(&got);
        assert_int_equal(got.error, 0);
        assert_int_equal(got.body.len, 1000000);
        assert_memory_equal(got.body.data, text, 1000000);
        got_free(&got);
        free(text);
        http_client_free(client);
        site_free(&site);
        tls_context_unref(server);
        tls_context_unref(context);
    }
}

static void upgrade_offers_http1_alone(void **state) {
    TlsContext *server = server_context(true),
               *context = client_context(NULL, &pki.ca, "127.0.0.1", true);
    Site site;
    site_init(&site, server);
    HttpClient *client = site_client(&site, context);
    Got got;
    got_init(&got, site.loop);
    HttpHeader header = {STR("Upgrade"), STR("test")};
    HttpCallSpec spec = {.method = STR("GET"),
                         .target = STR("/upgrade"),
                         .headers = &header,
                         .n_headers = 1,
                         .upgrade = true};
    got.call = http_call(client, &spec, &got_events, &got);
    got_wait(&got);
    assert_non_null(got.upgraded);
    Raw ours, theirs;
    raw_take(&ours, site.loop, got.upgraded);
    raw_take(&theirs, site.loop, site.upgraded);
    raw_send(&ours, "over TLS");
    raw_wait(&theirs, "over TLS");
    stream_end(ours.stream); // half-close
    raw_wait_end(&theirs);
    raw_send(&theirs, "still here");
    raw_wait(&ours, "still here");
    stream_close(theirs.stream);
    raw_wait_end(&ours);
    raw_close(&ours);
    run_for(site.loop, 20 * NSEC_PER_MSEC);
    raw_close(&theirs);
    got_free(&got);
    http_client_free(client);
    site_free(&site);
    tls_context_unref(server);
    tls_context_unref(context);
}

// The last words of a command must not be lost because its input was still being sent.
static void writing_to_a_peer_that_left_keeps_what_it_sent(void **state) {
    TlsContext *server = server_context(false),
               *context = client_context(NULL, &pki.ca, "127.0.0.1", false);
    Site site;
    site_init(&site, server);
    HttpClient *client = site_client(&site, context);
    Got got;
    got_init(&got, site.loop);
    HttpCallSpec spec = {.method = STR("GET"), .target = STR("/upgrade"), .upgrade = true};
    got.call = http_call(client, &spec, &got_events, &got);
    got_wait(&got);
    Raw ours, theirs;
    raw_take(&ours, site.loop, got.upgraded);
    raw_take(&theirs, site.loop, site.upgraded);
    stream_pause(theirs.stream, true);
    char *text = malloc(100001);
    memset(text, 'w', 100000);
    text[100000] = '\0';
    raw_send(&ours, text);
    run_for(site.loop, 20 * NSEC_PER_MSEC);
    stream_close(ours.stream);
    // It is gone for good after it has waited for us in vain.
    while (!ours.closed)
        run_for(site.loop, 50 * NSEC_PER_MSEC);
    for (int i = 0; i < 3; i++) {
        raw_send(&theirs, "are you there?");
        run_for(site.loop, 20 * NSEC_PER_MSEC);
    }
    assert_false(theirs.closed);
    stream_pause(theirs.stream, false);
    raw_wait_end(&theirs);
    assert_int_equal(theirs.in.len, 100000);
    while (!theirs.closed)
        run_for(site.loop, 10 * NSEC_PER_MSEC);
    free(text);
    raw_close(&ours);
    raw_close(&theirs);
    got_free(&got);
    http_client_free(client);
    site_free(&site);
    tls_context_unref(server);
    tls_context_unref(context);
}

static void silent_handshakes_do_not_outlive_the_server(void **state) {
    TlsContext *server = server_context(true);
    Site site;
    site_init(&site, server);
    Raw raw;
    raw_connect(&raw, site.loop, http_server_port(site.server));
    run_for(site.loop, 20 * NSEC_PER_MSEC);
    http_server_free(site.server); // with the handshake open
    site.server = NULL;
    raw_wait_end(&raw);
    raw_close(&raw);
    site_free(&site);
    tls_context_unref(server);
}

static void plain_text_is_refused(void **state) {
    TlsContext *server = server_context(true);
    Site site;
    site_init(&site, server);
    Raw raw;
    raw_connect(&raw, site.loop, http_server_port(site.server));
    raw_send(&raw, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    raw_wait_end(&raw);
    assert_int_equal(site.requests, 0);
    raw_close(&raw);
    site_free(&site);
    tls_context_unref(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(client_without_certificate_is_served),
        cmocka_unit_test(client_certificate_is_shown),
        cmocka_unit_test(bad_client_certificates_are_told_to_the_authenticator),
        cmocka_unit_test(server_that_does_not_verify_is_refused),
        cmocka_unit_test(unverified_client_talks_to_anybody),
        cmocka_unit_test(replaced_certificate_is_used),
        cmocka_unit_test(broken_pem_is_refused),
        cmocka_unit_test(large_bodies_go_both_ways),
        cmocka_unit_test(upgrade_offers_http1_alone),
        cmocka_unit_test(writing_to_a_peer_that_left_keeps_what_it_sent),
        cmocka_unit_test(silent_handshakes_do_not_outlive_the_server),
        cmocka_unit_test(plain_text_is_refused),
    };
    return cmocka_run_group_tests(tests, make_pki, free_pki);
}
