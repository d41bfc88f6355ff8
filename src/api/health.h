/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_HEALTH_H
#define API_HEALTH_H

/* What heartbeats and the store say about the other processes. */

#include "api/api.h"

/* Store thread: "loopback" or "netns", as this host's mutator has registered it, else as the
 * settings say. 0 or a store failure. */
int health_driver(struct api_ctx *cx, char ret_driver[16]) A_NODISCARD;

#endif
