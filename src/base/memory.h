#pragma once
// malloc(3) and friends that abort when memory runs out (see STYLE.md); none returns NULL. Release
// with free(3).

#include <stddef.h>

void *memory_alloc(size_t size) __attribute__((malloc, warn_unused_result));  // not cleared
void *memory_zalloc(size_t size) __attribute__((malloc, warn_unused_result)); // cleared
void *memory_resize(void *ptr, size_t size) __attribute__((warn_unused_result));
// Room for `n` items of `size` bytes each; aborts when the product overflows.
void *memory_resize_array(void *ptr, size_t n, size_t size) __attribute__((warn_unused_result));
#define memory_new(T) ((T *)memory_zalloc(sizeof(T)))
