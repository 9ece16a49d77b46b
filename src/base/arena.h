#pragma once
// Memory that lives as long as one request or one reconcile and is freed in one stroke.
// Out of memory aborts, here and everywhere (see STYLE.md), so no call returns NULL.

#include <stdarg.h>
#include <stddef.h>

#include "base/str.h"

typedef struct Arena Arena;

Arena *arena_new(void);
Arena *arena_new_small(void); // for little that is kept long: 512 bytes at first, not 2,048
void arena_free(Arena *arena); // NULL is fine
static inline void arena_freep(Arena **arena) {
    arena_free(*arena);
}
#define _arena_free_ __attribute__((cleanup(arena_freep)))
void arena_reset(Arena *arena); // frees everything but the first block

void *arena_alloc(Arena *arena, size_t size);  // 16-byte aligned, not cleared
void *arena_zalloc(Arena *arena, size_t size); // cleared
#define arena_new_of(arena, T) ((T *)arena_zalloc((arena), sizeof(T)))
#define arena_array_of(arena, T, n) ((T *)arena_zalloc((arena), sizeof(T) * (size_t)(n)))
// Grows an array that arena_alloc gave, in place when it was the last allocation.
void *arena_grow(Arena *arena, void *ptr, size_t old_size, size_t new_size);

Str arena_str(Arena *arena, Str s);    // a copy, NUL-terminated; STR_NONE stays STR_NONE
char *arena_cstr(Arena *arena, Str s); // the same as a C string ("" for STR_NONE)
Str arena_printf(Arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
Str arena_vprintf(Arena *arena, const char *format, va_list args);
Str arena_concat(Arena *arena, const Str *parts, size_t n, Str separator);
// Calls `fn(user)` when the arena is freed or reset, last registered first.
void arena_defer(Arena *arena, void (*fn)(void *user), void *user);
size_t arena_size(const Arena *arena); // bytes handed out since creation or reset
