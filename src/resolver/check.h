/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RESOLVER_CHECK_H
#define RESOLVER_CHECK_H

/*
 * From a capture as the decoy sent it to a row that may be stored: everything is checked again,
 * because the decoy reads attackers' bytes and may be theirs. Pure.
 */

#include <stdbool.h>
#include <stdint.h>

#include "decoy/capture.h"
#include "identity/signal.h"
#include "util/attr.h"
#include "util/id.h"

#define CHECK_NAME_SIZE 65
#define CHECK_IP_SIZE	46

enum reject {
#define REJECT(name, word, text) REJECT_##name,
#include "resolver/reject.def"
#undef REJECT
	REJECT_COUNT
};

const char *reject_word(enum reject r);

struct sighting {
	uint64_t source;
	int64_t no;
	bool rejected; /* only source and no count */

	uint64_t ts_ms;
	enum capture_type type;
	char topology_id[ID_UUID_SIZE], decky_id[ID_UUID_SIZE]; /* "" none */
	char session_id[ID_UUID_SIZE];
	char decky[CHECK_NAME_SIZE], service[CHECK_NAME_SIZE];
	char ip[CHECK_IP_SIZE]; /* canonical */

	char *raw_line, *fields; /* never NULL unless rejected */
	char *msg;		 /* may be NULL */

	char *command;			   /* COMMAND */
	enum identity_primitive primitive; /* IDENTITY_SIGNAL_COUNT: none */
	char *value;			   /* of the primitive */
	char *username;			   /* AUTH; NULL: no credential */
	char secret_sha256[65];
	const char *secret_kind;
	bool secret_common;
	uint64_t bytes_in, bytes_out; /* DISCONNECT */
};

/*
 * 0 and *ret (sighting_fini it); -EBADMSG and *ret_why; -ENOMEM. Text becomes valid UTF-8 without
 * NUL; raw_line is one line of printable ASCII and never holds a password. Times ahead of `now_ms`
 * become `now_ms`. Fields that the type does not have are left out.
 */
int sighting_check(const struct capture *c, uint64_t now_ms, struct sighting *ret,
		   enum reject *ret_why) A_NODISCARD;
void sighting_fini(struct sighting *s);

#endif
