/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_DOC_H
#define API_DOC_H

/* The description of the interface, made from the table of routes. */

/* OpenAPI 3.1 as heap text; NULL without memory. */
char *doc_openapi(void);
/* The same for people: an HTML page as heap text; NULL without memory. */
char *doc_page(void);

#endif
