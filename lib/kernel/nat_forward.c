/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Port forwards of one line (MAP-E or PPPoE): elements of a map, and rules for long ranges. */
#include <arpa/inet.h>
#include <string.h>

#include "lib/kernel/nat_words.h"

/* A range this long that keeps its ports becomes one rule; others become elements. */
#define RANGE_RULE_MIN 64u

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
