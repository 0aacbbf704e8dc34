/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/map/choose.h"

#include <errno.h>
#include <string.h>

#include "lib/map/line.h"

/* End-user prefix of every known line here; groups the signs of a prefix without a rule. */
#define USUAL_END_USER_LEN 56u

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

	ret->verdict = any ? VERDICT_NO_RULE : line_verdict(prefix);
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
	ret->verdict = map_derive(&wanted, prefix, &ret->params, &ret->refusal) < 0
			       ? VERDICT_NO_RULE
			       : VERDICT_CHOSEN;
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

	/* Without a rule, addresses of the LAN alone tell nothing: they may be of another line. */
	if (other.sign && other.sign->source != SOURCE_LAN_ADDR) {
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
		       strcmp(a->other_provider, b->other_provider) == 0 &&
		       strcmp(a->refusal.text, b->refusal.text) == 0;
	return a->source == b->source && a->gateway_in_front == b->gateway_in_front &&
	       map_params_equal(&a->params, &b->params);
}
