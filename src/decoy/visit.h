/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DECOY_VISIT_H
#define DECOY_VISIT_H

/* Who is at which listener since when: what every capture says, for connections and for datagrams
 * alike. */

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

#include "decoy/capture.h"
#include "decoy/listener.h"
#include "decoy/sender.h"
#include "util/attr.h"
#include "util/buf.h"
#include "util/id.h"
#include "util/loop.h"

enum decoy_close {
#define DECOY_CLOSE(name, text, peer) DECOY_CLOSE_##name,
#include "decoy/close.def"
#undef DECOY_CLOSE
	DECOY_CLOSE_COUNT
};

const char *decoy_close_text(enum decoy_close why);

struct visit {
	struct loop *loop;
	struct sender *sender;
	struct listener *listener; /* a reference */
	uint64_t started_ms;	   /* loop time */
	uint64_t bytes_in, bytes_out;
	char id[ID_UUID_SIZE]; /* the session id */
	char ip[INET6_ADDRSTRLEN];
	uint16_t port;
};

/* A new session id, now; `peer` as the kernel gave it. */
void visit_begin(struct visit *v, struct loop *loop, struct sender *sender, struct listener *l,
		 const struct sockaddr_storage *peer);
void visit_fini(struct visit *v);
/* What a service may touch in a call about this visit. */
struct decoy_io visit_io(const struct visit *v, struct buf *out, struct buf *captures);
/* Tell the sender something without fields of its own. */
void visit_tell(struct visit *v, enum capture_type type);
/* Tell what the service said in the call that just returned, and empty the buffer. */
void visit_tell_all(struct visit *v, struct buf *captures);
/* Tell the end. */
void visit_tell_end(struct visit *v, enum decoy_close why);

#endif
