#pragma once
// A process that reads what strangers wrote keeps nothing but what it needs for that: a directory
// as its whole file system, no network, few system calls, no way to gain privileges.

#include "image/failure.h"

typedef enum SandboxKind {
    SANDBOX_COMPUTE, // reads and writes descriptors that it has; an empty, read-only root; nobody's
                     // uid
    SANDBOX_UNPACK,  // also writes files of any owner into the tree that becomes its root
} SandboxKind;

// Moves this process into the sandbox for good. `directory` becomes its root. `parent` is the pid
// that started us: when it dies, so do we. Must be root. Returns 0 or fills `failure`.
int sandbox_enter(SandboxKind kind, int directory, int parent, Failure *failure)
    __attribute__((warn_unused_result));
