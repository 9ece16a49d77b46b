#include "api/decode.h"
#include "api/delete.h"

static ApiStatus *bad_field(Arena *arena, const char *kind, const char *field, const char *type) {
    return status_bad_request(
        arena, arena_printf(arena,
                            "json: cannot unmarshal %s into Go struct field DeleteOptions.%s of "
                            "type %s",
                            kind, field, type));
}

static const char *kind_name(const Value *value) {
    static const char *const names[] = {"null",   "bool",  "number", "number",
                                        "string", "array", "object"};
    return names[value->kind];
}

static ApiStatus *read_dry_run(ApiRequest *request, const Value *list, FieldErrors *errors) {
    if (list->kind != VALUE_ARRAY)
        return bad_field(request->arena, kind_name(list), "dryRun", "[]string");
    for (uint32_t i = 0; i < list->n; i++) {
        Str value = list->items[i]->kind == VALUE_STRING ? list->items[i]->string : STR("");
        if (str_eq(value, STR("All")))
            request->dry_run = true;
        else
            field_not_supported(errors, PATH(NULL, STR("dryRun")), value, (Str[]){STR("All")}, 1);
    }
    return NULL;
}

static ApiStatus *read_body(ApiRequest *request, DeleteOptions *options, FieldErrors *errors) {
    Arena *arena = request->arena;
    InputFormat format;
    ApiStatus *refused = negotiate_input(request->http, &format);
    if (refused)
        return refused;
    Value *tree;
    Str message;
    ValuePaths duplicates = {0};
    const Type *type = kinds_type(STR("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"));
    if (decode_parse(request, format, type, &duplicates, &tree, &message) != 0)
        return status_bad_request(arena, message);
    Str kind = value_string_at(tree, "kind");
    if (tree->kind != VALUE_OBJECT || (kind.len && !str_eq(kind, STR("DeleteOptions"))))
        return status_bad_request(arena,
                                  STR("decoded object cannot be converted to DeleteOptions"));
    const Value *grace = value_get(tree, STR("gracePeriodSeconds"));
    if (grace && grace->kind != VALUE_NULL) {
        if (grace->kind != VALUE_INT)
            return bad_field(arena, kind_name(grace), "gracePeriodSeconds", "int64");
        options->has_grace = true;
        options->grace_seconds = grace->integer;
    }
    const Value *orphan = value_get(tree, STR("orphanDependents"));
    if (orphan && orphan->kind != VALUE_NULL) {
        if (orphan->kind != VALUE_BOOL)
            return bad_field(arena, kind_name(orphan), "orphanDependents", "bool");
        options->has_orphan = true;
        options->orphan = orphan->boolean;
    }
    options->policy = value_string_at(tree, "propagationPolicy");
    options->uid = value_string_at(tree, "preconditions.uid");
    options->resource_version = value_string_at(tree, "preconditions.resourceVersion");
    const Value *dry_run = value_get(tree, STR("dryRun"));
    return dry_run && dry_run->kind != VALUE_NULL ? read_dry_run(request, dry_run, errors) : NULL;
}

static ApiStatus *read_query(ApiRequest *request, DeleteOptions *options, FieldErrors *errors) {
    const HttpRequest *http = request->http;
    Str grace = http_query(http, STR("gracePeriodSeconds"));
    if (grace.len) {
        options->has_grace = true;
        if (str_to_i64(grace, &options->grace_seconds) != 0)
            return status_bad_request(
                request->arena,
                arena_printf(request->arena, "strconv.ParseInt: parsing \"%.*s\": invalid syntax",
                             STR_ARG(grace)));
    }
    Str orphan = http_query(http, STR("orphanDependents"));
    if (orphan.len) {
        options->has_orphan = true;
        options->orphan = !str_eq(orphan, STR("false")) && !str_eq(orphan, STR("0"));
    }
    options->policy = http_query(http, STR("propagationPolicy"));
    const Str *dry_run;
    size_t n = http_query_all(http, STR("dryRun"), &dry_run);
    for (size_t i = 0; i < n; i++) {
        if (!str_eq(dry_run[i], STR("All")))
            field_not_supported(errors, PATH(NULL, STR("dryRun")), dry_run[i], (Str[]){STR("All")},
                                1);
        request->dry_run = true;
    }
    return NULL;
}

ApiStatus *delete_options_parse(ApiRequest *request, DeleteOptions *ret) {
    *ret = (DeleteOptions){0};
    FieldErrors errors = {.arena = request->arena};
    ApiStatus *refused = request->http->body.len ? read_body(request, ret, &errors)
                                                 : read_query(request, ret, &errors);
    if (refused)
        return refused;
    const Path *policy = PATH(NULL, STR("propagationPolicy"));
    if (ret->has_orphan && ret->policy.len)
        field_invalid(&errors, policy, ret->policy,
                      "orphanDependents and deletionPropagation cannot be both set");
    if (ret->policy.len && !str_eq(ret->policy, STR("Foreground")) &&
        !str_eq(ret->policy, STR("Background")) && !str_eq(ret->policy, STR("Orphan")))
        field_not_supported(
            &errors, policy, ret->policy,
            (Str[]){STR("Foreground"), STR("Background"), STR("Orphan"), STR("nil")}, 4);
    if (errors.n)
        return status_invalid(request->arena, STR("meta.k8s.io"), STR("DeleteOptions"), STR(""),
                              &errors);
    if (ret->has_grace && ret->grace_seconds < 0)
        ret->grace_seconds = 1;
    return NULL;
}
