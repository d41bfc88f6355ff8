/* SPDX-License-Identifier: Apache-2.0 */
/* The hub's viewers on connections of http/: nothing but passing on. */
#include "stream/http_peer.h"

#include <stdlib.h>

struct http_peer {
	struct http_stream *stream;
	struct viewer *viewer; /* NULL once it has given the connection up */
};

struct http_peer *
http_peer_new(void)
{
	return calloc(1, sizeof(struct http_peer));
}

void
http_peer_free(struct http_peer *p)
{
	free(p);
}

static void
on_writable(void *user, struct http_stream *s)
{
	struct http_peer *p = user;

	(void)s;
	if (p->viewer)
		viewer_writable(p->viewer);
}

static void
on_close(void *user, struct http_stream *s)
{
	struct http_peer *p = user;

	(void)s;
	if (p->viewer)
		viewer_gone(p->viewer);
	free(p);
}

const struct http_stream_ops http_peer_ops = {.on_writable = on_writable, .on_close = on_close};

static ssize_t
peer_writev(void *peer, const struct iovec *iov, int n)
{
	return http_stream_writev(((struct http_peer *)peer)->stream, iov, n);
}

static void
peer_want_write(void *peer)
{
	/* If it fails the connection is broken: either it is noticed, or the viewer stalls. */
	if (http_stream_want_write(((struct http_peer *)peer)->stream) < 0)
		return;
}

static void
peer_end(void *peer)
{
	struct http_peer *p = peer;

	p->viewer = NULL;
	http_stream_end(p->stream);
}

static void
peer_abort(void *peer)
{
	struct http_peer *p = peer;

	p->viewer = NULL;
	http_stream_abort(p->stream);
}

static const struct viewer_io peer_io = {
	.writev = peer_writev,
	.want_write = peer_want_write,
	.end = peer_end,
	.abort = peer_abort,
};

int
http_peer_watch(struct http_peer *p, struct http_stream *s, struct hub *h, enum hub_kind kind,
		struct sv key, void *own_user, struct viewer_open *o)
{
	struct viewer *v = NULL;
	int r;

	p->stream = s;
	o->io = &peer_io;
	o->peer = p;
	o->chunked = http_stream_chunked(s);
	r = hub_open(h, kind, key, own_user, o, &v);
	if (r < 0)
		http_stream_abort(s);
	else if (v)
		p->viewer = v;
	return r;
}
