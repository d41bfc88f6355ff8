/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETD_NL_DETAIL_H
#define NETD_NL_DETAIL_H

/* Between nl.c and nl_read.c only. */

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include "netd/nl.h"

/* What one call of recv takes: the kernel's largest piece of a dump. */
#define NL_ANSWER_BYTES 32768
/* Attributes of a message by type; those above are of no interest. */
#define NL_ATTRS_MAX	63

/* For mnl_attr_parse: into a table of NL_ATTRS_MAX + 1 pointers. */
int nl_collect(const struct nlattr *attr, void *user);
/* A text attribute, which the kernel ends with a zero; "" for NULL. */
const char *nl_text_of(const struct nlattr *attr);

typedef void nl_message_fn(void *user, const struct nlmsghdr *h);
/* A whole dump of what RTM_GET... `type` asks for; *ret_again: the kernel says that it changed
 * meanwhile. 0 or a negative errno. */
int nl_dump(struct nl *s, uint16_t type, uint8_t family, nl_message_fn *fn, void *user,
	    bool *ret_again) A_NODISCARD;
/* Where our program hangs. */
struct tcmsg nl_program_place(int index, enum nl_hook hook);

#endif
