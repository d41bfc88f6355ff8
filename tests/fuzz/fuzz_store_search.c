/* SPDX-License-Identifier: Apache-2.0 */
/* A search text, and after a NUL a raw line: parsing never fails but for memory, terms are valid
 * JSON text, and adding the text's own words to a line makes the words match. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "store/search.h"
#include "util/buf.h"
#include "util/json.h"

#define TEXT_MAX 2048

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
check_terms(const struct search *s)
{
	char *words = json_text(s->words), *pairs = json_text(s->pairs);
	const json_t *word, *pair;
	size_t i;

	if (!words || !pairs)
		abort();
	json_array_foreach(s->words, i, word)
	{
		if (json_string_length(word) == 0 ||
		    strlen(json_string_value(word)) != json_string_length(word))
			abort();
	}
	json_array_foreach(s->pairs, i, pair)
	{
		if (json_array_size(pair) != 2 || json_string_length(json_array_get(pair, 0)) == 0)
			abort();
	}
	free(words);
	free(pairs);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sv text = {(const char *)data, n < TEXT_MAX ? n : TEXT_MAX};
	struct search_row row = {"d", "s", "e", "1.2.3.4", "", "{}"};
	struct search s;
	const json_t *word;
	struct buf line;
	char *raw;
	size_t i;

	if (search_parse(text, &s) < 0)
		abort();
	check_terms(&s);
	if (search_empty(&s) && !search_match(&s, &row))
		abort();
	if (!s.nothing && !s.decky && !s.service && !s.event && !s.attacker &&
	    json_array_size(s.pairs) == 0) {
		buf_init(&line, 1 << 16);
		json_array_foreach(s.words, i, word)
		{
			if (buf_put(&line, sv_from(json_string_value(word))) < 0)
				abort();
		}
		raw = buf_take(&line);
		row.raw_line = raw;
		if (!search_match(&s, &row))
			abort();
		free(raw);
	}
	search_fini(&s);
	return 0;
}
