/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_IDENTITY_H
#define STORE_IDENTITY_H

/* Identity rows: structs, what a viewer sees, and whose observations they are. Changes:
 * identity_tx.h. */

#include <jansson.h>
#include <stdint.h>

#include "store/db.h"
#include "util/attr.h"
#include "util/err.h"
#include "util/id.h"

#define IDENTITY_CHAIN_MAX 64 /* steps from a merged-out row to its final winner */

struct identity {
	char uuid[ID_UUID_SIZE];
	char merged_into[ID_UUID_SIZE]; /* "" none */
	char kd_digraph_simhash[17];	/* "" none */
	uint64_t first_seen_at, last_seen_at, created_at, updated_at;
	double confidence;
	int64_t observation_count;
	json_t *rollup; /* object of sorted lists, one a row of rollup.def */
	char *notes;	/* NULL: none */
};

void identity_fini(struct identity *i);
/* Empty roll-ups, all lists there; NULL without memory. */
json_t *identity_rollup_new(void);
/* The row of contract 6; NULL without memory. */
json_t *identity_json(const struct identity *i);

/* The literal row. 1, 0 (no such row) or a store failure. */
int identity_load(struct db *db, const char *uuid, struct identity *ret, struct err *e) A_NODISCARD;
/* Follow merges to the end: `dst` is `uuid` itself when it was not merged or does not exist. 0 or a
 * store failure. */
int identity_final(struct db *db, const char *uuid, char dst[ID_UUID_SIZE],
		   struct err *e) A_NODISCARD;

/* Merged-out rows excluded, newest change first. 0 or a store failure. */
int identity_list(struct db *db, int64_t limit, int64_t offset, json_t **ret_data,
		  int64_t *ret_total, struct err *e) A_NODISCARD;
/* The final winner's row plus observation_count_live and merged_from. 1, 0 or a store failure. */
int identity_detail(struct db *db, const char *uuid, json_t **ret_row, struct err *e) A_NODISCARD;
/* The uuid of the final winner if there is such an identity. 1, 0 or a store failure. */
int identity_resolve(struct db *db, const char *uuid, char dst[ID_UUID_SIZE],
		     struct err *e) A_NODISCARD;
/* Attacker rows of the final winner `uuid` and of all merged into it. 0 or a store failure. */
int identity_observations(struct db *db, const char *uuid, int64_t limit, int64_t offset,
			  json_t **ret_data, int64_t *ret_total, struct err *e) A_NODISCARD;
/* {a, b, signal, value, weight, at} of the same, strongest first. 0 or a store failure. */
int identity_evidence(struct db *db, const char *uuid, int64_t limit, int64_t offset,
		      json_t **ret_data, int64_t *ret_total, struct err *e) A_NODISCARD;

#endif
