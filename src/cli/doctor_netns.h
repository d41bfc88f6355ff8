/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_DOCTOR_NETNS_H
#define CLI_DOCTOR_NETNS_H

/* The part of the driver's check that is about real networks. */

#include "cli/doctor.h"

/* Whether this user and kernel can have them. */
void doctor_check_netns(struct doctor *d);
/* Namespaces of a suite that did not end properly. */
void doctor_check_leftovers(struct doctor *d);

#endif
