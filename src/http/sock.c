/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and writing of one connection's socket. */
#include "http/sock.h"

#include <errno.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

void
http_sock_init(struct http_sock *s, int own_fd)
{
	*s = (struct http_sock){.fd = own_fd};
}

int
http_sock_tls(struct http_sock *s, struct http_tls *tls)
{
	s->tls = http_tls_peer_new(tls, s->fd);
	return s->tls ? 0 : -ENOMEM;
}

int
http_sock_handshake(struct http_sock *s)
{
	return http_tls_peer_handshake(s->tls);
}

bool
http_sock_fall_back(struct http_sock *s)
{
	if (!s->tls || !http_tls_peer_is_plain(s->tls))
		return false;
	http_tls_peer_free(s->tls);
	s->tls = NULL;
	return true;
}

bool
http_sock_is_h2(const struct http_sock *s)
{
	return s->tls && http_tls_peer_is_h2(s->tls);
}

ssize_t
http_sock_recv(struct http_sock *s, void *dst, size_t n)
{
	ssize_t got;

	if (s->tls)
		return http_tls_peer_read(s->tls, dst, n);
	do
		got = recv(s->fd, dst, n, 0);
	while (got < 0 && errno == EINTR);
	if (got >= 0)
		return got;
	return errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

static ssize_t
plain_writev(int fd, const struct iovec *iov, int n)
{
	/* sendmsg only reads them, but its interface does not say so. */
	struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n};
	ssize_t put;

	/* One part, which is what a viewer of a calm stream gets, is cheaper by the simple call. */
	do
		put = n == 1 ? send(fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL | MSG_DONTWAIT)
			     : sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (put < 0 && errno == EINTR);
	if (put >= 0)
		return put;
	return errno == EAGAIN || errno == EWOULDBLOCK ? -EAGAIN : -EPIPE;
}

ssize_t
http_sock_writev(struct http_sock *s, const struct iovec *iov, int n)
{
	return s->tls ? http_tls_peer_writev(s->tls, iov, n) : plain_writev(s->fd, iov, n);
}

int
http_sock_put(struct http_sock *s, struct sv bytes)
{
	struct iovec iov = {(char *)(uintptr_t)bytes.p, bytes.n};

	if (s->tls)
		return http_tls_peer_put(s->tls, bytes);
	return bytes.n == 0 || plain_writev(s->fd, &iov, 1) == (ssize_t)bytes.n ? 0 : -EPIPE;
}

bool
http_sock_waiting(const struct http_sock *s)
{
	return s->tls && http_tls_peer_waiting(s->tls);
}

int
http_sock_flush(struct http_sock *s)
{
	return s->tls ? http_tls_peer_flush(s->tls) : 0;
}

void
http_sock_shutdown(struct http_sock *s)
{
	if (s->tls)
		http_tls_peer_bye(s->tls);
	(void)shutdown(s->fd, SHUT_WR);
}

void
http_sock_close(struct http_sock *s)
{
	http_tls_peer_free(s->tls);
	s->tls = NULL;
	if (s->fd >= 0)
		(void)close(s->fd);
	s->fd = -1;
}
