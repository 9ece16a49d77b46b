#pragma once
// What the server serves: every Resource by group, version and plural, with where it is stored.
// Built-in kinds come from kinds/ and stay; CustomResourceDefinitions add and take away theirs at
// run time (custom_kinds.c). On the API's loop only.

#include "base/arena.h"
#include "schema/type.h"

typedef struct Cache Cache;
typedef struct Registry Registry;
typedef struct ServedKind ServedKind;

typedef struct ServedResource {
    const Resource *resource;
    const Resource *storage; // the version at rest; `resource` itself for nearly all
    Str key_prefix;          // "/registry/core/pods/"; STR_NONE when not stored
    Cache *cache;            // shared by all versions of the resource; NULL when not stored
    const Str
        *field_zeros; // what each of storage->fields counts as when absent: "", "false" or "0"
    ServedKind *kind; // of one that came at run time; NULL: built in
} ServedResource;

// A kind that comes and goes at run time: all its versions, which share a cache and go together.
// Who holds a ServedResource of it across a return to the loop holds a reference: requests do from
// their dispatch to their end, so that one in flight outlives its kind in the registry.
struct ServedKind {
    uint32_t references;
    Arena *arena;             // of the tables and everything below
    ServedResource *versions; // n_versions, in order of preference
    size_t n_versions;
    Str stored_name; // "example.com/crontabs"
    Cache *cache;
    bool terminating;               // nothing new may be created
    size_t writing;                 // requests in flight that may change objects
    void (*idle)(ServedKind *kind); // `writing` has come down to 0; may be NULL
    void *user;                     // of idle
};

// Takes the arena, which holds `resources` (served ones first by preference) and `storage`, the one
// whose form the objects have at rest. The caller's is the first reference.
ServedKind *served_kind_new(Arena *arena, const Resource *resources, size_t n,
                            const Resource *storage);
ServedKind *served_kind_ref(ServedKind *kind);
void served_kind_unref(ServedKind *kind);

Registry *registry_new(void); // with every built-in resource
void registry_free(Registry *registry);

// The registry takes a reference. False when a built-in resource has one of these names; then
// nothing is added. Taking away ends the watches, and whoever looks from then on finds nothing.
bool registry_add_kind(Registry *registry, ServedKind *kind) __attribute__((warn_unused_result));
void registry_remove_kind(Registry *registry, ServedKind *kind);

// In discovery's order (group priority, version priority, declaration). NULL past the end.
const ServedResource *registry_at(const Registry *registry, size_t index);
// NULL when not served.
const ServedResource *registry_find(const Registry *registry, Str group, Str version, Str plural);
const ServedResource *registry_find_kind(const Registry *registry, Str group, Str version,
                                         Str kind);
// Any version of the resource; NULL when not served.
const ServedResource *registry_find_any(const Registry *registry, Str group, Str plural);
bool registry_has_group(const Registry *registry, Str group);
bool registry_has_version(const Registry *registry, Str group, Str version);
// By the name in the store ("core/pods", "coordination.k8s.io/leases"). NULL when unknown.
Cache *registry_cache(const Registry *registry, Str stored_name);
bool registry_age(Registry *registry, int64_t now); // cache_age() of every cache
// Which of two versions discovery shows first: v2, v1, v1beta2, v1alpha1, then others by name.
int version_compare(Str a, Str b);
const Subresource *resource_subresource(const Resource *resource,
                                        Str name); // NULL when it has none such
