/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DECOY_SERVICES_HTTP_PAGES_H
#define DECOY_SERVICES_HTTP_PAGES_H

/* The pages of the web decoy: which application it imitates, and the credentials that its forms are
 * given. Pure, like the service itself. */

#include "decoy/service.h"

#define HTTP_PAGE_MAX 8192

enum http_app { HTTP_NONE, HTTP_WORDPRESS, HTTP_PHPMYADMIN, HTTP_TOMCAT, HTTP_JENKINS };

struct http_config {
	enum http_app app;
	int code; /* of the start page */
	char server[256];
	char extra[4096]; /* more headers, one a line */
	char body[65536]; /* of the start page; "" is the application's */
};

/* One request. */
struct http_asked {
	struct sv method, target, path, version, host, user_agent, authorization, body;
	int minor;
	bool keep_alive, chunked;
	uint64_t length;
};

struct http_page {
	int status;
	const char *type;
	const char *headers; /* whole lines, or NULL */
	struct sv body;
};

enum http_app http_app_find(const char *word);
const char *http_app_server(enum http_app app);
/* The answer to a request. `scratch` holds what is made for it and must live as long as the page.
 */
void http_pages_find(const struct http_config *c, const struct decoy_io *io,
		     const struct http_asked *q, struct http_page *page, char *scratch,
		     size_t scratch_size);
/* The server's own error page. `tls`: the peer spoke TLS to the plain port. */
void http_pages_error(const struct http_config *c, const struct decoy_io *io, int status, bool tls,
		      struct http_page *page, char *scratch, size_t scratch_size);
/* Capture the credentials in a form or in Basic authentication, if there are any. 0 or a failure of
 * decoy_capture. */
int http_pages_login(struct decoy_io *io, const struct http_config *c,
		     const struct http_asked *q) A_NODISCARD;

#endif
