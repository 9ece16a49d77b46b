#include <stdlib.h>

#include "base/quantity.h"

static void must(bool condition) {
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// What is accepted prints, and what was printed reads back as the same value and text.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Quantity quantity, again;
    if (quantity_parse(str_of(data, size), &quantity) < 0)
        return 0;
    _arena_free_ Arena *arena = arena_new();
    Str text = quantity_format(arena, quantity);
    must(quantity_parse(text, &again) == 0);
    must(quantity_cmp(quantity, again) == 0);
    must(str_eq(quantity_format(arena, again), text));
    must(quantity_cmp(quantity_round_milli(quantity), quantity) * (quantity.nano < 0 ? -1 : 1) >=
         0);
    Quantity twice = quantity_add(quantity, quantity);
    must(quantity_cmp(twice, quantity) * (quantity.nano < 0 ? -1 : 1) >= 0);
    return 0;
}
