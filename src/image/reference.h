#pragma once
// What a person or a pod spec calls an image, by the grammar of distribution/reference and with
// Docker's short names: "busybox" is docker.io/library/busybox:latest.

#include "base/arena.h"
#include "base/str.h"

enum {
    REFERENCE_E_INVALID = 1, // what a kubelet answers with InvalidImageName
};

typedef struct ImageReference {
    Str domain; // "docker.io", "registry.example:5000", "[::1]:5000"
    Str path;   // "library/busybox"
    Str tag;    // "latest" when neither tag nor digest was given; STR_NONE when only a digest was
    Str digest; // "sha256:HEX"; STR_NONE when none was given
} ImageReference;

// Parses and completes `text`; the parts live in `arena`. Returns 0 or REFERENCE_E_INVALID, and
// then
// `*ret_message` is what a kubelet shows: couldn't parse image name "...": invalid reference
// format. (pkg/util/parsers ParseImageName over distribution/reference ParseNormalizedNamed)
int reference_parse(Arena *arena, Str text, ImageReference *ret_reference, Str *ret_message)
    __attribute__((warn_unused_result));

// "docker.io/library/busybox"
Str reference_repository(Arena *arena, const ImageReference *reference);
// The whole name as runtimes show it: the digest wins over the tag, as when pulling.
// "docker.io/library/busybox:latest" or "docker.io/library/busybox@sha256:HEX"
Str reference_format(Arena *arena, const ImageReference *reference);

// True for "sha256:" and 64 lower-case hex digits, the only algorithm that the store keeps.
bool reference_is_sha256(Str digest);
// True for the whole of "ALGORITHM:HEX" by go-digest's rules (sha256, sha384, sha512); otherwise
// `*ret_reason` (may be NULL) says why not in its words.
bool reference_digest_is_valid(Str digest, const char **ret_reason);
// True for [A-Za-z0-9_][A-Za-z0-9_.-]{0,127}.
bool reference_tag_is_valid(Str tag);
