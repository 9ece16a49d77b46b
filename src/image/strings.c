#include "image/strings.h"

#include <stdlib.h>

void image_strings_push(Arena *arena, ImageStrings *strings, Str s) {
    size_t n = strings->n;
    if ((n & (n - 1)) == 0) { // full at every power of two
        size_t capacity = n ? n * 2 : 1;
        strings->items = arena_grow(arena, strings->items, n * sizeof(Str), capacity * sizeof(Str));
    }
    strings->items[strings->n++] = s;
}

static int compare(const void *a, const void *b) {
    return str_cmp(*(const Str *)a, *(const Str *)b);
}

void image_strings_sort(ImageStrings *strings) {
    if (strings->n > 1)
        qsort(strings->items, strings->n, sizeof(Str), compare);
}
