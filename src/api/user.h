#pragma once
// Who asks: what authentication found out, and authorization and admission look at.

#include "base/str.h"

typedef struct UserExtra {
    Str key;
    const Str *values;
    size_t n;
} UserExtra;

typedef struct User {
    Str name, uid;
    const Str *groups;
    size_t n_groups;
    const UserExtra *extra;
    size_t n_extra;
} User;

static inline bool user_in_group(const User *user, Str group) {
    for (size_t i = 0; i < user->n_groups; i++) {
        if (str_eq(user->groups[i], group))
            return true;
    }
    return false;
}
