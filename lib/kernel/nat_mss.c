/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* TCP is told the size of the tunnel, so that it sends no packet that would not fit. */
#include <arpa/inet.h>

#include "lib/kernel/nat_map.h"

#define HEADERS 40u /* of IPv4 and TCP without options (RFC 6691) */

bool clamps_mss(const struct nat_plan *plan)
{
	return plan->tunnel_mtu > HEADERS && plan->tunnel_mtu <= UINT16_MAX;
}

void clamp_mss(struct nft_rule *rule, const struct nat_plan *plan)
{
	uint16_t mss = htons((uint16_t)(plan->tunnel_mtu - HEADERS));

	tcp_flags(rule, FLAG_SYN, NFT_CMP_NEQ);
	nft_immediate(rule, &mss, sizeof(mss), 0);
	nft_write_mss(rule, 0);
}
