#pragma once
// OpenAPI documents as trees, from the type tables.
// https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-interface-definition

#include "base/map.h"
#include "schema/type.h"
#include "schema/value.h"

typedef struct OpenapiBuild {
    Arena *arena;
    bool v3;
    const Resource *const *resources; // those that the document is about
    size_t n;
    Map *definitions; // openapi name -> Value, of every type reached so far
    Value *schemas;   // the object that holds them
} OpenapiBuild;

// A schema for a value of that type: a reference; the type is added to the definitions (and what it
// refers to).
Value *openapi_reference(OpenapiBuild *build, const Type *type);
// The same with a description, wrapped where nothing may stand beside a reference.
Value *openapi_reference_with(OpenapiBuild *build, const Type *type, Str description);
// The definition of a custom kind, and the type of its lists (in the build's arena).
Value *openapi_custom_schema(OpenapiBuild *build, const Type *type);
const Type *openapi_custom_list(OpenapiBuild *build, const Resource *resource);
// x-kubernetes-group-version-kind of a definition.
void openapi_add_kind(OpenapiBuild *build, const Type *type, Str group, Str version, Str kind);
// Definitions sorted by name.
void openapi_sort(Value *object);

// The paths of all resources; their types are added to the definitions.
Value *openapi_paths(OpenapiBuild *build);

// gnostic's Protobuf form (openapiv2/OpenAPIv2.proto) of a version 2 document.
void openapi_v2_write_protobuf(const Value *document, Buf *buf);
