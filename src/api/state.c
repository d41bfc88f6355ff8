/* SPDX-License-Identifier: Apache-2.0 */
/* The state of the API process: its secret, its bounded tables, the first admin, heartbeats heard.
 */
#include "api/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/auth.h"
#include "api/doc.h"
#include "api/peers.h"
#include "store/user.h"
#include "stream/slots.h"
#include "util/clock.h"
#include "util/file.h"
#include "util/limits.h"

#define SECRET_MIN  32
#define SECRET_MAX  1024
#define SECRET_FILE "jwt.secret"

static int
read_secret(const char *path, char **ret_text, struct err *e)
{
	char *text = NULL;
	int r = file_read(path, SECRET_MAX, &text, e);

	if (r < 0)
		return r;
	text[strcspn(text, "\r\n")] = '\0';
	if (strlen(text) < SECRET_MIN) {
		free(text);
		return err_set(e, -EINVAL, "%s: shorter than %d characters", path, SECRET_MIN);
	}
	*ret_text = text;
	return 0;
}

/* The secret of the settings, else the one in the state directory, which is made at the first
 * start. */
static int
load_secret(const struct conf *conf, char **ret_text, struct err *e)
{
	unsigned char random[32];
	char hex[2 * sizeof(random) + 1];
	char path[1024 + sizeof(SECRET_FILE) + 1];
	int r;

	if (conf->jwt_secret) {
		if (api_characters(sv_from(conf->jwt_secret)) < SECRET_MIN)
			return err_set(e, -EINVAL, "DECNET_JWT_SECRET: shorter than %d characters",
				       SECRET_MIN);
		*ret_text = strdup(conf->jwt_secret);
		return *ret_text ? 0 : -ENOMEM;
	}
	(void)snprintf(path, sizeof(path), "%s/%s", conf->state_dir, SECRET_FILE);
	r = read_secret(path, ret_text, e);
	if (r != -ENOENT)
		return r;
	id_random(random, sizeof(random));
	id_hex(random, sizeof(random), hex);
	/* Of gateways that start at once all have that of the first. */
	r = file_create(path, hex, strlen(hex), 0600, e);
	return r < 0 && r != -EEXIST ? r : read_secret(path, ret_text, e);
}

static int
check_origins(const struct conf *conf, struct err *e)
{
	struct sv list = sv_from(conf->cors_origins);

	while (list.n)
		if (sv_search(sv_cut(&list, ','), SV("*")) != SIZE_MAX)
			return err_set(e, -EINVAL, "DECNET_CORS_ORIGINS: `*` is not allowed");
	return 0;
}

int
api_state_init(struct api_state *s, const struct conf *conf, struct err *e)
{
	int r;

	memset(s, 0, sizeof(*s));
	s->conf = conf;
	s->started_ms = clock_unix_ms();
	(void)pthread_mutex_init(&s->heard_lock, NULL);
	r = check_origins(conf, e);
	if (r == 0)
		r = auth_setup();
	if (r == 0)
		r = load_secret(conf, &s->secret_text, e);
	if (r < 0)
		return r;
	s->secret = sv_from(s->secret_text);
	s->limiter.max = LIMIT_LIMITER_KEYS;
	s->peers = peers_new(s);
	s->tickets = ticket_table_new(LIMIT_TICKETS_PER_USER, LIMIT_TICKETS);
	s->tokens = token_cache_new();
	s->openapi = doc_openapi();
	s->docs = doc_page();
	if (!s->peers || !s->tickets || !s->tokens || !s->openapi || !s->docs ||
	    slots_new(&s->slots) < 0)
		return err_set(e, -ENOMEM, "out of memory");
	return inbox_new(&s->inbox, e);
}

void
api_state_fini(struct api_state *s)
{
	peers_free(s->peers);
	ticket_table_free(s->tickets);
	token_cache_free(s->tokens);
	slots_free(s->slots);
	inbox_free(s->inbox);
	free(s->openapi);
	free(s->docs);
	if (s->secret_text)
		explicit_bzero(s->secret_text, strlen(s->secret_text));
	free(s->secret_text);
	(void)pthread_mutex_destroy(&s->heard_lock);
}

int
api_limited(struct api_state *s, struct db *db, enum limiter_rule rule, struct sv key,
	    struct api_res *res, struct err *e)
{
	unsigned wait = 0;
	char seconds[16];
	int r;

	if (!s->conf->limiter_enabled)
		return 0;
	r = limiter_hit(&s->limiter, db, rule, key, clock_unix_ms(), &wait, e);
	if (r < 0 || wait == 0)
		return r;
	(void)api_fail(res, 429, "Rate limit exceeded: %s", limiter_words(rule));
	(void)snprintf(seconds, sizeof(seconds), "%u", wait);
	free(res->retry_after);
	res->retry_after = strdup(seconds);
	return 1;
}

static struct heard *
find_heard(struct api_state *s, struct sv worker)
{
	for (size_t i = 0; i < STATE_HEARD_MAX; i++)
		if (sv_eq(sv_from(s->heard[i].name), worker))
			return &s->heard[i];
	return NULL;
}

void
api_heard(struct api_state *s, struct sv worker, uint64_t now_ms, const char *extra)
{
	struct heard *h;

	if (worker.n == 0 || worker.n >= sizeof(s->heard[0].name))
		return;
	(void)pthread_mutex_lock(&s->heard_lock);
	h = find_heard(s, worker);
	if (!h)
		h = find_heard(s, (struct sv){NULL, 0});
	if (h) {
		(void)sv_copy(worker, h->name, sizeof(h->name));
		h->at_ms = now_ms;
		if (sv_copy(sv_from(extra), h->extra, sizeof(h->extra)) < 0)
			(void)sv_copy(SV("{}"), h->extra, sizeof(h->extra));
	}
	(void)pthread_mutex_unlock(&s->heard_lock);
}

bool
api_heard_of(struct api_state *s, const char *worker, struct heard *ret)
{
	struct heard *h;

	(void)pthread_mutex_lock(&s->heard_lock);
	h = find_heard(s, sv_from(worker));
	if (h)
		*ret = *h;
	(void)pthread_mutex_unlock(&s->heard_lock);
	return h != NULL;
}
