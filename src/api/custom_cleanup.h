#pragma once
// Deletes all objects of a custom kind whose definition goes away. What has finalizers is marked,
// and stays until they are gone.

#include "api/server.h"

typedef struct Cleanup Cleanup;
// `done` once, later, when every deletion has been answered; objects may be left.
Cleanup *cleanup_start(Api *api, ServedKind *served, void (*done)(void *user), void *user);
void cleanup_cancel(Cleanup *cleanup); // NULL is fine; `done` does not come
