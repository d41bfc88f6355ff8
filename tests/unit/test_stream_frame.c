/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "stream/frame.h"
#include "stream/ring.h"
#include "stream/slots.h"
#include "util/attr.h"

static void
assert_text(struct sv got, const char *want)
{
	assert_int_equal(got.n, strlen(want));
	assert_memory_equal(got.p, want, got.n);
}

static void
frames_are_the_contract(void **state)
{
	struct frame *f;

	(void)state;
	assert_int_equal(frame_new(SV("snapshot"), 4182, SV("{\"watermark\":4182}"), &f), 0);
	assert_text(frame_bytes(f, false),
		    "event: snapshot\nid: 4182\ndata: {\"watermark\":4182}\n\n");
	assert_text(frame_bytes(f, true),
		    "33\r\nevent: snapshot\nid: 4182\ndata: {\"watermark\":4182}\n\n\r\n");
	frame_unref(f);
	assert_int_equal(frame_new(SV("bye"), 0, SV("{}"), &f), 0);
	assert_text(frame_bytes(f, false), "event: bye\ndata: {}\n\n");
	frame_unref(f);
	assert_int_equal(frame_new_mark(SV("snapshot"), 0, SV("{}"), &f), 0);
	assert_text(frame_bytes(f, false), "event: snapshot\nid: 0\ndata: {}\n\n");
	frame_unref(f);
	assert_int_equal(frame_new_raw(SV(": keepalive\n\n"), &f), 0);
	assert_text(frame_bytes(f, true), "d\r\n: keepalive\n\n\r\n");
	frame_unref(f);
}

static void
events_are_the_contract(void **state)
{
	static const struct {
		const char *topic;
		bool full;
		const char *text;
	} rows[] = {
		{"topology.t1.mutation.applying", false,
		 "event: mutation.applying\nid: 9\ndata: "
		 "{\"topic\":\"topology.t1.mutation.applying\","
		 "\"type\":\"T\",\"ts\":1769847300.250,\"payload\":{\"a\":1}}\n\n"},
		{"decky.web.state", false,
		 "event: decky.state\nid: 9\ndata: {\"topic\":\"decky.web.state\",\"type\":\"T\","
		 "\"ts\":1769847300.250,\"payload\":{\"a\":1}}\n\n"},
		{"identity.formed", true,
		 "event: identity.formed\nid: 9\ndata: "
		 "{\"topic\":\"identity.formed\",\"type\":\"T\","
		 "\"ts\":1769847300.250,\"payload\":{\"a\":1}}\n\n"},
		{"identity.x\"y", false,
		 "event: x\"y\nid: 9\ndata: {\"topic\":\"identity.x\\\"y\",\"type\":\"T\","
		 "\"ts\":1769847300.250,\"payload\":{\"a\":1}}\n\n"},
	};
	struct frame *f;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(frame_new_event(sv_from(rows[i].topic), rows[i].full, SV("T"),
						 1769847300250, 9, SV("{\"a\":1}"), &f),
				 0);
		assert_text(frame_bytes(f, false), rows[i].text);
		frame_unref(f);
	}
	assert_int_equal(frame_new_event(SV("a\xff.b"), false, SV(""), 0, 0, SV("{}"), &f),
			 -EINVAL);
	assert_int_equal(frame_new_event(SV("a.b c"), false, SV(""), 0, 0, SV("{}"), &f), -EINVAL);
}

static void
nothing_becomes_two_lines(void **state)
{
	static const struct {
		struct sv name, data;
	} rows[] = {
		{{"", 0}, {"{}", 2}},	 {{"a\nb", 3}, {"{}", 2}}, {{"a\rb", 3}, {"{}", 2}},
		{{"a", 1}, {"1\n2", 3}}, {{"a", 1}, {"1\r2", 3}},  {{"a", 1}, {"1\0", 2}},
	};
	struct frame *f;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(frame_new(rows[i].name, 1, rows[i].data, &f), -EINVAL);
	assert_int_equal(frame_new(SV("a"), -1, SV("{}"), &f), -EINVAL);
	assert_int_equal(frame_new_raw(SV(": open"), &f), -EINVAL);
}

static struct frame *
row(int64_t id, size_t data_n)
{
	struct frame *f;
	char data[256];

	memset(data, 'x', sizeof(data));
	assert_int_equal(frame_new(SV("e"), id, (struct sv){data, data_n}, &f), 0);
	return f;
}

static void
push(struct ring *r, int64_t id, size_t data_n)
{
	struct frame *f = row(id, data_n);

	ring_push(r, f);
	frame_unref(f);
}

static void
ring_keeps_its_ceilings(void **state)
{
	struct ring r;

	(void)state;
	ring_init(&r, 20, 1 << 20, 100);
	assert_int_equal(ring_seek(&r, 100, 0), 0);
	for (int64_t id = 101; id <= 150; id++) {
		push(&r, id, 10);
		push(&r, 0, 10);
		assert_true(r.end - r.first <= 20);
	}
	assert_int_equal(r.base, 140);
	assert_int_equal(r.evicted, 80);
	assert_int_equal(r.end - r.first, 20);
	assert_int_equal(ring_at(&r, ring_seek(&r, 145, 0))->id, 0);
	assert_int_equal(ring_at(&r, ring_seek(&r, 145, 0) + 1)->id, 146);
	assert_int_equal(ring_seek(&r, 150, 0), r.end - 1);
	assert_int_equal(ring_seek(&r, 150, r.end), r.end);
	assert_int_equal(ring_seek(&r, 145, r.end), ring_seek(&r, 145, 0) + 1);
	ring_reset(&r, 200);
	assert_int_equal(r.base, 200);
	assert_int_equal(r.first, r.end);
	ring_fini(&r);
	ring_init(&r, 1000, 1000, 0);
	push(&r, 1, 100);
	push(&r, 2, 100);
	assert_int_equal(r.base, 0);
	for (int64_t id = 3; id < 40; id++) {
		push(&r, id, 200);
		assert_true(r.bytes <= 1000);
	}
	assert_int_equal(ring_at(&r, r.end - 1)->id, 39);
	ring_fini(&r);
	ring_init(&r, 10, 50, 0);
	push(&r, 7, 200);
	assert_int_equal(r.first, r.end);
	assert_int_equal(r.base, 7);
	ring_fini(&r);
}

static void
slots_are_counted(void **state)
{
	struct slot *held[6] = {NULL}, *other;
	struct slots *s;

	(void)state;
	assert_int_equal(slots_new(&s), 0);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(slot_take(s, "u1", 5, &held[i]), 0);
	assert_int_equal(slot_take(s, "u1", 5, &held[5]), -ENOBUFS);
	assert_int_equal(slot_take(s, "u2", 5, &other), 0);
	assert_int_equal(slots_refused(s), 1);
	slot_drop(held[0]);
	assert_int_equal(slots_held(s, "u1"), 4);
	assert_int_equal(slot_take(s, "u1", 5, &held[0]), 0);
	assert_int_equal(slot_take(s, "u1", 0, &held[5]), 0);
	assert_int_equal(slots_held(s, "u1"), 6);
	for (unsigned i = 0; i < 6; i++)
		slot_drop(held[i]);
	slot_drop(other);
	slot_drop(NULL);
	assert_int_equal(slots_held(s, "u1"), 0);
	slots_free(s);
}

struct told {
	unsigned n, held, drops;
	char user[ID_UUID_SIZE];
};

static int
note_slots(void *user, const char *of, unsigned held)
{
	struct told *told = user;

	told->n++;
	told->held = held;
	(void)snprintf(told->user, sizeof(told->user), "%s", of);
	return 0;
}

static void
on_drop(void *user)
{
	struct told *told = user;

	told->drops++;
}

static void
slots_are_shared(void **state)
{
	struct slot *one, *two, *three;
	struct told told = {0}, drops = {0};
	struct slots *s;

	(void)state;
	assert_int_equal(slots_new(&s), 0);
	assert_int_equal(slot_take(s, "u1", 3, &one), 0);
	assert_int_equal(slots_share(s, note_slots, &told, on_drop, &drops), 0);
	assert_int_equal(told.n, 1);
	assert_int_equal(told.held, 1);
	assert_string_equal(told.user, "u1");
	/* Where it is not known what is held elsewhere nothing is taken, but without a cap. */
	assert_int_equal(slot_take(s, "u1", 3, &two), -EAGAIN);
	assert_int_equal(slot_take(s, "u2", 0, &two), 0);
	slot_drop(two);
	assert_int_equal(drops.drops, 1);
	assert_int_equal(slot_take_shared(s, "u1", 3, 2, &two), -ENOBUFS);
	assert_int_equal(slot_take_shared(s, "u1", 3, 5, &two), -ENOBUFS);
	assert_int_equal(slot_take_shared(s, "u1", 3, 3, &two), -ENOBUFS);
	assert_int_equal(slots_refused(s), 3);
	assert_int_equal(slot_take_shared(s, "u1", 3, 1, &two), 0);
	assert_int_equal(slot_take_shared(s, "u3", 3, 3, &three), -ENOBUFS);
	/* Given back and taken again before it was told: what is told is how it stands. */
	slot_drop(one);
	slot_drop(two);
	assert_int_equal(slot_take_shared(s, "u1", 3, 2, &one), 0);
	told = (struct told){0};
	assert_int_equal(slots_changed(s, note_slots, &told), 0);
	assert_int_equal(told.n, 2);
	slot_drop(one);
	told = (struct told){0};
	assert_int_equal(slots_changed(s, note_slots, &told), 0);
	assert_int_equal(told.n, 1);
	assert_int_equal(told.held, 0);
	assert_int_equal(slots_changed(s, note_slots, &told), 0);
	assert_int_equal(told.n, 1);
	assert_int_equal(slot_take_shared(s, "u1", 3, 0, &one), 0);
	slots_unshare(s);
	assert_int_equal(slot_take(s, "u1", 3, &two), 0);
	drops.drops = 0;
	slot_drop(one);
	slot_drop(two);
	assert_int_equal(drops.drops, 0);
	assert_int_equal(slots_all(s), 0);
	slots_free(s);
}

#define TAKERS 4
#define ROUNDS 20000
#define CAP    3

static atomic_uint holders, worst;

static void *
take_and_drop(void *user)
{
	struct slots *s = user;
	struct slot *slot;

	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned now, most;

		if (slot_take(s, "u1", CAP, &slot) < 0)
			continue;
		now = atomic_fetch_add(&holders, 1) + 1;
		most = atomic_load(&worst);
		while (now > most && !atomic_compare_exchange_weak(&worst, &most, now))
			;
		atomic_fetch_sub(&holders, 1);
		slot_drop(slot);
	}
	return NULL;
}

static void
slots_are_one_table_for_all_threads(void **state)
{
	pthread_t id[TAKERS];
	struct slots *s;

	(void)state;
	assert_int_equal(slots_new(&s), 0);
	for (unsigned i = 0; i < TAKERS; i++)
		assert_int_equal(pthread_create(&id[i], NULL, take_and_drop, s), 0);
	for (unsigned i = 0; i < TAKERS; i++)
		assert_int_equal(pthread_join(id[i], NULL), 0);
	assert_in_range(atomic_load(&worst), 1, CAP);
	assert_int_equal(slots_all(s), 0);
	assert_int_equal(slots_held(s, "u1"), 0);
	slots_free(s);
	slots_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_are_the_contract),
		cmocka_unit_test(events_are_the_contract),
		cmocka_unit_test(nothing_becomes_two_lines),
		cmocka_unit_test(ring_keeps_its_ceilings),
		cmocka_unit_test(slots_are_counted),
		cmocka_unit_test(slots_are_shared),
		cmocka_unit_test(slots_are_one_table_for_all_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
