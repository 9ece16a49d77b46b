#pragma once
// A few names, each with what it stands for: looked through in order while there are few (the usual
// case, without any allocation), hashed when there are many, so that no request makes us do
// quadratic work. Names are not copied while there are few.

#include "base/map.h"

#define NAME_SET_FEW 16

typedef struct NameSet {
    Str names[NAME_SET_FEW];
    const void *values[NAME_SET_FEW];
    unsigned n;
    Map *many;
} NameSet;

void name_set_deinit(NameSet *set);
#define _name_set_deinit_ __attribute__((cleanup(name_set_deinit)))
// Keeps what is there already; returns whether there was something. `value` is not NULL.
bool name_set_add(NameSet *set, Str name, const void *value);
const void *name_set_get(const NameSet *set, Str name); // NULL when absent
