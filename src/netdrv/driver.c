/* SPDX-License-Identifier: Apache-2.0 */
/* What all drivers share. */
#include "netdrv/driver.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int
netdrv_listener_copy(const struct netdrv_listener *src, struct netdrv_listener *dst)
{
	*dst = *src;
	dst->config = json_deep_copy(src->config);
	return src->config && !dst->config ? -ENOMEM : 0;
}

bool
netdrv_listener_same(const struct netdrv_listener *a, const struct netdrv_listener *b)
{
	return strcmp(a->id, b->id) == 0 && strcmp(a->decky, b->decky) == 0 &&
	       strcmp(a->archetype, b->archetype) == 0 && a->port == b->port &&
	       json_equal(a->config, b->config);
}

void
netdrv_listener_fini(struct netdrv_listener *l)
{
	json_decref(l->config);
	l->config = NULL;
}

void
netdrv_close_channels(const int fds[NETDRV_CHANNELS])
{
	for (size_t i = 0; i < NETDRV_CHANNELS; i++)
		if (fds[i] >= 0)
			(void)close(fds[i]);
}
