/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/map/derive.h"
#include "lib/map/s46.h"

/* Pieces of options, as hex. RULE is OCN's first; RELAY its border relay. */
#define RULE      "0059000d00161099f00000222400405000"
#define RELAY     "005a001020010380a12000000000000000000009"
#define RULE_TEXT "0 ea=22 v4=153.240.0.0/16 v6=2400:4050::/34 a=6 br=2001:380:a120::9\n"

struct octets {
	uint8_t *at; /* exactly length octets on the heap: reading further is seen by ASan */
	size_t length;
};

static void octets_done(struct octets *octets)
{
	free(octets->at);
}

static unsigned int nibble(char digit)
{
	return (unsigned int)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

static struct octets from_hex(const char *hex)
{
	struct octets out = {malloc(strlen(hex) / 2 + 1), 0};

	assert_non_null(out.at);
	assert_int_equal(strlen(hex) % 2, 0);
	for (; hex[0]; hex += 2)
		out.at[out.length++] = (uint8_t)(nibble(hex[0]) << 4 | nibble(hex[1]));
	out.at = realloc(out.at, out.length + (out.length == 0));
	return out;
}

/* "005e" + length + hex: one option round other options. */
static void wrap(unsigned int code, const char *hex, struct text *out)
{
	text_add(out, "%04x%04zx%s", code, strlen(hex) / 2, hex);
}

static void describe(const struct s46_rule *s46, struct text *out)
{
	const struct map_rule *rule = &s46->rule;
	char rule4[PREFIX4_TEXT_MAX], rule6[PREFIX6_TEXT_MAX], br[INET6_ADDRSTRLEN];

	text_add(out, "%u%s ea=%u v4=%s v6=%s a=%u", s46->domain, s46->forwarding ? " fmr" : "",
		 rule->ea_length, prefix4_format(&rule->ipv4_prefix, rule4),
		 prefix6_format(&rule->ipv6_prefix, rule6), rule->psid_offset);
	if (rule->psid_given)
		text_add(out, " psid=%u/%u", rule->psid, rule->psid_length);
	text_add(out, " br=%s\n", inet_ntop(AF_INET6, &rule->br, br, sizeof(br)));
}

/* Rules and complaints of an input as one text. */
static void describe_octets(const uint8_t *at, size_t length, struct text *out)
{
	_cleanup_s46_ struct s46 s46 = {0};
	_cleanup_text_ struct text complaints = TEXT_INIT;
	int r;

	r = s46_decode(at, length, IID_RFC7597, &s46, &complaints);
	assert_true(r == 0 || r == -ENOENT);
	assert_true((r == 0) == (s46.count > 0));
	for (size_t i = 0; i < s46.count; i++) {
		assert_string_equal(s46.rules[i].rule.provider, "dhcp");
		assert_int_equal(s46.rules[i].rule.iid_format, IID_RFC7597);
		describe(&s46.rules[i], out);
	}
	/* Nothing is refused without a reason. */
	assert_true(r == 0 || complaints.length > 0);
	text_add(out, "%s", text_get(&complaints));
}

static void expect(const char *hex, const char *expected)
{
	_cleanup_(octets_done) struct octets octets = from_hex(hex);
	_cleanup_text_ struct text seen = TEXT_INIT;

	describe_octets(octets.at, octets.length, &seen);
	assert_string_equal(text_get(&seen), expected);
}

/* The same for the options of one container. */
static void expect_inside(const char *hex, const char *expected)
{
	_cleanup_text_ struct text whole = TEXT_INIT;

	wrap(94, hex, &whole);
	expect(text_get(&whole), expected);
}

/* The same for one rule, with a relay beside it. */
static void expect_rule(const char *hex, const char *expected)
{
	_cleanup_text_ struct text inside = TEXT_INIT;

	text_add(&inside, "%s" RELAY, hex);
	expect_inside(text_get(&inside), expected);
}

static void test_examples_of_the_standards(void **state)
{
	expect("005e002d005900150016"
	       "1099f00000222400405000005d000406000000005a001020010380a12000000000000000000009",
	       RULE_TEXT);
	expect("005e002f00590017010020c00002123820010db8001234005d000406083400"
	       "005a001020010db8ffff00000000000000000001",
	       "0 fmr ea=0 v4=192.0.2.18/32 v6=2001:db8:12:3400::/56 a=6 psid=52/8 "
	       "br=2001:db8:ffff::1\n");
	/* RFC 8026: a list of options in order of preference holds no rules. */
	expect("006f0006005e005f0060", "no MAP-E container (option 94)\n");
}

/* RFC 7597 appendix A, example 5: the PSID comes from the wire. */
static void test_rule_from_the_wire_leads_to_the_address(void **state)
{
	_cleanup_(octets_done) struct octets octets =
		from_hex("005e002f00590017010020c00002123820010db8001234005d000406083400"
			 "005a001020010db8ffff00000000000000000001");
	_cleanup_s46_ struct s46 s46 = {0};
	_cleanup_text_ struct text complaints = TEXT_INIT;
	struct map_params params;
	struct prefix6 prefix;
	char ce[INET6_ADDRSTRLEN];

	assert_int_equal(s46_decode(octets.at, octets.length, IID_RFC7597, &s46, &complaints), 0);
	assert_int_equal(prefix6_parse("2001:db8:12:3400::/56", &prefix), 0);
	assert_int_equal(map_derive(&s46.rules[0].rule, &prefix, &params, NULL), 0);
	assert_string_equal(inet_ntop(AF_INET6, &params.ce, ce, sizeof(ce)),
			    "2001:db8:12:3400:0:c000:212:34");
	assert_int_equal(portset_count(&params.ports), 252);
	assert_int_equal(portset_nth(&params.ports, 0), 1232);

	s46_done(&s46);
	assert_int_equal(s46_decode(octets.at, octets.length, IID_MAP_DRAFT_03, &s46, &complaints),
			 0);
	assert_int_equal(map_derive(&s46.rules[0].rule, &prefix, &params, NULL), 0);
	assert_string_equal(inet_ntop(AF_INET6, &params.ce, ce, sizeof(ce)),
			    "2001:db8:12:3400:c0:2:1200:3400");
}

/* Octets that other implementations are tested with; all of them read these alike. */
static void test_octets_of_other_implementations(void **state)
{
	/* dhcpkit, S46MapEContainerOption */
	expect("005e002d00590015011018010203002220010db800005d00040607fe00"
	       "005a001020010db8000000000000000000000001",
	       "0 fmr ea=16 v4=1.2.3.0/24 v6=2001:db8::/34 a=6 psid=127/7 br=2001:db8::1\n");
	/* Kea, mape_bin: relay first; flags 0x80 is a reserved bit, not F */
	expect("005e0040005a001020010db800000000000000000000abcd"
	       "0059001880041ec00002c04020010db800010203005d00040806fc00"
	       "0059000c000620c00002012020010db8",
	       "0 ea=4 v4=192.0.2.192/30 v6=2001:db8:1:203::/64 a=8 psid=63/6 "
	       "br=2001:db8::abcd\n"
	       "0 ea=6 v4=192.0.2.1/32 v6=2001:db8::/32 a=6 br=2001:db8::abcd\n");
	/* FreeRADIUS: relays and port parameters alone */
	expect_inside(RULE "005a001020010db8000000000000000000000001",
		      "0 ea=22 v4=153.240.0.0/16 v6=2400:4050::/34 a=6 br=2001:db8::1\n");
	expect_inside(RULE "005a0010fe800000000000000000000000000001",
		      "0 ea=22 v4=153.240.0.0/16 v6=2400:4050::/34 a=6 br=fe80::1\n");
	expect_rule("0059001500002001020304282001"
		    "0db8aa005d000406080400",
		    "0 ea=0 v4=1.2.3.4/32 v6=2001:db8:aa00::/40 a=6 psid=4/8 "
		    "br=2001:380:a120::9\n");
	/* dhcpkit: unknown options inside a rule are passed over */
	expect_rule("00590015011020010203002220010db800ffff0000fffe0000",
		    "0 fmr ea=16 v4=1.2.3.0/32 v6=2001:db8::/34 a=6 br=2001:380:a120::9\n");
	expect_rule("00590020011020010203008020010db8000000000000000000000000ffff0000fffe0000",
		    "0 fmr ea=16 v4=1.2.3.0/32 v6=2001:db8::/128 a=6 br=2001:380:a120::9\n");
}

static void test_broken_octets_of_other_implementations(void **state)
{
	expect_rule("00590015011021010203002220010db800ffff0000fffe0000",
		    "MAP-E container 1 ignored: IPv4 prefix length 33 is more than 32\n");
	expect_rule("00590021011020010203008120010db80000000000000000"
		    "0000000000ffff0000fffe0000",
		    "MAP-E container 1 ignored: IPv6 prefix length 129 is more than 128\n");
	expect_rule("00590000011018010203002220010db800ffff0000fffe0000",
		    "MAP-E container 1 ignored: rule (option 89) of 0 octets: 8 are the least\n");
	expect_rule("00590014011018010203002220010db800ffff0000fffe0000",
		    "MAP-E container 1 ignored: rule (option 89) is cut off in an option inside "
		    "it\n");
	/* FreeRADIUS's rule has no EA length and a fixed 16 octets of prefix */
	expect_rule("005900170118c0a800002020010db8000000000000000000000000",
		    "MAP-E container 1 ignored: rule (option 89) is cut off in an option inside "
		    "it\n");
	expect("005e00046a2b0000", "MAP-E container 1 ignored: no rule (option 89)\n");
	expect("005e0010005f000c005e0008005e00046a2b0000401a0000",
	       "MAP-E container 1 ignored: no rule (option 89)\n");
	/* mapeced packs offset and length of the PSID into one octet */
	expect("005e002f0059001701100f6a490000402404920002250100005d0003480000"
	       "005a001024049200022501000000000000000064",
	       "MAP-E container 1 ignored: port parameters (option 93) of 3 octets instead of 4\n");
	expect("005e00470059001701100f6a490000402404920002250100005d0003480000"
	       "0059001400121685cba0002624047a8220005d0003480000"
	       "005a001024049200022501000000000000000064",
	       "MAP-E container 1 ignored: port parameters (option 93) of 3 octets instead of 4\n");
}

static void test_the_table_of_containers_is_kept(void **state)
{
	expect_inside(RULE, "MAP-E container 1 ignored: no border relay (option 90)\n");
	expect_inside(RELAY, "MAP-E container 1 ignored: no rule (option 89)\n");
	expect_inside("", "MAP-E container 1 ignored: no rule (option 89)\n");
	expect_inside(RULE "005a000f20010380a120000000000000000000",
		      "MAP-E container 1 ignored: border relay (option 90) of 15 octets instead of "
		      "16\n");
	expect_inside(RULE RELAY "005b000100",
		      "MAP-E container 1 ignored: option 91 has no place in a MAP-E container\n");
	expect_inside(RULE RELAY "005c0005c000020100",
		      "MAP-E container 1 ignored: option 92 has no place in a MAP-E container\n");
	expect_inside(RULE RELAY "005d000404000000",
		      "MAP-E container 1 ignored: option 93 has no place in a MAP-E container\n");
	/* A container inside a container is an unknown option there, and is not entered. */
	expect_inside(RULE RELAY "005e0000", RULE_TEXT);
	expect_inside(RULE RELAY "ffff0003abcdef", RULE_TEXT);
	expect_inside(RULE RELAY "ffff0003abcd",
		      "MAP-E container 1 ignored: cut off in the middle of an option\n");
	expect("", "no MAP-E container (option 94)\n");
}

static void test_port_parameters(void **state)
{
#define RULE_WITH(params) "0059001500161099f00000222400405000005d0004" params
	/* PSID length 0: only the offset counts, whatever the PSID field holds */
	expect_rule(RULE_WITH("0400ffff"),
		    "0 ea=22 v4=153.240.0.0/16 v6=2400:4050::/34 a=4 br=2001:380:a120::9\n");
	/* left-aligned: bits behind the length do not count */
	expect_rule(RULE_WITH("0406a7ff"), "0 ea=22 v4=153.240.0.0/16 v6=2400:4050::/34 a=4 "
					   "psid=41/6 br=2001:380:a120::9\n");
	expect_rule(RULE_WITH("0010abcd"), "0 ea=22 v4=153.240.0.0/16 v6=2400:4050::/34 a=0 "
					   "psid=43981/16 br=2001:380:a120::9\n");
	expect_rule(RULE_WITH("0f018000"), "0 ea=22 v4=153.240.0.0/16 v6=2400:4050::/34 a=15 "
					   "psid=1/1 br=2001:380:a120::9\n");
	expect_rule(RULE_WITH("10000000"),
		    "MAP-E container 1 ignored: PSID offset 16 is more than 15\n");
	expect_rule(RULE_WITH("06110000"),
		    "MAP-E container 1 ignored: PSID length 17 is more than 16\n");
	expect_rule("0059001d00161099f00000222400405000005d000404000000005d000404000000",
		    "MAP-E container 1 ignored: port parameters (option 93) twice in one rule\n");
	/* An IPv4 prefix of the CE's own is shared with nobody: the PSID is dropped (RFC 7598 4.5)
	 */
	expect_rule("0059001500081099f00000222400405000005d000404083400",
		    "0 ea=8 v4=153.240.0.0/16 v6=2400:4050::/34 a=4 br=2001:380:a120::9\n");
	expect_rule("0059000d00311099f00000222400405000",
		    "MAP-E container 1 ignored: EA-bit length 49 is more than 48\n");
}

/* "Receiver ignores": RFC 7598 4.1. */
static void test_bits_behind_a_prefix_do_not_count(void **state)
{
	expect_rule("0059000d00161099f0ffff2224004050ff",
		    "0 ea=22 v4=153.240.0.0/16 v6=2400:4050:c000::/34 a=6 br=2001:380:a120::9\n");
	expect_rule("0059000800300000000000"
		    "00",
		    "0 ea=48 v4=0.0.0.0/0 v6=::/0 a=6 br=2001:380:a120::9\n");
}

static void test_each_container_is_a_domain(void **state)
{
#define WHOLE(length, options) "005e00" length options
	/* among options of other kinds, 95 and 96 included */
	expect("0017001020010db8000000000000000000000053" WHOLE(
		       "25", RULE RELAY) "005f0000"
					 "00600000" WHOLE("25", RELAY RULE) "000b0000",
	       RULE_TEXT "1 ea=22 v4=153.240.0.0/16 v6=2400:4050::/34 a=6 br=2001:380:a120::9\n");
	/* a broken one takes nothing with it */
	expect(WHOLE("11", RULE) WHOLE("25", RULE RELAY),
	       "1 ea=22 v4=153.240.0.0/16 v6=2400:4050::/34 a=6 br=2001:380:a120::9\n"
	       "MAP-E container 1 ignored: no border relay (option 90)\n");
	expect(WHOLE("25", RULE RELAY) WHOLE("25", RULE),
	       RULE_TEXT "the options end in the middle of one\n");
}

static void test_payload_without_its_head_is_seen_as_such(void **state)
{
	expect(RULE RELAY, RULE_TEXT);
	expect(RELAY RULE, RULE_TEXT);
	expect("ffff0000" RELAY RULE, RULE_TEXT);
	expect(RULE, "MAP-E container 1 ignored: no border relay (option 90)\n");
	expect(RULE RELAY "00", "MAP-E container 1 ignored: cut off in the middle of an option\n");
}

static void test_several_relays_make_several_rules(void **state)
{
	expect_inside(RELAY RULE "005a001020010db8000000000000000000000001",
		      RULE_TEXT "0 ea=22 v4=153.240.0.0/16 v6=2400:4050::/34 a=6 "
				"br=2001:db8::1\n");
}

static void repeat(const char *hex, unsigned int times, struct text *out)
{
	for (unsigned int i = 0; i < times; i++)
		text_add(out, "%s", hex);
}

static size_t count_rules(const char *hex, struct text *complaints)
{
	_cleanup_(octets_done) struct octets octets = from_hex(hex);
	_cleanup_s46_ struct s46 s46 = {0};

	s46_decode(octets.at, octets.length, IID_RFC7597, &s46, complaints);
	return s46.count;
}

static void test_no_input_makes_too_many_rules(void **state)
{
	_cleanup_text_ struct text inside = TEXT_INIT, two = TEXT_INIT, why = TEXT_INIT;

	repeat(RULE, S46_RULES_MAX, &inside);
	repeat(RELAY, 1, &inside);
	assert_int_equal(count_rules(text_get(&inside), &why), S46_RULES_MAX);
	wrap(94, text_get(&inside), &two);
	wrap(94, RULE RELAY, &two);
	assert_int_equal(count_rules(text_get(&two), &why), S46_RULES_MAX);
	assert_string_equal(text_get(&why),
			    "MAP-E container 2 ignored: more than 256 rules in all\n");

	text_clear(&why);
	repeat(RELAY, 1, &inside);
	assert_int_equal(count_rules(text_get(&inside), &why), 0);
	assert_string_equal(text_get(&why), "MAP-E container 1 ignored: 256 rules with 2 border "
					    "relays: too many\n");
	text_clear(&why);
	text_clear(&inside);
	repeat(RULE, S46_RULES_MAX + 1, &inside);
	repeat(RELAY, 1, &inside);
	assert_int_equal(count_rules(text_get(&inside), &why), 0);
	assert_string_equal(text_get(&why), "MAP-E container 1 ignored: 257 rules with 1 border "
					    "relays: too many\n");
}

static const char two_rules[] = "005e0045"
				"005a001020010db800000000000000000000abcd"
				"0059001880041ec00002c04020010db800010203005d00040806fc00"
				"0059001100162099f00000222400405000ffff0000";

static void decode_copy(const uint8_t *at, size_t length)
{
	_cleanup_(octets_done) struct octets copy = {malloc(length + (length == 0)), length};
	_cleanup_text_ struct text seen = TEXT_INIT;

	assert_non_null(copy.at);
	memcpy(copy.at, at, length);
	describe_octets(copy.at, length, &seen);
}

static void test_cut_at_each_octet(void **state)
{
	_cleanup_(octets_done) struct octets octets = from_hex(two_rules);

	for (size_t length = 0; length < octets.length; length++) {
		_cleanup_s46_ struct s46 s46 = {0};
		_cleanup_text_ struct text complaints = TEXT_INIT;

		assert_int_equal(s46_decode(octets.at, length, IID_RFC7597, &s46, &complaints),
				 -ENOENT);
		decode_copy(octets.at, length);
		if (length >= 4) /* the payload alone */
			decode_copy(octets.at + 4, length - 4);
	}
}

static void test_every_octet_may_be_anything(void **state)
{
	_cleanup_(octets_done) struct octets octets = from_hex(two_rules);

	for (size_t i = 0; i < octets.length; i++) {
		uint8_t was = octets.at[i];

		for (unsigned int value = 0; value <= UINT8_MAX; value++) {
			octets.at[i] = (uint8_t)value;
			decode_copy(octets.at, octets.length);
			decode_copy(octets.at + 4, octets.length - 4);
		}
		octets.at[i] = was;
	}
}

static void test_fields_are_checked_wherever_they_come_from(void **state)
{
	const struct s46_fields good = {
		.ea_length = 48,
		.ipv4_length = 32,
		.ipv6_length = 128,
		.port_params = true,
		.psid_offset = 15,
		.psid_length = 16,
		.psid = 65535,
	};
	static const struct {
		size_t field;
		unsigned int bad;
		const char *sentence;
	} cases[] = {
		{offsetof(struct s46_fields, ea_length), 49, "EA-bit length 49 is more than 48"},
		{offsetof(struct s46_fields, ipv4_length), 33,
		 "IPv4 prefix length 33 is more than 32"},
		{offsetof(struct s46_fields, ipv6_length), 129,
		 "IPv6 prefix length 129 is more than 128"},
		{offsetof(struct s46_fields, psid_offset), 16, "PSID offset 16 is more than 15"},
		{offsetof(struct s46_fields, psid_length), 17, "PSID length 17 is more than 16"},
		{offsetof(struct s46_fields, psid), 65536, "PSID 65536 is more than 65535"},
	};
	struct s46_rule rule = {.domain = 7};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct s46_fields fields = good;
		struct fault fault = {0};

		memcpy((char *)&fields + cases[i].field, &cases[i].bad, sizeof(cases[i].bad));
		assert_int_equal(s46_rule_make(&fields, IID_RFC7597, &rule, &fault), -EINVAL);
		assert_string_equal(fault.text, cases[i].sentence);
		assert_int_equal(rule.domain, 7);
	}
	assert_int_equal(s46_rule_make(&good, IID_RFC7597, &rule, NULL), 0);
	assert_int_equal(rule.rule.psid, 65535);
}

/* ---- the words of odhcp6c ---------------------------------------------------------------- */

static void expect_words(const char *words, const char *expected)
{
	_cleanup_s46_ struct s46 s46 = {0};
	_cleanup_text_ struct text seen = TEXT_INIT, complaints = TEXT_INIT;
	int r;

	r = s46_parse_odhcp6c(words, IID_RFC7597, &s46, &complaints);
	assert_true(r == 0 || r == -ENOENT);
	for (size_t i = 0; i < s46.count; i++)
		describe(&s46.rules[i], &seen);
	text_add(&seen, "%s", text_get(&complaints));
	assert_string_equal(text_get(&seen), expected);
}

#define WORDS                                                                     \
	"type=map-e,ealen=22,prefix4len=16,prefix6len=34,ipv4prefix=153.240.0.0," \
	"ipv6prefix=2400:4050::,"
#define RELAY_WORD "br=2001:380:a120::9,"

static void test_words_of_odhcp6c(void **state)
{
	expect_words(WORDS RELAY_WORD " ", RULE_TEXT);
	expect_words("fmr,type=map-e,ealen=0,prefix4len=32,prefix6len=56,ipv4prefix=192.0.2.18,"
		     "ipv6prefix=2001:db8:12:3400::,offset=6,psidlen=8,psid=13312,"
		     "br=2001:db8:ffff::1, ",
		     "0 fmr ea=0 v4=192.0.2.18/32 v6=2001:db8:12:3400::/56 a=6 psid=52/8 "
		     "br=2001:db8:ffff::1\n");
	expect_words(WORDS "offset=4,psidlen=0,psid=0,new=thing," RELAY_WORD
			   "br=2001:db8::1, " WORDS RELAY_WORD,
		     "0 ea=22 v4=153.240.0.0/16 v6=2400:4050::/34 a=4 br=2001:380:a120::9\n"
		     "0 ea=22 v4=153.240.0.0/16 v6=2400:4050::/34 a=4 br=2001:db8::1\n" RULE_TEXT);
}

static void test_words_that_are_refused(void **state)
{
	expect_words("", "no rule\n");
	expect_words("   ", "no rule\n");
	expect_words(WORDS, "rule 1: no border relay (br=)\n");
	expect_words("ealen=22,", "rule 1: a part of the rule is missing\n");
	expect_words(WORDS RELAY_WORD " " WORDS, "rule 2: no border relay (br=)\n");
	expect_words(WORDS RELAY_WORD "offset=4,",
		     "rule 1: offset=, psidlen= and psid= go together\n");
	expect_words(WORDS RELAY_WORD "type=map-t,",
		     "rule 1: type=map-t: not a value that can be\n");
	expect_words(WORDS "br=2001:db8::g,", "rule 1: br=2001:db8::g: not a value that can be\n");
	expect_words(WORDS "ealen=-1,", "rule 1: ealen=-1: not a value that can be\n");
	expect_words(WORDS "ealen=1x,", "rule 1: ealen=1x: not a value that can be\n");
	expect_words(WORDS "ealen=65536,", "rule 1: ealen=65536: not a value that can be\n");
	expect_words(WORDS "ealen=99999999999999999999,",
		     "rule 1: ealen=99999999999999999999: not a value that can be\n");
	expect_words(WORDS "ealen=,", "rule 1: ealen=: not a value that can be\n");
	expect_words(WORDS RELAY_WORD "ealen=49,", "rule 1: EA-bit length 49 is more than 48\n");
	expect_words("what,", "rule 1: what: not KEY=VALUE\n");
	expect_words("ipv6prefix=0000000000000000000000000000000000000000000000000000000000000,",
		     "rule 1: ipv6prefix=000000000…: too long\n");
}

static void test_words_have_bounds_too(void **state)
{
	_cleanup_text_ struct text words = TEXT_INIT;

	text_add(&words, WORDS);
	repeat(RELAY_WORD, 17, &words);
	expect_words(text_get(&words), "rule 1: br=2001:380:a120::9: not a value that can be\n");
	text_clear(&words);
	repeat(WORDS RELAY_WORD " ", S46_RULES_MAX + 1, &words);
	expect_words(text_get(&words), "rule 257: more than 256 rules in all\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_examples_of_the_standards),
		cmocka_unit_test(test_rule_from_the_wire_leads_to_the_address),
		cmocka_unit_test(test_octets_of_other_implementations),
		cmocka_unit_test(test_broken_octets_of_other_implementations),
		cmocka_unit_test(test_the_table_of_containers_is_kept),
		cmocka_unit_test(test_port_parameters),
		cmocka_unit_test(test_bits_behind_a_prefix_do_not_count),
		cmocka_unit_test(test_each_container_is_a_domain),
		cmocka_unit_test(test_payload_without_its_head_is_seen_as_such),
		cmocka_unit_test(test_several_relays_make_several_rules),
		cmocka_unit_test(test_no_input_makes_too_many_rules),
		cmocka_unit_test(test_cut_at_each_octet),
		cmocka_unit_test(test_every_octet_may_be_anything),
		cmocka_unit_test(test_fields_are_checked_wherever_they_come_from),
		cmocka_unit_test(test_words_of_odhcp6c),
		cmocka_unit_test(test_words_that_are_refused),
		cmocka_unit_test(test_words_have_bounds_too),
	};

	return cmocka_run_group_tests_name("s46", tests, NULL, NULL);
}
