/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DECOY_SESSION_H
#define DECOY_SESSION_H

/* Between engine.c and session.c only: listeners, sessions, and what they share. */

#include <stdbool.h>
#include <stdint.h>

#include "decoy/control.h"
#include "decoy/sender.h"
#include "decoy/service.h"
#include "util/id.h"
#include "util/list.h"
#include "util/loop.h"

/* Ceilings of sessions: in all, of one source address, of one listener. At each a connection is
 * closed at once, captured as `limit` and counted. */
#define SESSIONS_MAX		  8192
#define SESSIONS_PER_SOURCE_MAX	  128
#define SESSIONS_PER_LISTENER_MAX 1024
/* However slowly a visitor types, after this time the talk is over. */
#define SESSION_LIFE_MS		  (4 * 3600 * 1000)

struct engine {
	struct loop *loop;
	struct loop_io control_io;
	int control_fd;
	struct sender *sender;
	struct list listeners;
	unsigned sessions;
	uint64_t source, next_no, started_ms, limit_hits;
	bool paused;
	struct loop_timer hello;
	struct buf captures;
	char message[CONTROL_BYTES_MAX];
};

struct listener {
	struct list link;
	struct engine *engine;
	struct loop_io io;
	int fd;
	char id[CONTROL_LISTENER_MAX + 1];
	char topology_id[ID_UUID_SIZE], decky_uuid[ID_UUID_SIZE];
	char decky[65], hostname[256];
	uint64_t seed;
	uint16_t port;
	const struct decoy_service *service;
	void *config;
	struct list sessions;
	unsigned nsessions;
};

enum decoy_close {
#define DECOY_CLOSE(name, text) DECOY_CLOSE_##name,
#include "decoy/close.def"
#undef DECOY_CLOSE
	DECOY_CLOSE_COUNT
};

/* Takes an accepted descriptor over. */
void session_open(struct listener *l, int own_fd);
/* End it: its last captures are written, the socket closes. */
void session_close(struct list *link, enum decoy_close why);
/* Reading goes on or stops, as engine->paused says. */
void session_pause(struct list *link);
/* Hand what is in engine->captures to the sender. */
void engine_flush_captures(struct engine *g);

#endif
