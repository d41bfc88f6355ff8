/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a stream: credential and signature on the loop, user and token on a store thread, the
 * slot on the loop, the resource and the journal's ends on a store thread, the beginning on the
 * loop. A ticket is spent by the last step alone.
 */
#include "api/stream_open.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/peers.h"
#include "api/server.h"
#include "api/stream_logs.h"
#include "api/stream_store.h"
#include "store/topology.h"
#include "store/user.h"
#include "stream/http_peer.h"
#include "util/clock.h"
#include "util/log.h"

#define RETRY_SLOT_S "5"
#define RETRY_BUSY_S "1"

struct opening {
	struct pool_job job;
	struct streams *streams;
	struct call *call;
	struct auth_way way;
	struct api_caller caller;
	struct slot *slot;
	bool shared;	  /* the slot is taken where other gateways are counted */
	bool redeemed;	  /* the ticket was taken out of the store, and goes back at a refusal */
	uint64_t ends_ms; /* ... when it would have ended */
	struct stream_spec *spec;
	struct stream_logs_now logs;
	int64_t epoch, head, floor;
	int who;    /* enum auth_result, or a negative errno */
	int answer; /* 1: the resource is there, 0: it is not; or a negative errno */
	struct err err;
};

static void
answer_refusal(struct opening *own_o)
{
	api_server_answer(own_o->call);
	free(own_o);
}

static void
run_return(struct pool_job *job, void *thread_state)
{
	struct opening *o = job->user;

	if (peers_ticket_return(o->streams->worker->state->peers, thread_state,
				sv_from(o->way.ticket), &o->way.claims, o->ends_ms, &o->err) < 0)
		log_event(LV_WARN, "api.ticket", KV_S("why", err_text(&o->err)));
}

static void
done_return(struct pool_job *job)
{
	answer_refusal(job->user);
}

/* The request is answered with what call->res holds. */
static void
refuse(struct opening *o)
{
	auth_stream_end(o->streams->worker->state->tickets, &o->way, false);
	slot_drop(o->slot);
	stream_spec_free(o->spec);
	stream_logs_now_fini(&o->logs);
	/* Before the answer: whoever has it may try the ticket again at once. */
	o->job = (struct pool_job){.run = run_return, .done = done_return, .user = o};
	if (!o->redeemed || api_worker_submit(o->streams->worker, &o->job) < 0)
		answer_refusal(o);
}

static void
busy(struct opening *o)
{
	(void)api_fail(&o->call->res, 503, "Server busy");
	o->call->res.retry_after = strdup(RETRY_BUSY_S);
	refuse(o);
}

static void
submit(struct opening *o, pool_run_fn *run, pool_done_fn *done)
{
	o->job = (struct pool_job){.run = run, .done = done, .user = o};
	if (api_worker_submit(o->streams->worker, &o->job) < 0)
		busy(o);
}

/* ---- the end: the stream begins ---- */

static int64_t
resume_id(const struct call *c)
{
	const struct sv *arg = api_query_get(&c->req, "lastEventId");
	struct sv text = http_req_header(c->http, "last-event-id");
	uint64_t id = 0;
	int r = sv_u64(text, INT64_MAX, &id);

	if ((r == -EBADMSG || (r == 0 && id == 0)) && arg)
		r = sv_u64(*arg, INT64_MAX, &id);
	/* A number that is too large is beyond the journal's end. */
	if (r == -ERANGE)
		return INT64_MAX;
	return r == 0 ? (int64_t)id : 0;
}

static void
begin(struct opening *o)
{
	struct streams *s = o->streams;
	struct loop *l = s->worker->loop;
	uint64_t unix_ms = loop_unix_ms(l), exp_ms = o->caller.exp_ms;
	struct viewer_open v = {
		.own_slot = o->slot,
		.resume = resume_id(o->call),
		.head = o->head,
		.floor = o->floor,
		.access = {.iat_ms = (int64_t)o->caller.iat_ms,
			   .expires_ms = loop_now_ms(l) + (exp_ms > unix_ms ? exp_ms - unix_ms : 0),
			   .epoch = o->epoch,
			   .is_admin = o->caller.is_admin},
	};
	enum hub_kind kind = o->spec->kind;
	enum hub_source source = kind == HUB_KIND_LOGS ? HUB_LOGS : HUB_JOURNAL;
	struct http_peer *peer = http_peer_new();
	struct http_stream *stream = NULL;

	(void)hub_jti(o->caller.jti, v.access.jti);
	if (!peer) {
		busy(o);
		return;
	}
	stream = api_server_stream(TAKE(o->call), &http_peer_ops, peer);
	/* A stored ticket stays spent when the peer has gone: there is nobody to be told otherwise.
	 */
	auth_stream_end(s->worker->state->tickets, &o->way, stream != NULL);
	if (stream) {
		char *key = o->spec->key;

		streams_note_epoch(s, o->epoch);
		/* Nobody watched: there is nothing to be read for those who do not. */
		if (hub_idle(s->hub, source))
			hub_advance(s->hub, source, o->head);
		if (kind == HUB_KIND_LOGS)
			stream_logs_take(s->logs, &o->logs);
		/* A failure closes the connection and is all that can be said of it. */
		if (http_peer_watch(peer, stream, s->hub, kind, sv_from(key), TAKE(o->spec), &v) ==
		    0)
			streams_poke(s);
	} else {
		http_peer_free(peer);
		slot_drop(o->slot);
		stream_spec_free(o->spec);
	}
	stream_logs_now_fini(&o->logs);
	free(o);
}

/* ---- who it is ---- */

/* In a read transaction. */
static void
look_at_caller(struct opening *o, struct db *db)
{
	o->who = user_access_epoch(db, &o->epoch, &o->err);
	if (o->who == 0)
		o->who = auth_caller(db, &o->way.claims, API_VIEWER, clock_unix_ms(), &o->caller,
				     &o->err);
}

/* True: go on. */
static bool
admit(struct opening *o)
{
	if (o->who == AUTH_OK)
		return true;
	if (o->who < 0)
		call_fail(o->call, o->who, &o->err);
	else
		(void)api_fail(&o->call->res, auth_status((enum auth_result)o->who), "%s",
			       auth_detail((enum auth_result)o->who));
	refuse(o);
	return false;
}

/* ---- the resource ---- */

static int
named_topologies(struct opening *o, struct db *db)
{
	int r = 1;

	for (unsigned i = 0; i < o->spec->npatterns && r == 1; i++) {
		struct sv id = stream_spec_topology(o->spec, i);
		char text[ID_UUID_SIZE];
		json_t *row = NULL;

		if (!id.p)
			continue;
		r = sv_copy(id, text, sizeof(text)) < 0 ? 0 : topology_row(db, text, &row, &o->err);
		json_decref(row);
	}
	return r;
}

static int
find_resource(struct opening *o, struct db *db)
{
	json_t *row = NULL;
	int r = 1;

	switch (o->spec->kind) {
	case HUB_KIND_ATTACKER:
		r = stream_identity_now(db, o->spec->id, o->spec->identity, &o->err);
		break;
	case HUB_KIND_EVENTS: r = named_topologies(o, db); break;
	case HUB_KIND_LOGS: r = stream_logs_now(db, &o->logs, &o->err) < 0 ? -EIO : 1; break;
	case HUB_KIND_TOPOLOGY:
		r = topology_row(db, o->spec->id, &row, &o->err);
		json_decref(row);
		break;
	case HUB_KIND_IDENTITIES:
	case HUB_KIND_COUNT: break;
	}
	return r;
}

/* Who it is is asked again: what is read here is from after it, and so is all that follows. */
static void
run_resource(struct pool_job *job, void *thread_state)
{
	struct opening *o = job->user;
	struct db *db = thread_state;
	int r = db_begin_read(db, &o->err);

	o->answer = 0;
	o->who = r;
	stream_logs_now_fini(&o->logs);
	if (r == 0)
		look_at_caller(o, db);
	if (o->who == AUTH_OK)
		r = o->answer = find_resource(o, db);
	if (r == 1 && o->spec->kind == HUB_KIND_LOGS)
		r = log_bounds(db, &o->head, &o->floor, &o->err);
	else if (r == 1)
		r = journal_head(db, &o->head, &o->err);
	if (r == 0 && o->answer == 1 && o->spec->kind != HUB_KIND_LOGS)
		r = journal_floor(db, &o->floor, &o->err);
	db_rollback(db);
	o->spec->seq = o->head;
	if (r < 0)
		o->answer = r;
}

static void
done_resource(struct pool_job *job)
{
	struct opening *o = job->user;

	if (!admit(o))
		return;
	if (o->answer < 0) {
		call_fail(o->call, o->answer, &o->err);
		refuse(o);
	} else if (o->answer == 0) {
		(void)api_fail(&o->call->res, 404, "%s",
			       o->spec->kind == HUB_KIND_ATTACKER ? "Attacker not found"
								  : "Topology not found");
		refuse(o);
	} else if (o->streams->stopping) {
		busy(o);
	} else if (streams_may_begin(o->streams, o->epoch)) {
		begin(o);
	} else {
		submit(o, run_resource, done_resource);
	}
}

/* ---- the first steps ---- */

/* The ticket is one that any gateway may have made, and may take. AUTH_OK, AUTH_INVALID, or a store
 * failure. */
static int
redeem(struct opening *o, struct db *db)
{
	int r;

	if (!o->way.stored || o->redeemed)
		return AUTH_OK;
	r = peers_ticket_take(o->streams->worker->state->peers, db, sv_from(o->way.ticket),
			      clock_unix_ms(), &o->way.claims, &o->ends_ms, &o->err);
	o->redeemed = r == 1;
	return r == 0 ? AUTH_INVALID : r == 1 ? AUTH_OK : r;
}

static void
run_caller(struct pool_job *job, void *thread_state)
{
	struct opening *o = job->user;
	struct api_state *state = o->streams->worker->state;
	struct db *db = thread_state;

	o->who = redeem(o, db);
	if (o->who == AUTH_OK)
		o->who = db_begin_read(db, &o->err);
	if (o->who == AUTH_OK)
		look_at_caller(o, db);
	db_rollback(db);
	if (o->who == AUTH_OK && o->shared)
		o->answer =
			peers_slot_take(state->peers, db, o->caller.uuid,
					(unsigned)state->conf->sse_max_per_user, &o->slot, &o->err);
}

static void done_caller(struct pool_job *job);

static bool
take_slot(struct opening *o)
{
	struct api_state *state = o->streams->worker->state;
	unsigned max = (unsigned)state->conf->sse_max_per_user;
	int r = o->shared ? o->answer : slot_take(state->slots, o->caller.uuid, max, &o->slot);

	if (r == 0)
		return true;
	if (r == -EAGAIN && !o->shared) {
		/* Another gateway came meanwhile. */
		o->shared = true;
		submit(o, run_caller, done_caller);
		return false;
	}
	if (r != -ENOBUFS && o->shared) {
		call_fail(o->call, r, &o->err);
		refuse(o);
		return false;
	}
	if (r != -ENOBUFS) {
		busy(o);
		return false;
	}
	(void)api_fail(&o->call->res, 429, "SSE connection limit (%u) reached", max);
	o->call->res.retry_after = strdup(RETRY_SLOT_S);
	refuse(o);
	return false;
}

static void
done_caller(struct pool_job *job)
{
	struct opening *o = job->user;
	struct call *c = o->call;
	int r;

	if (!admit(o))
		return;
	c->req.caller = o->caller;
	if (!take_slot(o))
		return;
	if (c->query_bad)
		api_bad_field(&c->res, "query", "malformed");
	if (api_bad(&c->res)) {
		refuse(o);
		return;
	}
	r = stream_spec_new(c->route->stream, &c->req, &c->res, &o->spec);
	if (r < 0)
		call_fail(c, r, NULL);
	if (!o->spec) {
		refuse(o);
		return;
	}
	submit(o, run_resource, done_resource);
}

void
stream_open(struct streams *s, struct call *own_call)
{
	struct opening *o = calloc(1, sizeof(*o));
	struct call *c = own_call;

	if (!o) {
		(void)api_fail(&c->res, 503, "Server busy");
		api_server_answer(c);
		return;
	}
	o->streams = s;
	o->call = c;
	if (s->stopping) {
		busy(o);
		return;
	}
	o->who = (int)auth_stream_begin(s->worker->state->secret, s->worker->state->tickets,
					c->req.authorization, c->query, c->req.nquery,
					c->req.now_ms, &o->way);
	o->shared = s->worker->state->conf->sse_max_per_user > 0 &&
		    peers_share(s->worker->state->peers);
	if (admit(o))
		submit(o, run_caller, done_caller);
}
