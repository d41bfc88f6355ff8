/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETD_HOST_H
#define NETD_HOST_H

/* What the host must offer for decoy networks: found out by trying, and the few settings of the
 * kernel that all namespaces share. */

#include <stdbool.h>

#include "util/attr.h"
#include "util/err.h"

/* What a feature is called, and what is missing without it. */
struct host_feature {
	const char *name;
	bool needed;
	bool there;
	char why[128]; /* when it is not */
};

#define HOST_FEATURES_MAX 8

/* Try each in namespaces of a child process, which leaves nothing behind. The number of features,
 * or a negative errno when not even the child could be made. */
int host_probe(struct host_feature features[HOST_FEATURES_MAX], struct err *e) A_NODISCARD;
/* Raise what all namespaces share to what thousands of deckies need; lower nothing. To be called in
 * the first namespace of the machine. 0, or the first negative errno, with what it was about. */
int host_tune(struct err *e) A_NODISCARD;

#endif
