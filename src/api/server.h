/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_SERVER_H
#define API_SERVER_H

/* Between http/ and the table of routes: requests come in on the loop, go to a store thread, and
 * are answered on the loop. */

#include "api/call.h"
#include "api/worker.h"
#include "http/server.h"

/* For http_server_new; `user` is the struct api_worker. */
extern const struct http_ops api_http_ops;
/* Likewise, for the listener of the metrics (contract 8) on the main loop; `user` is the struct
 * api_state. */
extern const struct http_ops api_metrics_ops;

/*
 * Loop: answer with own_call->res (api_ok, api_fail, … filled it in), with the headers that every
 * answer of the API carries; publish what the call committed. Consumes the call and its request.
 */
void api_server_answer(struct call *own_call);
/*
 * Loop: begin the answer of a stream: status 200 and the headers of contract 3.3. Consumes the call
 * and its request. NULL when the peer has gone.
 */
struct http_stream *api_server_stream(struct call *own_call, const struct http_stream_ops *ops,
				      void *user);

/* Loop: the process ends. Calls that wait for another process are answered now, and none waits from
 * here on. */
void api_server_stop(struct api_worker *w);

#endif
