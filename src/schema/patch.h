#pragma once
// RFC 6902 JSON Patch, RFC 7386 merge patch, Kubernetes' strategic merge patch
// (https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/).
// Each returns the new tree in *ret (`object` is not changed), or SCHEMA_E_PATCH with *ret_message,
// worded as the API server words it (400 / 422 is the caller's).

#include "schema/type.h"
#include "schema/value.h"

#define SCHEMA_E_PATCH 2
#define PATCH_MAX_OPERATIONS 10000

int patch_json(Arena *arena, const Value *object, const Value *patch, Value **ret, Str *ret_message)
    __attribute__((warn_unused_result));
int patch_merge(Arena *arena, const Value *object, const Value *patch, Value **ret)
    __attribute__((warn_unused_result));
// Directives: $patch: replace|delete|merge, $deleteFromPrimitiveList/, $setElementOrder/, $retainKeys.
int patch_strategic(Arena *arena, const Type *type, const Value *object, const Value *patch,
                    Value **ret, Str *ret_message) __attribute__((warn_unused_result));
