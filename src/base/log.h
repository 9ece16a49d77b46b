#pragma once
// One line per message on stderr: time, level, room, message, key=value pairs.
//   log_info("node", "container started", "pod=%s container=%s", pod, name);
// Only the top of a room logs. Values with spaces are the caller's to quote ("%s" -> \"%s\").

typedef enum LogLevel { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE } LogLevel;

void log_set_level(LogLevel level); // default LOG_INFO; --v 0..4 maps onto it, thread-safe
LogLevel log_level(void);
void log_write(LogLevel level, const char *room, const char *message, const char *pairs, ...)
    __attribute__((format(printf, 4, 5)));

#define log_at(level, ...)                                                                         \
    do {                                                                                           \
        if ((level) <= log_level())                                                                \
            log_write((level), __VA_ARGS__);                                                       \
    } while (0)
#define log_error(room, message, ...) log_at(LOG_ERROR, room, message, "" __VA_ARGS__)
#define log_warn(room, message, ...) log_at(LOG_WARN, room, message, "" __VA_ARGS__)
#define log_info(room, message, ...) log_at(LOG_INFO, room, message, "" __VA_ARGS__)
#define log_debug(room, message, ...) log_at(LOG_DEBUG, room, message, "" __VA_ARGS__)
#define log_trace(room, message, ...) log_at(LOG_TRACE, room, message, "" __VA_ARGS__)
