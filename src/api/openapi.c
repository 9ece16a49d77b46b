#include "api/openapi.h"

#include <stdlib.h>

#include "api/openapi_build.h"
#include "base/memory.h"
#include "schema/structural.h"

#define MAX_DOCUMENT (32 * 1024 * 1024)
#define V2_PROTOBUF "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
// What is answered, to both spellings: "@" is no token of a media type, and Go's parser refuses it.
#define V2_PROTOBUF_ANSWER "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

struct Openapi {
    const Resource *const *resources;
    size_t n;
    uint64_t hash; // of the set, for ETags: the documents follow from it and from this build
};

#define START 0xcbf29ce484222325u

Openapi *openapi_new(void) {
    return memory_new(Openapi);
}
void openapi_free(Openapi *openapi) {
    free(openapi);
}

// FNV-1a: the same in every process of one build, unlike str_hash.
static uint64_t mix(uint64_t hash, Str text) {
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ (unsigned char)text.ptr[i]) * 0x100000001b3u;
    return (hash ^ '/') * 0x100000001b3u;
}

static uint64_t mix_resource(uint64_t hash, const Resource *resource) {
    hash = mix(hash, resource->group);
    hash = mix(hash, resource->version);
    hash = mix(hash, resource->plural);
    const CustomType *custom = resource->type->custom;
    return custom ? mix(hash, str_of(&custom->hash, sizeof custom->hash)) : hash;
}

void openapi_set(Openapi *openapi, const Resource *const *resources, size_t n) {
    openapi->resources = resources;
    openapi->n = n;
    openapi->hash = mix(START, STR(SEAPOD_VERSION __DATE__ __TIME__));
    for (size_t i = 0; i < n; i++)
        openapi->hash = mix_resource(openapi->hash, resources[i]);
}

// Documents
// ----------------------------------------------------------------------------------------

static Value *info(Arena *arena) {
    Value *object = value_new_object(arena);
    value_set_str(arena, object, STR("title"), STR("Kubernetes"));
    value_set_str(arena, object, STR("version"), STR("v1.35.0"));
    return object;
}

static void add_common_kinds(OpenapiBuild *build) {
    const Type *options = kinds_type(STR("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"));
    const Type *status = kinds_type(STR("io.k8s.apimachinery.pkg.apis.meta.v1.Status"));
    if (status)
        openapi_add_kind(build, status, STR(""), STR("v1"), STR("Status"));
    for (size_t i = 0; options && i < build->n; i++)
        openapi_add_kind(build, options, build->resources[i]->group, build->resources[i]->version,
                         STR("DeleteOptions"));
}

static Value *document(Arena *arena, bool v3, const Resource *const *resources, size_t n) {
    Map *definitions = map_new();
    OpenapiBuild build = {.arena = arena,
                          .v3 = v3,
                          .resources = resources,
                          .n = n,
                          .definitions = definitions,
                          .schemas = value_new_object(arena)};
    Value *made = value_new_object(arena);
    value_set_str(arena, made, v3 ? STR("openapi") : STR("swagger"),
                  v3 ? STR("3.0.0") : STR("2.0"));
    value_set(arena, made, STR("info"), info(arena));
    value_set(arena, made, STR("paths"), openapi_paths(&build));
    add_common_kinds(&build);
    openapi_sort(build.schemas);
    if (v3) {
        Value *components = value_new_object(arena);
        value_set(arena, components, STR("schemas"), build.schemas);
        value_set(arena, made, STR("components"), components);
    } else
        value_set(arena, made, STR("definitions"), build.schemas);
    map_free(definitions);
    return made;
}

static Str group_path(Arena *arena, const Resource *resource) {
    return resource->group.len ? arena_printf(arena, "apis/%.*s/%.*s", STR_ARG(resource->group),
                                              STR_ARG(resource->version))
                               : arena_printf(arena, "api/%.*s", STR_ARG(resource->version));
}

// Of one document of version 3: another kind's coming and going does not change it.
static uint64_t group_hash(const Openapi *openapi, Str group, Str version) {
    uint64_t hash = mix(START, STR(SEAPOD_VERSION __DATE__ __TIME__));
    for (size_t i = 0; i < openapi->n; i++)
        if (str_eq(openapi->resources[i]->group, group) &&
            str_eq(openapi->resources[i]->version, version))
            hash = mix_resource(hash, openapi->resources[i]);
    return hash;
}

static Value *v3_root(Arena *arena, const Openapi *openapi) {
    Value *root = value_new_object(arena), *paths = value_new_object(arena);
    for (size_t i = 0; i < openapi->n; i++) {
        Str path = group_path(arena, openapi->resources[i]);
        if (value_get(paths, path))
            continue;
        Value *entry = value_new_object(arena);
        value_set_str(
            arena, entry, STR("serverRelativeURL"),
            arena_printf(arena, "/openapi/v3/%.*s?hash=%016llX", STR_ARG(path),
                         (unsigned long long)group_hash(openapi, openapi->resources[i]->group,
                                                        openapi->resources[i]->version)));
        value_set(arena, paths, path, entry);
    }
    value_set(arena, root, STR("paths"), paths);
    return root;
}

// The resources of "api/v1" or "apis/G/V"; NULL when there are none.
static Value *v3_document(Arena *arena, const Openapi *openapi, Str path) {
    const Resource **chosen = arena_array_of(arena, const Resource *, openapi->n + 1);
    size_t n = 0;
    for (size_t i = 0; i < openapi->n; i++)
        if (str_eq(group_path(arena, openapi->resources[i]), path))
            chosen[n++] = openapi->resources[i];
    return n ? document(arena, true, chosen, n) : NULL;
}

// Serving
// --------------------------------------------------------------------------------------------

static bool accepts(const HttpRequest *request, Str wanted) {
    Str rest = http_header(request, STR("Accept"));
    if (!str_trim(rest).len)
        return true;
    while (rest.ptr) {
        Str clause = str_cut(&rest, ',');
        Str type = str_trim(str_cut(&clause, ';'));
        if (str_eq(type, wanted) || str_eq(type, STR("*/*")) || str_eq(type, STR("application/*")))
            return true;
    }
    return false;
}

static bool is_unchanged(HttpRequest *request, Str tag) {
    return str_eq(http_header(request, STR("If-None-Match")), tag);
}

// A document that was asked for by its hash never becomes another one.
static void send(HttpRequest *request, Str tag, Str content_type, bool by_hash, const Buf *buf) {
    _bytes_unref_ Bytes *body = buf_bytes(buf);
    const HttpHeader headers[] = {
        {STR("Content-Type"), content_type},
        {STR("Etag"), tag},
        {STR("Vary"), STR("Accept")},
        {STR("Cache-Control"), STR("public, immutable, max-age=31536000")}};
    http_respond_with(request, 200, headers, by_hash ? 4 : 3, body);
}

static void serve_v2(const Openapi *openapi, HttpRequest *request) {
    bool json = accepts(request, STR("application/json"));
    bool protobuf = accepts(request, STR(V2_PROTOBUF)) || accepts(request, STR(V2_PROTOBUF_ANSWER));
    Str tag = arena_printf(request->arena, "\"%016llX\"", (unsigned long long)openapi->hash);
    if (!json && !protobuf) {
        http_respond(request, 406, STR_NONE, NULL);
        return;
    }
    if (is_unchanged(request, tag)) {
        http_respond(request, 304, STR_NONE, NULL);
        return;
    }
    _arena_free_ Arena *arena = arena_new();
    Value *made = document(arena, false, openapi->resources, openapi->n);
    Buf buf = BUF_INIT(MAX_DOCUMENT);
    if (json)
        value_write_json(made, &buf);
    else
        openapi_v2_write_protobuf(made, &buf);
    send(request, tag, json ? STR("application/json") : STR(V2_PROTOBUF_ANSWER), false, &buf);
    buf_deinit(&buf);
}

// "api/v1", "apis/G/V", or nothing: the list of them.
static uint64_t part_hash(const Openapi *openapi, Str path) {
    Str rest = path, head = str_cut(&rest, '/');
    if (!path.len)
        return openapi->hash;
    Str group = str_eq(head, STR("apis")) && rest.ptr ? str_cut(&rest, '/') : STR("");
    return group_hash(openapi, group, rest);
}

// The hash of the URL is an old one (kube-openapi's pkg/handler3, HandleGroupVersion).
static void redirect(HttpRequest *request, Str path, Str current) {
    const HttpHeader headers[] = {
        {STR("Location"), arena_printf(request->arena, "/openapi/v3/%.*s?hash=%.*s", STR_ARG(path),
                                       STR_ARG(current))}};
    http_respond_with(request, 301, headers, 1, NULL);
}

static void serve_v3(const Openapi *openapi, HttpRequest *request, Str path) {
    Str current =
        arena_printf(request->arena, "%016llX", (unsigned long long)part_hash(openapi, path));
    Str tag = arena_printf(request->arena, "\"%.*s\"", STR_ARG(current));
    Str hash = path.len ? http_query(request, STR("hash")) : STR("");
    bool moved = hash.len && !str_eq(hash, current);
    if (!accepts(request, STR("application/json"))) {
        http_respond(request, 406, STR_NONE, NULL);
        return;
    }
    if (!moved && is_unchanged(request, tag)) {
        http_respond(request, 304, STR_NONE, NULL);
        return;
    }
    _arena_free_ Arena *arena = arena_new();
    Value *made = path.len ? v3_document(arena, openapi, path) : v3_root(arena, openapi);
    if (!made) {
        http_respond(request, 404, STR_NONE, NULL);
        return;
    }
    if (moved) {
        redirect(request, path, current);
        return;
    }
    Buf buf = BUF_INIT(MAX_DOCUMENT);
    value_write_json(made, &buf);
    send(request, tag, STR("application/json"), hash.len > 0, &buf);
    buf_deinit(&buf);
}

bool openapi_handle(Openapi *openapi, HttpRequest *request) {
    Str path = request->path;
    while (path.len > 1 && path.ptr[path.len - 1] == '/')
        path.len--;
    bool v2 = str_eq(path, STR("/openapi/v2")), v3 = str_eq(path, STR("/openapi/v3"));
    bool part = str_starts_with(path, STR("/openapi/v3/"));
    if (!v2 && !v3 && !part)
        return false;
    if (!str_eq(request->method, STR("GET")) && !str_eq(request->method, STR("HEAD")))
        http_respond(request, 405, STR_NONE, NULL);
    else if (v2)
        serve_v2(openapi, request);
    else
        serve_v3(openapi, request, part ? str_slice(path, 12, path.len) : STR_NONE);
    return true;
}
