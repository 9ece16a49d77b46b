#pragma once
// Growing lists of strings in an arena.

#include "image/store.h"

// Appends without copying the bytes.
void image_strings_push(Arena *arena, ImageStrings *strings, Str s);
void image_strings_sort(ImageStrings *strings);
