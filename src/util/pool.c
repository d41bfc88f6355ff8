/* SPDX-License-Identifier: Apache-2.0 */
/* Threads for blocking work: a queue under a mutex; answers go to inboxes. */
#include "util/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct queue {
	struct pool_job *first, **last;
	unsigned n;
};

struct thread {
	struct pool *pool;
	pthread_t id;
	void *state;
	struct err err;
	int started; /* 1 running, < 0 init failed */
};

struct pool {
	struct pool_ops ops;
	pthread_mutex_t lock;
	pthread_cond_t work, ready;
	struct queue todo;
	unsigned queue_max, nthreads;
	uint64_t refused;
	unsigned idle; /* threads that wait for work */
	bool waking;   /* one of them was called and has not come yet */
	bool stopping;
	struct inbox *home; /* of the loop that made the pool */
	struct thread threads[];
};

static void
queue_push(struct queue *q, struct pool_job *job)
{
	job->next = NULL;
	*q->last = job;
	q->last = &job->next;
	q->n++;
}

static struct pool_job *
queue_pop(struct queue *q)
{
	struct pool_job *job = q->first;

	if (!job)
		return NULL;
	q->first = job->next;
	if (!q->first)
		q->last = &q->first;
	q->n--;
	return job;
}

/*
 * Under the lock: whether a thread is to be called once it is released. One call is under way at a
 * time, and who comes calls the next one while work is left: a loop that submits many jobs in a
 * turn pays for one call, and a job that takes long holds up no other.
 */
static bool
call_one(struct pool *p)
{
	if (p->todo.n == 0 || p->idle == 0 || p->waking)
		return false;
	p->waking = true;
	return true;
}

static void
wait_for_work(struct pool *p)
{
	p->idle++;
	(void)pthread_cond_wait(&p->work, &p->lock);
	p->idle--;
	p->waking = false;
}

static void *
thread_main(void *arg)
{
	struct thread *t = arg;
	struct pool *p = t->pool;
	struct pool_job *job;
	bool more;
	int r = p->ops.init ? p->ops.init(p->ops.user, &t->state, &t->err) : 0;

	(void)pthread_mutex_lock(&p->lock);
	t->started = r < 0 ? r : 1;
	(void)pthread_cond_broadcast(&p->ready);
	while (r == 0) {
		job = queue_pop(&p->todo);
		if (!job && p->stopping)
			break;
		if (!job) {
			wait_for_work(p);
			continue;
		}
		more = call_one(p);
		(void)pthread_mutex_unlock(&p->lock);
		if (more)
			(void)pthread_cond_signal(&p->work);
		job->run(job, t->state);
		inbox_post(job->to, &job->answer);
		(void)pthread_mutex_lock(&p->lock);
	}
	(void)pthread_mutex_unlock(&p->lock);
	if (r == 0 && p->ops.fini)
		p->ops.fini(t->state);
	return NULL;
}

static void
deliver(struct inbox_item *item)
{
	struct pool_job *job = CONTAINER_OF(item, struct pool_job, answer);

	job->done(job);
}

static int
start_threads(struct pool *p, unsigned threads, struct err *e)
{
	int r = 0;

	for (unsigned i = 0; i < threads && r == 0; i++) {
		p->threads[i].pool = p;
		r = -pthread_create(&p->threads[i].id, NULL, thread_main, &p->threads[i]);
		if (r < 0)
			return err_set(e, r, "cannot start a thread");
		p->nthreads++;
	}
	(void)pthread_mutex_lock(&p->lock);
	for (unsigned i = 0; i < p->nthreads; i++) {
		while (p->threads[i].started == 0)
			(void)pthread_cond_wait(&p->ready, &p->lock);
		if (p->threads[i].started < 0 && r == 0)
			r = err_set(e, p->threads[i].started, "%s", err_text(&p->threads[i].err));
	}
	(void)pthread_mutex_unlock(&p->lock);
	return r;
}

int
pool_new(struct loop *l, unsigned threads, unsigned queue_max, const struct pool_ops *ops,
	 struct pool **ret_pool, struct err *e)
{
	struct pool *p = calloc(1, sizeof(*p) + threads * sizeof(p->threads[0]));
	int r;

	if (!p)
		return err_set(e, -ENOMEM, "out of memory");
	p->ops = *ops;
	p->queue_max = queue_max;
	p->todo.last = &p->todo.first;
	(void)pthread_mutex_init(&p->lock, NULL);
	(void)pthread_cond_init(&p->work, NULL);
	(void)pthread_cond_init(&p->ready, NULL);
	r = inbox_new(&p->home, e);
	if (r == 0)
		r = inbox_serve(p->home, l);
	if (r == 0)
		r = start_threads(p, threads, e);
	if (r < 0) {
		pool_free(p);
		return r;
	}
	*ret_pool = p;
	return 0;
}

int
pool_submit_quietly(struct pool *p, struct pool_job *job, struct inbox *to)
{
	int r = 0;

	job->to = to;
	job->answer.fn = deliver;
	(void)pthread_mutex_lock(&p->lock);
	if (p->todo.n >= p->queue_max || p->stopping) {
		p->refused++;
		r = -EBUSY;
	} else {
		queue_push(&p->todo, job);
	}
	(void)pthread_mutex_unlock(&p->lock);
	return r;
}

void
pool_call(struct pool *p)
{
	bool call;

	(void)pthread_mutex_lock(&p->lock);
	call = call_one(p);
	(void)pthread_mutex_unlock(&p->lock);
	if (call)
		(void)pthread_cond_signal(&p->work);
}

int
pool_submit_to(struct pool *p, struct pool_job *job, struct inbox *to)
{
	int r = pool_submit_quietly(p, job, to);

	if (r == 0)
		pool_call(p);
	return r;
}

int
pool_submit(struct pool *p, struct pool_job *job)
{
	return pool_submit_to(p, job, p->home);
}

unsigned
pool_depth(struct pool *p)
{
	unsigned n;

	(void)pthread_mutex_lock(&p->lock);
	n = p->todo.n;
	(void)pthread_mutex_unlock(&p->lock);
	return n;
}

uint64_t
pool_refused(struct pool *p)
{
	uint64_t n;

	(void)pthread_mutex_lock(&p->lock);
	n = p->refused;
	(void)pthread_mutex_unlock(&p->lock);
	return n;
}

void
pool_stop(struct pool *p)
{
	if (!p)
		return;
	(void)pthread_mutex_lock(&p->lock);
	p->stopping = true;
	(void)pthread_cond_broadcast(&p->work);
	(void)pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->nthreads; i++)
		(void)pthread_join(p->threads[i].id, NULL);
	p->nthreads = 0;
	if (p->home)
		inbox_run(p->home);
}

void
pool_free(struct pool *p)
{
	if (!p)
		return;
	pool_stop(p);
	inbox_free(p->home);
	(void)pthread_cond_destroy(&p->work);
	(void)pthread_cond_destroy(&p->ready);
	(void)pthread_mutex_destroy(&p->lock);
	free(p);
}
