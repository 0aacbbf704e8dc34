/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The MAP-E part of the table. Chains that packets enter are made in nat.c; this is what they lead
 * to, in the order a packet meets them:
 *
 *   map_arrive   first packets from the tunnel: forwards, filtering maps (RFC 4787 section 5)
 *   map_hairpin  first packets from the LAN to our own shared address (both nat_enter.c)
 *   map_snat     first packets into the tunnel: the port (nat_snat.c)
 *   map_leave    every packet into the tunnel: nothing leaves with a source that is not ours
 *                (nat_leave.c)
 *   map_enter    every packet from the tunnel to the LAN
 *   map_input    every packet from the tunnel to the router itself (both nat_enter.c)
 *
 * Only the guard, with map_leave and map_enter behind it, costs something for each packet; its
 * first rules let through what is most common.
 */
#include <arpa/inet.h>
#include <string.h>

#include "lib/kernel/nat_map.h"

#define OPEN_SECONDS 300u /* RFC 4787 REQ-5: 5 minutes recommended */
#define ICMP_ADMIN   13u  /* communication administratively prohibited (RFC 1812 5.2.7.1) */

/* ---- sets --------------------------------------------------------------------------------- */

/* Changes of this set make everything learnt void. */
static void describe_identity(struct nft_table *table, const struct nat_plan *plan)
{
	struct nft_set *set = nft_add_set(
		table,
		&(struct nft_set_spec){
			.name = "map_identity",
			.comment = "what this table is for: shared address . PSID . 256 * PSID "
				   "offset + PSID length",
			.key = {NFT_TYPE_IPV4, NFT_TYPE_SERVICE, NFT_TYPE_SERVICE},
			.identity = true,
		});
	uint32_t key[3] = {0};
	uint16_t psid = htons(plan->ports.psid);
	uint16_t shape = htons((uint16_t)(plan->ports.psid_offset << 8 | plan->ports.psid_length));

	memcpy(&key[0], &plan->address.addr, 4);
	memcpy(&key[1], &psid, sizeof(psid));
	memcpy(&key[2], &shape, sizeof(shape));
	nft_add_element(set, key, NULL);
}

/* Filtering works for the whole address as well, where no port is chosen by us. Both maps are there
 * whatever the filtering is: a change of it does not forget what was learnt. */
static void describe_filtering_sets(struct nft_table *table)
{
	nft_add_set(table,
		    &(struct nft_set_spec){
			    .name = "map_contacted",
			    .comment = "address-dependent filtering: our UDP port . host that was "
				       "written to : LAN endpoint",
			    .key = {NFT_TYPE_SERVICE, NFT_TYPE_IPV4},
			    .data = {NFT_TYPE_IPV4, NFT_TYPE_SERVICE},
			    .learnt = true,
			    .size = LEARNT_MAX,
			    .timeout = OPEN_SECONDS,
		    });
	nft_add_set(
		table,
		&(struct nft_set_spec){
			.name = "map_open",
			.comment = "endpoint-independent filtering: our UDP port : LAN endpoint",
			.key = {NFT_TYPE_SERVICE},
			.data = {NFT_TYPE_IPV4, NFT_TYPE_SERVICE},
			.learnt = true,
			.size = LEARNT_MAX,
			.timeout = OPEN_SECONDS,
		});
	nft_add_set(
		table,
		&(struct nft_set_spec){
			.name = "map_answered",
			.comment = "hairpin: our UDP port : LAN endpoint that has been answered",
			.key = {NFT_TYPE_SERVICE},
			.data = {NFT_TYPE_IPV4, NFT_TYPE_SERVICE},
			.learnt = true,
			.size = LEARNT_MAX,
			.timeout = OWNER_SECONDS,
		});
	nft_add_set(table,
		    &(struct nft_set_spec){
			    .name = "map_visited",
			    .comment = "our UDP ports with living connections that others began",
			    .key = {NFT_TYPE_SERVICE},
			    .learnt = true,
			    .size = LEARNT_MAX,
		    });
}

static void add_range(struct nft_set *set, uint32_t network, unsigned int length)
{
	nft_add_interval(set, network, network | (uint32_t)(UINT32_MAX >> length));
}

/* RFC 6890: never a source in the Internet. 192.0.2.0/24 and the like are left alone: they do no
 * harm and laboratories use them. 100.64.0.0/10 too: providers answer from it. */
static void describe_martians(struct nft_table *table)
{
	struct nft_set *set = nft_add_set(
		table, &(struct nft_set_spec){
			       .name = "map_martians",
			       .comment = "sources that nothing from the Internet may have",
			       .key = {NFT_TYPE_IPV4},
			       .interval = true,
		       });

	add_range(set, 0x00000000u, 8);
	add_range(set, 0x0a000000u, 8);
	add_range(set, 0x7f000000u, 8);
	add_range(set, 0xa9fe0000u, 16);
	add_range(set, 0xac100000u, 12);
	add_range(set, 0xc0a80000u, 16);
	nft_add_interval(set, 0xe0000000u, 0xffffffffu);
}

/* ---- the whole ---------------------------------------------------------------------------- */

void nat_map_sets(struct nft_table *table)
{
	static const uint8_t protocols[] = {IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP};
	struct nft_set *set = nft_add_set(table, &(struct nft_set_spec){
							 .name = "map_protocols",
							 .comment = "protocols that MAP-E carries",
							 .key = {NFT_TYPE_PROTO},
						 });

	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
		nft_add_element(set, &protocols[i], NULL);
}

/* meta mark & mask != mark: a mark of this hook has given the packet another way, but oifname
 * still is that of before. */
static void not_diverted(struct nft_rule *rule, const struct nat_plan_pppoe *pppoe)
{
	uint32_t zero = 0;

	nft_meta(rule, NFT_META_MARK, 0);
	nft_bitwise(rule, &pppoe->mask, &zero, sizeof(zero), 0, 0);
	nft_cmp(rule, NFT_CMP_NEQ, 0, &pppoe->mark, sizeof(pppoe->mark));
}

/* Rejected before routing, in the chain of first packets: the sender hears it. */
static void reject_unmappable(struct nft_table *table, const struct nat_plan *plan)
{
	struct nft_chain *chain = nft_find_chain(table, "prerouting_nat");
	struct nft_rule *rule = nft_add_rule(chain, "protocols without ports cannot use MAP-E");

	nft_meta(rule, NFT_META_L4PROTO, 0);
	nft_lookup_absent(rule, "map_protocols", 0);
	nft_fib_oifname(rule, 0);
	nft_cmp(rule, NFT_CMP_EQ, 0, plan->tunnel, IFNAMSIZ);
	nft_counter(rule, "unmappable");
	nft_reject(rule, ICMP_ADMIN);

	rule = nft_add_rule(nft_find_chain(table, "output_nat"), NULL);
	leaving_by(rule, plan->tunnel);
	nft_meta(rule, NFT_META_L4PROTO, 0);
	nft_lookup_absent(rule, "map_protocols", 0);
	if (plan->pppoe.enabled)
		not_diverted(rule, &plan->pppoe);
	nft_counter(rule, "unmappable");
	nft_reject(rule, ICMP_ADMIN);
}

/* meta l4proto udp oif "map0" jump map_udp_first, and so on. Most connections are TCP or UDP and go
 * to their chain at once, by the tunnel's index: a jump costs as much as three or four conditions,
 * a name as much as six. UDP is first, since its packets have more to learn later. What these
 * chains leave, and everything while there is no index, goes the whole way. */
static void describe_exits(struct nft_chain *chain, const struct nat_plan *plan,
			   uint32_t tunnel_index)
{
	static const struct nat_kind *const most[] = {&nat_udp, &nat_tcp};
	struct nft_rule *rule;

	for (size_t i = 0; i < ARRAY_SIZE(most); i++) {
		if (tunnel_index == 0 || plan->host_limit || portset_is_whole(&plan->ports))
			break; /* there is more to ask */
		rule = nft_add_rule(chain, NULL);
		is_protocol(rule, most[i]->protocol);
		nft_meta(rule, NFT_META_OIF, 0);
		nft_cmp(rule, NFT_CMP_EQ, 0, &tunnel_index, sizeof(tunnel_index));
		nft_jump(rule, most[i]->first);
	}
	rule = nft_add_rule(chain, NULL);
	leaving_by(rule, plan->tunnel);
	nft_goto(rule, "map_snat");
}

static void describe_entrances(struct nft_table *table, const struct nat_plan *plan,
			       uint32_t tunnel_index)
{
	struct nft_rule *rule =
		nft_add_rule(nft_find_chain(table, "prerouting_nat"), "ip daddr of ours");

	load_daddr(rule, 0);
	cmp_address(rule, NFT_CMP_EQ, 0, plan->address.addr);
	nft_goto(rule, "map_to_us");
	/* Without this it would get a port of ours and go back into the tunnel, or reach a service
	 * that listens on an address of the LAN. */
	rule = nft_add_rule(nft_find_chain(table, "prerouting_nat"),
			    "from the tunnel to an address that is not ours");
	coming_by(rule, plan->tunnel);
	drop_counted(rule, "inbound");
	if (!portset_is_whole(&plan->ports))
		reject_unmappable(table, plan);

	describe_exits(nft_find_chain(table, "postrouting_nat"), plan, tunnel_index);
	rule = nft_add_rule(nft_find_chain(table, "postrouting_nat"),
			    "hairpin: seen with the external address and port");
	ct_status(rule, IPS_DST_NAT, NFT_CMP_NEQ);
	nft_ct(rule, NFT_CT_DST_IP, IP_CT_DIR_ORIGINAL, 0);
	cmp_address(rule, NFT_CMP_EQ, 0, plan->address.addr);
	match_interface(rule, NFT_META_IIFNAME, NFT_CMP_NEQ, plan->tunnel);
	nft_goto(rule, "map_snat");

	rule = nft_add_rule(nft_find_chain(table, "guard"), NULL);
	coming_by(rule, plan->tunnel);
	nft_goto(rule, "map_enter");
	rule = nft_add_rule(nft_find_chain(table, "input"), NULL);
	coming_by(rule, plan->tunnel);
	nft_goto(rule, "map_input");
}

void nat_map_describe(struct nft_table *table, const struct nat_plan *plan, uint32_t tunnel_index)
{
	nft_add_counter(table, "refused",
			"new connections without a free port, or over host_limit");
	nft_add_counter(table, "unmappable", "packets of protocols without ports");
	nft_add_counter(table, "inbound",
			"packets from outside to the shared address that nobody asked for");
	nft_add_counter(table, "leaks", "packets kept from leaving with a foreign source");
	describe_identity(table, plan);
	describe_martians(table);
	describe_filtering_sets(table);
	nat_forwards_map(table, "map_forward", "forwards: protocol . our port : LAN host . port",
			 plan->forwards, plan->forward_count);
	nat_snat_describe(table, plan);
	nat_leave_describe(table, plan, tunnel_index);
	nat_flows_describe(table, plan, tunnel_index);
	nat_enter_describe(table, plan);
	describe_entrances(table, plan, tunnel_index);
}
