/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any rules and any signs. The choice has to be one of the signs, the same for every order of them,
 * and no reason for another choice.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/map/choose.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *data;
	size_t size;
};

static uint8_t take(struct input *input)
{
	if (input->size == 0)
		return 0;
	input->size--;
	return *input->data++;
}

/* Few addresses, so that prefixes meet. */
static struct prefix6 take_prefix(struct input *input)
{
	static const uint8_t firsts[] = {0x24, 0x24, 0x20, 0xfd};
	struct in6_addr addr = {.s6_addr = {firsts[take(input) % 4], take(input) % 16}};

	addr.s6_addr[6] = take(input) % 4;
	addr.s6_addr[7] = take(input) % 4;
	return prefix6_make(&addr, take(input));
}

static struct map_rule take_rule(struct input *input)
{
	struct map_rule rule = {
		.provider = {(char)('a' + take(input) % 3)},
		.rank = take(input) % 4,
		.ipv6_prefix = take_prefix(input),
		.ea_length = take(input),
		.psid_offset = take(input),
		.psid_given = take(input) % 4 == 0,
		.psid_length = take(input),
		.psid = take(input),
		.br.s6_addr = {0x20, [15] = take(input)},
		.iid_format = take(input) % 2 ? IID_RFC7597 : IID_MAP_DRAFT_03,
	};

	rule.ipv4_prefix = prefix4_make((struct in_addr){take(input)}, take(input));
	return rule;
}

static struct candidate take_candidate(struct input *input)
{
	static const uint64_t times_usec[] = {0, 1, 1000000, 1900000000, 1900000001, UINT64_MAX};

	return (struct candidate){
		.prefix = take_prefix(input),
		.source = (enum prefix_source)(take(input) % 5),
		.deprecated = take(input) % 2,
		.appeared_usec = times_usec[take(input) % 6],
		.refreshed_usec = times_usec[take(input) % 6],
		.valid_until_usec = times_usec[take(input) % 6],
	};
}

static void check(const struct candidates *seen, const struct settings *settings,
		  const struct ruleset *rules, const struct choice *choice)
{
	bool listed = settings->wan.prefix_mode == PREFIX_STATIC;

	for (size_t i = 0; i < seen->count; i++)
		listed |= prefix6_equal(&seen->list[i].prefix, &choice->prefix) &&
			  seen->list[i].source == choice->source;
	assert(listed || choice->verdict == VERDICT_NO_PREFIX);
	if (choice->verdict != VERDICT_CHOSEN)
		return;
	assert(portset_check(&choice->params.ports) == 0);
	assert(prefix6_has(&choice->params.end_user, &choice->prefix.addr));
	assert(map_rule_check(&choice->params.rule, NULL) == 0);
	assert(rules->count > 0);
}

static void reverse(struct candidates *seen)
{
	for (size_t i = 0; i < seen->count / 2; i++) {
		struct candidate swap = seen->list[i];

		seen->list[i] = seen->list[seen->count - 1 - i];
		seen->list[seen->count - 1 - i] = swap;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	_cleanup_candidates_ struct candidates seen = {0};
	_cleanup_ruleset_ struct ruleset rules = {0};
	_cleanup_settings_ struct settings settings;
	_cleanup_text_ struct text out = TEXT_INIT;
	struct choice first, again;
	bool checked = take(&input) % 2;

	settings_defaults(&settings);
	settings.wan.prefix_mode = (enum prefix_mode)(take(&input) % 4);
	settings.wan.prefix = take_prefix(&input);
	settings.map.provider[0] = "\0abc"[take(&input) % 4];
	for (unsigned int i = take(&input) % 5; i > 0; i--) {
		struct map_rule rule = take_rule(&input);

		if (!checked || map_rule_check(&rule, NULL) == 0)
			ruleset_add(&rules, &rule);
	}
	while (input.size > 0 && seen.count < 12) {
		struct candidate one = take_candidate(&input);

		candidates_add(&seen, &one);
	}

	choose_prefix(&seen, &settings, &rules, NULL, &first);
	check(&seen, &settings, &rules, &first);
	choice_explain(&first, "enp2s0", &out);
	reverse(&seen);
	choose_prefix(&seen, &settings, &rules, NULL, &again);
	assert(choice_equal(&first, &again));
	choose_prefix(&seen, &settings, &rules, &first, &again);
	assert(choice_equal(&first, &again));
	return 0;
}
