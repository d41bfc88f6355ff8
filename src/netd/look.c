/* SPDX-License-Identifier: Apache-2.0 */
/* Programs of personas: loading them, and hanging them at links. */
#include "netd/look.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "netd/ebpf.h"
#include "netd/look_code.h"

typedef int code_fn(enum netd_persona, int map_fd, struct ebpf *, struct err *);

/* 0 and a descriptor, or a negative errno. */
static int
load(code_fn *code, enum netd_persona persona, int map, const char *what, int *ret_fd,
     struct err *e)
{
	struct ebpf *p = malloc(sizeof(*p));
	char name[16];
	int r;

	if (!p)
		return err_set(e, -ENOMEM, "out of memory");
	(void)snprintf(name, sizeof(name), "decnet_%s%u", what, (unsigned)persona);
	r = code(persona, map, p, e);
	if (r == 0)
		*ret_fd = r = ebpf_load_program(p, name, e);
	free(p);
	return r < 0 ? r : 0;
}

int
look_open(struct look *look, struct err *e)
{
	int r;

	*look = (struct look){.map = -1};
	for (unsigned i = 0; i < NETD_PERSONA_COUNT; i++)
		look->out[i] = look->in[i] = -1;
	r = look->map = ebpf_map_new("decnet_own", sizeof(struct look_key), sizeof(struct look_own),
				     LOOK_OWN_MAX, e);
	for (unsigned i = 0; r >= 0 && i < NETD_PERSONA_COUNT; i++) {
		enum netd_persona persona = (enum netd_persona)i;

		r = load(look_code_out, persona, look->map, "out", &look->out[i], e);
		if (r == 0)
			r = load(look_code_in, persona, look->map, "in", &look->in[i], e);
	}
	look->on = r >= 0;
	if (r < 0)
		look_close(look);
	return r < 0 ? r : 0;
}

static void
let_go(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

void
look_close(struct look *look)
{
	for (unsigned i = 0; i < NETD_PERSONA_COUNT; i++) {
		let_go(&look->out[i]);
		let_go(&look->in[i]);
	}
	let_go(&look->map);
	look->on = false;
}

int
look_try(struct err *e)
{
	struct look look;
	int r = look_open(&look, e);

	if (r == 0)
		look_close(&look);
	return r;
}

static struct look_key
key_of(int index, uint32_t ip)
{
	struct look_key key = {.index = (uint32_t)index};
	uint32_t wire = htonl(ip);

	memcpy(key.ip, &wire, sizeof(key.ip));
	return key;
}

void
look_put_own(struct look *look, int index, uint32_t ip, const struct netd_id *decky)
{
	struct look_key key = key_of(index, ip);
	struct look_own own = look_own_of(decky);
	int r;

	if (!look->on)
		return;
	r = ebpf_map_add(look->map, &key, &own);
	if (look->r == 0)
		look->r = r;
}

void
look_put_absent(struct look *look, int index, uint32_t ip)
{
	struct look_key key = key_of(index, ip);

	if (look->on)
		ebpf_map_remove(look->map, &key);
}

int
look_check(struct look *look, struct err *e)
{
	int r = look->r;

	look->r = 0;
	return r < 0 ? err_set(e, r, "table of own addresses: %s", strerror(-r)) : 0;
}

void
look_put_programs(const struct look *look, struct nl *nl, int index, enum netd_persona persona)
{
	if (!look->on)
		return;
	nl_put_hooks(nl, index);
	/* Seen from the fabric, what a decky sends comes in. */
	nl_put_program(nl, index, NL_HOOK_IN, look->out[persona], "decnet_out");
	nl_put_program(nl, index, NL_HOOK_OUT, look->in[persona], "decnet_in");
}
