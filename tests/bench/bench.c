/* SPDX-License-Identifier: Apache-2.0 */
/* The clock, the histogram, accounts of other processes, stamps, sockets. */
#include "bench.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define UNIX_SNDBUF (4 * 1024 * 1024)

uint64_t
bench_now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void
bench_sleep_until(uint64_t at_ns)
{
	const struct timespec ts = {.tv_sec = (time_t)(at_ns / 1000000000u),
				    .tv_nsec = (long)(at_ns % 1000000000u)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

void
bench_die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)fputs("bench: ", stderr);
	(void)vfprintf(stderr, fmt, ap);
	(void)fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

uint64_t
bench_number(const char *name, const char *text, uint64_t max)
{
	char *end = NULL;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || value > max)
		bench_die("%s: not a number up to %" PRIu64 ": %s", name, max, text);
	return value;
}

void
bench_descriptors(uint64_t n)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		bench_die("getrlimit: %m");
	if (lim.rlim_max < n)
		bench_die("%" PRIu64 " descriptors are needed, %ju may be had (ulimit -Hn)", n,
			  (uintmax_t)lim.rlim_max);
	lim.rlim_cur = lim.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &lim) < 0)
		bench_die("setrlimit: %m");
}

/* Below 64 each value has its bucket; above, each power of two has 64. */
static unsigned
bucket_of(uint64_t value)
{
	unsigned shift;

	if (value < BENCH_HIST_SUB)
		return (unsigned)value;
	shift = 63 - (unsigned)__builtin_clzll(value) - 6;
	return (shift + 1) * BENCH_HIST_SUB + (unsigned)(value >> shift) - BENCH_HIST_SUB;
}

static uint64_t
value_of(unsigned bucket)
{
	unsigned shift = bucket / BENCH_HIST_SUB;

	if (shift == 0)
		return bucket;
	return (uint64_t)(bucket % BENCH_HIST_SUB + BENCH_HIST_SUB) << (shift - 1);
}

void
bench_hist_add(struct bench_hist *h, uint64_t value)
{
	h->n++;
	h->bucket[bucket_of(value)]++;
	if (value > h->max)
		h->max = value;
}

uint64_t
bench_hist_at(const struct bench_hist *h, double q)
{
	uint64_t seen = 0, want = (uint64_t)(q * (double)h->n);

	for (unsigned i = 0; i < BENCH_HIST_BUCKETS && h->n > 0; i++) {
		seen += h->bucket[i];
		if (seen > want || seen == h->n)
			return value_of(i);
	}
	return 0;
}

void
bench_hist_print(FILE *out, const char *name, const struct bench_hist *h)
{
	(void)fprintf(out,
		      "\"%s\":{\"n\":%" PRIu64 ",\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,"
		      "\"max\":%.1f}",
		      name, h->n, (double)bench_hist_at(h, 0.5) / 1000,
		      (double)bench_hist_at(h, 0.9) / 1000, (double)bench_hist_at(h, 0.99) / 1000,
		      (double)h->max / 1000);
}

void
bench_pids_add(struct bench_pids *p, const char *text)
{
	if (p->n == BENCH_PIDS_MAX)
		bench_die("more than %d processes to account", BENCH_PIDS_MAX);
	p->pid[p->n++] = (pid_t)bench_number("--pid", text, INT32_MAX);
}

/* Nanoseconds that a thread was on a processor: the first number of its schedstat. */
static uint64_t
thread_ns(pid_t pid, const char *tid)
{
	char path[320], text[64] = "";
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", (int)pid, tid);
	f = fopen(path, "r");
	if (!f)
		return 0;
	if (!fgets(text, sizeof(text), f))
		text[0] = '\0';
	(void)fclose(f);
	return strtoull(text, NULL, 10);
}

uint64_t
bench_cpu_ns(const struct bench_pids *p)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < p->n; i++) {
		const struct dirent *entry;
		char path[64];
		DIR *d;

		(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)p->pid[i]);
		d = opendir(path);
		if (!d)
			bench_die("process %d is gone", (int)p->pid[i]);
		while ((entry = readdir(d)) != NULL)
			if (entry->d_name[0] != '.')
				sum += thread_ns(p->pid[i], entry->d_name);
		(void)closedir(d);
	}
	return sum;
}

uint64_t
bench_anon_kb(const struct bench_pids *p)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < p->n; i++) {
		char path[64], line[128];
		FILE *f;

		(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)p->pid[i]);
		f = fopen(path, "r");
		if (!f)
			bench_die("process %d is gone", (int)p->pid[i]);
		while (fgets(line, sizeof(line), f))
			if (strncmp(line, "RssAnon:", 8) == 0)
				sum += strtoull(line + 8, NULL, 10);
		(void)fclose(f);
	}
	return sum;
}

uint64_t
bench_tcp_kb(void)
{
	FILE *f = fopen("/proc/net/sockstat", "r");
	uint64_t pages = 0;
	char line[256];

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		const char *at = strstr(line, " mem ");

		if (strncmp(line, "TCP:", 4) == 0 && at)
			pages = strtoull(at + 5, NULL, 10);
	}
	(void)fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
}

static bool
read_number(const char *p, const char *end, const char **ret_rest, uint64_t *ret)
{
	uint64_t value = 0;
	const char *at = p;

	for (; at < end && *at >= '0' && *at <= '9'; at++)
		value = value * 10 + (uint64_t)(*at - '0');
	*ret_rest = at;
	*ret = value;
	return at > p;
}

bool
bench_stamp_find(const char *p, size_t n, size_t *hint, struct bench_stamp *ret_stamp)
{
	static const char begin[] = "{\"n\":", middle[] = ",\"t\":";
	const size_t begin_n = sizeof(begin) - 1, middle_n = sizeof(middle) - 1;
	const char *at = p + *hint, *end = p + n;

	if (n < *hint + begin_n || memcmp(at, begin, begin_n) != 0)
		at = memmem(p, n, begin, begin_n);
	if (!at)
		return false;
	*hint = (size_t)(at - p);
	if (!read_number(at + begin_n, end, &at, &ret_stamp->n) || (size_t)(end - at) < middle_n ||
	    memcmp(at, middle, middle_n) != 0)
		return false;
	return read_number(at + middle_n, end, &at, &ret_stamp->t);
}

static char *
put_number(char *dst, uint64_t value)
{
	char digits[24];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char)('0' + value % 10);
	while ((value /= 10) > 0);
	memcpy(dst, digits + at, sizeof(digits) - at);
	return dst + sizeof(digits) - at;
}

size_t
bench_stamp_put(char *dst, struct bench_stamp stamp, size_t size)
{
	char *at = dst;
	size_t n;

	memcpy(at, "{\"n\":", 5);
	at = put_number(at + 5, stamp.n);
	memcpy(at, ",\"t\":", 5);
	at = put_number(at + 5, stamp.t);
	memcpy(at, ",\"pad\":\"", 8);
	at += 8;
	n = (size_t)(at - dst);
	if (n + 2 < size) {
		memset(at, 'x', size - 2 - n);
		n = size - 2;
	}
	memcpy(dst + n, "\"}", 3);
	return n + 2;
}

static int
connect_unix(const char *path)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), size = UNIX_SNDBUF;

	if (strlen(path) >= sizeof(to.sun_path))
		bench_die("path is too long: %s", path);
	(void)snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0)
		bench_die("cannot connect to %s: %m", path);
	/* As much as TCP takes on loopback, so that a window goes out in one piece. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return fd;
}

int
bench_connect(const char *where)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	const char *colon = strrchr(where, ':');
	char host[64];
	int fd, one = 1;

	if (strncmp(where, "unix:", 5) == 0)
		return connect_unix(where + 5);
	if (!colon || (size_t)(colon - where) >= sizeof(host))
		bench_die("neither unix:PATH nor HOST:PORT: %s", where);
	(void)snprintf(host, sizeof(host), "%.*s", (int)(colon - where), where);
	to.sin_port = htons((uint16_t)bench_number("port", colon + 1, UINT16_MAX));
	if (inet_pton(AF_INET, host, &to.sin_addr) != 1)
		bench_die("not an IPv4 address: %s", host);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0)
		bench_die("cannot connect to %s: %m", where);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

void
bench_send(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t put = send(fd, p, n, MSG_NOSIGNAL);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			bench_die("send: %m");
		p += put;
		n -= (size_t)put;
	}
}
