/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/doctor.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <linux/ip6_tunnel.h>
#include <linux/netfilter.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/macro.h"

/* Of our source NAT; a foreign chain below it binds flows before ours sees them. */
#define OUR_SRCNAT_PRIORITY 100
#define CONNTRACK_FULL      90 /* percent */
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
	if (!facts->forwarding && facts->tunnel_found)
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

static void judge_line(const struct doctor_facts *facts, struct findings *out)
{
	const struct choice *choice = &facts->decision.choice;
	_cleanup_text_ struct text why = TEXT_INIT;
	static const char *const names[] = {
		[STATE_WAITING_WAN] = "wan-missing",
		[STATE_WAITING_CARRIER] = "wan-no-link",
		[STATE_WAITING_PREFIX] = "wan-no-prefix",
		[STATE_NO_RULE] = "prefix-no-rule",
		[STATE_CLOSED_NETWORK] = "prefix-closed-network",
		[STATE_OCN_WITHOUT_MAPE] = "prefix-ocn-without-mape",
	};
	enum state state = facts->decision.state;

	if (state < ARRAY_SIZE(names) && names[state]) {
		decision_explain(&facts->decision, &facts->wan, &why);
		find(out, SEVERITY_PROBLEM,
		     state == STATE_NO_RULE && choice->other_provider[0] ? "prefix-other-provider"
									 : names[state],
		     state == STATE_WAITING_PREFIX ? "networkctl status; rdisc6 WAN" : "", "%s",
		     text_get(&why));
	}
	if (choice->verdict == VERDICT_CHOSEN && choice->gateway_in_front)
		find(out, SEVERITY_WARNING, "gateway-in-front", "",
		     "a home gateway stands in front of this machine: switch its own MAP-E "
		     "(v6plus, "
		     "OCN Virtual Connect) off, or both use the same address and ports");
	if (facts->duid[0] && strcmp(facts->duid, "link-layer") != 0)
		find(out, SEVERITY_WARNING, "duid-type",
		     "set DUIDType=link-layer in networkd.conf, or duid ll in dhcpcd.conf",
		     "the DHCPv6 client uses a DUID of type %s; NTT answers only type link-layer "
		     "(DUID-LL)",
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
	if (facts->tunnel_sent >= UNANSWERED_PACKETS && facts->tunnel_received == 0)
		find(out, SEVERITY_PROBLEM, "tunnel-no-answer",
		     "maped --calc PREFIX, compare with the provider's values; "
		     "tcpdump -ni WAN ip6 proto 4",
		     "%" PRIu64 " packets were sent through %s and none came back: wrong border "
		     "relay, wrong interface identifier (map-draft-03 or rfc7597), or protocol 4 "
		     "filtered on the way",
		     facts->tunnel_sent, tunnel->name);
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

	if (facts->snapshot.foreign_count == 0 || !facts->settings->map.default_route)
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

static void judge_firewalls(const struct doctor_facts *facts, struct findings *out)
{
	char command[200];

	if (!facts->survey_known)
		return;
	for (size_t i = 0; i < facts->survey.count; i++) {
		const struct nft_survey_chain *chain = &facts->survey.chains[i];

		if (chain->nat && chain->translates && chain->hook == NF_INET_POST_ROUTING &&
		    chain->priority <= OUR_SRCNAT_PRIORITY) {
			snprintf(command, sizeof(command), "nft -a list chain %s %s %s",
				 family_name(chain->family), chain->table, chain->name);
			find(out, SEVERITY_WARNING, "foreign-nat", command,
			     "chain %s %s %s (priority %d) translates sources no later than maped: "
			     "what it takes leaves with ports that are not yours; let it leave out "
			     "the tunnel",
			     family_name(chain->family), chain->table, chain->name,
			     chain->priority);
		}
		if (!chain->nat && chain->drops && chain->hook == NF_INET_FORWARD) {
			bool docker = facts->docker == PRESENCE_YES;

			find(out, SEVERITY_WARNING, "forward-drop",
			     docker ? "iptables -I DOCKER-USER -o map0 -j ACCEPT; iptables -I "
				      "DOCKER-USER -i map0 -m conntrack --ctstate "
				      "RELATED,ESTABLISHED,DNAT -j ACCEPT"
				    : "allow forwarding between the LAN and the tunnel in that "
				      "chain",
			     "chain %s %s %s drops what it does not accept%s: LAN hosts have no "
			     "IPv4 "
			     "unless it accepts them",
			     family_name(chain->family), chain->table, chain->name,
			     docker ? " (docker's doing)" : "");
		}
	}
}

static void judge_programs(const struct doctor_facts *facts, struct findings *out)
{
	const char *tunnel = facts->settings->map.tunnel;
	char command[200];

	if (facts->networkd == PRESENCE_YES && facts->networkd_spares_us == PRESENCE_NO)
		find(out, SEVERITY_WARNING, "networkd-foreign",
		     "set ManageForeignRoutes=no and ManageForeignRoutingPolicyRules=no in "
		     "/etc/systemd/networkd.conf.d/",
		     "systemd-networkd deletes routes and rules of others whenever it is "
		     "restarted; "
		     "maped repairs them, with a gap");
	if (facts->manager == PRESENCE_YES && facts->manager_spares_us == PRESENCE_NO) {
		snprintf(command, sizeof(command), "nmcli device set %s managed no", tunnel);
		find(out, SEVERITY_WARNING, "networkmanager-tunnel", command,
		     "NetworkManager manages %s and may take its address away", tunnel);
	}
	if (facts->firewalld == PRESENCE_YES && !facts->zone[0]) {
		snprintf(command, sizeof(command),
			 "firewall-cmd --permanent --zone=external --change-interface=%s && "
			 "firewall-cmd --reload",
			 tunnel);
		find(out, SEVERITY_WARNING, "firewalld-zone", command,
		     "firewalld runs and %s is in no zone: it rejects what LAN hosts send there",
		     tunnel);
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
	judge_programs(facts, ret);
}

void doctor_print(const struct findings *findings, struct text *out)
{
	static const enum severity order[] = {SEVERITY_PROBLEM, SEVERITY_WARNING};

	for (size_t s = 0; s < ARRAY_SIZE(order); s++)
		for (size_t i = 0; i < findings->count; i++) {
			const struct finding *finding = &findings->list[i];

			if (finding->severity != order[s])
				continue;
			text_add(out, "%s [%s]: %s\n",
				 finding->severity == SEVERITY_PROBLEM ? "problem" : "warning",
				 finding->name, finding->sentence);
			if (finding->command[0])
				text_add(out, "    %s\n", finding->command);
		}
	if (findings->count == 0)
		text_add(out, "nothing found that keeps MAP-E from working\n");
}
