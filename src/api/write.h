#pragma once
// What every write has in common: where an object is kept, its checks, and the way into the store
// and back out to the client. The client gets its answer once the caches show the write, so that
// what it reads next has it.

#include "api/request.h"
#include "schema/apply.h"

Str write_key(Arena *arena, const ServedResource *served, Str namespace_, Str name);
unsigned write_flags(const ServedResource *served, Str namespace_); // of store_put
// Encodes `object` (of the served version; not changed) for the store. NULL when it is too large
// (*ret_status).
Bytes *write_encode(ApiRequest *request, const ServedResource *served, const Value *object,
                    const ApiStatus **ret_status);
// Validation of a new object, or of an update against `old`: 422 with every field error, or NULL.
ApiStatus *write_validate(ApiRequest *request, const ServedResource *served, const Value *object,
                          const Value *old);
// Who set which field: brings metadata.managedFields up to date, before admission. `live` is NULL
// for a creation.
void write_track(ApiRequest *request, const ServedResource *served, const Value *live,
                 Value *object);
ApplyRequest write_apply_request(const ApiRequest *request, const ServedResource *served);
// Sets `object`'s resourceVersion, waits for the caches and answers.
void write_answer(ApiRequest *request, int code, const ServedResource *served, Value *object,
                  int64_t revision);
// Strategies that differ by kind (the registries' *strategy.go).
bool write_allows_create_on_update(const Resource *resource);
bool write_allows_unconditional_update(const Resource *resource);
// Dependents are left when a deletion does not say what becomes of them.
bool write_orphans_dependents(const Resource *resource);
// The kind's own initial state of a new object, beyond defaults and rules: status, finalizers.
void write_prepare_create(ApiRequest *request, const ServedResource *served, Value *object);

// Whatever must be reserved beside the object (cluster IPs, node ports) before it is written;
// `then` with NULL, or why not. `object` is changed. `old` is NULL for a creation.
typedef void (*WriteThen)(ApiRequest *request, void *user, const ApiStatus *refusal);
void write_reserve(ApiRequest *request, const ServedResource *served, Value *object,
                   const Value *old, WriteThen then, void *user);
// Undoes reservations of this request (the write failed), or drops what `gone` held (it is
// deleted).
void write_release(ApiRequest *request, const ServedResource *served, const Value *gone);
// The write succeeded: its reservations stay, and what only `old` held (may be NULL) is dropped.
void write_keep(ApiRequest *request, const ServedResource *served, const Value *object,
                const Value *old);
