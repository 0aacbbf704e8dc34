/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/map/derive.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

/* The rule's IPv4 prefix followed by the first p EA bits (RFC 7597 section 5.2). */
static struct prefix4 derive_ipv4(const struct map_rule *rule, uint64_t ea)
{
	unsigned int host_bits = 32u - rule->ipv4_prefix.len;
	unsigned int p = MIN_OF((unsigned int)rule->ea_length, host_bits);
	unsigned int q = rule->ea_length - p;
	uint64_t suffix = (ea >> q) << (host_bits - p);
	struct prefix4 base = prefix4_make(rule->ipv4_prefix.addr, rule->ipv4_prefix.len);

	return (struct prefix4){
		.addr.s_addr = base.addr.s_addr | htonl((uint32_t)suffix),
		.len = (uint8_t)(rule->ipv4_prefix.len + p),
	};
}

static struct portset derive_ports(const struct map_rule *rule, uint64_t ea)
{
	unsigned int k = map_rule_psid_length(rule);
	uint64_t psid = map_rule_has_psid(rule) ? rule->psid : ea;

	return (struct portset){
		.psid_offset = rule->psid_offset,
		.psid_length = (uint8_t)k,
		.psid = (uint16_t)(psid & ((1u << k) - 1)),
	};
}

/* The end-user prefix, subnet 0, and the interface identifier: IPv4 address and PSID, 48 bits, at
 * the very end (RFC 7597 section 6) or one octet earlier (draft-ietf-softwire-map-03). */
static struct in6_addr derive_ce(const struct map_params *params)
{
	struct in6_addr ce = params->end_user.addr;
	size_t at = params->rule.iid_format == IID_RFC7597 ? 10 : 9;

	memcpy(&ce.s6_addr[at], &params->ipv4.addr, 4);
	ce.s6_addr[at + 4] = (uint8_t)(params->ports.psid >> 8);
	ce.s6_addr[at + 5] = (uint8_t)params->ports.psid;
	return ce;
}

static int check_fit(const struct map_rule *rule, const struct prefix6 *prefix,
		     struct fault *reterr)
{
	char have[PREFIX6_TEXT_MAX], want[PREFIX6_TEXT_MAX];
	unsigned int n = map_rule_end_user_length(rule);

	if (!prefix6_has(&rule->ipv6_prefix, &prefix->addr))
		return fault_set(reterr, -EINVAL, "%s does not lie in the rule's %s",
				 prefix6_format(prefix, have),
				 prefix6_format(&rule->ipv6_prefix, want));
	if (prefix->len < n)
		return fault_set(
			reterr, -EINVAL, "%s is too short for the rule's %s, which needs a /%u",
			prefix6_format(prefix, have), prefix6_format(&rule->ipv6_prefix, want), n);
	return 0;
}

/* With a short IPv4 prefix the EA bits can make anything. */
static int check_address(const struct prefix4 *ipv4, struct fault *reterr)
{
	char text[PREFIX4_TEXT_MAX];

	if (prefix4_has_hosts(ipv4))
		return 0;
	return fault_set(reterr, -EINVAL, "its EA bits make %s, which holds no address of a host",
			 prefix4_format(ipv4, text));
}

int map_derive(const struct map_rule *rule, const struct prefix6 *prefix, struct map_params *ret,
	       struct fault *reterr)
{
	struct map_params params = {.rule = *rule, .br = rule->br};
	uint64_t ea;
	int r;

	r = map_rule_check(rule, reterr);
	if (r < 0)
		return r;
	r = check_fit(rule, prefix, reterr);
	if (r < 0)
		return r;

	params.end_user = prefix6_make(&prefix->addr, map_rule_end_user_length(rule));
	ea = in6_bits(&params.end_user.addr, rule->ipv6_prefix.len, rule->ea_length);
	params.ipv4 = derive_ipv4(rule, ea);
	r = check_address(&params.ipv4, reterr);
	if (r < 0)
		return r;
	params.ports = derive_ports(rule, ea);
	params.ce = derive_ce(&params);
	*ret = params;
	return 0;
}

bool map_params_equal(const struct map_params *a, const struct map_params *b)
{
	return map_rule_equal(&a->rule, &b->rule) && prefix6_equal(&a->end_user, &b->end_user) &&
	       prefix4_equal(&a->ipv4, &b->ipv4) && portset_equal(&a->ports, &b->ports) &&
	       IN6_ARE_ADDR_EQUAL(&a->ce, &b->ce) && IN6_ARE_ADDR_EQUAL(&a->br, &b->br);
}

void map_params_print(const struct map_params *params, struct text *out)
{
	const struct map_rule *rule = &params->rule;
	char rule6[PREFIX6_TEXT_MAX], rule4[PREFIX4_TEXT_MAX];
	char ipv4[INET_ADDRSTRLEN], ce[INET6_ADDRSTRLEN], br[INET6_ADDRSTRLEN];

	inet_ntop(AF_INET, &params->ipv4.addr, ipv4, sizeof(ipv4));
	inet_ntop(AF_INET6, &params->ce, ce, sizeof(ce));
	inet_ntop(AF_INET6, &params->br, br, sizeof(br));

	text_add(out, "provider=%s\n", rule->provider);
	text_add(out, "rule_ipv6_prefix=%s\n", prefix6_format(&rule->ipv6_prefix, rule6));
	text_add(out, "rule_ipv4_prefix=%s\n", prefix4_format(&rule->ipv4_prefix, rule4));
	text_add(out, "ea_length=%u\n", rule->ea_length);
	text_add(out, "psid_offset=%u\n", params->ports.psid_offset);
	text_add(out, "psid_length=%u\n", params->ports.psid_length);
	text_add(out, "psid=%u\n", params->ports.psid);
	text_add(out, "ipv4_address=%s\n", ipv4);
	text_add(out, "ipv4_prefix_length=%u\n", params->ipv4.len);
	text_add(out, "ce_address=%s\n", ce);
	text_add(out, "br_address=%s\n", br);
	text_add(out, "port_count=%u\n", portset_count(&params->ports));
	text_add(out, "port_ranges=");
	for (unsigned int i = 0; i < portset_block_count(&params->ports); i++) {
		struct port_range block = portset_block(&params->ports, i);

		text_add(out, "%s%u-%u", i ? " " : "", block.first, block.last);
	}
	text_add(out, "\n");
}
