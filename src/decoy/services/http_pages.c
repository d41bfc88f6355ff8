/* SPDX-License-Identifier: Apache-2.0 */
/* Pages of the imitated applications and error pages of their servers. The texts are short and our
 * own where a visitor's program does not look; names, paths, titles, forms and header values are
 * those of the products. */
#include <stdio.h>
#include <string.h>

#include "decoy/services/http.h"

#define APACHE	     "Apache/2.4.71 (Debian)"
#define APACHE_ALLOW "Allow: GET,POST,OPTIONS,HEAD\r\n"
#define JENKINS	     "X-Content-Type-Options: nosniff\r\nX-Hudson: 1.395\r\nX-Jenkins: 2.426.1\r\n"

static const struct {
	const char *word, *server;
	enum http_style style;
} apps[] = {
	[HTTP_NONE] = {"none", APACHE, HTTP_APACHE},
	[HTTP_WORDPRESS] = {"wordpress", APACHE, HTTP_APACHE},
	[HTTP_PHPMYADMIN] = {"phpmyadmin", APACHE, HTTP_APACHE},
	/* Tomcat says nothing of itself since 8.5. */
	[HTTP_TOMCAT] = {"tomcat", "", HTTP_COYOTE},
	[HTTP_JENKINS] = {"jenkins", "Jetty(10.0.18)", HTTP_JETTY},
};

enum http_app
http_app_find(struct sv word)
{
	for (size_t i = 0; i < ARRAY_LEN(apps); i++)
		if (sv_eq(sv_from(apps[i].word), word))
			return (enum http_app)i;
	return HTTP_NONE;
}

const char *
http_app_server(enum http_app app)
{
	return apps[app].server;
}

enum http_style
http_app_style(enum http_app app)
{
	return apps[app].style;
}

const char *
http_reason(int status)
{
	static const struct {
		int status;
		const char *text;
	} rows[] = {
#define STATUS(code, text) {code, text},
#include "decoy/services/http_status.def"
#undef STATUS
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].status == status)
			return rows[i].text;
	return "Unknown";
}

/* A body of NULL is the server's own page for the status. */
static const struct {
	enum http_app app;
	const char *path;
	int status;
	const char *headers, *body;
} pages[] = {
#define PAGE(app, path, status, headers, body) {HTTP_##app, path, status, headers, body},
#include "decoy/services/http_pages.def"
#undef PAGE
};

/* -- error pages -- */

static void
set_body(struct http_page *page, const char *scratch, int n)
{
	size_t size = n < 0 ? 0 : (size_t)n;

	page->body = (struct sv){scratch, size < HTTP_SCRATCH_MAX ? size : HTTP_SCRATCH_MAX - 1};
}

/* Apache names itself as the visitor did, and port 80 unless he said another. */
static void
apache_name(const struct decoy_io *io, struct sv host, char dst[256], char port[8])
{
	struct sv rest = host, name = sv_cut(&rest, ':');
	uint64_t n = 80;
	bool plain = name.n > 0 && name.n < 200;

	for (size_t i = 0; i < name.n && plain; i++)
		plain = (name.p[i] >= 'a' && name.p[i] <= 'z') ||
			(name.p[i] >= 'A' && name.p[i] <= 'Z') ||
			(name.p[i] >= '0' && name.p[i] <= '9') || name.p[i] == '.' ||
			name.p[i] == '-' || name.p[i] == '_';
	if (plain && rest.n)
		(void)sv_u64(rest, UINT16_MAX, &n);
	(void)snprintf(dst, 256, "%.*s", plain ? (int)name.n : 200,
		       plain ? name.p : io->host->hostname);
	(void)snprintf(port, 8, "%u", (unsigned)n);
}

static void
apache_text(int status, const struct http_asked *q, char dst[256])
{
	char method[32];

	(void)snprintf(method, sizeof(method), "%.*s", q->method.n < 20 ? (int)q->method.n : 20,
		       q->method.p);
	switch (status) {
	case 400:
		(void)snprintf(dst, 256,
			       "Your browser sent a request that this server could not "
			       "understand.<br />\n");
		break;
	case 403:
		(void)snprintf(dst, 256, "You don't have permission to access this resource.");
		break;
	case 405:
		(void)snprintf(dst, 256, "The requested method %s is not allowed for this URL.",
			       method);
		break;
	case 413:
		(void)snprintf(dst, 256,
			       "The requested resource does not allow request data with "
			       "%s requests, or the amount of data provided in\nthe "
			       "request exceeds the capacity limit.",
			       method);
		break;
	case 414:
		(void)snprintf(dst, 256,
			       "The requested URL's length exceeds the capacity\nlimit for "
			       "this server.<br />\n");
		break;
	case 501:
		(void)snprintf(dst, 256, "%s not supported for current URL.<br />\n", method);
		break;
	default: (void)snprintf(dst, 256, "The requested URL was not found on this server."); break;
	}
}

static void
apache_error(const struct http_config *c, const struct decoy_io *io, const struct http_asked *q,
	     struct http_page *page, char *scratch)
{
	const char *phrase = http_reason(page->status);
	char name[256], port[8], text[256];

	apache_name(io, q->host, name, port);
	apache_text(page->status, q, text);
	page->type = "text/html; charset=iso-8859-1";
	if (page->status == 405 || page->status == 501)
		page->headers = APACHE_ALLOW;
	set_body(page, scratch,
		 snprintf(scratch, HTTP_SCRATCH_MAX,
			  "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.01//EN\" "
			  "\"http://www.w3.org/TR/html4/strict.dtd\">\n<html><head>\n"
			  "<title>%d %s</title>\n</head><body>\n<h1>%s</h1>\n<p>%s</p>\n<hr>\n"
			  "<address>%s Server at %s Port %s</address>\n</body></html>\n",
			  page->status, phrase, phrase, text, c->server, name, port));
}

static void
tomcat_error(struct http_page *page, char *scratch)
{
	const char *phrase = http_reason(page->status);
	const char *why =
		page->status == 404
			? "The origin server did not find a current representation for the target "
			  "resource or is not willing to disclose that one exists."
		: page->status == 401
			? "The request has not been applied to the target resource because it "
			  "lacks valid authentication credentials for that resource."
			: "The server cannot or will not process the request due to something that "
			  "is perceived to be a client error.";

	page->type = "text/html;charset=utf-8";
	set_body(
		page, scratch,
		snprintf(
			scratch, HTTP_SCRATCH_MAX,
			"<!doctype html><html lang=\"en\"><head><title>HTTP Status %d \xe2\x80\x93 "
			"%s</title><style type=\"text/css\">body "
			"{font-family:Tahoma,Arial,sans-serif;} h1, h2, h3, b "
			"{color:white;background-color:#525D76;} h1 {font-size:22px;} h2 "
			"{font-size:16px;} h3 {font-size:14px;} p {font-size:12px;} a "
			"{color:black;} .line {height:1px;background-color:#525D76;border:none;}"
			"</style></head><body><h1>HTTP Status %d \xe2\x80\x93 %s</h1><hr "
			"class=\"line\" /><p><b>Type</b> Status Report</p><p><b>Description</b> "
			"%s</p><hr class=\"line\" /><h3>Apache Tomcat/9.0.70</h3></body></html>",
			page->status, phrase, page->status, phrase, why));
}

/* Where one is sent to log in; what cannot stand in a link as it is stays away. */
static void
jenkins_error(const struct http_asked *q, struct http_page *page, char *scratch)
{
	char from[256];
	size_t n = 0;

	page->type = "text/html;charset=utf-8";
	if (page->status != 403) {
		const char *phrase = http_reason(page->status);

		page->type = "text/html;charset=iso-8859-1";
		set_body(page, scratch,
			 snprintf(scratch, HTTP_SCRATCH_MAX,
				  "<h1>Bad Message %d</h1><pre>reason: %s</pre>", page->status,
				  phrase));
		return;
	}
	for (size_t i = 0; i < q->path.n && n + 4 < sizeof(from); i++) {
		char ch = q->path.p[i];
		bool plain = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
			     (ch >= '0' && ch <= '9') || ch == '-' || ch == '_' || ch == '.';

		n += (size_t)snprintf(from + n, 4, plain ? "%c" : "%%%02X",
				      plain ? ch : (unsigned char)ch);
	}
	from[n] = '\0';
	page->headers = JENKINS "Expires: Thu, 01 Jan 1970 00:00:00 GMT\r\n";
	set_body(
		page, scratch,
		snprintf(scratch, HTTP_SCRATCH_MAX,
			 "<html><head><meta http-equiv='refresh' content='1;url=/login?from=%s'/>"
			 "<script id='redirect' data-redirect-url='/login?from=%s'></script></head>"
			 "<body style='background-color:white; color:white;'>\nAuthentication "
			 "required\n</body></html>",
			 from, from));
}

void
http_pages_error(const struct http_config *c, const struct decoy_io *io, const struct http_asked *q,
		 int status, struct http_page *page, char *scratch)
{
	page->status = status;
	switch (c->style) {
	case HTTP_APACHE: apache_error(c, io, q, page, scratch); break;
	case HTTP_COYOTE: tomcat_error(page, scratch); break;
	case HTTP_JETTY: jenkins_error(q, page, scratch); break;
	}
}

/* -- answers to logins, which never succeed -- */

static void
login_failed(const struct http_config *c, const char *user, struct http_page *page, char *scratch)
{
	switch (c->app) {
	case HTTP_WORDPRESS:
		set_body(
			page, scratch,
			snprintf(scratch, HTTP_SCRATCH_MAX,
				 "<!DOCTYPE html>\n<html lang=\"en-US\">\n<head>\n<title>Log In "
				 "&lsaquo; Staff notices &#8212; WordPress</title>\n</head>\n<body "
				 "class=\"login no-js login-action-login wp-core-ui "
				 "locale-en-us\">\n<div id=\"login\">\n<div "
				 "id=\"login_error\"><strong>Error:</strong> The password you "
				 "entered for the username <strong>%s</strong> is incorrect. <a "
				 "href=\"/wp-login.php?action=lostpassword\">Lost your "
				 "password?</a></div>\n<form name=\"loginform\" id=\"loginform\" "
				 "action=\"/wp-login.php\" method=\"post\"><input type=\"text\" "
				 "name=\"log\" id=\"user_login\" value=\"%s\" /><input "
				 "type=\"password\" name=\"pwd\" id=\"user_pass\" "
				 "/></form>\n</div>\n</body>\n</html>\n",
				 user, user));
		break;
	case HTTP_PHPMYADMIN:
		set_body(page, scratch,
			 snprintf(scratch, HTTP_SCRATCH_MAX,
				  "<!doctype html>\n<html lang=\"en\" dir=\"ltr\">\n<head>\n<title>"
				  "phpMyAdmin</title>\n</head>\n<body id=\"loginform\">\n<div "
				  "id=\"pma_errors\"><div class=\"alert alert-danger\" "
				  "role=\"alert\">mysqli::real_connect(): (HY000/1045): Access "
				  "denied "
				  "for user '%s'@'localhost' (using password: "
				  "YES)</div></div>\n</body>\n</html>\n",
				  user));
		break;
	case HTTP_JENKINS:
		page->status = 302;
		page->headers = JENKINS "Location: /loginError\r\n";
		page->type = "";
		break;
	case HTTP_NONE:
	case HTTP_TOMCAT: break;
	}
}

/* -- what is asked for -- */

/* The methods of files; applications take what they get. True when `page` is the answer. */
static bool
check_method(const struct http_config *c, const struct decoy_io *io, const struct http_asked *q,
	     struct http_page *page, char *scratch)
{
	static const char *const known[] = {"PUT",	"DELETE", "PATCH", "TRACE", "CONNECT",
					    "PROPFIND", "MKCOL",  "MOVE",  "COPY",  "LOCK"};

	if (sv_eq(q->method, SV("GET")) || sv_eq(q->method, SV("HEAD")) ||
	    sv_eq(q->method, SV("POST")))
		return false;
	if (sv_eq(q->method, SV("OPTIONS"))) {
		page->headers = APACHE_ALLOW;
		page->type = c->style == HTTP_APACHE ? "text/html" : "";
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (!sv_eq(q->method, sv_from(known[i])))
			continue;
		http_pages_error(c, io, q, 405, page, scratch);
		return true;
	}
	http_pages_error(c, io, q, 501, page, scratch);
	return true;
}

static bool
find_page(const struct http_config *c, const struct decoy_io *io, const struct http_asked *q,
	  struct sv path, struct http_page *page, char *scratch)
{
	bool start = sv_eq(path, SV("/"));

	for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
		int status = start && pages[i].status == 200 ? c->code : pages[i].status;

		if (pages[i].app != c->app || !sv_eq(path, sv_from(pages[i].path)))
			continue;
		if (!pages[i].body)
			http_pages_error(c, io, q, status, page, scratch);
		else
			page->body = sv_from(pages[i].body);
		page->status = status;
		page->headers = pages[i].headers;
		page->file = c->app == HTTP_NONE && status == 200;
		if (page->file)
			page->type = "text/html";
		if (sv_ends(path, SV(".txt")))
			page->type = "text/plain; charset=utf-8";
		return true;
	}
	return false;
}

void
http_pages_find(const struct http_config *c, const struct decoy_io *io, const struct http_asked *q,
		struct http_page *page, char *scratch)
{
	struct sv path = q->path;
	char user[128];

	if (check_method(c, io, q, page, scratch))
		return;
	if (http_login_is(c, q, user)) {
		login_failed(c, user, page, scratch);
		return;
	}
	/* Debian's alias of the application. */
	if (c->app == HTTP_PHPMYADMIN && sv_starts(path, SV("/phpmyadmin")))
		path = sv_drop(path, path.n > 11 ? 11 : 10);
	if (c->app == HTTP_WORDPRESS && sv_eq(path, SV("/xmlrpc.php")) &&
	    sv_eq(q->method, SV("POST"))) {
		page->type = "text/xml; charset=UTF-8";
		page->body = SV("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<methodResponse>\n  "
				"<fault>\n    <value>\n      <struct>\n        <member>\n          "
				"<name>faultCode</name>\n          <value><int>403</int></value>\n"
				"        </member>\n        <member>\n          <name>faultString"
				"</name>\n          <value><string>Incorrect username or password."
				"</string></value>\n        </member>\n      </struct>\n    "
				"</value>\n  </fault>\n</methodResponse>\n");
		return;
	}
	if (sv_eq(path, SV("/")) && c->body.n) {
		page->status = c->code;
		page->body = c->body;
		return;
	}
	if (find_page(c, io, q, path, page, scratch))
		return;
	/* Jenkins lets nobody see what there is; Apache hides its own files and its status. */
	if (c->style == HTTP_JETTY || sv_starts(path, SV("/.ht")) ||
	    (c->style == HTTP_APACHE && sv_starts(path, SV("/server-status"))))
		http_pages_error(c, io, q, 403, page, scratch);
	else
		http_pages_error(c, io, q, 404, page, scratch);
}
