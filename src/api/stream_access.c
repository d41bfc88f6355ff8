/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the viewers of open streams may still watch: users and tokens are looked up again, and
 * those that have ended take their streams with them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/auth.h"
#include "api/stream_store.h"
#include "store/user.h"
#include "util/clock.h"
#include "util/log.h"

/* One token that somebody watches with. */
struct watching {
	struct auth_claims claims;
	uint8_t jti[16];
	bool is_admin;
	enum stream_close verdict;
};

struct stream_access {
	struct pool_job job;
	struct streams *streams;
	stream_checked_fn *fn;
	struct watching *v;
	size_t n, cap;
	int64_t epoch;
	struct err err;
	int r;
};

static struct watching *
find(const struct stream_access *a, const uint8_t jti[16])
{
	size_t low = 0, high = a->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int c = memcmp(a->v[mid].jti, jti, 16);

		if (c == 0)
			return &a->v[mid];
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

static enum stream_close
note(void *user, const struct viewer_access *viewer)
{
	struct stream_access *a = user;
	struct watching *w = a->v;

	if (a->r < 0)
		return CLOSE_NONE;
	if (a->n == a->cap) {
		size_t cap = a->cap ? a->cap * 2 : 16;

		w = realloc(w, cap * sizeof(*w));
		if (!w) {
			a->r = -ENOMEM;
			return CLOSE_NONE;
		}
		a->v = w;
		a->cap = cap;
	}
	w = &a->v[a->n++];
	memset(w, 0, sizeof(*w));
	memcpy(w->jti, viewer->jti, sizeof(w->jti));
	id_hex(w->jti, sizeof(w->jti), w->claims.jti);
	(void)sv_copy(sv_from(viewer->user), w->claims.uuid, sizeof(w->claims.uuid));
	w->claims.iat_ms = (uint64_t)viewer->iat_ms;
	w->claims.exp_ms = UINT64_MAX; /* the hub knows when it expires */
	w->is_admin = viewer->is_admin;
	return CLOSE_NONE;
}

static int
by_jti(const void *a, const void *b)
{
	return memcmp(((const struct watching *)a)->jti, ((const struct watching *)b)->jti, 16);
}

/* A token may be used by several viewers. */
static void
sort_out(struct stream_access *a)
{
	size_t n = 0;

	if (a->n == 0)
		return;
	qsort(a->v, a->n, sizeof(*a->v), by_jti);
	for (size_t i = 0; i < a->n; i++)
		if (n == 0 || by_jti(&a->v[n - 1], &a->v[i]) != 0)
			a->v[n++] = a->v[i];
	a->n = n;
}

static int
look_at(struct watching *w, struct db *db, struct err *e)
{
	struct api_caller caller;
	int r = auth_caller(db, &w->claims, API_VIEWER, clock_unix_ms(), &caller, e);

	if (r < 0)
		return r;
	if (caller.role[0] && caller.is_admin != w->is_admin)
		w->verdict = CLOSE_ROLE_CHANGED;
	else if (r != AUTH_OK)
		w->verdict = CLOSE_REVOKED;
	return 0;
}

static void
run_check(struct pool_job *job, void *thread_state)
{
	struct stream_access *a = job->user;
	struct db *db = thread_state;

	a->r = db_begin_read(db, &a->err);
	if (a->r == 0)
		a->r = user_access_epoch(db, &a->epoch, &a->err);
	for (size_t i = 0; i < a->n && a->r == 0; i++)
		a->r = look_at(&a->v[i], db, &a->err);
	db_rollback(db);
}

static enum stream_close
judge(void *user, const struct viewer_access *viewer)
{
	const struct watching *w = find(user, viewer->jti);

	return w ? w->verdict : CLOSE_NONE;
}

static void
done_check(struct pool_job *job)
{
	struct stream_access *a = job->user;

	if (a->r < 0)
		log_event(LV_WARN, "streams.access", KV_S("why", err_text(&a->err)));
	else
		hub_judge(a->streams->hub, judge, a);
	a->fn(a->streams, a->r, a->epoch);
	free(a->v);
	free(a);
}

int
stream_access_check(struct streams *s, stream_checked_fn *fn, struct stream_access **ret_check)
{
	struct stream_access *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return -ENOMEM;
	a->streams = s;
	a->fn = fn;
	a->job = (struct pool_job){.run = run_check, .done = done_check, .user = a};
	hub_judge(s->hub, note, a);
	sort_out(a);
	r = a->r < 0 ? a->r : api_worker_submit(s->worker, &a->job);
	if (r < 0) {
		free(a->v);
		free(a);
		return r;
	}
	*ret_check = a;
	return 0;
}
