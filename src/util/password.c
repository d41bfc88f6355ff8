/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes of passwords, by libsodium with its limits for logging in. */
#include "util/password.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

_Static_assert(PASSWORD_HASH_SIZE >= crypto_pwhash_STRBYTES, "the line does not fit");

bool
password_good(struct sv password)
{
	return password.n >= PASSWORD_MIN && password.n <= PASSWORD_MAX;
}

int
password_hash(struct sv password, char ret_hash[PASSWORD_HASH_SIZE])
{
	memset(ret_hash, 0, PASSWORD_HASH_SIZE);
	if (sodium_init() < 0)
		return -EIO;
	return crypto_pwhash_str(ret_hash, password.p ? password.p : "", password.n,
				 crypto_pwhash_OPSLIMIT_INTERACTIVE,
				 crypto_pwhash_MEMLIMIT_INTERACTIVE) == 0
		       ? 0
		       : -ENOMEM;
}
