/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BUS_EVENT_H
#define BUS_EVENT_H

/* The envelope of our messages (contract 4.5). Pure. */

#include <jansson.h>
#include <stdint.h>

#include "util/attr.h"
#include "util/err.h"
#include "util/id.h"
#include "util/sv.h"

struct bus_event {
	char id[ID_HEX32_SIZE];
	char type[256];
	uint64_t ts_ms;
	int64_t seq;	      /* 0: no journal row behind it */
	char traceparent[56]; /* "": not traced */
	json_t *payload;      /* object; owned */
};

/* The envelope as compact heap text; `payload_text` is a JSON object text that is embedded as it
 * is. NULL without memory. */
char *bus_event_encode(const char *topic, const char *type, uint64_t ts_ms, int64_t seq,
		       const char *payload_text);
/* The same with the trace that it belongs to; NULL: none. */
char *bus_event_encode_traced(const char *topic, const char *type, uint64_t ts_ms, int64_t seq,
			      const char *payload_text, const char *traceparent);
/* 0 and *ret_event; missing keys are tolerated; -EBADMSG when the message is not a JSON object or
 * its payload is not one. */
int bus_event_decode(struct sv message, struct bus_event *ret_event, struct err *e) A_NODISCARD;
void bus_event_fini(struct bus_event *ev);

#endif
