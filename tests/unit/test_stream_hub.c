/* SPDX-License-Identifier: Apache-2.0 */
#include "fake/stream.h"

#define USER_1 "00000000-0000-7000-8000-000000000001"
#define USER_2 "00000000-0000-7000-8000-000000000002"

/* A peer that writes down what it is told: one word an event. */
struct seen {
	struct peer peer; /* first: the reader's user is the peer */
	char text[4096];
};

static void
on_event(void *user, const struct sse_event *ev)
{
	struct seen *s = user;
	size_t at = strlen(s->text);

	(void)snprintf(s->text + at, sizeof(s->text) - at, "%.*s:%.*s", (int)ev->name.n, ev->name.p,
		       (int)ev->id.n, ev->id.p ? ev->id.p : "");
	at = strlen(s->text);
	if (sv_search(ev->data, SV("reason")) != SIZE_MAX || sv_eq(ev->name, SV("resumed")))
		(void)snprintf(s->text + at, sizeof(s->text) - at, "%.*s", (int)ev->data.n,
			       ev->data.p);
	at = strlen(s->text);
	(void)snprintf(s->text + at, sizeof(s->text) - at, " ");
}

static void
watch(struct seen *s, struct world *w, int64_t resume, const char *user, uint64_t expires_ms)
{
	s->text[0] = '\0';
	peer_init(&s->peer, w, true, on_event);
	s->peer.budget = SIZE_MAX / 2;
	peer_open(&s->peer, 0, resume, user, expires_ms);
}

static void
done(struct seen *s)
{
	if (s->peer.v)
		viewer_gone(TAKE(s->peer.v));
	sse_fini(&s->peer.sse);
}

static void
answer_all(struct world *w)
{
	while (w->npending > 0)
		world_answer(w, 0);
}

static void
begins_as_the_contract_says(void **state)
{
	struct world w;
	struct seen a, b, c, d;

	(void)state;
	world_init(&w);
	w.greets = true;
	for (unsigned i = 0; i < 5; i++)
		world_commit(&w, 0);
	watch(&a, &w, 0, USER_1, UINT64_MAX);
	assert_int_equal(a.peer.sse.retry, 2000);
	assert_int_equal(a.peer.sse.comments, 1);
	assert_string_equal(a.text, "");
	answer_all(&w);
	assert_string_equal(a.text,
			    "snapshot:5{\"rows\":[],\"watermark\":5,\"reason\":\"connect\"} "
			    "greet: ");
	watch(&b, &w, 3, USER_1, UINT64_MAX);
	answer_all(&w);
	assert_string_equal(b.text,
			    "row:4 row:5 resumed:5{\"from\":3,\"to\":5,\"replayed\":2} greet: ");
	watch(&c, &w, 5, USER_1, UINT64_MAX);
	assert_string_equal(c.text, "resumed:5{\"from\":5,\"to\":5,\"replayed\":0} greet: ");
	watch(&d, &w, 6, USER_1, UINT64_MAX);
	answer_all(&w);
	assert_string_equal(d.text,
			    "snapshot:5{\"rows\":[],\"watermark\":5,\"reason\":\"expired\"} "
			    "greet: ");
	/* A feed reaches all of them before it returns. */
	world_commit(&w, 0);
	world_commit(&w, 1);
	world_feed(&w, 10, false);
	assert_non_null(strstr(a.text, " row:6 "));
	assert_non_null(strstr(b.text, " row:6 "));
	assert_non_null(strstr(c.text, " row:6 "));
	assert_non_null(strstr(d.text, " row:6 "));
	assert_null(strstr(d.text, "row:5"));
	/* What the ring holds is not asked for. */
	world_commit(&w, 0);
	world_feed(&w, 10, false);
	done(&a);
	watch(&a, &w, 6, USER_1, UINT64_MAX);
	assert_int_equal(w.npending, 0);
	assert_string_equal(a.text, "row:8 resumed:8{\"from\":6,\"to\":8,\"replayed\":1} greet: ");
	done(&a);
	done(&b);
	done(&c);
	done(&d);
	assert_true(hub_idle(w.hub, HUB_JOURNAL));
	assert_int_equal(w.freed, 5);
	world_fini(&w);
}

static void
snapshots_are_shared(void **state)
{
	struct world w;
	struct seen all[20];
	struct hub_stats stats;

	(void)state;
	world_init(&w);
	for (unsigned i = 0; i < 10; i++)
		watch(&all[i], &w, 0, USER_1, UINT64_MAX);
	assert_int_equal(w.npending, 1);
	for (unsigned i = 10; i < 20; i++)
		watch(&all[i], &w, 0, USER_1, UINT64_MAX);
	world_commit(&w, 0);
	/* Nine came after the question was asked: they get a later snapshot. */
	world_answer(&w, 0);
	assert_int_equal(w.npending, 1);
	world_answer(&w, 0);
	hub_stats(w.hub, &stats);
	assert_int_equal(stats.snapshots[HUB_CONNECT], 20);
	assert_int_equal(stats.streams[HUB_KIND_TOPOLOGY], 20);
	for (unsigned i = 0; i < 20; i++)
		done(&all[i]);
	world_fini(&w);
}

static void
keeps_alive_and_notices_stalls(void **state)
{
	struct world w;
	struct seen a;
	struct hub_stats stats;

	(void)state;
	world_init(&w);
	watch(&a, &w, 0, USER_1, UINT64_MAX);
	answer_all(&w);
	w.now_ms += 14900;
	world_turn(&w);
	assert_int_equal(a.peer.sse.comments, 1);
	w.now_ms += 400;
	world_turn(&w);
	assert_int_equal(a.peer.sse.comments, 2);
	/* The silence counts from the last byte. */
	w.now_ms += 8000;
	world_turn(&w);
	world_commit(&w, 0);
	world_feed(&w, 1, false);
	w.now_ms += 8000;
	world_turn(&w);
	assert_int_equal(a.peer.sse.comments, 2);
	w.now_ms += 7300;
	world_turn(&w);
	assert_int_equal(a.peer.sse.comments, 3);
	a.peer.budget = 3;
	world_commit(&w, 0);
	world_feed(&w, 1, false);
	w.now_ms += 29000;
	world_turn(&w);
	assert_false(a.peer.aborted);
	peer_take(&a.peer, 1);
	w.now_ms += 29000;
	world_turn(&w);
	assert_false(a.peer.aborted);
	w.now_ms += 1500;
	world_turn(&w);
	assert_true(a.peer.aborted);
	hub_stats(w.hub, &stats);
	assert_int_equal(stats.closed[CLOSE_STALLED], 1);
	assert_int_equal(slots_held(w.slots, USER_1), 0);
	done(&a);
	world_fini(&w);
}

static void
access_ends_when_it_ends(void **state)
{
	struct world w;
	struct seen a, b, c, d;
	struct hub_stats stats;

	(void)state;
	world_init(&w);
	watch(&a, &w, 0, USER_1, UINT64_MAX);
	watch(&b, &w, 0, USER_2, w.now_ms + 5000);
	watch(&c, &w, 0, USER_2, UINT64_MAX);
	watch(&d, &w, 0, USER_1, UINT64_MAX);
	answer_all(&w);
	/* d does not take its bye. */
	d.peer.budget = 10;
	world_commit(&w, 0);
	world_feed(&w, 1, false);
	world_commit(&w, 0);
	hub_end_user(w.hub, USER_1, CLOSE_ROLE_CHANGED);
	world_feed(&w, 1, false);
	assert_non_null(strstr(a.text, "row:1 bye:{\"reason\":\"role_changed\"} "));
	assert_null(strstr(a.text, "row:2"));
	assert_true(a.peer.ended);
	assert_non_null(d.peer.v);
	assert_int_equal(slots_held(w.slots, USER_1), 1);
	w.now_ms += 900;
	world_turn(&w);
	assert_true(d.peer.aborted);
	assert_int_equal(slots_held(w.slots, USER_1), 0);
	/* Nothing goes out after the expiry, however late the timer. */
	assert_non_null(strstr(b.text, "row:2"));
	w.now_ms += 4100;
	world_turn(&w);
	world_commit(&w, 0);
	world_feed(&w, 1, false);
	assert_null(strstr(b.text, "row:3"));
	assert_non_null(strstr(b.text, "bye:{\"reason\":\"token_expired\"} "));
	assert_true(b.peer.ended);
	hub_end_token(w.hub, "10112233445566778899aabbccddeeff", CLOSE_REVOKED);
	assert_false(c.peer.ended);
	hub_end_token(w.hub, "00112233445566778899aabbccddeeff", CLOSE_REVOKED);
	assert_true(c.peer.ended);
	assert_non_null(strstr(c.text, "row:3 bye:{\"reason\":\"revoked\"} "));
	hub_stats(w.hub, &stats);
	assert_int_equal(stats.closed[CLOSE_ROLE_CHANGED], 2);
	assert_int_equal(stats.closed[CLOSE_TOKEN_EXPIRED], 1);
	assert_int_equal(stats.closed[CLOSE_REVOKED], 1);
	assert_int_equal(hub_viewers(w.hub), 0);
	done(&a);
	done(&b);
	done(&c);
	done(&d);
	world_fini(&w);
}

static void
a_frame_may_be_the_last(void **state)
{
	struct world w;
	struct seen a, b;
	struct frame *f;

	(void)state;
	world_init(&w);
	watch(&a, &w, 0, USER_1, UINT64_MAX);
	answer_all(&w);
	watch(&b, &w, 0, USER_1, UINT64_MAX);
	world_commit(&w, 0);
	world_commit(&w, 0);
	f = world_frame(&w, 1);
	f->ends = CLOSE_TOPOLOGY_DELETED;
	hub_push(hub_find(w.hub, HUB_KIND_TOPOLOGY, SV("a")), f);
	frame_unref(f);
	f = world_frame(&w, 2);
	hub_push(hub_find(w.hub, HUB_KIND_TOPOLOGY, SV("a")), f);
	frame_unref(f);
	hub_advance(w.hub, HUB_JOURNAL, 2);
	hub_flush(w.hub);
	assert_non_null(strstr(a.text, "row:1 bye:{\"reason\":\"topology_deleted\"} "));
	assert_true(a.peer.ended);
	/* The other waits for a snapshot of what is no longer there. */
	w.fail = -ENOENT;
	answer_all(&w);
	assert_string_equal(b.text, "bye:{\"reason\":\"topology_deleted\"} ");
	assert_true(b.peer.ended);
	done(&a);
	done(&b);
	world_fini(&w);
}

static void
failures_are_told(void **state)
{
	struct world w;
	struct seen a, b;
	struct hub_stats stats;

	(void)state;
	world_init(&w);
	watch(&a, &w, 0, USER_1, UINT64_MAX);
	w.fail = -EIO;
	answer_all(&w);
	assert_string_equal(a.text, "error: ");
	assert_true(a.peer.ended);
	watch(&b, &w, 0, USER_1, UINT64_MAX);
	answer_all(&w);
	b.peer.broken = true;
	world_commit(&w, 0);
	world_feed(&w, 1, false);
	assert_true(b.peer.aborted);
	hub_stats(w.hub, &stats);
	assert_int_equal(stats.closed[CLOSE_ERROR], 1);
	assert_int_equal(stats.closed[CLOSE_WRITE_FAILED], 1);
	done(&a);
	watch(&a, &w, 0, USER_1, UINT64_MAX);
	answer_all(&w);
	hub_end_all(w.hub, CLOSE_SHUTDOWN);
	assert_non_null(strstr(a.text, "bye:{\"reason\":\"shutdown\"} "));
	done(&a);
	done(&b);
	world_fini(&w);
}

static void
long_fan_outs_are_cut(void **state)
{
	enum { N = 1000 };
	struct seen *all = calloc(N, sizeof(*all));
	struct world w;
	unsigned got;

	(void)state;
	assert_non_null(all);
	world_init(&w);
	for (unsigned i = 0; i < N; i++)
		watch(&all[i], &w, 0, USER_1, UINT64_MAX);
	answer_all(&w);
	for (unsigned i = 0; i < 8; i++)
		world_turn(&w);
	answer_all(&w);
	for (unsigned i = 0; i < 8; i++)
		world_turn(&w);
	world_commit(&w, 0);
	world_feed(&w, 1, false);
	got = 0;
	for (unsigned i = 0; i < N; i++)
		got += strstr(all[i].text, "row:1") != NULL;
	assert_true(got > 0 && got < N);
	for (unsigned i = 0; i < 8; i++)
		world_turn(&w);
	for (unsigned i = 0; i < N; i++)
		assert_non_null(strstr(all[i].text, "row:1 "));
	for (unsigned i = 0; i < N; i++)
		done(&all[i]);
	world_fini(&w);
	free(all);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(begins_as_the_contract_says),
		cmocka_unit_test(snapshots_are_shared),
		cmocka_unit_test(keeps_alive_and_notices_stalls),
		cmocka_unit_test(access_ends_when_it_ends),
		cmocka_unit_test(a_frame_may_be_the_last),
		cmocka_unit_test(failures_are_told),
		cmocka_unit_test(long_fan_outs_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
