/* SPDX-License-Identifier: Apache-2.0 */
/* `decnet doctor`: whether this machine and its settings can carry the suite. */
#include <stdio.h>

#include "cli/command.h"
#include "cli/doctor.h"
#include "cli/pidfile.h"
#include "cli/rest.h"
#include "util/json.h"

static void (*const checks[])(struct doctor *d) = {
#define CHECK(subject) doctor_check_##subject,
#include "cli/doctor.def"
#undef CHECK
};

static void
print(const struct cli *c, const json_t *findings)
{
	const json_t *one;
	size_t i;

	if (c->json) {
		rest_print(findings);
		return;
	}
	json_array_foreach(findings, i, one)(void)
		printf("%-8s %-12s %s\n", json_get_text(one, "verdict"),
		       json_get_text(one, "subject"), json_get_text(one, "detail"));
}

int
cmd_doctor(struct cli *c)
{
	struct doctor d = {0};
	const struct cli_option options[] = {{"--fix", CLI_FLAG, &d.fix}};
	struct conf conf = {0};
	struct err e = {0};
	int code = cli_options(c, options, ARRAY_LEN(options), 0, 0);

	if (code != 0)
		return code;
	d.findings = json_array();
	if (!d.findings)
		return cli_fail(CLI_FAILED, "out of memory");
	if (conf_load(&conf, &e) < 0) {
		/* Nothing else can be judged without the settings. */
		doctor_say(&d, "environment", VERDICT_BAD, "%s", err_text(&e));
	} else {
		d.conf = &conf;
		d.running = pidfile_owner(conf.state_dir, &e);
		if (d.running < 0) {
			doctor_say(&d, "files", VERDICT_BAD, "%s", err_text(&e));
			d.running = 0;
		}
		for (size_t i = 0; i < ARRAY_LEN(checks); i++)
			checks[i](&d);
	}
	print(c, d.findings);
	json_decref(d.findings);
	conf_fini(&conf);
	return d.bad ? CLI_FAILED : CLI_OK;
}
