/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_SEARCH_H
#define STORE_SEARCH_H

/* The search grammar of the logs: text in, terms out. Pure. */

#include <jansson.h>
#include <stdbool.h>

#include "util/attr.h"
#include "util/sv.h"

#define SEARCH_CHARS_MAX 512

struct search {
	/* Equality on a column; NULL: not asked for. */
	char *decky, *service, *event, *attacker;
	bool nothing; /* contradicts itself: no row can match */
	/* All must hold: [word, …] substrings; [[key, value], …] equality on keys of `fields`.
	 * Never NULL after search_parse. */
	json_t *words, *pairs;
};

/*
 * Split like a shell (quotes kept together; on unbalanced quotes at blanks), then read each piece:
 * `key:value` with a known key is equality on that column, another key (its letters, digits and
 * underscores) on that key of the fields; anything else is a word. 0, or -ENOMEM.
 */
int search_parse(struct sv text, struct search *ret) A_NODISCARD;
void search_fini(struct search *s);
/* Whether every row matches. */
bool search_empty(const struct search *s);

/* The parts of a log row that a search looks at. */
struct search_row {
	const char *decky, *service, *event_type, *attacker_ip, *raw_line;
	const char *fields; /* JSON object text */
};
/* The same answer as the store's statement. */
bool search_match(const struct search *s, const struct search_row *row);

#endif
