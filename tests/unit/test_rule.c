/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>

#include "tests/unit/map_values.h"

static struct map_rule good_rule(void)
{
	return rule_of("2001:db8::/40", "192.0.2.0/24", 16, 6);
}

static void assert_refused(const struct map_rule *rule, const char *words)
{
	struct fault fault = {0};

	assert_int_equal(map_rule_check(rule, &fault), -EINVAL);
	assert_int_equal(fault.code, -EINVAL);
	if (!strstr(fault.text, words))
		fail_msg("\"%s\" does not speak of \"%s\"", fault.text, words);
	assert_int_equal(map_rule_check(rule, NULL), -EINVAL);
}

static void test_good_rules(void **state)
{
	struct fault fault = {0};
	const struct map_rule rules[] = {
		good_rule(),
		rule_of("2001:db8:12:3400::/56", "192.0.2.18/32", 0, 6), /* 1:1 */
		rule_of("2001:db8::/32", "198.51.96.0/20", 8, 6),        /* IPv4 prefix */
		rule_of("2001:db8::/32", "198.51.96.0/20", 12, 15),      /* full address */
		rule_of("2001::/16", "0.0.0.0/0", 48, 0),                /* k = 16, a = 0 */
		rule_of("2001:db8::/48", "192.0.2.18/32", 16, 0),        /* n = 64 */
		rule_of("2001:db8::/40", "192.0.2.0/24", 16, 8),         /* a + k = 16 */
		rule_of("::/0", "0.0.0.0/0", 33, 15),                    /* k = 1 */
	};

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		assert_int_equal(map_rule_check(&rules[i], &fault), 0);
	assert_int_equal(fault.code, 0);
}

static void test_bounds(void **state)
{
	struct map_rule rule = rule_of("2000::/3", "0.0.0.0/0", 49, 0);

	assert_refused(&rule, "ea_length 49");
	rule = rule_of("2001:db8::/49", "192.0.2.18/32", 16, 0);
	assert_refused(&rule, "/65");
	rule = rule_of("2001:db8::/65", "192.0.2.18/32", 0, 0);
	assert_refused(&rule, "/65");
	rule = rule_of("2001:db8::1/128", "192.0.2.18/32", 0, 0);
	assert_refused(&rule, "/128");
	rule = rule_of("2001:db8::/40", "192.0.2.0/24", 16, 16);
	assert_refused(&rule, "psid_offset 16");
	rule = rule_of("2001:db8::/40", "192.0.2.0/24", 16, 9);
	assert_refused(&rule, "PSID of 8 bits");
	rule = rule_of("2001::/16", "10.0.0.0/8", 41, 0);
	assert_refused(&rule, "PSID of 17 bits");
	rule = good_rule();
	rule.ea_length = 255;
	rule.psid_offset = 255;
	assert_refused(&rule, "255");
	rule = good_rule();
	rule.ipv4_prefix.len = 33;
	assert_refused(&rule, "out of range");
}

static void test_given_psid(void **state)
{
	struct map_rule rule = rule_of("2001:db8:12:3400::/56", "192.0.2.18/32", 0, 6);

	rule.psid_given = true;
	rule.psid_length = 8;
	rule.psid = 0x34;
	assert_int_equal(map_rule_check(&rule, NULL), 0);
	assert_int_equal(map_rule_psid_length(&rule), 8);
	rule.psid = 256;
	assert_refused(&rule, "psid 256");
	rule.psid_length = 17;
	rule.psid = 0;
	assert_refused(&rule, "psid_length 17");
	rule.psid_length = 255;
	assert_refused(&rule, "psid_length 255");
	rule.psid_length = 11;
	assert_refused(&rule, "PSID of 11 bits");
	rule.psid_offset = 0;
	rule.psid_length = 16;
	rule.psid = 0xffff;
	assert_int_equal(map_rule_check(&rule, NULL), 0);

	/* A length of 0 gives none (RFC 7598 4.5), so that EA bits decide. */
	rule = good_rule();
	rule.psid_given = true;
	assert_int_equal(map_rule_check(&rule, NULL), 0);
	assert_false(map_rule_has_psid(&rule));
	assert_int_equal(map_rule_psid_length(&rule), 8);
	rule.psid = 1; /* whatever stands in the field */
	assert_int_equal(map_rule_check(&rule, NULL), 0);
	assert_int_equal(map_rule_psid_length(&rule), 8);

	/* Nothing to share in an IPv4 prefix. */
	rule = rule_of("2001:db8::/32", "198.51.96.0/20", 8, 6);
	rule.psid_given = true;
	rule.psid_length = 4;
	assert_refused(&rule, "IPv4 prefix of /28");

	/* Not given: whatever stands there is not looked at. */
	rule = good_rule();
	rule.psid_length = 200;
	rule.psid = 77;
	assert_int_equal(map_rule_check(&rule, NULL), 0);
	assert_int_equal(map_rule_psid_length(&rule), 8);
}

static void test_border_relay(void **state)
{
	static const char *const bad[] = {"ff02::1", "fe80::1", "::1"};
	struct map_rule rule = good_rule();

	rule.br = ip6("::");
	assert_refused(&rule, "missing");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		rule.br = ip6(bad[i]);
		assert_refused(&rule, "unicast");
	}
}

static void test_lengths(void **state)
{
	struct map_rule ocn = rule_of("2400:4050::/34", "153.240.0.0/16", 22, 6);
	struct map_rule prefix = rule_of("2001:db8::/32", "198.51.96.0/20", 8, 6);
	struct map_rule full = rule_of("2001:db8::/32", "198.51.96.0/20", 12, 6);

	assert_int_equal(map_rule_end_user_length(&ocn), 56);
	assert_int_equal(map_rule_psid_length(&ocn), 6);
	assert_int_equal(map_rule_end_user_length(&prefix), 40);
	assert_int_equal(map_rule_psid_length(&prefix), 0);
	assert_int_equal(map_rule_psid_length(&full), 0);
}

static void test_format_names(void **state)
{
	enum iid_format format = IID_RFC7597;

	assert_string_equal(iid_format_name(IID_MAP_DRAFT_03), "map-draft-03");
	assert_string_equal(iid_format_name(IID_RFC7597), "rfc7597");
	assert_int_equal(iid_format_parse("map-draft-03", &format), 0);
	assert_int_equal(format, IID_MAP_DRAFT_03);
	assert_int_equal(iid_format_parse("rfc7597", &format), 0);
	assert_int_equal(format, IID_RFC7597);
	assert_int_equal(iid_format_parse("RFC7597", &format), -EINVAL);
	assert_int_equal(iid_format_parse("", &format), -EINVAL);
	assert_int_equal(format, IID_RFC7597);
}

static void add(struct ruleset *set, const char *provider, unsigned int rank,
		const char *ipv6_prefix, unsigned int end_user_len)
{
	struct map_rule rule = rule_of(ipv6_prefix, "192.0.2.18/32", 0, 6);

	rule.ea_length = (uint8_t)(end_user_len - rule.ipv6_prefix.len);
	rule.rank = (uint8_t)rank;
	snprintf(rule.provider, sizeof(rule.provider), "%s", provider);
	assert_int_equal(ruleset_add(set, &rule), 0);
}

static const char *match(const struct ruleset *set, const char *provider, const char *prefix)
{
	struct prefix6 one = p6(prefix);
	const struct map_rule *rule = ruleset_match(set, provider, &one);

	return rule ? rule->provider : "none";
}

static void test_longest_match(void **state)
{
	_cleanup_ruleset_ struct ruleset set = {0};

	assert_string_equal(match(&set, "", "2001:db8::/56"), "none");
	add(&set, "short", 0, "2001:db8::/32", 56);
	add(&set, "long", 0, "2001:db8:8000::/33", 56);
	add(&set, "long-too", 0, "2001:db8:8000::/33", 56);
	add(&set, "elsewhere", 0, "2001:db9::/32", 60);

	assert_string_equal(match(&set, "", "2001:db8:1::/56"), "short");
	assert_string_equal(match(&set, "", "2001:db8:8001::/56"), "long");
	assert_string_equal(match(&set, "long-too", "2001:db8:8001::/56"), "long-too");
	assert_string_equal(match(&set, "short", "2001:db8:8001::/56"), "short");
	assert_string_equal(match(&set, "nobody", "2001:db8:8001::/56"), "none");
	assert_string_equal(match(&set, "", "2001:dba::/56"), "none");

	/* The end-user prefix must fit: longer ones are cut, shorter ones have no rule. */
	assert_string_equal(match(&set, "", "2001:db8:8001::/64"), "long");
	assert_string_equal(match(&set, "", "2001:db8:8001::1/128"), "long");
	assert_string_equal(match(&set, "", "2001:db8:8001::/55"), "none");
	assert_string_equal(match(&set, "", "2001:db9::/56"), "none");
	assert_string_equal(match(&set, "", "2001:db9::/60"), "elsewhere");
	assert_string_equal(match(&set, "", "::/0"), "none");
}

static void test_shorter_rule_when_the_longer_needs_more_bits(void **state)
{
	_cleanup_ruleset_ struct ruleset set = {0};

	add(&set, "deep", 0, "2001:db8:8000::/33", 60);
	add(&set, "flat", 0, "2001:db8::/32", 56);
	assert_string_equal(match(&set, "", "2001:db8:8001::/56"), "flat");
	assert_string_equal(match(&set, "", "2001:db8:8001::/60"), "deep");
}

static void test_what_the_owner_wrote_wins(void **state)
{
	_cleanup_ruleset_ struct ruleset set = {0};

	add(&set, "shipped", RULE_RANK_SHIPPED, "2001:db8:8000::/33", 56);
	add(&set, "local", RULE_RANK_LOCAL, "2001:db8:8000::/34", 56);
	add(&set, "wire", RULE_RANK_WIRE, "2001:db8:8000::/35", 56);
	add(&set, "custom", RULE_RANK_OWN, "2001:db8::/32", 56);
	assert_string_equal(match(&set, "", "2001:db8:8001::/56"), "custom");
	assert_string_equal(match(&set, "shipped", "2001:db8:8001::/56"), "shipped");
}

static void test_ruleset_grows(void **state)
{
	_cleanup_ruleset_ struct ruleset set = {0};

	for (unsigned int i = 0; i < 1000; i++) {
		struct map_rule rule = rule_of("2001:db8::/32", "192.0.2.18/32", 24, 6);

		rule.psid_offset = (uint8_t)(i % 16);
		rule.br.s6_addr[15] = (uint8_t)i;
		assert_int_equal(ruleset_add(&set, &rule), 0);
	}
	/* An element of the list itself survives the move of the list. */
	for (unsigned int i = 0; i < 100; i++)
		assert_int_equal(ruleset_add(&set, &set.rules[i]), 0);
	assert_int_equal(set.count, 1100);
	for (unsigned int i = 0; i < 1000; i++)
		assert_int_equal(set.rules[i].br.s6_addr[15], i % 256);
	for (unsigned int i = 0; i < 100; i++)
		assert_true(map_rule_equal(&set.rules[i], &set.rules[1000 + i]));
	ruleset_done(&set);
	assert_int_equal(set.count, 0);
	assert_null(set.rules);
}

static void test_equal(void **state)
{
	struct map_rule one = good_rule(), other = one;

	assert_true(map_rule_equal(&one, &other));
	other.psid = 5; /* not given, hence without meaning */
	assert_true(map_rule_equal(&one, &other));
	other.psid_given = true;
	assert_false(map_rule_equal(&one, &other));
	one.psid_given = true;
	assert_false(map_rule_equal(&one, &other));
	one.psid = 5;
	assert_true(map_rule_equal(&one, &other));
	other.br.s6_addr[15]++;
	assert_false(map_rule_equal(&one, &other));
	other = one;
	other.iid_format = IID_RFC7597;
	assert_false(map_rule_equal(&one, &other));
	other = one;
	snprintf(other.provider, sizeof(other.provider), "ocn");
	assert_false(map_rule_equal(&one, &other));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_rules),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_given_psid),
		cmocka_unit_test(test_border_relay),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_format_names),
		cmocka_unit_test(test_longest_match),
		cmocka_unit_test(test_shorter_rule_when_the_longer_needs_more_bits),
		cmocka_unit_test(test_what_the_owner_wrote_wins),
		cmocka_unit_test(test_ruleset_grows),
		cmocka_unit_test(test_equal),
	};

	return cmocka_run_group_tests_name("rule", tests, NULL, NULL);
}
