/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The port set as a condition of a rule (RFC 7597 section 5.1, appendix B). */
#include <arpa/inet.h>
#include <string.h>

#include "lib/kernel/nat_map.h"

struct port_test {
	uint16_t mask, bits; /* port & mask == bits: the PSID is right */
	uint16_t first;      /* and port >= first: not in the excluded lowest block */
};

static struct port_test port_test(const struct portset *set)
{
	unsigned int free_bits = 16u - set->psid_offset - set->psid_length;

	return (struct port_test){
		.mask = (uint16_t)(((1u << set->psid_length) - 1) << free_bits),
		.bits = (uint16_t)(set->psid << free_bits),
		.first = set->psid_offset ? (uint16_t)(1u << (16 - set->psid_offset)) : 0,
	};
}

void is_own_port(struct nft_rule *rule, const struct portset *set, unsigned int word)
{
	struct port_test test = port_test(set);
	uint16_t mask = htons(test.mask), zero = 0;

	if (test.first)
		cmp_port(rule, NFT_CMP_GTE, word, test.first);
	nft_bitwise(rule, &mask, &zero, sizeof(mask), word, 0);
	cmp_port(rule, NFT_CMP_EQ, 0, test.bits);
}

/* The low a bits of a number are the block, the next m the port in it. Shifted by 8 - a, in the
 * order of octets that registers have on such machines, they are the two ends of a port that lack
 * only the PSID between them:
 *
 *   number      0000 jjjj AAAA AA00     in memory, and so as a port     AAAA AA00 0000 jjjj
 */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NUMBER_IS_PORT true
#else
#define NUMBER_IS_PORT false
#endif

bool counts_ports(const struct portset *set)
{
	return NUMBER_IS_PORT && set->psid_offset <= 8 && portset_block_size(set) <= 1u << 8;
}

void count_port(struct nft_rule *rule, const struct portset *set, unsigned int word)
{
	struct port_test test = port_test(set);
	uint32_t all = UINT32_MAX, psid = 0;
	uint16_t bits = htons(test.bits);

	memcpy(&psid, &bits, sizeof(bits));
	nft_numgen(rule, false, portset_block_size(set) << set->psid_offset, 0, word);
	if (set->psid_offset < 8)
		nft_shift_left(rule, word, 8u - set->psid_offset);
	if (psid)
		nft_bitwise(rule, &all, &psid, sizeof(all), word, word);
	if (test.first)
		cmp_port(rule, NFT_CMP_GTE, word, test.first);
}

void drop_foreign(struct nft_chain *chain, const struct portset *set, uint32_t offset,
		  uint8_t protocol, const char *counter, const char *comment)
{
	struct port_test test = port_test(set);
	uint16_t mask = htons(test.mask), zero = 0;
	struct nft_rule *rule = nft_add_rule(chain, comment);

	if (protocol)
		is_protocol(rule, protocol);
	load_l4(rule, offset, 0);
	nft_bitwise(rule, &mask, &zero, sizeof(mask), 0, 0);
	cmp_port(rule, NFT_CMP_NEQ, 0, test.bits);
	drop_counted(rule, counter);
	if (!test.first)
		return;
	rule = nft_add_rule(chain, NULL);
	if (protocol)
		is_protocol(rule, protocol);
	load_l4(rule, offset, 0);
	cmp_port(rule, NFT_CMP_LT, 0, test.first);
	drop_counted(rule, counter);
}
