/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>

#include "tests/unit/map_values.h"

static void test_parse6_takes_what_people_write(void **state)
{
	static const struct {
		const char *text, *canonical;
	} cases[] = {
		{"2400:4050::/34", "2400:4050::/34"},
		{"2400:4050:0048:d000:0000::/56", "2400:4050:48:d000::/56"},
		{"2400:4050:48D:2900::/56", "2400:4050:48d:2900::/56"},
		{"2001:db8::1", "2001:db8::1/128"},
		{"2001:db8::1/128", "2001:db8::1/128"},
		{"::/0", "::/0"},
		{"8000::/1", "8000::/1"},
		{"2400:4051:2000::/35", "2400:4051:2000::/35"},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
		 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct prefix6 prefix = p6(cases[i].text);

		assert_p6(&prefix, cases[i].canonical);
	}
}

static void test_parse6_refuses(void **state)
{
	static const struct {
		const char *text;
		int error;
	} cases[] = {
		{"", -EINVAL},
		{"/", -EINVAL},
		{"/64", -EINVAL},
		{"2001:db8::/", -EINVAL},
		{"2001:db8::/129", -EINVAL},
		{"2001:db8::/4294967328", -EINVAL},
		{"2001:db8::/99999999999999999999", -EINVAL},
		{"2001:db8::/-1", -EINVAL},
		{"2001:db8::/+32", -EINVAL},
		{"2001:db8::/ 32", -EINVAL},
		{"2001:db8::/32 ", -EINVAL},
		{" 2001:db8::/32", -EINVAL},
		{"2001:db8::/032", -EINVAL},
		{"2001:db8::/0x20", -EINVAL},
		{"2001:db8::/32/32", -EINVAL},
		{"2001:db8::%eth0/32", -EINVAL},
		{"fe80::1%1", -EINVAL},
		{"2001:db8:::/32", -EINVAL},
		{"2001:db8/32", -EINVAL},
		{"192.0.2.0/24", -EINVAL},
		{"2001:db8:0:0:0:0:0:0:0/32", -EINVAL},
		{"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000/32", -EINVAL},
		{"2001:db8::1/64", -EDOM},
		{"2400:4050:4000::/33", -EDOM},
		{"::1/0", -EDOM},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct prefix6 prefix = p6("2001:db8:1234::/48"), before = prefix;

		if (prefix6_parse(cases[i].text, &prefix) != cases[i].error)
			fail_msg("\"%s\" is not refused as it should be", cases[i].text);
		assert_memory_equal(&prefix, &before, sizeof(before));
	}
}

static void test_parse4(void **state)
{
	static const struct {
		const char *text;
		int error;
		const char *canonical;
	} cases[] = {
		{"192.0.2.0/24", 0, "192.0.2.0/24"},
		{"192.0.2.18", 0, "192.0.2.18/32"},
		{"0.0.0.0/0", 0, "0.0.0.0/0"},
		{"128.0.0.0/1", 0, "128.0.0.0/1"},
		{"255.255.255.255/32", 0, "255.255.255.255/32"},
		{"192.0.2.0/23", 0, "192.0.2.0/23"},
		{"192.0.2.1/24", -EDOM, NULL},
		{"219.104.138.0/20", -EDOM, NULL},
		{"1.0.0.0/0", -EDOM, NULL},
		{"192.0.2.0/33", -EINVAL, NULL},
		{"192.0.2/24", -EINVAL, NULL},
		{"192.0.2.0.0/24", -EINVAL, NULL},
		{"192.0.2.256/32", -EINVAL, NULL},
		{"0300.0.2.0/24", -EINVAL, NULL},
		{"192.0.2.0/", -EINVAL, NULL},
		{"::/0", -EINVAL, NULL},
		{"", -EINVAL, NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct prefix4 prefix = p4("198.51.100.0/24"), before = prefix;
		int r = prefix4_parse(cases[i].text, &prefix);

		if (r != cases[i].error)
			fail_msg("\"%s\" gives %d", cases[i].text, r);
		if (r == 0)
			assert_p4(&prefix, cases[i].canonical);
		else
			assert_memory_equal(&prefix, &before, sizeof(before));
	}
}

static void test_text_goes_there_and_back(void **state)
{
	uint64_t seed = 1;

	for (int i = 0; i < 20000; i++) {
		struct in6_addr addr = chance_in6(&seed);
		struct in_addr addr4 = {(uint32_t)chance(&seed)};
		struct prefix6 one = prefix6_make(&addr, chance_below(&seed, 129)), again;
		struct prefix4 one4 = prefix4_make(addr4, chance_below(&seed, 33)), again4;
		char text[PREFIX6_TEXT_MAX], text4[PREFIX4_TEXT_MAX];

		assert_int_equal(prefix6_parse(prefix6_format(&one, text), &again), 0);
		assert_true(prefix6_equal(&one, &again));
		assert_int_equal(prefix4_parse(prefix4_format(&one4, text4), &again4), 0);
		assert_true(prefix4_equal(&one4, &again4));
	}
}

static void test_addresses_of_hosts(void **state)
{
	static const char *const with[] = {"0.0.0.0/0",   "0.0.0.0/1",      "0.0.0.0/7",
					   "126.0.0.0/7", "169.254.0.0/15", "192.0.0.0/2",
					   "1.0.0.0/32",  "100.64.0.1/32",  "223.255.255.255/32"};
	static const char *const without[] = {"0.0.0.0/8",      "0.0.0.1/32",        "127.0.0.0/8",
					      "169.254.0.0/16", "224.0.0.0/3",       "224.0.0.0/4",
					      "240.0.0.0/4",    "255.255.255.255/32"};

	for (size_t i = 0; i < ARRAY_SIZE(with); i++) {
		struct prefix4 prefix = p4(with[i]);

		assert_true(prefix4_has_hosts(&prefix));
	}
	for (size_t i = 0; i < ARRAY_SIZE(without); i++) {
		struct prefix4 prefix = p4(without[i]);

		assert_false(prefix4_has_hosts(&prefix));
		assert_false(in4_is_host(prefix.addr));
	}
}

/* Damaged text is either refused or read as a prefix without host bits; nothing else happens. */
static void test_damaged_text_does_no_harm(void **state)
{
	static const char letters[] = "0123456789abcdefABCDEF:./%+- \n\x80xg";
	uint64_t seed = 2;
	unsigned int taken = 0;

	for (int i = 0; i < 200000; i++) {
		struct in6_addr addr = chance_in6(&seed);
		struct prefix6 one = prefix6_make(&addr, chance_below(&seed, 129));
		struct prefix4 one4;
		char buffer[PREFIX6_TEXT_MAX], *text;
		size_t length;

		length = strlen(prefix6_format(&one, buffer));
		for (unsigned int j = chance_below(&seed, 3) + 1; j > 0; j--)
			buffer[chance_below(&seed, (unsigned int)length)] =
				letters[chance_below(&seed, sizeof(letters))];
		text = strdup(buffer); /* on the heap, so that reading too far is seen */
		assert_non_null(text);
		if (prefix6_parse(text, &one) == 0) {
			struct prefix6 made = prefix6_make(&one.addr, one.len);

			assert_true(one.len <= 128 && prefix6_equal(&one, &made));
			taken++;
		}
		if (prefix4_parse(text, &one4) == 0)
			assert_true(one4.len <= 32);
		free(text);
	}
	assert_true(taken > 100);
}

/* One bit at a time, for comparison. */
static unsigned int bit_at(const struct in6_addr *addr, unsigned int at)
{
	return addr->s6_addr[at / 8] >> (7 - at % 8) & 1u;
}

static void test_make_has_and_bits_agree_with_single_bits(void **state)
{
	uint64_t seed = 3;

	for (int i = 0; i < 5000; i++) {
		struct in6_addr addr = chance_in6(&seed), other = addr;
		unsigned int len = chance_below(&seed, 129), flip = chance_below(&seed, 128);
		unsigned int count = chance_below(&seed, 65);
		unsigned int start = chance_below(&seed, 129 - count);
		struct prefix6 prefix = prefix6_make(&addr, len);
		uint64_t bits = 0;

		assert_int_equal(prefix.len, len);
		for (unsigned int at = 0; at < 128; at++)
			assert_int_equal(bit_at(&prefix.addr, at),
					 at < len ? bit_at(&addr, at) : 0);
		assert_true(prefix6_has(&prefix, &addr));
		other.s6_addr[flip / 8] ^= (uint8_t)(0x80 >> flip % 8);
		assert_int_equal(prefix6_has(&prefix, &other), flip >= len);

		for (unsigned int at = start; at < start + count; at++)
			bits = bits << 1 | bit_at(&addr, at);
		assert_true(in6_bits(&addr, start, count) == bits);
	}
}

static void test_prefix4_has(void **state)
{
	struct prefix4 net = p4("192.0.2.0/23"), all = p4("0.0.0.0/0"), one = p4("192.0.2.18");

	assert_true(prefix4_has(&net, p4("192.0.3.255").addr));
	assert_false(prefix4_has(&net, p4("192.0.4.0").addr));
	assert_false(prefix4_has(&net, p4("192.0.1.255").addr));
	assert_true(prefix4_has(&all, p4("255.255.255.255").addr));
	assert_true(prefix4_has(&one, one.addr));
	assert_false(prefix4_has(&one, p4("192.0.2.19").addr));
}

static void test_covers(void **state)
{
	struct prefix6 outer = p6("2400:4050::/34"), inner = p6("2400:4050:3fff:ff00::/56");
	struct prefix6 beside = p6("2400:4050:4000::/56"), wider = p6("2400:4050::/33");
	struct prefix6 all = p6("::/0");

	assert_true(prefix6_covers(&outer, &inner));
	assert_true(prefix6_covers(&outer, &outer));
	assert_false(prefix6_covers(&outer, &beside));
	assert_false(prefix6_covers(&outer, &wider));
	assert_true(prefix6_covers(&all, &outer));
	assert_false(prefix6_covers(&outer, &all));
}

static void test_out_of_range_is_cut(void **state)
{
	struct in6_addr addr = ip6("2001:db8::ffff");
	struct prefix6 prefix = prefix6_make(&addr, 200);
	struct prefix4 prefix4 = prefix4_make(p4("192.0.2.18").addr, 77);

	assert_p6(&prefix, "2001:db8::ffff/128");
	assert_p4(&prefix4, "192.0.2.18/32");
	assert_true(in6_bits(&addr, 120, 16) == 0xff00);
	assert_true(in6_bits(&addr, 1000, 8) == 0);
}

static void test_kinds_of_addresses(void **state)
{
	struct in6_addr ula = ip6("fd12::1"), ula_too = ip6("fc00::"), global = ip6("2400:4050::1");
	struct in6_addr last = ip6("3fff::"), link = ip6("fe80::1"), none = ip6("::");

	assert_true(in6_is_ula(&ula) && in6_is_ula(&ula_too));
	assert_false(in6_is_ula(&global) || in6_is_ula(&link));
	assert_true(in6_is_global(&global) && in6_is_global(&last));
	assert_false(in6_is_global(&ula) || in6_is_global(&link) || in6_is_global(&none));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses_of_hosts),
		cmocka_unit_test(test_parse6_takes_what_people_write),
		cmocka_unit_test(test_parse6_refuses),
		cmocka_unit_test(test_parse4),
		cmocka_unit_test(test_text_goes_there_and_back),
		cmocka_unit_test(test_damaged_text_does_no_harm),
		cmocka_unit_test(test_make_has_and_bits_agree_with_single_bits),
		cmocka_unit_test(test_prefix4_has),
		cmocka_unit_test(test_covers),
		cmocka_unit_test(test_out_of_range_is_cut),
		cmocka_unit_test(test_kinds_of_addresses),
	};

	return cmocka_run_group_tests_name("prefix", tests, NULL, NULL);
}
