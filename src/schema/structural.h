#pragma once
// Structural schemas: what a CustomResourceDefinition says of its objects, made into tables that
// the generic code reads beside those of kinds/ (type.h). The rules are apiextensions-apiserver's
// (pkg/apiserver/schema), the wording of errors kube-openapi's (pkg/validation).
// https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema

#include "schema/check.h"

typedef struct Schema Schema;
typedef struct Pattern Pattern;

typedef enum SchemaType {
    SCHEMA_ANY, // no type: preserve-unknown-fields or int-or-string
    SCHEMA_OBJECT,
    SCHEMA_ARRAY,
    SCHEMA_STRING,
    SCHEMA_INTEGER,
    SCHEMA_NUMBER,
    SCHEMA_BOOLEAN,
} SchemaType;

enum { // Schema.flags
    SCHEMA_NULLABLE = 1 << 0,
    SCHEMA_PRESERVE = 1 << 1,      // x-kubernetes-preserve-unknown-fields
    SCHEMA_EMBEDDED = 1 << 2,      // x-kubernetes-embedded-resource
    SCHEMA_INT_OR_STRING = 1 << 3, // x-kubernetes-int-or-string
    SCHEMA_MAP_ATOMIC = 1 << 4,    // x-kubernetes-map-type: atomic
    SCHEMA_ADDITIONAL = 1 << 5,    // has additionalProperties; `additional` NULL: true
    SCHEMA_CLOSED = 1 << 6,        // additionalProperties: false
};

typedef struct SchemaProperty {
    Str name;
    const Schema *schema;
} SchemaProperty;

typedef struct SchemaLimit { // of a number; absent when !given
    double value;
    bool given, exclusive;
} SchemaLimit;

typedef struct SchemaList {
    const Schema *const *items;
    size_t n;
} SchemaList;

typedef struct SchemaRules { // value validations; counts are -1 where there is no limit
    SchemaLimit minimum, maximum, multiple_of;
    int64_t min_length, max_length, min_items, max_items, min_properties, max_properties;
    Str format; // a supported one, dashes removed; empty: none
    const Pattern *pattern;
    const Value *enum_values; // an array, NULL: any
    const Str *required;
    size_t n_required;
    bool unique_items;
    SchemaList all_of, any_of, one_of;
    const Schema * not ;
} SchemaRules;

struct Schema {
    uint8_t type, flags, list_type; // SchemaType, SCHEMA_*, FieldListType
    uint8_t n_keys;
    uint32_t n_properties;
    const SchemaProperty *properties; // by name
    const Schema *items, *additional;
    const Str *keys;            // of a list-map
    const Value *default_value; // NULL: none
    const SchemaRules *rules;   // NULL: none
};

// What Type.custom points to.
typedef struct CustomType {
    const Schema *schema;
    const Type *metadata;  // ObjectMeta
    const Str *definition; // the JSON of the CustomResourceDefinition; its owner keeps it current
    Str version;           // which of its versions this is
    uint64_t hash;         // of the version's part of it, the same in every process
} CustomType;

// Limits that hold for one version's schema.
#define SCHEMA_MAX_NODES 50000
#define SCHEMA_MAX_DEPTH 64
#define PATTERN_MAX_BYTES 8192

// Makes the tables of an openAPIV3Schema that has been validated. Everything is in the arena.
// Returns 0, or -E2BIG beyond a limit, -EINVAL where it is no schema.
int structural_build(Arena *arena, const Value *source, const Schema **ret)
    __attribute__((warn_unused_result));
const Schema *schema_property(const Schema *schema, Str name); // NULL when it is not declared

// Drops what the schema does not know, and says with `unknown` (may be NULL) what; metadata of
// embedded resources is brought to normal form. With `keep` nothing is dropped. `at_root`: `value`
// is a whole object, whose apiVersion, kind and metadata are left alone. Returns 0 or
// SCHEMA_E_TYPE.
int structural_prune(Arena *arena, const CustomType *custom, Value *object, const Path *path,
                     bool keep, ValuePaths *unknown, Str *ret_message)
    __attribute__((warn_unused_result));
// The same of a value that is no whole object (a default).
int structural_prune_value(Arena *arena, const CustomType *custom, Value *value, const Path *path,
                           Str *ret_message) __attribute__((warn_unused_result));
// Brings what comes from the store to what the schema says today: pruned, with defaults. True when
// something changed.
bool structural_conform(Arena *arena, const CustomType *custom, Value *object);
// Drops nulls that may not be there, then fills in defaults. True when something changed.
bool structural_default(Arena *arena, const Schema *schema, Value *value);
// Everything that the schema says of a value. What is as it was in `old` (may be NULL) is not
// reported again (KEP-4008, ratcheting).
void structural_validate(FieldErrors *errors, const Schema *schema, const Value *value,
                         const Value *old, const Path *path);
// Uniqueness in sets and list-maps, and apiVersion, kind and metadata of embedded resources.
void structural_validate_lists(FieldErrors *errors, const Schema *schema, const Value *value,
                               const Path *path);
void structural_validate_embedded(FieldErrors *errors, const Schema *schema, const Value *value,
                                  const Path *path);

// Regular expressions as Go's regexp has them, by PCRE2 with limits in proportion to the text: a
// hostile pattern costs linear time and then counts as no match.
// NULL with *ret_message (in the arena) for what Go would refuse.
Pattern *pattern_new(Arena *arena, Str text, Str *ret_message); // freed with the arena
bool pattern_matches(const Pattern *pattern, Str text);
Str pattern_text(const Pattern *pattern);

// Formats that CRDs may use (pkg/apiserver/validation/formats.go), with dashes or without.
bool schema_format_is_known(Str type, Str format);
bool schema_format_matches(Str format, Str text); // of a string; unknown ones match
