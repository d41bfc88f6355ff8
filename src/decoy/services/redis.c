/* SPDX-License-Identifier: Apache-2.0 */
/* A key-value store without a password: RESP2 (inline and multibulk), answers of redis 7.2. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "decoy/service.h"

#define ARGS_MAX  64
/* The real one takes 64 KiB of an inline command and 512 MiB of a bulk; a visitor's payload fits in
 * this. */
#define INPUT_MAX 65536
#define KEYS_MAX  16
#define KEY_MAX	  64
#define VALUE_MAX 1024
#define TEXT_MAX  4096

struct redis_config {
	char version[64];
	char os[128];
};

struct entry {
	char key[KEY_MAX];
	char value[VALUE_MAX];
	size_t key_n, value_n;
	bool used;
};

struct redis {
	struct entry entries[KEYS_MAX];
	char dir[256], dbfilename[128];
	uint64_t commands;
};

struct command {
	struct sv args[ARGS_MAX];
	unsigned n;
};

extern const struct decoy_service decoy_service_redis;

static int
redis_configure(void *config, const json_t *object)
{
	struct redis_config *c = config;
	const char *version = json_string_value(json_object_get(object, "version"));
	const char *os = json_string_value(json_object_get(object, "os_string"));

	(void)snprintf(c->version, sizeof(c->version), "%s", version ? version : "7.2.4");
	(void)snprintf(c->os, sizeof(c->os), "%s", os ? os : "Linux 6.1.0-18-amd64 x86_64");
	return 0;
}

static int
redis_start(void *state, const void *config, struct decoy_io *io)
{
	struct redis *s = state;

	(void)config;
	(void)io;
	(void)snprintf(s->dir, sizeof(s->dir), "/var/lib/redis");
	(void)snprintf(s->dbfilename, sizeof(s->dbfilename), "dump.rdb");
	return 0;
}

static int
put_bulk(struct decoy_io *io, struct sv text)
{
	int r = buf_printf(io->out, "$%zu\r\n", text.n);

	if (r == 0)
		r = buf_put(io->out, text);
	return r < 0 ? r : buf_put(io->out, SV("\r\n"));
}

static bool
is(struct sv arg, const char *word)
{
	return sv_eq_ci(arg, sv_from(word));
}

static struct entry *
find(struct redis *s, struct sv key)
{
	for (unsigned i = 0; i < KEYS_MAX; i++)
		if (s->entries[i].used &&
		    sv_eq(key, (struct sv){s->entries[i].key, s->entries[i].key_n}))
			return &s->entries[i];
	return NULL;
}

static int
on_set(struct redis *s, struct decoy_io *io, const struct command *c)
{
	struct entry *entry = find(s, c->args[1]);

	for (unsigned i = 0; !entry && i < KEYS_MAX; i++)
		if (!s->entries[i].used)
			entry = &s->entries[i];
	if (!entry || c->args[1].n > KEY_MAX || c->args[2].n > VALUE_MAX)
		return buf_put(io->out,
			       SV("-OOM command not allowed when used memory > 'maxmemory'.\r\n"));
	entry->used = true;
	entry->key_n = c->args[1].n;
	entry->value_n = c->args[2].n;
	if (entry->key_n)
		memcpy(entry->key, c->args[1].p, entry->key_n);
	if (entry->value_n)
		memcpy(entry->value, c->args[2].p, entry->value_n);
	return buf_put(io->out, SV("+OK\r\n"));
}

static int
on_get(struct redis *s, struct decoy_io *io, const struct command *c)
{
	const struct entry *entry = find(s, c->args[1]);

	return entry ? put_bulk(io, (struct sv){entry->value, entry->value_n})
		     : buf_put(io->out, SV("$-1\r\n"));
}

static int
on_del(struct redis *s, struct decoy_io *io, const struct command *c)
{
	unsigned n = 0;

	for (unsigned i = 1; i < c->n; i++) {
		struct entry *entry = find(s, c->args[i]);

		if (!entry)
			continue;
		n++;
		if (is(c->args[0], "exists"))
			continue;
		entry->used = false;
	}
	return buf_printf(io->out, ":%u\r\n", n);
}

static unsigned
count(const struct redis *s)
{
	unsigned n = 0;

	for (unsigned i = 0; i < KEYS_MAX; i++)
		n += s->entries[i].used;
	return n;
}

/* Only the two patterns that anybody sends: all keys, or a name. */
static int
on_keys(struct redis *s, struct decoy_io *io, const struct command *c)
{
	bool all = sv_eq(c->args[1], SV("*"));
	const struct entry *one = all ? NULL : find(s, c->args[1]);
	int r = buf_printf(io->out, "*%u\r\n", all ? count(s) : one ? 1u : 0u);

	for (unsigned i = 0; r == 0 && i < KEYS_MAX; i++) {
		const struct entry *entry = &s->entries[i];

		if (entry->used && (all || entry == one))
			r = put_bulk(io, (struct sv){entry->key, entry->key_n});
	}
	return r;
}

static int
on_flush(struct redis *s, struct decoy_io *io, const struct command *c)
{
	(void)c;
	for (unsigned i = 0; i < KEYS_MAX; i++)
		s->entries[i].used = false;
	return buf_put(io->out, SV("+OK\r\n"));
}

static int
on_config(struct redis *s, struct decoy_io *io, const struct command *c)
{
	char *dst = c->n > 2 && is(c->args[2], "dir")	       ? s->dir
		    : c->n > 2 && is(c->args[2], "dbfilename") ? s->dbfilename
							       : NULL;
	size_t size = dst == s->dir ? sizeof(s->dir) : sizeof(s->dbfilename);
	int r;

	if (is(c->args[1], "set") && c->n == 4) {
		if (dst && sv_copy(c->args[3], dst, size) < 0)
			return buf_put(io->out, SV("-ERR CONFIG SET failed (possibly related to "
						   "argument 'dir') - can't set "
						   "protected config\r\n"));
		return buf_put(io->out, SV("+OK\r\n"));
	}
	if (is(c->args[1], "get") && c->n == 3) {
		if (!dst)
			return buf_put(io->out, SV("*0\r\n"));
		r = buf_put(io->out, SV("*2\r\n"));
		if (r == 0)
			r = put_bulk(io, c->args[2]);
		return r < 0 ? r : put_bulk(io, sv_from(dst));
	}
	if (is(c->args[1], "rewrite") || is(c->args[1], "resetstat"))
		return buf_put(io->out, SV("+OK\r\n"));
	return buf_put(io->out, SV("-ERR unknown subcommand or wrong number of arguments for "
				   "'config' command. Try CONFIG "
				   "HELP.\r\n"));
}

static int
on_info(const struct redis *s, const struct redis_config *config, struct decoy_io *io)
{
	uint64_t up = (io->now_ms - decoy_boot_ms(io)) / 1000;
	uint64_t memory = 900000 + decoy_number(io->seed, 10, 400000) + up % 5000;
	char text[2048];
	int n;

	n = snprintf(
		text, sizeof(text),
		"# Server\r\nredis_version:%s\r\nredis_git_sha1:00000000\r\nredis_git_dirty:0\r\n"
		"redis_build_id:%08" PRIx64 "%08" PRIx64
		"\r\nredis_mode:standalone\r\nos:%s\r\narch_bits:64\r\n"
		"multiplexing_api:epoll\r\ngcc_version:12.2.0\r\nprocess_id:%" PRIu64
		"\r\ntcp_port:%u\r\n"
		"uptime_in_seconds:%" PRIu64 "\r\nuptime_in_days:%" PRIu64
		"\r\nhz:10\r\nconfigured_hz:10\r\n"
		"executable:/usr/bin/redis-server\r\nconfig_file:/etc/redis/redis.conf\r\n\r\n"
		"# Clients\r\nconnected_clients:1\r\nblocked_clients:0\r\n\r\n"
		"# Memory\r\nused_memory:%" PRIu64 "\r\nused_memory_human:%" PRIu64 ".%02" PRIu64
		"K\r\nmaxmemory:0\r\n"
		"maxmemory_policy:noeviction\r\n\r\n"
		"# "
		"Persistence\r\nloading:0\r\nrdb_changes_since_last_save:0\r\nrdb_last_bgsave_"
		"status:ok\r\n"
		"aof_enabled:0\r\n\r\n"
		"# Stats\r\ntotal_connections_received:%" PRIu64
		"\r\ntotal_commands_processed:%" PRIu64 "\r\n\r\n"
		"# Replication\r\nrole:master\r\nconnected_slaves:0\r\n\r\n"
		"# CPU\r\nused_cpu_sys:%" PRIu64 ".%06" PRIu64
		"\r\n\r\n# Cluster\r\ncluster_enabled:0\r\n\r\n# Keyspace\r\n",
		config->version, decoy_number(io->seed, 11, UINT32_MAX),
		decoy_number(io->seed, 12, UINT32_MAX), config->os,
		400 + decoy_number(io->seed, 13, 900), (unsigned)io->port, up, up / 86400, memory,
		memory / 1024, memory % 1024 * 100 / 1024, 3 + up / 4000,
		11 + up / 900 + s->commands, up / 700, decoy_number(io->seed, 14, 1000000));
	if (n < 0 || (size_t)n >= sizeof(text) - 64)
		return -ENOBUFS;
	if (count(s))
		n += snprintf(text + n, sizeof(text) - (size_t)n,
			      "db0:keys=%u,expires=0,avg_ttl=0\r\n", count(s));
	return put_bulk(io, (struct sv){text, (size_t)n});
}

static int
on_auth(struct decoy_io *io, const struct command *c)
{
	struct sv user = c->n > 2 ? c->args[1] : SV("default");
	const struct capture_field fields[] = {{SV("username"), user},
					       {SV("password"), c->args[c->n - 1]},
					       {SV("method"), SV("password")},
					       {SV("ok"), SV("false")}};
	int r = decoy_capture(io, CAPTURE_AUTH, fields, ARRAY_LEN(fields));

	if (r < 0)
		return r;
	if (c->n > 2)
		return buf_put(
			io->out,
			SV("-WRONGPASS invalid username-password pair or user is disabled.\r\n"));
	return buf_put(io->out, SV("-ERR AUTH <password> called without any password configured "
				   "for the default user. Are you "
				   "sure your configuration is correct?\r\n"));
}

static int
on_unknown(struct decoy_io *io, const struct command *c)
{
	size_t from = io->out->n;
	int r = buf_printf(io->out, "-ERR unknown command '%.*s', with args beginning with: ",
			   (int)(c->args[0].n < 128 ? c->args[0].n : 128), c->args[0].p);

	for (unsigned i = 1; r == 0 && i < c->n && i < 20; i++)
		r = buf_printf(io->out, "'%.*s' ", (int)(c->args[i].n < 128 ? c->args[i].n : 128),
			       c->args[i].p);
	/* A line end inside an argument must not end the answer early. */
	for (size_t i = from; r == 0 && i < io->out->n; i++)
		if (io->out->p[i] == '\r' || io->out->p[i] == '\n')
			io->out->p[i] = ' ';
	return r < 0 ? r : buf_put(io->out, SV("\r\n"));
}

/* Commands whose answer is always the same: name, fewest arguments (itself included), answer. */
static const struct {
	const char *name;
	unsigned least;
	const char *answer;
} fixed[] = {
	{"bgsave", 1, "+Background saving started\r\n"},
	{"client", 2, "+OK\r\n"},
	{"cluster", 2, "-ERR This instance has cluster support disabled\r\n"},
	{"command", 1, "*0\r\n"},
	{"dbsize", 1, NULL},
	{"eval", 3, "$-1\r\n"},
	{"expire", 3, ":1\r\n"},
	{"hello", 1, "-NOPROTO unsupported protocol version\r\n"},
	{"lastsave", 1, NULL},
	{"module", 2, "-ERR Error loading the extension. Please check the server logs.\r\n"},
	{"multi", 1, "+OK\r\n"},
	{"psync", 1, "-NOMASTERLINK Can't SYNC while not connected with my master\r\n"},
	{"replicaof", 3, "+OK\r\n"},
	{"save", 1, "+OK\r\n"},
	{"scan", 2, "*2\r\n$1\r\n0\r\n*0\r\n"},
	{"select", 2, "+OK\r\n"},
	{"slaveof", 3, "+OK\r\n"},
	{"ttl", 2, ":-1\r\n"},
	{"type", 2, "+string\r\n"},
};

static const struct {
	const char *name;
	unsigned args;
	int (*run)(struct redis *, struct decoy_io *, const struct command *);
} stored[] = {
	{"config", 2, on_config},  {"del", 2, on_del},	     {"exists", 2, on_del},
	{"flushall", 1, on_flush}, {"flushdb", 1, on_flush}, {"get", 2, on_get},
	{"keys", 2, on_keys},	   {"set", 3, on_set},	     {"unlink", 2, on_del},
};

static int
wrong_arguments(struct decoy_io *io, const char *name)
{
	return buf_printf(io->out, "-ERR wrong number of arguments for '%s' command\r\n", name);
}

static int
answer(struct redis *s, const struct redis_config *config, struct decoy_io *io,
       const struct command *c)
{
	struct sv name = c->args[0];

	if (is(name, "ping"))
		return c->n > 1 ? put_bulk(io, c->args[1]) : buf_put(io->out, SV("+PONG\r\n"));
	if (is(name, "echo"))
		return c->n == 2 ? put_bulk(io, c->args[1]) : wrong_arguments(io, "echo");
	if (is(name, "info"))
		return on_info(s, config, io);
	if (is(name, "auth"))
		return c->n == 2 || c->n == 3 ? on_auth(io, c) : wrong_arguments(io, "auth");
	if (is(name, "quit"))
		return buf_put(io->out, SV("+OK\r\n")) < 0 ? -ENOBUFS : 1;
	if (is(name, "dbsize"))
		return buf_printf(io->out, ":%u\r\n", count(s));
	if (is(name, "lastsave"))
		return buf_printf(io->out, ":%" PRIu64 "\r\n",
				  (io->now_ms - io->now_ms % 3600000) / 1000);
	for (size_t i = 0; i < ARRAY_LEN(stored); i++)
		if (is(name, stored[i].name))
			return c->n >= stored[i].args ? stored[i].run(s, io, c)
						      : wrong_arguments(io, stored[i].name);
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		if (is(name, fixed[i].name) && fixed[i].answer)
			return c->n >= fixed[i].least ? buf_put(io->out, sv_from(fixed[i].answer))
						      : wrong_arguments(io, fixed[i].name);
	return on_unknown(io, c);
}

/* The command as a line of text; a password is captured as `auth` and nowhere else. */
static int
record(struct decoy_io *io, const struct command *c)
{
	char text[TEXT_MAX];
	struct capture_field field = {SV("command"), {text, 0}};

	if (is(c->args[0], "auth"))
		return 0;
	for (unsigned i = 0; i < c->n; i++) {
		size_t n = c->args[i].n, left = sizeof(text) - field.value.n;

		if (left < 2)
			break;
		if (i > 0)
			text[field.value.n++] = ' ';
		n = n < left - 1 ? n : left - 1;
		if (n)
			memcpy(text + field.value.n, c->args[i].p, n);
		field.value.n += n;
	}
	return decoy_capture(io, CAPTURE_COMMAND, &field, 1);
}

/* A line ending in LF (a CR before it goes, too). 1, 0 (more bytes), -EMSGSIZE. */
static int
take_line(struct sv in, size_t from, struct sv *ret_line, size_t *ret_end)
{
	struct sv rest = sv_drop(in, from);
	size_t at = sv_find(rest, '\n');

	if (at == rest.n)
		return in.n >= INPUT_MAX ? -EMSGSIZE : 0;
	*ret_end = from + at + 1;
	*ret_line = (struct sv){rest.p, at && rest.p[at - 1] == '\r' ? at - 1 : at};
	return 1;
}

static int
protocol_error(struct decoy_io *io, const char *what)
{
	return buf_printf(io->out, "-ERR Protocol error: %s\r\n", what) < 0 ? -ENOBUFS : -EBADMSG;
}

/* `*<n>` then n times `$<len>` and the bytes. 1 and the command, 0, or an error. */
static int
take_multibulk(struct decoy_io *io, struct sv in, struct command *c, size_t *ret_used)
{
	uint64_t n, len;
	struct sv line;
	size_t at = 0;
	int r = take_line(in, 0, &line, &at);

	if (r <= 0)
		return r;
	if (sv_u64(sv_drop(line, 1), ARGS_MAX, &n) < 0)
		return protocol_error(io, "invalid multibulk length");
	c->n = 0;
	while (c->n < n) {
		r = take_line(in, at, &line, &at);
		if (r <= 0)
			return r;
		if (line.n == 0 || line.p[0] != '$')
			return buf_printf(io->out,
					  "-ERR Protocol error: expected '$', got '%c'\r\n",
					  line.n && line.p[0] > ' ' && line.p[0] < 127 ? line.p[0]
										       : ' ') < 0
				       ? -ENOBUFS
				       : -EBADMSG;
		if (sv_u64(sv_drop(line, 1), INPUT_MAX, &len) < 0)
			return protocol_error(io, "invalid bulk length");
		if (in.n - at < len + 2)
			return in.n >= INPUT_MAX ? -EMSGSIZE : 0;
		c->args[c->n++] = (struct sv){in.p + at, (size_t)len};
		at += (size_t)len + 2;
	}
	*ret_used = at;
	return 1;
}

static int
take_inline(struct sv in, struct command *c, size_t *ret_used)
{
	struct sv line;
	int r = take_line(in, 0, &line, ret_used);

	c->n = 0;
	while (r > 0 && line.n && c->n < ARGS_MAX) {
		struct sv word = sv_cut(&line, ' ');

		if (word.n)
			c->args[c->n++] = word;
	}
	return r;
}

static int
redis_input(void *state, const void *config, struct decoy_io *io, struct sv in, size_t *ret_used)
{
	struct redis *s = state;
	struct command c;
	size_t used = 0;
	int r;

	if (in.n == 0)
		return 0;
	r = in.p[0] == '*' ? take_multibulk(io, in, &c, &used) : take_inline(in, &c, &used);
	if (r <= 0)
		return r;
	*ret_used = used;
	if (c.n == 0)
		return 0;
	/* What the real one does to browsers that are tricked into talking to it. */
	if (is(c.args[0], "post") || is(c.args[0], "host:"))
		return 1;
	s->commands++;
	r = record(io, &c);
	return r < 0 ? r : answer(s, config, io, &c);
}

const struct decoy_service decoy_service_redis = {
	.name = "redis",
	.idle_ms = 300000,
	.config_size = sizeof(struct redis_config),
	.state_size = sizeof(struct redis),
	.in_max = INPUT_MAX,
	.out_max = 131072,
	.configure = redis_configure,
	.start = redis_start,
	.input = redis_input,
};
