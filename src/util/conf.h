/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UTIL_CONF_H
#define UTIL_CONF_H

/* Every setting, read once from the environment at start. The rows are conf.def. */

#include <stdbool.h>
#include <stdint.h>

#include "util/attr.h"
#include "util/err.h"

struct conf {
#define CONF_TEXT(field, variable, def, max, help)	char *field;
#define CONF_UINT(field, variable, def, min, max, help) uint64_t field;
#define CONF_BOOL(field, variable, def, help)		bool field;
#include "util/conf.def"
#undef CONF_TEXT
#undef CONF_UINT
#undef CONF_BOOL
};

/*
 * Read the environment, check every value and fill in the computed defaults: state_dir (made 0700
 * if missing), db_url, bus_type ("null" when the bus is disabled), bus_socket (the rule of the
 * contract, 4.1), host_name. Texts are heap strings, NULL when not set. 0, or -EINVAL with a text
 * that begins with the variable's name (the process then exits 2).
 */
int conf_load(struct conf *ret_conf, struct err *e) A_NODISCARD;
void conf_fini(struct conf *c);
/* log_setup from log_level and log_format. */
void conf_log(const struct conf *c, const char *program);

#endif
