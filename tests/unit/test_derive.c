/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The derivation against RFC 7597's own numbers, against vectors from files, and against a second
 * computation that knows bits only as characters.
 */
#include <errno.h>
#include <stdio.h>

#include "tests/unit/map_values.h"

#include "lib/map/derive.h"

#define LINE_MAX_LEN 512

static FILE *open_data(const char *name)
{
	char path[1024];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", TEST_DATA, name);
	file = fopen(path, "re");
	if (!file)
		fail_msg("%s: %s", path, strerror(errno));
	return file;
}

static void derive(const struct map_rule *rule, const char *prefix, struct map_params *ret)
{
	struct prefix6 one = p6(prefix);
	struct fault fault = {0};

	if (map_derive(rule, &one, ret, &fault) < 0)
		fail_msg("%s: %s", prefix, fault.text);
}

/* RFC 7597 appendix A, example 1. */
static void test_rfc7597_example_1(void **state)
{
	struct map_rule rule = rule_of("2001:db8::/40", "192.0.2.0/24", 16, 6);
	struct map_params params;

	rule.iid_format = IID_RFC7597;
	derive(&rule, "2001:db8:12:3400::/56", &params);
	assert_p4(&params.ipv4, "192.0.2.18/32");
	assert_int_equal(params.ports.psid, 0x34);
	assert_int_equal(portset_block_count(&params.ports), 63);
	assert_int_equal(portset_block(&params.ports, 0).first, 1232);
	assert_int_equal(portset_block(&params.ports, 0).last, 1235);
	assert_int_equal(portset_block(&params.ports, 62).first, 64720);
	assert_int_equal(portset_block(&params.ports, 62).last, 64723);
	assert_ip6(&params.ce, "2001:db8:12:3400:0:c000:212:34");
	assert_ip6(&params.br, "2001:db8:ffff::1");
	assert_p6(&params.end_user, "2001:db8:12:3400::/56");
	assert_true(map_rule_equal(&params.rule, &rule));
}

static void assert_range(const struct port_range *range, const char *text)
{
	char buffer[16];

	snprintf(buffer, sizeof(buffer), "%u-%u", range->first, range->last);
	assert_string_equal(buffer, text);
}

struct vector {
	char end_user[64], rule6[64], rule4[32], given[16], format[16], br[64];
	char ipv4[32], ce[64], first[16], second[16], last[16];
	unsigned int ea, offset, psid, k, count;
};

static void check_vector(const struct vector *v)
{
	struct map_rule rule = rule_of(v->rule6, v->rule4, v->ea, v->offset);
	struct map_params params;
	struct port_range range;
	unsigned int psid, length, blocks;

	rule.br = ip6(v->br);
	assert_int_equal(iid_format_parse(v->format, &rule.iid_format), 0);
	if (sscanf(v->given, "0x%x/%u", &psid, &length) == 2) {
		rule.psid_given = true;
		rule.psid = (uint16_t)psid;
		rule.psid_length = (uint8_t)length;
	}
	derive(&rule, v->end_user, &params);
	assert_p6(&params.end_user, v->end_user);
	assert_p4(&params.ipv4, v->ipv4);
	assert_int_equal(params.ports.psid, v->psid);
	assert_int_equal(params.ports.psid_length, v->k);
	assert_int_equal(params.ports.psid_offset, v->offset);
	assert_ip6(&params.ce, v->ce);
	assert_ip6(&params.br, v->br);
	assert_int_equal(portset_count(&params.ports), v->count);
	blocks = portset_block_count(&params.ports);
	range = portset_block(&params.ports, 0);
	assert_range(&range, v->first);
	range = portset_block(&params.ports, blocks - 1);
	assert_range(&range, v->last);
	assert_int_equal(blocks > 1, strcmp(v->second, "-") != 0);
	if (blocks > 1) {
		range = portset_block(&params.ports, 1);
		assert_range(&range, v->second);
	}
}

static void test_vectors(void **state)
{
	FILE *file = open_data("vectors.txt");
	char line[LINE_MAX_LEN];
	unsigned int checked = 0;

	while (fgets(line, sizeof(line), file)) {
		struct vector v;
		int fields;

		if (line[0] == '#')
			continue;
		fields = sscanf(line,
				"%63s %63s %31s %u %u %15s %15s %63s %31s %u %u %63s %u %15s %15s "
				"%15s",
				v.end_user, v.rule6, v.rule4, &v.ea, &v.offset, v.given, v.format,
				v.br, v.ipv4, &v.psid, &v.k, v.ce, &v.count, v.first, v.second,
				v.last);
		if (fields != 16)
			fail_msg("%d columns: %s", fields, line);
		check_vector(&v);
		checked++;
	}
	fclose(file);
	assert_int_equal(checked, 35);
}

/* --- The second computation: bits as characters --- */

struct bits {
	char digits[256];
};

static void bits_add(struct bits *bits, uint64_t value, unsigned int count)
{
	size_t at = strlen(bits->digits);

	for (unsigned int i = 0; i < count; i++)
		bits->digits[at + i] =
			count - 1 - i < 64 && value >> (count - 1 - i) & 1 ? '1' : '0';
	bits->digits[at + count] = '\0';
}

static void bits_add_text(struct bits *bits, const char *digits, size_t count)
{
	size_t at = strlen(bits->digits);

	memcpy(bits->digits + at, digits, count);
	bits->digits[at + count] = '\0';
}

static uint64_t bits_value(const char *digits, size_t count)
{
	uint64_t value = 0;

	for (size_t i = 0; i < count; i++)
		value = value * 2 + (uint64_t)(digits[i] - '0');
	return value;
}

static struct bits bits_of(const struct in6_addr *addr)
{
	struct bits bits = {""};

	for (int i = 0; i < 16; i++)
		bits_add(&bits, addr->s6_addr[i], 8);
	return bits;
}

/* What the CE should be, RFC 7597 sections 5.2 and 6, from the digits alone. */
static void check_again(const struct map_rule *rule, const struct prefix6 *prefix,
			const struct map_params *params)
{
	unsigned int r6 = rule->ipv6_prefix.len, r4 = rule->ipv4_prefix.len, o = rule->ea_length;
	unsigned int n = r6 + o, p = o < 32 - r4 ? o : 32 - r4, q = o - p;
	bool given = rule->psid_given && rule->psid_length > 0;
	struct bits whole = bits_of(&prefix->addr), v4 = {""}, psid = {""}, ce = {""}, back = {""};
	struct bits have = bits_of(&params->ce), end_user = bits_of(&params->end_user.addr);

	bits_add(&v4, ntohl(rule->ipv4_prefix.addr.s_addr), 32);
	v4.digits[r4] = '\0';
	bits_add_text(&v4, whole.digits + r6, p);
	assert_int_equal(params->ipv4.len, strlen(v4.digits));
	bits_add(&v4, 0, 32 - (unsigned int)strlen(v4.digits));
	assert_int_equal(ntohl(params->ipv4.addr.s_addr), bits_value(v4.digits, 32));

	if (given)
		bits_add(&psid, rule->psid, rule->psid_length);
	else
		bits_add_text(&psid, whole.digits + r6 + p, q);
	assert_int_equal(params->ports.psid_length, strlen(psid.digits));
	assert_int_equal(params->ports.psid, bits_value(psid.digits, strlen(psid.digits)));

	bits_add_text(&ce, whole.digits, n);
	bits_add(&ce, 0, 64 - n);
	bits_add(&ce, 0, rule->iid_format == IID_RFC7597 ? 16 : 8);
	bits_add_text(&ce, v4.digits, 32);
	bits_add(&ce, 0, 16 - (unsigned int)strlen(psid.digits));
	bits_add_text(&ce, psid.digits, 16);
	bits_add(&ce, 0, rule->iid_format == IID_RFC7597 ? 0 : 8);
	assert_string_equal(have.digits, ce.digits);

	/* And back, as the border relay does it: rule, address and PSID lead to the end-user
	 * prefix. A given PSID is not in it. */
	assert_int_equal(params->end_user.len, n);
	bits_add_text(&back, bits_of(&rule->ipv6_prefix.addr).digits, r6);
	bits_add_text(&back, v4.digits + r4, p);
	bits_add_text(&back, given ? whole.digits + r6 + p : psid.digits, q);
	assert_int_equal(strlen(back.digits), n);
	assert_memory_equal(back.digits, end_user.digits, n);
}

static struct prefix6 chance_prefix_in(const struct prefix6 *outer, unsigned int len,
				       uint64_t *seed)
{
	struct in6_addr addr = chance_in6(seed);
	struct prefix6 inner = prefix6_make(&addr, len);

	for (unsigned int at = 0; at < outer->len; at++) {
		uint8_t bit = (uint8_t)(0x80 >> at % 8);

		inner.addr.s6_addr[at / 8] &= (uint8_t)~bit;
		inner.addr.s6_addr[at / 8] |= outer->addr.s6_addr[at / 8] & bit;
	}
	return inner;
}

/* 0 when the EA bits make what is no host's address. */
static unsigned int check_line(const struct map_rule *rule, const struct prefix6 *prefix)
{
	struct map_params params;
	struct fault fault = {0};

	if (map_derive(rule, prefix, &params, &fault) < 0) {
		if (!strstr(fault.text, "holds no address of a host"))
			fail_msg("%s", fault.text);
		return 0;
	}
	check_again(rule, prefix, &params);
	assert_true(prefix6_has(&params.end_user, &params.ce));
	assert_true(prefix6_covers(&rule->ipv6_prefix, &params.end_user));
	assert_int_equal(portset_check(&params.ports), 0);
	for (unsigned int i = 0; i < portset_count(&params.ports); i += 97) {
		unsigned int m = 16u - rule->psid_offset - params.ports.psid_length;
		unsigned int port = portset_nth(&params.ports, i);

		if (params.ports.psid_length > 0)
			assert_int_equal(port >> m & ((1u << params.ports.psid_length) - 1),
					 params.ports.psid);
	}
	return 1;
}

static struct ruleset read_rules(void)
{
	FILE *file = open_data("rules.csv");
	struct ruleset set = {0};
	char line[LINE_MAX_LEN];

	assert_non_null(fgets(line, sizeof(line), file)); /* names of the columns */
	while (fgets(line, sizeof(line), file)) {
		char provider[32], ipv6_prefix[64], ipv4_prefix[32], br[64];
		unsigned int ea, offset, k;
		struct map_rule rule;

		if (sscanf(line, "%31[^,],%63[^,],%31[^,],%u,%u,%u,%63[^,\n]", provider,
			   ipv6_prefix, ipv4_prefix, &ea, &offset, &k, br) != 7)
			fail_msg("%s", line);
		rule = rule_of(ipv6_prefix, ipv4_prefix, ea, offset);
		memcpy(rule.provider, provider, sizeof(provider));
		rule.br = ip6(br);
		assert_int_equal(map_rule_check(&rule, NULL), 0);
		assert_int_equal(map_rule_psid_length(&rule), k);
		assert_int_equal(map_rule_end_user_length(&rule), 56);
		assert_int_equal(ruleset_add(&set, &rule), 0);
	}
	fclose(file);
	assert_int_equal(set.count, 444);
	return set;
}

/* First, last and random prefixes of every known rule, there and back. */
static void test_all_known_rules(void **state)
{
	_cleanup_ruleset_ struct ruleset set = read_rules();
	uint64_t seed = 1;

	for (size_t i = 0; i < set.count; i++) {
		const struct map_rule *rule = &set.rules[i];
		struct prefix6 prefix = prefix6_make(&rule->ipv6_prefix.addr, 56);

		check_line(rule, &prefix);
		for (unsigned int at = rule->ipv6_prefix.len; at < 56; at++)
			prefix.addr.s6_addr[at / 8] |= (uint8_t)(0x80 >> at % 8);
		check_line(rule, &prefix);
		for (unsigned int j = 0; j < 40; j++) {
			prefix = chance_prefix_in(&rule->ipv6_prefix, j % 2 ? 56 : 64, &seed);
			check_line(rule, &prefix);
			assert_ptr_equal(ruleset_match(&set, "", &prefix), rule);
		}
	}
}

/* Two lines never share address and port set: across all rules, equal addresses have other PSIDs.
 */
static void test_known_rules_do_not_overlap(void **state)
{
	_cleanup_ruleset_ struct ruleset set = read_rules();

	for (size_t i = 0; i < set.count; i++)
		for (size_t j = 0; j < i; j++) {
			const struct map_rule *a = &set.rules[i], *b = &set.rules[j];

			assert_false(prefix6_has(&a->ipv6_prefix, &b->ipv6_prefix.addr) ||
				     prefix6_has(&b->ipv6_prefix, &a->ipv6_prefix.addr));
			assert_false(prefix4_has(&a->ipv4_prefix, b->ipv4_prefix.addr) ||
				     prefix4_has(&b->ipv4_prefix, a->ipv4_prefix.addr));
		}
}

static void test_prefixes_without_a_rule(void **state)
{
	static const char *const none[] = {
		"2400:4052:f000::/56", "2400:4150:c000::/56", "2408:210::/56",
		"240b:14::/56",        "240b:254::/56",       "2404:7a88::/56",
		"2400:4150:b000::/56", "2400:4151:f000::/56", "2409:10::/56",
		"2001:db8::/56",       "fd00::/56",
	};
	_cleanup_ruleset_ struct ruleset set = read_rules();

	for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
		struct prefix6 prefix = p6(none[i]);

		if (ruleset_match(&set, "", &prefix))
			fail_msg("%s has a rule", none[i]);
	}
}

static struct map_rule chance_rule(uint64_t *seed)
{
	struct in6_addr addr = chance_in6(seed);
	struct map_rule rule = {.provider = "chance", .br = ip6("2001:db8::1")};

	for (;;) {
		struct in_addr addr4 = {(uint32_t)chance(seed)};

		rule.ipv6_prefix = prefix6_make(&addr, chance_below(seed, 65));
		rule.ipv4_prefix = prefix4_make(addr4, chance_below(seed, 33));
		rule.ea_length = (uint8_t)chance_below(seed, 49);
		rule.psid_offset = (uint8_t)chance_below(seed, 16);
		rule.iid_format = chance_below(seed, 2) ? IID_RFC7597 : IID_MAP_DRAFT_03;
		rule.psid_given = chance_below(seed, 4) == 0;
		rule.psid_length = (uint8_t)chance_below(seed, 17);
		rule.psid = (uint16_t)(chance(seed) & ((1u << rule.psid_length) - 1));
		if (map_rule_check(&rule, NULL) == 0)
			return rule;
	}
}

static void test_random_rules(void **state)
{
	unsigned int derived = 0;
	uint64_t seed = 2;

	for (int i = 0; i < 20000; i++) {
		struct map_rule rule = chance_rule(&seed);
		unsigned int n = map_rule_end_user_length(&rule);
		struct prefix6 prefix = chance_prefix_in(&rule.ipv6_prefix,
							 n + chance_below(&seed, 129 - n), &seed);

		derived += check_line(&rule, &prefix);
	}
	assert_true(derived > 16000 &&
		    derived < 19000); /* an eighth of all addresses are no host's */
}

/* Any values at all: a refusal with words, or a result within bounds. */
static void test_hostile_rules(void **state)
{
	uint64_t seed = 3;
	unsigned int refused = 0;

	for (int i = 0; i < 200000; i++) {
		struct map_rule rule = chance_rule(&seed);
		struct prefix6 prefix = chance_prefix_in(&rule.ipv6_prefix, 128, &seed);
		struct map_params params;
		struct fault fault = {0};

		switch (chance_below(&seed, 8)) {
		case 0:
			rule.ipv6_prefix.len = (uint8_t)chance(&seed);
			break;
		case 1:
			rule.ipv4_prefix.len = (uint8_t)chance(&seed);
			break;
		case 2:
			rule.ea_length = (uint8_t)chance(&seed);
			break;
		case 3:
			rule.psid_offset = (uint8_t)chance(&seed);
			break;
		case 4:
			rule.psid_length = (uint8_t)chance(&seed);
			break;
		case 5:
			rule.psid = (uint16_t)chance(&seed);
			break;
		case 6:
			prefix.len = (uint8_t)chance(&seed);
			break;
		default:
			prefix.addr = chance_in6(&seed);
		}
		if (map_derive(&rule, &prefix, &params, &fault) < 0) {
			assert_int_equal(fault.code, -EINVAL);
			assert_true(strlen(fault.text) > 10);
			refused++;
			continue;
		}
		assert_int_equal(portset_check(&params.ports), 0);
		assert_true(params.end_user.len <= 64 && params.ipv4.len <= 32);
	}
	assert_true(refused > 10000 && refused < 190000);
}

static void test_longer_prefixes_are_cut(void **state)
{
	struct map_rule rule = rule_of("2400:4050::/34", "153.240.0.0/16", 22, 6);
	struct map_params params, other;

	derive(&rule, "2400:4050:48d:2900::/56", &params);
	derive(&rule, "2400:4050:48d:2900::/64", &other);
	assert_true(map_params_equal(&params, &other));
	/* Subnet bits do not get into the CE address: it lives in subnet 0. */
	derive(&rule, "2400:4050:48d:29f3::/64", &other);
	assert_true(map_params_equal(&params, &other));
	derive(&rule, "2400:4050:48d:29f3:1:2:3:4/128", &other);
	assert_true(map_params_equal(&params, &other));
	derive(&rule, "2400:4050:48d:2a00::/64", &other);
	assert_false(map_params_equal(&params, &other));
}

/* The manager acts on a difference only: one that is overlooked here is never applied. */
static void test_each_difference_of_params_counts(void **state)
{
	struct map_rule rule = rule_of("2400:4050::/34", "153.240.0.0/16", 22, 6);
	struct map_params params, changed[13];

	derive(&rule, "2400:4050:48d:2900::/56", &params);
	for (size_t i = 0; i < ARRAY_SIZE(changed); i++)
		changed[i] = params;
	changed[0].rule.provider[0] = 'x';
	changed[1].rule.rank++;
	changed[2].rule.ipv6_prefix.len++;
	changed[3].rule.ipv4_prefix.len++;
	changed[4].rule.ea_length++;
	changed[5].rule.psid_offset++;
	changed[6].rule.iid_format = IID_RFC7597;
	changed[7].end_user.len++;
	changed[8].ipv4.len--;
	changed[9].ports.psid++;
	changed[10].ce.s6_addr[15]++;
	changed[11].br.s6_addr[15]++;
	changed[12].rule.br.s6_addr[15]++;
	for (size_t i = 0; i < ARRAY_SIZE(changed); i++) {
		assert_true(map_params_equal(&changed[i], &changed[i]));
		assert_false(map_params_equal(&params, &changed[i]));
		assert_false(map_params_equal(&changed[i], &params));
	}
}

static void test_what_does_not_fit_is_refused(void **state)
{
	static const struct {
		const char *prefix, *words;
	} cases[] = {
		{"2400:4050::/55", "too short"},
		{"2400:4050::/34", "too short"},
		{"2400:4050:4000::/56", "does not lie in"},
		{"::/0", "does not lie in"},
	};
	struct map_rule rule = rule_of("2400:4050::/34", "153.240.0.0/16", 22, 6);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct prefix6 prefix = p6(cases[i].prefix);
		struct map_params params, before;
		struct fault fault = {0};

		memset(&params, 0xaa, sizeof(params));
		before = params;
		assert_int_equal(map_derive(&rule, &prefix, &params, &fault), -EINVAL);
		if (!strstr(fault.text, cases[i].words))
			fail_msg("%s: %s", cases[i].prefix, fault.text);
		assert_memory_equal(&params, &before, sizeof(params));
	}
}

/* The rule has no IPv4 prefix at all: the EA bits are the address, and the PSID. */
static void test_whole_address_in_the_ea_bits(void **state)
{
	struct map_rule rule = rule_of("2001:d00::/24", "0.0.0.0/0", 40, 6);
	struct map_params params;

	derive(&rule, "2001:dc0:2:1234::/64", &params);
	assert_p4(&params.ipv4, "192.0.2.18/32");
	assert_int_equal(params.ports.psid, 0x34);
	assert_int_equal(params.ports.psid_length, 8);
	rule = rule_of("2001:db8::/32", "0.0.0.0/0", 24, 6);
	derive(&rule, "2001:db8:c000:200::/56", &params);
	assert_p4(&params.ipv4, "192.0.2.0/24");
	rule = rule_of("2001:db8::/32", "0.0.0.0/1", 31, 6);
	derive(&rule, "2001:db8:1400:2::/63", &params);
	assert_p4(&params.ipv4, "10.0.0.1/32");
}

/* … but they can make what is nobody's. */
static void test_address_of_no_host(void **state)
{
	static const struct {
		const char *prefix, *words;
	} cases[] = {
		{"2001:db8::/64", "its EA bits make 0.0.0.0/32"},
		{"2001:db8:7f00:1::/64", "its EA bits make 127.0.0.1/32"},
		{"2001:db8:a9fe:1::/64", "its EA bits make 169.254.0.1/32"},
		{"2001:db8:e000:1::/64", "its EA bits make 224.0.0.1/32"},
		{"2001:db8:ffff:ffff::/64", "its EA bits make 255.255.255.255/32"},
	};
	const struct map_rule rule = rule_of("2001:db8::/32", "0.0.0.0/0", 32, 6);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct prefix6 prefix = p6(cases[i].prefix);
		struct map_params params;
		struct fault fault = {0};

		assert_int_equal(map_derive(&rule, &prefix, &params, &fault), -EINVAL);
		if (!strstr(fault.text, cases[i].words))
			fail_msg("%s: %s", cases[i].prefix, fault.text);
	}
}

static void test_end_user_prefix_beyond_64(void **state)
{
	struct map_rule rule = rule_of("2001:db8::/56", "192.0.2.18/32", 9, 0);
	struct prefix6 prefix = p6("2001:db8::/72");
	struct map_params params;
	struct fault fault = {0};

	assert_int_equal(map_derive(&rule, &prefix, &params, &fault), -EINVAL);
	assert_non_null(strstr(fault.text, "/65"));
}

static void test_given_psid_wins_over_ea_bits(void **state)
{
	struct map_rule rule = rule_of("2001:db8::/40", "192.0.2.0/24", 16, 6);
	struct map_params params;

	rule.psid_given = true;
	rule.psid_length = 4;
	rule.psid = 0xb;
	derive(&rule, "2001:db8:12:3400::/56", &params);
	assert_p4(&params.ipv4, "192.0.2.18/32");
	assert_int_equal(params.ports.psid, 0xb);
	assert_int_equal(params.ports.psid_length, 4);
	assert_ip6(&params.ce, "2001:db8:12:3400:c0:2:1200:b00");
	assert_p6(&params.end_user, "2001:db8:12:3400::/56");

	rule.psid_length = 0; /* port parameters without a PSID */
	rule.psid = 0;
	derive(&rule, "2001:db8:12:3400::/56", &params);
	assert_int_equal(params.ports.psid, 0x34);
	assert_int_equal(params.ports.psid_length, 8);
}

static void test_sixteen_bit_psid(void **state)
{
	struct map_rule rule = rule_of("2001:db8::/32", "192.0.2.0/24", 24, 0);
	struct map_params params;

	derive(&rule, "2001:db8:12ab:cd00::/56", &params);
	assert_int_equal(params.ports.psid, 0xabcd);
	assert_int_equal(portset_count(&params.ports), 1);
	assert_int_equal(portset_nth(&params.ports, 0), 0xabcd);
	assert_ip6(&params.ce, "2001:db8:12ab:cd00:c0:2:12ab:cd00");
	rule.iid_format = IID_RFC7597;
	derive(&rule, "2001:db8:12ab:cd00::/56", &params);
	assert_ip6(&params.ce, "2001:db8:12ab:cd00:0:c000:212:abcd");
}

static void test_print(void **state)
{
	struct map_rule rule = rule_of("240b:10::/32", "106.72.0.0/16", 24, 4);
	_cleanup_text_ struct text out = TEXT_INIT;
	struct map_params params;

	snprintf(rule.provider, sizeof(rule.provider), "v6plus");
	rule.br = ip6("2404:9200:225:100::64");
	derive(&rule, "240b:10:3f6c:d400::/56", &params);
	map_params_print(&params, &out);
	assert_string_equal(
		text_get(&out),
		"provider=v6plus\n"
		"rule_ipv6_prefix=240b:10::/32\n"
		"rule_ipv4_prefix=106.72.0.0/16\n"
		"ea_length=24\n"
		"psid_offset=4\n"
		"psid_length=8\n"
		"psid=212\n"
		"ipv4_address=106.72.63.108\n"
		"ipv4_prefix_length=32\n"
		"ce_address=240b:10:3f6c:d400:6a:483f:6c00:d400\n"
		"br_address=2404:9200:225:100::64\n"
		"port_count=240\n"
		"port_ranges=7488-7503 11584-11599 15680-15695 19776-19791 23872-23887 "
		"27968-27983 32064-32079 36160-36175 40256-40271 44352-44367 48448-48463 "
		"52544-52559 56640-56655 60736-60751 64832-64847\n");
	text_clear(&out);
	rule = rule_of("2001:db8::/32", "198.51.96.0/20", 8, 6);
	derive(&rule, "2001:db8:ab00::/40", &params);
	map_params_print(&params, &out);
	assert_string_equal(text_get(&out), "provider=test\n"
					    "rule_ipv6_prefix=2001:db8::/32\n"
					    "rule_ipv4_prefix=198.51.96.0/20\n"
					    "ea_length=8\n"
					    "psid_offset=6\n"
					    "psid_length=0\n"
					    "psid=0\n"
					    "ipv4_address=198.51.106.176\n"
					    "ipv4_prefix_length=28\n"
					    "ce_address=2001:db8:ab00:0:c6:336a:b000:0\n"
					    "br_address=2001:db8:ffff::1\n"
					    "port_count=65536\n"
					    "port_ranges=0-65535\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc7597_example_1),
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_all_known_rules),
		cmocka_unit_test(test_known_rules_do_not_overlap),
		cmocka_unit_test(test_prefixes_without_a_rule),
		cmocka_unit_test(test_random_rules),
		cmocka_unit_test(test_hostile_rules),
		cmocka_unit_test(test_longer_prefixes_are_cut),
		cmocka_unit_test(test_each_difference_of_params_counts),
		cmocka_unit_test(test_what_does_not_fit_is_refused),
		cmocka_unit_test(test_whole_address_in_the_ea_bits),
		cmocka_unit_test(test_address_of_no_host),
		cmocka_unit_test(test_end_user_prefix_beyond_64),
		cmocka_unit_test(test_given_psid_wins_over_ea_bits),
		cmocka_unit_test(test_sixteen_bit_psid),
		cmocka_unit_test(test_print),
	};

	return cmocka_run_group_tests_name("derive", tests, NULL, NULL);
}
