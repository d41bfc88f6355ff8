/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_WEB_ASSET_H
#define API_WEB_ASSET_H

/* The dashboard's files as they are compiled in. tools/embed.py writes the table from web/dist. */

#include <stddef.h>

struct web_asset {
	const char
		*path; /* as requested, "/assets/index-1a2b.js"; the page itself is "/index.html" */
	const char *type; /* Content-Type */
	const unsigned char *data;
	size_t size;
	const char *etag; /* quotes included; changes whenever the bytes do */
};

/* Sorted by path (strcmp); always holds "/index.html", if only to say that the dashboard was not
 * built. */
extern const struct web_asset web_assets[];
extern const size_t web_assets_count;

#endif
