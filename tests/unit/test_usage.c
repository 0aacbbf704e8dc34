/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/usage_tally.h"

/* OCN, PSID 41: 63 blocks of 16. */
static const struct portset ports = {.psid_offset = 6, .psid_length = 6, .psid = 41};

static struct conntrack_entry entry(uint8_t protocol, const char *host, const char *destination,
				    uint16_t outer_port)
{
	struct conntrack_entry e = {.protocol = protocol};

	inet_pton(AF_INET, host, &e.original.source);
	inet_pton(AF_INET, destination, &e.original.destination);
	e.reply.destination_port = outer_port;
	return e;
}

static void add(struct usage_tally *tally, uint8_t protocol, const char *host,
		const char *destination, uint16_t outer_port)
{
	struct conntrack_entry e = entry(protocol, host, destination, outer_port);

	usage_tally_add(tally, &e);
}

static void assert_top(const struct usage_top *top, const char *address, unsigned int count)
{
	char text[INET_ADDRSTRLEN];

	assert_string_equal(inet_ntop(AF_INET, &top->address, text, sizeof(text)), address);
	assert_int_equal(top->ports, count);
}

static void test_counts_ports_and_flows(void **state)
{
	_cleanup_(usage_tally_free_p) struct usage_tally *tally = usage_tally_new(&ports);
	struct usage usage = {.peak = {[USAGE_UDP] = 7}};

	/* one port, three destinations: one port in use, three flows */
	add(tally, IPPROTO_TCP, "192.168.1.2", "198.51.100.1", 1680);
	add(tally, IPPROTO_TCP, "192.168.1.2", "198.51.100.2", 1680);
	add(tally, IPPROTO_TCP, "192.168.1.3", "198.51.100.2", 1681);
	add(tally, IPPROTO_UDP, "192.168.1.3", "198.51.100.2", 1680);
	/* a port that is not ours, and a protocol without ports */
	add(tally, IPPROTO_TCP, "192.168.1.9", "198.51.100.9", 1024);
	add(tally, IPPROTO_GRE, "192.168.1.9", "198.51.100.9", 1682);
	usage_tally_finish(tally, &usage);
	assert_true(usage.known);
	assert_int_equal(usage.used[USAGE_TCP], 2);
	assert_int_equal(usage.flows[USAGE_TCP], 3);
	assert_int_equal(usage.peak[USAGE_TCP], 2);
	assert_int_equal(usage.used[USAGE_UDP], 1);
	assert_int_equal(usage.peak[USAGE_UDP], 7);
	assert_int_equal(usage.host_count, 2);
	assert_top(&usage.hosts[0], "192.168.1.3", 2);
	assert_top(&usage.hosts[1], "192.168.1.2", 1);
	assert_int_equal(usage.destination_count, 2);
	assert_top(&usage.destinations[0], "198.51.100.2", 3);
	assert_int_equal(usage.block_count, 63);
	assert_int_equal(usage.blocks[0], 2 * 100 / 16);
	assert_int_equal(usage.blocks[1], 0);
}

static void test_keeps_the_best_of_many(void **state)
{
	_cleanup_(usage_tally_free_p) struct usage_tally *tally = usage_tally_new(&ports);
	struct usage usage = {0};
	char host[INET_ADDRSTRLEN];

	/* 10000 hosts do not fit; the sums stay right, and nothing is overrun */
	for (unsigned int i = 0; i < 10000; i++) {
		struct in_addr address = {htonl(0x0a000001 + i)};

		inet_ntop(AF_INET, &address, host, sizeof(host));
		add(tally, IPPROTO_UDP, host, host, portset_nth(&ports, i % 1008));
	}
	usage_tally_finish(tally, &usage);
	assert_int_equal(usage.used[USAGE_UDP], 1008);
	assert_int_equal(usage.flows[USAGE_UDP], 10000);
	assert_int_equal(usage.host_count, USAGE_TOP);
	assert_int_equal(usage.blocks[62], 100);
	for (size_t i = 1; i < usage.host_count; i++)
		assert_true(usage.hosts[i - 1].ports >= usage.hosts[i].ports);
}

static void test_scarce_ports_are_told(void **state)
{
	struct usage usage = {.known = true, .used = {[USAGE_UDP] = 191}};
	char sentence[128];

	usage_scarce(&usage, 240, sentence, sizeof(sentence));
	assert_string_equal(sentence, "");
	usage.used[USAGE_UDP] = 192;
	usage_scarce(&usage, 240, sentence, sizeof(sentence));
	assert_non_null(strstr(sentence, "192 of 240 udp ports"));
	usage.known = false;
	usage_scarce(&usage, 240, sentence, sizeof(sentence));
	assert_string_equal(sentence, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts_ports_and_flows),
		cmocka_unit_test(test_keeps_the_best_of_many),
		cmocka_unit_test(test_scarce_ports_are_told),
	};

	return cmocka_run_group_tests_name("usage", tests, NULL, NULL);
}
