#pragma once
// Keys and certificates (ECDSA P-256, as kubeadm's and k3s' defaults allow), PEM throughout.
// Strings live in the arena.

#include "base/arena.h"

typedef struct PkiPair {
    Str certificate, key; // PEM
} PkiPair;

typedef struct PkiSubject {
    Str common_name;
    const Str *organizations;
    size_t n_organizations;
} PkiSubject;

enum { PKI_SERVER = 1, PKI_CLIENT = 2 };

// Times are Unix nanoseconds. Return 0 or negative errno: -EINVAL for what a certificate or a key
// in the arguments cannot be (a malformed PEM, name or SAN), -EIO with the reason logged when
// OpenSSL refuses.
int pki_ca_new(Arena *arena, Str common_name, int64_t not_before, int64_t not_after, PkiPair *ret);
int pki_issue(Arena *arena, const PkiPair *ca, const PkiSubject *subject, unsigned usages,
              const Str *sans, size_t n_sans, int64_t not_before, int64_t not_after,
              PkiPair *ret); // SANs: DNS names and IP addresses
int pki_key_new(Arena *arena, Str *ret_key);
int pki_public_key(Arena *arena, Str key, Str *ret_public); // PEM SubjectPublicKeyInfo
int pki_certificate_expiry(Str certificate, int64_t *ret_not_after);
// sha256 of the DER SubjectPublicKeyInfo, hex (token pinning, as kubeadm's
// discovery-token-ca-cert-hash). STR_NONE when that is no certificate.
Str pki_fingerprint(Arena *arena, Str certificate);
Str pki_sha256_hex(Arena *arena, Str data);
Str pki_base64(Arena *arena, Str data);
int pki_base64_decode(Arena *arena, Str text, Str *ret); // 0 or -EINVAL; strict, with padding
Str pki_base64url(Arena *arena, Str data);               // RFC 7515: without padding
int pki_base64url_decode(Arena *arena, Str text, Str *ret);

// Certificate signing requests (PKCS#10), as certificates.k8s.io has them.
typedef struct PkiRequest {
    PkiSubject subject;
    const Str *sans; // DNS names and IP addresses
    size_t n_sans, n_dns, n_addresses;
    size_t n_emails, n_uris; // names that never get into a certificate
} PkiRequest;
// -EINVAL: not a PEM block CERTIFICATE REQUEST, or one with names that can't be; -EACCES: its
// signature is wrong.
int pki_request_read(Arena *arena, Str pem, PkiRequest *ret);
int pki_request_new(Arena *arena, const PkiSubject *subject, const Str *sans, size_t n_sans,
                    Str key, Str *ret_pem);
// Usages go by their names in certificates.k8s.io ("client auth"). `not_after` is cut at the CA's.
int pki_request_sign(Arena *arena, const PkiPair *ca, Str pem, const Str *usages, size_t n,
                     int64_t not_before, int64_t not_after, Str *ret_certificate);
const char *pki_usage_at(size_t index); // NULL past the end
// A detached JWS (RFC 7515, appendix F) by HS256: "HEADER..SIGNATURE" with that kid (bootstrap
// tokens sign the cluster-info so).
Str pki_jws_detached(Arena *arena, Str kid, Str secret, Str content);

// JSON Web Tokens, ES256; RS256 is accepted, too (RFC 7515, 7518). The payload is JSON made by the caller. `kid` is derived
// from the public key as upstream does: base64url of the sha256 of its DER SubjectPublicKeyInfo.
#define PKI_MAX_TOKEN (16 * 1024)
int pki_jwt_sign(Arena *arena, Str key, Str payload, Str *ret_token);
// Verifies the signature only (the caller checks iss, aud, exp...). A key whose id the header names
// is the only one tried; without such a one all are. Returns 0, -EBADMSG (malformed, too long, or
// neither ES256 nor RS256) or -EACCES (no key made that signature).
int pki_jwt_verify(Arena *arena, const Str *public_keys, size_t n, Str token, Str *ret_payload);
// The same with keys of its own, for a server that sees a token again with each request: a signature
// that was found good (some 100 us each) is remembered, of up to `capacity` tokens, at most 1 MiB of
// payloads.
typedef struct JwtVerifier JwtVerifier;
JwtVerifier *jwt_verifier_new(const Str *public_keys, size_t n, size_t capacity); // keys: copied
void jwt_verifier_free(JwtVerifier *verifier);
int jwt_verifier_verify(JwtVerifier *verifier, Arena *arena, Str token, Str *ret_payload);
int pki_key_id(Arena *arena, Str public_key, Str *ret_kid);
// The public key as a member of a JWK set (RFC 7517), in the form that /openid/v1/jwks has
// upstream.
int pki_public_jwk(Arena *arena, Str public_key, Str *ret_json);
bool pki_key_is_rsa(Str public_key); // it verifies RS256, not ES256
// Every key of a PEM file, P-256 or RSA of at least 2,048 bits, private or public, as public keys
// (upstream's --service-account-key-file). 0, or -EINVAL when there is none.
int pki_read_publics(Arena *arena, Str text, Str **ret, size_t *ret_n);

// The files below DIR (mode 0700, files 0600): loaded, or made when there are none. A half-written
// set is never left behind: an interrupted creation is finished or forgotten by the next call. A
// set in which something is missing or does not fit together is refused (-ENOENT, -EINVAL, with a
// log line that names the file), because making a new CA would lock everyone out. Returns 0 or
// negative errno.
typedef struct PkiFiles {
    PkiPair ca;              // cluster CA: serving and client certificates
    Str service_account_key; // signs service account tokens
    Str service_account_public;
    bool created; // this call made them
} PkiFiles;
int pki_load_or_create(Arena *arena, const char *directory, int64_t now, PkiFiles *ret);
