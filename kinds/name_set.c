#include "kinds/name_set.h"

void name_set_deinit(NameSet *set) {
    map_free(set->many);
    *set = (NameSet){.n = 0};
}

const void *name_set_get(const NameSet *set, Str name) {
    if (set->many)
        return map_get(set->many, name);
    for (unsigned i = 0; i < set->n; i++)
        if (str_eq(set->names[i], name))
            return set->values[i];
    return NULL;
}

bool name_set_add(NameSet *set, Str name, const void *value) {
    if (name_set_get(set, name))
        return true;
    if (!set->many && set->n < NAME_SET_FEW) {
        set->names[set->n] = name;
        set->values[set->n++] = value;
        return false;
    }
    if (!set->many) {
        set->many = map_new();
        for (unsigned i = 0; i < set->n; i++)
            map_put(set->many, set->names[i], (void *)set->values[i]);
    }
    map_put(set->many, name, (void *)value);
    return false;
}
