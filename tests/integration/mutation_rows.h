/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_INTEGRATION_MUTATION_ROWS_H
#define TESTS_INTEGRATION_MUTATION_ROWS_H

/* Mutations as they are in a store from before they were counted, and what the migration makes of
 * them: the same on both databases. */

#define COUNTED_BY "0008_mutation_counts"

#define MUTATION_ROWS                                                                              \
	"INSERT INTO topologies (id, name, mode, status, version, needs_resync, created_at,"       \
	" status_changed_at) VALUES ('t', 'old', 'unihost', 'active', 7, 0, 1, 1);"                \
	"INSERT INTO mutations (id, queue_no, topology_id, op, payload, state, requested_at,"      \
	" applied_at, attempt) VALUES"                                                             \
	" ('a', 1, 't', 'add_decky', '{}', 'applied', 1000, 1500, 1),"                             \
	" ('b', 2, 't', 'add_decky', '{}', 'applied', 2000, 2250, 2),"                             \
	" ('c', 3, 't', 'add_decky', '{}', 'failed', 3000, 3001, 1),"                              \
	" ('d', 4, 't', 'add_lan', '{}', 'cancelled', 4000, 4010, 0),"                             \
	" ('e', 5, 't', 'add_lan', '{}', 'applying', 5000, NULL, 1),"                              \
	" ('f', 6, 't', 'add_lan', '{}', 'pending', 6000, NULL, 0);"

/* A line "op state n took_ms" for each. */
#define MUTATION_COUNTS                                                                            \
	"add_decky applied 2 750\n"                                                                \
	"add_decky applying 3 0\n"                                                                 \
	"add_decky failed 1 1\n"                                                                   \
	"add_decky pending 3 0\n"                                                                  \
	"add_lan applying 1 0\n"                                                                   \
	"add_lan cancelled 1 10\n"                                                                 \
	"add_lan pending 3 0\n"

#endif
