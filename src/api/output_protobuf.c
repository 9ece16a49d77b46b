#include "api/output_protobuf.h"

#include "schema/protobuf.h"

#define META "io.k8s.apimachinery.pkg.apis.meta.v1."

// PartialObjectMetadata, or its list: no part of kinds/, since nobody stores or explains it.
static const Type *partial_type(Arena *arena, bool list) {
    Field *fields = arena_array_of(arena, Field, 2);
    Type *type = arena_new_of(arena, Type);
    fields[0] = (Field){.name = STR("metadata"), .kind = FIELD_OBJECT, .number = 1};
    fields[0].type = kinds_type(list ? STR(META "ListMeta") : STR(META "ObjectMeta"));
    if (list) {
        fields[1] = (Field){.name = STR("items"), .kind = FIELD_OBJECT, .number = 2};
        fields[1].shape = SHAPE_LIST;
        fields[1].type = partial_type(arena, false);
    }
    *type =
        (Type){.name = STR("PartialObjectMetadata"), .fields = fields, .n_fields = list ? 2 : 1};
    return type;
}

static const Type *type_of(const ApiRequest *request, Arena *arena, const Value *object) {
    Str kind = value_string_at(object, "kind");
    const Resource *resource = request->served ? request->served->resource : NULL;
    if (str_eq(kind, STR("Status")))
        return kinds_type(STR(META "Status"));
    if (str_eq(kind, STR("PartialObjectMetadata")))
        return partial_type(arena, false);
    if (resource && str_eq(kind, resource->kind))
        return resource->type;
    if (resource && str_eq(kind, resource->list_kind))
        return kinds_type(arena_printf(arena, "%.*sList", STR_ARG(resource->type->openapi_name)));
    if (request->subresource && str_eq(kind, request->subresource->kind))
        return request->subresource->type;
    return NULL;
}

Bytes *output_protobuf(const ApiRequest *request, Arena *arena, const Value *object) {
    const Type *type = type_of(request, arena, object);
    _buf_deinit_ Buf buf = BUF_INIT(SIZE_MAX);
    if (!type || !protobuf_has_form(type) || protobuf_encode(type, object, &buf) != 0)
        return NULL;
    return buf_bytes(&buf);
}

int output_protobuf_item(const ApiRequest *request, Arena *arena, const Value *object, Buf *items) {
    bool partial = request->output.kind != OUTPUT_OBJECT;
    _buf_deinit_ Buf buf = BUF_INIT(SIZE_MAX);
    int r = protobuf_encode_message(
        partial ? partial_type(arena, false) : request->served->resource->type, object, &buf);
    if (r == 0)
        protobuf_put_bytes(items, 2, buf_view(&buf));
    return r;
}

Bytes *output_protobuf_list(const ApiRequest *request, Arena *arena, const Value *metadata,
                            Str items) {
    const Resource *resource = request->served->resource;
    bool partial = request->output.kind != OUTPUT_OBJECT;
    Str group = partial ? STR("meta.k8s.io") : resource->group;
    Str version = partial ? request->output.version : resource->version;
    if (group.len)
        version = arena_printf(arena, "%.*s/%.*s", STR_ARG(group), STR_ARG(version));
    _buf_deinit_ Buf inner = BUF_INIT(SIZE_MAX), head = BUF_INIT(SIZE_MAX),
                     buf = BUF_INIT(SIZE_MAX);
    if (protobuf_encode_message(kinds_type(STR(META "ListMeta")), metadata, &inner) != 0)
        return NULL;
    protobuf_put_bytes(&head, 1, buf_view(&inner));
    protobuf_put_envelope(&buf, version,
                          partial ? STR("PartialObjectMetadataList") : resource->list_kind,
                          buf_view(&head), items);
    return buf_bytes(&buf);
}

Bytes *output_protobuf_event(const ApiRequest *request, Arena *arena, const char *event,
                             const Value *object) {
    _bytes_unref_ Bytes *envelope = output_protobuf(request, arena, object);
    if (!envelope)
        return NULL;
    _buf_deinit_ Buf raw = BUF_INIT(SIZE_MAX), message = BUF_INIT(SIZE_MAX);
    protobuf_put_bytes(&raw, 1, bytes_str(envelope));
    protobuf_put_bytes(&message, 1, str_from(event));
    protobuf_put_bytes(&message, 2, buf_view(&raw));
    Bytes *frame = bytes_alloc(4 + message.len);
    for (int i = 0; i < 4; i++)
        frame->data[i] = (char)(message.len >> (24 - 8 * i));
    memcpy(frame->data + 4, message.data, message.len);
    return frame;
}
