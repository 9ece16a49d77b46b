#include "client/object_head.h"

#define STRING(member, key)                                                                        \
    { .name = {key, sizeof key - 1}, .kind = FIELD_STRING, .offset = offsetof(T, member) }
#define FLAG(member, key)                                                                          \
    {                                                                                              \
        .name = {key, sizeof key - 1}, .kind = FIELD_BOOL, .flags = FIELD_POINTER,                 \
        .offset = offsetof(T, member)                                                              \
    }
#define N(list) (sizeof list / sizeof *list)

#define T HeadOwner
static const Field owner_fields[] = {
    STRING(api_version, "apiVersion"),
    STRING(kind, "kind"),
    STRING(name, "name"),
    STRING(uid, "uid"),
    FLAG(controller, "controller"),
    FLAG(block_owner_deletion, "blockOwnerDeletion"),
};
static const Type owner_type = {
    .fields = owner_fields, .n_fields = N(owner_fields), .struct_size = sizeof(HeadOwner)};
#undef T

#define T ObjectHead
static const Field metadata_fields[] = {
    STRING(name, "name"),
    STRING(namespace_, "namespace"),
    STRING(uid, "uid"),
    STRING(resource_version, "resourceVersion"),
    STRING(deletion_timestamp, "deletionTimestamp"),
    {.name = {"ownerReferences", 15},
     .kind = FIELD_OBJECT,
     .shape = SHAPE_LIST,
     .type = &owner_type,
     .offset = offsetof(T, owners)},
    {.name = {"finalizers", 10},
     .kind = FIELD_STRING,
     .shape = SHAPE_LIST,
     .offset = offsetof(T, finalizers)},
};
static const Type metadata_type = {
    .fields = metadata_fields, .n_fields = N(metadata_fields), .struct_size = sizeof(ObjectHead)};
#undef T

static const Field object_fields[] = {
    {.name = {"metadata", 8}, .kind = FIELD_OBJECT, .type = &metadata_type}};
static const Type object_type = {
    .fields = object_fields, .n_fields = N(object_fields), .struct_size = sizeof(ObjectHead)};

int object_head_read(Arena *arena, Str json, ObjectHead *ret) {
    return typed_from_json(arena, &object_type, json, ret);
}

bool object_head_has_finalizer(const ObjectHead *head, Str finalizer) {
    for (size_t i = 0; i < head->finalizers.len; i++) {
        if (str_eq(head->finalizers.items[i], finalizer))
            return true;
    }
    return false;
}
