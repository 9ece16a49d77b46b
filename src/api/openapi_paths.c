#include "api/openapi_build.h"

typedef struct Parameter {
    Str name, type, doc;
} Parameter;

static const Parameter list_parameters[] = {
    {STR("allowWatchBookmarks"), STR("boolean"), STR("A watch may carry BOOKMARK events.")},
    {STR("continue"), STR("string"), STR("The token of the page before, for the next page.")},
    {STR("fieldSelector"), STR("string"), STR("Only objects whose fields match.")},
    {STR("labelSelector"), STR("string"), STR("Only objects whose labels match.")},
    {STR("limit"), STR("integer"), STR("How many objects a page holds at most.")},
    {STR("resourceVersion"), STR("string"),
     STR("How recent the answer must be, or where a watch begins.")},
    {STR("resourceVersionMatch"), STR("string"),
     STR("How resourceVersion is meant: Exact or NotOlderThan.")},
    {STR("sendInitialEvents"), STR("boolean"), STR("A watch begins with what is there.")},
    {STR("timeoutSeconds"), STR("integer"), STR("When a list or watch ends.")},
    {STR("watch"), STR("boolean"), STR("Stream changes instead of listing.")},
};
static const Parameter write_parameters[] = {
    {STR("dryRun"), STR("string"), STR("All: do everything but store the result.")},
    {STR("fieldManager"), STR("string"), STR("Who makes this change.")},
    {STR("fieldValidation"), STR("string"),
     STR("What to do about unknown and duplicate fields: Ignore, Warn or Strict.")},
    {STR("force"), STR("boolean"),
     STR("Apply takes fields over from other managers.")}, // patch only
};
static const Parameter delete_parameters[] = {
    {STR("dryRun"), STR("string"), STR("All: do everything but delete.")},
    {STR("gracePeriodSeconds"), STR("integer"),
     STR("Seconds until it is deleted; 0 deletes at once.")},
    {STR("orphanDependents"), STR("boolean"), STR("Deprecated: use propagationPolicy.")},
    {STR("propagationPolicy"), STR("string"),
     STR("What becomes of dependents: Orphan, Background or Foreground.")},
};
#define COUNT(array) (sizeof(array) / sizeof *(array))

typedef struct Endpoint { // what the operations of one path have in common
    const Resource *resource;
    const Type *type, *list_type;
    Str kind, group, version, name; // name: of the operation id
    bool namespaced, single;
} Endpoint;

static Value *parameter(OpenapiBuild *build, Str name, Str in, Str type, Str doc, bool required) {
    Arena *arena = build->arena;
    Value *value = value_new_object(arena), *schema = value;
    value_set_str(arena, value, STR("name"), name);
    value_set_str(arena, value, STR("in"), in);
    value_set_str(arena, value, STR("description"), doc);
    if (required)
        value_set_bool(arena, value, STR("required"), true);
    if (build->v3) {
        schema = value_new_object(arena);
        value_set(arena, value, STR("schema"), schema);
    }
    value_set_str(arena, schema, STR("type"), type);
    value_set_bool(arena, schema, STR("uniqueItems"), true);
    return value;
}

static void add_query(OpenapiBuild *build, Value *list, const Parameter *parameters, size_t n) {
    for (size_t i = 0; i < n; i++)
        value_push(build->arena, list,
                   parameter(build, parameters[i].name, STR("query"), parameters[i].type,
                             parameters[i].doc, false));
}

static Value *strings(Arena *arena, const Str *items, size_t n) {
    Value *array = value_new_array(arena);
    for (size_t i = 0; i < n; i++)
        value_push(arena, array, value_new_string(arena, items[i]));
    return array;
}

static Value *content(OpenapiBuild *build, const Str *types, size_t n, const Type *type) {
    Arena *arena = build->arena;
    Value *object = value_new_object(arena);
    for (size_t i = 0; i < n; i++) {
        Value *media = value_new_object(arena);
        value_set(arena, media, STR("schema"), openapi_reference(build, type));
        value_set(arena, object, types[i], media);
    }
    return object;
}

static const Str json_types[] = {STR("application/json"), STR("application/yaml")};
static const Str patch_types[] = {
    STR("application/apply-patch+yaml"), STR("application/json-patch+json"),
    STR("application/merge-patch+json"), STR("application/strategic-merge-patch+json")};

static void set_body(OpenapiBuild *build, Value *operation, Value *parameters, const Type *type,
                     size_t n_patch_types, bool required) {
    Arena *arena = build->arena;
    if (!type)
        return;
    if (build->v3) {
        Value *body = value_new_object(arena);
        value_set(arena, body, STR("content"),
                  n_patch_types ? content(build, patch_types, n_patch_types, type)
                                : content(build, json_types, 1, type));
        if (required)
            value_set_bool(arena, body, STR("required"), true);
        value_set(arena, operation, STR("requestBody"), body);
        return;
    }
    Value *body = value_new_object(arena);
    value_set_str(arena, body, STR("name"), STR("body"));
    value_set_str(arena, body, STR("in"), STR("body"));
    if (required)
        value_set_bool(arena, body, STR("required"), true);
    value_set(arena, body, STR("schema"), openapi_reference(build, type));
    value_push(arena, parameters, body);
}

static void set_responses(OpenapiBuild *build, Value *operation, const Type *type, bool created) {
    Arena *arena = build->arena;
    Value *responses = value_new_object(arena);
    const char *codes[] = {"200", "201"};
    const char *texts[] = {"OK", "Created"};
    for (size_t i = 0; i < (created ? 2 : 1); i++) {
        Value *response = value_new_object(arena);
        value_set_str(arena, response, STR("description"), str_from(texts[i]));
        if (type && build->v3)
            value_set(arena, response, STR("content"), content(build, json_types, 1, type));
        else if (type)
            value_set(arena, response, STR("schema"), openapi_reference(build, type));
        value_set(arena, responses, str_from(codes[i]), response);
    }
    Value *unauthorized = value_new_object(arena);
    value_set_str(arena, unauthorized, STR("description"), STR("Unauthorized"));
    value_set(arena, responses, STR("401"), unauthorized);
    value_set(arena, operation, STR("responses"), responses);
}

typedef struct Verb {
    unsigned bit;
    Str method, action, id;
    bool single; // on one object (else on the collection)
} Verb;

static const Verb verbs[] = {
    {VERB_LIST, STR("get"), STR("list"), STR("list"), false},
    {VERB_CREATE, STR("post"), STR("post"), STR("create"), false},
    {VERB_DELETECOLLECTION, STR("delete"), STR("deletecollection"), STR("deleteCollection"), false},
    {VERB_GET, STR("get"), STR("get"), STR("read"), true},
    {VERB_UPDATE, STR("put"), STR("put"), STR("replace"), true},
    {VERB_PATCH, STR("patch"), STR("patch"), STR("patch"), true},
    {VERB_DELETE, STR("delete"), STR("delete"), STR("delete"), true},
};

static Value *operation(OpenapiBuild *build, const Endpoint *endpoint, const Verb *verb) {
    Arena *arena = build->arena;
    Value *made = value_new_object(arena), *parameters = value_new_array(arena),
          *kind = value_new_object(arena);
    const Type *status = kinds_type(STR("io.k8s.apimachinery.pkg.apis.meta.v1.Status"));
    const Type *options = kinds_type(STR("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"));
    const Type *patch = kinds_type(STR("io.k8s.apimachinery.pkg.apis.meta.v1.Patch"));
    // Strategic merge patches, the last of them, are not for custom kinds.
    size_t n_patch_types = endpoint->resource->type->custom ? 3 : 4;
    Str id = arena_printf(arena, "%.*s%s%.*s", STR_ARG(verb->id),
                          endpoint->namespaced ? "Namespaced" : "", STR_ARG(endpoint->name));
    value_set_str(arena, made, STR("operationId"), id);
    if (!build->v3) {
        value_set(arena, made, STR("consumes"),
                  verb->bit == VERB_PATCH ? strings(arena, patch_types, n_patch_types)
                                          : strings(arena, json_types, 2));
        value_set(arena, made, STR("produces"), strings(arena, json_types, 2));
    }
    switch (verb->bit) {
    case VERB_LIST:
        add_query(build, parameters, list_parameters, COUNT(list_parameters));
        set_responses(build, made, endpoint->list_type, false);
        break;
    case VERB_GET:
        set_responses(build, made, endpoint->type, false);
        break;
    case VERB_CREATE:
    case VERB_UPDATE:
        add_query(build, parameters, write_parameters, 3);
        set_body(build, made, parameters, endpoint->type, 0, true);
        set_responses(build, made, endpoint->type, true);
        break;
    case VERB_PATCH:
        add_query(build, parameters, write_parameters, 4);
        set_body(build, made, parameters, patch ? patch : endpoint->type, n_patch_types, true);
        set_responses(build, made, endpoint->type, true);
        break;
    default:
        if (verb->bit == VERB_DELETECOLLECTION)
            add_query(build, parameters, list_parameters + 1, 6);
        add_query(build, parameters, delete_parameters, COUNT(delete_parameters));
        set_body(build, made, parameters, options, 0, false);
        set_responses(build, made, status, false);
    }
    value_set(arena, made, STR("parameters"), parameters);
    value_set_str(arena, made, STR("x-kubernetes-action"), verb->action);
    value_set_str(arena, kind, STR("group"), endpoint->group);
    value_set_str(arena, kind, STR("version"), endpoint->version);
    value_set_str(arena, kind, STR("kind"), endpoint->kind);
    value_set(arena, made, STR("x-kubernetes-group-version-kind"), kind);
    return made;
}

static void add_path(OpenapiBuild *build, Value *paths, Str path, const Endpoint *endpoint,
                     unsigned bits) {
    Arena *arena = build->arena;
    Value *item = value_new_object(arena), *parameters = value_new_array(arena);
    for (size_t i = 0; i < COUNT(verbs); i++)
        if ((bits & verbs[i].bit) && verbs[i].single == endpoint->single)
            value_set(arena, item, verbs[i].method, operation(build, endpoint, &verbs[i]));
    if (!item->n)
        return;
    if (endpoint->single)
        value_push(arena, parameters,
                   parameter(build, STR("name"), STR("path"), STR("string"),
                             STR("Name of the object."), true));
    if (endpoint->namespaced)
        value_push(arena, parameters,
                   parameter(build, STR("namespace"), STR("path"), STR("string"),
                             STR("Namespace of the object."), true));
    value_push(arena, parameters,
               parameter(build, STR("pretty"), STR("query"), STR("string"),
                         STR("true: the answer is indented."), false));
    value_set(arena, item, STR("parameters"), parameters);
    value_set(arena, paths, path, item);
}

static Str capitalized(Arena *arena, Str name) {
    Str copy = arena_str(arena, name);
    if (copy.len && copy.ptr[0] >= 'a' && copy.ptr[0] <= 'z')
        ((char *)copy.ptr)[0] -= 'a' - 'A';
    return copy;
}

// "connect" subresources (exec, log, proxy...) have no body and no schema of their own.
static void add_subresources(OpenapiBuild *build, Value *paths, Str base, const Endpoint *parent) {
    Arena *arena = build->arena;
    const Resource *resource = parent->resource;
    for (size_t i = 0; i < resource->n_subresources; i++) {
        const Subresource *sub = &resource->subresources[i];
        Endpoint endpoint = *parent;
        endpoint.single = true;
        endpoint.type = sub->type;
        endpoint.kind = sub->kind;
        if (sub->version.len) {
            endpoint.group = sub->group;
            endpoint.version = sub->version;
        }
        endpoint.name = arena_printf(arena, "%.*s%.*s", STR_ARG(parent->name),
                                     STR_ARG(capitalized(arena, sub->name)));
        Str path = arena_printf(arena, "%.*s/{name}/%.*s", STR_ARG(base), STR_ARG(sub->name));
        unsigned bits = sub->verbs;
        Value *item = value_new_object(arena);
        if (bits & VERB_CREATE) { // posted to one object
            static const Verb post = {VERB_CREATE, STR("post"), STR("post"), STR("create"), true};
            value_set(arena, item, STR("post"), operation(build, &endpoint, &post));
        }
        add_path(build, paths, path, &endpoint,
                 bits & ~(unsigned)(VERB_LIST | VERB_CREATE | VERB_DELETECOLLECTION));
        Value *made = value_get(paths, path);
        if (item->n && made)
            value_set(arena, made, STR("post"), value_get(item, STR("post")));
        else if (item->n)
            value_set(arena, paths, path, item);
        if (sub->type)
            openapi_add_kind(build, sub->type, endpoint.group, endpoint.version, sub->kind);
    }
}

static void add_resource(OpenapiBuild *build, Value *paths, const Resource *resource) {
    Arena *arena = build->arena;
    Str prefix = resource->group.len
                     ? arena_printf(arena, "/apis/%.*s/%.*s", STR_ARG(resource->group),
                                    STR_ARG(resource->version))
                     : arena_printf(arena, "/api/%.*s", STR_ARG(resource->version));
    Endpoint endpoint = {.resource = resource,
                         .type = resource->type,
                         .list_type =
                             resource->type->custom
                                 ? openapi_custom_list(build, resource)
                                 : kinds_type(arena_printf(arena, "%.*sList",
                                                           STR_ARG(resource->type->openapi_name))),
                         .kind = resource->kind,
                         .group = resource->group,
                         .version = resource->version,
                         .namespaced = resource->namespaced};
    endpoint.name = arena_printf(
        arena, "%.*s%.*s%.*s",
        STR_ARG(capitalized(arena, resource->group.len ? resource->group : STR("core"))),
        STR_ARG(capitalized(arena, resource->version)), STR_ARG(resource->kind));
    openapi_add_kind(build, resource->type, resource->group, resource->version, resource->kind);
    if (endpoint.list_type)
        openapi_add_kind(build, endpoint.list_type, resource->group, resource->version,
                         resource->list_kind);
    Str base = arena_printf(arena, "%.*s/%s%.*s", STR_ARG(prefix),
                            resource->namespaced ? "namespaces/{namespace}/" : "",
                            STR_ARG(resource->plural));
    add_path(build, paths, base, &endpoint, resource->verbs);
    endpoint.single = true;
    add_path(build, paths, arena_printf(arena, "%.*s/{name}", STR_ARG(base)), &endpoint,
             resource->verbs);
    add_subresources(build, paths, base, &endpoint);
    if (!resource->namespaced)
        return;
    endpoint.single = endpoint.namespaced = false;
    endpoint.name = arena_printf(arena, "%.*sForAllNamespaces", STR_ARG(endpoint.name));
    add_path(build, paths,
             arena_printf(arena, "%.*s/%.*s", STR_ARG(prefix), STR_ARG(resource->plural)),
             &endpoint, resource->verbs & VERB_LIST);
}

Value *openapi_paths(OpenapiBuild *build) {
    Value *paths = value_new_object(build->arena);
    for (size_t i = 0; i < build->n; i++)
        add_resource(build, paths, build->resources[i]);
    openapi_sort(paths);
    return paths;
}
