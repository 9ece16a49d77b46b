#include "base/memory.h"

#include <stdlib.h>
#include <unistd.h>

static void *checked(void *ptr) {
    if (!ptr) {
        static const char message[] = "seapod: out of memory\n";
        (void)!write(STDERR_FILENO, message, sizeof message - 1);
        abort();
    }
    return ptr;
}

void *memory_alloc(size_t size) {
    return checked(malloc(size ? size : 1));
}

void *memory_zalloc(size_t size) {
    return checked(calloc(1, size ? size : 1));
}

void *memory_resize(void *ptr, size_t size) {
    return checked(realloc(ptr, size ? size : 1));
}

void *memory_resize_array(void *ptr, size_t n, size_t size) {
    size_t total;
    if (__builtin_mul_overflow(n, size, &total))
        return checked(NULL);
    return memory_resize(ptr, total);
}
