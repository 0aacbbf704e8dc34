/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of family ip6: the two ends of the tunnel, CE and BR, as sources of IPv6. ip6_tunnel
 * takes a packet of the BR from whatever interface it came by, and the BR takes one of the CE from
 * whatever host has sent it: without these rules, a host of the LAN could play either. Nothing is
 * asked but addresses, so that every fragment and every protocol is meant, ICMPv6 errors "of the
 * BR" too, and conntrack is left alone: that alone would cost native IPv6 more than all of this.
 */
#include "lib/kernel/nat.h"
#include "lib/kernel/nat_words.h"

#define IP6_SADDR 8u
#define LAST_WORD 12u /* of an IPv6 address */

static bool is_known(const struct in6_addr *address)
{
	return !IN6_IS_ADDR_UNSPECIFIED(address);
}

static bool relay_is_known(const struct nat_plan *plan)
{
	return is_known(&plan->br) && plan->wan[0];
}

bool nat_outer_wanted(const struct nat_plan *plan)
{
	return plan->present && plan->map && (relay_is_known(plan) || is_known(&plan->ce));
}

/* ip6 saddr 2001:380:a120::9 */
static void is_from(struct nft_rule *rule, const struct in6_addr *address)
{
	nft_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, IP6_SADDR, sizeof(*address), 0);
	nft_cmp(rule, NFT_CMP_EQ, 0, address, sizeof(*address));
}

/* What comes by the WAN, the tunnel's packets above all, is through after the first question: an
 * index is asked for in a third of the time of an address or a name. The name counts, should the
 * WAN have another index by now. (The CE may well come as a source from the WAN: another device
 * that has it answers so when it is asked for, see neighbour.h.) */
static void describe_relay(struct nft_table *table, const struct nat_plan *plan, uint32_t wan_index)
{
	struct nft_chain *chain =
		nft_add_chain(table, "input", "every packet to the router itself", NFT_CHAIN_FILTER,
			      NF_INET_LOCAL_IN, NF_IP_PRI_FILTER);
	struct nft_rule *rule = nft_add_rule(chain, "the BR is beyond the WAN, and nowhere else");

	if (wan_index) {
		nft_meta(rule, NFT_META_IIF, 0);
		nft_cmp(rule, NFT_CMP_NEQ, 0, &wan_index, sizeof(wan_index));
	}
	is_from(rule, &plan->br);
	match_interface(rule, NFT_META_IIFNAME, NFT_CMP_NEQ, plan->wan);
	drop_counted(rule, "inbound");
}

/* @nh,160,32 is the end of an IPv6 source: loading four octets costs much less than loading
 * sixteen, and tells nearly every other host. */
static void describe_passing(struct nft_table *table, const struct nat_plan *plan)
{
	struct nft_chain *chain =
		nft_add_chain(table, "forward", "every packet that is passed on", NFT_CHAIN_FILTER,
			      NF_INET_FORWARD, NF_IP_PRI_FILTER);
	struct nft_rule *rule = nft_add_rule(chain, "only this machine sends as the CE");

	nft_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, IP6_SADDR + LAST_WORD, 4, 0);
	nft_cmp(rule, NFT_CMP_EQ, 0, &plan->ce.s6_addr[LAST_WORD], 4);
	is_from(rule, &plan->ce);
	drop_counted(rule, "leaks");
}

void nat_outer_describe(struct nft_table *table, const struct nat_plan *plan, uint32_t wan_index)
{
	nft_add_counter(table, "inbound", "packets from a false end of the tunnel");
	nft_add_counter(table, "leaks", "packets kept from leaving as if they were the tunnel's");
	if (relay_is_known(plan))
		describe_relay(table, plan, wan_index);
	if (is_known(&plan->ce))
		describe_passing(table, plan);
}
