/* SPDX-License-Identifier: Apache-2.0 */
/* Wall-clock time: reading it, and ISO-8601 texts. */
#include "util/clock.h"

#include <errno.h>
#include <time.h>

static uint64_t
read_clock(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t
clock_unix_ms(void)
{
	return read_clock(CLOCK_REALTIME);
}

uint64_t
clock_mono_ms(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

/* printf takes ten times as long, and every row that a viewer is told has several times in it. */
static void
put_number(char *dst, size_t digits, unsigned value)
{
	for (; digits-- > 0; value /= 10)
		dst[digits] = (char)('0' + value % 10);
}

void
clock_iso(uint64_t unix_ms, char dst[CLOCK_ISO_SIZE])
{
	time_t seconds = (time_t)(unix_ms / 1000);
	struct tm tm;

	/* The four-digit year is all that the text has room for: later times show its end. */
	if (seconds > 253402300799)
		seconds = 253402300799;
	(void)gmtime_r(&seconds, &tm);
	put_number(dst, 4, (unsigned)(tm.tm_year + 1900));
	put_number(dst + 5, 2, (unsigned)(tm.tm_mon + 1));
	put_number(dst + 8, 2, (unsigned)tm.tm_mday);
	put_number(dst + 11, 2, (unsigned)tm.tm_hour);
	put_number(dst + 14, 2, (unsigned)tm.tm_min);
	put_number(dst + 17, 2, (unsigned)tm.tm_sec);
	put_number(dst + 20, 3, (unsigned)(unix_ms % 1000));
	dst[4] = dst[7] = '-';
	dst[10] = 'T';
	dst[13] = dst[16] = ':';
	dst[19] = '.';
	dst[23] = 'Z';
	dst[24] = '\0';
}

/* Exactly `digits` digits from the front. */
static int
take_number(struct sv *s, size_t digits, unsigned *ret)
{
	uint64_t value;

	if (s->n < digits || sv_u64((struct sv){s->p, digits}, 9999, &value) < 0)
		return -EBADMSG;
	*ret = (unsigned)value;
	*s = sv_drop(*s, digits);
	return 0;
}

static int
take_char(struct sv *s, char c)
{
	if (s->n == 0 || s->p[0] != c)
		return -EBADMSG;
	*s = sv_drop(*s, 1);
	return 0;
}

static int
days_in_month(unsigned year, unsigned month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

/* Optional `.fraction` (or with a comma) of any length; digits past the milliseconds are dropped.
 */
static int
take_fraction(struct sv *s, unsigned *ret_ms)
{
	unsigned scale = 100, ms = 0;

	*ret_ms = 0;
	if (s->n == 0 || (s->p[0] != '.' && s->p[0] != ','))
		return 0;
	*s = sv_drop(*s, 1);
	if (s->n == 0 || s->p[0] < '0' || s->p[0] > '9')
		return -EBADMSG;
	while (s->n && s->p[0] >= '0' && s->p[0] <= '9') {
		ms += scale * (unsigned)(s->p[0] - '0');
		scale /= 10;
		*s = sv_drop(*s, 1);
	}
	*ret_ms = ms;
	return 0;
}

/* `Z`, `±hh`, `±hhmm`, `±hh:mm` or nothing, up to the end. */
static int
take_zone(struct sv s, int *ret_offset_s)
{
	unsigned hours, minutes = 0;
	int sign;

	*ret_offset_s = 0;
	if (s.n == 0 || sv_eq(s, SV("Z")) || sv_eq(s, SV("z")))
		return 0;
	if (s.p[0] != '+' && s.p[0] != '-')
		return -EBADMSG;
	sign = s.p[0] == '-' ? -1 : 1;
	s = sv_drop(s, 1);
	if (take_number(&s, 2, &hours) < 0)
		return -EBADMSG;
	if (s.n) {
		(void)take_char(&s, ':');
		if (take_number(&s, 2, &minutes) < 0 || s.n)
			return -EBADMSG;
	}
	if (hours > 23 || minutes > 59)
		return -EBADMSG;
	*ret_offset_s = sign * (int)(hours * 3600 + minutes * 60);
	return 0;
}

static int
take_time(struct sv *s, struct tm *tm, unsigned *ret_ms)
{
	unsigned hour, minute, second = 0;

	if (take_number(s, 2, &hour) < 0 || take_char(s, ':') < 0 || take_number(s, 2, &minute) < 0)
		return -EBADMSG;
	if (take_char(s, ':') == 0 &&
	    (take_number(s, 2, &second) < 0 || take_fraction(s, ret_ms) < 0))
		return -EBADMSG;
	if (hour > 23 || minute > 59 || second > 59)
		return -EBADMSG;
	tm->tm_hour = (int)hour;
	tm->tm_min = (int)minute;
	tm->tm_sec = (int)second;
	return 0;
}

int
clock_parse_iso(struct sv s, uint64_t *ret_unix_ms)
{
	unsigned year, month, day, ms = 0;
	struct tm tm = {0};
	int offset_s = 0;
	int64_t seconds;

	if (take_number(&s, 4, &year) < 0 || take_char(&s, '-') < 0 ||
	    take_number(&s, 2, &month) < 0 || take_char(&s, '-') < 0 ||
	    take_number(&s, 2, &day) < 0)
		return -EBADMSG;
	if (year < 1970 || month < 1 || month > 12 || day < 1 ||
	    (int)day > days_in_month(year, month))
		return -EBADMSG;
	tm.tm_year = (int)year - 1900;
	tm.tm_mon = (int)month - 1;
	tm.tm_mday = (int)day;
	if (s.n) {
		if (s.p[0] != 'T' && s.p[0] != 't' && s.p[0] != ' ')
			return -EBADMSG;
		s = sv_drop(s, 1);
		if (take_time(&s, &tm, &ms) < 0 || take_zone(s, &offset_s) < 0)
			return -EBADMSG;
	}
	seconds = (int64_t)timegm(&tm) - offset_s;
	if (seconds < 0)
		return -EBADMSG;
	*ret_unix_ms = (uint64_t)seconds * 1000 + ms;
	return 0;
}
