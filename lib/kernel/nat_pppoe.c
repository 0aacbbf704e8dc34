/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The PPPoE part of the table: marks that choose the line, for policy routing to follow.
 *
 *   pppoe_choose   first packets of a connection, before routing: which line it takes
 *   restore        every later packet: the line of its connection (connection mark)
 *   pppoe_adopt    connections from before there were marks: the line whose address they use
 *   pppoe_leave    every packet into the session: nothing leaves with a source that is not its
 *                  own, and whatever way a first packet found, there its connection stays
 *   map_pin        the latter for the tunnel
 *
 * Only the bits of mask are touched, in packets and in connections.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "lib/kernel/nat_words.h"

/* Before routing and before destination NAT (-100), behind conntrack (-200). */
#define PRIORITY_MARK NF_IP_PRI_MANGLE
/* Behind the guard (nat.c), so that what it drops is not pinned, and behind everybody's NAT, which
 * may keep later chains of type nat from seeing the packet. */
#define PRIORITY_PIN 295

/* ---- sets --------------------------------------------------------------------------------- */

struct interval {
	uint32_t first, last;
};

static int compare_intervals(const void *a, const void *b)
{
	const struct interval *one = a, *other = b;

	return (one->first > other->first) - (one->first < other->first);
}

/* Overlapping and touching ranges become one: the kernel wants them apart. */
static void add_merged(struct nft_set *set, struct interval *all, size_t count)
{
	if (count == 0)
		return;
	qsort(all, count, sizeof(*all), compare_intervals);
	for (size_t i = 0; i < count;) {
		struct interval one = all[i++];

		while (i < count && (one.last == UINT32_MAX || all[i].first <= one.last + 1)) {
			one.last = MAX_OF(one.last, all[i].last);
			i++;
		}
		nft_add_interval(set, one.first, one.last);
	}
}

static struct interval prefix_interval(const struct prefix4 *prefix)
{
	uint32_t first = ntohl(prefix->addr.s_addr);

	return (struct interval){
		first,
		prefix->len ? first | (uint32_t)(UINT64_C(0xffffffff) >> prefix->len) : UINT32_MAX};
}

static struct nft_set *address_set(struct nft_table *table, const char *name, const char *comment)
{
	return nft_add_set(table, &(struct nft_set_spec){.name = name,
							 .comment = comment,
							 .key = {NFT_TYPE_IPV4},
							 .interval = true});
}

static void describe_hosts(struct nft_table *table, const struct nat_plan_pppoe *pppoe)
{
	struct nft_set *addresses =
		address_set(table, "pppoe_hosts", "LAN hosts that always use PPPoE");
	struct nft_set *macs = nft_add_set(
		table, &(struct nft_set_spec){.name = "pppoe_macs",
					      .comment = "the same, by hardware address",
					      .key = {NFT_TYPE_ETHER}});
	struct interval *all = calloc(pppoe->host_count + 1, sizeof(*all));
	size_t count = 0;

	if (!all) {
		nft_table_fail(table);
		return;
	}
	for (size_t i = 0; i < pppoe->host_count; i++) {
		if (pppoe->hosts[i].is_mac)
			nft_add_element(macs, &pppoe->hosts[i].mac, NULL);
		else
			all[count++] = prefix_interval(&pppoe->hosts[i].address);
	}
	add_merged(addresses, all, count);
	free(all);
}

static void describe_destinations(struct nft_table *table, const struct nat_plan_pppoe *pppoe)
{
	struct nft_set *set =
		address_set(table, "pppoe_destinations", "destinations that always use PPPoE");
	struct interval *all = calloc(pppoe->destination_count + 1, sizeof(*all));

	if (!all) {
		nft_table_fail(table);
		return;
	}
	for (size_t i = 0; i < pppoe->destination_count; i++)
		all[i] = prefix_interval(&pppoe->destinations[i]);
	add_merged(set, all, pppoe->destination_count);
	free(all);
}

static void describe_ports(struct nft_table *table, const struct nat_plan_pppoe *pppoe,
			   unsigned int bit, const char *name, const char *comment)
{
	struct nft_set *set = nft_add_set(table, &(struct nft_set_spec){.name = name,
									.comment = comment,
									.key = {NFT_TYPE_SERVICE},
									.interval = true});
	struct interval *all = calloc(pppoe->port_count + 1, sizeof(*all));
	size_t count = 0;

	if (!all) {
		nft_table_fail(table);
		return;
	}
	for (size_t i = 0; i < pppoe->port_count; i++)
		if (pppoe->ports[i].protocols & bit)
			all[count++] = (struct interval){pppoe->ports[i].ports.first,
							 pppoe->ports[i].ports.last};
	add_merged(set, all, count);
	free(all);
}

/* ---- marks -------------------------------------------------------------------------------- */

/* meta mark set meta mark & ~mask | value; the same for the connection */
static void write_marks(struct nft_rule *rule, uint32_t mask, uint32_t value)
{
	uint32_t keep = ~mask;

	nft_ct(rule, NFT_CT_MARK, NFT_NO_DIRECTION, 0);
	nft_bitwise(rule, &keep, &value, sizeof(keep), 0, 0);
	nft_set_ct_mark(rule, 0);
	nft_meta(rule, NFT_META_MARK, 0);
	nft_bitwise(rule, &keep, &value, sizeof(keep), 0, 0);
	nft_set_mark(rule, 0);
}

static void ct_mark_is(struct nft_rule *rule, uint32_t mask, uint32_t op, uint32_t value)
{
	uint32_t zero = 0;

	nft_ct(rule, NFT_CT_MARK, NFT_NO_DIRECTION, 0);
	nft_bitwise(rule, &mask, &zero, sizeof(mask), 0, 0);
	nft_cmp(rule, op, 0, &value, sizeof(value));
}

/* ct mark & mask == value meta mark set meta mark & ~mask | value */
static void restore_mark(struct nft_chain *chain, uint32_t mask, uint32_t value)
{
	struct nft_rule *rule = nft_add_rule(chain, NULL);
	uint32_t keep = ~mask;

	ct_mark_is(rule, mask, NFT_CMP_EQ, value);
	nft_meta(rule, NFT_META_MARK, 0);
	nft_bitwise(rule, &keep, &value, sizeof(keep), 0, 0);
	nft_set_mark(rule, 0);
	nft_accept(rule);
}

/* A line whose mark is 0 (the mask has room for one value only) is the one without mark. */
static void describe_restore(struct nft_chain *chain, const struct nat_plan_pppoe *pppoe)
{
	restore_mark(chain, pppoe->mask, pppoe->mark);
	if (pppoe->map_mark)
		restore_mark(chain, pppoe->mask, pppoe->map_mark);
}

static void choose_by_address(struct nft_chain *chain, const struct nat_plan_pppoe *pppoe,
			      uint32_t offset, const char *set, const char *comment)
{
	struct nft_rule *rule = nft_add_rule(chain, comment);

	is_ipv4(rule);
	nft_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, offset, 4, 0);
	nft_lookup(rule, set, 0);
	write_marks(rule, pppoe->mask, pppoe->mark);
	nft_accept(rule);
}

static void choose_by_mac(struct nft_chain *chain, const struct nat_plan_pppoe *pppoe)
{
	struct nft_rule *rule = nft_add_rule(chain, NULL);
	uint16_t ethernet = 1; /* ARPHRD_ETHER, host order */

	nft_meta(rule, NFT_META_IIFTYPE, 0);
	nft_cmp(rule, NFT_CMP_EQ, 0, &ethernet, sizeof(ethernet));
	nft_payload(rule, NFT_PAYLOAD_LL_HEADER, 6, 6, 0);
	nft_lookup(rule, "pppoe_macs", 0);
	write_marks(rule, pppoe->mask, pppoe->mark);
	nft_accept(rule);
}

static void choose_by_port(struct nft_chain *chain, const struct nat_plan_pppoe *pppoe,
			   uint8_t protocol, const char *set)
{
	struct nft_rule *rule = nft_add_rule(chain, NULL);

	is_protocol(rule, protocol);
	load_l4(rule, L4_DPORT, 0);
	nft_lookup(rule, set, 0);
	write_marks(rule, pppoe->mask, pppoe->mark);
	nft_accept(rule);
}

static void choose_unmappable(struct nft_chain *chain, const struct nat_plan_pppoe *pppoe)
{
	struct nft_rule *rule;

	if (!pppoe->divert_unmappable)
		return;
	rule = nft_add_rule(chain, "what MAP-E cannot carry");
	nft_meta(rule, NFT_META_L4PROTO, 0);
	nft_lookup_absent(rule, "map_protocols", 0);
	write_marks(rule, pppoe->mask, pppoe->mark);
	nft_accept(rule);
}

/* First packets from the LAN, or of the router itself. What is meant for the router or another LAN
 * is not diverted by a mark: marked packets follow every route of the main table but its default
 * (plan.c, suppress_default). */
static void describe_choose(struct nft_table *table, const struct nat_plan_pppoe *pppoe)
{
	struct nft_chain *chain = nft_add_chain(
		table, "pppoe_choose", "which line a new connection takes", NFT_CHAIN_PLAIN, 0, 0);
	struct nft_chain *own =
		nft_add_chain(table, "pppoe_choose_own",
			      "the same for the router's own connections", NFT_CHAIN_PLAIN, 0, 0);

	choose_by_address(chain, pppoe, IP_SADDR, "pppoe_hosts", NULL);
	choose_by_mac(chain, pppoe);
	nft_goto(nft_add_rule(chain, NULL), "pppoe_choose_own");
	choose_by_address(own, pppoe, IP_DADDR, "pppoe_destinations", NULL);
	choose_by_port(own, pppoe, IPPROTO_TCP, "pppoe_tcp_ports");
	choose_by_port(own, pppoe, IPPROTO_UDP, "pppoe_udp_ports");
	choose_unmappable(own, pppoe);
}

/* A connection that came in by a line belongs to it. The packet itself reaches the LAN and the
 * router without a mark, but rp_filter looks with it (plan.c, filter_by_mark). */
static void arrived_by(struct nft_chain *chain, const char interface[IFNAMSIZ], uint32_t mask,
		       uint32_t value)
{
	struct nft_rule *rule = nft_add_rule(chain, NULL);

	coming_by(rule, interface);
	write_marks(rule, mask, value);
	nft_accept(rule);
}

/* ct (original|reply) ip daddr address: goes to, or is answered at, that address of ours */
static void adopt_by(struct nft_chain *chain, int direction, struct in_addr address, uint32_t mask,
		     uint32_t value)
{
	struct nft_rule *rule;

	if (address.s_addr == 0 || value == 0)
		return;
	rule = nft_add_rule(chain, NULL);
	is_ipv4(rule);
	nft_ct(rule, NFT_CT_DST_IP, direction, 0);
	cmp_address(rule, NFT_CMP_EQ, 0, address);
	write_marks(rule, mask, value);
	nft_accept(rule);
}

static void describe_adopt(struct nft_table *table, const struct nat_plan *plan)
{
	static const int directions[] = {IP_CT_DIR_ORIGINAL, IP_CT_DIR_REPLY};
	const struct nat_plan_pppoe *pppoe = &plan->pppoe;
	struct nft_chain *chain =
		nft_add_chain(table, "pppoe_adopt", "connections from before there were marks",
			      NFT_CHAIN_PLAIN, 0, 0);

	for (size_t i = 0; i < ARRAY_SIZE(directions); i++) {
		adopt_by(chain, directions[i], pppoe->address, pppoe->mask, pppoe->mark);
		if (plan->map)
			adopt_by(chain, directions[i], plan->address.addr, pppoe->mask,
				 pppoe->map_mark);
	}
}

/* The two ends of a marking chain: what is behind restore is new, or without a mark. */
static void sort_unmarked(struct nft_chain *chain, uint32_t mask, const char *fresh)
{
	struct nft_rule *rule = nft_add_rule(chain, NULL);

	ct_state(rule, STATE_NEW, NFT_CMP_NEQ);
	is_ipv4(rule);
	nft_goto(rule, fresh);
	rule = nft_add_rule(chain, NULL);
	ct_state(rule, STATE_ESTABLISHED | STATE_RELATED, NFT_CMP_NEQ);
	ct_mark_is(rule, mask, NFT_CMP_EQ, 0);
	nft_goto(rule, "pppoe_adopt");
}

static void describe_prerouting(struct nft_table *table, const struct nat_plan *plan)
{
	const struct nat_plan_pppoe *pppoe = &plan->pppoe;
	struct nft_chain *fresh, *chain;

	fresh = nft_add_chain(table, "pppoe_new", "first packets", NFT_CHAIN_PLAIN, 0, 0);
	arrived_by(fresh, pppoe->interface, pppoe->mask, pppoe->mark);
	if (plan->map)
		arrived_by(fresh, plan->tunnel, pppoe->mask, pppoe->map_mark);
	nft_goto(nft_add_rule(fresh, NULL), "pppoe_choose");

	chain = nft_add_chain(table, "prerouting_mark",
			      "later packets take the line of their connection", NFT_CHAIN_FILTER,
			      NF_INET_PRE_ROUTING, PRIORITY_MARK);
	describe_restore(chain, pppoe);
	sort_unmarked(chain, pppoe->mask, "pppoe_new");
}

static void describe_output(struct nft_table *table, const struct nat_plan_pppoe *pppoe)
{
	struct nft_chain *chain =
		nft_add_chain(table, "output_mark", "the same for the router itself",
			      NFT_CHAIN_ROUTE, NF_INET_LOCAL_OUT, PRIORITY_MARK);

	describe_restore(chain, pppoe);
	sort_unmarked(chain, pppoe->mask, "pppoe_choose_own");
}

/* ---- the line itself ---------------------------------------------------------------------- */

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
	is_ipv4(rule);
	nft_goto(rule, "pppoe_leave");
	if (!plan->map || !pppoe->map_mark)
		return;
	pin(nft_add_chain(table, "map_pin", "every packet into the tunnel", NFT_CHAIN_PLAIN, 0, 0),
	    pppoe->mask, pppoe->map_mark);
	rule = nft_add_rule(chain, NULL);
	leaving_by(rule, plan->tunnel);
	is_ipv4(rule);
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
	is_ipv4(rule);
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
	is_ipv4(rule);
	nft_masquerade(rule);
	if (pppoe->address.s_addr == 0)
		return;
	rule = nft_add_rule(chain, "hairpin: answers must come back through the router");
	ct_status(rule, IPS_DST_NAT, NFT_CMP_NEQ);
	is_ipv4(rule);
	nft_ct(rule, NFT_CT_DST_IP, IP_CT_DIR_ORIGINAL, 0);
	cmp_address(rule, NFT_CMP_EQ, 0, pppoe->address);
	match_interface(rule, NFT_META_IIFNAME, NFT_CMP_NEQ, pppoe->interface);
	nft_masquerade(rule);
}

/* From the LAN, or the router itself, to the session's address. */
static void hairpin(struct nft_chain *chain, struct in_addr address)
{
	struct nft_rule *rule = nft_add_rule(chain, "hairpin");

	is_ipv4(rule);
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
	is_ipv4(rule);
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
	is_ipv4(rule);
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
	is_ipv4(rule);
	nft_immediate(rule, &mss, sizeof(mss), 0);
	nft_write_mss(rule, 0);
}

void nat_pppoe_describe(struct nft_table *table, const struct nat_plan *plan)
{
	const struct nat_plan_pppoe *pppoe = &plan->pppoe;

	describe_hosts(table, pppoe);
	describe_destinations(table, pppoe);
	describe_ports(table, pppoe, PROTO_TCP, "pppoe_tcp_ports",
		       "TCP services that always use PPPoE");
	describe_ports(table, pppoe, PROTO_UDP, "pppoe_udp_ports",
		       "UDP services that always use PPPoE");
	describe_choose(table, pppoe);
	describe_adopt(table, plan);
	describe_prerouting(table, plan);
	describe_output(table, pppoe);
	describe_leave(table, plan);
	describe_forwards(table, pppoe);
	describe_strays(table, plan);
	describe_masquerade(table, pppoe);
	clamp_mss(nft_find_chain(table, "guard"), pppoe, NFT_META_OIFNAME);
	clamp_mss(nft_find_chain(table, "guard"), pppoe, NFT_META_IIFNAME);
}
