/* SPDX-License-Identifier: Apache-2.0 */
/* The control channel, the listeners, and the pause when captures cannot leave. */
#include "decoy/engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "decoy/session.h"
#include "util/fdpass.h"
#include "util/json.h"
#include "util/limits.h"
#include "util/log.h"

#define ACCEPTS_PER_TURN 64

void
engine_flush_captures(struct engine *g)
{
	if (sender_put(g->sender, &g->captures, g->next_no) < 0)
		log_plain(LV_ERR, "decoy.memory");
}

static void
say(struct engine *g, json_t *own_message)
{
	char *text = own_message ? json_text(own_message) : NULL;

	/* send() with no address is all that the sandbox lets through. A driver that reads no
	 * answers asks again. */
	if (!text || send(g->control_fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_event(LV_WARN, "decoy.control.unsent", KV_I("errno", text ? errno : ENOMEM));
	free(text);
	json_decref(own_message);
}

static void
answer(struct engine *g, const json_t *request, const char *error)
{
	json_t *message = json_pack(
		"{s:I, s:b}", "n", json_integer_value(json_object_get(request, "n")), "ok", !error);

	if (error)
		(void)json_object_set_new(message, "error", json_string(error));
	say(g, message);
}

static struct listener *
find(const struct engine *g, const char *id)
{
	LIST_FOR (at, &g->listeners) {
		struct listener *l = CONTAINER_OF(at, struct listener, link);

		if (strcmp(l->id, id) == 0)
			return l;
	}
	return NULL;
}

static void
listener_free(void *obj)
{
	struct listener *l = obj;

	free(l->config);
	free(l);
}

static void
listener_close(struct listener *l)
{
	loop_io_clear(&l->io);
	if (l->fd >= 0)
		(void)close(l->fd);
	l->fd = -1;
	LIST_FOR (at, &l->sessions)
		session_close(at, DECOY_CLOSE_SHUTDOWN);
	list_unlink(&l->link);
	loop_free_later(l->engine->loop, l, listener_free);
}

static void
on_accept(struct loop_io *io, uint32_t events)
{
	struct listener *l = io->user;

	(void)events;
	for (int i = 0; i < ACCEPTS_PER_TURN && l->fd >= 0 && !l->engine->paused; i++) {
		int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return;
		session_open(l, fd);
	}
}

static int
watch_listener(struct listener *l)
{
	return loop_io_set(l->engine->loop, &l->io, l->fd,
			   l->engine->paused ? 0 : (uint32_t)EPOLLIN, on_accept, l);
}

static void
on_full(void *user, bool full)
{
	struct engine *g = user;

	g->paused = full;
	LIST_FOR (at, &g->listeners) {
		struct listener *l = CONTAINER_OF(at, struct listener, link);

		if (watch_listener(l) < 0)
			log_plain(LV_ERR, "decoy.epoll");
		LIST_FOR (seat, &l->sessions)
			session_pause(seat);
	}
}

static int
copy_text(const json_t *m, const char *key, char *dst, size_t size)
{
	const char *text = json_get_text(m, key);

	return text ? sv_copy(sv_from(text), dst, size) : -EINVAL;
}

/* NULL, or why it cannot be opened. Takes the descriptor over. */
static const char *
open_listener(struct engine *g, const json_t *m, int own_fd)
{
	const char *service = json_get_text(m, "service"), *seed = json_get_text(m, "seed");
	json_int_t port = json_integer_value(json_object_get(m, "port"));
	struct listener *l = calloc(1, sizeof(*l));
	const char *why = "malformed request";

	if (!l) {
		(void)close(own_fd);
		return "out of memory";
	}
	l->engine = g;
	l->fd = own_fd;
	list_init(&l->link);
	list_init(&l->sessions);
	l->service = service ? decoy_service_find(service) : NULL;
	if (copy_text(m, "listener", l->id, sizeof(l->id)) < 0 || !l->id[0] ||
	    copy_text(m, "topology_id", l->topology_id, sizeof(l->topology_id)) < 0 ||
	    copy_text(m, "decky_uuid", l->decky_uuid, sizeof(l->decky_uuid)) < 0 ||
	    copy_text(m, "decky", l->decky, sizeof(l->decky)) < 0 ||
	    copy_text(m, "hostname", l->hostname, sizeof(l->hostname)) < 0 || port < 1 ||
	    port > 65535 || !seed)
		goto fail;
	if (find(g, l->id)) {
		why = "exists";
		goto fail;
	}
	if (!l->service) {
		why = "no such service in this build";
		goto fail;
	}
	l->port = (uint16_t)port;
	l->seed = strtoull(seed, NULL, 16);
	l->config = calloc(1, l->service->config_size ? l->service->config_size : 1);
	if (!l->config || l->service->configure(l->config, json_object_get(m, "config")) < 0) {
		why = "unusable configuration";
		goto fail;
	}
	if (watch_listener(l) < 0) {
		why = "cannot watch the socket";
		goto fail;
	}
	list_append(&g->listeners, &l->link);
	return NULL;
fail:
	(void)close(own_fd);
	listener_free(l);
	return why;
}

static void
on_request(struct engine *g, const json_t *m, int *fds, unsigned nfds)
{
	const char *op = json_get_text(m, "op"), *id = json_get_text(m, "listener");
	struct listener *l = id ? find(g, id) : NULL;

	if (op && strcmp(op, "open") == 0 && nfds == 1) {
		int fd = fds[0];

		fds[0] = -1;
		answer(g, m, open_listener(g, m, fd));
	} else if (op && strcmp(op, "close") == 0 && id) {
		if (l)
			listener_close(l);
		answer(g, m, NULL);
	} else if (op && strcmp(op, "list") == 0) {
		LIST_FOR (at, &g->listeners)
			say(g, json_pack("{s:I, s:s}", "n",
					 json_integer_value(json_object_get(m, "n")), "listener",
					 CONTAINER_OF(at, struct listener, link)->id));
		answer(g, m, NULL);
	} else {
		answer(g, m, "unknown request");
	}
}

static void
on_control(struct loop_io *io, uint32_t events)
{
	struct engine *g = io->user;

	(void)events;
	for (int i = 0; i < 64; i++) {
		int fds[1] = {-1};
		unsigned nfds = 0;
		ssize_t n =
			fdpass_recv(g->control_fd, g->message, sizeof(g->message), fds, 1, &nfds);
		json_t *m = NULL;

		if (n == -EAGAIN)
			return;
		if (n == 0 || (n < 0 && n != -EMSGSIZE)) {
			loop_io_clear(&g->control_io);
			return;
		}
		if (n > 0 && json_parse((struct sv){g->message, (size_t)n}, &m, NULL) == 0)
			on_request(g, m, fds, nfds);
		else
			log_plain(LV_WARN, "decoy.control.malformed");
		json_decref(m);
		if (nfds == 1 && fds[0] >= 0)
			(void)close(fds[0]);
	}
}

static void
on_hello(struct loop_timer *t)
{
	struct engine *g = t->user;
	const struct capture_hello hello = {.source = g->source,
					    .started_ms = g->started_ms,
					    .pid = (uint32_t)getpid(),
					    .connections = g->sessions};

	sender_hello(g->sender, &hello);
	if (loop_timer_set(g->loop, &g->hello, CAPTURE_HELLO_EVERY_MS, on_hello, g) < 0)
		log_plain(LV_ERR, "decoy.memory");
}

int
engine_new(struct loop *l, int own_control_fd, int own_capture_fd, struct engine **ret_engine,
	   struct err *e)
{
	struct engine *g = calloc(1, sizeof(*g));
	char source[17];
	int r;

	if (!g) {
		(void)close(own_control_fd);
		(void)close(own_capture_fd);
		return err_set(e, -ENOMEM, "out of memory");
	}
	g->loop = l;
	g->control_fd = own_control_fd;
	g->started_ms = loop_unix_ms(l);
	list_init(&g->listeners);
	do
		id_random(&g->source, sizeof(g->source));
	while (g->source == 0);
	/* Room for what one call of a service may capture: its input's worth of frames. */
	buf_init(&g->captures, LIMIT_CAPTURE_UNACKED_BYTES);
	r = sender_new(l, own_capture_fd, g->source, on_full, g, &g->sender, e);
	if (r == 0) {
		r = loop_io_set(l, &g->control_io, own_control_fd, EPOLLIN, on_control, g);
		if (r < 0)
			(void)err_set(e, r, "control channel: %s", strerror(-r));
	}
	if (r == 0)
		r = loop_timer_set(l, &g->hello, 0, on_hello, g);
	if (r < 0) {
		engine_free(g);
		return r;
	}
	(void)snprintf(source, sizeof(source), "%016llx", (unsigned long long)g->source);
	say(g,
	    json_pack("{s:s, s:s, s:i}", "op", "started", "source", source, "pid", (int)getpid()));
	*ret_engine = g;
	return 0;
}

static void
engine_release(void *obj)
{
	struct engine *g = obj;

	sender_free(g->sender);
	buf_fini(&g->captures);
	free(g);
}

void
engine_free(struct engine *g)
{
	if (!g)
		return;
	LIST_FOR (at, &g->listeners)
		listener_close(CONTAINER_OF(at, struct listener, link));
	loop_timer_clear(&g->hello);
	loop_io_clear(&g->control_io);
	(void)close(g->control_fd);
	/* After the listeners and sessions, which still point here until the end of the turn. */
	loop_free_later(g->loop, g, engine_release);
}
