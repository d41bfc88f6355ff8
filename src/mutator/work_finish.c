/* SPDX-License-Identifier: Apache-2.0 */
/* How a work ended: rows, events and status, in one transaction. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mutator/work_detail.h"
#include "store/mutation.h"
#include "store/topology.h"
#include "util/clock.h"
#include "util/json.h"

/* The reason of a status event that reconcile made: only then does mending it lead back. */
#define RECONCILE_REASON "reconcile: "

static int
oom(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory");
}

static int
add_endpoint(const struct work_context *cx, const struct netdrv_listener *l, const char *lan,
	     const char *address, json_t *endpoints)
{
	return json_array_append_new(
		endpoints, json_pack("{s:s, s:s, s:s, s:s, s:i}", "service", l->service, "proto",
				     l->udp ? "udp" : "tcp", "lan", lan, "address", address, "port",
				     (int)cx->driver->ops->port(cx->driver, l->port)));
}

/* Where a listener can be reached: at the driver's address of the decky, or at those of its LANs,
 * home first. */
static int
add_endpoints(const struct work_context *cx, const struct topo *t, const struct topo_decky *d,
	      const struct work_decky *got, const struct netdrv_listener *l, json_t *endpoints)
{
	const struct topo_lan *home = topo_lan_by_id(t, d->home_lan_id);
	int r = home ? add_endpoint(cx, l, home->name, got->address, endpoints) : 0;

	for (size_t i = 0; r == 0 && !cx->driver->ops->assign && i < t->nedges; i++) {
		const struct topo_edge *edge = &t->edges[i];
		const struct topo_lan *lan = topo_lan_by_id(t, edge->lan_id);

		if (strcmp(edge->decky_uuid, d->uuid) == 0 && lan && lan != home)
			r = add_endpoint(cx, l, lan->name, edge->ip, endpoints);
	}
	return r;
}

static bool
is_of(const struct work *w, size_t at, const struct topo_decky *d)
{
	return at < w->wanted.n && strcmp(w->wanted.v[at].listener.decky_uuid, d->uuid) == 0;
}

/* A decky as it is once its listeners are open. A decky's listeners stand together, and most often
 * where `at` is: behind those of the decky before. */
static int
set_running(const struct work_context *cx, const struct work *w, const struct work_decky *got,
	    const struct topo *t, struct topo_decky *d, size_t *at)
{
	json_t *endpoints = json_array();
	int r = endpoints ? 0 : -ENOMEM;

	if (!is_of(w, *at, d))
		for (*at = 0; *at < w->wanted.n && !is_of(w, *at, d); (*at)++)
			;
	for (; r == 0 && is_of(w, *at, d); (*at)++)
		r = add_endpoints(cx, t, d, got, &w->wanted.v[*at].listener, endpoints);
	(void)snprintf(d->host_addr, sizeof(d->host_addr), "%s", got->address);
	json_decref(d->endpoints);
	d->endpoints = endpoints;
	d->state = DECKY_RUNNING;
	free(TAKE(d->last_error));
	return r < 0 ? -ENOMEM : 0;
}

/* The deckies of the work. */
static int
set_all_running(const struct work_context *cx, const struct work *w, struct topo *t)
{
	size_t at = 0, listener = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < w->ndeckies; i++) {
		struct topo_decky *d = topo_decky_next(t, w->deckies[i].uuid, &at);

		if (d)
			r = set_running(cx, w, &w->deckies[i], t, d, &listener);
	}
	return r;
}

static int
set_stopped(struct topo *t, enum decky_state state, const char *error, bool forget_address)
{
	for (size_t i = 0; i < t->ndeckies; i++) {
		struct topo_decky *d = &t->deckies[i];

		json_decref(d->endpoints);
		d->endpoints = json_array();
		d->state = state;
		free(d->last_error);
		d->last_error = error ? strdup(error) : NULL;
		if (forget_address)
			d->host_addr[0] = 0;
		if (!d->endpoints || !error != !d->last_error)
			return -ENOMEM;
	}
	return 0;
}

/* Rows and events of a change of deckies that no mutation carries. */
static int
store_deckies(struct db *db, const struct topo *before, struct topo *after, uint64_t now_ms,
	      struct err *e)
{
	int r = topology_write_rows(db, before, after, e);

	if (r == 0)
		r = topology_journal_deckies(db, before, after, NULL, now_ms, e);
	return r < 0 ? r : topology_journal_changed(db, before, after, now_ms, e);
}

/* The stored topology, still in the status that the work began with; else -ESTALE. */
static int
reload(struct db *db, const struct work *w, enum topo_status status, struct topo **ret,
       struct err *e)
{
	int r = topology_load(db, w->topology_id, ret, e);

	if (r == 0 || (r > 0 && (*ret)->status != status))
		return err_set(e, -ESTALE, "the topology's status has changed");
	return r < 0 ? r : 0;
}

/* An op that was claimed when the teardown was asked for: its topology is gone now, and nobody else
 * will end it. */
static int
abandon_claimed(struct db *db, struct topo *t, uint64_t now_ms, struct err *e)
{
	struct mutation *list = NULL;
	int n = mutation_open(db, t->id, &list, e), r = n < 0 ? n : 0;

	for (int i = 0; i < n; i++) {
		if (r >= 0)
			r = mutation_abandon(db, t, &list[i],
					     "Conflict: the topology was torn down", now_ms, e);
		mutation_fini(&list[i]);
	}
	free(list);
	return r < 0 ? r : 0;
}

/* How the deckies of a deploy or teardown are after it. */
static int
set_ended(const struct work_context *cx, const struct work *w, struct topo *t, int r,
	  const char *why)
{
	if (w->kind == WORK_DEPLOY)
		return r == 0 ? set_all_running(cx, w, t)
			      : set_stopped(t, DECKY_FAILED, why, false);
	/* Of a failed teardown nobody knows what is left. */
	return r == 0 ? set_stopped(t, DECKY_TORN_DOWN, NULL, true) : 0;
}

/* The end of a deploy or a teardown. */
static int
finish_status(struct db *db, const struct work_context *cx, struct work *w, int r, const char *why,
	      uint64_t now_ms, struct err *e)
{
	static const struct {
		enum topo_status during, good, bad;
	} of[] = {
		[WORK_DEPLOY] = {TOPO_DEPLOYING, TOPO_ACTIVE, TOPO_FAILED},
		[WORK_TEARDOWN] = {TOPO_TEARING_DOWN, TOPO_TORN_DOWN, TOPO_DEGRADED},
	};
	struct topo *stored = NULL, *after = NULL;
	char text[600];
	int q = reload(db, w, of[w->kind].during, &stored, e);

	if (q < 0)
		goto out;
	after = topo_copy(stored);
	q = after ? set_ended(cx, w, after, r, why) : oom(e);
	if (q == 0)
		q = store_deckies(db, stored, after, now_ms, e);
	if (q == 0 && w->kind == WORK_TEARDOWN)
		q = abandon_claimed(db, after, now_ms, e);
	(void)snprintf(text, sizeof(text), "Driver: %s", why ? why : "");
	if (q == 0)
		q = topology_set_status(db, after, r == 0 ? of[w->kind].good : of[w->kind].bad,
					r == 0 ? NULL : text, now_ms, e);
out:
	topo_free(stored);
	topo_free(after);
	return q;
}

/* Nobody else changes the rows of a live topology while its op is claimed, so `before` is what is
 * stored; its status and version may have moved. */
static int
finish_mutation(struct db *db, const struct work_context *cx, struct work *w, int r,
		const char *why, uint64_t now_ms, struct err *e)
{
	struct work_detail *detail = w->detail;
	struct topo *stored = NULL;
	char text[600];
	int q = topology_head(db, w->topology_id, &stored, e);

	if (q == 0 || (q > 0 && stored->status != TOPO_ACTIVE && stored->status != TOPO_DEGRADED))
		q = err_set(e, -ESTALE, "the topology is not live any more");
	if (q < 0)
		goto out;
	if (r < 0) {
		(void)snprintf(text, sizeof(text), "%s: %s", r == -ETIMEDOUT ? "Timeout" : "Driver",
			       why);
		topo_take_head(detail->before, stored);
		q = work_fail_mutation(db, cx, w, text, now_ms, e);
		goto out;
	}
	q = set_all_running(cx, w, detail->after);
	if (q == 0)
		q = topology_write_rows(db, detail->before, detail->after, e);
	if (q == 0)
		q = topology_journal_deckies(db, detail->before, detail->after, detail->restart,
					     now_ms, e);
	if (q == 0)
		q = mutation_finish_applied(db, detail->after, &detail->mutation, cx->owner,
					    topo_changes(detail->before, detail->after), now_ms, e);
out:
	topo_free(stored);
	return q;
}

/* Whether what degraded the topology was a difference that reconcile had found. */
static int
degraded_by_reconcile(struct db *db, const struct topo *t, struct err *e)
{
	json_t *events = NULL;
	const char *reason;
	int r = topology_status_events(db, t->id, 1, &events, e);

	if (r < 0)
		return r;
	reason = json_get_text(json_array_get(events, 0), "reason");
	r = reason && strncmp(reason, RECONCILE_REASON, strlen(RECONCILE_REASON)) == 0;
	json_decref(events);
	return r;
}

/* Whether an op has been applied since the topology was degraded. */
static int
applied_since(struct db *db, const struct topo *t, struct err *e)
{
	json_t *rows = NULL;
	const char *at;
	char since[CLOCK_ISO_SIZE];
	/* Ops are applied in order, so the newest of them is the last one. */
	int r = mutation_list(db, t->id, "applied", 1, 0, &rows, e);

	if (r < 0)
		return r;
	at = json_get_text(json_array_get(rows, 0), "applied_at");
	clock_iso(t->status_changed_ms, since);
	r = at && strcmp(at, since) >= 0;
	json_decref(rows);
	return r;
}

static int
finish_reconcile(struct db *db, const struct work_context *cx, struct work *w, int r,
		 const char *why, uint64_t now_ms, struct err *e)
{
	struct work_detail *detail = w->detail;
	struct topo *stored = NULL, *after = NULL;
	char text[600];
	int q = topology_head(db, w->topology_id, &stored, e);

	/* An op, a teardown or a deletion that came in between: the next pass looks again. */
	if (q <= 0 || (stored->status != TOPO_ACTIVE && stored->status != TOPO_DEGRADED) ||
	    stored->rows_no != detail->before->rows_no)
		goto out;
	topo_take_head(detail->before, stored);
	if (r < 0) {
		(void)snprintf(text, sizeof(text), RECONCILE_REASON "%s", why);
		q = work_degrade(db, detail->before, text, now_ms, e);
		goto out;
	}
	after = topo_copy(detail->before);
	q = after ? set_all_running(cx, w, after) : oom(e);
	if (q == 0)
		q = store_deckies(db, detail->before, after, now_ms, e);
	if (q == 0 && after->status == TOPO_DEGRADED) {
		const char *reason = "recovered";

		q = w->differences == 0 ? applied_since(db, after, e) : 0;
		if (q == 0) {
			reason = RECONCILE_REASON "mended";
			q = degraded_by_reconcile(db, after, e);
		}
		if (q > 0)
			q = topology_set_status(db, after, TOPO_ACTIVE, reason, now_ms, e);
	}
	if (q >= 0)
		detail->after = TAKE(after);
out:
	topo_free(stored);
	topo_free(after);
	return q < 0 ? q : 0;
}

/* What is known of the rows from now on. */
static void
keep_model(struct work *w, int r)
{
	struct work_detail *detail = w->detail;

	switch (w->kind) {
	case WORK_MUTATION: w->model = r == 0 ? TAKE(detail->after) : TAKE(detail->before); break;
	case WORK_RECONCILE:
		w->model = detail->after ? TAKE(detail->after) : TAKE(detail->before);
		break;
	case WORK_DEPLOY:
	case WORK_TEARDOWN: break;
	}
}

int
work_finish(struct db *db, const struct work_context *cx, struct work *w, int r, const char *why,
	    bool undo_failed, uint64_t now_ms, struct err *e)
{
	int q;

	(void)undo_failed;
	/* A pass that found nothing on an active topology has nothing to store: an idle system
	 * writes nothing. */
	if (w->kind == WORK_RECONCILE && r == 0 && w->differences == 0 &&
	    w->detail->before->status == TOPO_ACTIVE) {
		keep_model(w, r);
		return 0;
	}
	q = db_begin_write(db, e);
	if (q < 0)
		return q;
	switch (w->kind) {
	case WORK_DEPLOY:
	case WORK_TEARDOWN: q = finish_status(db, cx, w, r, why, now_ms, e); break;
	case WORK_MUTATION: q = finish_mutation(db, cx, w, r, why, now_ms, e); break;
	case WORK_RECONCILE: q = finish_reconcile(db, cx, w, r, why, now_ms, e); break;
	}
	if (q < 0) {
		db_rollback(db);
		return q;
	}
	q = db_commit(db, e);
	if (q == 0)
		keep_model(w, r);
	return q;
}
