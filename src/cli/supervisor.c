/* SPDX-License-Identifier: Apache-2.0 */
/* The processes of the suite: their lives, their channels, and the order among them. */
#include "cli/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus/client.h"
#include "bus/event.h"
#include "bus/topic.h"
#include "cli/child.h"
#include "cli/restart.h"
#include "store/db.h"
#include "util/json.h"
#include "util/log.h"

/* Until it says that it serves; opening a large store may take a while. */
#define READY_MS  30000
/* Until it ends after SIGTERM. */
#define STOP_MS	  5000
#define HEALTH_MS 30000
#define FDS_MAX	  6

enum life {
	LIFE_OFF,      /* not to run */
	LIFE_PAUSED,   /* waits for its restart */
	LIFE_STARTING, /* runs, has not said that it serves */
	LIFE_SERVING,
	LIFE_STOPPING, /* was told to end */
};

static const char *const life_words[] = {"stopped", "restarting", "starting", "running",
					 "stopping"};

struct one {
	struct supervisor *supervisor;
	enum process which;
	enum life life;
	bool member; /* of the set we were asked for */
	bool wanted; /* unless somebody stopped it */
	bool served; /* at least once */
	pid_t pid;
	int ready_fd;
	struct loop_io ready_io;
	struct loop_timer timer; /* restart, readiness, end: by life */
	struct restart restart;
};

enum phase { PHASE_STARTING, PHASE_UP, PHASE_STOPPING, PHASE_ENDED };

struct supervisor {
	struct loop *loop;
	const struct conf *conf;
	struct supervisor_ops ops;
	enum phase phase;
	bool killing;
	int capture[2][2], control[2][2]; /* of connections, of datagrams */
	int netd[2];
	int notice; /* -1: none */
	struct one ones[PROCESS_COUNT];
	struct bus_client *bus;
	struct bus_sub *controls;
	struct loop_timer begin, health;
	uint64_t started_ms;
	int result; /* of a start that failed */
	struct err why;
};

static void next_step(struct supervisor *s);
static void launch(struct one *o);

static void
end_ready(struct one *o)
{
	loop_io_clear(&o->ready_io);
	if (o->ready_fd >= 0)
		(void)close(o->ready_fd);
	o->ready_fd = -1;
}

static void
set_timer(struct one *o, uint64_t delay_ms, loop_timer_fn *fn)
{
	if (loop_timer_set(o->supervisor->loop, &o->timer, delay_ms, fn, o) < 0)
		log_plain(LV_ERR, "supervisor.no_memory");
}

static void
send_signal(struct one *o, int signo)
{
	if (o->pid > 0 && kill(o->pid, signo) < 0)
		log_event(LV_WARN, "supervisor.signal", KV_S("process", process_word(o->which)),
			  KV_S("why", strerror(errno)));
}

static void
on_too_slow(struct loop_timer *t)
{
	struct one *o = t->user;

	log_event(LV_ERR, "supervisor.killed", KV_S("process", process_word(o->which)),
		  KV_S("why",
		       o->life == LIFE_STOPPING ? "did not end in time" : "did not serve in time"));
	send_signal(o, SIGKILL);
}

static void
stop_one(struct one *o)
{
	struct supervisor *s = o->supervisor;

	if (o->life == LIFE_PAUSED) {
		loop_timer_clear(&o->timer);
		o->life = LIFE_OFF;
	}
	if (o->pid <= 0 || o->life == LIFE_STOPPING)
		return;
	o->life = LIFE_STOPPING;
	end_ready(o);
	log_event(LV_INFO, "supervisor.stop", KV_S("process", process_word(o->which)),
		  KV_I("pid", o->pid));
	/* Stopped alone, decnet-netd leaves the networks as they are; with the suite they go. */
	send_signal(o, s->killing						? SIGKILL
		       : s->phase == PHASE_STOPPING && o->which == PROCESS_NETD ? SIGUSR1
										: SIGTERM);
	set_timer(o, STOP_MS, on_too_slow);
}

/* The start as a whole has failed: end what runs and say why. */
static void
fail(struct supervisor *s, int r, const char *text)
{
	if (s->result == 0) {
		s->result = r;
		(void)err_set(&s->why, r, "%s", text);
	}
	s->phase = PHASE_STOPPING;
	next_step(s);
}

static void on_control(void *user, struct sv subject, struct sv payload);

/* Once the broker is there: our first attempt to connect would only be in vain before. */
static void
join_bus(struct supervisor *s)
{
	if (!s->controls &&
	    bus_subscribe(s->bus, "system.*.control", NULL, on_control, s, &s->controls) < 0)
		log_plain(LV_ERR, "supervisor.no_memory");
}

static void
on_serving(struct one *o)
{
	struct supervisor *s = o->supervisor;

	end_ready(o);
	loop_timer_clear(&o->timer);
	o->life = LIFE_SERVING;
	o->served = true;
	restart_on_ready(&o->restart, loop_now_ms(s->loop));
	log_event(LV_INFO, "supervisor.ready", KV_S("process", process_word(o->which)),
		  KV_I("pid", o->pid));
	if (o->which == PROCESS_BUS)
		join_bus(s);
	next_step(s);
}

static void
on_ready_pipe(struct loop_io *io, uint32_t events)
{
	struct one *o = io->user;
	char text[64];
	ssize_t n = read(o->ready_fd, text, sizeof(text));

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		on_serving(o);
	else
		/* Closed without a word: its end, or the time-out, says more. */
		end_ready(o);
}

static void
on_restart(struct loop_timer *t)
{
	launch(t->user);
}

static void
pause_one(struct one *o)
{
	uint64_t pause = restart_on_exit(&o->restart, loop_now_ms(o->supervisor->loop));

	o->life = LIFE_PAUSED;
	log_event(LV_INFO, "supervisor.restart", KV_S("process", process_word(o->which)),
		  KV_U("pause_ms", pause), KV_U("restarts", o->restart.count));
	set_timer(o, pause, on_restart);
}

/* The decoy processes have one channel of a kind each, who is at the other ends has both. */
static size_t
give_ends(const struct one *o, int end, int channels[2][2], const char *const names[2],
	  struct child_fd *fds)
{
	bool decoy = o->which == PROCESS_DECOY || o->which == PROCESS_DECOY_UDP;

	if (end < 0)
		return 0;
	fds[0] = (struct child_fd){names[0], channels[o->which == PROCESS_DECOY_UDP][end]};
	if (decoy)
		return 1;
	fds[1] = (struct child_fd){names[1], channels[1][end]};
	return 2;
}

static int
start_one(struct one *o, struct err *e)
{
	static const char *const captures[] = {"DECNET_FD_CAPTURE", "DECNET_FD_CAPTURE_UDP"};
	static const char *const controls[] = {"DECNET_FD_CONTROL", "DECNET_FD_CONTROL_UDP"};
	struct supervisor *s = o->supervisor;
	struct child_fd fds[FDS_MAX];
	size_t n = 0;
	char path[1024];
	int pipes[2], r;

	r = child_find(process_program(o->which), path, sizeof(path), e);
	if (r < 0)
		return r;
	if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_set(e, -errno, "pipe: %m");
	fds[n++] = (struct child_fd){"DECNET_READY_FD", pipes[1]};
	n += give_ends(o, process_capture_end(o->which), s->capture, captures, fds + n);
	n += give_ends(o, process_control_end(o->which), s->control, controls, fds + n);
	if (process_netd_end(o->which) >= 0 && s->ones[PROCESS_NETD].member)
		fds[n++] = (struct child_fd){"DECNET_FD_NETD", s->netd[process_netd_end(o->which)]};
	if (o->which == PROCESS_API && s->notice >= 0)
		fds[n++] = (struct child_fd){"DECNET_FD_NOTICE", s->notice};
	r = child_start(path, process_argument(o->which), fds, n, e);
	(void)close(pipes[1]);
	if (r > 0) {
		o->pid = r;
		o->ready_fd = pipes[0];
		r = loop_io_set(s->loop, &o->ready_io, pipes[0], EPOLLIN, on_ready_pipe, o);
		return r < 0 ? err_set(e, r, "cannot watch %s", path) : 0;
	}
	(void)close(pipes[0]);
	return r;
}

static void
launch(struct one *o)
{
	struct supervisor *s = o->supervisor;
	struct err e = {0};
	int r = start_one(o, &e);

	if (r == 0) {
		o->life = LIFE_STARTING;
		log_event(LV_INFO, "supervisor.start", KV_S("process", process_word(o->which)),
			  KV_I("pid", o->pid));
		set_timer(o, READY_MS, on_too_slow);
		return;
	}
	log_event(LV_ERR, "supervisor.start", KV_S("process", process_word(o->which)),
		  KV_S("why", err_text(&e)));
	send_signal(o, SIGKILL);
	if (s->phase == PHASE_STARTING)
		fail(s, r, err_text(&e));
	else if (o->pid <= 0)
		pause_one(o);
}

/* Whether a process must be waited for before the next one is looked at. */
static bool
start_next(struct supervisor *s)
{
	for (unsigned i = 0; i < PROCESS_COUNT; i++) {
		struct one *o = &s->ones[i];

		if (!o->member || !o->wanted || o->served)
			continue;
		if (o->life == LIFE_OFF)
			launch(o);
		return true;
	}
	return false;
}

/* Whether a process still has to end. */
static bool
stop_next(struct supervisor *s)
{
	for (unsigned place = 0; place < PROCESS_COUNT; place++) {
		struct one *o = &s->ones[process_stop_order(place)];

		stop_one(o);
		if (o->pid > 0 && !s->killing)
			return true;
	}
	for (unsigned i = 0; i < PROCESS_COUNT; i++)
		if (s->ones[i].pid > 0)
			return true;
	return false;
}

/* Something has become ready or ended: go on with the start or the stop. */
static void
next_step(struct supervisor *s)
{
	if (s->phase == PHASE_STARTING && !start_next(s)) {
		s->phase = PHASE_UP;
		log_plain(LV_INFO, "supervisor.up");
		s->ops.up(s->ops.user);
		return;
	}
	if (s->phase == PHASE_STOPPING && !stop_next(s)) {
		s->phase = PHASE_ENDED;
		log_plain(LV_INFO, "supervisor.ended");
		s->ops.ended(s->ops.user, s->result, &s->why);
	}
}

void
supervisor_stop(struct supervisor *s)
{
	if (s->phase == PHASE_ENDED)
		return;
	if (s->phase == PHASE_STOPPING) {
		s->killing = true;
		for (unsigned i = 0; i < PROCESS_COUNT; i++)
			send_signal(&s->ones[i], SIGKILL);
	}
	s->phase = PHASE_STOPPING;
	next_step(s);
}

static void
on_exit_of(struct one *o, int status)
{
	struct supervisor *s = o->supervisor;
	bool stopped = o->life == LIFE_STOPPING;
	char text[160];

	loop_timer_clear(&o->timer);
	end_ready(o);
	log_event(stopped ? LV_INFO : LV_WARN, "supervisor.exit",
		  KV_S("process", process_word(o->which)), KV_I("pid", o->pid),
		  WIFSIGNALED(status) ? KV_I("signal", WTERMSIG(status))
				      : KV_I("code", WEXITSTATUS(status)));
	o->pid = 0;
	o->life = LIFE_OFF;
	if (s->phase == PHASE_STARTING && !o->served) {
		bool unusable = WIFEXITED(status) && WEXITSTATUS(status) == 2;

		(void)snprintf(text, sizeof(text), "%s did not start", process_program(o->which));
		fail(s, unusable ? -EINVAL : -EIO, text);
		return;
	}
	if (s->phase <= PHASE_UP && o->wanted)
		pause_one(o);
	next_step(s);
}

void
supervisor_on_child(struct supervisor *s)
{
	for (unsigned i = 0; i < PROCESS_COUNT; i++) {
		struct one *o = &s->ones[i];
		int status = 0;

		if (o->pid > 0 && waitpid(o->pid, &status, WNOHANG) == o->pid)
			on_exit_of(o, status);
	}
}

/* `system.<worker>.control` */
static void
on_control(void *user, struct sv subject, struct sv payload)
{
	struct supervisor *s = user;
	struct bus_event ev;
	const char *action;
	enum process which;
	struct one *o;

	(void)sv_cut(&subject, '.');
	which = process_find(sv_cut(&subject, '.'));
	if (which == PROCESS_COUNT || s->phase != PHASE_UP || !s->ones[which].member ||
	    bus_event_decode(payload, &ev, NULL) < 0)
		return;
	o = &s->ones[which];
	action = json_get_text(ev.payload, "action");
	if (action && strcmp(action, "stop") == 0) {
		o->wanted = false;
		stop_one(o);
	} else if (action && strcmp(action, "start") == 0) {
		o->wanted = true;
		if (o->life == LIFE_OFF)
			launch(o);
	}
	bus_event_fini(&ev);
}

static void
publish_health(struct supervisor *s)
{
	uint64_t now = loop_unix_ms(s->loop);
	json_t *states = json_object(), *payload;
	char topic[BUS_SUBJECT_MAX + 1], *text;

	for (unsigned i = 0; states && i < PROCESS_COUNT; i++)
		if (s->ones[i].member)
			(void)json_object_set_new(states, process_word((enum process)i),
						  json_string(life_words[s->ones[i].life]));
	payload =
		json_pack("{s:s,s:i,s:I,s:f,s:o}", "worker", "supervisor", "pid", (int)getpid(),
			  "uptime_sec", (json_int_t)((loop_now_ms(s->loop) - s->started_ms) / 1000),
			  "ts", (double)now / 1000, "processes", states);
	text = json_text(payload);
	if (text && bus_topic_build(BUS_TOPIC_SYSTEM_HEALTH, "supervisor", topic) == 0)
		(void)bus_publish_event(s->bus, topic, now, 0, text);
	free(text);
	json_decref(payload);
}

static void
on_health(struct loop_timer *t)
{
	struct supervisor *s = t->user;

	publish_health(s);
	if (loop_timer_set(s->loop, &s->health, HEALTH_MS, on_health, s) < 0)
		log_plain(LV_ERR, "supervisor.no_memory");
}

static void
on_bus(void *user, bool connected)
{
	if (connected)
		publish_health(user);
}

static void
on_begin(struct loop_timer *t)
{
	struct supervisor *s = t->user;

	if (!s->ones[PROCESS_BUS].member)
		join_bus(s);
	next_step(s);
}

/* Both ends stay with us, so a restart of one side loses nothing. */
static int
make_channels(struct supervisor *s, struct err *e)
{
	const int type = SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK;

	int *const pairs[] = {s->capture[0], s->capture[1], s->control[0], s->control[1], s->netd};

	for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
		if (socketpair(AF_UNIX, type, 0, pairs[i]) < 0)
			return err_set(e, -errno, "socketpair: %m");
	return 0;
}

int
supervisor_new(struct loop *l, const struct conf *conf, unsigned set,
	       const struct supervisor_ops *ops, struct supervisor **ret_supervisor, struct err *e)
{
	struct supervisor *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_set(e, -ENOMEM, "out of memory");
	s->notice = -1;
	s->loop = l;
	s->conf = conf;
	s->ops = *ops;
	s->started_ms = loop_now_ms(l);
	memset(s->capture, 0xff, sizeof(s->capture));
	memset(s->control, 0xff, sizeof(s->control));
	memset(s->netd, 0xff, sizeof(s->netd));
	for (unsigned i = 0; i < PROCESS_COUNT; i++)
		s->ones[i] = (struct one){.supervisor = s,
					  .which = (enum process)i,
					  .member = (set >> i) & 1u,
					  .wanted = (set >> i) & 1u,
					  .ready_fd = -1};
	/* The broker is ours only when the bus is. */
	if (strcmp(conf->bus_type, "unix") != 0)
		s->ones[PROCESS_BUS].member = s->ones[PROCESS_BUS].wanted = false;
	/* Networks of namespaces need privilege, and nobody on this machine reaches them without an
	 * uplink: left to itself, the suite takes the loopback. */
	if (strcmp(conf->net_driver, "loopback") == 0 ||
	    (strcmp(conf->net_driver, "auto") == 0 && !(conf->uplink && geteuid() == 0)))
		s->ones[PROCESS_NETD].member = s->ones[PROCESS_NETD].wanted = false;
	r = db_migrate(conf->db_url, e);
	if (r < 0)
		err_wrap(e, "store of DECNET_DB_URL");
	if (r == 0)
		r = make_channels(s, e);
	if (r == 0)
		r = bus_client_new(l, conf, "cli", on_bus, s, &s->bus, e);
	if (r == 0 && (loop_timer_set(l, &s->health, HEALTH_MS, on_health, s) < 0 ||
		       loop_timer_set(l, &s->begin, 0, on_begin, s) < 0))
		r = err_set(e, -ENOMEM, "out of memory");
	if (r < 0) {
		supervisor_free(s);
		return r;
	}
	*ret_supervisor = s;
	return 0;
}

void
supervisor_set_notice(struct supervisor *s, int fd)
{
	s->notice = fd;
}

void
supervisor_reload(struct supervisor *s)
{
	struct one *api = &s->ones[PROCESS_API];

	/* One that only starts would die of it, and reads the files anyway. */
	if (api->life == LIFE_SERVING)
		send_signal(api, SIGHUP);
}

static void
end_pair(const int pair[2])
{
	for (int i = 0; i < 2; i++)
		if (pair[i] >= 0)
			(void)close(pair[i]);
}

void
supervisor_free(struct supervisor *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < PROCESS_COUNT; i++) {
		struct one *o = &s->ones[i];

		loop_timer_clear(&o->timer);
		end_ready(o);
		if (o->pid > 0) {
			send_signal(o, SIGKILL);
			(void)waitpid(o->pid, NULL, 0);
		}
	}
	loop_timer_clear(&s->begin);
	loop_timer_clear(&s->health);
	bus_client_free(s->bus);
	for (int i = 0; i < 2; i++) {
		end_pair(s->capture[i]);
		end_pair(s->control[i]);
	}
	end_pair(s->netd);
	free(s);
}
