#pragma once
// What a controller has written and its informer may not show yet, by owner. Until it does, a
// reconcile would count wrong (controller.ControllerExpectations upstream; here they are told from
// revisions and not counted).

#include "controllers/owned_pods.h"

typedef struct Expectations Expectations;

Expectations *expectations_new(void);
void expectations_free(Expectations *expectations);
// `now`: the loop's.
void expectations_created(Expectations *expectations, Str owner_uid, int64_t version, int64_t now);
void expectations_deleted(Expectations *expectations, Str owner_uid, Str namespace_, Str name,
                          Str uid, int64_t now);
// True also when five minutes have passed; what is met is forgotten.
bool expectations_met(Expectations *expectations, Str owner_uid, const OwnedPods *pods,
                      int64_t now);
void expectations_forget(Expectations *expectations, Str owner_uid);
