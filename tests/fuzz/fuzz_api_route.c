/* SPDX-License-Identifier: Apache-2.0 */
/* A method, a blank, a path: what the router answers agrees with itself. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/router.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
check_params(const struct router_match *m, const char *store, size_t room)
{
	for (unsigned i = 0; i < m->nparams; i++) {
		struct sv v = m->param[i];

		if (v.p < store || v.p + v.n >= store + room || v.p[v.n] != '\0' || v.n == 0 ||
		    memchr(v.p, '\0', v.n) || !sv_utf8(v))
			abort();
	}
}

static int
status_of(struct sv method, struct sv path)
{
	/* Exact room, so that one byte too many is seen. */
	char *store = malloc(path.n + 1), *copy = malloc(path.n ? path.n : 1);
	struct router_match m;

	if (!store || !copy)
		abort();
	if (path.n)
		memcpy(copy, path.p, path.n);
	router_match(method, (struct sv){copy, path.n}, store, &m);
	if (m.status != 200 && m.status != 204 && m.status != 404 && m.status != 405)
		abort();
	if (m.status == 200 && (m.index >= router_count || !m.path))
		abort();
	if ((m.status == 204 || m.status == 405) && !strstr(m.allow, "OPTIONS"))
		abort();
	if (m.status == 404 && m.allow[0])
		abort();
	check_params(&m, store, path.n + 1);
	free(store);
	free(copy);
	return m.status;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sv path = {(const char *)data, n < 4096 ? n : 4096};
	struct sv method = sv_cut(&path, ' ');
	int status = status_of(method, path);
	bool known = status != 404;

	/* Whether a path is known does not depend on the method. */
	if ((status_of(SV("OPTIONS"), path) == 204) != known)
		abort();
	/* One trailing slash changes nothing. */
	if (path.n && path.n < 4096 && path.p[path.n - 1] != '/') {
		char *longer = malloc(path.n + 1);

		if (!longer)
			abort();
		memcpy(longer, path.p, path.n);
		longer[path.n] = '/';
		if (status_of(method, (struct sv){longer, path.n + 1}) != status)
			abort();
		free(longer);
	}
	return 0;
}
