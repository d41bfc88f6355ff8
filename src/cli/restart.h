/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_RESTART_H
#define CLI_RESTART_H

/* When a process that ended is started again, and in which order processes start and stop. Pure. */

#include <stdbool.h>
#include <stdint.h>

#include "util/attr.h"
#include "util/sv.h"

#define RESTART_FIRST_MS   200
#define RESTART_MOST_MS	   10000
/* So long it must have served for the next pause to be the first one again. */
#define RESTART_HEALTHY_MS 30000

enum process {
#define PROCESS(name, word, program, argument, capture, control, netd, stop) PROCESS_##name,
#include "cli/processes.def"
#undef PROCESS
	PROCESS_COUNT
};

const char *process_word(enum process p);
const char *process_program(enum process p);
/* What it is started with, or NULL. */
const char *process_argument(enum process p);
/* Its end of the channel, 0 or 1, or -1. */
int process_capture_end(enum process p);
int process_control_end(enum process p);
int process_netd_end(enum process p);
/* The process that stops as number `place` (from 0). */
enum process process_stop_order(unsigned place);
/* The process of this name, or PROCESS_COUNT. */
enum process process_find(struct sv word);
/* Parse `a,b,…` into a set of bits. 0 or -EINVAL (unknown or empty). */
int process_parse_set(const char *text, unsigned *ret_set) A_NODISCARD;

/* Zeroed memory is a process that has never run. */
struct restart {
	uint64_t ready_ms; /* loop time; 0: not ready since it was started */
	uint64_t pause_ms; /* the last pause; 0: none yet */
	unsigned count;
};

void restart_on_ready(struct restart *r, uint64_t now_ms);
/* It has ended: how long to wait before it is started again. */
uint64_t restart_on_exit(struct restart *r, uint64_t now_ms);

#endif
