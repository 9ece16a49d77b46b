#include "rules/pod_resources.h"

static ResourceAmount *find(const ResourceAmounts *amounts, Str name) {
    for (size_t i = 0; i < amounts->n; i++) {
        if (str_eq(amounts->items[i].name, name))
            return &amounts->items[i];
    }
    return NULL;
}

bool resource_amounts_get(const ResourceAmounts *amounts, Str name, Quantity *ret_quantity) {
    const ResourceAmount *amount = find(amounts, name);
    *ret_quantity = amount ? amount->quantity : (Quantity){0};
    return amount != NULL;
}

static void push(Arena *arena, ResourceAmounts *amounts, ResourceAmount amount) {
    amounts->items = arena_grow(arena, amounts->items, amounts->n * sizeof amount,
                                (amounts->n + 1) * sizeof amount);
    amounts->items[amounts->n++] = amount;
}

static void add(Arena *arena, ResourceAmounts *amounts, const ResourceAmounts *more) {
    for (size_t i = 0; i < more->n; i++) {
        ResourceAmount *amount = find(amounts, more->items[i].name);
        if (amount)
            amount->quantity = quantity_add(amount->quantity, more->items[i].quantity);
        else
            push(arena, amounts, more->items[i]);
    }
}

static void raise(Arena *arena, ResourceAmounts *amounts, const ResourceAmounts *least) {
    for (size_t i = 0; i < least->n; i++) {
        ResourceAmount *amount = find(amounts, least->items[i].name);
        if (!amount)
            push(arena, amounts, least->items[i]);
        else if (quantity_cmp(amount->quantity, least->items[i].quantity) < 0)
            amount->quantity = least->items[i].quantity;
    }
}

// What is no quantity did not pass validation and counts for nothing.
static ResourceAmounts parse(Arena *arena, const StrMap *map, const ResourceAmounts *missing) {
    ResourceAmounts amounts = {0};
    for (size_t i = 0; i < map->len; i++) {
        ResourceAmount amount = {.name = map->keys[i]};
        if (quantity_parse(map->values[i], &amount.quantity) == 0)
            push(arena, &amounts, amount);
    }
    for (size_t i = 0; missing && i < missing->n; i++) {
        if (!find(&amounts, missing->items[i].name))
            push(arena, &amounts, missing->items[i]);
    }
    return amounts;
}

static bool is_sidecar(const Container *container) {
    return str_eq(container->restart_policy, STR("Always"));
}

static const StrMap *list_of(const ResourceRequirements *resources, bool limits) {
    return limits ? &resources->limits : &resources->requests;
}

// While the init container at hand runs, so do the sidecars before it; afterwards all sidecars run
// beside the containers.
static ResourceAmounts of_containers(Arena *arena, const PodSpec *spec, bool limits,
                                     const ResourceAmounts *missing) {
    ResourceAmounts sum = {0}, sidecars = {0}, peak = {0};
    for (size_t i = 0; i < spec->containers.len; i++) {
        const Container *container = &spec->containers.items[i];
        ResourceAmounts own = parse(arena, list_of(&container->resources, limits), missing);
        add(arena, &sum, &own);
    }
    for (size_t i = 0; i < spec->init_containers.len; i++) {
        const Container *container = &spec->init_containers.items[i];
        ResourceAmounts own = parse(arena, list_of(&container->resources, limits), missing);
        if (is_sidecar(container)) {
            add(arena, &sum, &own);
            add(arena, &sidecars, &own);
            raise(arena, &peak, &sidecars);
        } else {
            add(arena, &own, &sidecars);
            raise(arena, &peak, &own);
        }
    }
    raise(arena, &sum, &peak);
    return sum;
}

static bool is_for_pods(Str resource) {
    return str_eq(resource, STR("cpu")) || str_eq(resource, STR("memory")) ||
           str_starts_with(resource, STR("hugepages-"));
}

// What the pod itself asks for (KEP-2837) takes the place of what its containers come to.
static void apply_pod_level(Arena *arena, const PodSpec *spec, bool limits,
                            ResourceAmounts *amounts) {
    if (!spec->resources)
        return;
    ResourceAmounts own = parse(arena, list_of(spec->resources, limits), NULL);
    for (size_t i = 0; i < own.n; i++) {
        ResourceAmount *amount = find(amounts, own.items[i].name);
        if (!is_for_pods(own.items[i].name))
            continue;
        if (amount)
            *amount = own.items[i];
        else
            push(arena, amounts, own.items[i]);
    }
}

ResourceAmounts pod_requests(Arena *arena, const PodSpec *spec, const ResourceAmounts *missing) {
    ResourceAmounts requests = of_containers(arena, spec, false, missing);
    apply_pod_level(arena, spec, false, &requests);
    ResourceAmounts overhead = parse(arena, &spec->overhead, NULL);
    add(arena, &requests, &overhead);
    return requests;
}

ResourceAmounts pod_limits(Arena *arena, const PodSpec *spec) {
    ResourceAmounts limits = of_containers(arena, spec, true, NULL);
    apply_pod_level(arena, spec, true, &limits);
    ResourceAmounts overhead = parse(arena, &spec->overhead, NULL);
    for (size_t i = 0; i < overhead.n; i++) {
        ResourceAmount *amount = find(&limits, overhead.items[i].name);
        if (amount && amount->quantity.nano != 0)
            amount->quantity = quantity_add(amount->quantity, overhead.items[i].quantity);
    }
    return limits;
}

// Quality of service -----------------------------------------------------------------------------

typedef enum Class { CLASS_UNKNOWN, CLASS_BEST_EFFORT, CLASS_BURSTABLE, CLASS_GUARANTEED } Class;

static Class join(Class a, Class b) {
    return a == CLASS_UNKNOWN || a == b ? b : CLASS_BURSTABLE;
}

static Quantity amount_of(const StrMap *map, Str name) {
    Quantity quantity;
    Str text = str_map_get(map, name);
    return text.ptr && quantity_parse(text, &quantity) == 0 ? quantity : (Quantity){0};
}

// Request and limit equal: nothing of either, or guaranteed.
static Class class_of(const ResourceRequirements *resources) {
    static const Str names[] = {{"cpu", 3}, {"memory", 6}};
    Class class = CLASS_UNKNOWN;
    for (size_t i = 0; i < 2; i++) {
        Quantity request = amount_of(&resources->requests, names[i]);
        Quantity limit = amount_of(&resources->limits, names[i]);
        if (quantity_cmp(request, limit) != 0)
            return CLASS_BURSTABLE;
        class = join(class, limit.nano == 0 ? CLASS_BEST_EFFORT : CLASS_GUARANTEED);
    }
    return class;
}

Str pod_qos_class(const PodSpec *spec) {
    Class class = CLASS_UNKNOWN;
    if (spec->resources) {
        class = class_of(spec->resources);
    } else {
        for (size_t i = 0; i < spec->init_containers.len; i++)
            class = join(class, class_of(&spec->init_containers.items[i].resources));
        for (size_t i = 0; i < spec->containers.len; i++)
            class = join(class, class_of(&spec->containers.items[i].resources));
    }
    return class == CLASS_GUARANTEED  ? STR("Guaranteed")
           : class == CLASS_BURSTABLE ? STR("Burstable")
                                      : STR("BestEffort");
}
