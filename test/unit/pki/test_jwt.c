// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <errno.h>
#include <stdio.h>

#include "pki/pki.h"
#include "scratch.h"

typedef struct Keys {
    Str secret, public_key;
} Keys;

static Keys keys_new(Arena *arena) {
    Keys keys;
    assert_int_equal(pki_key_new(arena, &keys.secret), 0);
    assert_int_equal(pki_public_key(arena, keys.secret, &keys.public_key), 0);
    return keys;
}

static void test_round_trip(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Keys keys = keys_new(arena), other = keys_new(arena);
    Str token, payload, kid;
    Str claims =
        STR("{\"iss\":\"https://kubernetes.default.svc\",\"sub\":\"system:serviceaccount:a:b\"}");
    assert_int_equal(pki_jwt_sign(arena, keys.secret, claims, &token), 0);
    assert_int_equal(pki_jwt_verify(arena, &keys.public_key, 1, token, &payload), 0);
    assert_true(str_eq(payload, claims));
    Str ring[] = {other.public_key, STR("not a key"), keys.public_key};
    assert_int_equal(pki_jwt_verify(arena, ring, 3, token, &payload), 0);
    assert_int_equal(pki_jwt_verify(arena, ring, 2, token, &payload), -EACCES);
    assert_int_equal(pki_jwt_verify(arena, NULL, 0, token, &payload), -EACCES);

    Str rest = token, header;
    assert_int_equal(pki_base64url_decode(arena, str_cut(&rest, '.'), &header), 0);
    assert_int_equal(pki_key_id(arena, keys.public_key, &kid), 0);
    Str expected = arena_printf(arena, "{\"alg\":\"ES256\",\"kid\":\"%.*s\"}", STR_ARG(kid));
    assert_true(str_eq(header, expected));
}

static void test_second_opinion(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Scratch scratch;
    scratch_make(&scratch);
    Keys keys = keys_new(arena);
    Str token;
    assert_int_equal(pki_jwt_sign(arena, keys.secret, STR("{}"), &token), 0);
    scratch_write(&scratch, "token", token);
    scratch_write(&scratch, "key.pub", keys.public_key);
    scratch_write(&scratch, "key", keys.secret);
    char output[4096];
    // R and S become DER with openssl's own ASN.1 generator.
    static const char verify[] =
        "cut -d. -f1,2 token | tr -d '\\n' > input; sig=$(cut -d. -f3 token | tr -- -_ +/)==; "
        "hex=$(echo \"$sig\" | base64 -d | od -An -v -tx1 | tr -d ' \\n'); "
        "printf 'asn1=SEQUENCE:s\\n[s]\\nr=INTEGER:0x%.64s\\ns=INTEGER:0x%s\\n' $hex "
        "$(echo $hex | cut -c65-) > conf; openssl asn1parse -genconf conf -noout -out sig; "
        "openssl dgst -sha256 -verify key.pub -signature sig input";
    int status = scratch_run(&scratch, verify, output, sizeof output);
    if (status != 0 || !strstr(output, "Verified OK"))
        fail_msg("%s", output);
    // kid as upstream derives it
    static const char kid[] = "openssl pkey -pubin -in key.pub -outform der | openssl dgst -sha256 "
                              "-binary | base64 | tr -d '=\\n' | tr +/ -_";
    Str expected;
    assert_int_equal(pki_key_id(arena, keys.public_key, &expected), 0);
    assert_int_equal(scratch_run(&scratch, kid, output, sizeof output), 0);
    assert_true(str_eq(str_from(output), expected));
    scratch_remove(&scratch);
}

static Str forge(Arena *arena, const Keys *keys, Str header, Str payload);

// Keys and tokens of clusters that sign with RSA, made by openssl.
static void test_rs256(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Scratch scratch;
    scratch_make(&scratch);
    char output[16384];
    static const char make[] =
        "b64() { base64 -w0 | tr -d = | tr +/ -_; }; "
        "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out key 2>/dev/null; "
        "openssl pkey -in key -pubout -out key.pub; "
        "input=$(printf '{\"alg\":\"RS256\",\"kid\":\"x\"}' | b64).$(printf '{\"a\":1}' | b64); "
        "sig=$(printf %s $input | openssl dgst -sha256 -sign key | b64); "
        "printf %s $input.$sig; printf '|'; cat key.pub; printf '|'; cat key; printf '|'; "
        "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 2>/dev/null | "
        "openssl pkey -pubout";
    if (scratch_run(&scratch, make, output, sizeof output) != 0)
        fail_msg("%s", output);
    scratch_remove(&scratch);
    Str rest = str_from(output), token = str_cut(&rest, '|'), public_key = str_cut(&rest, '|');
    Str private_key = str_cut(&rest, '|'), weak = rest, payload;
    Keys ec = keys_new(arena);
    Str ring[] = {ec.public_key, public_key};
    assert_int_equal(pki_jwt_verify(arena, ring, 2, token, &payload), 0);
    assert_true(str_eq(payload, STR("{\"a\":1}")));
    assert_int_equal(pki_jwt_verify(arena, ring, 1, token, &payload), -EACCES);
    Str changed = arena_str(arena, token);
    ((char *)changed.ptr)[token.len - 40] = changed.ptr[token.len - 40] == 'A' ? 'B' : 'A';
    assert_int_equal(pki_jwt_verify(arena, ring, 2, changed, &payload), -EACCES);
    // The header does not choose how a key is used.
    Str rest_of = str_slice(token, (size_t)str_find(token, '.') + 1, token.len);
    Str es_header = arena_printf(
        arena, "%.*s.%.*s", STR_ARG(pki_base64url(arena, STR("{\"alg\":\"ES256\"}"))),
        STR_ARG(rest_of));
    assert_int_equal(pki_jwt_verify(arena, ring, 2, es_header, &payload), -EBADMSG);
    Str forged = forge(arena, &ec, STR("{\"alg\":\"RS256\"}"), STR("{}"));
    assert_int_equal(pki_jwt_verify(arena, ring, 2, forged, &payload), -EACCES);
    // A file of keys, private and public; short ones are none.
    Str *publics, json;
    size_t n;
    Str file = arena_printf(arena, "# keys\n%.*s%.*s%.*s", STR_ARG(private_key), STR_ARG(weak),
                            STR_ARG(ec.public_key));
    assert_int_equal(pki_read_publics(arena, file, &publics, &n), 0);
    assert_int_equal(n, 2);
    assert_int_equal(pki_jwt_verify(arena, publics, n, token, &payload), 0);
    assert_true(pki_key_is_rsa(publics[0]) && !pki_key_is_rsa(publics[1]));
    assert_int_equal(pki_public_jwk(arena, publics[0], &json), 0);
    assert_non_null(strstr(json.ptr, "\"kty\":\"RSA\""));
    assert_non_null(strstr(json.ptr, "\"e\":\"AQAB\""));
    assert_int_equal(pki_read_publics(arena, weak, &publics, &n), -EINVAL);
    assert_int_equal(pki_read_publics(arena, STR("-----BEGIN X"), &publics, &n), -EINVAL);
}

// RFC 7515, appendix A.3: a token of others, whose header has no kid.
static void test_rfc7515(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Scratch scratch;
    scratch_make(&scratch);
    char key[2048];
    // The appendix' x and y as a SubjectPublicKeyInfo.
    static const char make[] =
        "{ printf '\\060\\131\\060\\023\\006\\007\\052\\206\\110\\316\\075\\002\\001\\006\\010\\052"
        "\\206\\110\\316\\075\\003\\001\\007\\003\\102\\000\\004';"
        "printf 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU=' | tr -- -_ +/ | base64 -d;"
        "printf 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0=' | tr -- -_ +/ | base64 -d; } |"
        "openssl pkey -pubin -inform der";
    assert_int_equal(scratch_run(&scratch, make, key, sizeof key), 0);
    scratch_remove(&scratch);
    Str public_key = str_from(key), payload, kid, jwk;
    Str token =
        STR("eyJhbGciOiJFUzI1NiJ9."
            "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc1"
            "9yb290Ijp0cnVlfQ."
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-"
            "Kg6NU1Q");
    assert_int_equal(pki_jwt_verify(arena, &public_key, 1, token, &payload), 0);
    assert_true(str_starts_with(payload, STR("{\"iss\":\"joe\",")));
    assert_int_equal(pki_key_id(arena, public_key, &kid), 0);
    assert_int_equal(pki_public_jwk(arena, public_key, &jwk), 0);
    Str expected = arena_printf(
        arena,
        "{\"use\":\"sig\",\"kty\":\"EC\",\"kid\":\"%.*s\",\"crv\":\"P-256\",\"alg\":\"ES256\","
        "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
        "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}",
        STR_ARG(kid));
    assert_true(str_eq(jwk, expected));
}

// A token with this header, signed in earnest with the key.
static Str forge(Arena *arena, const Keys *keys, Str header, Str payload) {
    // The signature belongs to another header: enough where the header is refused before.
    Str token;
    assert_int_equal(pki_jwt_sign(arena, keys->secret, payload, &token), 0);
    Str rest = token;
    str_cut(&rest, '.');
    return arena_printf(arena, "%.*s.%.*s", STR_ARG(pki_base64url(arena, header)), STR_ARG(rest));
}

static void test_headers(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Keys keys = keys_new(arena);
    Str payload;
    const Str malformed[] = {
        STR(""),
        STR("{}"),
        STR("null"),
        STR("[\"alg\",\"ES256\"]"),
        STR("{\"alg\":\"none\"}"),
        STR("{\"alg\":\"HS256\"}"),
        STR("{\"alg\":\"es256\"}"),
        STR("{\"alg\":[\"ES256\"]}"),
        STR("{\"alg\":\"ES256\",}"),
        STR("{\"alg\":\"ES256\""),
        STR("{\"alg\":\"ES256\"}}"),
        STR("{\"alg\":\"ES256\"} x"),
        STR("{\"alg\":\"ES256\",\"alg\":\"ES256\"}"),
        STR("{\"alg\":\"ES256\",\"crit\":\"exp\"}"),
        STR("{\"alg\":\"ES256\",\"kid\":1}"),
        STR("{\"alg\":\"ES256\",\"kid\":\"a\\u0000\"}"),
        STR("{\"kid\":\"a\"}"),
        STR("{\"alg\":\"ES256\0\"}"),
    };
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
        assert_int_equal(pki_jwt_verify(arena, &keys.public_key, 1,
                                        forge(arena, &keys, malformed[i], STR("{}")), &payload),
                         -EBADMSG);
    // Well-formed, but not what was signed.
    const Str others[] = {STR("{\"alg\":\"ES256\"}"),
                          STR(" { \"typ\" : \"JWT\", \"alg\": \"ES256\" }\n"),
                          STR("{\"alg\":\"ES256\",\"kid\":\"unknown\"}")};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_int_equal(pki_jwt_verify(arena, &keys.public_key, 1,
                                        forge(arena, &keys, others[i], STR("{}")), &payload),
                         -EACCES);
}

static void test_tampering(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Keys keys = keys_new(arena);
    Str token, payload;
    assert_int_equal(pki_jwt_sign(arena, keys.secret, STR("{\"sub\":\"a\"}"), &token), 0);
    // Whatever single letter is replaced, it is no longer accepted.
    for (size_t i = 0; i < token.len; i++) {
        Str changed = arena_str(arena, token);
        ((char *)changed.ptr)[i] = token.ptr[i] == 'A' ? 'B' : 'A';
        int error = pki_jwt_verify(arena, &keys.public_key, 1, changed, &payload);
        assert_true(error == -EACCES || error == -EBADMSG);
    }
    for (size_t len = 0; len < token.len; len++) {
        int error = pki_jwt_verify(arena, &keys.public_key, 1, str_slice(token, 0, len), &payload);
        assert_int_equal(error, -EBADMSG);
    }
    static const char *const malformed[] = {"",      ".",   "..",          "...",
                                            "a.b.c", "a.b", "===.===.===", "\xff.\xff.\xff"};
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
        assert_int_equal(
            pki_jwt_verify(arena, &keys.public_key, 1, str_from(malformed[i]), &payload), -EBADMSG);
    assert_int_equal(pki_jwt_verify(arena, &keys.public_key, 1,
                                    arena_printf(arena, "%.*s.", STR_ARG(token)), &payload),
                     -EBADMSG);
    assert_int_equal(pki_jwt_verify(arena, &keys.public_key, 1, STR_NONE, &payload), -EBADMSG);
}

static void test_zero_signature(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Keys keys = keys_new(arena);
    Str token, payload;
    assert_int_equal(pki_jwt_sign(arena, keys.secret, STR("{}"), &token), 0);
    char zeros[64] = {0};
    Str input = str_slice(token, 0, (size_t)str_find_last(token, '.'));
    Str forged = arena_printf(arena, "%.*s.%.*s", STR_ARG(input),
                              STR_ARG(pki_base64url(arena, str_of(zeros, 64))));
    assert_int_equal(pki_jwt_verify(arena, &keys.public_key, 1, forged, &payload), -EACCES);
}

static void test_limits(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Keys keys = keys_new(arena);
    Str token, payload;
    Str large = arena_printf(arena, "\"%0*d\"", PKI_MAX_TOKEN, 1);
    assert_int_equal(pki_jwt_sign(arena, keys.secret, large, &token), -EMSGSIZE);
    assert_int_equal(pki_jwt_verify(arena, &keys.public_key, 1, large, &payload), -EBADMSG);
    assert_int_equal(pki_jwt_sign(arena, keys.public_key, STR("{}"), &token), -EINVAL);
}

// Asked again, in whatever order and also after many others, the verifier says what pki_jwt_verify()
// says, and never takes one token for another.
static void test_verifier(void **state) {
    enum { TOKENS = 50 };
    _arena_free_ Arena *arena = arena_new();
    Keys keys = keys_new(arena);
    JwtVerifier *verifier = jwt_verifier_new(&keys.public_key, 1, 16);
    Str *tokens = arena_array_of(arena, Str, TOKENS), payload;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < TOKENS; i++) {
            Str claims = arena_printf(arena, "{\"sub\":\"%d\"}", i);
            if (round == 0)
                assert_int_equal(pki_jwt_sign(arena, keys.secret, claims, &tokens[i]), 0);
            for (int again = 0; again < 2; again++) {
                assert_int_equal(jwt_verifier_verify(verifier, arena, tokens[i], &payload), 0);
                assert_true(str_eq(payload, claims));
            }
            Str changed = arena_str(arena, tokens[i]);
            ((char *)changed.ptr)[changed.len - 10] ^= 1;
            assert_int_not_equal(jwt_verifier_verify(verifier, arena, changed, &payload), 0);
        }
    }
    Str large = arena_printf(arena, "%0*d", PKI_MAX_TOKEN + 1, 1);
    assert_int_equal(jwt_verifier_verify(verifier, arena, large, &payload), -EBADMSG);
    assert_int_equal(jwt_verifier_verify(verifier, arena, STR_NONE, &payload), -EBADMSG);
    jwt_verifier_free(verifier);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_second_opinion),
        cmocka_unit_test(test_rfc7515),    cmocka_unit_test(test_headers),
        cmocka_unit_test(test_tampering),  cmocka_unit_test(test_zero_signature),
        cmocka_unit_test(test_limits),     cmocka_unit_test(test_verifier),
        cmocka_unit_test(test_rs256),
    };
    return cmocka_run_group_tests_name("pki jwt", tests, NULL, NULL);
}
