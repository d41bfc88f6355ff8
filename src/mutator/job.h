/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MUTATOR_JOB_H
#define MUTATOR_JOB_H

/* Between mutator.c and job.c only: what the mutator is made of, and its trips to the store. */

#include "mutator/due.h"
#include "mutator/ids.h"
#include "mutator/keep.h"
#include "mutator/mutator.h"
#include "mutator/traced.h"
#include "mutator/work.h"
#include "store/journal.h"
#include "util/loop.h"
#include "util/pool.h"

/* Topologies worked on at once; the others wait in the store. */
#define TASKS_MAX 16

enum job_kind { JOB_START, JOB_FIND, JOB_FIND_RECONCILE, JOB_RENEW, JOB_PREPARE, JOB_FINISH };

/* One trip to a store thread. */
struct job {
	struct pool_job pool_job;
	struct mutator *m;
	enum job_kind kind;
	struct task *task;  /* PREPARE, FINISH */
	struct work *works; /* FIND: out */
	int nworks;
	char (*busy)[ID_UUID_SIZE]; /* FIND: in */
	size_t nbusy;
	struct work_inventory inventory; /* START: out */
	int64_t helper;			 /* RENEW: in */
	uint64_t helper_ms;
	uint64_t now_ms;
	int r;
	struct err e;
	struct journal_rows rows;
};

struct task {
	struct list link;
	struct mutator *m;
	struct work work;
	int r;
	bool undo_failed, undoing;
	bool kept; /* done and stored: its addresses stay */
	char why[256];
	struct loop_timer retry;
	struct trace_span *span; /* or NULL */
};

struct mutator {
	struct loop *loop;
	const struct conf *conf;
	struct pool *pool;
	struct bus_client *bus;
	struct netdrv *driver;
	char owner[128];
	struct work_context cx;
	struct list tasks;
	unsigned ntasks;
	struct keep keep;
	struct due due;
	struct loop_timer due_timer;
	bool started, finding, again, stopping;
	struct loop_timer poll, renew, reconcile;
	/* Ids the decoy process had open when the reconcile pass began. */
	struct ids actual;
	bool reconciling;
	size_t remnants; /* of our former life, being closed before the first claim */
	uint64_t started_ms;
	int64_t helper; /* process id of the driver's privileged half, 0 while it does not answer */
	uint64_t helper_ms;
	struct bus_sub *subs[2];
	struct traced traced;
};

/* NULL without memory. */
struct job *job_new(struct mutator *m, enum job_kind kind, struct task *t);
/* The same for FIND and FIND_RECONCILE, with the topologies that are busy now. */
struct job *job_find(struct mutator *m, enum job_kind kind);
/* On a store thread: a pool_run_fn. */
void job_run(struct pool_job *pool_job, void *thread_state);
void job_free(struct job *job);

#endif
