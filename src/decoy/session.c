/* SPDX-License-Identifier: Apache-2.0 */
/* Attackers' connections. What a byte means is the service's business; how many of them, how long
 * and how fast is decided here. */
#include "decoy/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "decoy/persona.h"
#include "decoy/tally.h"
#include "decoy/visit.h"
#include "util/id.h"
#include "util/limits.h"
#include "util/log.h"

#define READ_BYTES    8192 /* at once */
#define DRAIN_READS   4	   /* before a close, so that it is no reset */
#define CLOSING_MS    5000 /* for a peer that does not take the last answer */
#define HELD_LOOK_MS  1000
#define LIMIT_TELL_MS 1000

struct session {
	struct list link;	 /* sessions.list */
	struct list by_listener; /* listener.sessions */
	struct sessions *all;
	int fd;
	struct loop_io io;
	struct loop_timer deadline, pause;
	uint64_t idle_due_ms, life_due_ms;
	uint32_t idle_ms;
	uint64_t dice; /* noise of the latencies */
	struct buf in, out;
	bool eof;  /* the peer sends no more */
	bool over; /* the service is done; what is in `out` still leaves */
	enum decoy_close why;
	struct tally_entry *of_decky, *of_source;
	struct visit visit;
	max_align_t state[];
};

struct sessions {
	struct loop *loop;
	struct sender *sender;
	struct session_limits limits;
	struct list list;
	unsigned n;
	bool held;
	struct tally deckies, sources;
	struct buf captures; /* of the call under way */
	uint64_t refused;
};

static void step(struct session *s);
static void on_io(struct loop_io *io, uint32_t events);

/* -- the end -- */

static void
session_free(void *obj)
{
	struct session *s = obj;

	buf_fini(&s->in);
	buf_fini(&s->out);
	visit_fini(&s->visit);
	free(s);
}

static struct decoy_io
io_of(struct session *s)
{
	return visit_io(&s->visit, &s->out, &s->all->captures);
}

static void
discard(struct session *s)
{
	loop_io_clear(&s->io);
	loop_timer_clear(&s->deadline);
	loop_timer_clear(&s->pause);
	list_unlink(&s->link);
	list_unlink(&s->by_listener);
	tally_give(s->of_decky);
	tally_give(s->of_source);
	(void)close(s->fd);
	s->all->n--;
}

static void
end(struct session *s, enum decoy_close why)
{
	struct decoy_io io = io_of(s);
	char rest[4096];

	if (!s->over)
		s->why = why;
	s->over = true;
	if (s->visit.listener->service->stop) {
		s->visit.listener->service->stop(s->state, &io);
		visit_tell_all(&s->visit, &s->all->captures);
	}
	visit_tell_end(&s->visit, s->why);
	/* Unread bytes would turn the close into a reset, which real daemons rarely send. */
	for (unsigned i = 0; i < DRAIN_READS; i++)
		if (recv(s->fd, rest, sizeof(rest), MSG_DONTWAIT) <= 0)
			break;
	discard(s);
	loop_free_later(s->all->loop, s, session_free);
}

/* -- deadlines -- */

static void on_deadline(struct loop_timer *t);

static void
arm(struct session *s, uint64_t due_ms)
{
	uint64_t now = loop_now_ms(s->all->loop);

	if (loop_timer_set(s->all->loop, &s->deadline, due_ms > now ? due_ms - now : 0, on_deadline,
			   s) < 0)
		log_plain(LV_ERR, "decoy.session.timer");
}

static void
arm_next(struct session *s)
{
	arm(s, s->idle_due_ms < s->life_due_ms ? s->idle_due_ms : s->life_due_ms);
}

static void
renew(struct session *s)
{
	s->idle_due_ms = loop_now_ms(s->all->loop) + s->idle_ms;
}

static void
on_deadline(struct loop_timer *t)
{
	struct session *s = t->user;
	uint64_t now = loop_now_ms(s->all->loop);

	if (s->all->held)
		arm(s, now + HELD_LOOK_MS);
	else if (s->over)
		end(s, s->why);
	else if (now >= s->life_due_ms)
		end(s, DECOY_CLOSE_LIFE);
	else if (now >= s->idle_due_ms)
		end(s, DECOY_CLOSE_IDLE);
	else
		arm_next(s);
}

/* -- the talk -- */

static void
finish(struct session *s, enum decoy_close why)
{
	s->over = true;
	s->why = why;
	arm(s, loop_now_ms(s->all->loop) + CLOSING_MS);
}

static void
on_pause(struct loop_timer *t)
{
	struct session *s = t->user;

	step(s);
}

static void
set_pause(struct session *s, enum decoy_pause pause)
{
	const struct listener *l = s->visit.listener;
	uint32_t ms;

	if (pause == DECOY_PAUSE_NONE)
		return;
	s->dice = s->dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	ms = persona_latency_ms(l->service, pause, l->host.seed, s->dice >> 33);
	if (ms > 0 && loop_timer_set(s->all->loop, &s->pause, ms, on_pause, s) < 0)
		log_plain(LV_ERR, "decoy.session.timer");
}

static void
take_wishes(struct session *s, const struct decoy_io *io)
{
	if (io->idle_ms > 0) {
		s->idle_ms = io->idle_ms;
		renew(s);
		if (!s->over)
			arm_next(s);
	}
	set_pause(s, io->pause);
}

/* What a service's result means; true when the talk goes on. */
static bool
judge(struct session *s, int r)
{
	if (r == 0)
		return true;
	if (r == 1) {
		finish(s, DECOY_CLOSE_QUIT);
	} else if (r == -EBADMSG || r == -EMSGSIZE) {
		visit_tell(&s->visit, CAPTURE_MALFORMED);
		finish(s, DECOY_CLOSE_BAD_INPUT);
	} else {
		visit_tell(&s->visit, CAPTURE_LIMIT);
		finish(s, DECOY_CLOSE_LIMIT);
	}
	return false;
}

/* Hand the service what is there, unit by unit, until it must wait for something. */
static void
talk(struct session *s)
{
	const struct decoy_service *svc = s->visit.listener->service;
	size_t at = 0, used = 0;

	while (!s->over && !s->pause.loop && !s->all->held && at < s->in.n &&
	       s->out.n <= svc->out_max / 2) {
		struct decoy_io io = io_of(s);
		int r;

		used = 0;
		r = svc->input(s->state, &io, (struct sv){s->in.p + at, s->in.n - at}, &used);
		visit_tell_all(&s->visit, &s->all->captures);
		at += used;
		take_wishes(s, &io);
		if (!judge(s, r))
			break;
		if (used == 0)
			break;
		renew(s);
	}
	if (!s->over && used == 0 && at == 0 && s->in.n >= svc->in_max) {
		visit_tell(&s->visit, CAPTURE_LIMIT);
		finish(s, DECOY_CLOSE_LIMIT);
	}
	if (at > 0)
		buf_drop(&s->in, at);
}

/* 0, or -1 when the peer is gone. */
static int
flush(struct session *s)
{
	size_t at = 0;
	int r = 0;

	while (at < s->out.n) {
		ssize_t n = send(s->fd, s->out.p + at, s->out.n - at, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			r = errno == EAGAIN ? 0 : -1;
			break;
		}
		at += (size_t)n;
		s->visit.bytes_out += (uint64_t)n;
		renew(s);
	}
	buf_drop(&s->out, at);
	return r;
}

/* Ask the loop for what this session waits for. 0 or a negative errno. */
static int
watch(struct session *s)
{
	const struct decoy_service *svc = s->visit.listener->service;
	uint32_t events = 0;

	if (!s->all->held && !s->over && !s->eof && !s->pause.loop && s->in.n < svc->in_max &&
	    s->out.n <= svc->out_max / 2)
		events |= EPOLLIN;
	if (s->out.n > 0 && !s->pause.loop)
		events |= EPOLLOUT;
	return loop_io_set(s->all->loop, &s->io, s->fd, events, on_io, s);
}

/* Do what can be done now. The session may be gone afterwards. */
static void
step(struct session *s)
{
	bool again;

	do {
		size_t before = s->in.n;
		bool over = s->over;

		if (!s->pause.loop && flush(s) < 0) {
			end(s, DECOY_CLOSE_RESET);
			return;
		}
		talk(s);
		/* As long as units are done there may be more, and their answers can leave. */
		again = s->in.n < before || s->over != over;
	} while (again && !s->pause.loop && !s->all->held);
	if (s->out.n == 0 && !s->pause.loop && !s->all->held && (s->over || s->eof))
		end(s, s->over ? s->why : DECOY_CLOSE_EOF);
	else if (watch(s) < 0)
		end(s, DECOY_CLOSE_RESET);
}

static void
on_io(struct loop_io *io, uint32_t events)
{
	struct session *s = io->user;
	size_t room;
	ssize_t n;

	if ((events & (EPOLLERR | EPOLLHUP)) && !(events & EPOLLIN)) {
		end(s, DECOY_CLOSE_RESET);
		return;
	}
	if (events & EPOLLIN) {
		room = s->in.max - s->in.n;
		if (room > READ_BYTES)
			room = READ_BYTES;
		if (buf_reserve(&s->in, room) < 0) {
			end(s, DECOY_CLOSE_LIMIT);
			return;
		}
		n = recv(s->fd, s->in.p + s->in.n, room, MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			end(s, DECOY_CLOSE_RESET);
			return;
		}
		s->eof = n == 0;
		if (n > 0) {
			s->in.n += (size_t)n;
			s->visit.bytes_in += (uint64_t)n;
		}
	}
	step(s);
}

/* -- the beginning -- */

/* Whether the ceilings leave room; both tallies are taken then. */
static bool
admit(struct sessions *all, struct session *s)
{
	const struct control *place = &s->visit.listener->place;

	if (all->n >= all->limits.all ||
	    tally_take(&all->deckies, place->decky_uuid[0] ? place->decky_uuid : place->decky,
		       all->limits.per_decky, &s->of_decky) < 0)
		return false;
	if (tally_take(&all->sources, s->visit.ip, all->limits.per_source, &s->of_source) == 0)
		return true;
	tally_give(TAKE(s->of_decky));
	return false;
}

static void
refuse(struct session *s)
{
	uint64_t now = loop_now_ms(s->all->loop);
	struct listener *l = s->visit.listener;

	s->all->refused++;
	if (l->limit_told_ms == 0 || now - l->limit_told_ms >= LIMIT_TELL_MS) {
		l->limit_told_ms = now;
		visit_tell(&s->visit, CAPTURE_LIMIT);
		log_event(LV_WARN, "decoy.session.refused", KV_U("refused", s->all->refused),
			  KV_U("open", s->all->n));
	}
	(void)close(s->fd);
	session_free(s);
}

static void
begin(struct session *s)
{
	const struct decoy_service *svc = s->visit.listener->service;
	struct decoy_io io;

	visit_tell(&s->visit, CAPTURE_CONNECT);
	renew(s);
	s->life_due_ms = s->visit.started_ms + svc->life_ms;
	arm_next(s);
	io = io_of(s);
	if (svc->start) {
		int r = svc->start(s->state, &io);

		visit_tell_all(&s->visit, &s->all->captures);
		take_wishes(s, &io);
		(void)judge(s, r);
	}
	step(s);
}

void
sessions_accept(struct sessions *all, struct listener *l, int own_fd,
		const struct sockaddr_storage *peer)
{
	struct session *s = calloc(1, sizeof(*s) + l->service->state_size);

	if (!s) {
		(void)close(own_fd);
		return;
	}
	list_init(&s->link);
	list_init(&s->by_listener);
	s->all = all;
	visit_begin(&s->visit, all->loop, all->sender, l, peer);
	s->fd = own_fd;
	s->idle_ms = l->service->idle_ms;
	buf_init(&s->in, l->service->in_max);
	buf_init(&s->out, l->service->out_max);
	id_random(&s->dice, sizeof(s->dice));
	if (!admit(all, s)) {
		refuse(s);
		return;
	}
	list_append(&all->list, &s->link);
	list_append(&l->sessions, &s->by_listener);
	all->n++;
	begin(s);
}

/* -- all of them -- */

int
sessions_new(struct loop *l, const struct session_limits *limits, struct sessions **ret)
{
	struct sessions *all = calloc(1, sizeof(*all));

	if (!all)
		return -ENOMEM;
	all->loop = l;
	all->limits = *limits;
	list_init(&all->list);
	tally_init(&all->deckies);
	tally_init(&all->sources);
	buf_init(&all->captures, DECOY_CAPTURES_MAX);
	*ret = all;
	return 0;
}

void
sessions_free(struct sessions *all)
{
	if (!all)
		return;
	LIST_FOR (at, &all->list) {
		struct session *s = CONTAINER_OF(at, struct session, link);

		discard(s);
		session_free(s);
	}
	tally_fini(&all->deckies);
	tally_fini(&all->sources);
	buf_fini(&all->captures);
	free(all);
}

void
sessions_set_sender(struct sessions *all, struct sender *sender)
{
	all->sender = sender;
}

void
sessions_end(struct sessions *all, struct listener *l, enum decoy_close why)
{
	if (l) {
		LIST_FOR (at, &l->sessions)
			end(CONTAINER_OF(at, struct session, by_listener), why);
		return;
	}
	LIST_FOR (at, &all->list)
		end(CONTAINER_OF(at, struct session, link), why);
}

void
sessions_hold(struct sessions *all, bool held)
{
	all->held = held;
	LIST_FOR (at, &all->list) {
		struct session *s = CONTAINER_OF(at, struct session, link);

		/* A failing change of the watch shows again at the session's next step. */
		if (held)
			(void)watch(s);
		else if (!all->held)
			step(s);
		else
			break; /* what was let in filled it again */
	}
}

unsigned
sessions_count(const struct sessions *all)
{
	return all->n;
}
