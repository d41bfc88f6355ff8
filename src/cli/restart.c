/* SPDX-License-Identifier: Apache-2.0 */
/* The table of processes and the back-off between their lives. */
#include "cli/restart.h"

#include <errno.h>

static const struct {
	const char *word, *program, *argument;
	int capture, control, netd;
	unsigned stop;
} processes[PROCESS_COUNT] = {
#define PROCESS(name, wrd, prg, arg, cap, ctl, ntd, stp)                                           \
	[PROCESS_##name] = {wrd, prg, arg, cap, ctl, ntd, stp},
#include "cli/processes.def"
#undef PROCESS
};

const char *
process_word(enum process p)
{
	return processes[p].word;
}

const char *
process_program(enum process p)
{
	return processes[p].program;
}

const char *
process_argument(enum process p)
{
	return processes[p].argument;
}

int
process_capture_end(enum process p)
{
	return processes[p].capture;
}

int
process_control_end(enum process p)
{
	return processes[p].control;
}

int
process_netd_end(enum process p)
{
	return processes[p].netd;
}

enum process
process_stop_order(unsigned place)
{
	for (unsigned p = 0; p < PROCESS_COUNT; p++)
		if (processes[p].stop == place)
			return (enum process)p;
	return PROCESS_COUNT;
}

enum process
process_find(struct sv word)
{
	for (unsigned p = 0; p < PROCESS_COUNT; p++)
		if (sv_eq(word, sv_from(processes[p].word)))
			return (enum process)p;
	return PROCESS_COUNT;
}

int
process_parse_set(const char *text, unsigned *ret_set)
{
	struct sv rest = sv_from(text);
	unsigned set = 0;

	while (rest.n) {
		enum process p = process_find(sv_trim(sv_cut(&rest, ',')));

		if (p == PROCESS_COUNT)
			return -EINVAL;
		set |= 1u << p;
	}
	if (set == 0)
		return -EINVAL;
	*ret_set = set;
	return 0;
}

void
restart_on_ready(struct restart *r, uint64_t now_ms)
{
	r->ready_ms = now_ms;
}

uint64_t
restart_on_exit(struct restart *r, uint64_t now_ms)
{
	bool healthy = r->ready_ms != 0 && now_ms - r->ready_ms >= RESTART_HEALTHY_MS;

	if (r->pause_ms == 0 || healthy)
		r->pause_ms = RESTART_FIRST_MS;
	else if (r->pause_ms < RESTART_MOST_MS / 2)
		r->pause_ms *= 2;
	else
		r->pause_ms = RESTART_MOST_MS;
	r->ready_ms = 0;
	r->count++;
	return r->pause_ms;
}
