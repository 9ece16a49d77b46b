#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static _Atomic LogLevel current_level = LOG_INFO;

void log_set_level(LogLevel level) {
    atomic_store_explicit(&current_level, level, memory_order_relaxed);
}

LogLevel log_level(void) {
    return atomic_load_explicit(&current_level, memory_order_relaxed);
}

// A value that carries a line break or an escape sequence must not forge a line.
static void blank_controls(char *text, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            text[i] = ' ';
    }
}

void log_write(LogLevel level, const char *room, const char *message, const char *pairs, ...) {
    static const char *const names[] = {"ERROR", "WARN", "INFO", "DEBUG", "TRACE"};
    char line[4096];
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    int n = snprintf(line, sizeof line, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %s %s: %s%s",
                     tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                     now.tv_nsec / 1000000, names[level], room, message, *pairs ? " " : "");
    size_t len = (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
    va_list args;
    va_start(args, pairs);
    n = vsnprintf(line + len, sizeof line - len, pairs, args);
    va_end(args);
    if ((size_t)n < sizeof line - len) {
        len += (size_t)n;
    } else {
        len = sizeof line - 1;
        memcpy(line + len - 3, "...", 3);
    }
    blank_controls(line, len);
    line[len++] = '\n'; // in place of the NUL
    (void)!write(STDERR_FILENO, line, len);
}
