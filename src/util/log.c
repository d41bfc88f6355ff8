/* SPDX-License-Identifier: Apache-2.0 */
/* One event a line on standard error, in one write, so that lines of several processes do not mix.
 */
#include "util/log.h"

#include <string.h>
#include <unistd.h>

#include "util/clock.h"

#define LINE_BYTES_MAX 8192

static struct {
	char program[32];
	enum log_level min;
	bool json;
} setup = {.program = "decnet", .min = LV_INFO};

static const char *const words[] = {"debug", "info", "warning", "error"};

void
log_setup(const char *program, enum log_level min, bool json)
{
	(void)sv_copy(sv_from(program), setup.program, sizeof(setup.program));
	setup.min = min;
	setup.json = json;
}

bool
log_on(enum log_level lv)
{
	return lv >= setup.min;
}

void
log_write(enum log_level lv, const char *event, const struct kv *fields)
{
	char stamp[CLOCK_ISO_SIZE];
	struct buf line;
	int r;

	if (!log_on(lv))
		return;
	buf_init(&line, LINE_BYTES_MAX);
	clock_iso(clock_unix_ms(), stamp);
	if (setup.json)
		r = buf_printf(
			&line,
			"{\"ts\":\"%s\",\"level\":\"%s\",\"program\":\"%s\",\"event\":\"%s\"",
			stamp, words[lv], setup.program, event);
	else
		r = buf_printf(&line, "%s %s %s %s", stamp, words[lv], setup.program, event);
	if (r == 0) {
		size_t before = line.n;

		r = setup.json ? kv_put_json(&line, fields) : kv_put_text(&line, fields);
		/* Fields that do not fit are left out: a line is always whole. */
		if (r < 0)
			line.n = before;
	}
	if (line.n > LINE_BYTES_MAX - 2)
		line.n = LINE_BYTES_MAX - 2;
	if (buf_put(&line, setup.json ? SV("}\n") : SV("\n")) == 0) {
		ssize_t n = write(STDERR_FILENO, line.p, line.n);

		/* There is nowhere to report a failing log to. */
		(void)n;
	}
	buf_fini(&line);
}
