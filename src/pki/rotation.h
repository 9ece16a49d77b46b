#pragma once
// Certificates that are made anew before they end, while the process runs.

#include "base/loop.h"

typedef struct PkiRotation PkiRotation;
// Makes the certificates and puts them to use, for that time (Unix nanoseconds). 0 or negative errno;
// after an error it is asked again within the hour.
typedef int (*PkiRenew)(void *user, int64_t not_before, int64_t not_after);

// Renews at once, and then whenever a fifth of the lifetime is left. The clock on the wall decides:
// once a day it is looked at, should the machine have slept or its clock been set. NULL with
// *ret_error when the first time fails.
PkiRotation *pki_rotation_new(Loop *loop, int64_t lifetime_ns, PkiRenew renew, void *user,
                              int *ret_error);
void pki_rotation_free(PkiRotation *rotation);
