/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_TLS_H
#define HTTP_TLS_H

/* TLS of servers: their certificate, and one peer's session on a non-blocking socket. Several
 * servers, each with a thread, can share one certificate; a session belongs to one thread. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "util/attr.h"
#include "util/err.h"
#include "util/sv.h"

struct http_tls;
struct http_tls_peer;

/* 0, -EINVAL (unreadable, not PEM, a key with a passphrase, or of another certificate), -ENOMEM;
 * `e` names the file. */
int http_tls_new(const char *cert_path, const char *key_path, struct http_tls **ret_tls,
		 struct err *e) A_NODISCARD;
/* Any thread: read both files again, for the peers that come from now on. On failure the old ones
 * stay. */
int http_tls_reload(struct http_tls *t, struct err *e) A_NODISCARD;
/* After its last peer. NULL is fine. */
void http_tls_free(struct http_tls *t);

/* Any thread: a server's side of a session on `fd`, which stays the caller's. NULL without memory.
 */
struct http_tls_peer *http_tls_peer_new(struct http_tls *t, int fd);
void http_tls_peer_free(struct http_tls_peer *p);
/* 1: complete, 0: more bytes are needed, -EBADMSG. */
int http_tls_peer_handshake(struct http_tls_peer *p) A_NODISCARD;
/* After a failed handshake: whether the peer never spoke TLS. */
bool http_tls_peer_is_plain(const struct http_tls_peer *p);
bool http_tls_peer_is_h2(const struct http_tls_peer *p);

/* Bytes, 0 at the end, -EAGAIN, -EIO. */
ssize_t http_tls_peer_read(struct http_tls_peer *p, void *dst, size_t n) A_NODISCARD;
/* Bytes taken, -EAGAIN while ciphertext waits, -EPIPE. */
ssize_t http_tls_peer_writev(struct http_tls_peer *p, const struct iovec *iov, int n) A_NODISCARD;
/* All of it, whatever waits. 0 or -EPIPE. */
int http_tls_peer_put(struct http_tls_peer *p, struct sv bytes) A_NODISCARD;
bool http_tls_peer_waiting(const struct http_tls_peer *p);
/* 0: nothing waits, -EAGAIN, -EPIPE. */
int http_tls_peer_flush(struct http_tls_peer *p) A_NODISCARD;
/* Send the end of the session. */
void http_tls_peer_bye(struct http_tls_peer *p);

#endif
