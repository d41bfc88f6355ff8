/* SPDX-License-Identifier: Apache-2.0 */
/* Rules for single header fields. */
#include "http/field.h"

#include "util/attr.h"

#define PORT_DIGITS_MAX 5

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '-' ||
	       c == '_' || c == '~' || c == '.';
}

static bool
is_v6_char(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':' ||
	       c == '.';
}

/* The length of the name or address in front, or 0. */
static size_t
name_length(struct sv host)
{
	size_t n = 0;

	if (host.n && host.p[0] == '[') {
		for (n = 1; n < host.n && is_v6_char(host.p[n]); n++)
			;
		return n > 2 && n < host.n && host.p[n] == ']' ? n + 1 : 0;
	}
	for (; n < host.n && is_name_char(host.p[n]); n++)
		if (n && host.p[n] == '.' && host.p[n - 1] == '.')
			return 0;
	return n;
}

bool
http_host_valid(struct sv host)
{
	size_t n = name_length(host);
	struct sv port = sv_drop(host, n + 1);

	if (n == 0 || (n < host.n && host.p[n] != ':') || port.n > PORT_DIGITS_MAX)
		return false;
	for (size_t i = 0; i < port.n; i++)
		if (!is_digit(port.p[i]))
			return false;
	return true;
}

bool
http_field_single(struct sv name)
{
	static const struct sv names[] = {
		{"authorization", 13},
		{"content-length", 14},
		{"content-type", 12},
		{"expect", 6},
		{"host", 4},
		{"if-match", 8},
		{"if-modified-since", 17},
		{"if-none-match", 13},
		{"if-range", 8},
		{"if-unmodified-since", 19},
		{"transfer-encoding", 17},
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (sv_eq_ci(name, names[i]))
			return true;
	return false;
}
