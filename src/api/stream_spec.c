/* SPDX-License-Identifier: Apache-2.0 */
/* Which events belong to which stream. */
#include "api/stream_spec.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/log_filter.h"
#include "bus/topic.h"
#include "util/json.h"

void
stream_spec_free(struct stream_spec *s)
{
	if (!s)
		return;
	if (s->kind == HUB_KIND_LOGS)
		search_fini(&s->filter.search);
	free(s->key);
	free(s);
}

/* Health of one worker or of all, and what the bus tells of itself: what `/workers` shows anyway. A
 * worker that does not exist is refused like any other mistake in a name: a stream that can never
 * speak helps nobody. */
static bool
open_system(struct sv pattern)
{
	static const char *const beats[] = {"*",       "api",  "bus",	   "decoy",
					    "mutator", "netd", "resolver", "supervisor"};
	struct sv rest = pattern, worker;

	if (sv_eq(pattern, SV("system.bus.health")) || sv_eq(pattern, SV("system.bus.dropped")))
		return true;
	(void)sv_cut(&rest, '.');
	worker = sv_cut(&rest, '.');
	if (!sv_eq(rest, SV("health")))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(beats); i++)
		if (sv_eq(worker, sv_from(beats[i])))
			return true;
	return false;
}

static bool
open_pattern(struct sv pattern)
{
	static const char *const families[] = {"topology", "decky", "identity", "attacker",
					       "credential"};
	struct sv family = bus_topic_family(pattern);

	if (!bus_subject_valid(pattern, true) || !sv_utf8(pattern))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		if (sv_eq(family, sv_from(families[i])))
			return true;
	return sv_eq(family, SV("system")) && open_system(pattern);
}

static int
read_topics(struct stream_spec *s, const struct api_req *req, struct api_res *res)
{
	const struct sv *value = api_query_get(req, "topics");
	struct sv rest;

	s->key = sv_dup(value ? *value : SV(""));
	if (!s->key)
		return -ENOMEM;
	rest = sv_from(s->key);
	if (rest.n == 0) {
		api_bad_field(res, "query.topics", "is required");
		return 0;
	}
	for (bool more = true; more;) {
		size_t before = rest.n;
		struct sv pattern = sv_cut(&rest, ',');

		more = pattern.n < before;
		if (s->npatterns == STREAM_PATTERNS_MAX) {
			api_bad_field(res, "query.topics", "must be at most %d patterns",
				      STREAM_PATTERNS_MAX);
			break;
		}
		if (!open_pattern(pattern)) {
			api_bad_field(res, "query.topics",
				      "pattern %u is malformed or not for viewers",
				      s->npatterns + 1);
			break;
		}
		s->pattern[s->npatterns++] = pattern;
	}
	return 0;
}

/* Equal filters make one stream; a byte that no argument can hold parts them. */
static int
read_filter(struct stream_spec *s, const struct api_req *req, struct api_res *res)
{
	const struct sv *search = api_query_get(req, "search");
	struct sv text = api_filter_given(search) ? *search : SV("");
	int r = api_log_filter(req, res, &s->filter);

	if (r == 0 && asprintf(&s->key, "%" PRIu64 " %" PRIu64 " %.*s", s->filter.start_ms,
			       s->filter.end_ms, (int)text.n, text.n ? text.p : "") < 0) {
		s->key = NULL;
		return -ENOMEM;
	}
	return r;
}

static int
read_id(struct stream_spec *s, const struct api_req *req, struct api_res *res, const char *unknown)
{
	const char *id = api_param_uuid(req, 0);

	if (!id)
		return api_fail(res, 404, "%s", unknown);
	(void)snprintf(s->id, sizeof(s->id), "%s", id);
	s->key = strdup(id);
	return s->key ? 0 : -ENOMEM;
}

static const enum hub_kind kinds[API_STREAM_COUNT] = {
	[API_STREAM_IDENTITIES] = HUB_KIND_IDENTITIES, [API_STREAM_TOPOLOGY] = HUB_KIND_TOPOLOGY,
	[API_STREAM_ATTACKER] = HUB_KIND_ATTACKER,     [API_STREAM_LOGS] = HUB_KIND_LOGS,
	[API_STREAM_EVENTS] = HUB_KIND_EVENTS,
};

int
stream_spec_new(enum api_stream stream, const struct api_req *req, struct api_res *res,
		struct stream_spec **ret_spec)
{
	struct stream_spec *s = calloc(1, sizeof(*s));
	int r = 0;

	*ret_spec = NULL;
	if (!s)
		return -ENOMEM;
	s->kind = kinds[stream];
	switch (s->kind) {
	case HUB_KIND_ATTACKER: r = read_id(s, req, res, "Attacker not found"); break;
	case HUB_KIND_EVENTS: r = read_topics(s, req, res); break;
	case HUB_KIND_IDENTITIES:
		s->key = strdup("");
		r = s->key ? 0 : -ENOMEM;
		break;
	case HUB_KIND_LOGS: r = read_filter(s, req, res); break;
	case HUB_KIND_TOPOLOGY: r = read_id(s, req, res, "Topology not found"); break;
	case HUB_KIND_COUNT: r = -EINVAL; break;
	}
	if (r < 0 || api_bad(res) || res->status != 0) {
		stream_spec_free(s);
		return r;
	}
	*ret_spec = s;
	return 0;
}

const json_t *
stream_event_payload(struct stream_event *ev)
{
	if (!ev->payload)
		ev->payload = json_loadb(ev->text.p, ev->text.n, 0, NULL);
	return ev->payload;
}

void
stream_event_fini(struct stream_event *ev)
{
	json_decref(ev->payload);
	ev->payload = NULL;
}

static struct sv
member(struct stream_event *ev, const char *key)
{
	return sv_from(json_get_text(stream_event_payload(ev), key));
}

static bool
is_member(struct stream_event *ev, const char *key, const char *id)
{
	return id[0] && sv_eq(member(ev, key), sv_from(id));
}

/* Whether an identity event names the attacker as an observation. */
static bool
observes(struct stream_event *ev, const char *attacker)
{
	const json_t *list = json_object_get(stream_event_payload(ev), "observation_uuids");
	const json_t *one;
	size_t i;

	if (is_member(ev, "observation_uuid", attacker))
		return true;
	json_array_foreach(list, i, one)
	{
		const char *text = json_string_value(one);

		if (text && strcmp(text, attacker) == 0)
			return true;
	}
	return false;
}

static void
follow(char identity[ID_UUID_SIZE], struct sv now)
{
	if (sv_copy(now, identity, ID_UUID_SIZE) < 0)
		identity[0] = '\0';
}

/* Identity events of an attacker's stream: those that name the attacker or its identity, which they
 * may change. */
static bool
carries_identity(const struct stream_spec *s, struct stream_event *ev, char identity[ID_UUID_SIZE])
{
	static const char *const keys[] = {"identity_uuid", "winner_uuid", "loser_uuid",
					   "resurrected_uuid", "former_winner_uuid"};
	bool mine = observes(ev, s->id), named = mine;

	for (size_t i = 0; i < ARRAY_LEN(keys) && !named; i++)
		named = is_member(ev, keys[i], identity);
	if (!named)
		return false;
	if (mine && (sv_eq(ev->topic, SV("identity.formed")) ||
		     sv_eq(ev->topic, SV("identity.observation.linked"))))
		follow(identity, member(ev, "identity_uuid"));
	else if (mine && sv_eq(ev->topic, SV("identity.observation.unlinked")))
		identity[0] = '\0';
	else if (mine && sv_eq(ev->topic, SV("identity.unmerged")))
		follow(identity, member(ev, "resurrected_uuid"));
	else if (sv_eq(ev->topic, SV("identity.merged")) && is_member(ev, "loser_uuid", identity))
		follow(identity, member(ev, "winner_uuid"));
	return true;
}

struct sv
stream_event_topology(struct stream_event *ev)
{
	struct sv rest = ev->topic, family = sv_cut(&rest, '.');

	if (sv_eq(family, SV("topology")))
		return sv_cut(&rest, '.');
	if (sv_eq(family, SV("decky")))
		return member(ev, "topology_id");
	return SV("");
}

bool
stream_spec_carries(const struct stream_spec *s, struct stream_event *ev,
		    char identity[ID_UUID_SIZE])
{
	struct sv family = bus_topic_family(ev->topic);

	switch (s->kind) {
	case HUB_KIND_IDENTITIES: return sv_eq(family, SV("identity"));
	case HUB_KIND_TOPOLOGY: return sv_eq(stream_event_topology(ev), sv_from(s->id));
	case HUB_KIND_EVENTS:
		for (unsigned i = 0; i < s->npatterns; i++)
			if (bus_subject_match(s->pattern[i], ev->topic))
				return true;
		return false;
	case HUB_KIND_ATTACKER:
		if (sv_eq(family, SV("identity")))
			return carries_identity(s, ev, identity);
		return (sv_eq(family, SV("attacker")) || sv_eq(family, SV("credential"))) &&
		       is_member(ev, "attacker_uuid", s->id);
	case HUB_KIND_LOGS:
	case HUB_KIND_COUNT: break;
	}
	return false;
}

int
stream_event_frame(const struct stream_event *ev, bool full_name, struct frame **ret_frame)
{
	struct sv type = bus_topic_type(ev->topic);
	int r = frame_new_event(ev->topic, full_name, type, ev->ts_ms, ev->seq, ev->text,
				ret_frame);

	if (r == 0 && ev->seq > 0 && !full_name &&
	    bus_topic_find(ev->topic) == BUS_TOPIC_TOPOLOGY_DELETED)
		(*ret_frame)->ends = CLOSE_TOPOLOGY_DELETED;
	return r;
}

bool
stream_spec_family(const struct stream_spec *s, const char *family)
{
	for (unsigned i = 0; i < s->npatterns; i++)
		if (sv_eq(bus_topic_family(s->pattern[i]), sv_from(family)))
			return true;
	return false;
}

struct sv
stream_spec_topology(const struct stream_spec *s, unsigned i)
{
	struct sv rest = s->pattern[i], id;

	if (!sv_eq(sv_cut(&rest, '.'), SV("topology")))
		return (struct sv){NULL, 0};
	id = sv_cut(&rest, '.');
	if (id.n == 0 || sv_eq(id, SV("*")) || sv_eq(id, SV(">")))
		return (struct sv){NULL, 0};
	return id;
}
