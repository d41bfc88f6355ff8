/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_STREAM_OPEN_H
#define API_STREAM_OPEN_H

/* From a request to an open stream, in the order of contract 1.2. */

#include "api/call.h"
#include "api/streams.h"

/* Loop: authenticate, take a slot, look at path and query, begin. Answers in every case. */
void stream_open(struct streams *s, struct call *own_call);

#endif
