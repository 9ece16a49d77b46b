#pragma once
// What the server serves: every Resource by group, version and plural, with where it is stored.
// Built-in kinds come from kinds/; CustomResourceDefinitions will add theirs at run time.

#include "schema/type.h"

typedef struct Cache Cache;
typedef struct Registry Registry;

typedef struct ServedResource {
    const Resource *resource;
    const Resource *storage; // the version at rest; `resource` itself for nearly all
    Str key_prefix;          // "/registry/core/pods/"; STR_NONE when not stored
    Cache *cache;            // shared by all versions of the resource; NULL when not stored
    const Str
        *field_zeros; // what each of storage->fields counts as when absent: "", "false" or "0"
} ServedResource;

Registry *registry_new(void); // with every built-in resource
void registry_free(Registry *registry);

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
const Subresource *resource_subresource(const Resource *resource,
                                        Str name); // NULL when it has none such
