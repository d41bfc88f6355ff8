/* SPDX-License-Identifier: Apache-2.0 */
/* The loop side of the mutator: finding work, carrying it through its steps, reconciling. */
#include "mutator/mutator.h"
#include "mutator/address.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mutator/health.h"
#include "mutator/job.h"
#include "util/clock.h"
#include "util/id.h"
#include "util/log.h"

#define POLL_MS		10000
#define RECONCILE_MS	30000
#define RENEW_MS	10000
/* Until the driver's privileged half has answered. */
#define HELPER_RETRY_MS 500
/* A store that failed is tried again after this time. */
#define RETRY_MS	500

static void find(struct mutator *m);
static void submit(struct mutator *m, struct job *own_job);

static void
publish(struct mutator *m, struct journal_rows *rows, const struct trace_span *span)
{
	for (size_t i = 0; i < rows->n; i++)
		traced_publish(m->bus, &rows->v[i], span);
	journal_rows_fini(rows);
}

static void
task_free(void *obj)
{
	struct task *t = obj;

	traced_end(t->span, t->r);
	work_fini(&t->work);
	free(t);
}

static void
task_end(struct task *t)
{
	struct mutator *m = t->m;

	if (!t->kept && t->work.kind != WORK_RECONCILE)
		address_release(t->m->driver, &t->work);
	keep_put(&m->keep, TAKE(t->work.model));
	list_unlink(&t->link);
	loop_timer_clear(&t->retry);
	m->ntasks--;
	loop_free_later(m->loop, t, task_free);
	/* The next op of this topology, or the next topology. */
	find(m);
}

static void
on_retry(struct loop_timer *timer)
{
	struct task *t = timer->user;

	submit(t->m, job_new(t->m, JOB_FINISH, t));
}

static void
finish_later(struct task *t)
{
	if (loop_timer_set(t->m->loop, &t->retry, RETRY_MS, on_retry, t) < 0)
		task_end(t);
}

static void
on_undone(void *user, int r, const char *why, bool undo_failed)
{
	struct task *t = user;

	(void)r;
	if (undo_failed)
		log_event(LV_WARN, "mutator.undo.failed", KV_S("topology", t->work.topology_id),
			  KV_S("why", why));
	task_end(t);
}

static void start_reconcile_of(struct mutator *m, struct work *after);
static void on_due(struct loop_timer *timer);

/* Every op is followed by a pass: soon where all is well, else at once. */
static void
reconcile_after(struct mutator *m, struct task *t)
{
	const struct topo *model = t->work.model;

	if (t->r < 0 || !model || model->status != TOPO_ACTIVE ||
	    due_add(&m->due, t->work.topology_id, loop_now_ms(m->loop)) ||
	    (!m->due_timer.loop && loop_timer_set(m->loop, &m->due_timer, DUE_MS, on_due, m) < 0))
		start_reconcile_of(m, &t->work);
}

static void
on_finished(struct job *job)
{
	struct task *t = job->task;
	struct mutator *m = job->m;

	if (job->r == -ESTALE) {
		log_event(LV_WARN, "mutator.claim.lost", KV_S("topology", t->work.topology_id));
		if (t->r == 0)
			run_undo(m->driver, &t->work.plan, on_undone, t);
		else
			task_end(t);
		return;
	}
	if (job->r < 0) {
		/* The network is as wanted; only the store does not know yet. The claim is renewed
		 * meanwhile. */
		log_event(LV_ERR, "mutator.store", KV_S("topology", t->work.topology_id),
			  KV_S("why", err_text(&job->e)));
		finish_later(t);
		return;
	}
	t->kept = t->r == 0;
	if (t->r == 0)
		for (size_t i = 0; m->driver->ops->release && i < t->work.ngone; i++)
			m->driver->ops->release(m->driver, t->work.gone[i]);
	/* A configuration may have changed without a restart: it counts from the next one on. */
	for (size_t i = 0; t->r == 0 && t->work.kind == WORK_MUTATION && i < t->work.wanted.n;
	     i++) {
		const struct netdrv_listener *l = &t->work.wanted.v[i].listener;

		if (m->driver->ops->has(m->driver, l->id) &&
		    m->driver->ops->learn(m->driver, l) < 0)
			log_plain(LV_ERR, "mutator.memory");
	}
	if (t->work.kind == WORK_MUTATION)
		reconcile_after(m, t);
	task_end(t);
}

static void
on_ran(void *user, int r, const char *why, bool undo_failed)
{
	struct task *t = user;

	t->r = r;
	t->undo_failed = undo_failed;
	(void)snprintf(t->why, sizeof(t->why), "%s", why ? why : "");
	if (r < 0)
		log_event(LV_WARN, "mutator.driver", KV_S("topology", t->work.topology_id),
			  KV_S("why", why));
	submit(t->m, job_new(t->m, JOB_FINISH, t));
}

/* The network is as wanted (or cannot be made so); now the sockets. */
static void
on_network(void *user, int r, const char *why)
{
	struct task *t = user;

	if (r >= 0) {
		t->work.differences = (unsigned)r;
		r = run_plan_mend(t->m->driver, &t->work.wanted, t->work.topology_id,
				  t->m->actual.v, t->m->actual.n, &t->work.plan);
		t->work.differences += (unsigned)t->work.plan.n;
		why = r < 0 ? strerror(-r) : NULL;
	}
	if (r < 0)
		on_ran(t, r, why, false);
	else
		run_start(t->m->driver, &t->work.plan, on_ran, t);
}

/* The network first: what is lost in it takes sockets along. */
static void
start_reconcile(struct task *t)
{
	struct netdrv *d = t->m->driver;
	const struct topo *wanted = t->work.plan.after;

	t->work.plan.topology_id = NULL;
	if (d->ops->network)
		d->ops->network(d, t->work.topology_id, wanted, on_network, t);
	else
		on_network(t, 0, NULL);
}

static void
on_prepared(struct job *job)
{
	struct task *t = job->task;
	int r;

	if (job->r < 0)
		log_event(LV_ERR, "mutator.store", KV_S("topology", t->work.topology_id),
			  KV_S("why", err_text(&job->e)));
	/* A claimed op that was refused: what a former claim of it opened must go. */
	if (job->r == 0 && t->work.kind == WORK_MUTATION && t->work.mutation_id[0])
		start_reconcile_of(t->m, &t->work);
	if (job->r <= 0) {
		task_end(t);
		return;
	}
	r = address_assign(t->m->driver, &t->work);
	if (r < 0) {
		on_ran(t, r,
		       r == -EADDRNOTAVAIL ? "no address is left in 127.100.0.0/16" : strerror(-r),
		       false);
		return;
	}
	if (t->work.kind == WORK_RECONCILE)
		start_reconcile(t);
	else
		run_start(t->m->driver, &t->work.plan, on_ran, t);
}

static bool
is_busy(const struct mutator *m, const char *topology_id)
{
	LIST_FOR (at, &m->tasks) {
		if (strcmp(CONTAINER_OF(at, struct task, link)->work.topology_id, topology_id) == 0)
			return true;
	}
	return false;
}

static void
task_start(struct mutator *m, const struct work *w)
{
	struct task *t;

	if (is_busy(m, w->topology_id) || !(t = calloc(1, sizeof(*t))))
		return;
	t->m = m;
	t->work = *w;
	t->work.model = keep_take(&m->keep, w->topology_id);
	list_append(&m->tasks, &t->link);
	m->ntasks++;
	submit(m, job_new(m, JOB_PREPARE, t));
}

static bool
take_due(void *user, const char *topology_id)
{
	struct mutator *m = user;
	struct work w = {.kind = WORK_RECONCILE};

	/* Busy with an op: at its end it is due at once. */
	if (is_busy(m, topology_id))
		return false;
	(void)snprintf(w.topology_id, sizeof(w.topology_id), "%s", topology_id);
	task_start(m, &w);
	return true;
}

static void
on_due(struct loop_timer *timer)
{
	struct mutator *m = timer->user;

	due_offer(&m->due, loop_now_ms(m->loop), take_due, m);
	if (!list_empty(&m->due.topologies) &&
	    loop_timer_set(m->loop, &m->due_timer, DUE_MS, on_due, m) < 0)
		log_plain(LV_ERR, "mutator.memory");
}

static void
on_found(struct job *job)
{
	struct mutator *m = job->m;

	if (job->kind == JOB_FIND)
		m->finding = false;
	if (job->r < 0)
		log_event(LV_ERR, "mutator.store", KV_S("why", err_text(&job->e)));
	for (int i = 0; i < job->nworks; i++)
		task_start(m, &job->works[i]);
	free(job->works);
	if (job->kind == JOB_FIND && m->again)
		find(m);
}

static void
begin(struct mutator *m)
{
	m->remnants = 0;
	if (m->started)
		return;
	m->started = true;
	mutator_wake(m);
	mutator_decoy_up(m);
}

static void
on_remnant_closed(void *user, int r, const char *why)
{
	struct mutator *m = user;

	if (r < 0)
		log_event(LV_WARN, "mutator.remnant", KV_S("why", why));
	if (m->remnants && --m->remnants == 0)
		begin(m);
}

/*
 * What the decoy process has and no live topology wants was opened for an op or a deploy that our
 * former life did not end. It goes before anything is claimed: the same op, begun anew, wants the
 * same addresses.
 */
static void
close_remnants(struct mutator *m, const struct run_plan *wanted)
{
	struct run_index index;
	int r = run_index_init(&index, wanted);

	/* One more than there are, so that none that ends at once ends the waiting. */
	m->remnants = 1;
	for (size_t i = 0; r == 0 && i < m->actual.n; i++) {
		if (run_index_has(&index, m->actual.v[i]))
			continue;
		m->remnants++;
		m->driver->ops->close(m->driver, m->actual.v[i], on_remnant_closed, m);
	}
	run_index_fini(&index);
	on_remnant_closed(m, 0, NULL);
}

static void
on_started(struct job *job)
{
	struct mutator *m = job->m;

	if (job->r < 0) {
		log_event(LV_ERR, "mutator.store", KV_S("why", err_text(&job->e)));
		loop_stop(m->loop);
		return;
	}
	for (size_t i = 0; m->driver->ops->adopt && i < job->inventory.ndeckies; i++) {
		const struct work_decky *decky = &job->inventory.deckies[i];

		if (m->driver->ops->adopt(m->driver, decky->uuid, decky->address) < 0)
			log_event(LV_WARN, "mutator.address.lost", KV_S("decky", decky->uuid),
				  KV_S("address", decky->address));
	}
	/* What our former life opened and the decoy process still has is known by the list of the
	 * first reconcile. */
	for (size_t i = 0; i < job->inventory.wanted.n; i++)
		if (ids_have(&m->actual, job->inventory.wanted.v[i].listener.id) &&
		    m->driver->ops->learn(m->driver, &job->inventory.wanted.v[i].listener) < 0)
			log_plain(LV_ERR, "mutator.memory");
	close_remnants(m, &job->inventory.wanted);
}

static void
job_done(struct pool_job *pool_job)
{
	struct job *job = pool_job->user;
	struct mutator *m = job->m;
	struct task *t = job->task;

	/* Claimed: refused at once (0), which is a failure, or to be carried out. */
	if (job->kind == JOB_PREPARE && (job->r > 0 || t->work.mutation_id[0])) {
		t->span = traced_begin(&m->traced, &t->work);
		if (job->r <= 0)
			trace_failed(t->span);
	}
	publish(m, &job->rows, t ? t->span : NULL);
	switch (job->kind) {
	case JOB_START: on_started(job); break;
	case JOB_FIND:
	case JOB_FIND_RECONCILE: on_found(job); break;
	case JOB_PREPARE: on_prepared(job); break;
	case JOB_FINISH: on_finished(job); break;
	case JOB_RENEW:
		if (job->r < 0)
			log_event(LV_WARN, "mutator.renew", KV_S("why", err_text(&job->e)));
		break;
	}
	job_free(job);
}

/* Without memory or room in the queue the work is left where it is: the store finds it again. */
static void
submit(struct mutator *m, struct job *own_job)
{
	if (!own_job) {
		log_plain(LV_ERR, "mutator.memory");
		return;
	}
	if (m->stopping) {
		job_free(own_job);
		return;
	}
	own_job->pool_job = (struct pool_job){.run = job_run, .done = job_done, .user = own_job};
	if (pool_submit(m->pool, &own_job->pool_job) < 0) {
		own_job->r = -EBUSY;
		(void)err_set(&own_job->e, -EBUSY, "too much work waits for the store");
		job_done(&own_job->pool_job);
	}
}

static void
find(struct mutator *m)
{
	if (!m->started)
		return;
	/* One search at a time; a wake-up during it starts another, so none is lost. */
	m->again = m->finding;
	if (m->finding || m->ntasks >= TASKS_MAX)
		return;
	m->finding = true;
	submit(m, job_find(m, JOB_FIND));
}

void
mutator_wake(struct mutator *m)
{
	find(m);
}

static void
start_reconcile_of(struct mutator *m, struct work *after)
{
	struct work w = {.kind = WORK_RECONCILE};
	struct task *t = calloc(1, sizeof(*t));

	if (!t)
		return;
	/* Not through task_start: the op's own task still holds the topology, and this one takes
	 * over from it. */
	memcpy(w.topology_id, after->topology_id, sizeof(w.topology_id));
	t->m = m;
	t->work = w;
	t->work.model = TAKE(after->model);
	list_append(&m->tasks, &t->link);
	m->ntasks++;
	submit(m, job_new(m, JOB_PREPARE, t));
}

/* Whether the id's topology was busy or wanted when the pass looked, or has become busy since. */
static bool
known_topology(const struct job *job, const char *id)
{
	for (size_t i = 0; i < job->nbusy; i++)
		if (id_is_of(id, job->busy[i]))
			return true;
	for (int i = 0; i < job->nworks; i++)
		if (id_is_of(id, job->works[i].topology_id))
			return true;
	LIST_FOR (at, &job->m->tasks) {
		if (id_is_of(id, CONTAINER_OF(at, struct task, link)->work.topology_id))
			return true;
	}
	return false;
}

static void
on_orphan_closed(void *user, int r, const char *why)
{
	(void)user;
	if (r < 0)
		log_event(LV_WARN, "mutator.orphan", KV_S("why", why));
}

static bool
knows_topology(void *user, const char *topology_id)
{
	char prefix[ID_UUID_SIZE + 1];

	(void)snprintf(prefix, sizeof(prefix), "%s/", topology_id);
	return known_topology(user, prefix);
}

/* Whatever the decoy has beyond the topologies of the pass belongs to nobody. */
static void
close_orphans(struct mutator *m, struct job *job)
{
	for (size_t i = 0; i < m->actual.n; i++)
		if (!known_topology(job, m->actual.v[i]))
			m->driver->ops->close(m->driver, m->actual.v[i], on_orphan_closed, m);
	if (m->driver->ops->orphans)
		m->driver->ops->orphans(m->driver, knows_topology, job);
}

static void
reconcile_found(struct pool_job *pool_job)
{
	struct job *job = pool_job->user;
	struct mutator *m = job->m;

	if (job->r >= 0)
		close_orphans(m, job);
	on_found(job);
	m->reconciling = false;
	job_free(job);
}

static void
on_listed(void *user, int r, const char *const *ids, size_t n)
{
	struct mutator *m = user;
	struct job *job;

	if (r < 0) {
		log_event(LV_WARN, "mutator.decoy.silent", KV_I("errno", -r));
		m->reconciling = false;
		if (!m->started)
			mutator_decoy_up(m);
		return;
	}
	ids_set(&m->actual, ids, n);
	if (!m->started) {
		m->reconciling = false;
		/* A decoy that came back while remnants were being closed has none of them. */
		if (m->remnants)
			begin(m);
		else
			submit(m, job_new(m, JOB_START, NULL));
		return;
	}
	job = m->stopping ? NULL : job_find(m, JOB_FIND_RECONCILE);
	if (!job) {
		m->reconciling = false;
		return;
	}
	job->pool_job = (struct pool_job){.run = job_run, .done = reconcile_found, .user = job};
	if (pool_submit(m->pool, &job->pool_job) < 0) {
		m->reconciling = false;
		job_free(job);
	}
}

void
mutator_decoy_up(struct mutator *m)
{
	if (m->reconciling)
		return;
	m->reconciling = true;
	if (m->stopping)
		return;
	m->driver->ops->list(m->driver, on_listed, m);
}

static void
on_poll(struct loop_timer *t)
{
	struct mutator *m = t->user;

	find(m);
	if (loop_timer_set(m->loop, &m->poll, POLL_MS, on_poll, m) < 0)
		loop_stop(m->loop);
}

static void
on_reconcile(struct loop_timer *t)
{
	struct mutator *m = t->user;

	mutator_decoy_up(m);
	if (loop_timer_set(m->loop, &m->reconcile, RECONCILE_MS, on_reconcile, m) < 0)
		loop_stop(m->loop);
}

static void
on_renew(struct loop_timer *t)
{
	struct mutator *m = t->user;

	struct netdrv *d = m->driver;
	int64_t helper = d->ops->helper ? d->ops->helper(d) : 0;
	struct job *job = job_new(m, JOB_RENEW, NULL);

	if (helper != m->helper)
		m->helper_ms = clock_unix_ms();
	m->helper = helper;
	if (job) {
		job->helper = helper;
		job->helper_ms = m->helper_ms;
	}
	submit(m, job);
	mutator_publish_health(m->bus, "mutator", getpid(), m->started_ms);
	if (helper)
		mutator_publish_health(m->bus, "netd", helper, m->helper_ms);
	if (loop_timer_set(m->loop, &m->renew,
			   d->ops->helper && !helper ? HELPER_RETRY_MS : RENEW_MS, on_renew, m) < 0)
		loop_stop(m->loop);
}

static void
on_hint(void *user, struct sv subject, struct sv payload)
{
	struct mutator *m = user;

	traced_hint(&m->traced, subject, payload);
	mutator_wake(m);
}

int
mutator_new(struct loop *l, const struct conf *conf, struct pool *pool, struct bus_client *bus,
	    struct netdrv *driver, struct mutator **ret_mutator, struct err *e)
{
	struct mutator *m = calloc(1, sizeof(*m));
	char life[ID_HEX32_SIZE];
	int r;

	if (!m)
		return err_set(e, -ENOMEM, "out of memory");
	id_hex32(life);
	(void)snprintf(m->owner, sizeof(m->owner), "%s:%d:%.8s", conf->host_name, (int)getpid(),
		       life);
	m->loop = l;
	m->conf = conf;
	m->pool = pool;
	m->bus = bus;
	m->driver = driver;
	m->cx = (struct work_context){
		.owner = m->owner, .host = conf->host_name, .pool = conf->pool, .driver = driver};
	m->started_ms = clock_unix_ms();
	list_init(&m->tasks);
	keep_init(&m->keep);
	due_init(&m->due);
	r = bus_subscribe(bus, "topology.*.mutation.enqueued", NULL, on_hint, m, &m->subs[0]);
	if (r == 0)
		r = bus_subscribe(bus, "topology.*.status", NULL, on_hint, m, &m->subs[1]);
	if (r == 0)
		r = loop_timer_set(l, &m->poll, POLL_MS, on_poll, m);
	if (r == 0)
		r = loop_timer_set(l, &m->renew, 0, on_renew, m);
	if (r == 0)
		r = loop_timer_set(l, &m->reconcile, RECONCILE_MS, on_reconcile, m);
	if (r < 0) {
		mutator_free(m);
		return err_set(e, r, "cannot start: %s", strerror(-r));
	}
	mutator_decoy_up(m);
	*ret_mutator = m;
	return 0;
}

void
mutator_stop(struct mutator *m)
{
	m->stopping = true;
}

void
mutator_free(struct mutator *m)
{
	if (!m)
		return;
	for (unsigned i = 0; i < 2; i++)
		if (m->subs[i])
			bus_unsubscribe(m->subs[i]);
	loop_timer_clear(&m->poll);
	loop_timer_clear(&m->renew);
	loop_timer_clear(&m->reconcile);
	loop_timer_clear(&m->due_timer);
	LIST_FOR (at, &m->tasks) {
		struct task *t = CONTAINER_OF(at, struct task, link);

		list_unlink(&t->link);
		loop_timer_clear(&t->retry);
		task_free(t);
	}
	ids_fini(&m->actual);
	keep_fini(&m->keep);
	due_fini(&m->due);
	free(m);
}
