/* SPDX-License-Identifier: Apache-2.0 */
/* Log rows on a real database file: the statement finds what the matcher matches, totals and pages
 * agree, the histogram counts what is there, retention keeps the counters true. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "scratch.h"
#include "store/log.h"
#include "util/clock.h"
#include "util/json.h"

#define T0   1769847300000ULL /* on a full minute */
#define ROWS 400

struct world {
	struct scratch at;
	struct db *db;
	unsigned random;
	struct err e;
};

static unsigned
dice(struct world *w, unsigned below)
{
	w->random = w->random * 1103515245U + 12345U;
	return (w->random >> 16) % below;
}

static void
add_row(struct world *w, unsigned i)
{
	static const char *const deckies[] = {"web-1", "web-2", "db-1"};
	static const char *const services[] = {"http", "telnet", "redis"};
	static const char *const types[] = {"auth", "request", "command"};
	char ip[32], raw[64], fields[160];
	struct log_row row;

	(void)snprintf(ip, sizeof(ip), "198.51.100.%u", dice(w, 20));
	(void)snprintf(raw, sizeof(raw), "line %u of %u with \"quotes\" and 100%%", i, dice(w, 9));
	(void)snprintf(fields, sizeof(fields),
		       "{\"username\":\"user%u\",\"ok\":%s,\"status\":%u,\"duration_s\":%u.%u,"
		       "\"path\":\"/\\u00e9 b\",\"none\":null}",
		       dice(w, 5), dice(w, 2) ? "true" : "false", 200 + dice(w, 3), dice(w, 2),
		       1 + dice(w, 9));
	row = (struct log_row){
		.ts_ms = T0 + (uint64_t)i * 7000 + dice(w, 5000),
		.decky = deckies[dice(w, 3)],
		.service = services[dice(w, 3)],
		.event_type = types[dice(w, 3)],
		.attacker_ip = ip,
		.attacker_uuid = "0198c0de-0000-7000-8000-000000000001",
		.raw_line = raw,
		.fields = fields,
	};
	assert_int_equal(db_begin_write(w->db, &w->e), 0);
	if (log_append(w->db, &row, 1, &w->e) < 0 || db_commit(w->db, &w->e) < 0)
		fail_msg("%s", err_text(&w->e));
}

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	scratch_make(&w->at);
	w->db = scratch_open(&w->at);
	w->random = 4711;
	for (unsigned i = 0; i < ROWS; i++)
		add_row(w, i);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	db_close(w->db);
	scratch_remove(&w->at);
	free(w);
	return 0;
}

struct expected {
	const struct log_filter *filter;
	int64_t ids[ROWS];
	uint64_t ts[ROWS];
	size_t n;
};

static int
match_row(void *user, const struct log_row *row)
{
	struct expected *x = user;
	const struct search_row seen = {row->decky,	  row->service,	 row->event_type,
					row->attacker_ip, row->raw_line, row->fields};

	if (row->ts_ms >= x->filter->start_ms && row->ts_ms <= x->filter->end_ms &&
	    search_match(&x->filter->search, &seen)) {
		x->ids[x->n] = row->id;
		x->ts[x->n++] = row->ts_ms;
	}
	return 0;
}

/* What the filter finds, by reading every row. */
static void
expect(struct world *w, const struct log_filter *f, struct expected *x)
{
	*x = (struct expected){.filter = f};
	if (log_after(w->db, 0, ROWS * 2, match_row, x, &w->e) < 0)
		fail_msg("%s", err_text(&w->e));
}

static void
check_list(struct world *w, const struct log_filter *f, const struct expected *x, const char *what)
{
	int64_t total = 0, limit = 7;
	size_t at = x->n, i;
	json_t *page, *row;

	for (int64_t offset = 0; offset == 0 || offset < total; offset += limit) {
		page = NULL;
		if (log_list(w->db, f, limit, offset, &page, &total, &w->e) < 0)
			fail_msg("%s", err_text(&w->e));
		if (total != (int64_t)x->n)
			fail_msg("%s: %lld, not %zu", what, (long long)total, x->n);
		json_array_foreach(page, i, row)
		{
			assert_true(at > 0);
			at--;
			assert_int_equal(json_integer_value(json_object_get(row, "id")),
					 x->ids[at]);
		}
		json_decref(page);
	}
	assert_int_equal(at, 0);
}

static void
check_histogram(struct world *w, const struct log_filter *f, const struct expected *x,
		int64_t minutes)
{
	json_t *data = NULL, *bucket;
	uint64_t width = (uint64_t)minutes * 60000, start, last = 0;
	int64_t sum = 0, n;
	size_t i;

	if (log_histogram(w->db, f, minutes, &data, &w->e) < 0)
		fail_msg("%s", err_text(&w->e));
	json_array_foreach(data, i, bucket)
	{
		assert_int_equal(clock_parse_iso(sv_from(json_get_text(bucket, "time")), &start),
				 0);
		assert_true(start % width == 0 && (i == 0 || start > last));
		last = start;
		n = 0;
		for (size_t k = 0; k < x->n; k++)
			n += x->ts[k] / width == start / width;
		assert_true(n > 0);
		assert_int_equal(json_integer_value(json_object_get(bucket, "count")), n);
		sum += n;
	}
	assert_int_equal(sum, x->n);
	json_decref(data);
}

static void
statement_and_matcher_agree(void **state)
{
	static const char *const texts[] = {
		"",
		"line",
		"LINE",
		"\"line 1\"",
		"line 17",
		"'with \"quotes\"'",
		"100% with",
		"_",
		"decky:web-1",
		"service:redis event:auth",
		"attacker:198.51.100.7",
		"198.51.100.1",
		"web- telnet",
		"username:user1 ok:true",
		"status:201",
		"status:2",
		"duration_s:0.5",
		"duration_s:1.3 service:http",
		"path:\"/é b\"",
		"none:null",
		"none:",
		"missing:x",
		"decky:web-1 decky:web-2",
		"username:user1 username:user2",
		"don't",
		"a:b c:d e:f g:h",
	};
	static const uint64_t bounds[][2] = {
		{0, UINT64_MAX},	  {T0 + 60000, UINT64_MAX},   {T0 + 61234, T0 + 1200000},
		{T0 + 61234, T0 + 61300}, {T0 + 120000, T0 + 179999}, {T0 + 900000, T0 + 5},
	};
	struct world *w = *state;
	size_t found = 0;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		for (size_t k = 0; k < ARRAY_LEN(bounds); k++) {
			struct log_filter f = {.start_ms = bounds[k][0], .end_ms = bounds[k][1]};
			struct expected x;

			assert_int_equal(search_parse(sv_from(texts[i]), &f.search), 0);
			expect(w, &f, &x);
			check_list(w, &f, &x, texts[i]);
			check_histogram(w, &f, &x, 1);
			check_histogram(w, &f, &x, 15);
			found += x.n;
			search_fini(&f.search);
		}
	}
	assert_true(found > ROWS * 4);
}

static int64_t
stat_of(struct world *w, const char *key)
{
	json_t *stats = NULL;
	int64_t n;

	assert_int_equal(log_stats(w->db, &stats, &w->e), 0);
	n = json_integer_value(json_object_get(stats, key));
	json_decref(stats);
	return n;
}

static void
retention(void **state)
{
	struct world *w = *state;
	struct log_filter f = {.end_ms = UINT64_MAX};
	int64_t head = 0, floor = 0;
	struct expected x;

	assert_int_equal(search_parse(SV(""), &f.search), 0);
	assert_int_equal(stat_of(w, "total_logs"), ROWS);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(db_begin_write(w->db, &w->e), 0);
		assert_int_equal(log_trim(w->db, ROWS - 100, 40, &w->e), i < 2	  ? 40
									 : i == 2 ? 20
										  : 0);
		assert_int_equal(db_commit(w->db, &w->e), 0);
		expect(w, &f, &x);
		check_list(w, &f, &x, "after retention");
		check_histogram(w, &f, &x, 1);
		assert_int_equal(stat_of(w, "total_logs"), x.n);
	}
	assert_int_equal(x.n, ROWS - 100);
	assert_int_equal(log_bounds(w->db, &head, &floor, &w->e), 0);
	assert_int_equal(head, ROWS);
	assert_int_equal(floor, 100);
	/* 0 keeps all. */
	assert_int_equal(db_begin_write(w->db, &w->e), 0);
	assert_int_equal(log_trim(w->db, 0, 40, &w->e), 0);
	assert_int_equal(db_commit(w->db, &w->e), 0);
	search_fini(&f.search);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(statement_and_matcher_agree, setup, teardown),
		cmocka_unit_test_setup_teardown(retention, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
