/* SPDX-License-Identifier: Apache-2.0 */
/* Encoding of frames: the text of an event stream and the chunk around it. */
#include "stream/frame.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/topic.h"
#include "util/buf.h"
#include "util/json.h"

/* Far above any journal row, far below what the chunk header and the counters can say. */
#define TEXT_MAX ((size_t)16 << 20)

#define CHUNK_END "\r\n"

static bool
one_line(struct sv s)
{
	return s.n == 0 ||
	       (!memchr(s.p, '\n', s.n) && !memchr(s.p, '\r', s.n) && !memchr(s.p, '\0', s.n));
}

/* Room for a frame of text_n bytes with its chunk header in place; the text is the caller's to
 * fill in. */
static struct frame *
allocate(size_t text_n, int64_t id)
{
	char head[16];
	int head_n = snprintf(head, sizeof(head), "%zx\r\n", text_n);
	struct frame *f = malloc(sizeof(*f) + (size_t)head_n + text_n + sizeof(CHUNK_END) - 1);

	if (!f)
		return NULL;
	atomic_init(&f->refs, 1);
	f->head_n = (uint32_t)head_n;
	f->text_n = (uint32_t)text_n;
	f->rows = 1;
	f->id = f->first_id = id;
	f->ends = 0;
	memcpy(f->bytes, head, (size_t)head_n);
	memcpy(f->bytes + head_n + text_n, CHUNK_END, sizeof(CHUNK_END) - 1);
	return f;
}

static char *
put(char *at, struct sv s)
{
	if (s.n)
		memcpy(at, s.p, s.n);
	return at + s.n;
}

static int
encode(struct sv event, bool with_id, int64_t id, struct sv data, struct frame **ret_frame)
{
	char id_line[32] = "";
	size_t id_n = 0, n;
	struct frame *f;
	char *at;

	if (event.n == 0 || id < 0 || !one_line(event) || !one_line(data))
		return -EINVAL;
	if (event.n > TEXT_MAX / 2 || data.n > TEXT_MAX / 2)
		return -EMSGSIZE;
	if (with_id)
		id_n = (size_t)snprintf(id_line, sizeof(id_line), "id: %" PRId64 "\n", id);
	n = SV("event: \n").n + event.n + id_n + SV("data: \n\n").n + data.n;
	f = allocate(n, id);
	if (!f)
		return -ENOMEM;
	at = put(f->bytes + f->head_n, SV("event: "));
	at = put(at, event);
	at = put(at, SV("\n"));
	at = put(at, (struct sv){id_line, id_n});
	at = put(at, SV("data: "));
	at = put(at, data);
	(void)put(at, SV("\n\n"));
	*ret_frame = f;
	return 0;
}

int
frame_new(struct sv event, int64_t id, struct sv data, struct frame **ret_frame)
{
	return encode(event, id > 0, id, data, ret_frame);
}

int
frame_new_mark(struct sv event, int64_t id, struct sv data, struct frame **ret_frame)
{
	return encode(event, true, id, data, ret_frame);
}

int
frame_new_raw(struct sv text, struct frame **ret_frame)
{
	struct frame *f;

	if (text.n > TEXT_MAX)
		return -EMSGSIZE;
	if (!sv_ends(text, SV("\n\n")))
		return -EINVAL;
	f = allocate(text.n, 0);
	if (!f)
		return -ENOMEM;
	(void)put(f->bytes + f->head_n, text);
	*ret_frame = f;
	return 0;
}

static bool
plain(struct sv s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || (unsigned char)s.p[i] > '~' || s.p[i] == '"' ||
		    s.p[i] == '\\')
			return false;
	return true;
}

/* As a JSON text. Our own topics are always plain; foreign ones need not be. */
static int
put_text(struct buf *b, struct sv text)
{
	json_t *value;
	char *quoted;
	int r;

	if (plain(text))
		return buf_printf(b, "\"%.*s\"", (int)text.n, text.n ? text.p : "");
	value = json_view(text);
	quoted = value ? json_text(value) : NULL;
	json_decref(value);
	if (!quoted)
		return -ENOMEM;
	r = buf_put(b, sv_from(quoted));
	free(quoted);
	return r;
}

static int
put_event(struct buf *b, struct sv topic, struct sv type, uint64_t ts_ms, struct sv payload)
{
	int r;

	r = buf_put(b, SV("{\"topic\":"));
	if (r == 0)
		r = put_text(b, topic);
	if (r == 0)
		r = buf_put(b, SV(",\"type\":"));
	if (r == 0)
		r = put_text(b, type);
	if (r == 0)
		r = buf_printf(b, ",\"ts\":%" PRIu64 ".%03u,\"payload\":", ts_ms / 1000,
			       (unsigned)(ts_ms % 1000));
	if (r == 0)
		r = buf_put(b, payload.n ? payload : SV("{}"));
	if (r == 0)
		r = buf_putc(b, '}');
	return r == -ENOBUFS ? -EMSGSIZE : r;
}

int
frame_new_event(struct sv topic, bool full_name, struct sv type, uint64_t ts_ms, int64_t id,
		struct sv payload, struct frame **ret_frame)
{
	char name[BUS_SUBJECT_MAX + 1];
	struct buf b;
	int r;

	if (!bus_subject_valid(topic, false) || !sv_utf8(topic))
		return -EINVAL;
	buf_init(&b, TEXT_MAX / 2);
	r = full_name ? sv_copy(topic, name, sizeof(name)) : bus_topic_event_name(topic, name);
	if (r == 0)
		r = put_event(&b, topic, type, ts_ms, payload);
	if (r == 0)
		r = frame_new(sv_from(name), id, buf_sv(&b), ret_frame);
	buf_fini(&b);
	return r;
}

struct frame *
frame_ref(struct frame *f)
{
	(void)atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
	return f;
}

void
frame_unref(struct frame *f)
{
	if (f && atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) == 1)
		free(f);
}

struct sv
frame_bytes(const struct frame *f, bool chunked)
{
	if (chunked)
		return (struct sv){f->bytes, f->head_n + f->text_n + sizeof(CHUNK_END) - 1};
	return (struct sv){f->bytes + f->head_n, f->text_n};
}

int
frame_list_push(struct frame_list *l, struct frame *own_f)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 4;
		struct frame **v = realloc(l->v, cap * sizeof(struct frame *));

		if (!v) {
			frame_unref(own_f);
			return -ENOMEM;
		}
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n++] = own_f;
	return 0;
}

void
frame_list_fini(struct frame_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		frame_unref(l->v[i]);
	free(l->v);
	*l = (struct frame_list){0};
}
