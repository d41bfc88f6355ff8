/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of the capture channel: whatever a taken-over decoy sends, what comes out may be stored:
 * one printable line, JSON without broken text, names and addresses as the contract has them, no
 * password outside of the fields. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/batch.h"
#include "util/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
check(const struct sighting *s)
{
	json_t *fields = NULL;

	if (s->rejected)
		return;
	for (const char *p = s->raw_line; *p; p++)
		if (*p < ' ' || *p > '~')
			abort();
	if (json_parse(sv_from(s->fields), &fields, NULL) < 0 || !json_is_object(fields))
		abort();
	if (strstr(s->fields, "\\u0000") && !strstr(s->fields, "\\\\u0000"))
		abort();
	json_decref(fields);
	if (s->no <= 0 || s->source == 0 || !id_is_uuid(sv_from(s->session_id)) || !s->ip[0] ||
	    !s->decky[0] || !s->service[0])
		abort();
	if ((s->msg && !sv_utf8(sv_from(s->msg))) || (s->value && !sv_utf8(sv_from(s->value))) ||
	    (s->command && !sv_utf8(sv_from(s->command))) ||
	    (s->username && !sv_utf8(sv_from(s->username))))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct batch_in b = {0};

	if (batch_add(&b, (struct sv){(const char *)data, n}, 1769847300000ULL) < 0)
		abort();
	for (size_t i = 0; i < b.n; i++)
		check(&b.v[i]);
	batch_fini(&b);
	return 0;
}
