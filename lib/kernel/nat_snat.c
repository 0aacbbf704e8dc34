/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which port a connection into the tunnel gets (nat.h tells how), and what is learnt for it.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "lib/kernel/nat_map.h"

#define SEARCH_WIDTH 16u
#define SEARCH_MAX   4096u /* ports tried for one connection at most */

const struct nat_kind nat_udp = {
	.protocol = IPPROTO_UDP,
	.own = L4_SPORT,
	.other = L4_DPORT,
	.chain = "map_udp",
	.first = "map_udp_first",
	.known = "map_udp_known",
	.search = "map_udp_search",
	.spare = "map_udp_spare",
	.rest = "map_udp_rest",
	.full = "map_udp_full",
	.owner = "map_udp_owner",
	.busy = "map_udp_busy",
};

const struct nat_kind nat_tcp = {
	.protocol = IPPROTO_TCP,
	.own = L4_SPORT,
	.other = L4_DPORT,
	.chain = "map_tcp",
	.first = "map_tcp_first",
	.known = "map_tcp_known",
	.search = "map_tcp_search",
	.spare = "map_tcp_spare",
	.rest = "map_tcp_rest",
	.full = "map_tcp_full",
	.owner = "map_tcp_owner",
	.busy = "map_tcp_busy",
	.closing = "map_tcp_closing",
};

/* ICMP queries: the identifier is the port (RFC 5508); type and code stand for the other port. */
const struct nat_kind nat_echo = {
	.protocol = IPPROTO_ICMP,
	.own = ICMP_ID,
	.other = ICMP_TYPE_CODE,
	.chain = "map_echo",
	.first = "map_echo_first",
	.known = "map_echo_known",
	.search = "map_echo_search",
	.spare = "map_echo_spare",
	.rest = "map_echo_rest",
	.full = "map_echo_full",
	.owner = "map_echo_owner",
	.busy = "map_echo_busy",
};

const struct nat_kind *const nat_kinds[NAT_KINDS] = {&nat_udp, &nat_tcp, &nat_echo};

/* ---- sets --------------------------------------------------------------------------------- */

static void describe_learnt(struct nft_table *table, const struct nat_kind *kind)
{
	nft_add_set(table,
		    &(struct nft_set_spec){
			    .name = kind->owner,
			    .comment = "LAN endpoint : its port (endpoint-independent mapping)",
			    .key = {NFT_TYPE_IPV4, NFT_TYPE_SERVICE},
			    .data = {NFT_TYPE_SERVICE},
			    .learnt = true,
			    .size = LEARNT_MAX,
			    .timeout = OWNER_SECONDS,
		    });
	nft_add_set(table,
		    &(struct nft_set_spec){
			    .name = kind->busy,
			    .comment = "living connections: destination . its port . our port",
			    .key = {NFT_TYPE_IPV4, NFT_TYPE_SERVICE, NFT_TYPE_SERVICE},
			    .learnt = true,
			    .size = LIVING_MAX,
		    });
	if (kind->closing)
		nft_add_set(table,
			    &(struct nft_set_spec){
				    .name = kind->closing,
				    .comment = "connections at their end, as long as "
					       "conntrack keeps them",
				    .key = {NFT_TYPE_IPV4, NFT_TYPE_SERVICE, NFT_TYPE_SERVICE},
				    .learnt = true,
				    .size = LEARNT_MAX,
				    .timeout = TIME_WAIT_MS / 1000,
			    });
}

/* ---- chains ------------------------------------------------------------------------------- */

static void load_endpoint(struct nft_rule *rule, const struct nat_kind *kind)
{
	load_saddr(rule, ENDPOINT);
	load_l4(rule, kind->own, ENDPOINT + 1);
}

/* Destination and port not taken by somebody else's connection. */
static void is_free(struct nft_rule *rule, const struct nat_kind *kind)
{
	load_daddr(rule, CONNECTION);
	load_l4(rule, kind->other, CONNECTION + 1);
	nft_lookup_absent(rule, kind->busy, CONNECTION);
	if (kind->closing)
		nft_lookup_absent(rule, kind->closing, CONNECTION);
}

static void take_port(struct nft_rule *rule, const struct nat_kind *kind,
		      const struct nat_plan *plan)
{
	nft_learn_connection(rule, kind->busy, CONNECTION, UINT32_MAX);
	nft_immediate(rule, &plan->address.addr, 4, OWN_ADDR);
	/* One port, so random only tells nf_nat not to look through the endpoint's other
	 * connections first: the map of owners has done that. */
	nft_snat(rule, OWN_ADDR, OWN_PORT, NFT_NO_DATA, true);
}

/* ip daddr . udp dport . (ip saddr . udp sport map @map_udp_owner) != @map_udp_busy ... snat */
static void snat_own_port(struct nft_chain *chain, const struct nat_plan *plan,
			  const struct nat_kind *kind)
{
	struct nft_rule *rule = nft_add_rule(chain, "an endpoint that has a port keeps it");

	load_endpoint(rule, kind);
	nft_map(rule, kind->owner, ENDPOINT, OWN_PORT);
	nft_known_length(rule, OWN_PORT, OWN_ADDR);
	is_free(rule, kind);
	take_port(rule, kind, plan);
}

/* Part of the pool. */
struct ports {
	uint32_t first, count; /* places in the port set */
	bool unlearnt;         /* the map of owners is full */
};

/* numgen inc mod 1008 map @map_pool */
static void load_next_port(struct nft_rule *rule, struct ports ports)
{
	nft_numgen(rule, false, ports.count, ports.first, OWN_PORT);
	nft_map(rule, "map_pool", OWN_PORT, OWN_PORT);
	nft_known_length(rule, OWN_PORT, OWN_ADDR);
}

/* If the port is free for this destination. An endpoint that has one already keeps it in the map of
 * owners: `add` leaves what is there. */
static void snat_if_free(struct nft_rule *rule, const struct nat_plan *plan,
			 const struct nat_kind *kind, bool unlearnt)
{
	is_free(rule, kind);
	if (!unlearnt)
		nft_learn(rule, kind->owner, NFT_LEARN_ADD, ENDPOINT, OWN_PORT, UNANSWERED_MS);
	take_port(rule, kind, plan);
}

static void snat_next_port(struct nft_chain *chain, const struct nat_plan *plan,
			   const struct nat_kind *kind, struct ports ports, const char *comment)
{
	struct nft_rule *rule = nft_add_rule(chain, comment);

	if (!ports.unlearnt)
		load_endpoint(rule, kind);
	load_next_port(rule, ports);
	snat_if_free(rule, plan, kind, ports.unlearnt);
}

/* The same with a port that no map need be asked for. */
static void snat_counted_port(struct nft_chain *chain, const struct nat_plan *plan,
			      const struct nat_kind *kind, const char *comment)
{
	struct nft_rule *rule = nft_add_rule(chain, comment);

	load_endpoint(rule, kind);
	count_port(rule, &plan->ports, OWN_PORT);
	nft_lookup_absent(rule, "map_reserved", OWN_PORT);
	snat_if_free(rule, plan, kind, false);
}

static void jump_times(struct nft_chain *chain, const char *to, unsigned int times)
{
	for (unsigned int i = 0; i < times; i++)
		nft_jump(nft_add_rule(chain, NULL), to);
}

/* As many tries as there are ports, in few rules: the chain name_1 tries one port, the next calls
 * it 16 times, and so on. Every try takes the next port in turn. */
static void describe_search(struct nft_table *table, const struct nat_plan *plan,
			    const struct nat_kind *kind, const char *name, struct ports ports,
			    const char *comment)
{
	unsigned int wanted = MIN_OF(ports.count, SEARCH_MAX), tries = 1;
	char below[40], step[40];
	struct nft_chain *chain;

	snprintf(below, sizeof(below), "%s_1", name);
	chain = nft_add_chain(table, below, "takes the next one, if it is free for the destination",
			      NFT_CHAIN_PLAIN, 0, 0);
	snat_next_port(chain, plan, kind, ports, NULL);
	while (tries * SEARCH_WIDTH < wanted) {
		snprintf(step, sizeof(step), "%s_%u", name, tries * SEARCH_WIDTH);
		chain = nft_add_chain(table, step, NULL, NFT_CHAIN_PLAIN, 0, 0);
		jump_times(chain, below, SEARCH_WIDTH);
		tries *= SEARCH_WIDTH;
		memcpy(below, step, sizeof(below));
	}
	chain = nft_add_chain(table, name, comment, NFT_CHAIN_PLAIN, 0, 0);
	jump_times(chain, below, (wanted + tries - 1) / tries);
}

/* An endpoint whose port is taken at a destination moves there to a port of somebody else's, who
 * may have to move in turn. So all begin their search with the same few ports: only the owners of
 * these are disturbed. */
static void describe_searches(struct nft_table *table, const struct nat_plan *plan,
			      const struct nat_kind *kind)
{
	uint32_t count = portset_count(&plan->ports);
	uint32_t spare = MIN_OF(count, SPARE_PORTS);

	describe_search(table, plan, kind, kind->spare, (struct ports){count - spare, spare, false},
			"tries the last ports of the pool");
	describe_search(table, plan, kind, kind->search, (struct ports){0, count, false},
			"tries every port of the pool in turn");
	describe_search(table, plan, kind, kind->full, (struct ports){0, count, true},
			"the same for endpoints that cannot be kept");
}

/* When every port looks taken (or a map is full) the connection counts as refused, and nf_nat may
 * still find a port in one run: it knows of connections that ended within the last second, before
 * the set of living ones has been swept, and may take over one that waits for its end (TIME_WAIT).
 * Without one, the packet goes no further than nf_conntrack_confirm(). */
static void snat_last_resort(struct nft_chain *chain, const struct nat_plan *plan)
{
	struct nft_rule *rule = nft_add_rule(
		chain, "no port is free, unless nf_nat knows of one that was just left");

	nft_counter(rule, "refused");
	nft_numgen(rule, true, portset_block_count(&plan->ports), 0, 0);
	nft_map(rule, "map_run_first", 0, 4);
	nft_map(rule, "map_run_last", 0, 5);
	nft_immediate(rule, &plan->address.addr, 4, OWN_ADDR);
	nft_snat(rule, OWN_ADDR, 4, 5, false);
}

static void end_choice(struct nft_chain *chain, const struct nat_plan *plan)
{
	snat_last_resort(chain, plan);
	nft_drop(nft_add_rule(chain, NULL));
}

static void describe_known(struct nft_table *table, const struct nat_plan *plan,
			   const struct nat_kind *kind)
{
	struct nft_chain *chain = nft_add_chain(table, kind->known, "endpoints that have a port",
						NFT_CHAIN_PLAIN, 0, 0);

	snat_own_port(chain, plan, kind);
	nft_jump(nft_add_rule(chain, "taken for this destination: the last ports"), kind->spare);
	nft_jump(nft_add_rule(chain, "and all others in turn"), kind->search);
	end_choice(chain, plan);
}

/* ip saddr . udp sport map @map_udp_owner != 0 goto map_udp_known */
static void goto_known(struct nft_chain *chain, const struct nat_kind *kind)
{
	struct nft_rule *rule = nft_add_rule(chain, "an endpoint that has a port");

	load_endpoint(rule, kind);
	nft_map(rule, kind->owner, ENDPOINT, OWN_PORT);
	cmp_port(rule, NFT_CMP_NEQ, OWN_PORT, 0);
	nft_goto(rule, kind->known);
}

/* Without room in the map of owners each try would fail at its end: a flood of endpoints would make
 * every new connection of all the others slow, and leave it to the last resort. */
static void goto_rest(struct nft_chain *chain, const struct nat_kind *kind, struct ports ports)
{
	struct nft_rule *rule =
		nft_add_rule(chain, "taken: all others in turn, if there is room to keep it");

	load_endpoint(rule, kind);
	load_next_port(rule, ports);
	nft_learn(rule, kind->owner, NFT_LEARN_ADD, ENDPOINT, OWN_PORT, UNANSWERED_MS);
	nft_learn(rule, kind->owner, NFT_LEARN_DELETE, ENDPOINT, OWN_PORT, 0);
	nft_goto(rule, kind->rest);
}

static void describe_rest(struct nft_table *table, const struct nat_plan *plan,
			  const struct nat_kind *kind)
{
	struct nft_chain *chain = nft_add_chain(table, kind->rest, "endpoints that will have one",
						NFT_CHAIN_PLAIN, 0, 0);

	nft_jump(nft_add_rule(chain, NULL), kind->search);
	end_choice(chain, plan);
}

#define NEXT_IN_TURN "a new endpoint gets the next port in turn"

static void describe_kind(struct nft_table *table, const struct nat_plan *plan,
			  const struct nat_kind *kind)
{
	struct ports all = {0, portset_count(&plan->ports), false};
	bool counted = counts_ports(&plan->ports);
	struct nft_chain *chain;

	describe_learnt(table, kind);
	describe_searches(table, plan, kind);
	describe_known(table, plan, kind);
	describe_rest(table, plan, kind);
	chain = nft_add_chain(table, kind->first, "where most connections end", NFT_CHAIN_PLAIN, 0,
			      0);
	goto_known(chain, kind);
	if (counted)
		snat_counted_port(chain, plan, kind, NEXT_IN_TURN);
	else
		snat_next_port(chain, plan, kind, all, NEXT_IN_TURN);
	chain = nft_add_chain(table, kind->chain, "which port a connection gets", NFT_CHAIN_PLAIN,
			      0, 0);
	/* Not the excluded block again and again, nor reserved ports if they are few. */
	jump_times(chain, kind->first, counted ? 8 : 1);
	goto_rest(chain, kind, all);
	nft_jump(nft_add_rule(chain, "as many endpoints as can be kept"), kind->full);
	end_choice(chain, plan);
}

static void describe_snat(struct nft_table *table, const struct nat_plan *plan)
{
	struct nft_chain *snat, *chain;
	struct nft_rule *rule;

	nat_pool_describe(table, plan);
	for (size_t i = 0; i < NAT_KINDS; i++)
		describe_kind(table, plan, nat_kinds[i]);
	snat = nft_add_chain(table, "map_snat", "first packets into the tunnel get a port of ours",
			     NFT_CHAIN_PLAIN, 0, 0);
	chain = plan->host_limit ? nft_add_chain(table, "map_port", NULL, NFT_CHAIN_PLAIN, 0, 0)
				 : snat;
	if (plan->host_limit)
		nat_limit_describe(table, snat, plan);
	for (size_t i = 0; i < NAT_KINDS; i++) {
		rule = nft_add_rule(chain, NULL);
		is_protocol(rule, nat_kinds[i]->protocol);
		nft_goto(rule, nat_kinds[i]->chain);
	}
	drop_counted(nft_add_rule(chain, "MAP-E carries what has ports, and nothing else"),
		     "unmappable");
}

void nat_snat_describe(struct nft_table *table, const struct nat_plan *plan)
{
	if (portset_is_whole(&plan->ports))
		nat_whole_describe(table, plan);
	else
		describe_snat(table, plan);
}
