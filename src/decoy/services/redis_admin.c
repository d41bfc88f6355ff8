/* SPDX-License-Identifier: Apache-2.0 */
/* Redis commands about the server itself: logins, clients, configuration, and the ones with which a
 * server is usually taken over. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "decoy/persona.h"
#include "decoy/services/redis.h"

#define PATTERN_MAX 256 /* longer ones match nothing, so that matching stays cheap */

/* -- who are you -- */

static int
try_login(struct redis *s, struct decoy_io *io, struct sv user, struct sv password, bool *ret_ok)
{
	(void)s;
	/* No password is set, so the default user gets in with any. */
	*ret_ok = sv_eq(user, SV("default"));
	io->pause = *ret_ok ? DECOY_PAUSE_AUTH : DECOY_PAUSE_AUTH_FAILED;
	return DECOY_CAPTURE(io, CAPTURE_AUTH, {SV("username"), user}, {SV("password"), password},
			     {SV("method"), SV("password")},
			     {SV("ok"), *ret_ok ? SV("true") : SV("false")});
}

int
redis_run_auth(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	bool named = c->argc == 3, ok = false;
	int r;

	if (c->argc > 3)
		return redis_say(io, "-ERR syntax error\r\n");
	if (!named) {
		io->pause = DECOY_PAUSE_AUTH_FAILED;
		r = DECOY_CAPTURE(io, CAPTURE_AUTH, {SV("username"), SV("default")},
				  {SV("password"), c->argv[1]}, {SV("method"), SV("password")},
				  {SV("ok"), SV("false")});
		if (r < 0)
			return r;
		return redis_say(io, redis_config_of(io)->major >= 6
					     ? "-ERR AUTH <password> called without any password "
					       "configured for the default user. Are you sure your "
					       "configuration is correct?\r\n"
					     : "-ERR Client sent AUTH, but no password is set\r\n");
	}
	r = try_login(s, io, c->argv[1], c->argv[2], &ok);
	if (r < 0)
		return r;
	return redis_say(io,
			 ok ? "+OK\r\n"
			    : "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
}

static int
put_hello(struct redis *s, struct decoy_io *io)
{
	int r = s->proto == 3 ? redis_header(io, '%', 7) : redis_header(io, '*', 14);

	if (r == 0)
		r = redis_two(io, "server", SV("redis"));
	if (r == 0)
		r = redis_two(io, "version", sv_from(redis_config_of(io)->version));
	if (r == 0)
		r = buf_printf(io->out, "$5\r\nproto\r\n:%u\r\n$2\r\nid\r\n:%" PRIu64 "\r\n",
			       s->proto, s->client_id);
	if (r == 0)
		r = redis_two(io, "mode", SV("standalone"));
	if (r == 0)
		r = redis_two(io, "role", s->master[0] ? SV("replica") : SV("master"));
	return r < 0 ? r : redis_say(io, "$7\r\nmodules\r\n*0\r\n");
}

int
redis_run_hello(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	unsigned at = 1;
	uint64_t proto = s->proto;
	bool ok = true;

	if (at < c->argc) {
		if (sv_u64(c->argv[at], INT32_MAX, &proto) < 0)
			return redis_say(
				io, "-ERR Protocol version is not an integer or out of range\r\n");
		if (proto < 2 || proto > 3)
			return redis_say(io, "-NOPROTO unsupported protocol version\r\n");
		at++;
	}
	while (at < c->argc) {
		if (sv_eq_ci(c->argv[at], SV("AUTH")) && c->argc - at > 2) {
			int r = try_login(s, io, c->argv[at + 1], c->argv[at + 2], &ok);

			if (r < 0)
				return r;
			at += 3;
		} else if (sv_eq_ci(c->argv[at], SV("SETNAME")) && c->argc - at > 1) {
			(void)sv_copy(c->argv[at + 1], s->name, sizeof(s->name));
			at += 2;
		} else {
			int r = redis_say(io, "-ERR Syntax error in HELLO option '");

			if (r == 0)
				r = redis_word(io, c->argv[at], 128);
			return r < 0 ? r : redis_say(io, "'\r\n");
		}
	}
	if (!ok)
		return redis_say(
			io, "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
	s->proto = (uint8_t)proto;
	return put_hello(s, io);
}

static int
unknown_sub(struct decoy_io *io, const struct resp_command *c)
{
	struct sv name = c->argv[0];
	int r = redis_say(io, "-ERR unknown subcommand '");

	if (r == 0)
		r = redis_word(io, c->argv[1], 128);
	if (r == 0)
		r = redis_say(io, "'. Try ");
	for (size_t i = 0; r == 0 && i < name.n; i++)
		r = buf_putc(io->out,
			     (char)(name.p[i] >= 'a' && name.p[i] <= 'z' ? name.p[i] - 'a' + 'A'
									 : name.p[i]));
	return r < 0 ? r : redis_say(io, " HELP.\r\n");
}

static int
client_list(struct redis *s, struct decoy_io *io)
{
	size_t start = io->out->n;
	int r = buf_printf(
		io->out,
		"id=%" PRIu64 " addr=%.*s:%u laddr=0.0.0.0:%u fd=8 name=%s age=%" PRIu64
		" idle=0 flags=N db=%u sub=0 psub=0 ssub=0 multi=-1 qbuf=26 qbuf-free=20448 "
		"argv-mem=10 multi-mem=0 rbs=1024 rbp=0 obl=0 oll=0 omem=0 tot-mem=22298 events=r "
		"cmd=client|list user=default redir=-1 resp=%u\n",
		s->client_id, (int)io->peer_ip.n, io->peer_ip.p, io->peer_port, io->port, s->name,
		s->commands / 2, s->db, s->proto);

	return r < 0 ? r : redis_wrap(io, start);
}

int
redis_run_client(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	struct sv sub = c->argv[1];

	if (sv_eq_ci(sub, SV("LIST")) || sv_eq_ci(sub, SV("INFO")))
		return client_list(s, io);
	if (sv_eq_ci(sub, SV("ID")))
		return redis_number(io, (int64_t)s->client_id);
	if (sv_eq_ci(sub, SV("GETNAME")))
		return s->name[0] ? redis_bulk(io, sv_from(s->name)) : redis_nil(s, io);
	if (sv_eq_ci(sub, SV("SETNAME")) && c->argc == 3) {
		for (size_t i = 0; i < c->argv[2].n; i++)
			if (c->argv[2].p[i] < '!' || c->argv[2].p[i] > '~')
				return redis_say(
					io, "-ERR Client names cannot contain spaces, newlines "
					    "or special characters.\r\n");
		(void)sv_copy(c->argv[2], s->name, sizeof(s->name));
		return redis_say(io, "+OK\r\n");
	}
	if (sv_eq_ci(sub, SV("KILL")))
		return redis_say(io, "-ERR No such client\r\n");
	return unknown_sub(io, c);
}

/* -- configuration -- */

bool
redis_matches(struct sv pattern, struct sv text, bool any_case)
{
	size_t p = 0, t = 0, star = SIZE_MAX, mark = 0;

	if (pattern.n > PATTERN_MAX)
		return false;
	while (t < text.n) {
		if (p < pattern.n && pattern.p[p] == '*') {
			star = p++;
			mark = t;
		} else if (p < pattern.n && (pattern.p[p] == '?' || pattern.p[p] == text.p[t] ||
					     (any_case && (pattern.p[p] | 0x20) == text.p[t]))) {
			p++;
			t++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			t = ++mark;
		} else {
			return false;
		}
	}
	while (p < pattern.n && pattern.p[p] == '*')
		p++;
	return p == pattern.n;
}

static struct sv
parameter_value(const struct redis *s, const char *name, const char *value)
{
	struct keep_entry kept;

	if (keep_get(&s->keep, REDIS_CONFIG_DB, sv_from(name), 0, &kept))
		return kept.value;
	return sv_from(value);
}

static bool
asked_for(const struct resp_command *c, const char *name)
{
	for (unsigned i = 2; i < c->argc; i++)
		if (redis_matches(c->argv[i], sv_from(name), true))
			return true;
	return false;
}

static int
config_get(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	const char *name, *value;
	uint64_t n = 0;
	int r;

	for (size_t i = 0; redis_parameter(i, &name); i++)
		n += asked_for(c, name);
	r = s->proto == 3 ? redis_header(io, '%', n) : redis_header(io, '*', n * 2);
	for (size_t i = 0; r == 0 && (value = redis_parameter(i, &name)); i++)
		if (asked_for(c, name))
			r = redis_two(io, name, parameter_value(s, name, value));
	return r;
}

/* Debian's 7.0 guards what was used to write files all over the machine; older ones did not. */
static bool
is_guarded(const struct decoy_io *io, const char *name)
{
	return redis_config_of(io)->major >= 7 &&
	       (strcmp(name, "dir") == 0 || strcmp(name, "dbfilename") == 0);
}

static const char *
find_parameter(struct sv word)
{
	const char *name;

	for (size_t i = 0; redis_parameter(i, &name); i++)
		if (sv_eq_ci(word, sv_from(name)))
			return name;
	return NULL;
}

static int
config_set(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	int r;

	for (unsigned i = 2; i + 1 < c->argc; i += 2) {
		const char *name = find_parameter(c->argv[i]);

		if (!name) {
			r = redis_say(io,
				      redis_config_of(io)->major >= 7
					      ? "-ERR Unknown option or number of arguments for "
						"CONFIG SET - '"
					      : "-ERR Unsupported CONFIG parameter: ");
			if (r == 0)
				r = redis_word(io, c->argv[i], 128);
			return r < 0 ? r
				     : redis_say(io, redis_config_of(io)->major >= 7 ? "'\r\n"
										     : "\r\n");
		}
		if (is_guarded(io, name))
			return buf_printf(io->out,
					  "-ERR CONFIG SET failed (possibly related to argument "
					  "'%s') - can't set protected config\r\n",
					  name);
		if (keep_put(&s->keep, REDIS_CONFIG_DB, sv_from(name), c->argv[i + 1], 0) < 0)
			return redis_say(io, REDIS_OOM);
	}
	return redis_say(io, "+OK\r\n");
}

int
redis_run_config(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	struct sv sub = c->argv[1];

	if (sv_eq_ci(sub, SV("GET")) && c->argc > 2)
		return config_get(s, io, c);
	if (sv_eq_ci(sub, SV("SET")) && c->argc > 3 && c->argc % 2 == 0)
		return config_set(s, io, c);
	if (sv_eq_ci(sub, SV("RESETSTAT")))
		return redis_say(io, "+OK\r\n");
	if (sv_eq_ci(sub, SV("REWRITE")))
		return redis_say(io, "-ERR Rewriting config file: Permission denied\r\n");
	return unknown_sub(io, c);
}

/* -- what attackers come for -- */

int
redis_run_replicaof(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	char where[80];
	uint64_t port;
	int r;

	if (sv_eq_ci(c->argv[1], SV("NO")) && sv_eq_ci(c->argv[2], SV("ONE"))) {
		s->master[0] = '\0';
		return redis_say(io, "+OK\r\n");
	}
	if (sv_u64(c->argv[2], UINT16_MAX, &port) < 0 || port == 0 || c->argv[1].n == 0 ||
	    c->argv[1].n > 64)
		return redis_say(io, "-ERR Invalid master port\r\n");
	(void)snprintf(where, sizeof(where), "%.*s:%" PRIu64, (int)c->argv[1].n, c->argv[1].p,
		       port);
	r = DECOY_CAPTURE(io, CAPTURE_FINGERPRINT, {SV("primitive"), SV("c2.endpoint")},
			  {SV("value"), sv_from(where)});
	if (r < 0)
		return r;
	(void)snprintf(s->master, sizeof(s->master), "%.*s %" PRIu64, (int)c->argv[1].n,
		       c->argv[1].p, port);
	return redis_say(io, "+OK\r\n");
}

int
redis_run_module(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	(void)s;
	if (sv_eq_ci(c->argv[1], SV("LIST")))
		return redis_say(io, "*0\r\n");
	if (sv_eq_ci(c->argv[1], SV("LOAD")) || sv_eq_ci(c->argv[1], SV("LOADEX"))) {
		if (redis_config_of(io)->major < 7)
			return redis_say(
				io, "-ERR Error loading the extension. Please check the server "
				    "logs.\r\n");
		return redis_say(
			io,
			"-ERR MODULE command not allowed. If the enable-module-command option "
			"is set to \"local\", you can run it from a local connection, otherwise "
			"you need to set this option in the configuration file, and then restart "
			"the server.\r\n");
	}
	if (sv_eq_ci(c->argv[1], SV("UNLOAD")))
		return redis_say(io,
				 "-ERR Error unloading module: no such module with that name\r\n");
	return unknown_sub(io, c);
}

/* `return 1`, `return "x"`: the scripts with which one looks whether EVAL is there at all. */
int
redis_run_eval(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	struct sv script = sv_trim(c->argv[1]);
	uint64_t keys, n;

	if (sv_u64(c->argv[2], INT32_MAX, &keys) < 0)
		return redis_say(io, "-ERR value is not an integer or out of range\r\n");
	if (keys > c->argc - 3)
		return redis_say(io,
				 "-ERR Number of keys can't be greater than number of args\r\n");
	if (sv_search(script, SV("package")) != SIZE_MAX ||
	    sv_search(script, SV("io.popen")) != SIZE_MAX ||
	    sv_search(script, SV("os.execute")) != SIZE_MAX) {
		bool package = sv_search(script, SV("package")) != SIZE_MAX;
		char sha[41];

		persona_hex(script.n, "script", sha, 40);
		return buf_printf(io->out,
				  "-ERR user_script:1: Script attempted to access nonexistent "
				  "global variable '%s' script: %s, on @user_script:1.\r\n",
				  package ? "package" : "io", sha);
	}
	if (!sv_starts(script, SV("return")))
		return redis_nil(s, io);
	script = sv_trim(sv_drop(script, 6));
	if (sv_u64(script, INT32_MAX, &n) == 0)
		return redis_number(io, (int64_t)n);
	if (script.n >= 2 && (script.p[0] == '\'' || script.p[0] == '"') &&
	    script.p[script.n - 1] == script.p[0])
		return redis_bulk(io, (struct sv){script.p + 1, script.n - 2});
	return redis_nil(s, io);
}

int
redis_run_debug(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	(void)s;
	(void)c;
	return redis_say(
		io, "-ERR DEBUG command not allowed. If the enable-debug-command option is set to "
		    "\"local\", you can run it from a local connection, otherwise you need to "
		    "set this option in the configuration file, and then restart the "
		    "server.\r\n");
}

int
redis_run_acl(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	(void)s;
	if (sv_eq_ci(c->argv[1], SV("WHOAMI")))
		return redis_bulk(io, SV("default"));
	if (sv_eq_ci(c->argv[1], SV("LIST")))
		return redis_say(io, "*1\r\n$34\r\nuser default on nopass ~* &* +@all\r\n");
	if (sv_eq_ci(c->argv[1], SV("USERS")))
		return redis_say(io, "*1\r\n$7\r\ndefault\r\n");
	return unknown_sub(io, c);
}

int
redis_run_command(struct redis *s, struct decoy_io *io, const struct resp_command *c)
{
	(void)s;
	if (c->argc > 1 && sv_eq_ci(c->argv[1], SV("COUNT")))
		return redis_number(io, 240);
	return redis_say(io, "*0\r\n");
}
