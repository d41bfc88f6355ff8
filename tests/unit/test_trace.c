/* SPDX-License-Identifier: Apache-2.0 */
/* What travels of a trace, what is shown of a query, how spans are written, and that nothing
 * happens without a collector. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "trace/marks.h"
#include "trace/otlp.h"
#include "util/attr.h"
#include "util/json.h"

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define SPAN  "b7ad6b7169203331"
#define GOOD  "00-" TRACE "-" SPAN "-01"

static void
reads_a_traceparent(void **state)
{
	static const struct {
		const char *text;
		int want;
		bool sampled;
	} rows[] = {
		{GOOD, 0, true},
		{"  " GOOD "\t", 0, true},
		{"00-" TRACE "-" SPAN "-00", 0, false},
		{"00-" TRACE "-" SPAN "-ff", 0, true},
		{"cc-" TRACE "-" SPAN "-01", 0, true},
		{"cc-" TRACE "-" SPAN "-01-more", 0, true},
		{"cc-" TRACE "-" SPAN "-01more", -EBADMSG, false},
		{"00-" TRACE "-" SPAN "-01-more", -EBADMSG, false},
		{"ff-" TRACE "-" SPAN "-01", -EBADMSG, false},
		{"00-00000000000000000000000000000000-" SPAN "-01", -EBADMSG, false},
		{"00-" TRACE "-0000000000000000-01", -EBADMSG, false},
		{"00-0AF7651916cd43dd8448eb211c80319c-" SPAN "-01", -EBADMSG, false},
		{"00-" TRACE "-" SPAN "-0g", -EBADMSG, false},
		{"00-" TRACE "_" SPAN "-01", -EBADMSG, false},
		{"00-" TRACE "-" SPAN, -EBADMSG, false},
		{"", -EBADMSG, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct trace_ctx ctx;

		assert_int_equal(trace_ctx_parse(sv_from(rows[i].text), &ctx), rows[i].want);
		assert_int_equal(trace_ctx_valid(&ctx), rows[i].want == 0);
		assert_int_equal(ctx.sampled, rows[i].sampled);
	}
}

static void
writes_what_it_read(void **state)
{
	struct trace_ctx ctx;
	char text[TRACE_PARENT_SIZE];

	(void)state;
	assert_int_equal(trace_ctx_parse(SV(GOOD), &ctx), 0);
	trace_ctx_text(&ctx, text);
	assert_string_equal(text, GOOD);
}

static void
shows_no_secret(void **state)
{
	static const struct {
		const char *query, *want;
	} rows[] = {
		{"limit=5&offset=10", "limit=5&offset=10"},
		{"token=abc", "token=***"},
		{"a=1&ticket=abc&b=2", "a=1&ticket=***&b=2"},
		{"TOKEN=abc&Ticket=def", "TOKEN=***&Ticket=***"},
		{"%74oken=abc", "***=***"},
		{"to+ken=abc", "***=***"},
		{"=abc", "***=***"},
		{"token", "token=***"},
		{"a&&b", "a=&***=***&b="},
		{"", ""},
	};
	char text[64], small[8];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t n = trace_mask_query(sv_from(rows[i].query), text, sizeof(text));

		assert_int_equal(n, strlen(rows[i].want));
		assert_memory_equal(text, rows[i].want, n);
	}
	assert_int_equal(trace_mask_query(SV("limit=500000"), small, sizeof(small)), 7);
	assert_memory_equal(small, "limit=5", 7);
}

static struct trace_span
make_span(bool below)
{
	struct trace_span s = {.kind = TRACE_SERVER,
			       .name = "GET /x",
			       .start_ns = 1769847300250000001u,
			       .end_ns = 1769847300260000002u,
			       .failed = true};
	struct trace_ctx parent;

	assert_int_equal(trace_ctx_parse(SV(GOOD), &parent), 0);
	s.ctx = parent;
	s.ctx.span_id[0] = 1;
	if (below)
		s.parent = parent;
	return s;
}

static void
writes_spans_as_the_protocol_has_them(void **state)
{
	static const struct otlp_resource resource = {"decnet-api", "1", "host", 7};
	struct trace_span second = make_span(false), first = make_span(true);
	json_t *root, *want;
	char *text;

	(void)state;
	second.failed = false;
	trace_text(&first, "odd", SV("a\"\xff\n"));
	trace_number(&first, "n", -5);
	first.next = &second;
	text = otlp_encode(&resource, &first);
	assert_non_null(text);
	root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	want = json_loads(
		"{\"resourceSpans\":[{\"resource\":{\"attributes\":["
		"{\"key\":\"service.name\",\"value\":{\"stringValue\":\"decnet-api\"}},"
		"{\"key\":\"service.version\",\"value\":{\"stringValue\":\"1\"}},"
		"{\"key\":\"host.name\",\"value\":{\"stringValue\":\"host\"}},"
		"{\"key\":\"process.pid\",\"value\":{\"intValue\":\"7\"}}]},"
		"\"scopeSpans\":[{\"scope\":{\"name\":\"decnet\",\"version\":\"1\"},\"spans\":["
		"{\"traceId\":\"" TRACE "\",\"spanId\":\"01ad6b7169203331\","
		"\"parentSpanId\":\"" SPAN "\",\"name\":\"GET /x\",\"kind\":2,"
		"\"startTimeUnixNano\":\"1769847300250000001\","
		"\"endTimeUnixNano\":\"1769847300260000002\",\"attributes\":["
		"{\"key\":\"odd\",\"value\":{\"stringValue\":\"a\\\"\\ufffd\\n\"}},"
		"{\"key\":\"n\",\"value\":{\"intValue\":\"-5\"}}],\"status\":{\"code\":2}},"
		"{\"traceId\":\"" TRACE "\",\"spanId\":\"01ad6b7169203331\","
		"\"parentSpanId\":\"\",\"name\":\"GET /x\",\"kind\":2,"
		"\"startTimeUnixNano\":\"1769847300250000001\","
		"\"endTimeUnixNano\":\"1769847300260000002\",\"attributes\":[],"
		"\"status\":{}}]}]}]}",
		0, NULL);
	assert_non_null(want);
	assert_true(json_equal(root, want));
	json_decref(root);
	json_decref(want);
	free(text);
}

static void
keeps_within_its_bounds(void **state)
{
	struct trace_span s = make_span(true);
	char longest[2 * TRACE_TEXT_SIZE];

	(void)state;
	memset(longest, 'x', sizeof(longest));
	for (int i = 0; i < 2 * TRACE_ATTRS_MAX; i++)
		trace_text(&s, "k", (struct sv){longest, sizeof(longest)});
	assert_int_equal(s.nattrs, TRACE_ATTRS_MAX);
	assert_int_equal(strlen(s.attrs[0].text), TRACE_TEXT_SIZE - 1);
}

static void
does_nothing_without_a_collector(void **state)
{
	struct trace_stats stats;
	struct trace_ctx none;

	(void)state;
	assert_int_equal(trace_start(NULL, "test", NULL), 0);
	assert_int_equal(trace_start("", "test", NULL), 0);
	assert_false(trace_on());
	assert_null(trace_begin("x", TRACE_INTERNAL, NULL));
	none = trace_ctx_of(NULL);
	assert_false(trace_ctx_valid(&none));
	trace_text(NULL, "k", SV("v"));
	trace_number(NULL, "k", 1);
	trace_failed(NULL);
	trace_end(NULL);
	trace_mark(1, &none);
	trace_mark_delivered(1, SV("x"), 1, 1);
	trace_stats(&stats);
	assert_int_equal(stats.ended + stats.sent + stats.dropped, 0);
	trace_stop();
}

/* Nobody listens at this address. Spans wait, are tried and are counted; ending takes no longer
 * than it may. */
static void
counts_what_nobody_takes(void **state)
{
	struct trace_stats stats;
	struct trace_ctx parent, unsampled;

	(void)state;
	assert_int_equal(trace_ctx_parse(SV(GOOD), &parent), 0);
	unsampled = parent;
	unsampled.sampled = false;
	assert_int_equal(trace_start("http://127.0.0.1:1", "test", NULL), 0);
	assert_true(trace_on());
	assert_null(trace_begin("x", TRACE_INTERNAL, &unsampled));
	for (int i = 0; i < 5000; i++) {
		struct trace_span *s = trace_begin("x", TRACE_INTERNAL, i % 2 ? &parent : NULL);

		assert_non_null(s);
		assert_int_equal(memcmp(s->ctx.trace_id, parent.trace_id, 16) == 0, i % 2);
		trace_end(s);
	}
	trace_stop();
	trace_stats(&stats);
	assert_int_equal(stats.ended, 5000);
	assert_int_equal(stats.sent, 0);
	assert_int_equal(stats.dropped, 5000);
	assert_false(trace_on());
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_a_traceparent),
		cmocka_unit_test(writes_what_it_read),
		cmocka_unit_test(shows_no_secret),
		cmocka_unit_test(writes_spans_as_the_protocol_has_them),
		cmocka_unit_test(keeps_within_its_bounds),
		cmocka_unit_test(does_nothing_without_a_collector),
		cmocka_unit_test(counts_what_nobody_takes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
