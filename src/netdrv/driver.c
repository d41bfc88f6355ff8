/* SPDX-License-Identifier: Apache-2.0 */
/* What all drivers share. */
#include "netdrv/driver.h"

#include <errno.h>

int
netdrv_listener_copy(const struct netdrv_listener *src, struct netdrv_listener *dst)
{
	*dst = *src;
	dst->config = json_deep_copy(src->config);
	return src->config && !dst->config ? -ENOMEM : 0;
}

void
netdrv_listener_fini(struct netdrv_listener *l)
{
	json_decref(l->config);
	l->config = NULL;
}
