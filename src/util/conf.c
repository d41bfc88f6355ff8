/* SPDX-License-Identifier: Apache-2.0 */
/* The environment, read once: conf.def says what there is. */
#include "util/conf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/file.h"
#include "util/log.h"
#include "util/sv.h"

static int
load_text(const char *variable, const char *def, size_t max, char **ret, struct err *e)
{
	const char *text = getenv(variable);

	if (!text)
		text = def;
	/* Only this one may be set to nothing on purpose; elsewhere an empty text counts as not
	 * set. */
	if (text && !*text && strcmp(variable, "DECNET_METRICS_LISTEN") != 0)
		text = def;
	if (!text)
		return 0;
	if (strlen(text) > max)
		return err_set(e, -EINVAL, "%s: longer than %zu bytes", variable, max);
	*ret = strdup(text);
	return *ret ? 0 : err_set(e, -ENOMEM, "out of memory");
}

static int
load_uint(const char *variable, uint64_t def, uint64_t min, uint64_t max, uint64_t *ret,
	  struct err *e)
{
	const char *text = getenv(variable);

	*ret = def;
	if (!text || !*text)
		return 0;
	if (sv_u64(sv_from(text), max, ret) < 0 || *ret < min)
		return err_set(e, -EINVAL, "%s: expected a whole number from %llu to %llu",
			       variable, (unsigned long long)min, (unsigned long long)max);
	return 0;
}

static int
load_bool(const char *variable, bool def, bool *ret, struct err *e)
{
	static const char *const words[] = {"false", "0", "no", "off", "true", "1", "yes", "on"};
	const char *text = getenv(variable);

	*ret = def;
	if (!text || !*text)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (sv_eq_ci(sv_from(text), sv_from(words[i]))) {
			*ret = i >= 4;
			return 0;
		}
	}
	return err_set(e, -EINVAL, "%s: expected true, false, 1, 0, yes, no, on or off", variable);
}

static int
load_rows(struct conf *c, struct err *e)
{
	int r = 0;

#define CONF_TEXT(field, variable, def, max, help)                                                 \
	if (r == 0)                                                                                \
		r = load_text(variable, def, max, &c->field, e);
#define CONF_UINT(field, variable, def, min, max, help)                                            \
	if (r == 0)                                                                                \
		r = load_uint(variable, def, min, max, &c->field, e);
#define CONF_BOOL(field, variable, def, help)                                                      \
	if (r == 0)                                                                                \
		r = load_bool(variable, def, &c->field, e);
#include "util/conf.def"
#undef CONF_TEXT
#undef CONF_UINT
#undef CONF_BOOL
	return r;
}

static int
put_path(char **ret, struct err *e, const char *a, const char *b)
{
	char text[2048];

	if ((size_t)snprintf(text, sizeof(text), "%s%s", a, b) >= sizeof(text))
		return err_set(e, -EINVAL, "path too long: %s", a);
	*ret = strdup(text);
	return *ret ? 0 : err_set(e, -ENOMEM, "out of memory");
}

static const char *
home(void)
{
	const char *h = getenv("HOME");

	return h && *h ? h : "/root";
}

static int
fill_state_dir(struct conf *c, struct err *e)
{
	struct err why = {0};
	int r;

	if (!c->state_dir) {
		/* The system directory when we may write there, else one at home. */
		if (access("/var/lib/decnet", W_OK) == 0 ||
		    (access("/var/lib", W_OK) == 0 && geteuid() == 0))
			r = put_path(&c->state_dir, e, "/var/lib/decnet", "");
		else
			r = put_path(&c->state_dir, e, home(), "/.decnet");
		if (r < 0)
			return r;
	}
	if (file_mkdirs(c->state_dir, 0700, &why) < 0)
		return err_set(e, -EINVAL, "DECNET_STATE_DIR: %s", err_text(&why));
	if (chmod(c->state_dir, 0700) < 0 || access(c->state_dir, W_OK) < 0)
		return err_set(e, -EINVAL, "DECNET_STATE_DIR: %s: %m", c->state_dir);
	return 0;
}

static int
fill_bus_socket(struct conf *c, struct err *e)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	struct stat st;

	if (c->bus_socket)
		return 0;
	/* Existence decides, not writability: broker and clients must come to the same answer. */
	if (stat("/run/decnet", &st) == 0 && S_ISDIR(st.st_mode))
		return put_path(&c->bus_socket, e, "/run/decnet/bus.sock", "");
	if (runtime && *runtime)
		return put_path(&c->bus_socket, e, runtime, "/decnet/bus.sock");
	return put_path(&c->bus_socket, e, home(), "/.decnet/bus.sock");
}

static int
fill_bus_type(struct conf *c, struct err *e)
{
	const char *type = c->bus_type ? c->bus_type : c->bus_url ? "nats" : "unix";
	char *copy;

	if (strcmp(type, "unix") != 0 && strcmp(type, "nats") != 0 && strcmp(type, "null") != 0)
		return err_set(e, -EINVAL, "DECNET_BUS_TYPE: expected unix, nats or null");
	if (strcmp(type, "nats") == 0 && (!c->bus_url || strncmp(c->bus_url, "nats://", 7) != 0))
		return err_set(e, -EINVAL, "DECNET_BUS_URL: expected nats://...");
	copy = strdup(c->bus_enabled ? type : "null");
	if (!copy)
		return err_set(e, -ENOMEM, "out of memory");
	free(c->bus_type);
	c->bus_type = copy;
	return 0;
}

static int
fill_computed(struct conf *c, struct err *e)
{
	char name[256] = "localhost";
	int r = fill_state_dir(c, e);

	if (r == 0 && !c->db_url) {
		char url[1200];

		(void)snprintf(url, sizeof(url), "sqlite:%s/decnet.db", c->state_dir);
		r = put_path(&c->db_url, e, url, "");
	}
	if (r == 0)
		r = fill_bus_socket(c, e);
	if (r == 0)
		r = fill_bus_type(c, e);
	if (r == 0 && !c->host_name) {
		(void)gethostname(name, sizeof(name) - 1);
		name[64] = 0;
		r = put_path(&c->host_name, e, name, "");
	}
	return r;
}

static bool
one_of(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(text, *words) == 0)
			return true;
	return false;
}

/* With a host behind the scheme, and without a query, blanks or control characters. */
static bool
http_address(const char *text)
{
	const char *rest = strncmp(text, "http://", 7) == 0    ? text + 7
			   : strncmp(text, "https://", 8) == 0 ? text + 8
							       : "";

	if (!*rest || *rest == '/' || *rest == ':' || strpbrk(rest, "?#"))
		return false;
	for (; *rest; rest++)
		if ((unsigned char)*rest <= ' ' || *rest == 0x7f)
			return false;
	return true;
}

/* Each entry what a browser sends as Origin: a scheme, a host, perhaps a port, and no path; else it
 * would never match, silently. */
static bool
origins_plain(const char *list)
{
	struct sv rest = sv_from(list);
	char origin[256];

	while (rest.n) {
		struct sv entry = sv_trim(sv_cut(&rest, ','));

		if (entry.n == 0)
			continue;
		if (sv_copy(entry, origin, sizeof(origin)) < 0 || !http_address(origin) ||
		    strchr(strstr(origin, "://") + 3, '/'))
			return false;
	}
	return true;
}

/* An IPv4 network of which at least one /24 can be cut. */
static bool
pool_usable(const char *text)
{
	struct sv bits = sv_from(text), address = sv_cut(&bits, '/');
	char host[INET_ADDRSTRLEN];
	struct in_addr in;
	uint64_t n;

	return sv_copy(address, host, sizeof(host)) >= 0 && inet_pton(AF_INET, host, &in) == 1 &&
	       sv_u64(bits, 24, &n) >= 0 && (ntohl(in.s_addr) & (UINT32_MAX >> n)) == 0;
}

static int
check(const struct conf *c, struct err *e)
{
	static const char *const drivers[] = {"auto", "loopback", "netns", NULL};
	static const char *const formats[] = {"text", "json", NULL};
	static const char *const levels[] = {"debug", "info", "warning", "error", NULL};

	if (!one_of(c->net_driver, drivers))
		return err_set(e, -EINVAL, "DECNET_NET_DRIVER: expected auto, loopback or netns");
	if (!one_of(c->log_format, formats))
		return err_set(e, -EINVAL, "DECNET_LOG_FORMAT: expected text or json");
	if (!one_of(c->log_level, levels))
		return err_set(e, -EINVAL,
			       "DECNET_LOG_LEVEL: expected debug, info, warning or error");
	if (strncmp(c->db_url, "sqlite:", 7) != 0 && strncmp(c->db_url, "postgresql://", 13) != 0)
		return err_set(e, -EINVAL,
			       "DECNET_DB_URL: expected sqlite:<path> or postgresql://...");
	if (strcmp(c->db_url, "sqlite:") == 0)
		return err_set(e, -EINVAL, "DECNET_DB_URL: names no file");
	if (!pool_usable(c->pool))
		return err_set(e, -EINVAL,
			       "DECNET_POOL: expected an IPv4 network of /24 or wider, as in "
			       "172.16.0.0/12");
	if (c->jwt_secret && strlen(c->jwt_secret) < 32)
		return err_set(e, -EINVAL, "DECNET_JWT_SECRET: shorter than 32 characters");
	if (c->admin_password && strlen(c->admin_password) < 12)
		return err_set(e, -EINVAL, "DECNET_ADMIN_PASSWORD: shorter than 12 bytes");
	if (!c->tls_cert != !c->tls_key)
		return err_set(e, -EINVAL,
			       "DECNET_TLS_CERT: needs DECNET_TLS_KEY, and the other way round");
	if (c->bus_token && strlen(c->bus_token) < 16)
		return err_set(e, -EINVAL, "DECNET_BUS_TOKEN: shorter than 16 characters");
	if (c->bus_listen && !c->bus_token)
		return err_set(e, -EINVAL, "DECNET_BUS_TOKEN: required with DECNET_BUS_LISTEN");
	if (c->otlp_endpoint && *c->otlp_endpoint && !http_address(c->otlp_endpoint))
		return err_set(e, -EINVAL,
			       "OTEL_EXPORTER_OTLP_ENDPOINT: expected http://... or https://...");
	if (c->cors_origins && strchr(c->cors_origins, '*'))
		return err_set(e, -EINVAL, "DECNET_CORS_ORIGINS: name the origins, * is refused");
	if (c->cors_origins && !origins_plain(c->cors_origins))
		return err_set(e, -EINVAL,
			       "DECNET_CORS_ORIGINS: expected origins as in https://host:port");
	return 0;
}

int
conf_load(struct conf *ret_conf, struct err *e)
{
	struct conf c = {0};
	int r = load_rows(&c, e);

	if (r == 0)
		r = fill_computed(&c, e);
	if (r == 0)
		r = check(&c, e);
	if (r < 0) {
		conf_fini(&c);
		return r;
	}
	*ret_conf = c;
	return 0;
}

void
conf_fini(struct conf *c)
{
#define CONF_TEXT(field, variable, def, max, help)                                                 \
	free(c->field);                                                                            \
	c->field = NULL;
#define CONF_UINT(field, variable, def, min, max, help)
#define CONF_BOOL(field, variable, def, help)
#include "util/conf.def"
#undef CONF_TEXT
#undef CONF_UINT
#undef CONF_BOOL
}

void
conf_log(const struct conf *c, const char *program)
{
	enum log_level lv = LV_INFO;

	if (strcmp(c->log_level, "debug") == 0)
		lv = LV_DEBUG;
	else if (strcmp(c->log_level, "warning") == 0)
		lv = LV_WARN;
	else if (strcmp(c->log_level, "error") == 0)
		lv = LV_ERR;
	log_setup(program, lv, strcmp(c->log_format, "json") == 0);
}
