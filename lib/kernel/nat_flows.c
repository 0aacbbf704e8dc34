/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * nat.offload: a TCP connection that has gone both ways passes from one interface to the other
 * without meeting any chain, ours or another's, until it ends or rests for 30 seconds
 * (nf_flow_table_core.c). What conntrack has translated once is what every later packet gets, so
 * nothing of it need be asked again. UDP stays: each of its packets tells who may answer.
 */
#include "lib/kernel/nat_map.h"

#define FLOWS "map_flows"

/* Behind everybody's filters: what one of them drops is not offloaded. */
#define PRIORITY_OFFLOAD 290

#define WORD 1u

static void describe_devices(struct nft_table *table, const struct nat_plan *plan,
			     uint32_t tunnel_index)
{
	struct nft_flows *flows = nft_add_flows(table, FLOWS);

	for (size_t i = 0; i < plan->device_count; i++)
		nft_add_device(flows, plan->devices[i].name, plan->devices[i].index);
	nft_add_device(flows, plan->tunnel, tunnel_index);
}

/* ct direction original ct reply ip daddr 192.0.2.1 ct reply proto-dst ... flow add @map_flows.
 * Not those of another mapping, which are about to be deleted: the kernel refuses to delete what is
 * offloaded. */
static void offload(struct nft_chain *chain, const struct nat_plan *plan, uint8_t begun,
		    uint8_t to_us, const char *comment)
{
	struct nft_rule *rule = nft_add_rule(chain, comment);

	ct_direction(rule, begun);
	nft_ct(rule, NFT_CT_DST_IP, to_us, WORD);
	cmp_address(rule, NFT_CMP_EQ, WORD, plan->address.addr);
	if (!portset_is_whole(&plan->ports)) {
		nft_ct(rule, NFT_CT_PROTO_DST, to_us, WORD);
		is_own_port(rule, &plan->ports, WORD);
	}
	nft_offload(rule, FLOWS);
}

void nat_flows_describe(struct nft_table *table, const struct nat_plan *plan, uint32_t tunnel_index)
{
	struct nft_chain *chain, *base;
	struct nft_rule *rule;

	if (!plan->offload || tunnel_index == 0 || plan->device_count == 0)
		return;
	describe_devices(table, plan, tunnel_index);
	chain = nft_add_chain(table, "map_offload", "TCP that has gone both ways", NFT_CHAIN_PLAIN,
			      0, 0);
	offload(chain, plan, IP_CT_DIR_ORIGINAL, IP_CT_DIR_REPLY, "begun by the LAN");
	offload(chain, plan, IP_CT_DIR_REPLY, IP_CT_DIR_ORIGINAL, "forwarded to the LAN");
	base = nft_add_chain(table, "offload", "every packet that is passed on", NFT_CHAIN_FILTER,
			     NF_INET_FORWARD, PRIORITY_OFFLOAD);
	rule = nft_add_rule(base, NULL);
	nft_meta(rule, NFT_META_OIF, 0);
	nft_cmp(rule, NFT_CMP_EQ, 0, &tunnel_index, sizeof(tunnel_index));
	is_protocol(rule, IPPROTO_TCP);
	ct_status(rule, IPS_ASSURED, NFT_CMP_NEQ);
	nft_goto(rule, "map_offload");
}
