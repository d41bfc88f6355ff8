/* SPDX-License-Identifier: Apache-2.0 */
/* A plan happens wholly or not at all: each step of a plan is made to fail in turn, and no trace
 * may stay. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mutator/run.h"

#define IDS 8

/* A network in memory that fails at a chosen call and answers at once or later. */
struct fake {
	struct netdrv base;
	char open[IDS][CONTROL_LISTENER_MAX + 1];
	unsigned calls, fail_at, fail_from;
	bool later;
	struct {
		netdrv_done_fn *done;
		void *user;
		int r;
	} queue[64];
	unsigned queued;
	char trace[512];
	const struct topo *network; /* as last made */
};

static void
answer(struct fake *f, netdrv_done_fn *done, void *user, int r)
{
	if (!f->later) {
		done(user, r, r < 0 ? "made to fail" : NULL);
		return;
	}
	f->queue[f->queued].done = done;
	f->queue[f->queued].user = user;
	f->queue[f->queued++].r = r;
}

static bool
fails(struct fake *f)
{
	f->calls++;
	return f->calls == f->fail_at || (f->fail_from && f->calls >= f->fail_from);
}

static int
find(const struct fake *f, const char *id)
{
	for (int i = 0; i < IDS; i++)
		if (strcmp(f->open[i], id) == 0)
			return i;
	return -1;
}

static void
fake_open(struct netdrv *d, const struct netdrv_listener *l, netdrv_done_fn *done, void *user)
{
	struct fake *f = (struct fake *)(void *)d;
	bool bad = fails(f);

	(void)strncat(f->trace, "+", sizeof(f->trace) - strlen(f->trace) - 1);
	(void)strncat(f->trace, l->id, sizeof(f->trace) - strlen(f->trace) - 1);
	if (!bad && find(f, l->id) < 0)
		(void)snprintf(f->open[find(f, "")], sizeof(f->open[0]), "%s", l->id);
	answer(f, done, user, bad ? -EIO : 0);
}

static void
fake_close(struct netdrv *d, const char *id, netdrv_done_fn *done, void *user)
{
	struct fake *f = (struct fake *)(void *)d;
	bool bad = fails(f);

	(void)strncat(f->trace, "-", sizeof(f->trace) - strlen(f->trace) - 1);
	(void)strncat(f->trace, id, sizeof(f->trace) - strlen(f->trace) - 1);
	if (!bad && find(f, id) >= 0)
		f->open[find(f, id)][0] = 0;
	answer(f, done, user, bad ? -EIO : 0);
}

/* '~' and what is wanted: the other one of two topologies, or nothing. */
static void
fake_network(struct netdrv *d, const char *topology_id, const struct topo *wanted,
	     netdrv_done_fn *done, void *user)
{
	struct fake *f = (struct fake *)(void *)d;
	bool bad = fails(f);

	assert_string_equal(topology_id, "t");
	(void)strncat(f->trace, wanted ? "~" : "0", sizeof(f->trace) - strlen(f->trace) - 1);
	if (!bad)
		f->network = wanted;
	answer(f, done, user, bad ? -EIO : 3);
}

static const struct netdrv_ops network_ops = {
	.name = "fake", .open = fake_open, .close = fake_close, .network = fake_network};
static const struct netdrv_ops ops = {.name = "fake", .open = fake_open, .close = fake_close};

struct end {
	int r;
	unsigned times;
	bool undo_failed;
	char why[256];
};

static void
on_done(void *user, int r, const char *why, bool undo_failed)
{
	struct end *end = user;

	end->r = r;
	end->times++;
	end->undo_failed = undo_failed;
	(void)snprintf(end->why, sizeof(end->why), "%s", why ? why : "");
}

static void
add(struct run_plan *p, enum run_kind kind, const char *id)
{
	struct netdrv_listener l = {.service = "http", .decky = "web"};

	(void)snprintf(l.id, sizeof(l.id), "%s", id);
	assert_int_equal(run_plan_add(p, kind, &l), 0);
}

/* b restarts, a goes, c comes. */
static void
fill(struct run_plan *p)
{
	add(p, RUN_CLOSE, "a");
	add(p, RUN_CLOSE, "b");
	add(p, RUN_OPEN, "b");
	add(p, RUN_OPEN, "c");
}

static void
fake_init(struct fake *f)
{
	*f = (struct fake){.base.ops = &ops};
	(void)strcpy(f->open[0], "a");
	(void)strcpy(f->open[1], "b");
}

/* Answers in a shuffled order: the newest first. */
static void
drain(struct fake *f)
{
	while (f->queued > 0) {
		unsigned i = --f->queued;

		f->queue[i].done(f->queue[i].user, f->queue[i].r,
				 f->queue[i].r < 0 ? "made to fail" : NULL);
	}
}

static void
all_steps_are_done_closes_first(void **state)
{
	struct run_plan plan = {0};
	struct end end = {0};
	struct fake f;

	(void)state;
	fill(&plan);
	fake_init(&f);
	run_start(&f.base, &plan, on_done, &end);
	assert_int_equal(end.times, 1);
	assert_int_equal(end.r, 0);
	assert_string_equal(f.trace, "-a-b+b+c");
	assert_true(find(&f, "a") < 0 && find(&f, "b") >= 0 && find(&f, "c") >= 0);
	run_plan_fini(&plan);
}

static void
a_failure_at_any_step_leaves_no_trace(void **state)
{
	(void)state;
	for (int later = 0; later <= 1; later++) {
		for (unsigned at = 1; at <= 4; at++) {
			struct run_plan plan = {0};
			struct end end = {0};
			struct fake f;

			fill(&plan);
			fake_init(&f);
			f.fail_at = at;
			f.later = later;
			run_start(&f.base, &plan, on_done, &end);
			drain(&f);
			assert_int_equal(end.times, 1);
			assert_int_equal(end.r, -EIO);
			assert_false(end.undo_failed);
			assert_non_null(strstr(end.why, "http of web: made to fail"));
			assert_true(find(&f, "a") >= 0);
			assert_true(find(&f, "b") >= 0);
			assert_true(find(&f, "c") < 0);
			run_plan_fini(&plan);
		}
	}
}

/* Between the closes and the opens; back again when anything fails. */
static void
the_network_is_changed_in_between(void **state)
{
	static const struct topo before, after;

	(void)state;
	for (int later = 0; later <= 1; later++) {
		for (unsigned at = 0; at <= 5; at++) {
			struct run_plan plan = {
				.topology_id = "t", .before = &before, .after = &after};
			struct end end = {0};
			struct fake f;

			fill(&plan);
			fake_init(&f);
			f.base.ops = &network_ops;
			f.network = &before;
			f.fail_at = at;
			f.later = later;
			run_start(&f.base, &plan, on_done, &end);
			drain(&f);
			assert_int_equal(end.times, 1);
			assert_int_equal(end.r, at ? -EIO : 0);
			assert_ptr_equal(f.network, at ? &before : &after);
			assert_int_equal(find(&f, "a") >= 0, at > 0);
			if (at == 0 && !later)
				assert_string_equal(f.trace, "-a-b~+b+c");
			if (at == 3)
				assert_non_null(strstr(end.why, "cannot change the network"));
			run_plan_fini(&plan);
		}
	}
}

static void
an_undo_that_fails_is_told(void **state)
{
	struct run_plan plan = {0};
	struct end end = {0};
	struct fake f;

	(void)state;
	fill(&plan);
	fake_init(&f);
	f.fail_from = 4;
	run_start(&f.base, &plan, on_done, &end);
	assert_int_equal(end.r, -EIO);
	assert_true(end.undo_failed);
	run_plan_fini(&plan);
}

static void
a_finished_plan_can_be_undone(void **state)
{
	struct run_plan plan = {0};
	struct end end = {0};
	struct fake f;

	(void)state;
	fill(&plan);
	fake_init(&f);
	run_start(&f.base, &plan, on_done, &end);
	run_undo(&f.base, &plan, on_done, &end);
	assert_int_equal(end.times, 2);
	assert_int_equal(end.r, 0);
	assert_true(find(&f, "a") >= 0 && find(&f, "b") >= 0 && find(&f, "c") < 0);
	run_plan_fini(&plan);
}

static void
an_empty_plan_is_done_at_once(void **state)
{
	struct run_plan plan = {0};
	struct end end = {.r = 1};
	struct fake f;

	(void)state;
	fake_init(&f);
	run_start(&f.base, &plan, on_done, &end);
	assert_int_equal(end.times, 1);
	assert_int_equal(end.r, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_steps_are_done_closes_first),
		cmocka_unit_test(a_failure_at_any_step_leaves_no_trace),
		cmocka_unit_test(the_network_is_changed_in_between),
		cmocka_unit_test(an_undo_that_fails_is_told),
		cmocka_unit_test(a_finished_plan_can_be_undone),
		cmocka_unit_test(an_empty_plan_is_done_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
