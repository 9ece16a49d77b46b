// Image pull secrets are written by whoever may create a pod's Secret.
#include <assert.h>
#include <stdint.h>

#include "image/credentials.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _arena_free_ Arena *arena = arena_new();
    Credentials credentials = {0};
    if (credentials_parse(arena, str_of(data, size), &credentials) != 0)
        return 0;
    Credentials found =
        credentials_for(arena, &credentials, STR("registry.example:5000"), STR("team/app"));
    assert(found.n <= credentials.n);
    found = credentials_for(arena, &credentials, STR("docker.io"), STR("library/busybox"));
    assert(found.n <= credentials.n);
    return 0;
}
