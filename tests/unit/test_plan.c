/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/map_values.h"

#include <errno.h>
#include <stdio.h>

#include "lib/map/plan.h"

/* An OCN line: 153.240.18.52, PSID 41: 63 blocks of 16 ports, 1680-1695, 2704-2719, … 65168-65183.
 */
#define OCN_PREFIX "2400:4050:48d:2900::/56"

struct bench {
	struct settings settings;
	struct plan_lines lines;
	struct map_params params;
	bool map; /* params are given to plan_build() */
};

static struct map_params derive(struct map_rule rule, const char *prefix)
{
	struct prefix6 end_user = p6(prefix);
	struct map_params params;
	struct fault fault = {0};

	if (map_derive(&rule, &end_user, &params, &fault) < 0)
		fail_msg("%s", fault.text);
	return params;
}

static struct map_params ocn(void)
{
	struct map_rule rule = rule_of("2400:4050::/34", "153.240.0.0/16", 22, 6);

	rule.br = ip6("2001:380:a120::9");
	return derive(rule, OCN_PREFIX);
}

/* r4 + o = 32: the whole address 192.0.2.18. */
static struct map_params whole_address(void)
{
	return derive(rule_of("2001:db8::/40", "192.0.2.0/24", 8, 6), "2001:db8:12::/48");
}

static struct bench bench(void)
{
	static char first[] = "maped.conf", second[] = "more.conf";
	static char *files[] = {first, second};
	struct bench out = {
		.lines = {.wan = "wan0", .wan_mtu = 1500, .map_usable = true, .ppp_up = true},
		.map = true,
		.params = ocn(),
	};

	settings_defaults(&out.settings);
	out.settings.files = files;
	out.settings.file_count = ARRAY_SIZE(files);
	return out;
}

static void build(const struct bench *bench, struct plan *ret, struct text *complaints)
{
	assert_int_equal(plan_build(&bench->settings, bench->map ? &bench->params : NULL,
				    &bench->lines, ret, complaints),
			 0);
}

static void expect(const struct bench *bench, const char *expected)
{
	_cleanup_plan_ struct plan plan = PLAN_EMPTY;
	_cleanup_text_ struct text text = TEXT_INIT, complaints = TEXT_INIT;

	build(bench, &plan, &complaints);
	plan_print(&plan, &text);
	assert_string_equal(text_get(&text), expected);
	assert_string_equal(text_get(&complaints), "");
	assert_true(plan.nat.present == (expected[0] != '\0'));
}

static void expect_part(const struct bench *bench, const char *part)
{
	_cleanup_plan_ struct plan plan = PLAN_EMPTY;
	_cleanup_text_ struct text text = TEXT_INIT, complaints = TEXT_INIT;

	build(bench, &plan, &complaints);
	plan_print(&plan, &text);
	assert_non_null(strstr(text_get(&text), part));
}

#define TUNNEL                                                                                  \
	"tunnel map0 ipip6 local 2400:4050:48d:2900:99:f012:3400:2900 remote 2001:380:a120::9 " \
	"dev wan0 mtu 1460 encaplimit none\n"
#define ADDRESSES                                                                        \
	"address 2400:4050:48d:2900:99:f012:3400:2900/128 dev wan0 nodad noprefixroute " \
	"preferred_lft 0\n"                                                              \
	"address 153.240.18.52/32 dev map0\n"
#define DEFAULT_ROUTE "route default dev map0 table 254 metric 1024 proto 77\n"
#define LOOSEN(dev)   "sysctl net/ipv4/conf/" dev "/rp_filter loosen to 2\n"
#define BY_MARK(dev)  "sysctl net/ipv4/conf/" dev "/src_valid_mark = 1\n"
#define FORWARDING    "sysctl net/ipv4/ip_forward = 1\n"
#define NAT                                                                                       \
	"nat outer local 2400:4050:48d:2900:99:f012:3400:2900 remote 2001:380:a120::9 dev wan0\n" \
	"nat snat dev map0 to 153.240.18.52/32 psid 41/6 offset 6: 1008 ports in 63 blocks of "   \
	"16\n"                                                                                    \
	"nat mss 1420\n"                                                                          \
	"nat filtering address-dependent\n"                                                       \
	"nat inbound drop\n"
#define PPP_ROUTE    "route default dev ppp0 table 10 metric 0 proto 77\n"
#define PPP_FAILOVER "route default dev ppp0 table 254 metric 2048 proto 77\n"
#define PPP_FLOOR    "route unreachable default table 10 metric 4294967295 proto 77\n"
#define MAP_TABLE    "route default dev map0 table 11 metric 0 proto 77\n"
#define MAP_FLOOR    "route unreachable default table 11 metric 4294967295 proto 77\n"
#define PPP_RULES                                                                                 \
	"rule priority 999 fwmark 0x3e8/0xffffffff lookup 254 suppress_prefixlength 0 proto 77\n" \
	"rule priority 1000 fwmark 0x3e8/0xffffffff lookup 10 proto 77\n"
#define MAP_RULES                                                                                 \
	"rule priority 999 fwmark 0x3e9/0xffffffff lookup 254 suppress_prefixlength 0 proto 77\n" \
	"rule priority 1000 fwmark 0x3e9/0xffffffff lookup 11 proto 77\n"
#define PPP_NAT "pppoe dev ppp0 mark 0x3e8 map-mark 0x3e9 mask 0xffffffff masquerade mss-clamp"

/* ---- lines ------------------------------------------------------------------------------- */

static void test_nothing_wanted_is_the_empty_plan(void **state)
{
	struct bench b = bench();
	_cleanup_plan_ struct plan plan = PLAN_EMPTY;
	_cleanup_text_ struct text complaints = TEXT_INIT;
	const struct plan empty = PLAN_EMPTY;
	struct forward forward = {0};

	b.map = false;
	expect(&b, "");
	build(&b, &plan, &complaints);
	assert_true(plan_equal(&plan, &empty));
	/* neither forwards nor a line that is up make a difference */
	b.settings.forwards = &forward;
	b.settings.forward_count = 1;
	expect(&b, "");
}

static void test_map_alone(void **state)
{
	struct bench b = bench();

	expect(&b, TUNNEL ADDRESSES DEFAULT_ROUTE LOOSEN("map0") FORWARDING NAT);
	b.settings.map.default_route = false;
	expect(&b, TUNNEL ADDRESSES LOOSEN("map0") FORWARDING NAT);
	b.settings.map.default_route = true;
	b.lines.map_usable = false;
	expect(&b, TUNNEL ADDRESSES LOOSEN("map0") FORWARDING NAT);
}

static void test_tunnel_of_another_program_is_not_described(void **state)
{
	struct bench b = bench();
	_cleanup_plan_ struct plan plan = PLAN_EMPTY;
	_cleanup_text_ struct text complaints = TEXT_INIT;

	b.settings.map.tunnel_mode = TUNNEL_EXISTING;
	expect(&b, "tunnel map0 existing mtu 1460\n" ADDRESSES DEFAULT_ROUTE LOOSEN("map0")
			   FORWARDING NAT);
	build(&b, &plan, &complaints);
	assert_int_equal(plan.tunnel.mode, TUNNEL_EXISTING);
}

static void test_names_numbers_and_mtu_come_from_the_settings(void **state)
{
	struct bench b = bench();
	_cleanup_plan_ struct plan plan = PLAN_EMPTY;
	_cleanup_text_ struct text complaints = TEXT_INIT;

	/* the longest name there can be */
	memset(b.settings.map.tunnel, 'm', IFNAMSIZ - 1);
	b.settings.map.route_metric = 7;
	b.settings.map.mtu = 1300;
	build(&b, &plan, &complaints);
	assert_string_equal(plan.tunnel.name, "mmmmmmmmmmmmmmm");
	assert_string_equal(plan.sysctls[0].path, "net/ipv4/conf/mmmmmmmmmmmmmmm/rp_filter");
	assert_int_equal(plan.tunnel.mtu, 1300);
	assert_int_equal(plan.nat.tunnel_mtu, 1300);
	assert_int_equal(plan.routes[0].metric, 7);
}

static void test_mtu_follows_the_wan(void **state)
{
	static const struct {
		uint32_t wan, tunnel;
	} cases[] = {{1500, 1460}, {1454, 1414}, {9000, 8960}, {41, 1}, {40, 0}, {0, 0}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bench b = bench();
		_cleanup_plan_ struct plan plan = PLAN_EMPTY;
		_cleanup_text_ struct text complaints = TEXT_INIT;

		b.lines.wan_mtu = cases[i].wan;
		build(&b, &plan, &complaints);
		assert_int_equal(plan.tunnel.mtu, cases[i].tunnel);
	}
}

static void test_whole_address_maps_everything(void **state)
{
	struct bench b = bench();
	_cleanup_plan_ struct plan plan = PLAN_EMPTY;
	_cleanup_text_ struct text complaints = TEXT_INIT, text = TEXT_INIT;

	b.params = whole_address();
	b.settings.pppoe.enabled = true;
	build(&b, &plan, &complaints);
	plan_print(&plan, &text);
	assert_non_null(strstr(text_get(&text),
			       "nat snat dev map0 to 192.0.2.18/32 all ports and protocols\n"));
	/* so there is nothing that PPPoE would have to carry instead */
	assert_true(plan.nat.pppoe.unmappable);
	assert_false(plan.nat.pppoe.divert_unmappable);
}

static void test_pppoe_alone(void **state)
{
	struct bench b = bench();

	b.map = false;
	b.settings.pppoe.enabled = true;
	expect(&b, PPP_ROUTE PPP_FAILOVER PPP_FLOOR MAP_FLOOR PPP_RULES MAP_RULES LOOSEN("ppp0")
			   BY_MARK("ppp0") FORWARDING PPP_NAT " unmappable\n");
	/* marks are set and waited for while the session is down */
	b.lines.ppp_up = false;
	expect(&b, PPP_FLOOR MAP_FLOOR PPP_RULES MAP_RULES FORWARDING PPP_NAT " unmappable\n");
}

static void test_both_lines(void **state)
{
	struct bench b = bench();

	b.settings.pppoe.enabled = true;
	expect(&b,
	       TUNNEL ADDRESSES DEFAULT_ROUTE PPP_ROUTE PPP_FAILOVER PPP_FLOOR MAP_TABLE MAP_FLOOR
		       PPP_RULES MAP_RULES LOOSEN("map0") LOOSEN("ppp0") BY_MARK("ppp0")
			       BY_MARK("map0") FORWARDING NAT PPP_NAT " unmappable divert\n");
	/* MAP-E is built but does not carry: what came in there is still answered there */
	b.lines.map_usable = false;
	expect(&b, TUNNEL ADDRESSES PPP_ROUTE PPP_FAILOVER PPP_FLOOR MAP_TABLE MAP_FLOOR PPP_RULES
			   MAP_RULES LOOSEN("map0") LOOSEN("ppp0") BY_MARK("ppp0") BY_MARK("map0")
				   FORWARDING NAT PPP_NAT " unmappable divert\n");
}

static void test_the_session_has_an_address(void **state)
{
	struct bench b = bench();
	const char *rules =
		PPP_RULES "rule priority 999 from 198.51.100.9 lookup 254 suppress_prefixlength 0 "
			  "proto 77\n"
			  "rule priority 1000 from 198.51.100.9 lookup 10 proto 77\n" MAP_RULES;
	const char *nat = FORWARDING PPP_NAT " unmappable\n"
					     "pppoe address 198.51.100.9\n"
					     "pppoe mtu 1454\n";
	_cleanup_text_ struct text wanted = TEXT_INIT;

	b.map = false;
	b.settings.pppoe.enabled = true;
	b.lines.ppp_address = p4("198.51.100.9").addr;
	b.lines.ppp_mtu = 1454;
	text_add(&wanted, "%s%s%s", PPP_ROUTE PPP_FAILOVER PPP_FLOOR MAP_FLOOR, rules,
		 LOOSEN("ppp0") BY_MARK("ppp0"));
	text_add(&wanted, "%s", nat);
	expect(&b, text_get(&wanted));
	/* what is known of it stays while it is down */
	b.lines.ppp_up = false;
	text_clear(&wanted);
	text_add(&wanted, "%s%s%s", PPP_FLOOR MAP_FLOOR, rules, nat);
	expect(&b, text_get(&wanted));
}

static void test_failover_and_fallback(void **state)
{
	struct bench b = bench();

	b.map = false;
	b.settings.pppoe.enabled = true;
	b.settings.pppoe.failover = false;
	expect(&b, PPP_ROUTE PPP_FLOOR MAP_FLOOR PPP_RULES MAP_RULES LOOSEN("ppp0") BY_MARK("ppp0")
			   FORWARDING PPP_NAT " unmappable\n");
	/* no default route of ours, none behind it */
	b.settings.pppoe.failover = true;
	b.settings.map.default_route = false;
	expect(&b, PPP_ROUTE PPP_FLOOR MAP_FLOOR PPP_RULES MAP_RULES LOOSEN("ppp0") BY_MARK("ppp0")
			   FORWARDING PPP_NAT " unmappable\n");
	/* fallback: marked traffic falls through to the main table while the session is down */
	b.settings.pppoe.fallback = true;
	b.lines.ppp_up = false;
	expect(&b, MAP_FLOOR PPP_RULES MAP_RULES FORWARDING PPP_NAT " unmappable\n");
}

static void test_failover_stands_behind_whatever_the_metric(void **state)
{
	static const struct {
		uint32_t metric, behind;
	} cases[] = {
		{0, 1024},
		{1024, 2048},
		{UINT32_MAX - 1024, UINT32_MAX},
		{UINT32_MAX - 1023, UINT32_MAX},
		{UINT32_MAX, UINT32_MAX},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bench b = bench();
		_cleanup_plan_ struct plan plan = PLAN_EMPTY;
		_cleanup_text_ struct text complaints = TEXT_INIT;

		b.settings.pppoe.enabled = true;
		b.settings.map.route_metric = cases[i].metric;
		build(&b, &plan, &complaints);
		assert_string_equal(plan.routes[0].interface, "map0");
		assert_int_equal(plan.routes[0].metric, cases[i].metric);
		assert_string_equal(plan.routes[2].interface, "ppp0");
		assert_int_equal(plan.routes[2].table, PLAN_MAIN_TABLE);
		assert_int_equal(plan.routes[2].metric, cases[i].behind);
	}
}

static void test_second_mark_lies_inside_the_mask(void **state)
{
	static const struct {
		uint32_t mark, mask, sibling;
	} cases[] = {
		{1000, UINT32_MAX, 1001},
		{UINT32_MAX, UINT32_MAX, 1},
		{0x0300, 0xff00, 0x0400},
		{0xff00, 0xff00, 0x0100}, /* never 0 */
		{0x80000000, 0xc0000000, 0xc0000000},
		{0xc0000000, 0xc0000000, 0x40000000},
		{0x10000, 0x10000, 0}, /* a single bit: no room for two */
		{1, 1, 0},
		{0x80000000, 0x80000000, 0},
		{1, 5, 4}, /* bits with a gap between them */
		{4, 5, 5},
		{5, 5, 1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bench b = bench();
		_cleanup_plan_ struct plan plan = PLAN_EMPTY;
		_cleanup_text_ struct text complaints = TEXT_INIT;

		b.settings.pppoe.enabled = true;
		b.settings.pppoe.mark = cases[i].mark;
		b.settings.pppoe.mask = cases[i].mask;
		build(&b, &plan, &complaints);
		assert_int_equal(plan.nat.pppoe.map_mark, cases[i].sibling);
		/* without a second mark nothing is routed by it */
		assert_int_equal(plan.rule_count, cases[i].sibling ? 4 : 2);
		for (size_t j = 0; j < plan.route_count; j++)
			if (!cases[i].sibling)
				assert_int_not_equal(plan.routes[j].table, 11);
	}
}

static void test_everything_of_the_settings_is_printed(void **state)
{
	struct nat_host nat_hosts[] = {
		{p4("192.168.1.55"), FILTERING_ENDPOINT_INDEPENDENT},
		{p4("192.168.2.0/24"), FILTERING_ADDRESS_AND_PORT_DEPENDENT}};
	struct service open[] = {{PROTO_TCP, {1680, 1680}}, {PROTO_TCP | PROTO_UDP, {1690, 1691}}};
	struct pppoe_host hosts[] = {
		{.address = p4("192.168.1.56")},
		{.is_mac = true, .mac = {{0x02, 0x00, 0x5e, 0x10, 0x00, 0x0a}}},
	};
	struct prefix4 destinations[] = {p4("203.0.113.0/24")};
	struct service ports[] = {{PROTO_UDP, {500, 500}}};
	struct forward forwards[] = {{
		.protocols = PROTO_UDP,
		.kind = FORWARD_FIXED,
		.ports = {1024, 65535},
		.to = p4("192.168.1.56").addr,
		.comment = "console",
	}};
	struct bench b = bench();

	b.settings.nat.filtering = FILTERING_ENDPOINT_INDEPENDENT;
	b.settings.nat.hosts = nat_hosts;
	b.settings.nat.host_count = ARRAY_SIZE(nat_hosts);
	b.settings.nat.inbound_accept = true;
	b.settings.nat.open = open;
	b.settings.nat.open_count = ARRAY_SIZE(open);
	b.settings.nat.host_limit = 300;
	b.settings.pppoe = (struct pppoe_settings){
		.enabled = true,
		.interface = "ppp7",
		.table = 20,
		.map_table = 21,
		.mark = 0x100,
		.mask = 0xf00,
		.rule_priority = 500,
		.hosts = hosts,
		.host_count = ARRAY_SIZE(hosts),
		.destinations = destinations,
		.destination_count = ARRAY_SIZE(destinations),
		.ports = ports,
		.port_count = ARRAY_SIZE(ports),
		.forwards = forwards,
		.forward_count = ARRAY_SIZE(forwards),
	};
	expect(&b, TUNNEL ADDRESSES DEFAULT_ROUTE
	       "route default dev ppp7 table 20 metric 0 proto 77\n"
	       "route unreachable default table 20 metric 4294967295 proto 77\n"
	       "route default dev map0 table 21 metric 0 proto 77\n"
	       "route unreachable default table 21 metric 4294967295 proto 77\n"
	       "rule priority 499 fwmark 0x100/0xf00 lookup 254 suppress_prefixlength 0 proto 77\n"
	       "rule priority 500 fwmark 0x100/0xf00 lookup 20 proto 77\n"
	       "rule priority 499 fwmark 0x200/0xf00 lookup 254 suppress_prefixlength 0 proto 77\n"
	       "rule priority 500 fwmark 0x200/0xf00 lookup 21 proto 77\n" LOOSEN("map0")
		       LOOSEN("ppp7") BY_MARK("ppp7") BY_MARK("map0") FORWARDING
	       "nat outer local 2400:4050:48d:2900:99:f012:3400:2900 remote 2001:380:a120::9 dev "
	       "wan0\n"
	       "nat snat dev map0 to 153.240.18.52/32 psid 41/6 offset 6: 1008 ports in 63 blocks "
	       "of 16\n"
	       "nat mss 1420\n"
	       "nat filtering endpoint-independent\n"
	       "nat host 192.168.1.55/32 filtering endpoint-independent\n"
	       "nat host 192.168.2.0/24 filtering address-and-port-dependent\n"
	       "nat inbound accept\n"
	       "nat open tcp/1680\n"
	       "nat open tcp+udp/1690-1691\n"
	       "nat host_limit 300\n"
	       "pppoe dev ppp7 mark 0x100 map-mark 0x200 mask 0xf00\n"
	       "pppoe host 192.168.1.56/32\n"
	       "pppoe host 2:0:5e:10:0:a\n"
	       "pppoe destination 203.0.113.0/24\n"
	       "pppoe port udp/500\n"
	       "nat forward ppp7 udp 1024-65535 to 192.168.1.56:1024 # console\n");
}

/* ---- forwards ---------------------------------------------------------------------------- */

static struct forward forward_to(enum forward_port kind, unsigned int first, unsigned int last)
{
	return (struct forward){
		.protocols = PROTO_TCP,
		.kind = kind,
		.ports = {(uint16_t)first, (uint16_t)last},
		.to = p4("192.168.1.10").addr,
		.origin = {0, 8},
	};
}

static struct forward fixed(unsigned int first, unsigned int last)
{
	return forward_to(FORWARD_FIXED, first, last);
}

static struct forward automatic(void)
{
	return forward_to(FORWARD_AUTO, 0, 0);
}

static struct forward in_block(unsigned int block, unsigned int offset)
{
	struct forward forward = forward_to(FORWARD_BLOCK, 0, 0);

	forward.block = block;
	forward.offset = offset;
	return forward;
}

/* The forwards of the plan as "first-last to_port" words, then the complaints. */
static void expect_forwards(struct map_params params, struct forward *forwards, size_t count,
			    const char *expected)
{
	struct bench b = bench();
	_cleanup_plan_ struct plan plan = PLAN_EMPTY;
	_cleanup_text_ struct text complaints = TEXT_INIT, text = TEXT_INIT;

	b.params = params;
	b.settings.forwards = forwards;
	b.settings.forward_count = count;
	build(&b, &plan, &complaints);
	for (size_t i = 0; i < plan.nat.forward_count; i++)
		text_add(&text, "%u-%u:%u ", plan.nat.forwards[i].ports.first,
			 plan.nat.forwards[i].ports.last, plan.nat.forwards[i].to_port);
	text_add(&text, "%s", text_get(&complaints));
	assert_string_equal(text_get(&text), expected);
}

#define FORWARDS(params, expected, ...)                                                  \
	do {                                                                             \
		struct forward list[] = {__VA_ARGS__};                                   \
		expect_forwards(params, list, sizeof(list) / sizeof(list[0]), expected); \
	} while (0)

static void test_fixed_forwards_inside_the_set(void **state)
{
	struct forward elsewhere = fixed(1681, 1682);

	elsewhere.to_port = 80;
	FORWARDS(ocn(), "1680-1680:1680 1681-1682:80 65168-65183:65168 ", fixed(1680, 1680),
		 elsewhere, fixed(65168, 65183));
	FORWARDS(whole_address(), "1-65535:1 ", fixed(1, 65535));
}

static void test_fixed_forwards_outside_the_set(void **state)
{
	FORWARDS(ocn(),
		 "maped.conf:8: forward: port 80 is not in the port set of this line; nearest "
		 "usable port: 1680; longest run: 16 ports\n",
		 fixed(80, 80));
	FORWARDS(ocn(),
		 "maped.conf:8: forward: port 2000 is not in the port set of this line; nearest "
		 "usable ports: 1695 and 2704; longest run: 16 ports\n",
		 fixed(2000, 2000));
	FORWARDS(ocn(),
		 "maped.conf:8: forward: port 65535 is not in the port set of this line; nearest "
		 "usable port: 65183; longest run: 16 ports\n",
		 fixed(65535, 65535));
	FORWARDS(ocn(),
		 "maped.conf:8: forward: ports 1690-1700 are not in the port set of this line; the "
		 "range is longer than what is free after 1690; longest run: 16 ports\n",
		 fixed(1690, 1700));
	/* both ends usable, what lies between is not */
	FORWARDS(ocn(),
		 "maped.conf:8: forward: ports 1680-2704 are not in the port set of this line; the "
		 "range is longer than what is free after 1680; longest run: 16 ports\n",
		 fixed(1680, 2704));
	FORWARDS(ocn(),
		 "maped.conf:8: forward: ports 1600-1680 are not in the port set of this line; "
		 "nearest usable port: 1680; longest run: 16 ports\n",
		 fixed(1600, 1680));
	/* the others are served */
	FORWARDS(ocn(),
		 "1680-1680:1680 1682-1682:1682 "
		 "maped.conf:8: forward: port 81 is not in the port set of this line; nearest "
		 "usable port: 1680; longest run: 16 ports\n",
		 fixed(1680, 1680), fixed(81, 81), fixed(1682, 1682));
}

static void test_forwards_that_count_in_the_set(void **state)
{
	FORWARDS(ocn(), "1680-1680:1680 65183-65183:65183 ", in_block(0, 0), in_block(62, 15));
	FORWARDS(whole_address(), "443-443:443 ", in_block(0, 443));
	FORWARDS(ocn(),
		 "maped.conf:8: forward: block 63, offset 0: the port set has 63 blocks of 16 "
		 "ports\n",
		 in_block(63, 0));
	FORWARDS(ocn(),
		 "maped.conf:8: forward: block 0, offset 16: the port set has 63 blocks of 16 "
		 "ports\n",
		 in_block(0, 16));
}

static void test_automatic_forwards_take_the_lowest_free_ports(void **state)
{
	FORWARDS(ocn(), "1680-1680:1680 1681-1681:1681 ", automatic(), automatic());
	/* around all others, wherever those stand in the file */
	FORWARDS(ocn(), "1682-1682:1682 1680-1681:1680 1684-1684:1684 1683-1683:1683 ", automatic(),
		 fixed(1680, 1681), automatic(), in_block(0, 3));
	/* one that is outside the set takes nothing away */
	FORWARDS(ocn(),
		 "1680-1680:1680 maped.conf:8: forward: ports 1670-1681 are not in the port set of "
		 "this line; nearest usable port: 1680; longest run: 16 ports\n",
		 automatic(), fixed(1670, 1681));
	/* well-known ports are left to those who ask for them by number */
	FORWARDS(whole_address(), "1024-1024:1024 ", automatic());
}

static void test_automatic_forwards_may_run_out(void **state)
{
	/* a + k = 16: single ports, A << 14 | PSID 0xd00, and only three of them */
	struct map_rule rule = rule_of("2001:db8::/40", "192.0.2.0/24", 22, 2);
	struct map_params params = derive(rule, "2001:db8:12:3400::/62");

	assert_int_equal(portset_count(&params.ports), 3);
	FORWARDS(params,
		 "19712-19712:19712 36096-36096:36096 52480-52480:52480 "
		 "maped.conf:8: forward: no port of the set is left for port = \"auto\"\n",
		 automatic(), automatic(), automatic(), automatic());
}

/* "block" follows the port set, so that no reader of the file can see where it meets another. */
static void test_forwards_that_meet_are_not_both_served(void **state)
{
	struct forward udp = in_block(0, 0);

	udp.protocols = PROTO_UDP;
	FORWARDS(ocn(), "1680-1680:1680 1680-1680:1680 ", fixed(1680, 1680), udp);
	FORWARDS(ocn(),
		 "1680-1683:1680 maped.conf:8: forward: port 1682 is that of the forward "
		 "in line 8 already\n",
		 fixed(1680, 1683), in_block(0, 2));
	udp.protocols = PROTO_UDP | PROTO_TCP;
	FORWARDS(ocn(),
		 "1680-1680:1680 maped.conf:8: forward: port 1680 is that of the forward "
		 "in line 8 already\n",
		 in_block(0, 0), udp);
}

/* The opened ports and forwards of the plan, then the complaints. */
static void expect_opened(struct map_params params, const char *expected)
{
	struct service open[] = {
		{.protocols = PROTO_TCP, .ports = {80, 80}, .origin = {0, 3}},
		{.protocols = PROTO_UDP, .ports = {1680, 1681}, .origin = {1, 4}},
		{.protocols = PROTO_UDP, .ports = {1690, 2710}, .origin = {1, 5}},
	};
	struct forward forwards[] = {automatic(), in_block(0, 1), automatic(), in_block(0, 0)};
	struct bench b = bench();
	_cleanup_plan_ struct plan plan = PLAN_EMPTY;
	_cleanup_text_ struct text complaints = TEXT_INIT, text = TEXT_INIT;

	forwards[1].protocols = PROTO_TCP | PROTO_UDP;
	b.params = params;
	b.settings.nat.open = open;
	b.settings.nat.open_count = ARRAY_SIZE(open);
	b.settings.forwards = forwards;
	b.settings.forward_count = ARRAY_SIZE(forwards);
	build(&b, &plan, &complaints);
	for (size_t i = 0; i < plan.nat.open_count; i++)
		text_add(&text, "%u-%u ", plan.nat.open[i].ports.first,
			 plan.nat.open[i].ports.last);
	for (size_t i = 0; i < plan.nat.forward_count; i++)
		text_add(&text, "%u:%u ", plan.nat.forwards[i].ports.first,
			 plan.nat.forwards[i].to_port);
	text_add(&text, "%s", text_get(&complaints));
	assert_string_equal(text_get(&text), expected);
}

static void test_opened_ports(void **state)
{
	/* Inside the set or left out, as forwards are. "auto" goes around them, "block" must not
	 * meet one of its protocol. */
	expect_opened(
		ocn(),
		"1680-1681 1682:1682 1683:1683 1680:1680 "
		"maped.conf:3: nat.open[0]: port 80 is not in the port set of this line; nearest "
		"usable port: 1680; longest run: 16 ports\n"
		"more.conf:5: nat.open[2]: ports 1690-2710 are not in the port set of this line; "
		"the range is longer than what is free after 1690; longest run: 16 ports\n"
		"maped.conf:8: forward: its port 1681 is already used by nat.open[1] "
		"(more.conf:4)\n");
	expect_opened(whole_address(), "80-80 1680-1681 1690-2710 1024:1024 1:1 1025:1025 0:0 ");
}

static void test_forward_ports_can_be_asked_for(void **state)
{
	struct forward forwards[] = {automatic(), fixed(80, 80), in_block(1, 1), fixed(1680, 1681)};
	struct bench b = bench();
	struct port_range ports = {7, 7};

	b.settings.forwards = forwards;
	b.settings.forward_count = ARRAY_SIZE(forwards);
	assert_int_equal(plan_forward_ports(&b.settings, 1, &b.params.ports, &ports), -ERANGE);
	assert_int_equal(ports.first, 7); /* not touched on the wrong path */
	assert_int_equal(plan_forward_ports(&b.settings, 0, &b.params.ports, &ports), 0);
	assert_int_equal(ports.first, 1682);
	assert_int_equal(ports.last, 1682);
	assert_int_equal(plan_forward_ports(&b.settings, 2, &b.params.ports, &ports), 0);
	assert_int_equal(ports.first, 2705);
	assert_int_equal(plan_forward_ports(&b.settings, 3, &b.params.ports, &ports), 0);
	assert_int_equal(ports.last, 1681);
}

/* ---- comparing --------------------------------------------------------------------------- */

static bool same_plan(const struct bench *a, const struct bench *b)
{
	_cleanup_plan_ struct plan one = PLAN_EMPTY, other = PLAN_EMPTY;
	_cleanup_text_ struct text complaints = TEXT_INIT;

	build(a, &one, &complaints);
	build(b, &other, &complaints);
	assert_true(plan_equal(&one, &one) && plan_equal(&other, &other));
	assert_true(plan_equal(&one, &other) == plan_equal(&other, &one));
	return plan_equal(&one, &other);
}

static void test_devices(void **state)
{
	static char lan[][IFNAMSIZ] = {"br0", "late", "lan2"};
	static const uint32_t indexes[] = {3, 0, 7}, others[] = {3, 0, 8};
	struct bench b = bench(), c = bench();

	b.settings.nat.offload = true;
	b.settings.lan.interfaces = lan;
	b.settings.lan.interface_count = ARRAY_SIZE(lan);
	b.lines.lan = indexes;
	expect_part(&b, "nat offload dev map0\n"
			"nat offload dev br0 index 3\n"
			"nat offload dev lan2 index 7\n");
	c = b;
	c.lines.lan = others;
	assert_false(same_plan(&b, &c));
	c.lines.lan = NULL;
	expect_part(&c, "nat offload dev map0\n");
	c.settings.nat.offload = false;
	b.settings.nat.offload = false;
	assert_true(same_plan(&b, &c));
}

static void test_equal_plans(void **state)
{
	const struct bench base = bench();
	struct bench b = bench();

	b.settings.nat.host_limit = 0;
	b.settings.file_count = 0;
	assert_true(same_plan(&base, &b));
}

#define DIFFERS(change)                             \
	do {                                        \
		struct bench b = both;              \
		change;                             \
		assert_false(same_plan(&both, &b)); \
	} while (0)

static void test_each_difference_counts(void **state)
{
	struct forward forwards[] = {fixed(1680, 1680), fixed(1680, 1680)};
	struct bench both = bench();

	both.settings.pppoe.enabled = true;
	both.settings.forwards = &forwards[0];
	both.settings.forward_count = 1;
	DIFFERS(b.map = false);
	DIFFERS(b.params.ce = ip6("2001:db8::1"));
	DIFFERS(b.params.br = ip6("2001:db8::1"));
	DIFFERS(b.params.ports.psid = 42);
	DIFFERS(b.params.ipv4 = p4("192.0.2.1"));
	DIFFERS(b.lines.wan[3] = '1');
	DIFFERS(b.lines.wan_mtu = 1492);
	DIFFERS(b.lines.map_usable = false);
	DIFFERS(b.lines.ppp_up = false);
	DIFFERS(b.lines.ppp_address = p4("198.51.100.9").addr);
	DIFFERS(b.lines.ppp_mtu = 1454);
	DIFFERS(b.settings.map.tunnel_mode = TUNNEL_EXISTING);
	DIFFERS(b.settings.map.tunnel[3] = '1');
	DIFFERS(b.settings.map.route_metric = 1);
	DIFFERS(b.settings.nat.filtering = FILTERING_ENDPOINT_INDEPENDENT);
	DIFFERS(b.settings.nat.inbound_accept = true);
	DIFFERS(b.settings.nat.host_limit = 1);
	DIFFERS(b.settings.pppoe.enabled = false);
	DIFFERS(b.settings.pppoe.mark = 2000);
	DIFFERS(b.settings.pppoe.mask = 0xffff);
	DIFFERS(b.settings.pppoe.table = 12);
	DIFFERS(b.settings.pppoe.map_table = 12);
	DIFFERS(b.settings.pppoe.rule_priority = 12);
	DIFFERS(b.settings.pppoe.failover = false);
	DIFFERS(b.settings.pppoe.fallback = true);
	DIFFERS(b.settings.pppoe.unmappable = false);
	DIFFERS(b.settings.pppoe.masquerade = false);
	DIFFERS(b.settings.pppoe.mss_clamp = false);
	DIFFERS(b.settings.forward_count = 0);
	forwards[1].protocols = PROTO_UDP;
	DIFFERS(b.settings.forwards = &forwards[1]);
	forwards[1] = fixed(1681, 1681);
	DIFFERS(b.settings.forwards = &forwards[1]);
	forwards[1] = fixed(1680, 1680);
	forwards[1].to_port = 80;
	DIFFERS(b.settings.forwards = &forwards[1]);
	forwards[1].to_port = 0;
	forwards[1].comment[0] = 'x';
	DIFFERS(b.settings.forwards = &forwards[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_wanted_is_the_empty_plan),
		cmocka_unit_test(test_map_alone),
		cmocka_unit_test(test_tunnel_of_another_program_is_not_described),
		cmocka_unit_test(test_names_numbers_and_mtu_come_from_the_settings),
		cmocka_unit_test(test_mtu_follows_the_wan),
		cmocka_unit_test(test_whole_address_maps_everything),
		cmocka_unit_test(test_pppoe_alone),
		cmocka_unit_test(test_both_lines),
		cmocka_unit_test(test_the_session_has_an_address),
		cmocka_unit_test(test_failover_and_fallback),
		cmocka_unit_test(test_failover_stands_behind_whatever_the_metric),
		cmocka_unit_test(test_second_mark_lies_inside_the_mask),
		cmocka_unit_test(test_everything_of_the_settings_is_printed),
		cmocka_unit_test(test_fixed_forwards_inside_the_set),
		cmocka_unit_test(test_fixed_forwards_outside_the_set),
		cmocka_unit_test(test_forwards_that_count_in_the_set),
		cmocka_unit_test(test_automatic_forwards_take_the_lowest_free_ports),
		cmocka_unit_test(test_automatic_forwards_may_run_out),
		cmocka_unit_test(test_forwards_that_meet_are_not_both_served),
		cmocka_unit_test(test_opened_ports),
		cmocka_unit_test(test_forward_ports_can_be_asked_for),
		cmocka_unit_test(test_devices),
		cmocka_unit_test(test_equal_plans),
		cmocka_unit_test(test_each_difference_counts),
	};

	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
