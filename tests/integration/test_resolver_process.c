/* SPDX-License-Identifier: Apache-2.0 */
/* The real decnet-resolver on a capture channel: killed at random points while a scripted decoy
 * sends, it stores every capture exactly once and in order. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "decoy/capture.h"
#include "scratch.h"
#include "store/attacker_view.h"
#include "store/journal.h"
#include "store/log.h"
#include "store/worker.h"
#include "util/clock.h"
#include "util/json.h"

#define CAPTURES    8000
#define WINDOW	    400 /* unacknowledged captures that the decoy holds */
#define KILLS	    20
#define DEADLINE_MS 120000
#define SOURCE	    0xfeedULL

struct world {
	struct scratch at;
	int decoy, resolver; /* the two ends; both stay open, as the supervisor keeps them */
	pid_t child;
	unsigned random;
	uint64_t sent, acked; /* last number sent, last acknowledged */
	unsigned resends, answers;
	uint64_t deadline_ms;
};

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	int ends[2];

	assert_non_null(w);
	scratch_make(&w->at);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	w->decoy = ends[0];
	w->resolver = ends[1];
	w->random = 20260131;
	w->deadline_ms = clock_mono_ms() + DEADLINE_MS;
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	if (w->child > 0) {
		(void)kill(w->child, SIGKILL);
		(void)waitpid(w->child, NULL, 0);
	}
	(void)close(w->decoy);
	(void)close(w->resolver);
	scratch_remove(&w->at);
	free(w);
	return 0;
}

static unsigned
dice(struct world *w, unsigned below)
{
	w->random = w->random * 1103515245U + 12345U;
	return (w->random >> 16) % below;
}

static void
start(struct world *w)
{
	const char *dir = getenv("DECNET_BIN_DIR");
	char path[512], number[16];
	pid_t pid;

	(void)snprintf(path, sizeof(path), "%s/decnet-resolver", dir ? dir : "src/main");
	(void)snprintf(number, sizeof(number), "%d", w->resolver);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)fcntl(w->resolver, F_SETFD, 0);
		(void)setenv("DECNET_FD_CAPTURE", number, 1);
		(void)setenv("DECNET_STATE_DIR", w->at.dir, 1);
		(void)setenv("DECNET_BUS_ENABLED", "false", 1);
		(void)setenv("DECNET_LOG_LEVEL", "error", 1);
		(void)unsetenv("DECNET_DB_URL");
		(void)execl(path, path, (char *)NULL);
		_exit(127);
	}
	w->child = pid;
}

static void
murder(struct world *w)
{
	int status = 0;

	assert_int_equal(kill(w->child, SIGKILL), 0);
	assert_int_equal(waitpid(w->child, &status, 0), w->child);
	assert_true(WIFSIGNALED(status));
	w->child = 0;
}

static void
put_capture(struct buf *b, uint64_t no)
{
	struct capture c = {
		.source = SOURCE,
		.no = no,
		.ts_ms = 1769847300000ULL + no,
		.type = CAPTURE_COMMAND,
		.topology_id = SV("0198c0de-0000-7000-8000-000000000001"),
		.decky_uuid = SV("0198c0de-0000-7000-8000-000000000002"),
		.decky = SV("web-1"),
		.service = SV("telnet"),
		.session_id = SV("0198c0de-0000-7000-8000-000000000003"),
		.nfields = 1,
	};
	char ip[32], command[32];

	(void)snprintf(ip, sizeof(ip), "198.51.100.%u", (unsigned)(no % 7));
	(void)snprintf(command, sizeof(command), "no-%llu", (unsigned long long)no);
	c.peer_ip = sv_from(ip);
	c.fields[0] = (struct capture_field){SV("command"), sv_from(command)};
	assert_int_equal(capture_put(b, &c), 0);
}

/* Everything that the resolver said so far. */
static void
read_acks(struct world *w)
{
	struct capture_ack ack;
	char raw[64];
	ssize_t n;

	while ((n = recv(w->decoy, raw, sizeof(raw), MSG_DONTWAIT)) > 0) {
		assert_int_equal(capture_ack_get((struct sv){raw, (size_t)n}, &ack), 0);
		if (ack.source == 0) {
			w->sent = w->acked;
			w->resends++;
		} else if (ack.source == SOURCE) {
			assert_true(ack.no <= CAPTURES);
			if (ack.no > w->acked) {
				w->acked = ack.no;
				w->answers++;
			}
			if (w->sent < w->acked)
				w->sent = w->acked;
		}
	}
	assert_true(n < 0 && errno == EAGAIN);
}

/* One message of a few frames, if the window and the socket have room. Whether one was sent. */
static bool
send_some(struct world *w)
{
	uint64_t no = w->sent, last = no + 1 + dice(w, 5);
	struct buf b;
	bool sent;

	if (no == CAPTURES || no - w->acked >= WINDOW)
		return false;
	buf_init(&b, 1 << 16);
	while (no < last && no < CAPTURES)
		put_capture(&b, ++no);
	sent = send(w->decoy, b.p, b.n, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)b.n;
	if (sent)
		w->sent = no;
	buf_fini(&b);
	return sent;
}

static void
wait_for_news(struct world *w)
{
	struct pollfd p = {.fd = w->decoy, .events = POLLIN};

	assert_true(clock_mono_ms() < w->deadline_ms);
	(void)poll(&p, 1, 20);
}

static void
check_logs(struct db *db)
{
	struct log_filter f = {.end_ms = UINT64_MAX};
	struct err e = {0};
	int64_t total = 0;
	uint64_t want = CAPTURES;
	json_t *rows, *row;
	char text[32];
	size_t i;

	assert_int_equal(search_parse(SV(""), &f.search), 0);
	for (int64_t offset = 0; offset < CAPTURES; offset += 1000) {
		rows = NULL;
		assert_int_equal(log_list(db, &f, 1000, offset, &rows, &total, &e), 0);
		assert_int_equal(total, CAPTURES);
		json_array_foreach(rows, i, row)
		{
			(void)snprintf(text, sizeof(text), "no-%llu", (unsigned long long)want--);
			assert_string_equal(json_get_text(row, "msg"), text);
		}
		json_decref(rows);
	}
	assert_int_equal(want, 0);
	search_fini(&f.search);
}

static void
check_rows(struct db *db)
{
	struct journal_rows journal = {0};
	struct worker workers[8];
	json_t *rows = NULL, *row;
	int64_t events = 0, head = 0;
	struct err e = {0};
	size_t i;

	assert_int_equal(attacker_page(db, "", 100, &rows, &e), 0);
	assert_int_equal(json_array_size(rows), 7);
	json_array_foreach(rows, i, row)
	{
		events += json_integer_value(json_object_get(row, "event_count"));
		assert_true(json_is_string(json_object_get(row, "identity_id")));
	}
	assert_int_equal(events, CAPTURES);
	json_decref(rows);
	assert_int_equal(journal_head(db, &head, &e), 0);
	assert_true(journal_read(db, JOURNAL_ALL, NULL, 0, 100000, &journal, &e) == (int)head);
	for (i = 0; i < journal.n; i++)
		assert_true(journal.v[i].seq == (int64_t)i + 1);
	journal_rows_fini(&journal);
	/* A clean stop takes the resolver's heartbeat back; the decoy's stays. */
	assert_int_equal(worker_list(db, workers, 8, &e), 1);
	assert_string_equal(workers[0].name, "decoy");
	assert_int_equal(workers[0].pid, 4242);
}

static void
killed_at_random_points(void **state)
{
	struct world *w = *state;
	struct capture_hello hello = {SOURCE, 1769847300000ULL, 4242, 0};
	unsigned char raw[CAPTURE_HELLO_BYTES];
	unsigned kills = 0, spread = 0, sends = 0, send_limit = 1 + dice(w, 60), answer_limit = 3;
	uint64_t killed_at = UINT64_MAX;
	struct db *db = NULL;
	struct err e = {0};
	int status = 0;

	capture_hello_put(&hello, raw);
	start(w);
	while (w->acked < CAPTURES) {
		read_acks(w);
		if (!send_some(w))
			wait_for_news(w);
		else
			sends++;
		/* Now after some messages sent (mostly at its start), now after some answers
		 * (mostly in the middle of the next batch). */
		if (kills == KILLS || (sends < send_limit && w->answers < answer_limit))
			continue;
		murder(w);
		kills++;
		spread += w->acked != killed_at;
		killed_at = w->acked;
		sends = w->answers = 0;
		send_limit = kills % 2 ? UINT32_MAX : 1 + dice(w, 60);
		answer_limit = 1 + dice(w, 2);
		start(w);
	}
	/* Every second kill came after an answer, so in another place than the one before. */
	assert_true(spread >= kills / 2);
	assert_true(kills > KILLS / 2);
	assert_true(w->resends > 0);
	assert_int_equal(send(w->decoy, raw, sizeof(raw), MSG_NOSIGNAL), sizeof(raw));
	/* One more capture that was stored long ago: its answer says that the hello was read too.
	 */
	w->sent = w->acked = CAPTURES - 1;
	assert_true(send_some(w));
	while (w->acked < CAPTURES) {
		wait_for_news(w);
		read_acks(w);
	}
	assert_int_equal(kill(w->child, SIGTERM), 0);
	assert_int_equal(waitpid(w->child, &status, 0), w->child);
	w->child = 0;
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);

	if (db_open(w->at.url, DB_READ_ONLY, &db, &e) < 0)
		fail_msg("%s", err_text(&e));
	check_logs(db);
	check_rows(db);
	db_close(db);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(killed_at_random_points, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
