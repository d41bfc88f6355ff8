/* SPDX-License-Identifier: Apache-2.0 */
/* A terminal login on a Debian host (RFC 854), and behind it a shell that is a table
 * (telnet_shell.c). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "decoy/services/telnet_shell.h"

#define LINE_MAX_BYTES 512
#define TRIES_MAX      3

enum { IAC = 255, DONT = 254, DO = 253, WONT = 252, WILL = 251, SB = 250, SE = 240 };

enum phase { PHASE_LOGIN, PHASE_PASSWORD, PHASE_SHELL };

struct telnet {
	enum phase phase;
	/* Where in a command of the protocol: 0 text, 1 after IAC, 2 after IAC and
	 * WILL/WONT/DO/DONT, 3 in SB, 4 after IAC in SB. */
	unsigned char iac;
	bool last_cr, logged_in;
	unsigned tries;
	char line[LINE_MAX_BYTES];
	size_t n;
	char user[64];
	size_t user_n;
	struct shell shell;
	uint64_t began_ms;
	char transcript[8192];
	size_t transcript_n;
};

extern const struct decoy_service decoy_service_telnet;

static int
telnet_configure(void *config, const json_t *object, struct err *e)
{
	struct telnet_config *c = config;
	const char *password = json_string_value(json_object_get(object, "password"));
	const char *user = json_string_value(json_object_get(object, "user"));
	const char *user_password = json_string_value(json_object_get(object, "user_password"));
	const char *hostname = json_string_value(json_object_get(object, "hostname"));

	(void)e;
	(void)snprintf(c->password, sizeof(c->password), "%s", password ? password : "admin");
	(void)snprintf(c->user, sizeof(c->user), "%s", user ? user : "ubuntu");
	(void)snprintf(c->user_password, sizeof(c->user_password), "%s",
		       user_password ? user_password : "admin");
	(void)snprintf(c->hostname, sizeof(c->hostname), "%s", hostname ? hostname : "");
	return 0;
}

/* To the peer, and into the transcript as far as there is room. */
static int
put(struct telnet *s, struct decoy_io *io, struct sv text)
{
	size_t room = sizeof(s->transcript) - s->transcript_n, n = text.n < room ? text.n : room;

	if (n)
		memcpy(s->transcript + s->transcript_n, text.p, n);
	s->transcript_n += n;
	return buf_put(io->out, text);
}

static int
put_text(struct telnet *s, struct decoy_io *io, const char *text)
{
	return put(s, io, sv_from(text));
}

static const char *
host(const struct telnet_config *c, const struct decoy_io *io)
{
	return c->hostname[0] ? c->hostname : io->host->hostname;
}

static int
put_login(struct telnet *s, const struct telnet_config *c, struct decoy_io *io)
{
	char text[280];

	s->phase = PHASE_LOGIN;
	(void)snprintf(text, sizeof(text), "%s login: ", host(c, io));
	return put_text(s, io, text);
}

static int
telnet_start(void *state, struct decoy_io *io)
{
	/* DO ECHO, DO NAWS, WILL ECHO, WILL SUPPRESS-GO-AHEAD: what busybox's telnetd says before
	 * it has heard anything; it never answers what it is offered. */
	static const char offer[] = {(char)IAC, (char)DO,   1, (char)IAC, (char)DO,   31,
				     (char)IAC, (char)WILL, 1, (char)IAC, (char)WILL, 3};
	struct telnet *s = state;
	int r;

	s->began_ms = io->now_ms;
	io->pause = DECOY_PAUSE_BANNER;
	r = buf_put(io->out, (struct sv){offer, sizeof(offer)});
	if (r == 0)
		r = put_text(s, io, "\r\nDebian GNU/Linux 12\r\n");
	return r < 0 ? r : put_login(s, io->config, io);
}

static bool
lets_in(const struct telnet_config *c, struct sv user, struct sv password)
{
	if (sv_eq(user, SV("root")))
		return sv_eq(password, sv_from(c->password));
	return sv_eq(user, sv_from(c->user)) && sv_eq(password, sv_from(c->user_password));
}

static int
put_prompt(struct telnet *s, const struct telnet_config *c, struct decoy_io *io)
{
	char text[512];

	(void)snprintf(text, sizeof(text), "%.*s@%s:%s%c ", (int)s->user_n, s->user, host(c, io),
		       shell_shown_cwd(&s->shell), s->shell.root ? '#' : '$');
	return put_text(s, io, text);
}

static int
on_password(struct telnet *s, const struct telnet_config *c, struct decoy_io *io,
	    struct sv password)
{
	struct sv user = {s->user, s->user_n};
	bool ok = lets_in(c, user, password);
	const struct capture_field fields[] = {{SV("username"), user},
					       {SV("password"), password},
					       {SV("method"), SV("password")},
					       {SV("ok"), ok ? SV("true") : SV("false")}};
	char text[512];
	int r = decoy_capture(io, CAPTURE_AUTH, fields, ARRAY_LEN(fields));

	if (r == 0)
		r = put_text(s, io, "\r\n");
	if (r < 0)
		return r;
	if (!ok) {
		io->pause = DECOY_PAUSE_AUTH_FAILED;
		r = put_text(s, io, "\r\nLogin incorrect\r\n");
		if (r == 0 && ++s->tries >= TRIES_MAX)
			return 1;
		return r < 0 ? r : put_login(s, c, io);
	}
	s->logged_in = true;
	s->phase = PHASE_SHELL;
	shell_init(&s->shell, sv_eq(user, SV("root")), c, host(c, io));
	io->pause = DECOY_PAUSE_AUTH;
	(void)snprintf(
		text, sizeof(text),
		"Linux %s 6.1.0-18-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01) "
		"x86_64\r\n\r\nThe programs included with the Debian GNU/Linux system are "
		"free software.\r\n",
		host(c, io));
	r = put_text(s, io, text);
	return r < 0 ? r : put_prompt(s, c, io);
}

static int
on_command(struct telnet *s, const struct telnet_config *c, struct decoy_io *io, struct sv line)
{
	const struct capture_field field = {SV("command"), line};
	size_t before = io->out->n, room, n;
	int r;

	if (sv_trim(line).n == 0)
		return put_prompt(s, c, io);
	r = decoy_capture(io, CAPTURE_COMMAND, &field, 1);
	if (r < 0)
		return r;
	/* The shell's output is already in `out`; the transcript gets a copy. */
	r = shell_run(&s->shell, io, line);
	room = sizeof(s->transcript) - s->transcript_n;
	n = io->out->n - before < room ? io->out->n - before : room;
	if (n)
		memcpy(s->transcript + s->transcript_n, io->out->p + before, n);
	s->transcript_n += n;
	if (r != 0)
		return r;
	return put_prompt(s, c, io);
}

static int
on_line(struct telnet *s, const struct telnet_config *c, struct decoy_io *io)
{
	struct sv line = {s->line, s->n};
	int r = 0;

	s->n = 0;
	switch (s->phase) {
	case PHASE_LOGIN:
		r = put_text(s, io, "\r\n");
		if (r < 0)
			return r;
		if (line.n == 0)
			return put_login(s, c, io);
		s->user_n = line.n < sizeof(s->user) ? line.n : sizeof(s->user);
		memcpy(s->user, line.p, s->user_n);
		s->phase = PHASE_PASSWORD;
		return put_text(s, io, "Password: ");
	case PHASE_PASSWORD: return on_password(s, c, io, line);
	case PHASE_SHELL:
		r = put_text(s, io, "\r\n");
		return r < 0 ? r : on_command(s, c, io, line);
	}
	return -EINVAL;
}

/* A byte of text. The terminal echoes what is typed, but for passwords. */
static int
on_char(struct telnet *s, const struct telnet_config *c, struct decoy_io *io, unsigned char byte)
{
	bool echo = s->phase != PHASE_PASSWORD, was_cr = s->last_cr;

	s->last_cr = byte == '\r';
	if ((byte == '\n' || byte == 0) && was_cr)
		return 0;
	if (byte == '\r' || byte == '\n')
		return on_line(s, c, io);
	if (byte == 0x7f || byte == 8) {
		if (s->n == 0)
			return 0;
		s->n--;
		return echo ? put(s, io, SV("\b \b")) : 0;
	}
	if (byte == 3) {
		s->n = 0;
		return s->phase == PHASE_SHELL
			       ? (put_text(s, io, "^C\r\n") < 0 ? -ENOBUFS : put_prompt(s, c, io))
			       : 1;
	}
	if (byte == 4 && s->n == 0)
		return s->phase == PHASE_SHELL ? (put_text(s, io, "logout\r\n") < 0 ? -ENOBUFS : 1)
					       : 1;
	if (byte < ' ')
		return 0;
	if (s->n == sizeof(s->line))
		return put(s, io, SV("\a"));
	s->line[s->n++] = (char)byte;
	return echo ? put(s, io, (struct sv){&s->line[s->n - 1], 1}) : 0;
}

/* A byte of a protocol command. Nothing is answered, as busybox does not. */
static int
on_iac(struct telnet *s, const struct telnet_config *c, struct decoy_io *io, unsigned char byte)
{
	switch (s->iac) {
	case 1:
		if (byte == IAC) {
			s->iac = 0;
			return on_char(s, c, io, byte);
		}
		s->iac = byte >= WILL && byte <= DONT ? 2 : byte == SB ? 3 : 0;
		return 0;
	case 2: s->iac = 0; return 0;
	case 3:
		if (byte == IAC)
			s->iac = 4;
		return 0;
	default: s->iac = byte == SE ? 0 : 3; return 0;
	}
}

static int
telnet_input(void *state, struct decoy_io *io, struct sv in, size_t *ret_used)
{
	struct telnet *s = state;
	const struct telnet_config *config = io->config;
	bool line = false;
	int r = 0;

	/* Byte by byte, so it does not matter how they come; at most one line a call. */
	for (size_t i = 0; r == 0 && i < in.n && !line; i++) {
		unsigned char byte = (unsigned char)in.p[i];

		*ret_used = i + 1;
		if (s->iac)
			r = on_iac(s, config, io, byte);
		else if (byte == IAC)
			s->iac = 1;
		else
			r = on_char(s, config, io, byte);
		line = byte == '\r' || byte == '\n' || io->pause != DECOY_PAUSE_NONE;
	}
	return r;
}

static void
telnet_stop(void *state, struct decoy_io *io)
{
	struct telnet *s = state;
	char duration[32];
	struct capture_field fields[] = {{SV("duration_s"), {duration, 0}},
					 {SV("transcript"), {s->transcript, s->transcript_n}}};
	int n;

	if (!s->logged_in)
		return;
	n = snprintf(duration, sizeof(duration), "%.3f", (double)(io->now_ms - s->began_ms) / 1000);
	fields[0].value.n = (size_t)n;
	if (decoy_capture(io, CAPTURE_SESSION_RECORDED, fields, 2) < 0) {
		/* There is no room for it: the commands themselves were captured one by one. */
	}
}

const struct decoy_service decoy_service_telnet = {
	.name = "telnet",
	.transports = DECOY_TCP,
	.idle_ms = 180 * 1000,
	.life_ms = 3600 * 1000,
	.config_size = sizeof(struct telnet_config),
	.state_size = sizeof(struct telnet),
	.in_max = 4096,
	.out_max = 65536,
	.latency = {[DECOY_PAUSE_BANNER] = {20, 60},
		    [DECOY_PAUSE_AUTH] = {60, 180},
		    [DECOY_PAUSE_AUTH_FAILED] = {1600, 3200},
		    [DECOY_PAUSE_COMMAND] = {1500, 4000}},
	.configure = telnet_configure,
	.start = telnet_start,
	.input = telnet_input,
	.stop = telnet_stop,
};
