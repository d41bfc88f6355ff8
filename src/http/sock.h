/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_SOCK_H
#define HTTP_SOCK_H

/* The bytes of one connection, plain or inside TLS. Nothing here blocks. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "http/tls.h"
#include "util/attr.h"

/*
 * Reads ask for this much at least. It is the longest TLS record, so that nothing decrypted stays
 * behind where epoll does not see it.
 */
#define HTTP_SOCK_READ_BYTES 16384

struct http_sock {
	int fd;
	struct http_tls_peer *tls; /* NULL: plain */
};

/* Plain. */
void http_sock_init(struct http_sock *s, int own_fd);
/* The peer is to begin with a TLS handshake. 0 or -ENOMEM. */
int http_sock_tls(struct http_sock *s, struct http_tls *tls) A_NODISCARD;
/* 1: the handshake is complete, 0: the peer has to say more, -EBADMSG: it is not TLS or not ours.
 */
int http_sock_handshake(struct http_sock *s) A_NODISCARD;
/* After a failed handshake: whether the peer speaks without TLS. Then the socket does so, too. */
bool http_sock_fall_back(struct http_sock *s);
/* Whether the peer chose HTTP/2 in its handshake. */
bool http_sock_is_h2(const struct http_sock *s);

/* Bytes read, 0 at the end, -EAGAIN, or another negative errno. n >= HTTP_SOCK_READ_BYTES. */
ssize_t http_sock_recv(struct http_sock *s, void *dst, size_t n) A_NODISCARD;
/*
 * Bytes taken (> 0; with TLS some of them may still wait as ciphertext), -EAGAIN (nothing is taken
 * before the socket is writable), -EPIPE.
 */
ssize_t http_sock_writev(struct http_sock *s, const struct iovec *iov, int n) A_NODISCARD;
/* Take all of it; what the socket does not take waits. For frames of HTTP/2, which are made only
 * while nothing waits. 0 or -EPIPE; without TLS, where there is no HTTP/2, it also fails when the
 * socket is full. */
int http_sock_put(struct http_sock *s, struct sv bytes) A_NODISCARD;
/* Whether ciphertext waits for the socket. */
bool http_sock_waiting(const struct http_sock *s);
/* 0: nothing waits (any more), -EAGAIN, -EPIPE. */
int http_sock_flush(struct http_sock *s) A_NODISCARD;

/* Tell the peer that no more will come. */
void http_sock_shutdown(struct http_sock *s);
void http_sock_close(struct http_sock *s);

#endif
