/* time.c: fastr.time, the scripts' only clock: UTC, with the shift that tests apply (fastr_wall_us). */
#include <event2/event.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bindings/util.h"

#define LEAST_MS (-62167219200000) /* 0000-01-01T00:00:00Z: what four digits of a year can say */
#define MOST_MS 253402300799999    /* 9999-12-31T23:59:59.999Z */
#define MOST_SLEEP_MS 86400000

static int64_t now_ms(void)
{
    return fastr_wall_us() / 1000;
}

static int push_iso(lua_State *L, int64_t ms)
{
    struct tm tm;
    char text[64];
    int64_t rest = ((ms % 1000) + 1000) % 1000;
    time_t seconds = (time_t)((ms - rest) / 1000);
    gmtime_r(&seconds, &tm);
    int length = snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1,
                          tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)rest);
    lua_pushlstring(L, text, (size_t)length);
    return 1;
}

/* time.now(): the time as "2026-11-23T09:30:00.123Z". */
static int time_now(lua_State *L)
{
    return push_iso(L, now_ms());
}

/* time.unix_ms(): milliseconds since 1970 in UTC, an integer. */
static int time_unix_ms(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)now_ms());
    return 1;
}

/* time.iso(ms): that time as time.now gives it. Raises outside the years 0 to 9999 and for fractions. */
static int time_iso(lua_State *L)
{
    return push_iso(L, fastr_check_int(L, 1, LEAST_MS, MOST_MS));
}

/* ---- parsing (RFC 3339, section 5.6) -------------------------------------------------------------------------- */

/* `digits` digits at *at as a number from least to most; moves past them. -1 if they are not that. */
static int read_number(const char **at, int digits, int least, int most)
{
    int value = 0;
    for (int i = 0; i < digits; i++) {
        if ((*at)[i] < '0' || (*at)[i] > '9')
            return -1;
        value = value * 10 + ((*at)[i] - '0');
    }
    if (value < least || value > most)
        return -1;
    *at += digits;
    return value;
}

static bool skip(const char **at, const char *any)
{
    if (!**at || !strchr(any, **at))
        return false;
    (*at)++;
    return true;
}

static int days_of_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

static const char *read_date(const char **at, struct tm *tm)
{
    int year = read_number(at, 4, 0, 9999);
    if (year < 0 || !skip(at, "-"))
        return "a date YYYY-MM-DD expected";
    int month = read_number(at, 2, 1, 12);
    if (month < 0 || !skip(at, "-"))
        return "a month from 01 to 12 expected";
    int day = read_number(at, 2, 1, days_of_month(year, month));
    if (day < 0)
        return "a day of that month expected";
    tm->tm_year = year - 1900;
    tm->tm_mon = month - 1;
    tm->tm_mday = day;
    return NULL;
}

static const char *read_clock(const char **at, struct tm *tm)
{
    if (!skip(at, "Tt"))
        return "'T' between date and time expected";
    tm->tm_hour = read_number(at, 2, 0, 23);
    if (tm->tm_hour < 0 || !skip(at, ":"))
        return "an hour from 00 to 23 and ':' expected";
    tm->tm_min = read_number(at, 2, 0, 59);
    if (tm->tm_min < 0 || !skip(at, ":"))
        return "a minute from 00 to 59 and ':' expected";
    tm->tm_sec = read_number(at, 2, 0, 60);
    return tm->tm_sec < 0 ? "a second from 00 to 59 expected" : NULL;
}

/* ".5": any number of digits, of which three count. */
static const char *read_fraction(const char **at, int *ms)
{
    int weight = 100;
    if (!skip(at, "."))
        return NULL;
    if (**at < '0' || **at > '9')
        return "digits after '.' expected";
    for (; **at >= '0' && **at <= '9'; (*at)++, weight /= 10)
        *ms += (**at - '0') * weight;
    return NULL;
}

static const char *read_offset(const char **at, int *minutes)
{
    if (skip(at, "Zz"))
        return NULL;
    int sign = **at == '-' ? -1 : 1;
    if (!skip(at, "+-"))
        return "'Z' or an offset like +01:00 expected";
    int hours = read_number(at, 2, 0, 23);
    bool colon = hours >= 0 && skip(at, ":");
    int rest = colon ? read_number(at, 2, 0, 59) : -1;
    if (rest < 0)
        return "an offset from -23:59 to +23:59 expected";
    *minutes = sign * (hours * 60 + rest);
    return NULL;
}

/* NULL and *ms, or what was expected at *at. A leap second (23:59:60 UTC) is the first moment after it. */
static const char *read_time(const char **at, int64_t *ms)
{
    struct tm tm = {0};
    int fraction = 0, offset = 0;
    const char *problem = read_date(at, &tm);
    if (!problem)
        problem = read_clock(at, &tm);
    if (!problem)
        problem = read_fraction(at, &fraction);
    if (!problem)
        problem = read_offset(at, &offset);
    if (problem || **at)
        return problem ? problem : "the end expected";
    bool leap_second = tm.tm_sec == 60;
    int64_t seconds = (int64_t)timegm(&tm) - offset * 60;
    if (leap_second && seconds % 86400 != 0)
        return "second 60 is only at 23:59 UTC";
    *ms = seconds * 1000 + (leap_second ? 0 : fraction);
    return NULL;
}

/* time.parse(text): an RFC 3339 time with its offset, as milliseconds since 1970 in UTC; finer digits are cut off.
 * Returns nil, "what is expected at character N", "invalid" for anything else. Raises if `text` is no text. */
static int time_parse(lua_State *L)
{
    size_t length;
    int64_t ms = 0;
    luaL_checktype(L, 1, LUA_TSTRING);
    const char *text = lua_tolstring(L, 1, &length), *at = text;
    const char *problem = length > 64 ? "a time of at most 64 characters expected" : read_time(&at, &ms);
    if (!problem && at != text + length)
        problem = "the end expected";
    if (problem)
        return fastr_push_error(L, "invalid", "%s at character %d", problem, (int)(at - text) + 1);
    lua_pushnumber(L, (lua_Number)ms);
    return 1;
}

/* ---- sleeping ------------------------------------------------------------------------------------------------- */

struct sleep {
    struct fastr_wait wait;
    struct event *timer;
};

static void free_sleep(struct fastr_wait *wait)
{
    struct sleep *sleep = (struct sleep *)wait;
    event_free(sleep->timer);
    free(sleep);
}

/* L is NULL when the task went away after the wake. */
static int finish_sleep(lua_State *L, struct fastr_wait *wait)
{
    free_sleep(wait);
    if (L)
        lua_pushboolean(L, 1);
    return 1;
}

static void on_timer(evutil_socket_t descriptor, short events, void *data)
{
    struct sleep *sleep = data;
    fastr_wake(&sleep->wait);
}

/* time.sleep(ms): waits that long (0 to 86,400,000), by the loop's clock, whose ticks are a few milliseconds apart
 * (CLOCK_MONOTONIC_COARSE); returns true. Not shifted by the tests' clock. Raises where
 * waiting is illegal. */
static int time_sleep(lua_State *L)
{
    int64_t ms = fastr_check_int(L, 1, 0, MOST_SLEEP_MS);
    fastr_check_wait(L, "time.sleep");
    struct sleep *sleep = fastr_zalloc(sizeof *sleep);
    struct timeval delay = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    sleep->wait.finish = finish_sleep;
    sleep->wait.cancel = free_sleep;
    sleep->timer = evtimer_new(fastr_loop(), on_timer, sleep);
    evtimer_add(sleep->timer, &delay);
    return fastr_suspend(L, &sleep->wait);
}

static const luaL_Reg functions[] = {
    {"now", time_now},
    {"unix_ms", time_unix_ms},
    {"iso", time_iso},
    {"parse", time_parse},
    {"sleep", time_sleep},
    {NULL, NULL},
};

static int open_time(lua_State *L)
{
    lua_newtable(L);
    luaL_setfuncs(L, functions, 0);
    return 1;
}

const struct fastr_binding fastr_binding_time = {.name = "time", .open = open_time};
