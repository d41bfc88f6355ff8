/* SPDX-License-Identifier: Apache-2.0 */
/* Reading of Redis commands. */
#include "decoy/services/resp.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HEADER_LINE_MAX 32 /* `*` or `$`, sign, digits; a real server allows 64 KiB */
#define ARRAY_MAX	(1024 * 1024)

static int
fail(char why[64], const char *text)
{
	(void)snprintf(why, 64, "%s", text);
	return -EBADMSG;
}

/* A line "<mark><number>\r\n" at pos. 1, 0 more needed, -EBADMSG. */
static int
header(struct resp *p, struct sv in, int64_t *ret)
{
	struct sv rest = sv_drop(in, p->pos);
	size_t eol = sv_find(rest, '\r');
	struct sv digits;
	uint64_t value;
	bool negative;

	if (eol == rest.n || eol + 1 == rest.n)
		return rest.n > HEADER_LINE_MAX && eol >= HEADER_LINE_MAX ? -EBADMSG : 0;
	digits = (struct sv){rest.p + 1, eol - 1};
	negative = digits.n > 0 && digits.p[0] == '-';
	if (negative)
		digits = sv_drop(digits, 1);
	if (sv_u64(digits, INT64_MAX, &value) < 0)
		return -EBADMSG;
	*ret = negative ? -(int64_t)value : (int64_t)value;
	/* As the real one: what follows the CR is taken for an LF. */
	p->pos += (uint32_t)eol + 2;
	return 1;
}

static int
done(struct resp *p, struct sv in, size_t *ret_used, struct resp_command *ret)
{
	ret->argc = p->n;
	ret->total = (uint64_t)(p->total > 0 ? p->total : 0);
	for (uint32_t i = 0; i < p->n; i++)
		ret->argv[i] = (struct sv){in.p + p->arg[i].at, p->arg[i].n};
	*ret_used = p->pos;
	*p = (struct resp){0};
	return 1;
}

static int
parse_array(struct resp *p, struct sv in, size_t *ret_used, struct resp_command *ret, char why[64])
{
	int r;

	if (p->left == 0) {
		r = header(p, in, &p->total);
		if (r < 0 || (r > 0 && p->total > ARRAY_MAX))
			return fail(why, "invalid multibulk length");
		if (r == 0)
			return 0;
		p->left = p->total > 0 ? p->total : 0;
		p->bulk = -1;
	}
	while (p->left > 0) {
		if (p->bulk < 0) {
			if (p->pos < in.n && in.p[p->pos] != '$') {
				(void)snprintf(why, 64, "expected '$', got '%c'", in.p[p->pos]);
				return -EBADMSG;
			}
			r = p->pos < in.n ? header(p, in, &p->bulk) : 0;
			if (r < 0 || (r > 0 && (p->bulk < 0 || p->bulk > RESP_BULK_MAX)))
				return fail(why, "invalid bulk length");
			if (r == 0) {
				p->bulk = -1;
				return 0;
			}
		}
		if (in.n - p->pos < (size_t)p->bulk + 2)
			return 0;
		if (p->n < RESP_ARGS_MAX) {
			p->arg[p->n].at = p->pos;
			p->arg[p->n++].n = (uint32_t)p->bulk;
		}
		p->pos += (uint32_t)p->bulk + 2;
		p->bulk = -1;
		p->left--;
	}
	return done(p, in, ret_used, ret);
}

/* One character behind a backslash within double quotes; moves *at. */
static char
unescape(struct sv line, size_t *at)
{
	static const char from[] = "nrtba", to[] = "\n\r\t\b\a";
	char c = line.p[*at];
	const char *known = strchr(from, c);

	if (c == 'x' && line.n - *at > 2 && sv_hex(line.p[*at + 1]) >= 0 &&
	    sv_hex(line.p[*at + 2]) >= 0) {
		*at += 3;
		return (char)(sv_hex(line.p[*at - 2]) * 16 + sv_hex(line.p[*at - 1]));
	}
	*at += 1;
	return c && known ? to[known - from] : c;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\0';
}

/* One word, quoted or not, from *at on, to the store. 0 or -EBADMSG. */
static int
word(struct sv line, size_t *at, char *store, size_t *used)
{
	char quote = 0;

	while (*at < line.n && (quote || !is_blank(line.p[*at]))) {
		char c = line.p[(*at)++];

		if (!quote && (c == '"' || c == '\'')) {
			quote = c;
		} else if (quote && c == quote) {
			/* A closing quote ends the word. */
			return *at < line.n && !is_blank(line.p[*at]) ? -EBADMSG : 0;
		} else if (quote == '"' && c == '\\' && *at < line.n) {
			store[(*used)++] = unescape(line, at);
		} else if (quote == '\'' && c == '\\' && *at < line.n && line.p[*at] == '\'') {
			store[(*used)++] = '\'';
			(*at)++;
		} else {
			store[(*used)++] = c;
		}
	}
	return quote ? -EBADMSG : 0;
}

static int
parse_line(struct resp *p, struct sv in, size_t *ret_used, struct resp_command *ret, char why[64])
{
	struct sv tail = sv_drop(in, p->pos);
	size_t eol = sv_find(tail, '\n') + p->pos, at = 0, used = 0;
	struct sv line;

	if (eol == in.n) {
		p->pos = (uint32_t)in.n;
		return in.n >= RESP_INLINE_MAX ? fail(why, "too big inline request") : 0;
	}
	if (eol >= RESP_INLINE_MAX)
		return fail(why, "too big inline request");
	line = (struct sv){in.p, eol};
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	ret->argc = 0;
	ret->total = 0;
	for (;;) {
		size_t start = used;

		while (at < line.n && is_blank(line.p[at]))
			at++;
		if (at == line.n)
			break;
		if (word(line, &at, ret->words, &used) < 0)
			return fail(why, "unbalanced quotes in request");
		ret->total++;
		if (ret->argc < RESP_ARGS_MAX)
			ret->argv[ret->argc++] = (struct sv){ret->words + start, used - start};
	}
	*ret_used = eol + 1;
	*p = (struct resp){0};
	return 1;
}

int
resp_parse(struct resp *p, struct sv in, size_t *ret_used, struct resp_command *ret, char why[64])
{
	if (in.n == 0)
		return 0;
	return in.p[0] == '*' ? parse_array(p, in, ret_used, ret, why)
			      : parse_line(p, in, ret_used, ret, why);
}
