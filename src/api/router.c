/* SPDX-License-Identifier: Apache-2.0 */
/* The table of routes, and the search in it. */
#include "api/router.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

const struct route router_table[] = {
#define ROUTE(m, p, handler, who, transaction, text)                                               \
	{.method = #m,                                                                             \
	 .path = "/api/v1" p,                                                                      \
	 .role = API_##who,                                                                        \
	 .txn = API_TXN_##transaction,                                                             \
	 .summary = text},
#define STREAM(p, name, text)                                                                      \
	{.method = "GET",                                                                          \
	 .path = "/api/v1" p,                                                                      \
	 .role = API_VIEWER,                                                                       \
	 .txn = API_TXN_NONE,                                                                      \
	 .stream = API_STREAM_##name,                                                              \
	 .summary = text},
#define ROOT(p, handler, where, text)                                                              \
	{.method = "GET",                                                                          \
	 .path = p,                                                                                \
	 .role = API_OPEN,                                                                         \
	 .txn = API_TXN_NONE,                                                                      \
	 .on_loop = ROUTE_ON_##where,                                                              \
	 .summary = text},
#include "api/routes.def"
#undef ROUTE
#undef STREAM
#undef ROOT
};
const size_t router_count = ARRAY_LEN(router_table);

int
router_unescape(struct sv s, bool plus, char *dst, size_t *ret_n)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '%') {
			int hi = s.n - i > 2 ? sv_hex(s.p[i + 1]) : -1;
			int lo = s.n - i > 2 ? sv_hex(s.p[i + 2]) : -1;

			if (hi < 0 || lo < 0)
				return -EBADMSG;
			c = (char)(hi << 4 | lo);
			i += 2;
		} else if (plus && c == '+') {
			c = ' ';
		}
		dst[n++] = c;
	}
	*ret_n = n;
	return 0;
}

struct segments {
	struct sv v[ROUTER_SEGMENTS_MAX];
	unsigned n;
};

/* Cut the path at its slashes and decode each piece, so that an escaped slash never makes a new
 * one. */
static int
cut(struct sv path, char *store, struct segments *ret)
{
	unsigned n = 0;

	if (path.n == 0 || path.p[0] != '/' || path.n > ROUTER_PATH_MAX)
		return -EBADMSG;
	path = sv_drop(path, 1);
	if (path.n && path.p[path.n - 1] == '/')
		path.n--;
	for (;;) {
		bool last = sv_find(path, '/') == path.n;
		struct sv raw = sv_cut(&path, '/');
		size_t len;

		if (n == ROUTER_SEGMENTS_MAX || router_unescape(raw, false, store, &len) < 0)
			return -EBADMSG;
		if (memchr(store, '\0', len) || !sv_utf8((struct sv){store, len}))
			return -EBADMSG;
		/* Its slash leaves room for the terminator. */
		store[len] = '\0';
		ret->v[n++] = (struct sv){store, len};
		store += len + 1;
		if (last)
			break;
	}
	ret->n = n;
	return 0;
}

/* The patterns cut at their slashes, once: every request is compared with all of them. */
static struct segments patterns[ARRAY_LEN(router_table)];
/* How many each has, side by side: most are ruled out by that. */
static unsigned char counts[ARRAY_LEN(router_table)];
static pthread_once_t patterns_once = PTHREAD_ONCE_INIT;

static void
cut_patterns(void)
{
	for (size_t i = 0; i < router_count; i++) {
		struct sv rest = sv_drop(sv_from(router_table[i].path), 1);
		struct segments *s = &patterns[i];

		do
			s->v[s->n++] = sv_cut(&rest, '/');
		while (rest.n && s->n < ROUTER_SEGMENTS_MAX);
		counts[i] = (unsigned char)s->n;
	}
}

/* 0: no match. Otherwise a rank in which an earlier literal counts more than all later ones. Both
 * have as many segments. */
static uint32_t
rank(const struct segments *pattern, const struct segments *path, struct sv *params,
     unsigned *ret_nparams)
{
	uint32_t found = 1;
	unsigned np = 0;

	for (unsigned i = 0; i < path->n; i++) {
		struct sv want = pattern->v[i];

		if (want.n && want.p[0] == '{') {
			if (path->v[i].n == 0 || np == API_PARAMS_MAX)
				return 0;
			params[np++] = path->v[i];
			found <<= 1;
		} else if (sv_eq(want, path->v[i])) {
			found = found << 1 | 1;
		} else {
			return 0;
		}
	}
	*ret_nparams = np;
	return found;
}

static void
allow(struct router_match *m, const char *method)
{
	size_t n = strlen(m->allow);

	(void)snprintf(m->allow + n, sizeof(m->allow) - n, "%s%s", n ? ", " : "", method);
}

/* Among the rows of the best pattern: the one with the method, or what to say instead. */
static void
pick(struct sv method, const struct segments *path, uint32_t best, struct router_match *m)
{
	struct sv unused[API_PARAMS_MAX];
	unsigned nunused;
	bool head = sv_eq(method, SV("HEAD"));

	m->status = sv_eq(method, SV("OPTIONS")) ? 204 : 405;
	for (size_t i = 0; i < router_count; i++) {
		const struct route *r = &router_table[i];
		bool get;

		if (counts[i] != path->n || rank(&patterns[i], path, unused, &nunused) != best)
			continue;
		get = strcmp(r->method, "GET") == 0 && r->stream == API_STREAM_NONE;
		if (sv_eq(method, sv_from(r->method)) || (head && get)) {
			m->status = 200;
			m->head = head;
			m->index = i;
			m->allow[0] = '\0';
			return;
		}
		allow(m, r->method);
		if (get)
			allow(m, "HEAD");
	}
	allow(m, "OPTIONS");
}

void
router_match(struct sv method, struct sv path, char *store, struct router_match *ret)
{
	struct router_match m = {.status = 404};
	struct segments segments;
	uint32_t best = 0;

	(void)pthread_once(&patterns_once, cut_patterns);
	/* The server as a whole (RFC 9110, 9.3.7). */
	if (sv_eq(path, SV("*")) && sv_eq(method, SV("OPTIONS"))) {
		m.status = 204;
		(void)snprintf(m.allow, sizeof(m.allow),
			       "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
		goto out;
	}
	if (cut(path, store, &segments) < 0)
		goto out;
	for (size_t i = 0; i < router_count; i++) {
		struct sv params[API_PARAMS_MAX];
		unsigned nparams = 0;
		uint32_t got;

		if (counts[i] != segments.n)
			continue;
		got = rank(&patterns[i], &segments, params, &nparams);
		if (got <= best)
			continue;
		best = got;
		m.path = router_table[i].path;
		memcpy(m.param, params, nparams * sizeof(params[0]));
		m.nparams = nparams;
	}
	if (best)
		pick(method, &segments, best, &m);
out:
	*ret = m;
}
