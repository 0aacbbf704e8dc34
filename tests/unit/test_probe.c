/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the probe says of blocks that answer and blocks that do not; and the colours of the status.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/paint.h"
#include "daemon/probe.h"

/* Every port of an OCN line tried and answered. */
static struct probe_result whole(struct portset ports)
{
	struct probe_result result = {.target.port = 443, .ports = ports, .took_usec = 4900000};

	inet_pton(AF_INET, "203.0.113.10", &result.target.address);
	result.flows = result.answered = portset_count(&ports);
	result.seen = calloc(result.flows, sizeof(*result.seen));
	assert_non_null(result.seen);
	for (unsigned int i = 0; i < result.flows; i++)
		result.seen[i] = (struct probe_port){true, true};
	return result;
}

static const struct portset ocn = {.psid_offset = 6, .psid_length = 6, .psid = 41};

static void silence(struct probe_result *result, unsigned int first, unsigned int count)
{
	for (unsigned int i = first; i < first + count; i++)
		result->seen[i].answered = false;
	result->answered -= count;
}

static void says(const struct probe_result *result, const char *wanted)
{
	_cleanup_text_ struct text text = TEXT_INIT;

	probe_print(result, &text);
	assert_string_equal(text_get(&text), wanted);
}

static void test_all_answer(void **state)
{
	_cleanup_(probe_done) struct probe_result result = whole(ocn);

	assert_true(probe_is_whole(&result));
	says(&result, "probe 203.0.113.10 port 443: 1008 of 1008 connections answered in 4.9 s\n"
		      "  1008 of 1008 ports used; 63 of 63 blocks answer on every port\n"
		      "  blocks 0-62 (1680-1695 ... 65168-65183): all 16 ports answer\n");
}

static void test_blocks_that_do_not(void **state)
{
	_cleanup_(probe_done) struct probe_result result = whole(ocn);

	silence(&result, 0, 16);
	silence(&result, 5 * 16 + 3, 1);
	silence(&result, 62 * 16, 16);
	assert_false(probe_is_whole(&result));
	says(&result, "probe 203.0.113.10 port 443: 975 of 1008 connections answered in 4.9 s\n"
		      "  1008 of 1008 ports used; 60 of 63 blocks answer on every port\n"
		      "  block 0 (1680-1695): 0 of 16 ports answer <- NONE\n"
		      "  blocks 1-4 (2704-2719 ... 5776-5791): all 16 ports answer\n"
		      "  block 5 (6800-6815): 15 of 16 ports answer\n"
		      "  blocks 6-61 (7824-7839 ... 64144-64159): all 16 ports answer\n"
		      "  block 62 (65168-65183): 0 of 16 ports answer <- NONE\n");
}

static void test_ports_without_a_try(void **state)
{
	_cleanup_(probe_done) struct probe_result result = whole(ocn);
	_cleanup_text_ struct text text = TEXT_INIT;

	memset(result.seen, 0, 17 * sizeof(*result.seen));
	result.answered -= 17;
	result.unmapped = 17;
	probe_print(&result, &text);
	assert_false(probe_is_whole(&result));
	assert_non_null(strstr(text_get(&text), "  991 of 1008 ports used; 61 of 63 blocks"));
	assert_non_null(strstr(text_get(&text), "\n  block 0 (1680-1695): not tried\n"));
	assert_non_null(
		strstr(text_get(&text), "\n  block 1 (2704-2719): 15 of 15 ports answer\n"));
	assert_non_null(strstr(text_get(&text), "\n  17 got no port: "));
}

static void test_whole_address(void **state)
{
	struct portset all = {0};
	_cleanup_(probe_done) struct probe_result result = whole(all);

	result.flows = result.answered = 1008;
	assert_true(probe_is_whole(&result));
	says(&result, "probe 203.0.113.10 port 443: 1008 of 1008 connections answered in 4.9 s\n");
	result.answered--;
	assert_false(probe_is_whole(&result));
}

/* The widest numbers there are. */
static void test_width(void **state)
{
	const struct portset many = {.psid_offset = 11, .psid_length = 4, .psid = 15};
	_cleanup_(probe_done) struct probe_result result = whole(many);
	_cleanup_text_ struct text text = TEXT_INIT;

	inet_pton(AF_INET, "255.255.255.255", &result.target.address);
	result.target.port = 65535;
	result.took_usec = 15900000;
	result.unmapped = result.unknown = result.foreign = 4096;
	silence(&result, 2000, 1);
	probe_print(&result, &text);
	for (const char *line = text_get(&text); *line; line += strcspn(line, "\n") + 1)
		if (strcspn(line, "\n") > 80)
			fail_msg("wider than 80 columns: %s", line);
}

static void test_painted_status(void **state)
{
	_cleanup_text_ struct text up = TEXT_INIT, bad = TEXT_INIT, waiting = TEXT_INIT;

	paint_status("      state: up\n     reason: warning: no\n    warning: one that\n"
		     "             is long\n         CE: 2400::\n",
		     &up);
	assert_string_equal(text_get(&up),
			    "      state: " PAINT_GREEN "up" PAINT_END "\n"
			    "     reason: warning: no\n" PAINT_YELLOW
			    "    warning: one that" PAINT_END "\n" PAINT_YELLOW
			    "             is long" PAINT_END "\n         CE: 2400::\n");
	paint_status("      state: failing\n  not taken: x\n", &bad);
	assert_string_equal(text_get(&bad), "      state: " PAINT_RED "failing" PAINT_END
					    "\n" PAINT_YELLOW "  not taken: x" PAINT_END "\n");
	paint_status("      state: waiting", &waiting);
	assert_string_equal(text_get(&waiting),
			    "      state: " PAINT_YELLOW "waiting" PAINT_END "\n");
}

static void fits(size_t rows, const char *wanted)
{
	static const char plain[] = "      state: up\n         CE: 2400::\n"
				    "      ports: 1680-1695\n             2704-2719\n"
				    "    forward: map0 tcp port 1680 -> 192.168.1.10\n"
				    "  LAN hosts: 192.168.1.10\n             192.168.1.11\n"
				    "             192.168.1.12\n"
				    "         to: 203.0.113.1\n             203.0.113.2\n";
	_cleanup_text_ struct text text = TEXT_INIT;

	paint_fit(plain, rows, &text);
	assert_string_equal(text_get(&text), wanted ? wanted : plain);
}

static void test_fits_the_screen(void **state)
{
	fits(SIZE_MAX, NULL);
	fits(11, NULL);
	/* the ports go as a whole, then the address */
	fits(10, "      state: up\n         CE: 2400::\n"
		 "    forward: map0 tcp port 1680 -> 192.168.1.10\n"
		 "  LAN hosts: 192.168.1.10\n             192.168.1.11\n"
		 "             192.168.1.12\n"
		 "         to: 203.0.113.1\n             203.0.113.2\n");
	fits(8, "      state: up\n    forward: map0 tcp port 1680 -> 192.168.1.10\n"
		"  LAN hosts: 192.168.1.10\n             192.168.1.11\n"
		"             192.168.1.12\n"
		"         to: 203.0.113.1\n             203.0.113.2\n");
	/* then the longer list */
	fits(6, "      state: up\n    forward: map0 tcp port 1680 -> 192.168.1.10\n"
		"  LAN hosts: 192.168.1.10\n             192.168.1.11\n"
		"         to: 203.0.113.1\n");
	/* and what is then too long is cut off */
	fits(3, "      state: up\n    forward: map0 tcp port 1680 -> 192.168.1.10\n");
}

static void test_written_over(void **state)
{
	_cleanup_text_ struct text text = TEXT_INIT;

	paint_over("      state: up\n\n        for: 1 s\n", &text);
	assert_string_equal(text_get(&text), "\033[H      state: up\033[K\n\033[K\n"
					     "        for: 1 s\033[K\n\033[J");
}

static void test_targets(void **state)
{
	static const char *const bad[] = {"",
					  "host",
					  "1.2.3",
					  "203.0.113.10:",
					  "203.0.113.10:0",
					  "203.0.113.10:65536",
					  "203.0.113.10:-1",
					  "203.0.113.10: 8",
					  "203.0.113.10:8x",
					  "203.0.113.10:99999999999999999999",
					  "::1",
					  "203.0.113.10203.0.113.10:80"};
	struct probe_target target = {.port = 7};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (probe_target_parse(bad[i], &target) != -EINVAL || target.port != 7)
			fail_msg("\"%s\" is taken", bad[i]);
	assert_int_equal(probe_target_parse("203.0.113.10", &target), 0);
	assert_int_equal(target.port, 80);
	assert_int_equal(probe_target_parse("203.0.113.10:65535", &target), 0);
	assert_int_equal(target.port, 65535);
	assert_int_equal(ntohl(target.address.s_addr), 0xcb00710a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_answer),
		cmocka_unit_test(test_blocks_that_do_not),
		cmocka_unit_test(test_ports_without_a_try),
		cmocka_unit_test(test_whole_address),
		cmocka_unit_test(test_width),
		cmocka_unit_test(test_painted_status),
		cmocka_unit_test(test_fits_the_screen),
		cmocka_unit_test(test_written_over),
		cmocka_unit_test(test_targets),
	};

	return cmocka_run_group_tests_name("probe", tests, NULL, NULL);
}
