// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <errno.h>
#include <stdio.h>

#include "base/loop.h"
#include "pki/pki.h"
#include "scratch.h"

#define NOW (1795455072LL * NSEC_PER_SEC) // 2026-11-23T17:31:12Z
#define HOUR (3600 * NSEC_PER_SEC)
#define YEAR (365 * 86400 * NSEC_PER_SEC)

typedef struct Fixture {
    Arena *arena;
    Scratch scratch;
    PkiPair ca;
    char output[16384];
} Fixture;

static int setup(void **state) {
    static Fixture fixture;
    fixture.arena = arena_new();
    scratch_make(&fixture.scratch);
    assert_int_equal(pki_ca_new(fixture.arena, STR("seapod-ca"), NOW, NOW + 10 * YEAR, &fixture.ca),
                     0);
    scratch_write(&fixture.scratch, "ca.crt", fixture.ca.certificate);
    *state = &fixture;
    return 0;
}

static int teardown(void **state) {
    Fixture *f = *state;
    scratch_remove(&f->scratch);
    arena_free(f->arena);
    return 0;
}

static void assert_prints(Fixture *f, const char *command, const char *expected) {
    if (scratch_run(&f->scratch, command, f->output, sizeof f->output) != 0 ||
        !strstr(f->output, expected))
        fail_msg("%s: expected \"%s\" in:\n%s", command, expected, f->output);
}

static void assert_fails(Fixture *f, const char *command, const char *expected) {
    if (scratch_run(&f->scratch, command, f->output, sizeof f->output) == 0 ||
        !strstr(f->output, expected))
        fail_msg("%s: should fail with \"%s\":\n%s", command, expected, f->output);
}

static void test_ca(void **state) {
    Fixture *f = *state;
    assert_prints(f, "openssl x509 -in ca.crt -noout -text", "Version: 3");
    static const char *const expected[] = {
        "Issuer: CN = seapod-ca",
        "Subject: CN = seapod-ca",
        "Not Before: Nov 23 17:31:12 2026 GMT",
        "Not After : Nov 20 17:31:12 2036 GMT",
        "ASN1 OID: prime256v1",
        "Signature Algorithm: ecdsa-with-SHA256",
        "X509v3 Basic Constraints: critical\n                CA:TRUE",
        "X509v3 Key Usage: critical\n                Digital Signature, Certificate Sign, CRL Sign",
        "X509v3 Subject Key Identifier:",
        "X509v3 Authority Key Identifier:",
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        if (!strstr(f->output, expected[i]))
            fail_msg("\"%s\" is not in:\n%s", expected[i], f->output);
    }
    assert_prints(f, "openssl verify -x509_strict -attime 1800000000 -CAfile ca.crt ca.crt", "OK");
}

static void test_server_certificate(void **state) {
    Fixture *f = *state;
    const Str sans[] = {STR("kubernetes.default.svc"), STR("10.43.0.1"), STR("::1"),
                        STR("*.example.org"), STR("localhost")};
    PkiPair pair;
    assert_int_equal(pki_issue(f->arena, &f->ca,
                               &(PkiSubject){.common_name = STR("kube-apiserver")}, PKI_SERVER,
                               sans, 5, NOW, NOW + YEAR, &pair),
                     0);
    scratch_write(&f->scratch, "server.crt", pair.certificate);
    scratch_write(&f->scratch, "server.key", pair.key);
    assert_prints(
        f,
        "openssl verify -x509_strict -attime 1800000000 -CAfile ca.crt -purpose sslserver "
        "-verify_hostname kubernetes.default.svc server.crt",
        "server.crt: OK");
    assert_prints(f,
                  "openssl verify -attime 1800000000 -CAfile ca.crt -verify_hostname a.example.org "
                  "server.crt",
                  "OK");
    assert_prints(
        f, "openssl verify -attime 1800000000 -CAfile ca.crt -verify_ip 10.43.0.1 server.crt",
        "OK");
    assert_prints(f, "openssl verify -attime 1800000000 -CAfile ca.crt -verify_ip ::1 server.crt",
                  "OK");
    assert_fails(f,
                 "openssl verify -attime 1800000000 -CAfile ca.crt -verify_ip 10.43.0.2 server.crt",
                 "IP address mismatch");
    assert_fails(f,
                 "openssl verify -attime 1800000000 -CAfile ca.crt -purpose sslclient server.crt",
                 "purpose");
    assert_fails(f, "openssl verify -attime 1900000000 -CAfile ca.crt server.crt", "expired");
    assert_prints(f, "openssl x509 -in server.crt -noout -text",
                  "DNS:kubernetes.default.svc, IP Address:10.43.0.1, IP "
                  "Address:0:0:0:0:0:0:0:1, DNS:*.example.org, DNS:localhost");
    assert_non_null(strstr(f->output, "CA:FALSE"));
    assert_non_null(strstr(f->output, "TLS Web Server Authentication\n"));
    assert_prints(f,
                  "[ \"$(openssl x509 -in server.crt -noout -pubkey)\" = \"$(openssl pkey -in "
                  "server.key -pubout)\" ] && echo same",
                  "same");
}

static void test_client_certificate(void **state) {
    Fixture *f = *state;
    // Longer than X.520's 64 characters, which Go does not mind either.
    Str name = arena_printf(f->arena, "system:node:%0100d", 7);
    const Str groups[] = {STR("system:nodes"), STR("gr\xc3\xbc"
                                                   "n, with=marks")};
    PkiPair pair;
    assert_int_equal(pki_issue(f->arena, &f->ca, &(PkiSubject){name, groups, 2}, PKI_CLIENT, NULL,
                               0, NOW, NOW + YEAR, &pair),
                     0);
    scratch_write(&f->scratch, "client.crt", pair.certificate);
    assert_prints(f,
                  "openssl verify -x509_strict -attime 1800000000 -CAfile ca.crt -purpose "
                  "sslclient client.crt",
                  "client.crt: OK");
    assert_fails(f,
                 "openssl verify -attime 1800000000 -CAfile ca.crt -purpose sslserver client.crt",
                 "purpose");
    assert_prints(f, "openssl x509 -in client.crt -noout -subject -nameopt utf8,sep_multiline",
                  "O=system:nodes\n    O=gr\xc3\xbcn, with=marks\n    CN=system:node:0000");
    PkiPair both;
    assert_int_equal(pki_issue(f->arena, &f->ca, &(PkiSubject){.common_name = STR("node")},
                               PKI_CLIENT | PKI_SERVER, &(Str){"n", 1}, 1, NOW, NOW + YEAR, &both),
                     0);
    scratch_write(&f->scratch, "both.crt", both.certificate);
    assert_prints(f, "openssl x509 -in both.crt -noout -ext extendedKeyUsage",
                  "TLS Web Server Authentication, TLS Web Client Authentication");
}

static void test_serials_differ(void **state) {
    Fixture *f = *state;
    for (int i = 0; i < 3; i++) {
        PkiPair pair;
        char name[16];
        assert_int_equal(pki_issue(f->arena, &f->ca, &(PkiSubject){.common_name = STR("x")},
                                   PKI_CLIENT, NULL, 0, NOW, NOW + YEAR, &pair),
                         0);
        snprintf(name, sizeof name, "s%d.crt", i);
        scratch_write(&f->scratch, name, pair.certificate);
    }
    assert_prints(
        f,
        "for i in 0 1 2; do openssl x509 -in s$i.crt -noout -serial; done | sort -u | grep "
        "-cE '^serial=[0-9A-F]{24,32}$'",
        "3");
}

static void test_refuses(void **state) {
    Fixture *f = *state;
    PkiPair pair;
    PkiSubject good = {.common_name = STR("x")};
    const struct {
        PkiSubject subject;
        unsigned usages;
        Str san;
        int64_t not_after;
    } cases[] = {
        {{.common_name = STR("")}, PKI_CLIENT, STR("a"), NOW + YEAR},
        {{.common_name = STR("a\nb")}, PKI_CLIENT, STR("a"), NOW + YEAR},
        {{STR("x"), &(Str){"", 0}, 1}, PKI_CLIENT, STR("a"), NOW + YEAR},
        {good, 0, STR("a"), NOW + YEAR},
        {good, 4, STR("a"), NOW + YEAR},
        {good, PKI_CLIENT, STR(""), NOW + YEAR},
        {good, PKI_CLIENT, STR("a b"), NOW + YEAR},
        {good, PKI_CLIENT, STR("a\0b"), NOW + YEAR},
        {good, PKI_CLIENT, STR("a,DNS:b"), NOW + YEAR},
        {good, PKI_CLIENT, STR("a"), NOW},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(pki_issue(f->arena, &f->ca, &cases[i].subject, cases[i].usages,
                                   &cases[i].san, 1, NOW, cases[i].not_after, &pair),
                         -EINVAL);
    PkiPair broken = {f->ca.key, f->ca.certificate};
    assert_int_equal(
        pki_issue(f->arena, &broken, &good, PKI_CLIENT, NULL, 0, NOW, NOW + YEAR, &pair), -EINVAL);
    PkiPair none = {0};
    assert_int_equal(pki_issue(f->arena, &none, &good, PKI_CLIENT, NULL, 0, NOW, NOW + YEAR, &pair),
                     -EINVAL);
}

static void test_expiry(void **state) {
    Fixture *f = *state;
    int64_t expiry;
    assert_int_equal(pki_certificate_expiry(f->ca.certificate, &expiry), 0);
    assert_int_equal(expiry, NOW + 10 * YEAR);
    assert_int_equal(pki_certificate_expiry(STR("nonsense"), &expiry), -EINVAL);
    assert_int_equal(pki_certificate_expiry(f->ca.key, &expiry), -EINVAL);
    PkiPair late; // after 2050 the encoding is another one
    assert_int_equal(pki_ca_new(f->arena, STR("late"), NOW, NOW + 100 * YEAR, &late), 0);
    assert_int_equal(pki_certificate_expiry(late.certificate, &expiry), 0);
    assert_int_equal(expiry, NOW + 100 * YEAR);
}

static void test_fingerprint(void **state) {
    Fixture *f = *state;
    // kubeadm's recipe for --discovery-token-ca-cert-hash
    assert_int_equal(scratch_run(&f->scratch,
                                 "openssl x509 -pubkey -noout -in ca.crt | openssl pkey -pubin "
                                 "-outform der | openssl dgst -sha256 -hex | sed 's/^.* //'",
                                 f->output, sizeof f->output),
                     0);
    Str fingerprint = pki_fingerprint(f->arena, f->ca.certificate);
    assert_int_equal(fingerprint.len, 64);
    assert_memory_equal(fingerprint.ptr, f->output, 64);
    assert_null(pki_fingerprint(f->arena, STR("nonsense")).ptr);
}

static void test_keys(void **state) {
    Fixture *f = *state;
    Str key, public_key, other;
    assert_int_equal(pki_key_new(f->arena, &key), 0);
    assert_int_equal(pki_public_key(f->arena, key, &public_key), 0);
    scratch_write(&f->scratch, "k.key", key);
    scratch_write(&f->scratch, "k.pub", public_key);
    assert_prints(f, "openssl pkey -in k.key -pubout | cmp - k.pub && echo same", "same");
    assert_int_equal(pki_public_key(f->arena, public_key, &other), -EINVAL);
    // Other kinds of keys are refused.
    assert_int_equal(scratch_run(&f->scratch, "openssl ecparam -name secp384r1 -genkey -noout",
                                 f->output, sizeof f->output),
                     0);
    assert_int_equal(pki_public_key(f->arena, str_from(f->output), &other), -EINVAL);
    assert_int_equal(scratch_run(&f->scratch, "openssl pkey -in k.key -aes128 -passout pass:secret",
                                 f->output, sizeof f->output),
                     0);
    assert_int_equal(pki_public_key(f->arena, str_from(f->output), &other), -EINVAL);
    // The older SEC 1 form, which `openssl ecparam` and others write, is fine.
    assert_int_equal(scratch_run(&f->scratch, "openssl ecparam -name prime256v1 -genkey -noout",
                                 f->output, sizeof f->output),
                     0);
    assert_int_equal(pki_public_key(f->arena, str_from(f->output), &other), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ca, setup, teardown),
        cmocka_unit_test_setup_teardown(test_server_certificate, setup, teardown),
        cmocka_unit_test_setup_teardown(test_client_certificate, setup, teardown),
        cmocka_unit_test_setup_teardown(test_serials_differ, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_expiry, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fingerprint, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keys, setup, teardown),
    };
    return cmocka_run_group_tests_name("pki certificate", tests, NULL, NULL);
}
