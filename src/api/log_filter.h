/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_LOG_FILTER_H
#define API_LOG_FILTER_H

/* Query parameters that the log routes and the log stream share. */

#include <stdbool.h>

#include "api/api.h"
#include "store/log.h"

/* Whether the query argument filters at all: there, not empty, not `null`, `NULL`, `undefined`. */
bool api_filter_given(const struct sv *value);
/* `search`, `start_time`, `end_time`; notes bad fields. 0 and *ret (search_fini it, also when
 * fields were bad), or -ENOMEM (then it is empty). */
int api_log_filter(const struct api_req *req, struct api_res *res,
		   struct log_filter *ret) A_NODISCARD;

#endif
