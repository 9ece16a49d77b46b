#pragma once
// Who a container's process is: looked up in the image's own /etc/passwd and /etc/group, without
// ever following a link out of the image. The rules are those of the CRI runtimes
// (https://github.com/opencontainers/image-spec/blob/main/config.md, "User").

#include "base/arena.h"

typedef struct ImageUser {
    uint32_t uid, gid;
    uint32_t *groups; // beside gid, each once
    size_t n_groups;
} ImageUser;

typedef struct ImageUserQuery {
    int64_t uid, gid; // < 0: not given
    Str user;         // "", "name", "uid", "name:group", "uid:gid", ...; used when uid < 0
    const int64_t *supplemental_groups;
    size_t n_supplemental_groups;
    bool strict_groups; // none from /etc/group
} ImageUserQuery;

// The text of the two files may be empty. Returns 0, or -ENOENT or -EINVAL with *ret_message.
int image_user_find(Arena *arena, Str passwd, Str group, const ImageUserQuery *query,
                    ImageUser *ret, Str *ret_message) __attribute__((warn_unused_result));
// Reads the files below `root` (a directory's descriptor) first.
int image_user_resolve(Arena *arena, int root, const ImageUserQuery *query, ImageUser *ret,
                       Str *ret_message) __attribute__((warn_unused_result));
