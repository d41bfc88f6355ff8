/* SPDX-License-Identifier: Apache-2.0 */
/* The store side of the mutator: what there is to do, what it means for the network, and how it
 * ended. */
#include "mutator/work.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mutator/keep.h"
#include "mutator/work_detail.h"
#include "store/mutation.h"
#include "store/topology.h"
#include "store/worker.h"
#include "topology/catalog.h"
#include "topology/diff.h"
#include "topology/ops.h"
#include "util/json.h"
#include "util/sv.h"

#define REFS_MAX 1000

void
work_fini(struct work *w)
{
	run_plan_fini(&w->wanted);
	run_plan_fini(&w->plan);
	free(w->deckies);
	free(w->gone);
	topo_free(w->model);
	if (w->detail) {
		topo_free(w->detail->before);
		topo_free(w->detail->after);
		if (w->detail->has_mutation)
			mutation_fini(&w->detail->mutation);
		json_decref(w->detail->restart);
		free(w->detail);
	}
	w->deckies = NULL;
	w->gone = NULL;
	w->model = NULL;
	w->detail = NULL;
}

static int
oom(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory");
}

/* The ports of a service over one transport. */
typedef size_t ports_fn(const char *name, unsigned *ports, size_t max);

/* The service that gets a port that several of the decky's services want: the one with fewer ports,
 * then the one listed first. */
static bool
port_is_of(const struct topo_decky *d, size_t service_at, unsigned port, ports_fn *ports_of)
{
	const char *service = json_string_value(json_array_get(d->services, service_at));
	unsigned ports[8];
	size_t mine = ports_of(service, ports, ARRAY_LEN(ports)), i;
	const json_t *item;

	json_array_foreach(d->services, i, item)
	{
		size_t n = ports_of(json_string_value(item), ports, ARRAY_LEN(ports));
		bool wants = false;

		for (size_t p = 0; p < n; p++)
			wants |= ports[p] == port;
		if (i == service_at || !wants || !catalog_available(json_string_value(item)))
			continue;
		if (n < mine || (n == mine && i < service_at))
			return false;
	}
	return true;
}

static int
add_listener(const struct topo *t, const struct topo_decky *d, const char *service, unsigned port,
	     bool udp, struct run_plan *plan)
{
	struct netdrv_listener l = {.port = (uint16_t)port, .udp = udp};
	json_t *config = json_object_get(d->service_config, service), *none = json_object();
	int r;

	(void)snprintf(l.id, sizeof(l.id), "%s/%s/%s/%u%s", t->id, d->uuid, service, port,
		       udp ? "/udp" : "");
	memcpy(l.topology_id, t->id, sizeof(l.topology_id));
	memcpy(l.decky_uuid, d->uuid, sizeof(l.decky_uuid));
	(void)snprintf(l.decky, sizeof(l.decky), "%s", d->name);
	(void)snprintf(l.service, sizeof(l.service), "%s", service);
	(void)snprintf(l.archetype, sizeof(l.archetype), "%s", d->archetype);
	l.config = config ? config : none;
	r = run_plan_add(plan, RUN_OPEN, &l);
	json_decref(none);
	return r;
}

static int
add_listeners(const struct topo *t, const struct topo_decky *d, struct run_plan *plan)
{
	static ports_fn *const transports[] = {catalog_tcp_ports, catalog_udp_ports};
	const json_t *item;
	size_t i;
	int r = 0;

	/* A decky without a LAN is on no network. */
	if (!d->home_lan_id[0])
		return 0;
	json_array_foreach(d->services, i, item)
	{
		const char *service = json_string_value(item);

		for (size_t udp = 0; udp < ARRAY_LEN(transports); udp++) {
			unsigned ports[8];
			size_t n = catalog_available(service)
					   ? transports[udp](service, ports, ARRAY_LEN(ports))
					   : 0;

			for (size_t p = 0; r == 0 && p < n; p++)
				if (port_is_of(d, i, ports[p], transports[udp]))
					r = add_listener(t, d, service, ports[p], udp == 1, plan);
		}
	}
	return r;
}

/* Of all its deckies, or of those whose place is marked. */
static int
listeners_of(const struct topo *t, const bool *some, struct run_plan *plan)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < t->ndeckies; i++)
		if (!some || some[i])
			r = add_listeners(t, &t->deckies[i], plan);
	return r;
}

static bool
restarts(const json_t *restart, const struct netdrv_listener *l)
{
	char text[ID_UUID_SIZE + TOPO_LABEL_SIZE + 1];
	const json_t *item;
	size_t i;

	(void)snprintf(text, sizeof(text), "%s/%s", l->decky_uuid, l->service);
	json_array_foreach(restart, i,
			   item) if (strcmp(json_string_value(item), text) == 0) return true;
	return false;
}

/* From the listeners of one state to those of another; services in `restart` stop and start
 * although they stay. */
static int
plan_difference(const struct run_plan *from, const struct run_plan *to, const json_t *restart,
		struct run_plan *plan)
{
	struct run_index was, is = {0};
	int r = run_index_init(&was, from);

	if (r == 0)
		r = run_index_init(&is, to);
	for (size_t i = 0; r == 0 && i < from->n; i++) {
		const struct netdrv_listener *l = &from->v[i].listener;

		if (!run_index_has(&is, l->id) || restarts(restart, l))
			r = run_plan_add(plan, RUN_CLOSE, l);
	}
	for (size_t i = 0; r == 0 && i < to->n; i++) {
		const struct netdrv_listener *l = &to->v[i].listener;

		if (!run_index_has(&was, l->id) || restarts(restart, l))
			r = run_plan_add(plan, RUN_OPEN, l);
	}
	run_index_fini(&was);
	run_index_fini(&is);
	return r;
}

/* All deckies, or those whose place is marked. */
static int
list_deckies(struct work *w, const struct topo *t, const bool *some)
{
	size_t *place = calloc(t->ndeckies + 1, sizeof(*place)), at = 0;

	w->deckies = calloc(t->ndeckies + 1, sizeof(*w->deckies));
	for (size_t i = 0; place && w->deckies && i < t->ndeckies; i++) {
		struct work_decky *d = &w->deckies[w->ndeckies];

		if (some && !some[i])
			continue;
		place[i] = ++w->ndeckies;
		memcpy(d->uuid, t->deckies[i].uuid, sizeof(d->uuid));
		(void)snprintf(d->address, sizeof(d->address), "%s", t->deckies[i].host_addr);
	}
	for (size_t i = 0; place && w->deckies && i < t->nedges; i++) {
		const struct topo_edge *edge = &t->edges[i];
		const struct topo_decky *d = topo_decky_next(t, edge->decky_uuid, &at);

		if (d && place[d - t->deckies] && strcmp(d->home_lan_id, edge->lan_id) == 0)
			memcpy(w->deckies[place[d - t->deckies] - 1].home_ip, edge->ip,
			       sizeof(edge->ip));
	}
	free(place);
	return place && w->deckies ? 0 : -ENOMEM;
}

static int
list_gone(struct work *w, const struct topo *before, const struct topo *after)
{
	size_t at = 0;

	w->gone = calloc(before->ndeckies + 1, sizeof(*w->gone));
	if (!w->gone)
		return -ENOMEM;
	for (size_t i = 0; i < before->ndeckies; i++)
		if (!after || !topo_decky_next(after, before->deckies[i].uuid, &at))
			memcpy(w->gone[w->ngone++], before->deckies[i].uuid, ID_UUID_SIZE);
	return 0;
}

static bool
is_among(const char *id, const char (*ids)[ID_UUID_SIZE], size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(ids[i], id) == 0)
			return true;
	return false;
}

static void
add_work(struct work *works, size_t *n, size_t max, enum work_kind kind, const char *id,
	 const char (*busy)[ID_UUID_SIZE], size_t nbusy)
{
	if (*n >= max || is_among(id, busy, nbusy))
		return;
	works[*n].kind = kind;
	(void)snprintf(works[(*n)++].topology_id, ID_UUID_SIZE, "%s", id);
}

int
work_find(struct db *db, const struct work_context *cx, const char (*busy)[ID_UUID_SIZE],
	  size_t nbusy, uint64_t now_ms, size_t max, struct work **ret_works, struct err *e)
{
	struct topology_ref *refs = calloc(REFS_MAX, sizeof(*refs));
	char(*ids)[ID_UUID_SIZE] = calloc(REFS_MAX, sizeof(*ids));
	struct work *works = calloc(max, sizeof(*works));
	size_t n = 0;
	int nrefs = -ENOMEM, nids = -ENOMEM;

	(void)now_ms;
	if (refs && ids && works)
		nrefs = topology_refs(db, cx->host, false, REFS_MAX, refs, e);
	if (nrefs >= 0)
		nids = mutation_ready(db, cx->host, REFS_MAX, ids, e);
	for (int i = 0; nids >= 0 && i < nrefs; i++)
		add_work(works, &n, max,
			 refs[i].status == TOPO_DEPLOYING ? WORK_DEPLOY : WORK_TEARDOWN, refs[i].id,
			 busy, nbusy);
	for (int i = 0; i < nids; i++)
		add_work(works, &n, max, WORK_MUTATION, ids[i], busy, nbusy);
	free(refs);
	free(ids);
	if (nrefs < 0 || nids < 0) {
		free(works);
		return nrefs < 0 ? nrefs : nids;
	}
	*ret_works = works;
	return (int)n;
}

int
work_find_reconcile(struct db *db, const struct work_context *cx, const char (*busy)[ID_UUID_SIZE],
		    size_t nbusy, struct work **ret_works, struct err *e)
{
	struct topology_ref *refs = calloc(REFS_MAX, sizeof(*refs));
	struct work *works = calloc(REFS_MAX, sizeof(*works));
	size_t n = 0;
	int nrefs = refs && works ? topology_refs(db, cx->host, true, REFS_MAX, refs, e) : oom(e);

	for (int i = 0; i < nrefs; i++)
		add_work(works, &n, REFS_MAX, WORK_RECONCILE, refs[i].id, busy, nbusy);
	free(refs);
	if (nrefs < 0) {
		free(works);
		return nrefs;
	}
	*ret_works = works;
	return (int)n;
}

/* The network of a plan; the topologies live as long as the work. */
static void
plan_network(struct work *w, const struct topo *before, const struct topo *after)
{
	w->plan.topology_id = w->topology_id;
	w->plan.before = before;
	w->plan.after = after;
}

/* The model as it is stored: the one at hand if no row has changed since. 1, 0 when there is no
 * such topology, or a failure. */
static int
load_model(struct db *db, struct work *w, struct topo **ret, struct err *e)
{
	struct topo *head = NULL;
	int r = topology_head(db, w->topology_id, &head, e);

	if (r > 0 && w->model && w->model->rows_no == head->rows_no) {
		topo_take_head(w->model, head);
		*ret = TAKE(w->model);
	} else if (r > 0) {
		r = topology_load(db, w->topology_id, ret, e);
	}
	topo_free(head);
	return r;
}

/* What a deploy, teardown or reconcile needs: the model as it is. 1, 0 when its status has changed,
 * or a failure. */
static int
prepare_status(struct db *db, struct work *w, struct err *e)
{
	struct work_detail *detail = w->detail;
	int r = load_model(db, w, &detail->before, e);
	bool fits = false;

	if (r <= 0)
		return r;
	switch (w->kind) {
	case WORK_DEPLOY: fits = detail->before->status == TOPO_DEPLOYING; break;
	case WORK_TEARDOWN: fits = detail->before->status == TOPO_TEARING_DOWN; break;
	case WORK_RECONCILE:
		fits = detail->before->status == TOPO_ACTIVE ||
		       detail->before->status == TOPO_DEGRADED;
		break;
	case WORK_MUTATION: break;
	}
	if (!fits)
		return 0;
	plan_network(w, w->kind == WORK_DEPLOY ? NULL : detail->before,
		     w->kind == WORK_TEARDOWN ? NULL : detail->before);
	r = listeners_of(detail->before, NULL, &w->wanted);
	if (r == 0 && w->kind == WORK_TEARDOWN) {
		for (size_t i = 0; r == 0 && i < w->wanted.n; i++)
			r = run_plan_add(&w->plan, RUN_CLOSE, &w->wanted.v[i].listener);
		if (r == 0)
			r = list_gone(w, detail->before, NULL);
	} else if (r == 0) {
		for (size_t i = 0; r == 0 && w->kind == WORK_DEPLOY && i < w->wanted.n; i++)
			r = run_plan_add(&w->plan, RUN_OPEN, &w->wanted.v[i].listener);
		if (r == 0)
			r = list_deckies(w, detail->before, NULL);
	}
	return r < 0 ? oom(e) : 1;
}

/* `degraded` by a failed op, in the transaction that says so. */
int
work_degrade(struct db *db, struct topo *t, const char *reason, uint64_t now_ms, struct err *e)
{
	if (t->status != TOPO_ACTIVE)
		return 0;
	return topology_set_status(db, t, TOPO_DEGRADED, reason, now_ms, e);
}

int
work_fail_mutation(struct db *db, const struct work_context *cx, struct work *w, const char *reason,
		   uint64_t now_ms, struct err *e)
{
	char why[600];
	int r = mutation_finish_failed(db, w->detail->before, &w->detail->mutation, cx->owner,
				       reason, now_ms, e);

	if (r < 0)
		return r;
	(void)snprintf(why, sizeof(why), "%s failed: %s", w->detail->mutation.op, reason);
	return work_degrade(db, w->detail->before, why, now_ms, e);
}

/* Apply the claimed op to a copy of the model. 1: go on; 0: refused and stored as failed; < 0:
 * store failure. */
static int
apply_op(struct db *db, const struct work_context *cx, struct work *w, uint64_t now_ms,
	 struct err *e)
{
	struct work_detail *detail = w->detail;
	struct topo_refusal refusal = {0};
	struct topo_world world = {0};
	enum topo_op op = topo_op_find(detail->mutation.op);
	char reason[640];
	int r;

	if (detail->mutation.attempt > MUTATION_ATTEMPTS_MAX)
		return work_fail_mutation(db, cx, w, "Timeout: lease lost 3 times", now_ms, e);
	detail->after = topo_copy(detail->before);
	if (!detail->after)
		return oom(e);
	r = topo_op_takes_subnet(op) ? topology_world(db, cx->pool, w->topology_id, &world, e) : 0;
	if (r < 0)
		return r;
	r = topo_op_apply(detail->after, op, detail->mutation.payload, &world, &refusal,
			  &detail->restart);
	topology_world_fini(&world);
	if (r == -EPERM) {
		(void)snprintf(reason, sizeof(reason), "%s: %s",
			       refusal.status == 422 ? "Invalid" : "Conflict", refusal.text);
		topo_refusal_fini(&refusal);
		return work_fail_mutation(db, cx, w, reason, now_ms, e);
	}
	return r < 0 ? err_set(e, r, "cannot apply %s", detail->mutation.op) : 1;
}

/* What the op has touched: listeners, addresses, deckies that are gone. */
static int
plan_mutation(struct work *w)
{
	const struct topo *before = w->detail->before, *after = w->detail->after;
	bool *is = topo_touched(before, after), *was = calloc(before->ndeckies + 1, sizeof(*was));
	struct run_plan now = {0};
	size_t at = 0;
	int r = is && was ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < after->ndeckies; i++)
		is[i] |= after->deckies[i].state != DECKY_RUNNING;
	for (size_t i = 0; r == 0 && i < before->ndeckies; i++) {
		const struct topo_decky *d = topo_decky_next(after, before->deckies[i].uuid, &at);

		was[i] = !d || is[d - after->deckies];
	}
	if (r == 0)
		r = listeners_of(before, was, &now);
	if (r == 0)
		r = listeners_of(after, is, &w->wanted);
	if (r == 0)
		r = plan_difference(&now, &w->wanted, w->detail->restart, &w->plan);
	if (r == 0)
		r = list_deckies(w, after, is);
	if (r == 0)
		r = list_gone(w, before, after);
	run_plan_fini(&now);
	free(is);
	free(was);
	return r;
}

static int
prepare_mutation(struct db *db, const struct work_context *cx, struct work *w, uint64_t now_ms,
		 struct err *e)
{
	struct work_detail *detail = w->detail;
	int r = load_model(db, w, &detail->before, e);

	if (r <= 0)
		return r;
	if (detail->before->status != TOPO_ACTIVE && detail->before->status != TOPO_DEGRADED)
		return 0;
	r = mutation_claim(db, w->topology_id, cx->owner, WORK_LEASE_MS, now_ms, &detail->mutation,
			   e);
	if (r <= 0)
		return r;
	detail->has_mutation = true;
	(void)snprintf(w->mutation_id, sizeof(w->mutation_id), "%s", detail->mutation.id);
	(void)snprintf(w->op, sizeof(w->op), "%s", detail->mutation.op);
	w->attempt = (int)detail->mutation.attempt;
	r = apply_op(db, cx, w, now_ms, e);
	if (r <= 0)
		return r;
	plan_network(w, detail->before, detail->after);
	r = plan_mutation(w);
	return r < 0 ? oom(e) : 1;
}

int
work_prepare(struct db *db, const struct work_context *cx, struct work *w, uint64_t now_ms,
	     struct err *e)
{
	int r, commit;

	w->detail = calloc(1, sizeof(*w->detail));
	if (!w->detail)
		return oom(e);
	if (w->kind != WORK_MUTATION) {
		r = db_begin_read(db, e);
		if (r < 0)
			return r;
		r = prepare_status(db, w, e);
		db_rollback(db);
		return r;
	}
	r = db_begin_write(db, e);
	if (r < 0)
		return r;
	r = prepare_mutation(db, cx, w, now_ms, e);
	if (r < 0) {
		db_rollback(db);
		return r;
	}
	/* Refused operations are stored by this, claims too. */
	commit = db_commit(db, e);
	if (commit < 0)
		return commit;
	if (r == 0)
		w->model = TAKE(w->detail->before);
	return r;
}

static int
inventory_add(struct work_inventory *inv, const struct topo *t)
{
	int r = listeners_of(t, NULL, &inv->wanted);

	for (size_t i = 0; r == 0 && i < t->ndeckies; i++) {
		struct work_decky *more;

		if (!t->deckies[i].host_addr[0])
			continue;
		more = realloc(inv->deckies, (inv->ndeckies + 1) * sizeof(*more));
		if (!more)
			return -ENOMEM;
		inv->deckies = more;
		memcpy(more[inv->ndeckies].uuid, t->deckies[i].uuid, ID_UUID_SIZE);
		(void)snprintf(more[inv->ndeckies++].address, NETDRV_ADDRESS_SIZE, "%s",
			       t->deckies[i].host_addr);
	}
	return r;
}

int
work_inventory(struct db *db, const struct work_context *cx, struct work_inventory *ret,
	       struct err *e)
{
	struct topology_ref *refs = calloc(REFS_MAX, sizeof(*refs));
	int r = refs ? db_begin_read(db, e) : oom(e);
	int n = r < 0 ? r : topology_refs(db, cx->host, true, REFS_MAX, refs, e);

	r = n;
	for (int i = 0; i < n && r >= 0; i++) {
		struct topo *t = NULL;

		r = topology_load(db, refs[i].id, &t, e);
		if (r > 0 && inventory_add(ret, t) < 0)
			r = oom(e);
		topo_free(t);
	}
	db_rollback(db);
	free(refs);
	return r < 0 ? r : 0;
}

void
work_inventory_fini(struct work_inventory *inv)
{
	run_plan_fini(&inv->wanted);
	free(inv->deckies);
	inv->deckies = NULL;
	inv->ndeckies = 0;
}

int
work_start(struct db *db, const struct work_context *cx, uint64_t now_ms, struct err *e)
{
	char prefix[80];
	int r = db_begin_write(db, e);

	if (r < 0)
		return r;
	(void)snprintf(prefix, sizeof(prefix), "%s:", cx->host);
	r = mutation_release(db, prefix, e);
	if (r == 0)
		r = host_register(db, cx->host, cx->driver->ops->name, now_ms, e);
	if (r < 0) {
		db_rollback(db);
		return r;
	}
	return db_commit(db, e);
}

int
work_renew(struct db *db, const struct work_context *cx, uint64_t started_ms, int64_t helper,
	   uint64_t helper_ms, uint64_t now_ms, struct err *e)
{
	int r = db_begin_write(db, e);
	char extra[96];

	if (r < 0)
		return r;
	(void)snprintf(extra, sizeof(extra), "{\"changes_cut\":%llu,\"models_left\":%llu}",
		       (unsigned long long)topology_changes_cut(), (unsigned long long)keep_left());
	r = mutation_renew(db, cx->owner, now_ms + WORK_LEASE_MS, e);
	if (r == 0)
		r = worker_beat(db, "mutator", getpid(), started_ms, now_ms, extra, e);
	if (r == 0 && helper)
		r = worker_beat(db, "netd", helper, helper_ms, now_ms, NULL, e);
	if (r < 0) {
		db_rollback(db);
		return r;
	}
	return db_commit(db, e);
}
