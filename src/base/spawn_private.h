#pragma once
// Between spawn.c and spawn_run.c.

#include "base/spawn.h"

// child_abandon() calls `fn(user)`, with on_exit's user, in place of forgetting on_exit.
void child_on_abandon(Child *child, void (*fn)(void *user));
