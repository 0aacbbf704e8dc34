/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/kernel/nat.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/kernel/nat_words.h"

/* Behind every source NAT (100) and everybody's filters, before conntrack helpers (300) and the
 * confirmation: what is seen here is what leaves. */
#define PRIORITY_GUARD 290

/* A range this long that keeps its ports becomes one rule; others become elements. */
#define RANGE_RULE_MIN 64u

struct nat {
	struct nft *nft;
};

/* ---- forwards
 * -------------------------------------------------------------------------------------- */

static unsigned int forward_length(const struct nat_forward *forward)
{
	return (unsigned int)(forward->ports.last - forward->ports.first) + 1;
}

static bool is_range_rule(const struct nat_forward *forward)
{
	return forward->to_port == forward->ports.first &&
	       forward_length(forward) >= RANGE_RULE_MIN;
}

static void forward_elements(struct nft_set *set, const struct nat_forward *forward,
			     uint8_t protocol)
{
	for (unsigned int i = 0; i < forward_length(forward); i++) {
		uint32_t key[2] = {0}, data[2] = {0};
		uint16_t port = htons((uint16_t)(forward->ports.first + i));
		uint16_t inner = htons((uint16_t)(forward->to_port + i));

		memcpy(&key[0], &protocol, sizeof(protocol));
		memcpy(&key[1], &port, sizeof(port));
		memcpy(&data[0], &forward->to, sizeof(forward->to));
		memcpy(&data[1], &inner, sizeof(inner));
		nft_add_element(set, key, data);
	}
}

static void forward_protocols(struct nft_set *set, const struct nat_forward *forward)
{
	if (is_range_rule(forward))
		return;
	if (forward->protocols & PROTO_TCP)
		forward_elements(set, forward, IPPROTO_TCP);
	if (forward->protocols & PROTO_UDP)
		forward_elements(set, forward, IPPROTO_UDP);
}

void nat_forwards_map(struct nft_table *table, const char *map, const char *comment,
		      const struct nat_forward *forwards, size_t count)
{
	struct nft_set *set = nft_add_set(table, &(struct nft_set_spec){
							 .name = map,
							 .comment = comment,
							 .key = {NFT_TYPE_PROTO, NFT_TYPE_SERVICE},
							 .data = {NFT_TYPE_IPV4, NFT_TYPE_SERVICE},
						 });

	for (size_t i = 0; i < count; i++)
		forward_protocols(set, &forwards[i]);
}

/* udp dport 1024-65535 dnat ip to 192.168.1.55 */
static void forward_range(struct nft_chain *chain, const struct nat_forward *forward,
			  uint8_t protocol)
{
	struct nft_rule *rule = nft_add_rule(chain, forward->comment[0] ? forward->comment : NULL);
	uint16_t first = htons(forward->ports.first), last = htons(forward->ports.last);

	is_protocol(rule, protocol);
	load_l4(rule, L4_DPORT, 0);
	nft_range(rule, NFT_RANGE_EQ, 0, &first, &last, sizeof(first));
	nft_immediate(rule, &forward->to, sizeof(forward->to), 0);
	nft_dnat(rule, 0, NFT_NO_DATA);
}

void nat_forwards_rules(struct nft_chain *chain, const char *map,
			const struct nat_forward *forwards, size_t count)
{
	struct nft_rule *rule = nft_add_rule(chain, "forwards");

	nft_meta(rule, NFT_META_L4PROTO, 0);
	load_l4(rule, L4_DPORT, 1);
	nft_map(rule, map, 0, 4);
	nft_dnat(rule, 4, 5);
	for (size_t i = 0; i < count; i++) {
		if (!is_range_rule(&forwards[i]))
			continue;
		if (forwards[i].protocols & PROTO_TCP)
			forward_range(chain, &forwards[i], IPPROTO_TCP);
		if (forwards[i].protocols & PROTO_UDP)
			forward_range(chain, &forwards[i], IPPROTO_UDP);
	}
}

/* ---- the table
 * -------------------------------------------------------------------------------------- */

static void describe_base_chains(struct nft_table *table)
{
	nft_add_chain(table, "prerouting_nat", "first packets, before routing", NFT_CHAIN_NAT,
		      NF_INET_PRE_ROUTING, NF_IP_PRI_NAT_DST);
	nft_add_chain(table, "output_nat", "first packets of the router itself", NFT_CHAIN_NAT,
		      NF_INET_LOCAL_OUT, NF_IP_PRI_NAT_DST);
	nft_add_chain(table, "postrouting_nat", "first packets, on their way out", NFT_CHAIN_NAT,
		      NF_INET_POST_ROUTING, NAT_PRIORITY_SRC);
	nft_add_chain(table, "guard", "every packet, as it leaves", NFT_CHAIN_FILTER,
		      NF_INET_POST_ROUTING, PRIORITY_GUARD);
	nft_add_chain(table, "input", "every packet to the router itself", NFT_CHAIN_FILTER,
		      NF_INET_LOCAL_IN, NF_IP_PRI_FILTER);
}

struct nft_table *nat_table_new(const struct nat_plan *want, uint32_t tunnel_index)
{
	struct nft_table *table =
		nft_table_new(PLAN_TABLE, "made and kept by maped; changes by hand are undone");

	if (!table)
		return NULL;
	describe_base_chains(table);
	if (want->map)
		nat_map_sets(table);
	if (want->map)
		nat_map_describe(table, want, tunnel_index);
	if (want->pppoe.enabled)
		nat_pppoe_describe(table, want);
	return table;
}

/* ---- verbs
 * -------------------------------------------------------------------------------------------- */

void nat_close(struct nat *nat)
{
	if (!nat)
		return;
	nft_close(nat->nft);
	free(nat);
}

int nat_open(struct nat **ret, struct fault *reterr)
{
	_cleanup_(nat_close_p) struct nat *nat = calloc(1, sizeof(*nat));
	int r;

	if (!nat)
		return fault_errno(reterr, -ENOMEM, "open nftables");
	r = nft_open(&nat->nft, reterr);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(nat);
	return 0;
}

uint64_t nat_changes(const struct nat *nat)
{
	return nft_changes(nat->nft);
}

/* An endpoint must not go on using a port that is a forward now. */
static bool owner_of_forward(void *userdata, const void *key, const void *data)
{
	const struct nat_plan *plan = userdata;
	uint16_t port;

	(void)key;
	memcpy(&port, data, sizeof(port));
	port = ntohs(port);
	for (size_t i = 0; i < plan->forward_count; i++)
		if (port >= plan->forwards[i].ports.first && port <= plan->forwards[i].ports.last)
			return true;
	return false;
}

static int forget_forwarded(struct nat *nat, const struct nat_plan *want, struct fault *reterr)
{
	static const char *const owners[] = {"map_udp_owner", "map_tcp_owner", "map_echo_owner"};
	struct nat_plan plan = *want; /* not written to: the walk takes a plain pointer */
	int r;

	if (!want->map || want->forward_count == 0 || portset_is_whole(&want->ports))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(owners); i++) {
		r = nft_remove_elements(nat->nft, PLAN_TABLE, owners[i], owner_of_forward, &plan,
					reterr);
		if (r < 0)
			return r;
	}
	return 0;
}

int nat_sync(struct nat *nat, const struct nat_plan *want, struct fault *reterr)
{
	_cleanup_(nft_table_free_p) struct nft_table *table = NULL;
	int r;

	if (!want->present)
		return nft_sync(nat->nft, PLAN_TABLE, NULL, reterr);
	table = nat_table_new(want, want->map ? if_nametoindex(want->tunnel) : 0);
	if (!table)
		return fault_errno(reterr, -ENOMEM, "describe nftables table " PLAN_TABLE);
	r = nft_sync(nat->nft, PLAN_TABLE, table, reterr);
	if (r > 0) {
		int removed = forget_forwarded(nat, want, reterr);

		if (removed < 0)
			return removed;
	}
	return r;
}

int nat_counts_read(struct nat *nat, struct nat_counts *ret, struct fault *reterr)
{
	struct nat_counts counts = {0};
	const struct {
		const char *name;
		uint64_t *to;
	} all[] = {
		{"refused", &counts.refused},
		{"unmappable", &counts.unmappable},
		{"inbound", &counts.inbound},
		{"leaks", &counts.leaks},
	};
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		r = nft_read_counter(nat->nft, PLAN_TABLE, all[i].name, all[i].to, reterr);
		if (r < 0)
			return r;
	}
	*ret = counts;
	return 0;
}
