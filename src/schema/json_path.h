#pragma once
// The JSONPath of printer columns: one path as client-go's util/jsonpath takes between its braces,
// without literals and range. https://kubernetes.io/docs/reference/kubectl/jsonpath/
// Fields (.a, ['a'], escaped dots), indices and slices, wildcards, unions, recursive descent and
// filters ([?(@.type=="Ready")]).

#include "schema/value.h"

typedef struct JsonPath JsonPath;

#define JSON_PATH_MAX_BYTES 4096
#define JSON_PATH_MAX_STEPS 64
// How many values one evaluation looks at; what lies behind is not found.
#define JSON_PATH_MAX_VISITS 100000

// In the arena; `text` is not kept. NULL with *ret_message (in the arena) when it is no such path.
JsonPath *json_path_new(Arena *arena, Str text, Str *ret_message);
// The first value that it leads to, in document order; NULL when there is none.
const Value *json_path_first(const JsonPath *path, const Value *root);
