// `seapod image ...` is seapod-image: libcurl and libarchive stay out of this program.
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd/cmd.h"

int cmd_image(int argc, char **argv) {
    Arena *arena = arena_new();
    Str program = cmd_helper(arena, "seapod-image");
    argv[0] = (char *)program.ptr;
    execv(program.ptr, argv);
    return cmd_fail("image", "cannot run %s: %s", program.ptr, strerror(errno));
}
