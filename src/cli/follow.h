/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_FOLLOW_H
#define CLI_FOLLOW_H

/* Follow a stream of server-sent events from a command, and come back to it by itself. */

#include <stdbool.h>
#include <stdint.h>

#include "cli/command.h"
#include "util/buf.h"
#include "util/sv.h"

struct follow_frame {
	struct sv event, id, data; /* id: p is NULL when the frame has none */
};

struct follow {
	const struct cli *cli;
	uint64_t last_id; /* where to begin (0: anew); kept up to date */
	uint64_t left;	  /* frames to see; 0: without end */
	void (*show)(struct follow *w, const struct follow_frame *f); /* every frame, once */
	void *user;
	struct buf in; /* follow_stream's own */
	bool ended;    /* the server said bye, enough was seen, or `show` has set it */
	bool seen;     /* a frame has come */
	int code;      /* to exit with when it has ended */
};

/*
 * Follow the stream at `path` (below /api/v1) until it ends for good. A cut is mended by connecting
 * again with the last id seen; a first attempt that fails is not. The exit code: CLI_OK,
 * CLI_INTERRUPTED after an interrupt, CLI_DENIED when the server ended it because access had ended,
 * or that of a refusal; these were said on standard error.
 */
int follow_stream(struct follow *w, const char *path);
/* A `show`: one line a frame on standard output, as JSON with --json. */
void follow_print(struct follow *w, const struct follow_frame *f);

#endif
