/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which of two lines a connection takes: marks, for policy routing to follow.
 *
 *   pppoe_choose   first packets of a connection, before routing: which line it takes
 *   restore        every later packet: the line of its connection (connection mark)
 *   pppoe_adopt    connections from before there were marks: the line whose address they use
 *
 * Only the bits of mask are touched, in packets and in connections.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "lib/kernel/nat_words.h"

/* Before routing and before destination NAT (-100), behind conntrack (-200). */
#define PRIORITY_MARK NF_IP_PRI_MANGLE

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

void nat_choose_describe(struct nft_table *table, const struct nat_plan *plan)
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
}
