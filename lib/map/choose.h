/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which of the prefixes seen is ours? A pure function of state: what is visible now, what was
 * chosen before, and the rules. Single events never decide, and the order of the candidates does
 * not matter.
 *
 * Times are CLOCK_BOOTTIME microseconds of the caller; nothing here reads a clock.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/fault.h"
#include "lib/base/text.h"
#include "lib/map/derive.h"
#include "lib/map/prefix.h"
#include "lib/map/rule.h"
#include "lib/map/settings.h"

enum prefix_source {
	SOURCE_RA_PIO,   /* RTM_NEWPREFIX on the WAN: the announcement itself */
	SOURCE_WAN_ADDR, /* a global address on the WAN */
	SOURCE_PD_ROUTE, /* unreachable route, proto dhcp: a delegated prefix */
	SOURCE_LAN_ADDR, /* an address of a LAN interface inside a delegated prefix's /56 */
	SOURCE_STATIC,   /* written in the file */
};

const char *prefix_source_name(enum prefix_source source); /* "RA", "WAN address", … for people */

/* One sign of a prefix, as the kernel shows it now. */
struct candidate {
	struct prefix6 prefix; /* RA and addresses: the /64; PD: the delegated prefix */
	enum prefix_source source;
	bool deprecated;           /* preferred lifetime over, or PIO with preferred lifetime 0 */
	uint64_t appeared_usec;    /* when this sign was created, or was preferred again after it
				    * had been deprecated; 0 = unknown (oldest) */
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
	VERDICT_CHOSEN,         /* ret->params is valid */
	VERDICT_NO_PREFIX,      /* nothing global is visible */
	VERDICT_NO_RULE,        /* none of the prefixes has a rule: ret->prefix names the best */
	VERDICT_CLOSED_NETWORK, /* only NTT's closed network (2408::/22, …): IPoE is not active */
	VERDICT_OCN_WITHOUT_MAPE, /* only 2409::/22: an OCN line without MAP-E */
};

struct choice {
	enum verdict verdict;
	struct prefix6 prefix;     /* not with VERDICT_NO_PREFIX */
	enum prefix_source source; /* likewise */
	struct map_params params;  /* only with VERDICT_CHOSEN */

	/* With VERDICT_CHOSEN: another router holds the line. It delegated a part of the end-user
	 * prefix, which was passed over, or the /64 announced is not the first one. */
	bool gateway_in_front;

	/* With VERDICT_NO_RULE, why not: a rule is known, but for prefixes of at least this length;
	 * a rule is known, but it is of a provider that map.provider does not admit; a rule fits,
	 * but gives no address, and why. 0, "" = no. */
	uint8_t needs_len;
	char other_provider[PROVIDER_NAME_MAX];
	struct fault refusal;
};

/* A prefix that is alive and older than the present one takes over again only when the present one
 * has not been confirmed for this long: the longest interval between two RAs (RFC 4861 6.2.1). */
#define CHOOSE_SILENCE_USEC ((uint64_t)1800 * 1000000)

/*
 * present: what was chosen before, or NULL. With a static prefix only that counts. Otherwise signs
 * (those that wan.prefix admits, global ones, 2000::/3) of the same end-user prefix are taken
 * together, and these are compared, the first difference deciding:
 *
 *  1. Alive before deprecated. A delegated prefix is deprecated when all its addresses are; what
 *     the RA says counts before the addresses made from it.
 *  2. A prefix delegated whole or seen on the WAN, before one known by LAN addresses only or
 *     delegated in part (a home gateway in front; its RA, if any, is the same end-user prefix).
 *  3. A delegated prefix in which an address of the LAN is alive before one with an address of the
 *     WAN, and that before everything else. One without an address is no proof: its route may have
 *     stayed when the prefix went. It comes last once a router has announced anything since it
 *     appeared.
 *  4. Announced prefixes: those confirmed within CHOOSE_SILENCE_USEC of the last word of any RA.
 *     Refreshing alone changes nothing, so that two routers never take turns.
 *  5. The newest: appeared_usec of the RA or the address, whichever is older, or of the route; then
 *     that of the addresses inside a delegated prefix. Unknown counts as oldest.
 *  6. Delegated before announced.
 *  7. The one chosen before: no change without a reason.
 *  8. The longest valid lifetime, then the lowest address: chance never decides.
 *
 * The best of those with a rule wins, except when it is only a left-over (deprecated, silent, or
 * without an address) and a newer prefix of its kind (delegated or announced) is alive that has no
 * rule: then the line was renumbered into the unknown, and saying so is the truth.
 *
 * Rules: map.provider admits the rules of one file; the owner's own ("custom") always count.
 */
void choose_prefix(const struct candidates *seen, const struct settings *settings,
		   const struct ruleset *rules, const struct choice *present, struct choice *ret);

bool choice_equal(const struct choice *a, const struct choice *b);

/* One sentence for people about a verdict that is not VERDICT_CHOSEN: what is missing and what to
 * do. With VERDICT_CHOSEN: about a gateway in front, if there is one. wan_interface may be "". */
void choice_explain(const struct choice *choice, const char *wan_interface, struct text *out);
