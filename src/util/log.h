/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UTIL_LOG_H
#define UTIL_LOG_H

/*
 * Logs for operators: one event a line on standard error, a dotted constant name first, typed and
 * escaped fields after it. What attackers do is data, not log; secrets never come here.
 */

#include <stdbool.h>
#include <stdint.h>

#include "util/kv.h"

enum log_level { LV_DEBUG, LV_INFO, LV_WARN, LV_ERR };

/* Who speaks ("decnet-api"), from which level on, and whether lines are JSON. */
void log_setup(const char *program, enum log_level min, bool json);
/* Whether events of this level are written: where even naming them costs. */
bool log_on(enum log_level lv);
void log_write(enum log_level lv, const char *event, const struct kv *fields);

/* log_event(LV_WARN, "bus.client.drop", KV_U("client", id), KV_S("why", "slow")); */
#define log_event(lv, event, ...) log_write((lv), (event), (const struct kv[]){__VA_ARGS__, KV_END})
/* For an event without fields. */
#define log_plain(lv, event)	  log_write((lv), (event), (const struct kv[]){KV_END})

#endif
