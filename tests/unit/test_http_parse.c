/* SPDX-License-Identifier: Apache-2.0 */
/* Heads and chunked bodies, each against an unreadable page: one byte read too far faults in any
 * build. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "http/parse.h"

#define ROOM (128 * 1024)

static char *edge; /* the first unreadable byte */

static int
setup(void **state)
{
	char *p =
		mmap(NULL, ROOM + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	if (p == MAP_FAILED || mprotect(p + ROOM, 4096, PROT_NONE) < 0)
		return -1;
	edge = p + ROOM;
	return 0;
}

static struct sv
at_edge(struct sv text)
{
	assert_true(text.n <= ROOM);
	if (text.n)
		memcpy(edge - text.n, text.p, text.n);
	return (struct sv){edge - text.n, text.n};
}

#define OK_HEAD "GET / HTTP/1.1\r\nHost: a\r\n"

static const struct {
	struct sv in;
	int r;
} heads[] = {
	{SV(OK_HEAD "\r\n"), 1},
	{SV("GET /a/b?c=d&e HTTP/1.1\r\nHost: a\r\n\r\n"), 1},
	{SV("GET / HTTP/1.0\r\n\r\n"), 1},
	{SV("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), 1},
	{SV("GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n"), 1},
	{SV(OK_HEAD "X:\r\n\r\n"), 1},
	{SV(OK_HEAD "X: \t a b \t\r\n\r\n"), 1},
	{SV(OK_HEAD "Content-Length: 0\r\n\r\n"), 1},
	{SV(OK_HEAD "Content-Length:  5  \r\n\r\n"), 1},
	{SV("GET HTTP://a:80/b HTTP/1.1\r\nHost: a\r\n\r\n"), 1},
	{SV("GET https://[::1]/b HTTP/1.1\r\nHost: a\r\n\r\n"), 1},
	{SV(OK_HEAD "X: a\r\nX: b\r\nCookie: a\r\nCookie: b\r\n\r\n"), 1},
	{SV(OK_HEAD "Transfer-Encoding: Chunked\r\n\r\n"), 1},
	{SV(""), 0},
	{SV("G"), 0},
	{SV(OK_HEAD), 0},
	{SV(OK_HEAD "\r"), 0},
	/* Bare line ends. */
	{SV("GET / HTTP/1.1\nHost: a\n\n"), -EBADMSG},
	{SV(OK_HEAD "X: a\nY: b\r\n\r\n"), -EBADMSG},
	{SV(OK_HEAD "X: a\rY: b\r\n\r\n"), -EBADMSG},
	/* Framing that two readers could see differently. */
	{SV(OK_HEAD "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"), -EBADMSG},
	{SV(OK_HEAD "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"), -EBADMSG},
	{SV(OK_HEAD "Content-Length: +5\r\n\r\n"), -EBADMSG},
	{SV(OK_HEAD "Content-Length: -5\r\n\r\n"), -EBADMSG},
	{SV(OK_HEAD "Content-Length: 5, 5\r\n\r\n"), -EBADMSG},
	{SV(OK_HEAD "Content-Length: 0x5\r\n\r\n"), -EBADMSG},
	{SV(OK_HEAD "Content-Length: 99999999999999999999\r\n\r\n"), -EBADMSG},
	{SV(OK_HEAD "Transfer-Encoding: gzip, chunked\r\n\r\n"), -EBADMSG},
	{SV(OK_HEAD "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"), -EBADMSG},
	{SV(OK_HEAD "Transfer-Encoding: identity\r\n\r\n"), -EBADMSG},
	{SV("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), -EBADMSG},
	{SV(OK_HEAD "Transfer-Encoding:\tchunked\r\n\r\n"), -EBADMSG},
	{SV(OK_HEAD "Transfer-Encoding: chunked \t\r\n\r\n"), -EBADMSG},
	{SV(OK_HEAD "Content-Length: \t5\r\n\r\n"), -EBADMSG},
	{SV(OK_HEAD "Content-Length:\t\r\n\r\n"), -EBADMSG},
	/* Fields. */
	{SV(OK_HEAD "Authorization: a\r\nauthorization: b\r\n\r\n"), -EBADMSG},
	{SV(OK_HEAD "Content-Type: a\r\nX: y\r\nContent-Type: a\r\n\r\n"), -EBADMSG},
	{SV("GET / HTTP/1.0\r\nHost: a b\r\n\r\n"), -EBADMSG},
	{SV("GET http://a\\b/c HTTP/1.1\r\nHost: a\r\n\r\n"), -EBADMSG},
	{SV("GET http://u@a/c HTTP/1.1\r\nHost: a\r\n\r\n"), -EBADMSG},
	{SV("GET http:///c HTTP/1.1\r\nHost: a\r\n\r\n"), -EBADMSG},
	{SV("GET http://a?/c HTTP/1.1\r\nHost: a\r\n\r\n"), -EBADMSG},
	{SV("GET ftp://a/c HTTP/1.1\r\nHost: a\r\n\r\n"), -EBADMSG},
	{SV(OK_HEAD "X : a\r\n\r\n"), -EBADMSG},
	{SV(OK_HEAD " folded\r\n\r\n"), -EBADMSG},
	{SV(OK_HEAD "no colon\r\n\r\n"), -EBADMSG},
	{SV(OK_HEAD ": empty\r\n\r\n"), -EBADMSG},
	{SV(OK_HEAD "X: a\0b\r\n\r\n"), -EBADMSG},
	{SV(OK_HEAD "X: a\x01\r\n\r\n"), -EBADMSG},
	{SV(OK_HEAD "X: a\x7f\r\n\r\n"), -EBADMSG},
	{SV("GET / HTTP/1.1\r\n\r\n"), -EBADMSG},
	{SV(OK_HEAD "Host: b\r\n\r\n"), -EBADMSG},
	/* Request lines, also when nothing follows. */
	{SV("GET /\r\n"), -EBADMSG},
	{SV("EHLO a\r\n"), -EBADMSG},
	{SV("SSH-2.0-x\r\n"), -EBADMSG},
	{SV("GET / HTTP/1.2\r\nHost"), -EBADMSG},
	{SV("GET / HTTP/1.1\r\n"), 0},
	{SV("GET  / HTTP/1.1\r\nHost: a\r\n\r\n"), -EBADMSG},
	{SV("GET / HTTP/1.1 \r\nHost: a\r\n\r\n"), -EBADMSG},
	{SV("GET /\r\nHost: a\r\n\r\n"), -EBADMSG},
	{SV("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), -EBADMSG},
	{SV("GET / http/1.1\r\nHost: a\r\n\r\n"), -EBADMSG},
	{SV("GET a HTTP/1.1\r\nHost: a\r\n\r\n"), -EBADMSG},
	{SV("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"), -EBADMSG},
	{SV("GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n"), -EBADMSG},
	{SV("G@T / HTTP/1.1\r\nHost: a\r\n\r\n"), -EBADMSG},
	{SV("GET * HTTP/1.1\r\nHost: a\r\n\r\n"), -EBADMSG},
	{SV("\x16\x03\x01\x02"), -EBADMSG},
};

static void
verdicts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		static struct http_head h;
		struct http_head_parser ps = {0};
		size_t used = 0;
		int r = http_head_parse(&ps, at_edge(heads[i].in), &used, &h);

		if (r != heads[i].r)
			fail_msg("row %zu: %d instead of %d: %.60s", i, r, heads[i].r,
				 heads[i].in.p);
		if (r == 1)
			assert_int_equal(used, heads[i].in.n);
	}
}

static void
what_is_read(void **state)
{
	static struct http_head h;
	struct http_head_parser ps = {0};
	size_t used = 0;
	struct sv in = SV("POST /p/q?x=1 HTTP/1.1\r\nHost: a:80\r\nConnection: Close, "
			  "x\r\ncontent-length: 12\r\n"
			  "Expect: 100-continue\r\n\r\nnext");

	(void)state;
	assert_int_equal(http_head_parse(&ps, at_edge(in), &used, &h), 1);
	assert_int_equal(used, in.n - 4);
	assert_true(sv_eq(h.method, SV("POST")) && sv_eq(h.path, SV("/p/q")) &&
		    sv_eq(h.query, SV("x=1")));
	assert_true(h.has_length && h.length == 12 && !h.chunked && !h.keep_alive &&
		    h.expect_continue);
	assert_int_equal(h.nfields, 4);
	assert_true(sv_eq(h.fields[0].value, SV("a:80")));
}

static void
ceilings(void **state)
{
	static struct http_head h;
	struct http_head_parser ps = {0};
	size_t used = 0;
	struct buf b;

	(void)state;
	buf_init(&b, ROOM);
	/* A request line that never ends, and one that ends too late. */
	assert_int_equal(buf_put(&b, SV("GET /")), 0);
	while (b.n < LIMIT_REQUEST_LINE_BYTES + 100)
		assert_int_equal(buf_putc(&b, 'a'), 0);
	assert_int_equal(http_head_parse(&ps, at_edge(buf_sv(&b)), &used, &h), -ENAMETOOLONG);
	assert_int_equal(buf_put(&b, SV(" HTTP/1.1\r\nHost: a\r\n\r\n")), 0);
	ps = (struct http_head_parser){0};
	assert_int_equal(http_head_parse(&ps, at_edge(buf_sv(&b)), &used, &h), -ENAMETOOLONG);
	/* One field too many. */
	buf_reset(&b);
	assert_int_equal(buf_put(&b, SV(OK_HEAD)), 0);
	for (int i = 1; i < LIMIT_HEADER_FIELDS; i++)
		assert_int_equal(buf_put(&b, SV("X: y\r\n")), 0);
	assert_int_equal(buf_put(&b, SV("\r\n")), 0);
	ps = (struct http_head_parser){0};
	assert_int_equal(http_head_parse(&ps, at_edge(buf_sv(&b)), &used, &h), 1);
	b.n -= 2;
	assert_int_equal(buf_put(&b, SV("X: y\r\n\r\n")), 0);
	ps = (struct http_head_parser){0};
	assert_int_equal(http_head_parse(&ps, at_edge(buf_sv(&b)), &used, &h), -E2BIG);
	/* A field that never ends. */
	buf_reset(&b);
	assert_int_equal(buf_put(&b, SV(OK_HEAD "X: ")), 0);
	while (b.n < LIMIT_HEADER_BYTES + 1000)
		assert_int_equal(buf_putc(&b, 'a'), 0);
	ps = (struct http_head_parser){0};
	assert_int_equal(http_head_parse(&ps, at_edge(buf_sv(&b)), &used, &h), -E2BIG);
	buf_fini(&b);
}

static const struct {
	struct sv in;
	int r;
	const char *body;
} chunks[] = {
	{SV("5\r\nhello\r\n0\r\n\r\n"), 1, "hello"},
	{SV("1\r\na\r\n2;ext=1\r\nbc\r\n0\r\nTrailer: x\r\n\r\n"), 1, "abc"},
	{SV("0\r\n\r\nGET"), 1, ""},
	{SV("00005\r\nhello\r\n0\r\n\r\n"), 1, "hello"},
	{SV("5\r\nhel"), 0, "hel"},
	{SV("5\r\nhello\r\n0\r\n"), 0, "hello"},
	{SV(""), 0, ""},
	{SV("5\nhello\r\n0\r\n\r\n"), -EBADMSG, NULL},
	{SV("5\r\nhelloX"), -EBADMSG, NULL},
	{SV("5\r\nhello\n"), -EBADMSG, NULL},
	{SV("+5\r\nhello\r\n"), -EBADMSG, NULL},
	{SV("-1\r\n"), -EBADMSG, NULL},
	{SV("0x5\r\nhello\r\n"), -EBADMSG, NULL},
	{SV(" 5\r\nhello\r\n"), -EBADMSG, NULL},
	{SV("5 \r\nhello\r\n"), -EBADMSG, NULL},
	{SV("\r\n"), -EBADMSG, NULL},
	{SV("g\r\n"), -EBADMSG, NULL},
	{SV("10000000000000000\r\n"), -EBADMSG, NULL},
	{SV("fffffffffffffff\r\n"), -EFBIG, NULL},
	{SV("7d1\r\n"), -EFBIG, NULL},
	{SV("0\r\nbad trailer\r\n\r\n"), -EBADMSG, NULL},
};

static void
chunked_bodies(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(chunks); i++) {
		struct http_chunked d = {0};
		struct buf out;
		size_t used = 0;
		int r;

		buf_init(&out, 2000);
		r = http_chunked_decode(&d, at_edge(chunks[i].in), &used, &out);
		if (r != chunks[i].r)
			fail_msg("row %zu: %d instead of %d", i, r, chunks[i].r);
		if (chunks[i].body)
			assert_true(sv_eq(buf_sv(&out), sv_from(chunks[i].body)));
		buf_fini(&out);
	}
}

static void
reasons(void **state)
{
	(void)state;
	assert_string_equal(http_reason(404), "Not Found");
	assert_string_equal(http_reason(299), "Unknown");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verdicts), cmocka_unit_test(what_is_read),
		cmocka_unit_test(ceilings), cmocka_unit_test(chunked_bodies),
		cmocka_unit_test(reasons),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
