/* SPDX-License-Identifier: Apache-2.0 */
/* Subscriptions hang on the nodes of the subject index; queue groups of one name, whatever their
 * pattern, share their turns. What the index says of a subject is remembered while subscriptions
 * stay as they are. */
#include "bus/route.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bus/broker.h"
#include "bus/index.h"
#include "bus/memo.h"
#include "util/hash.h"

#define QUEUE_BUCKETS 1024

#define CACHE_LINE 64

/* All groups of one name. */
struct queue {
	struct queue *next; /* in its bucket */
	unsigned groups;
	unsigned turn;
	uint64_t send;	       /* the message that `matched` is about */
	struct group *matched; /* groups it goes to */
	size_t candidates;     /* members of them */
	struct queue *next_matched;
	size_t name_n;
	char name[];
};

/* The members of one queue on one pattern. */
struct group {
	struct list link; /* of the place */
	struct queue *queue;
	struct group *next_matched;
	struct sub **members;
	size_t n, cap;
};

/* What hangs on a node of the index. */
struct place {
	struct bus_index_node *node;
	struct list subs;
	struct list groups;
};

struct sub {
	struct place *place;
	struct group *group;	/* NULL: not of a queue */
	struct list peer_link;	/* of the peer */
	struct list place_link; /* of the place; unlinked when of a group */
	struct sub *next_expired;
	/* What a message needs stands in one line of the processor's cache. */
	_Alignas(CACHE_LINE) struct bus_peer *peer;
	uint64_t delivered, max;
	bool expired;
	uint8_t sid_n;
	char sid[];
};

_Static_assert(BUS_SID_MAX <= UINT8_MAX, "sid_n is too small");

struct bus_routes {
	struct bus_index *index;
	struct bus_memo *memo;
	struct queue *queues[QUEUE_BUCKETS];
	uint64_t seed, sends;
	/* While a message is sent: */
	struct bus_peer *from;
	struct bus_ev msg;
	bus_route_fn *fn;
	void *user;
	struct queue *matched;
	struct sub *expired;
	/* Subscriptions on the way through the index; too many to be remembered, or a queue group
	 * among them, is more than BUS_MEMO_VALUES. */
	void *found[BUS_MEMO_VALUES];
	size_t nfound;
};

struct bus_routes *
bus_routes_new(uint64_t seed)
{
	struct bus_routes *rt = calloc(1, sizeof(*rt));

	if (!rt)
		return NULL;
	rt->seed = seed;
	rt->index = bus_index_new(seed);
	rt->memo = bus_memo_new(seed);
	if (!rt->index || !rt->memo) {
		bus_routes_free(rt);
		return NULL;
	}
	return rt;
}

void
bus_routes_free(struct bus_routes *rt)
{
	if (!rt)
		return;
	bus_index_free(rt->index);
	bus_memo_free(rt->memo);
	free(rt);
}

static struct queue **
queue_slot(struct bus_routes *rt, struct sv name)
{
	uint64_t h = hash_bytes(rt->seed, name.p, name.n);
	struct queue **at = &rt->queues[hash_fold(h) % QUEUE_BUCKETS];

	while (*at && !sv_eq((struct sv){(*at)->name, (*at)->name_n}, name))
		at = &(*at)->next;
	return at;
}

static void
drop_queue(struct bus_routes *rt, struct queue *q)
{
	struct queue **at;

	if (q->groups > 0)
		return;
	at = queue_slot(rt, (struct sv){q->name, q->name_n});
	*at = q->next;
	free(q);
}

static void
drop_group(struct bus_routes *rt, struct group *g)
{
	if (g->n > 0)
		return;
	list_unlink(&g->link);
	g->queue->groups--;
	drop_queue(rt, g->queue);
	free(g->members);
	free(g);
}

static void
drop_place(struct bus_routes *rt, struct place *pl)
{
	struct bus_index_node *node = pl->node;

	if (list_empty(&pl->subs) && list_empty(&pl->groups)) {
		bus_index_set(node, NULL);
		free(pl);
	}
	bus_index_drop(rt->index, node);
}

/* Each subscription holds its node once. */
static struct place *
hold_place(struct bus_routes *rt, struct sv pattern)
{
	struct bus_index_node *node = bus_index_hold(rt->index, pattern);
	struct place *pl;

	if (!node)
		return NULL;
	pl = bus_index_value(node);
	if (pl)
		return pl;
	pl = calloc(1, sizeof(*pl));
	if (!pl) {
		bus_index_drop(rt->index, node);
		return NULL;
	}
	pl->node = node;
	list_init(&pl->subs);
	list_init(&pl->groups);
	bus_index_set(node, pl);
	return pl;
}

static struct queue *
hold_queue(struct bus_routes *rt, struct sv name)
{
	struct queue **at = queue_slot(rt, name), *q = *at;

	if (!q) {
		q = calloc(1, sizeof(*q) + name.n);
		if (!q)
			return NULL;
		q->name_n = name.n;
		memcpy(q->name, name.p, name.n);
		*at = q;
	}
	q->groups++;
	return q;
}

static struct group *
find_group(struct bus_routes *rt, struct place *pl, struct sv name)
{
	struct group *g;

	LIST_FOR (it, &pl->groups) {
		g = CONTAINER_OF(it, struct group, link);
		if (sv_eq((struct sv){g->queue->name, g->queue->name_n}, name))
			return g;
	}
	g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	g->queue = hold_queue(rt, name);
	if (!g->queue) {
		free(g);
		return NULL;
	}
	list_append(&pl->groups, &g->link);
	return g;
}

static int
join_group(struct group *g, struct sub *s)
{
	if (g->n == g->cap) {
		size_t cap = g->cap ? g->cap * 2 : 4;
		struct sub **members = realloc(g->members, cap * sizeof(struct sub *));

		if (!members)
			return -ENOMEM;
		g->members = members;
		g->cap = cap;
	}
	g->members[g->n++] = s;
	s->group = g;
	return 0;
}

static struct sub *
find_sub(const struct bus_peer *p, struct sv sid)
{
	LIST_FOR (it, &p->subs) {
		struct sub *s = CONTAINER_OF(it, struct sub, peer_link);

		if (sv_eq((struct sv){s->sid, s->sid_n}, sid))
			return s;
	}
	return NULL;
}

bool
bus_routes_has(const struct bus_peer *p, struct sv sid)
{
	return find_sub(p, sid) != NULL;
}

static void
remove_sub(struct bus_routes *rt, struct sub *s)
{
	struct group *g = s->group;

	bus_memo_forget(rt->memo);
	list_unlink(&s->peer_link);
	list_unlink(&s->place_link);
	s->peer->nsubs--;
	for (size_t i = 0; g && i < g->n; i++)
		if (g->members[i] == s) {
			g->members[i] = g->members[--g->n];
			drop_group(rt, g);
			break;
		}
	drop_place(rt, s->place);
	free(s);
}

static struct sub *
sub_new(struct sv sid)
{
	size_t n = offsetof(struct sub, sid) + sid.n;
	struct sub *s;

	n = n > sizeof(*s) ? (n + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE : sizeof(*s);
	s = aligned_alloc(CACHE_LINE, n);
	if (!s)
		return NULL;
	memset(s, 0, n);
	s->sid_n = (uint8_t)sid.n;
	memcpy(s->sid, sid.p, sid.n);
	return s;
}

int
bus_routes_add(struct bus_routes *rt, struct bus_peer *p, const struct bus_ev *ev)
{
	struct group *g = NULL;
	struct sub *s;

	if (find_sub(p, ev->sid))
		return 0;
	s = sub_new(ev->sid);
	if (!s)
		return -ENOMEM;
	s->place = hold_place(rt, ev->subject);
	if (!s->place) {
		free(s);
		return -ENOMEM;
	}
	bus_memo_forget(rt->memo);
	s->peer = p;
	list_init(&s->place_link);
	list_append(&p->subs, &s->peer_link);
	p->nsubs++;
	if (ev->queue.n == 0) {
		list_append(&s->place->subs, &s->place_link);
		return 0;
	}
	g = find_group(rt, s->place, ev->queue);
	if (g && join_group(g, s) == 0)
		return 0;
	if (g)
		drop_group(rt, g);
	remove_sub(rt, s);
	return -ENOMEM;
}

void
bus_routes_unsubscribe(struct bus_routes *rt, struct bus_peer *p, struct sv sid, uint64_t max)
{
	struct sub *s = find_sub(p, sid);

	if (!s)
		return;
	s->max = max;
	if (s->delivered >= max)
		remove_sub(rt, s);
}

void
bus_routes_remove_all(struct bus_routes *rt, struct bus_peer *p)
{
	LIST_FOR (it, &p->subs)
		remove_sub(rt, CONTAINER_OF(it, struct sub, peer_link));
}

/* Whether the message in hand may go to this subscription. */
static bool
wants(const struct bus_routes *rt, const struct sub *s)
{
	return !s->expired && (s->peer != rt->from || s->peer->echo);
}

static void
send_to(struct bus_routes *rt, struct sub *s)
{
	struct bus_ev bare;

	rt->msg.sid = (struct sv){s->sid, s->sid_n};
	if (s->peer->headers || rt->msg.headers.n == 0) {
		rt->fn(rt->user, s->peer, &rt->msg);
	} else {
		bare = rt->msg;
		bare.headers = (struct sv){NULL, 0};
		rt->fn(rt->user, s->peer, &bare);
	}
	if (++s->delivered == s->max) {
		/* Removed when the walk through the index is over. */
		s->expired = true;
		s->next_expired = rt->expired;
		rt->expired = s;
	}
}

static void
visit(void *user, void *value)
{
	struct bus_routes *rt = user;
	struct place *pl = value;

	LIST_FOR (it, &pl->subs) {
		struct sub *s = CONTAINER_OF(it, struct sub, place_link);

		if (rt->nfound < BUS_MEMO_VALUES)
			rt->found[rt->nfound] = s;
		rt->nfound++;
		if (wants(rt, s))
			send_to(rt, s);
	}
	LIST_FOR (it, &pl->groups) {
		struct group *g = CONTAINER_OF(it, struct group, link);
		struct queue *q = g->queue;

		rt->nfound = BUS_MEMO_VALUES + 1;
		if (q->send != rt->sends) {
			q->send = rt->sends;
			q->matched = NULL;
			q->candidates = 0;
			q->next_matched = rt->matched;
			rt->matched = q;
		}
		g->next_matched = q->matched;
		q->matched = g;
		q->candidates += g->n;
	}
}

static struct sub *
candidate(const struct queue *q, size_t i)
{
	struct group *g = q->matched;

	for (; i >= g->n; g = g->next_matched)
		i -= g->n;
	return g->members[i];
}

/* Whose turn it is; a member that does not want its own message passes it on. */
static void
send_to_one(struct bus_routes *rt, struct queue *q)
{
	for (size_t tried = 0; tried < q->candidates; tried++) {
		struct sub *s = candidate(q, q->turn++ % q->candidates);

		if (wants(rt, s)) {
			send_to(rt, s);
			return;
		}
	}
}

/* As it went the last time. */
static void
send_as_before(struct bus_routes *rt, const struct bus_memo_entry *known)
{
	for (size_t i = 0; i < known->n; i++) {
		struct sub *s = known->values[i];

		if (wants(rt, s))
			send_to(rt, s);
	}
}

static void
send_by_index(struct bus_routes *rt)
{
	rt->sends++;
	rt->matched = NULL;
	rt->nfound = 0;
	bus_index_match(rt->index, rt->msg.subject, visit, rt);
	if (rt->nfound <= BUS_MEMO_VALUES)
		bus_memo_put(rt->memo, rt->msg.subject, rt->found, rt->nfound,
			     rt->from ? BUS_ROLE_BIT(rt->from->role) : 0);
	for (struct queue *q = rt->matched; q; q = q->next_matched)
		send_to_one(rt, q);
}

const struct bus_memo_entry *
bus_routes_known(const struct bus_routes *rt, struct sv subject)
{
	return bus_memo_find(rt->memo, subject);
}

void
bus_routes_send(struct bus_routes *rt, struct bus_peer *from, const struct bus_ev *pub,
		const struct bus_memo_entry *known, bus_route_fn *fn, void *user)
{
	rt->from = from;
	rt->msg = *pub;
	rt->msg.verb = BUS_VERB_MSG;
	rt->fn = fn;
	rt->user = user;
	rt->expired = NULL;
	if (known && from)
		bus_memo_allow(rt->memo, known, BUS_ROLE_BIT(from->role));
	if (known)
		send_as_before(rt, known);
	else
		send_by_index(rt);
	while (rt->expired) {
		struct sub *s = rt->expired;

		rt->expired = s->next_expired;
		remove_sub(rt, s);
	}
}
