/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What comes to the shared address: first packets, from the tunnel (forwards, filtering maps) or
 * from inside (hairpin, RFC 4787 REQ-9), and every packet from the tunnel on its way to the LAN or
 * to the router itself.
 */
#include <arpa/inet.h>

#include "lib/kernel/nat_map.h"

/* ---- every packet from the tunnel --------------------------------------------------------- */

static void clamp_entering(struct nft_chain *chain, const struct nat_plan *plan)
{
	struct nft_rule *rule;

	if (!clamps_mss(plan))
		return;
	rule = nft_add_rule(chain, MSS_COMMENT);
	is_protocol(rule, IPPROTO_TCP);
	clamp_mss(rule, plan);
}

/* ct direction reply update @map_udp_owner { ct original ip saddr . ct original proto-src :
 * ct reply proto-dst } */
static void keep_owner(struct nft_chain *chain, const struct nat_kind *kind, const char *comment)
{
	struct nft_rule *rule = nft_add_rule(chain, comment);

	is_protocol(rule, kind->protocol);
	ct_direction(rule, IP_CT_DIR_REPLY);
	load_inside(rule, IP_CT_DIR_ORIGINAL, ENDPOINT);
	nft_ct(rule, NFT_CT_PROTO_DST, IP_CT_DIR_REPLY, 4);
	nft_learn(rule, kind->owner, NFT_LEARN_UPDATE, ENDPOINT, 4, 0);
}

/* What the sets learn from an answer: that an endpoint goes on using its port, or that conntrack
 * alone keeps the port for a while, since the other end has reset the connection. */
static void learn_answer(struct nft_chain *chain)
{
	struct nft_rule *rule = nft_add_rule(chain, "reset from outside: conntrack keeps its port");

	is_protocol(rule, IPPROTO_TCP);
	tcp_flags(rule, FLAG_RST, NFT_CMP_NEQ);
	ct_direction(rule, IP_CT_DIR_REPLY);
	learn_closing(rule, CLOSE_MS);
	keep_owner(chain, &nat_udp, "an endpoint that is answered keeps its port for longer");
	keep_owner(chain, &nat_tcp, NULL);
}

static void describe_enter(struct nft_table *table, const struct nat_plan *plan)
{
	struct nft_chain *fresh, *chain;
	struct nft_rule *rule;

	fresh = nft_add_chain(table, "map_enter_new", "only what was forwarded or filtered in",
			      NFT_CHAIN_PLAIN, 0, 0);
	clamp_entering(fresh, plan);
	rule = nft_add_rule(fresh, NULL);
	ct_status(rule, IPS_DST_NAT, NFT_CMP_NEQ);
	nft_accept(rule);
	drop_counted(nft_add_rule(fresh, NULL), "inbound");

	chain = nft_add_chain(table, "map_enter",
			      "from the tunnel to the LAN, until a connection has gone both ways",
			      NFT_CHAIN_PLAIN, 0, 0);
	rule = nft_add_rule(chain, NULL);
	ct_state(rule, STATE_ESTABLISHED | STATE_RELATED, NFT_CMP_EQ);
	nft_goto(rule, "map_enter_new");
	clamp_entering(chain, plan);
	rule = nft_add_rule(chain,
			    "an endpoint that is answered can be reached from the LAN as well");
	is_protocol(rule, IPPROTO_UDP);
	ct_direction(rule, IP_CT_DIR_REPLY);
	nft_ct(rule, NFT_CT_PROTO_DST, IP_CT_DIR_REPLY, 4);
	load_inside(rule, IP_CT_DIR_ORIGINAL, 8);
	nft_learn(rule, "map_answered", NFT_LEARN_UPDATE, 4, 8, 0);
	if (portset_is_whole(&plan->ports))
		return;
	learn_answer(chain);
}

static void match_services(struct nft_chain *chain, const struct service *services, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint16_t first = htons(services[i].ports.first);
		uint16_t last = htons(services[i].ports.last);

		for (unsigned int bit = PROTO_TCP; bit <= PROTO_UDP; bit <<= 1) {
			struct nft_rule *rule;

			if (!(services[i].protocols & bit))
				continue;
			rule = nft_add_rule(chain, "opened by nat.open");
			is_protocol(rule, bit == PROTO_TCP ? IPPROTO_TCP : IPPROTO_UDP);
			load_l4(rule, L4_DPORT, 0);
			nft_range(rule, NFT_RANGE_EQ, 0, &first, &last, sizeof(first));
			nft_accept(rule);
		}
	}
}

static void describe_input(struct nft_table *table, const struct nat_plan *plan)
{
	struct nft_chain *chain = nft_add_chain(
		table, "map_input", "from the tunnel to the router itself", NFT_CHAIN_PLAIN, 0, 0);
	struct nft_rule *rule;

	if (!portset_is_whole(&plan->ports)) {
		rule = nft_add_rule(chain, "has gone both ways");
		is_no_reset(rule);
		ct_status(rule, IPS_ASSURED, NFT_CMP_NEQ);
		nft_accept(rule);
		learn_answer(chain);
	}
	rule = nft_add_rule(chain, NULL);
	ct_state(rule, STATE_ESTABLISHED | STATE_RELATED, NFT_CMP_NEQ);
	nft_accept(rule);
	match_services(chain, plan->open, plan->open_count);
	if (plan->inbound_accept) {
		rule = nft_add_rule(chain, "nat.inbound = \"accept\"");
		ct_state(rule, STATE_NEW, NFT_CMP_NEQ);
		nft_accept(rule);
	}
	drop_counted(nft_add_rule(chain, NULL), "inbound");
}

/* ---- first packets to the shared address -------------------------------------------------- */

/* udp dport . ip saddr map @map_contacted, with the connection noted as any other. No more than
 * VISITS_MAX at a time to one port: a peer that sends from all of its ports could fill what all LAN
 * hosts share, the set of living connections and conntrack's own table. */
static void dnat_learnt(struct nft_chain *chain, const struct nat_plan *plan, const char *map,
			bool by_source, bool note, const char *comment)
{
	struct nft_rule *rule = nft_add_rule(chain, comment);

	is_protocol(rule, IPPROTO_UDP);
	load_l4(rule, L4_DPORT, 8);
	if (by_source)
		load_saddr(rule, 9);
	nft_map(rule, map, 8, 12);
	if (note)
		nft_learn_connection(rule, "map_visited", 8, VISITS_MAX);
	if (note && !portset_is_whole(&plan->ports)) {
		load_saddr(rule, CONNECTION);
		load_l4(rule, L4_SPORT, CONNECTION + 1);
		load_l4(rule, L4_DPORT, CONNECTION + 2);
		nft_learn_connection(rule, nat_udp.busy, CONNECTION, UINT32_MAX);
	}
	nft_dnat(rule, 12, 13);
}

/* To the shared address: from the tunnel or from inside. A first packet from the tunnel to another
 * address does not come this far (nat_map.c); what conntrack cannot place is stopped in
 * map_enter_new and map_input. */
static void describe_to_us(struct nft_table *table, const struct nat_plan *plan)
{
	struct nft_chain *chain = nft_add_chain(table, "map_to_us", "first packets to our address",
						NFT_CHAIN_PLAIN, 0, 0);
	struct nft_rule *rule = nft_add_rule(chain, NULL);

	coming_by(rule, plan->tunnel);
	nft_goto(rule, "map_arrive");
	if (plan->pppoe.enabled) {
		rule = nft_add_rule(chain, "the other line is not inside");
		coming_by(rule, plan->pppoe.interface);
		drop_counted(rule, "inbound");
	}
	rule = nft_add_rule(chain, NULL);
	nft_goto(rule, "map_hairpin");
}

/* What has been learnt of a port before it was forwarded or opened comes behind these. */
static void claimed_ports(struct nft_chain *chain, const struct nat_plan *plan)
{
	nat_forwards_rules(chain, "map_forward", plan->forwards, plan->forward_count);
	match_services(chain, plan->open, plan->open_count);
}

/* Some host is filtered so. A map of a filtering that nobody has is not asked. */
static bool some_filter(const struct nat_plan *plan, enum nat_filtering filtering)
{
	for (size_t i = 0; i < plan->host_count; i++)
		if (plan->hosts[i].filtering == filtering)
			return true;
	return plan->filtering == filtering;
}

static void describe_arrive(struct nft_table *table, const struct nat_plan *plan)
{
	struct nft_chain *chain = nft_add_chain(
		table, "map_arrive", "first packets from the tunnel", NFT_CHAIN_PLAIN, 0, 0);
	struct nft_rule *rule = nft_add_rule(chain, NULL);

	load_saddr(rule, 0);
	nft_lookup(rule, "map_martians", 0);
	drop_counted(rule, "inbound");
	rule = nft_add_rule(chain, "nor our own, even with accept_local");
	load_saddr(rule, 0);
	cmp_address(rule, NFT_CMP_EQ, 0, plan->address.addr);
	drop_counted(rule, "inbound");
	if (!portset_is_whole(&plan->ports)) {
		drop_foreign(chain, &plan->ports, L4_DPORT, IPPROTO_TCP, "inbound",
			     "not our ports: the relay should not have sent this");
		drop_foreign(chain, &plan->ports, L4_DPORT, IPPROTO_UDP, "inbound", NULL);
	}
	claimed_ports(chain, plan);
	/* What has been learnt under a stricter filtering is right under a looser one, too. */
	if (some_filter(plan, FILTERING_ADDRESS_DEPENDENT) ||
	    some_filter(plan, FILTERING_ENDPOINT_INDEPENDENT))
		dnat_learnt(chain, plan, "map_contacted", true, true,
			    "hosts that were written to may answer from any port");
	if (some_filter(plan, FILTERING_ENDPOINT_INDEPENDENT))
		dnat_learnt(chain, plan, "map_open", false, true, NULL);
}

static void describe_hairpin(struct nft_table *table, const struct nat_plan *plan)
{
	struct nft_chain *chain = nft_add_chain(
		table, "map_hairpin", "to our shared address from inside (RFC 4787 REQ-9)",
		NFT_CHAIN_PLAIN, 0, 0);

	claimed_ports(chain, plan);
	if (some_filter(plan, FILTERING_ENDPOINT_INDEPENDENT))
		dnat_learnt(chain, plan, "map_open", false, false, NULL);
	dnat_learnt(chain, plan, "map_answered", false, false, NULL);
}

void nat_enter_describe(struct nft_table *table, const struct nat_plan *plan)
{
	describe_enter(table, plan);
	describe_input(table, plan);
	describe_arrive(table, plan);
	describe_hairpin(table, plan);
	describe_to_us(table, plan);
}
