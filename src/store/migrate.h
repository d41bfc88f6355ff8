/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_MIGRATE_H
#define STORE_MIGRATE_H

/* The numbered migrations, embedded at build time from schema/NNNN_what.sql. */

struct migration {
	const char *name;
	const char *sql; /* several statements */
};

extern const struct migration migrations[];
extern const unsigned migrations_count;

#endif
