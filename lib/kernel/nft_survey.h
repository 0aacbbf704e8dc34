/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What other programs' nftables (and iptables-nft) rule sets could do to our packets: their base
 * chains for NAT after routing, and for forwarding. Reads only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/fault.h"

#define SURVEY_NAME_MAX  64
#define SURVEY_CHAIN_MAX 64

struct nft_survey_chain {
	uint8_t family; /* NFPROTO_* */
	char table[SURVEY_NAME_MAX];
	char name[SURVEY_NAME_MAX];
	bool nat;         /* type nat */
	uint32_t hook;    /* NF_INET_* */
	int32_t priority; /* lower comes first */
	bool drops;       /* policy drop */
	bool translates;  /* the table holds a masquerade or snat rule */
};

struct nft_survey {
	struct nft_survey_chain chains[SURVEY_CHAIN_MAX];
	size_t count;
	bool more; /* there were more than fit */
};

/* Base chains of every table but own, families ip and inet. 0 or negative errno (-EPERM without
 * CAP_NET_ADMIN). */
int nft_survey_read(const char *own, struct nft_survey *ret, struct fault *reterr);
