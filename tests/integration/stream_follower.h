/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_STREAM_FOLLOWER_H
#define TEST_STREAM_FOLLOWER_H

/* What the tests of the five streams share: a follower of one stream, and rows that come from
 * another connection to the same store. Functions of one test program, which is why they are static
 * and have their bodies here. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../fake/sse.h"
#include "resolver/batch.h"
#include "store/journal.h"
#include "util/clock.h"
#include "world.h"

#define DEADLINE_MS 60000
#define SEEN_MAX    256

/* One stream that is being watched. */
struct follower {
	int fd, status;
	bool closed;
	struct buf head;
	struct sse sse;
	struct {
		char *name, *data;
		int64_t id; /* -1: none */
	} seen[SEEN_MAX];
	unsigned n, at;
	/* A slow one only counts: rows without a gap above `last`, snapshots. */
	bool slow;
	int64_t last;
	unsigned lagged;
};

static void
on_event(void *user, const struct sse_event *ev)
{
	struct follower *f = user;
	uint64_t number = 0;
	int64_t id;

	if (ev->id.p)
		assert_int_equal(sv_u64(ev->id, INT64_MAX, &number), 0);
	id = ev->id.p ? (int64_t)number : -1;
	if (f->slow) {
		if (sv_eq(ev->name, SV("snapshot"))) {
			assert_true(sv_search(ev->data, SV("\"lagged\"")) != SIZE_MAX);
			assert_true(id > f->last);
			f->lagged++;
		} else {
			assert_int_equal(id, f->last + 1);
		}
		f->last = id;
		return;
	}
	assert_true(f->n < SEEN_MAX);
	f->seen[f->n].name = sv_dup(ev->name);
	f->seen[f->n].data = sv_dup(ev->data);
	f->seen[f->n].id = id;
	f->n++;
}

static void
take(struct follower *f, struct sv bytes)
{
	size_t end;

	if (f->status) {
		sse_feed_chunked(&f->sse, bytes);
		assert_int_not_equal(f->sse.chunk, SSE_BROKEN);
		return;
	}
	assert_int_equal(buf_put(&f->head, bytes), 0);
	end = sv_search(buf_sv(&f->head), SV("\r\n\r\n"));
	if (end == SIZE_MAX)
		return;
	f->status = (int)strtol(f->head.p + strlen("HTTP/1.1 "), NULL, 10);
	if (f->status == 200)
		take(f, sv_drop(buf_sv(&f->head), end + 4));
}

/* Read until something happens; false at the deadline. */
static bool
more(struct follower *f, uint64_t until_ms)
{
	uint64_t now = clock_mono_ms();
	struct pollfd p = {.fd = f->fd, .events = POLLIN};
	char bytes[4096];
	ssize_t n;

	if (f->closed || now >= until_ms || poll(&p, 1, (int)(until_ms - now)) != 1)
		return false;
	n = read(f->fd, bytes, sizeof(bytes));
	if (n > 0)
		take(f, (struct sv){bytes, (size_t)n});
	else
		f->closed = true;
	return true;
}

static struct follower *
follow(const struct world *w, const char *token, const char *path, const char *headers)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons(w->port),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct follower *f = calloc(1, sizeof(*f));
	uint64_t end = clock_mono_ms() + DEADLINE_MS;
	char request[4096];
	int n;

	assert_non_null(f);
	buf_init(&f->head, 1 << 20);
	sse_init(&f->sse, on_event, f);
	f->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(f->fd, (struct sockaddr *)&a, sizeof(a)), 0);
	n = snprintf(request, sizeof(request), "GET /api/v1%s HTTP/1.1\r\nHost: x\r\n%s%s%s%s\r\n",
		     path, token ? "Authorization: Bearer " : "", token ? token : "",
		     token ? "\r\n" : "", headers ? headers : "");
	assert_int_equal(send(f->fd, request, (size_t)n, MSG_NOSIGNAL), n);
	while (f->status == 0 && more(f, end))
		;
	return f;
}

static void
unfollow(struct follower *f)
{
	if (f->fd >= 0)
		(void)close(f->fd);
	for (unsigned i = 0; i < f->n; i++) {
		free(f->seen[i].name);
		free(f->seen[i].data);
	}
	buf_fini(&f->head);
	sse_fini(&f->sse);
	free(f);
}

/* The next event must have this name; its data, and *ret_id unless NULL. */
static const char *
next(struct follower *f, const char *name, int64_t *ret_id)
{
	uint64_t end = clock_mono_ms() + DEADLINE_MS;

	while (f->at == f->n && more(f, end))
		;
	if (f->at == f->n)
		fail_msg("no %s: %s", name, f->closed ? "closed" : "deadline");
	if (strcmp(f->seen[f->at].name, name) != 0)
		fail_msg("%s instead of %s: %s", f->seen[f->at].name, name, f->seen[f->at].data);
	if (ret_id)
		*ret_id = f->seen[f->at].id;
	return f->seen[f->at++].data;
}

static void
ends(struct follower *f)
{
	uint64_t end = clock_mono_ms() + DEADLINE_MS;

	while (more(f, end))
		;
	assert_true(f->closed);
	assert_int_equal(f->at, f->n);
	unfollow(f);
}

static void
bye(struct follower *f, const char *reason)
{
	char want[64];

	(void)snprintf(want, sizeof(want), "{\"reason\":\"%s\"}", reason);
	assert_string_equal(next(f, "bye", NULL), want);
	ends(f);
}

static void
refused(const struct world *w, const char *token, const char *path, int status, const char *text)
{
	struct follower *f = follow(w, token, path, NULL);
	uint64_t end = clock_mono_ms() + DEADLINE_MS;

	assert_int_equal(f->status, status);
	while (sv_search(buf_sv(&f->head), sv_from(text)) == SIZE_MAX) {
		char bytes[1024];
		ssize_t n = read(f->fd, bytes, sizeof(bytes));

		if (n <= 0 || clock_mono_ms() > end)
			fail_msg("%s: no %s in %.*s", path, text, (int)f->head.n, f->head.p);
		assert_int_equal(buf_put(&f->head, (struct sv){bytes, (size_t)n}), 0);
	}
	unfollow(f);
}

/* ---- the store ---- */

static struct db *
open_store(const struct world *w)
{
	struct err e = {0};
	struct db *db = NULL;
	char url[128];

	(void)snprintf(url, sizeof(url), "sqlite:%s/decnet.db", w->dir);
	if (db_open(url, DB_READ_WRITE, &db, &e) < 0)
		fail_msg("%s", err_text(&e));
	return db;
}

/* Recent, so that the retention leaves the rows alone. */
static uint64_t row_ts_ms;

/* One journal row in a transaction of its own; its seq. */
static int64_t
commit(struct db *db, const char *topic, const char *scope, const char *payload)
{
	json_t *object = json_loads(payload, 0, NULL);
	struct journal_rows rows;
	struct err e = {0};
	int64_t seq = 0;

	assert_non_null(object);
	if (db_begin_write(db, &e) < 0 ||
	    journal_append(db, topic, scope, row_ts_ms, object, &seq, &e) < 0 ||
	    db_commit(db, &e) < 0)
		fail_msg("%s", err_text(&e));
	journal_take(db, &rows);
	journal_rows_fini(&rows);
	json_decref(object);
	return seq;
}

static uint64_t capture_no;

static void
visit(struct db *db, const char *ip, enum capture_type type, const char *key, const char *value)
{
	struct linker *linker = NULL;
	struct batch_in b = {0};
	struct ingest_result got;
	struct err e = {0};
	struct buf frame;
	struct capture c = {
		.source = 7,
		.no = ++capture_no,
		.ts_ms = clock_unix_ms(),
		.type = type,
		.topology_id = SV("0198c0de-0000-7000-8000-000000000001"),
		.decky = SV("web-1"),
		.service = SV("telnet"),
		.session_id = SV("0198c0de-0000-7000-8000-000000000003"),
		.peer_ip = sv_from(ip),
	};

	if (type == CAPTURE_FINGERPRINT) {
		c.fields[c.nfields++] = (struct capture_field){SV("primitive"), SV("tls.ja3")};
		c.fields[c.nfields++] = (struct capture_field){SV("value"), sv_from(value)};
	} else if (key) {
		c.fields[c.nfields++] = (struct capture_field){sv_from(key), sv_from(value)};
	}
	buf_init(&frame, 1 << 16);
	assert_int_equal(capture_put(&frame, &c), 0);
	assert_int_equal(batch_add(&b, buf_sv(&frame), c.ts_ms), 0);
	assert_int_equal(linker_new(NULL, &linker), 0);
	if (batch_store(&b, db, linker, c.ts_ms, NULL, &got, &e) < 0)
		fail_msg("%s", err_text(&e));
	linker_free(linker);
	journal_rows_fini(&got.rows);
	batch_fini(&b);
	buf_fini(&frame);
}

static json_t *
parsed(const char *data)
{
	json_t *value = json_loads(data, 0, NULL);

	assert_non_null(value);
	return value;
}

static int64_t
number(const char *data, const char *key)
{
	json_t *object = parsed(data);
	int64_t n = json_integer_value(json_object_get(object, key));

	json_decref(object);
	return n;
}

/* ---- the tests ---- */

#endif
