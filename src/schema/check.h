#pragma once
// From a decoded tree to an object that may be stored: unknown fields, normal form, defaults,
// validation. Field paths and messages are those of apimachinery's field.Error, since tools match
// on them.

#include "schema/type.h"
#include "schema/value.h"

typedef enum FieldErrorKind {  // metav1.CauseType in comments
    FIELD_ERROR_REQUIRED,      // FieldValueRequired       "Required value"
    FIELD_ERROR_INVALID,       // FieldValueInvalid        "Invalid value"
    FIELD_ERROR_NOT_SUPPORTED, // FieldValueNotSupported   "Unsupported value"
    FIELD_ERROR_DUPLICATE,     // FieldValueDuplicate      "Duplicate value"
    FIELD_ERROR_NOT_FOUND,     // FieldValueNotFound       "Not found"
    FIELD_ERROR_FORBIDDEN,     // FieldValueForbidden      "Forbidden"
    FIELD_ERROR_TOO_LONG,      // FieldValueTooLong        "Too long"
    FIELD_ERROR_TOO_MANY,      // FieldValueTooMany        "Too many"
    FIELD_ERROR_TYPE_INVALID,  // FieldValueTypeInvalid    "Invalid value"
} FieldErrorKind;

typedef struct FieldError {
    FieldErrorKind kind;
    Str path;    // "spec.containers[0].name"
    Str message; // without the path: `Invalid value: "x": must be ...`
} FieldError;

typedef struct FieldErrors {
    Arena *arena;
    FieldError *items;
    size_t n;
} FieldErrors;

// A path is a chain on the stack; it is rendered only when an error is reported.
typedef struct Path {
    const struct Path *parent;
    Str name;   // a member, or, with `keyed`, a map key shown in brackets
    long index; // >= 0: a list index
    bool keyed;
} Path;
#define PATH(parent_, name_) (&(Path){.parent = (parent_), .name = (name_), .index = -1})
#define PATH_INDEX(parent_, index_) (&(Path){.parent = (parent_), .index = (long)(index_)})
#define PATH_KEY(parent_, key_)                                                                    \
    (&(Path){.parent = (parent_), .name = (key_), .index = -1, .keyed = true})
Str path_str(Arena *arena, const Path *path);

// Each appends one error. `value` is shown as upstream shows it (strings quoted, objects as JSON).
void field_required(FieldErrors *errors, const Path *path, const char *detail);
void field_invalid(FieldErrors *errors, const Path *path, Str value, const char *detail);
void field_invalid_int(FieldErrors *errors, const Path *path, int64_t value, const char *detail);
void field_invalid_value(FieldErrors *errors, const Path *path, const Value *value,
                         const char *detail);
void field_invalid_unshown(FieldErrors *errors, const Path *path, const char *detail);
void field_not_supported(FieldErrors *errors, const Path *path, Str value, const Str *supported,
                         size_t n);
void field_not_supported_value(FieldErrors *errors, const Path *path, const Value *value,
                               const Str *supported, size_t n);
void field_duplicate(FieldErrors *errors, const Path *path, Str value);
void field_duplicate_value(FieldErrors *errors, const Path *path, const Value *value);
void field_not_found(FieldErrors *errors, const Path *path, Str value);
void field_forbidden(FieldErrors *errors, const Path *path, const char *detail);
void field_too_long(FieldErrors *errors, const Path *path, size_t max_length);
void field_too_many(FieldErrors *errors, const Path *path, size_t actual, size_t max);
// In other words: `shown` is the value's text, STR_NONE where none is shown.
void field_add(FieldErrors *errors, FieldErrorKind kind, const Path *path, Str shown, Str detail);
void field_append(FieldErrors *errors, const FieldError *error); // of the same arena

// Step 1. Checks every JSON type against the table and brings the tree to normal form: unknown
// fields are dropped and their paths listed in `unknown` (may be NULL); nulls are dropped; zero
// values of fields that Go would omit are dropped; quantities, times and durations become
// canonical; numbers given for quantities become strings; fields marked ALWAYS are there. Returns
// 0, or SCHEMA_E_TYPE with *ret_message as Go's decoder words it
// ("json: cannot unmarshal string into Go struct field
// ContainerPort.spec.containers.ports.containerPort of type int32").
#define SCHEMA_E_TYPE 1
int schema_normalize(Arena *arena, const Type *type, Value *object, ValuePaths *unknown,
                     Str *ret_message) __attribute__((warn_unused_result));
// The same checks, canonical scalars and list of unknown fields, but no member is added, dropped or
// moved: for an applied configuration, where it counts what the client wrote.
int schema_normalize_scalars(Arena *arena, const Type *type, Value *object, ValuePaths *unknown,
                             Str *ret_message) __attribute__((warn_unused_result));

// Of a value somewhere inside an object, at `path`; `keep_shape` as schema_normalize_scalars().
int schema_normalize_part(Arena *arena, const Type *type, Value *object, const Path *path,
                          bool keep_shape, ValuePaths *unknown, Str *ret_message)
    __attribute__((warn_unused_result));

// Step 2. The table's defaults, and each type's and the resource's `default_fn`, innermost last.
void schema_default(Arena *arena, const Resource *resource, Value *object);
void schema_default_type(Arena *arena, const Type *type, Value *object); // a nested type alone

// Step 3. Metadata (of stored resources), the table's rules (required, enum, range, format, length,
// uniqueness in list-maps and sets, immutability against `old`, which is NULL on create) and then
// the `validate` functions, and `validate_create` or, when there is an `old`, `validate_update`.
void schema_validate(FieldErrors *errors, const Resource *resource, const Value *object,
                     const Value *old);
// The same for a nested type, for callers that hold a part (a template).
void schema_validate_type(FieldErrors *errors, const Type *type, const Value *value,
                          const Value *old, const Path *path);
// Object metadata alone (names, labels, annotations, owner references, finalizers).
void schema_validate_metadata(FieldErrors *errors, const Resource *resource, const Value *object,
                              const Value *old);
void schema_validate_labels(FieldErrors *errors, const Value *labels, const Path *path);
void schema_validate_annotations(FieldErrors *errors, const Value *annotations, const Path *path);
// One format; returns false and reports when `value` does not fit.
bool schema_check_format(FieldErrors *errors, const Path *path, FieldFormat format, Str value);

// What a subresource that takes the whole object (pods/ephemeralcontainers) has in place of
// `prepare` and `validate_update`.
typedef struct SubresourceRules {
    Str name;
    void (*prepare)(Arena *arena, Value *object, const Value *old);
    void (*validate_update)(FieldErrors *errors, const Value *object, const Value *old);
    bool takes_status; // `prepare` gets the status as it was sent; else the old one is in place
} SubresourceRules;
// schema_validate() of an update by way of that subresource.
void schema_validate_subresource(FieldErrors *errors, const Resource *resource,
                                 const SubresourceRules *rules, const Value *object,
                                 const Value *old);
// NULL when the resource has no rules for it.
const SubresourceRules *schema_subresource_rules(const Resource *resource, Str subresource);

// Appends a warning for the client, "PATH: TEXT" (TEXT alone when `path` is NULL). More than a client
// reads, and headers can carry, are dropped.
void warning_add(Arena *arena, ValuePaths *warnings, const Path *path, Str text);

// Functions next to the kinds (kinds/*.c), named in the kinds files.
typedef struct TypeRules {
    void (*default_fn)(Arena *arena, Value *value);
    void (*validate)(FieldErrors *errors, const Value *value, const Path *path);
} TypeRules;
typedef struct ResourceRules {
    void (*default_fn)(Arena *arena, Value *object);
    // Before validation of a create (old == NULL) or an update: clears what clients may not set,
    // carries over what they may not change (the registry strategies' PrepareForCreate /
    // PrepareForUpdate).
    void (*prepare)(Arena *arena, Value *object, const Value *old);
    // The same before a write to the status endpoint, which changes nothing else.
    void (*prepare_status)(Arena *arena, Value *object, const Value *old);
    void (*validate)(FieldErrors *errors, const Value *object);
    void (*validate_create)(FieldErrors *errors, const Value *object); // of new ones alone
    void (*validate_update)(FieldErrors *errors, const Value *object, const Value *old);
    void (*validate_status_update)(FieldErrors *errors, const Value *object, const Value *old);
    // Of a version that is stored as another: in place, all but kind and apiVersion. Both are NULL
    // where the versions do not differ.
    void (*from_storage)(Arena *arena, Value *object);
    void (*to_storage)(Arena *arena, Value *object);
    FieldFormat name_format; // FORMAT_NONE: DNS subdomain
    // Warnings for the client (deprecated fields, duplicate env names), or NULL.
    void (*warn)(Arena *arena, const Value *object, ValuePaths *warnings);
    bool warn_on_create; // and not on updates
    const SubresourceRules *subresources;
    size_t n_subresources;
} ResourceRules;
