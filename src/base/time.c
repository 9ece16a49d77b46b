#include "base/time.h"

#include <errno.h>
#include <stdio.h>

#include "base/calendar.h"

#define NSEC 1000000000LL

typedef struct Civil {
    int64_t year;
    int month, day; // from 1
    int hour, minute, second;
    int nanosecond;
} Civil;

static Civil civil_from_unix(int64_t unix_ns) {
    int64_t seconds = unix_ns / NSEC, nanosecond = unix_ns % NSEC;
    if (nanosecond < 0) {
        nanosecond += NSEC;
        seconds--;
    }
    int64_t days = seconds / 86400, rest = seconds % 86400;
    if (rest < 0) {
        rest += 86400;
        days--;
    }
    CalendarDate date = calendar_date(days);
    return (Civil){
        .year = date.year,
        .month = date.month,
        .day = date.day,
        .hour = (int)(rest / 3600),
        .minute = (int)(rest / 60 % 60),
        .second = (int)(rest % 60),
        .nanosecond = (int)nanosecond,
    };
}

static Str format(Arena *arena, int64_t unix_ns, int digits) {
    Civil c = civil_from_unix(unix_ns);
    char fraction[16] = "";
    if (digits) {
        fraction[0] = '.';
        for (int i = 9, rest = c.nanosecond; i > 0; i--, rest /= 10)
            fraction[i] = (char)('0' + rest % 10);
        fraction[1 + digits] = '\0';
    }
    return arena_printf(arena, "%04lld-%02d-%02dT%02d:%02d:%02d%sZ", (long long)c.year, c.month,
                        c.day, c.hour, c.minute, c.second, fraction);
}

Str time_format(Arena *arena, int64_t unix_ns) {
    return format(arena, unix_ns, 0);
}

Str time_format_micro(Arena *arena, int64_t unix_ns) {
    return format(arena, unix_ns, 6);
}

Str time_format_nano(Arena *arena, int64_t unix_ns) {
    int64_t fraction = unix_ns % NSEC;
    int digits = fraction ? 9 : 0;
    while (digits && fraction % 10 == 0) {
        fraction /= 10;
        digits--;
    }
    return format(arena, unix_ns, digits);
}

// Takes exactly `digits` digits whose value lies in [low, high].
static bool take_number(Str *rest, int digits, int low, int high, int *ret) {
    int value = 0;
    if (rest->len < (size_t)digits)
        return false;
    for (int i = 0; i < digits; i++) {
        char c = rest->ptr[i];
        if (c < '0' || c > '9')
            return false;
        value = value * 10 + (c - '0');
    }
    *rest = str_slice(*rest, (size_t)digits, rest->len);
    *ret = value;
    return value >= low && value <= high;
}

static bool take_char(Str *rest, char c) {
    if (!rest->len || rest->ptr[0] != c)
        return false;
    *rest = str_slice(*rest, 1, rest->len);
    return true;
}

// Any number of digits after the point; those past the ninth are dropped.
static bool take_fraction(Str *rest, int *ret) {
    int value = 0, scale = 100000000;
    size_t n = 0;
    for (; n < rest->len && rest->ptr[n] >= '0' && rest->ptr[n] <= '9'; n++) {
        value += (rest->ptr[n] - '0') * scale;
        scale /= 10;
    }
    *rest = str_slice(*rest, n, rest->len);
    *ret = value;
    return n > 0;
}

static bool take_offset(Str *rest, int *ret_seconds) {
    int hours, minutes;
    *ret_seconds = 0;
    if (take_char(rest, 'Z'))
        return true;
    bool west = take_char(rest, '-');
    if (!west && !take_char(rest, '+'))
        return false;
    if (!take_number(rest, 2, 0, 23, &hours) || !take_char(rest, ':') ||
        !take_number(rest, 2, 0, 59, &minutes))
        return false;
    *ret_seconds = (hours * 3600 + minutes * 60) * (west ? -1 : 1);
    return true;
}

int time_parse(Str text, int64_t *ret_unix_ns) {
    Str rest = text;
    int year, month, day, hour, minute, second, fraction = 0, offset;
    if (!take_number(&rest, 4, 0, 9999, &year) || !take_char(&rest, '-') ||
        !take_number(&rest, 2, 1, 12, &month) || !take_char(&rest, '-') ||
        !take_number(&rest, 2, 1, 31, &day) || !take_char(&rest, 'T') ||
        !take_number(&rest, 2, 0, 23, &hour) || !take_char(&rest, ':') ||
        !take_number(&rest, 2, 0, 59, &minute) || !take_char(&rest, ':') ||
        !take_number(&rest, 2, 0, 59, &second))
        return -EINVAL;
    if (take_char(&rest, '.') && !take_fraction(&rest, &fraction))
        return -EINVAL;
    if (!take_offset(&rest, &offset) || rest.len || day > calendar_days_in_month(year, month))
        return -EINVAL;
    int64_t seconds =
        calendar_days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
    __int128 ns = (__int128)seconds * NSEC + fraction;
    *ret_unix_ns = ns < INT64_MIN ? INT64_MIN : ns > INT64_MAX ? INT64_MAX : (int64_t)ns;
    return 0;
}

// "3h4m": the second unit is left out when it is zero.
static Str two_units(Arena *arena, int64_t major, char major_unit, int64_t minor, char minor_unit) {
    if (!minor)
        return arena_printf(arena, "%lld%c", (long long)major, major_unit);
    return arena_printf(arena, "%lld%c%lld%c", (long long)major, major_unit, (long long)minor,
                        minor_unit);
}

Str time_human_duration(Arena *arena, int64_t ns) {
    int64_t seconds = ns / NSEC, minutes = seconds / 60, hours = minutes / 60, days = hours / 24;
    if (seconds < -1)
        return STR("<invalid>");
    if (seconds < 0)
        return STR("0s");
    if (seconds < 120)
        return two_units(arena, seconds, 's', 0, 0);
    if (minutes < 10)
        return two_units(arena, minutes, 'm', seconds % 60, 's');
    if (hours < 3)
        return two_units(arena, minutes, 'm', 0, 0);
    if (hours < 8)
        return two_units(arena, hours, 'h', minutes % 60, 'm');
    if (hours < 48)
        return two_units(arena, hours, 'h', 0, 0);
    if (days < 8)
        return two_units(arena, days, 'd', hours % 24, 'h');
    if (days < 2 * 365)
        return two_units(arena, days, 'd', 0, 0);
    if (days < 8 * 365)
        return two_units(arena, days / 365, 'y', days % 365, 'd');
    return two_units(arena, days / 365, 'y', 0, 0);
}

// `whole` and a fraction of `scale` parts, trailing zeros dropped.
static Str with_fraction(Arena *arena, uint64_t value, uint64_t scale, const char *sign,
                         const char *prefix, const char *unit) {
    char digits[16];
    int n = 0;
    uint64_t rest = value % scale;
    for (uint64_t part = scale / 10; part && rest; part /= 10) {
        digits[n++] = (char)('0' + rest / part);
        rest %= part;
    }
    return arena_printf(arena, "%s%s%llu%s%.*s%s", sign, prefix,
                        (unsigned long long)(value / scale), n ? "." : "", n, digits, unit);
}

Str time_go_duration(Arena *arena, int64_t ns) {
    uint64_t value = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    const char *sign = ns < 0 ? "-" : "";
    if (value == 0)
        return STR("0s");
    if (value < 1000)
        return with_fraction(arena, value, 1, sign, "", "ns");
    if (value < 1000000)
        return with_fraction(arena, value, 1000, sign, "", "µs");
    if (value < (uint64_t)NSEC)
        return with_fraction(arena, value, 1000000, sign, "", "ms");
    uint64_t minutes = value / (60 * (uint64_t)NSEC);
    char prefix[48] = "";
    if (minutes >= 60)
        snprintf(prefix, sizeof prefix, "%lluh%llum", (unsigned long long)(minutes / 60),
                 (unsigned long long)(minutes % 60));
    else if (minutes)
        snprintf(prefix, sizeof prefix, "%llum", (unsigned long long)minutes);
    return with_fraction(arena, value % (60 * (uint64_t)NSEC), NSEC, sign, prefix, "s");
}
