/* SPDX-License-Identifier: Apache-2.0 */
/* Path, version and refusals of topology routes. */
#include "api/topo_common.h"

#include "store/topology.h"

int
topo_from_path(struct api_ctx *cx, const struct api_req *req, unsigned param, struct api_res *res,
	       struct topo **ret_topo)
{
	const char *id = api_param_uuid(req, param);
	int r = id ? topology_load(cx->db, id, ret_topo, NULL) : 0;

	if (r == 0)
		(void)api_fail(res, 404, "Topology not found");
	return r;
}

bool
topo_version_fits(const struct api_req *req, struct api_res *res, const struct topo *t)
{
	const json_t *wanted = json_object_get(req->body, "expected_version");
	const struct sv *query = api_query_get(req, "expected_version");
	uint64_t expected;

	if (json_is_integer(wanted)) {
		expected = (uint64_t)json_integer_value(wanted);
	} else if (query) {
		if (sv_u64(*query, INT64_MAX, &expected) < 0) {
			api_bad_field(res, "query.expected_version", "expected a whole number");
			(void)api_bad(res);
			return false;
		}
	} else {
		return true;
	}
	if (expected == (uint64_t)t->version)
		return true;
	(void)api_fail(res, 409, "Version conflict: expected %lld, current %lld",
		       (long long)expected, (long long)t->version);
	return false;
}

int
topo_refused(struct api_res *res, struct topo_refusal *refusal)
{
	if (refusal->status == 422)
		(void)api_refuse(res, refusal->field, "%s", refusal->text);
	else
		(void)api_fail(res, 409, "%s", refusal->text);
	if (refusal->issues)
		api_fail_extra(res, "issues", json_incref(refusal->issues));
	topo_refusal_fini(refusal);
	return 0;
}

void
topo_bad_field(void *user, const char *field, const char *text)
{
	api_bad_field(user, field, "%s", text);
}
