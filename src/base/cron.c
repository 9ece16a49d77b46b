#include "base/cron.h"

#include "base/calendar.h"

#define NSEC 1000000000LL
#define DAY 86400
#define YEARS 5 // to look ahead

// ---- fields

typedef struct Bounds {
    int64_t low, high;
    const char *names; // three letters each, or NULL
} Bounds;

static const Bounds minutes = {0, 59, NULL}, hours = {0, 23, NULL}, days = {1, 31, NULL},
                    months = {1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"},
                    weekdays = {0, 6, "sunmontuewedthufrisat"};

typedef struct Range {
    uint64_t bits;
    bool star;
} Range;

static const char *parse_int(Arena *arena, Str text, int64_t *ret) {
    Str digits = text.len && (text.ptr[0] == '+') ? str_slice(text, 1, text.len) : text;
    if (str_to_i64(digits, ret) != 0)
        return arena_printf(arena,
                            "failed to parse int from %.*s: strconv.Atoi: parsing \"%.*s\": "
                            "invalid syntax",
                            STR_ARG(text), STR_ARG(text))
            .ptr;
    if (*ret < 0)
        return arena_printf(arena, "negative number (%lld) not allowed: %.*s", (long long)*ret,
                            STR_ARG(text))
            .ptr;
    return NULL;
}

static const char *parse_value(Arena *arena, Str text, const Bounds *bounds, int64_t *ret) {
    for (int64_t i = bounds->low; bounds->names && i <= bounds->high; i++) {
        if (str_eq_nocase(text, str_of(bounds->names + (i - bounds->low) * 3, 3))) {
            *ret = i;
            return NULL;
        }
    }
    return parse_int(arena, text, ret);
}

static const char *check_range(Arena *arena, Str text, const Bounds *bounds, int64_t start,
                               int64_t end, int64_t step) {
    long long s = start, e = end, low = bounds->low, high = bounds->high;
    if (start < bounds->low)
        return arena_printf(arena, "beginning of range (%lld) below minimum (%lld): %.*s", s, low,
                            STR_ARG(text))
            .ptr;
    if (end > bounds->high)
        return arena_printf(arena, "end of range (%lld) above maximum (%lld): %.*s", e, high,
                            STR_ARG(text))
            .ptr;
    if (start > end)
        return arena_printf(arena, "beginning of range (%lld) beyond end of range (%lld): %.*s", s,
                            e, STR_ARG(text))
            .ptr;
    if (step == 0)
        return arena_printf(arena, "step of range should be a positive number: %.*s", STR_ARG(text))
            .ptr;
    return NULL;
}

// "*", "5", "1-5", and each with "/STEP".
static const char *parse_range(Arena *arena, Str text, const Bounds *bounds, Range *into) {
    Str step_text = text, span = str_cut(&step_text, '/');
    Str last = span, first = str_cut(&last, '-');
    int64_t start = bounds->low, end = bounds->high, step = 1;
    bool star = str_eq(first, STR("*")) || str_eq(first, STR("?"));
    const char *problem = NULL;
    if (!star) {
        problem = parse_value(arena, first, bounds, &start);
        end = start;
        if (!problem && last.ptr && str_find(last, '-') >= 0)
            problem = arena_printf(arena, "too many hyphens: %.*s", STR_ARG(text)).ptr;
        else if (!problem && last.ptr)
            problem = parse_value(arena, last, bounds, &end);
    }
    if (!problem && step_text.ptr && str_find(step_text, '/') >= 0)
        problem = arena_printf(arena, "too many slashes: %.*s", STR_ARG(text)).ptr;
    else if (!problem && step_text.ptr)
        problem = parse_int(arena, step_text, &step);
    if (!problem && step_text.ptr && !last.ptr)
        end = bounds->high; // "5/15" goes on to the end
    if (!problem)
        problem = check_range(arena, text, bounds, start, end, step);
    if (step > bounds->high)
        step = bounds->high + 1; // which leads past the end as well
    for (int64_t i = start; !problem && i <= end; i += step)
        into->bits |= 1ULL << i;
    into->star = into->star || (star && step <= 1);
    return problem;
}

static const char *parse_field(Arena *arena, Str text, const Bounds *bounds, Range *ret) {
    *ret = (Range){0};
    while (text.ptr) {
        Str part = str_cut(&text, ',');
        const char *problem = part.len ? parse_range(arena, part, bounds, ret) : NULL;
        if (problem)
            return problem;
    }
    return NULL;
}

// ---- words

static bool take_unit(Str *rest, int64_t *ret) {
    static const struct {
        Str name;
        int64_t ns;
    } units[] = {{{"ns", 2}, 1},       {{"us", 2}, 1000},       {{"\xc2\xb5s", 3}, 1000},
                 {{"ms", 2}, 1000000}, {{"h", 1}, 3600 * NSEC}, {{"m", 1}, 60 * NSEC},
                 {{"s", 1}, NSEC}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (!str_starts_with(*rest, units[i].name))
            continue;
        *rest = str_slice(*rest, units[i].name.len, rest->len);
        *ret = units[i].ns;
        return true;
    }
    return false;
}

// A duration as Go writes them: "1h30m", "1.5h". False when it is none, or over a hundred years.
static bool parse_duration(Str text, int64_t *ret_ns) {
    double total = 0;
    if (!text.len)
        return false;
    while (text.len) {
        double number = 0, scale = 1;
        bool digits = false, point = false;
        for (; text.len &&
               ((text.ptr[0] >= '0' && text.ptr[0] <= '9') || (text.ptr[0] == '.' && !point));
             text = str_slice(text, 1, text.len)) {
            if (text.ptr[0] == '.') {
                point = true;
                continue;
            }
            digits = true;
            number = number * 10 + (text.ptr[0] - '0');
            scale *= point ? 10 : 1;
        }
        int64_t unit;
        if (!digits || !take_unit(&text, &unit))
            return false;
        total += number / scale * (double)unit;
        if (total > 100.0 * 366 * DAY * NSEC)
            return false;
    }
    *ret_ns = (int64_t)total;
    return true;
}

static const char *parse_word(Arena *arena, Str text, CronSchedule *ret) {
    static const struct {
        const char *word, *fields;
    } words[] = {{"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
                 {"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},    {"@midnight", "0 0 * * *"},
                 {"@hourly", "0 * * * *"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (str_eq(text, str_from(words[i].word)))
            return cron_parse(arena, str_from(words[i].fields), ret);
    Str every = STR("@every ");
    if (!str_starts_with(text, every))
        return arena_printf(arena, "unrecognized descriptor: %.*s", STR_ARG(text)).ptr;
    Str length = str_slice(text, every.len, text.len);
    int64_t ns;
    if (!parse_duration(length, &ns))
        return arena_printf(arena, "failed to parse duration %.*s: time: invalid duration \"%.*s\"",
                            STR_ARG(text), STR_ARG(length))
            .ptr;
    ret->every_ns = ns < NSEC ? NSEC : ns - ns % NSEC; // whole seconds, and at least one
    return NULL;
}

// ---- the whole

#define MOST_FIELDS 16 // of those that are too many, so many are counted

static size_t split(Str text, Str *fields) {
    size_t n = 0, start = 0;
    for (size_t i = 0; i <= text.len; i++) {
        bool blank = i == text.len || (text.ptr[i] && strchr(" \t\n\v\f\r", text.ptr[i]));
        if (!blank)
            continue;
        if (i > start && n < MOST_FIELDS)
            fields[n++] = str_slice(text, start, i);
        start = i + 1;
    }
    return n;
}

const char *cron_parse(Arena *arena, Str text, CronSchedule *ret) {
    *ret = (CronSchedule){0};
    Str fields[MOST_FIELDS];
    if (!text.len)
        return "empty spec string";
    if (str_starts_with(text, STR("TZ=")) || str_starts_with(text, STR("CRON_TZ="))) {
        (void)str_cut(&text, ' ');
        text = text.ptr ? str_trim(text) : STR("");
    }
    if (str_starts_with(text, STR("@")))
        return parse_word(arena, text, ret);
    size_t n = split(text, fields);
    if (n != 5)
        return arena_printf(arena, "expected exactly 5 fields, found %zu: [%.*s]", n,
                            STR_ARG(arena_concat(arena, fields, n, STR(" "))))
            .ptr;
    const Bounds *const bounds[] = {&minutes, &hours, &days, &months, &weekdays};
    Range ranges[5];
    for (size_t i = 0; i < 5; i++) {
        const char *problem = parse_field(arena, fields[i], bounds[i], &ranges[i]);
        if (problem)
            return problem;
    }
    *ret = (CronSchedule){
        .minutes = ranges[0].bits,
        .hours = ranges[1].bits,
        .days = ranges[2].bits,
        .months = ranges[3].bits,
        .weekdays = ranges[4].bits,
        .any_day = ranges[2].star,
        .any_weekday = ranges[4].star,
    };
    return NULL;
}

// ---- when next

static bool day_fits(const CronSchedule *s, int64_t day) {
    CalendarDate date = calendar_date(day);
    bool month_day = s->days >> date.day & 1, weekday = s->weekdays >> calendar_weekday(day) & 1;
    if (!(s->months >> date.month & 1))
        return false;
    return s->any_day || s->any_weekday ? month_day && weekday : month_day || weekday;
}

// The first fitting minute of the day from `minute` on, or -1.
static int minute_of_day(const CronSchedule *s, int minute) {
    for (; minute < 24 * 60; minute++) {
        if (!(s->hours >> (minute / 60) & 1))
            minute += 59 - minute % 60;
        else if (s->minutes >> (minute % 60) & 1)
            return minute;
    }
    return -1;
}

// The first fitting time on the clock in [from, until), in seconds since 1970 by that clock;
// INT64_MAX when there is none.
static int64_t next_on_clock(const CronSchedule *s, int64_t from, int64_t until) {
    from += (60 - from % 60) % 60;
    int64_t day = from / DAY;
    int minute = (int)(from % DAY / 60);
    for (; day * DAY < until; day++, minute = 0) {
        int found = day_fits(s, day) ? minute_of_day(s, minute) : -1;
        int64_t at = day * DAY + found * 60;
        if (found >= 0)
            return at < until ? at : INT64_MAX;
    }
    return INT64_MAX;
}

int64_t cron_next(const CronSchedule *schedule, const TimeZone *zone, int64_t after) {
    if (after < 2 * DAY * NSEC)
        after = 2 * DAY * NSEC; // so that no clock shows a time before 1970
    int64_t at = after / NSEC + 1, end = at + (int64_t)YEARS * 366 * DAY;
    if (schedule->every_ns)
        return (after - after % NSEC) + schedule->every_ns;
    // Between two changes of the zone's offset the clock runs evenly.
    while (at < end && end < INT64_MAX / NSEC) {
        int64_t until;
        int32_t offset = time_zone_offset(zone, at, &until);
        if (until > end)
            until = end;
        int64_t found = next_on_clock(schedule, at + offset, until + offset);
        if (found != INT64_MAX)
            return (found - offset) * NSEC;
        at = until;
    }
    return INT64_MAX;
}
