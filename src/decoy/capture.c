/* SPDX-License-Identifier: Apache-2.0 */
/* The wire form of captures: big-endian, length-prefixed frames; acknowledgements and hellos have a
 * fixed size. */
#include "decoy/capture.h"

#include <errno.h>
#include <string.h>

#include "util/limits.h"

#define FRAME_VERSION 1
#define HEAD_BYTES    31 /* version, type, source, no, time, two ports, number of fields */
#define TEXTS	      6

static const struct {
	const char *word;
	bool interaction;
} types[CAPTURE_TYPE_COUNT] = {
#define CAPTURE(name, word, interaction, keys) {word, interaction},
#include "decoy/capture.def"
#undef CAPTURE
};

static const char ack_magic[] = {'D', 'C', 'A', '1'};
static const char hello_magic[] = {'D', 'C', 'H', '1'};

const char *
capture_word(enum capture_type t)
{
	return types[t].word;
}

bool
capture_interaction(enum capture_type t)
{
	return types[t].interaction;
}

static void
put_be(unsigned char *dst, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		dst[i] = (unsigned char)(value >> (8 * (bytes - 1 - i)));
}

static uint64_t
get_be(const char *p, unsigned bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < bytes; i++)
		value = value << 8 | (unsigned char)p[i];
	return value;
}

static int
put_num(struct buf *b, uint64_t value, unsigned bytes)
{
	unsigned char raw[8];

	put_be(raw, value, bytes);
	return buf_put(b, (struct sv){(const char *)raw, bytes});
}

static int
put_text(struct buf *b, struct sv text)
{
	int r;

	if (text.n > UINT16_MAX)
		return -EMSGSIZE;
	r = put_num(b, text.n, 2);
	return r < 0 ? r : buf_put(b, text);
}

static int
put_body(struct buf *b, const struct capture *c)
{
	const struct sv texts[TEXTS] = {c->topology_id, c->decky_uuid, c->decky,
					c->service,	c->session_id, c->peer_ip};
	int r = put_num(b, FRAME_VERSION, 1);

	if (r == 0)
		r = put_num(b, c->type, 1);
	if (r == 0)
		r = put_num(b, c->source, 8);
	if (r == 0)
		r = put_num(b, c->no, 8);
	if (r == 0)
		r = put_num(b, c->ts_ms, 8);
	if (r == 0)
		r = put_num(b, c->peer_port, 2);
	if (r == 0)
		r = put_num(b, c->local_port, 2);
	if (r == 0)
		r = put_num(b, c->nfields, 1);
	for (unsigned i = 0; r == 0 && i < TEXTS; i++)
		r = put_text(b, texts[i]);
	for (unsigned i = 0; r == 0 && i < c->nfields; i++) {
		r = put_text(b, c->fields[i].key);
		if (r == 0)
			r = put_text(b, c->fields[i].value);
	}
	return r;
}

int
capture_put(struct buf *b, const struct capture *c)
{
	size_t start = b->n;
	int r = put_num(b, 0, 4);

	if (r == 0)
		r = put_body(b, c);
	if (r == 0 && b->n - start > LIMIT_CAPTURE_BYTES)
		r = -EMSGSIZE;
	if (r < 0) {
		b->n = start;
		return r;
	}
	put_be((unsigned char *)b->p + start, b->n - start - 4, 4);
	return 0;
}

static int
get_text(struct sv *in, struct sv *ret)
{
	size_t n;

	if (in->n < 2)
		return -EBADMSG;
	n = (size_t)get_be(in->p, 2);
	*in = sv_drop(*in, 2);
	if (in->n < n)
		return -EBADMSG;
	*ret = (struct sv){in->p, n};
	*in = sv_drop(*in, n);
	return 0;
}

static int
get_body(struct sv in, struct capture *c)
{
	struct sv *texts[TEXTS] = {&c->topology_id, &c->decky_uuid, &c->decky,
				   &c->service,	    &c->session_id, &c->peer_ip};
	int r = 0;

	if (in.n < HEAD_BYTES || in.p[0] != FRAME_VERSION ||
	    (unsigned char)in.p[1] >= CAPTURE_TYPE_COUNT)
		return -EBADMSG;
	c->type = (enum capture_type)in.p[1];
	c->source = get_be(in.p + 2, 8);
	c->no = get_be(in.p + 10, 8);
	c->ts_ms = get_be(in.p + 18, 8);
	c->peer_port = (uint16_t)get_be(in.p + 26, 2);
	c->local_port = (uint16_t)get_be(in.p + 28, 2);
	c->nfields = (unsigned char)in.p[30];
	if (c->nfields > CAPTURE_FIELDS_MAX)
		return -EBADMSG;
	in = sv_drop(in, HEAD_BYTES);
	for (unsigned i = 0; r == 0 && i < TEXTS; i++)
		r = get_text(&in, texts[i]);
	for (unsigned i = 0; r == 0 && i < c->nfields; i++) {
		r = get_text(&in, &c->fields[i].key);
		if (r == 0)
			r = get_text(&in, &c->fields[i].value);
	}
	return r < 0 || in.n > 0 ? -EBADMSG : 0;
}

int
capture_get(struct sv in, size_t *ret_used, struct capture *ret)
{
	struct capture c = {0};
	size_t n;
	int r;

	if (in.n < 4)
		return 0;
	n = (size_t)get_be(in.p, 4);
	if (n > LIMIT_CAPTURE_BYTES - 4)
		return -EMSGSIZE;
	if (in.n - 4 < n)
		return 0;
	r = get_body((struct sv){in.p + 4, n}, &c);
	if (r < 0)
		return r;
	*ret_used = n + 4;
	*ret = c;
	return 1;
}

void
capture_ack_put(const struct capture_ack *a, unsigned char dst[CAPTURE_ACK_BYTES])
{
	memcpy(dst, ack_magic, 4);
	put_be(dst + 4, a->source, 8);
	put_be(dst + 12, a->no, 8);
}

int
capture_ack_get(struct sv in, struct capture_ack *ret)
{
	if (in.n != CAPTURE_ACK_BYTES || memcmp(in.p, ack_magic, 4) != 0)
		return -EBADMSG;
	ret->source = get_be(in.p + 4, 8);
	ret->no = get_be(in.p + 12, 8);
	return 0;
}

void
capture_hello_put(const struct capture_hello *h, unsigned char dst[CAPTURE_HELLO_BYTES])
{
	memcpy(dst, hello_magic, 4);
	put_be(dst + 4, h->source, 8);
	put_be(dst + 12, h->started_ms, 8);
	put_be(dst + 20, h->pid, 4);
	put_be(dst + 24, h->connections, 4);
}

int
capture_hello_get(struct sv in, struct capture_hello *ret)
{
	if (in.n != CAPTURE_HELLO_BYTES || memcmp(in.p, hello_magic, 4) != 0)
		return -EBADMSG;
	ret->source = get_be(in.p + 4, 8);
	ret->started_ms = get_be(in.p + 12, 8);
	ret->pid = (uint32_t)get_be(in.p + 20, 4);
	ret->connections = (uint32_t)get_be(in.p + 24, 4);
	return 0;
}
