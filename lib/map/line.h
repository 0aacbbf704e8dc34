/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All signs of one end-user prefix taken together, and which of two such lines is rather ours.
 * Private to the choice of the prefix (lib/map/choose.h), whose order is implemented here. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/map/choose.h"

/* Where signs of a line are created. */
enum place {
	PLACE_ROUTE, /* the delegated prefix itself */
	PLACE_WAN,
	PLACE_LAN, /* and parts of the prefix that are delegated */
	PLACE_COUNT,
};

struct line {
	const struct map_rule *rule; /* NULL: none */
	struct prefix6 end_user;
	const struct candidate *sign; /* the sign to name */
	bool any[SOURCE_STATIC], alive[SOURCE_STATIC];
	bool any_part, alive_part; /* a longer prefix than the end-user prefix is delegated */
	bool present;
	uint64_t alive_usec[PLACE_COUNT]; /* when its oldest sign appeared, 0 = unknown */
	uint64_t dead_usec[PLACE_COUNT];  /* the same of deprecated signs */
	uint64_t refreshed_usec;          /* last word of an RA, 0 = unknown */
	uint64_t latest_usec;             /* the same of all lines */
	uint64_t valid_until_usec;
};

/* True when a sign may speak for a prefix at all: global, and of a kind that wan.prefix admits. */
bool sign_counts(const struct candidate *sign, enum prefix_mode mode);

/* When a router last said that this prefix is to be used; 0 = unknown, or no word of a router. */
uint64_t sign_word(const struct candidate *sign);

/* Takes a sign inside line->end_user in. present: what was chosen before, or NULL. */
void line_add(struct line *line, const struct candidate *sign, const struct choice *present);

/* The whole end-user prefix is delegated to this machine. */
bool line_delegated(const struct line *line);

/* The order of the header of choose_prefix(). A line without a sign is the worst. */
bool line_better(const struct line *line, const struct line *than);

/* The best with a rule is only a left-over, and the line has been renumbered into other. */
bool line_superseded(const struct line *best, const struct line *other);

/* What a prefix without a rule means. */
enum verdict line_verdict(const struct prefix6 *prefix);
