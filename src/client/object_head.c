#include "client/object_head.h"

#include "schema/json_scan.h"

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

// Where a member stands, with the comma that goes with it.
typedef struct MemberSpan {
    const char *from, *value, *to;
} MemberSpan;

// In the object that the scan stands at.
static bool find_member(JsonScan *scan, Str name, MemberSpan *ret) {
    if (json_peek(scan) != '{')
        return false;
    scan->p++;
    const char *before = scan->p; // the comma before this member, or the opening brace's end
    while (json_peek(scan) == '"') {
        Str key;
        const char *from = scan->p;
        if (json_key(scan, &key) != 0)
            return false;
        const char *value = scan->p;
        if (json_skip(scan, 0) != 0)
            return false;
        const char *end = scan->p;
        int more = json_next(scan, '}');
        if (more < 0)
            return false;
        if (str_eq(key, name)) {
            *ret = (MemberSpan){more ? from : before, value, more ? scan->p : end};
            return true;
        }
        if (!more)
            return false;
        before = end;
    }
    return false;
}

Bytes *object_without_managers(Bytes *object) {
    _arena_free_ Arena *arena = arena_new_small();
    ParseError error;
    Str json = bytes_str(object);
    JsonScan scan = {.start = json.ptr,
                     .p = json.ptr,
                     .end = json.ptr + json.len,
                     .arena = arena,
                     .error = &error};
    MemberSpan span;
    bool found = find_member(&scan, STR("metadata"), &span);
    scan.p = found ? span.value : scan.end;
    if (!found || !find_member(&scan, STR("managedFields"), &span))
        return bytes_ref(object);
    size_t head = (size_t)(span.from - json.ptr), tail = (size_t)(scan.end - span.to);
    Bytes *rest = bytes_alloc(head + tail);
    memcpy(rest->data, json.ptr, head);
    memcpy(rest->data + head, span.to, tail);
    rest->data[rest->len] = '\0';
    return rest;
}

bool object_head_has_finalizer(const ObjectHead *head, Str finalizer) {
    for (size_t i = 0; i < head->finalizers.len; i++) {
        if (str_eq(head->finalizers.items[i], finalizer))
            return true;
    }
    return false;
}
