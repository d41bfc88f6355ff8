/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets and the services behind them. */
#include "decoy/listener.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static void
listener_free(struct listener *l)
{
	listener_close(l);
	control_fini(&l->place);
	free(l->config);
	free(l);
}

int
listener_new(struct control *own_request, int fd, struct listener **ret, struct err *e)
{
	struct listener *l = calloc(1, sizeof(*l));
	int r = 0;

	if (!l) {
		control_fini(own_request);
		return err_set(e, -ENOMEM, "out of memory");
	}
	l->refs = 1;
	l->fd = -1;
	list_init(&l->link);
	list_init(&l->sessions);
	l->place = *own_request;
	own_request->config = NULL;
	l->host = (struct decoy_host){
		.hostname = l->place.hostname,
		.archetype = l->place.archetype,
		.seed = l->place.seed,
	};
	l->service = decoy_service_find(l->place.service);
	if (!l->service)
		r = err_set(e, -ENOENT, "service '%s' is not available in this build",
			    l->place.service);
	else if (!(l->service->transports & (l->place.udp ? DECOY_UDP : DECOY_TCP)))
		r = err_set(e, -ENOENT, "service '%s' is not served over %s", l->place.service,
			    l->place.udp ? "udp" : "tcp");
	if (r == 0 && l->service->config_size > 0) {
		l->config = calloc(1, l->service->config_size);
		r = l->config ? l->service->configure(l->config, l->place.config, e)
			      : err_set(e, -ENOMEM, "out of memory");
	}
	if (r < 0) {
		listener_free(l);
		return r;
	}
	l->fd = fd;
	*ret = l;
	return 0;
}

void
listener_close(struct listener *l)
{
	loop_io_clear(&l->io);
	loop_timer_clear(&l->retry);
	if (l->fd >= 0)
		(void)close(l->fd);
	l->fd = -1;
}

struct listener *
listener_ref(struct listener *l)
{
	l->refs++;
	return l;
}

void
listener_unref(struct listener *l)
{
	if (l && --l->refs == 0)
		listener_free(l);
}
