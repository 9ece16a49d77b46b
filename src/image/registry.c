#include "image/registry.h"

#include <assert.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "image/authorize.h"
#include "image/digest.h"
#include "image/store_files.h"

#define ENDPOINTS_MAX 16
#define CONFIG_MAX (1u << 20) // bytes; a Secret's limit

// What the registry may answer with, Docker's types and OCI's.
static const char accept_manifests[] = "Accept: " MEDIA_DOCKER_MANIFEST ", " MEDIA_DOCKER_INDEX
                                       ", " MEDIA_OCI_MANIFEST ", " MEDIA_OCI_INDEX;

typedef struct Endpoint {
    Str base;          // "https://registry-1.docker.io/v2"
    Str host;          // "registry-1.docker.io", for credentials
    Str query;         // "?ns=docker.io" to a mirror, which may serve several registries
    bool perhaps_http; // this host: plain HTTP when it turns out to speak no TLS
    Authorize authorize;
} Endpoint;

struct Registry {
    Arena *arena;
    const ImageReference *reference;
    Str name; // the whole reference, for messages
    Web *web;
    Endpoint endpoints[ENDPOINTS_MAX];
    size_t n_endpoints;
    Endpoint *chosen; // that has the image
    unsigned token;   // counts authorizations of blobs
};

int registry_parse_mirror(Arena *arena, Str text, RegistryMirror *ret_mirror, Failure *failure) {
    Str url = text;
    Str domain = str_cut(&url, '=');
    while (url.ptr && str_ends_with(url, STR("/")))
        url.len--;
    bool plain = url.ptr && str_starts_with(url, STR("http://"));
    if (!url.ptr || domain.len == 0 || url.len < 9 ||
        (!plain && !str_starts_with(url, STR("https://"))))
        return failure_set(failure, IMAGE_E_USAGE,
                           "not a mirror, which is DOMAIN=http[s]://HOST[:PORT]: %.*s",
                           STR_ARG(text));
    *ret_mirror = (RegistryMirror){arena_str(arena, domain), arena_str(arena, url)};
    return 0;
}

static void add_authorities(Arena *arena, Str text, RegistryOptions *options) {
    json_t *root = json_loadb(text.ptr, text.len, 0, NULL), *value;
    const char *host;
    json_object_foreach(json_object_get(root, "certificateAuthorities"), host, value) {
        if (!json_is_string(value))
            continue;
        size_t n = options->n_authorities++, size = sizeof(WebAuthority);
        options->authorities = arena_grow(arena, options->authorities, n * size, (n + 1) * size);
        Str name = strcmp(host, "*") == 0 ? STR_NONE : arena_str(arena, str_from(host));
        options->authorities[n] =
            (WebAuthority){name, arena_cstr(arena, str_from(json_string_value(value)))};
    }
    json_decref(root);
}

int registry_read_config(Arena *arena, const char *path, RegistryOptions *options,
                         Failure *failure) {
    Str text, rest = str_from(path);
    int64_t fd;
    bool open = str_starts_with(rest, STR("/dev/fd/")) &&
                str_to_i64(str_slice(rest, 8, rest.len), &fd) == 0 && fd >= 0 && fd <= INT_MAX;
    int error = open ? store_read_descriptor((int)fd, CONFIG_MAX, arena, &text)
                     : store_read_file(AT_FDCWD, path, CONFIG_MAX, arena, &text);
    if (error)
        return failure_errno(failure, error, "cannot read %s", path);
    if (credentials_parse(arena, text, &options->credentials) < 0)
        return failure_set(failure, IMAGE_E_USAGE, "%s is not a Docker config.json", path);
    add_authorities(arena, text, options);
    return 0;
}

// Is it this machine?
static bool is_loopback(Str host) {
    if (str_starts_with(host, STR("[::1]")))
        return true;
    Str port = host;
    Str name = str_cut(&port, ':');
    return str_eq(name, STR("localhost")) || str_starts_with(name, STR("127."));
}

static Endpoint *add_endpoint(Registry *registry, const RegistryOptions *options, Str url,
                              Str credentials_host) {
    assert(registry->n_endpoints < ENDPOINTS_MAX);
    Endpoint *endpoint = &registry->endpoints[registry->n_endpoints++];
    bool has_api = str_ends_with(url, STR("/v2"));
    *endpoint = (Endpoint){
        .base = arena_printf(registry->arena, "%.*s%s", STR_ARG(url), has_api ? "" : "/v2"),
        .host = credentials_host,
        .query = STR("")};
    endpoint->authorize =
        (Authorize){.web = registry->web,
                    .arena = registry->arena,
                    .path = registry->reference->path,
                    .secure = str_starts_with(url, STR("https://")),
                    .credentials = credentials_for(registry->arena, &options->credentials,
                                                   credentials_host, registry->reference->path)};
    return endpoint;
}

Registry *registry_new(Arena *arena, const RegistryOptions *options,
                       const ImageReference *reference) {
    Registry *registry = memory_new(Registry);
    registry->arena = arena;
    registry->reference = reference;
    registry->name = reference_format(arena, reference);
    registry->web = web_new(options->authorities, options->n_authorities);
    for (size_t i = 0; i < options->n_mirrors; i++) {
        const RegistryMirror *mirror = &options->mirrors[i];
        if ((!str_eq(mirror->domain, reference->domain) && !str_eq(mirror->domain, STR("*"))) ||
            registry->n_endpoints == ENDPOINTS_MAX - 1)
            continue;
        Str rest = mirror->url;
        (void)str_cut(&rest, '/');
        (void)str_cut(&rest, '/');
        Endpoint *endpoint = add_endpoint(registry, options, mirror->url, str_cut(&rest, '/'));
        endpoint->query = arena_printf(arena, "?ns=%.*s", STR_ARG(reference->domain));
    }
    bool hub = str_eq(reference->domain, STR("docker.io"));
    Str host = hub ? STR("registry-1.docker.io") : reference->domain;
    Str url = arena_printf(arena, "https://%.*s", STR_ARG(host));
    add_endpoint(registry, options, url, reference->domain)->perhaps_http = is_loopback(host);
    return registry;
}

void registry_free(Registry *registry) {
    if (!registry)
        return;
    web_free(registry->web);
    free(registry);
}

Web *registry_web(Registry *registry) {
    return registry->web;
}

static Str make_url(Registry *registry, const Endpoint *endpoint, const char *what, Str name) {
    return arena_printf(registry->arena, "%.*s/%.*s/%s/%.*s%.*s", STR_ARG(endpoint->base),
                        STR_ARG(registry->reference->path), what, STR_ARG(name),
                        STR_ARG(endpoint->query));
}

// "MESSAGE" of the first of {"errors":[{"code":"...","message":"..."}]}, or STR_NONE.
static Str server_message(Arena *arena, Str body) {
    json_t *root = json_loadb(body.ptr, body.len, 0, NULL);
    const json_t *first = json_array_get(json_object_get(root, "errors"), 0);
    const char *code = json_string_value(json_object_get(first, "code"));
    const char *message = json_string_value(json_object_get(first, "message"));
    Str text = STR_NONE;
    if (message && *message)
        text = arena_printf(arena, "%.512s", message);
    else if (code)
        text = arena_printf(arena, "%.512s", code);
    json_decref(root);
    return text;
}

// " Too Many Requests", as Go's http.Response.Status has it.
static const char *status_text(long status) {
    static const struct {
        long status;
        const char *text;
    } texts[] = {
        {400, " Bad Request"},    {404, " Not Found"},           {405, " Method Not Allowed"},
        {406, " Not Acceptable"}, {429, " Too Many Requests"},   {500, " Internal Server Error"},
        {502, " Bad Gateway"},    {503, " Service Unavailable"}, {504, " Gateway Timeout"}};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (texts[i].status == status)
            return texts[i].text;
    return "";
}

int registry_refusal(Registry *registry, const char *url, const WebReply *reply, Failure *failure) {
    Str message = server_message(registry->arena, reply->body);
    const char *colon = message.ptr ? ": " : "";
    const Endpoint *endpoint = registry->chosen;
    Str reason = endpoint ? endpoint->authorize.reason : STR_NONE;
    if (reply->status == 401 || reply->status == 403) {
        failure_set(failure, IMAGE_E_DENIED,
                    "pull access denied, repository does not exist or may require authorization: "
                    "%.*s%sauthorization failed%s%.*s",
                    STR_ARG(reason), reason.ptr ? ": " : "", colon, STR_ARG(message));
    } else if (reply->status == 404) {
        failure_set(failure, IMAGE_E_NOT_FOUND, "%.*s: not found%s%.*s", STR_ARG(registry->name),
                    colon, STR_ARG(message));
    } else {
        failure_set(failure, IMAGE_E_NETWORK,
                    "unexpected status from GET request to %s: %ld%s%s%.*s", url, reply->status,
                    status_text(reply->status), colon, STR_ARG(message));
    }
    failure_clean(failure->message);
    return failure->code;
}

static WebProblem fetch_once(Registry *registry, Endpoint *endpoint, const char *what, Str name,
                             bool head, WebReply *ret_reply, Failure *failure) {
    const char *headers[] = {accept_manifests, endpoint->authorize.header, NULL};
    WebRequest request = {.url = make_url(registry, endpoint, what, name).ptr,
                          .headers = headers,
                          .head = head,
                          .max_body = DOCUMENT_MAX};
    return web_fetch(registry->web, registry->arena, &request, ret_reply, failure);
}

// Asks an endpoint, authorizing as often as it has to. Returns 0 whatever the status.
static int fetch(Registry *registry, Endpoint *endpoint, const char *what, Str name, bool head,
                 WebReply *ret_reply, Failure *failure) {
    for (;;) {
        WebProblem problem = fetch_once(registry, endpoint, what, name, head, ret_reply, failure);
        if (problem == WEB_NOT_TLS && endpoint->perhaps_http) {
            endpoint->perhaps_http = false;
            endpoint->authorize.secure = false;
            endpoint->base = arena_printf(registry->arena, "http%.*s",
                                          (int)(endpoint->base.len - 5), endpoint->base.ptr + 5);
            continue;
        }
        if (problem)
            return failure->code;
        endpoint->perhaps_http = false;
        if (ret_reply->status == 401 &&
            authorize_answer(&endpoint->authorize, &ret_reply->challenges))
            continue;
        if (ret_reply->status != 401)
            authorize_accepted(&endpoint->authorize);
        return 0;
    }
}

// The name that the registry knows: the digest when there is one.
static Str wanted(const Registry *registry) {
    const ImageReference *reference = registry->reference;
    return reference->digest.ptr ? reference->digest : reference->tag;
}

static int check_digest(Str text, Arena *arena, Str expected, Str *ret_digest, Failure *failure) {
    *ret_digest = sha256_of(arena, text);
    if (expected.ptr && !str_eq(*ret_digest, expected))
        return failure_set(failure, IMAGE_E_BAD_DATA,
                           "unexpected commit digest %.*s, expected %.*s: failed precondition",
                           STR_ARG(*ret_digest), STR_ARG(expected));
    return 0;
}

static int resolve_at(Registry *registry, Endpoint *endpoint, Str *ret_text, Str *ret_digest,
                      Failure *failure) {
    WebReply reply;
    registry->chosen = endpoint;
    int code = fetch(registry, endpoint, "manifests", wanted(registry), false, &reply, failure);
    if (code)
        return code;
    if (reply.status != 200)
        return registry_refusal(registry,
                                make_url(registry, endpoint, "manifests", wanted(registry)).ptr,
                                &reply, failure);
    *ret_text = reply.body;
    // A header is a claim; only a digest that was asked for is binding, and then both must agree.
    Str expected = registry->reference->digest;
    if (!expected.ptr && reference_is_sha256(reply.content_digest))
        expected = reply.content_digest;
    return check_digest(reply.body, registry->arena, expected, ret_digest, failure);
}

// Of several mirrors' answers, which one tells a person most: an unreachable one the least.
static int telling(const Failure *failure) {
    switch (failure->code) {
    case IMAGE_E_NETWORK:
        return strstr(failure->message, "unexpected status") ? 2 : 1;
    case IMAGE_E_NOT_FOUND:
        return 3;
    case IMAGE_E_DENIED:
        return 4;
    default:
        return 5;
    }
}

int registry_resolve(Registry *registry, Str *ret_text, Str *ret_digest, Failure *failure) {
    Failure *best = NULL;
    if (registry->reference->digest.ptr && !reference_is_sha256(registry->reference->digest)) {
        failure_set(failure, IMAGE_E_USAGE, "unsupported digest algorithm");
        return failure_wrap(failure, "failed to resolve reference \"%.*s\"",
                            STR_ARG(registry->name));
    }
    for (size_t i = 0; i < registry->n_endpoints; i++) {
        Failure *answer = arena_zalloc(registry->arena, sizeof(Failure));
        if (resolve_at(registry, &registry->endpoints[i], ret_text, ret_digest, answer) == 0)
            return 0;
        if (!best || telling(answer) > telling(best))
            best = answer;
    }
    *failure = *best;
    return failure_wrap(failure, "failed to resolve reference \"%.*s\"", STR_ARG(registry->name));
}

Str registry_look(Registry *registry) {
    for (size_t i = 0; i < registry->n_endpoints; i++) {
        WebReply reply;
        Failure failure;
        Endpoint *endpoint = &registry->endpoints[i];
        if (fetch(registry, endpoint, "manifests", wanted(registry), true, &reply, &failure) == 0 &&
            reply.status == 200)
            return reference_is_sha256(reply.content_digest) ? reply.content_digest : STR_NONE;
        authorize_restart(&endpoint->authorize); // for the question that follows
    }
    return STR_NONE;
}

int registry_document(Registry *registry, const char *what, const Descriptor *descriptor,
                      Str *ret_text, Failure *failure) {
    Str digest;
    WebReply reply;
    Endpoint *endpoint = registry->chosen;
    int code = fetch(registry, endpoint, what, descriptor->digest, false, &reply, failure);
    if (code)
        return code;
    if (reply.status != 200)
        return registry_refusal(
            registry, make_url(registry, endpoint, what, descriptor->digest).ptr, &reply, failure);
    *ret_text = reply.body;
    return check_digest(reply.body, registry->arena, descriptor->digest, &digest, failure);
}

WebTransfer *registry_blob(Registry *registry, Str digest, WebData on_data, void *user,
                           unsigned *ret_token) {
    const char *headers[] = {registry->chosen->authorize.header, NULL};
    WebRequest request = {.url = make_url(registry, registry->chosen, "blobs", digest).ptr,
                          .headers = headers};
    *ret_token = registry->token;
    return web_transfer_new(registry->web, &request, on_data, user);
}

bool registry_renew(Registry *registry, const WebReply *reply, unsigned token) {
    if (reply->status != 401)
        return false;
    if (token != registry->token)
        return true;
    authorize_accepted(&registry->chosen->authorize); // for the manifest it was
    registry->token++;
    return authorize_answer(&registry->chosen->authorize, &reply->challenges);
}
