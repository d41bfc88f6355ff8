/* SPDX-License-Identifier: Apache-2.0 */
/* A management agent: SNMP v1 and v2c (RFC 1157, RFC 3416), read-only, as net-snmp's is set up. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "decoy/service.h"
#include "decoy/services/ber.h"
#include "decoy/services/snmp_mib.h"

#define PDU_GET	     0xa0
#define PDU_NEXT     0xa1
#define PDU_RESPONSE 0xa2
#define PDU_SET	     0xa3
#define PDU_BULK     0xa5

#define NO_OBJECT   0x80
#define NO_INSTANCE 0x81
#define END_OF_VIEW 0x82

enum status { STATUS_OK = 0, STATUS_TOO_BIG = 1, STATUS_NO_SUCH_NAME = 2, STATUS_NO_ACCESS = 6 };

#define ITEMS_MAX     48
#define COMMUNITY_MAX 64
#define REPLY_MAX     1400 /* what fits a frame of Ethernet */
#define LINE_MAX      1024

struct snmp {
	char community[COMMUNITY_MAX]; /* the last one that was told */
	uint8_t community_n;
	bool told;
};

struct item {
	struct ber_oid oid;
	int row;	   /* of the tree, or -1 */
	uint8_t exception; /* where there is no row */
};

struct message {
	int64_t version, id, non_repeaters, repetitions;
	struct sv community;
	uint8_t pdu;
	struct item asked[ITEMS_MAX], items[ITEMS_MAX];
	unsigned nasked, n;
};

static int
read_items(struct sv in, struct message *m)
{
	while (in.n > 0) {
		struct sv pair, name, value;
		uint8_t tag;

		if (m->nasked == ITEMS_MAX || ber_expect(&in, BER_SEQUENCE, &pair) < 0 ||
		    ber_expect(&pair, BER_OID, &name) < 0 ||
		    ber_arcs(name, &m->asked[m->nasked].oid) < 0 ||
		    ber_get(&pair, &tag, &value) != 1)
			return -EBADMSG;
		m->nasked++;
	}
	return 0;
}

/* The contents of the outer sequence. 0; 1: a version that we do not speak; -EBADMSG. */
static int
read_message(struct sv in, struct message *m)
{
	struct sv pdu, list;

	if (ber_integer(&in, &m->version) < 0)
		return -EBADMSG;
	/* The third version has another form, and no user of ours. */
	if (m->version == 3)
		return 1;
	if ((m->version != 0 && m->version != 1) ||
	    ber_expect(&in, BER_OCTETS, &m->community) < 0 || ber_get(&in, &m->pdu, &pdu) != 1 ||
	    ber_integer(&pdu, &m->id) < 0 || ber_integer(&pdu, &m->non_repeaters) < 0 ||
	    ber_integer(&pdu, &m->repetitions) < 0 || ber_expect(&pdu, BER_SEQUENCE, &list) < 0)
		return -EBADMSG;
	if (m->pdu != PDU_GET && m->pdu != PDU_NEXT && m->pdu != PDU_SET &&
	    (m->pdu != PDU_BULK || m->version == 0))
		return -EBADMSG;
	return read_items(list, m);
}

static const char *
verb(uint8_t pdu)
{
	switch (pdu) {
	case PDU_GET: return "get";
	case PDU_NEXT: return "getnext";
	case PDU_SET: return "set";
	default: return "getbulk";
	}
}

static int
tell_command(struct decoy_io *io, const struct message *m)
{
	char line[LINE_MAX];
	size_t n = (size_t)snprintf(line, sizeof(line), "%s", verb(m->pdu));

	for (unsigned i = 0; i < m->nasked; i++) {
		const struct ber_oid *oid = &m->asked[i].oid;

		for (unsigned k = 0; k < oid->n && n + 12 < sizeof(line); k++)
			n += (size_t)snprintf(line + n, sizeof(line) - n, "%s%" PRIu32,
					      k ? "." : " ", oid->arc[k]);
	}
	return DECOY_CAPTURE(io, CAPTURE_COMMAND, {SV("command"), {line, n}});
}

/* Who knows the word may read; every new word is an attempt to log in. */
static int
tell_community(struct snmp *s, struct decoy_io *io, struct sv community, bool ok)
{
	struct sv kept = {community.p, community.n < COMMUNITY_MAX ? community.n : COMMUNITY_MAX};

	if (s->told && sv_eq(kept, (struct sv){s->community, s->community_n}))
		return 0;
	memcpy(s->community, kept.p, kept.n);
	s->community_n = (uint8_t)kept.n;
	s->told = true;
	return DECOY_CAPTURE(io, CAPTURE_AUTH, {SV("username"), SV("")},
			     {SV("password"), community}, {SV("method"), SV("community")},
			     {SV("ok"), ok ? SV("true") : SV("false")});
}

static void
add_next(struct message *m, const struct ber_oid *after)
{
	struct item *it = &m->items[m->n++];

	it->row = mib_next(after);
	it->exception = END_OF_VIEW;
	it->oid = it->row >= 0 ? mib_oid(it->row) : *after;
}

static void
add_exact(struct message *m, const struct ber_oid *oid)
{
	struct item *it = &m->items[m->n++];

	it->row = mib_find(oid);
	it->exception = mib_has_object(oid) ? NO_INSTANCE : NO_OBJECT;
	it->oid = *oid;
}

static unsigned
bounded(int64_t n, unsigned most)
{
	return n < 0 ? 0 : n > (int64_t)most ? most : (unsigned)n;
}

static void
add_bulk(struct message *m)
{
	unsigned once = bounded(m->non_repeaters, m->nasked);
	unsigned rounds = bounded(m->repetitions, ITEMS_MAX);
	unsigned from = 0;

	for (unsigned i = 0; i < once; i++)
		add_next(m, &m->asked[i].oid);
	for (unsigned round = 0; round < rounds; round++) {
		unsigned each = m->nasked - once, begin = m->n;

		for (unsigned i = 0; i < each && m->n < ITEMS_MAX; i++) {
			struct ber_oid after =
				round == 0 ? m->asked[once + i].oid : m->items[from + i].oid;

			add_next(m, &after);
		}
		from = begin;
	}
}

/* What is answered, or the status and the index (from 1) of the item that has it. */
static enum status
look_up(struct message *m, unsigned *ret_index)
{
	*ret_index = 0;
	if (m->pdu == PDU_SET) {
		*ret_index = 1;
		return m->version == 0 ? STATUS_NO_SUCH_NAME : STATUS_NO_ACCESS;
	}
	if (m->pdu == PDU_BULK)
		add_bulk(m);
	for (unsigned i = 0; i < m->nasked && m->pdu != PDU_BULK; i++) {
		if (m->pdu == PDU_NEXT)
			add_next(m, &m->asked[i].oid);
		else
			add_exact(m, &m->asked[i].oid);
		/* The first version knows no exceptions. */
		if (m->version == 0 && m->items[i].row < 0) {
			*ret_index = i + 1;
			return STATUS_NO_SUCH_NAME;
		}
	}
	return STATUS_OK;
}

/* The whole response; o->failed when it is too long. */
static void
write_response(struct ber_out *o, const struct message *m, const struct decoy_io *io,
	       const struct item *items, unsigned n, enum status status, unsigned index)
{
	size_t end = o->at;

	for (unsigned i = n; i-- > 0;) {
		size_t pair = o->at;

		if (status != STATUS_OK)
			ber_put_octets(o, BER_NULL, SV(""));
		else if (items[i].row < 0)
			ber_put_octets(o, items[i].exception, SV(""));
		else
			mib_put_value(o, items[i].row, io);
		ber_put_oid(o, &items[i].oid);
		ber_put_head(o, BER_SEQUENCE, pair);
	}
	ber_put_head(o, BER_SEQUENCE, end);
	ber_put_integer(o, BER_INTEGER, index);
	ber_put_integer(o, BER_INTEGER, status);
	ber_put_integer(o, BER_INTEGER, m->id);
	ber_put_head(o, PDU_RESPONSE, end);
	ber_put_octets(o, BER_OCTETS, m->community);
	ber_put_integer(o, BER_INTEGER, m->version);
	ber_put_head(o, BER_SEQUENCE, end);
}

static int
respond(struct decoy_io *io, struct message *m)
{
	unsigned char bytes[REPLY_MAX];
	unsigned index, n;
	enum status status = look_up(m, &index);
	const struct item *items = status == STATUS_OK ? m->items : m->asked;
	struct ber_out o;

	n = status == STATUS_OK ? m->n : m->nasked;
	for (;;) {
		o = (struct ber_out){.base = bytes, .at = sizeof(bytes)};
		write_response(&o, m, io, items, n, status, index);
		if (!o.failed || n == 0)
			break;
		/* A bulk gives as many as fit (RFC 3416, 4.2.3). */
		if (m->pdu == PDU_BULK) {
			n--;
			continue;
		}
		n = 0;
		status = STATUS_TOO_BIG;
		index = 0;
	}
	if (o.failed)
		return 0;
	return buf_put(io->out, (struct sv){(const char *)bytes + o.at, sizeof(bytes) - o.at});
}

static int
snmp_input(void *state, struct decoy_io *io, struct sv in, size_t *ret_used)
{
	struct sv rest = in, outer;
	struct message m = {0};
	uint8_t tag;
	bool known;
	int r = ber_get(&rest, &tag, &outer);

	if (r <= 0)
		return r;
	*ret_used = in.n - rest.n;
	if (tag != BER_SEQUENCE)
		return -EBADMSG;
	r = read_message(outer, &m);
	if (r != 0)
		return r < 0 ? r : 0;
	known = sv_eq(m.community, SV("public")) || sv_eq(m.community, SV("private"));
	r = tell_community(state, io, m.community, known);
	if (r == 0)
		r = tell_command(io, &m);
	/* A wrong word is answered by silence. */
	return r == 0 && known ? respond(io, &m) : r;
}

static int
snmp_configure(void *config, const json_t *object, struct err *e)
{
	(void)config;
	(void)object;
	(void)e;
	return 0;
}

const struct decoy_service decoy_service_snmp = {
	.name = "snmp",
	.transports = DECOY_UDP,
	.idle_ms = 30 * 1000,
	.life_ms = 3600 * 1000,
	.state_size = sizeof(struct snmp),
	.in_max = 8192,
	.out_max = 8192,
	.configure = snmp_configure,
	.input = snmp_input,
};
