#include "base/arena.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"

// Blocks double from FIRST to LARGEST; what does not fit into a quarter of the next block gets a
// block of its own, so that little is wasted behind it.
#define FIRST_BLOCK 2048u
#define SMALL_BLOCK 512u
#define LARGEST_BLOCK 65536u

// Under AddressSanitizer the unused tail of a block is poisoned, so that running over the end of an
// allocation is found although it stays inside the block.
#if defined(__SANITIZE_ADDRESS__)
#define ARENA_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_POISON 1
#endif
#endif
#ifdef ARENA_POISON
#include <sanitizer/asan_interface.h>
#define poison(ptr, size) ASAN_POISON_MEMORY_REGION((ptr), (size))
#define unpoison(ptr, size) ASAN_UNPOISON_MEMORY_REGION((ptr), (size))
#define REDZONE 16u
#else
#define poison(ptr, size) ((void)(ptr), (void)(size))
#define unpoison(ptr, size) ((void)(ptr), (void)(size))
#define REDZONE 0u
#endif

typedef struct Block Block;
struct Block {
    Block *previous;
    size_t size, used; // of data
    _Alignas(16) char data[];
};

typedef struct Deferred Deferred;
struct Deferred {
    Deferred *next;
    void (*fn)(void *user);
    void *user;
};

struct Arena {
    Block *current; // where small allocations come from
    Block *large;   // blocks of one allocation each
    Deferred *deferred;
    size_t next_size, handed_out;
    Block *first;
};

static size_t round_up(size_t size) {
    assert(size <= PTRDIFF_MAX - 64);
    return (size + 15) & ~(size_t)15;
}

static Block *block_new(size_t size, Block *previous) {
    Block *block = memory_alloc(sizeof(Block) + size);
    block->previous = previous;
    block->size = size;
    block->used = 0;
    poison(block->data, size);
    return block;
}

static void blocks_free(Block *block, const Block *keep) {
    while (block && block != keep) {
        Block *previous = block->previous;
        unpoison(block->data, block->size);
        free(block);
        block = previous;
    }
}

// The arena itself lives in front of its first block's data: one malloc for a small request.
static Arena *new_sized(size_t size) {
    Block *block = block_new(size - sizeof(Block), NULL);
    Arena *arena = (Arena *)block->data;
    block->used = round_up(sizeof(Arena));
    unpoison(block->data, block->used);
    *arena = (Arena){.current = block, .first = block, .next_size = 2 * size};
    return arena;
}

Arena *arena_new(void) {
    return new_sized(FIRST_BLOCK);
}

Arena *arena_new_small(void) {
    return new_sized(SMALL_BLOCK);
}

static void run_deferred(Arena *arena) {
    while (arena->deferred) {
        Deferred *deferred = arena->deferred;
        arena->deferred = deferred->next;
        deferred->fn(deferred->user);
    }
}

void arena_reset(Arena *arena) {
    run_deferred(arena);
    Block *first = arena->first;
    blocks_free(arena->large, NULL);
    blocks_free(arena->current, first);
    size_t own = round_up(sizeof(Arena));
    first->used = own;
    poison(first->data + own, first->size - own);
    *arena =
        (Arena){.current = first, .first = first, .next_size = 2 * (first->size + sizeof(Block))};
}

void arena_free(Arena *arena) {
    if (!arena)
        return;
    run_deferred(arena);
    Block *current = arena->current;
    blocks_free(arena->large, NULL);
    blocks_free(current, NULL);
}

static void *take(Block *block, size_t size, size_t rounded) {
    char *ptr = block->data + block->used;
    block->used += rounded;
    unpoison(ptr, size);
    return ptr;
}

void *arena_alloc(Arena *arena, size_t size) {
    size_t rounded = round_up(size ? size : 1) + REDZONE;
    arena->handed_out += size;
    Block *block = arena->current;
    if (rounded <= block->size - block->used)
        return take(block, size, rounded);
    if (rounded > arena->next_size / 4) {
        arena->large = block_new(rounded, arena->large);
        return take(arena->large, size, rounded);
    }
    arena->current = block_new(arena->next_size - sizeof(Block), block);
    if (arena->next_size < LARGEST_BLOCK)
        arena->next_size *= 2;
    return take(arena->current, size, rounded);
}

void *arena_zalloc(Arena *arena, size_t size) {
    void *ptr = arena_alloc(arena, size);
    return memset(ptr, 0, size);
}

void *arena_grow(Arena *arena, void *ptr, size_t old_size, size_t new_size) {
    assert(new_size >= old_size);
    Block *block = arena->current;
    size_t old_rounded = round_up(old_size ? old_size : 1) + REDZONE;
    size_t new_rounded = round_up(new_size ? new_size : 1) + REDZONE;
    if (ptr && (char *)ptr + old_rounded == block->data + block->used &&
        new_rounded - old_rounded <= block->size - block->used) {
        block->used += new_rounded - old_rounded;
        arena->handed_out += new_size - old_size;
        unpoison(ptr, new_size);
        return ptr;
    }
    void *moved = arena_alloc(arena, new_size);
    if (old_size)
        memcpy(moved, ptr, old_size);
    return moved;
}

Str arena_str(Arena *arena, Str s) {
    if (!s.ptr)
        return STR_NONE;
    return (Str){arena_cstr(arena, s), s.len};
}

char *arena_cstr(Arena *arena, Str s) {
    char *copy = arena_alloc(arena, s.len + 1);
    if (s.len)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return copy;
}

Str arena_vprintf(Arena *arena, const char *format, va_list args) {
    char stack[256];
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(stack, sizeof stack, format, args);
    assert(len >= 0);
    char *text = arena_alloc(arena, (size_t)len + 1);
    if ((size_t)len < sizeof stack)
        memcpy(text, stack, (size_t)len + 1);
    else
        vsnprintf(text, (size_t)len + 1, format, again);
    va_end(again);
    return (Str){text, (size_t)len};
}

Str arena_printf(Arena *arena, const char *format, ...) {
    va_list args;
    va_start(args, format);
    Str text = arena_vprintf(arena, format, args);
    va_end(args);
    return text;
}

Str arena_concat(Arena *arena, const Str *parts, size_t n, Str separator) {
    size_t len = n ? separator.len * (n - 1) : 0;
    for (size_t i = 0; i < n; i++)
        len += parts[i].len;
    char *text = arena_alloc(arena, len + 1), *at = text;
    for (size_t i = 0; i < n; i++) {
        if (i && separator.len)
            at = mempcpy(at, separator.ptr, separator.len);
        if (parts[i].len)
            at = mempcpy(at, parts[i].ptr, parts[i].len);
    }
    *at = '\0';
    return (Str){text, len};
}

void arena_defer(Arena *arena, void (*fn)(void *user), void *user) {
    Deferred *deferred = arena_alloc(arena, sizeof *deferred);
    *deferred = (Deferred){arena->deferred, fn, user};
    arena->deferred = deferred;
}

size_t arena_size(const Arena *arena) {
    return arena->handed_out;
}
