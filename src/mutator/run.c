/* SPDX-License-Identifier: Apache-2.0 */
/* Plan, run, undo. */
#include "mutator/run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/hash.h"

enum step_state { STEP_TODO, STEP_DONE, STEP_FAILED };

enum phase {
	PHASE_CLOSE,
	PHASE_NETWORK,
	PHASE_OPEN,
	PHASE_UNDO_OPEN,
	PHASE_UNDO_NETWORK,
	PHASE_UNDO_CLOSE,
	PHASE_END
};

struct run {
	struct netdrv *driver;
	const struct run_plan *plan;
	run_done_fn *done;
	void *user;
	enum phase phase;
	enum step_state *states;
	struct ticket *tickets;
	size_t pending;
	int r;
	bool undo_failed;
	char why[256];
};

/* What a driver's answer needs to find its step again. */
struct ticket {
	struct run *run;
	size_t at;
};

int
run_plan_add(struct run_plan *p, enum run_kind kind, const struct netdrv_listener *l)
{
	if (p->n == p->cap) {
		size_t cap = p->cap ? p->cap * 2 : 8;
		struct run_step *v = realloc(p->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		p->v = v;
		p->cap = cap;
	}
	p->v[p->n].kind = kind;
	if (netdrv_listener_copy(l, &p->v[p->n].listener) < 0)
		return -ENOMEM;
	p->n++;
	return 0;
}

void
run_plan_fini(struct run_plan *p)
{
	for (size_t i = 0; i < p->n; i++)
		netdrv_listener_fini(&p->v[i].listener);
	free(p->v);
	*p = (struct run_plan){0};
}

static size_t
place_of(const struct run_index *x, const char *id)
{
	return hash_fold(hash_text(id)) & (x->size - 1);
}

int
run_index_init(struct run_index *x, const struct run_plan *plan)
{
	x->size = 16;
	while (x->size < 2 * plan->n)
		x->size *= 2;
	x->ids = calloc(x->size, sizeof(*x->ids));
	if (!x->ids)
		return -ENOMEM;
	for (size_t i = 0; i < plan->n; i++) {
		size_t at = place_of(x, plan->v[i].listener.id);

		while (x->ids[at])
			at = (at + 1) & (x->size - 1);
		x->ids[at] = plan->v[i].listener.id;
	}
	return 0;
}

bool
run_index_has(const struct run_index *x, const char *id)
{
	for (size_t at = place_of(x, id); x->ids[at]; at = (at + 1) & (x->size - 1))
		if (strcmp(x->ids[at], id) == 0)
			return true;
	return false;
}

void
run_index_fini(struct run_index *x)
{
	free(x->ids);
	*x = (struct run_index){0};
}

int
run_plan_mend(const struct netdrv *driver, const struct run_plan *wanted, const char *topology_id,
	      char *const *actual, size_t nactual, struct run_plan *plan)
{
	size_t prefix = strlen(topology_id);
	struct run_index index;
	int r = run_index_init(&index, wanted);

	for (size_t i = 0; r == 0 && i < nactual; i++) {
		struct netdrv_listener extra = {0};

		if (strncmp(actual[i], topology_id, prefix) != 0 ||
		    run_index_has(&index, actual[i]))
			continue;
		(void)sv_copy(sv_from(actual[i]), extra.id, sizeof(extra.id));
		r = run_plan_add(plan, RUN_CLOSE, &extra);
	}
	for (size_t i = 0; r == 0 && i < wanted->n; i++) {
		const struct netdrv_listener *l = &wanted->v[i].listener;

		/* The list may be older than the last op; what the driver opened, the decoy
		 * confirmed. */
		if (!driver->ops->has(driver, l->id))
			r = run_plan_add(plan, RUN_OPEN, l);
	}
	run_index_fini(&index);
	return r;
}

/* Whether a step has something to do in this phase. */
static bool
concerns(const struct run *run, size_t at)
{
	const struct run_step *step = &run->plan->v[at];

	switch (run->phase) {
	case PHASE_CLOSE: return step->kind == RUN_CLOSE;
	case PHASE_OPEN: return step->kind == RUN_OPEN;
	case PHASE_UNDO_OPEN: return step->kind == RUN_OPEN && run->states[at] == STEP_DONE;
	case PHASE_UNDO_CLOSE: return step->kind == RUN_CLOSE && run->states[at] == STEP_DONE;
	case PHASE_NETWORK:
	case PHASE_UNDO_NETWORK:
	case PHASE_END: break;
	}
	return false;
}

static void next_phase(struct run *run);

static void
on_step(void *user, int r, const char *why)
{
	struct ticket *t = user;
	struct run *run = t->run;
	const struct run_step *step = &run->plan->v[t->at];

	if (run->phase == PHASE_CLOSE || run->phase == PHASE_OPEN) {
		run->states[t->at] = r < 0 ? STEP_FAILED : STEP_DONE;
		if (r < 0 && run->r == 0) {
			run->r = r;
			(void)snprintf(run->why, sizeof(run->why), "%s %s of %s: %s",
				       step->kind == RUN_OPEN ? "cannot start" : "cannot stop",
				       step->listener.service, step->listener.decky,
				       why ? why : strerror(-r));
		}
	} else if (r < 0) {
		run->undo_failed = true;
	}
	if (--run->pending == 0)
		next_phase(run);
}

static void
on_network(void *user, int r, const char *why)
{
	struct run *run = user;

	if (r < 0 && run->phase == PHASE_UNDO_NETWORK)
		run->undo_failed = true;
	else if (r < 0 && run->r == 0) {
		run->r = r;
		(void)snprintf(run->why, sizeof(run->why), "cannot change the network: %s",
			       why ? why : strerror(-r));
	}
	next_phase(run);
}

/* Whether the phase was one of the network, and is under way or over. */
static bool
start_network(struct run *run)
{
	const struct run_plan *plan = run->plan;
	bool undo = run->phase == PHASE_UNDO_NETWORK;

	if (!undo && run->phase != PHASE_NETWORK)
		return false;
	if (plan->topology_id && run->driver->ops->network)
		run->driver->ops->network(run->driver, plan->topology_id,
					  undo ? plan->before : plan->after, on_network, run);
	else
		next_phase(run);
	return true;
}

static void
start_phase(struct run *run)
{
	const struct netdrv_ops *ops = run->driver->ops;

	if (start_network(run))
		return;
	/* One more than there are, so that answers that come at once do not end the phase while it
	 * begins. */
	run->pending = 1;
	for (size_t i = 0; i < run->plan->n; i++) {
		const struct netdrv_listener *l = &run->plan->v[i].listener;

		if (!concerns(run, i))
			continue;
		run->pending++;
		if (run->phase == PHASE_OPEN || run->phase == PHASE_UNDO_CLOSE)
			ops->open(run->driver, l, on_step, &run->tickets[i]);
		else
			ops->close(run->driver, l->id, on_step, &run->tickets[i]);
	}
	if (--run->pending == 0)
		next_phase(run);
}

static void
finish(struct run *run)
{
	run->done(run->user, run->r, run->r < 0 ? run->why : NULL, run->undo_failed);
	free(run->states);
	free(run->tickets);
	free(run);
}

static void
next_phase(struct run *run)
{
	switch (run->phase) {
	case PHASE_CLOSE: run->phase = run->r < 0 ? PHASE_UNDO_CLOSE : PHASE_NETWORK; break;
	case PHASE_NETWORK: run->phase = run->r < 0 ? PHASE_UNDO_NETWORK : PHASE_OPEN; break;
	case PHASE_OPEN: run->phase = run->r < 0 ? PHASE_UNDO_OPEN : PHASE_END; break;
	case PHASE_UNDO_OPEN: run->phase = PHASE_UNDO_NETWORK; break;
	case PHASE_UNDO_NETWORK: run->phase = PHASE_UNDO_CLOSE; break;
	case PHASE_UNDO_CLOSE:
	case PHASE_END: run->phase = PHASE_END; break;
	}
	if (run->phase == PHASE_END)
		finish(run);
	else
		start_phase(run);
}

static void
begin(struct netdrv *driver, const struct run_plan *plan, enum phase phase, run_done_fn *done,
      void *user)
{
	struct run *run = calloc(1, sizeof(*run));

	if (run) {
		run->states = calloc(plan->n + 1, sizeof(*run->states));
		run->tickets = calloc(plan->n + 1, sizeof(*run->tickets));
	}
	if (!run || !run->states || !run->tickets) {
		if (run) {
			free(run->states);
			free(run->tickets);
		}
		free(run);
		done(user, -ENOMEM, "out of memory", phase != PHASE_CLOSE);
		return;
	}
	run->driver = driver;
	run->plan = plan;
	run->done = done;
	run->user = user;
	run->phase = phase;
	for (size_t i = 0; i < plan->n; i++) {
		run->tickets[i] = (struct ticket){run, i};
		run->states[i] = phase == PHASE_CLOSE ? STEP_TODO : STEP_DONE;
	}
	start_phase(run);
}

void
run_start(struct netdrv *driver, const struct run_plan *plan, run_done_fn *done, void *user)
{
	begin(driver, plan, PHASE_CLOSE, done, user);
}

void
run_undo(struct netdrv *driver, const struct run_plan *plan, run_done_fn *done, void *user)
{
	begin(driver, plan, PHASE_UNDO_OPEN, done, user);
}
