#include "base/time_zone_rule.h"

#include "base/calendar.h"

#define DAY 86400

// ---- parsing

static bool take(Str *rest, char c) {
    if (!rest->len || rest->ptr[0] != c)
        return false;
    *rest = str_slice(*rest, 1, rest->len);
    return true;
}

static bool take_number(Str *rest, int most, int *ret) {
    size_t n = 0;
    *ret = 0;
    for (; n < rest->len && n < 4 && rest->ptr[n] >= '0' && rest->ptr[n] <= '9'; n++)
        *ret = *ret * 10 + (rest->ptr[n] - '0');
    *rest = str_slice(*rest, n, rest->len);
    return n > 0 && *ret <= most;
}

// [+-]hh[:mm[:ss]], up to a week of hours (RFC 9636 section 3.3.2).
static bool take_time(Str *rest, int32_t *ret) {
    int sign = take(rest, '-') ? -1 : 1, hours, minutes = 0, seconds = 0;
    if (sign > 0)
        (void)take(rest, '+');
    if (!take_number(rest, 167, &hours))
        return false;
    if (take(rest, ':') && !take_number(rest, 59, &minutes))
        return false;
    if (take(rest, ':') && !take_number(rest, 59, &seconds))
        return false;
    *ret = sign * (hours * 3600 + minutes * 60 + seconds);
    return true;
}

static bool skip_name(Str *rest) {
    bool quoted = take(rest, '<');
    size_t n = 0;
    while (n < rest->len && (quoted ? rest->ptr[n] != '>'
                                    : (rest->ptr[n] >= 'a' && rest->ptr[n] <= 'z') ||
                                          (rest->ptr[n] >= 'A' && rest->ptr[n] <= 'Z')))
        n++;
    *rest = str_slice(*rest, n, rest->len);
    return n >= 3 && (!quoted || take(rest, '>'));
}

static bool take_date(Str *rest, ZoneDate *ret) {
    bool good;
    if (!take(rest, ','))
        return false;
    if (take(rest, 'M')) {
        ret->form = ZONE_DATE_WEEK;
        good = take_number(rest, 12, &ret->month) && take(rest, '.') &&
               take_number(rest, 5, &ret->week) && take(rest, '.') &&
               take_number(rest, 6, &ret->day) && ret->month && ret->week;
    } else {
        ret->form = take(rest, 'J') ? ZONE_DATE_JULIAN : ZONE_DATE_ZERO;
        good = take_number(rest, 365, &ret->day) && (ret->day || ret->form == ZONE_DATE_ZERO);
    }
    ret->time = 2 * 3600;
    return good && (!take(rest, '/') || take_time(rest, &ret->time));
}

bool zone_rule_parse(Str text, ZoneRule *ret) {
    int32_t west;
    *ret = (ZoneRule){0};
    if (!skip_name(&text) || !take_time(&text, &west))
        return false;
    ret->standard_offset = -west;
    ret->summer_offset = ret->standard_offset + 3600;
    if (text.len) {
        if (!skip_name(&text))
            return false;
        if (text.len && text.ptr[0] != ',') {
            if (!take_time(&text, &west))
                return false;
            ret->summer_offset = -west;
        }
        ret->summer = true;
        if (!take_date(&text, &ret->start) || !take_date(&text, &ret->end) || text.len)
            return false;
    }
    ret->known = true;
    return true;
}

// ---- asking

static int64_t day_of(const ZoneDate *date, int64_t year) {
    int64_t first = calendar_days(year, 1, 1);
    if (date->form == ZONE_DATE_ZERO)
        return first + date->day;
    if (date->form == ZONE_DATE_JULIAN) // February 29 is never counted
        return first + date->day - 1 + (calendar_days_in_month(year, 2) == 29 && date->day > 59);
    int64_t day = calendar_days(year, date->month, 1);
    int64_t last = day + calendar_days_in_month(year, date->month) - 1;
    day += (date->day - calendar_weekday(day) + 7) % 7 + (date->week - 1) * 7;
    return day > last ? day - 7 : day; // the fifth is the last, be it the fourth
}

int32_t zone_rule_offset(const ZoneRule *rule, int64_t at, int64_t *ret_until) {
    *ret_until = INT64_MAX;
    if (!rule->summer)
        return rule->standard_offset;
    int64_t days = (at + rule->standard_offset) / DAY - ((at + rule->standard_offset) % DAY < 0);
    int64_t year = calendar_date(days).year, since = INT64_MIN;
    int32_t offset = rule->standard_offset;
    for (int64_t y = year - 1; y <= year + 1; y++) {
        int64_t start = day_of(&rule->start, y) * DAY + rule->start.time - rule->standard_offset;
        int64_t end = day_of(&rule->end, y) * DAY + rule->end.time - rule->summer_offset;
        if (start <= at && start > since) {
            since = start;
            offset = rule->summer_offset;
        }
        if (end <= at && end > since) {
            since = end;
            offset = rule->standard_offset;
        }
        if (start > at && start < *ret_until)
            *ret_until = start;
        if (end > at && end < *ret_until)
            *ret_until = end;
    }
    return offset;
}
