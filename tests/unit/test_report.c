/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The long answers: what they say, whom they tell it, and that they stay within 80 columns. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/report_full.h"
#include "daemon/report_json.h"

struct scene {
	struct report report;
	struct plan plan;
	struct usage usage;
	struct nat_forward forward;
	struct report_full full;
};

static int setup_scene(void **state)
{
	static struct scene scene;
	struct map_rule rule = {
		.provider = "ocn",
		.ea_length = 22,
		.psid_offset = 6,
		.iid_format = IID_MAP_DRAFT_03,
	};
	struct prefix6 prefix;

	memset(&scene, 0, sizeof(scene));
	prefix6_parse("2400:4050::/34", &rule.ipv6_prefix);
	prefix4_parse("153.240.0.0/16", &rule.ipv4_prefix);
	inet_pton(AF_INET6, "2001:380:a120::9", &rule.br);
	prefix6_parse("2400:4050:48d:2900::/64", &prefix);
	scene.report.choice.verdict = VERDICT_CHOSEN;
	scene.report.choice.prefix = prefix;
	scene.report.choice.source = SOURCE_WAN_ADDR;
	assert_int_equal(map_derive(&rule, &prefix, &scene.report.choice.params, NULL), 0);
	report_state(&scene.report, STATE_UP, "it \"works\"\n", 1000000);
	snprintf(scene.report.wan, sizeof(scene.report.wan), "enp2s0");
	snprintf(scene.plan.tunnel.name, sizeof(scene.plan.tunnel.name), "map0");
	scene.plan.tunnel.mtu = 1460;
	scene.forward = (struct nat_forward){
		.protocols = PROTO_TCP | PROTO_UDP,
		.ports = {1680, 1680},
		.to_port = 80,
		.comment = "web",
	};
	inet_pton(AF_INET, "192.168.1.10", &scene.forward.to);
	scene.plan.nat.forwards = &scene.forward;
	scene.plan.nat.forward_count = 1;
	scene.usage.known = true;
	scene.usage.used[USAGE_TCP] = 900;
	scene.usage.refused = 7;
	inet_pton(AF_INET, "192.168.1.77", &scene.usage.hosts[0].address);
	scene.usage.hosts[0].ports = 55;
	scene.usage.host_count = 1;
	inet_pton(AF_INET, "203.0.113.5", &scene.usage.destinations[0].address);
	scene.usage.destination_count = 1;
	scene.usage.block_count = 63;
	scene.usage.blocks[0] = 100;
	scene.full = (struct report_full){
		.report = &scene.report,
		.plan = &scene.plan,
		.usage = &scene.usage,
		.now_usec = 90061000000,
		.private = true,
	};
	*state = &scene;
	return 0;
}

static void assert_says(const struct text *text, const char *part)
{
	if (!strstr(text_get(text), part))
		fail_msg("no \"%s\" in:\n%s", part, text_get(text));
}

static void test_plain_says_everything(void **state)
{
	struct scene *scene = *state;
	_cleanup_text_ struct text text = TEXT_INIT;
	static const char *const parts[] = {
		"state: up",
		"1 d 1 h 1 min 0 s",
		"ocn",
		"153.240.18.52",
		"2400:4050:48d:2900:99:f012:3400:2900",
		"1680-1695",
		"65168-65183",
		"map0, MTU 1460, TCP MSS 1420",
		"tcp+udp port 1680 -> 192.168.1.10:80  # web",
		"900 of 1008 ports now",
		"7 flows without a free port",
		"192.168.1.77       55 ports",
		"203.0.113.5",
		"blocks: [@",
	};

	report_plain(&scene->full, &text);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		assert_says(&text, parts[i]);
}

static void test_plain_stays_within_80_columns(void **state)
{
	struct scene *scene = *state;
	_cleanup_text_ struct text text = TEXT_INIT;

	snprintf(scene->report.warning, sizeof(scene->report.warning), "%s",
		 "words that go on and on and on until nobody can read them any more, and then "
		 "some more of them, with no end in sight");
	report_plain(&scene->full, &text);
	for (const char *line = text_get(&text); *line;) {
		size_t length = strcspn(line, "\n");

		if (length > 80)
			fail_msg("%zu columns: %.*s", length, (int)length, line);
		line += length + (line[length] == '\n');
	}
}

static void test_strangers_are_not_told_of_the_lan(void **state)
{
	struct scene *scene = *state;
	_cleanup_text_ struct text text = TEXT_INIT;

	scene->full.private = false;
	report_plain(&scene->full, &text);
	report_json(&scene->full, &text);
	report_metrics(&scene->full, &text);
	assert_null(strstr(text_get(&text), "192.168.1.77"));
	assert_null(strstr(text_get(&text), "192.168.1.10"));
	assert_null(strstr(text_get(&text), "203.0.113.5"));
	assert_null(strstr(text_get(&text), "web"));
	assert_says(&text, "maped_ports_used{protocol=\"tcp\"} 900\n");
	assert_says(&text, "maped_up 1\n");
}

static void test_json(void **state)
{
	struct scene *scene = *state;
	_cleanup_text_ struct text text = TEXT_INIT;

	report_json(&scene->full, &text);
	assert_says(&text, "\"reason\":\"it \\\"works\\\"\\u000a\"");
	assert_says(&text, "\"port_ranges\":[[1680,1695],[2704,2719]");
	assert_says(&text, "\"psid\":41");
	assert_says(&text, "\"tcp\":{\"ports\":900,\"peak\":0,\"flows\":0}");
	assert_says(&text, "\"comment\":\"web\"");
	assert_says(&text, "\"lan_hosts\":[{\"address\":\"192.168.1.77\",\"count\":55}]");
}

static void test_json_pieces(void **state)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	struct json json = {.out = &text};

	json_open(&json, NULL, '[');
	json_open(&json, NULL, '{');
	json_close(&json, '}');
	json_string(&json, NULL, "a\\b");
	json_number(&json, NULL, UINT64_MAX);
	json_bool(&json, NULL, false);
	json_close(&json, ']');
	assert_string_equal(text_get(&text), "[{},\"a\\\\b\",18446744073709551615,false]");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_plain_says_everything, setup_scene),
		cmocka_unit_test_setup(test_plain_stays_within_80_columns, setup_scene),
		cmocka_unit_test_setup(test_strangers_are_not_told_of_the_lan, setup_scene),
		cmocka_unit_test_setup(test_json, setup_scene),
		cmocka_unit_test(test_json_pieces),
	};

	return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
