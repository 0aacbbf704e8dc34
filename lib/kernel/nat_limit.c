/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * nat.host_limit: how many ports one LAN host may hold. Only first packets come by here, and only
 * when there is a limit.
 */
#include <stdio.h>

#include "lib/kernel/nat_map.h"

#define LIMIT_SET "map_host_limit"
#define PLACE_SET "map_host_place"

/* An element keeps the limit that it was made with, so another limit is another set, which begins
 * to count anew: otherwise it would not hold for a host before all its connections have ended. */
struct limit_name {
	char text[32];
};

static struct limit_name limit_name(const struct nat_plan *plan, const char *set)
{
	struct limit_name name;

	snprintf(name.text, sizeof(name.text), "%s_%u", set, plan->host_limit);
	return name;
}

static void describe_limit_sets(struct nft_table *table, const struct nat_plan *plan)
{
	nft_add_set(table,
		    &(struct nft_set_spec){
			    .name = "map_host_live",
			    .comment = "LAN endpoints with a living connection: they have a port",
			    .key = {NFT_TYPE_IPV4, NFT_TYPE_PROTO, NFT_TYPE_SERVICE},
			    .learnt = true,
			    .size = LIVING_MAX,
		    });
	nft_add_set(
		table,
		&(struct nft_set_spec){
			.name = limit_name(plan, LIMIT_SET).text,
			.comment = "ports of each LAN host, as first connections of its endpoints",
			.key = {NFT_TYPE_IPV4},
			.learnt = true,
			.size = LIVING_MAX,
		});
	nft_add_set(table,
		    &(struct nft_set_spec){
			    .name = limit_name(plan, PLACE_SET).text,
			    .comment = "connections of each LAN host to one destination and port",
			    .key = {NFT_TYPE_IPV4, NFT_TYPE_IPV4, NFT_TYPE_PROTO, NFT_TYPE_SERVICE},
			    .learnt = true,
			    .size = LIVING_MAX,
		    });
}

/* ip saddr . protocol . udp sport, in words 0 to 2 */
static void load_limited(struct nft_rule *rule, const struct nat_kind *kind)
{
	is_protocol(rule, kind->protocol);
	load_saddr(rule, 0);
	nft_meta(rule, NFT_META_L4PROTO, 1);
	load_l4(rule, kind->own, 2);
}

/* One endpoint with many connections holds one port. So a connection counts against its host only
 * when its endpoint has no other, and ends to count with itself: an endpoint that then goes on with
 * others is not counted until these have ended, too. (limit_place() holds all the same.)
 *
 * What is refused leaves no element behind, not even one that waits to be swept: a flood would fill
 * the set of endpoints with them, for all hosts. And what cannot be noted is refused. */
static void limit_first(struct nft_chain *chain, const struct nat_plan *plan,
			const struct nat_kind *kind)
{
	struct nft_rule *rule = nft_add_rule(chain, NULL);

	load_limited(rule, kind);
	nft_learn_connection(rule, limit_name(plan, LIMIT_SET).text, 0, plan->host_limit);
	nft_learn_connection(rule, "map_host_live", 0, 1); /* its element keeps the number */
	nft_goto(rule, "map_host_place");
}

/* Its element is still there, without a living connection. */
static void limit_again(struct nft_chain *chain, const struct nat_plan *plan)
{
	struct nft_rule *rule = nft_add_rule(chain, NULL);

	load_saddr(rule, 0);
	nft_learn_connection(rule, limit_name(plan, LIMIT_SET).text, 0, plan->host_limit);
	nft_goto(rule, "map_host_place");
	for (size_t i = 0; i < NAT_KINDS; i++) {
		rule = nft_add_rule(chain, i ? NULL : "what is refused does not live");
		load_limited(rule, nat_kinds[i]);
		nft_learn(rule, "map_host_live", NFT_LEARN_DELETE, 0, NFT_NO_DATA, 0);
	}
}

/* Towards one destination each connection needs a port of its own: there, connections are ports,
 * and nothing that a host does in which order gives it more. */
static void limit_place(struct nft_chain *chain, const struct nat_plan *plan)
{
	for (size_t i = 0; i < NAT_KINDS; i++) {
		struct nft_rule *rule = nft_add_rule(chain, NULL);

		is_protocol(rule, nat_kinds[i]->protocol);
		load_saddr(rule, 0);
		load_daddr(rule, 1);
		nft_meta(rule, NFT_META_L4PROTO, 2);
		load_l4(rule, nat_kinds[i]->other, 3);
		nft_learn_connection(rule, limit_name(plan, PLACE_SET).text, 0, plan->host_limit);
		nft_goto(rule, "map_port");
	}
}

void nat_limit_describe(struct nft_table *table, struct nft_chain *snat,
			const struct nat_plan *plan)
{
	static const char why[] =
		"an endpoint of a host that holds as many ports as it may gets none";
	struct nft_chain *first =
		nft_add_chain(table, "map_host_first", why, NFT_CHAIN_PLAIN, 0, 0);
	struct nft_chain *again =
		nft_add_chain(table, "map_host_again", why, NFT_CHAIN_PLAIN, 0, 0);
	struct nft_chain *place = nft_add_chain(table, "map_host_place",
						"nor more than that at one destination and port",
						NFT_CHAIN_PLAIN, 0, 0);
	struct nft_rule *rule;

	describe_limit_sets(table, plan);
	for (size_t i = 0; i < NAT_KINDS; i++) {
		rule = nft_add_rule(snat, i ? NULL : "an endpoint without connections");
		load_limited(rule, nat_kinds[i]);
		nft_lookup_absent(rule, "map_host_live", 0);
		nft_goto(rule, "map_host_first");
	}
	for (size_t i = 0; i < NAT_KINDS; i++) {
		rule = nft_add_rule(snat, i ? NULL : "whose connections have all ended");
		load_limited(rule, nat_kinds[i]);
		nft_learn_connection(rule, "map_host_live", 0, 1);
		nft_goto(rule, "map_host_again");
	}
	nft_goto(nft_add_rule(snat, NULL), "map_host_place");

	for (size_t i = 0; i < NAT_KINDS; i++)
		limit_first(first, plan, nat_kinds[i]);
	limit_again(again, plan);
	limit_place(place, plan);
	drop_counted(nft_add_rule(first, NULL), "refused");
	drop_counted(nft_add_rule(place, NULL), "refused");
	drop_counted(nft_add_rule(again, NULL), "refused");
}
