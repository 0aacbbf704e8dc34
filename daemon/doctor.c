/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/doctor.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <linux/ip6_tunnel.h>
#include <linux/netfilter.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "daemon/paint.h"
#include "lib/base/macro.h"
#include "lib/kernel/nat.h"

#define CONNTRACK_FULL 90 /* percent */
/* So many packets without one answer are no accident. */
#define UNANSWERED_PACKETS 20

static void find(struct findings *out, enum severity severity, const char *name,
		 const char *command, const char *format, ...) _printf_(5, 6);

static void find(struct findings *out, enum severity severity, const char *name,
		 const char *command, const char *format, ...)
{
	struct finding *finding;
	va_list ap;

	if (out->count == ARRAY_SIZE(out->list))
		return;
	finding = &out->list[out->count++];
	*finding = (struct finding){.severity = severity, .name = name};
	snprintf(finding->command, sizeof(finding->command), "%s", command);
	va_start(ap, format);
	vsnprintf(finding->sentence, sizeof(finding->sentence), format, ap);
	va_end(ap);
}

/* Before and after, routes and settings are as others want them: nothing is wrong with that. */
static bool map_is_up(const struct doctor_facts *facts)
{
	return facts->decision.state == STATE_UP && facts->tunnel_found &&
	       facts->daemon != PRESENCE_NO;
}

/* ---- kernel ------------------------------------------------------------------------------ */

/* 6.12.67 to 6.12.70 decapsulate wrongly in ip6_tunnel. */
static bool kernel_is_known_bad(const char *release)
{
	unsigned int major, minor, patch;

	return sscanf(release, "%u.%u.%u", &major, &minor, &patch) == 3 && major == 6 &&
	       minor == 12 && patch >= 67 && patch <= 70;
}

static void judge_kernel(const struct doctor_facts *facts, struct findings *out)
{
	if (facts->ip6_tunnel == PRESENCE_NO)
		find(out, SEVERITY_PROBLEM, "kernel-ip6-tunnel", "apt install linux-image-amd64",
		     "kernel %s has no ip6_tunnel, without which there is no MAP-E: run a kernel "
		     "that has it",
		     facts->kernel);
	if (facts->nf_tables == PRESENCE_NO)
		find(out, SEVERITY_PROBLEM, "kernel-nf-tables", "apt install linux-image-amd64",
		     "kernel %s has no nf_tables, without which addresses cannot be translated",
		     facts->kernel);
	if (kernel_is_known_bad(facts->kernel))
		find(out, SEVERITY_PROBLEM, "kernel-known-bad", "apt update && apt full-upgrade",
		     "kernel %s is known to drop what comes out of IPv6 tunnels (6.12.67 to "
		     "6.12.70): install another one",
		     facts->kernel);
	if (!facts->forwarding && map_is_up(facts))
		find(out, SEVERITY_PROBLEM, "forwarding-off", "sysctl -w net.ipv4.ip_forward=1",
		     "IPv4 forwarding is off although the tunnel stands: something switched it "
		     "off");
	if (facts->conntrack_max &&
	    facts->conntrack_count * 100 >= facts->conntrack_max * CONNTRACK_FULL)
		find(out, SEVERITY_WARNING, "conntrack-full",
		     "sysctl -w net.netfilter.nf_conntrack_max=262144",
		     "the table of connections is nearly full (%" PRIu64 " of %" PRIu64
		     "); new connections will be dropped",
		     facts->conntrack_count, facts->conntrack_max);
}

/* ---- the line ---------------------------------------------------------------------------- */

/* Why no prefix is seen, as far as this machine is the reason. */
static bool judge_deafness(const struct doctor_facts *facts, struct findings *out)
{
	const char *wan = facts->wan.name;
	char command[96];

	if (facts->wan_ipv6 == PRESENCE_NO) {
		snprintf(command, sizeof(command), "sysctl -w net.ipv6.conf.%s.disable_ipv6=0",
			 wan);
		find(out, SEVERITY_PROBLEM, "wan-no-ipv6", command,
		     "IPv6 is switched off on %s; MAP-E is IPv4 carried by IPv6", wan);
		return true;
	}
	if (facts->wan_takes_ra == PRESENCE_NO) {
		snprintf(command, sizeof(command), "sysctl -w net.ipv6.conf.%s.accept_ra=2", wan);
		find(out, SEVERITY_PROBLEM, "wan-ignores-ra", command,
		     "the kernel ignores router advertisements on %s, because this machine "
		     "forwards "
		     "IPv6 and accept_ra is 1",
		     wan);
		return true;
	}
	return false;
}

static void judge_state(const struct doctor_facts *facts, struct findings *out)
{
	static const char *const names[] = {
		[STATE_WAITING_WAN] = "wan-missing",
		[STATE_WAITING_CARRIER] = "wan-no-link",
		[STATE_WAITING_PREFIX] = "wan-no-prefix",
		[STATE_NO_RULE] = "prefix-no-rule",
		[STATE_CLOSED_NETWORK] = "prefix-closed-network",
		[STATE_OCN_WITHOUT_MAPE] = "prefix-ocn-without-mape",
	};
	_cleanup_text_ struct text why = TEXT_INIT;
	enum state state = facts->decision.state;
	const char *name = state < ARRAY_SIZE(names) ? names[state] : NULL;
	char command[96] = "";

	if (!name || (state == STATE_WAITING_PREFIX && judge_deafness(facts, out)))
		return;
	if (state == STATE_NO_RULE && facts->decision.choice.other_provider[0])
		name = "prefix-other-provider";
	if (state == STATE_WAITING_WAN)
		snprintf(command, sizeof(command), "ip -6 route show default; ip -br link");
	if (state == STATE_WAITING_CARRIER)
		snprintf(command, sizeof(command), "ip link set %s up", facts->wan.name);
	if (state == STATE_WAITING_PREFIX)
		snprintf(command, sizeof(command), "tcpdump -ni %s 'icmp6 or udp port 546'",
			 facts->wan.name);
	decision_explain(&facts->decision, &facts->wan, &why);
	find(out, SEVERITY_PROBLEM, name, command, "%s", text_get(&why));
}

static void judge_line(const struct doctor_facts *facts, struct findings *out)
{
	const struct choice *choice = &facts->decision.choice;
	char ce[INET6_ADDRSTRLEN];

	judge_state(facts, out);
	if (choice->verdict == VERDICT_CHOSEN && choice->gateway_in_front)
		find(out, SEVERITY_WARNING, "gateway-in-front", "",
		     "a home gateway stands in front of this machine: switch its own MAP-E "
		     "(v6plus, OCN Virtual Connect) off, or both use the same address and ports");
	if (facts->ce_elsewhere == PRESENCE_YES)
		find(out, SEVERITY_PROBLEM, "ce-address-taken", "",
		     "another device on %s%s%s answers for %s, the CE address of this line: it "
		     "does MAP-E itself (a home gateway?), and both would use the same address and "
		     "ports; switch one off",
		     facts->wan.name, facts->ce_owner[0] ? ", " : "", facts->ce_owner,
		     inet_ntop(AF_INET6, &choice->params.ce, ce, sizeof(ce)));
	/* where a prefix has come, it was good enough, or nobody asked for more */
	if (choice->verdict == VERDICT_NO_PREFIX && facts->duid[0] &&
	    strcmp(facts->duid, "link-layer") != 0)
		find(out, SEVERITY_WARNING, "duid-type",
		     "d=/etc/systemd/networkd.conf.d/duid.conf\n"
		     "mkdir -p ${d%/*}\n"
		     "echo '[DHCPv6]' >$d\n"
		     "echo DUIDType=link-layer >>$d\n"
		     "systemctl restart systemd-networkd",
		     "the DHCPv6 client uses a DUID of type %s; NTT answers only type link-layer "
		     "(DUID-LL; in dhcpcd.conf: duid ll)",
		     facts->duid);
}

/* ---- the tunnel -------------------------------------------------------------------------- */

static void judge_tunnel(const struct doctor_facts *facts, struct findings *out)
{
	const struct link_info *tunnel = &facts->tunnel;
	char command[160];

	if (!facts->tunnel_found) {
		if (facts->daemon == PRESENCE_YES && facts->decision.state == STATE_UP)
			find(out, SEVERITY_PROBLEM, "tunnel-missing", "journalctl -u maped -n 20",
			     "the line is ready but the tunnel does not stand: the journal says "
			     "why");
		return;
	}
	if (strcmp(tunnel->kind, "ip6tnl") == 0 &&
	    !(tunnel->tunnel.flags & IP6_TNL_F_IGN_ENCAP_LIMIT)) {
		snprintf(command, sizeof(command), "ip link change %s type ip6tnl encaplimit none",
			 tunnel->name);
		find(out, SEVERITY_PROBLEM, "tunnel-encap-limit", command,
		     "tunnel %s adds an encapsulation limit, an extra header that the provider's "
		     "relay does not expect",
		     tunnel->name);
	}
	if (facts->wanted_mtu && tunnel->mtu != facts->wanted_mtu) {
		snprintf(command, sizeof(command), "ip link set %s mtu %u", tunnel->name,
			 facts->wanted_mtu);
		find(out, SEVERITY_WARNING, "tunnel-mtu", command,
		     "tunnel %s has MTU %u instead of %u: large packets will be lost or split",
		     tunnel->name, tunnel->mtu, facts->wanted_mtu);
	}
	if (facts->tunnel_sent >= UNANSWERED_PACKETS && facts->tunnel_received == 0) {
		snprintf(command, sizeof(command), "maped --status\ntcpdump -ni %s ip6 proto 4",
			 facts->wan.found ? facts->wan.name : "any");
		find(out, SEVERITY_PROBLEM, "tunnel-no-answer", command,
		     "%" PRIu64 " packets were sent through %s and none came back: wrong border "
		     "relay, wrong interface identifier (map-draft-03 or rfc7597), or protocol 4 "
		     "filtered on the way",
		     facts->tunnel_sent, tunnel->name);
	}
	if (facts->rp_filter_strict) {
		snprintf(command, sizeof(command), "sysctl -w net.ipv4.conf.%s.rp_filter=2",
			 tunnel->name);
		find(out, SEVERITY_WARNING, "rp-filter-strict", command,
		     "the reverse path filter is strict on %s: answers are dropped when another "
		     "default route exists",
		     tunnel->name);
	}
}

/* ---- other programs ---------------------------------------------------------------------- */

static void judge_routes(const struct doctor_facts *facts, struct findings *out)
{
	char route[FOREIGN_ROUTE_TEXT_MAX], command[FOREIGN_ROUTE_TEXT_MAX + 16];

	if (facts->snapshot.foreign_count == 0 || !facts->settings->map.default_route ||
	    !map_is_up(facts))
		return;
	foreign_route_format(&facts->snapshot.foreign[0], route);
	snprintf(command, sizeof(command), "ip route del %s", route);
	find(out, SEVERITY_WARNING, "foreign-default-route", command,
	     "another IPv4 default route wins over MAP-E: %s; delete it, give it a higher metric, "
	     "or "
	     "lower map.route_metric",
	     route);
}

static const char *family_name(uint8_t family)
{
	return family == NFPROTO_INET ? "inet" : "ip";
}

/* A foreign chain before ours binds connections before ours sees them; of two at the same place the
 * one registered last is asked first (nf_hook_entries_grow() in net/netfilter/core.c). iptables -t
 * nat, docker's MASQUERADE among it, comes behind us at 100, firewalld at 110. */
static void judge_foreign_nat(const struct nft_survey_chain *chain, const char *tunnel,
			      struct findings *out)
{
	bool same = chain->priority == NAT_PRIORITY_SRC;
	char command[200];

	if (!chain->nat || !chain->translates || chain->hook != NF_INET_POST_ROUTING ||
	    chain->priority > NAT_PRIORITY_SRC)
		return;
	snprintf(command, sizeof(command), "nft -a list chain %s %s %s", family_name(chain->family),
		 chain->table, chain->name);
	find(out, SEVERITY_WARNING, "foreign-nat", command,
	     "chain %s %s %s translates sources %s maped does (priority %d, maped %d): connections "
	     "into %s that its rules match get ports that are not yours, and are dropped; let its "
	     "rules leave out %s",
	     family_name(chain->family), chain->table, chain->name,
	     same ? "at the same place as" : "before", chain->priority, NAT_PRIORITY_SRC, tunnel,
	     tunnel);
}

/* Does it let some LAN in? Docker's own networks do not count: docker lets them out itself. */
static bool lan_passes(const struct doctor_facts *facts, const struct nft_survey_chain *chain)
{
	const char *tunnel = facts->settings->map.tunnel;

	for (size_t i = 0; i < facts->lan_count; i++) {
		const char *lan = facts->lan[i].interface;

		if (strncmp(lan, "docker", 6) != 0 && strncmp(lan, "br-", 3) != 0 &&
		    nft_survey_lets_pass(&facts->survey, chain, lan, tunnel))
			return true;
	}
	return false;
}

static void judge_forward_drop(const struct doctor_facts *facts,
			       const struct nft_survey_chain *chain, struct findings *out)
{
	bool docker = facts->docker == PRESENCE_YES;
	const char *tunnel = facts->settings->map.tunnel;
	bool iptables = strcmp(chain->name, "FORWARD") == 0;
	const char *user = docker ? "DOCKER-USER" : "FORWARD";
	char command[600], place[2 * SURVEY_NAME_MAX + 8];

	if (chain->nat || !chain->drops || chain->hook != NF_INET_FORWARD ||
	    lan_passes(facts, chain))
		return;
	snprintf(place, sizeof(place), "%s %s %s", family_name(chain->family), chain->table,
		 chain->name);
	if (iptables)
		snprintf(command, sizeof(command),
			 "iptables -I %s -o %s -j ACCEPT\n"
			 "iptables -I %s -i %s -m conntrack --ctstate RELATED,ESTABLISHED -j "
			 "ACCEPT\n"
			 "iptables -I %s -i %s -m conntrack --ctstate DNAT -j ACCEPT",
			 user, tunnel, user, tunnel, user, tunnel);
	else
		snprintf(command, sizeof(command),
			 "nft insert rule %s oifname %s accept\n"
			 "nft insert rule %s iifname %s ct state established,related accept\n"
			 "nft insert rule %s iifname %s ct status dnat accept",
			 place, tunnel, place, tunnel, place, tunnel);
	find(out, SEVERITY_WARNING, "forward-drop", command,
	     "chain %s drops what it does not accept%s, and none of its rules lets all that LAN "
	     "hosts send into %s",
	     place, docker && iptables ? " (docker's doing)" : "", tunnel);
}

static void judge_firewalls(const struct doctor_facts *facts, struct findings *out)
{
	const char *tunnel = facts->settings->map.tunnel;

	if (!facts->survey_known)
		return;
	for (size_t i = 0; i < facts->survey.count; i++) {
		judge_foreign_nat(&facts->survey.chains[i], tunnel, out);
		judge_forward_drop(facts, &facts->survey.chains[i], out);
	}
}

/* ---- firewalld --------------------------------------------------------------------------- */

/* From the zone of a LAN interface into the tunnel's. */
static void judge_policy(const struct doctor_facts *facts, const struct doctor_lan *lan,
			 const char *to, struct findings *out)
{
	const char *from = lan->zone[0] ? lan->zone : "internal";
	char command[600], first[120] = "";

	if (lan->passes != PRESENCE_NO)
		return;
	if (!lan->zone[0])
		snprintf(first, sizeof(first),
			 "firewall-cmd --permanent --zone=internal --change-interface=%s\n",
			 lan->interface);
	snprintf(command, sizeof(command),
		 "%sfirewall-cmd --permanent --new-policy lan2map\n"
		 "firewall-cmd --permanent --policy lan2map --add-ingress-zone %s\n"
		 "firewall-cmd --permanent --policy lan2map --add-egress-zone %s\n"
		 "firewall-cmd --permanent --policy lan2map --set-target ACCEPT\n"
		 "firewall-cmd --reload",
		 first, from, to);
	find(out, SEVERITY_PROBLEM, "firewalld-policy", command,
	     "firewalld rejects what LAN hosts on %s (%s%s) send into %s (%s%s): no policy lets it "
	     "pass",
	     lan->interface, lan->zone[0] ? "zone " : "no zone", lan->zone,
	     facts->settings->map.tunnel, facts->zone[0] ? "zone " : "no zone", facts->zone);
}

/* One finding for each zone: interfaces of the same zone need the same policy. */
static bool zone_was_judged(const struct doctor_facts *facts, size_t before)
{
	for (size_t i = 0; i < before; i++)
		if (facts->lan[i].passes == PRESENCE_NO && facts->lan[i].zone[0] &&
		    strcmp(facts->lan[i].zone, facts->lan[before].zone) == 0)
			return true;
	return false;
}

static void judge_firewalld(const struct doctor_facts *facts, struct findings *out)
{
	const struct firewalld_settings *wanted = &facts->settings->firewalld;
	const char *tunnel = facts->settings->map.tunnel;
	const char *to = wanted->enabled ? wanted->zone : facts->zone[0] ? facts->zone : "external";
	char command[240];

	if (wanted->enabled && facts->firewalld == PRESENCE_NO)
		find(out, SEVERITY_WARNING, "firewalld-not-running",
		     "systemctl enable --now firewalld",
		     "firewalld.zone asks for zone %s, but firewalld is not running", wanted->zone);
	if (facts->firewalld != PRESENCE_YES)
		return;
	if (wanted->enabled && strcmp(facts->zone, wanted->zone) != 0)
		find(out, SEVERITY_PROBLEM, "firewalld-zone",
		     facts->daemon == PRESENCE_YES ? "journalctl -x -u maped -n 20"
						   : "systemctl enable --now maped",
		     "%s is in %s%s of firewalld, and not in %s as firewalld.zone asks", tunnel,
		     facts->zone[0] ? "zone " : "no zone", facts->zone, wanted->zone);
	if (!wanted->enabled && !facts->zone[0]) {
		snprintf(command, sizeof(command),
			 "firewall-cmd --permanent --zone=external --change-interface=%s\n"
			 "firewall-cmd --reload",
			 tunnel);
		find(out, SEVERITY_WARNING, "firewalld-zone", command,
		     "firewalld runs and %s is in no zone of it; set firewalld.zone in "
		     "maped.conf, or bind it by hand",
		     tunnel);
	}
	if (facts->wan_zone_open == PRESENCE_NO && facts->settings->forward_count > 0) {
		snprintf(command, sizeof(command),
			 "firewall-cmd --permanent --zone=%s --add-protocol=ipencap\n"
			 "firewall-cmd --reload",
			 facts->wan_zone);
		find(out, SEVERITY_WARNING, "firewalld-wan", command,
		     "firewalld lets in tunnelled packets on %s (zone %s) only as answers: port "
		     "forwards stop working when the line has been quiet for ten minutes",
		     facts->wan.name, facts->wan_zone);
	}
	for (size_t i = 0; i < facts->lan_count; i++)
		if (!zone_was_judged(facts, i))
			judge_policy(facts, &facts->lan[i], to, out);
}

static void judge_programs(const struct doctor_facts *facts, struct findings *out)
{
	const char *tunnel = facts->settings->map.tunnel;
	char command[200];

	if (facts->networkd == PRESENCE_YES && facts->networkd_spares_us == PRESENCE_NO)
		find(out, SEVERITY_WARNING, "networkd-foreign",
		     "d=/etc/systemd/networkd.conf.d/95-maped.conf\n"
		     "mkdir -p ${d%/*}\n"
		     "echo '[Network]' >$d\n"
		     "echo ManageForeignRoutes=no >>$d\n"
		     "echo ManageForeignRoutingPolicyRules=no >>$d\n"
		     "systemctl restart systemd-networkd",
		     "systemd-networkd deletes routes and rules of other programs whenever it is "
		     "restarted; maped repairs them, with a gap");
	if (facts->manager == PRESENCE_YES && facts->manager_spares_us == PRESENCE_NO) {
		snprintf(command, sizeof(command), "nmcli device set %s managed no", tunnel);
		find(out, SEVERITY_WARNING, "networkmanager-tunnel", command,
		     "NetworkManager manages %s and may take its address away", tunnel);
	}
	if (facts->daemon == PRESENCE_NO)
		find(out, SEVERITY_PROBLEM, "daemon-not-running", "systemctl enable --now maped",
		     "maped is not running");
}

void doctor_judge(const struct doctor_facts *facts, struct findings *ret)
{
	ret->count = 0;
	judge_kernel(facts, ret);
	judge_line(facts, ret);
	judge_tunnel(facts, ret);
	judge_routes(facts, ret);
	judge_firewalls(facts, ret);
	judge_firewalld(facts, ret);
	judge_programs(facts, ret);
}

/* ---- printing ---------------------------------------------------------------------------- */

#define COLUMNS 80

/* Words from column on; lines that follow begin at indent, and each but the last ends with tail. */
static void fold(const char *words, size_t column, size_t indent, const char *tail,
		 struct text *out)
{
	bool first = true;

	while (*words) {
		size_t length = strcspn(words, " ");

		if (!first && column + 1 + length + strlen(tail) > COLUMNS) {
			text_add(out, "%s\n%*s", tail, (int)indent, "");
			column = indent;
			first = true;
		}
		text_add(out, "%s%.*s", first ? "" : " ", (int)length, words);
		column += length + !first;
		first = false;
		words += length + (words[length] == ' ');
	}
	text_add(out, "\n");
}

static void print_commands(const char *commands, struct text *out)
{
	char command[sizeof(((struct finding *)0)->command)];

	while (*commands) {
		size_t length = strcspn(commands, "\n");

		snprintf(command, sizeof(command), "%.*s", (int)length, commands);
		text_add(out, "    ");
		fold(command, 4, 6, " \\", out);
		commands += length + (commands[length] == '\n');
	}
}

static void print_finding(const struct finding *finding, bool colour, struct text *out)
{
	bool problem = finding->severity == SEVERITY_PROBLEM;
	const char *kind = problem ? "problem" : "warning";

	text_add(out, "%s%s%s [%s]: ", colour ? (problem ? PAINT_RED : PAINT_YELLOW) : "", kind,
		 colour ? PAINT_END : "", finding->name);
	fold(finding->sentence, strlen(kind) + strlen(finding->name) + 5, 2, "", out);
	print_commands(finding->command, out);
}

void doctor_print(const struct findings *findings, bool colour, struct text *out)
{
	static const enum severity order[] = {SEVERITY_PROBLEM, SEVERITY_WARNING};

	for (size_t s = 0; s < ARRAY_SIZE(order); s++)
		for (size_t i = 0; i < findings->count; i++)
			if (findings->list[i].severity == order[s])
				print_finding(&findings->list[i], colour, out);
	if (findings->count == 0)
		text_add(out, "nothing found that keeps MAP-E from working\n");
}
