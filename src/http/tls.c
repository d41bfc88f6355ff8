/* SPDX-License-Identifier: Apache-2.0 */
/* OpenSSL under a socket that never blocks. What the socket does not take is kept here as
 * ciphertext: a record that was begun cannot be taken back, and the caller may have other bytes
 * to send by the time that the socket is writable again. */
#include "http/tls.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "util/attr.h"
#include "util/buf.h"
#include "util/limits.h"

#define RECORD_BYTES	 16384
/* RFC 8446, 5.1 */
#define RECORD_HANDSHAKE 22
/* One call encrypts at most so much. */
#define WRITE_BYTES	 65536
/* Suites of TLS 1.2 with forward secrecy and authenticated encryption; 1.3 has no others. */
#define SUITES		 "ECDHE+AESGCM:ECDHE+CHACHA20"

struct http_tls {
	pthread_mutex_t lock; /* of ctx */
	SSL_CTX *ctx;
	BIO_METHOD *method; /* peers use it after a reload, too */
	char *cert_path, *key_path;
};

struct http_tls_peer {
	SSL *ssl;
	int fd;
	bool failed;
	bool began, plain; /* the peer's first byte has been seen; it was not TLS */
	struct buf waiting;
};

static int
bio_write(BIO *bio, const char *bytes, int n)
{
	struct http_tls_peer *p = BIO_get_data(bio);
	struct sv rest = {bytes, n > 0 ? (size_t)n : 0};

	while (rest.n && p->waiting.n == 0) {
		ssize_t put = send(p->fd, rest.p, rest.n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
			return -1;
		if (put < 0)
			break;
		rest = sv_drop(rest, (size_t)put);
	}
	return buf_put(&p->waiting, rest) < 0 ? -1 : n;
}

static int
bio_read(BIO *bio, char *dst, int n)
{
	struct http_tls_peer *p = BIO_get_data(bio);
	ssize_t got;

	BIO_clear_retry_flags(bio);
	do
		got = recv(p->fd, dst, n > 0 ? (size_t)n : 0, 0);
	while (got < 0 && errno == EINTR);
	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		BIO_set_retry_read(bio);
	if (got > 0 && !p->began) {
		p->began = true;
		p->plain = dst[0] != RECORD_HANDSHAKE;
	}
	return (int)got;
}

static long
bio_ctrl(BIO *bio, int cmd, long number, void *arg)
{
	(void)bio;
	(void)number;
	(void)arg;
	return cmd == BIO_CTRL_FLUSH || cmd == BIO_CTRL_DUP;
}

static int
choose_protocol(SSL *ssl, const unsigned char **ret_choice, unsigned char *ret_n,
		const unsigned char *offer, unsigned offer_n, void *user)
{
	static const unsigned char ours[] = "\x02h2\x08http/1.1";
	unsigned char *choice = NULL;

	(void)ssl;
	(void)user;
	if (SSL_select_next_proto(&choice, ret_n, ours, sizeof(ours) - 1, offer, offer_n) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*ret_choice = choice;
	return SSL_TLSEXT_ERR_OK;
}

/* Nobody is there to type the passphrase of a key. */
static int
no_passphrase(char *dst, int size, int writing, void *user)
{
	(void)dst;
	(void)size;
	(void)writing;
	(void)user;
	return -1;
}

/* A file that cannot be read is said so in the system's words. */
static int
readable(const char *path, struct err *e)
{
	FILE *f = fopen(path, "re");

	if (!f)
		return err_set(e, -EINVAL, "%s: %s", path, strerror(errno));
	(void)fclose(f);
	return 0;
}

/* The library's newest complaint, without its codes. */
static const char *
complaint(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	return text ? text : "unknown TLS error";
}

static int
ctx_new(const char *cert_path, const char *key_path, SSL_CTX **ret_ctx, struct err *e)
{
	SSL_CTX *ctx;
	int r = readable(cert_path, e);

	if (r == 0)
		r = readable(key_path, e);
	if (r < 0)
		return r;
	ERR_clear_error();
	ctx = SSL_CTX_new(TLS_server_method());
	if (!ctx)
		return err_set(e, -ENOMEM, "out of memory");
	(void)SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
					       SSL_OP_IGNORE_UNEXPECTED_EOF);
	/* Buffers go when they are empty: an idle viewer must not cost 32 KiB. */
	(void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	/* Tickets resume sessions without a table of them here. */
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
	SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_cipher_list(ctx, SUITES) != 1)
		r = err_set(e, -EINVAL, "%s", complaint());
	else if (SSL_CTX_use_certificate_chain_file(ctx, cert_path) != 1)
		r = err_set(e, -EINVAL, "%s: %s", cert_path, complaint());
	else if (SSL_CTX_use_PrivateKey_file(ctx, key_path, SSL_FILETYPE_PEM) != 1 ||
		 SSL_CTX_check_private_key(ctx) != 1)
		r = err_set(e, -EINVAL, "%s: %s", key_path, complaint());
	ERR_clear_error();
	if (r < 0)
		SSL_CTX_free(ctx);
	else
		*ret_ctx = ctx;
	return r;
}

int
http_tls_new(const char *cert_path, const char *key_path, struct http_tls **ret_tls, struct err *e)
{
	struct http_tls *t = calloc(1, sizeof(*t));
	int r = -ENOMEM;

	if (t) {
		(void)pthread_mutex_init(&t->lock, NULL);
		t->cert_path = strdup(cert_path);
		t->key_path = strdup(key_path);
		t->method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "socket that keeps the rest");
	}
	if (!t || !t->cert_path || !t->key_path || !t->method ||
	    BIO_meth_set_write(t->method, bio_write) != 1 ||
	    BIO_meth_set_read(t->method, bio_read) != 1 ||
	    BIO_meth_set_ctrl(t->method, bio_ctrl) != 1)
		(void)err_set(e, r, "out of memory");
	else
		r = ctx_new(cert_path, key_path, &t->ctx, e);
	if (r < 0)
		http_tls_free(t);
	else
		*ret_tls = t;
	return r;
}

int
http_tls_reload(struct http_tls *t, struct err *e)
{
	SSL_CTX *ctx = NULL, *old;
	int r = ctx_new(t->cert_path, t->key_path, &ctx, e);

	if (r < 0)
		return r;
	/* Sessions hold a reference to theirs. */
	(void)pthread_mutex_lock(&t->lock);
	old = t->ctx;
	t->ctx = ctx;
	(void)pthread_mutex_unlock(&t->lock);
	SSL_CTX_free(old);
	return 0;
}

void
http_tls_free(struct http_tls *t)
{
	if (!t)
		return;
	SSL_CTX_free(t->ctx);
	BIO_meth_free(t->method);
	free(t->cert_path);
	free(t->key_path);
	(void)pthread_mutex_destroy(&t->lock);
	free(t);
}

struct http_tls_peer *
http_tls_peer_new(struct http_tls *t, int fd)
{
	struct http_tls_peer *p = calloc(1, sizeof(*p));
	BIO *bio = p ? BIO_new(t->method) : NULL;

	if (bio) {
		(void)pthread_mutex_lock(&t->lock);
		p->ssl = SSL_new(t->ctx);
		(void)pthread_mutex_unlock(&t->lock);
	}
	if (!bio || !p->ssl) {
		BIO_free(bio);
		free(p);
		ERR_clear_error();
		return NULL;
	}
	p->fd = fd;
	/* A handshake's flight or the frames of one turn; far less in practice. */
	buf_init(&p->waiting, LIMIT_TLS_WAITING_BYTES);
	BIO_set_data(bio, p);
	BIO_set_init(bio, 1);
	SSL_set_bio(p->ssl, bio, bio);
	SSL_set_accept_state(p->ssl);
	return p;
}

void
http_tls_peer_free(struct http_tls_peer *p)
{
	if (!p)
		return;
	SSL_free(p->ssl);
	buf_fini(&p->waiting);
	free(p);
}

int
http_tls_peer_handshake(struct http_tls_peer *p)
{
	int r;

	ERR_clear_error();
	r = SSL_do_handshake(p->ssl);
	if (r == 1)
		return 1;
	if (SSL_get_error(p->ssl, r) == SSL_ERROR_WANT_READ)
		return 0;
	p->failed = true;
	ERR_clear_error();
	return -EBADMSG;
}

bool
http_tls_peer_is_plain(const struct http_tls_peer *p)
{
	return p->plain;
}

bool
http_tls_peer_is_h2(const struct http_tls_peer *p)
{
	const unsigned char *name;
	unsigned n;

	SSL_get0_alpn_selected(p->ssl, &name, &n);
	return n == 2 && memcmp(name, "h2", 2) == 0;
}

ssize_t
http_tls_peer_read(struct http_tls_peer *p, void *dst, size_t n)
{
	size_t got = 0;
	int why;

	if (p->failed)
		return -EIO;
	ERR_clear_error();
	if (SSL_read_ex(p->ssl, dst, n, &got) == 1)
		return (ssize_t)got;
	why = SSL_get_error(p->ssl, 0);
	ERR_clear_error();
	if (why == SSL_ERROR_WANT_READ)
		return -EAGAIN;
	if (why == SSL_ERROR_ZERO_RETURN)
		return 0;
	/* After these errors the library forbids every further call. */
	p->failed = true;
	return -EIO;
}

int
http_tls_peer_put(struct http_tls_peer *p, struct sv bytes)
{
	size_t put;

	if (p->failed)
		return -EPIPE;
	if (bytes.n == 0)
		return 0;
	ERR_clear_error();
	/* Without partial writes all of it is taken: the socket below never refuses. */
	if (SSL_write_ex(p->ssl, bytes.p, bytes.n, &put) == 1)
		return 0;
	ERR_clear_error();
	p->failed = true;
	return -EPIPE;
}

/* The next bytes as one piece: many small frames make one record. */
static struct sv
gather(const struct iovec *iov, int n, size_t skip, char dst[RECORD_BYTES])
{
	size_t have = 0;

	for (int i = 0; i < n && have < RECORD_BYTES; i++) {
		struct sv part = sv_drop((struct sv){iov[i].iov_base, iov[i].iov_len}, skip);

		skip -= skip < iov[i].iov_len ? skip : iov[i].iov_len;
		if (have == 0 && part.n >= RECORD_BYTES)
			return (struct sv){part.p, RECORD_BYTES};
		if (part.n > RECORD_BYTES - have)
			part.n = RECORD_BYTES - have;
		if (part.n)
			memcpy(dst + have, part.p, part.n);
		have += part.n;
	}
	return (struct sv){dst, have};
}

ssize_t
http_tls_peer_writev(struct http_tls_peer *p, const struct iovec *iov, int n)
{
	char record[RECORD_BYTES] A_SCRATCH;
	size_t done = 0;

	if (p->waiting.n)
		return -EAGAIN;
	while (p->waiting.n == 0 && done < WRITE_BYTES) {
		struct sv part = gather(iov, n, done, record);

		if (part.n == 0)
			break;
		if (http_tls_peer_put(p, part) < 0)
			return -EPIPE;
		done += part.n;
	}
	return (ssize_t)done;
}

bool
http_tls_peer_waiting(const struct http_tls_peer *p)
{
	return p->waiting.n > 0;
}

int
http_tls_peer_flush(struct http_tls_peer *p)
{
	while (p->waiting.n) {
		ssize_t put = send(p->fd, p->waiting.p, p->waiting.n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK ? -EAGAIN : -EPIPE;
		buf_drop(&p->waiting, (size_t)put);
	}
	buf_fini(&p->waiting);
	return 0;
}

void
http_tls_peer_bye(struct http_tls_peer *p)
{
	if (p->failed || !SSL_is_init_finished(p->ssl))
		return;
	ERR_clear_error();
	(void)SSL_shutdown(p->ssl);
	ERR_clear_error();
}
