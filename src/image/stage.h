#pragma once
// The sandboxed processes that read what strangers wrote: this program again, started with a clean
// memory (no credentials in it), joined by pipes. The parent moves bytes and takes digests, the
// stages parse:
//   registry ─▶ parent ─▶ inflate ─▶ parent ─▶ unpack ─▶ layer
//   archive ─▶ inflate ─▶ split ─▶ parent ─▶ (inflate ─▶ parent ─▶) unpack ─▶ layer

#include <stdbool.h>
#include <sys/types.h>

#include "image/unpack.h"

typedef enum StageKind {
    STAGE_INFLATE, // stdin compressed, stdout plain
    STAGE_SPLIT,   // stdin a tar of images, stdout frames (split.h)
    STAGE_UNPACK,  // stdin a layer's tar, written below `directory`
} StageKind;

typedef struct Stage {
    pid_t pid;  // 0 once reaped or not started
    int status; // what it says at its end: stage_end reads it
} Stage;

// Starts a stage with `input` and `output` (-1: none) as stdin and stdout; both stay the caller's
// to close. `directory` becomes its root, an empty one for all but STAGE_UNPACK. `limits` is for
// STAGE_UNPACK (its entries also for STAGE_SPLIT). Returns 0 or fills `failure`.
int stage_start(StageKind kind, int input, int output, int directory, const UnpackLimits *limits,
                Stage *ret_stage, Failure *failure) __attribute__((warn_unused_result));
// Waits for the stage's end. Returns 0, with `*ret_result` (may be NULL) filled for STAGE_UNPACK,
// or fills `failure` with what the stage said, or with how it died.
int stage_end(Stage *stage, UnpackResult *ret_result, Failure *failure)
    __attribute__((warn_unused_result));
void stage_kill(Stage *stage); // and reaps it; fine when it is not running

// The stage's side: `argv` as stage_start made it ("--stage" at 1). Never returns.
_Noreturn void stage_main(int argc, char **argv);
