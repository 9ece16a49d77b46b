#pragma once
// Rules of CustomResourceDefinitions, by what they are about. Wording and paths are those of
// apiextensions-apiserver's pkg/apis/apiextensions/validation.

#include "schema/check.h"

void crd_check_names(FieldErrors *errors, const Value *names, const Path *path, bool required);
// "a,b": what is wrong with a string, joined as there; empty when nothing is.
Str crd_problems(Arena *arena, FieldFormat format, Str text);
// An openAPIV3Schema: what may stand in it, whether it is structural, whether its defaults fit.
void crd_check_schema(FieldErrors *errors, const Value *schema, const Path *path);
void crd_check_structural(FieldErrors *errors, const Value *schema, const Path *path);
void crd_check_defaults(FieldErrors *errors, const Value *schema, const Path *path);
// Calls `fn` for the schema and all below it, alternatives included.
void crd_each_schema(const Value *schema, void (*fn)(void *user, const Value *schema), void *user);
