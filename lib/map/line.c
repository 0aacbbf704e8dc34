/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/map/line.h"

#include <string.h>

static const struct block {
	struct prefix6 prefix;
	enum verdict verdict;
} blocks[] = {
	/* NTT's closed networks, where a line lives until an ISP's IPoE is active on it. The blocks
	 * are those that public tools list for NTT East (2408::/22, 2404:1a8::/32, 2001:c90::/32)
	 * and NTT West (2001:a000::/21, 2001:d70::/30). Not 2408::/16: 2408:8000::/20 and others
	 * behind it belong to networks outside Japan, about which the sentence would be wrong. */
	{{{{{0x24, 0x08}}}, 22}, VERDICT_CLOSED_NETWORK},
	{{{{{0x24, 0x04, 0x01, 0xa8}}}, 32}, VERDICT_CLOSED_NETWORK},
	{{{{{0x20, 0x01, 0x0c, 0x90}}}, 32}, VERDICT_CLOSED_NETWORK},
	{{{{{0x20, 0x01, 0xa0}}}, 21}, VERDICT_CLOSED_NETWORK},
	{{{{{0x20, 0x01, 0x0d, 0x70}}}, 30}, VERDICT_CLOSED_NETWORK},
	/* Internet Multifeed (2409:10::/30, 2409:250::/30), over which OCN lines without MAP-E are
	 * carried, as are transix lines (DS-Lite). The whole /22, since the operator may open more
	 * of it; what is not in Japan (2409:8000::/20) stays out. */
	{{{{{0x24, 0x09}}}, 22}, VERDICT_OCN_WITHOUT_MAPE},
};

enum verdict line_verdict(const struct prefix6 *prefix)
{
	for (size_t i = 0; i < ARRAY_SIZE(blocks); i++)
		if (prefix6_covers(&blocks[i].prefix, prefix))
			return blocks[i].verdict;
	return VERDICT_NO_RULE;
}

bool line_delegated(const struct line *line)
{
	return line->any[SOURCE_PD_ROUTE];
}

static bool line_announced(const struct line *line)
{
	return line->any[SOURCE_RA_PIO] || line->any[SOURCE_WAN_ADDR];
}

static bool line_weak(const struct line *line)
{
	return !line_delegated(line) && !line_announced(line);
}

static bool line_deprecated(const struct line *line)
{
	bool any_addr = line->any[SOURCE_WAN_ADDR] || line->any[SOURCE_LAN_ADDR];
	bool alive_addr = line->alive[SOURCE_WAN_ADDR] || line->alive[SOURCE_LAN_ADDR];

	if (line_delegated(line))
		return !line->alive[SOURCE_PD_ROUTE] ||
		       (any_addr && !alive_addr && !line->alive[SOURCE_RA_PIO]);
	if (line->any[SOURCE_RA_PIO])
		return !line->alive[SOURCE_RA_PIO];
	if (any_addr)
		return !alive_addr;
	return !line->alive_part;
}

/* What is deprecated says when a line appeared only while nothing else does. */
static uint64_t line_appeared_at(const struct line *line, enum place place)
{
	return line->alive_usec[place] ? line->alive_usec[place] : line->dead_usec[place];
}

/* No router has confirmed it for so long that the others' words count more. */
static bool line_unconfirmed(const struct line *line)
{
	return line->refreshed_usec != 0 &&
	       line->latest_usec - line->refreshed_usec > CHOOSE_SILENCE_USEC;
}

/* How far a delegated prefix is proved to be alive: by an address that the client put on a LAN
 * interface (2), or by the WAN (1), where an announcement of old may have left its sign. */
static uint64_t line_backing(const struct line *line)
{
	if (!line_delegated(line))
		return 0;
	if (line->alive[SOURCE_LAN_ADDR])
		return 2;
	if (line->alive[SOURCE_WAN_ADDR] || line->alive[SOURCE_RA_PIO])
		return line_unconfirmed(line) ? 0 : 1;
	return 0;
}

static bool line_backed(const struct line *line)
{
	return line_backing(line) > 0;
}

static bool line_silent(const struct line *line)
{
	return !line_delegated(line) && line_unconfirmed(line);
}

/* Delegated without an address that is alive, and a router has announced something since: this may
 * be the route that a line which no longer delegates has left behind. */
static bool line_outdated(const struct line *line)
{
	return line_delegated(line) && !line_backed(line) &&
	       line->latest_usec > line_appeared_at(line, PLACE_ROUTE);
}

static uint64_t older_known(uint64_t a_usec, uint64_t b_usec)
{
	if (a_usec == 0 || b_usec == 0)
		return a_usec | b_usec;
	return MIN_OF(a_usec, b_usec);
}

static uint64_t line_appeared(const struct line *line)
{
	if (line_delegated(line))
		return line_appeared_at(line, PLACE_ROUTE);
	return line_appeared_at(line, line_announced(line) ? PLACE_WAN : PLACE_LAN);
}

/* The same of the addresses in a delegated prefix. */
static uint64_t line_addressed(const struct line *line)
{
	uint64_t lan_usec = line_appeared_at(line, PLACE_LAN);

	if (!line_delegated(line))
		return 0;
	return lan_usec ? lan_usec : line_appeared_at(line, PLACE_WAN);
}

/* Plain prefixes name a missing rule best, the closed network least. */
static uint64_t line_telling(const struct line *line)
{
	if (line->rule)
		return 0;
	switch (line_verdict(&line->end_user)) {
	case VERDICT_CLOSED_NETWORK:
		return 0;
	case VERDICT_OCN_WITHOUT_MAPE:
		return 1;
	case VERDICT_CHOSEN:
	case VERDICT_NO_PREFIX:
	case VERDICT_NO_RULE:
		break;
	}
	return 2;
}

/* The order of the header, as numbers: greater is better. */
#define RANK_COUNT 11

static void line_rank(const struct line *line, uint64_t ret[static RANK_COUNT])
{
	ret[0] = !line_deprecated(line);
	ret[1] = !line_weak(line);
	ret[2] = line_telling(line);
	ret[3] = line_backing(line);
	ret[4] = !line_outdated(line);
	ret[5] = !line_silent(line);
	ret[6] = line_appeared(line);
	ret[7] = line_addressed(line);
	ret[8] = line_delegated(line);
	ret[9] = line->present;
	ret[10] = line->valid_until_usec;
}

bool line_better(const struct line *line, const struct line *than)
{
	uint64_t mine[RANK_COUNT], theirs[RANK_COUNT];
	int order;

	if (!than->sign)
		return true;
	line_rank(line, mine);
	line_rank(than, theirs);
	for (size_t i = 0; i < RANK_COUNT; i++)
		if (mine[i] != theirs[i])
			return mine[i] > theirs[i];
	order = memcmp(&line->end_user.addr, &than->end_user.addr, sizeof(struct in6_addr));
	return order ? order < 0 : line->end_user.len < than->end_user.len;
}

bool line_superseded(const struct line *best, const struct line *other)
{
	bool of_delegation = line_delegated(best) || line_weak(best);

	if (line_deprecated(other) || line_silent(other) || line_weak(other))
		return false;
	if (of_delegation != line_delegated(other))
		return false;
	if (of_delegation && !line_backed(best) && line_backed(other))
		return true;
	return (line_deprecated(best) || line_silent(best)) &&
	       line_appeared(other) > line_appeared(best);
}

bool sign_counts(const struct candidate *sign, enum prefix_mode mode)
{
	if (!in6_is_global(&sign->prefix.addr))
		return false;
	switch (sign->source) {
	case SOURCE_RA_PIO:
		return mode == PREFIX_AUTO || mode == PREFIX_RA;
	case SOURCE_WAN_ADDR:
		return true; /* with PREFIX_PD only as an address inside a delegated prefix */
	case SOURCE_PD_ROUTE:
	case SOURCE_LAN_ADDR:
		return mode == PREFIX_AUTO || mode == PREFIX_PD;
	case SOURCE_STATIC:
		return false;
	}
	return false;
}

uint64_t sign_word(const struct candidate *sign)
{
	if (sign->deprecated)
		return 0;
	if (sign->source != SOURCE_RA_PIO && sign->source != SOURCE_WAN_ADDR)
		return 0;
	return MAX_OF(sign->refreshed_usec, sign->appeared_usec);
}

static unsigned int sign_order(const struct line *line, const struct candidate *sign)
{
	switch (sign->source) {
	case SOURCE_PD_ROUTE:
		return sign->prefix.len > line->end_user.len ? 2 : 0;
	case SOURCE_RA_PIO:
	case SOURCE_WAN_ADDR:
		return 1;
	case SOURCE_LAN_ADDR:
	case SOURCE_STATIC:
		break;
	}
	return 3;
}

static bool sign_was_named(const struct candidate *sign, const struct choice *present)
{
	return present && present->source == sign->source &&
	       prefix6_equal(&present->prefix, &sign->prefix);
}

/* Which of two signs of a line names it. What was named stays, so that an address that follows the
 * announcement (or the other way round) is no change. */
static bool sign_better(const struct line *line, const struct candidate *sign,
			const struct candidate *than, const struct choice *present)
{
	unsigned int mine = sign_order(line, sign), theirs = sign_order(line, than);
	int order;

	if (mine != theirs)
		return mine < theirs;
	if (sign_was_named(sign, present) != sign_was_named(than, present))
		return sign_was_named(sign, present);
	if (sign->source != than->source)
		return sign->source < than->source;
	order = memcmp(&sign->prefix.addr, &than->prefix.addr, sizeof(struct in6_addr));
	return order ? order < 0 : sign->prefix.len < than->prefix.len;
}

static enum place sign_place(const struct line *line, const struct candidate *sign)
{
	switch (sign->source) {
	case SOURCE_RA_PIO:
	case SOURCE_WAN_ADDR:
		return PLACE_WAN;
	case SOURCE_PD_ROUTE:
		return sign->prefix.len > line->end_user.len ? PLACE_LAN : PLACE_ROUTE;
	case SOURCE_LAN_ADDR:
	case SOURCE_STATIC:
		break;
	}
	return PLACE_LAN;
}

void line_add(struct line *line, const struct candidate *sign, const struct choice *present)
{
	enum place place = sign_place(line, sign);
	uint64_t *appeared_usec =
		sign->deprecated ? &line->dead_usec[place] : &line->alive_usec[place];

	if (sign->source == SOURCE_PD_ROUTE && place != PLACE_ROUTE) {
		line->any_part = true;
		line->alive_part |= !sign->deprecated;
	} else {
		line->any[sign->source] = true;
		line->alive[sign->source] |= !sign->deprecated;
	}
	*appeared_usec = older_known(*appeared_usec, sign->appeared_usec);
	line->refreshed_usec = MAX_OF(line->refreshed_usec, sign_word(sign));
	line->valid_until_usec = MAX_OF(line->valid_until_usec, sign->valid_until_usec);
	if (!line->sign || sign_better(line, sign, line->sign, present))
		line->sign = sign;
}
