/* SPDX-License-Identifier: Apache-2.0 */
/* Pages and login forms of the imitated applications. The texts are short and our own; names,
 * paths, titles and header values are those of the products. */
#include "decoy/services/http_pages.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *word, *server;
	/* Path of the login form's target, and its two fields; NULL when the application has none.
	 */
	const char *login, *user, *password;
} apps[] = {
	[HTTP_NONE] = {"none", "Apache/2.4.57 (Debian)", NULL, NULL, NULL},
	[HTTP_WORDPRESS] = {"wordpress", "Apache/2.4.57 (Debian)", "/wp-login.php", "log", "pwd"},
	[HTTP_PHPMYADMIN] = {"phpmyadmin", "Apache/2.4.57 (Debian)", "/index.php", "pma_username",
			     "pma_password"},
	[HTTP_TOMCAT] = {"tomcat", "Apache-Coyote/1.1", NULL, NULL, NULL},
	[HTTP_JENKINS] = {"jenkins", "Jetty(10.0.18)", "/j_spring_security_check", "j_username",
			  "j_password"},
};

enum http_app
http_app_find(const char *word)
{
	for (size_t i = 0; i < ARRAY_LEN(apps); i++)
		if (strcmp(apps[i].word, word) == 0)
			return (enum http_app)i;
	return HTTP_NONE;
}

const char *
http_app_server(enum http_app app)
{
	return apps[app].server;
}

/* One page: application, path, status, more headers, body. The first row that fits is taken. */
static const struct {
	enum http_app app;
	const char *path;
	int status;
	const char *headers, *body;
} pages[] = {
	{HTTP_NONE, "/", 200, NULL,
	 "<html><head><title>Welcome</title></head><body><h1>It works!</h1></body></html>\n"},
	{HTTP_NONE, "/index.html", 200, NULL,
	 "<html><head><title>Welcome</title></head><body><h1>It works!</h1></body></html>\n"},
	{HTTP_WORDPRESS, "/", 200,
	 "X-Powered-By: PHP/8.2.7\r\nLink: </wp-json/>; rel=\"https://api.w.org/\"\r\n",
	 "<!DOCTYPE html>\n<html lang=\"en-US\">\n<head>\n<meta charset=\"UTF-8\" />\n"
	 "<meta name=\"generator\" content=\"WordPress 6.4.2\" />\n<title>Staff notices</title>\n"
	 "<link rel=\"stylesheet\" href=\"/wp-content/themes/twentytwentyfour/style.css?ver=1.0\" "
	 "/>\n</head>\n"
	 "<body class=\"home blog wp-embed-responsive\">\n<header><h1><a href=\"/\">Staff "
	 "notices</a></h1></header>\n"
	 "<main><article><h2>Maintenance on Sunday</h2><p>The file share moves to the new host "
	 "between 06:00 and 08:00."
	 "</p></article></main>\n<footer><a href=\"/wp-login.php\">Log "
	 "in</a></footer>\n</body>\n</html>\n"},
	{HTTP_WORDPRESS, "/wp-login.php", 200,
	 "X-Powered-By: PHP/8.2.7\r\nSet-Cookie: wordpress_test_cookie=WP%20Cookie%20check; "
	 "path=/; HttpOnly\r\n"
	 "X-Frame-Options: SAMEORIGIN\r\n",
	 "<!DOCTYPE html>\n<html lang=\"en-US\">\n<head>\n<title>Log In &lsaquo; Staff notices "
	 "&#8212; WordPress</title>\n"
	 "</head>\n<body class=\"login no-js login-action-login wp-core-ui locale-en-us\">\n<div "
	 "id=\"login\">\n"
	 "<form name=\"loginform\" id=\"loginform\" action=\"/wp-login.php\" method=\"post\">\n"
	 "<p><label for=\"user_login\">Username or Email Address</label><input type=\"text\" "
	 "name=\"log\" "
	 "id=\"user_login\" /></p>\n<p><label for=\"user_pass\">Password</label><input "
	 "type=\"password\" name=\"pwd\" "
	 "id=\"user_pass\" /></p>\n<p class=\"submit\"><input type=\"submit\" name=\"wp-submit\" "
	 "value=\"Log In\" /></p>\n"
	 "</form>\n</div>\n</body>\n</html>\n"},
	{HTTP_WORDPRESS, "/wp-admin/", 302,
	 "Location: /wp-login.php?redirect_to=%2Fwp-admin%2F&reauth=1\r\n", ""},
	{HTTP_WORDPRESS, "/wp-admin", 301, "Location: /wp-admin/\r\n", ""},
	{HTTP_WORDPRESS, "/xmlrpc.php", 405, "Allow: POST\r\n",
	 "XML-RPC server accepts POST requests only."},
	{HTTP_WORDPRESS, "/robots.txt", 200, NULL,
	 "User-agent: *\nDisallow: /wp-admin/\nAllow: /wp-admin/admin-ajax.php\n"},
	{HTTP_PHPMYADMIN, "/", 200,
	 "X-Powered-By: PHP/8.2.7\r\nSet-Cookie: phpMyAdmin=9m4s7v1q0c; path=/; "
	 "HttpOnly\r\nX-Frame-Options: DENY\r\n",
	 "<!doctype html>\n<html lang=\"en\" dir=\"ltr\">\n<head>\n<meta "
	 "charset=\"utf-8\">\n<title>phpMyAdmin</title>\n"
	 "<link rel=\"stylesheet\" type=\"text/css\" "
	 "href=\"./themes/pmahomme/css/theme.css?v=5.2.1deb1\">\n</head>\n"
	 "<body id=\"loginform\">\n<h1>Welcome to <bdo dir=\"ltr\" "
	 "lang=\"en\">phpMyAdmin</bdo></h1>\n"
	 "<form method=\"post\" id=\"login_form\" action=\"index.php?route=/\" "
	 "name=\"login_form\">\n"
	 "<label for=\"input_username\">Username:</label><input type=\"text\" "
	 "name=\"pma_username\" "
	 "id=\"input_username\">\n<label for=\"input_password\">Password:</label><input "
	 "type=\"password\" "
	 "name=\"pma_password\" id=\"input_password\">\n<input class=\"btn btn-primary\" "
	 "value=\"Log in\" type=\"submit\" "
	 "id=\"input_go\">\n</form>\n</body>\n</html>\n"},
	{HTTP_TOMCAT, "/", 200, NULL,
	 "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"UTF-8\" /><title>Apache "
	 "Tomcat/9.0.70</title></head>\n"
	 "<body><h1>Apache Tomcat/9.0.70</h1>\n<p><a href=\"/manager/status\">Server Status</a> <a "
	 "href=\"/manager/html\">"
	 "Manager App</a> <a href=\"/host-manager/html\">Host Manager</a></p></body>\n</html>\n"},
	{HTTP_TOMCAT, "/manager/html", 401,
	 "WWW-Authenticate: Basic realm=\"Tomcat Manager Application\"\r\nCache-Control: "
	 "private\r\n",
	 "<!doctype html><html lang=\"en\"><head><title>401 "
	 "Unauthorized</title></head><body><h1>401 Unauthorized</h1>"
	 "</body></html>"},
	{HTTP_TOMCAT, "/manager/status", 401,
	 "WWW-Authenticate: Basic realm=\"Tomcat Manager Application\"\r\n",
	 "<!doctype html><html lang=\"en\"><head><title>401 "
	 "Unauthorized</title></head><body><h1>401 Unauthorized</h1>"
	 "</body></html>"},
	{HTTP_TOMCAT, "/host-manager/html", 401,
	 "WWW-Authenticate: Basic realm=\"Tomcat Host Manager Application\"\r\n",
	 "<!doctype html><html lang=\"en\"><head><title>401 "
	 "Unauthorized</title></head><body><h1>401 Unauthorized</h1>"
	 "</body></html>"},
	{HTTP_JENKINS, "/", 403,
	 "X-Jenkins: 2.426.1\r\nX-Hudson: 1.395\r\nX-Content-Type-Options: nosniff\r\n",
	 "<html><head><meta http-equiv='refresh' content='1;url=/login?from=%2F'/></head>"
	 "<body style='background-color:white; color:white;'>Authentication "
	 "required</body></html>"},
	{HTTP_JENKINS, "/login", 200,
	 "X-Jenkins: 2.426.1\r\nX-Hudson: 1.395\r\nX-Content-Type-Options: "
	 "nosniff\r\nX-Frame-Options: sameorigin\r\n",
	 "<!DOCTYPE html><html lang=\"en-US\"><head><title>Sign in [Jenkins]</title></head><body>"
	 "<form method=\"post\" name=\"login\" action=\"j_spring_security_check\"><h1>Sign in to "
	 "Jenkins</h1>"
	 "<label for=\"j_username\">Username</label><input type=\"text\" name=\"j_username\" "
	 "id=\"j_username\">"
	 "<label for=\"j_password\">Password</label><input type=\"password\" name=\"j_password\" "
	 "id=\"j_password\">"
	 "<button type=\"submit\" name=\"Submit\">Sign in</button></form></body></html>"},
};

/* What a failed login shows. */
static void
login_failed(const struct http_config *c, struct http_page *page)
{
	switch (c->app) {
	case HTTP_WORDPRESS:
		page->body = SV("<!DOCTYPE html>\n<html lang=\"en-US\">\n<head>\n<title>Log In "
				"&lsaquo; Staff notices &#8212; "
				"WordPress</title>\n</head>\n<body class=\"login\">\n<div "
				"id=\"login_error\"><strong>Error:</strong> "
				"The password you entered for the username is incorrect. <a "
				"href=\"/wp-login.php?action=lostpassword\">"
				"Lost your password?</a></div>\n</body>\n</html>\n");
		break;
	case HTTP_PHPMYADMIN:
		page->body = SV("<!doctype html>\n<html lang=\"en\" "
				"dir=\"ltr\">\n<head>\n<title>phpMyAdmin</title>\n</head>\n"
				"<body id=\"loginform\">\n<div id=\"pma_errors\"><div "
				"class=\"alert alert-danger\">mysqli::real_connect(): "
				"(HY000/1045): Access denied for user (using password: "
				"YES)</div></div>\n</body>\n</html>\n");
		break;
	case HTTP_JENKINS:
		page->status = 302;
		page->headers = "Location: /loginError\r\nX-Content-Type-Options: nosniff\r\n";
		break;
	case HTTP_NONE:
	case HTTP_TOMCAT: break;
	}
}

void
http_pages_error(const struct http_config *c, const struct decoy_io *io, int status, bool tls,
		 struct http_page *page, char *scratch, size_t scratch_size)
{
	const char *title = status == 404   ? "404 Not Found"
			    : status == 400 ? "400 Bad Request"
					    : "403 Forbidden";
	const char *text =
		status == 404 ? "The requested URL was not found on this server."
		: status == 400
			? "Your browser sent a request that this server could not understand."
			: "You don't have permission to access this resource.";
	int n;

	page->status = status;
	page->type = "text/html; charset=iso-8859-1";
	n = snprintf(scratch, scratch_size,
		     "<!DOCTYPE HTML PUBLIC \"-//IETF//DTD HTML "
		     "2.0//EN\">\n<html><head>\n<title>%s</title>\n</head><body>\n"
		     "<h1>%s</h1>\n<p>%s%s</p>\n<hr>\n<address>%s Server at %s Port "
		     "%u</address>\n</body></html>\n",
		     title, title + 4, text,
		     tls ? "<br />\nReason: You're speaking plain HTTP to an SSL-enabled server "
			   "port.<br />\n"
			 : "",
		     c->server, io->host->hostname, (unsigned)io->port);
	page->body = (struct sv){scratch, n < 0			     ? 0
					  : (size_t)n < scratch_size ? (size_t)n
								     : scratch_size - 1};
}

static bool
is_login(const struct http_config *c, const struct http_asked *q)
{
	const char *path = apps[c->app].login;

	return path && sv_eq(q->method, SV("POST")) &&
	       (sv_eq(q->path, sv_from(path)) ||
		(c->app == HTTP_PHPMYADMIN && sv_eq(q->path, SV("/"))));
}

void
http_pages_find(const struct http_config *c, const struct decoy_io *io, const struct http_asked *q,
		struct http_page *page, char *scratch, size_t scratch_size)
{
	bool start = sv_eq(q->path, SV("/"));

	if (is_login(c, q)) {
		login_failed(c, page);
		return;
	}
	if (c->app == HTTP_WORDPRESS && sv_eq(q->path, SV("/xmlrpc.php")) &&
	    sv_eq(q->method, SV("POST"))) {
		page->type = "text/xml; charset=UTF-8";
		page->body = SV(
			"<?xml version=\"1.0\" "
			"encoding=\"UTF-8\"?>\n<methodResponse><fault><value><struct><member><name>"
			"faultCode</name><value><int>403</int></value></"
			"member><member><name>faultString</name><value>"
			"<string>Incorrect username or "
			"password.</string></value></member></struct></value></fault>"
			"</methodResponse>\n");
		return;
	}
	if (start && c->body[0]) {
		page->status = c->code;
		page->body = sv_from(c->body);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
		if (pages[i].app != c->app || !sv_eq(q->path, sv_from(pages[i].path)))
			continue;
		page->status = start && pages[i].status == 200 ? c->code : pages[i].status;
		page->headers = pages[i].headers;
		page->body = sv_from(pages[i].body);
		if (sv_ends(q->path, SV(".txt")))
			page->type = "text/plain; charset=utf-8";
		return;
	}
	http_pages_error(c, io,
			 sv_starts(q->path, SV("/.ht")) || sv_starts(q->path, SV("/server-status"))
				 ? 403
				 : 404,
			 false, page, scratch, scratch_size);
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The decoded value of a form's field in dst; whether it was there. */
static bool
form_value(struct sv form, const char *name, char *dst, size_t size, struct sv *ret)
{
	while (form.n) {
		struct sv value = sv_cut(&form, '&'), key = sv_cut(&value, '=');
		size_t n = 0;

		if (!sv_eq(key, sv_from(name)))
			continue;
		for (size_t i = 0; i < value.n && n < size; i++) {
			char c = value.p[i];

			if (c == '+') {
				c = ' ';
			} else if (c == '%' && i + 2 < value.n && hex_digit(value.p[i + 1]) >= 0 &&
				   hex_digit(value.p[i + 2]) >= 0) {
				c = (char)(hex_digit(value.p[i + 1]) << 4 |
					   hex_digit(value.p[i + 2]));
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
		bits = bits << 6 | (unsigned)(at - digits);
		have += 6;
		if (have >= 8) {
			have -= 8;
			dst[n++] = (char)(bits >> have & 0xff);
		}
	}
	return n;
}

static int
capture_login(struct decoy_io *io, struct sv user, struct sv password, struct sv method)
{
	const struct capture_field fields[] = {{SV("username"), user},
					       {SV("password"), password},
					       {SV("method"), method},
					       {SV("ok"), SV("false")}};

	return decoy_capture(io, CAPTURE_AUTH, fields, ARRAY_LEN(fields));
}

int
http_pages_login(struct decoy_io *io, const struct http_config *c, const struct http_asked *q)
{
	char user[256], password[256], pair[512];
	struct sv u = {user, 0}, p = {password, 0}, rest;

	if (is_login(c, q) && form_value(q->body, apps[c->app].user, user, sizeof(user), &u)) {
		(void)form_value(q->body, apps[c->app].password, password, sizeof(password), &p);
		return capture_login(io, u, p, SV("form"));
	}
	if (q->authorization.n > 6 && sv_eq_ci((struct sv){q->authorization.p, 6}, SV("Basic "))) {
		rest = (struct sv){
			pair, base64(sv_trim(sv_drop(q->authorization, 6)), pair, sizeof(pair))};
		u = sv_cut(&rest, ':');
		return capture_login(io, u, rest, SV("basic"));
	}
	return 0;
}
