/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_ATTACKER_VIEW_H
#define STORE_ATTACKER_VIEW_H

/* Attacker rows as a viewer sees them: rows, observations, lists. */

#include <jansson.h>
#include <stdint.h>

#include "store/db.h"
#include "util/attr.h"
#include "util/err.h"
#include "util/sv.h"

/* 1, 0 or a store failure. */
int attacker_exists(struct db *db, const char *uuid, struct err *e) A_NODISCARD;
/* The Attacker row of contract 7.2. 1, 0 (no such row) or a store failure. */
int attacker_get(struct db *db, const char *uuid, json_t **ret_row, struct err *e) A_NODISCARD;
/* The row plus service_activity and observations. As attacker_get. */
int attacker_detail(struct db *db, const char *uuid, json_t **ret_row, struct err *e) A_NODISCARD;
/* The current value of each primitive, by primitive. 0 or a store failure. */
int attacker_observations(struct db *db, const char *uuid, json_t **ret_list,
			  struct err *e) A_NODISCARD;

enum attacker_sort { ATTACKER_SORT_RECENT, ATTACKER_SORT_ACTIVE, ATTACKER_SORT_TRAVERSALS };

struct attacker_filter {
	struct sv ip;	   /* part of it; empty: no filter */
	struct sv service; /* exact; empty: no filter */
	enum attacker_sort sort;
};

/* 0 or a store failure. */
int attacker_list(struct db *db, const struct attacker_filter *f, int64_t limit, int64_t offset,
		  json_t **ret_data, int64_t *ret_total, struct err *e) A_NODISCARD;
/* At most `limit` rows with a uuid above `after`, ascending. 0 or a store failure. */
int attacker_page(struct db *db, const char *after, unsigned limit, json_t **ret_data,
		  struct err *e) A_NODISCARD;
/* Newest first; `service` "" is no filter. 0 or a store failure. */
int attacker_commands(struct db *db, const char *uuid, const char *service, int64_t limit,
		      int64_t offset, json_t **ret_data, int64_t *ret_total,
		      struct err *e) A_NODISCARD;
/* The row that a statement stands on (columns of attacker.def) as JSON; NULL after a failure. */
json_t *attacker_row_json(struct db *db, struct db_stmt *st, struct err *e);

#endif
