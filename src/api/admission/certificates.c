// Certificate signing requests on their way in: who asked, whether the request can be read, and who
// may approve and sign (the plugins CertificateApproval, CertificateSigning and
// CertificateSubjectRestriction, and the strategy of pkg/registry/certificates upstream).
// https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/

#include <errno.h>

#include "api/admission/admission.h"
#include "api/auth/authz.h"
#include "api/server.h"
#include "base/time.h"
#include "pki/pki.h"

#define GROUP STR("certificates.k8s.io")
#define REQUESTS STR("certificatesigningrequests")

static bool concerns(const Admission *admission, AdmissionOperation operation,
                     const char *subresource) {
    return admission->operation == operation &&
           admission_is(admission, GROUP, REQUESTS, str_from(subresource));
}

// ---- who asks

static Value *strings(Arena *arena, const Str *list, size_t n) {
    Value *array = value_new_array(arena);
    for (size_t i = 0; i < n; i++)
        value_push(arena, array, value_new_string(arena, list[i]));
    return array;
}

static void set_or_unset(Arena *arena, Value *spec, const char *key, Value *value, bool wanted) {
    if (wanted)
        value_set(arena, spec, str_from(key), value);
    else
        value_unset(spec, str_from(key));
}

static void sign_as_requester(const Admission *admission) {
    Arena *arena = admission->request->arena;
    const User *user = admission->request->user;
    Value *spec = value_at_make(arena, admission->object, "spec"), *extra = value_new_object(arena);
    for (size_t i = 0; i < user->n_extra; i++)
        value_set(arena, extra, user->extra[i].key,
                  strings(arena, user->extra[i].values, user->extra[i].n));
    set_or_unset(arena, spec, "username", value_new_string(arena, user->name), true);
    set_or_unset(arena, spec, "uid", value_new_string(arena, user->uid), user->uid.len > 0);
    set_or_unset(arena, spec, "groups", strings(arena, user->groups, user->n_groups),
                 user->n_groups > 0);
    set_or_unset(arena, spec, "extra", extra, user->n_extra > 0);
}

// When each condition was said, and when it came to be.
static void stamp_conditions(const Admission *admission) {
    Arena *arena = admission->request->arena;
    const Value *list = value_at(admission->object, "status.conditions");
    const Value *before = value_at(admission->old, "status.conditions");
    Str now = time_format(arena, api_now(admission->request->api));
    for (uint32_t i = 0; list && list->kind == VALUE_ARRAY && i < list->n; i++) {
        Value *condition = list->items[i];
        Str since = value_string_at(condition, "lastTransitionTime");
        for (uint32_t j = 0; before && j < before->n; j++) {
            if (str_eq(value_string_at(before->items[j], "type"),
                       value_string_at(condition, "type")) &&
                str_eq(value_string_at(before->items[j], "status"),
                       value_string_at(condition, "status")))
                since = value_string_at(before->items[j], "lastTransitionTime");
        }
        value_set_str(arena, condition, STR("lastTransitionTime"), since.len ? since : now);
        if (!value_string_at(condition, "lastUpdateTime").len)
            value_set_str(arena, condition, STR("lastUpdateTime"), now);
    }
}

ApiStatus *admission_certificates_mutate(Admission *admission) {
    if (concerns(admission, ADMISSION_CREATE, ""))
        sign_as_requester(admission);
    else if (concerns(admission, ADMISSION_UPDATE, "approval") ||
             concerns(admission, ADMISSION_UPDATE, "status"))
        stamp_conditions(admission);
    return NULL;
}

// ---- what they ask for

static Str requested_pem(const Admission *admission) {
    Str pem;
    Str encoded = value_string_at(admission->object, "spec.request");
    return pki_base64_decode(admission->request->arena, encoded.ptr ? encoded : STR(""), &pem) == 0
               ? pem
               : STR("");
}

static ApiStatus *check_request(const Admission *admission) {
    Arena *arena = admission->request->arena;
    const Resource *resource = admission->served->resource;
    PkiRequest read;
    int error = pki_request_read(arena, requested_pem(admission), &read);
    if (error) {
        FieldErrors errors = {.arena = arena};
        field_invalid(&errors, PATH(PATH(NULL, STR("spec")), STR("request")),
                      value_string_at(admission->object, "spec.request"),
                      error == -EACCES ? "x509: ECDSA verification failure"
                                       : "PEM block type must be CERTIFICATE REQUEST");
        return status_invalid(arena, resource->group, resource->kind, admission->name, &errors);
    }
    if (!str_eq(value_string_at(admission->object, "spec.signerName"),
                STR("kubernetes.io/kube-apiserver-client")))
        return NULL;
    for (size_t i = 0; i < read.subject.n_organizations; i++) {
        if (str_eq(read.subject.organizations[i], STR("system:masters")))
            return admission_forbidden(admission,
                                       STR("use of kubernetes.io/kube-apiserver-client signer with "
                                           "system:masters group is not allowed"));
    }
    return NULL;
}

// ---- who may answer

static bool may(const Admission *admission, const char *verb, Str name) {
    const ApiRequest *request = admission->request;
    Attributes attributes = {
        .user = request->user,
        .is_resource = true,
        .verb = str_from(verb),
        .group = GROUP,
        .version = STR("*"),
        .resource = STR("signers"),
        .subresource = STR(""),
        .namespace_ = STR(""),
        .name = name,
    };
    return authorize(request->api->authorizer, request->arena, &attributes, NULL);
}

// By the signer's name, or by "DOMAIN/*".
static ApiStatus *check_signer(const Admission *admission, const char *verb) {
    Arena *arena = admission->request->arena;
    Str signer = value_string_at(admission->old, "spec.signerName"), rest = signer;
    Str all = arena_printf(arena, "%.*s/*", STR_ARG(str_cut(&rest, '/')));
    if (may(admission, verb, signer) || may(admission, verb, all))
        return NULL;
    return admission_forbidden(
        admission,
        arena_printf(arena, "user not permitted to %s requests with signerName \"%.*s\"", verb,
                     STR_ARG(signer)));
}

static bool differs(const Admission *admission, const char *path) {
    const Value *now = value_at(admission->object, path), *before = value_at(admission->old, path);
    return now && before ? !value_equal(now, before) : now != before;
}

ApiStatus *admission_certificates_validate(Admission *admission) {
    if (concerns(admission, ADMISSION_CREATE, ""))
        return check_request(admission);
    if (concerns(admission, ADMISSION_UPDATE, "approval"))
        return check_signer(admission, "approve");
    if (concerns(admission, ADMISSION_UPDATE, "status") &&
        (differs(admission, "status.certificate") || differs(admission, "status.conditions")))
        return check_signer(admission, "sign");
    return NULL;
}
