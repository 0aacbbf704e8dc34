/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/map/choose.h"

#include <errno.h>
#include <string.h>

#define PROVIDER_OWN "custom"

/* End-user prefix of every known line here; groups the signs of a prefix without a rule. */
#define USUAL_END_USER_LEN 56u

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

int candidates_add(struct candidates *all, const struct candidate *one)
{
	struct candidate copy = *one;
	struct candidate *list;

	/* Grown to the next power of two whenever the count is one. */
	if ((all->count & (all->count - 1)) == 0) {
		list = reallocarray(all->list, all->count ? all->count * 2 : 1, sizeof(*list));
		if (!list)
			return -ENOMEM;
		all->list = list;
	}
	all->list[all->count++] = copy;
	return 0;
}

void candidates_done(struct candidates *all)
{
	free(all->list);
	*all = (struct candidates){0};
}

/* --- Blocks that say by themselves why there is no MAP-E --- */

static const struct block {
	struct prefix6 prefix;
	enum verdict verdict;
} blocks[] = {
	/* NTT's closed networks, where a line lives until an ISP's IPoE is active on it. The blocks
	 * are those registered to NTT East (2408::/22, 2404:1a8::/32, 2001:c90::/32) and NTT West
	 * (2001:a000::/21, 2001:d70::/30). Not 2408::/16: 2408:8000::/20 and others behind it
	 * belong to networks outside Japan, about which the sentence would be wrong. */
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

static enum verdict verdict_without_rule(const struct prefix6 *prefix)
{
	for (size_t i = 0; i < ARRAY_SIZE(blocks); i++)
		if (prefix6_covers(&blocks[i].prefix, prefix))
			return blocks[i].verdict;
	return VERDICT_NO_RULE;
}

/* --- Rules --- */

static const struct map_rule *match(const struct ruleset *rules, const struct settings *settings,
				    const struct prefix6 *prefix)
{
	const char *provider = settings->map.provider;
	const struct map_rule *own;

	if (!provider[0])
		return ruleset_match(rules, "", prefix);
	own = ruleset_match(rules, PROVIDER_OWN, prefix);
	return own ? own : ruleset_match(rules, provider, prefix);
}

/* The shortest length with which a prefix that has no rule would have one, 0 when it never has. */
static uint8_t needed_len(const struct ruleset *rules, const struct settings *settings,
			  const struct prefix6 *prefix)
{
	const char *provider = settings->map.provider;
	unsigned int needed = 0;

	for (size_t i = 0; i < rules->count; i++) {
		const struct map_rule *rule = &rules->rules[i];
		unsigned int n = map_rule_end_user_length(rule);

		if (provider[0] && strcmp(provider, rule->provider) != 0 &&
		    strcmp(PROVIDER_OWN, rule->provider) != 0)
			continue;
		if (n <= prefix->len || n > 64)
			continue;
		if (!prefix6_covers(&rule->ipv6_prefix, prefix) &&
		    !prefix6_covers(prefix, &rule->ipv6_prefix))
			continue;
		if (needed == 0 || n < needed)
			needed = n;
	}
	return (uint8_t)needed;
}

/* --- Lines: all signs of one end-user prefix taken together --- */

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

static bool line_delegated(const struct line *line)
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
	switch (verdict_without_rule(&line->end_user)) {
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
	ret[1] = line_telling(line);
	ret[2] = !line_weak(line);
	ret[3] = line_backing(line);
	ret[4] = !line_outdated(line);
	ret[5] = !line_silent(line);
	ret[6] = line_appeared(line);
	ret[7] = line_addressed(line);
	ret[8] = line_delegated(line);
	ret[9] = line->present;
	ret[10] = line->valid_until_usec;
}

static bool line_better(const struct line *line, const struct line *than)
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

/* The best with a rule is only a left-over, and the line has been renumbered into other. */
static bool line_superseded(const struct line *best, const struct line *other)
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

/* --- Signs --- */

static bool sign_counts(const struct candidate *sign, enum prefix_mode mode)
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

/* When a router last said that this prefix is to be used; 0 = unknown, or no word of a router. */
static uint64_t sign_word(const struct candidate *sign)
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

static void line_add(struct line *line, const struct candidate *sign, const struct choice *present)
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

/* --- The choice --- */

struct question {
	const struct candidates *seen;
	const struct settings *settings;
	const struct ruleset *rules;
	const struct choice *present; /* NULL, or a prefix that was chosen */
	uint64_t latest_usec;         /* last word of any RA */
};

/* The line to which one sign belongs. */
static struct line line_of(const struct question *q, const struct prefix6 *prefix)
{
	const struct map_rule *rule = match(q->rules, q->settings, prefix);
	unsigned int n = rule ? map_rule_end_user_length(rule)
			      : MIN_OF((unsigned int)prefix->len, USUAL_END_USER_LEN);
	struct line line = {
		.rule = rule,
		.end_user = prefix6_make(&prefix->addr, n),
		.latest_usec = q->latest_usec,
	};

	for (size_t i = 0; i < q->seen->count; i++) {
		const struct candidate *sign = &q->seen->list[i];

		if (sign_counts(sign, q->settings->wan.prefix_mode) &&
		    prefix6_covers(&line.end_user, &sign->prefix))
			line_add(&line, sign, q->present);
	}
	line.present = q->present && prefix6_equal(&q->present->params.end_user, &line.end_user);
	return line;
}

static bool line_admitted(const struct question *q, const struct line *line)
{
	if (q->settings->wan.prefix_mode != PREFIX_PD)
		return true;
	return line_delegated(line) || line->any_part || line->any[SOURCE_LAN_ADDR];
}

/* The best line with a rule, and the best without one; sign NULL = there is none. left_over: only
 * lines that supersede it. */
static struct line best_line(const struct question *q, bool with_rule, const struct line *left_over)
{
	struct line best = {0};

	for (size_t i = 0; i < q->seen->count; i++) {
		const struct candidate *sign = &q->seen->list[i];
		struct line line;

		if (!sign_counts(sign, q->settings->wan.prefix_mode))
			continue;
		line = line_of(q, &sign->prefix);
		if (!line_admitted(q, &line) || (line.rule != NULL) != with_rule)
			continue;
		if (left_over && !line_superseded(left_over, &line))
			continue;
		if (line_better(&line, &best))
			best = line;
	}
	return best;
}

static uint64_t latest_word(const struct candidates *seen, enum prefix_mode mode)
{
	uint64_t latest_usec = 0;

	for (size_t i = 0; i < seen->count; i++) {
		const struct candidate *sign = &seen->list[i];

		if (sign_counts(sign, mode))
			latest_usec = MAX_OF(latest_usec, sign_word(sign));
	}
	return latest_usec;
}

static bool choice_behind_gateway(const struct choice *choice, const struct candidates *seen)
{
	const struct prefix6 *end_user = &choice->params.end_user;

	if (prefix6_equal(&choice->prefix, end_user))
		return false;
	for (size_t i = 0; i < seen->count; i++) {
		const struct candidate *sign = &seen->list[i];

		if (sign->source == SOURCE_PD_ROUTE && sign->prefix.len > end_user->len &&
		    prefix6_covers(end_user, &sign->prefix))
			return true;
	}
	/* The first /64 of the end-user prefix is where the CE address lives (RFC 7597 5.2). */
	return (choice->source == SOURCE_RA_PIO || choice->source == SOURCE_WAN_ADDR) &&
	       in6_bits(&choice->prefix.addr, 0, 64) != in6_bits(&end_user->addr, 0, 64);
}

static void choose_none(const struct question *q, const struct prefix6 *prefix,
			enum prefix_source source, struct choice *ret)
{
	const char *provider = q->settings->map.provider;
	const struct map_rule *any = provider[0] ? ruleset_match(q->rules, "", prefix) : NULL;

	ret->verdict = any ? VERDICT_NO_RULE : verdict_without_rule(prefix);
	ret->prefix = *prefix;
	ret->source = source;
	if (any)
		memcpy(ret->other_provider, any->provider, sizeof(ret->other_provider));
	else if (ret->verdict == VERDICT_NO_RULE)
		ret->needs_len = needed_len(q->rules, q->settings, prefix);
}

static void choose(const struct question *q, const struct prefix6 *prefix,
		   enum prefix_source source, const struct map_rule *rule, struct choice *ret)
{
	struct map_rule wanted = *rule;

	if (q->settings->map.br_given)
		wanted.br = q->settings->map.br;
	if (map_derive(&wanted, prefix, &ret->params, NULL) < 0) {
		choose_none(q, prefix, source, ret); /* a rule that nobody checked */
		return;
	}
	ret->verdict = VERDICT_CHOSEN;
	ret->prefix = *prefix;
	ret->source = source;
}

static void choose_static(const struct question *q, struct choice *ret)
{
	const struct prefix6 *prefix = &q->settings->wan.prefix;
	const struct map_rule *rule = match(q->rules, q->settings, prefix);

	if (rule)
		choose(q, prefix, SOURCE_STATIC, rule, ret);
	else
		choose_none(q, prefix, SOURCE_STATIC, ret);
}

static void choose_seen(const struct question *q, struct choice *ret)
{
	struct line best = best_line(q, true, NULL);
	struct line other = best_line(q, false, best.sign ? &best : NULL);

	if (other.sign) {
		choose_none(q, &other.sign->prefix, other.sign->source, ret);
	} else if (best.sign) {
		choose(q, &best.sign->prefix, best.sign->source, best.rule, ret);
		if (ret->verdict == VERDICT_CHOSEN)
			ret->gateway_in_front = choice_behind_gateway(ret, q->seen);
	}
}

void choose_prefix(const struct candidates *seen, const struct settings *settings,
		   const struct ruleset *rules, const struct choice *present, struct choice *ret)
{
	struct question q = {
		.seen = seen,
		.settings = settings,
		.rules = rules,
		.present = present && present->verdict == VERDICT_CHOSEN ? present : NULL,
		.latest_usec = latest_word(seen, settings->wan.prefix_mode),
	};
	struct choice choice = {.verdict = VERDICT_NO_PREFIX};

	if (settings->wan.prefix_mode == PREFIX_STATIC)
		choose_static(&q, &choice);
	else
		choose_seen(&q, &choice);
	*ret = choice; /* ret may be present */
}

bool choice_equal(const struct choice *a, const struct choice *b)
{
	if (a->verdict != b->verdict)
		return false;
	if (a->verdict == VERDICT_NO_PREFIX)
		return true;
	if (!prefix6_equal(&a->prefix, &b->prefix))
		return false;
	if (a->verdict != VERDICT_CHOSEN)
		return a->needs_len == b->needs_len &&
		       strcmp(a->other_provider, b->other_provider) == 0;
	return a->source == b->source && a->gateway_in_front == b->gateway_in_front &&
	       map_params_equal(&a->params, &b->params);
}

static void explain_no_rule(const struct choice *choice, const char *prefix, struct text *out)
{
	if (choice->other_provider[0])
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
