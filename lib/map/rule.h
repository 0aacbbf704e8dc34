/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A MAP-E mapping rule (BMR) with its border relay, and the list of them. Pure.
 */
#pragma once

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/fault.h"
#include "lib/base/macro.h"
#include "lib/map/prefix.h"

/* How the low 64 bits of the CE address are laid out; nothing on the wire tells. */
enum iid_format {
	IID_MAP_DRAFT_03, /* draft-ietf-softwire-map-03: one zero octet, IPv4, PSID, one zero octet */
	IID_RFC7597,	  /* RFC 7597 section 6: two zero octets, IPv4, PSID */
};

const char *iid_format_name(enum iid_format format); /* "map-draft-03", "rfc7597" */
int iid_format_parse(const char *text, enum iid_format *ret);

#define PROVIDER_NAME_MAX 32

struct map_rule {
	char provider[PROVIDER_NAME_MAX]; /* name of the rule file, "custom" for the owner's own */
	struct prefix6 ipv6_prefix;
	struct prefix4 ipv4_prefix;
	uint8_t ea_length;   /* 0..48 */
	uint8_t psid_offset; /* 0..15, RFC default 6 */
	bool psid_given;     /* psid and psid_length are written in the rule (RFC 7598 section 4.5) */
	uint8_t psid_length; /* 0..16, only with psid_given */
	uint16_t psid;	     /* right-aligned, only with psid_given */
	struct in6_addr br;
	enum iid_format iid_format;
};

/* What makes one rule usable at all, whatever the prefix:
 *  ea_length <= 48, psid_offset <= 15, rule6 length + ea_length <= 64, a + k <= 16 with
 *  k = psid_length when given, else rule4 length + ea_length - 32 when positive;
 *  psid < 2^psid_length; br set. -EINVAL with one sentence in reterr. */
int map_rule_check(const struct map_rule *rule, struct fault *reterr);

/* PSID length k that the rule leads to: given, from EA bits, or 0. */
unsigned int map_rule_psid_length(const struct map_rule *rule);

/* Length n of the end-user prefix: rule6 length + ea_length (RFC 7597 5.2; standards a.5). */
unsigned int map_rule_end_user_length(const struct map_rule *rule);

/* A list that grows; *_done frees it. Order is precedence among equally long matches. */
struct ruleset {
	struct map_rule *rules;
	size_t count;
};

int ruleset_add(struct ruleset *set, const struct map_rule *rule); /* 0 or -ENOMEM; copies */
void ruleset_done(struct ruleset *set);
#define _cleanup_ruleset_ _cleanup_(ruleset_done)

/* The rule whose IPv6 prefix is the longest match (RFC 7597 section 5) and whose end-user prefix
 * fits into prefix->len; the first of equally long ones. provider "" = any. NULL: none.
 * The pointer lives as long as the set. */
const struct map_rule *ruleset_match(const struct ruleset *set, const char *provider,
				     const struct prefix6 *prefix);
