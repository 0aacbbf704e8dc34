/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sharing ratio 1: the whole address is ours. Every protocol is mapped, nf_nat keeps the port where
 * it can, and only ports that are reserved are kept from connections.
 */
#include <arpa/inet.h>

#include "lib/kernel/nat_map.h"

#define WHOLE_FIRST 1024
#define WHOLE_SPARE 32768 /* when all are reserved: connections that are known come first */

static struct port_range spare_run(const struct nat_plan *plan)
{
	struct port_range run = {WHOLE_SPARE, UINT16_MAX};

	(void)nat_longest_run(plan, (struct port_range){WHOLE_FIRST, UINT16_MAX}, &run);
	return run;
}

/* A service of the router may begin by its own port. */
static struct nft_rule *not_ours(struct nft_chain *chain, const struct nat_plan *plan)
{
	struct nft_rule *rule = nft_add_rule(chain, "not a port of the router's services");

	load_saddr(rule, 0);
	cmp_address(rule, NFT_CMP_NEQ, 0, plan->address.addr);
	return rule;
}

/* udp sport 40000 snat to 192.0.2.1:40001-65535 */
static void move_from(struct nft_rule *rule, const struct nat_plan *plan,
		      struct port_range reserved, struct port_range spare)
{
	uint16_t from = htons(reserved.first), to = htons(reserved.last);
	uint16_t first = htons(spare.first), last = htons(spare.last);

	nft_meta(rule, NFT_META_L4PROTO, 0);
	nft_lookup(rule, "map_protocols", 0);
	load_l4(rule, L4_SPORT, 0);
	nft_range(rule, NFT_RANGE_EQ, 0, &from, &to, sizeof(from));
	nft_immediate(rule, &plan->address.addr, 4, OWN_ADDR);
	nft_immediate(rule, &first, sizeof(first), 4);
	nft_immediate(rule, &last, sizeof(last), 5);
	nft_snat(rule, OWN_ADDR, 4, 5, false);
}

/* What has no ports is not limited. */
static struct nft_chain *limit_whole(struct nft_table *table, struct nft_chain *snat,
				     const struct nat_plan *plan)
{
	struct nft_chain *chain = nft_add_chain(table, "map_port", NULL, NFT_CHAIN_PLAIN, 0, 0);
	struct nft_rule *rule = nft_add_rule(snat, NULL);

	nft_meta(rule, NFT_META_L4PROTO, 0);
	nft_lookup_absent(rule, "map_protocols", 0);
	nft_goto(rule, "map_port");
	nat_limit_describe(table, snat, plan);
	return chain;
}

void nat_whole_describe(struct nft_table *table, const struct nat_plan *plan)
{
	struct nft_chain *chain = nft_add_chain(table, "map_snat", "the whole address is ours",
						NFT_CHAIN_PLAIN, 0, 0);
	struct port_range spare = spare_run(plan);
	struct nft_rule *rule;

	if (plan->host_limit)
		chain = limit_whole(table, chain, plan);
	for (size_t i = 0; i < plan->forward_count; i++)
		move_from(nft_add_rule(chain, "not a forwarded port"), plan,
			  plan->forwards[i].ports, spare);
	for (size_t i = 0; i < plan->open_count; i++)
		move_from(not_ours(chain, plan), plan, plan->open[i].ports, spare);
	rule = nft_add_rule(chain, NULL);
	nft_immediate(rule, &plan->address.addr, 4, OWN_ADDR);
	nft_snat(rule, OWN_ADDR, NFT_NO_DATA, NFT_NO_DATA, false);
}
