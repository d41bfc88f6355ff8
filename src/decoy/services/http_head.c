/* SPDX-License-Identifier: Apache-2.0 */
/* Reading of request heads. */
#include "decoy/services/http_head.h"

#include <errno.h>
#include <string.h>

#define BODY_LENGTH_MAX (INT64_MAX / 2)

int
http_head_end(struct sv in, size_t *scanned, size_t *ret_n)
{
	/* Where the line begins in which the last look ended. */
	size_t at = *scanned;

	for (;;) {
		struct sv rest = sv_drop(in, at);
		size_t nl = sv_find(rest, '\n');

		if (nl > HTTP_LINE_MAX || at > HTTP_HEAD_MAX)
			return -EMSGSIZE;
		if (nl == rest.n) {
			*scanned = at;
			return 0;
		}
		/* An empty line ends it; HTTP/0.9 is a single line, and never waited for more. */
		if (at > 0 && (nl == 0 || (nl == 1 && rest.p[0] == '\r'))) {
			*ret_n = at + nl + 1;
			return 1;
		}
		if (at == 0 && sv_search((struct sv){rest.p, nl}, SV(" HTTP/")) == SIZE_MAX) {
			*ret_n = nl + 1;
			return 1;
		}
		at += nl + 1;
	}
}

/* The next line without its end. -EBADMSG for a bare line feed when strict, or a stray CR or NUL.
 */
static int
take_line(struct sv *rest, bool strict, struct sv *ret)
{
	struct sv line = sv_cut(rest, '\n');
	bool cr = line.n > 0 && line.p[line.n - 1] == '\r';

	if (cr)
		line.n--;
	if ((strict && !cr) || sv_find(line, '\r') < line.n || sv_find(line, '\0') < line.n)
		return -EBADMSG;
	*ret = line;
	return 0;
}

static bool
is_token(struct sv s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || strchr("()<>@,;:\\\"/[]?={}", s.p[i]))
			return false;
	return s.n > 0;
}

static int
read_request_line(struct sv line, struct http_head *h)
{
	struct sv digits;
	uint64_t n;

	h->method = sv_cut(&line, ' ');
	h->target = sv_cut(&line, ' ');
	h->version = line;
	if (!is_token(h->method) || h->target.n == 0)
		return 400;
	for (size_t i = 0; i < h->target.n; i++)
		if ((unsigned char)h->target.p[i] <= ' ' || h->target.p[i] == 0x7f)
			return 400;
	if (h->version.n == 0)
		return sv_eq(h->method, SV("GET")) ? 0 : 400;
	if (!sv_starts(h->version, SV("HTTP/")) || h->version.n != 8 || h->version.p[6] != '.')
		return 400;
	digits = (struct sv){h->version.p + 5, 1};
	if (sv_u64(digits, 9, &n) < 0 || sv_u64((struct sv){h->version.p + 7, 1}, 9, &n) < 0)
		return 400;
	h->minor = h->version.p[5] == '1' && h->version.p[7] == '0' ? 0 : 1;
	return 0;
}

static int
read_framing(struct sv name, struct sv value, struct http_head *h)
{
	if (sv_eq_ci(name, SV("content-length"))) {
		if (h->framing == HTTP_LENGTH || sv_u64(value, BODY_LENGTH_MAX, &h->length) < 0)
			return 400;
		if (h->framing == HTTP_NO_BODY)
			h->framing = HTTP_LENGTH;
	} else if (sv_eq_ci(name, SV("transfer-encoding"))) {
		if (!sv_eq_ci(value, SV("chunked")))
			return 400;
		h->framing = HTTP_CHUNKED;
	}
	return 0;
}

static int
read_field(struct sv line, struct http_head *h)
{
	size_t colon = sv_find(line, ':');
	struct sv name = {line.p, colon}, value;

	/* Neither a folded line nor one without a name. */
	if (colon == line.n || !is_token(name))
		return 400;
	value = sv_trim(sv_drop(line, colon + 1));
	if (sv_eq_ci(name, SV("host"))) {
		if (h->has_host)
			return 400;
		h->has_host = true;
		/* The absolute form of the target counts more. */
		if (h->host.n == 0)
			h->host = value;
	} else if (sv_eq_ci(name, SV("user-agent"))) {
		h->user_agent = value;
	} else if (sv_eq_ci(name, SV("authorization"))) {
		h->authorization = value;
	} else if (sv_eq_ci(name, SV("content-type"))) {
		h->type = value;
	} else if (sv_eq_ci(name, SV("connection"))) {
		h->asks_keep_alive = sv_eq_ci(value, SV("keep-alive"));
		if (sv_eq_ci(value, SV("close")))
			h->keep_alive = false;
		else if (h->asks_keep_alive)
			h->keep_alive = true;
	} else if (sv_eq_ci(name, SV("expect"))) {
		h->expects = h->minor == 1 && sv_eq_ci(value, SV("100-continue"));
	}
	return read_framing(name, value, h);
}

int
http_head_read(struct sv head, bool strict, struct http_head *ret)
{
	struct http_head h = {.minor = 1};
	struct sv line = {NULL, 0};
	unsigned fields = 0;
	int status = 0;

	if (take_line(&head, strict, &line) < 0)
		status = 400;
	else
		status = read_request_line(line, &h);
	if (sv_starts(h.target, SV("http://"))) {
		h.host = sv_drop(h.target, 7);
		h.host.n = sv_find(h.host, '/');
	}
	h.keep_alive = h.minor == 1 && h.version.n > 0;
	while (status == 0 && head.n > 0) {
		if (take_line(&head, strict, &line) < 0 || ++fields > HTTP_FIELDS_MAX + 1)
			status = 400;
		else if (line.n > 0)
			status = read_field(line, &h);
	}
	if (status == 0 && h.version.n > 0 && h.minor == 1 && !h.has_host)
		status = 400;
	*ret = h;
	return status;
}

/* Whether `..` leads above the root somewhere on the way. */
static bool
climbs_out(struct sv path)
{
	int depth = 0;

	while (path.n) {
		struct sv part = sv_cut(&path, '/');

		if (sv_eq(part, SV("..")))
			depth--;
		else if (part.n && !sv_eq(part, SV(".")))
			depth++;
		if (depth < 0)
			return true;
	}
	return false;
}

int
http_head_path(struct sv target, char *dst, size_t size, struct sv *ret)
{
	size_t n = 0;

	/* The absolute form, as a proxy is asked. */
	if (sv_starts(target, SV("http://"))) {
		target = sv_drop(target, 7);
		target = sv_drop(target, sv_find(target, '/'));
		if (target.n == 0)
			target = SV("/");
	}
	target.n = sv_find(target, '?');
	for (size_t i = 0; i < target.n && n < size; i++) {
		char c = target.p[i];

		if (c == '%') {
			bool whole = target.n - i > 2;
			int high = whole ? sv_hex(target.p[i + 1]) : -1;
			int low = whole ? sv_hex(target.p[i + 2]) : -1;

			if (high < 0 || low < 0)
				return 400;
			c = (char)(high * 16 + low);
			i += 2;
			if (c == '\0' || c == '/')
				return 404;
		}
		dst[n++] = c;
	}
	*ret = (struct sv){dst, n};
	if (n == 0 || (dst[0] != '/' && !sv_eq(*ret, SV("*"))) || climbs_out(*ret))
		return 400;
	return 0;
}
