#pragma once
// Whether a string has a form, and apimachinery's words for what is wrong with it.

#include "schema/check.h"

#define FORMAT_MAX_PROBLEMS 8
typedef struct FormatProblems {
    Str messages[FORMAT_MAX_PROBLEMS];
    size_t n;
} FormatProblems;

// Lists what is wrong with `value` (nothing when it fits). Messages may live in the arena.
FormatProblems format_check(Arena *arena, FieldFormat format, Str value);
