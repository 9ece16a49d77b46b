#include "image/authorize.h"

#include <jansson.h>
#include <openssl/evp.h>

#define TOKEN_REPLY_MAX (1u << 20)
#define TOKEN_MAX (16u << 10)

static Str base64(Arena *arena, Str bytes) {
    unsigned char *text = arena_alloc(arena, (bytes.len + 2) / 3 * 4 + 1);
    int n = EVP_EncodeBlock(text, (const unsigned char *)bytes.ptr, (int)bytes.len);
    return str_of(text, (size_t)n);
}

static Str basic_header(Arena *arena, const Credential *credential) {
    Str pair = arena_printf(arena, "%.*s:%.*s", STR_ARG(credential->username),
                            STR_ARG(credential->password));
    return arena_printf(arena, "Authorization: Basic %.*s", STR_ARG(base64(arena, pair)));
}

static Str url_encode(Arena *arena, Str s) {
    _buf_deinit_ Buf out = BUF_INIT(64 << 10);
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                     (c && strchr("-._~", c));
        if (plain)
            buf_char(&out, c);
        else
            buf_printf(&out, "%%%02X", (unsigned char)c);
    }
    return arena_str(arena, buf_view(&out));
}

// A token goes into a header line, so it must be one word.
static bool token_is_sound(Str token) {
    if (token.len == 0 || token.len > TOKEN_MAX)
        return false;
    for (size_t i = 0; i < token.len; i++)
        if (token.ptr[i] <= ' ' || token.ptr[i] > '~')
            return false;
    return true;
}

static Str read_token(Arena *arena, Str body) {
    json_t *root = json_loadb(body.ptr, body.len, 0, NULL);
    const json_t *token = json_object_get(root, "token");
    if (!json_is_string(token))
        token = json_object_get(root, "access_token");
    Str text =
        json_is_string(token) ? arena_str(arena, str_from(json_string_value(token))) : STR_NONE;
    json_decref(root);
    return text.ptr && token_is_sound(text) ? text : STR_NONE;
}

static bool realm_is_sound(const Authorize *authorize, Str realm) {
    if (str_starts_with(realm, STR("https://")))
        return true;
    return str_starts_with(realm, STR("http://")) && !authorize->secure;
}

// An OAuth2 refresh token is posted, a password goes by basic authentication.
static bool fetch_token(Authorize *authorize, const Challenge *challenge,
                        const Credential *credential) {
    Arena *arena = authorize->arena;
    if (!realm_is_sound(authorize, challenge->realm)) {
        authorize->reason = STR("the registry names no usable token server");
        return false;
    }
    Str scope = challenge->scope.len
                    ? challenge->scope
                    : arena_printf(arena, "repository:%.*s:pull", STR_ARG(authorize->path));
    Str query = arena_printf(arena, "service=%.*s&scope=%.*s",
                             STR_ARG(url_encode(arena, challenge->service)),
                             STR_ARG(url_encode(arena, scope)));
    const char *headers[2] = {NULL, NULL};
    WebRequest request = {.headers = headers, .max_body = TOKEN_REPLY_MAX};
    if (credential && credential->identity_token.ptr) {
        request.url = arena_cstr(arena, challenge->realm);
        request.form =
            arena_printf(arena, "grant_type=refresh_token&client_id=seapod&refresh_token=%.*s&%.*s",
                         STR_ARG(url_encode(arena, credential->identity_token)), STR_ARG(query))
                .ptr;
    } else {
        const char *separator = str_find(challenge->realm, '?') >= 0 ? "&" : "?";
        request.url =
            arena_printf(arena, "%.*s%s%.*s", STR_ARG(challenge->realm), separator, STR_ARG(query))
                .ptr;
        if (credential)
            headers[0] = basic_header(arena, credential).ptr;
    }
    WebReply reply;
    Failure failure;
    if (web_fetch(authorize->web, arena, &request, &reply, &failure) != WEB_OK) {
        authorize->reason = arena_printf(arena, "failed to fetch %s token: %s",
                                         credential ? "oauth" : "anonymous", failure.message);
        return false;
    }
    Str token = reply.status == 200 ? read_token(arena, reply.body) : STR_NONE;
    if (!token.ptr) {
        authorize->reason =
            arena_printf(arena,
                         "failed to fetch %s token: unexpected status from %s request to "
                         "%s: %ld",
                         credential ? "oauth" : "anonymous", request.form ? "POST" : "GET",
                         request.url, reply.status);
        return false;
    }
    authorize->header =
        (char *)arena_printf(arena, "Authorization: Bearer %.*s", STR_ARG(token)).ptr;
    return true;
}

static bool answer_one(Authorize *authorize, const Challenge *challenges, size_t n,
                       const Credential *credential) {
    for (size_t i = 0; i < n; i++)
        if (str_eq_nocase(challenges[i].scheme, STR("bearer")) && challenges[i].realm.ptr)
            return fetch_token(authorize, &challenges[i], credential);
    for (size_t i = 0; i < n; i++) {
        if (!str_eq_nocase(challenges[i].scheme, STR("basic")))
            continue;
        if (!credential || !credential->username.ptr) {
            if (!authorize->reason.ptr)
                authorize->reason = STR("no basic auth credentials");
            return false;
        }
        authorize->header = (char *)basic_header(authorize->arena, credential).ptr;
        return true;
    }
    return false;
}

bool authorize_answer(Authorize *authorize, const ImageStrings *headers) {
    Challenge challenges[CHALLENGES_MAX];
    size_t n = 0;
    for (size_t i = 0; i < headers->n && n == 0; i++)
        n = challenge_parse(authorize->arena, headers->items[i], challenges);
    for (size_t i = 0; i < n; i++)
        if (challenges[i].error.len)
            authorize->reason = arena_printf(authorize->arena, "server message: %.*s",
                                             STR_ARG(challenges[i].error));
    while (!authorize->exhausted) {
        bool nobody = authorize->next >= authorize->credentials.n;
        const Credential *credential =
            nobody ? NULL : &authorize->credentials.items[authorize->next];
        authorize->next++;
        authorize->exhausted = nobody;
        if (answer_one(authorize, challenges, n, credential))
            return true;
    }
    return false;
}

void authorize_accepted(Authorize *authorize) {
    if (authorize->header && authorize->next > 0)
        authorize->next--;
    authorize->exhausted = false;
}

void authorize_restart(Authorize *authorize) {
    authorize->next = 0;
    authorize->exhausted = false;
}
