// WWW-Authenticate comes from any registry that a pod spec names.
#include <assert.h>
#include <stdint.h>

#include "image/challenge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _arena_free_ Arena *arena = arena_new();
    Challenge challenges[CHALLENGES_MAX];
    size_t n = challenge_parse(arena, str_of(data, size), challenges);
    assert(n <= CHALLENGES_MAX);
    for (size_t i = 0; i < n; i++)
        assert(challenges[i].scheme.len > 0 && challenges[i].realm.len <= size &&
               challenges[i].scope.len <= size);
    return 0;
}
