#pragma once
// Days and dates of the proleptic Gregorian calendar. Days count from 1970-01-01.

#include <stdint.h>

typedef struct CalendarDate {
    int64_t year;
    int month, day; // from 1
} CalendarDate;

int64_t calendar_days(int64_t year, int month, int day);
CalendarDate calendar_date(int64_t days);
int calendar_weekday(int64_t days); // 0 is Sunday
int calendar_days_in_month(int64_t year, int month);
