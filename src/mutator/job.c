/* SPDX-License-Identifier: Apache-2.0 */
/* Trips to the store threads. */
#include "mutator/job.h"

#include <stdlib.h>
#include <string.h>

#include "util/clock.h"

struct job *
job_new(struct mutator *m, enum job_kind kind, struct task *t)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return NULL;
	job->m = m;
	job->kind = kind;
	job->task = t;
	job->now_ms = clock_unix_ms();
	return job;
}

struct job *
job_find(struct mutator *m, enum job_kind kind)
{
	struct job *job = job_new(m, kind, NULL);

	if (!job)
		return NULL;
	job->busy = calloc(m->ntasks + 1, sizeof(*job->busy));
	if (!job->busy) {
		job_free(job);
		return NULL;
	}
	LIST_FOR (at, &m->tasks)
		memcpy(job->busy[job->nbusy++],
		       CONTAINER_OF(at, struct task, link)->work.topology_id, ID_UUID_SIZE);
	return job;
}

void
job_run(struct pool_job *pool_job, void *thread_state)
{
	struct job *job = pool_job->user;
	struct mutator *m = job->m;
	struct db *db = thread_state;

	switch (job->kind) {
	case JOB_START:
		job->r = work_start(db, &m->cx, job->now_ms, &job->e);
		if (job->r == 0)
			job->r = work_inventory(db, &m->cx, &job->inventory, &job->e);
		break;
	case JOB_FIND:
		job->r = job->nworks =
			work_find(db, &m->cx, (const char(*)[ID_UUID_SIZE])job->busy, job->nbusy,
				  job->now_ms, TASKS_MAX, &job->works, &job->e);
		break;
	case JOB_FIND_RECONCILE:
		job->r = job->nworks =
			work_find_reconcile(db, &m->cx, (const char(*)[ID_UUID_SIZE])job->busy,
					    job->nbusy, &job->works, &job->e);
		break;
	case JOB_RENEW:
		job->r = work_renew(db, &m->cx, m->started_ms, job->helper, job->helper_ms,
				    job->now_ms, &job->e);
		break;
	case JOB_PREPARE:
		job->r = work_prepare(db, &m->cx, &job->task->work, job->now_ms, &job->e);
		break;
	case JOB_FINISH:
		job->r = work_finish(db, &m->cx, &job->task->work, job->task->r,
				     job->task->r < 0 ? job->task->why : NULL,
				     job->task->undo_failed, job->now_ms, &job->e);
		break;
	}
	db_rollback(db);
	journal_take(db, &job->rows);
}

void
job_free(struct job *job)
{
	journal_rows_fini(&job->rows);
	work_inventory_fini(&job->inventory);
	free(job->busy);
	free(job);
}
