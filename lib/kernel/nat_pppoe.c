/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the PPPoE line does with packets; nat_choose.c sends them there.
 *
 *   pppoe_leave    every packet into the session: nothing leaves with a source that is not its
 *                  own, and whatever way a first packet found, there its connection stays
 *   map_pin        the latter for the tunnel
 */
#include <arpa/inet.h>
#include <string.h>

#include "lib/kernel/nat_words.h"

/* Behind the guard (nat.c), so that what it drops is not pinned, and behind everybody's NAT, which
 * may keep later chains of type nat from seeing the packet. */
#define PRIORITY_PIN 295

/* A packet of an address that the session does not have, such as one of the session before.
 * Without masquerade the LAN may have addresses of its own that the session carries. */
static void drop_foreign_source(struct nft_table *table, struct nft_chain *chain)
{
	struct nft_rule *rule = nft_add_rule(chain, "such as that of a session before");

	nft_add_counter(table, "pppoe_leaks",
			"packets kept from the PPPoE line for their foreign source");
	nft_fib_foreign_source(rule);
	drop_counted(rule, "pppoe_leaks");
}

/* ct state new, or a connection without a mark */
static void pin(struct nft_chain *chain, uint32_t mask, uint32_t value)
{
	uint32_t keep = ~mask;

	for (int unmarked = 0; unmarked < 2; unmarked++) {
		struct nft_rule *rule = nft_add_rule(chain, "a connection never changes its line");

		if (unmarked)
			ct_mark_is(rule, mask, NFT_CMP_EQ, 0);
		else
			ct_state(rule, STATE_NEW, NFT_CMP_NEQ);
		nft_ct(rule, NFT_CT_MARK, NFT_NO_DIRECTION, 0);
		nft_bitwise(rule, &keep, &value, sizeof(keep), 0, 0);
		nft_set_ct_mark(rule, 0);
		nft_accept(rule);
	}
}

static void describe_leave(struct nft_table *table, const struct nat_plan *plan)
{
	const struct nat_plan_pppoe *pppoe = &plan->pppoe;
	struct nft_chain *leave = nft_add_chain(
		table, "pppoe_leave", "every packet into the session", NFT_CHAIN_PLAIN, 0, 0);
	struct nft_chain *chain =
		nft_add_chain(table, "postrouting_mark", "every packet, when its way is settled",
			      NFT_CHAIN_FILTER, NF_INET_POST_ROUTING, PRIORITY_PIN);
	struct nft_rule *rule;

	if (pppoe->masquerade)
		drop_foreign_source(table, leave);
	pin(leave, pppoe->mask, pppoe->mark);
	rule = nft_add_rule(chain, NULL);
	leaving_by(rule, pppoe->interface);
	nft_goto(rule, "pppoe_leave");
	if (!plan->map || !pppoe->map_mark)
		return;
	pin(nft_add_chain(table, "map_pin", "every packet into the tunnel", NFT_CHAIN_PLAIN, 0, 0),
	    pppoe->mask, pppoe->map_mark);
	rule = nft_add_rule(chain, NULL);
	leaving_by(rule, plan->tunnel);
	nft_goto(rule, "map_pin");
}

/* A TCP segment in the middle of a connection that is not known (any more), on its way to a line
 * that was not chosen for it: which line it was on nobody can tell. Its sender hears at once that
 * it is over. */
static void reset_stray(struct nft_chain *chain, bool own, const char interface[IFNAMSIZ],
			uint32_t mask)
{
	struct nft_rule *rule =
		nft_add_rule(chain, "TCP of a connection that is over stays off the lines");

	is_protocol(rule, IPPROTO_TCP);
	tcp_flags(rule, FLAG_SYN | FLAG_RST, NFT_CMP_EQ);
	ct_mark_is(rule, mask, NFT_CMP_EQ, 0);
	if (own)
		nft_meta(rule, NFT_META_OIFNAME, 0);
	else
		nft_fib_oifname(rule, 0);
	nft_cmp(rule, NFT_CMP_EQ, 0, interface, IFNAMSIZ);
	nft_reset_tcp(rule);
}

static void describe_strays(struct nft_table *table, const struct nat_plan *plan)
{
	for (int own = 0; own < 2; own++) {
		struct nft_chain *chain =
			nft_find_chain(table, own ? "output_nat" : "prerouting_nat");

		reset_stray(chain, own, plan->pppoe.interface, plan->pppoe.mask);
		if (plan->map)
			reset_stray(chain, own, plan->tunnel, plan->pppoe.mask);
	}
}

static void describe_masquerade(struct nft_table *table, const struct nat_plan_pppoe *pppoe)
{
	struct nft_chain *chain = nft_find_chain(table, "postrouting_nat");
	struct nft_rule *rule;

	if (!pppoe->masquerade)
		return;
	rule = nft_add_rule(chain, NULL);
	leaving_by(rule, pppoe->interface);
	nft_masquerade(rule);
	if (pppoe->address.s_addr == 0)
		return;
	rule = nft_add_rule(chain, "hairpin: answers must come back through the router");
	ct_status(rule, IPS_DST_NAT, NFT_CMP_NEQ);
	nft_ct(rule, NFT_CT_DST_IP, IP_CT_DIR_ORIGINAL, 0);
	cmp_address(rule, NFT_CMP_EQ, 0, pppoe->address);
	match_interface(rule, NFT_META_IIFNAME, NFT_CMP_NEQ, pppoe->interface);
	nft_masquerade(rule);
}

/* From the LAN, or the router itself, to the session's address. */
static void hairpin(struct nft_chain *chain, struct in_addr address)
{
	struct nft_rule *rule = nft_add_rule(chain, "hairpin");

	load_daddr(rule, 0);
	cmp_address(rule, NFT_CMP_EQ, 0, address);
	nft_goto(rule, "pppoe_arrive");
}

/* The packet has its line's mark already, so the question is answered as it will be for the
 * answers: LAN addresses lie elsewhere, everything that is not in the main table lies here.
 * rp_filter, which is loose (plan.c), takes a LAN address from anywhere. */
static void drop_spoofed(struct nft_table *table, const struct nat_plan_pppoe *pppoe)
{
	struct nft_rule *rule = nft_add_rule(nft_find_chain(table, "prerouting_nat"),
					     "its answer would leave by another interface");

	nft_add_counter(table, "pppoe_spoofed",
			"new connections from the PPPoE line with a source that is not there");
	coming_by(rule, pppoe->interface);
	nft_fib_back_oifname(rule, 0);
	nft_cmp(rule, NFT_CMP_NEQ, 0, pppoe->interface, IFNAMSIZ);
	drop_counted(rule, "pppoe_spoofed");
}

static void describe_forwards(struct nft_table *table, const struct nat_plan_pppoe *pppoe)
{
	struct nft_chain *arrive = nft_add_chain(
		table, "pppoe_arrive", "forwards of the PPPoE line", NFT_CHAIN_PLAIN, 0, 0);
	struct nft_rule *rule;

	nat_forwards_map(table, "pppoe_forward",
			 "forwards of the PPPoE line: protocol . port : LAN host . port",
			 pppoe->forwards, pppoe->forward_count);
	nat_forwards_rules(arrive, "pppoe_forward", pppoe->forwards, pppoe->forward_count);
	drop_spoofed(table, pppoe);
	rule = nft_add_rule(nft_find_chain(table, "prerouting_nat"), NULL);
	coming_by(rule, pppoe->interface);
	nft_goto(rule, "pppoe_arrive");
	if (pppoe->address.s_addr == 0)
		return;
	hairpin(nft_find_chain(table, "prerouting_nat"), pppoe->address);
	hairpin(nft_find_chain(table, "output_nat"), pppoe->address);
}

static void clamp_mss(struct nft_chain *chain, const struct nat_plan_pppoe *pppoe, uint32_t key)
{
	uint16_t mss = htons((uint16_t)(pppoe->mtu - 40));
	struct nft_rule *rule;

	if (!pppoe->mss_clamp || pppoe->mtu <= 40 || pppoe->mtu > UINT16_MAX)
		return;
	rule = nft_add_rule(chain, "MSS: the session's MTU less 40");
	match_interface(rule, key, NFT_CMP_EQ, pppoe->interface);
	is_protocol(rule, IPPROTO_TCP);
	tcp_flags(rule, FLAG_SYN, NFT_CMP_NEQ);
	nft_immediate(rule, &mss, sizeof(mss), 0);
	nft_write_mss(rule, 0);
}

void nat_pppoe_describe(struct nft_table *table, const struct nat_plan *plan)
{
	const struct nat_plan_pppoe *pppoe = &plan->pppoe;

	describe_leave(table, plan);
	describe_forwards(table, pppoe);
	describe_strays(table, plan);
	describe_masquerade(table, pppoe);
	clamp_mss(nft_find_chain(table, "guard"), pppoe, NFT_META_OIFNAME);
	clamp_mss(nft_find_chain(table, "guard"), pppoe, NFT_META_IIFNAME);
}
