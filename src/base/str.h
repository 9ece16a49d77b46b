#pragma once
// A view of bytes that somebody else owns. Never NUL-terminated by promise; `ptr == NULL` means
// "absent", which is different from "" (ptr != NULL, len == 0). Passed by value.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct Str {
    const char *ptr;
    size_t len;
} Str;

#define STR(literal) ((Str){"" literal, sizeof(literal) - 1})
#define STR_NONE ((Str){NULL, 0})
// For "%.*s", which stops at a NUL byte: refuse those, or join with arena_concat() and buf_str().
#define STR_ARG(s) (int)(s).len, (s).ptr ? (s).ptr : ""

static inline Str str_from(const char *cstr) {
    return cstr ? (Str){cstr, strlen(cstr)} : STR_NONE;
}
static inline Str str_of(const void *ptr, size_t len) {
    return (Str){ptr, len};
}
static inline bool str_is_empty(Str s) {
    return s.len == 0;
}
static inline bool str_eq(Str a, Str b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
static inline bool str_starts_with(Str s, Str prefix) {
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}
static inline bool str_ends_with(Str s, Str suffix) {
    return s.len >= suffix.len &&
           (suffix.len == 0 || memcmp(s.ptr + s.len - suffix.len, suffix.ptr, suffix.len) == 0);
}
static inline Str str_slice(Str s, size_t from, size_t to) {
    return (Str){s.ptr + from, to - from};
}

// Byte order, shorter first on a tie. Returns <0, 0, >0.
int str_cmp(Str a, Str b);
bool str_eq_nocase(Str a, Str b); // ASCII only
// Index of the first `c`, or -1.
ptrdiff_t str_find(Str s, char c);
ptrdiff_t str_find_last(Str s, char c);
// Cuts `*rest` at the first `separator`: returns what stood before it and leaves what follows in
// `*rest`; without a separator returns all and leaves STR_NONE.
Str str_cut(Str *rest, char separator);
Str str_trim(Str s); // ASCII space, \t, \r, \n at both ends
// Decimal, the whole string, no sign for u64. Returns 0, -EINVAL or -ERANGE.
int str_to_i64(Str s, int64_t *ret);
int str_to_u64(Str s, uint64_t *ret);
uint64_t str_hash(Str s); // keyed per process, safe against chosen keys
