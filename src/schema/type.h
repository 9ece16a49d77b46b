#pragma once
// The tables that describe API types. Built from kinds/ at build time, and by
// CustomResourceDefinitions at run time; everything generic (decode, prune, default, validate,
// patch, apply, OpenAPI, Table) reads only these.

#include "base/str.h"

typedef enum FieldKind {
    FIELD_STRING,
    FIELD_BOOL,
    FIELD_INT32,
    FIELD_INT64,
    FIELD_DOUBLE,
    FIELD_BYTES,         // base64 in JSON
    FIELD_QUANTITY,      // string or number in JSON, canonical string at rest
    FIELD_INT_OR_STRING, // intstr.IntOrString
    FIELD_TIME,          // metav1.Time
    FIELD_MICRO_TIME,    // metav1.MicroTime
    FIELD_DURATION,      // metav1.Duration ("1m0s")
    FIELD_OBJECT,        // `type` says which
    FIELD_RAW,           // any JSON (RawExtension, FieldsV1, JSON): kept as it came; with a `type`, objects are of it
} FieldKind;

typedef enum FieldShape { SHAPE_ONE, SHAPE_LIST, SHAPE_MAP } FieldShape; // MAP: string keys
typedef enum FieldListType { LIST_ATOMIC, LIST_SET, LIST_MAP } FieldListType; // x-kubernetes-list-type

enum { // Field.flags
    FIELD_REQUIRED = 1 << 0,   // must be present (and not "" / empty list)
    FIELD_POINTER = 1 << 1,    // zero and absent differ: keep 0, false, "" when given
    FIELD_ALWAYS = 1 << 2,     // written even when empty (no omitempty in Go's tag)
    FIELD_IMMUTABLE = 1 << 3,  // may not change on update
    FIELD_INLINE = 1 << 4,     // `type`'s fields stand in the parent (struct embedding)
    FIELD_PATCH_MERGE = 1 << 5,       // patchStrategy: merge
    FIELD_PATCH_RETAIN_KEYS = 1 << 6, // patchStrategy: retainKeys
    FIELD_DEPRECATED = 1 << 7,
    FIELD_MAP_ATOMIC = 1 << 8, // x-kubernetes-map-type: atomic, for this reference
    FIELD_SCHEMA_REQUIRED = 1 << 9, // OpenAPI lists it as required, though validation may not ask for it
    FIELD_DUPLICATES = 1 << 10, // a list-map whose keys may repeat (env, container ports)
    FIELD_PATCH_REPLACE = 1 << 11, // patchStrategy: replace, for an object that a patch gives whole
    FIELD_ANY = 1 << 12, // FIELD_RAW that need not be an object
    FIELD_OR_BOOL = 1 << 13, // in Protobuf a message of a bool and an object of `type`
    FIELD_OR_LIST = 1 << 14, // or of one such object and a list of them
    FIELD_BY_RULES = 1 << 13, // the rules of the parent check it, with all that is in it
};

typedef enum FieldFormat { // what a string must look like; messages as apimachinery's validation words them
    FORMAT_NONE,
    FORMAT_DNS_LABEL,      // RFC 1123 label
    FORMAT_DNS_SUBDOMAIN,  // RFC 1123 subdomain
    FORMAT_DNS_LABEL_1035, // RFC 1035 label
    FORMAT_LABEL_KEY,      // qualified name
    FORMAT_LABEL_VALUE,
    FORMAT_PORT_NAME, // IANA_SVC_NAME
    FORMAT_ENV_NAME,
    FORMAT_CONFIG_KEY,
    FORMAT_IP,
    FORMAT_ABSOLUTE_PATH,
    FORMAT_PATH_SEGMENT, // fits in a URL path: no '/', no '%', neither '.' nor '..'
} FieldFormat;

typedef struct Type Type;
typedef struct Field {
    Str name; // JSON key; empty for FIELD_INLINE
    const char *doc;
    const Type *type; // FIELD_OBJECT
    uint8_t kind, shape, list_type, format;
    uint16_t flags;
    uint16_t number;        // Protobuf
    uint32_t offset;        // in the generated C struct
    const Str *keys;        // LIST_MAP: key fields, n_keys of them
    const Str *enum_values; // n_enum of them; 0: free
    Str patch_key;          // patchMergeKey
    Str default_json;       // STR_NONE: none
    int64_t minimum, maximum; // INT64_MIN / INT64_MAX: free
    uint32_t max_length;      // bytes or items, 0: free
    uint8_t n_keys, n_enum;
} Field;

struct Type {
    Str name;         // "PodSpec"
    Str openapi_name; // "io.k8s.api.core.v1.PodSpec"
    const char *doc;
    const Field *fields; // in order of declaration; inline fields' members are NOT repeated
    uint16_t n_fields;
    bool map_atomic; // x-kubernetes-map-type: atomic
    bool preserve_unknown;
    const struct CustomType *custom; // of a custom kind: the rest of it (schema/structural.h)
    uint32_t struct_size; // of the generated C struct; 0 when there is none
    // Rules that no table can say, on the type wherever it occurs (may be NULL); see schema/check.h.
    const struct TypeRules *rules;
};

// The field of that JSON name, looked for in inline types too. NULL when unknown.
const Field *type_field(const Type *type, Str name);

typedef enum ColumnKind { COLUMN_STRING, COLUMN_INTEGER, COLUMN_NUMBER, COLUMN_BOOLEAN, COLUMN_DATE } ColumnKind;
typedef struct Column { // one of Table's columnDefinitions
    const char *name, *doc, *format;
    ColumnKind kind;
    int priority;     // 0 shown always, 1 with -o wide
    const char *path; // simple dotted path, or NULL:
    const char *function; // the name of a cell function that api/table knows
    const struct JsonPath *json_path; // of custom kinds (schema/json_path.h)
} Column;

enum { // verbs, as bits
    VERB_GET = 1, VERB_LIST = 2, VERB_WATCH = 4, VERB_CREATE = 8, VERB_UPDATE = 16,
    VERB_PATCH = 32, VERB_DELETE = 64, VERB_DELETECOLLECTION = 128,
    VERB_ALL = 255,
};

typedef struct ScalePaths { // dotted paths in the object, for the subresource `scale`
    Str spec_replicas, status_replicas;
    Str selector; // a LabelSelector, a map of labels or a string; empty: there is none
} ScalePaths;

typedef struct Subresource {
    Str name;         // "status", "log", "exec"
    Str kind;         // "Pod", "PodExecOptions", "Eviction"
    Str group, version; // of that kind; "" group with version set when it differs from the parent's
    const Type *type; // NULL when it takes no body
    unsigned verbs;
    const ScalePaths *scale; // NULL unless it is the scale of the object
} Subresource;

typedef struct Resource {
    Str group, version;      // "" and "v1" for core
    Str plural, singular;    // "pods", "pod"
    Str kind, list_kind;     // "Pod", "PodList"
    const Type *type;        // of the object
    const Str *short_names;  // n_short
    const Str *categories;   // n_categories
    const Str *fields;       // selectable besides metadata.name and metadata.namespace; n_selectable
    const Str *field_paths;  // where they are, as many; NULL: where they say
    const Column *columns;   // n_columns
    const Subresource *subresources; // n_subresources
    unsigned verbs;
    uint8_t n_short, n_categories, n_selectable, n_columns, n_subresources;
    bool namespaced;
    bool stored;          // false: a virtual kind (TokenReview, SubjectAccessReview, Binding)
    bool status_split;    // has a status subresource: main writes don't touch status, and the reverse
    bool generation;      // metadata.generation counts changes of anything but metadata and status
    bool generation_annotations; // and of annotations
    bool idle;            // served, but nothing acts on it yet: whoever makes one is warned
    Str storage_group, storage_version; // where it is stored; both empty unless another version is (events)
    const struct ResourceRules *rules;  // see schema/check.h; NULL when none
    Str deprecation_warning; // goes with every answer; empty: none
} Resource;

static inline Str resource_field_path(const Resource *resource, size_t index) {
    return resource->field_paths ? resource->field_paths[index] : resource->fields[index];
}

// Every built-in resource, ordered by group priority and version as discovery shows them, and every
// built-in type, for OpenAPI. Generated from kinds/ (kinds_dep).
const Resource *kinds_resource_at(size_t index); // NULL past the end
const Type *kinds_type_at(size_t index);         // NULL past the end
// Linear look-ups for start-up and tests; api keeps its own index. NULL when unknown.
const Resource *kinds_resource(Str group, Str version, Str plural);
const Resource *kinds_resource_of_kind(Str group, Str version, Str kind);
const Type *kinds_type(Str openapi_name);
