/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/map/rule.h"

#include <errno.h>
#include <string.h>

static const char *const iid_format_names[] = {
	[IID_MAP_DRAFT_03] = "map-draft-03",
	[IID_RFC7597] = "rfc7597",
};

const char *iid_format_name(enum iid_format format)
{
	return iid_format_names[format];
}

int iid_format_parse(const char *text, enum iid_format *ret)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(iid_format_names); i++)
		if (strcmp(text, iid_format_names[i]) == 0) {
			*ret = (enum iid_format)i;
			return 0;
		}
	return -EINVAL;
}

bool map_rule_has_psid(const struct map_rule *rule)
{
	return rule->psid_given && rule->psid_length > 0;
}

unsigned int map_rule_psid_length(const struct map_rule *rule)
{
	unsigned int bits = rule->ipv4_prefix.len + (unsigned int)rule->ea_length;

	if (map_rule_has_psid(rule))
		return rule->psid_length;
	return bits > 32 ? bits - 32 : 0;
}

unsigned int map_rule_end_user_length(const struct map_rule *rule)
{
	return rule->ipv6_prefix.len + (unsigned int)rule->ea_length;
}

static int check_lengths(const struct map_rule *rule, struct fault *reterr)
{
	unsigned int n = map_rule_end_user_length(rule);
	unsigned int k = map_rule_psid_length(rule);

	if (rule->ipv6_prefix.len > 128 || rule->ipv4_prefix.len > 32)
		return fault_set(reterr, -EINVAL, "prefix lengths /%u and /%u are out of range",
				 rule->ipv6_prefix.len, rule->ipv4_prefix.len);
	if (rule->ea_length > 48)
		return fault_set(reterr, -EINVAL, "ea_length %u is more than 48", rule->ea_length);
	if (n > 64)
		return fault_set(reterr, -EINVAL,
				 "ipv6_prefix /%u and ea_length %u make an end-user prefix of /%u; "
				 "at most /64 is possible",
				 rule->ipv6_prefix.len, rule->ea_length, n);
	if (rule->psid_offset > 15)
		return fault_set(reterr, -EINVAL, "psid_offset %u is more than 15",
				 rule->psid_offset);
	if (k > 16u - rule->psid_offset)
		return fault_set(
			reterr, -EINVAL,
			"psid_offset %u and a PSID of %u bits are more than the 16 bits of "
			"a port",
			rule->psid_offset, k);
	return 0;
}

static int check_psid(const struct map_rule *rule, struct fault *reterr)
{
	unsigned int bits = rule->ipv4_prefix.len + (unsigned int)rule->ea_length;

	/* RFC 7598 section 4.5: a length of 0 says that the PSID is to be ignored. */
	if (!map_rule_has_psid(rule))
		return 0;
	if (rule->psid_length > 16)
		return fault_set(reterr, -EINVAL, "psid_length %u is more than 16",
				 rule->psid_length);
	if (rule->psid >> rule->psid_length)
		return fault_set(reterr, -EINVAL, "psid %u does not fit into psid_length %u",
				 rule->psid, rule->psid_length);
	/* RFC 7598 section 4.5: a PSID has a meaning only with a full IPv4 address. */
	if (bits < 32)
		return fault_set(reterr, -EINVAL,
				 "psid is given, but ipv4_prefix /%u and ea_length %u make an IPv4 "
				 "prefix of /%u, not one address to share",
				 rule->ipv4_prefix.len, rule->ea_length, bits);
	return 0;
}

static int check_br(const struct in6_addr *br, struct fault *reterr)
{
	if (IN6_IS_ADDR_UNSPECIFIED(br))
		return fault_set(reterr, -EINVAL,
				 "br, the address of the border relay, is missing");
	if (IN6_IS_ADDR_MULTICAST(br) || IN6_IS_ADDR_LINKLOCAL(br) || IN6_IS_ADDR_LOOPBACK(br))
		return fault_set(reterr, -EINVAL,
				 "br must be the unicast address of a border relay, not a "
				 "multicast, link-local or loopback address");
	return 0;
}

int map_rule_check(const struct map_rule *rule, struct fault *reterr)
{
	int r;

	r = check_psid(rule, reterr);
	if (r < 0)
		return r;
	r = check_lengths(rule, reterr);
	if (r < 0)
		return r;
	return check_br(&rule->br, reterr);
}

bool map_rule_equal(const struct map_rule *a, const struct map_rule *b)
{
	if (a->psid_given != b->psid_given)
		return false;
	if (a->psid_given && (a->psid_length != b->psid_length || a->psid != b->psid))
		return false;
	return strncmp(a->provider, b->provider, sizeof(a->provider)) == 0 && a->rank == b->rank &&
	       prefix6_equal(&a->ipv6_prefix, &b->ipv6_prefix) &&
	       prefix4_equal(&a->ipv4_prefix, &b->ipv4_prefix) && a->ea_length == b->ea_length &&
	       a->psid_offset == b->psid_offset && a->iid_format == b->iid_format &&
	       IN6_ARE_ADDR_EQUAL(&a->br, &b->br);
}

int ruleset_add(struct ruleset *set, const struct map_rule *rule)
{
	struct map_rule copy = *rule; /* rule may point into the list that moves */
	struct map_rule *rules;

	/* Grown to the next power of two whenever the count is one. */
	if ((set->count & (set->count - 1)) == 0) {
		rules = reallocarray(set->rules, set->count ? set->count * 2 : 1, sizeof(*rules));
		if (!rules)
			return -ENOMEM;
		set->rules = rules;
	}
	set->rules[set->count++] = copy;
	return 0;
}

void ruleset_done(struct ruleset *set)
{
	free(set->rules);
	*set = (struct ruleset){0};
}

static bool rule_better(const struct map_rule *rule, const struct map_rule *than)
{
	if (rule->rank != than->rank)
		return rule->rank < than->rank;
	return rule->ipv6_prefix.len > than->ipv6_prefix.len;
}

const struct map_rule *ruleset_match(const struct ruleset *set, const char *provider,
				     const struct prefix6 *prefix)
{
	const struct map_rule *best = NULL;

	for (size_t i = 0; i < set->count; i++) {
		const struct map_rule *rule = &set->rules[i];

		if (provider[0] && strcmp(provider, rule->provider) != 0)
			continue;
		if (map_rule_end_user_length(rule) > prefix->len)
			continue;
		if (!prefix6_covers(&rule->ipv6_prefix, prefix))
			continue;
		if (!best || rule_better(rule, best))
			best = rule;
	}
	return best;
}
