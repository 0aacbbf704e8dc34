/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/map/choose.h"

const char *prefix_source_name(enum prefix_source source)
{
	switch (source) {
	case SOURCE_RA_PIO:
		return "RA";
	case SOURCE_WAN_ADDR:
		return "WAN address";
	case SOURCE_PD_ROUTE:
		return "delegated prefix";
	case SOURCE_LAN_ADDR:
		return "LAN address";
	case SOURCE_STATIC:
		return "configuration";
	}
	return "?";
}

static void explain_no_rule(const struct choice *choice, const char *prefix, struct text *out)
{
	if (choice->refusal.code < 0)
		text_add(out, "the rule for this prefix %s cannot be used: %s", prefix,
			 choice->refusal.text);
	else if (choice->other_provider[0])
		text_add(out,
			 "the prefix %s belongs to %s, which map.provider does not admit: set "
			 "map.provider = \"auto\" in /etc/maped.conf",
			 prefix, choice->other_provider);
	else if (choice->needs_len)
		text_add(out,
			 "the prefix %s is too short for its rule: write the /%u of this line as "
			 "wan.prefix into /etc/maped.conf",
			 prefix, choice->needs_len);
	else
		text_add(out,
			 "no rule for this prefix %s: add one to map.rules in /etc/maped.conf or a "
			 "file in /etc/maped/rules",
			 prefix);
}

void choice_explain(const struct choice *choice, const char *wan_interface, struct text *out)
{
	const char *on = wan_interface[0] ? " on " : "";
	char prefix[PREFIX6_TEXT_MAX];

	prefix6_format(&choice->prefix, prefix);
	switch (choice->verdict) {
	case VERDICT_CHOSEN:
		if (choice->gateway_in_front)
			text_add(out,
				 "a home gateway is in front%s%s and shares out %s: MAP-E must be "
				 "off "
				 "in the gateway, since only one of the two can use this address",
				 on, wan_interface, prefix);
		return;
	case VERDICT_NO_PREFIX:
		text_add(out,
			 "no IPv6 prefix%s%s yet; goes on when the line announces or delegates one "
			 "(if "
			 "it never does: is IPoE ordered, and does this machine accept router "
			 "advertisements or ask for a prefix by DHCPv6?)",
			 on, wan_interface);
		return;
	case VERDICT_NO_RULE:
		explain_no_rule(choice, prefix, out);
		return;
	case VERDICT_CLOSED_NETWORK:
		text_add(out,
			 "%s%s%s belongs to NTT's closed network, so the ISP's IPoE service is not "
			 "active on this line: ask the ISP to activate it, then restart the ONU or "
			 "home gateway; goes on when a new prefix arrives",
			 prefix, on, wan_interface);
		return;
	case VERDICT_OCN_WITHOUT_MAPE:
		text_add(out,
			 "%s%s%s is the prefix of an OCN line without MAP-E: ask OCN for its IPoE "
			 "with "
			 "IPv4 (OCN Virtual Connect), which comes with a prefix in 2400:4050::/30 "
			 "or "
			 "2400:4150::/30 (lines of transix look the same; they use DS-Lite, which "
			 "maped "
			 "does not speak)",
			 prefix, on, wan_interface);
		return;
	}
}
