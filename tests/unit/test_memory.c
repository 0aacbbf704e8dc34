/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every allocation of lib/map failing once, one after another: each function then says -ENOMEM,
 * leaves its result alone and loses nothing (the sanitizer looks for leaks at the end).
 *
 * The linker leads the calls through the functions below (--wrap).
 */
#include "tests/unit/map_values.h"

#include <errno.h>
#include <limits.h>

#include "lib/map/choose.h"
#include "lib/map/plan.h"
#include "lib/map/s46.h"

static long until_failure = LONG_MAX;

static bool fails(void)
{
	return until_failure != LONG_MAX && until_failure-- == 0;
}

void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_reallocarray(void *memory, size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_reallocarray(void *memory, size_t count, size_t size);

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

/* Runs the function with its first, second, … allocation failing until none fails; at least there
 * have to be so many. The function returns what it found: 0 or -ENOMEM. */
static void exhaust(int (*run)(void), long least)
{
	for (long i = 0;; i++) {
		bool failed;
		int r;

		assert_true(i < 10000);
		until_failure = i;
		r = run();
		failed = until_failure < 0;
		until_failure = LONG_MAX;
		assert_int_equal(r, failed ? -ENOMEM : 0);
		if (!failed) {
			assert_true(i >= least);
			return;
		}
	}
}

/* ---- growing lists ----------------------------------------------------------------------- */

static int run_rules(void)
{
	_cleanup_ruleset_ struct ruleset set = {0};
	struct map_rule rule = rule_of("2001:db8::/40", "192.0.2.0/24", 16, 6);
	int r = 0;

	for (unsigned int i = 0; i < 9 && r == 0; i++) {
		rule.ea_length = (uint8_t)i;
		r = ruleset_add(&set, &rule);
		if (r == 0)
			assert_int_equal(set.count, i + 1);
	}
	/* what was there before the failure is still there */
	for (size_t i = 0; i < set.count; i++)
		assert_int_equal(set.rules[i].ea_length, i);
	return r;
}

static int run_candidates(void)
{
	_cleanup_candidates_ struct candidates all = {0};
	struct candidate one = {.source = SOURCE_STATIC};
	int r = 0;

	for (unsigned int i = 0; i < 9 && r == 0; i++) {
		one.appeared_usec = i;
		r = candidates_add(&all, &one);
	}
	for (size_t i = 0; i < all.count; i++)
		assert_int_equal(all.list[i].appeared_usec, i);
	return r;
}

static void test_lists_keep_what_they_have(void **state)
{
	exhaust(run_rules, 3);
	exhaust(run_candidates, 3);
}

/* ---- the plan ---------------------------------------------------------------------------- */

static int build(struct plan *ret)
{
	struct forward forwards[] = {
		{.protocols = PROTO_TCP, .kind = FORWARD_AUTO},
		{.protocols = PROTO_TCP, .ports = {1680, 1680}},
	};
	struct forward pppoe_forwards[] = {{.protocols = PROTO_UDP, .ports = {1, 2}}};
	struct plan_lines lines = {.wan = "wan0", .wan_mtu = 1500, .ppp_up = true};
	struct map_rule rule = rule_of("2400:4050::/34", "153.240.0.0/16", 22, 6);
	struct prefix6 prefix = p6("2400:4050:48d:2900::/56");
	_cleanup_text_ struct text complaints = TEXT_INIT;
	struct settings settings;
	struct map_params params;

	settings_defaults(&settings);
	settings.forwards = forwards;
	settings.forward_count = ARRAY_SIZE(forwards);
	settings.pppoe.enabled = true;
	settings.pppoe.forwards = pppoe_forwards;
	settings.pppoe.forward_count = ARRAY_SIZE(pppoe_forwards);
	assert_int_equal(map_derive(&rule, &prefix, &params, NULL), 0);
	return plan_build(&settings, &params, &lines, ret, &complaints);
}

static int run_plan(void)
{
	_cleanup_plan_ struct plan plan = PLAN_EMPTY;
	int r;

	plan.route_count = PLAN_ROUTE_MAX + 1;
	r = build(&plan);
	assert_true((plan.route_count == PLAN_ROUTE_MAX + 1) == (r < 0));
	return r;
}

static int run_equal(void)
{
	_cleanup_plan_ struct plan plan = PLAN_EMPTY;
	long left = until_failure;
	int r;

	until_failure = LONG_MAX;
	r = build(&plan);
	until_failure = left;
	assert_int_equal(r, 0);
	/* A text that could not be built is equal to nothing. */
	return plan_equal(&plan, &plan) ? 0 : -ENOMEM;
}

static void test_plan(void **state)
{
	exhaust(run_plan, 2);
	exhaust(run_equal, 2);
}

/* ---- rules from DHCPv6 ------------------------------------------------------------------- */

static const uint8_t option_94[] = {
	0x00, 0x5e, 0x00, 0x25,                                           /* MAP-E container */
	0x00, 0x59, 0x00, 0x0d, 0x00, 0x16, 0x10, 0x99, 0xf0, 0x00, 0x00, /* rule */
	0x22, 0x24, 0x00, 0x40, 0x50, 0x00,                               /* */
	0x00, 0x5a, 0x00, 0x10, 0x20, 0x01, 0x03, 0x80, 0xa1, 0x20, 0x00, /* relay */
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x09,             /* */
	0x00, 0x5e, 0x00, 0x00,                                           /* an empty one */
};

/* The complaint about the empty container may be lost, the rule not. */
static int run_decode(void)
{
	_cleanup_text_ struct text complaints = TEXT_INIT;
	_cleanup_s46_ struct s46 s46 = {0};
	int r;

	r = s46_decode(option_94, sizeof(option_94), IID_RFC7597, &s46, &complaints);
	assert_int_equal(s46.count, r == 0 ? 1 : 0);
	return text_failed(&complaints) ? -ENOMEM : r;
}

static int run_words(void)
{
	_cleanup_text_ struct text complaints = TEXT_INIT;
	_cleanup_s46_ struct s46 s46 = {0};
	int r;

	r = s46_parse_odhcp6c("type=map-e,ealen=22,prefix4len=16,prefix6len=34,"
			      "ipv4prefix=153.240.0.0,ipv6prefix=2400:4050::,"
			      "br=2001:380:a120::9, ",
			      IID_RFC7597, &s46, &complaints);
	assert_int_equal(s46.count, r == 0 ? 1 : 0);
	return r;
}

static void test_rules_from_dhcp(void **state)
{
	exhaust(run_decode, 2);
	exhaust(run_words, 1);
}

/* ---- texts ------------------------------------------------------------------------------- */

static int run_text(void)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	_cleanup_free_ char *taken = NULL;

	for (unsigned int i = 0; i < 1000; i++)
		text_add(&text, "%u ", i);
	taken = text_take(&text);
	/* whole or not at all, and the text can be used again */
	assert_true(!taken || strlen(taken) == 10 * 2 + 90 * 3 + 900 * 4);
	assert_string_equal(text_get(&text), "");
	assert_false(text_failed(&text));
	return taken ? 0 : -ENOMEM;
}

static void test_text_is_whole_or_not_at_all(void **state)
{
	exhaust(run_text, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists_keep_what_they_have),
		cmocka_unit_test(test_plan),
		cmocka_unit_test(test_rules_from_dhcp),
		cmocka_unit_test(test_text_is_whole_or_not_at_all),
	};

	return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
