#pragma once
// IP addresses and ranges in API fields, checked and worded as apimachinery's
// pkg/util/validation/ip.go and ValidateNonSpecialIP word them.

#include "schema/check.h"

typedef struct Address {
    bool v6;
    unsigned char bytes[16]; // network order; 4 of them for IPv4
} Address;

bool address_parse(Str text, Address *ret);
Str address_format(Arena *arena, const Address *address); // canonical (RFC 5952)
bool address_is_v6(Str text); // false for what is no address

// Each reports and returns false when the text does not fit.
bool address_check(FieldErrors *errors, const Path *path, Str text);
bool address_check_range(FieldErrors *errors, const Path *path, Str text); // CIDR
// Neither unspecified, loopback nor link-local; for endpoints and external addresses.
bool address_check_not_special(FieldErrors *errors, const Path *path, Str text);
