#pragma once
// A directory for one test, and the openssl program as a second opinion.

#include "base/str.h"

typedef struct Scratch {
    char path[64];
} Scratch;
void scratch_make(Scratch *scratch);
void scratch_remove(Scratch *scratch); // with what is in it
void scratch_write(const Scratch *scratch, const char *name, Str data);
// Runs a shell command there. Returns its exit status; what it printed (both streams) is in
// `output`.
int scratch_run(const Scratch *scratch, const char *command, char *output, size_t size);
