// Webhook configurations from the caches, made ready once per change and not per request.

#include <assert.h>
#include <stdlib.h>

#include "api/admission/webhook.h"
#include "api/server.h"
#include "base/map.h"
#include "base/memory.h"
#include "kinds/tree.h"
#include "schema/scalar.h"

#define GROUP "admissionregistration.k8s.io"

typedef struct Kind {
    Map *configs; // name -> WebhookConfig
    WebhookList *list;
} Kind;

struct Webhooks {
    Kind kinds[2]; // mutating, validating
};

// ---- one configuration

static const Selector *selector_of(Arena *arena, const Value *webhook, Str member) {
    Selector *selector = NULL;
    Str message;
    const Value *value = value_get(webhook, member);
    if (selector_from_value(arena, value ? value : value_new_object(arena), &selector, &message))
        return NULL;
    return selector;
}

static void read_rules(Arena *arena, const Value *webhook, Webhook *ret) {
    ret->n_rules = tree_count(webhook, "rules");
    ret->rules = arena_array_of(arena, WebhookRule, ret->n_rules + 1);
    for (uint32_t i = 0; i < ret->n_rules; i++) {
        const Value *rule = tree_item(webhook, "rules", i);
        ret->rules[i] = (WebhookRule){
            .operations = value_get(rule, STR("operations")),
            .groups = value_get(rule, STR("apiGroups")),
            .versions = value_get(rule, STR("apiVersions")),
            .resources = value_get(rule, STR("resources")),
            .scope = value_string_at(rule, "scope"),
        };
    }
}

// The first of the webhook's versions that we speak.
static Str review_version(const Value *webhook) {
    for (uint32_t i = 0; i < tree_count(webhook, "admissionReviewVersions"); i++) {
        Str version = tree_string(tree_item(webhook, "admissionReviewVersions", i));
        if (str_eq(version, STR("v1")) || str_eq(version, STR("v1beta1")))
            return version;
    }
    return STR("v1");
}

static void read_client(Arena *arena, const Value *client, Webhook *ret) {
    size_t bad;
    Str ca = value_string_at(client, "caBundle");
    ret->ca = ca.len ? scalar_decode_base64(arena, ca, &bad) : STR("");
    ret->url = value_string_at(client, "url");
    ret->port = 443;
    if (ret->url.len) {
        uint64_t port;
        if (!webhook_url_parse(ret->url, &ret->at))
            ret->at = (WebhookUrl){.host = STR("")}; // validation lets none through
        ret->path = ret->at.path;
        if (ret->at.port.len && str_to_u64(ret->at.port, &port) == 0 && port <= UINT16_MAX)
            ret->port = (uint16_t)port;
        return;
    }
    const Value *service = value_get(client, STR("service"));
    ret->service = value_string_at(service, "name");
    ret->service_namespace = value_string_at(service, "namespace");
    ret->path = value_string_at(service, "path");
    ret->port = (uint16_t)value_int_at(service, "port", 443);
}

static void read_webhook(WebhookConfig *config, const Value *value, Webhook *ret) {
    Arena *arena = config->arena;
    *ret = (Webhook){
        .config = config,
        .name = value_string_at(value, "name"),
        .ignore_failure = tree_is(value, "failurePolicy", "Ignore"),
        .equivalent = !tree_is(value, "matchPolicy", "Exact"),
        .reinvoke = tree_is(value, "reinvocationPolicy", "IfNeeded"),
        .review_version = review_version(value),
        .timeout_ns = value_int_at(value, "timeoutSeconds", 10) * NSEC_PER_SEC,
        .namespaces = selector_of(arena, value, STR("namespaceSelector")),
        .objects = selector_of(arena, value, STR("objectSelector")),
    };
    list_init(&ret->clients);
    read_rules(arena, value, ret);
    read_client(arena, value_get(value, STR("clientConfig")), ret);
}

WebhookConfig *webhook_config_new(CachedObject *object) {
    Arena *arena = arena_new();
    WebhookConfig *config = arena_new_of(arena, WebhookConfig);
    const Value *tree = object_decode(arena, object);
    *config = (WebhookConfig){
        .references = 1,
        .arena = arena,
        .name = object->name,
        .n = tree_count(tree, "webhooks"),
    };
    config->webhooks = arena_array_of(arena, Webhook, config->n + 1);
    for (uint32_t i = 0; i < config->n; i++)
        read_webhook(config, tree_item(tree, "webhooks", i), &config->webhooks[i]);
    return config;
}

WebhookConfig *webhook_config_ref(WebhookConfig *config) {
    config->references++;
    return config;
}

void webhook_config_unref(WebhookConfig *config) {
    if (!config || --config->references)
        return;
    for (size_t i = 0; i < config->n; i++)
        webhook_clients_free(&config->webhooks[i]);
    arena_free(config->arena); // holds the configuration too
}

// ---- all of them

static int by_name(const void *a, const void *b) {
    return str_cmp((*(WebhookConfig *const *)a)->name, (*(WebhookConfig *const *)b)->name);
}

static WebhookList *list_new(const Map *configs) {
    WebhookList *list = memory_new(WebhookList);
    list->references = 1;
    list->configs = memory_resize_array(NULL, map_count(configs) + 1, sizeof *list->configs);
    MapIter it = {0};
    size_t n = 0;
    while (map_next(configs, &it)) {
        WebhookConfig *config = it.value;
        list->configs[list->n_configs++] = webhook_config_ref(config);
        n += config->n;
    }
    qsort(list->configs, list->n_configs, sizeof *list->configs, by_name);
    list->webhooks = memory_resize_array(NULL, n + 1, sizeof *list->webhooks);
    for (size_t i = 0; i < list->n_configs; i++) {
        for (size_t j = 0; j < list->configs[i]->n; j++)
            list->webhooks[list->n++] = &list->configs[i]->webhooks[j];
    }
    return list;
}

WebhookList *webhook_list_ref(WebhookList *list) {
    list->references++;
    return list;
}

void webhook_list_unref(void *user) {
    WebhookList *list = user;
    if (--list->references)
        return;
    for (size_t i = 0; i < list->n_configs; i++)
        webhook_config_unref(list->configs[i]);
    free(list->configs);
    free(list->webhooks);
    free(list);
}

static void on_config(void *user, CachedObject *previous, CachedObject *object) {
    Kind *kind = user;
    Str name = object ? object->name : previous->name;
    WebhookConfig *old = object ? map_put(kind->configs, name, webhook_config_new(object))
                                : map_remove(kind->configs, name);
    webhook_config_unref(old);
    webhook_list_unref(kind->list);
    kind->list = list_new(kind->configs);
}

void webhooks_init(Api *api) {
    const Str stored[] = {STR(GROUP "/mutatingwebhookconfigurations"),
                          STR(GROUP "/validatingwebhookconfigurations")};
    Webhooks *webhooks = memory_new(Webhooks);
    api->webhooks = webhooks;
    for (size_t i = 0; i < 2; i++) {
        Kind *kind = &webhooks->kinds[i];
        kind->configs = map_new();
        kind->list = list_new(kind->configs);
        Cache *cache = registry_cache(api->registry, stored[i]);
        assert(cache);
        cache_listen(cache, on_config, kind);
    }
}

void webhooks_free(Api *api) {
    Webhooks *webhooks = api->webhooks;
    for (size_t i = 0; webhooks && i < 2; i++) {
        Kind *kind = &webhooks->kinds[i];
        MapIter it = {0};
        while (map_next(kind->configs, &it))
            webhook_config_unref(it.value);
        map_free(kind->configs);
        webhook_list_unref(kind->list);
    }
    free(webhooks);
}

WebhookList *webhook_list(Api *api, bool validating) {
    return api->webhooks->kinds[validating].list;
}
