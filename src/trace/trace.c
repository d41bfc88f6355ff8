/* SPDX-License-Identifier: Apache-2.0 */
/* Spans, the bounded queue of those that have ended, and the thread that sends them. */
#include "trace/trace.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "trace/otlp.h"
#include "util/clock.h"
#include "util/id.h"
#include "util/limits.h"
#include "util/log.h"

#define BATCH_SPANS	  256
#define BATCH_WAIT_MS	  500 /* a first span waits so long for company */
#define CONNECT_MS	  2000
#define TRANSFER_MS	  5000
#define ATTEMPTS	  3
#define ATTEMPT_PAUSE_MS  1000
#define LAST_WORDS_MS	  2000
#define DROPPED_REPORT_MS 10000

static struct {
	bool on; /* set once, before there are threads */
	char *url;
	char service[32], host[256];
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	/* Under the lock: */
	struct trace_span *head, **tail;
	unsigned waiting;
	bool stopping;
	uint64_t stop_by_ms;
	/* The exporter's: */
	CURL *curl;
	bool failing;
	uint64_t reported, reported_ms;
	atomic_ullong ended, sent, dropped;
} tr = {.lock = PTHREAD_MUTEX_INITIALIZER};

bool
trace_on(void)
{
	return tr.on;
}

uint64_t
trace_now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

struct trace_span *
trace_begin(const char *name, enum trace_kind kind, const struct trace_ctx *parent)
{
	bool below = trace_ctx_valid(parent);
	struct trace_span *s;

	if (!tr.on || (below && !parent->sampled))
		return NULL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	if (below) {
		s->parent = *parent;
		memcpy(s->ctx.trace_id, parent->trace_id, sizeof(s->ctx.trace_id));
	} else {
		id_random(s->ctx.trace_id, sizeof(s->ctx.trace_id));
	}
	id_random(s->ctx.span_id, sizeof(s->ctx.span_id));
	s->ctx.sampled = true;
	s->kind = kind;
	(void)snprintf(s->name, sizeof(s->name), "%s", name);
	s->start_ns = trace_now_ns();
	return s;
}

struct trace_ctx
trace_ctx_of(const struct trace_span *span)
{
	return span ? span->ctx : (struct trace_ctx){0};
}

static struct trace_attr *
next_attr(struct trace_span *s, const char *key)
{
	struct trace_attr *a = s && s->nattrs < TRACE_ATTRS_MAX ? &s->attrs[s->nattrs++] : NULL;

	if (a)
		a->key = key;
	return a;
}

void
trace_text(struct trace_span *span, const char *key, struct sv value)
{
	struct trace_attr *a = next_attr(span, key);
	size_t n = value.n < TRACE_TEXT_SIZE ? value.n : TRACE_TEXT_SIZE - 1;

	if (!a)
		return;
	a->is_text = true;
	if (n)
		memcpy(a->text, value.p, n);
	a->text[n] = '\0';
}

void
trace_number(struct trace_span *span, const char *key, int64_t value)
{
	struct trace_attr *a = next_attr(span, key);

	if (a)
		a->number = value;
}

void
trace_failed(struct trace_span *span)
{
	if (span)
		span->failed = true;
}

void
trace_end(struct trace_span *own_span)
{
	struct trace_span *s = own_span;
	bool taken;

	if (!s)
		return;
	if (s->end_ns == 0)
		s->end_ns = trace_now_ns();
	/* A clock that was set back makes no negative time. */
	if (s->end_ns < s->start_ns)
		s->end_ns = s->start_ns;
	atomic_fetch_add(&tr.ended, 1);
	/* Held for a few instructions only; never while anything is sent. */
	(void)pthread_mutex_lock(&tr.lock);
	taken = tr.waiting < LIMIT_TRACE_SPANS;
	if (taken) {
		*tr.tail = s;
		tr.tail = &s->next;
		tr.waiting++;
		(void)pthread_cond_signal(&tr.wake);
	}
	(void)pthread_mutex_unlock(&tr.lock);
	if (!taken) {
		atomic_fetch_add(&tr.dropped, 1);
		free(s);
	}
}

void
trace_stats(struct trace_stats *ret)
{
	ret->ended = atomic_load(&tr.ended);
	ret->sent = atomic_load(&tr.sent);
	ret->dropped = atomic_load(&tr.dropped);
}

/* ---- the exporter ---- */

static void
wait_until(uint64_t mono_ms)
{
	struct timespec ts = {.tv_sec = (time_t)(mono_ms / 1000),
			      .tv_nsec = (long)(mono_ms % 1000) * 1000000L};

	(void)pthread_cond_timedwait(&tr.wake, &tr.lock, &ts);
}

/* Under the lock: wait for spans, and a little for more of them. NULL: the end. */
static struct trace_span *
take_batch(unsigned *ret_n)
{
	struct trace_span *first, *last;
	uint64_t by;
	unsigned n = 1;

	while (!tr.head && !tr.stopping)
		(void)pthread_cond_wait(&tr.wake, &tr.lock);
	by = clock_mono_ms() + BATCH_WAIT_MS;
	while (tr.waiting < BATCH_SPANS && !tr.stopping && clock_mono_ms() < by)
		wait_until(by);
	first = last = tr.head;
	if (!first)
		return NULL;
	for (; n < BATCH_SPANS && last->next; n++)
		last = last->next;
	tr.head = last->next;
	if (!tr.head)
		tr.tail = &tr.head;
	tr.waiting -= n;
	last->next = NULL;
	*ret_n = n;
	return first;
}

static uint64_t
stop_by(void)
{
	uint64_t by;

	(void)pthread_mutex_lock(&tr.lock);
	by = tr.stopping ? tr.stop_by_ms : UINT64_MAX;
	(void)pthread_mutex_unlock(&tr.lock);
	return by;
}

static int
on_progress(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	(void)user, (void)a, (void)b, (void)c, (void)d;
	return clock_mono_ms() >= stop_by();
}

/* What a collector answers is of no interest beyond its status. */
static size_t
on_answer(char *p, size_t size, size_t n, void *user)
{
	(void)p, (void)user;
	return size * n;
}

/* One attempt. 0: taken; -EAGAIN: perhaps later; -EBADMSG: never. `why` says it. */
static int
post(const char *body, char why[CURL_ERROR_SIZE])
{
	CURLcode code;
	long status = 0;

	why[0] = '\0';
	(void)curl_easy_setopt(tr.curl, CURLOPT_ERRORBUFFER, why);
	(void)curl_easy_setopt(tr.curl, CURLOPT_POSTFIELDS, body);
	(void)curl_easy_setopt(tr.curl, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
	code = curl_easy_perform(tr.curl);
	(void)curl_easy_setopt(tr.curl, CURLOPT_ERRORBUFFER, NULL);
	if (code != CURLE_OK) {
		if (!why[0])
			(void)snprintf(why, CURL_ERROR_SIZE, "%s", curl_easy_strerror(code));
		return -EAGAIN;
	}
	(void)curl_easy_getinfo(tr.curl, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 200 && status < 300)
		return 0;
	(void)snprintf(why, CURL_ERROR_SIZE, "status %ld", status);
	/* Those that the protocol calls worth another try. */
	return status == 429 || (status >= 502 && status <= 504) ? -EAGAIN : -EBADMSG;
}

/* False: the process ends. */
static bool
pause_a_while(void)
{
	uint64_t by = clock_mono_ms() + ATTEMPT_PAUSE_MS;
	bool go_on;

	(void)pthread_mutex_lock(&tr.lock);
	while (!tr.stopping && clock_mono_ms() < by)
		wait_until(by);
	go_on = !tr.stopping;
	(void)pthread_mutex_unlock(&tr.lock);
	return go_on;
}

/* Once when it begins and when it ends. Neither the address nor what was sent is told: the one may
 * hold a password. */
static void
report(int r, const char *why)
{
	if (r < 0 && !tr.failing)
		log_event(LV_WARN, "trace.export.failed", KV_S("why", why));
	else if (r == 0 && tr.failing)
		log_plain(LV_INFO, "trace.export.back");
	tr.failing = r < 0;
}

static void
report_dropped(void)
{
	uint64_t dropped = atomic_load(&tr.dropped), now = clock_mono_ms();

	if (dropped == tr.reported || now - tr.reported_ms < DROPPED_REPORT_MS)
		return;
	log_event(LV_WARN, "trace.dropped", KV_U("spans", dropped - tr.reported),
		  KV_U("total", dropped));
	tr.reported = dropped;
	tr.reported_ms = now;
}

static void
send_batch(struct trace_span *own_first, unsigned n)
{
	const struct otlp_resource resource = {.service = tr.service,
					       .version = DECNET_VERSION,
					       .host = tr.host,
					       .pid = (int64_t)getpid()};
	char *body = otlp_encode(&resource, own_first);
	char why[CURL_ERROR_SIZE] = "out of memory";
	int r = body ? -EAGAIN : -EBADMSG;

	for (struct trace_span *s = own_first, *next; s; s = next) {
		next = s->next;
		free(s);
	}
	for (int i = 0; i < ATTEMPTS && r == -EAGAIN; i++) {
		if ((i > 0 && !pause_a_while()) || clock_mono_ms() >= stop_by())
			break;
		r = post(body, why);
	}
	free(body);
	atomic_fetch_add(r == 0 ? &tr.sent : &tr.dropped, n);
	report(r, why);
	report_dropped();
}

static void *
run(void *user)
{
	(void)user;
	for (;;) {
		struct trace_span *first;
		unsigned n = 0;

		(void)pthread_mutex_lock(&tr.lock);
		first = take_batch(&n);
		(void)pthread_mutex_unlock(&tr.lock);
		if (!first)
			return NULL;
		send_batch(first, n);
	}
}

/* ---- starting and stopping ---- */

static int
set_up_curl(void)
{
	static char expect_text[] = "Expect:", type_text[] = "Content-Type: application/json";
	static struct curl_slist no_expect = {.data = expect_text};
	static struct curl_slist type = {.data = type_text, .next = &no_expect};
	CURLcode r;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return -ENOMEM;
	tr.curl = curl_easy_init();
	if (!tr.curl)
		return -ENOMEM;
	r = curl_easy_setopt(tr.curl, CURLOPT_URL, tr.url);
	if (r == CURLE_OK)
		r = curl_easy_setopt(tr.curl, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(tr.curl, CURLOPT_HTTPHEADER, &type);
	(void)curl_easy_setopt(tr.curl, CURLOPT_POST, 1L);
	(void)curl_easy_setopt(tr.curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(tr.curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	(void)curl_easy_setopt(tr.curl, CURLOPT_TIMEOUT_MS, (long)TRANSFER_MS);
	(void)curl_easy_setopt(tr.curl, CURLOPT_WRITEFUNCTION, on_answer);
	(void)curl_easy_setopt(tr.curl, CURLOPT_NOPROGRESS, 0L);
	(void)curl_easy_setopt(tr.curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	return r == CURLE_OK ? 0 : -EINVAL;
}

static void
forget(void)
{
	curl_easy_cleanup(tr.curl);
	tr.curl = NULL;
	free(tr.url);
	tr.url = NULL;
}

/* With every signal blocked: those of the process are its main thread's. */
static int
start_thread(void)
{
	pthread_condattr_t attr;
	sigset_t all, before;
	int r;

	if (pthread_condattr_init(&attr) != 0)
		return -ENOMEM;
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	r = pthread_cond_init(&tr.wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	if (r != 0)
		return -r;
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&tr.thread, NULL, run, NULL);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -r;
}

int
trace_start(const char *endpoint, const char *service, struct err *e)
{
	size_t n = endpoint ? strlen(endpoint) : 0;
	int r;

	if (n == 0)
		return 0;
	while (n > 0 && endpoint[n - 1] == '/')
		n--;
	if (asprintf(&tr.url, "%.*s/v1/traces", (int)n, endpoint) < 0) {
		tr.url = NULL;
		return err_set(e, -ENOMEM, "out of memory");
	}
	(void)snprintf(tr.service, sizeof(tr.service), "%s", service);
	if (gethostname(tr.host, sizeof(tr.host) - 1) < 0)
		tr.host[0] = '\0';
	tr.tail = &tr.head;
	r = set_up_curl();
	if (r == 0)
		r = start_thread();
	if (r < 0) {
		forget();
		return err_set(e, r, "OTEL_EXPORTER_OTLP_ENDPOINT: cannot export: %s",
			       strerror(-r));
	}
	tr.on = true;
	return 0;
}

void
trace_stop(void)
{
	if (!tr.on)
		return;
	(void)pthread_mutex_lock(&tr.lock);
	tr.stopping = true;
	tr.stop_by_ms = clock_mono_ms() + LAST_WORDS_MS;
	(void)pthread_cond_signal(&tr.wake);
	(void)pthread_mutex_unlock(&tr.lock);
	(void)pthread_join(tr.thread, NULL);
	tr.on = false;
	forget();
	(void)pthread_cond_destroy(&tr.wake);
}
