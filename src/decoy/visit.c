/* SPDX-License-Identifier: Apache-2.0 */
/* Captures with the place, the peer and the time in them. */
#include "decoy/visit.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "util/log.h"

static const char *const close_texts[DECOY_CLOSE_COUNT] = {
#define DECOY_CLOSE(name, text, peer) text,
#include "decoy/close.def"
#undef DECOY_CLOSE
};

const char *
decoy_close_text(enum decoy_close why)
{
	return close_texts[why];
}

static uint16_t
name_peer(const struct sockaddr_storage *peer, char ip[INET6_ADDRSTRLEN])
{
	struct sockaddr_in6 six;
	struct sockaddr_in four;

	if (peer->ss_family == AF_INET6) {
		memcpy(&six, peer, sizeof(six));
		/* A mapped address is the IPv4 one to everybody else. */
		if (IN6_IS_ADDR_V4MAPPED(&six.sin6_addr))
			(void)inet_ntop(AF_INET, &six.sin6_addr.s6_addr[12], ip, INET6_ADDRSTRLEN);
		else
			(void)inet_ntop(AF_INET6, &six.sin6_addr, ip, INET6_ADDRSTRLEN);
		return ntohs(six.sin6_port);
	}
	memcpy(&four, peer, sizeof(four));
	(void)inet_ntop(AF_INET, &four.sin_addr, ip, INET6_ADDRSTRLEN);
	return ntohs(four.sin_port);
}

void
visit_begin(struct visit *v, struct loop *loop, struct sender *sender, struct listener *l,
	    const struct sockaddr_storage *peer)
{
	*v = (struct visit){
		.loop = loop,
		.sender = sender,
		.listener = listener_ref(l),
		.started_ms = loop_now_ms(loop),
	};
	id_uuid7(v->id);
	v->port = name_peer(peer, v->ip);
}

void
visit_fini(struct visit *v)
{
	listener_unref(v->listener);
	v->listener = NULL;
}

struct decoy_io
visit_io(const struct visit *v, struct buf *out, struct buf *captures)
{
	return (struct decoy_io){
		.out = out,
		.captures = captures,
		.now_ms = loop_unix_ms(v->loop),
		.host = &v->listener->host,
		.config = v->listener->config,
		.peer_ip = sv_from(v->ip),
		.peer_port = v->port,
		.port = v->listener->place.port,
	};
}

static void
tell(struct visit *v, struct capture *c)
{
	const struct control *place = &v->listener->place;
	int r;

	c->ts_ms = loop_unix_ms(v->loop);
	c->topology_id = sv_from(place->topology_id);
	c->decky_uuid = sv_from(place->decky_uuid);
	c->decky = sv_from(place->decky);
	c->service = sv_from(place->service);
	c->session_id = sv_from(v->id);
	c->peer_ip = sv_from(v->ip);
	c->peer_port = v->port;
	c->local_port = place->port;
	r = sender_put(v->sender, c);
	if (r < 0 && v->listener->lost++ == 0)
		log_event(LV_ERR, "decoy.capture.lost", KV_S("listener", place->listener),
			  KV_I("errno", -r));
}

void
visit_tell(struct visit *v, enum capture_type type)
{
	tell(v, &(struct capture){.type = type});
}

void
visit_tell_all(struct visit *v, struct buf *captures)
{
	struct sv rest = buf_sv(captures);
	struct capture c;
	size_t used = 0;

	while (capture_get(rest, &used, &c) == 1) {
		rest = sv_drop(rest, used);
		tell(v, &c);
	}
	buf_reset(captures);
}

void
visit_tell_end(struct visit *v, enum decoy_close why)
{
	uint64_t ms = loop_now_ms(v->loop) - v->started_ms;
	char duration[24], in[24], out[24];

	(void)snprintf(duration, sizeof(duration), "%" PRIu64 ".%03" PRIu64, ms / 1000, ms % 1000);
	(void)snprintf(in, sizeof(in), "%" PRIu64, v->bytes_in);
	(void)snprintf(out, sizeof(out), "%" PRIu64, v->bytes_out);
	tell(v, &(struct capture){
			.type = CAPTURE_DISCONNECT,
			.nfields = 4,
			.fields = {{SV("duration_s"), sv_from(duration)},
				   {SV("bytes_in"), sv_from(in)},
				   {SV("bytes_out"), sv_from(out)},
				   {SV("reason"), sv_from(decoy_close_text(why))}},
		});
}
