// Certificate signing requests: pkg/apis/certificates/validation and pkg/registry/certificates
// upstream. Whether the request itself can be read is the API server's to say (admission/
// certificates.c): that takes OpenSSL.

#include "kinds/rules.h"
#include "kinds/tree.h"

#define SHORTEST_SECONDS 600

static const Str usages[] = {
    {"any", 3},
    {"cert sign", 9},
    {"client auth", 11},
    {"code signing", 12},
    {"content commitment", 18},
    {"crl sign", 8},
    {"data encipherment", 17},
    {"decipher only", 13},
    {"digital signature", 17},
    {"email protection", 16},
    {"encipher only", 13},
    {"ipsec end system", 16},
    {"ipsec tunnel", 12},
    {"ipsec user", 10},
    {"key agreement", 13},
    {"key encipherment", 16},
    {"microsoft sgc", 13},
    {"netscape sgc", 12},
    {"ocsp signing", 12},
    {"s/mime", 6},
    {"server auth", 11},
    {"signing", 7},
    {"timestamping", 12},
};
#define N_USAGES (sizeof usages / sizeof *usages)

static void validate_usages(FieldErrors *errors, const Value *request, const Path *path) {
    const Value *list = value_at(request, "spec.usages");
    if (!list || !list->n) {
        field_required(errors, path, "");
        return;
    }
    for (uint32_t i = 0; i < list->n; i++) {
        Str usage = tree_string(list->items[i]);
        bool known = false, seen = false;
        for (size_t j = 0; j < N_USAGES; j++)
            known |= str_eq(usage, usages[j]);
        for (uint32_t j = 0; j < i; j++)
            seen |= str_eq(usage, tree_string(list->items[j]));
        if (!known)
            field_not_supported(errors, PATH_INDEX(path, i), usage, usages, N_USAGES);
        if (seen)
            field_duplicate(errors, PATH_INDEX(path, i), usage);
    }
}

// "example.com/signer-name"
static void validate_signer(FieldErrors *errors, Str signer, const Path *path) {
    if (!signer.len) {
        field_required(errors, path, "");
        return;
    }
    Str rest = signer, domain = str_cut(&rest, '/');
    if (!rest.ptr || str_find(rest, '/') >= 0) {
        field_invalid(errors, path, signer,
                      "must be a fully qualified domain and path of the form "
                      "'example.com/signer-name'");
        return;
    }
    schema_check_format(errors, path, FORMAT_DNS_SUBDOMAIN, domain);
    if (str_find(domain, '.') < 0)
        field_invalid(errors, path, domain,
                      "should be a domain with at least two segments separated by dots");
    schema_check_format(errors, path, FORMAT_DNS_SUBDOMAIN, rest);
}

static const Value *find_condition(const Value *request, Str type) {
    const Value *list = value_at(request, "status.conditions");
    for (uint32_t i = 0; list && i < list->n; i++) {
        if (str_eq(value_string_at(list->items[i], "type"), type))
            return list->items[i];
    }
    return NULL;
}

static const Str verdicts[] = {{"Approved", 8}, {"Denied", 6}, {"Failed", 6}};

static void validate_conditions(FieldErrors *errors, const Value *request) {
    static const Str truth = {"True", 4};
    const Path *path = PATH(PATH(NULL, STR("status")), STR("conditions"));
    const Value *list = value_at(request, "status.conditions");
    for (uint32_t i = 0; list && i < list->n; i++) {
        Str type = value_string_at(list->items[i], "type");
        Str status = value_string_at(list->items[i], "status");
        const Path *item = PATH_INDEX(path, i);
        bool verdict = false;
        for (size_t j = 0; j < 3; j++)
            verdict |= str_eq(type, verdicts[j]);
        if (!type.len)
            field_required(errors, PATH(item, STR("type")), "");
        if (!status.len)
            field_required(errors, PATH(item, STR("status")), "");
        else if (verdict && !str_eq(status, truth))
            field_not_supported(errors, PATH(item, STR("status")), status, &truth, 1);
        if (str_eq(type, verdicts[1]) && find_condition(request, verdicts[0]))
            field_invalid(errors, PATH(item, STR("type")), type,
                          "Approved and Denied conditions are mutually exclusive");
    }
}

static void validate(FieldErrors *errors, const Value *request) {
    const Path *spec = PATH(NULL, STR("spec"));
    validate_usages(errors, request, PATH(spec, STR("usages")));
    int64_t seconds = value_int_at(request, "spec.expirationSeconds", SHORTEST_SECONDS);
    if (seconds < SHORTEST_SECONDS)
        field_invalid_int(errors, PATH(spec, STR("expirationSeconds")), seconds,
                          "may not specify a duration less than 600 seconds (10 minutes)");
    Str signer = value_string_at(request, "spec.signerName");
    validate_signer(errors, signer, PATH(spec, STR("signerName")));
    validate_conditions(errors, request);
}

static void validate_create(FieldErrors *errors, const Value *request) {
    Str signer = value_string_at(request, "spec.signerName");
    if (str_eq(signer, STR("kubernetes.io/legacy-unknown")))
        field_invalid(errors, PATH(PATH(NULL, STR("spec")), STR("signerName")), signer,
                      "the legacy signerName is not allowed via this API version");
}

// What was said stays said; `may_approve` and `may_sign`: what the endpoint is for.
static void check_update(FieldErrors *errors, const Value *request, const Value *old,
                         bool may_approve, bool may_sign) {
    const Path *status = PATH(NULL, STR("status")), *conditions = PATH(status, STR("conditions"));
    for (size_t i = 0; i < 3; i++) {
        bool now = find_condition(request, verdicts[i]), before = find_condition(old, verdicts[i]);
        if (before && !now) {
            field_forbidden(errors, conditions,
                            arena_printf(errors->arena,
                                         "updates may not remove a condition of type \"%s\"",
                                         verdicts[i].ptr)
                                .ptr);
        }
        if (!before && now && !(i < 2 ? may_approve : may_approve || may_sign)) {
            field_forbidden(errors, conditions,
                            arena_printf(errors->arena,
                                         "updates may not add a condition of type \"%s\"",
                                         verdicts[i].ptr)
                                .ptr);
        }
    }
    Str certificate = value_string_at(request, "status.certificate"),
        held = value_string_at(old, "status.certificate");
    if (str_eq(certificate, held))
        return;
    const Path *path = PATH(status, STR("certificate"));
    if (!may_sign)
        field_forbidden(errors, path, "updates may not set certificate content");
    else if (held.len)
        field_forbidden(errors, path, "updates may not modify existing certificate content");
}

static void validate_update(FieldErrors *errors, const Value *request, const Value *old) {
    check_update(errors, request, old, false, false);
}

static void validate_status(FieldErrors *errors, const Value *request, const Value *old) {
    validate_conditions(errors, request);
    check_update(errors, request, old, false, true);
}

static void validate_approval(FieldErrors *errors, const Value *request, const Value *old) {
    validate_conditions(errors, request);
    check_update(errors, request, old, true, false);
}

// ---- what each endpoint may change

static void keep(Arena *arena, Value *request, const Value *old, Str key) {
    Value *value = value_get(old, key);
    if (value)
        value_set(arena, request, key, value_copy(arena, value));
    else
        value_unset(request, key);
}

static void prepare(Arena *arena, Value *request, const Value *old) {
    if (old) // a request cannot be changed
        keep(arena, request, old, STR("spec"));
}

// The signer says nothing about approval: those conditions come from the object as it is.
static void prepare_status(Arena *arena, Value *request, const Value *old) {
    Value *kept = value_new_array(arena);
    const Value *lists[] = {value_at(old, "status.conditions"),
                            value_at(request, "status.conditions")};
    for (int from_new = 0; from_new < 2; from_new++) {
        const Value *list = lists[from_new];
        for (uint32_t i = 0; list && i < list->n; i++) {
            Str type = value_string_at(list->items[i], "type");
            bool approval = str_eq(type, verdicts[0]) || str_eq(type, verdicts[1]);
            if (approval != from_new)
                value_push(arena, kept, list->items[i]);
        }
    }
    Value *status = value_at_make(arena, request, "status");
    if (kept->n)
        value_set(arena, status, STR("conditions"), kept);
    else
        value_unset(status, STR("conditions"));
}

static void prepare_approval(Arena *arena, Value *request, const Value *old) {
    Value *conditions = value_at(request, "status.conditions");
    keep(arena, request, old, STR("spec"));
    keep(arena, request, old, STR("status"));
    Value *status = value_at_make(arena, request, "status");
    if (conditions)
        value_set(arena, status, STR("conditions"), conditions);
    else
        value_unset(status, STR("conditions"));
}

static const SubresourceRules subresources[] = {
    {.name = {"approval", 8},
     .takes_status = true,
     .prepare = prepare_approval,
     .validate_update = validate_approval},
};

const ResourceRules certificate_signing_request_rules = {
    .prepare = prepare,
    .prepare_status = prepare_status,
    .validate = validate,
    .validate_create = validate_create,
    .validate_update = validate_update,
    .validate_status_update = validate_status,
    .name_format = FORMAT_PATH_SEGMENT,
    .subresources = subresources,
    .n_subresources = 1,
};
