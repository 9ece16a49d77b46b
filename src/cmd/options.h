#pragma once
// Long options of a verb as a table, filled from the command line and from a YAML file (`--config`)
// of the same names.

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"

typedef enum OptionKind { OPTION_FLAG, OPTION_STRING, OPTION_NUMBER, OPTION_LIST } OptionKind;

typedef struct OptionList {
    Str *items;
    size_t n;
} OptionList;

typedef struct Option {
    const char *name; // without dashes
    OptionKind kind;
    void *target; // bool *, Str *, int64_t *, OptionList *
    const char *argument, *help;
} Option;

// Parses argv[1..]; what is no option goes to `positional` (NULL: none allowed). The command line
// wins over the file that
// `--config` names (lists: it replaces). `--help` prints and exits 0; a mistake prints one line to
// stderr and exits 2.
void options_parse(Arena *arena, const char *verb, const char *usage, const Option *options,
                   size_t n, int argc, char **argv, OptionList *positional);
