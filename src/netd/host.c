/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel under the decoy networks. */
#include "netd/host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "netd/fence.h"
#include "netd/look.h"
#include "netd/nl.h"
#include "util/sv.h"

static const struct {
	const char *path;
	uint64_t least;
} shared[] = {
	/* One table of neighbours serves all namespaces together. */
	{"/proc/sys/net/ipv4/neigh/default/gc_thresh3", 65536},
	{"/proc/sys/net/ipv4/neigh/default/gc_thresh2", 32768},
	{"/proc/sys/net/ipv4/neigh/default/gc_thresh1", 16384},
	/* One broadcast on a LAN of 250 ports is 250 packets at once. */
	{"/proc/sys/net/core/netdev_max_backlog", 30000},
};

static int
raise_to(const char *path, uint64_t least)
{
	char text[32] = "";
	int fd = open(path, O_RDWR | O_CLOEXEC), r = 0;
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	uint64_t now = 0;
	struct sv digits;

	if (n < 0) {
		r = -errno;
	} else {
		digits = (struct sv){text, (size_t)n};
		digits = sv_cut(&digits, '\n');
		if (sv_u64(digits, UINT64_MAX, &now) == 0 && now >= least)
			least = 0;
		n = least ? snprintf(text, sizeof(text), "%llu", (unsigned long long)least) : 0;
		if (n > 0 && pwrite(fd, text, (size_t)n, 0) != n)
			r = -errno;
	}
	if (fd >= 0)
		(void)close(fd);
	return r;
}

int
host_tune(struct err *e)
{
	int result = 0;

	for (size_t i = 0; i < ARRAY_LEN(shared); i++) {
		int r = raise_to(shared[i].path, shared[i].least);

		if (r < 0 && result == 0)
			result = err_set(e, r, "%s: %s", shared[i].path, strerror(-r));
	}
	return result;
}

/* -- probes: each runs in a child, in a network namespace that goes with it -- */

enum probe {
	PROBE_NAMESPACE,
	PROBE_MOUNT,
	PROBE_BRIDGE,
	PROBE_VETH,
	PROBE_FENCE,
	PROBE_LOOK,
	PROBE_COUNT
};

static const struct {
	const char *name;
	bool needed;
} probes[PROBE_COUNT] = {
	[PROBE_NAMESPACE] = {"network namespaces", true},
	[PROBE_MOUNT] = {"mounts, to keep namespaces by name", true},
	[PROBE_BRIDGE] = {"bridges", true},
	[PROBE_VETH] = {"veth pairs", true},
	[PROBE_FENCE] = {"nftables for bridges", true},
	[PROBE_LOOK] = {"eBPF for the looks of TCP/IP", false},
};
_Static_assert(PROBE_COUNT <= HOST_FEATURES_MAX, "room for all");

struct report {
	int r[PROBE_COUNT];
	char why[PROBE_COUNT][128];
};

static void
note(struct report *report, enum probe which, int r, const struct err *e)
{
	report->r[which] = r;
	if (r < 0)
		(void)snprintf(report->why[which], sizeof(report->why[which]), "%.127s",
			       err_text(e));
}

static int
try_mount(struct err *e)
{
	struct stat st;

	/* A mount namespace of its own is what a bind mount needs where we may not mount. */
	if (stat("/proc/self/ns/net", &st) < 0)
		return err_set(e, -errno, "/proc: %m");
	if (unshare(CLONE_NEWNS) < 0)
		return err_set(e, -errno, "%m");
	return 0;
}

/* Programs, and a place for them at the link. */
static int
try_look(struct nl *nl, int index, struct err *e)
{
	int r = look_try(e);

	if (r < 0)
		return r;
	nl_put_hooks(nl, index);
	return nl_commit(nl, e);
}

static void
try_all(struct report *report)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
	struct nl *nl = calloc(1, sizeof(*nl));
	struct err e = {0};
	int ns, r;

	for (unsigned i = 0; i < PROBE_COUNT; i++)
		note(report, (enum probe)i, -ENODATA,
		     (err_set(&e, -ENODATA, "not tried, for want of the others"), &e));
	r = unshare(CLONE_NEWNET) < 0 ? err_set(&e, -errno, "%m") : 0;
	note(report, PROBE_NAMESPACE, r, &e);
	if (r < 0 || !nl)
		goto out;
	note(report, PROBE_MOUNT, try_mount(&e), &e);
	ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	r = nl_open(nl, &e);
	if (r == 0) {
		nl_put_bridge(nl, 100, "b100");
		r = nl_commit(nl, &e);
		note(report, PROBE_BRIDGE, r, &e);
		nl_put_veth(nl, 101, "p101", r == 0 ? 100 : 0, 102, "p102", mac, ns);
		r = nl_commit(nl, &e);
		note(report, PROBE_VETH, r, &e);
		note(report, PROBE_LOOK, try_look(nl, 101, &e), &e);
		nl_close(nl);
	}
	note(report, PROBE_FENCE, fence_try(&e), &e);
out:
	free(nl);
}

int
host_probe(struct host_feature features[HOST_FEATURES_MAX], struct err *e)
{
	struct report report = {0};
	int pipes[2], status = 0;
	ssize_t n;
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return err_set(e, -errno, "pipe: %m");
	pid = fork();
	if (pid == 0) {
		try_all(&report);
		_exit(write(pipes[1], &report, sizeof(report)) == sizeof(report) ? 0 : 1);
	}
	(void)close(pipes[1]);
	do
		n = pid < 0 ? -1 : read(pipes[0], &report, sizeof(report));
	while (n < 0 && pid > 0 && errno == EINTR);
	(void)close(pipes[0]);
	if (pid < 0)
		return err_set(e, -errno, "fork: %m");
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (n != sizeof(report))
		return err_set(e, -EIO, "the probe of the kernel ended early");
	for (unsigned i = 0; i < PROBE_COUNT; i++) {
		features[i] = (struct host_feature){.name = probes[i].name,
						    .needed = probes[i].needed,
						    .there = report.r[i] == 0};
		if (report.r[i] < 0)
			memcpy(features[i].why, report.why[i], sizeof(features[i].why));
	}
	return PROBE_COUNT;
}
