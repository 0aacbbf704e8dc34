/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What other programs' nftables (and iptables-nft) rule sets could do to our packets: their base
 * chains for NAT after routing, and for forwarding. Reads only.
 */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/fault.h"

#define SURVEY_NAME_MAX  64
#define SURVEY_CHAIN_MAX 64
#define SURVEY_PASS_MAX  256

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

/* A rule that accepts what goes from one interface to another whatever else it is, or that leads to
 * another chain. */
struct nft_survey_pass {
	uint8_t family;
	char table[SURVEY_NAME_MAX];
	char chain[SURVEY_NAME_MAX];
	char jump[SURVEY_NAME_MAX];       /* the other chain, "" = it accepts */
	char in[IFNAMSIZ], out[IFNAMSIZ]; /* "" = any; may end with a star */
};

struct nft_survey {
	struct nft_survey_chain chains[SURVEY_CHAIN_MAX];
	size_t count;
	struct nft_survey_pass passes[SURVEY_PASS_MAX];
	size_t pass_count;
	bool more; /* there were more than fit */
};

/* Base chains of every table but own, families ip and inet. 0 or negative errno (-EPERM without
 * CAP_NET_ADMIN). */
int nft_survey_read(const char *own, struct nft_survey *ret, struct fault *reterr);

/* Does a rule of this chain, or of one that it leads to, accept new packets from one interface to
 * another? Also true when there were too many rules to tell. */
bool nft_survey_lets_pass(const struct nft_survey *survey, const struct nft_survey_chain *chain,
			  const char *in, const char *out);
