#include "image/credentials.h"

#include <errno.h>
#include <fnmatch.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define CREDENTIAL_MAX (64u << 10) // of base64

// "https://registry.example/v1/" -> "registry.example"
static Str clean_key(Str key) {
    if (str_starts_with(key, STR("https://")))
        key = str_slice(key, 8, key.len);
    else if (str_starts_with(key, STR("http://")))
        key = str_slice(key, 7, key.len);
    while (str_ends_with(key, STR("/")))
        key.len--;
    ptrdiff_t slash = str_find(key, '/');
    if (slash >= 0) {
        Str path = str_slice(key, (size_t)slash, key.len);
        if (str_eq(path, STR("/v1")) || str_eq(path, STR("/v2")) ||
            str_starts_with(path, STR("/v1/")) || str_starts_with(path, STR("/v2/")))
            key.len = (size_t)slash;
    }
    return key;
}

// "auth" is base64 of user:password.
static bool decode_auth(Arena *arena, const json_t *value, Credential *credential) {
    size_t len = json_string_length(value);
    if (len == 0 || len > CREDENTIAL_MAX)
        return false;
    unsigned char *text = arena_alloc(arena, len / 4 * 3 + 4);
    // Padded input only; what Docker writes is.
    int n = EVP_DecodeBlock(text, (const unsigned char *)json_string_value(value), (int)len);
    if (n < 0)
        return false;
    const char *encoded = json_string_value(value);
    while (len > 0 && encoded[--len] == '=')
        n--;
    Str password = str_of(text, n > 0 ? (size_t)n : 0);
    credential->username = str_cut(&password, ':');
    credential->password = password;
    return password.ptr != NULL;
}

static Str get_str(Arena *arena, const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value) || json_string_length(value) == 0)
        return STR_NONE;
    return arena_str(arena, str_from(json_string_value(value)));
}

static void add(Arena *arena, Credentials *credentials, const Credential *credential) {
    size_t size = sizeof(*credential), n = credentials->n;
    credentials->items = arena_grow(arena, credentials->items, n * size, (n + 1) * size);
    credentials->items[credentials->n++] = *credential;
}

int credentials_parse(Arena *arena, Str text, Credentials *credentials) {
    json_t *root = json_loadb(text.ptr, text.len, 0, NULL);
    if (!json_is_object(root)) {
        json_decref(root);
        return -EBADMSG;
    }
    json_t *auths = json_object_get(root, "auths");
    const char *key;
    json_t *value;
    json_object_foreach(auths ? auths : root, key, value) {
        if (!json_is_object(value)) // another setting of an old file
            continue;
        Credential credential = {.key = arena_str(arena, clean_key(str_from(key))),
                                 .username = get_str(arena, value, "username"),
                                 .password = get_str(arena, value, "password"),
                                 .identity_token = get_str(arena, value, "identitytoken")};
        bool known = credential.username.ptr && credential.password.ptr;
        if (!known)
            known = decode_auth(arena, json_object_get(value, "auth"), &credential);
        if (known || credential.identity_token.ptr)
            add(arena, credentials, &credential);
    }
    json_decref(root);
    return 0;
}

// Label by label, each of which may be a glob; the port must be the same.
static bool host_matches(Arena *arena, Str pattern, Str host) {
    while (pattern.ptr && host.ptr) {
        Str want = str_cut(&pattern, '.'), have = str_cut(&host, '.');
        Str want_port = want, have_port = have;
        if (!pattern.ptr && !host.ptr) {
            want = str_cut(&want_port, ':');
            have = str_cut(&have_port, ':');
            if (!str_eq(want_port, have_port))
                return false;
        }
        if (fnmatch(arena_cstr(arena, want), arena_cstr(arena, have), 0) != 0)
            return false;
    }
    return !pattern.ptr && !host.ptr;
}

static bool key_matches(Arena *arena, Str key, Str host, Str path) {
    Str prefix = key;
    Str pattern = str_cut(&prefix, '/');
    if (prefix.ptr && !str_starts_with(path, prefix))
        return false;
    if (str_eq(pattern, host)) // also an IPv6 address, which has no labels
        return true;
    return host_matches(arena, pattern, host);
}

static int compare(const void *a, const void *b) {
    return str_cmp(((const Credential *)b)->key, ((const Credential *)a)->key);
}

Credentials credentials_for(Arena *arena, const Credentials *credentials, Str host, Str path) {
    static const Str docker_hub[] = {STR("docker.io"), STR("index.docker.io"),
                                     STR("registry-1.docker.io")};
    Credentials found = {0};
    for (size_t i = 0; i < credentials->n; i++) {
        const Credential *credential = &credentials->items[i];
        bool fits = key_matches(arena, credential->key, host, path);
        for (size_t j = 0; !fits && j < 3 && str_eq(host, docker_hub[0]); j++)
            fits = key_matches(arena, credential->key, docker_hub[j], path);
        if (fits)
            add(arena, &found, credential);
    }
    if (found.n > 1)
        qsort(found.items, found.n, sizeof(Credential), compare);
    return found;
}
