#include "schema/managers.h"

#include <stdlib.h>

#define MAX_UPDATE_MANAGERS 10

static const Value *entries_of(const Value *object) {
    const Value *entries = value_at(object, "metadata.managedFields");
    return entries && entries->kind == VALUE_ARRAY ? entries : NULL;
}

Manager *managers_add(Arena *arena, Managers *managers, Manager manager) {
    if (managers->n == managers->capacity) {
        size_t capacity = managers->capacity ? managers->capacity * 2 : 4;
        managers->items = arena_grow(arena, managers->items, managers->n * sizeof(Manager),
                                     capacity * sizeof(Manager));
        managers->capacity = capacity;
    }
    managers->items[managers->n] = manager;
    return &managers->items[managers->n++];
}

static bool is_apply(const Manager *manager) {
    return str_eq(manager->operation, STR("Apply"));
}

static bool same(const Manager *a, const Manager *b) {
    return str_eq(a->name, b->name) && str_eq(a->operation, b->operation) &&
           str_eq(a->subresource, b->subresource) &&
           (is_apply(a) || str_eq(a->api_version, b->api_version));
}

Manager *managers_find(const Managers *managers, const Manager *like) {
    for (size_t i = 0; i < managers->n; i++)
        if (same(&managers->items[i], like))
            return &managers->items[i];
    return NULL;
}

bool managers_decode(Arena *arena, const Value *object, Managers *ret) {
    const Value *entries = entries_of(object);
    *ret = (Managers){0};
    for (uint32_t i = 0; entries && i < entries->n; i++) {
        const Value *entry = entries->items[i];
        Manager manager = {.name = value_string_at(entry, "manager"),
                           .operation = value_string_at(entry, "operation"),
                           .api_version = value_string_at(entry, "apiVersion"),
                           .subresource = value_string_at(entry, "subresource"),
                           .time = value_string_at(entry, "time")};
        bool valid = (is_apply(&manager) || str_eq(manager.operation, STR("Update"))) &&
                     manager.api_version.len &&
                     str_eq(value_string_at(entry, "fieldsType"), STR("FieldsV1"));
        if (!valid) {
            *ret = (Managers){0};
            return false;
        }
        manager.fields = field_set_from_value(arena, value_get(entry, STR("fieldsV1")));
        Manager *known = managers_find(ret, &manager);
        if (known)
            *known = manager;
        else
            managers_add(arena, ret, manager);
    }
    return true;
}

static int compare_str(Str a, Str b) {
    return str_cmp(a.ptr ? a : STR(""), b.ptr ? b : STR(""));
}

static int compare(const void *left, const void *right) {
    const Manager *a = left, *b = right;
    int order = compare_str(a->operation, b->operation);
    if (!order) // RFC 3339 in UTC: the order of the texts is that of the times
        order = compare_str(a->time, b->time);
    if (!order)
        order = compare_str(a->name, b->name);
    if (!order)
        order = compare_str(a->api_version, b->api_version);
    return order ? order : compare_str(a->subresource, b->subresource);
}

static int compare_names(const void *left, const void *right) {
    const Manager *a = left, *b = right;
    int order = compare_str(a->name, b->name);
    return order ? order : compare(left, right);
}

void managers_sort_by_name(Managers *managers) {
    if (managers->n)
        qsort(managers->items, managers->n, sizeof(Manager), compare_names);
}

void managers_encode(Arena *arena, const Managers *managers, Value *object) {
    Value *metadata = value_at_make(arena, object, "metadata");
    value_unset(metadata, STR("managedFields"));
    if (!managers->n)
        return;
    qsort(managers->items, managers->n, sizeof(Manager), compare);
    Value *entries = value_new_array(arena);
    for (size_t i = 0; i < managers->n; i++) {
        const Manager *manager = &managers->items[i];
        Value *entry = value_new_object(arena);
        if (manager->name.len)
            value_set_str(arena, entry, STR("manager"), manager->name);
        value_set_str(arena, entry, STR("operation"), manager->operation);
        value_set_str(arena, entry, STR("apiVersion"), manager->api_version);
        if (manager->time.len)
            value_set_str(arena, entry, STR("time"), manager->time);
        value_set_str(arena, entry, STR("fieldsType"), STR("FieldsV1"));
        value_set(arena, entry, STR("fieldsV1"), field_set_to_value(arena, &manager->fields));
        if (manager->subresource.len)
            value_set_str(arena, entry, STR("subresource"), manager->subresource);
        value_push(arena, entries, entry);
    }
    value_set(arena, metadata, STR("managedFields"), entries);
}

void managers_drop_empty(Managers *managers) {
    size_t kept = 0;
    for (size_t i = 0; i < managers->n; i++)
        if (!field_set_is_empty(&managers->items[i].fields))
            managers->items[kept++] = managers->items[i];
    managers->n = kept;
}

static void remove_manager(Managers *managers, Manager *manager) {
    size_t after = (size_t)(managers->items + managers->n - (manager + 1));
    memmove(manager, manager + 1, after * sizeof(Manager));
    managers->n--;
}

// The oldest update entry but for `skip`, of that version when one is given.
static Manager *oldest_update(Managers *managers, const Manager *skip, Str api_version) {
    Manager *oldest = NULL;
    for (size_t i = 0; i < managers->n; i++) {
        Manager *manager = &managers->items[i];
        if (is_apply(manager) || manager == skip ||
            (api_version.ptr && !str_eq(manager->api_version, api_version)))
            continue;
        if (!oldest || compare(manager, oldest) < 0)
            oldest = manager;
    }
    return oldest;
}

static size_t count_updates(const Managers *managers) {
    size_t n = 0;
    for (size_t i = 0; i < managers->n; i++)
        n += !is_apply(&managers->items[i]);
    return n;
}

void managers_cap(Arena *arena, Managers *managers) {
    while (count_updates(managers) > MAX_UPDATE_MANAGERS) {
        Manager *first = oldest_update(managers, NULL, STR_NONE);
        Manager *second = oldest_update(managers, first, first->api_version);
        if (!second)
            return; // one of each version
        Manager bucket = {.name = STR("ancient-changes"),
                          .operation = STR("Update"),
                          .api_version = first->api_version,
                          .time = second->time};
        bucket.fields = field_set_union(arena, &first->fields, &second->fields);
        bool first_goes_first = first > second;
        remove_manager(managers, first_goes_first ? first : second);
        remove_manager(managers, first_goes_first ? second : first);
        Manager *known = managers_find(managers, &bucket);
        if (known)
            known->fields = field_set_union(arena, &known->fields, &bucket.fields);
        else
            managers_add(arena, managers, bucket);
    }
}
