/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Each finding of maped --doctor, provoked by the facts that lead to it; and silence without. */
#include <net/if.h>
#include <netinet/in.h>

#include <linux/ip6_tunnel.h>
#include <linux/netfilter.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/doctor.h"
#include "lib/base/macro.h"
#include "lib/kernel/nat.h"

static struct settings settings;

static void healthy(struct doctor_facts *facts)
{
	memset(facts, 0, sizeof(*facts));
	settings_defaults(&settings);
	facts->settings = &settings;
	snprintf(facts->kernel, sizeof(facts->kernel), "6.1.0-40-amd64");
	facts->ip6_tunnel = facts->nf_tables = facts->daemon = PRESENCE_YES;
	facts->networkd = facts->networkd_spares_us = PRESENCE_YES;
	facts->manager = facts->firewalld = facts->docker = PRESENCE_NO;
	facts->wan = (struct wan_view){.found = true, .name = "wan0", .up = true};
	facts->wan_ipv6 = facts->wan_takes_ra = PRESENCE_YES;
	facts->ce_elsewhere = PRESENCE_NO;
	facts->decision.state = STATE_UP;
	facts->decision.choice.verdict = VERDICT_CHOSEN;
	facts->tunnel_found = true;
	snprintf(facts->tunnel.name, sizeof(facts->tunnel.name), "map0");
	snprintf(facts->tunnel.kind, sizeof(facts->tunnel.kind), "ip6tnl");
	facts->tunnel.tunnel.flags = IP6_TNL_F_IGN_ENCAP_LIMIT;
	facts->tunnel.mtu = facts->wanted_mtu = 1460;
	facts->tunnel_sent = 1000;
	facts->tunnel_received = 900;
	facts->forwarding = true;
	facts->survey_known = true;
	facts->conntrack_count = 100;
	facts->conntrack_max = 65536;
	snprintf(facts->duid, sizeof(facts->duid), "link-layer");
}

static struct nft_survey_chain *add_chain(struct doctor_facts *facts, uint32_t hook, int priority)
{
	struct nft_survey_chain *chain = &facts->survey.chains[facts->survey.count++];

	chain->family = NFPROTO_IPV4;
	snprintf(chain->table, sizeof(chain->table), "foreign");
	snprintf(chain->name, sizeof(chain->name), "THEIRS");
	chain->hook = hook;
	chain->priority = priority;
	return chain;
}

static void bad_kernel(struct doctor_facts *facts)
{
	snprintf(facts->kernel, sizeof(facts->kernel), "6.12.68+deb13-amd64");
}

static void no_ip6_tunnel(struct doctor_facts *facts)
{
	facts->ip6_tunnel = PRESENCE_NO;
}

static void no_nf_tables(struct doctor_facts *facts)
{
	facts->nf_tables = PRESENCE_NO;
}

static void no_forwarding(struct doctor_facts *facts)
{
	facts->forwarding = false;
}

static void conntrack_full(struct doctor_facts *facts)
{
	facts->conntrack_count = 60000;
}

static void no_wan(struct doctor_facts *facts)
{
	facts->wan.found = false;
	facts->decision.state = STATE_WAITING_WAN;
	facts->decision.choice.verdict = VERDICT_NO_PREFIX;
}

static void no_prefix(struct doctor_facts *facts)
{
	facts->decision.state = STATE_WAITING_PREFIX;
	facts->decision.choice.verdict = VERDICT_NO_PREFIX;
}

static void no_link(struct doctor_facts *facts)
{
	facts->decision.state = STATE_WAITING_CARRIER;
}

static void ipv6_off(struct doctor_facts *facts)
{
	no_prefix(facts);
	facts->wan_ipv6 = PRESENCE_NO;
	facts->wan_takes_ra = PRESENCE_NO;
}

static void deaf(struct doctor_facts *facts)
{
	no_prefix(facts);
	facts->wan_takes_ra = PRESENCE_NO;
}

static void ce_taken(struct doctor_facts *facts)
{
	facts->ce_elsewhere = PRESENCE_YES;
	snprintf(facts->ce_owner, sizeof(facts->ce_owner), "02:00:5e:00:00:01");
}

static void set_verdict(struct doctor_facts *facts, enum state state, enum verdict verdict,
			const char *prefix)
{
	facts->decision.state = state;
	facts->decision.choice.verdict = verdict;
	assert_int_equal(prefix6_parse(prefix, &facts->decision.choice.prefix), 0);
}

static void no_rule(struct doctor_facts *facts)
{
	set_verdict(facts, STATE_NO_RULE, VERDICT_NO_RULE, "2400:4052:f000::/64");
}

static void other_provider(struct doctor_facts *facts)
{
	no_rule(facts);
	snprintf(facts->decision.choice.other_provider,
		 sizeof(facts->decision.choice.other_provider), "ocn");
}

static void closed_network(struct doctor_facts *facts)
{
	set_verdict(facts, STATE_CLOSED_NETWORK, VERDICT_CLOSED_NETWORK, "2408:210::/64");
}

static void ocn_without_mape(struct doctor_facts *facts)
{
	set_verdict(facts, STATE_OCN_WITHOUT_MAPE, VERDICT_OCN_WITHOUT_MAPE, "2409:10::/64");
}

static void gateway(struct doctor_facts *facts)
{
	facts->decision.choice.gateway_in_front = true;
}

static void wrong_duid(struct doctor_facts *facts)
{
	facts->decision.state = STATE_HOLDING;
	facts->decision.choice.verdict = VERDICT_NO_PREFIX;
	snprintf(facts->duid, sizeof(facts->duid), "vendor");
}

static void no_tunnel(struct doctor_facts *facts)
{
	facts->tunnel_found = false;
}

static void encap_limit(struct doctor_facts *facts)
{
	facts->tunnel.tunnel.flags = 0;
}

static void wrong_mtu(struct doctor_facts *facts)
{
	facts->tunnel.mtu = 1452;
}

static void no_answer(struct doctor_facts *facts)
{
	facts->tunnel_received = 0;
}

static void strict_filter(struct doctor_facts *facts)
{
	facts->rp_filter_strict = true;
}

static void foreign_route(struct doctor_facts *facts)
{
	facts->snapshot.foreign_count = 1;
	snprintf(facts->snapshot.foreign[0].interface, sizeof(facts->snapshot.foreign[0].interface),
		 "eth9");
}

static void foreign_nat(struct doctor_facts *facts)
{
	struct nft_survey_chain *chain = add_chain(facts, NF_INET_POST_ROUTING, -10);

	chain->nat = chain->translates = true;
}

static void foreign_nat_beside(struct doctor_facts *facts)
{
	struct nft_survey_chain *chain = add_chain(facts, NF_INET_POST_ROUTING, NAT_PRIORITY_SRC);

	chain->nat = chain->translates = true;
}

static void forward_drop(struct doctor_facts *facts)
{
	add_chain(facts, NF_INET_FORWARD, 0)->drops = true;
}

static struct nft_survey_pass *add_pass(struct doctor_facts *facts, const char *chain)
{
	struct nft_survey_pass *pass = &facts->survey.passes[facts->survey.pass_count++];

	pass->family = NFPROTO_IPV4;
	snprintf(pass->table, sizeof(pass->table), "foreign");
	snprintf(pass->chain, sizeof(pass->chain), "%s", chain);
	return pass;
}

/* Rules that accept something, but not what the LAN sends into the tunnel; chains in a circle. */
static void forward_drop_others_pass(struct doctor_facts *facts)
{
	struct nft_survey_chain *chain = add_chain(facts, NF_INET_FORWARD, 0);

	chain->drops = true;
	facts->lan_count = 2;
	snprintf(facts->lan[0].interface, sizeof(facts->lan[0].interface), "docker0");
	snprintf(facts->lan[1].interface, sizeof(facts->lan[1].interface), "lan0");
	snprintf(add_pass(facts, "THEIRS")->in, IFNAMSIZ, "docker0");
	snprintf(add_pass(facts, "THEIRS")->in, IFNAMSIZ, "lan00");
	snprintf(add_pass(facts, "THEIRS")->out, IFNAMSIZ, "map*1");
	snprintf(add_pass(facts, "ELSEWHERE")->in, IFNAMSIZ, "lan0");
	snprintf(add_pass(facts, "THEIRS")->jump, SURVEY_NAME_MAX, "CIRCLE");
	snprintf(add_pass(facts, "CIRCLE")->jump, SURVEY_NAME_MAX, "CIRCLE");
}

static void docker(struct doctor_facts *facts)
{
	struct nft_survey_chain *chain = add_chain(facts, NF_INET_FORWARD, 0);

	facts->docker = PRESENCE_YES;
	chain->drops = true;
	snprintf(chain->table, sizeof(chain->table), "filter");
	snprintf(chain->name, sizeof(chain->name), "FORWARD");
}

static void networkd(struct doctor_facts *facts)
{
	facts->networkd_spares_us = PRESENCE_NO;
}

static void manager(struct doctor_facts *facts)
{
	facts->manager = PRESENCE_YES;
	facts->manager_spares_us = PRESENCE_NO;
}

static void firewalld(struct doctor_facts *facts)
{
	facts->firewalld = PRESENCE_YES;
}

static struct doctor_lan *add_lan(struct doctor_facts *facts, const char *zone,
				  enum presence passes)
{
	struct doctor_lan *lan = &facts->lan[facts->lan_count++];

	facts->firewalld = PRESENCE_YES;
	snprintf(facts->zone, sizeof(facts->zone), "external");
	snprintf(lan->interface, sizeof(lan->interface), "br%zu", facts->lan_count - 1);
	snprintf(lan->zone, sizeof(lan->zone), "%s", zone);
	lan->passes = passes;
	return lan;
}

static void no_policy(struct doctor_facts *facts)
{
	add_lan(facts, "home", PRESENCE_YES);
	/* two interfaces of one zone need one policy */
	add_lan(facts, "work", PRESENCE_NO);
	add_lan(facts, "work", PRESENCE_NO);
	add_lan(facts, "dmz", PRESENCE_UNKNOWN);
}

static void lan_without_zone(struct doctor_facts *facts)
{
	add_lan(facts, "", PRESENCE_NO);
}

static void zone_refused(struct doctor_facts *facts)
{
	settings.firewalld.enabled = true;
	facts->firewalld = PRESENCE_YES;
	snprintf(facts->zone, sizeof(facts->zone), "public");
}

static void wan_zone_closed(struct doctor_facts *facts)
{
	settings.forward_count = 1;
	facts->firewalld = PRESENCE_YES;
	snprintf(facts->zone, sizeof(facts->zone), "external");
	snprintf(facts->wan_zone, sizeof(facts->wan_zone), "public");
	facts->wan_zone_open = PRESENCE_NO;
}

static void firewalld_off(struct doctor_facts *facts)
{
	settings.firewalld.enabled = true;
}

static void not_running(struct doctor_facts *facts)
{
	facts->daemon = PRESENCE_NO;
}

static const struct {
	const char *name;
	void (*spoil)(struct doctor_facts *facts);
	enum severity severity;
	const char *says; /* part of the sentence or the command */
} illnesses[] = {
	{"kernel-known-bad", bad_kernel, SEVERITY_PROBLEM, "6.12.68"},
	{"kernel-ip6-tunnel", no_ip6_tunnel, SEVERITY_PROBLEM, "ip6_tunnel"},
	{"kernel-nf-tables", no_nf_tables, SEVERITY_PROBLEM, "nf_tables"},
	{"forwarding-off", no_forwarding, SEVERITY_PROBLEM, "ip_forward=1"},
	{"conntrack-full", conntrack_full, SEVERITY_WARNING, "60000"},
	{"wan-missing", no_wan, SEVERITY_PROBLEM, "wan0"},
	{"wan-no-link", no_link, SEVERITY_PROBLEM, "wan0"},
	{"wan-no-prefix", no_prefix, SEVERITY_PROBLEM, "wan0"},
	{"wan-no-ipv6", ipv6_off, SEVERITY_PROBLEM, "disable_ipv6=0"},
	{"wan-ignores-ra", deaf, SEVERITY_PROBLEM, "net.ipv6.conf.wan0.accept_ra=2"},
	{"ce-address-taken", ce_taken, SEVERITY_PROBLEM, "02:00:5e:00:00:01"},
	{"prefix-no-rule", no_rule, SEVERITY_PROBLEM, "map.rules"},
	{"prefix-other-provider", other_provider, SEVERITY_PROBLEM, "ocn"},
	{"prefix-closed-network", closed_network, SEVERITY_PROBLEM, "closed network"},
	{"prefix-ocn-without-mape", ocn_without_mape, SEVERITY_PROBLEM, "OCN"},
	{"gateway-in-front", gateway, SEVERITY_WARNING, "home gateway"},
	{"duid-type", wrong_duid, SEVERITY_WARNING, "vendor"},
	{"tunnel-missing", no_tunnel, SEVERITY_PROBLEM, "journal"},
	{"tunnel-encap-limit", encap_limit, SEVERITY_PROBLEM, "encaplimit none"},
	{"tunnel-mtu", wrong_mtu, SEVERITY_WARNING, "mtu 1460"},
	{"tunnel-no-answer", no_answer, SEVERITY_PROBLEM, "1000 packets"},
	{"rp-filter-strict", strict_filter, SEVERITY_WARNING, "rp_filter=2"},
	{"foreign-default-route", foreign_route, SEVERITY_WARNING, "eth9"},
	{"foreign-nat", foreign_nat, SEVERITY_WARNING, "THEIRS"},
	{"foreign-nat", foreign_nat_beside, SEVERITY_WARNING, "same place"},
	{"forward-drop", forward_drop, SEVERITY_WARNING,
	 "nft insert rule ip foreign THEIRS oifname map0 accept"},
	{"forward-drop", forward_drop_others_pass, SEVERITY_WARNING, "LAN hosts send into map0"},
	{"forward-drop", docker, SEVERITY_WARNING, "DOCKER-USER"},
	{"networkd-foreign", networkd, SEVERITY_WARNING, "ManageForeignRoutes=no"},
	{"networkmanager-tunnel", manager, SEVERITY_WARNING, "nmcli"},
	{"firewalld-zone", firewalld, SEVERITY_WARNING, "--change-interface=map0"},
	{"firewalld-zone", zone_refused, SEVERITY_PROBLEM, "zone public"},
	{"firewalld-wan", wan_zone_closed, SEVERITY_WARNING,
	 "--zone=public --add-protocol=ipencap"},
	{"firewalld-not-running", firewalld_off, SEVERITY_WARNING, "enable --now firewalld"},
	{"firewalld-policy", no_policy, SEVERITY_PROBLEM, "--add-ingress-zone work"},
	{"firewalld-policy", lan_without_zone, SEVERITY_PROBLEM,
	 "--zone=internal --change-interface=br0"},
	{"daemon-not-running", not_running, SEVERITY_PROBLEM, "systemctl"},
};

static void test_a_healthy_box_has_no_findings(void **state)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	struct doctor_facts facts;
	struct findings findings;

	healthy(&facts);
	doctor_judge(&facts, &findings);
	assert_int_equal(findings.count, 0);
	doctor_print(&findings, false, &text);
	assert_string_equal(text_get(&text), "nothing found that keeps MAP-E from working\n");
}

/* Folded lines as one; none of them is wider than a terminal. */
static void flatten(const char *text, char *flat, size_t size)
{
	size_t used = 0, column = 0;

	for (; *text && used + 1 < size; text++) {
		column = *text == '\n' ? 0 : column + 1;
		if (column > 80)
			fail_msg("wider than 80 columns: %s", text - 80);
		if (text[0] == ' ' && text[1] == '\\' && text[2] == '\n')
			text += 1;
		else if (*text != '\n' && !(*text == ' ' && used && flat[used - 1] == ' '))
			flat[used++] = *text;
		else if (*text == '\n' && used && flat[used - 1] != ' ')
			flat[used++] = ' ';
	}
	flat[used] = '\0';
}

static void test_colours(void **state)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	struct doctor_facts facts;
	struct findings findings;

	healthy(&facts);
	not_running(&facts);
	wrong_mtu(&facts);
	doctor_judge(&facts, &findings);
	doctor_print(&findings, true, &text);
	assert_memory_equal(text_get(&text), "\033[1;31mproblem\033[0m [daemon-not-running]: ", 40);
	assert_non_null(strstr(text_get(&text), "\n\033[33mwarning\033[0m [tunnel-mtu]: "));
}

/* A line that is folded can be pasted into a shell. */
static void test_long_commands_are_continued(void **state)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	struct doctor_facts facts;
	struct findings findings;

	healthy(&facts);
	docker(&facts);
	doctor_judge(&facts, &findings);
	doctor_print(&findings, false, &text);
	assert_non_null(strstr(text_get(&text),
			       "\n    iptables -I DOCKER-USER -o map0 -j ACCEPT\n"
			       "    iptables -I DOCKER-USER -i map0 -m conntrack --ctstate "
			       "RELATED,ESTABLISHED \\\n"
			       "      -j ACCEPT\n"));
}

static void test_each_illness_is_found_alone(void **state)
{
	static char flat[4096];
	struct doctor_facts facts;
	struct findings findings;

	for (size_t i = 0; i < ARRAY_SIZE(illnesses); i++) {
		_cleanup_text_ struct text text = TEXT_INIT;

		healthy(&facts);
		illnesses[i].spoil(&facts);
		doctor_judge(&facts, &findings);
		if (findings.count != 1 || strcmp(findings.list[0].name, illnesses[i].name) != 0)
			fail_msg("%s: %zu findings, first %s", illnesses[i].name, findings.count,
				 findings.count ? findings.list[0].name : "none");
		assert_int_equal(findings.list[0].severity, illnesses[i].severity);
		doctor_print(&findings, false, &text);
		flatten(text_get(&text), flat, sizeof(flat));
		if (!strstr(flat, illnesses[i].says))
			fail_msg("\"%s\" does not say \"%s\"", flat, illnesses[i].says);
	}
}

static void test_harmless_neighbours_are_left_alone(void **state)
{
	struct doctor_facts facts;
	struct findings findings;

	healthy(&facts);
	/* firewalld's masquerade (110) and docker's (100) come later; a NAT chain without rules
	 * takes nothing. */
	add_chain(&facts, NF_INET_POST_ROUTING, 110)->nat = true;
	add_chain(&facts, NF_INET_POST_ROUTING, 100)->nat = true;
	facts.survey.chains[0].translates = facts.survey.chains[1].translates = true;
	add_chain(&facts, NF_INET_POST_ROUTING, NAT_PRIORITY_SRC)->nat = true;
	add_chain(&facts, NF_INET_LOCAL_IN, 0)->drops = true;
	/* a firewall that lets the LAN out, by way of another chain */
	add_chain(&facts, NF_INET_FORWARD, 0)->drops = true;
	facts.lan_count = 1;
	snprintf(facts.lan[0].interface, sizeof(facts.lan[0].interface), "enp2s0");
	snprintf(add_pass(&facts, "THEIRS")->jump, SURVEY_NAME_MAX, "MORE");
	snprintf(add_pass(&facts, "MORE")->in, IFNAMSIZ, "enp*");
	/* the line gave a prefix, so what it thinks of the DUID does not matter */
	snprintf(facts.duid, sizeof(facts.duid), "vendor");
	doctor_judge(&facts, &findings);
	assert_int_equal(findings.count, 0);
}

/* Where MAP-E is not up, the only default route is not to be deleted, and nobody has switched on
 * what is off. */
static void test_others_are_not_blamed_before_it_is_up(void **state)
{
	static void (*const reasons[])(struct doctor_facts *) = {no_prefix, no_link, not_running,
								 no_tunnel};
	struct doctor_facts facts;
	struct findings findings;

	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		healthy(&facts);
		reasons[i](&facts);
		foreign_route(&facts);
		no_forwarding(&facts);
		doctor_judge(&facts, &findings);
		assert_int_equal(findings.count, 1);
	}
}

static void test_problems_come_first(void **state)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	struct doctor_facts facts;
	struct findings findings;

	healthy(&facts);
	conntrack_full(&facts);
	not_running(&facts);
	doctor_judge(&facts, &findings);
	doctor_print(&findings, false, &text);
	assert_memory_equal(text_get(&text), "problem [daemon-not-running]", 28);
	assert_non_null(strstr(text_get(&text), "\nwarning [conntrack-full]"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_healthy_box_has_no_findings),
		cmocka_unit_test(test_each_illness_is_found_alone),
		cmocka_unit_test(test_colours),
		cmocka_unit_test(test_long_commands_are_continued),
		cmocka_unit_test(test_harmless_neighbours_are_left_alone),
		cmocka_unit_test(test_others_are_not_blamed_before_it_is_up),
		cmocka_unit_test(test_problems_come_first),
	};

	return cmocka_run_group_tests_name("doctor", tests, NULL, NULL);
}
