/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The law of the streams, tried by chance with fixed seeds: whatever is committed, fed, cut,
 * stalled or lost, a viewer gets exactly the rows of its stream above its snapshot or its last id,
 * in order, once each, or a new snapshot. Rings of a few frames, writes of a few bytes, answers in
 * any order.
 */
#include "fake/stream.h"

#define VIEWERS 12
#define STEPS	6000

struct watcher {
	struct peer peer; /* first: the reader's user is the peer */
	bool open, seen_start;
	unsigned key;
	int64_t last, from; /* last id seen; resumed from (0: by snapshot) */
	uint64_t replayed;
	bool resuming, fails;
	unsigned snapshots;
};

struct model {
	struct world w;
	uint64_t random;
	struct watcher watchers[VIEWERS];
	int64_t ids[64]; /* that somebody has seen, to resume from */
};

static uint32_t
chance(struct model *m, uint32_t n)
{
	m->random = m->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((m->random >> 33) % n);
}

static int64_t
number_after(struct sv json, const char *key)
{
	size_t at = sv_search(json, sv_from(key));

	assert_int_not_equal(at, SIZE_MAX);
	return strtoll(json.p + at + strlen(key), NULL, 10);
}

static int64_t
next_row(const struct watcher *t, int64_t after)
{
	const struct world *w = t->peer.w;

	for (int64_t seq = after + 1; seq <= w->head; seq++)
		if (w->rows[seq] == t->key)
			return seq;
	return 0;
}

static void
on_rows(struct watcher *t, const struct sse_event *ev, int64_t id)
{
	const char *at = ev->data.p + strlen("{\"n\":[");
	char *end;

	assert_true(t->seen_start);
	for (;; at = end + 1) {
		int64_t row = strtoll(at, &end, 10);

		assert_int_equal(row, next_row(t, t->last));
		t->last = row;
		t->replayed++;
		if (*end == ']')
			break;
	}
	assert_int_equal(t->last, id);
}

static void
on_resumed(struct watcher *t, const struct sse_event *ev, int64_t id)
{
	assert_true(t->resuming);
	assert_int_equal(number_after(ev->data, "\"from\":"), t->from);
	assert_int_equal(number_after(ev->data, "\"to\":"), id);
	assert_int_equal(number_after(ev->data, "\"replayed\":"), t->replayed);
	assert_true(id >= t->last);
	/* Nothing up to `to` was left out. */
	if (next_row(t, t->last))
		assert_true(next_row(t, t->last) > id);
	t->last = id;
	t->resuming = false;
}

static void
on_snapshot(struct watcher *t, const struct sse_event *ev, int64_t id)
{
	assert_int_equal(number_after(ev->data, "\"watermark\":"), id);
	assert_true(id >= t->last || (t->from && !t->seen_start));
	if (t->seen_start && !t->resuming)
		assert_int_not_equal(sv_search(ev->data, SV("\"lagged\"")), SIZE_MAX);
	t->last = id;
	t->seen_start = true;
	t->resuming = false;
	t->snapshots++;
}

static void
on_event(void *user, const struct sse_event *ev)
{
	struct watcher *t = user;
	uint64_t id = 0;

	assert_true(t->open);
	if (ev->id.p)
		assert_int_equal(sv_u64(ev->id, INT64_MAX, &id), 0);
	if (sv_eq(ev->name, SV("row")))
		on_rows(t, ev, (int64_t)id);
	else if (sv_eq(ev->name, SV("resumed")))
		on_resumed(t, ev, (int64_t)id);
	else if (sv_eq(ev->name, SV("snapshot")))
		on_snapshot(t, ev, (int64_t)id);
	else if (sv_eq(ev->name, SV("live")))
		assert_true(t->seen_start && !t->resuming && id == 0);
	else if (sv_eq(ev->name, SV("error")))
		t->fails = true;
	else
		assert_true(sv_eq(ev->name, SV("greet")));
}

static void
join(struct model *m, struct watcher *t)
{
	static const char *const users[] = {"u1", "u2"};
	int64_t resume = chance(m, 2) ? m->ids[chance(m, ARRAY_LEN(m->ids))] : 0;

	if (chance(m, 20) == 0)
		resume = m->w.head + 5;
	*t = (struct watcher){.key = chance(m, WORLD_KEYS), .open = true};
	peer_init(&t->peer, &m->w, chance(m, 4) > 0, on_event);
	t->peer.step = chance(m, 4) == 0 ? 1 : chance(m, 300);
	t->peer.budget = chance(m, 3) ? chance(m, 400) : 0;
	if (resume >= m->w.floor && resume <= m->w.head && resume > 0) {
		t->resuming = t->seen_start = true;
		t->last = resume;
	}
	t->from = resume;
	peer_open(&t->peer, t->key, resume, users[chance(m, 2)], UINT64_MAX);
}

static void
leave(struct model *m, struct watcher *t)
{
	if (t->seen_start && t->last > 0)
		m->ids[chance(m, ARRAY_LEN(m->ids))] = t->last;
	if (t->peer.v)
		viewer_gone(TAKE(t->peer.v));
	sse_fini(&t->peer.sse);
	t->open = false;
}

static void
live(struct model *m)
{
	struct hub_stream *s =
		hub_find(m->w.hub, HUB_KIND_TOPOLOGY, sv_from(world_keys[chance(m, WORLD_KEYS)]));
	struct frame *f;

	if (!s)
		return;
	assert_int_equal(frame_new(SV("live"), 0, SV("{}"), &f), 0);
	hub_push(s, f);
	frame_unref(f);
	hub_flush(m->w.hub);
}

static void
disturb(struct model *m)
{
	struct world *w = &m->w;

	switch (chance(m, 8)) {
	case 0:
		if (w->floor < w->head)
			w->floor += chance(m, (uint32_t)(w->head - w->floor));
		break;
	case 1:
		hub_reset(w->hub, HUB_JOURNAL, w->head);
		hub_flush(w->hub);
		break;
	case 2: w->now_ms += chance(m, 20000); break;
	case 3: w->busy = !w->busy; break;
	case 4: w->fail = chance(m, 4) ? 0 : -EIO; break;
	default: live(m); break;
	}
}

static void
one_step(struct model *m)
{
	struct watcher *t = &m->watchers[chance(m, VIEWERS)];
	struct world *w = &m->w;

	switch (chance(m, 12)) {
	case 0:
	case 1:
	case 2:
		for (unsigned n = chance(m, 4); n > 0; n--)
			world_commit(w, chance(m, WORLD_KEYS));
		break;
	case 3:
	case 4: world_feed(w, chance(m, 6), chance(m, 2)); break;
	case 5:
	case 6:
		if (w->npending > 0)
			world_answer(w, chance(m, w->npending));
		break;
	case 7:
		if (!t->open)
			join(m, t);
		else if (chance(m, 6) == 0 || !t->peer.v)
			leave(m, t);
		break;
	case 8:
	case 9:
		if (t->open)
			peer_take(&t->peer, chance(m, 3) ? chance(m, 600) : 1);
		break;
	case 10: world_turn(w); break;
	default:
		if (chance(m, 4) == 0)
			disturb(m);
		break;
	}
}

/* Let everything run out: who is still there must have every row. */
static void
settle(struct model *m)
{
	struct world *w = &m->w;

	w->busy = false;
	w->fail = 0;
	for (unsigned k = 0; k < VIEWERS; k++)
		m->watchers[k].peer.step = 0;
	world_feed(w, UINT32_MAX, false);
	for (unsigned i = 0; i < 3000; i++) {
		for (unsigned k = 0; k < VIEWERS; k++)
			if (m->watchers[k].open)
				peer_take(&m->watchers[k].peer, 1000);
		while (w->npending > 0)
			world_answer(w, 0);
		w->now_ms += 10;
		world_turn(w);
	}
	for (unsigned k = 0; k < VIEWERS; k++) {
		struct watcher *t = &m->watchers[k];

		if (!t->open || !t->peer.v)
			continue;
		assert_true(t->seen_start);
		assert_false(t->resuming);
		assert_int_equal(next_row(t, t->last), 0);
	}
}

static void
run(uint64_t seed, struct hub_stats *sum)
{
	struct model m = {.random = seed};
	struct hub_stats stats;

	world_init(&m.w);
	m.w.greets = seed % 2;
	m.w.chunk = 1 + (unsigned)(seed % 7);
	hub_set_ring(m.w.hub, 1 + seed % 9, 150 + (seed % 5) * 400);
	for (unsigned i = 0; i < STEPS; i++)
		one_step(&m);
	settle(&m);
	hub_stats(m.w.hub, &stats);
	for (unsigned i = 0; i < HUB_SNAPSHOT_COUNT; i++)
		sum->snapshots[i] += stats.snapshots[i];
	for (unsigned i = 0; i < CLOSE_COUNT; i++)
		sum->closed[i] += stats.closed[i];
	sum->ring_evicted += stats.ring_evicted;
	for (unsigned k = 0; k < VIEWERS; k++)
		if (m.watchers[k].open)
			leave(&m, &m.watchers[k]);
	assert_int_equal(hub_viewers(m.w.hub), 0);
	world_fini(&m.w);
}

static void
every_row_in_order_exactly_once(void **state)
{
	struct hub_stats sum = {0};

	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++)
		run(seed, &sum);
	/* The tries were hard enough to get everywhere. */
	assert_true(sum.snapshots[HUB_CONNECT] > 100);
	assert_true(sum.snapshots[HUB_EXPIRED] > 20);
	assert_true(sum.snapshots[HUB_LAGGED] > 20);
	assert_true(sum.closed[CLOSE_STALLED] > 5);
	assert_true(sum.closed[CLOSE_ERROR] > 5);
	assert_true(sum.ring_evicted > 1000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_in_order_exactly_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
