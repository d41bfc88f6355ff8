/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DECOY_SERVICES_REDIS_H
#define DECOY_SERVICES_REDIS_H

/* What the files of the redis decoy share. */

#include "decoy/service.h"
#include "decoy/services/keep.h"
#include "decoy/services/resp.h"

#define REDIS_CONFIG_DB 255 /* of the keep: what CONFIG SET changed */
#define REDIS_DATABASES 16

struct redis_config {
	char version[32];
	unsigned major;
	struct sv os;
};

struct redis {
	struct resp parser;
	struct keep keep;
	uint8_t db;
	uint8_t proto;
	uint64_t commands;
	uint64_t client_id;
	char name[64];
	char master[80]; /* "host port" after SLAVEOF; "" when we are one */
	bool over;
};

/* Answers one command whose number of words is right. 0 or -ENOBUFS, -ENOMEM. */
typedef int redis_run_fn(struct redis *s, struct decoy_io *io, const struct resp_command *c);

/* redis_admin.c */
redis_run_fn redis_run_acl, redis_run_auth, redis_run_client, redis_run_command, redis_run_config;
redis_run_fn redis_run_debug, redis_run_eval, redis_run_hello, redis_run_module;
redis_run_fn redis_run_replicaof;
/* redis_keys.c */
redis_run_fn redis_run_append, redis_run_dbsize, redis_run_del, redis_run_exists;
redis_run_fn redis_run_expire, redis_run_flush, redis_run_get, redis_run_getset, redis_run_incr;
redis_run_fn redis_run_keys, redis_run_mget, redis_run_mset, redis_run_persist, redis_run_rename;
redis_run_fn redis_run_scan, redis_run_set, redis_run_setex, redis_run_setnx, redis_run_strlen;
redis_run_fn redis_run_ttl, redis_run_type;

/* INFO's sections of these names (none: all) to the output, not yet as a reply. 0 or -ENOBUFS. */
int redis_info(const struct redis *s, struct decoy_io *io, const struct sv *names,
	       unsigned n) A_NODISCARD;
/* The value a real server has for a parameter, or NULL after the last one. */
const char *redis_parameter(size_t at, const char **ret_name);
/* Glob with `*` and `?`. Linear: every star remembers one place to go back to. */
bool redis_matches(struct sv pattern, struct sv text, bool any_case);

#define REDIS_OOM "-OOM command not allowed when used memory > 'maxmemory'.\r\n"

const struct redis_config *redis_config_of(const struct decoy_io *io);

/* Replies. 0, -ENOBUFS, -ENOMEM. */
int redis_say(struct decoy_io *io, const char *text) A_NODISCARD;
int redis_number(struct decoy_io *io, int64_t n) A_NODISCARD;
int redis_header(struct decoy_io *io, char mark, uint64_t n) A_NODISCARD;
int redis_bulk(struct decoy_io *io, struct sv bytes) A_NODISCARD;
int redis_two(struct decoy_io *io, const char *name, struct sv value) A_NODISCARD;
int redis_nil(const struct redis *s, struct decoy_io *io) A_NODISCARD;
/* Foreign text within an error: at most `max` bytes, no line ends. */
int redis_word(struct decoy_io *io, struct sv word, size_t max) A_NODISCARD;
/* What was put since `start` becomes the body of one bulk reply. */
int redis_wrap(struct decoy_io *io, size_t start) A_NODISCARD;

#endif
