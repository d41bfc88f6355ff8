/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_LOG_H
#define STORE_LOG_H

/* Log rows: what the decoys saw, one row a capture; search, histogram, statistics, retention; and
 * how far each decoy process has been read. */

#include <jansson.h>
#include <stdint.h>

#include "store/db.h"
#include "store/search.h"
#include "util/attr.h"
#include "util/err.h"

struct log_row {
	int64_t id; /* set by log_append */
	uint64_t ts_ms;
	const char *topology_id; /* NULL: none */
	const char *decky, *service, *event_type, *attacker_ip, *attacker_uuid;
	const char *raw_line; /* one line, control characters escaped */
	const char *fields;   /* JSON object text */
	const char *msg;      /* NULL: none */
};

/* The row of contract 7.1; NULL without memory. */
json_t *log_json(const struct log_row *row);

/* Give the rows their ids, insert them and keep the counters. Needs a write transaction. 0 or a
 * store failure. */
int log_append(struct db *db, struct log_row *rows, size_t n, struct err *e) A_NODISCARD;

struct log_filter {
	struct search search;
	uint64_t start_ms, end_ms; /* both inclusive; 0 and UINT64_MAX: no bound */
};

/* Newest first; *ret_total counts all matches. 0 or a store failure. */
int log_list(struct db *db, const struct log_filter *f, int64_t limit, int64_t offset,
	     json_t **ret_data, int64_t *ret_total, struct err *e) A_NODISCARD;
/* [{time, count}]: non-empty buckets, ascending. 0 or a store failure. */
int log_histogram(struct db *db, const struct log_filter *f, int64_t interval_minutes,
		  json_t **ret_data, struct err *e) A_NODISCARD;
/* The object of `GET /stats`. 0 or a store failure. */
int log_stats(struct db *db, json_t **ret_stats, struct err *e) A_NODISCARD;

/* A row is passed to the function, ascending; a negative result stops and is returned, a positive
 * one stops behind the row. */
typedef int log_row_fn(void *user, const struct log_row *row);
/* At most `limit` rows above `after`. The number of rows or a negative errno. */
int log_after(struct db *db, int64_t after, unsigned limit, log_row_fn *fn, void *user,
	      struct err *e) A_NODISCARD;
/* The last id given and the last id removed by retention. 0 or a store failure. */
int log_bounds(struct db *db, int64_t *ret_head, int64_t *ret_floor, struct err *e) A_NODISCARD;
/* The `limit` newest rows of one attacker and type, and how many there are. 0 or a store failure.
 */
int log_of_attacker(struct db *db, const char *attacker_uuid, const char *event_type,
		    unsigned limit, json_t **ret_data, int64_t *ret_total,
		    struct err *e) A_NODISCARD;

/* Remove the oldest rows above `keep` (0: keep all), at most `most` of them; counters follow. Needs
 * a write transaction. The number of rows removed or a store failure. */
int log_trim(struct db *db, uint64_t keep, unsigned most, struct err *e) A_NODISCARD;

/* The last capture of this decoy process that was committed; 0 for an unknown one. 0 or a store
 * failure. */
int capture_source_get(struct db *db, const char *source, int64_t *ret_no,
		       struct err *e) A_NODISCARD;
/* The decoy process of that life speaks on this channel now. 0 or a store failure. */
int capture_source_channel(struct db *db, const char *source, const char *channel, uint64_t now_ms,
			   struct err *e) A_NODISCARD;
/* Needs a write transaction; also forgets the oldest above LIMIT_CAPTURE_SOURCES. 0 or a store
 * failure. */
int capture_source_put(struct db *db, const char *source, int64_t no, uint64_t now_ms,
		       struct err *e) A_NODISCARD;

#endif
