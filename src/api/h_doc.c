/* SPDX-License-Identifier: Apache-2.0 */
/* /openapi.json and /docs: the table of routes for programs and for people. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/doc.h"
#include "api/router.h"
#include "api/state.h"
#include "util/buf.h"
#include "util/json.h"

#define PAGE_MAX ((size_t)256 * 1024)

api_handler_fn h_doc_openapi, h_doc_page;

static json_t *
parameters(const char *path)
{
	json_t *list = json_array();
	struct sv rest = sv_from(path);

	while (list && rest.n) {
		struct sv segment = sv_cut(&rest, '/');

		if (segment.n < 2 || segment.p[0] != '{')
			continue;
		(void)json_array_append_new(list,
					    json_pack("{s:s%, s:s, s:b, s:{s:s}}", "name",
						      segment.p + 1, segment.n - 2, "in", "path",
						      "required", 1, "schema", "type", "string"));
	}
	return list;
}

static json_t *
answer(const char *description, bool error)
{
	if (!error)
		return json_pack("{s:s}", "description", description);
	return json_pack("{s:s, s:{s:{s:{s:s}}}}", "description", description, "content",
			 "application/json", "schema", "$ref", "#/components/schemas/Error");
}

static json_t *
operation(const struct route *r)
{
	json_t *answers = json_pack("{s:o}", "default", answer("refused or failed", true));
	json_t *op = json_pack("{s:s, s:o, s:o}", "summary", r->summary, "parameters",
			       parameters(r->path), "responses", answers);

	if (!op)
		return NULL;
	if (r->stream != API_STREAM_NONE)
		(void)json_object_set_new(answers, "200",
					  json_pack("{s:s, s:{s:{}}}", "description",
						    "server-sent events", "content",
						    "text/event-stream"));
	else
		(void)json_object_set_new(answers, "2XX", answer("done", false));
	if (strcmp(r->method, "POST") == 0 || strcmp(r->method, "PUT") == 0 ||
	    strcmp(r->method, "PATCH") == 0)
		(void)json_object_set_new(op, "requestBody",
					  json_pack("{s:b, s:{s:{s:{s:s}}}}", "required", 0,
						    "content", "application/json", "schema", "type",
						    "object"));
	if (r->role == API_OPEN) {
		(void)json_object_set_new(op, "security", json_array());
		return op;
	}
	(void)json_object_set_new(answers, "401", answer("no valid token", true));
	(void)json_object_set_new(answers, "403", answer("not allowed", true));
	(void)json_object_set_new(op, "x-role",
				  json_string(r->role == API_ADMIN ? "admin" : "viewer"));
	return op;
}

static json_t *
components(void)
{
	return json_pack("{s:{s:{s:s, s:s, s:s}}, s:{s:{s:s, s:[s], s:{s:{s:s}}}}}",
			 "securitySchemes", "bearer", "type", "http", "scheme", "bearer",
			 "bearerFormat", "JWT", "schemas", "Error", "type", "object", "required",
			 "detail", "properties", "detail", "type", "string");
}

char *
doc_openapi(void)
{
	json_t *paths = json_object(), *doc;
	char *text = NULL;

	for (size_t i = 0; paths && i < router_count; i++) {
		const struct route *r = &router_table[i];
		json_t *path = json_object_get(paths, r->path);
		char method[8];
		size_t n = 0;

		if (!path) {
			path = json_object();
			(void)json_object_set_new(paths, r->path, path);
		}
		for (; r->method[n] && n < sizeof(method) - 1; n++)
			method[n] = (char)(r->method[n] | 0x20);
		method[n] = '\0';
		(void)json_object_set_new(path, method, operation(r));
	}
	doc = json_pack("{s:s, s:{s:s, s:s}, s:[{s:[]}], s:o, s:o}", "openapi", "3.1.0", "info",
			"title", "decnet", "version", DECNET_VERSION, "security", "bearer", "paths",
			paths, "components", components());
	if (doc)
		text = json_text(doc);
	json_decref(doc);
	return text;
}

static const char *
who(enum api_role role)
{
	switch (role) {
	case API_OPEN: return "open";
	case API_VIEWER: return "viewer";
	case API_ADMIN: return "admin";
	case API_SELF: return "any token";
	}
	return "";
}

char *
doc_page(void)
{
	struct buf b;
	int r;

	buf_init(&b, PAGE_MAX);
	r = buf_printf(&b,
		       "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
		       "<title>decnet: HTTP interface</title></head>\n<body>"
		       "<h1>decnet " DECNET_VERSION "</h1>\n"
		       "<p>For programs: <a href=\"/openapi.json\">openapi.json</a>. Routes marked "
		       "with a role want <code>Authorization: Bearer</code> with a token from "
		       "<code>POST /api/v1/auth/login</code>.</p>\n"
		       "<table><thead><tr><th>Method</th><th>Path</th><th>Role</th><th>What it "
		       "does</th></tr></thead>\n<tbody>\n");
	for (size_t i = 0; i < router_count && r == 0; i++) {
		const struct route *at = &router_table[i];

		/* The table's texts hold nothing that HTML would read otherwise. */
		r = buf_printf(&b,
			       "<tr><td>%s</td><td><code>%s</code></td><td>%s</td><td>%s%s</td>"
			       "</tr>\n",
			       at->method, at->path, who(at->role), at->summary,
			       at->stream == API_STREAM_NONE ? "" : " (stream)");
	}
	if (r == 0)
		r = buf_printf(&b, "</tbody></table></body></html>\n");
	if (r < 0) {
		buf_fini(&b);
		return NULL;
	}
	return buf_take(&b);
}

static int
send_text(struct api_res *res, const char *text, const char *type)
{
	res->text = strdup(text);
	if (!res->text)
		return -ENOMEM;
	res->text_n = strlen(text);
	res->type = type;
	res->status = 200;
	return 0;
}

int
h_doc_openapi(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	const struct api_state *s = cx->state;

	(void)req;
	return send_text(res, s->openapi, "application/json");
}

int
h_doc_page(struct api_ctx *cx, const struct api_req *req, struct api_res *res)
{
	const struct api_state *s = cx->state;

	(void)req;
	return send_text(res, s->docs, "text/html; charset=utf-8");
}
