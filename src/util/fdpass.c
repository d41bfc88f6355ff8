/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors over a UNIX socket, and those a parent left us. */
#include "util/fdpass.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/sv.h"

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int) * FDPASS_MAX)];
};

int
fdpass_send(int sock, const void *data, size_t n, const int *fds, unsigned nfds)
{
	union control control;
	struct iovec iov = {.iov_len = n};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (nfds > FDPASS_MAX)
		return -EINVAL;
	memcpy(&iov.iov_base, &data, sizeof(data));
	if (nfds > 0) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof(control));
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * nfds);
	}
	for (;;) {
		if (sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
			return 0;
		if (errno != EINTR)
			return -errno;
	}
}

static void
close_all(const int *fds, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		(void)close(fds[i]);
}

ssize_t
fdpass_recv(int sock, void *data, size_t max, int *ret_fds, unsigned max_fds, unsigned *ret_nfds)
{
	union control control;
	struct iovec iov = {.iov_base = data, .iov_len = max};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.bytes,
			     .msg_controllen = sizeof(control.bytes)};
	int fds[FDPASS_MAX];
	unsigned nfds = 0;
	ssize_t n;

	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		unsigned got;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		got = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		if (got > FDPASS_MAX - nfds)
			got = FDPASS_MAX - nfds;
		memcpy(fds + nfds, CMSG_DATA(c), got * sizeof(int));
		nfds += got;
	}
	if ((msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || nfds > max_fds) {
		close_all(fds, nfds);
		return -EMSGSIZE;
	}
	if (nfds > 0)
		memcpy(ret_fds, fds, nfds * sizeof(int));
	*ret_nfds = nfds;
	return n;
}

int
fdpass_inherited(const char *name)
{
	const char *text = getenv(name);
	uint64_t fd;
	int flags;

	if (!text)
		return -ENOENT;
	if (sv_u64(sv_from(text), 1048576, &fd) < 0)
		return -EBADF;
	flags = fcntl((int)fd, F_GETFL);
	if (flags < 0)
		return -EBADF;
	if (fcntl((int)fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	return (int)fd;
}

void
fdpass_ready_on(int own_fd)
{
	if (own_fd < 0)
		return;
	if (write(own_fd, "ready\n", 6) < 0) {
		/* The supervisor is gone; there is nobody else to tell. */
	}
	(void)close(own_fd);
}

void
fdpass_ready(void)
{
	fdpass_ready_on(fdpass_inherited("DECNET_READY_FD"));
	(void)unsetenv("DECNET_READY_FD");
}
