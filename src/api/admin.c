/* SPDX-License-Identifier: Apache-2.0 */
/* The first admin: made when there is no user, and kept reachable until the password was changed.
 */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/auth.h"
#include "api/state.h"
#include "api/user.h"
#include "store/user.h"
#include "util/clock.h"
#include "util/fdpass.h"
#include "util/log.h"

#define GENERATED_BYTES 18

static int
insert(struct db *db, const struct conf *conf, struct sv password, struct err *e)
{
	struct user u = {.role = "admin", .must_change = true};
	int64_t n;
	int r = auth_hash(password, u.password_hash);

	if (r < 0)
		return err_set(e, r, "out of memory");
	id_uuid7(u.uuid);
	(void)snprintf(u.username, sizeof(u.username), "%s", conf->admin_user);
	u.created_at = clock_unix_ms();
	r = db_begin_write(db, e);
	if (r < 0)
		return r;
	/* Another process may have been first. */
	n = user_count(db, e);
	r = n < 0 ? (int)n : 0;
	if (n == 0)
		r = user_insert(db, &u, e);
	if (r == 0)
		r = db_commit(db, e);
	db_rollback(db);
	return r < 0 ? r : n == 0;
}

/* To the terminal, once; a log would keep it. When the suite is in the background, standard error
 * is a log, and who started it passes this on. */
static void
say_once(const char *user, const char *password)
{
	int fd = fdpass_inherited("DECNET_FD_NOTICE");
	char line[320];
	int n = snprintf(line, sizeof(line),
			 "decnet: first admin: user %s, password %s (to be changed at the first "
			 "login)\n",
			 user, password);

	if (fd < 0 || write(fd, line, (size_t)n) != n)
		(void)fputs(line, stderr);
	if (fd >= 0)
		(void)close(fd);
	sodium_memzero(line, sizeof(line));
}

static int
generate(struct db *db, const struct conf *conf, struct err *e)
{
	unsigned char random[GENERATED_BYTES];
	char password[sodium_base64_ENCODED_LEN(GENERATED_BYTES,
						sodium_base64_VARIANT_URLSAFE_NO_PADDING)];
	int r;

	id_random(random, sizeof(random));
	(void)sodium_bin2base64(password, sizeof(password), random, sizeof(random),
				sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	r = insert(db, conf, sv_from(password), e);
	if (r == 1)
		say_once(conf->admin_user, password);
	sodium_memzero(password, sizeof(password));
	return r;
}

static int
write_again(struct db *db, const struct conf *conf, struct err *e)
{
	char hash[AUTH_HASH_SIZE];
	struct user u;
	int r = user_by_name(db, conf->admin_user, &u, e);

	if (r != 1 || !u.must_change || auth_verify(u.password_hash, sv_from(conf->admin_password)))
		return r < 0 ? r : 0;
	r = auth_hash(sv_from(conf->admin_password), hash);
	if (r < 0)
		return err_set(e, r, "out of memory");
	r = db_begin_write(db, e);
	if (r == 0)
		r = user_by_name(db, conf->admin_user, &u, e);
	/* Its owner may have changed it just now. */
	if (r == 1 && u.must_change)
		r = user_set_password(db, u.uuid, hash, true, clock_unix_ms(), e);
	if (r >= 0)
		r = db_commit(db, e);
	db_rollback(db);
	return r < 0 ? r : 0;
}

int
api_first_admin(struct db *db, const struct conf *conf, struct err *e)
{
	const char *password = conf->admin_password;
	int64_t n;
	int r;

	if (password && !user_password_good(sv_from(password)))
		return err_set(e, -EINVAL, "DECNET_ADMIN_PASSWORD: expected 12 to 128 bytes");
	if (!user_name_good(sv_from(conf->admin_user)))
		return err_set(e, -EINVAL, "DECNET_ADMIN_USER: not a user name");
	n = user_count(db, e);
	if (n < 0)
		return (int)n;
	if (n > 0)
		return password ? write_again(db, conf, e) : 0;
	r = password ? insert(db, conf, sv_from(password), e) : generate(db, conf, e);
	return r < 0 ? r : 0;
}
