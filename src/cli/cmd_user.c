/* SPDX-License-Identifier: Apache-2.0 */
/* `decnet user …`: logging in and managing users. Passwords come from a prompt or from standard
 * input, never from arguments. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/rest.h"
#include "store/db.h"
#include "store/user.h"
#include "util/clock.h"
#include "util/conf.h"
#include "util/file.h"
#include "util/json.h"
#include "util/password.h"

#define SECRET_MAX 256

/* One line without its end; typed ones are not shown. false at the end of input and for a line that
 * is too long. */
static bool
read_line(const char *prompt, bool secret, char dst[SECRET_MAX])
{
	struct termios old, quiet;
	bool terminal = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &old) == 0, good;

	if (terminal) {
		(void)fprintf(stderr, "%s: ", prompt);
		quiet = old;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		if (secret)
			(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	}
	good = fgets(dst, SECRET_MAX, stdin) != NULL;
	if (terminal && secret) {
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
		(void)fprintf(stderr, "\n");
	}
	if (good && strlen(dst) == SECRET_MAX - 1 && dst[SECRET_MAX - 2] != '\n')
		good = false;
	if (good)
		dst[strcspn(dst, "\r\n")] = 0;
	return good;
}

static int
no_input(void)
{
	return cli_fail(CLI_USAGE, "a password of at most %d bytes is expected on standard input",
			PASSWORD_MAX);
}

/* Ask for a success and say nothing else; the exit code. */
static int
simple(struct cli *c, const char *method, const char *path, json_t *own_body, const char *done)
{
	struct rest_answer a = {0};
	int code = rest_do(c, method, path, own_body, &a);

	json_decref(own_body);
	if (code == 0 && !c->json)
		(void)printf("%s\n", done);
	rest_fini(&a);
	return code;
}

static int
keep_token(const char *token)
{
	char path[1200], dir[1200];
	struct err e = {0};

	rest_token_path(path, sizeof(path));
	(void)snprintf(dir, sizeof(dir), "%s", path);
	*strrchr(dir, '/') = 0;
	if (file_mkdirs(dir, 0700, &e) < 0 || file_write(path, token, strlen(token), 0600, &e) < 0)
		return cli_fail(CLI_FAILED, "%s", err_text(&e));
	return CLI_OK;
}

/* Log in. 0 and the token (heap), or the exit code. */
static int
log_in(const struct cli *c, const char *user, const char *password, char **ret_token,
       bool *ret_must_change)
{
	json_t *body = json_pack("{s:s, s:s}", "username", user, "password", password);
	struct rest_answer a = {0};
	struct cli quiet = *c;
	const char *token;
	int code;

	if (!body)
		return cli_fail(CLI_USAGE, "user name and password must be UTF-8");
	quiet.json = false;
	code = rest_do(&quiet, "POST", "/auth/login", body, &a);
	json_decref(body);
	token = json_get_text(a.json, "access_token");
	if (code == 0 && !token)
		code = cli_fail(CLI_FAILED, "the server sent no token");
	if (code == 0) {
		*ret_token = strdup(token);
		*ret_must_change = json_is_true(json_object_get(a.json, "must_change_password"));
		code = *ret_token ? 0 : cli_fail(CLI_FAILED, "out of memory");
	}
	rest_fini(&a);
	return code;
}

int
cmd_user_login(struct cli *c)
{
	const char *name = NULL;
	const struct cli_option options[] = {{"--name", CLI_TEXT, &name}};
	char user[SECRET_MAX], password[SECRET_MAX], *token = NULL;
	bool must_change = false;
	int code = cli_options(c, options, ARRAY_LEN(options), 0, 0);

	if (code != 0)
		return code;
	if (!name && !read_line("user", false, user))
		return cli_fail(CLI_USAGE, "a user name is expected: --name N");
	if (!read_line("password", true, password))
		return no_input();
	code = log_in(c, name ? name : user, password, &token, &must_change);
	if (code == 0)
		code = keep_token(token);
	if (code == 0 && must_change)
		(void)fprintf(stderr, "the password must be changed first: decnet user passwd\n");
	free(token);
	return code;
}

/* The name of the user whose token is used, or NULL: it is not told while the password must be
 * changed. 0 or the exit code. */
static int
own_name(const struct cli *c, char **ret_name)
{
	struct rest_answer a = {0};
	struct err e = {0};
	const char *name;
	int code = 0;

	*ret_name = NULL;
	if (rest_call(c, "GET", "/config", NULL, &a, &e) < 0)
		return cli_fail(CLI_UNREACHABLE, "%s", err_text(&e));
	name = json_get_text(a.json, "username");
	if (a.status == 200 && name)
		*ret_name = strdup(name);
	else if (a.status != 403)
		code = rest_refused(&a);
	rest_fini(&a);
	return code;
}

int
cmd_user_logout(struct cli *c)
{
	const char *name = NULL;
	const struct cli_option options[] = {{"--name", CLI_TEXT, &name}};
	char path[1200], *own = NULL;
	int code = cli_options(c, options, ARRAY_LEN(options), 0, 0);

	if (code == 0 && name)
		code = own_name(c, &own);
	if (own && strcmp(own, name) != 0)
		code = cli_fail(CLI_FAILED, "logged in is %s, not %s", own, name);
	free(own);
	if (code == 0)
		code = simple(c, "POST", "/auth/logout", NULL, "logged out");
	rest_token_path(path, sizeof(path));
	if (code == 0 && unlink(path) < 0 && errno != ENOENT)
		return cli_fail(CLI_FAILED, "%s: %s", path, strerror(errno));
	return code;
}

int
cmd_user_passwd(struct cli *c)
{
	const char *name = NULL;
	const struct cli_option options[] = {{"--name", CLI_TEXT, &name}};
	char old[SECRET_MAX], new[SECRET_MAX], *own = NULL, *token = NULL;
	struct cli as = *c;
	bool must_change;
	int code = cli_options(c, options, ARRAY_LEN(options), 0, 0);

	if (code != 0)
		return code;
	if (!read_line("old password", true, old) || !read_line("new password", true, new))
		return no_input();
	/* With a name one need not be logged in. */
	code = name ? log_in(c, name, old, &token, &must_change) : own_name(c, &own);
	if (token)
		as.token = token;
	if (code == 0)
		code = simple(&as, "POST", "/auth/change-password",
			      json_pack("{s:s, s:s}", "old_password", old, "new_password", new),
			      "changed");
	free(token);
	token = NULL;
	/* Every session has ended with the old password, this one too. */
	if (code == 0 && (name || own))
		code = log_in(c, name ? name : own, new, &token, &must_change);
	else if (code == 0)
		(void)fprintf(stderr, "every session of yours has ended: decnet user login\n");
	if (code == 0 && token)
		code = keep_token(token);
	free(token);
	free(own);
	return code;
}

/* The uuid of the user of that name, from GET /config. 0 or the exit code. */
static int
find_user(struct cli *c, const char *name, char dst[37])
{
	struct rest_answer a = {0};
	struct cli quiet = *c;
	const json_t *one;
	size_t i;
	int code;

	quiet.json = false;
	code = rest_do(&quiet, "GET", "/config", NULL, &a);
	if (code != 0)
		return code;
	if (!json_object_get(a.json, "users")) {
		rest_fini(&a);
		return cli_fail(CLI_DENIED, "only an admin may see the users");
	}
	code = CLI_NOT_FOUND;
	json_array_foreach(json_object_get(a.json, "users"), i, one)
	{
		const char *got = json_get_text(one, "username"),
			   *uuid = json_get_text(one, "uuid");

		if (got && uuid && strcmp(got, name) == 0) {
			(void)snprintf(dst, 37, "%s", uuid);
			code = 0;
		}
	}
	rest_fini(&a);
	return code == 0 ? 0 : cli_fail(code, "no user is named '%s'", name);
}

int
cmd_user_list(struct cli *c)
{
	struct rest_answer a = {0};
	const json_t *one;
	size_t i;
	int code = cli_options(c, NULL, 0, 0, 0);

	if (code == 0)
		code = rest_do(c, "GET", "/config", NULL, &a);
	if (code != 0)
		return code;
	if (!c->json && !json_object_get(a.json, "users"))
		code = cli_fail(CLI_DENIED, "only an admin may see the users");
	json_array_foreach(json_object_get(a.json, "users"), i, one) if (!c->json)(void)
		printf("%s  %-8s %s%s\n", json_get_text(one, "uuid"), json_get_text(one, "role"),
		       json_get_text(one, "username"),
		       json_is_true(json_object_get(one, "must_change_password"))
			       ? "  (must change the password)"
			       : "");
	rest_fini(&a);
	return code;
}

int
cmd_user_add(struct cli *c)
{
	const char *role = "viewer";
	const struct cli_option options[] = {{"--role", CLI_TEXT, &role}};
	char password[SECRET_MAX];
	int code = cli_options(c, options, ARRAY_LEN(options), 1, 1);

	if (code != 0)
		return code;
	if (!read_line("password of the new user", true, password))
		return no_input();
	return simple(c, "POST", "/config/users",
		      json_pack("{s:s, s:s, s:s}", "username", c->argv[0], "password", password,
				"role", role),
		      "added");
}

int
cmd_user_role(struct cli *c)
{
	char uuid[37], path[128];
	int code = cli_options(c, NULL, 0, 2, 2);

	if (code == 0)
		code = find_user(c, c->argv[0], uuid);
	if (code != 0)
		return code;
	(void)snprintf(path, sizeof(path), "/config/users/%s/role", uuid);
	return simple(c, "PUT", path, json_pack("{s:s}", "role", c->argv[1]), "changed");
}

/* Into the store of these settings, in one transaction that also ends the user's tokens. 1, 0 when
 * there is no such user, or a negative errno. */
static int
write_password(struct db *db, const char *name, const char *hash, struct err *e)
{
	struct user u;
	int r = db_begin_write(db, e);

	if (r == 0)
		r = user_by_name(db, name, &u, e);
	if (r > 0)
		r = user_set_password(db, u.uuid, hash, true, clock_unix_ms(), e);
	if (r > 0 && db_commit(db, e) < 0)
		r = -EIO;
	db_rollback(db);
	return r;
}

/* No store is made here: a wrong setting must not look like an empty suite. */
static int
open_store(const struct conf *conf, struct db **ret_db)
{
	const char *path = strncmp(conf->db_url, "sqlite:", 7) == 0 ? conf->db_url + 7 : NULL;
	struct err e = {0};

	if (path && access(path, F_OK) < 0)
		return cli_fail(CLI_FAILED, "no store at %s: %s", path, strerror(errno));
	if (db_open(conf->db_url, DB_READ_WRITE, ret_db, &e) < 0)
		return cli_fail(CLI_FAILED, "%s", err_text(&e));
	return 0;
}

/* Recovery, for whoever may write the store: no server is asked, and none need run. */
static int
reset_offline(struct cli *c)
{
	const char *name = c->argv[0];
	char password[SECRET_MAX], hash[PASSWORD_HASH_SIZE];
	struct conf conf = {0};
	struct db *db = NULL;
	struct err e = {0};
	struct user u;
	int code = 0, r = 0;

	if (conf_load(&conf, &e) < 0)
		return cli_fail(CLI_USAGE, "%s", err_text(&e));
	code = open_store(&conf, &db);
	if (code == 0)
		r = user_by_name(db, name, &u, &e);
	if (code == 0 && r == 0)
		code = cli_fail(CLI_NOT_FOUND, "no user is named '%s'", name);
	if (code == 0 && r > 0 && !read_line("new password", true, password))
		code = no_input();
	if (code == 0 && r > 0 && !password_good(sv_from(password)))
		code = cli_fail(CLI_FAILED, "a password has %d to %d bytes", PASSWORD_MIN,
				PASSWORD_MAX);
	if (code == 0 && r > 0)
		r = password_hash(sv_from(password), hash);
	if (code == 0 && r == 0)
		r = write_password(db, name, hash, &e);
	if (code == 0 && r < 0)
		code = cli_fail(CLI_FAILED, "%s", *err_text(&e) ? err_text(&e) : strerror(-r));
	else if (code == 0 && r == 0)
		code = cli_fail(CLI_NOT_FOUND, "no user is named '%s'", name);
	else if (code == 0)
		(void)puts(c->json ? "{\"message\":\"Password reset successfully\"}" : "reset");
	if (code == 0 && conf.admin_password && strcmp(conf.admin_user, name) == 0)
		(void)fprintf(stderr, "until it is changed, each start of the suite sets "
				      "DECNET_ADMIN_PASSWORD again\n");
	db_close(db);
	conf_fini(&conf);
	return code;
}

int
cmd_user_reset(struct cli *c)
{
	char uuid[37], path[128], password[SECRET_MAX];
	bool offline = false;
	const struct cli_option options[] = {{"--offline", CLI_FLAG, &offline}};
	int code = cli_options(c, options, ARRAY_LEN(options), 1, 1);

	if (code == 0 && offline)
		return reset_offline(c);
	if (code == 0)
		code = find_user(c, c->argv[0], uuid);
	if (code != 0)
		return code;
	if (!read_line("new password", true, password))
		return no_input();
	(void)snprintf(path, sizeof(path), "/config/users/%s/reset-password", uuid);
	return simple(c, "PUT", path, json_pack("{s:s}", "new_password", password), "reset");
}

int
cmd_user_delete(struct cli *c)
{
	char uuid[37], path[128];
	int code = cli_options(c, NULL, 0, 1, 1);

	if (code == 0)
		code = find_user(c, c->argv[0], uuid);
	if (code != 0)
		return code;
	(void)snprintf(path, sizeof(path), "/config/users/%s", uuid);
	return simple(c, "DELETE", path, NULL, "deleted");
}
