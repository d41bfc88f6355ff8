/* SPDX-License-Identifier: Apache-2.0 */
/* Each variable with good and bad values: a bad one stops the start and is named. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "util/conf.h"

static char dir[64];

static int
setup(void **state)
{
	(void)state;
	(void)clearenv();
	assert_int_equal(setenv("CMOCKA_MESSAGE_OUTPUT", "TAP", 1), 0);
	(void)snprintf(dir, sizeof(dir), "/tmp/decnet-conf-XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(setenv("DECNET_STATE_DIR", dir, 1), 0);
	return 0;
}

static int
teardown(void **state)
{
	char command[128];

	(void)state;
	(void)snprintf(command, sizeof(command), "/bin/rm -rf '%s'", dir);
	return system(command);
}

static void
defaults(void **state)
{
	struct conf c;

	(void)state;
	assert_int_equal(conf_load(&c, NULL), 0);
	assert_string_equal(c.api_host, "127.0.0.1");
	assert_int_equal(c.api_port, 8000);
	assert_int_equal(c.sse_max_per_user, 5);
	assert_string_equal(c.bus_type, "unix");
	assert_string_equal(c.pool, "172.16.0.0/12");
	assert_string_equal(c.metrics_listen, "127.0.0.1:9109");
	assert_true(c.limiter_enabled);
	assert_true(strncmp(c.db_url, "sqlite:/tmp/decnet-conf-", 24) == 0);
	assert_non_null(c.host_name);
	conf_fini(&c);
}

static void
an_unusable_value_is_refused_by_name(void **state)
{
	static const struct {
		const char *name, *value;
	} rows[] = {
		{"DECNET_API_PORT", "0"},
		{"DECNET_API_PORT", "65536"},
		{"DECNET_API_PORT", "http"},
		{"DECNET_API_PORT", "-1"},
		{"DECNET_BUS_ENABLED", "maybe"},
		{"DECNET_BUS_TYPE", "kafka"},
		{"DECNET_BUS_TOKEN", "short"},
		{"DECNET_DB_URL", "mysql://x"},
		{"DECNET_JWT_SECRET", "short"},
		{"DECNET_ADMIN_PASSWORD", "short"},
		{"DECNET_CORS_ORIGINS", "*"},
		{"DECNET_CORS_ORIGINS", "console.example"},
		{"DECNET_CORS_ORIGINS", "https://a.example, https://b.example/"},
		{"DECNET_DB_URL", "sqlite:"},
		{"DECNET_POOL", "10.0.0.0"},
		{"DECNET_POOL", "10.0.0.0/25"},
		{"DECNET_POOL", "10.0.0.1/8"},
		{"DECNET_POOL", "fd00::/8"},
		{"DECNET_POOL", "10.0.0.0/x"},
		{"DECNET_LOG_FORMAT", "xml"},
		{"DECNET_LOG_LEVEL", "loud"},
		{"DECNET_NET_DRIVER", "docker"},
		{"DECNET_STATE_DIR", "/proc/no/such"},
		{"DECNET_TLS_CERT", "/x"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct conf c;
		struct err e = {0};

		assert_int_equal(setenv(rows[i].name, rows[i].value, 1), 0);
		if (conf_load(&c, &e) != -EINVAL ||
		    strncmp(e.msg, rows[i].name, strlen(rows[i].name)) != 0)
			fail_msg("%s=%s: %s", rows[i].name, rows[i].value, e.msg);
		assert_int_equal(unsetenv(rows[i].name), 0);
		assert_int_equal(setenv("DECNET_STATE_DIR", dir, 1), 0);
	}
}

static void
booleans_in_every_word(void **state)
{
	static const char *const words[] = {"false", "0", "no", "off", "true", "1", "yes", "ON"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		struct conf c;

		assert_int_equal(setenv("DECNET_LIMITER_ENABLED", words[i], 1), 0);
		assert_int_equal(conf_load(&c, NULL), 0);
		assert_int_equal(c.limiter_enabled, i >= 4);
		conf_fini(&c);
	}
}

static void
the_bus_follows_its_variables(void **state)
{
	static const struct {
		const char *enabled, *type, *url, *want;
	} rows[] = {
		{NULL, NULL, NULL, "unix"},
		{"false", NULL, NULL, "null"},
		{"false", "unix", NULL, "null"},
		{NULL, "null", NULL, "null"},
		{NULL, NULL, "nats://127.0.0.1:4222", "nats"},
		{NULL, "unix", "nats://127.0.0.1:4222", "unix"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct conf c;

		if (rows[i].enabled)
			assert_int_equal(setenv("DECNET_BUS_ENABLED", rows[i].enabled, 1), 0);
		if (rows[i].type)
			assert_int_equal(setenv("DECNET_BUS_TYPE", rows[i].type, 1), 0);
		if (rows[i].url)
			assert_int_equal(setenv("DECNET_BUS_URL", rows[i].url, 1), 0);
		assert_int_equal(conf_load(&c, NULL), 0);
		assert_string_equal(c.bus_type, rows[i].want);
		conf_fini(&c);
		assert_int_equal(unsetenv("DECNET_BUS_ENABLED") | unsetenv("DECNET_BUS_TYPE") |
					 unsetenv("DECNET_BUS_URL"),
				 0);
	}
}

static void
networks_and_origins_that_can_be_used(void **state)
{
	static const char *const pools[] = {"10.9.8.0/24", "0.0.0.0/0", "192.168.0.0/16"};
	struct conf c;

	(void)state;
	assert_int_equal(setenv("DECNET_CORS_ORIGINS", "http://a:81, https://[::1]:8443,", 1), 0);
	for (size_t i = 0; i < ARRAY_LEN(pools); i++) {
		assert_int_equal(setenv("DECNET_POOL", pools[i], 1), 0);
		assert_int_equal(conf_load(&c, NULL), 0);
		assert_string_equal(c.pool, pools[i]);
		conf_fini(&c);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(defaults, setup, teardown),
		cmocka_unit_test_setup_teardown(an_unusable_value_is_refused_by_name, setup,
						teardown),
		cmocka_unit_test_setup_teardown(networks_and_origins_that_can_be_used, setup,
						teardown),
		cmocka_unit_test_setup_teardown(booleans_in_every_word, setup, teardown),
		cmocka_unit_test_setup_teardown(the_bus_follows_its_variables, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
