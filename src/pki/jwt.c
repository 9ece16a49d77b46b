// JSON Web Tokens with ES256 (and, to verify, RS256) signatures in compact form (RFC 7515): header.payload.signature.

#include <assert.h>
#include <errno.h>

#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/hmac.h>

#include "pki/openssl.h"

PKI_CLEANUP(ECDSA_SIG, ECDSA_SIG_free)

enum { SIGNATURE = 64, MAX_DER = 80 }; // R and S, 32 bytes each (RFC 7518, 3.4)

static int sign(EVP_PKEY *key, Str input, unsigned char ret[SIGNATURE]) {
    _cleanup_(EVP_MD_CTX) EVP_MD_CTX *context = EVP_MD_CTX_new();
    unsigned char der[MAX_DER];
    size_t len = sizeof der;
    if (!context || EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) != 1 ||
        EVP_DigestSign(context, der, &len, (const unsigned char *)input.ptr, input.len) != 1)
        return openssl_failed("to sign");
    const unsigned char *at = der;
    _cleanup_(ECDSA_SIG) ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &at, (long)len);
    if (!signature || BN_bn2binpad(ECDSA_SIG_get0_r(signature), ret, 32) != 32 ||
        BN_bn2binpad(ECDSA_SIG_get0_s(signature), ret + 32, 32) != 32)
        return openssl_failed("to sign");
    return 0;
}

static bool is_signed_rs256(EVP_PKEY *key, Str input, Str signature) {
    _cleanup_(EVP_MD_CTX) EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_good =
        context && EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
        EVP_DigestVerify(context, (const unsigned char *)signature.ptr, signature.len,
                         (const unsigned char *)input.ptr, input.len) == 1;
    ERR_clear_error();
    return is_good;
}

static bool is_signed_es256(EVP_PKEY *key, Str input, Str raw) {
    _cleanup_(ECDSA_SIG) ECDSA_SIG *signature = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn((const unsigned char *)raw.ptr, 32, NULL);
    BIGNUM *s = BN_bin2bn((const unsigned char *)raw.ptr + 32, 32, NULL);
    if (!signature || !r || !s || ECDSA_SIG_set0(signature, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        return false;
    }
    unsigned char *der = NULL;
    int len = i2d_ECDSA_SIG(signature, &der);
    _cleanup_(EVP_MD_CTX) EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_good =
        len > 0 && context && EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
        EVP_DigestVerify(context, der, (size_t)len, (const unsigned char *)input.ptr, input.len) ==
            1;
    OPENSSL_free(der);
    ERR_clear_error();
    return is_good;
}

int pki_jwt_sign(Arena *arena, Str key, Str payload, Str *ret_token) {
    _cleanup_(EVP_PKEY) EVP_PKEY *pkey = NULL;
    Str public_key, kid;
    int error = openssl_key_read(key, &pkey);
    if (!error)
        error = openssl_public_write(arena, pkey, &public_key);
    if (!error)
        error = pki_key_id(arena, public_key, &kid);
    if (error)
        return error;
    Str header = arena_printf(arena, "{\"alg\":\"ES256\",\"kid\":\"%.*s\"}", STR_ARG(kid));
    Str input = arena_printf(arena, "%.*s.%.*s", STR_ARG(pki_base64url(arena, header)),
                             STR_ARG(pki_base64url(arena, payload)));
    unsigned char signature[SIGNATURE];
    error = sign(pkey, input, signature);
    if (error)
        return error;
    *ret_token = arena_printf(arena, "%.*s.%.*s", STR_ARG(input),
                              STR_ARG(pki_base64url(arena, str_of(signature, sizeof signature))));
    return ret_token->len > PKI_MAX_TOKEN ? -EMSGSIZE : 0;
}

// The header of a token: one object of plain strings. Whatever needs more than that (numbers,
// nested values, escapes, "crit") is not one of ours.
typedef struct Header {
    Str alg, kid;
} Header;

static void skip_space(Str *text) {
    while (text->len && strchr(" \t\r\n", text->ptr[0]) && text->ptr[0])
        *text = str_slice(*text, 1, text->len);
}

static bool skip_char(Str *text, char c) {
    skip_space(text);
    if (!text->len || text->ptr[0] != c)
        return false;
    *text = str_slice(*text, 1, text->len);
    return true;
}

static bool take_string(Str *text, Str *ret) {
    if (!skip_char(text, '"'))
        return false;
    for (size_t i = 0; i < text->len; i++) {
        unsigned char c = (unsigned char)text->ptr[i];
        if (c < ' ' || c > '~' || c == '\\')
            return false;
        if (c == '"') {
            *ret = str_slice(*text, 0, i);
            *text = str_slice(*text, i + 1, text->len);
            return true;
        }
    }
    return false;
}

static bool parse_header(Str text, Header *ret) {
    *ret = (Header){0};
    if (!skip_char(&text, '{'))
        return false;
    do {
        Str name, value;
        if (!take_string(&text, &name) || !skip_char(&text, ':') || !take_string(&text, &value))
            return false;
        Str *field = str_eq(name, STR("alg"))   ? &ret->alg
                     : str_eq(name, STR("kid")) ? &ret->kid
                                                : NULL;
        if (str_eq(name, STR("crit")) || (field && field->ptr))
            return false;
        if (field)
            *field = value;
    } while (skip_char(&text, ','));
    if (!skip_char(&text, '}'))
        return false;
    skip_space(&text);
    return text.len == 0;
}

// A key makes one kind of signature only, so that nobody chooses how his token is checked.
static bool is_signed_by(EVP_PKEY *key, Str alg, Str input, Str signature) {
    bool rsa = EVP_PKEY_is_a(key, "RSA");
    if (rsa != str_eq(alg, STR("RS256")))
        return false;
    return rsa ? is_signed_rs256(key, input, signature) : is_signed_es256(key, input, signature);
}

// Whether one of the keys, with that id when `kid` is given, made the signature.
static bool any_signed(Arena *arena, const Str *public_keys, size_t n, Str alg, Str kid, Str input,
                       Str signature, bool *ret_tried) {
    *ret_tried = false;
    for (size_t i = 0; i < n; i++) {
        _cleanup_(EVP_PKEY) EVP_PKEY *key = NULL;
        Str id;
        if (openssl_verifier_read(public_keys[i], &key) != 0)
            continue;
        if (kid.ptr && (pki_key_id(arena, public_keys[i], &id) != 0 || !str_eq(id, kid)))
            continue;
        *ret_tried = true;
        if (is_signed_by(key, alg, input, signature))
            return true;
    }
    return false;
}

static bool is_known(Str alg) {
    return alg.ptr && (str_eq(alg, STR("ES256")) || str_eq(alg, STR("RS256")));
}

int pki_jwt_verify(Arena *arena, const Str *public_keys, size_t n, Str token, Str *ret_payload) {
    if (token.len > PKI_MAX_TOKEN)
        return -EBADMSG;
    Str rest = token, decoded, signature, payload;
    Str header_text = str_cut(&rest, '.');
    Str payload_text = rest.ptr ? str_cut(&rest, '.') : STR_NONE;
    Header header;
    if (!rest.ptr || pki_base64url_decode(arena, header_text, &decoded) != 0 ||
        !parse_header(decoded, &header) || !is_known(header.alg) ||
        pki_base64url_decode(arena, payload_text, &payload) != 0 ||
        pki_base64url_decode(arena, rest, &signature) != 0 ||
        (str_eq(header.alg, STR("ES256")) && signature.len != SIGNATURE))
        return -EBADMSG;
    Str input = str_slice(token, 0, header_text.len + 1 + payload_text.len);
    bool tried;
    bool is_good = any_signed(arena, public_keys, n, header.alg, header.kid, input, signature, &tried);
    if (!tried && header.kid.ptr)
        is_good = any_signed(arena, public_keys, n, header.alg, STR_NONE, input, signature, &tried);
    if (!is_good)
        return -EACCES;
    *ret_payload = payload;
    return 0;
}

Str pki_jws_detached(Arena *arena, Str kid, Str secret, Str content) {
    Str header = pki_base64url(
        arena, arena_printf(arena, "{\"alg\":\"HS256\",\"kid\":\"%.*s\"}", STR_ARG(kid)));
    Str input = arena_printf(arena, "%.*s.%.*s", STR_ARG(header),
                             STR_ARG(pki_base64url(arena, content)));
    unsigned char mac[32];
    unsigned len = sizeof mac;
    unsigned char *done = HMAC(EVP_sha256(), secret.ptr ? secret.ptr : "", (int)secret.len,
                               (const unsigned char *)input.ptr, input.len, mac, &len);
    assert(done && len == sizeof mac);
    return arena_printf(arena, "%.*s..%.*s", STR_ARG(header),
                        STR_ARG(pki_base64url(arena, str_of(mac, sizeof mac))));
}
