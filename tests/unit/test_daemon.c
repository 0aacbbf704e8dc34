/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The pure parts of the daemon: deciding, pacing, the STATUS line. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/decide.h"
#include "daemon/heritage.h"
#include "daemon/pace.h"
#include "daemon/report.h"

#define SECOND ((uint64_t)1000000)

struct world {
	struct settings settings;
	struct ruleset rules;
	struct candidates seen;
	struct decide_memory memory;
	struct wan_view wan;
	uint64_t now_usec;
};

static void see(struct world *world, const char *prefix)
{
	struct candidate one = {.source = SOURCE_WAN_ADDR, .valid_until_usec = UINT64_MAX};

	assert_int_equal(prefix6_parse(prefix, &one.prefix), 0);
	one.appeared_usec = one.refreshed_usec = world->now_usec;
	assert_int_equal(candidates_add(&world->seen, &one), 0);
}

static void see_nothing(struct world *world)
{
	candidates_done(&world->seen);
	memset(&world->seen, 0, sizeof(world->seen));
}

static int setup_world(void **state)
{
	static struct world world;
	struct map_rule rule = {
		.provider = "ocn",
		.ea_length = 22,
		.psid_offset = 6,
		.iid_format = IID_MAP_DRAFT_03,
	};

	memset(&world, 0, sizeof(world));
	settings_defaults(&world.settings);
	prefix6_parse("2400:4050::/34", &rule.ipv6_prefix);
	prefix4_parse("153.240.0.0/16", &rule.ipv4_prefix);
	inet_pton(AF_INET6, "2001:380:a120::9", &rule.br);
	ruleset_add(&world.rules, &rule);
	world.memory.choice.verdict = VERDICT_NO_PREFIX;
	world.wan = (struct wan_view){.found = true, .name = "wan0", .up = true};
	world.now_usec = 100 * SECOND;
	*state = &world;
	return 0;
}

static int drop_world(void **state)
{
	struct world *world = *state;

	see_nothing(world);
	ruleset_done(&world->rules);
	settings_done(&world->settings);
	return 0;
}

static struct decision look(struct world *world)
{
	struct decision decision;

	decide(&world->wan, &world->seen, &world->settings, &world->rules, world->now_usec,
	       &world->memory, &decision);
	return decision;
}

static void assert_explained(struct world *world, const struct decision *decision, const char *part)
{
	_cleanup_text_ struct text text = TEXT_INIT;

	decision_explain(decision, &world->wan, &text);
	if (!strstr(text_get(&text), part))
		fail_msg("\"%s\" does not speak of \"%s\"", text_get(&text), part);
}

static void test_comes_up(void **state)
{
	struct world *world = *state;
	struct decision decision = look(world);

	assert_int_equal(decision.state, STATE_WAITING_PREFIX);
	assert_false(decision.usable);
	assert_int_equal(decision.look_again_usec, 0);
	see(world, "2400:4050:48d:2900::/64");
	decision = look(world);
	assert_int_equal(decision.state, STATE_UP);
	assert_true(decision.usable);
	assert_int_equal(decision.choice.params.ports.psid, 41);
}

static void test_missing_wan_is_named(void **state)
{
	struct world *world = *state;
	struct decision decision;

	world->wan = (struct wan_view){.found = false, .name = "enp9s0"};
	decision = look(world);
	assert_int_equal(decision.state, STATE_WAITING_WAN);
	assert_explained(world, &decision, "enp9s0");
	world->wan.name = "";
	decision = look(world);
	assert_explained(world, &decision, "default route");
}

static void test_wan_is_remembered_while_it_exists(void **state)
{
	struct world *world = *state;

	look(world);
	assert_string_equal(world->memory.wan, "wan0");
	see(world, "2400:4050:48d:2900::/64");
	look(world);
	see_nothing(world);
	world->wan.up = false;
	assert_int_equal(look(world).state, STATE_WAITING_CARRIER);
	assert_string_equal(world->memory.wan, "wan0");
	world->wan = (struct wan_view){.found = false, .name = ""};
	look(world);
	assert_string_equal(world->memory.wan, "");
	assert_int_equal(world->memory.choice.verdict, VERDICT_NO_PREFIX);
}

static void test_wan_stays_where_another_gives_nothing(void **state)
{
	struct world *world = *state;
	const struct wan_view other = {.found = true, .name = "lte0", .up = true};
	const struct wan_view same = {.found = true, .name = "wan0", .up = true};
	const struct wan_view none = {.found = false, .name = ""};
	struct decision there = {.choice.verdict = VERDICT_NO_RULE};

	look(world);
	assert_false(decide_wan_stays(&world->memory, &other, &there, world->now_usec));
	see(world, "2400:4050:48d:2900::/64");
	look(world);
	assert_true(decide_wan_stays(&world->memory, &other, &there, world->now_usec));
	assert_false(decide_wan_stays(&world->memory, &same, &there, world->now_usec));
	assert_false(decide_wan_stays(&world->memory, &none, &there, world->now_usec));
	world->memory.left_since_usec = world->now_usec;
	assert_true(decide_wan_stays(&world->memory, &other, &there,
				     world->now_usec + DECIDE_HOLD_USEC - 1));
	assert_false(decide_wan_stays(&world->memory, &other, &there,
				      world->now_usec + DECIDE_HOLD_USEC));
	there.usable = true;
	assert_false(decide_wan_stays(&world->memory, &other, &there, world->now_usec));
	/* Without a prefix there it is not held once more. */
	see_nothing(world);
	world->wan.name = "lte0";
	world->now_usec += DECIDE_HOLD_USEC;
	assert_int_equal(look(world).state, STATE_WAITING_PREFIX);
	look(world); /* it has the route again */
	assert_int_equal(world->memory.left_since_usec, 0);
}

static void test_lost_prefix_is_held_then_let_go(void **state)
{
	struct world *world = *state;
	struct decision decision;

	see(world, "2400:4050:48d:2900::/64");
	look(world);
	see_nothing(world);
	world->now_usec += SECOND;
	decision = look(world);
	assert_int_equal(decision.state, STATE_HOLDING);
	assert_int_equal(decision.choice.verdict, VERDICT_CHOSEN);
	assert_false(decision.usable);
	assert_int_equal(decision.look_again_usec, world->now_usec + DECIDE_HOLD_USEC);
	/* Later looks do not begin the wait again. */
	world->now_usec += DECIDE_HOLD_USEC / 2;
	assert_int_equal(look(world).look_again_usec, decision.look_again_usec);
	world->now_usec = decision.look_again_usec;
	decision = look(world);
	assert_int_equal(decision.state, STATE_WAITING_PREFIX);
	assert_int_equal(decision.choice.verdict, VERDICT_NO_PREFIX);
}

static void test_prefix_that_returns_ends_the_hold(void **state)
{
	struct world *world = *state;
	struct decision decision;

	for (int round = 0; round < 3; round++) {
		see(world, "2400:4050:48d:2900::/64");
		assert_int_equal(look(world).state, STATE_UP);
		see_nothing(world);
		world->now_usec += DECIDE_HOLD_USEC - SECOND;
		decision = look(world);
		assert_int_equal(decision.state, STATE_HOLDING);
		world->now_usec += SECOND;
	}
}

static void test_other_prefix_is_not_held(void **state)
{
	struct world *world = *state;
	struct decision decision;

	see(world, "2400:4050:48d:2900::/64");
	look(world);
	see_nothing(world);
	see(world, "2408:210:1234:5600::/64");
	decision = look(world);
	assert_int_equal(decision.state, STATE_CLOSED_NETWORK);
	assert_int_not_equal(decision.choice.verdict, VERDICT_CHOSEN);
}

static void test_carrier_loss_keeps_what_stands(void **state)
{
	struct world *world = *state;
	struct decision decision;

	see(world, "2400:4050:48d:2900::/64");
	look(world);
	world->wan.up = false;
	decision = look(world);
	assert_int_equal(decision.state, STATE_WAITING_CARRIER);
	assert_int_equal(decision.choice.verdict, VERDICT_CHOSEN);
	assert_false(decision.usable);
	assert_explained(world, &decision, "wan0");
	/* The prefix goes with the link: it is held all the same, and the link is what is told. */
	see_nothing(world);
	decision = look(world);
	assert_int_equal(decision.state, STATE_WAITING_CARRIER);
	assert_int_equal(decision.choice.verdict, VERDICT_CHOSEN);
	assert_int_equal(decision.look_again_usec, world->now_usec + DECIDE_HOLD_USEC);
	world->now_usec = decision.look_again_usec;
	decision = look(world);
	assert_int_equal(decision.state, STATE_WAITING_CARRIER);
	assert_int_equal(decision.choice.verdict, VERDICT_NO_PREFIX);
	world->wan.up = true;
	see(world, "2400:4050:48d:2900::/64");
	assert_int_equal(look(world).state, STATE_UP);
}

/* ---- what the next process is told --------------------------------------------------------- */

static struct announcement announced(const char *prefix, uint64_t now_usec, uint64_t valid_usec)
{
	struct announcement one = {
		.index = 7,
		.on_link = true,
		.appeared_usec = now_usec,
		.refreshed_usec = now_usec,
		.preferred_until_usec =
			valid_usec == UINT64_MAX ? valid_usec : now_usec + valid_usec / 2,
		.valid_until_usec = valid_usec == UINT64_MAX ? valid_usec : now_usec + valid_usec,
	};

	assert_int_equal(prefix6_parse(prefix, &one.prefix), 0);
	return one;
}

static struct heritage left_by(struct world *world)
{
	struct signs signs = {.announcement_count = 3};
	struct heritage heritage;

	see(world, "2400:4050:48d:2900::/64");
	look(world);
	signs.announcements[0] =
		announced("2400:4050:48d:2900::/64", world->now_usec, 3600 * SECOND);
	signs.announcements[1] = announced("2400:4050:48d:2a00::/64", world->now_usec, UINT64_MAX);
	signs.announcements[2] = announced("2400:4050:48d:2b00::/64", world->now_usec, UINT64_MAX);
	signs.announcements[2].index = 8; /* not of the WAN */
	heritage_fill("wan0", 7, &world->memory.choice, &signs, &heritage);
	return heritage;
}

static void test_heritage_says_what_was_left(void **state)
{
	struct world *world = *state;
	_cleanup_text_ struct text text = TEXT_INIT;
	struct heritage heritage = left_by(world), read;

	heritage_print(&heritage, &text);
	assert_int_equal(heritage_parse(text_get(&text), world->now_usec, &read), 0);
	assert_string_equal(read.wan, "wan0");
	assert_int_equal(read.announcement_count, 2);
	assert_false(heritage_is_news(&heritage, &read, world->now_usec));
	assert_false(heritage_is_news(&read, &heritage, world->now_usec));
	assert_true(read.announcements[0].valid_until_usec == world->now_usec + 3600 * SECOND);
	/* What has ended meanwhile is not told. */
	assert_int_equal(heritage_parse(text_get(&text), world->now_usec + 3600 * SECOND, &read),
			 0);
	assert_int_equal(read.announcement_count, 1);
	/* Of another boot. */
	assert_int_equal(heritage_parse(text_get(&text), world->now_usec - 1, &read), -EBADMSG);
}

static void test_heritage_is_whole_or_refused(void **state)
{
	static const char *const wrong[] = {
		"",
		"\n",
		"maped-line 2\nend\n",
		"maped-line 1\n",
		"maped-line 1\nend\nend\n",
		"maped-line 1\nprefix 2400:4050:48d:2900::/64 1\nend\n", /* of which WAN? */
		"maped-line 1\nwan a-name-of-16-char 7\nend\n",
		"maped-line 1\nwan wan0 0\nend\n",
		"maped-line 1\nwan wan0 -7\nend\n",
		"maped-line 1\nwan wan0 7 7\nend\n",
		"maped-line 1\nwan wan0 7\nwan wan0 7\nend\n",
		"maped-line 1\nwan wan0 7\nprefix 2400:4050:48d:2900::/64 9\nend\n",
		"maped-line 1\nwan wan0 7\nprefix 2400:4050:48d:2900::1/64 1\nend\n",
		"maped-line 1\nwan wan0 7\nprefix fe80::/64 1\nend\n",
		"maped-line 1\nwan wan0 7\nra 2400:4050:48d:2900::/80 1 0 1 1 9 999999999\nend\n",
		"maped-line 1\nwan wan0 7\nra 2400:4050:48d:2900::/64 1 0 2 1 9 999999999\nend\n",
		"maped-line 1\nwan wan0 7\nra 2400:4050:48d:2900::/64 1 0 1 1 9\nend\n",
	};
	struct world *world = *state;
	_cleanup_text_ struct text text = TEXT_INIT, more = TEXT_INIT;
	struct heritage heritage = left_by(world), read;

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		if (heritage_parse(wrong[i], world->now_usec, &read) != -EBADMSG)
			fail_msg("taken: %s", wrong[i]);
	heritage_print(&heritage, &text);
	for (size_t length = text.length - 1; length-- > 0;) {
		text.data[length] = '\0';
		assert_int_equal(heritage_parse(text.data, world->now_usec, &read), -EBADMSG);
	}
	text_add(&more, "maped-line 1\nwan wan0 7\n");
	for (unsigned int i = 0; i < SIGNS_ANNOUNCEMENT_MAX + 1; i++)
		text_add(&more, "ra 2400:4050:48d:%x::/64 1 0 1 1 9 999999999\n", i);
	text_add(&more, "end\n");
	assert_int_equal(heritage_parse(text_get(&more), world->now_usec, &read), -EBADMSG);
}

static void repeat(struct announcement *one, uint64_t now_usec, uint64_t valid_usec)
{
	uint64_t appeared_usec = one->appeared_usec;
	char prefix[PREFIX6_TEXT_MAX];

	*one = announced(prefix6_format(&one->prefix, prefix), now_usec, valid_usec);
	one->appeared_usec = appeared_usec;
}

static void test_heritage_of_every_announcement_is_no_news(void **state)
{
	struct world *world = *state;
	struct heritage old = left_by(world), new = old;
	uint64_t now_usec = world->now_usec + 500 * SECOND;

	repeat(&new.announcements[0], now_usec, 3600 * SECOND);
	repeat(&new.announcements[1], now_usec, UINT64_MAX);
	assert_false(heritage_is_news(&old, &new, now_usec));
	/* Lifetimes that count down: the end stays where it is, but for a second. */
	repeat(&new.announcements[0], now_usec, 3101 * SECOND);
	new.announcements[0].preferred_until_usec = old.announcements[0].preferred_until_usec - 1;
	assert_false(heritage_is_news(&old, &new, now_usec));
	repeat(&new.announcements[0], now_usec, 60 * SECOND);
	assert_true(heritage_is_news(&old, &new, now_usec));
	/* A deprecated prefix that is announced as such again. */
	old.announcements[0].preferred_until_usec = now_usec - 9 * SECOND;
	new.announcements[0] = old.announcements[0];
	new.announcements[0].preferred_until_usec = now_usec;
	assert_false(heritage_is_news(&old, &new, now_usec));
	new.announcement_count--;
	assert_true(heritage_is_news(&old, &new, now_usec));
	/* Without a refresh on record it would look silent one day. */
	new = old;
	now_usec = world->now_usec + HERITAGE_STALE_USEC;
	repeat(&new.announcements[1], now_usec, UINT64_MAX);
	assert_true(heritage_is_news(&old, &new, now_usec));
	/* The end of a short life is told in time. */
	new = old;
	now_usec = world->now_usec + 31 * SECOND;
	repeat(&old.announcements[0], world->now_usec, 60 * SECOND);
	repeat(&new.announcements[0], now_usec, 60 * SECOND);
	assert_true(heritage_is_news(&old, &new, now_usec));
	new = old;
	new.chosen = false;
	assert_true(heritage_is_news(&old, &new, world->now_usec));
}

static void test_pace_answers_at_once_but_not_in_a_loop(void **state)
{
	struct pace pace = {0};
	uint64_t now_usec = 50 * SECOND;

	assert_int_equal(pace_next(&pace, now_usec), now_usec + PACE_GATHER_USEC);
	pace_looked(&pace, now_usec, false);
	assert_int_equal(pace_next(&pace, now_usec + 1), now_usec + PACE_APART_USEC);
}

static void test_pace_backs_off_from_a_fight_and_forgets_it(void **state)
{
	struct pace pace = {0};
	uint64_t now_usec = 50 * SECOND, pause_usec = 0;

	for (int i = 0; i < PACE_REPAIRS; i++) {
		assert_false(pace_fighting(&pace));
		pace_looked(&pace, now_usec += SECOND / 2, true);
	}
	assert_true(pace_fighting(&pace));
	for (int i = 0; i < 12; i++) {
		assert_true(pace_pause(&pace) >= pause_usec);
		assert_true(pace_pause(&pace) <= PACE_FIGHT_CAP);
		pause_usec = pace_pause(&pace);
		pace_looked(&pace, now_usec = pace_next(&pace, now_usec), true);
	}
	assert_int_equal(pause_usec, PACE_FIGHT_CAP);
	now_usec += 2 * PACE_FIGHT_CAP + 2 * PACE_WINDOW_USEC;
	pace_looked(&pace, now_usec, false);
	assert_false(pace_fighting(&pace));
}

static void test_status_line(void **state)
{
	struct world *world = *state;
	struct report report = {.state = STATE_UP, .pppoe = true, .ppp = "ppp0"};
	_cleanup_text_ struct text reason = TEXT_INIT, line = TEXT_INIT, used = TEXT_INIT;
	struct usage usage = {0};
	struct decision decision;

	see(world, "2400:4050:48d:2900::/64");
	decision = look(world);
	report_map(&decision.choice.params, "enp2s0", &reason);
	assert_string_equal(
		text_get(&reason),
		"ocn 153.240.18.52, PSID 41, 1008 ports in 63 blocks; CE "
		"2400:4050:48d:2900:99:f012:3400:2900 -> BR 2001:380:a120::9 on enp2s0");
	snprintf(report.reason, sizeof(report.reason), "it works");
	snprintf(report.refused, sizeof(report.refused), "maped.conf:3: wrong");
	report.refused_count = 2;
	report_line(&report, &usage, &line);
	assert_string_equal(text_get(&line), "up: it works; PPPoE down on ppp0; new configuration "
					     "refused: maped.conf:3: wrong (and 1 more)");
	report = (struct report){.state = STATE_UP, .reason = "it works", .since = "yesterday"};
	usage = (struct usage){.known = true, .used = {[USAGE_TCP] = 57, [USAGE_UDP] = 12}};
	report_line(&report, &usage, &used);
	assert_string_equal(text_get(&used),
			    "up: it works; 57 TCP and 12 UDP ports in use; since yesterday");
}

int main(void)
{
#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, setup_world, drop_world)
	const struct CMUnitTest tests[] = {
		WORLD_TEST(test_comes_up),
		WORLD_TEST(test_missing_wan_is_named),
		WORLD_TEST(test_wan_is_remembered_while_it_exists),
		WORLD_TEST(test_wan_stays_where_another_gives_nothing),
		WORLD_TEST(test_lost_prefix_is_held_then_let_go),
		WORLD_TEST(test_prefix_that_returns_ends_the_hold),
		WORLD_TEST(test_other_prefix_is_not_held),
		WORLD_TEST(test_carrier_loss_keeps_what_stands),
		WORLD_TEST(test_heritage_says_what_was_left),
		WORLD_TEST(test_heritage_is_whole_or_refused),
		WORLD_TEST(test_heritage_of_every_announcement_is_no_news),
		cmocka_unit_test(test_pace_answers_at_once_but_not_in_a_loop),
		cmocka_unit_test(test_pace_backs_off_from_a_fight_and_forgets_it),
		WORLD_TEST(test_status_line),
	};

	return cmocka_run_group_tests_name("daemon", tests, NULL, NULL);
}
