/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files without mistakes: each key reaches its field. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/config/config.h"
#include "lib/config/load.h"
#include "tests/config/place.h"

static const char *source_root;

static void load(const char *content, struct settings *ret)
{
	_cleanup_text_ struct text complaints = TEXT_INIT;
	int r;

	place_write("t.conf", content);
	r = config_load("t.conf", ret, &complaints);
	assert_string_equal(text_get(&complaints), "");
	assert_int_equal(r, 0);
}

static void assert_in4(struct in_addr addr, const char *text)
{
	char buffer[INET_ADDRSTRLEN];

	assert_string_equal(inet_ntop(AF_INET, &addr, buffer, sizeof(buffer)), text);
}

static void assert_in6(const struct in6_addr *addr, const char *text)
{
	char buffer[INET6_ADDRSTRLEN];

	assert_string_equal(inet_ntop(AF_INET6, addr, buffer, sizeof(buffer)), text);
}

static void assert_prefix4(const struct prefix4 *prefix, const char *text)
{
	char buffer[PREFIX4_TEXT_MAX];

	assert_string_equal(prefix4_format(prefix, buffer), text);
}

static void assert_prefix6(const struct prefix6 *prefix, const char *text)
{
	char buffer[PREFIX6_TEXT_MAX];

	assert_string_equal(prefix6_format(prefix, buffer), text);
}

/* Everything but the lists, which must be empty in both. */
static void assert_defaults(const struct settings *settings)
{
	struct settings defaults;

	settings_defaults(&defaults);
	assert_string_equal(settings->wan.interface, defaults.wan.interface);
	assert_int_equal(settings->wan.prefix_mode, defaults.wan.prefix_mode);
	assert_string_equal(settings->map.provider, defaults.map.provider);
	assert_int_equal(settings->map.own_rules.count, 0);
	assert_false(settings->map.br_given);
	assert_string_equal(settings->map.tunnel, defaults.map.tunnel);
	assert_int_equal(settings->map.tunnel_mode, defaults.map.tunnel_mode);
	assert_int_equal(settings->map.mtu, defaults.map.mtu);
	assert_int_equal(settings->map.default_route, defaults.map.default_route);
	assert_int_equal(settings->map.route_metric, defaults.map.route_metric);
	assert_int_equal(settings->lan.interface_count, 0);
	assert_int_equal(settings->nat.filtering, defaults.nat.filtering);
	assert_int_equal(settings->nat.host_count, 0);
	assert_int_equal(settings->nat.inbound_accept, defaults.nat.inbound_accept);
	assert_int_equal(settings->nat.open_count, 0);
	assert_int_equal(settings->nat.host_limit, defaults.nat.host_limit);
	assert_false(settings->nat.offload);
	assert_int_equal(settings->forward_count, 0);
	assert_string_equal(settings->pppoe.interface, defaults.pppoe.interface);
	assert_int_equal(settings->pppoe.table, defaults.pppoe.table);
	assert_int_equal(settings->pppoe.map_table, defaults.pppoe.map_table);
	assert_int_equal(settings->pppoe.mark, defaults.pppoe.mark);
	assert_int_equal(settings->pppoe.mask, defaults.pppoe.mask);
	assert_int_equal(settings->pppoe.rule_priority, defaults.pppoe.rule_priority);
	assert_int_equal(settings->pppoe.host_count, 0);
	assert_int_equal(settings->pppoe.destination_count, 0);
	assert_int_equal(settings->pppoe.port_count, 0);
	assert_int_equal(settings->pppoe.forward_count, 0);
	assert_int_equal(settings->pppoe.unmappable, defaults.pppoe.unmappable);
	assert_int_equal(settings->pppoe.masquerade, defaults.pppoe.masquerade);
	assert_int_equal(settings->pppoe.mss_clamp, defaults.pppoe.mss_clamp);
	assert_int_equal(settings->pppoe.failover, defaults.pppoe.failover);
	assert_int_equal(settings->pppoe.fallback, defaults.pppoe.fallback);
	assert_string_equal(settings->firewalld.zone, "external");
}

static void test_empty_file(void **state)
{
	static const char *const empties[] = {
		"",
		"\n",
		"# only a comment",
		"\xef\xbb\xbf// after a byte order mark\r\n/* and\nanother */",
		"wan = { }; map : { }\nlan = { }, nat = { }; forward = ( );",
	};

	for (size_t i = 0; i < ARRAY_SIZE(empties); i++) {
		_cleanup_settings_ struct settings settings = {0};

		load(empties[i], &settings);
		assert_defaults(&settings);
		assert_false(settings.pppoe.enabled);
	}
}

static void test_defaults_are_those_of_the_documentation(void **state)
{
	struct settings settings;

	settings_defaults(&settings);
	assert_string_equal(settings.map.tunnel, "map0");
	assert_true(settings.map.default_route);
	assert_int_equal(settings.map.route_metric, 1024);
	assert_int_equal(settings.nat.filtering, FILTERING_ADDRESS_DEPENDENT);
	assert_string_equal(settings.pppoe.interface, "ppp0");
	assert_int_equal(settings.pppoe.table, 10);
	assert_int_equal(settings.pppoe.mark, 1000);
	assert_int_equal(settings.pppoe.mask, UINT32_MAX);
	assert_int_equal(settings.pppoe.rule_priority, 1000);
	assert_true(settings.pppoe.unmappable);
	assert_false(settings.pppoe.fallback);
}

static void test_firewalld(void **state)
{
	static const char longest[] = "firewalld = { zone = \"Zone-_7890abcdefg\"; };";
	_cleanup_settings_ struct settings on = {0}, named = {0}, off = {0};

	load("firewalld = { };", &on);
	assert_true(on.firewalld.enabled);
	assert_defaults(&on);
	load(longest, &named);
	assert_true(named.firewalld.enabled);
	assert_string_equal(named.firewalld.zone, "Zone-_7890abcdefg");
	load("", &off);
	assert_false(off.firewalld.enabled);
}

static void test_pppoe_on_with_its_section(void **state)
{
	_cleanup_settings_ struct settings settings = {0};

	load("pppoe = { };", &settings);
	assert_true(settings.pppoe.enabled);
	assert_defaults(&settings);
}

static void test_wan(void **state)
{
	_cleanup_settings_ struct settings a = {0}, b = {0}, c = {0};

	load("wan = { interface = \"enp2s0\"; prefix = \"2400:4050:48d:2900::/56\"; };", &a);
	assert_string_equal(a.wan.interface, "enp2s0");
	assert_int_equal(a.wan.prefix_mode, PREFIX_STATIC);
	assert_prefix6(&a.wan.prefix, "2400:4050:48d:2900::/56");
	load("wan = { interface = \"auto\"; prefix = \"ra\"; };", &b);
	assert_string_equal(b.wan.interface, "");
	assert_int_equal(b.wan.prefix_mode, PREFIX_RA);
	load("wan = { interface = \"a23456789012345\"; prefix = \"pd\"; };", &c);
	assert_string_equal(c.wan.interface, "a23456789012345");
	assert_int_equal(c.wan.prefix_mode, PREFIX_PD);
}

static void test_map(void **state)
{
	_cleanup_settings_ struct settings settings = {0};
	const struct map_rule *rules;

	load("map = {\n"
	     "  provider = \"my-isp_2.x\";\n"
	     "  rules = (\n"
	     "    { ipv6_prefix = \"2400:4050::/34\"; ipv4_prefix = \"153.240.0.0/16\";\n"
	     "      ea_length = 22; },\n"
	     "    { ipv6_prefix = \"2404:7a80::/31\"; ipv4_prefix = \"133.200.0.0/15\";\n"
	     "      ea_length = 25; psid_offset = 4; br = \"2001:260:700:1::1:275\";\n"
	     "      interface_id = \"rfc7597\"; },\n"
	     "    { ipv6_prefix = \"2404:7a84::/56\"; ipv4_prefix = \"192.0.2.1\";\n"
	     "      ea_length = 0; psid_offset = 0; psid_length = 8; psid = 0xff; },\n"
	     "  );\n"
	     "  br = \"2001:380:a120::9\";\n"
	     "  tunnel = \"mape\"; tunnel_mode = \"existing\";\n"
	     "  mtu = 0x5b4; default_route = False; route_metric = 1000000000;\n"
	     "};\n",
	     &settings);
	assert_string_equal(settings.map.provider, "my-isp_2.x");
	assert_true(settings.map.br_given);
	assert_in6(&settings.map.br, "2001:380:a120::9");
	assert_string_equal(settings.map.tunnel, "mape");
	assert_int_equal(settings.map.tunnel_mode, TUNNEL_EXISTING);
	assert_int_equal(settings.map.mtu, 1460);
	assert_false(settings.map.default_route);
	assert_int_equal(settings.map.route_metric, 1000000000);

	assert_int_equal(settings.map.own_rules.count, 3);
	rules = settings.map.own_rules.rules;
	assert_string_equal(rules[0].provider, "custom");
	assert_prefix6(&rules[0].ipv6_prefix, "2400:4050::/34");
	assert_prefix4(&rules[0].ipv4_prefix, "153.240.0.0/16");
	assert_int_equal(rules[0].ea_length, 22);
	assert_int_equal(rules[0].psid_offset, 6);
	assert_false(rules[0].psid_given);
	assert_in6(&rules[0].br, "2001:380:a120::9");
	assert_int_equal(rules[0].iid_format, IID_MAP_DRAFT_03);
	assert_int_equal(rules[1].psid_offset, 4);
	assert_in6(&rules[1].br, "2001:260:700:1::1:275");
	assert_int_equal(rules[1].iid_format, IID_RFC7597);
	assert_true(rules[2].psid_given);
	assert_int_equal(rules[2].psid_length, 8);
	assert_int_equal(rules[2].psid, 255);
	assert_int_equal(rules[2].psid_offset, 0);
}

static void test_lan(void **state)
{
	_cleanup_settings_ struct settings a = {0}, b = {0};

	load("lan = { interfaces = [ \"br0\", \"wlan0.5\", ]; };", &a);
	assert_int_equal(a.lan.interface_count, 2);
	assert_string_equal(a.lan.interfaces[0], "br0");
	assert_string_equal(a.lan.interfaces[1], "wlan0.5");
	load("lan = { interfaces = ( \"br0\" ); };", &b);
	assert_int_equal(b.lan.interface_count, 1);
}

static void test_nat(void **state)
{
	_cleanup_settings_ struct settings a = {0}, b = {0};

	load("lan = { interfaces = [ \"br0\" ]; };\n"
	     "nat = { filtering = \"endpoint-independent\"; inbound = \"accept\";\n"
	     "  host_limit = 65535; offload = true;\n"
	     "  hosts = [ { address = \"192.168.1.55\"; filtering = \"address-dependent\"; },\n"
	     "            { address = \"10.0.0.0/8\";\n"
	     "              filtering = \"address-and-port-dependent\"; } ];\n"
	     "  open = ( \"tcp/22\", \"udp/51820\", \"udp+tcp/5000-5010\" ); };",
	     &a);
	assert_int_equal(a.nat.filtering, FILTERING_ENDPOINT_INDEPENDENT);
	assert_true(a.nat.inbound_accept);
	assert_int_equal(a.nat.host_limit, 65535);
	assert_true(a.nat.offload);
	assert_int_equal(a.nat.host_count, 2);
	assert_prefix4(&a.nat.hosts[0].address, "192.168.1.55/32");
	assert_int_equal(a.nat.hosts[0].filtering, FILTERING_ADDRESS_DEPENDENT);
	assert_prefix4(&a.nat.hosts[1].address, "10.0.0.0/8");
	assert_int_equal(a.nat.hosts[1].filtering, FILTERING_ADDRESS_AND_PORT_DEPENDENT);
	assert_int_equal(a.nat.open_count, 3);
	assert_int_equal(a.nat.open[0].protocols, PROTO_TCP);
	assert_int_equal(a.nat.open[0].ports.first, 22);
	assert_int_equal(a.nat.open[0].ports.last, 22);
	assert_int_equal(a.nat.open[1].protocols, PROTO_UDP);
	assert_int_equal(a.nat.open[2].protocols, PROTO_TCP | PROTO_UDP);
	assert_int_equal(a.nat.open[2].ports.first, 5000);
	assert_int_equal(a.nat.open[2].ports.last, 5010);
	load("nat = { inbound = \"drop\"; };", &b);
	assert_false(b.nat.inbound_accept);
}

static void test_forward(void **state)
{
	_cleanup_settings_ struct settings settings = {0};
	const struct forward *forwards;

	load("forward = (\n"
	     "  { protocol = \"tcp\"; port = 1680; to = \"192.168.1.10:80\";\n"
	     "    comment = \"a \\\"web\\\" server \\\\\"; },\n"
	     "  { protocol = \"tcp+udp\"; port = \"5000-5010\"; to = \"192.168.1.10:65525\"; },\n"
	     "  { protocol = \"udp\"; port = \"auto\"; to = \"192.168.1.10\"; },\n"
	     "  { protocol = \"tcp\"; block = 1; to = \"192.168.1.10:1\"; },\n"
	     "  { protocol = \"tcp\"; block = 32766; offset = 65535; to = \"10.255.255.1\"; },\n"
	     "  { protocol = \"udp\"; port = 1680; to = \"192.168.1.11\"; },\n"
	     "  { protocol = \"tcp\"; port = 65535; to = \"192.168.1.11\"; },\n"
	     ");\n",
	     &settings);
	assert_int_equal(settings.forward_count, 7);
	forwards = settings.forwards;
	assert_int_equal(forwards[0].protocols, PROTO_TCP);
	assert_int_equal(forwards[0].kind, FORWARD_FIXED);
	assert_int_equal(forwards[0].ports.first, 1680);
	assert_int_equal(forwards[0].ports.last, 1680);
	assert_in4(forwards[0].to, "192.168.1.10");
	assert_int_equal(forwards[0].to_port, 80);
	assert_string_equal(forwards[0].comment, "a \"web\" server \\");
	assert_int_equal(forwards[0].origin.line, 2);
	assert_int_equal(forwards[1].protocols, PROTO_TCP | PROTO_UDP);
	assert_int_equal(forwards[1].ports.first, 5000);
	assert_int_equal(forwards[1].ports.last, 5010);
	assert_int_equal(forwards[1].to_port, 65525);
	assert_int_equal(forwards[1].origin.line, 4);
	assert_int_equal(forwards[2].kind, FORWARD_AUTO);
	assert_int_equal(forwards[2].to_port, 0);
	assert_string_equal(forwards[2].comment, "");
	assert_int_equal(forwards[3].kind, FORWARD_BLOCK);
	assert_int_equal(forwards[3].block, 1);
	assert_int_equal(forwards[3].offset, 0);
	assert_int_equal(forwards[4].block, 32766);
	assert_int_equal(forwards[4].offset, 65535);
	assert_int_equal(forwards[5].protocols, PROTO_UDP);
	assert_int_equal(forwards[6].ports.first, 65535);
}

static void test_pppoe(void **state)
{
	static const uint8_t station[] = {0x00, 0x11, 0x22, 0xaa, 0xbb, 0xcc};
	_cleanup_settings_ struct settings settings = {0};
	const struct pppoe_settings *pppoe = &settings.pppoe;

	load("pppoe = {\n"
	     "  interface = \"ppp1\"; table = 4294967295; map_table = 252;\n"
	     "  mark = 0x80000000; mask = 0xF0000000; rule_priority = 32765;\n"
	     "  hosts = [ \"192.168.1.55\", \"192.168.2.0/24\", \"00:11:22:AA:bb:cc\" ];\n"
	     "  destinations = [ \"203.0.113.0/24\" ];\n"
	     "  ports = [ \"tcp/25\", \"udp/500\", \"tcp/24\" ];\n"
	     "  forward = ( { protocol = \"udp\"; port = \"1024-65535\";\n"
	     "                to = \"192.168.1.55\"; },\n"
	     "              { protocol = \"tcp\"; port = 8080; to = \"192.168.1.20:80\"; } );\n"
	     "  unmappable = false; masquerade = false; mss_clamp = false;\n"
	     "  failover = false; fallback = true;\n"
	     "};\n",
	     &settings);
	assert_true(pppoe->enabled);
	assert_string_equal(pppoe->interface, "ppp1");
	assert_int_equal(pppoe->table, UINT32_MAX);
	assert_int_equal(pppoe->map_table, 252);
	assert_int_equal(pppoe->mark, 0x80000000);
	assert_int_equal(pppoe->mask, 0xf0000000);
	assert_int_equal(pppoe->rule_priority, 32765);
	assert_int_equal(pppoe->host_count, 3);
	assert_false(pppoe->hosts[0].is_mac);
	assert_prefix4(&pppoe->hosts[0].address, "192.168.1.55/32");
	assert_prefix4(&pppoe->hosts[1].address, "192.168.2.0/24");
	assert_true(pppoe->hosts[2].is_mac);
	assert_memory_equal(&pppoe->hosts[2].mac, station, sizeof(station));
	assert_int_equal(pppoe->destination_count, 1);
	assert_prefix4(&pppoe->destinations[0], "203.0.113.0/24");
	assert_int_equal(pppoe->port_count, 3);
	assert_int_equal(pppoe->ports[2].protocols, PROTO_TCP);
	assert_int_equal(pppoe->ports[2].ports.first, 24);
	assert_int_equal(pppoe->forward_count, 2);
	assert_int_equal(pppoe->forwards[0].ports.last, 65535);
	assert_in4(pppoe->forwards[1].to, "192.168.1.20");
	assert_int_equal(pppoe->forwards[1].to_port, 80);
	assert_false(pppoe->unmappable || pppoe->masquerade || pppoe->mss_clamp || pppoe->failover);
	assert_true(pppoe->fallback);
}

/* The same outer port on both lines, or by both protocols, is no collision. */
static void test_no_collision(void **state)
{
	_cleanup_settings_ struct settings settings = {0};

	load("forward = ( { protocol = \"tcp\"; port = \"80-90\"; to = \"192.168.1.1\"; },\n"
	     "            { protocol = \"udp\"; port = \"80-90\"; to = \"192.168.1.2\"; },\n"
	     "            { protocol = \"tcp\"; port = 91; to = \"192.168.1.3\"; },\n"
	     "            { protocol = \"tcp\"; port = 79; to = \"192.168.1.3\"; } );\n"
	     "nat = { open = [ \"tcp/78\", \"udp/91\" ];\n"
	     "  hosts = ( { address = \"192.168.1.0/25\"; filtering = \"address-dependent\"; },\n"
	     "            { address = \"192.168.1.128\"; filtering = \"address-dependent\"; } );\n"
	     "};\n"
	     "pppoe = { forward = ( { protocol = \"tcp\"; port = 80; to = \"192.168.1.1\"; } );\n"
	     "  hosts = [ \"192.168.1.1\" ]; ports = [ \"tcp/80\", \"udp/80\" ]; };\n",
	     &settings);
	assert_int_equal(settings.forward_count, 4);
}

/* conf/maped.conf: installing it changes nothing. */
static void test_shipped_file(void **state)
{
	_cleanup_settings_ struct settings settings = {0};
	char path[512];
	FILE *file;
	char *content = NULL;
	size_t size = 0;

	snprintf(path, sizeof(path), "%s/conf/maped.conf", source_root);
	file = fopen(path, "re");
	assert_non_null(file);
	assert_true(getdelim(&content, &size, '\0', file) > 1000);
	fclose(file);
	load(content, &settings);
	assert_defaults(&settings);
	assert_false(settings.pppoe.enabled);
	free(content);
}

/* Takes the comment signs off the lines between two marks of conf/maped.conf. */
static void uncomment(const char *content, const char *from, char *ret, size_t size)
{
	const char *at = strstr(content, from);
	size_t used = 0;

	assert_non_null(at);
	while (*at && used + 1 < size) {
		const char *end = strchrnul(at, '\n');

		if (*at == '#')
			at++;
		for (; at < end && used + 2 < size; at++)
			ret[used++] = *at;
		ret[used++] = '\n';
		at = *end ? end + 1 : end;
	}
	ret[used] = '\0';
}

/* Its PPPoE section holds the defaults, too, although it is a comment. */
static void test_shipped_pppoe(void **state)
{
	_cleanup_settings_ struct settings settings = {0};
	static char section[16384];
	char path[512];
	FILE *file;
	char *content = NULL;
	size_t size = 0;

	snprintf(path, sizeof(path), "%s/conf/maped.conf", source_root);
	file = fopen(path, "re");
	assert_non_null(file);
	assert_true(getdelim(&content, &size, '\0', file) > 1000);
	fclose(file);
	uncomment(content, "# pppoe = {", section, sizeof(section));
	load(section, &settings);
	assert_true(settings.pppoe.enabled);
	assert_defaults(&settings);
	free(content);
}

/* The file with the examples of the documentation in place of the defaults is good as well. */
static void test_shipped_examples(void **state)
{
	_cleanup_settings_ struct settings settings = {0};
	static char examples[32768];
	char path[512], *content = NULL;
	size_t size = 0, used = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/conf/maped.conf", source_root);
	file = fopen(path, "re");
	assert_non_null(file);
	while (getline(&content, &size, file) > 0) {
		bool example = strncmp(content, "    #   ", 8) == 0 && strpbrk(content, "{};,");
		bool forward = strncmp(content, "#   { ", 6) == 0;
		const char *line = content;

		if (example && (strstr(content, "{ ") || strstr(content, "};") ||
				strstr(content, "},") || strstr(content, "\"tcp/")))
			line += 5;
		else if (forward)
			line += 1;
		used += (size_t)snprintf(examples + used, sizeof(examples) - used, "%s", line);
		assert_true(used < sizeof(examples));
	}
	fclose(file);
	free(content);
	load(examples, &settings);
	assert_int_equal(settings.map.own_rules.count, 1);
	assert_int_equal(settings.nat.host_count, 1);
	assert_int_equal(settings.nat.open_count, 1);
	assert_int_equal(settings.forward_count, 3);
}

/* A thousand hosts, and a file of the greatest size, take no more than a moment. */
static void test_many(void **state)
{
	_cleanup_settings_ struct settings settings = {0};
	_cleanup_text_ struct text file = TEXT_INIT;

	text_add(&file, "pppoe = { hosts = [\n");
	for (unsigned int i = 0; i < 50000; i++)
		text_add(&file, "\"10.%u.%u.%u\",\n", i >> 16, i >> 8 & 255, i & 255);
	text_add(&file, "]; };\n");
	load(text_get(&file), &settings);
	assert_int_equal(settings.pppoe.host_count, 50000);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty_file),
		cmocka_unit_test(test_defaults_are_those_of_the_documentation),
		cmocka_unit_test(test_pppoe_on_with_its_section),
		cmocka_unit_test(test_firewalld),
		cmocka_unit_test(test_wan),
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_lan),
		cmocka_unit_test(test_nat),
		cmocka_unit_test(test_forward),
		cmocka_unit_test(test_pppoe),
		cmocka_unit_test(test_no_collision),
		cmocka_unit_test(test_shipped_file),
		cmocka_unit_test(test_shipped_pppoe),
		cmocka_unit_test(test_shipped_examples),
		cmocka_unit_test(test_many),
	};

	source_root = argc > 1 ? argv[1] : ".";
	return cmocka_run_group_tests_name("settings", tests, place_setup, place_teardown);
}
