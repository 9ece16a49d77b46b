#include "pki/rotation.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"

#define DAY (24 * 3600 * NSEC_PER_SEC)
#define TRY_AGAIN (3600 * NSEC_PER_SEC)
#define CLOCK_SKEW (300 * NSEC_PER_SEC) // others' clocks may be late

struct PkiRotation {
    Loop *loop;
    int64_t lifetime, due; // when to renew
    PkiRenew renew;
    void *user;
    LoopTimer timer;
};

static int renew(PkiRotation *rotation) {
    int64_t now = loop_wall(rotation->loop);
    int error = rotation->renew(rotation->user, now - CLOCK_SKEW, now + rotation->lifetime);
    if (!error)
        rotation->due = now + rotation->lifetime / 5 * 4;
    return error;
}

static void wait_on(PkiRotation *rotation) {
    int64_t left = rotation->due - loop_wall(rotation->loop);
    loop_timer_start(&rotation->timer, left > DAY ? DAY : left > 0 ? left : TRY_AGAIN);
}

static void look(void *user) {
    PkiRotation *rotation = user;
    if (loop_wall(rotation->loop) >= rotation->due) {
        int error = renew(rotation);
        if (error)
            log_error("pki", "certificates could not be renewed", "error=\"%s\"",
                      strerror(-error));
        else
            log_info("pki", "certificates renewed", "days=%lld",
                     (long long)(rotation->lifetime / DAY));
    }
    wait_on(rotation);
}

PkiRotation *pki_rotation_new(Loop *loop, int64_t lifetime_ns, PkiRenew renew_, void *user,
                              int *ret_error) {
    PkiRotation *rotation = memory_new(PkiRotation);
    *rotation = (PkiRotation){.loop = loop, .lifetime = lifetime_ns, .renew = renew_, .user = user};
    loop_timer_init(&rotation->timer, loop, look, rotation);
    *ret_error = renew(rotation);
    if (*ret_error) {
        free(rotation);
        return NULL;
    }
    wait_on(rotation);
    return rotation;
}

void pki_rotation_free(PkiRotation *rotation) {
    if (!rotation)
        return;
    loop_timer_stop(&rotation->timer);
    free(rotation);
}
