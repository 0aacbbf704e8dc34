/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From a rule and a prefix to what the CE is: RFC 7597 section 5.2 and 6. Pure and exact.
 */
#pragma once

#include <netinet/in.h>

#include "lib/base/fault.h"
#include "lib/base/text.h"
#include "lib/map/portset.h"
#include "lib/map/prefix.h"
#include "lib/map/rule.h"

struct map_params {
	struct map_rule rule;    /* the BMR, a copy */
	struct prefix6 end_user; /* the rule's end-user prefix */
	struct prefix4 ipv4;     /* /32: an address, shared or whole; shorter: an IPv4 prefix */
	struct portset ports;    /* whole (k = 0) when nothing is shared */
	struct in6_addr ce;
	struct in6_addr br;
};

/* A prefix longer than the end-user prefix is cut to it, subnet bits included, so that the CE
 * always lives in subnet 0. -EINVAL when map_rule_check() refuses the rule, the prefix does not lie
 * in the rule's or is too short for it, or the EA bits make an address that is no host's (sentence
 * in reterr). */
int map_derive(const struct map_rule *rule, const struct prefix6 *prefix, struct map_params *ret,
	       struct fault *reterr);

bool map_params_equal(const struct map_params *a, const struct map_params *b);

/* The key=value lines of `maped --calc`: provider rule_ipv6_prefix rule_ipv4_prefix ea_length
 * psid_offset psid_length psid ipv4_address ipv4_prefix_length ce_address br_address port_count
 * port_ranges. psid in decimal; ranges first-last separated by spaces. */
void map_params_print(const struct map_params *params, struct text *out);
