/* SPDX-License-Identifier: Apache-2.0 */
/* The wire format of the bus: one event per call from the front of the bytes, and its encoders. */
#include "bus/proto.h"

#include <errno.h>
#include <string.h>

#include "bus/topic.h"
#include "util/limits.h"

/* A message has at most a subject, a reply, two sizes and a subscription id. */
#define FIELDS_MAX 5
#define DIGITS_MAX 20

enum shape { SHAPE_NONE, SHAPE_TEXT, SHAPE_WORDS, SHAPE_BODY, SHAPE_HEAD_BODY };

static const struct {
	struct sv word;
	bool from[2]; /* by enum bus_side */
	enum shape shape;
} verbs[BUS_VERB_COUNT] = {
#define VERB(name, wrd, client, broker, shp)                                                       \
	[BUS_VERB_##name] = {{wrd, sizeof(wrd) - 1}, {client, broker}, SHAPE_##shp},
#include "bus/verbs.def"
#undef VERB
};

static const struct {
	int code;
	const char *text;
	bool closes;
} errors[BUS_ERROR_COUNT] = {
#define BUS_ERROR(name, cd, txt, cls) [BUS_ERROR_##name] = {-(cd), txt, cls},
#include "bus/errors.def"
#undef BUS_ERROR
};

void
bus_parser_init(struct bus_parser *ps, enum bus_side side)
{
	*ps = (struct bus_parser){.side = side,
				  .line_max = side == BUS_SIDE_BROKER ? BUS_LINE_MAX_FROM_BROKER
								      : LIMIT_BUS_LINE_BYTES};
}

static bool
blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The next field of the line; empty at its end. */
static struct sv
next_field(struct sv *line)
{
	size_t start = 0, end;

	while (start < line->n && blank(line->p[start]))
		start++;
	for (end = start; end < line->n && !blank(line->p[end]);)
		end++;
	struct sv field = {line->p + start, end - start};

	*line = (struct sv){line->p + end, line->n - end};
	return field;
}

/* Number of fields, or FIELDS_MAX + 1 when there are more. */
static unsigned
split(struct sv line, struct sv fields[FIELDS_MAX])
{
	unsigned n = 0;

	for (;;) {
		struct sv field = next_field(&line);

		if (field.n == 0)
			return n;
		if (n == FIELDS_MAX)
			return FIELDS_MAX + 1;
		fields[n++] = field;
	}
}

static enum bus_verb
find_verb(struct sv word, enum bus_side side)
{
	for (unsigned v = 0; v < BUS_VERB_COUNT; v++)
		if (verbs[v].from[side] && word.n == verbs[v].word.n &&
		    sv_eq_ci(word, verbs[v].word))
			return (enum bus_verb)v;
	return BUS_VERB_COUNT;
}

/* A size field, compared with the ceiling before anything is added to it. */
static int
read_size(struct sv field, size_t *ret)
{
	uint64_t value = 0;
	int r = sv_u64(field, LIMIT_BUS_PAYLOAD_BYTES, &value);

	if (r < 0)
		return r == -ERANGE ? -EMSGSIZE : -EBADMSG;
	*ret = (size_t)value;
	return 0;
}

/* Subscription ids and queue names come back in lines of ours, so they hold no control byte. */
static bool
name_ok(struct sv s, size_t max)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return false;
	return s.n <= max;
}

/* SUB <subject> [queue] <sid>; UNSUB <sid> [max]. */
static int
read_words(struct sv line, struct bus_ev *ev)
{
	struct sv fields[FIELDS_MAX];
	unsigned n = split(line, fields);

	if (ev->verb == BUS_VERB_SUB) {
		if (n != 2 && n != 3)
			return -EBADMSG;
		ev->subject = fields[0];
		ev->queue = n == 3 ? fields[1] : (struct sv){NULL, 0};
		ev->sid = fields[n - 1];
		if (!name_ok(ev->queue, BUS_SUBJECT_MAX))
			return -EBADMSG;
	} else {
		if (n != 1 && n != 2)
			return -EBADMSG;
		ev->sid = fields[0];
		if (n == 2 && sv_u64(fields[1], UINT32_MAX, &ev->max) < 0)
			return -EBADMSG;
	}
	return name_ok(ev->sid, BUS_SID_MAX) ? 0 : -EBADMSG;
}

/* [H]PUB <subject> [reply] [#header] <#total>; [H]MSG has a sid after the subject. */
static int
read_message(struct sv line, struct bus_ev *ev, size_t *ret_headers, size_t *ret_total)
{
	bool sid = ev->verb == BUS_VERB_MSG || ev->verb == BUS_VERB_HMSG;
	unsigned sizes = verbs[ev->verb].shape == SHAPE_HEAD_BODY ? 2 : 1;
	unsigned least = 1 + (sid ? 1u : 0u) + sizes;
	struct sv fields[FIELDS_MAX];
	unsigned n = split(line, fields);
	size_t headers = 0, total;
	int r;

	if (n != least && n != least + 1)
		return -EBADMSG;
	ev->subject = fields[0];
	if (sid)
		ev->sid = fields[1];
	if (n == least + 1)
		ev->reply = fields[sid ? 2 : 1];
	r = read_size(fields[n - 1], &total);
	if (r == 0 && sizes == 2)
		r = read_size(fields[n - 2], &headers);
	if (r < 0)
		return r;
	if (headers > total || !name_ok(ev->sid, BUS_SID_MAX))
		return -EBADMSG;
	*ret_headers = headers;
	*ret_total = total;
	return 0;
}

/* -ERR carries its text in single quotes; a peer that forgets them is understood too. */
static struct sv
unquote(struct sv text)
{
	if (text.n >= 2 && text.p[0] == '\'' && text.p[text.n - 1] == '\'')
		return (struct sv){text.p + 1, text.n - 2};
	return text;
}

static int
read_line(enum bus_side side, struct sv line, struct bus_ev *ev, size_t *ret_headers,
	  size_t *ret_total)
{
	struct sv rest = line;
	struct sv word = line.n && blank(line.p[0]) ? (struct sv){line.p, 0} : next_field(&rest);

	*ev = (struct bus_ev){.verb = find_verb(word, side)};
	if (ev->verb == BUS_VERB_COUNT)
		return -EOPNOTSUPP;
	*ret_headers = *ret_total = 0;
	switch (verbs[ev->verb].shape) {
	case SHAPE_NONE: return sv_trim(rest).n ? -EBADMSG : 0;
	case SHAPE_TEXT:
		ev->text = sv_trim(rest);
		if (ev->verb == BUS_VERB_ERR)
			ev->text = unquote(ev->text);
		return ev->text.n ? 0 : -EBADMSG;
	case SHAPE_WORDS: return read_words(rest, ev);
	case SHAPE_BODY:
	case SHAPE_HEAD_BODY: break;
	}
	return read_message(rest, ev, ret_headers, ret_total);
}

/* Where the line ends: 1 with *ret_eol at its LF, 0, or -E2BIG. A CR before the LF does not count.
 */
static int
find_eol(struct bus_parser *ps, struct sv in, size_t *ret_eol)
{
	size_t look = in.n < ps->line_max + 2 ? in.n : ps->line_max + 2;
	const char *nl =
		look > ps->scanned ? memchr(in.p + ps->scanned, '\n', look - ps->scanned) : NULL;

	if (!nl) {
		ps->scanned = look;
		return look == ps->line_max + 2 ? -E2BIG : 0;
	}
	*ret_eol = (size_t)(nl - in.p);
	ps->scanned = *ret_eol;
	if (*ret_eol == ps->line_max + 1 && in.p[*ret_eol - 1] != '\r')
		return -E2BIG;
	return 1;
}

/* The bytes after the line: 1 with *ret_used, 0, or -EBADMSG when no line end follows them. */
static int
read_body(struct sv rest, size_t headers, size_t total, struct bus_ev *ev, size_t *ret_used)
{
	size_t end = total;

	if (rest.n <= total)
		return 0;
	if (rest.p[end] == '\r' && ++end == rest.n)
		return 0;
	if (rest.p[end] != '\n')
		return -EBADMSG;
	ev->headers = (struct sv){rest.p, headers};
	ev->payload = (struct sv){rest.p + headers, total - headers};
	*ret_used = end + 1;
	return 1;
}

/*
 * `PUB <subject> <#bytes>` as clients write it, whole: the bytes used, or 0 for everything that
 * deserves a closer look. The same as the long way, in one pass over the line.
 */
static size_t
quick_publish(struct sv in, struct bus_ev *ret_ev)
{
	size_t look = in.n < LIMIT_BUS_LINE_BYTES ? in.n : LIMIT_BUS_LINE_BYTES, at = 4, size = 0;
	struct sv subject;

	if (look < 8 || memcmp(in.p, "PUB ", 4) != 0)
		return 0;
	while (at < look && in.p[at] > ' ')
		at++;
	subject = (struct sv){in.p + 4, at - 4};
	if (subject.n == 0 || at == look || in.p[at++] != ' ')
		return 0;
	for (; at < look && in.p[at] >= '0' && in.p[at] <= '9'; at++) {
		size = size * 10 + (size_t)(in.p[at] - '0');
		if (size > LIMIT_BUS_PAYLOAD_BYTES)
			return 0;
	}
	if (in.p[at - 1] == ' ' || look - at < 2 || in.p[at] != '\r' || in.p[at + 1] != '\n')
		return 0;
	at += 2;
	if (in.n - at < size + 2 || in.p[at + size] != '\r' || in.p[at + size + 1] != '\n')
		return 0;
	*ret_ev = (struct bus_ev){
		.verb = BUS_VERB_PUB, .subject = subject, .payload = {in.p + at, size}};
	return at + size + 2;
}

int
bus_parse(struct bus_parser *ps, struct sv in, size_t *ret_used, struct bus_ev *ret_ev)
{
	size_t eol = 0, headers, total, body = 0;
	struct bus_ev ev;
	int r;

	if (ps->scanned == 0 && ps->side == BUS_SIDE_CLIENT) {
		body = quick_publish(in, ret_ev);
		if (body > 0) {
			*ret_used = body;
			return 1;
		}
	}
	r = find_eol(ps, in, &eol);
	if (r <= 0)
		return r;
	r = read_line(ps->side, (struct sv){in.p, eol - (eol && in.p[eol - 1] == '\r')}, &ev,
		      &headers, &total);
	if (r < 0)
		return r;
	if (verbs[ev.verb].shape >= SHAPE_BODY) {
		r = read_body(sv_drop(in, eol + 1), headers, total, &ev, &body);
		if (r <= 0)
			return r;
	}
	ps->scanned = 0;
	*ret_used = eol + 1 + body;
	*ret_ev = ev;
	return 1;
}

int
bus_error_code(enum bus_error err)
{
	return errors[err].code;
}

const char *
bus_error_text(enum bus_error err)
{
	return errors[err].text;
}

bool
bus_error_closes(enum bus_error err)
{
	return errors[err].closes;
}

enum bus_error
bus_error_of(int code)
{
	for (unsigned i = 0; i < BUS_ERROR_COUNT; i++)
		if (errors[i].code == code)
			return (enum bus_error)i;
	return BUS_ERROR_COUNT;
}

static char *
put_bytes(char *at, struct sv s)
{
	if (s.n)
		memcpy(at, s.p, s.n);
	return at + s.n;
}

static char *
put_field(char *at, struct sv s)
{
	if (s.n == 0)
		return at;
	*at = ' ';
	return put_bytes(at + 1, s);
}

static char *
put_number(char *at, uint64_t value)
{
	char digits[DIGITS_MAX];
	size_t n = 0;

	do
		digits[n++] = (char)('0' + value % 10);
	while (value /= 10);
	*at++ = ' ';
	while (n > 0)
		*at++ = digits[--n];
	return at;
}

size_t
bus_proto_head_max(const struct bus_ev *ev)
{
	/* Word, blanks, quotes and CRLF take less than 20 bytes. */
	return ev->text.n + ev->subject.n + ev->reply.n + ev->queue.n + ev->sid.n +
	       2 * (size_t)DIGITS_MAX + 20;
}

/* What nearly every line of the broker is: MSG <subject> <sid> <#bytes>. */
static size_t
plain_message(char *dst, const struct bus_ev *ev)
{
	char *at = dst;

	memcpy(at, "MSG ", 4);
	memcpy(at + 4, ev->subject.p, ev->subject.n);
	at += 4 + ev->subject.n;
	*at++ = ' ';
	for (size_t i = 0; i < ev->sid.n; i++)
		*at++ = ev->sid.p[i];
	at = put_number(at, ev->payload.n);
	memcpy(at, "\r\n", 2);
	return (size_t)(at + 2 - dst);
}

size_t
bus_proto_head(char *dst, const struct bus_ev *ev)
{
	enum bus_verb verb = ev->verb;
	char *at;

	if (verb == BUS_VERB_MSG && ev->headers.n == 0 && ev->reply.n == 0 && ev->subject.n > 0 &&
	    ev->sid.n > 0)
		return plain_message(dst, ev);
	if (ev->headers.n)
		verb = verb == BUS_VERB_PUB ? BUS_VERB_HPUB
					    : (verb == BUS_VERB_MSG ? BUS_VERB_HMSG : verb);
	at = put_bytes(dst, verbs[verb].word);
	switch (verbs[verb].shape) {
	case SHAPE_NONE: break;
	case SHAPE_TEXT:
		at = put_bytes(at, verb == BUS_VERB_ERR ? SV(" '") : SV(" "));
		at = put_bytes(at, ev->text);
		at = put_bytes(at, verb == BUS_VERB_ERR ? SV("'") : SV(""));
		break;
	case SHAPE_WORDS:
		if (verb == BUS_VERB_SUB)
			at = put_field(put_field(at, ev->subject), ev->queue);
		at = put_field(at, ev->sid);
		if (verb == BUS_VERB_UNSUB && ev->max)
			at = put_number(at, ev->max);
		break;
	case SHAPE_BODY:
	case SHAPE_HEAD_BODY:
		at = put_field(at, ev->subject);
		if (verb == BUS_VERB_MSG || verb == BUS_VERB_HMSG)
			at = put_field(at, ev->sid);
		at = put_field(at, ev->reply);
		if (verbs[verb].shape == SHAPE_HEAD_BODY)
			at = put_number(at, ev->headers.n);
		at = put_number(at, ev->headers.n + ev->payload.n);
		break;
	}
	at = put_bytes(at, SV("\r\n"));
	return (size_t)(at - dst);
}

int
bus_proto_put(struct buf *b, const struct bus_ev *ev)
{
	bool body = verbs[ev->verb].shape >= SHAPE_BODY;
	size_t head = bus_proto_head_max(ev);
	int r = buf_reserve(b, head + ev->headers.n + ev->payload.n + 2);

	if (r < 0)
		return r;
	b->n += bus_proto_head(b->p + b->n, ev);
	if (!body)
		return 0;
	/* Reserved above, so these cannot fail. */
	char *at = put_bytes(b->p + b->n, ev->headers);

	at = put_bytes(at, ev->payload);
	at = put_bytes(at, SV("\r\n"));
	b->n = (size_t)(at - b->p);
	return 0;
}
