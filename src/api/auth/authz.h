#pragma once
// Whether a user may do something: RBAC over the roles and bindings in the caches, kept as an index
// by subject, so that a decision costs what the user's own bindings hold.
// https://kubernetes.io/docs/reference/access-authn-authz/rbac/

#include "api/request.h"
#include "schema/selector.h"

typedef struct Authorizer Authorizer;

typedef struct Attributes {
    const User *user;
    bool is_resource;
    Str verb;
    Str group, version, resource, subresource, namespace_, name; // of a resource request
    const FieldSelector *fields; // of a list, watch or deletecollection; NULL: none
    Str path;                    // of any other request
} Attributes;
Attributes attributes_of(const ApiRequest *request);

Authorizer *authorizer_new(struct Api *api); // before the caches are loaded
void authorizer_free(Authorizer *authorizer);
// *ret_reason (may be NULL) says which binding allows it, or why it can't be decided.
bool authorize(const Authorizer *authorizer, Arena *arena, const Attributes *attributes,
               Str *ret_reason);
// 403 as apiserver words it.
ApiStatus *authz_forbidden(Arena *arena, const Attributes *attributes, Str reason);

// One rule of a role. "*" stands for everything; strings belong to whoever made it.
typedef struct PolicyRuleView {
    const Str *verbs, *groups, *resources, *names, *urls;
    size_t n_verbs, n_groups, n_resources, n_names, n_urls;
} PolicyRuleView;
// Every rule that holds for the user in the namespace ("" for cluster-wide rules only). Returns how
// many.
size_t authorizer_rules(const Authorizer *authorizer, Arena *arena, const User *user,
                        Str namespace_, const PolicyRuleView **ret);
// The rules that a role reference stands for now. False when there is no such role.
bool authorizer_role_rules(const Authorizer *authorizer, Arena *arena, Str kind, Str namespace_,
                           Str name, const PolicyRuleView **ret, size_t *ret_n);
size_t rules_from_value(Arena *arena, const Value *rules, const PolicyRuleView **ret);

// Nobody grants what he does not hold (unless he may "escalate" or "bind"). For writes of the four
// kinds; NULL or 403.
ApiStatus *authz_check_escalation(ApiRequest *request, const Value *object, const Value *old)
    __attribute__((warn_unused_result));
