#include "node/fields.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/quantity.h"
#include "node/resources.h"
#include "schema/quote.h"

// Metadata ---------------------------------------------------------------------------------------

typedef struct Pair {
    Str key, value;
} Pair;

static int compare_pairs(const void *a, const void *b) {
    return str_cmp(((const Pair *)a)->key, ((const Pair *)b)->key);
}

static Str format_map(Arena *arena, const StrMap *map) {
    Pair *pairs = arena_array_of(arena, Pair, map->len);
    Str *lines = arena_array_of(arena, Str, map->len);
    for (size_t i = 0; i < map->len; i++)
        pairs[i] = (Pair){map->keys[i], map->values[i]};
    qsort(pairs, map->len, sizeof *pairs, compare_pairs);
    for (size_t i = 0; i < map->len; i++) {
        Str parts[] = {pairs[i].key, quote_str(arena, pairs[i].value)};
        lines[i] = arena_concat(arena, parts, 2, STR("="));
    }
    return arena_concat(arena, lines, map->len, STR("\n"));
}

// "metadata.labels['KEY']" -> KEY
static bool subscript(Str path, Str prefix, Str *ret_key) {
    if (!str_starts_with(path, prefix) || !str_ends_with(path, STR("']")))
        return false;
    Str rest = str_slice(path, prefix.len, path.len);
    if (!str_starts_with(rest, STR("['")) || rest.len < 4)
        return false;
    *ret_key = str_slice(rest, 2, rest.len - 2);
    return true;
}

static Str or_empty(Str s) {
    return s.ptr ? s : STR("");
}

int field_of_metadata(Arena *arena, const ObjectMeta *metadata, Str path, Str *ret,
                      Str *ret_message) {
    Str key;
    if (str_eq(path, STR("metadata.name")))
        *ret = metadata->name;
    else if (str_eq(path, STR("metadata.namespace")))
        *ret = metadata->namespace;
    else if (str_eq(path, STR("metadata.uid")))
        *ret = metadata->uid;
    else if (str_eq(path, STR("metadata.labels")))
        *ret = format_map(arena, &metadata->labels);
    else if (str_eq(path, STR("metadata.annotations")))
        *ret = format_map(arena, &metadata->annotations);
    else if (subscript(path, STR("metadata.labels"), &key))
        *ret = str_map_get(&metadata->labels, key);
    else if (subscript(path, STR("metadata.annotations"), &key))
        *ret = str_map_get(&metadata->annotations, key);
    else {
        *ret_message = arena_printf(arena, "unsupported fieldPath: %.*s", STR_ARG(path));
        return -EINVAL;
    }
    *ret = or_empty(*ret);
    return 0;
}

int field_of_pod(NodeAgent *agent, Arena *arena, const Pod *pod, Str pod_ip, Str path, Str *ret,
                 Str *ret_message) {
    if (str_eq(path, STR("spec.nodeName")))
        *ret = pod->spec.node_name;
    else if (str_eq(path, STR("spec.serviceAccountName")))
        *ret = pod->spec.service_account_name;
    else if (str_eq(path, STR("status.hostIP")) || str_eq(path, STR("status.hostIPs")))
        *ret = agent->config.address;
    else if (str_eq(path, STR("status.podIP")) || str_eq(path, STR("status.podIPs")))
        *ret = pod_ip;
    else
        return field_of_metadata(arena, &pod->metadata, path, ret, ret_message);
    *ret = or_empty(*ret);
    return 0;
}

// Resources --------------------------------------------------------------------------------------

static const Container *find_container(const Pod *pod, Str name) {
    for (size_t i = 0; i < pod->spec.containers.len; i++)
        if (str_eq(pod->spec.containers.items[i].name, name))
            return &pod->spec.containers.items[i];
    for (size_t i = 0; i < pod->spec.init_containers.len; i++)
        if (str_eq(pod->spec.init_containers.items[i].name, name))
            return &pod->spec.init_containers.items[i];
    return NULL;
}

static bool is_known(Str resource) {
    return str_eq(resource, STR("cpu")) || str_eq(resource, STR("memory")) ||
           str_eq(resource, STR("ephemeral-storage")) ||
           str_starts_with(resource, STR("hugepages-"));
}

// A limit that nobody set is what the whole pod may use, else what the node has.
static int64_t default_limit(NodeAgent *agent, const Pod *pod, Str resource, bool milli) {
    if (pod->spec.resources) {
        int64_t whole = milli ? resource_milli(&pod->spec.resources->limits, resource)
                              : resource_units(&pod->spec.resources->limits, resource);
        if (whole)
            return whole;
    }
    if (milli)
        return sysconf(_SC_NPROCESSORS_ONLN) * 1000;
    if (str_eq(resource, STR("memory")))
        return resources_machine_memory();
    _arena_free_ Arena *arena = arena_new();
    struct statvfs files;
    if (!str_eq(resource, STR("ephemeral-storage")) ||
        statvfs(arena_cstr(arena, agent->config.data_directory), &files) != 0)
        return 0;
    return (int64_t)files.f_blocks * (int64_t)files.f_frsize / 1024 * 1024;
}

int field_of_resource(NodeAgent *agent, Arena *arena, const Pod *pod, const Container *own,
                      const ResourceFieldSelector *selector, Str *ret, Str *ret_message) {
    const Container *container = own;
    if (selector->container_name.len)
        container = find_container(pod, selector->container_name);
    if (!container) {
        *ret_message =
            arena_printf(arena, "container %.*s not found", STR_ARG(selector->container_name));
        return -EINVAL;
    }
    Str resource = selector->resource, which = str_cut(&resource, '.');
    bool limits = str_eq(which, STR("limits"));
    if ((!limits && !str_eq(which, STR("requests"))) || !is_known(resource)) {
        *ret_message = arena_printf(arena, "unsupported container resource : %.*s",
                                    STR_ARG(selector->resource));
        return -EINVAL;
    }
    const StrMap *list = limits ? &container->resources.limits : &container->resources.requests;
    bool milli = str_eq(resource, STR("cpu"));
    int64_t amount = milli ? resource_milli(list, resource) : resource_units(list, resource);
    if (!amount && limits)
        amount = default_limit(agent, pod, resource, milli);
    Quantity divisor;
    if (!selector->divisor.len || quantity_parse(selector->divisor, &divisor) != 0 ||
        divisor.nano <= 0)
        divisor = quantity_from_int(1, QUANTITY_DECIMAL_SI);
    int64_t by = milli ? quantity_milli_value(divisor) : quantity_value(divisor);
    int64_t result = amount / by + (amount % by > 0);
    *ret = arena_printf(arena, "%lld", (long long)result);
    return 0;
}
