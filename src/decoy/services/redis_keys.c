/* SPDX-License-Identifier: Apache-2.0 */
/* Redis commands on keys: strings only, kept for the session. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "decoy/services/redis.h"

#define NOT_INT	  "-ERR value is not an integer or out of range\r\n"
#define VALUE_MAX 8192 /* of what APPEND and INCR make */

static bool
get(const struct redis *s, const struct decoy_io *io, struct sv key, struct keep_entry *ret)
{
	return keep_get(&s->keep, s->db, key, io->now_ms, ret);
}

static int
put(struct redis *s, struct decoy_io *io, struct sv key, struct sv value, uint64_t expires_ms,
    const char *answer)
{
	int r = keep_put(&s->keep, s->db, key, value, expires_ms);

	return redis_say(io, r < 0 ? REDIS_OOM : answer);
}

static bool
is_command(const struct resp_command *c, const char *name)
{
	return sv_eq_ci(c->argv[0], sv_from(name));
}

/* A time to live, in units of `unit_ms`. */
static bool
life(struct sv word, uint64_t unit_ms, const struct decoy_io *io, uint64_t *ret_ms)
{
	uint64_t n;

	if (sv_u64(word, UINT32_MAX, &n) < 0)
		return false;
	*ret_ms = io->now_ms + n * unit_ms;
	return true;
}

int
redis_run_set(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	bool nx = false, xx = false, keep_ttl = false, want_old = false;
	uint64_t expires_ms = 0;
	struct keep_entry old;
	bool have = get(s, io, c->argv[1], &old);
	int r;

	for (unsigned i = 3; i < c->argc; i++) {
		struct sv word = c->argv[i];
		bool seconds = sv_eq_ci(word, SV("EX")), millis = sv_eq_ci(word, SV("PX"));

		nx |= sv_eq_ci(word, SV("NX"));
		xx |= sv_eq_ci(word, SV("XX"));
		keep_ttl |= sv_eq_ci(word, SV("KEEPTTL"));
		want_old |= sv_eq_ci(word, SV("GET"));
		if ((seconds || millis) && i + 1 < c->argc) {
			if (!life(c->argv[++i], seconds ? 1000 : 1, io, &expires_ms))
				return redis_say(io, NOT_INT);
		} else if (!sv_eq_ci(word, SV("NX")) && !sv_eq_ci(word, SV("XX")) &&
			   !sv_eq_ci(word, SV("GET")) && !sv_eq_ci(word, SV("KEEPTTL"))) {
			return redis_say(io, "-ERR syntax error\r\n");
		}
	}
	if (keep_ttl && have)
		expires_ms = old.expires_ms;
	if ((nx && have) || (xx && !have))
		return want_old && have ? redis_bulk(io, old.value) : redis_nil(s, io);
	if (!want_old)
		return put(s, io, c->argv[1], c->argv[2], expires_ms, "+OK\r\n");
	r = have ? redis_bulk(io, old.value) : redis_nil(s, io);
	return r < 0 ? r : put(s, io, c->argv[1], c->argv[2], expires_ms, "");
}

int
redis_run_setnx(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	struct keep_entry old;

	if (get(s, io, c->argv[1], &old))
		return redis_number(io, 0);
	return put(s, io, c->argv[1], c->argv[2], 0, ":1\r\n");
}

int
redis_run_setex(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	uint64_t expires_ms;

	if (!life(c->argv[2], is_command(c, "setex") ? 1000 : 1, io, &expires_ms))
		return redis_say(io, NOT_INT);
	return put(s, io, c->argv[1], c->argv[3], expires_ms, "+OK\r\n");
}

int
redis_run_mset(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	if (c->total % 2 == 0)
		return redis_say(io, "-ERR wrong number of arguments for 'mset' command\r\n");
	for (unsigned i = 1; i + 1 < c->argc; i += 2)
		if (keep_put(&s->keep, s->db, c->argv[i], c->argv[i + 1], 0) < 0)
			return redis_say(io, REDIS_OOM);
	return redis_say(io, "+OK\r\n");
}

int
redis_run_get(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	struct keep_entry e;

	return get(s, io, c->argv[1], &e) ? redis_bulk(io, e.value) : redis_nil(s, io);
}

int
redis_run_getset(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	int r = redis_run_get(s, io, c);

	return r < 0 ? r : put(s, io, c->argv[1], c->argv[2], 0, "");
}

int
redis_run_mget(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	struct keep_entry e;
	int r = redis_header(io, '*', c->argc - 1);

	for (unsigned i = 1; r == 0 && i < c->argc; i++)
		r = get(s, io, c->argv[i], &e) ? redis_bulk(io, e.value) : redis_nil(s, io);
	return r;
}

int
redis_run_strlen(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	struct keep_entry e;

	return redis_number(io, get(s, io, c->argv[1], &e) ? (int64_t)e.value.n : 0);
}

int
redis_run_append(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	struct keep_entry e = {.value = {"", 0}};
	char whole[VALUE_MAX];
	bool have = get(s, io, c->argv[1], &e);
	size_t old = have ? e.value.n : 0;

	if (old > sizeof(whole) || c->argv[2].n > sizeof(whole) - old)
		return redis_say(io, REDIS_OOM);
	if (old)
		memcpy(whole, e.value.p, old);
	if (c->argv[2].n)
		memcpy(whole + old, c->argv[2].p, c->argv[2].n);
	old += c->argv[2].n;
	if (keep_put(&s->keep, s->db, c->argv[1], (struct sv){whole, old},
		     have ? e.expires_ms : 0) < 0)
		return redis_say(io, REDIS_OOM);
	return redis_number(io, (int64_t)old);
}

static bool
integer(struct sv word, int64_t *ret)
{
	bool negative = word.n > 0 && word.p[0] == '-';
	uint64_t n;

	if (sv_u64(negative ? sv_drop(word, 1) : word, INT32_MAX, &n) < 0)
		return false;
	*ret = negative ? -(int64_t)n : (int64_t)n;
	return true;
}

int
redis_run_incr(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	bool down = is_command(c, "decr") || is_command(c, "decrby");
	struct keep_entry e = {.expires_ms = 0};
	int64_t value = 0, by = 1;
	char text[24];
	int r;

	if (c->argc == 3 && !integer(c->argv[2], &by))
		return redis_say(io, NOT_INT);
	if (get(s, io, c->argv[1], &e) && !integer(e.value, &value))
		return redis_say(io, NOT_INT);
	value += down ? -by : by;
	(void)snprintf(text, sizeof(text), "%" PRId64, value);
	r = keep_put(&s->keep, s->db, c->argv[1], sv_from(text), e.expires_ms);
	return r < 0 ? redis_say(io, REDIS_OOM) : redis_number(io, value);
}

int
redis_run_del(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	int64_t n = 0;

	for (unsigned i = 1; i < c->argc; i++)
		n += keep_del(&s->keep, s->db, c->argv[i], io->now_ms);
	return redis_number(io, n);
}

int
redis_run_exists(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	struct keep_entry e;
	int64_t n = 0;

	for (unsigned i = 1; i < c->argc; i++)
		n += get(s, io, c->argv[i], &e);
	return redis_number(io, n);
}

int
redis_run_type(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	struct keep_entry e;

	return redis_say(io, get(s, io, c->argv[1], &e) ? "+string\r\n" : "+none\r\n");
}

int
redis_run_rename(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	struct keep_entry e;
	char value[KEEP_BYTES];
	struct sv copy;

	if (!get(s, io, c->argv[1], &e))
		return redis_say(io, "-ERR no such key\r\n");
	copy = (struct sv){value, e.value.n};
	if (copy.n)
		memcpy(value, e.value.p, copy.n);
	(void)keep_del(&s->keep, s->db, c->argv[1], io->now_ms);
	return put(s, io, c->argv[2], copy, e.expires_ms, "+OK\r\n");
}

static int
set_life(struct redis *s, struct decoy_io *io, struct sv key, uint64_t expires_ms)
{
	struct keep_entry e;
	char value[KEEP_BYTES];
	struct sv copy;

	if (!get(s, io, key, &e))
		return redis_number(io, 0);
	copy = (struct sv){value, e.value.n};
	if (copy.n)
		memcpy(value, e.value.p, copy.n);
	return put(s, io, key, copy, expires_ms, ":1\r\n");
}

int
redis_run_expire(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	uint64_t expires_ms;

	if (!life(c->argv[2], is_command(c, "expire") ? 1000 : 1, io, &expires_ms))
		return redis_say(io, NOT_INT);
	return set_life(s, io, c->argv[1], expires_ms);
}

int
redis_run_persist(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	struct keep_entry e;

	if (!get(s, io, c->argv[1], &e) || e.expires_ms == 0)
		return redis_number(io, 0);
	return set_life(s, io, c->argv[1], 0);
}

int
redis_run_ttl(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	bool seconds = is_command(c, "ttl");
	struct keep_entry e;
	uint64_t left;

	if (!get(s, io, c->argv[1], &e))
		return redis_number(io, -2);
	if (e.expires_ms == 0)
		return redis_number(io, -1);
	left = e.expires_ms - io->now_ms;
	return redis_number(io, (int64_t)(seconds ? (left + 500) / 1000 : left));
}

int
redis_run_dbsize(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	unsigned expiring;

	(void)c;
	return redis_number(io, keep_count(&s->keep, s->db, io->now_ms, &expiring));
}

int
redis_run_flush(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	for (unsigned db = 0; db < REDIS_DATABASES; db++)
		if (db == s->db || is_command(c, "flushall"))
			keep_flush(&s->keep, (uint8_t)db);
	return redis_say(io, "+OK\r\n");
}

/* The keys that match, as an array. */
static int
put_keys(const struct redis *s, struct decoy_io *io, struct sv pattern)
{
	struct keep_entry e;
	uint64_t n = 0;
	size_t at = 0;
	int r;

	while (keep_next(&s->keep, &at, &e))
		n += e.db == s->db && get(s, io, e.key, &e) && redis_matches(pattern, e.key, false);
	r = redis_header(io, '*', n);
	at = 0;
	while (r == 0 && keep_next(&s->keep, &at, &e))
		if (e.db == s->db && get(s, io, e.key, &e) && redis_matches(pattern, e.key, false))
			r = redis_bulk(io, e.key);
	return r;
}

int
redis_run_keys(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	return put_keys(s, io, c->argv[1]);
}

int
redis_run_scan(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	struct sv pattern = SV("*");
	uint64_t cursor;
	int r;

	if (sv_u64(c->argv[1], UINT64_MAX, &cursor) < 0)
		return redis_say(io, "-ERR invalid cursor\r\n");
	for (unsigned i = 2; i + 1 < c->argc; i++)
		if (sv_eq_ci(c->argv[i], SV("MATCH")))
			pattern = c->argv[i + 1];
	r = redis_say(io, "*2\r\n$1\r\n0\r\n");
	return r < 0 ? r : put_keys(s, io, pattern);
}
