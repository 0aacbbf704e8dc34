/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which of the prefixes seen is ours? A pure function of state: what is visible now, what was
 * chosen before, and the rules. Single events never decide.
 *
 * Times are CLOCK_BOOTTIME microseconds of the caller; nothing here reads a clock.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/fault.h"
#include "lib/map/derive.h"
#include "lib/map/prefix.h"
#include "lib/map/rule.h"
#include "lib/map/settings.h"

enum prefix_source {
	SOURCE_RA_PIO,	  /* RTM_NEWPREFIX on the WAN: the announcement itself */
	SOURCE_WAN_ADDR,  /* a global address on the WAN */
	SOURCE_PD_ROUTE,  /* unreachable route, proto dhcp: a delegated prefix */
	SOURCE_LAN_ADDR,  /* an address of a LAN interface inside a delegated prefix's /56 */
	SOURCE_STATIC,	  /* written in the file */
};

const char *prefix_source_name(enum prefix_source source); /* "RA", "WAN address", … for people */

/* One sign of a prefix, as the kernel shows it now. */
struct candidate {
	struct prefix6 prefix; /* RA and WAN address: the /64; PD: the delegated prefix */
	enum prefix_source source;
	bool deprecated;	   /* preferred lifetime over, or PIO with preferred lifetime 0 */
	uint64_t appeared_usec;	   /* when this sign was created; 0 = unknown (oldest) */
	uint64_t refreshed_usec;   /* when it was last confirmed; 0 = unknown */
	uint64_t valid_until_usec; /* UINT64_MAX = forever */
};

struct candidates {
	struct candidate *list;
	size_t count;
};

int candidates_add(struct candidates *all, const struct candidate *one); /* 0 or -ENOMEM; copies */
void candidates_done(struct candidates *all);
#define _cleanup_candidates_ _cleanup_(candidates_done)

enum verdict {
	VERDICT_CHOSEN,	   /* ret->params is valid */
	VERDICT_NO_PREFIX, /* nothing global is visible */
	VERDICT_NO_RULE,   /* prefixes are visible, none has a rule: ret->prefix names the best */
	VERDICT_CLOSED_NETWORK, /* only 2408::/…: NTT's closed network, the ISP's IPoE is not active */
	VERDICT_OCN_WITHOUT_MAPE, /* only 2409::/…: an OCN line without MAP-E */
};

struct choice {
	enum verdict verdict;
	struct prefix6 prefix;	   /* not with VERDICT_NO_PREFIX */
	enum prefix_source source; /* likewise */
	struct map_params params;  /* only with VERDICT_CHOSEN */
	bool gateway_in_front;	   /* a delegated prefix longer than the end-user prefix was passed over */
};

/* A prefix that is alive and older than the present one takes over again only when the present one
 * has not been confirmed for this long: the longest interval between two RAs (RFC 4861 6.2.1). */
#define CHOOSE_SILENCE_USEC ((uint64_t)1800 * 1000000)

/* present: the prefix chosen before, or NULL. Order of preference among candidates with a rule:
 * not deprecated; delegated before announced; newest; and no change without a reason. */
void choose_prefix(const struct candidates *seen, const struct settings *settings,
		   const struct ruleset *rules, const struct choice *present, struct choice *ret);

bool choice_equal(const struct choice *a, const struct choice *b);

/* One sentence for people about a verdict that is not VERDICT_CHOSEN. */
void choice_explain(const struct choice *choice, const char *wan_interface, struct text *out);
