/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to the decoy process and its answers, as text. */
#include "decoy/control.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "util/json.h"

/* One member that must be text of a length. */
struct member {
	const char *key;
	char *dst;
	size_t size;
	bool required;
};

static int
get_text(const json_t *object, const struct member *m, struct err *e)
{
	const json_t *value = json_object_get(object, m->key);

	m->dst[0] = '\0';
	if (!value || json_is_null(value))
		return m->required ? err_set(e, -EBADMSG, "%s: missing", m->key) : 0;
	if (!json_is_string(value) ||
	    sv_copy((struct sv){json_string_value(value), json_string_length(value)}, m->dst,
		    m->size) < 0 ||
	    (m->required && !m->dst[0]))
		return err_set(e, -EBADMSG, "%s: malformed", m->key);
	return 0;
}

static bool
listener_id_ok(const char *id)
{
	for (; *id; id++) {
		bool plain = (*id >= 'a' && *id <= 'z') || (*id >= 'A' && *id <= 'Z') ||
			     (*id >= '0' && *id <= '9');

		if (!plain && !strchr("_./:-", *id))
			return false;
	}
	return true;
}

static int
get_seed(const json_t *object, uint64_t *ret, struct err *e)
{
	char text[17];
	char *end = NULL;
	int r = get_text(object, &(struct member){"seed", text, sizeof(text), true}, e);

	if (r < 0)
		return r;
	if (strlen(text) != 16 || strspn(text, "0123456789abcdefABCDEF") != 16)
		return err_set(e, -EBADMSG, "seed: malformed");
	*ret = strtoull(text, &end, 16);
	return 0;
}

static int
get_open(const json_t *object, struct control *c, struct err *e)
{
	char proto[8];
	const struct member members[] = {
		{"topology_id", c->topology_id, sizeof(c->topology_id), false},
		{"decky_uuid", c->decky_uuid, sizeof(c->decky_uuid), false},
		{"decky", c->decky, sizeof(c->decky), true},
		{"service", c->service, sizeof(c->service), true},
		{"archetype", c->archetype, sizeof(c->archetype), false},
		{"hostname", c->hostname, sizeof(c->hostname), true},
		{"proto", proto, sizeof(proto), true},
	};
	const json_t *port = json_object_get(object, "port");
	json_t *config = json_object_get(object, "config");
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(members); i++)
		r = get_text(object, &members[i], e);
	if (r == 0)
		r = get_seed(object, &c->seed, e);
	if (r < 0)
		return r;
	c->udp = strcmp(proto, "udp") == 0;
	if (!c->udp && strcmp(proto, "tcp") != 0)
		return err_set(e, -EBADMSG, "proto: only tcp and udp are served");
	if (!json_is_integer(port) || json_integer_value(port) < 1 ||
	    json_integer_value(port) > UINT16_MAX)
		return err_set(e, -EBADMSG, "port: malformed");
	if (config && !json_is_null(config) && !json_is_object(config))
		return err_set(e, -EBADMSG, "config: malformed");
	c->port = (uint16_t)json_integer_value(port);
	c->config = json_is_object(config) ? json_incref(config) : json_object();
	return c->config ? 0 : err_set(e, -ENOMEM, "out of memory");
}

static int
get_request(const json_t *object, struct control *c, struct err *e)
{
	const json_t *n = json_object_get(object, "n");
	const struct member listener = {"listener", c->listener, sizeof(c->listener), true};
	const char *op = json_get_text(object, "op");
	int r;

	if (!json_is_integer(n) || json_integer_value(n) < 0)
		return err_set(e, -EBADMSG, "n: malformed");
	c->n = json_integer_value(n);
	if (op && strcmp(op, "list") == 0) {
		c->op = CONTROL_LIST;
		return 0;
	}
	if (op && strcmp(op, "open") == 0)
		c->op = CONTROL_OPEN;
	else if (op && strcmp(op, "close") == 0)
		c->op = CONTROL_CLOSE;
	else
		return err_set(e, -EBADMSG, "op: unknown");
	r = get_text(object, &listener, e);
	if (r == 0 && !listener_id_ok(c->listener))
		r = err_set(e, -EBADMSG, "listener: malformed");
	return r < 0 || c->op == CONTROL_CLOSE ? r : get_open(object, c, e);
}

int
control_parse(struct sv text, struct control *ret, struct err *e)
{
	json_t *object = NULL;
	int r;

	memset(ret, 0, sizeof(*ret));
	ret->n = -1;
	if (text.n > CONTROL_BYTES_MAX)
		return err_set(e, -EBADMSG, "too long");
	r = json_parse(text, &object, e);
	if (r < 0)
		return r;
	if (json_is_object(object))
		r = get_request(object, ret, e);
	else
		r = err_set(e, -EBADMSG, "not an object");
	json_decref(object);
	return r;
}

void
control_fini(struct control *c)
{
	json_decref(c->config);
	c->config = NULL;
}

int
control_put_ok(struct buf *b, int64_t n)
{
	return buf_printf(b, "{\"n\":%" PRId64 ",\"ok\":true}", n);
}

int
control_put_error(struct buf *b, int64_t n, const char *text)
{
	json_t *message = json_pack("{s:I, s:b, s:o}", "n", (json_int_t)n, "ok", 0, "error",
				    json_view(sv_from(text)));
	char *line = message ? json_text(message) : NULL;
	int r = line ? buf_put(b, sv_from(line)) : -ENOMEM;

	free(line);
	json_decref(message);
	return r;
}

int
control_put_listener(struct buf *b, int64_t n, const char *id)
{
	static const size_t around = sizeof("{'n':-9223372036854775808,'listeners':['',]}");

	if (b->n + strlen(id) + around > CONTROL_LIST_MAX)
		return -ENOBUFS;
	if (b->n > 0)
		return buf_printf(b, ",\"%s\"", id);
	return buf_printf(b, "{\"n\":%" PRId64 ",\"listeners\":[\"%s\"", n, id);
}

int
control_end_listeners(struct buf *b)
{
	return buf_put(b, SV("]}"));
}

int
control_put_started(struct buf *b, uint64_t source, int64_t pid)
{
	return buf_printf(b,
			  "{\"op\":\"started\",\"source\":\"%016" PRIx64 "\",\"pid\":%" PRId64 "}",
			  source, pid);
}
