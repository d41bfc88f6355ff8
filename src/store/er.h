/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_ER_H
#define STORE_ER_H

/* What the identity engine is built from at a start: rows as keys, identities, decisions. */

#include <stdbool.h>
#include <stdint.h>

#include "identity/feature.h"
#include "store/db.h"
#include "util/attr.h"
#include "util/err.h"
#include "util/id.h"

struct er_state {
	uint64_t time_ms; /* of the newest row that identities were formed for */
	int64_t position; /* lines taken of a recorded stream */
	struct identity_secret secret;
};

/* The state; `first` is the secret that a new store gets. In a write transaction. 0 or a store
 * failure. */
int er_state_open(struct db *db, const struct identity_secret *first, struct er_state *ret,
		  struct err *e) A_NODISCARD;
/* Time and position. 0 or a store failure. */
int er_state_put(struct db *db, const struct er_state *s, struct err *e) A_NODISCARD;

/* The keys of an observation. 1, 0 (none yet: *ret is empty) or a store failure. */
int er_row_get(struct db *db, const char *observation, struct identity_features *ret,
	       struct err *e) A_NODISCARD;
/* `seq` and `hash` (of the observation's name) count for a new row only. 0 or a store failure. */
int er_row_put(struct db *db, const char *observation, int64_t seq, uint64_t hash,
	       const struct identity_features *f, struct err *e) A_NODISCARD;
/* The highest seq. 0 or a store failure. */
int er_seq_last(struct db *db, int64_t *ret, struct err *e) A_NODISCARD;

/* A negative result ends the listing and is returned. */
typedef int er_row_fn(void *user, const char *observation, uint64_t hash,
		      const struct identity_features *f, const char *identity /* NULL: none */,
		      struct err *e);
/* All rows in the order of arrival. 0 or a negative errno. */
int er_rows(struct db *db, er_row_fn *fn, void *user, struct err *e) A_NODISCARD;

struct er_identity {
	char uuid[ID_UUID_SIZE], anchor[ID_UUID_SIZE]; /* "": none */
	char points_to[ID_UUID_SIZE], yields_to[ID_UUID_SIZE];
};
typedef int er_identity_fn(void *user, const struct er_identity *i, struct err *e);
/* All identities by uuid. 0 or a negative errno. */
int er_identities(struct db *db, er_identity_fn *fn, void *user, struct err *e) A_NODISCARD;

/* Observations and their sides (0, 1) of one decision. */
typedef int er_decision_fn(void *user, int64_t id, bool apart, const uint8_t (*observations)[16],
			   const uint8_t *sides, size_t n, struct err *e);
/* The decisions above this number, by number. 0 or a negative errno. */
int er_decisions(struct db *db, int64_t after, er_decision_fn *fn, void *user,
		 struct err *e) A_NODISCARD;
/* What these decisions may have changed, as it is now: the identities of all their observations,
 * with whoever is merged into those, by uuid. 0 or a negative errno. */
int er_decided_identities(struct db *db, int64_t after, er_identity_fn *fn, void *user,
			  struct err *e) A_NODISCARD;
/* And their observations; one of several decisions comes more than once. 0 or a negative errno. */
typedef int er_decided_row_fn(void *user, const char *observation, const char *identity,
			      struct err *e);
int er_decided_rows(struct db *db, int64_t after, er_decided_row_fn *fn, void *user,
		    struct err *e) A_NODISCARD;

/* The keys of an observation from its signals, credentials and commands: for rows that have none.
 * 0 or a store failure. */
int er_project(struct db *db, const char *observation, const struct identity_secret *secret,
	       struct identity_features *ret, struct err *e) A_NODISCARD;
/* The stack and the typing of the observation as they are now, in place of what `f` has. 0 or a
 * store failure. */
int er_project_stack(struct db *db, const char *observation, const struct identity_secret *secret,
		     struct identity_features *f, struct err *e) A_NODISCARD;
/*
 * Add a command as the engine compares it: cut as it is kept, its first word in small letters. The
 * names of commands of a key-value store are the same in either case, and PING is as much
 * everybody's as ping.
 */
void er_features_command(struct identity_features *f, const struct identity_secret *secret,
			 struct sv command);
/*
 * The value that a key stands for, as an analyst reads it: looked up among the observation's own. A
 * credential is its user and 16 digits of the secret's SHA-256. 1 and the text (heap), 0: not
 * found, or a store failure.
 */
int er_value_text(struct db *db, const char *observation, const struct identity_secret *secret,
		  enum identity_value_class class, uint64_t key, char **ret_text,
		  struct err *e) A_NODISCARD;

#endif
