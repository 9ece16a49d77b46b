// Webhook configurations: pkg/apis/admissionregistration/validation and apiserver's
// util/webhook/validation.go upstream. Rules that are the same for policies are at the end.

#include "kinds/admission_rule.h"
#include "kinds/name_set.h"
#include "kinds/rules.h"
#include "kinds/tree.h"
#include "kinds/webhook.h"
#include "schema/format.h"

// ---- addresses

static bool take_host(Str authority, WebhookUrl *url) {
    ptrdiff_t at = str_find_last(authority, '@');
    if (at >= 0) {
        url->user = str_slice(authority, 0, (size_t)at);
        authority = str_slice(authority, (size_t)at + 1, authority.len);
    }
    url->host = authority;
    if (authority.len && authority.ptr[0] == '[') {
        ptrdiff_t end = str_find(authority, ']');
        if (end < 0)
            return false;
        url->host = str_slice(authority, 1, (size_t)end);
        authority = str_slice(authority, (size_t)end + 1, authority.len);
        if (authority.len && authority.ptr[0] != ':')
            return false;
        if (authority.len)
            url->port = str_slice(authority, 1, authority.len);
    } else if (str_find(authority, ':') >= 0) {
        url->port = authority;
        url->host = str_cut(&url->port, ':');
    }
    int64_t number;
    return !url->port.len || (str_to_i64(url->port, &number) == 0 && number >= 0);
}

bool webhook_url_parse(Str text, WebhookUrl *ret) {
    *ret = (WebhookUrl){.scheme = STR(""), .host = STR(""), .path = STR("")};
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] <= ' ' || text.ptr[i] == 0x7f)
            return false;
    }
    Str rest = text;
    ret->fragment = str_find(rest, '#') >= 0 ? rest : STR_NONE;
    if (ret->fragment.ptr)
        rest = str_cut(&ret->fragment, '#');
    ret->query = str_find(rest, '?') >= 0 ? rest : STR_NONE;
    if (ret->query.ptr)
        rest = str_cut(&ret->query, '?');
    ptrdiff_t colon = str_find(rest, ':'), slash = str_find(rest, '/');
    if (colon == 0)
        return false;
    if (colon > 0 && (slash < 0 || colon < slash)) {
        ret->scheme = str_slice(rest, 0, (size_t)colon);
        rest = str_slice(rest, (size_t)colon + 1, rest.len);
    }
    if (!str_starts_with(rest, STR("//"))) {
        ret->path = rest;
        return true;
    }
    rest = str_slice(rest, 2, rest.len);
    slash = str_find(rest, '/');
    size_t end = slash < 0 ? rest.len : (size_t)slash;
    ret->path = str_slice(rest, end, rest.len);
    return take_host(str_slice(rest, 0, end), ret);
}

#define FORM "; desired format: https://host[/path]"

static void validate_url(FieldErrors *errors, Str text, const Path *path) {
    WebhookUrl url;
    if (!webhook_url_parse(text, &url)) {
        field_required(errors, path, "url must be a valid URL" FORM);
        return;
    }
    if (!str_eq_nocase(url.scheme, STR("https")))
        field_invalid(errors, path, url.scheme, "'https' is the only allowed URL scheme" FORM);
    if (!url.host.len)
        field_invalid(errors, path, STR(""), "host must be specified" FORM);
    if (url.user.ptr)
        field_invalid(errors, path, url.user, "user information is not permitted in the URL");
    if (url.fragment.len)
        field_invalid(errors, path, url.fragment, "fragments are not permitted in the URL");
    if (url.query.len)
        field_invalid(errors, path, url.query, "query parameters are not permitted in the URL");
}

static void validate_service_path(FieldErrors *errors, Str text, const Path *path) {
    if (!text.len || str_eq(text, STR("/")))
        return;
    if (str_eq(text, STR("//"))) {
        field_invalid(errors, path, text, "segment[0] may not be empty");
        return;
    }
    if (text.ptr[0] != '/')
        field_invalid(errors, path, text, "must start with a '/'");
    Str rest = str_slice(text, 1, text.len);
    if (str_ends_with(rest, STR("/")))
        rest.len--;
    for (int i = 0; rest.ptr; i++) {
        Str step = str_cut(&rest, '/');
        FormatProblems problems = format_check(errors->arena, FORMAT_DNS_SUBDOMAIN, step);
        if (!step.len)
            field_invalid(errors, path, text,
                          arena_printf(errors->arena, "segment[%d] may not be empty", i).ptr);
        for (size_t j = 0; step.len && j < problems.n; j++)
            field_invalid(errors, path, text,
                          arena_printf(errors->arena, "segment[%d]: %.*s", i,
                                       STR_ARG(problems.messages[j]))
                              .ptr);
    }
}

static void validate_client(FieldErrors *errors, const Value *client, const Path *path) {
    const Value *url = value_get(client, STR("url")), *service = value_get(client, STR("service"));
    if (!url == !service) {
        field_required(errors, path, "exactly one of url or service is required");
        return;
    }
    if (url) {
        validate_url(errors, tree_string(url), PATH(path, STR("url")));
        return;
    }
    const Path *at = PATH(path, STR("service"));
    int64_t port = value_int_at(service, "port", 0);
    if (!tree_has_string(service, "name"))
        field_required(errors, PATH(at, STR("name")), "");
    if (!tree_has_string(service, "namespace"))
        field_required(errors, PATH(at, STR("namespace")), "");
    if (port < 1 || port > 65535)
        field_invalid_int(errors, PATH(at, STR("port")), port,
                          "port is not valid: must be between 1 and 65535, inclusive");
    validate_service_path(errors, value_string_at(service, "path"), PATH(at, STR("path")));
}

// ---- webhooks

static void validate_review_versions(FieldErrors *errors, const Value *webhook, const Path *path) {
    const Value *versions = value_get(webhook, STR("admissionReviewVersions"));
    bool known = false;
    uint32_t n = tree_count(webhook, "admissionReviewVersions");
    if (!n) {
        field_required(errors, path, "must specify one of v1, v1beta1");
        return;
    }
    _name_set_deinit_ NameSet seen = {0};
    for (uint32_t i = 0; i < n; i++) {
        Str version = tree_string(versions->items[i]);
        if (name_set_add(&seen, version, versions)) {
            field_invalid(errors, PATH_INDEX(path, i), version, "duplicate version");
            continue;
        }
        schema_check_format(errors, PATH_INDEX(path, i), FORMAT_DNS_LABEL_1035, version);
        known |= str_eq(version, STR("v1")) || str_eq(version, STR("v1beta1"));
    }
    if (!known)
        field_invalid_value(errors, path, versions, "must include at least one of v1, v1beta1");
}

static void validate_name(FieldErrors *errors, Str name, const Path *path) {
    size_t dots = 0;
    for (size_t i = 0; i < name.len; i++)
        dots += name.ptr[i] == '.';
    if (name.len && format_check(errors->arena, FORMAT_DNS_SUBDOMAIN, name).n == 0 && dots < 2)
        field_invalid(errors, path, name,
                      "should be a domain with at least three segments separated by dots");
}

static void validate_webhook(FieldErrors *errors, const Value *webhook, const Path *path) {
    const Value *effects = value_get(webhook, STR("sideEffects"));
    validate_name(errors, value_string_at(webhook, "name"), PATH(path, STR("name")));
    uint32_t n = tree_count(webhook, "rules");
    for (uint32_t i = 0; i < n; i++)
        admission_rule_validate(errors, tree_item(webhook, "rules", i),
                                PATH_INDEX(PATH(path, STR("rules")), i));
    if (!tree_string(effects).len)
        field_required(errors, PATH(path, STR("sideEffects")),
                       "must specify one of None, NoneOnDryRun");
    int64_t timeout = value_int_at(webhook, "timeoutSeconds", 10);
    if (timeout < 1 || timeout > 30)
        field_invalid_int(errors, PATH(path, STR("timeoutSeconds")), timeout,
                          "the timeout value must be between 1 and 30 seconds");
    validate_client(errors, value_get(webhook, STR("clientConfig")),
                    PATH(path, STR("clientConfig")));
    if (tree_count(webhook, "matchConditions"))
        field_forbidden(errors, PATH(path, STR("matchConditions")),
                        "match conditions are CEL expressions, which this server does not evaluate "
                        "yet: without them the webhook would be asked too often");
    validate_review_versions(errors, webhook, PATH(path, STR("admissionReviewVersions")));
}

static void validate_configuration(FieldErrors *errors, const Value *configuration) {
    const Path *webhooks = PATH(NULL, STR("webhooks"));
    _name_set_deinit_ NameSet names = {0};
    uint32_t n = tree_count(configuration, "webhooks");
    for (uint32_t i = 0; i < n; i++) {
        const Value *webhook = tree_item(configuration, "webhooks", i);
        Str name = value_string_at(webhook, "name");
        validate_webhook(errors, webhook, PATH_INDEX(webhooks, i));
        if (name.len && name_set_add(&names, name, webhook))
            field_duplicate(errors, PATH(PATH_INDEX(webhooks, i), STR("name")), name);
    }
}

const ResourceRules validating_webhook_configuration_rules = {.validate = validate_configuration};
const ResourceRules mutating_webhook_configuration_rules = {.validate = validate_configuration};

// ---- rules

static bool has_wildcard(const Value *owner, const char *list) {
    for (uint32_t i = 0; i < tree_count(owner, list); i++) {
        if (str_eq(tree_string(tree_item(owner, list, i)), STR("*")))
            return true;
    }
    return false;
}

static void check_wildcard(FieldErrors *errors, const Value *rule, const char *list,
                           const char *others, const Path *path) {
    if (!tree_count(rule, list))
        field_required(errors, path, "");
    if (tree_count(rule, list) > 1 && has_wildcard(rule, list))
        field_invalid_value(
            errors, path, value_get(rule, str_from(list)),
            arena_printf(errors->arena, "if '*' is present, must not specify other %s", others)
                .ptr);
}

// "pods", "pods/log", "pods/*", "*", "*/scale", "*/*": none may be said twice in two ways.
static void validate_resources(FieldErrors *errors, const Value *rule, const Path *path) {
    _name_set_deinit_ NameSet whole = {0}, everywhere = {0};
    const Value *all = value_get(rule, STR("resources"));
    uint32_t n = tree_count(rule, "resources");
    bool everything = false, all_resources = false, plain = false;
    if (!n)
        field_required(errors, path, "");
    for (uint32_t i = 0; i < n; i++) {
        Str text = tree_string(all->items[i]), sub = text;
        if (!text.len) {
            field_required(errors, PATH_INDEX(path, i), "");
            continue;
        }
        everything |= str_eq(text, STR("*/*"));
        all_resources |= str_eq(text, STR("*"));
        Str resource = str_cut(&sub, '/');
        if (!sub.ptr) {
            plain = !str_eq(text, STR("*"));
            continue;
        }
        if (name_set_get(&whole, resource))
            field_invalid(errors, PATH_INDEX(path, i), text,
                          arena_printf(errors->arena,
                                       "if '%.*s/*' is present, must not specify %.*s",
                                       STR_ARG(resource), STR_ARG(text))
                              .ptr);
        if (name_set_get(&everywhere, sub))
            field_invalid(errors, PATH_INDEX(path, i), text,
                          arena_printf(errors->arena,
                                       "if '*/%.*s' is present, must not specify %.*s",
                                       STR_ARG(sub), STR_ARG(text))
                              .ptr);
        if (str_eq(sub, STR("*")))
            name_set_add(&whole, resource, all);
        if (str_eq(resource, STR("*")))
            name_set_add(&everywhere, sub, all);
    }
    if (n > 1 && everything)
        field_invalid_value(errors, path, all,
                            "if '*/*' is present, must not specify other resources");
    if (all_resources && plain)
        field_invalid_value(
            errors, path, all,
            "if '*' is present, must not specify other resources without subresources");
}

void admission_rule_validate(FieldErrors *errors, const Value *rule, const Path *path) {
    check_wildcard(errors, rule, "operations", "operations", PATH(path, STR("operations")));
    check_wildcard(errors, rule, "apiGroups", "API groups", PATH(path, STR("apiGroups")));
    const Path *versions = PATH(path, STR("apiVersions"));
    check_wildcard(errors, rule, "apiVersions", "API versions", versions);
    for (uint32_t i = 0; i < tree_count(rule, "apiVersions"); i++) {
        if (!tree_string(tree_item(rule, "apiVersions", i)).len)
            field_required(errors, PATH_INDEX(versions, i), "");
    }
    validate_resources(errors, rule, PATH(path, STR("resources")));
}
