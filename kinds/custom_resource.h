#pragma once
// Rules of CustomResourceDefinitions, by what they are about. Wording and paths are those of
// apiextensions-apiserver's pkg/apis/apiextensions/validation.

#include "schema/check.h"

void crd_check_names(FieldErrors *errors, const Value *names, const Path *path, bool required);
// "a,b": what is wrong with a string, joined as there; empty when nothing is.
Str crd_problems(Arena *arena, FieldFormat format, Str text);
// An openAPIV3Schema: what may stand in it, whether it is structural, whether its defaults fit.
void crd_check_schema(FieldErrors *errors, const Value *schema, const Path *path);
void crd_check_structural(FieldErrors *errors, const Value *schema, const Path *path);
void crd_check_defaults(FieldErrors *errors, const Value *schema, const Path *path);
// Whether a definition in a group of Kubernetes' own (k8s.io) has that project's approval; the
// message says why, or why not (KubernetesAPIApprovalPolicyConformant).
typedef enum CrdApproval {
    CRD_APPROVAL_UNNEEDED,
    CRD_APPROVAL_MISSING,
    CRD_APPROVAL_INVALID,
    CRD_APPROVAL_BYPASSED,
    CRD_APPROVAL_GIVEN,
} CrdApproval;
CrdApproval crd_approval(Arena *arena, const Value *definition, Str *ret_message);
// Calls `fn` for the schema and all below it, alternatives included.
void crd_each_schema(const Value *schema, void (*fn)(void *user, const Value *schema), void *user);
