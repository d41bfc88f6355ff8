/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_H_IDENTITY_H
#define API_H_IDENTITY_H

/* Handlers of the identity routes. */

#include "api/api.h"

api_handler_fn h_identity_list, h_identity_get, h_identity_observations, h_identity_evidence,
	h_identity_note, h_identity_split, h_identity_merge;

#endif
