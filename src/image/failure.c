#include "image/failure.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

int failure_set(Failure *failure, int code, const char *format, ...) {
    assert(code > 0);
    va_list args;
    va_start(args, format);
    failure->code = code;
    vsnprintf(failure->message, sizeof(failure->message), format, args);
    va_end(args);
    return code;
}

int failure_errno(Failure *failure, int error, const char *format, ...) {
    assert(error < 0);
    char text[FAILURE_MESSAGE_MAX / 2];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return failure_set(failure, IMAGE_E_OTHER, "%s: %s", text, strerror(-error));
}

int failure_wrap(Failure *failure, const char *format, ...) {
    assert(failure->code > 0);
    char prefix[FAILURE_MESSAGE_MAX / 2], text[FAILURE_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(prefix, sizeof(prefix), format, args);
    va_end(args);
    memcpy(text, failure->message, sizeof(text));
    // What does not fit is cut off at the end.
    if (snprintf(failure->message, sizeof(failure->message), "%s: %s", prefix, text) < 0)
        failure->message[0] = '\0';
    return failure->code;
}

void failure_clean(char *text) {
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = ' ';
}
