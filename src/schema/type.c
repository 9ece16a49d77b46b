#include "schema/type_find.h"

static inline bool same_name(const Field *field, Str name) {
    return field->name.len == name.len && !memcmp(field->name.ptr, name.ptr, name.len);
}

static const Field *find_at(const Type *type, uint16_t i, Str name, uint32_t *rank) {
    const Field *field = &type->fields[i];
    if (!(field->flags & FIELD_INLINE)) {
        if (!same_name(field, name))
            return NULL;
        *rank = (uint32_t)i << 20;
        return field;
    }
    uint16_t cursor = 0;
    const Field *found = type_find(field->type, name, &cursor, rank);
    if (found) // up to three levels deep
        *rank = ((uint32_t)i << 20) + (*rank >> 10);
    return found;
}

const Field *type_find(const Type *type, Str name, uint16_t *cursor, uint32_t *rank) {
    for (uint16_t i = *cursor; i < type->n_fields; i++) {
        const Field *found = find_at(type, i, name, rank);
        if (found) {
            *cursor = (uint16_t)(found == &type->fields[i] ? i + 1 : i);
            return found;
        }
    }
    for (uint16_t i = 0; i < *cursor && i < type->n_fields; i++) {
        const Field *found = find_at(type, i, name, rank);
        if (found) {
            *cursor = (uint16_t)(found == &type->fields[i] ? i + 1 : i);
            return found;
        }
    }
    return NULL;
}

const Field *type_field(const Type *type, Str name) {
    uint16_t cursor = 0;
    uint32_t rank;
    return type_find(type, name, &cursor, &rank);
}

uint32_t type_offset(const Type *type, const Field *field) {
    if (field >= type->fields && field < type->fields + type->n_fields)
        return field->offset;
    for (uint16_t i = 0; i < type->n_fields; i++) {
        const Field *inner = &type->fields[i];
        if (!(inner->flags & FIELD_INLINE))
            continue;
        uint32_t offset = type_offset(inner->type, field);
        if (offset != UINT32_MAX)
            return inner->offset + offset;
    }
    return UINT32_MAX;
}
