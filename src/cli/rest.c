/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP exchange with the API server. */
#include "cli/rest.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/term.h"
#include "util/buf.h"
#include "util/clock.h"
#include "util/file.h"
#include "util/id.h"
#include "util/json.h"
#include "util/limits.h"

#define DEFAULT_URL	"http://127.0.0.1:8000"
#define ANSWER_MAX	67108864u
#define TOKEN_MAX	8192
#define CONNECT_S	5L
#define TRUST_MAX	4194304
#define TOTAL_S		60L
#define READYZ_PAUSE_MS 50

static const char *
server_url(const struct cli *c)
{
	const char *url = c->url ? c->url : getenv("DECNET_URL");

	return url && *url ? url : DEFAULT_URL;
}

void
rest_token_path(char *dst, size_t size)
{
	const char *home = getenv("HOME");

	(void)snprintf(dst, size, "%s/.decnet/token", home && *home ? home : "/root");
}

/* Heap; NULL when there is none. */
static char *
read_token(void)
{
	const char *text = getenv("DECNET_TOKEN");
	char path[1200], *token = NULL;

	if (text && *text)
		return strdup(text);
	rest_token_path(path, sizeof(path));
	if (file_read(path, TOKEN_MAX, &token, NULL) < 0)
		return NULL;
	token[strcspn(token, "\r\n")] = '\0';
	return token;
}

static size_t
on_bytes(char *p, size_t size, size_t n, void *user)
{
	return buf_put(user, (struct sv){p, size * n}) == 0 ? size * n : 0;
}

static struct curl_slist *
make_headers(const struct cli *c)
{
	char *token = c->probe ? NULL : (c->token ? strdup(c->token) : read_token());
	struct curl_slist *list = curl_slist_append(NULL, "Content-Type: application/json"),
			  *longer;
	char line[TOKEN_MAX + 64];

	/* No pause for "100 Continue". */
	longer = curl_slist_append(list, "Expect:");
	list = longer ? longer : list;
	if (token && *token) {
		(void)snprintf(line, sizeof(line), "Authorization: Bearer %s", token);
		longer = curl_slist_append(list, line);
		list = longer ? longer : list;
	}
	free(token);
	return list;
}

/* The certificates of a file, if there is one. */
static void
add_certificates(struct buf *pem, const char *path)
{
	char *text = NULL;

	if (!path || !*path || file_read(path, TRUST_MAX, &text, NULL) < 0)
		return;
	if (buf_put(pem, sv_from(text)) < 0 || buf_putc(pem, '\n') < 0)
		buf_reset(pem);
	free(text);
}

/* Whom to believe: the system's authorities, those of a file that the environment names, and the
 * certificate of this machine's suite. */
static void
set_trust(const struct cli *c, CURL *h)
{
	struct curl_blob blob = {.flags = CURL_BLOB_COPY};
	struct buf pem;

	(void)curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
	if (c->probe) {
		(void)curl_easy_setopt(h, CURLOPT_SSL_VERIFYPEER, 0L);
		(void)curl_easy_setopt(h, CURLOPT_SSL_VERIFYHOST, 0L);
		return;
	}
	buf_init(&pem, (size_t)2 * TRUST_MAX + 2);
	add_certificates(&pem, getenv("SSL_CERT_FILE"));
	add_certificates(&pem, getenv("DECNET_TLS_CERT"));
	blob.data = pem.p;
	blob.len = pem.n;
	if (pem.n)
		(void)curl_easy_setopt(h, CURLOPT_CAINFO_BLOB, &blob);
	buf_fini(&pem);
}

static int
exchange(const struct cli *c, CURL *h, const char *url, const char *method, const char *body,
	 struct buf *out, long *ret_status, struct err *e)
{
	struct curl_slist *headers = make_headers(c);
	char why[CURL_ERROR_SIZE] = "";
	CURLcode code;

	(void)curl_easy_setopt(h, CURLOPT_URL, url);
	/* A name of dots is a name, and no way to another path. */
	(void)curl_easy_setopt(h, CURLOPT_PATH_AS_IS, 1L);
	(void)curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, method);
	(void)curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers);
	set_trust(c, h);
	(void)curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
	(void)curl_easy_setopt(h, CURLOPT_TIMEOUT, TOTAL_S);
	(void)curl_easy_setopt(h, CURLOPT_ERRORBUFFER, why);
	(void)curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_bytes);
	(void)curl_easy_setopt(h, CURLOPT_WRITEDATA, out);
	if (body)
		(void)curl_easy_setopt(h, CURLOPT_POSTFIELDS, body);
	code = curl_easy_perform(h);
	(void)curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, ret_status);
	curl_slist_free_all(headers);
	if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL)
		return err_set(e, -EINVAL, "%s: not a URL of the server", url);
	if (code != CURLE_OK)
		return err_set(e, -EHOSTUNREACH, "%s", *why ? why : curl_easy_strerror(code));
	return 0;
}

/* The whole URL of a path below /api/v1, or of a root path. 0 or -EINVAL. */
static int
make_url(const struct cli *c, const char *path, char *dst, size_t size, struct err *e)
{
	const char *base = server_url(c);
	size_t n = strlen(base);
	bool root = strncmp(path, "//", 2) == 0;

	while (n > 0 && base[n - 1] == '/')
		n--;
	if ((size_t)snprintf(dst, size, "%.*s%s%s", (int)n, base, root ? "" : "/api/v1",
			     path + root) >= size)
		return err_set(e, -EINVAL, "URL too long");
	return 0;
}

int
rest_call(const struct cli *c, const char *method, const char *path, const json_t *body,
	  struct rest_answer *ret_answer, struct err *e)
{
	struct rest_answer a = {0};
	char *sent = body ? json_text(body) : NULL;
	CURL *h = curl_easy_init();
	char url[4096];
	struct buf out;
	int r;

	buf_init(&out, ANSWER_MAX);
	if (!h || (body && !sent))
		r = err_set(e, -ENOMEM, "out of memory");
	else
		r = make_url(c, path, url, sizeof(url), e);
	if (r == 0)
		r = exchange(c, h, url, method, sent, &out, &a.status, e);
	if (r == 0) {
		a.text = out.n ? buf_take(&out) : strdup("");
		if (!a.text)
			r = err_set(e, -ENOMEM, "out of memory");
	}
	if (r == 0 && json_parse(sv_from(a.text), &a.json, NULL) < 0)
		a.json = NULL;
	if (r == 0)
		*ret_answer = a;
	buf_fini(&out);
	free(sent);
	curl_easy_cleanup(h);
	return r;
}

void
rest_fini(struct rest_answer *a)
{
	free(a->text);
	json_decref(a->json);
	*a = (struct rest_answer){0};
}

int
rest_do(const struct cli *c, const char *method, const char *path, const json_t *body,
	struct rest_answer *ret_answer)
{
	struct rest_answer a = {0};
	struct err e = {0};
	int code;

	if (rest_call(c, method, path, body, &a, &e) < 0)
		return cli_fail(CLI_UNREACHABLE, "%s", err_text(&e));
	if (a.status < 200 || a.status > 299) {
		code = rest_refused(&a);
		rest_fini(&a);
		return code;
	}
	if (c->json && a.text && *a.text)
		term_printf("%s\n", a.text);
	*ret_answer = a;
	return 0;
}

struct following {
	rest_bytes_fn *fn;
	void *user;
};

static size_t
on_stream_bytes(char *p, size_t size, size_t n, void *user)
{
	struct following *f = user;

	return f->fn(f->user, (struct sv){p, size * n}) == 0 ? size * n : 0;
}

static int
on_stream_pause(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	const struct following *f = user;

	(void)a, (void)b, (void)c, (void)d;
	return f->fn(f->user, (struct sv){NULL, 0});
}

int
rest_stream(const struct cli *c, const char *path, uint64_t last_id, rest_bytes_fn *fn, void *user,
	    long *ret_status, struct err *e)
{
	struct following f = {fn, user};
	struct curl_slist *headers = make_headers(c), *longer;
	char url[4096], line[64], why[CURL_ERROR_SIZE] = "";
	CURL *h = curl_easy_init();
	CURLcode code;
	int r = h ? make_url(c, path, url, sizeof(url), e) : err_set(e, -ENOMEM, "out of memory");

	if (r == 0) {
		(void)snprintf(line, sizeof(line), "Last-Event-ID: %llu",
			       (unsigned long long)last_id);
		longer = last_id ? curl_slist_append(headers, line) : NULL;
		headers = longer ? longer : headers;
		(void)curl_easy_setopt(h, CURLOPT_URL, url);
		(void)curl_easy_setopt(h, CURLOPT_PATH_AS_IS, 1L);
		(void)curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers);
		set_trust(c, h);
		(void)curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
		(void)curl_easy_setopt(h, CURLOPT_ERRORBUFFER, why);
		(void)curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_stream_bytes);
		(void)curl_easy_setopt(h, CURLOPT_WRITEDATA, &f);
		(void)curl_easy_setopt(h, CURLOPT_NOPROGRESS, 0L);
		(void)curl_easy_setopt(h, CURLOPT_XFERINFOFUNCTION, on_stream_pause);
		(void)curl_easy_setopt(h, CURLOPT_XFERINFODATA, &f);
		/* The server says something every 15 s. */
		(void)curl_easy_setopt(h, CURLOPT_LOW_SPEED_LIMIT, 1L);
		(void)curl_easy_setopt(h, CURLOPT_LOW_SPEED_TIME, 45L);
		code = curl_easy_perform(h);
		*ret_status = 0;
		(void)curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, ret_status);
		if (code != CURLE_OK && code != CURLE_WRITE_ERROR &&
		    code != CURLE_ABORTED_BY_CALLBACK)
			r = err_set(e, -EHOSTUNREACH, "%s", *why ? why : curl_easy_strerror(code));
	}
	curl_slist_free_all(headers);
	curl_easy_cleanup(h);
	return r;
}

int
rest_put_escaped(struct buf *b, const char *text)
{
	char *escaped = curl_easy_escape(NULL, text, 0);
	int r = escaped ? buf_put(b, sv_from(escaped)) : -ENOMEM;

	curl_free(escaped);
	return r;
}

int
rest_put_arg(struct buf *b, const char *key, const char *value)
{
	bool begun = sv_find(buf_sv(b), '?') < b->n;
	int r = buf_printf(b, "%c%s=", begun ? '&' : '?', key);

	return r < 0 ? r : rest_put_escaped(b, value);
}

void
rest_print(const json_t *value)
{
	char *text = json_text(value);

	term_printf("%s\n", text ? text : "null");
	free(text);
}

int
rest_topology_id(const struct cli *c, const char *name, char dst[37])
{
	struct cli quiet = *c;
	struct rest_answer a = {0};
	const json_t *one;
	unsigned found = 0;
	size_t i;
	int code;

	if (id_is_uuid(sv_from(name))) {
		(void)snprintf(dst, 37, "%s", name);
		return 0;
	}
	quiet.json = false;
	/* There are at most LIMIT_TOPOLOGIES. */
	for (unsigned offset = 0; found == 0 && offset < LIMIT_TOPOLOGIES; offset += 500) {
		char path[64];

		(void)snprintf(path, sizeof(path), "/topologies?limit=500&offset=%u", offset);
		code = rest_do(&quiet, "GET", path, NULL, &a);
		if (code != 0)
			return code;
		json_array_foreach(json_object_get(a.json, "data"), i, one)
		{
			const char *id = json_get_text(one, "id"),
				   *got = json_get_text(one, "name");

			if (!id || !got || strcmp(got, name) != 0)
				continue;
			found++;
			(void)snprintf(dst, 37, "%s", id);
		}
		rest_fini(&a);
	}
	return found == 1 ? 0 : cli_fail(CLI_NOT_FOUND, "no topology is named '%s'", name);
}

int
rest_exit(long status)
{
	if (status >= 200 && status < 300)
		return CLI_OK;
	switch (status) {
	case 401:
	case 403: return CLI_DENIED;
	case 404: return CLI_NOT_FOUND;
	case 409: return CLI_CONFLICT;
	case 429:
	case 503: return CLI_UNREACHABLE;
	default: return CLI_FAILED;
	}
}

int
rest_refused(const struct rest_answer *a)
{
	const char *detail = a->json ? json_get_text(a->json, "detail") : NULL;
	const json_t *errors = a->json ? json_object_get(a->json, "errors") : NULL, *one;
	size_t i;

	(void)cli_fail(CLI_FAILED, "%s", detail ? detail : "the server refused");
	json_array_foreach(errors, i, one)
	{
		const char *field = json_get_text(one, "field"),
			   *message = json_get_text(one, "message");

		(void)fprintf(stderr, "  %s: %s\n", field ? field : "", message ? message : "");
	}
	return rest_exit(a->status);
}

void
rest_own_url(const struct conf *conf, char dst[REST_URL_MAX])
{
	bool v6 = strchr(conf->api_host, ':') != NULL;
	const char *host = conf->api_host;

	/* Every address is asked by loopback. */
	if (strcmp(host, "0.0.0.0") == 0)
		host = "127.0.0.1";
	else if (strcmp(host, "::") == 0)
		host = "::1";
	(void)snprintf(dst, REST_URL_MAX, "%s://%s%s%s:%u", conf->tls_cert ? "https" : "http",
		       v6 ? "[" : "", host, v6 ? "]" : "", (unsigned)conf->api_port);
}

int
rest_wait_ready(const struct cli *c, const struct conf *conf, unsigned timeout_ms)
{
	uint64_t end = clock_mono_ms() + timeout_ms;
	struct cli here = *c;
	char url[REST_URL_MAX];

	/* Whatever --url says. */
	rest_own_url(conf, url);
	here.url = url;
	here.probe = true;
	for (;;) {
		struct rest_answer a = {0};
		struct err e = {0};
		int r = rest_call(&here, "GET", "//readyz", NULL, &a, &e);
		long status = a.status;

		rest_fini(&a);
		if (r == 0 && status == 200)
			return 0;
		if (clock_mono_ms() >= end)
			return -ETIMEDOUT;
		(void)poll(NULL, 0, READYZ_PAUSE_MS);
	}
}
