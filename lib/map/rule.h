/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A MAP-E mapping rule (BMR) with its border relay, and the list of them. Pure.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/fault.h"
#include "lib/base/macro.h"
#include "lib/map/prefix.h"

/* How the low 64 bits of the CE address are laid out; nothing on the wire tells. */
enum iid_format {
	IID_MAP_DRAFT_03, /* draft-ietf-softwire-map-03: a zero octet, IPv4, PSID, a zero octet */
	IID_RFC7597,      /* RFC 7597 section 6: two zero octets, IPv4, PSID */
};

const char *iid_format_name(enum iid_format format); /* "map-draft-03", "rfc7597" */
int iid_format_parse(const char *text, enum iid_format *ret);

#define PROVIDER_NAME_MAX 32
#define PROVIDER_OWN      "custom"

struct map_rule {
	char provider[PROVIDER_NAME_MAX]; /* name of the rule file, or PROVIDER_OWN */
	uint8_t rank; /* where the rule comes from; a lower rank wins, see ruleset_match() */
	struct prefix6 ipv6_prefix;
	struct prefix4 ipv4_prefix;
	uint8_t ea_length;   /* 0..48 */
	uint8_t psid_offset; /* 0..15, RFC default 6 */
	bool psid_given; /* psid and psid_length are written in the rule (RFC 7598 section 4.5) */
	uint8_t psid_length; /* 0..16, only with psid_given; 0: psid is ignored, EA bits decide */
	uint16_t psid;       /* right-aligned, only with psid_given */
	struct in6_addr br;
	enum iid_format iid_format;
};

/* What makes one rule usable at all, whatever the prefix:
 *  ea_length <= 48, psid_offset <= 15, rule6 length + ea_length <= 64, a + k <= 16 with
 *  k = psid_length when given, else rule4 length + ea_length - 32 when positive;
 *  psid < 2^psid_length and no PSID beside an IPv4 prefix (rule4 length + ea_length < 32, RFC 7598
 *  section 4.5), both only with a psid_length that is not 0; br a unicast address. -EINVAL with one
 *  sentence in reterr. */
int map_rule_check(const struct map_rule *rule, struct fault *reterr);

/* True when the PSID is written in the rule and therefore wins over EA bits. A psid_length of 0
 * gives none: only the offset of such port parameters counts (RFC 7598 section 4.5). */
bool map_rule_has_psid(const struct map_rule *rule);

/* PSID length k that the rule leads to: given, from EA bits, or 0. */
unsigned int map_rule_psid_length(const struct map_rule *rule);

/* Length n of the end-user prefix: rule6 length + ea_length (RFC 7597 5.2; standards a.5). */
unsigned int map_rule_end_user_length(const struct map_rule *rule);

/* The same values, origin (provider, rank) included. */
bool map_rule_equal(const struct map_rule *a, const struct map_rule *b);

/* A list that grows; *_done frees it. Order is precedence among equally long matches. */
struct ruleset {
	struct map_rule *rules;
	size_t count;
};

int ruleset_add(struct ruleset *set, const struct map_rule *rule); /* 0 or -ENOMEM; copies */
void ruleset_done(struct ruleset *set);
#define _cleanup_ruleset_ _cleanup_(ruleset_done)

/* Ranks that tell the origins apart, so that what the owner wrote wins over a table whatever the
 * lengths. Rules of one origin make one MAP domain, within which the longest match counts. */
#define RULE_RANK_OWN     0 /* map.rules of the file */
#define RULE_RANK_WIRE    1 /* told by the network */
#define RULE_RANK_LOCAL   2 /* the owner's rule files */
#define RULE_RANK_SHIPPED 3

/* Of the rules with the lowest rank that match: the one whose IPv6 prefix is the longest match (RFC
 * 7597 section 5) and whose end-user prefix fits into prefix->len; the first of equally long ones.
 * provider "" = any. NULL: none. The pointer lives as long as the set. */
const struct map_rule *ruleset_match(const struct ruleset *set, const char *provider,
				     const struct prefix6 *prefix);
