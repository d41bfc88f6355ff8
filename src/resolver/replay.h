/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RESOLVER_REPLAY_H
#define RESOLVER_REPLAY_H

/*
 * Feed a recorded stream of observations (resolver/record.h) through the engine and into a store,
 * as the resolver does it, and write down what came out: to compare engines, to measure, to try an
 * old stream again. It goes on where a run that was cut off had committed to.
 */

#include <stdint.h>

#include "util/attr.h"
#include "util/conf.h"
#include "util/err.h"

struct replay {
	const char *file;   /* the stream, one JSON object a line */
	const char *out;    /* {"id", "cluster"} for each observation */
	const char *events; /* {"type", …} for each change of an identity; NULL: not written */
	uint64_t batch;	    /* lines in one transaction; 0: 256 */
	uint64_t rate;	    /* lines a second at most; 0: no limit */
};

/*
 * The store must be new or hold this same stream. Every observation becomes an attacker row with
 * its signals and credentials; commands count, but are not kept. 0, -EEXIST (the store holds
 * something else), -EBADMSG (a line cannot be read; lines before its batch are stored), or another
 * negative errno.
 */
int replay_run(const struct conf *conf, const struct replay *what, struct err *e) A_NODISCARD;

#endif
