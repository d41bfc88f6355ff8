/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKE_DECOY_TALK_H
#define FAKE_DECOY_TALK_H

/* One talk with a decoy service without a socket: what the engine does, with a chosen cut of the
 * bytes. Used by unit tests and by the fuzzer. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "decoy/service.h"

struct talk {
	struct buf out, captures; /* all that came */
	int end;		  /* 0 still going, 1 over, or a negative errno */
	size_t consumed;	  /* of the input */
	bool broke_rule;	  /* took more than it was shown */
};

static inline void
talk_fini(struct talk *t)
{
	buf_fini(&t->out);
	buf_fini(&t->captures);
}

/* Gives at most `step` further bytes at a time, each time in an exact heap copy so that a sanitizer
 * sees a read past the end. `drain`: the peer reads everything at once; else it reads nothing. */
static inline void
talk_run(const struct decoy_service *service, const json_t *config_object, struct sv in,
	 size_t step, bool drain, struct talk *t)
{
	void *config = calloc(1, service->config_size ? service->config_size : 1);
	void *state = calloc(1, service->state_size ? service->state_size : 1);
	const struct decoy_host host = {"web-01", "linux-server", 7};
	struct buf out;
	struct decoy_io io = {.out = &out,
			      .captures = &t->captures,
			      .now_ms = UINT64_C(1769847300250),
			      .host = &host,
			      .config = config,
			      .peer_ip = SV("192.0.2.1"),
			      .peer_port = 40000,
			      .port = 80};
	size_t shown = 0;

	memset(t, 0, sizeof(*t));
	buf_init(&t->out, 64 << 20);
	buf_init(&t->captures, 64 << 20);
	buf_init(&out, service->out_max);
	if (!config || !state || service->configure(config, config_object, NULL) < 0)
		abort();
	t->end = service->start ? service->start(state, &io) : 0;
	while (t->end == 0) {
		size_t have = shown - t->consumed, used = 0, before = t->consumed;
		char *copy = malloc(have ? have : 1);

		if (!copy)
			abort();
		if (have)
			memcpy(copy, in.p + t->consumed, have);
		io.pause = DECOY_PAUSE_NONE;
		t->end = service->input(state, &io, (struct sv){copy, have}, &used);
		free(copy);
		if (used > have) {
			t->broke_rule = true;
			break;
		}
		t->consumed += used;
		if (t->end == 0 && used == 0 && have >= service->in_max)
			t->end = -EMSGSIZE;
		if (drain) {
			if (buf_put(&t->out, buf_sv(&out)) < 0)
				abort();
			buf_reset(&out);
		}
		if (t->consumed == before) {
			if (shown == in.n)
				break;
			/* The engine never shows more than in_max at a time. */
			shown += step < in.n - shown ? step : in.n - shown;
			if (shown - t->consumed > service->in_max)
				shown = t->consumed + service->in_max;
		}
	}
	if (service->stop)
		service->stop(state, &io);
	if (buf_put(&t->out, buf_sv(&out)) < 0)
		abort();
	buf_fini(&out);
	free(config);
	free(state);
}

#endif
