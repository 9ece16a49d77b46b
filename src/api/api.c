// The API server as a whole: starting, the way of each request, stopping.

#include "api/api.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "api/admission/admission.h"
#include "api/auth/authn.h"
#include "api/auth/authz.h"
#include "api/auth/static_tokens.h"
#include "api/bootstrap.h"
#include "api/custom_kinds.h"
#include "api/nonresource.h"
#include "api/server.h"
#include "api/service.h"
#include "api/verbs.h"
#include "base/log.h"
#include "base/memory.h"
#include "pki/pki.h"
#include "schema/protobuf.h"

// As kube-apiserver's --max-requests-inflight and --max-mutating-requests-inflight. Watches and
// streams don't count.
#define MAX_READING 400
#define MAX_WRITING 200

bool api_is_ready(const Api *api) {
    return api->ready && !api->closing;
}

int64_t api_now(const Api *api) {
    return loop_wall(api->loop);
}

// ---- the way of a request

static bool is_long_running(const RequestInfo *info) {
    static const char *const streams[] = {"log", "exec", "attach", "portforward", "proxy"};
    if (str_eq(info->verb, STR("watch")))
        return true;
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++) {
        if (str_eq(info->subresource, str_from(streams[i])))
            return true;
    }
    return false;
}

static bool is_reading(const RequestInfo *info) {
    return str_eq(info->verb, STR("get")) || str_eq(info->verb, STR("list"));
}

static ApiStatus *take_place(ApiRequest *request) {
    Api *api = request->api;
    if (is_long_running(&request->info) || user_in_group(request->user, STR("system:masters")))
        return NULL;
    bool reading = is_reading(&request->info);
    size_t *in_flight = reading ? &api->reading : &api->writing;
    if (*in_flight >= (reading ? MAX_READING : MAX_WRITING))
        return status_too_many_requests(request->arena,
                                        STR("Too many requests, please try again later."), 1);
    ++*in_flight;
    request->in_flight = reading ? IN_FLIGHT_READ : IN_FLIGHT_WRITE;
    return NULL;
}

static const struct {
    const char *verb;
    unsigned bit;
    VerbHandler handler;
} verbs[] = {
    {"get", VERB_GET, verb_get},
    {"list", VERB_LIST, verb_list},
    {"watch", VERB_WATCH, verb_watch},
    {"create", VERB_CREATE, verb_create},
    {"update", VERB_UPDATE, verb_update},
    {"patch", VERB_PATCH, verb_patch},
    {"delete", VERB_DELETE, verb_delete},
    {"deletecollection", VERB_DELETECOLLECTION, verb_delete_collection},
};

// What go-restful's router says of a path or method that no route has.
static void no_route(ApiRequest *request, int code) {
    Arena *arena = request->arena;
    request_status(
        request,
        code == 404
            ? status_new(arena, 404, STR("NotFound"),
                         STR("the server could not find the requested resource"))
            : status_new(arena, 405, STR("MethodNotAllowed"),
                         STR("the server does not allow this method on the requested resource")));
}

// Whether the URL has the form that the resource's scope asks for.
static bool fits_scope(const ApiRequest *request) {
    const RequestInfo *info = &request->info;
    const Resource *resource = request->served->resource;
    if (!resource->namespaced)
        return !info->namespace_.len || str_eq(info->resource, STR("namespaces"));
    bool collection = str_eq(info->verb, STR("list")) || str_eq(info->verb, STR("watch"));
    return info->namespace_.len || collection;
}

// Collections are listed and added to; everything else is done to an object.
static bool fits_name(const ApiRequest *request) {
    const RequestInfo *info = &request->info;
    if (info->subresource.len)
        return true;
    if (str_eq(info->verb, STR("create")))
        return !info->name.len;
    return info->name.len || str_eq(info->verb, STR("list")) || str_eq(info->verb, STR("watch")) ||
           str_eq(info->verb, STR("deletecollection"));
}

static void dispatch_resource(ApiRequest *request) {
    const RequestInfo *info = &request->info;
    Api *api = request->api;
    request_serve(request,
                  registry_find(api->registry, info->group, info->version, info->resource));
    if (!request->served) {
        if (registry_has_version(api->registry, info->group, info->version))
            no_route(request, 404);
        else
            request_text(request, 404, STR("404 page not found\n"));
        return;
    }
    const Resource *resource = request->served->resource;
    unsigned bit = 0;
    VerbHandler handler = NULL;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (str_eq(info->verb, str_from(verbs[i].verb))) {
            bit = verbs[i].bit;
            handler = verbs[i].handler;
        }
    }
    unsigned allowed = resource->verbs;
    bool proxied = str_eq(info->subresource, STR("proxy")); // any method and Accept: not for us
    if (proxied && str_eq(request->http->method, STR("OPTIONS")))
        bit = VERB_GET;
    if (info->subresource.len) {
        request->subresource = resource_subresource(resource, info->subresource);
        if (!request->subresource || (info->n_parts > 3 && !proxied)) {
            no_route(request, 404);
            return;
        }
        allowed = request->subresource->verbs;
    }
    if (!fits_scope(request)) {
        no_route(request, str_eq(info->verb, STR("create")) ? 405 : 404);
        return;
    }
    if (!fits_name(request)) {
        no_route(request, 405);
        return;
    }
    if (!(allowed & bit)) {
        no_route(request, 405);
        return;
    }
    ApiStatus *refused = custom_kinds_refuse(request);
    if (request->http->body.len > VALUE_MAX_BYTES && !proxied) // MaxRequestBodyBytes
        refused = status_too_large(
            request->arena, arena_printf(request->arena, "limit is %d", VALUE_MAX_BYTES));
    if (refused) {
        request_status(request, refused);
        return;
    }
    if (resource->deprecation_warning.len)
        request_warn(request, resource->deprecation_warning);
    VerbHandler own = subresource_handler(info->group, info->resource, info->subresource, bit);
    refused = negotiate_output(request->http, protobuf_has_form(request->served->resource->type),
                               &request->output);
    if (refused && !proxied)
        request_status(request, refused);
    else
        (own ? own : handler)(request);
}

bool api_age(Api *api) {
    return registry_age(api->registry, loop_now(api->loop));
}

void api_handle(void *self, HttpRequest *http) {
    Api *api = self;
    ApiRequest *request = api_request_new(api, http);
    if (route_parse(http, &request->info) != 0) {
        request_status(request, status_bad_request(http->arena, STR("the URL is not well-formed")));
        return;
    }
    const User *user = NULL;
    ApiStatus *refused = authenticate(request, &user);
    if (!refused)
        refused = impersonate(request, user, &request->user);
    if (refused) {
        request_status(request, refused);
        return;
    }
    if (request->user != user)
        request->requester = user;
    Attributes attributes = attributes_of(request);
    Str reason = STR("");
    if (!authorize(api->authorizer, request->arena, &attributes, &reason)) {
        request_status(request, authz_forbidden(request->arena, &attributes, reason));
        return;
    }
    refused = take_place(request);
    if (refused)
        request_status(request, refused);
    else if (request->info.is_resource)
        dispatch_resource(request);
    else
        nonresource_handle(request);
}

// ---- starting and stopping

static void started(Api *api, int error) {
    if (!error)
        api->ready = true;
    if (api->on_ready)
        api->on_ready(api->on_ready_user, error);
}

static void repaired(Api *api, int error) {
    if (error)
        started(api, error);
    else
        bootstrap_start(api, started);
}

static void fed(Api *api, int error) {
    if (error)
        started(api, error);
    else {
        custom_kinds_start(api);
        service_allocator_repair(api, repaired);
    }
}

static Str keep(Api *api, Str s) {
    return s.ptr ? arena_str(api->arena, s) : STR("");
}

enum { TOKENS_REMEMBERED = 1024 };

static void keep_config(Api *api, const ApiConfig *config) {
    ApiConfig *own = &api->config;
    *own = *config;
    own->service_account_key = keep(api, config->service_account_key);
    own->service_account_issuer = keep(api, config->service_account_issuer);
    own->cluster_ca = keep(api, config->cluster_ca);
    own->service_cidr = keep(api, config->service_cidr);
    own->cluster_dns = keep(api, config->cluster_dns);
    own->advertise_address = keep(api, config->advertise_address);
    Str *publics = arena_array_of(api->arena, Str, config->n_service_account_publics + 1);
    for (size_t i = 0; i < config->n_service_account_publics; i++)
        publics[i] = keep(api, config->service_account_publics[i]);
    own->service_account_publics = publics;
    api->tokens = jwt_verifier_new(publics, config->n_service_account_publics, TOKENS_REMEMBERED);
}

void api_set_node_identity(Api *api, Str certificate, Str key) {
    api->config.node_certificate = arena_str(api->arena, certificate);
    api->config.node_key = arena_str(api->arena, key);
}

static int take_static_tokens(Api *api, Str text) {
    Str message;
    api->config.static_tokens = STR(""); // secrets: one copy is enough
    if (!text.len)
        return 0;
    api->static_tokens = static_tokens_new(api->arena, text, &message);
    if (api->static_tokens)
        return 0;
    log_error("api", "the token file cannot be used", "reason=\"%.*s\"", STR_ARG(message));
    return -EINVAL;
}

int api_new(const ApiConfig *config, void (*ready)(void *user, int error), void *user, Api **ret) {
    Api *api = memory_new(Api);
    api->arena = arena_new();
    api->scratch = arena_new();
    api->loop = config->loop;
    api->store = config->store;
    keep_config(api, config);
    api->on_ready = ready;
    api->on_ready_user = user;
    list_init(&api->waiting);
    list_init(&api->requests);
    watch_init(api);
    api->registry = registry_new();
    int r = take_static_tokens(api, config->static_tokens);
    if (r == 0)
        r = nonresource_init(api);
    custom_kinds_init(api);
    if (r == 0)
        r = service_allocator_init(api);
    if (r != 0) {
        api_free(api);
        return r;
    }
    api->authorizer = authorizer_new(api);
    event_expiry_init(api);
    admission_init(api);
    feed_start(api, fed);
    *ret = api;
    return 0;
}

void api_free(Api *api) {
    if (!api)
        return;
    api->closing = true;
    watch_deinit(api);
    bootstrap_stop(api);
    feed_stop(api);
    ApiRequest *request;
    list_for_each(request, &api->requests, link) request_abort(request);
    custom_kinds_free(api);
    authorizer_free(api->authorizer);
    jwt_verifier_free(api->tokens);
    static_tokens_free(api->static_tokens);
    nonresource_free(api);
    service_allocator_free(api);
    event_expiry_free(api);
    admission_free(api);
    registry_free(api->registry);
    arena_free(api->scratch);
    arena_free(api->arena);
    free(api);
}
