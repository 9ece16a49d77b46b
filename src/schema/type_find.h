#pragma once
// type_field() for those who look up one member after the other.

#include "schema/type.h"

// The search starts at `*cursor` (0 at first), which is left where the next member is expected:
// documents written in declaration order cost one comparison a member. *rank orders the fields of a
// type by declaration, inline ones in their place.
const Field *type_find(const Type *type, Str name, uint16_t *cursor, uint32_t *rank);
// Where a field that type_find() gave lies in the C struct of `type`; UINT32_MAX when it is not
// there.
uint32_t type_offset(const Type *type, const Field *field);
