#include "api/discovery.h"

#include <stdlib.h>

#include "base/memory.h"
#include "schema/value.h"

#define MAX_DOCUMENT (8 * 1024 * 1024)

typedef enum Form { FORM_LEGACY, FORM_AGGREGATED, FORM_AGGREGATED_BETA, FORM_NONE } Form;

static const Str content_types[] = {
    [FORM_LEGACY] = STR("application/json"),
    [FORM_AGGREGATED] = STR("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"),
    [FORM_AGGREGATED_BETA] =
        STR("application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"),
};

struct Discovery {
    const Resource *const *resources;
    size_t n;
    Bytes *aggregated[2][2]; // [/api, /apis][v2, v2beta1], made at the first request
};

Discovery *discovery_new(void) {
    return memory_new(Discovery);
}

static void drop_cached(Discovery *discovery) {
    for (size_t i = 0; i < 4; i++) {
        bytes_unref(discovery->aggregated[i / 2][i % 2]);
        discovery->aggregated[i / 2][i % 2] = NULL;
    }
}

void discovery_set(Discovery *discovery, const Resource *const *resources, size_t n) {
    drop_cached(discovery);
    discovery->resources = resources;
    discovery->n = n;
}

void discovery_free(Discovery *discovery) {
    if (!discovery)
        return;
    drop_cached(discovery);
    free(discovery);
}

// Pieces
// -------------------------------------------------------------------------------------------

static Value *verbs_value(Arena *arena, unsigned verbs) {
    static const struct {
        unsigned bit;
        Str name;
    } table[] = {
        // sorted, as the API server writes them
        {VERB_CREATE, STR("create")},
        {VERB_DELETE, STR("delete")},
        {VERB_DELETECOLLECTION, STR("deletecollection")},
        {VERB_GET, STR("get")},
        {VERB_LIST, STR("list")},
        {VERB_PATCH, STR("patch")},
        {VERB_UPDATE, STR("update")},
        {VERB_WATCH, STR("watch")},
    };
    Value *array = value_new_array(arena);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (verbs & table[i].bit)
            value_push(arena, array, value_new_string(arena, table[i].name));
    return array;
}

static void set_strings(Arena *arena, Value *object, Str key, const Str *items, size_t n) {
    if (!n)
        return;
    Value *array = value_new_array(arena);
    for (size_t i = 0; i < n; i++)
        value_push(arena, array, value_new_string(arena, items[i]));
    value_set(arena, object, key, array);
}

static Str group_version(Arena *arena, Str group, Str version) {
    return group.len ? arena_printf(arena, "%.*s/%.*s", STR_ARG(group), STR_ARG(version)) : version;
}

static bool same_group(const Resource *a, const Resource *b) {
    return str_eq(a->group, b->group);
}

// Whether this is the first resource of its group (or, `with_version`, of its group and version).
static bool is_first(const Discovery *discovery, size_t index, bool with_version) {
    const Resource *resource = discovery->resources[index];
    for (size_t i = 0; i < index; i++)
        if (same_group(discovery->resources[i], resource) &&
            (!with_version || str_eq(discovery->resources[i]->version, resource->version)))
            return false;
    return true;
}

// Legacy
// -------------------------------------------------------------------------------------------

static void push_resource(Arena *arena, Value *list, const Resource *resource) {
    Value *item = value_new_object(arena);
    value_set_str(arena, item, STR("name"), resource->plural);
    value_set_str(arena, item, STR("singularName"), resource->singular);
    value_set_bool(arena, item, STR("namespaced"), resource->namespaced);
    value_set_str(arena, item, STR("kind"), resource->kind);
    value_set(arena, item, STR("verbs"), verbs_value(arena, resource->verbs));
    set_strings(arena, item, STR("shortNames"), resource->short_names, resource->n_short);
    set_strings(arena, item, STR("categories"), resource->categories, resource->n_categories);
    value_push(arena, list, item);
    for (size_t i = 0; i < resource->n_subresources; i++) {
        const Subresource *sub = &resource->subresources[i];
        Value *entry = value_new_object(arena);
        value_set_str(
            arena, entry, STR("name"),
            arena_printf(arena, "%.*s/%.*s", STR_ARG(resource->plural), STR_ARG(sub->name)));
        value_set_str(arena, entry, STR("singularName"), STR(""));
        value_set_bool(arena, entry, STR("namespaced"), resource->namespaced);
        if (sub->version.len) {
            value_set_str(arena, entry, STR("group"), sub->group);
            value_set_str(arena, entry, STR("version"), sub->version);
        }
        value_set_str(arena, entry, STR("kind"), sub->kind);
        value_set(arena, entry, STR("verbs"), verbs_value(arena, sub->verbs));
        value_push(arena, list, entry);
    }
}

// NULL when there is no such group and version.
static Value *resource_list(Arena *arena, const Discovery *discovery, Str group, Str version) {
    Value *items = value_new_array(arena);
    for (size_t i = 0; i < discovery->n; i++)
        if (str_eq(discovery->resources[i]->group, group) &&
            str_eq(discovery->resources[i]->version, version))
            push_resource(arena, items, discovery->resources[i]);
    if (!items->n)
        return NULL;
    Value *list = value_new_object(arena);
    value_set_str(arena, list, STR("kind"), STR("APIResourceList"));
    if (group.len)
        value_set_str(arena, list, STR("apiVersion"), STR("v1"));
    value_set_str(arena, list, STR("groupVersion"), group_version(arena, group, version));
    value_set(arena, list, STR("resources"), items);
    return list;
}

static Value *group_value(Arena *arena, const Discovery *discovery, size_t first) {
    const Resource *resource = discovery->resources[first];
    Value *group = value_new_object(arena), *versions = value_new_array(arena), *preferred = NULL;
    value_set_str(arena, group, STR("name"), resource->group);
    for (size_t i = first; i < discovery->n; i++) {
        if (!same_group(discovery->resources[i], resource) || !is_first(discovery, i, true))
            continue;
        Value *version = value_new_object(arena);
        Str name = discovery->resources[i]->version;
        value_set_str(arena, version, STR("groupVersion"),
                      group_version(arena, resource->group, name));
        value_set_str(arena, version, STR("version"), name);
        value_push(arena, versions, version);
        if (!preferred)
            preferred = version;
    }
    value_set(arena, group, STR("versions"), versions);
    value_set(arena, group, STR("preferredVersion"), preferred);
    return group;
}

static Value *group_list(Arena *arena, const Discovery *discovery) {
    Value *list = value_new_object(arena), *groups = value_new_array(arena);
    value_set_str(arena, list, STR("kind"), STR("APIGroupList"));
    value_set_str(arena, list, STR("apiVersion"), STR("v1"));
    for (size_t i = 0; i < discovery->n; i++)
        if (discovery->resources[i]->group.len && is_first(discovery, i, false))
            value_push(arena, groups, group_value(arena, discovery, i));
    value_set(arena, list, STR("groups"), groups);
    return list;
}

static Value *one_group(Arena *arena, const Discovery *discovery, Str name) {
    for (size_t i = 0; i < discovery->n; i++)
        if (name.len && str_eq(discovery->resources[i]->group, name)) {
            Value *group = group_value(arena, discovery, i);
            value_set_str(arena, group, STR("kind"), STR("APIGroup"));
            value_set_str(arena, group, STR("apiVersion"), STR("v1"));
            return group;
        }
    return NULL;
}

static Value *api_versions(Arena *arena, const HttpRequest *request) {
    Value *object = value_new_object(arena), *versions = value_new_array(arena);
    Value *addresses = value_new_array(arena), *address = value_new_object(arena);
    value_set_str(arena, object, STR("kind"), STR("APIVersions"));
    value_push(arena, versions, value_new_string(arena, STR("v1")));
    value_set(arena, object, STR("versions"), versions);
    Str host = http_header(request, STR("Host"));
    value_set_str(arena, address, STR("clientCIDR"), STR("0.0.0.0/0"));
    value_set_str(arena, address, STR("serverAddress"), host.ptr ? host : STR(""));
    value_push(arena, addresses, address);
    value_set(arena, object, STR("serverAddressByClientCIDRs"), addresses);
    return object;
}

// Aggregated
// ---------------------------------------------------------------------------------------

static Value *kind_value(Arena *arena, Str group, Str version, Str kind) {
    Value *value = value_new_object(arena);
    value_set_str(arena, value, STR("group"), group);
    value_set_str(arena, value, STR("version"), version);
    value_set_str(arena, value, STR("kind"), kind);
    return value;
}

static Value *aggregated_resource(Arena *arena, const Resource *resource) {
    Value *item = value_new_object(arena);
    value_set_str(arena, item, STR("resource"), resource->plural);
    value_set(arena, item, STR("responseKind"),
              kind_value(arena, resource->group, resource->version, resource->kind));
    value_set_str(arena, item, STR("scope"),
                  resource->namespaced ? STR("Namespaced") : STR("Cluster"));
    value_set_str(arena, item, STR("singularResource"), resource->singular);
    value_set(arena, item, STR("verbs"), verbs_value(arena, resource->verbs));
    set_strings(arena, item, STR("shortNames"), resource->short_names, resource->n_short);
    set_strings(arena, item, STR("categories"), resource->categories, resource->n_categories);
    Value *subresources = value_new_array(arena);
    for (size_t i = 0; i < resource->n_subresources; i++) {
        const Subresource *sub = &resource->subresources[i];
        Value *entry = value_new_object(arena);
        value_set_str(arena, entry, STR("subresource"), sub->name);
        value_set(arena, entry, STR("responseKind"),
                  sub->version.len
                      ? kind_value(arena, sub->group, sub->version, sub->kind)
                      : kind_value(arena, resource->group, resource->version, sub->kind));
        value_set(arena, entry, STR("verbs"), verbs_value(arena, sub->verbs));
        value_push(arena, subresources, entry);
    }
    if (subresources->n)
        value_set(arena, item, STR("subresources"), subresources);
    return item;
}

static Value *aggregated_group(Arena *arena, const Discovery *discovery, size_t first) {
    const Resource *resource = discovery->resources[first];
    Value *group = value_new_object(arena), *metadata = value_new_object(arena),
          *versions = value_new_array(arena);
    if (resource->group.len)
        value_set_str(arena, metadata, STR("name"), resource->group);
    value_set(arena, metadata, STR("creationTimestamp"), value_new_null(arena));
    value_set(arena, group, STR("metadata"), metadata);
    for (size_t i = first; i < discovery->n; i++) {
        if (!same_group(discovery->resources[i], resource) || !is_first(discovery, i, true))
            continue;
        Value *version = value_new_object(arena), *items = value_new_array(arena);
        value_set_str(arena, version, STR("version"), discovery->resources[i]->version);
        for (size_t j = i; j < discovery->n; j++)
            if (same_group(discovery->resources[j], resource) &&
                str_eq(discovery->resources[j]->version, discovery->resources[i]->version))
                value_push(arena, items, aggregated_resource(arena, discovery->resources[j]));
        value_set(arena, version, STR("resources"), items);
        value_set_str(arena, version, STR("freshness"), STR("Current"));
        value_push(arena, versions, version);
    }
    value_set(arena, group, STR("versions"), versions);
    return group;
}

static Bytes *aggregated(Discovery *discovery, bool core, bool beta) {
    Bytes **cached = &discovery->aggregated[core ? 0 : 1][beta ? 1 : 0];
    if (*cached)
        return *cached;
    _arena_free_ Arena *arena = arena_new();
    Value *list = value_new_object(arena), *items = value_new_array(arena);
    value_set_str(arena, list, STR("kind"), STR("APIGroupDiscoveryList"));
    value_set_str(arena, list, STR("apiVersion"),
                  beta ? STR("apidiscovery.k8s.io/v2beta1") : STR("apidiscovery.k8s.io/v2"));
    value_set(arena, list, STR("metadata"), value_new_object(arena));
    for (size_t i = 0; i < discovery->n; i++)
        if ((discovery->resources[i]->group.len == 0) == core && is_first(discovery, i, false))
            value_push(arena, items, aggregated_group(arena, discovery, i));
    value_set(arena, list, STR("items"), items);
    _buf_deinit_ Buf buf = BUF_INIT(MAX_DOCUMENT);
    value_write_json(list, &buf);
    return *cached = buf_bytes(&buf);
}

// Answering
// ----------------------------------------------------------------------------------------

// The parameter of one Accept clause: "application/json;g=x;v=y" has g = x.
static Str parameter(Str clause, Str name) {
    Str rest = clause;
    str_cut(&rest, ';');
    while (rest.ptr) {
        Str value = str_trim(str_cut(&rest, ';')), key = str_cut(&value, '=');
        if (str_eq(str_trim(key), name))
            return str_trim(value);
    }
    return STR_NONE;
}

// The first acceptable clause decides, as in the API server's negotiation.
static Form negotiate(const HttpRequest *request, bool aggregatable) {
    Str accept = http_header(request, STR("Accept"));
    if (!str_trim(accept).len)
        return FORM_LEGACY;
    while (accept.ptr) {
        Str clause = str_trim(str_cut(&accept, ',')), rest = clause,
            type = str_trim(str_cut(&rest, ';'));
        bool json = str_eq(type, STR("application/json")) || str_eq(type, STR("*/*")) ||
                    str_eq(type, STR("application/*"));
        Str as = parameter(clause, STR("as"));
        if (!json)
            continue;
        if (!as.ptr)
            return FORM_LEGACY;
        if (!aggregatable || !str_eq(as, STR("APIGroupDiscoveryList")) ||
            !str_eq(parameter(clause, STR("g")), STR("apidiscovery.k8s.io")))
            continue;
        if (str_eq(parameter(clause, STR("v")), STR("v2")))
            return FORM_AGGREGATED;
        if (str_eq(parameter(clause, STR("v")), STR("v2beta1")))
            return FORM_AGGREGATED_BETA;
    }
    return FORM_NONE;
}

static void send(HttpRequest *request, Form form, Bytes *body) {
    Str tag =
        arena_printf(request->arena, "\"%016llX\"", (unsigned long long)str_hash(bytes_str(body)));
    HttpHeader headers[] = {{STR("Content-Type"), content_types[form]},
                            {STR("Vary"), STR("Accept")},
                            {STR("Cache-Control"), STR("public")},
                            {STR("Etag"), tag}};
    if (str_eq(http_header(request, STR("If-None-Match")), tag))
        http_respond_with(request, 304, headers + 1, 3, NULL);
    else
        http_respond_with(request, 200, headers, 4, body);
}

static void send_value(HttpRequest *request, const Value *value) {
    _buf_deinit_ Buf buf = BUF_INIT(MAX_DOCUMENT);
    value_write_json(value, &buf);
    _bytes_unref_ Bytes *body = buf_bytes(&buf);
    send(request, FORM_LEGACY, body);
}

// The document of a path, or NULL when it is none of ours. `*ret_root`: /api or /apis, which have
// an aggregated form.
static Value *document(const Discovery *discovery, const HttpRequest *request, Str path,
                       bool *ret_root, bool *ret_core) {
    Arena *arena = request->arena;
    *ret_root = false;
    Str rest = str_slice(path, 1, path.len), head = str_cut(&rest, '/');
    *ret_core = str_eq(head, STR("api"));
    if (!*ret_core && !str_eq(head, STR("apis")))
        return NULL;
    if (!rest.len) {
        *ret_root = true;
        return *ret_core ? api_versions(arena, request) : group_list(arena, discovery);
    }
    Str group = *ret_core ? STR("") : str_cut(&rest, '/'), version = rest;
    if (!version.len)
        return one_group(arena, discovery, group);
    return str_find(version, '/') >= 0 ? NULL : resource_list(arena, discovery, group, version);
}

bool discovery_handle(Discovery *discovery, HttpRequest *request) {
    Str path = request->path;
    while (path.len > 1 && path.ptr[path.len - 1] == '/')
        path.len--;
    if (!str_eq(path, STR("/api")) && !str_eq(path, STR("/apis")) &&
        !str_starts_with(path, STR("/api/")) && !str_starts_with(path, STR("/apis/")))
        return false;
    bool root, core;
    Value *value = document(discovery, request, path, &root, &core);
    if (!value)
        return false;
    if (!str_eq(request->method, STR("GET")) && !str_eq(request->method, STR("HEAD"))) {
        http_respond(request, 405, STR_NONE, NULL);
        return true;
    }
    Form form = negotiate(request, root);
    if (form == FORM_NONE)
        http_respond(request, 406, STR_NONE, NULL);
    else if (form == FORM_LEGACY)
        send_value(request, value);
    else
        send(request, form, aggregated(discovery, core, form == FORM_AGGREGATED_BETA));
    return true;
}
