/* SPDX-License-Identifier: Apache-2.0 */
/* From the values of an observation to its keys. */
#include "identity/feature.h"

#include <errno.h>
#include <string.h>

static const struct {
	const char *word, *signal;
	unsigned max;
} classes[IDENTITY_VALUE_COUNT] = {
#define VALUE_CLASS(name, word, signal, max) {word, signal, max},
#include "identity/value.def"
#undef VALUE_CLASS
};

static const char letters[] = "tsfpcuk"; /* of the set classes, in texts */

const char *
identity_value_signal(enum identity_value_class c)
{
	return classes[c].signal;
}

static size_t
place(enum identity_value_class c)
{
	size_t at = 0;

	for (unsigned i = 0; i < (unsigned)c; i++)
		at += classes[i].max;
	return at;
}

const uint64_t *
identity_features_of(const struct identity_features *f, enum identity_value_class c)
{
	return f->keys + place(c);
}

void
identity_features_init(struct identity_features *f)
{
	memset(f, 0, sizeof(*f));
}

uint64_t
identity_key_of(const struct identity_secret *secret, enum identity_value_class c,
		const struct sv *parts, size_t n)
{
	struct sv all[4] = {sv_from(classes[c].word)};

	for (size_t i = 0; i < n && i + 1 < ARRAY_LEN(all); i++)
		all[i + 1] = parts[i];
	return identity_hash(secret, all, n + 1);
}

/* Into its place; of too many the largest leaves. */
static void
add(struct identity_features *f, enum identity_value_class c, uint64_t key)
{
	uint64_t *v = f->keys + place(c);
	size_t n = f->n[c], at = n;

	while (at > 0 && v[at - 1] >= key)
		at--;
	if (at < n && v[at] == key)
		return;
	if (at == classes[c].max)
		return;
	if (n == classes[c].max)
		n--;
	memmove(&v[at + 1], &v[at], (n - at) * sizeof(*v));
	v[at] = key;
	f->n[c] = (uint8_t)(n + 1);
}

void
identity_features_stack(struct identity_features *f, const struct identity_secret *secret,
			struct sv tls, struct sv hassh, struct sv banner)
{
	struct sv parts[3] = {tls, hassh, banner};

	if (tls.n > 0)
		add(f, IDENTITY_VALUE_TLS, identity_key_of(secret, IDENTITY_VALUE_TLS, parts, 1));
	if (hassh.n > 0)
		add(f, IDENTITY_VALUE_SSH,
		    identity_key_of(secret, IDENTITY_VALUE_SSH, parts + 1, 2));
	if (tls.n > 0 && hassh.n > 0)
		add(f, IDENTITY_VALUE_STACK,
		    identity_key_of(secret, IDENTITY_VALUE_STACK, parts, 3));
}

void
identity_features_payload(struct identity_features *f, const struct identity_secret *secret,
			  struct sv sha256)
{
	add(f, IDENTITY_VALUE_PAYLOAD, identity_key_of(secret, IDENTITY_VALUE_PAYLOAD, &sha256, 1));
}

void
identity_features_c2(struct identity_features *f, const struct identity_secret *secret,
		     struct sv endpoint)
{
	add(f, IDENTITY_VALUE_C2, identity_key_of(secret, IDENTITY_VALUE_C2, &endpoint, 1));
}

void
identity_features_credential(struct identity_features *f, const struct identity_secret *secret,
			     struct sv user, struct sv password)
{
	struct sv parts[2] = {user, password};

	add(f, IDENTITY_VALUE_CREDENTIAL,
	    identity_key_of(secret, IDENTITY_VALUE_CREDENTIAL, parts, 2));
}

void
identity_features_command(struct identity_features *f, const struct identity_secret *secret,
			  struct sv command)
{
	if (!identity_command_stock(command))
		add(f, IDENTITY_VALUE_COMMAND,
		    identity_key_of(secret, IDENTITY_VALUE_COMMAND, &command, 1));
}

void
identity_features_keystroke(struct identity_features *f, uint64_t simhash)
{
	f->has_keystroke = true;
	f->keystroke = simhash;
}

bool
identity_features_equal(const struct identity_features *a, const struct identity_features *b)
{
	if (a->has_keystroke != b->has_keystroke || a->keystroke != b->keystroke ||
	    memcmp(a->n, b->n, sizeof(a->n)) != 0)
		return false;
	for (unsigned c = 0; c < IDENTITY_SET_CLASSES; c++) {
		size_t at = place((enum identity_value_class)c);

		if (memcmp(a->keys + at, b->keys + at, a->n[c] * sizeof(*a->keys)) != 0)
			return false;
	}
	return true;
}

/* -- stock commands -- */

/* Length of the letter, digit or '_' at the start of s; 0: none there. What is not ASCII counts as
 * a letter unless it is in a range of punctuation or pictures. */
static size_t
word_char(struct sv s)
{
	unsigned char c = s.n ? (unsigned char)s.p[0] : 0;
	size_t n = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	uint32_t u;

	if (c < 0x80)
		return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
		       (c >= 'A' && c <= 'Z');
	if (c < 0xc2 || n > s.n)
		return 0;
	u = c & (0xffU >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if (((unsigned char)s.p[i] & 0xc0) != 0x80)
			return 0;
		u = u << 6 | ((unsigned char)s.p[i] & 0x3f);
	}
	if (u < 0xc0 || u == 0xd7 || u == 0xf7 || (u >= 0x2000 && u < 0x2c00) ||
	    (u >= 0x3000 && u < 0x3040) || (u >= 0xe000 && u < 0xf900) || u >= 0x1f000)
		return 0;
	return n;
}

static struct sv
skip_blanks(struct sv s)
{
	while (s.n > 0 && s.p[0] == ' ')
		s = sv_drop(s, 1);
	return s;
}

/* An option or a plain word: up to two dashes, then 1..12 characters. 1 and *s after it; 0. */
static bool
take_word(struct sv *s)
{
	struct sv at = *s;
	size_t chars = 0, dashes = 0, n;

	while (at.n > 0 && (n = at.p[0] == '-' ? 1 : word_char(at)) > 0) {
		dashes += dashes == chars && at.p[0] == '-';
		chars++;
		at = sv_drop(at, n);
	}
	if (chars == 0 || chars > 14 || (chars > 12 && dashes < chars - 12))
		return false;
	*s = at;
	return true;
}

static bool
is_path(struct sv s)
{
	if (s.n == 0 || (s.p[0] != '/' && s.p[0] != '~'))
		return false;
	s = sv_drop(s, 1);
	while (s.n > 0) {
		size_t n = s.p[0] == '.' || s.p[0] == '/' || s.p[0] == '-' ? 1 : word_char(s);

		if (n == 0)
			return false;
		s = sv_drop(s, n);
	}
	return true;
}

bool
identity_command_stock(struct sv s)
{
	size_t n = 0;

	if (s.n > 0 && s.p[s.n - 1] == '\n')
		s.n--;
	if (sv_starts(s, SV("busybox")) || sv_starts(s, SV("/bin/busybox")))
		return sv_find(s, '\n') == s.n;
	while (n < s.n && (s.p[n] == '_' || (s.p[n] >= 'a' && s.p[n] <= 'z')))
		n++;
	if (n == 0)
		return false;
	s = sv_drop(s, n);
	while (s.n > 0) {
		struct sv rest = skip_blanks(s);

		if (rest.n == s.n)
			return false;
		if (!take_word(&rest))
			return is_path(rest);
		s = rest;
	}
	return true;
}

/* -- as text -- */

static char *
write_key(char *at, char letter, uint64_t key)
{
	*at++ = letter;
	for (int shift = 60; shift >= 0; shift -= 4)
		*at++ = "0123456789abcdef"[key >> shift & 15];
	return at;
}

void
identity_features_write(const struct identity_features *f, char *dst)
{
	for (unsigned c = 0; c < IDENTITY_SET_CLASSES; c++) {
		const uint64_t *v = identity_features_of(f, (enum identity_value_class)c);

		for (size_t i = 0; i < f->n[c]; i++)
			dst = write_key(dst, letters[c], v[i]);
	}
	if (f->has_keystroke)
		dst = write_key(dst, 'd', f->keystroke);
	*dst = '\0';
}

static int
read_hex(const char *p, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < 16; i++) {
		char c = p[i];

		if (c >= '0' && c <= '9')
			v = v << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (uint64_t)(c - 'a' + 10);
		else
			return -EBADMSG;
	}
	*ret = v;
	return 0;
}

int
identity_features_read(struct sv text, struct identity_features *ret)
{
	identity_features_init(ret);
	for (; text.n >= 17; text = sv_drop(text, 17)) {
		const char *letter = text.p[0] ? strchr(letters, text.p[0]) : NULL;
		uint64_t key = 0;

		if (read_hex(text.p + 1, &key) < 0)
			return -EBADMSG;
		if (text.p[0] == 'd')
			identity_features_keystroke(ret, key);
		else if (letter)
			add(ret, (enum identity_value_class)(letter - letters), key);
		else
			return -EBADMSG;
	}
	return text.n == 0 ? 0 : -EBADMSG;
}
