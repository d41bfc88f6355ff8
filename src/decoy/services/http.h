/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DECOY_SERVICES_HTTP_H
#define DECOY_SERVICES_HTTP_H

/* What the files of the web decoy share: the configuration, a request, a page. */

#include "decoy/service.h"
#include "decoy/services/http_head.h"

#define HTTP_SCRATCH_MAX 8192 /* of a page that is made for one request */
#define HTTP_KEPT_BODY	 16384

enum http_app { HTTP_NONE, HTTP_WORDPRESS, HTTP_PHPMYADMIN, HTTP_TOMCAT, HTTP_JENKINS };

/* Whose habits the frame of an answer has. */
enum http_style { HTTP_APACHE, HTTP_COYOTE, HTTP_JETTY };

struct http_config {
	enum http_app app;
	enum http_style style;
	bool strict;	  /* no bare line feeds */
	int code;	  /* of the start page */
	char server[256]; /* "": no such header */
	struct sv extra;  /* more headers, one a line */
	struct sv body;	  /* of the start page; empty: the application's */
};

/* One request, kept until its body has come. */
struct http_asked {
	struct sv method, target, path, host, user_agent, authorization, type;
	struct sv body;	 /* the first HTTP_KEPT_BODY bytes */
	uint64_t length; /* of the whole body */
	int minor;	 /* -1: HTTP/0.9 */
	bool keep_alive, asks_keep_alive;
};

struct http_page {
	int status;
	const char *type;    /* "": none */
	const char *headers; /* whole lines, or NULL */
	bool file;	     /* from the disk: with a date and a tag */
	struct sv body;
};

enum http_app http_app_find(struct sv word);
const char *http_app_server(enum http_app app);
enum http_style http_app_style(enum http_app app);
/* The answer to a request. `scratch` (HTTP_SCRATCH_MAX) holds what is made for it and must live as
 * long as the page. */
void http_pages_find(const struct http_config *c, const struct decoy_io *io,
		     const struct http_asked *q, struct http_page *page, char *scratch);
/* The server's own error page. */
void http_pages_error(const struct http_config *c, const struct decoy_io *io,
		      const struct http_asked *q, int status, struct http_page *page,
		      char *scratch);
/* Capture the credentials in a form, an XML-RPC call or Basic authentication, if there are any. 0
 * or a failure of decoy_capture. */
int http_login_capture(struct decoy_io *io, const struct http_config *c,
		       const struct http_asked *q) A_NODISCARD;
/* Whether the request gives a login form of the application its fields; the name in dst, escaped
 * for a page. */
bool http_login_is(const struct http_config *c, const struct http_asked *q, char dst[128]);
/* The phrase of a status. */
const char *http_reason(int status);

#endif
