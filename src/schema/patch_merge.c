// RFC 7386.

#include "schema/patch.h"
#include "schema/value_index.h"

static Value *merge(Arena *arena, Value *target, const Value *patch) {
    if (patch->kind != VALUE_OBJECT)
        return value_copy(arena, patch);
    if (!target || target->kind != VALUE_OBJECT)
        target = value_new_object(arena);
    _value_index_deinit_ ValueIndex index = value_index(target);
    for (uint32_t i = 0; i < patch->n; i++) {
        const Member *member = &patch->members[i];
        Member *found = value_index_find(&index, member->key);
        if (member->value->kind == VALUE_NULL) {
            if (found)
                found->value = NULL; // swept up below, so that the index stays true
            continue;
        }
        Value *merged = merge(arena, found ? found->value : NULL, member->value);
        if (found)
            found->value = merged;
        else
            value_index_set(arena, &index, target, member->key, merged);
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < target->n; i++)
        if (target->members[i].value)
            target->members[kept++] = target->members[i];
    target->n = kept;
    return target;
}

int patch_merge(Arena *arena, const Value *object, const Value *patch, Value **ret) {
    *ret = merge(arena, value_copy(arena, object), patch);
    return 0;
}
