// The environment of one container. Order and precedence are those of the kubelet's
// makeEnvironmentVariables(): envFrom in order, then env (which sees what came before it and the
// service variables), then the service variables that nobody named.
#include "node/environment.h"

#include <errno.h>
#include <stdlib.h>

#include "base/memory.h"
#include "node/fields.h"
#include "node/references.h"
#include "node/service_variables.h"

typedef struct Source { // one object that the container refers to
    const Resource *resource;
    Str name;
    Reference *reference;
    StrMap data;
    bool found;
} Source;

struct EnvironmentRequest {
    ListLink link; // agent->environments, while waiting for services
    NodeAgent *agent;
    Arena *arena;
    const Pod *pod;
    const Container *container;
    Str pod_ip;
    Source *sources;
    size_t n_sources;
    LoopTask check;
    void (*done)(void *user, int error, Str message, const RuntimePair *env, size_t n);
    void *user;
    bool finished;
    void (*changed)(void *user); // once it failed
    void *changed_user;
};

typedef struct Build {
    EnvironmentRequest *request;
    Variables own, services;
    Str message; // set: failed
} Build;

// Services ---------------------------------------------------------------------------------------

static void namespace_key(const InformerObject *object, InformerEmit emit, void *user) {
    emit(user, object->namespace_);
}

static void on_service(void *user, const InformerObject *old, const InformerObject *now) {}

static void on_services_synced(void *user) {
    NodeAgent *agent = user;
    EnvironmentRequest *request;
    list_for_each(request, &agent->environments, link) loop_post(agent->loop, &request->check);
}

static void watch_services(NodeAgent *agent) {
    static const InformerHandler handler = {.on_change = on_service,
                                            .on_synced = on_services_synced};
    if (agent->services)
        return;
    list_init(&agent->environments);
    agent->services = informer_new(agent->client, kinds_resource_core_v1_services(), STR_NONE,
                                   STR_NONE, STR_NONE);
    agent->services_by_namespace = informer_add_index(agent->services, namespace_key);
    informer_add_handler(agent->services, &handler, agent);
}

static void add_service(void *user, const InformerObject *object) {
    Build *build = user;
    const Pod *pod = build->request->pod;
    bool master =
        str_eq(object->namespace_, STR("default")) && str_eq(object->name, STR("kubernetes"));
    bool links = !pod->spec.enable_service_links || *pod->spec.enable_service_links;
    if (!master && (!links || !str_eq(object->namespace_, pod->metadata.namespace)))
        return;
    _arena_free_ Arena *arena = arena_new();
    Service service;
    if (typed_from_json(arena, kinds_type_Service(), bytes_str(object->bytes), &service) == 0)
        service_variables_add(&build->services, &service);
}

// A namespace's own service named `kubernetes` goes before the one of `default`.
static void add_services(Build *build) {
    const NodeAgent *agent = build->request->agent;
    Str namespace_ = build->request->pod->metadata.namespace;
    informer_index_each(agent->services_by_namespace, namespace_, add_service, build);
    const InformerObject *master = informer_get(agent->services, STR("default"), STR("kubernetes"));
    if (master && !variables_get(&build->services, STR("KUBERNETES_SERVICE_HOST")).ptr)
        add_service(build, master);
}

// Config maps and secrets ------------------------------------------------------------------------

static void on_source(void *user) {
    EnvironmentRequest *request = user;
    if (!request->finished)
        loop_post(request->agent->loop, &request->check);
    else if (request->changed)
        request->changed(request->changed_user);
}

static Source *find_source(EnvironmentRequest *request, const Resource *resource, Str name) {
    for (size_t i = 0; i < request->n_sources; i++)
        if (request->sources[i].resource == resource && str_eq(request->sources[i].name, name))
            return &request->sources[i];
    return NULL;
}

static void add_source(EnvironmentRequest *request, const Resource *resource, Str name) {
    if (find_source(request, resource, name))
        return;
    Source *source = &request->sources[request->n_sources++];
    *source = (Source){.resource = resource, .name = name};
    source->reference =
        reference_acquire(request->agent->references, resource, request->pod->metadata.namespace,
                          name, on_source, request);
}

static void add_sources(EnvironmentRequest *request) {
    const Container *container = request->container;
    const Resource *config_maps = kinds_resource_core_v1_configmaps();
    const Resource *secrets = kinds_resource_core_v1_secrets();
    request->sources =
        arena_array_of(request->arena, Source, container->env_from.len + container->env.len);
    for (size_t i = 0; i < container->env_from.len; i++) {
        const EnvFromSource *from = &container->env_from.items[i];
        if (from->config_map_ref)
            add_source(request, config_maps, from->config_map_ref->name);
        else if (from->secret_ref)
            add_source(request, secrets, from->secret_ref->name);
    }
    for (size_t i = 0; i < container->env.len; i++) {
        const EnvVar *var = &container->env.items[i];
        if (var->value.len || !var->value_from)
            continue;
        if (var->value_from->config_map_key_ref)
            add_source(request, config_maps, var->value_from->config_map_key_ref->name);
        else if (var->value_from->secret_key_ref)
            add_source(request, secrets, var->value_from->secret_key_ref->name);
    }
}

static void release_sources(EnvironmentRequest *request) {
    for (size_t i = 0; i < request->n_sources; i++)
        reference_release(request->sources[i].reference);
    request->n_sources = 0;
}

static int read_source(EnvironmentRequest *request, Source *source) {
    if (reference_state(source->reference) == REFERENCE_MISSING)
        return 0;
    Str json = arena_str(request->arena, reference_json(source->reference));
    source->found = true;
    if (source->resource == kinds_resource_core_v1_secrets()) {
        Secret secret;
        int error = typed_from_json(request->arena, kinds_type_Secret(), json, &secret);
        source->data = secret.data;
        return error;
    }
    ConfigMap map;
    int error = typed_from_json(request->arena, kinds_type_ConfigMap(), json, &map);
    source->data = map.data;
    return error;
}

// Building ---------------------------------------------------------------------------------------

static void __attribute__((format(printf, 2, 3))) fail(Build *build, const char *format, ...) {
    va_list args;
    va_start(args, format);
    build->message = arena_vprintf(build->request->arena, format, args);
    va_end(args);
}

static bool is_optional(const bool *optional) {
    return optional && *optional;
}

// NULL when the object is missing: that is an error unless it is optional.
static const Source *need_source(Build *build, const Resource *resource, Str name,
                                 const bool *optional) {
    const Source *source = find_source(build->request, resource, name);
    if (source->found)
        return source;
    if (!is_optional(optional))
        fail(build, "%.*s \"%.*s\" not found", STR_ARG(resource->singular), STR_ARG(name));
    return NULL;
}

static void set(Build *build, Str name, Str value) {
    if (memchr(value.ptr ? value.ptr : "", '\0', value.len) || !name.len ||
        memchr(name.ptr, '\0', name.len) || str_find(name, '=') >= 0)
        fail(build,
             "environment variable \"%.*s\" cannot be set: a name must not contain '=' and "
             "no value a NUL byte",
             STR_ARG(name));
    else
        variables_set(&build->own, name, value.ptr ? value : STR(""));
}

static void add_all(Build *build, const Resource *resource, Str object, const bool *optional,
                    Str prefix) {
    const Source *source = need_source(build, resource, object, optional);
    if (!source)
        return;
    for (size_t i = 0; i < source->data.len && !build->message.ptr; i++) {
        Str parts[] = {prefix, source->data.keys[i]};
        Str name = prefix.len ? arena_concat(build->request->arena, parts, 2, STR("")) : parts[1];
        set(build, name, source->data.values[i]);
    }
}

// False when the variable is left out.
static bool key_value(Build *build, const Resource *resource, Str object, Str key,
                      const bool *optional, const char *kind, Str *ret) {
    const Source *source = need_source(build, resource, object, optional);
    if (!source)
        return false;
    *ret = str_map_get(&source->data, key);
    if (!ret->ptr && !is_optional(optional))
        fail(build, "couldn't find key %.*s in %s %.*s/%.*s", STR_ARG(key), kind,
             STR_ARG(build->request->pod->metadata.namespace), STR_ARG(object));
    return ret->ptr;
}

static bool value_from(Build *build, const EnvVarSource *from, Str *ret) {
    EnvironmentRequest *request = build->request;
    Str message;
    if (from->field_ref) {
        if (field_of_pod(request->agent, request->arena, request->pod, request->pod_ip,
                         from->field_ref->field_path, ret, &message) != 0)
            build->message = message;
        return true;
    }
    if (from->resource_field_ref) {
        if (field_of_resource(request->agent, request->arena, request->pod, request->container,
                              from->resource_field_ref, ret, &message) != 0)
            build->message = message;
        return true;
    }
    if (from->config_map_key_ref) {
        const ConfigMapKeySelector *key = from->config_map_key_ref;
        return key_value(build, kinds_resource_core_v1_configmaps(), key->name, key->key,
                         key->optional, "ConfigMap", ret);
    }
    if (from->secret_key_ref) {
        const SecretKeySelector *key = from->secret_key_ref;
        return key_value(build, kinds_resource_core_v1_secrets(), key->name, key->key,
                         key->optional, "Secret", ret);
    }
    if (from->file_key_ref)
        fail(build, "fileKeyRef is not supported by this node");
    return true;
}

static Str visible(void *user, Str name) { // what $(NAME) stands for at this point
    const Build *build = user;
    Str value = variables_get(&build->own, name);
    return value.ptr ? value : variables_get(&build->services, name);
}

static void build_all(Build *build) {
    EnvironmentRequest *request = build->request;
    const Container *container = request->container;
    add_services(build);
    for (size_t i = 0; i < container->env_from.len && !build->message.ptr; i++) {
        const EnvFromSource *from = &container->env_from.items[i];
        if (from->config_map_ref)
            add_all(build, kinds_resource_core_v1_configmaps(), from->config_map_ref->name,
                    from->config_map_ref->optional, from->prefix);
        else if (from->secret_ref)
            add_all(build, kinds_resource_core_v1_secrets(), from->secret_ref->name,
                    from->secret_ref->optional, from->prefix);
    }
    for (size_t i = 0; i < container->env.len && !build->message.ptr; i++) {
        const EnvVar *var = &container->env.items[i];
        Str value = var->value;
        if (value.len)
            value = environment_expand_with(request->arena, value, visible, build);
        else if (var->value_from && !value_from(build, var->value_from, &value))
            continue;
        if (!build->message.ptr)
            set(build, var->name, value);
    }
    for (size_t i = 0; i < build->services.n; i++)
        if (!variables_get(&build->own, build->services.items[i].name).ptr)
            variables_set(&build->own, build->services.items[i].name,
                          build->services.items[i].value);
}

// The request ------------------------------------------------------------------------------------

static bool is_pending(const EnvironmentRequest *request) {
    if (!informer_is_synced(request->agent->services))
        return true;
    for (size_t i = 0; i < request->n_sources; i++)
        if (reference_state(request->sources[i].reference) == REFERENCE_PENDING)
            return true;
    return false;
}

static void check(void *user) {
    EnvironmentRequest *request = user;
    if (request->finished || is_pending(request))
        return;
    request->finished = true;
    list_remove(&request->link);
    Build build = {.request = request};
    for (size_t i = 0; i < request->n_sources; i++)
        if (read_source(request, &request->sources[i]) != 0)
            fail(&build, "%.*s \"%.*s\" cannot be read",
                 STR_ARG(request->sources[i].resource->singular),
                 STR_ARG(request->sources[i].name));
    variables_init(&build.own, request->arena);
    variables_init(&build.services, request->arena);
    if (!build.message.ptr)
        build_all(&build);
    variables_deinit(&build.own);
    variables_deinit(&build.services);
    if (build.message.ptr) {
        request->done(request->user, -EINVAL, build.message, NULL, 0);
        return;
    }
    release_sources(request);
    request->done(request->user, 0, STR_NONE, build.own.items, build.own.n);
}

void environment_watch(EnvironmentRequest *request, void (*changed)(void *user), void *user) {
    request->changed = changed;
    request->changed_user = user;
}

EnvironmentRequest *
environment_new(NodeAgent *agent, const Pod *pod, const Container *container, Str pod_ip,
                void (*done)(void *user, int error, Str message, const RuntimePair *env, size_t n),
                void *user) {
    Arena *arena = arena_new();
    EnvironmentRequest *request = memory_new(EnvironmentRequest);
    *request = (EnvironmentRequest){.agent = agent,
                                    .arena = arena,
                                    .pod = pod,
                                    .container = container,
                                    .pod_ip = arena_str(arena, pod_ip),
                                    .done = done,
                                    .user = user};
    request->check = (LoopTask){.fn = check, .user = request};
    watch_services(agent);
    list_append(&agent->environments, &request->link);
    add_sources(request);
    loop_post(agent->loop, &request->check);
    return request;
}

void environment_free(EnvironmentRequest *request) {
    if (!request)
        return;
    list_remove(&request->link);
    loop_task_cancel(request->agent->loop, &request->check);
    release_sources(request);
    arena_free(request->arena);
    free(request);
}
