#include "api/auth/authn.h"

#include "api/auth/authz.h"
#include "api/server.h"
#include "pki/pki.h"

static const User anonymous_user = {
    .name = {"system:anonymous", 16},
    .uid = {"", 0},
    .groups = (const Str[]){{"system:unauthenticated", 22}},
    .n_groups = 1,
};

static const User *user_new(Arena *arena, Str name, const Str *groups, size_t n_groups) {
    User *user = arena_new_of(arena, User);
    Str *all = arena_array_of(arena, Str, n_groups + 1);
    size_t n = 0;
    bool authenticated = false;
    for (size_t i = 0; i < n_groups; i++) {
        all[n++] = groups[i];
        authenticated |= str_eq(groups[i], STR("system:authenticated"));
    }
    if (!authenticated)
        all[n++] = STR("system:authenticated");
    *user = (User){.name = name, .uid = STR(""), .groups = all, .n_groups = n};
    return user;
}

// "Bearer TOKEN"; browsers' WebSockets can't set headers and put it into a subprotocol.
static Str bearer_token(const HttpRequest *http) {
    Str header = http_header(http, STR("Authorization"));
    if (header.len < 7 || !str_eq_nocase(str_slice(header, 0, 7), STR("Bearer ")))
        return STR_NONE;
    return str_trim(str_slice(header, 7, header.len));
}

#define SUBPROTOCOL "base64url.bearer.authorization.k8s.io."
static Str websocket_token(const HttpRequest *http) {
    Str protocols = http_header(http, STR("Sec-WebSocket-Protocol"));
    while (protocols.ptr) {
        Str protocol = str_trim(str_cut(&protocols, ','));
        if (str_starts_with(protocol, STR(SUBPROTOCOL)))
            return str_slice(protocol, sizeof SUBPROTOCOL - 1, protocol.len);
    }
    return STR_NONE;
}

static Str decode_base64url(Arena *arena, Str text) {
    char *plain = arena_alloc(arena, text.len + 5);
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++)
        plain[len++] = text.ptr[i] == '-' ? '+' : text.ptr[i] == '_' ? '/' : text.ptr[i];
    while (len % 4)
        plain[len++] = '=';
    Str token;
    return pki_base64_decode(arena, str_of(plain, len), &token) == 0 ? token : STR("");
}

ApiStatus *authenticate(ApiRequest *request, const User **ret) {
    const HttpRequest *http = request->http;
    const HttpPeer *peer = &http->peer;
    Arena *arena = request->arena;
    if (peer->local) {
        *ret = user_new(arena, peer->user, peer->groups, peer->n_groups);
        return NULL;
    }
    if (peer->certificate_error.len)
        return status_unauthorized(arena);
    if (peer->certificate && peer->common_name.len) {
        *ret = user_new(arena, peer->common_name, peer->organizations, peer->n_organizations);
        return NULL;
    }
    Str token = bearer_token(http);
    if (!token.ptr) {
        Str encoded = websocket_token(http);
        if (encoded.ptr)
            token = decode_base64url(arena, encoded);
    }
    if (token.ptr) {
        TokenUser *found = arena_new_of(arena, TokenUser);
        if (!bearer_authenticate(request->api, arena, token, NULL, 0, found))
            return status_unauthorized(arena);
        *ret = &found->user;
        return NULL;
    }
    // Other schemes (Basic...) are not spoken, and no credentials are not wrong ones.
    *ret = &anonymous_user;
    return NULL;
}

// ---- impersonation (apiserver's filters/impersonation)

typedef struct Impersonation {
    ApiRequest *request;
    const User *requester;
    Str name, uid;
    Str *groups;
    size_t n_groups;
    UserExtra *extra;
    size_t n_extra;
} Impersonation;

static ApiStatus *may_impersonate(Impersonation *self, Str group, Str resource, Str subresource,
                                  Str namespace_, Str name) {
    Attributes attributes = {
        .user = self->requester,
        .is_resource = true,
        .verb = STR("impersonate"),
        .group = group,
        .version = group.len ? STR("v1") : STR(""),
        .resource = resource,
        .subresource = subresource,
        .namespace_ = namespace_,
        .name = name,
    };
    Arena *arena = self->request->arena;
    Str reason = STR("");
    if (authorize(self->request->api->authorizer, arena, &attributes, &reason))
        return NULL;
    return authz_forbidden(arena, &attributes, reason);
}

// "system:serviceaccount:NAMESPACE:NAME"
static bool split_service_account(Str user, Str *ret_namespace, Str *ret_name) {
    Str prefix = STR("system:serviceaccount:");
    if (!str_starts_with(user, prefix))
        return false;
    Str rest = str_slice(user, prefix.len, user.len);
    *ret_namespace = str_cut(&rest, ':');
    *ret_name = rest;
    return rest.ptr && rest.len && ret_namespace->len && str_find(rest, ':') < 0;
}

static void push_group(Impersonation *self, Str group) {
    Arena *arena = self->request->arena;
    self->groups = arena_grow(arena, self->groups, self->n_groups * sizeof(Str),
                              (self->n_groups + 1) * sizeof(Str));
    self->groups[self->n_groups++] = group;
}

static void push_extra(Impersonation *self, Str key, Str value) {
    Arena *arena = self->request->arena;
    UserExtra *extra = NULL;
    for (size_t i = 0; i < self->n_extra && !extra; i++)
        extra = str_eq(self->extra[i].key, key) ? &self->extra[i] : NULL;
    if (!extra) {
        self->extra = arena_grow(arena, self->extra, self->n_extra * sizeof *extra,
                                 (self->n_extra + 1) * sizeof *extra);
        extra = &self->extra[self->n_extra++];
        *extra = (UserExtra){.key = key};
    }
    extra->values = arena_grow(arena, (void *)extra->values, extra->n * sizeof(Str),
                               (extra->n + 1) * sizeof(Str));
    ((Str *)extra->values)[extra->n++] = value;
}

#define EXTRA_PREFIX "Impersonate-Extra-"

static Str extra_key(Arena *arena, Str header) {
    Str encoded = str_slice(header, sizeof EXTRA_PREFIX - 1, header.len);
    char *lower = arena_cstr(arena, encoded);
    for (char *c = lower; *c; c++) {
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    }
    Str key;
    return http_percent_decode(arena, str_of(lower, encoded.len), &key) == 0
               ? key
               : str_of(lower, encoded.len);
}

static ApiStatus *impersonate_headers(Impersonation *self) {
    ApiRequest *request = self->request;
    ApiStatus *refused = NULL;
    for (size_t i = 0; !refused && i < request->http->n_headers; i++) {
        const HttpHeader *header = &request->http->headers[i];
        if (str_eq_nocase(header->name, STR("Impersonate-Group"))) {
            refused =
                may_impersonate(self, STR(""), STR("groups"), STR(""), STR(""), header->value);
            push_group(self, header->value);
        } else if (str_eq_nocase(header->name, STR("Impersonate-Uid"))) {
            refused = may_impersonate(self, STR("authentication.k8s.io"), STR("uids"), STR(""),
                                      STR(""), header->value);
            self->uid = header->value;
        } else if (header->name.len > sizeof EXTRA_PREFIX - 1 &&
                   str_eq_nocase(str_slice(header->name, 0, sizeof EXTRA_PREFIX - 1),
                                 STR(EXTRA_PREFIX))) {
            Str key = extra_key(request->arena, header->name);
            refused = may_impersonate(self, STR("authentication.k8s.io"), STR("userextras"), key,
                                      STR(""), header->value);
            push_extra(self, key, header->value);
        }
    }
    return refused;
}

static bool has_impersonation_header(const HttpRequest *http) {
    for (size_t i = 0; i < http->n_headers; i++) {
        Str name = http->headers[i].name;
        if (str_eq_nocase(name, STR("Impersonate-Group")) ||
            str_eq_nocase(name, STR("Impersonate-Uid")) ||
            (name.len > sizeof EXTRA_PREFIX - 1 &&
             str_eq_nocase(str_slice(name, 0, sizeof EXTRA_PREFIX - 1), STR(EXTRA_PREFIX))))
            return true;
    }
    return false;
}

static void complete_groups(Impersonation *self, bool service_account, Str namespace_) {
    if (service_account && !self->n_groups) {
        push_group(self, STR("system:serviceaccounts"));
        push_group(self, arena_printf(self->request->arena, "system:serviceaccounts:%.*s",
                                      STR_ARG(namespace_)));
    }
    bool anonymous = str_eq(self->name, STR("system:anonymous"));
    for (size_t i = 0; i < self->n_groups; i++) {
        if (str_eq(self->groups[i], STR("system:unauthenticated")) ||
            (!anonymous && str_eq(self->groups[i], STR("system:authenticated"))))
            return;
    }
    push_group(self, anonymous ? STR("system:unauthenticated") : STR("system:authenticated"));
}

ApiStatus *impersonate(ApiRequest *request, const User *user, const User **ret) {
    *ret = user;
    Str name = http_header(request->http, STR("Impersonate-User"));
    if (!name.len) {
        if (!has_impersonation_header(request->http))
            return NULL;
        return status_bad_request(
            request->arena, STR("requested groups, uid or extra without impersonating a user"));
    }
    Impersonation self = {.request = request, .requester = user, .name = name, .uid = STR("")};
    Str namespace_ = STR(""), account;
    bool service_account = split_service_account(name, &namespace_, &account);
    ApiStatus *refused =
        service_account
            ? may_impersonate(&self, STR(""), STR("serviceaccounts"), STR(""), namespace_, account)
            : may_impersonate(&self, STR(""), STR("users"), STR(""), STR(""), name);
    if (!refused)
        refused = impersonate_headers(&self);
    if (refused)
        return refused;
    complete_groups(&self, service_account, namespace_);
    User *as = arena_new_of(request->arena, User);
    *as = (User){self.name, self.uid, self.groups, self.n_groups, self.extra, self.n_extra};
    *ret = as;
    return NULL;
}
