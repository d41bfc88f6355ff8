/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials within requests: forms, XML-RPC calls, Basic authentication. */
#include <stdio.h>
#include <string.h>

#include "decoy/services/http.h"

#define NAME_MAX_BYTES 256

/* The login form of an application: where it goes, and its two fields. */
static const struct {
	enum http_app app;
	const char *path, *user, *password;
} forms[] = {
	{HTTP_WORDPRESS, "/wp-login.php", "log", "pwd"},
	{HTTP_PHPMYADMIN, "/", "pma_username", "pma_password"},
	{HTTP_PHPMYADMIN, "/index.php", "pma_username", "pma_password"},
	{HTTP_PHPMYADMIN, "/phpmyadmin/", "pma_username", "pma_password"},
	{HTTP_PHPMYADMIN, "/phpmyadmin/index.php", "pma_username", "pma_password"},
	{HTTP_JENKINS, "/j_spring_security_check", "j_username", "j_password"},
	{HTTP_JENKINS, "/j_acegi_security_check", "j_username", "j_password"},
};

/* The decoded value of a form's field in dst; whether it was there. */
static bool
form_value(struct sv form, const char *name, char *dst, struct sv *ret)
{
	while (form.n) {
		struct sv value = sv_cut(&form, '&'), key = sv_cut(&value, '=');
		size_t n = 0;

		if (!sv_eq(key, sv_from(name)))
			continue;
		for (size_t i = 0; i < value.n && n < NAME_MAX_BYTES; i++) {
			char c = value.p[i];

			if (c == '+') {
				c = ' ';
			} else if (c == '%' && value.n - i > 2 && sv_hex(value.p[i + 1]) >= 0 &&
				   sv_hex(value.p[i + 2]) >= 0) {
				c = (char)(sv_hex(value.p[i + 1]) << 4 | sv_hex(value.p[i + 2]));
				i += 2;
			}
			dst[n++] = c;
		}
		*ret = (struct sv){dst, n};
		return true;
	}
	return false;
}

static size_t
base64(struct sv in, char *dst, size_t size)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned bits = 0, have = 0;
	size_t n = 0;

	for (size_t i = 0; i < in.n && n < size; i++) {
		const char *at = in.p[i] ? strchr(digits, in.p[i]) : NULL;

		if (!at)
			break;
		bits = (bits << 6 | (unsigned)(at - digits)) & 0xffffff;
		have += 6;
		if (have >= 8) {
			have -= 8;
			dst[n++] = (char)(bits >> have & 0xff);
		}
	}
	return n;
}

/* The two strings of a call that logs in, wherever it stands in a system.multicall. */
static bool
xmlrpc_login(struct sv body, struct sv *ret_user, struct sv *ret_password)
{
	struct sv *const to[] = {ret_user, ret_password};

	if (sv_search(body, SV("wp.")) == SIZE_MAX && sv_search(body, SV("blogger.")) == SIZE_MAX)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(to); i++) {
		size_t at = sv_search(body, SV("<string>"));

		if (at == SIZE_MAX)
			return false;
		body = sv_drop(body, at + 8);
		at = sv_search(body, SV("</string>"));
		if (at == SIZE_MAX)
			return false;
		*to[i] = (struct sv){body.p, at};
		body = sv_drop(body, at + 9);
	}
	return true;
}

static int
tell(struct decoy_io *io, struct sv user, struct sv password, struct sv method)
{
	io->pause = DECOY_PAUSE_AUTH_FAILED;
	return DECOY_CAPTURE(io, CAPTURE_AUTH, {SV("username"), user}, {SV("password"), password},
			     {SV("method"), method}, {SV("ok"), SV("false")});
}

/* The form that the request answers, or -1. */
static int
form_of(const struct http_config *c, const struct http_asked *q)
{
	if (!sv_eq(q->method, SV("POST")))
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(forms); i++)
		if (forms[i].app == c->app && sv_eq(q->path, sv_from(forms[i].path)))
			return (int)i;
	return -1;
}

bool
http_login_is(const struct http_config *c, const struct http_asked *q, char dst[128])
{
	char raw[NAME_MAX_BYTES];
	struct sv user = {raw, 0};
	int form = form_of(c, q);
	size_t n = 0;

	if (form < 0 || !form_value(q->body, forms[form].user, raw, &user))
		return false;
	/* Only what needs no escape in a page comes back on one. */
	for (size_t i = 0; i < user.n && n < 64; i++) {
		char ch = user.p[i];

		if ((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
		    (ch >= '0' && ch <= '9') || strchr("@._- ", ch ? ch : '<'))
			dst[n++] = ch;
	}
	dst[n] = '\0';
	return true;
}

int
http_login_capture(struct decoy_io *io, const struct http_config *c, const struct http_asked *q)
{
	char user[NAME_MAX_BYTES], password[NAME_MAX_BYTES], pair[2 * NAME_MAX_BYTES];
	struct sv u = {user, 0}, p = {password, 0}, rest;
	int form = form_of(c, q), r = 0;

	if (form >= 0 && form_value(q->body, forms[form].user, user, &u)) {
		(void)form_value(q->body, forms[form].password, password, &p);
		r = tell(io, u, p, SV("form"));
	} else if (c->app == HTTP_WORDPRESS && sv_eq(q->path, SV("/xmlrpc.php")) &&
		   xmlrpc_login(q->body, &u, &p)) {
		r = tell(io, u, p, SV("xmlrpc"));
	}
	if (r == 0 && q->authorization.n > 6 &&
	    sv_eq_ci((struct sv){q->authorization.p, 6}, SV("Basic "))) {
		rest = (struct sv){
			pair, base64(sv_trim(sv_drop(q->authorization, 6)), pair, sizeof(pair))};
		u = sv_cut(&rest, ':');
		r = tell(io, u, rest, SV("basic"));
	}
	return r;
}
