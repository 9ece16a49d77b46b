// pki_jwt_verify and the decoders below it: whatever is not signed by this key is refused.

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "pki/pki.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static Str public_key;
    if (!public_key.ptr) {
        static Arena *keys; // for the life of the process
        keys = arena_new();
        Str key;
        if (pki_key_new(keys, &key) != 0 || pki_public_key(keys, key, &public_key) != 0)
            abort();
    }
    Arena *arena = arena_new();
    Str text = str_of(data, size), payload, decoded;
    int error = pki_jwt_verify(arena, &public_key, 1, text, &payload);
    assert(error == -EBADMSG || error == -EACCES);
    // A text that decodes is the only one of its value.
    if (pki_base64url_decode(arena, text, &decoded) == 0)
        assert(str_eq(pki_base64url(arena, decoded), text));
    if (pki_base64_decode(arena, text, &decoded) == 0)
        assert(str_eq(pki_base64(arena, decoded), text));
    arena_free(arena);
    return 0;
}
