/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which ports of the set connections may get: sets that change with forwards and opened ports,
 * while the rules that ask them stay.
 */
#include <arpa/inet.h>

#include "lib/kernel/nat_map.h"

static struct nft_set *run_map(struct nft_table *table, const char *name, const char *comment)
{
	return nft_add_set(table, &(struct nft_set_spec){
					  .name = name,
					  .comment = comment,
					  .key = {NFT_TYPE_INTEGER},
					  .data = {NFT_TYPE_SERVICE},
				  });
}

bool nat_longest_run(const struct nat_plan *plan, struct port_range block, struct port_range *ret)
{
	unsigned int best = 0, length = 0;

	for (uint32_t port = MAX_OF(block.first, 1u); port <= block.last; port++) {
		length = is_reserved(plan, (uint16_t)port) ? 0 : length + 1;
		if (length > best) {
			best = length;
			*ret = (struct port_range){(uint16_t)(port - length + 1), (uint16_t)port};
		}
	}
	return best > 0;
}

/* The numbers of runs and ports below are their places in the port set, whatever is reserved: a
 * changed forward changes these elements, and no rule. */
static void describe_runs(struct nft_table *table, const struct nat_plan *plan)
{
	struct nft_set *firsts =
		run_map(table, "map_run_first", "the longest run of ports in each block: first");
	struct nft_set *lasts = run_map(table, "map_run_last", "and last");

	for (uint32_t block = 0; block < portset_block_count(&plan->ports); block++) {
		struct port_range run;
		uint16_t ends[2];

		if (!nat_longest_run(plan, portset_block(&plan->ports, block), &run))
			continue;
		ends[0] = htons(run.first);
		ends[1] = htons(run.last);
		nft_add_element(firsts, &block, &ends[0]);
		nft_add_element(lasts, &block, &ends[1]);
	}
}

static bool may_be_given(const struct nat_plan *plan, uint16_t port)
{
	return port != 0 && !is_reserved(plan, port);
}

/* Port 0 is never given out, nor a port that is reserved. In its place stands the one before it,
 * or the last: no try is in vain. */
static void describe_pool(struct nft_table *table, const struct nat_plan *plan)
{
	struct nft_set *set = nft_add_set(
		table,
		&(struct nft_set_spec){
			.name = "map_pool",
			.comment = "ports and ICMP identifiers that connections may get: the "
				   "port set without forwards and opened ports",
			.key = {NFT_TYPE_INTEGER},
			.data = {NFT_TYPE_SERVICE},
		});

	uint32_t count = portset_count(&plan->ports);
	uint16_t given = 0;

	for (uint32_t n = count; n-- > 0 && given == 0;)
		if (may_be_given(plan, portset_nth(&plan->ports, n)))
			given = portset_nth(&plan->ports, n);
	for (uint32_t n = 0; n < count && given != 0; n++) {
		uint16_t port = portset_nth(&plan->ports, n), data;

		given = may_be_given(plan, port) ? port : given;
		data = htons(given);
		nft_add_element(set, &n, &data);
	}
}

/* What a counted port may not be. A set of 16-bit keys is an array of bits: asking costs little. */
static void describe_reserved(struct nft_table *table, const struct nat_plan *plan)
{
	struct nft_set *set =
		nft_add_set(table, &(struct nft_set_spec){
					   .name = "map_reserved",
					   .comment = "ports of the set that are given to none",
					   .key = {NFT_TYPE_SERVICE},
				   });

	for (uint32_t n = 0; n < portset_count(&plan->ports); n++) {
		uint16_t port = portset_nth(&plan->ports, n), key = htons(port);

		if (!may_be_given(plan, port))
			nft_add_element(set, &key, NULL);
	}
}

void nat_pool_describe(struct nft_table *table, const struct nat_plan *plan)
{
	describe_pool(table, plan);
	describe_reserved(table, plan);
	describe_runs(table, plan);
}
