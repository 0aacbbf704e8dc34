/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From what the kernel shows to what is to be done about MAP-E now. Pure: time comes in as a
 * number.
 */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/state.h"
#include "lib/base/text.h"
#include "lib/map/choose.h"
#include "lib/map/settings.h"

/* How long a prefix may be gone before what stands on it is taken down: network programs take
 * everything away for a moment when a link flaps or they are restarted. */
#define DECIDE_HOLD_USEC ((uint64_t)10 * 1000000)

struct wan_view {
	bool found;
	const char *name; /* as resolved, or as configured; "" = auto that found none */
	bool up;          /* administratively up and with carrier */
};

/* What was in force before. */
struct decide_memory {
	char wan[IFNAMSIZ];       /* "" = none */
	struct choice choice;     /* verdict CHOSEN: MAP-E is built on it */
	uint64_t lost_since_usec; /* since when its prefix is gone; 0 = it is not */
	uint64_t left_since_usec; /* since when decide_wan_stays(); 0 = it need not */
};

struct decision {
	enum state state;
	struct choice choice;     /* VERDICT_CHOSEN: build MAP-E from its params */
	bool usable;              /* traffic may take MAP-E */
	uint64_t look_again_usec; /* at this time even without an event; 0 = events only */
};

/* Updates memory for the next call. seen holds the candidates of the WAN, none when it is missing.
 */
void decide(const struct wan_view *wan, const struct candidates *seen,
	    const struct settings *settings, const struct ruleset *rules, uint64_t now_usec,
	    struct decide_memory *memory, struct decision *ret);

/* Whether the WAN of memory is better kept than given up for the one on which there was decided:
 * that has the default route now, but no MAP-E, and the route may be back in a moment. Until the
 * hold is over, counted from memory->left_since_usec, which the caller keeps. */
bool decide_wan_stays(const struct decide_memory *memory, const struct wan_view *other,
		      const struct decision *there, uint64_t now_usec);

/* The sentence behind a state that is not up: what is missing and what happens next. */
void decision_explain(const struct decision *decision, const struct wan_view *wan,
		      struct text *out);
