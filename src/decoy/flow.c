/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams. What they mean is the service's business; how many answers they get is decided here.
 */
#include "decoy/flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "decoy/tally.h"
#include "util/hash.h"
#include "util/id.h"
#include "util/limits.h"
#include "util/list.h"
#include "util/log.h"

#define BUCKETS		 4096
#define DATAGRAM_MAX	 65536
#define READS_AT_ONCE	 32
#define REPLY_FREE	 1400 /* one full packet, which a talk may begin with */
#define LOOK_MS		 1000
#define LIMIT_TELL_MS	 1000
#define CONTROL_DATA_MAX 128 /* one IP_PKTINFO, with room */

/* A flow's place among those of one decky or source. */
struct seat {
	struct list link; /* in its members: the one that was silent longest is first */
	struct tally_entry *of;
	struct flow *flow;
};

struct flow {
	struct list link; /* in flows.list, in the same order */
	struct seat in_decky, in_source;
	struct list in_bucket;	 /* flows.buckets */
	struct list by_listener; /* listener.sessions */
	struct flows *all;
	struct sockaddr_storage peer;
	socklen_t peer_n;
	uint64_t heard_ms; /* loop time */
	bool limit_told;
	struct visit visit;
	max_align_t state[];
};

struct flows {
	struct loop *loop;
	struct sender *sender;
	struct session_limits limits;
	struct list list, buckets[BUCKETS];
	uint64_t key; /* random, so that nobody can aim at one bucket */
	unsigned n;
	uint64_t refused;
	struct tally deckies, sources;
	struct buf out, captures; /* of the call under way */
	struct loop_timer look;
	char datagram[DATAGRAM_MAX];
};

/* A datagram as it came. */
struct arrival {
	struct sv bytes;
	struct sockaddr_storage peer;
	socklen_t peer_n;
	/* Which of our addresses it was sent to, as the kernel said; the answer comes from there.
	 */
	_Alignas(struct cmsghdr) char control[CONTROL_DATA_MAX];
	size_t control_n;
};

static struct list *
bucket_of(struct flows *all, const struct listener *l, const struct sockaddr_storage *peer,
	  socklen_t n)
{
	uint64_t h = hash_bytes(all->key ^ (uint64_t)(uintptr_t)l, peer, n);

	return &all->buckets[hash_fold(h) % BUCKETS];
}

static struct flow *
find(struct flows *all, const struct listener *l, const struct arrival *a)
{
	struct list *bucket = bucket_of(all, l, &a->peer, a->peer_n);

	LIST_FOR (at, bucket) {
		struct flow *f = CONTAINER_OF(at, struct flow, in_bucket);

		if (f->visit.listener == l && f->peer_n == a->peer_n &&
		    memcmp(&f->peer, &a->peer, a->peer_n) == 0)
			return f;
	}
	return NULL;
}

/* -- the end -- */

static void
leave(struct seat *seat)
{
	list_unlink(&seat->link);
	tally_give(TAKE(seat->of));
}

static void
discard(struct flow *f)
{
	list_unlink(&f->link);
	leave(&f->in_decky);
	leave(&f->in_source);
	list_unlink(&f->in_bucket);
	list_unlink(&f->by_listener);
	f->all->n--;
	visit_fini(&f->visit);
	free(f);
}

static void
end(struct flow *f, enum decoy_close why)
{
	struct flows *all = f->all;
	const struct decoy_service *svc = f->visit.listener->service;

	if (svc->stop) {
		struct decoy_io io = visit_io(&f->visit, &all->out, &all->captures);

		svc->stop(f->state, &io);
		visit_tell_all(&f->visit, &all->captures);
		buf_reset(&all->out);
	}
	visit_tell_end(&f->visit, why);
	discard(f);
}

static void on_look(struct loop_timer *t);

static void
look_later(struct flows *all)
{
	if (all->n > 0 && !all->look.loop &&
	    loop_timer_set(all->loop, &all->look, LOOK_MS, on_look, all) < 0)
		log_plain(LV_ERR, "decoy.flow.timer");
}

static void
on_look(struct loop_timer *t)
{
	struct flows *all = t->user;
	uint64_t now = loop_now_ms(all->loop);

	LIST_FOR (at, &all->list) {
		struct flow *f = CONTAINER_OF(at, struct flow, link);

		if (now - f->heard_ms < FLOW_IDLE_MS)
			break;
		end(f, DECOY_CLOSE_IDLE);
	}
	look_later(all);
}

/* -- the beginning -- */

/* Whether there is room now where the flow was. */
static bool
yields(struct flows *all, struct flow *f)
{
	if (loop_now_ms(all->loop) - f->heard_ms < FLOW_YIELD_MS)
		return false;
	end(f, DECOY_CLOSE_LIMIT);
	return true;
}

/* The first link of a list, or NULL. */
static struct list *
first_of(struct list *head)
{
	return list_empty(head) ? NULL : head->next;
}

static bool
take_seat(struct flows *all, struct tally *t, const char *name, unsigned max, struct seat *seat)
{
	int r = tally_take(t, name, max, &seat->of);
	struct tally_entry *full = r == -EBUSY ? tally_find(t, name) : NULL;
	struct list *oldest = full ? first_of(tally_members(full)) : NULL;

	if (oldest && yields(all, CONTAINER_OF(oldest, struct seat, link)->flow))
		r = tally_take(t, name, max, &seat->of);
	if (r == 0)
		list_append(tally_members(seat->of), &seat->link);
	return r == 0;
}

static bool
admit(struct flows *all, struct flow *f)
{
	const struct control *place = &f->visit.listener->place;
	const char *decky = place->decky_uuid[0] ? place->decky_uuid : place->decky;
	struct list *oldest = first_of(&all->list);

	if (all->n >= all->limits.all &&
	    !(oldest && yields(all, CONTAINER_OF(oldest, struct flow, link))))
		return false;
	if (take_seat(all, &all->sources, f->visit.ip, all->limits.per_source, &f->in_source) &&
	    take_seat(all, &all->deckies, decky, all->limits.per_decky, &f->in_decky))
		return true;
	leave(&f->in_source);
	return false;
}

static void
refuse(struct flow *f)
{
	struct flows *all = f->all;
	struct listener *l = f->visit.listener;
	uint64_t now = loop_now_ms(all->loop);

	all->refused++;
	if (l->limit_told_ms == 0 || now - l->limit_told_ms >= LIMIT_TELL_MS) {
		l->limit_told_ms = now;
		visit_tell(&f->visit, CAPTURE_LIMIT);
		log_event(LV_WARN, "decoy.flow.refused", KV_U("refused", all->refused),
			  KV_U("open", all->n));
	}
	visit_fini(&f->visit);
	free(f);
}

static struct flow *
begin(struct flows *all, struct listener *l, const struct arrival *a)
{
	struct flow *f = calloc(1, sizeof(*f) + l->service->state_size);

	if (!f)
		return NULL;
	list_init(&f->link);
	list_init(&f->in_decky.link);
	list_init(&f->in_source.link);
	f->in_decky.flow = f->in_source.flow = f;
	list_init(&f->in_bucket);
	list_init(&f->by_listener);
	f->all = all;
	f->peer = a->peer;
	f->peer_n = a->peer_n;
	visit_begin(&f->visit, all->loop, all->sender, l, &a->peer);
	if (!admit(all, f)) {
		refuse(f);
		return NULL;
	}
	list_append(&all->list, &f->link);
	list_append(bucket_of(all, l, &a->peer, a->peer_n), &f->in_bucket);
	list_append(&l->sessions, &f->by_listener);
	all->n++;
	look_later(all);
	visit_tell(&f->visit, CAPTURE_CONNECT);
	return f;
}

/* -- the talk -- */

static void
answer(struct flow *f, const struct arrival *a)
{
	struct flows *all = f->all;
	struct iovec part = {all->out.p, all->out.n};
	/* The kernel writes neither through the address nor the control data it is sent with. */
	struct msghdr m = {
		.msg_name = &f->peer,
		.msg_namelen = f->peer_n,
		.msg_iov = &part,
		.msg_iovlen = 1,
	};
	struct arrival copy;
	ssize_t n;

	if (all->out.n == 0)
		return;
	if (f->visit.bytes_out + all->out.n >
	    REPLY_FREE + f->visit.bytes_in * LIMIT_DECOY_REPLY_RATIO) {
		if (!f->limit_told)
			visit_tell(&f->visit, CAPTURE_LIMIT);
		f->limit_told = true;
		return;
	}
	if (a->control_n > 0) {
		memcpy(copy.control, a->control, a->control_n);
		m.msg_control = copy.control;
		m.msg_controllen = a->control_n;
	}
	do
		n = sendmsg(f->visit.listener->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	/* A datagram that cannot leave now is one that got lost on its way. */
	if (n > 0)
		f->visit.bytes_out += (uint64_t)n;
}

static void
put_last(struct list *head, struct list *node)
{
	list_unlink(node);
	list_append(head, node);
}

static void
take(struct flow *f, const struct arrival *a)
{
	struct flows *all = f->all;
	const struct decoy_service *svc = f->visit.listener->service;
	struct decoy_io io = visit_io(&f->visit, &all->out, &all->captures);
	size_t used = 0;
	int r;

	f->heard_ms = loop_now_ms(all->loop);
	f->visit.bytes_in += a->bytes.n;
	put_last(&all->list, &f->link);
	put_last(tally_members(f->in_decky.of), &f->in_decky.link);
	put_last(tally_members(f->in_source.of), &f->in_source.link);
	io.datagram = true;
	buf_reset(&all->out);
	r = svc->input(f->state, &io, a->bytes, &used);
	if (r == 0 && used == 0)
		r = -EBADMSG;
	visit_tell_all(&f->visit, &all->captures);
	if (r == -EBADMSG || r == -EMSGSIZE)
		visit_tell(&f->visit, CAPTURE_MALFORMED);
	else if (r < 0)
		visit_tell(&f->visit, CAPTURE_LIMIT);
	answer(f, a);
	buf_reset(&all->out);
	if (r == 1)
		end(f, DECOY_CLOSE_QUIT);
	else if (f->heard_ms - f->visit.started_ms >= svc->life_ms)
		end(f, DECOY_CLOSE_LIFE);
}

/* Of what the kernel told about the datagram, what an answer may say: the address only, since an
 * interface would bind it to a way. */
static void
keep_address(struct arrival *a, struct msghdr *m)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m);
	struct in_pktinfo info;

	a->control_n = 0;
	if (!c || c->cmsg_level != IPPROTO_IP || c->cmsg_type != IP_PKTINFO ||
	    c->cmsg_len < CMSG_LEN(sizeof(info)))
		return;
	memcpy(&info, CMSG_DATA(c), sizeof(info));
	info.ipi_spec_dst = info.ipi_addr;
	info.ipi_ifindex = 0;
	memcpy(CMSG_DATA(c), &info, sizeof(info));
	a->control_n = CMSG_SPACE(sizeof(info));
}

/* 1: a datagram, 0: none is there, -errno. */
static int
receive(struct flows *all, struct listener *l, struct arrival *a)
{
	struct iovec part = {all->datagram, sizeof(all->datagram)};
	struct msghdr m = {
		.msg_name = &a->peer,
		.msg_namelen = sizeof(a->peer),
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = a->control,
		.msg_controllen = sizeof(a->control),
	};
	ssize_t n;

	memset(&a->peer, 0, sizeof(a->peer));
	n = recvmsg(l->fd, &m, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	a->peer_n = m.msg_namelen;
	a->bytes = (struct sv){all->datagram, (size_t)n};
	keep_address(a, &m);
	return 1;
}

void
flows_read(struct flows *all, struct listener *l)
{
	for (unsigned i = 0; i < READS_AT_ONCE && l->fd >= 0 && !sender_held(all->sender); i++) {
		struct arrival a;
		struct flow *f;
		int r = receive(all, l, &a);

		/* An error is one of an earlier answer (nobody listens there any more). */
		if (r == 0)
			return;
		if (r < 0)
			continue;
		f = find(all, l, &a);
		if (!f)
			f = begin(all, l, &a);
		if (f)
			take(f, &a);
	}
}

/* -- all of them -- */

int
flows_new(struct loop *l, const struct session_limits *limits, struct flows **ret)
{
	struct flows *all = calloc(1, sizeof(*all));

	if (!all)
		return -ENOMEM;
	all->loop = l;
	all->limits = *limits;
	list_init(&all->list);
	for (size_t i = 0; i < BUCKETS; i++)
		list_init(&all->buckets[i]);
	id_random(&all->key, sizeof(all->key));
	tally_init(&all->deckies);
	tally_init(&all->sources);
	buf_init(&all->out, DATAGRAM_MAX);
	buf_init(&all->captures, DECOY_CAPTURES_MAX);
	*ret = all;
	return 0;
}

void
flows_free(struct flows *all)
{
	if (!all)
		return;
	LIST_FOR (at, &all->list)
		discard(CONTAINER_OF(at, struct flow, link));
	loop_timer_clear(&all->look);
	tally_fini(&all->deckies);
	tally_fini(&all->sources);
	buf_fini(&all->out);
	buf_fini(&all->captures);
	free(all);
}

void
flows_set_sender(struct flows *all, struct sender *sender)
{
	all->sender = sender;
}

void
flows_end(struct flows *all, struct listener *l, enum decoy_close why)
{
	if (l) {
		LIST_FOR (at, &l->sessions)
			end(CONTAINER_OF(at, struct flow, by_listener), why);
		return;
	}
	LIST_FOR (at, &all->list)
		end(CONTAINER_OF(at, struct flow, link), why);
}

unsigned
flows_count(const struct flows *all)
{
	return all->n;
}
