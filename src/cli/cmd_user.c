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
#include "util/file.h"
#include "util/json.h"

#define SECRET_MAX 256

/* One line without its end; typed ones are not shown. false at the end of input. */
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
	if (good)
		dst[strcspn(dst, "\r\n")] = 0;
	return good;
}

static int
no_input(void)
{
	return cli_fail(CLI_USAGE, "a password is expected on standard input");
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

int
cmd_user_login(struct cli *c)
{
	const char *name = NULL;
	const struct cli_option options[] = {{"--name", CLI_TEXT, &name}};
	char user[SECRET_MAX], password[SECRET_MAX];
	struct rest_answer a = {0};
	struct cli quiet;
	json_t *body;
	int code = cli_options(c, options, ARRAY_LEN(options), 0, 0);

	if (code != 0)
		return code;
	if (name)
		(void)snprintf(user, sizeof(user), "%.*s", SECRET_MAX - 1, name);
	else if (!read_line("user", false, user))
		return cli_fail(CLI_USAGE, "a user name is expected: --name N");
	if (!read_line("password", true, password))
		return no_input();
	quiet = *c;
	quiet.json = false;
	body = json_pack("{s:s, s:s}", "username", user, "password", password);
	code = rest_do(&quiet, "POST", "/auth/login", body, &a);
	json_decref(body);
	if (code == 0) {
		const char *token = json_get_text(a.json, "access_token");

		code = token ? keep_token(token) : cli_fail(CLI_FAILED, "the server sent no token");
		if (code == 0 && json_is_true(json_object_get(a.json, "must_change_password")))
			(void)fprintf(stderr,
				      "the password must be changed first: decnet user passwd\n");
	}
	rest_fini(&a);
	return code;
}

int
cmd_user_logout(struct cli *c)
{
	char path[1200];
	int code = cli_options(c, NULL, 0, 0, 0);

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
	char old[SECRET_MAX], new[SECRET_MAX];
	int code = cli_options(c, NULL, 0, 0, 0);

	if (code != 0)
		return code;
	if (!read_line("old password", true, old) || !read_line("new password", true, new))
		return no_input();
	code = simple(c, "POST", "/auth/change-password",
		      json_pack("{s:s, s:s}", "old_password", old, "new_password", new), "changed");
	if (code == 0)
		(void)fprintf(stderr, "every session of yours has ended: decnet user login\n");
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

int
cmd_user_reset(struct cli *c)
{
	char uuid[37], path[128], password[SECRET_MAX];
	int code = cli_options(c, NULL, 0, 1, 1);

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
