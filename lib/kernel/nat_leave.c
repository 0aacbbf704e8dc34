/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every packet that leaves with our address or by the tunnel: nothing leaves with a source that is
 * not ours. On the way, who may answer is learnt (filtering, RFC 4787 section 5) and TCP is told
 * the size of the tunnel.
 *
 * The rules of a base chain lie in one piece of memory (nf_tables_api.c: nft_rule_blob), a chain
 * that is jumped to in another: each jump costs as much as three or four conditions. So what is
 * most common has a rule of its own at the beginning of the guard that asks for everything.
 */
#include <arpa/inet.h>

#include "lib/kernel/nat_map.h"

#define SOURCE_PORT 4u /* word of the rules below */

static void remember_closing(struct nft_chain *chain, uint8_t flag, uint64_t timeout,
			     const char *comment)
{
	struct nft_rule *rule = nft_add_rule(chain, comment);

	is_protocol(rule, IPPROTO_TCP);
	tcp_flags(rule, flag, NFT_CMP_NEQ);
	learn_closing(rule, timeout);
}

static void describe_leave_tcp(struct nft_table *table, const struct nat_plan *plan)
{
	struct nft_chain *chain = nft_add_chain(table, "map_leave_tcp", "connections that end",
						NFT_CHAIN_PLAIN, 0, 0);

	if (!portset_is_whole(&plan->ports)) {
		remember_closing(chain, FLAG_FIN, TIME_WAIT_MS,
				 "conntrack keeps the ports of ended connections for a while");
		remember_closing(chain, FLAG_RST, CLOSE_MS, NULL);
	}
	nft_accept(nft_add_rule(chain, NULL));
}

/* The port that the packet leaves by is in SOURCE_PORT already. */
static void learn(struct nft_rule *rule, enum nat_filtering filtering, uint8_t direction)
{
	if (filtering == FILTERING_ADDRESS_AND_PORT_DEPENDENT)
		return;
	if (filtering == FILTERING_ADDRESS_DEPENDENT)
		load_daddr(rule, SOURCE_PORT + 1);
	load_inside(rule, direction, 8);
	nft_learn(rule, filtering == FILTERING_ADDRESS_DEPENDENT ? "map_contacted" : "map_open",
		  NFT_LEARN_UPDATE, SOURCE_PORT, 8, 0);
}

static void learn_filtering(struct nft_chain *chain, enum nat_filtering filtering,
			    uint8_t direction, bool only_direction)
{
	struct nft_rule *rule;

	if (filtering == FILTERING_ADDRESS_AND_PORT_DEPENDENT)
		return;
	rule = nft_add_rule(chain, NULL);
	if (only_direction)
		ct_direction(rule, direction);
	load_l4(rule, L4_SPORT, SOURCE_PORT);
	learn(rule, filtering, direction);
	nft_accept(rule);
}

static const char *filtering_chain(enum nat_filtering filtering, uint8_t direction)
{
	bool original = direction == IP_CT_DIR_ORIGINAL;

	switch (filtering) {
	case FILTERING_ADDRESS_DEPENDENT:
		return original ? "map_filter_adf" : "map_filter_adf_reply";
	case FILTERING_ENDPOINT_INDEPENDENT:
		return original ? "map_filter_eif" : "map_filter_eif_reply";
	case FILTERING_ADDRESS_AND_PORT_DEPENDENT:
		break;
	}
	return original ? "map_filter_apdf" : "map_filter_apdf_reply";
}

/* ct original ip saddr & mask == host goto map_filter_eif */
static void filter_host(struct nft_chain *chain, const struct nat_host *host, uint8_t direction)
{
	struct nft_rule *rule = nft_add_rule(chain, NULL);
	uint32_t mask =
		htonl(host->address.len ? (uint32_t)(UINT32_MAX << (32 - host->address.len)) : 0);
	uint32_t zero = 0;

	ct_direction(rule, direction);
	nft_ct(rule, NFT_CT_SRC_IP, direction, 0);
	if (host->address.len < 32)
		nft_bitwise(rule, &mask, &zero, sizeof(mask), 0, 0);
	cmp_address(rule, NFT_CMP_EQ, 0, host->address.addr);
	nft_goto(rule, filtering_chain(host->filtering, direction));
}

static void describe_host_filtering(struct nft_table *table, struct nft_chain *leave,
				    const struct nat_plan *plan)
{
	static const enum nat_filtering all[] = {FILTERING_ADDRESS_DEPENDENT,
						 FILTERING_ENDPOINT_INDEPENDENT,
						 FILTERING_ADDRESS_AND_PORT_DEPENDENT};

	if (plan->host_count == 0)
		return;
	for (uint8_t direction = IP_CT_DIR_ORIGINAL; direction < IP_CT_DIR_MAX; direction++) {
		for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
			struct nft_chain *chain =
				nft_add_chain(table, filtering_chain(all[i], direction),
					      "filtering of single hosts", NFT_CHAIN_PLAIN, 0, 0);

			learn_filtering(chain, all[i], direction, false);
			nft_accept(nft_add_rule(chain, NULL));
		}
		/* The longest prefix first. */
		for (int length = 32; length >= 0; length--)
			for (size_t i = 0; i < plan->host_count; i++)
				if (plan->hosts[i].address.len == length)
					filter_host(leave, &plan->hosts[i], direction);
	}
}

static void describe_leave_udp(struct nft_table *table, const struct nat_plan *plan)
{
	struct nft_chain *chain =
		nft_add_chain(table, "map_leave_udp", "who may answer is learnt from what leaves",
			      NFT_CHAIN_PLAIN, 0, 0);

	describe_host_filtering(table, chain, plan);
	if (plan->host_count) /* else guard_udp() has seen to these */
		learn_filtering(chain, plan->filtering, IP_CT_DIR_ORIGINAL, true);
	learn_filtering(chain, plan->filtering, IP_CT_DIR_REPLY, true);
	nft_accept(nft_add_rule(chain, NULL));
}

/* The packet inside an ICMP error came in from the tunnel: its destination is our address, and its
 * destination port (or echo identifier) is of our set. Offsets from the ICMP header, for an inner
 * header without options. */
enum {
	INNER_VERSION = 8,
	INNER_PROTOCOL = 8 + 9,
	INNER_DADDR = 8 + 16,
	INNER_DPORT = 8 + 20 + 2,
	INNER_ID = 8 + 20 + 4,
};

static void describe_leave_error(struct nft_table *table, const struct nat_plan *plan)
{
	struct nft_chain *chain = nft_add_chain(
		table, "map_leave_error", "ICMP errors: the packet inside came to a port of ours",
		NFT_CHAIN_PLAIN, 0, 0);
	struct nft_rule *rule =
		nft_add_rule(chain, "an inner header with options is not looked into");

	nft_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, INNER_VERSION, 1, 0);
	cmp_u8(rule, NFT_CMP_NEQ, 0, 0x45);
	drop_counted(rule, "leaks");
	rule = nft_add_rule(chain, NULL);
	nft_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, INNER_DADDR, 4, 0);
	cmp_address(rule, NFT_CMP_NEQ, 0, plan->address.addr);
	drop_counted(rule, "leaks");
	if (!portset_is_whole(&plan->ports)) {
		rule = nft_add_rule(chain, NULL);
		nft_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, INNER_PROTOCOL, 1, 0);
		cmp_u8(rule, NFT_CMP_EQ, 0, IPPROTO_ICMP);
		load_l4(rule, INNER_ID, 0);
		is_own_port(rule, &plan->ports, 0);
		nft_accept(rule);
		rule = nft_add_rule(chain, NULL);
		nft_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, INNER_PROTOCOL, 1, 0);
		nft_lookup(rule, "map_protocols", 0);
		nft_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, INNER_PROTOCOL, 1, 0);
		cmp_u8(rule, NFT_CMP_NEQ, 0, IPPROTO_ICMP);
		load_l4(rule, INNER_DPORT, 0);
		is_own_port(rule, &plan->ports, 0);
		nft_accept(rule);
		drop_counted(nft_add_rule(chain, NULL), "leaks");
	}
}

static void describe_leave_icmp(struct nft_table *table, const struct nat_plan *plan)
{
	struct nft_set *errors =
		nft_add_set(table, &(struct nft_set_spec){
					   .name = "map_icmp_errors",
					   .comment = "ICMP types that carry a packet",
					   .key = {NFT_TYPE_PROTO},
				   });
	/* unreachable, source quench, redirect, time exceeded, parameter problem */
	static const uint8_t types[] = {3, 4, 5, 11, 12};
	struct nft_chain *chain;
	struct nft_rule *rule;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		nft_add_element(errors, &types[i], NULL);
	describe_leave_error(table, plan);
	chain = nft_add_chain(table, "map_leave_icmp", NULL, NFT_CHAIN_PLAIN, 0, 0);
	rule = nft_add_rule(chain, NULL);
	nft_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, ICMP_TYPE_CODE, 1, 0);
	nft_lookup(rule, "map_icmp_errors", 0);
	nft_goto(rule, "map_leave_error");
	if (!portset_is_whole(&plan->ports))
		drop_foreign(chain, &plan->ports, ICMP_ID, 0, "leaks",
			     "queries: the identifier is of our set");
	nft_accept(nft_add_rule(chain, NULL));
}

/* ip saddr of ours */
static void is_our_source(struct nft_rule *rule, const struct nat_plan *plan)
{
	load_saddr(rule, 0);
	cmp_address(rule, NFT_CMP_EQ, 0, plan->address.addr);
}

/* tcp sport >= 1024, tcp sport & 0x03f0 == 0x0290. Leaves the port in SOURCE_PORT. */
static void is_our_sport(struct nft_rule *rule, const struct nat_plan *plan)
{
	load_l4(rule, L4_SPORT, SOURCE_PORT);
	if (!portset_is_whole(&plan->ports))
		is_own_port(rule, &plan->ports, SOURCE_PORT);
}

static struct nft_rule *ours_of(struct nft_chain *chain, const struct nat_plan *plan,
				uint8_t protocol, const char *comment)
{
	struct nft_rule *rule = nft_add_rule(chain, comment);

	is_our_source(rule, plan);
	is_protocol(rule, protocol);
	is_our_sport(rule, plan);
	return rule;
}

/* A right source is right whatever interface it leaves by. What tells other packets soonest is
 * asked first, here and below. */
static void guard_tcp(struct nft_chain *chain, const struct nat_plan *plan)
{
	struct nft_rule *rule = nft_add_rule(chain, "TCP between its beginning and its end");

	is_our_source(rule, plan);
	is_protocol(rule, IPPROTO_TCP);
	tcp_flags(rule, FLAG_FIN | FLAG_SYN | FLAG_RST, NFT_CMP_EQ);
	is_our_sport(rule, plan);
	nft_accept(rule);
}

/* What comes from the tunnel, and what has nothing to do with it. Assured: has gone both ways, so
 * that conntrack knows it and it was looked at when it was new. */
static void guard_other_ways(struct nft_chain *chain, uint32_t tunnel_index)
{
	struct nft_rule *rule;

	if (tunnel_index == 0)
		return;
	rule = nft_add_rule(chain, "has gone both ways, and does not leave by the tunnel");
	nft_meta(rule, NFT_META_OIF, 0);
	nft_cmp(rule, NFT_CMP_NEQ, 0, &tunnel_index, sizeof(tunnel_index));
	is_no_reset(rule); /* else map_enter notes it */
	ct_status(rule, IPS_ASSURED, NFT_CMP_NEQ);
	nft_accept(rule);
}

/* Who may answer a stream has been learnt while it was none yet, and nat_teach() keeps it for as
 * long as conntrack keeps the stream: noting it at each packet would cost as much as all the rest
 * of this table. What others began (destination NAT) teaches at each packet. */
static void guard_streams(struct nft_chain *chain, const struct nat_plan *plan)
{
	uint32_t mask = IPS_ASSURED | IPS_SRC_NAT | IPS_DST_NAT, zero = 0;
	uint32_t stream = IPS_ASSURED | IPS_SRC_NAT;
	struct nft_rule *rule;

	if (!nat_learns_filtering(plan))
		return;
	rule = nft_add_rule(chain, "a stream of UDP that began here");
	is_protocol(rule, IPPROTO_UDP);
	nft_ct(rule, NFT_CT_STATUS, NFT_NO_DIRECTION, 0);
	nft_bitwise(rule, &mask, &zero, sizeof(mask), 0, 0);
	nft_cmp(rule, NFT_CMP_EQ, 0, &stream, sizeof(stream));
	is_our_source(rule, plan);
	is_our_sport(rule, plan);
	nft_accept(rule);
}

static void guard_udp(struct nft_chain *chain, const struct nat_plan *plan)
{
	struct nft_rule *rule = nft_add_rule(
		chain, plan->host_count ? NULL : "who may answer is learnt from what leaves");

	is_protocol(rule, IPPROTO_UDP);
	is_our_source(rule, plan);
	is_our_sport(rule, plan);
	if (plan->host_count) {
		nft_goto(rule, "map_leave_udp");
		return;
	}
	ct_direction(rule, IP_CT_DIR_ORIGINAL);
	learn(rule, plan->filtering, IP_CT_DIR_ORIGINAL);
	nft_accept(rule);
}

static void guard_syn(struct nft_chain *chain, const struct nat_plan *plan)
{
	struct nft_rule *rule;

	if (!clamps_mss(plan))
		return;
	rule = ours_of(chain, plan, IPPROTO_TCP, MSS_COMMENT);
	clamp_mss(rule, plan);
	nft_accept(rule);
}

/* Comparing names costs as much as six other expressions, so the rules above do without: an
 * address, or the tunnel's index if there is one yet. The rules behind them, by name, hold always;
 * without an index, nothing else is let through before them. */
static void guard_others(struct nft_chain *chain, const struct nat_plan *plan)
{
	struct nft_rule *rule;

	guard_syn(chain, plan);
	rule = ours_of(chain, plan, IPPROTO_TCP, NULL);
	nft_goto(rule, "map_leave_tcp");
	rule = ours_of(chain, plan, IPPROTO_UDP, NULL);
	nft_goto(rule, "map_leave_udp");
	rule = nft_add_rule(chain, NULL);
	leaving_by(rule, plan->tunnel);
	nft_goto(rule, "map_leave");
}

static void describe_leave(struct nft_table *table, const struct nat_plan *plan)
{
	struct nft_chain *chain;
	struct nft_rule *rule;

	describe_leave_tcp(table, plan);
	describe_leave_udp(table, plan);
	describe_leave_icmp(table, plan);
	chain = nft_add_chain(table, "map_leave", "nothing leaves with a source that is not ours",
			      NFT_CHAIN_PLAIN, 0, 0);
	rule = nft_add_rule(chain, NULL);
	load_saddr(rule, 0);
	cmp_address(rule, NFT_CMP_NEQ, 0, plan->address.addr);
	drop_counted(rule, "leaks");
	rule = nft_add_rule(chain, NULL);
	is_protocol(rule, IPPROTO_ICMP);
	nft_goto(rule, "map_leave_icmp");
	if (portset_is_whole(&plan->ports))
		nft_accept(nft_add_rule(chain, "every protocol"));
	else
		drop_counted(nft_add_rule(chain, "foreign ports, and what has none"), "leaks");
}

void nat_leave_describe(struct nft_table *table, const struct nat_plan *plan, uint32_t tunnel_index)
{
	struct nft_chain *guard = nft_find_chain(table, "guard");

	describe_leave(table, plan);
	guard_tcp(guard, plan);
	guard_other_ways(guard, tunnel_index);
	guard_streams(guard, plan);
	guard_udp(guard, plan);
	guard_others(guard, plan);
}
