#pragma once
// metadata: what the server itself sets and checks in it (apiserver's
// registry/rest/{meta,create,update}.go).

#include "api/request.h"

Str meta_name(const Value *object); // "" when absent, as the others
Str meta_namespace(const Value *object);
Str meta_uid(const Value *object);
Str meta_resource_version(const Value *object);
Value *meta_of(Arena *arena, Value *object); // made when missing
bool meta_is_deleting(const Value *object);
bool meta_has_finalizers(const Value *object);
bool meta_has_finalizer(const Value *object, Str finalizer);
void meta_set_revision(Arena *arena, Value *object, int64_t revision);

// Of a new object: what only the server may say is dropped, then filled in.
void meta_wipe(Value *object);
void meta_fill(struct Api *api, Arena *arena, Value *object);
// name from generateName: at most 58 characters of it, five more (apiserver's
// names.SimpleNameGenerator).
void meta_generate_name(struct Api *api, Arena *arena, Value *object);
// The object's namespace is the request's. NULL or 400.
ApiStatus *meta_match_namespace(Arena *arena, Value *object, Str namespace_);
// Repeated owner references are dropped; the request gets a warning.
void meta_unique_owners(ApiRequest *request, Value *object, bool after_admission);
// What an update can't change is carried over (rest.BeforeUpdate).
void meta_carry_over(Arena *arena, Value *object, const Value *old);
// True when anything but metadata and status differs: the generation grows.
bool meta_spec_changed(const Value *object, const Value *old);
// Equal but for the times in managedFields: not worth a write.
bool meta_same(Arena *arena, const Value *object, const Value *old);
