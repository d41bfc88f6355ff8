/* SPDX-License-Identifier: Apache-2.0 */
/* Strict parsing of request heads and chunked bodies. */
#include "http/parse.h"

#include <errno.h>
#include <string.h>

#include "http/field.h"

/* Trailer fields are read past and forgotten. */
#define TRAILER_BYTES_MAX 8192
#define CHUNK_LINE_MAX	  256

const char *
http_reason(int status)
{
	switch (status) {
#define STATUS(code, reason)                                                                       \
	case code:                                                                                 \
		return reason;
#include "http/status.def"
#undef STATUS
	default: return "Unknown";
	}
}

/* RFC 9110, 5.6.2. */
static bool
is_token_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

bool
http_token(struct sv s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_token_char(s.p[i]))
			return false;
	return s.n > 0;
}

/* The length of `http://` or `https://`, in any case (RFC 3986, 3.1), or 0. */
static size_t
absolute_prefix(struct sv target)
{
	static const struct sv prefixes[] = {{"http://", 7}, {"https://", 8}};

	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
		if (target.n >= prefixes[i].n &&
		    sv_eq_ci((struct sv){target.p, prefixes[i].n}, prefixes[i]))
			return prefixes[i].n;
	return 0;
}

int
http_target_read(struct sv method, struct sv target, struct sv *ret_path, struct sv *ret_query)
{
	struct sv rest = target;
	size_t mark;

	for (size_t i = 0; i < rest.n; i++)
		if (rest.p[i] <= ' ' || rest.p[i] > '~' || rest.p[i] == '#')
			return -EBADMSG;
	/* The absolute form names a server, too; which one is not our business. */
	mark = absolute_prefix(rest);
	if (mark) {
		rest = sv_drop(rest, mark);
		mark = sv_find(rest, '/');
		if (mark == rest.n || !http_host_valid((struct sv){rest.p, mark}))
			return -EBADMSG;
		rest = sv_drop(rest, mark);
	}
	if (rest.n == 0 ||
	    (rest.p[0] != '/' && !(sv_eq(rest, SV("*")) && sv_eq(method, SV("OPTIONS")))))
		return -EBADMSG;
	*ret_path = sv_cut(&rest, '?');
	*ret_query = rest;
	return 0;
}

static int
read_request_line(struct sv line, struct http_head *h)
{
	struct sv version;

	h->method = sv_cut(&line, ' ');
	h->target = sv_cut(&line, ' ');
	version = line;
	if (!http_token(h->method) || h->method.n > 32)
		return -EBADMSG;
	if (sv_eq(version, SV("HTTP/1.1")))
		h->minor = 1;
	else if (!sv_eq(version, SV("HTTP/1.0")))
		return -EBADMSG;
	return http_target_read(h->method, h->target, &h->path, &h->query);
}

static int
check_request_line(struct sv line)
{
	struct http_head h = {0};

	return read_request_line(line, &h);
}

static int
read_field(struct sv line, struct http_field *ret)
{
	size_t colon = sv_find(line, ':');
	struct sv name = {line.p, colon};
	struct sv value = sv_trim(sv_drop(line, colon + 1));

	/* A blank before the colon, a folded line or a missing colon all fail here. */
	if (colon == line.n || !http_token(name))
		return -EBADMSG;
	for (size_t i = 0; i < value.n; i++)
		if ((unsigned char)value.p[i] < ' ' ? value.p[i] != '\t' : value.p[i] == 0x7f)
			return -EBADMSG;
	*ret = (struct http_field){name, value};
	return 0;
}

/* Whether the comma list holds the word. */
static bool
list_has(struct sv list, struct sv word)
{
	while (list.n) {
		struct sv item = sv_trim(sv_cut(&list, ','));

		if (sv_eq_ci(item, word))
			return true;
	}
	return false;
}

/* Some recipients take a tab beside the value for a part of it; where a request ends must not
 * depend on that. */
static bool
has_tab(const struct http_field *f)
{
	/* The line is still there, with its CRLF. */
	for (const char *p = f->name.p + f->name.n; *p != '\r'; p++)
		if (*p == '\t')
			return true;
	return false;
}

static bool
repeated(const struct http_head *h, size_t i)
{
	if (!http_field_single(h->fields[i].name))
		return false;
	for (size_t k = 0; k < i; k++)
		if (sv_eq_ci(h->fields[k].name, h->fields[i].name))
			return true;
	return false;
}

/* The fields that decide where this request ends and the next begins. */
static int
read_framing(struct http_head *h)
{
	bool host = false;

	h->keep_alive = h->minor == 1;
	for (size_t i = 0; i < h->nfields; i++) {
		const struct http_field *f = &h->fields[i];

		if (repeated(h, i))
			return -EBADMSG;
		if (sv_eq_ci(f->name, SV("host"))) {
			host = true;
			if (!http_host_valid(f->value))
				return -EBADMSG;
		} else if (sv_eq_ci(f->name, SV("content-length"))) {
			h->has_length = true;
			if (has_tab(f) || sv_u64(f->value, UINT64_MAX / 2, &h->length) < 0)
				return -EBADMSG;
		} else if (sv_eq_ci(f->name, SV("transfer-encoding"))) {
			h->chunked = true;
			if (has_tab(f) || !sv_eq_ci(f->value, SV("chunked")))
				return -EBADMSG;
		} else if (sv_eq_ci(f->name, SV("connection"))) {
			if (list_has(f->value, SV("close")))
				h->keep_alive = false;
			else if (h->minor == 0 && list_has(f->value, SV("keep-alive")))
				h->keep_alive = true;
		} else if (sv_eq_ci(f->name, SV("expect"))) {
			h->expect_continue =
				h->minor == 1 && sv_eq_ci(f->value, SV("100-continue"));
		}
	}
	if ((!host && h->minor == 1) || (h->chunked && (h->has_length || h->minor == 0)))
		return -EBADMSG;
	return 0;
}

static int
read_head(struct sv head, struct http_head *h)
{
	bool first = true;
	int r;

	memset(h, 0, offsetof(struct http_head, fields));
	while (head.n) {
		size_t end = sv_search(head, SV("\r\n"));
		struct sv line = {head.p, end};

		/* A bare CR or LF inside a line is a line end to somebody else. */
		if (memchr(line.p, '\r', line.n) || memchr(line.p, '\n', line.n) ||
		    memchr(line.p, 0, line.n))
			return -EBADMSG;
		head = sv_drop(head, end + 2);
		if (first) {
			if (line.n > LIMIT_REQUEST_LINE_BYTES)
				return -ENAMETOOLONG;
			r = read_request_line(line, h);
			first = false;
		} else {
			if (h->nfields == LIMIT_HEADER_FIELDS)
				return -E2BIG;
			r = read_field(line, &h->fields[h->nfields++]);
		}
		if (r < 0)
			return r;
	}
	return read_framing(h);
}

/* Where the empty line begins, or SIZE_MAX; -EBADMSG for a line that does not end in CRLF: then the
 * peer and we disagree on what a line is, and need not wait for the rest. */
static int
find_end(struct sv in, size_t from, size_t *ret_end)
{
	for (;;) {
		size_t at = from + sv_find(sv_drop(in, from), '\n');

		if (at >= in.n) {
			*ret_end = SIZE_MAX;
			return 0;
		}
		if (at == 0 || in.p[at - 1] != '\r')
			return -EBADMSG;
		if (at >= 3 && in.p[at - 2] == '\n') {
			*ret_end = at - 3;
			return 0;
		}
		from = at + 1;
	}
}

int
http_head_parse(struct http_head_parser *ps, struct sv in, size_t *ret_used,
		struct http_head *ret_head)
{
	size_t line_end, end;
	bool large;
	int r;

	/* The first byte already tells a TLS hello and other strangers apart. */
	if (in.n && !is_token_char(in.p[0]))
		return -EBADMSG;
	line_end = sv_find(in, '\n');
	if (line_end > LIMIT_REQUEST_LINE_BYTES + 1)
		return line_end == in.n && in.n <= LIMIT_REQUEST_LINE_BYTES + 2 ? 0 : -ENAMETOOLONG;
	r = find_end(in, ps->scanned, &end);
	if (r < 0)
		return r;
	large = line_end < in.n && (end == SIZE_MAX ? in.n : end) > line_end + LIMIT_HEADER_BYTES;
	/* Who begins with something else than a request line need not wait for its answer. */
	if (line_end < in.n && ps->scanned <= line_end && (end == SIZE_MAX || large)) {
		r = check_request_line((struct sv){in.p, line_end - 1});
		if (r < 0)
			return r;
	}
	if (large)
		return -E2BIG;
	if (end == SIZE_MAX) {
		ps->scanned = in.n;
		return 0;
	}
	ps->scanned = 0;
	r = read_head((struct sv){in.p, end + 2}, ret_head);
	if (r < 0)
		return r;
	*ret_used = end + 4;
	return 1;
}

/* `hex [;extension]`: at most 15 digits, so that it cannot overflow; an extension is read past (RFC
 * 9112, 7.1.1). */
static int
read_chunk_size(struct sv line, uint64_t *ret)
{
	uint64_t size = 0;
	size_t i = 0;

	while (i < line.n && sv_hex(line.p[i]) >= 0) {
		if (i == 15)
			return -EBADMSG;
		size = size << 4 | (uint64_t)sv_hex(line.p[i++]);
	}
	if (i == 0 || (i < line.n && line.p[i] != ';'))
		return -EBADMSG;
	for (; i < line.n; i++)
		if (line.p[i] < ' ' || line.p[i] > '~')
			return -EBADMSG;
	*ret = size;
	return 0;
}

/* One line ending in CRLF from the front. 1 and the line, 0, -EBADMSG. */
static int
take_line(struct sv *in, size_t max, struct sv *ret_line)
{
	size_t at = sv_find(*in, '\n');

	if (at == in->n)
		return in->n > max ? -EBADMSG : 0;
	if (at == 0 || at > max || in->p[at - 1] != '\r' || memchr(in->p, '\r', at - 1))
		return -EBADMSG;
	*ret_line = (struct sv){in->p, at - 1};
	*in = sv_drop(*in, at + 1);
	return 1;
}

static int
chunk_data(struct http_chunked *d, struct sv *in, struct buf *out)
{
	struct sv part = {in->p, d->left < in->n ? (size_t)d->left : in->n};
	int r = buf_put(out, part);

	if (r < 0)
		return r == -ENOBUFS ? -EFBIG : r;
	d->left -= part.n;
	*in = sv_drop(*in, part.n);
	if (d->left > 0)
		return 0;
	d->phase = CHUNK_DATA_END;
	return 1;
}

static int
chunk_step(struct http_chunked *d, struct sv *in, struct buf *out)
{
	struct http_field ignored;
	struct sv line;
	int r;

	switch (d->phase) {
	case CHUNK_SIZE:
		r = take_line(in, CHUNK_LINE_MAX, &line);
		if (r > 0)
			r = read_chunk_size(line, &d->left) < 0 ? -EBADMSG : 1;
		if (r > 0 && d->left > out->max - out->n)
			r = -EFBIG;
		if (r > 0)
			d->phase = d->left ? CHUNK_DATA : CHUNK_TRAILER;
		return r;
	case CHUNK_DATA: return chunk_data(d, in, out);
	case CHUNK_DATA_END:
		if (in->n && in->p[0] != '\r')
			return -EBADMSG;
		r = take_line(in, 1, &line);
		if (r > 0)
			d->phase = CHUNK_SIZE;
		return r;
	case CHUNK_TRAILER:
		r = take_line(in, TRAILER_BYTES_MAX - d->trailers, &line);
		if (r <= 0)
			return r;
		if (line.n == 0) {
			d->phase = CHUNK_DONE;
			return 1;
		}
		d->trailers += line.n;
		return read_field(line, &ignored) < 0 || d->trailers > TRAILER_BYTES_MAX ? -EBADMSG
											 : 1;
	case CHUNK_DONE: break;
	}
	return 0;
}

int
http_chunked_decode(struct http_chunked *d, struct sv in, size_t *ret_used, struct buf *out)
{
	struct sv rest = in;
	int r;

	do
		r = chunk_step(d, &rest, out);
	while (r > 0 && d->phase != CHUNK_DONE);
	*ret_used = in.n - rest.n;
	if (r < 0)
		return r;
	return d->phase == CHUNK_DONE;
}
