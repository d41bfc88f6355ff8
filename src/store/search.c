/* SPDX-License-Identifier: Apache-2.0 */
/* The search grammar of the logs. */
#include "store/search.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/buf.h"
#include "util/json.h"

static const char blanks[] = " \t\r\n";

static bool
is_blank(char c)
{
	return c && strchr(blanks, c);
}

static struct sv
skip_blanks(struct sv s)
{
	while (s.n && is_blank(s.p[0]))
		s = sv_drop(s, 1);
	return s;
}

/*
 * The next piece as a POSIX shell reads it. 1 and the piece in `out`, 0 at the end, -EBADMSG for an
 * open quote or a lone backslash at the end, or a failure of the buffer.
 */
static int
shell_piece(struct sv *in, struct buf *out)
{
	struct sv s = skip_blanks(*in);
	char quote = 0;
	int r = 0;

	buf_reset(out);
	if (s.n == 0)
		return 0;
	for (; s.n && r == 0; s = sv_drop(s, 1)) {
		char c = s.p[0];

		if (!quote && is_blank(c))
			break;
		if (quote ? c == quote : c == '\'' || c == '"') {
			if (quote)
				quote = '\0';
			else
				quote = c;
			continue;
		}
		if (c == '\\' && quote != '\'') {
			if (s.n == 1)
				return -EBADMSG;
			/* Inside double quotes only a quote and a backslash can be escaped. */
			if (!quote || s.p[1] == '"' || s.p[1] == '\\') {
				s = sv_drop(s, 1);
				c = s.p[0];
			}
		}
		r = buf_putc(out, c);
	}
	if (quote && r == 0)
		return -EBADMSG;
	*in = s;
	return r < 0 ? r : 1;
}

static int
blank_piece(struct sv *in, struct buf *out)
{
	struct sv s = skip_blanks(*in);
	size_t n = 0;
	int r;

	buf_reset(out);
	while (n < s.n && !is_blank(s.p[n]))
		n++;
	*in = sv_drop(s, n);
	r = buf_put(out, (struct sv){s.p, n});
	return r < 0 ? r : n > 0;
}

/* A second value for the same column can only be the same one. */
static int
set_column(struct search *s, char **column, struct sv value)
{
	char *text = sv_dup(value);

	if (!text)
		return -ENOMEM;
	/* No column of a log row is empty, and a NUL cannot be in one. */
	if (value.n == 0 || memchr(value.p, 0, value.n) || (*column && strcmp(*column, text) != 0))
		s->nothing = true;
	free(*column);
	*column = text;
	return 0;
}

static int
add_word(struct search *s, struct sv word)
{
	json_t *value;

	if (word.n == 0)
		return 0;
	if (memchr(word.p, 0, word.n)) {
		s->nothing = true; /* no stored text holds a NUL */
		return 0;
	}
	value = json_view(word);
	return value && json_array_append_new(s->words, value) == 0 ? 0 : -ENOMEM;
}

static int
add_pair(struct search *s, struct sv key, struct sv value)
{
	json_t *pair;
	int failed;

	if (value.n && memchr(value.p, 0, value.n)) {
		s->nothing = true;
		return 0;
	}
	pair = json_array();
	failed = !pair;

	if (!failed)
		failed |= json_array_append_new(pair, json_view(key));
	if (!failed)
		failed |= json_array_append_new(pair, json_view(value));
	if (failed) {
		json_decref(pair);
		return -ENOMEM;
	}
	return json_array_append_new(s->pairs, pair) == 0 ? 0 : -ENOMEM;
}

static int
add_piece(struct search *s, struct sv piece)
{
	const struct {
		struct sv key;
		char **column;
	} columns[] = {
		{SV("decky"), &s->decky},	   {SV("service"), &s->service},
		{SV("event"), &s->event},	   {SV("attacker"), &s->attacker},
		{SV("attacker-ip"), &s->attacker}, {SV("attacker_ip"), &s->attacker},
	};
	struct sv value = piece, key = sv_cut(&value, ':');
	char name[256];
	size_t n = 0;

	if (key.n == piece.n)
		return add_word(s, piece);
	for (size_t i = 0; i < ARRAY_LEN(columns); i++)
		if (sv_eq(key, columns[i].key))
			return set_column(s, columns[i].column, value);
	for (size_t i = 0; i < key.n && n < sizeof(name); i++)
		if (isalnum((unsigned char)key.p[i]) || key.p[i] == '_')
			name[n++] = key.p[i];
	if (n == 0)
		return add_word(s, piece);
	return add_pair(s, (struct sv){name, n}, value);
}

static int
parse_with(struct sv text, int (*next)(struct sv *, struct buf *), struct search *s)
{
	struct buf piece;
	int r;

	buf_init(&piece, text.n + 1);
	s->words = json_array();
	s->pairs = json_array();
	r = s->words && s->pairs ? 1 : -ENOMEM;
	while (r > 0) {
		r = next(&text, &piece);
		if (r <= 0)
			break;
		r = add_piece(s, buf_sv(&piece));
		if (r == 0)
			r = 1;
	}
	buf_fini(&piece);
	return r;
}

int
search_parse(struct sv text, struct search *ret)
{
	struct search s = {0};
	int r = parse_with(text, shell_piece, &s);

	if (r == -EBADMSG) {
		search_fini(&s);
		r = parse_with(text, blank_piece, &s);
	}
	if (r < 0) {
		search_fini(&s);
		return -ENOMEM;
	}
	*ret = s;
	return 0;
}

void
search_fini(struct search *s)
{
	free(s->decky);
	free(s->service);
	free(s->event);
	free(s->attacker);
	json_decref(s->words);
	json_decref(s->pairs);
	*s = (struct search){0};
}

bool
search_empty(const struct search *s)
{
	return !s->nothing && !s->decky && !s->service && !s->event && !s->attacker &&
	       json_array_size(s->words) == 0 && json_array_size(s->pairs) == 0;
}

static bool
has_word(const struct search_row *row, const char *word)
{
	return strstr(row->raw_line, word) || strstr(row->decky, word) ||
	       strstr(row->service, word) || strstr(row->attacker_ip, word);
}

static bool
has_pair(const json_t *fields, const json_t *pair)
{
	const json_t *value = json_object_get(fields, json_string_value(json_array_get(pair, 0)));
	const char *want = json_string_value(json_array_get(pair, 1));
	char *text;
	bool same;

	if (json_is_string(value))
		return strcmp(json_string_value(value), want) == 0;
	if (!json_is_number(value) && !json_is_boolean(value))
		return false;
	text = json_text(value);
	same = text && strcmp(text, want) == 0;
	free(text);
	return same;
}

static bool
equal(const char *want, const char *have)
{
	return !want || strcmp(want, have) == 0;
}

bool
search_match(const struct search *s, const struct search_row *row)
{
	json_t *fields, *entry;
	bool all = true;
	size_t i;

	if (s->nothing || !equal(s->decky, row->decky) || !equal(s->service, row->service) ||
	    !equal(s->event, row->event_type) || !equal(s->attacker, row->attacker_ip))
		return false;
	json_array_foreach(s->words, i, entry)
	{
		if (!has_word(row, json_string_value(entry)))
			return false;
	}
	if (json_array_size(s->pairs) == 0)
		return true;
	fields = json_stored(row->fields, "{}");
	json_array_foreach(s->pairs, i, entry)
	{
		all = all && has_pair(fields, entry);
	}
	json_decref(fields);
	return all;
}
