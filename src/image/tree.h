#pragma once
// A directory tree that a stranger's archive is written into. Every path is resolved inside the
// tree (openat2(2) with RESOLVE_IN_ROOT and RESOLVE_NO_MAGICLINKS), so that neither "..", absolute
// links nor links laid out beforehand lead out of it.

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/arena.h"

enum {
    TREE_E_ESCAPES = 1, // the path climbs above the tree's root
    TREE_E_PATH = 2,    // empty, too long, or holds a NUL
};

// Cleans an archive's path: no leading slash, no "." and "..", no empty parts. The tree's root is
// "". Returns 0, TREE_E_ESCAPES or TREE_E_PATH.
int tree_clean_path(Arena *arena, Str path, Str *ret_clean) __attribute__((warn_unused_result));
// Cuts a clean path at its last slash.
void tree_split(Str path, Str *ret_parent, Str *ret_name);

// Opens the directory `path` below `root` (O_PATH), making what is missing of it with mode 0755
// when `create`. Returns a descriptor or negative errno.
int tree_open_directory(int root, Str path, bool create) __attribute__((warn_unused_result));

// Removes `name` in `directory` with all that is below it, whatever it is and however deep. Missing
// is fine. Returns 0 or negative errno.
int tree_remove(int directory, const char *name) __attribute__((warn_unused_result));
