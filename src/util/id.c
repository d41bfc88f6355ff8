/* SPDX-License-Identifier: Apache-2.0 */
/* Identifiers. */
#include "util/id.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "util/clock.h"

void
id_random(void *dst, size_t n)
{
	unsigned char *p = dst;

	while (n > 0) {
		ssize_t got = getrandom(p, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			abort();
		p += got;
		n -= (size_t)got;
	}
}

void
id_hex(const void *src, size_t n, char *dst)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *p = src;

	for (size_t i = 0; i < n; i++) {
		dst[2 * i] = digits[p[i] >> 4];
		dst[2 * i + 1] = digits[p[i] & 15];
	}
	dst[2 * n] = 0;
}

void
id_hex32(char dst[ID_HEX32_SIZE])
{
	unsigned char raw[16];

	id_random(raw, sizeof(raw));
	id_hex(raw, sizeof(raw), dst);
}

void
id_uuid7(char dst[ID_UUID_SIZE])
{
	/* 42 bits below the time rise within a millisecond (RFC 9562, 6.2 method 2); a new
	 * millisecond draws them anew. */
	static __thread uint64_t last_ms, counter;
	uint64_t now = clock_unix_ms();
	unsigned char raw[16];
	char hex[33];

	id_random(raw, sizeof(raw));
	if (now > last_ms) {
		last_ms = now;
		memcpy(&counter, raw + 8, sizeof(counter));
		counter &= (UINT64_C(1) << 41) - 1;
	} else {
		counter++;
	}
	for (unsigned i = 0; i < 6; i++)
		raw[i] = (unsigned char)(last_ms >> (40 - 8 * i));
	raw[6] = (unsigned char)(0x70 | ((counter >> 38) & 0x0f));
	raw[7] = (unsigned char)(counter >> 30);
	raw[8] = (unsigned char)(0x80 | ((counter >> 24) & 0x3f));
	raw[9] = (unsigned char)(counter >> 16);
	raw[10] = (unsigned char)(counter >> 8);
	raw[11] = (unsigned char)counter;
	id_hex(raw, sizeof(raw), hex);
	(void)snprintf(dst, ID_UUID_SIZE, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12,
		       hex + 16, hex + 20);
}

bool
id_is_uuid(struct sv s)
{
	if (s.n != 36)
		return false;
	for (size_t i = 0; i < 36; i++) {
		char c = s.p[i];

		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (c != '-')
				return false;
		} else if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
			return false;
		}
	}
	return true;
}

void
id_uuid_text(const uint8_t raw[16], char dst[ID_UUID_SIZE])
{
	char hex[33];

	id_hex(raw, 16, hex);
	(void)snprintf(dst, ID_UUID_SIZE, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12,
		       hex + 16, hex + 20);
}

static unsigned
digit(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

int
id_uuid_bytes(struct sv s, uint8_t dst[16])
{
	const char *p = s.p;

	if (!id_is_uuid(s))
		return -EBADMSG;
	for (size_t n = 0; n < 16; n++) {
		p += *p == '-';
		dst[n] = (uint8_t)(digit(p[0]) << 4 | digit(p[1]));
		p += 2;
	}
	return 0;
}
