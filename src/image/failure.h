#pragma once
// What went wrong, for a person and for the daemon that ran us: the exit code says which kind it
// is, the message says it whole. Functions of seapod-image that can fail take a Failure and return
// its code (0 when all went well).

#include <stdarg.h>

enum {
    IMAGE_E_OTHER = 1,     // this host: disk full, no permission, a bug
    IMAGE_E_USAGE = 2,     // the command line, an image name that is none
    IMAGE_E_NOT_FOUND = 3, // no such image, tag, file
    IMAGE_E_DENIED = 4,    // the registry wants other credentials
    IMAGE_E_NETWORK = 5,   // the registry cannot be reached or fails
    IMAGE_E_BAD_DATA = 6,  // what came is not what was promised, or is over a limit
};

#define FAILURE_MESSAGE_MAX 4096

typedef struct Failure {
    int code; // 0 or IMAGE_E_*
    char message[FAILURE_MESSAGE_MAX];
} Failure;

// Each returns failure->code, which is never 0 afterwards.
int failure_set(Failure *failure, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// IMAGE_E_OTHER with ": " and what `error` (negative errno) means behind the message.
int failure_errno(Failure *failure, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// Puts "PREFIX: " in front of the message that is there.
int failure_wrap(Failure *failure, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Makes text that came from outside fit to be shown: control characters become spaces.
void failure_clean(char *text);
