/* Dates for scripts, without clock, zone or locale: numbers are ms since 1970 in UTC. */
#include <lualib.h>
#include <time.h>

#include "base/base_assert.h"
#include "base/base_plat.h"
#include "script/script_lib_impl.h"

#define DAY_S INT64_C(86400)
#define FIRST_MS (INT64_C(-62135596800) * 1000)    /* of year 1 */
#define LAST_MS (INT64_C(253402300800) * 1000 - 1) /* of year 9999 */
#define ZONE_MINUTES (14 * 60)                     /* as far as XML Schema lets a zone be */

/* date.stamp(ms) */
static int date_stamp(lua_State *L)
{
    const lua_Integer ms = luaL_checkinteger(L, 1);
    luaL_argcheck(L, ms >= FIRST_MS && ms <= LAST_MS, 1, "not in the years 1 to 9999");
    char text[32];
    const sv_str stamp = svi_plat_stamp_ms(ms, text);
    lua_pushlstring(L, stamp.p, stamp.n);
    return 1;
}

/* Takes exactly `digits` digits off the front of the text. */
static bool take_number(sv_str *rest, size_t digits, int64_t low, int64_t high, int64_t *value_out)
{
    if (rest->n < digits) return false;
    int64_t value = 0;
    for (size_t i = 0; i < digits; i++) {
        const char c = rest->p[i];
        if (c < '0' || c > '9') return false;
        value = value * 10 + (c - '0');
    }
    *rest = (sv_str){rest->p + digits, rest->n - digits};
    *value_out = value;
    return value >= low && value <= high;
}

static bool take(sv_str *rest, char c)
{
    if (rest->n == 0 || *rest->p != c) return false;
    *rest = (sv_str){rest->p + 1, rest->n - 1};
    return true;
}

static bool is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* "2026-01-31" to days since 1970. */
static bool take_day(sv_str *rest, int64_t *days_out)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};
    int64_t year, month, day;
    if (!take_number(rest, 4, 1, 9999, &year) || !take(rest, '-')) return false;
    if (!take_number(rest, 2, 1, 12, &month) || !take(rest, '-')) return false;
    const int64_t leap = is_leap(year) ? 1 : 0;
    if (!take_number(rest, 2, 1, before[month] - before[month - 1] + (month == 2 ? leap : 0), &day))
        return false;
    const int64_t years = year - 1;
    *days_out = years * 365 + years / 4 - years / 100 + years / 400 + before[month - 1] +
                (month > 2 ? leap : 0) + day - 1 - 719162;
    return true;
}

/* "23:59:59.250" to ms of the day. "24:00:00" is the end of the day (XML Schema's dateTime); there
 * are no leap seconds. */
static bool take_time(sv_str *rest, int64_t *ms_out)
{
    int64_t hour, minute, second, digit, fraction = 0;
    if (!take_number(rest, 2, 0, 24, &hour) || !take(rest, ':')) return false;
    if (!take_number(rest, 2, 0, 59, &minute) || !take(rest, ':')) return false;
    if (!take_number(rest, 2, 0, 59, &second)) return false;
    bool has_more = false;
    if (take(rest, '.')) {
        if (rest->n == 0 || *rest->p < '0' || *rest->p > '9') return false;
        for (int64_t unit = 100; take_number(rest, 1, 0, 9, &digit); unit /= 10) {
            fraction += digit * unit;
            has_more |= digit > 0;
        }
    }
    *ms_out = ((hour * 60 + minute) * 60 + second) * 1000 + fraction;
    return hour < 24 || (minute == 0 && second == 0 && !has_more);
}

/* "Z", "+01:00" to minutes ahead of UTC. */
static bool take_zone(sv_str *rest, int64_t *minutes_out)
{
    int64_t hours, minutes;
    *minutes_out = 0;
    if (take(rest, 'Z')) return true;
    const bool is_behind = rest->n > 0 && *rest->p == '-';
    if (!take(rest, is_behind ? '-' : '+')) return false;
    if (!take_number(rest, 2, 0, 14, &hours) || !take(rest, ':') ||
        !take_number(rest, 2, 0, 59, &minutes))
        return false;
    const int64_t all = hours * 60 + minutes;
    *minutes_out = is_behind ? -all : all;
    return all <= ZONE_MINUTES;
}

/* date.parse(text): XEP-0082 3.2; nil if it is none. */
static int date_parse(lua_State *L)
{
    sv_str rest = svi_script_text(L, 1);
    int64_t days, ms, zone;
    if (!take_day(&rest, &days) || !take(&rest, 'T') || !take_time(&rest, &ms) ||
        !take_zone(&rest, &zone) || rest.n > 0)
        return svi_script_refuse(L, "not a date and time like 2026-01-31T23:59:59Z (XEP-0082)");
    lua_pushinteger(L, days * DAY_S * 1000 + ms - zone * 60000);
    return 1;
}

/* date.fields(ms [, offset_minutes]): weekdays count from Monday, which is 1. */
static int date_fields(lua_State *L)
{
    const lua_Integer ms = luaL_checkinteger(L, 1), offset = luaL_optinteger(L, 2, 0);
    luaL_argcheck(L, offset >= -ZONE_MINUTES && offset <= ZONE_MINUTES, 2,
                  "minutes ahead of UTC, at most 14 hours");
    luaL_argcheck(L, ms >= FIRST_MS + ZONE_MINUTES * 60000 && ms <= LAST_MS - ZONE_MINUTES * 60000,
                  1, "not in the years 1 to 9999");
    const int64_t local = ms + offset * 60000;
    const time_t seconds = (time_t)(local / 1000 - (local % 1000 < 0));
    struct tm tm;
    const struct tm *utc = gmtime_r(&seconds, &tm);
    SV_ASSERT(utc != NULL);
    const struct {
        const char *name;
        int value;
    } fields[] = {{"year", tm.tm_year + 1900},
                  {"month", tm.tm_mon + 1},
                  {"day", tm.tm_mday},
                  {"hour", tm.tm_hour},
                  {"minute", tm.tm_min},
                  {"second", tm.tm_sec},
                  {"weekday", tm.tm_wday == 0 ? 7 : tm.tm_wday}};
    lua_createtable(L, 0, 7);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        lua_pushinteger(L, fields[i].value);
        lua_setfield(L, -2, fields[i].name);
    }
    return 1;
}

void svi_script_lib_date(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"stamp", date_stamp}, {"parse", date_parse}, {"fields", date_fields}, {NULL, NULL}};
    luaL_newlib(L, functions);
}
