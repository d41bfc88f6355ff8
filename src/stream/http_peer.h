/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STREAM_HTTP_PEER_H
#define STREAM_HTTP_PEER_H

/* A viewer's connection over http/. */

#include "http/server.h"
#include "stream/hub.h"
#include "util/attr.h"

struct http_peer;

/* For http_stream_begin, with a peer as its user. */
extern const struct http_stream_ops http_peer_ops;

/* NULL without memory. */
struct http_peer *http_peer_new(void);
/* Only when no stream was begun with it; else it goes with the stream. */
void http_peer_free(struct http_peer *p);
/*
 * hub_open for a stream that was begun with this peer; io, peer and chunked of `o` are filled in
 * here. 0 or -ENOMEM: then the connection is closed.
 */
int http_peer_watch(struct http_peer *p, struct http_stream *s, struct hub *h, enum hub_kind kind,
		    struct sv key, void *own_user, struct viewer_open *o) A_NODISCARD;

#endif
