#pragma once
// RFC 6902 JSON Patch, RFC 7386 merge patch, Kubernetes' strategic merge patch
// (https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/).
// Each returns the new tree in *ret, which shares no node with `object` or `patch` (neither is
// changed); or, with *ret_message worded as the API server words it, SCHEMA_E_PATCH when the patch
// does not fit the object (422), SCHEMA_E_PATCH_FORMAT when it is no such patch at all (400), or
// -E2BIG for too many operations (413).

#include "schema/type.h"
#include "schema/value.h"

#define SCHEMA_E_PATCH 2
#define SCHEMA_E_PATCH_FORMAT 3
#define PATCH_MAX_OPERATIONS 10000

int patch_json(Arena *arena, const Value *object, const Value *patch, Value **ret, Str *ret_message)
    __attribute__((warn_unused_result));
int patch_merge(Arena *arena, const Value *object, const Value *patch, Value **ret)
    __attribute__((warn_unused_result));
// Directives: $patch: replace|delete|merge, $deleteFromPrimitiveList/, $setElementOrder/, $retainKeys.
int patch_strategic(Arena *arena, const Type *type, const Value *object, const Value *patch,
                    Value **ret, Str *ret_message) __attribute__((warn_unused_result));
