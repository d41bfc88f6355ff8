/* SPDX-License-Identifier: Apache-2.0 */
#ifndef API_H_ATTACKER_H
#define API_H_ATTACKER_H

/* Handlers of the attacker routes. */

#include "api/api.h"

api_handler_fn h_attacker_list, h_attacker_get, h_attacker_commands, h_attacker_artifacts,
	h_attacker_transcripts, h_attacker_export;

#endif
