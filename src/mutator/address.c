/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses that a work needs, and their return when it comes to nothing. */
#include "mutator/address.h"

#include <string.h>

int
address_assign(struct netdrv *d, struct work *w)
{
	for (size_t i = 0; i < w->ndeckies; i++) {
		struct work_decky *decky = &w->deckies[i];
		int r;

		/* Where there are LANs, their addresses are the deckies'. */
		if (!d->ops->assign) {
			memcpy(decky->address, decky->home_ip, sizeof(decky->home_ip));
			continue;
		}
		if (decky->address[0] && d->ops->adopt(d, decky->uuid, decky->address) == 0)
			continue;
		r = d->ops->assign(d, decky->uuid, decky->address);
		if (r < 0)
			return r;
		decky->given = true;
	}
	return 0;
}

void
address_release(struct netdrv *d, const struct work *w)
{
	for (size_t i = 0; d->ops->release && i < w->ndeckies; i++)
		if (w->deckies[i].given)
			d->ops->release(d, w->deckies[i].uuid);
}
