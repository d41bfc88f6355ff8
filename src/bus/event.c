/* SPDX-License-Identifier: Apache-2.0 */
/* The envelope of our messages: text that is put together once per event, and a tolerant reader. */
#include "bus/event.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "util/buf.h"
#include "util/json.h"
#include "util/limits.h"

/* Later than any time we may meet; keeps the conversion to milliseconds inside its type. */
#define TS_MAX_S 1e12

static bool
plain(struct sv s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || (unsigned char)s.p[i] > '~' || s.p[i] == '"' ||
		    s.p[i] == '\\')
			return false;
	return true;
}

/* As a JSON text. Our own topics are always plain. */
static int
put_text(struct buf *b, const char *text)
{
	json_t *value;
	char *quoted;
	int r;

	if (plain(sv_from(text)))
		return buf_printf(b, "\"%s\"", text ? text : "");
	value = json_view(sv_from(text));
	quoted = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
	json_decref(value);
	if (!quoted)
		return -ENOMEM;
	r = buf_put(b, sv_from(quoted));
	free(quoted);
	return r;
}

char *
bus_event_encode(const char *topic, const char *type, uint64_t ts_ms, int64_t seq,
		 const char *payload_text)
{
	return bus_event_encode_traced(topic, type, ts_ms, seq, payload_text, NULL);
}

char *
bus_event_encode_traced(const char *topic, const char *type, uint64_t ts_ms, int64_t seq,
			const char *payload_text, const char *traceparent)
{
	struct buf b;
	char id[ID_HEX32_SIZE];
	char *text = NULL;

	id_hex32(id);
	buf_init(&b, 2 * (size_t)LIMIT_BUS_PAYLOAD_BYTES);
	if (buf_printf(&b, "{\"v\":1,\"id\":\"%s\",\"topic\":", id) < 0 ||
	    put_text(&b, topic) < 0 || buf_put(&b, SV(",\"type\":")) < 0 ||
	    put_text(&b, type) < 0 ||
	    buf_printf(&b, ",\"ts\":%" PRIu64 ".%03u,\"payload\":", ts_ms / 1000,
		       (unsigned)(ts_ms % 1000)) < 0 ||
	    buf_put(&b, payload_text ? sv_from(payload_text) : SV("{}")) < 0)
		goto out;
	if (seq > 0 && buf_printf(&b, ",\"seq\":%" PRId64, seq) < 0)
		goto out;
	if (traceparent && *traceparent &&
	    (buf_put(&b, SV(",\"traceparent\":")) < 0 || put_text(&b, traceparent) < 0))
		goto out;
	if (buf_putc(&b, '}') == 0)
		text = buf_take(&b);
out:
	buf_fini(&b);
	return text;
}

static void
read_text(const json_t *object, const char *key, char *dst, size_t dst_size)
{
	const char *text = json_get_text(object, key);

	if (!text || sv_copy(sv_from(text), dst, dst_size) < 0)
		dst[0] = '\0';
}

static uint64_t
read_ts(const json_t *object)
{
	double s = json_number_value(json_object_get(object, "ts"));

	return s > 0 && s < TS_MAX_S ? (uint64_t)(s * 1000 + 0.5) : 0;
}

int
bus_event_decode(struct sv message, struct bus_event *ret_event, struct err *e)
{
	struct bus_event ev = {0};
	json_t *root = NULL, *payload;
	json_int_t seq;
	int r;

	r = json_parse(message, &root, e);
	if (r < 0)
		goto out;
	payload = json_object_get(root, "payload");
	if (!json_is_object(root) || (payload && !json_is_object(payload))) {
		r = err_set(e, -EBADMSG, "%s is not a JSON object", payload ? "payload" : "event");
		goto out;
	}
	ev.payload = payload ? json_incref(payload) : json_object();
	if (!ev.payload) {
		r = err_set(e, -ENOMEM, "no memory for the event");
		goto out;
	}
	read_text(root, "id", ev.id, sizeof(ev.id));
	read_text(root, "type", ev.type, sizeof(ev.type));
	read_text(root, "traceparent", ev.traceparent, sizeof(ev.traceparent));
	ev.ts_ms = read_ts(root);
	seq = json_integer_value(json_object_get(root, "seq"));
	ev.seq = seq > 0 ? (int64_t)seq : 0;
	*ret_event = ev;
	ev.payload = NULL;
out:
	bus_event_fini(&ev);
	json_decref(root);
	return r;
}

void
bus_event_fini(struct bus_event *ev)
{
	json_decref(ev->payload);
	ev->payload = NULL;
}
