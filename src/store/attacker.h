/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_ATTACKER_H
#define STORE_ATTACKER_H

/*
 * Attacker rows (one a source address) and what hangs on them: sessions, commands, signals,
 * credentials. Every function that changes what a viewer sees appends its journal row.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "identity/signal.h"
#include "store/db.h"
#include "util/attr.h"
#include "util/err.h"
#include "util/id.h"

#define ATTACKER_IP_SIZE 46

/* A value that an attacker showed. */
struct attacker_signal {
	enum identity_primitive primitive;
	char *value;
};

struct attacker_signals {
	struct attacker_signal *v;
	size_t n, cap;
};

void attacker_signals_fini(struct attacker_signals *s);

/* One row in hand. Zero it to start; attacker_fini in the end. */
struct attacker {
	char uuid[ID_UUID_SIZE];
	char ip[ATTACKER_IP_SIZE];
	char identity_id[ID_UUID_SIZE]; /* as stored; "" none */
	uint64_t first_seen, last_seen, updated_at, last_rotation_at;
	int64_t event_count, bounty_count, credential_count, rotation_count;
	bool is_traversal;
	json_t *services, *services_interacted, *deckies; /* arrays */
	char *traversal_path;
	json_t *behavior; /* NULL: none */

	/* What the current transaction did; attacker_save writes it down. */
	bool is_new;
	bool services_changed, interacted_changed, deckies_changed, counts_changed;
	json_t *commands;	       /* the new ones, newest first */
	struct attacker_signals fresh; /* values that were never seen of it before; oldest first */

	/* Of attacker_signal_add: current values (NULL: none) and the number of all, once known. */
	bool signals_known;
	int64_t signals;
	char *current[IDENTITY_SIGNAL_COUNT];
};

void attacker_fini(struct attacker *a);

/* All in one write transaction, attacker_save last. */

/* The row of this address, or a new one that attacker_save inserts. 0 or a store failure. */
int attacker_open(struct db *db, const char *ip, struct attacker *ret, struct err *e) A_NODISCARD;

/* Where something happened. */
struct attacker_place {
	const char *topology_id, *decky_id; /* NULL: none */
	const char *decky, *service;
	uint64_t ts_ms;	 /* when */
	uint64_t now_ms; /* time of the transaction */
	int64_t log_id;	 /* the log row */
	const char *session_id;
	char source[17]; /* hex: the life of the decoy process */
};

/* Count one event: times, services, deckies. `interaction` as the contract defines it. 0, -ENOMEM.
 */
int attacker_note(struct attacker *a, const struct attacker_place *at,
		  bool interaction) A_NODISCARD;
/* Journals attacker.session.started; a session already known is left alone. 0 or a store failure.
 */
int attacker_session_start(struct db *db, const struct attacker *a, const struct attacker_place *at,
			   struct err *e) A_NODISCARD;
/* Something of an open session was seen. 0 or a store failure. */
int attacker_session_seen(struct db *db, const struct attacker *a, const struct attacker_place *at,
			  struct err *e) A_NODISCARD;
/*
 * End the sessions that died with earlier decoy processes of this channel, now that `source` speaks
 * on it: each when it was last seen, at most `max` of them. Journals attacker.session.ended. How
 * many, or a store failure.
 */
int attacker_sessions_lost(struct db *db, const char *channel, const char *source, int max,
			   uint64_t now_ms, struct err *e) A_NODISCARD;
/* Journals attacker.session.ended; an unknown or ended session is left alone. 0 or a store failure.
 */
int attacker_session_end(struct db *db, const struct attacker *a, const struct attacker_place *at,
			 struct err *e) A_NODISCARD;
/* 0 or a store failure. */
int attacker_command_add(struct db *db, struct attacker *a, const struct attacker_place *at,
			 struct sv command, struct err *e) A_NODISCARD;
/* Journals attacker.fingerprinted when the value is new or becomes the current one again. 1: the
 * value is new; 0; or a store failure. */
int attacker_signal_add(struct db *db, struct attacker *a, const struct attacker_place *at,
			enum identity_primitive p, const char *value, struct err *e) A_NODISCARD;
struct attacker_credential {
	const char *username, *secret_sha256;
	const char *kind; /* password, key or token */
	bool common;	  /* everybody's: no evidence of anything */
};
/* Journals credential.captured when the pair is new. 1: the pair is new; 0; or a store failure. */
int attacker_credential_add(struct db *db, struct attacker *a, const struct attacker_place *at,
			    const struct attacker_credential *c, struct err *e) A_NODISCARD;
/* Count a captured file among the bounties. */
void attacker_file_add(struct attacker *a);
/*
 * Write the row and journal attacker.observed (and attacker.scored if another column changed).
 * `last` is the place of the last event, `event_type` its word. 0 or a store failure.
 */
int attacker_save(struct db *db, struct attacker *a, const struct attacker_place *last,
		  const char *event_type, struct err *e) A_NODISCARD;

/* {interacted, scanned}: disjoint, sorted; NULL without memory. */
json_t *attacker_activity(const struct attacker *a);
/* Columns of attacker.def, as the statement stands on them, into a zeroed struct. 0 or -ENOMEM. */
int attacker_read(struct db_stmt *st, struct attacker *ret) A_NODISCARD;

#endif
