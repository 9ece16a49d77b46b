#include "rules/backoff.h"

static bool is_forgotten(const Backoff *backoff, int64_t since) {
    return backoff->delay_ns == 0 || since - backoff->updated > 2 * BACKOFF_LAST;
}

int64_t backoff_remaining(const Backoff *backoff, int64_t since, int64_t now) {
    if (is_forgotten(backoff, since))
        return 0;
    int64_t left = since + backoff->delay_ns - now;
    return left > 0 ? left : 0;
}

void backoff_next(Backoff *backoff, int64_t since, int64_t now) {
    if (is_forgotten(backoff, since))
        backoff->delay_ns = BACKOFF_FIRST;
    else
        backoff->delay_ns =
            backoff->delay_ns * 2 < BACKOFF_LAST ? backoff->delay_ns * 2 : BACKOFF_LAST;
    backoff->updated = now;
}
