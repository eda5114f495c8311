/* fs_date: see fs_date.h.  Only arithmetic: gmtime() may take a lock and
 * strftime() follows the locale. */
#include "fs_date.h"

#include <string.h>

#define DAY 86400
#define LAST_SECOND INT64_C(253402300799) /* 9999-12-31 23:59:59 */

typedef struct {
    uint32_t year, month, day; /* month and day count from 1 */
    uint32_t weekday;          /* 0 is Sunday */
    uint32_t hour, minute, second;
} civil;

static int64_t clamp(int64_t seconds)
{
    return seconds < 0 ? 0 : seconds > LAST_SECOND ? LAST_SECOND : seconds;
}

/* Proleptic Gregorian calendar.  Years are counted from 1 March, so the leap
 * day is a year's last; `month` then counts from March, and month lengths
 * repeat as 153 days in every five months. */
static civil split(int64_t seconds)
{
    uint32_t days = (uint32_t)(seconds / DAY);
    uint32_t rest = (uint32_t)(seconds % DAY);
    uint32_t since = days + 719468; /* from 1 March of year 0 to the epoch */
    uint32_t era = since / 146097;  /* of 400 years */
    uint32_t day = since % 146097;
    uint32_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    uint32_t day_of_year = day - (365 * year + year / 4 - year / 100);
    uint32_t month = (5 * day_of_year + 2) / 153;
    civil c;
    c.day = day_of_year - (153 * month + 2) / 5 + 1;
    c.month = month < 10 ? month + 3 : month - 9;
    c.year = era * 400 + year + (c.month <= 2);
    c.weekday = (days + 4) % 7; /* the epoch was a Thursday */
    c.hour = rest / 3600;
    c.minute = rest / 60 % 60;
    c.second = rest % 60;
    return c;
}

static uint8_t *put2(uint8_t *dst, uint32_t v)
{
    dst[0] = (uint8_t)('0' + v / 10);
    dst[1] = (uint8_t)('0' + v % 10);
    return dst + 2;
}

static uint8_t *put_text(uint8_t *dst, const char *text, size_t n)
{
    memcpy(dst, text, n);
    return dst + n;
}

static uint8_t *put_clock(uint8_t *dst, const civil *c)
{
    dst = put2(dst, c->hour);
    *dst++ = ':';
    dst = put2(dst, c->minute);
    *dst++ = ':';
    return put2(dst, c->second);
}

static const char months[] = " Jan  Feb  Mar  Apr  May  Jun  Jul  Aug  Sep  Oct  Nov  Dec ";

void fs_date_http(uint8_t *dst, int64_t seconds)
{
    static const char weekdays[] = "Sun, Mon, Tue, Wed, Thu, Fri, Sat, ";
    civil c = split(clamp(seconds));
    dst = put_text(dst, weekdays + 5 * c.weekday, 5);
    dst = put2(dst, c.day);
    dst = put_text(dst, months + 5 * (c.month - 1), 5);
    dst = put2(put2(dst, c.year / 100), c.year % 100);
    *dst++ = ' ';
    dst = put_clock(dst, &c);
    put_text(dst, " GMT", 4);
}

void fs_date_log(uint8_t *dst, int64_t seconds, int32_t offset)
{
    civil c = split(clamp(clamp(seconds) + offset));
    dst = put2(put2(dst, c.year / 100), c.year % 100);
    *dst++ = '-';
    dst = put2(dst, c.month);
    *dst++ = '-';
    dst = put2(dst, c.day);
    *dst++ = ' ';
    put_clock(dst, &c);
}

void fs_date_common(uint8_t *dst, int64_t seconds, int32_t offset)
{
    civil c = split(clamp(clamp(seconds) + offset));
    uint32_t minutes = offset > -DAY && offset < DAY
                           ? (uint32_t)(offset < 0 ? -offset : offset) / 60 : 0;
    dst = put2(dst, c.day);
    *dst++ = '/';
    dst = put_text(dst, months + 5 * (c.month - 1) + 1, 3);
    *dst++ = '/';
    dst = put2(put2(dst, c.year / 100), c.year % 100);
    *dst++ = ':';
    dst = put_clock(dst, &c);
    *dst++ = ' ';
    *dst++ = offset < 0 && minutes ? '-' : '+';
    put2(put2(dst, minutes / 60), minutes % 60);
}

size_t fs_decimal(uint8_t *dst, uint64_t v)
{
    uint8_t text[20];
    size_t at = sizeof text;
    while (v >= 100) {
        at -= 2;
        put2(text + at, (uint32_t)(v % 100));
        v /= 100;
    }
    if (v >= 10) {
        at -= 2;
        put2(text + at, (uint32_t)v);
    } else {
        text[--at] = (uint8_t)('0' + v);
    }
    memcpy(dst, text + at, sizeof text - at);
    return sizeof text - at;
}
