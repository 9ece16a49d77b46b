#pragma once
// A path inside a volume, opened so that no link in it, nor one that a container puts there
// meanwhile, leads outside the volume.

#include "base/str.h"

// `make`: directories that are missing are made with the volume's own mode. Returns 0 and an O_PATH
// descriptor, or negative errno: -EXDEV when a link points outside, -EINVAL when the path is
// absolute or has "..", -ENOENT.
int subpath_open(const char *volume, Str path, bool make, int *ret)
    __attribute__((warn_unused_result));
