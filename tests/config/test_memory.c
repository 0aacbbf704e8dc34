/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every allocation of ours failing once, one after another: config_load() and the rules then say
 * -ENOMEM, hand nothing on and lose nothing (the sanitizer looks for leaks at the end).
 *
 * The linker leads our calls through the functions below (--wrap); libconfig's own go on as usual,
 * because it does not check them.
 */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/config/config.h"
#include "tests/config/place.h"

static long until_failure = LONG_MAX;

static bool fails(void)
{
	if (until_failure == LONG_MAX)
		return false;
	return until_failure-- == 0;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_reallocarray(void *memory, size_t count, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_reallocarray(void *memory, size_t count, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t size);

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
	return fails() ? NULL : __real_realloc(memory, size);
}

void *__wrap_reallocarray(void *memory, size_t count, size_t size)
{
	return fails() ? NULL : __real_reallocarray(memory, count, size);
}

char *__wrap_strdup(const char *text)
{
	return fails() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t size)
{
	return fails() ? NULL : __real_strndup(text, size);
}

static const char everything[] =
	"wan = { interface = \"eth0\"; prefix = \"2400:4050:48d:2900::/56\"; };\n"
	"map = { br = \"2001:380:a120::9\"; rules = (\n"
	"  { ipv6_prefix = \"2400:4050::/34\"; ipv4_prefix = \"153.240.0.0/16\"; ea_length = 22; "
	"},\n"
	"  { ipv6_prefix = \"2400:4051::/34\"; ipv4_prefix = \"153.241.0.0/16\"; ea_length = 22; "
	"},\n"
	"); };\n"
	"lan = { interfaces = [ \"br0\" ]; };\n"
	"nat = { hosts = ( { address = \"10.0.0.1\"; filtering = \"endpoint-independent\"; } );\n"
	"  open = [ \"tcp/22\" ]; };\n"
	"forward = ( { protocol = \"tcp+udp\"; port = 80; to = \"192.168.1.10\"; },\n"
	"            { protocol = \"tcp\"; block = 1; to = \"192.168.1.10\"; } );\n"
	"pppoe = { hosts = [ \"10.0.0.2\", \"00:11:22:33:44:55\" ];\n"
	"  destinations = [ \"203.0.113.0/24\" ]; ports = [ \"tcp/25\" ];\n"
	"  forward = ( { protocol = \"tcp\"; port = 8080; to = \"192.168.1.20:80\"; } ); };\n"
	"@include \"more.conf\"\n";

static const char mistakes[] = "map = { mtu = 1; mut = 2; mtu = 3; tunnel = t; };\n"
			       "lan = { interfaces = [ \"\", 1 ]; };\n"
			       "nat = { open = [ \"tcp/22\", \"tcp/22\" ]; };\n";

/* Runs the function with its first, second, … allocation failing until none fails. */
static void exhaust(int (*run)(struct text *complaints), int result)
{
	for (long i = 0;; i++) {
		_cleanup_text_ struct text complaints = TEXT_INIT;
		bool failed;
		int r;

		assert_true(i < 10000);
		until_failure = i;
		r = run(&complaints);
		failed = until_failure < 0;
		until_failure = LONG_MAX;
		if (!failed) {
			assert_int_equal(r, result);
			assert_true(i > 5);
			return;
		}
		assert_int_equal(r, -ENOMEM);
	}
}

static int run_load(struct text *complaints)
{
	struct settings settings = {.nat.host_limit = 77};
	int r = config_load("t.conf", &settings, complaints);

	if (r == 0)
		settings_done(&settings);
	else
		assert_int_equal(settings.nat.host_limit, 77);
	return r;
}

static int run_rules(struct text *complaints)
{
	struct ruleset rules = {0};
	struct settings settings;
	int r;

	settings_defaults(&settings);
	r = config_collect_rules(&settings, "rules", "rules2", "rules", &rules, complaints);
	if (r == 0)
		ruleset_done(&rules);
	else
		assert_int_equal(rules.count, 0);
	return r;
}

static void test_good_file(void **state)
{
	place_write("t.conf", everything);
	place_write("more.conf", "# nothing\n");
	exhaust(run_load, 0);
}

static void test_bad_file(void **state)
{
	place_write("t.conf", mistakes);
	exhaust(run_load, -EINVAL);
}

static void test_rules(void **state)
{
	static const char rules[] =
		"br = \"2001:db8::1\";\n"
		"rules = ( { ipv6_prefix = \"2400:4050::/34\"; ea_length = 22;\n"
		"  ipv4_prefix = \"153.240.0.0/16\"; } );\n";

	place_directory("rules");
	place_directory("rules2");
	place_write("rules/a.conf", rules);
	place_write("rules/b.conf", rules);
	place_write("rules2/c.conf", rules);
	exhaust(run_rules, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_file),
		cmocka_unit_test(test_bad_file),
		cmocka_unit_test(test_rules),
	};

	return cmocka_run_group_tests_name("memory", tests, place_setup, place_teardown);
}
