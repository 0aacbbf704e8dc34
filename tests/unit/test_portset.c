/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "tests/unit/map_values.h"

#include "lib/map/portset.h"

static void assert_block(const struct portset *set, unsigned int index, unsigned int first,
			 unsigned int last)
{
	struct port_range block = portset_block(set, index);

	assert_int_equal(block.first, first);
	assert_int_equal(block.last, last);
}

/* RFC 7597 appendix A, example 1: PSID 0x34, a = 6, k = 8. */
static void test_rfc7597_example_1(void **state)
{
	const struct portset set = {.psid_offset = 6, .psid_length = 8, .psid = 0x34};

	assert_int_equal(portset_check(&set), 0);
	assert_false(portset_is_whole(&set));
	assert_int_equal(portset_block_count(&set), 63);
	assert_int_equal(portset_block_size(&set), 4);
	assert_int_equal(portset_count(&set), 252);
	assert_block(&set, 0, 1232, 1235);
	assert_block(&set, 1, 2256, 2259);
	assert_block(&set, 62, 64720, 64723);
	assert_int_equal(portset_nth(&set, 0), 1232);
	assert_int_equal(portset_nth(&set, 5), 2257);
	assert_int_equal(portset_nth(&set, 251), 64723);
	assert_int_equal(portset_index(&set, 64723), 251);
	assert_int_equal(portset_index(&set, 208), -1); /* the same PSID below 1024: A = 0 */
	assert_int_equal(portset_longest_run(&set), 4);
}

static void test_sizes_of_the_known_lines(void **state)
{
	const struct portset ocn = {.psid_offset = 6, .psid_length = 6, .psid = 41};
	const struct portset v6plus = {.psid_offset = 4, .psid_length = 8, .psid = 255};

	assert_int_equal(portset_block_count(&ocn), 63);
	assert_int_equal(portset_count(&ocn), 1008);
	assert_block(&ocn, 0, 1680, 1695);
	assert_int_equal(portset_block_count(&v6plus), 15);
	assert_int_equal(portset_count(&v6plus), 240);
	assert_block(&v6plus, 14, 65520, 65535);
}

static void test_bounds(void **state)
{
	static const struct {
		struct portset set;
		int result;
	} cases[] = {
		{{0, 0, 0}, 0},        {{15, 0, 0}, 0},          {{15, 1, 1}, 0},
		{{0, 16, 0xffff}, 0},  {{8, 8, 255}, 0},         {{6, 6, 63}, 0},
		{{16, 0, 0}, -EINVAL}, {{255, 255, 0}, -EINVAL}, {{0, 17, 0}, -EINVAL},
		{{9, 8, 0}, -EINVAL},  {{15, 2, 0}, -EINVAL},    {{6, 6, 64}, -EINVAL},
		{{6, 0, 1}, -EINVAL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(portset_check(&cases[i].set), cases[i].result);
}

static void test_whole_address(void **state)
{
	for (uint8_t a = 0; a <= 15; a++) {
		const struct portset set = {.psid_offset = a};
		const struct portset plain = {0}, shared = {.psid_offset = a, .psid_length = 1};
		struct port_range all = {0, 65535}, odd = {2, 1};

		assert_true(portset_is_whole(&set));
		assert_int_equal(portset_block_count(&set), 1);
		assert_int_equal(portset_count(&set), 65536);
		assert_block(&set, 0, 0, 65535);
		assert_int_equal(portset_index(&set, 0), 0);
		assert_int_equal(portset_nth(&set, 65535), 65535);
		assert_true(portset_has_range(&set, all));
		assert_false(portset_has_range(&set, odd));
		assert_int_equal(portset_longest_run(&set), 65536);
		assert_true(portset_equal(&set, &plain));
		assert_false(portset_equal(&set, &shared));
	}
}

/* RFC 7597 section 5.1, read port by port. */
static int owner(unsigned int a, unsigned int k, unsigned int port)
{
	unsigned int m = 16 - a - k;

	if (k == 0)
		return 0;
	if (a > 0 && port >> (16 - a) == 0)
		return -1;
	return (int)(port >> m & ((1u << k) - 1));
}

static void check_against_single_ports(const struct portset *set)
{
	unsigned int index = 0, block = 0, run = 0, longest = 0;
	int last = -1;

	for (unsigned int port = 0; port < 65536; port++) {
		bool mine = owner(set->psid_offset, set->psid_length, port) == (int)set->psid;
		uint16_t below, above;
		unsigned int found;

		if (portset_has(set, (uint16_t)port) != mine)
			fail_msg("a %u k %u psid %u port %u", set->psid_offset, set->psid_length,
				 set->psid, port);
		found = portset_nearest(set, (uint16_t)port, &below, &above);
		assert_int_equal(below, last < 0 ? 0 : last);
		assert_int_equal(found, (last >= 0) + (index + mine < portset_count(set)));
		if (!mine) {
			assert_int_equal(portset_index(set, (uint16_t)port), -1);
			run = 0;
			continue;
		}
		if (run == 0)
			assert_int_equal(portset_block(set, block++).first, port);
		run++;
		longest = run > longest ? run : longest;
		if (last >= 0) {
			portset_nearest(set, (uint16_t)last, &below, &above);
			assert_int_equal(above, port);
		}
		assert_int_equal(portset_index(set, (uint16_t)port), index);
		assert_int_equal(portset_nth(set, index), port);
		last = (int)port;
		index++;
	}
	assert_int_equal(index, portset_count(set));
	assert_int_equal(block, portset_block_count(set));
	assert_int_equal(longest, portset_longest_run(set));
}

static void test_every_port_of_every_shape(void **state)
{
	uint64_t seed = 1;

	for (uint8_t a = 0; a <= 15; a++)
		for (uint8_t k = 0; a + k <= 16; k++) {
			struct portset set = {.psid_offset = a, .psid_length = k};

			set.psid = (uint16_t)(chance(&seed) & ((1u << k) - 1));
			check_against_single_ports(&set);
		}
}

static void test_lowest_and_highest_psid(void **state)
{
	for (uint8_t a = 0; a <= 15; a += 3)
		for (uint8_t k = 1; a + k <= 16; k += 3) {
			struct portset set = {.psid_offset = a, .psid_length = k};

			check_against_single_ports(&set);
			set.psid = (uint16_t)((1u << k) - 1);
			check_against_single_ports(&set);
		}
}

/* All PSIDs together cover every port that A > 0 allows exactly once. */
static void test_two_psids_share_no_port(void **state)
{
	for (uint8_t a = 0; a <= 8; a++)
		for (uint8_t k = 1; k <= 8; k++) {
			static uint8_t taken[65536];

			memset(taken, 0, sizeof(taken));
			for (unsigned int psid = 0; psid < 1u << k; psid++) {
				struct portset set = {a, k, (uint16_t)psid};

				for (unsigned int i = 0; i < portset_count(&set); i++)
					taken[portset_nth(&set, i)]++;
			}
			for (unsigned int port = 0; port < 65536; port++)
				assert_int_equal(taken[port],
						 a == 0 || port >= 1u << (16 - a) ? 1 : 0);
		}
}

static void test_ranges(void **state)
{
	const struct portset set = {.psid_offset = 6, .psid_length = 6, .psid = 41};
	static const struct {
		struct port_range range;
		bool inside;
	} cases[] = {
		{{1680, 1680}, true},    {{1680, 1695}, true},  {{1685, 1690}, true},
		{{1679, 1680}, false},   {{1690, 1696}, false}, {{1680, 2704}, false},
		{{1695, 1680}, false},   {{656, 656}, false},   {{65168, 65183}, true},
		{{65168, 65184}, false}, {{0, 65535}, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(portset_has_range(&set, cases[i].range), cases[i].inside);
}

static void test_equal(void **state)
{
	const struct portset one = {6, 6, 41}, same = {6, 6, 41};
	const struct portset others[] = {{5, 6, 41}, {6, 7, 41}, {6, 6, 40}, {6, 0, 0}};

	assert_true(portset_equal(&one, &same));
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_false(portset_equal(&one, &others[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc7597_example_1),
		cmocka_unit_test(test_sizes_of_the_known_lines),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_whole_address),
		cmocka_unit_test(test_every_port_of_every_shape),
		cmocka_unit_test(test_lowest_and_highest_psid),
		cmocka_unit_test(test_two_psids_share_no_port),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_equal),
	};

	return cmocka_run_group_tests_name("portset", tests, NULL, NULL);
}
