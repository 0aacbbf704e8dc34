/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Mapping rules from DHCPv6: the Softwire46 options of RFC 7598. Pure: octets (or the text that a
 * DHCP client makes of them) in, rules out. Nothing here is trusted: every length is checked, no
 * container is entered twice, and at most S46_RULES_MAX rules come out.
 *
 * A container that breaks the tables of RFC 7598 section 4 and 5 is ignored whole, as the RFC
 * wants, and named in complaints. A rule that is well-formed is handed on even when this program
 * could not use it: map_rule_check() is the caller's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/fault.h"
#include "lib/base/text.h"
#include "lib/map/rule.h"

#define S46_RULES_MAX      256 /* rules of one input, each border relay counted */
#define S46_OFFSET_DEFAULT 6   /* RFC 7597 5.1, when no port parameters are sent */
#define S46_PROVIDER       "dhcp"

/* One mapping rule with one border relay. A rule with several relays comes once for each, in the
 * order of the wire. */
struct s46_rule {
	struct map_rule rule;
	unsigned int domain; /* number of its container, from 0: each is a MAP domain of its own */
	bool forwarding;     /* F flag: an FMR too. maped is hub and spoke and makes no use of it */
};

struct s46 {
	struct s46_rule *rules;
	size_t count;
};

void s46_done(struct s46 *s46);
#define _cleanup_s46_ _cleanup_(s46_done)

/* The fields of OPTION_S46_RULE and of the OPTION_S46_PORTPARAMS inside it, as they are sent. */
struct s46_fields {
	bool forwarding;
	unsigned int ea_length;   /* 0..48 */
	unsigned int ipv4_length; /* 0..32 */
	unsigned int ipv6_length; /* 0..128 */
	struct in_addr ipv4;      /* bits behind the length are ignored */
	struct in6_addr ipv6;     /* likewise */
	bool port_params;         /* the three below were sent */
	unsigned int psid_offset; /* 0..15 */
	unsigned int psid_length; /* 0..16; 0: psid is ignored */
	unsigned int psid;        /* 0..65535, left-aligned: its first psid_length bits count */
	struct in6_addr br;
};

/* Checks the bounds above and turns the fields into a rule: PSID right-aligned, dropped when the
 * rule leads to less than a whole IPv4 address (RFC 7598 4.5). -EINVAL with a sentence in reterr.
 */
int s46_rule_make(const struct s46_fields *fields, enum iid_format iid_format, struct s46_rule *ret,
		  struct fault *reterr);

/* Appends a copy; -E2BIG when S46_RULES_MAX are there, -ENOMEM. */
int s46_add(struct s46 *s46, const struct s46_rule *rule);

/* octets: either the payload of one OPTION_S46_CONT_MAPE (94), or whole options, each with its code
 * and length, of which every 94 is a domain and all others (95 and 96 too) are passed over. The two
 * are told apart by what stands at the top: 89 to 93 exist only inside containers, so octets that
 * show one of them there are a payload.
 *
 * iid_format: nothing on the wire tells it; RFC 7598 implies IID_RFC7597.
 * 0: at least one container was whole; -ENOENT: none was; -ENOMEM. complaints, one sentence a line,
 * may be filled in each case. ret is written only on 0; s46_done() frees it. */
int s46_decode(const uint8_t *octets, size_t length, enum iid_format iid_format, struct s46 *ret,
	       struct text *complaints);

/* The same from the text that odhcp6c puts into $MAPE (its src/script.c, s46_to_env()): rules
 * separated by spaces, each "fmr,type=map-e,ealen=…,prefix4len=…,prefix6len=…,ipv4prefix=…,
 * ipv6prefix=…,offset=…,psidlen=…,psid=…,br=…,", psid left-aligned as on the wire. */
int s46_parse_odhcp6c(const char *words, enum iid_format iid_format, struct s46 *ret,
		      struct text *complaints);
