/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which prefix is ours: scenes from the lines of the field, each in every order of its signs, and
 * random renumberings against a model that knows what the line really does.
 */
#include <stdio.h>

#include "tests/unit/map_values.h"

#include "lib/map/choose.h"

#define SECOND   ((uint64_t)1000000)
#define SIGN_MAX 8

/* Prefixes of the scenes. A, B, C, D have rules; X and Y have none. */
#define A                "2400:4050:a00:1100::"
#define B                "2400:4050:b00:2200::"
#define C                "240b:10:c00:3300::"
#define D                "2404:7a80:d00:4400::"
#define X                "2400:4052:f000:5500::"
#define Y                "2001:db8:1:6600::"
#define NGN              "2408:210:7700:8800::"
#define MF               "2409:10:9900:aa00::"
#define LEN(prefix, len) prefix "/" #len

static struct ruleset the_rules(void)
{
	static const struct {
		const char *provider, *ipv6_prefix, *ipv4_prefix;
		unsigned int ea_length, psid_offset;
	} known[] = {
		{"ocn", "2400:4050::/34", "153.240.0.0/16", 22, 6},
		{"v6plus", "240b:10::/32", "106.72.0.0/16", 24, 4},
		{"biglobe", "2404:7a80::/31", "133.200.0.0/15", 25, 4},
		{"nuro", "240d:f::/36", "219.104.128.0/20", 20, 4},
	};
	struct ruleset rules = {0};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		struct map_rule rule = rule_of(known[i].ipv6_prefix, known[i].ipv4_prefix,
					       known[i].ea_length, known[i].psid_offset);

		snprintf(rule.provider, sizeof(rule.provider), "%s", known[i].provider);
		rule.rank = RULE_RANK_SHIPPED;
		assert_int_equal(ruleset_add(&rules, &rule), 0);
	}
	return rules;
}

struct sign {
	const char *prefix;
	enum prefix_source source;
	unsigned int appeared, refreshed; /* seconds */
	bool deprecated;
};

#define RA(prefix, ...)                                     \
	{                                                   \
		LEN(prefix, 64), SOURCE_RA_PIO, __VA_ARGS__ \
	}
#define WAN(prefix, ...)                                      \
	{                                                     \
		LEN(prefix, 64), SOURCE_WAN_ADDR, __VA_ARGS__ \
	}
#define PD(prefix, ...)                                       \
	{                                                     \
		LEN(prefix, 56), SOURCE_PD_ROUTE, __VA_ARGS__ \
	}
#define PART(prefix, ...)                                     \
	{                                                     \
		LEN(prefix, 60), SOURCE_PD_ROUTE, __VA_ARGS__ \
	}
#define LAN(prefix, ...)                                      \
	{                                                     \
		LEN(prefix, 64), SOURCE_LAN_ADDR, __VA_ARGS__ \
	}

struct scene {
	const char *name;
	struct sign signs[SIGN_MAX];
	const char *present; /* a prefix chosen before, or NULL */
	enum prefix_mode mode;
	const char *written, *provider; /* wan.prefix, map.provider */
	enum verdict verdict;
	const char *prefix, *by; /* by: name of the source, NULL = whichever */
	bool gateway;
};

static const struct scene scenes[] = {
	/* One line, one prefix. */
	{.name = "nothing", .verdict = VERDICT_NO_PREFIX},
	{.name = "RA line: announcement before the address",
	 .signs = {RA(A, 5, 5)},
	 .prefix = LEN(A, 64),
	 .by = "RA"},
	{.name = "RA line: address only (after a start, or with networkd)",
	 .signs = {WAN(A, 5, 5)},
	 .prefix = LEN(A, 64),
	 .by = "WAN address"},
	{.name = "RA line: both",
	 .signs = {RA(A, 5, 5), WAN(A, 15, 15)},
	 .prefix = LEN(A, 64),
	 .by = "RA"},
	{.name = "PD line",
	 .signs = {PD(A), LAN(A, 5, 5)},
	 .prefix = LEN(A, 56),
	 .by = "delegated prefix"},
	{.name = "PD line: no address yet",
	 .signs = {PD(A)},
	 .prefix = LEN(A, 56),
	 .by = "delegated prefix"},
	{.name = "PD client that makes no unreachable route",
	 .signs = {LAN(A, 5, 5)},
	 .prefix = LEN(A, 64),
	 .by = "LAN address"},
	{.name = "PD with an address of it on the WAN",
	 .signs = {PD(A), {"2400:4050:a00:1101::/64", SOURCE_WAN_ADDR, 5, 5}},
	 .prefix = LEN(A, 56),
	 .by = "delegated prefix"},
	{.name = "ULA and link-local never count",
	 .signs = {{"fd00:1:2:3::/64", SOURCE_WAN_ADDR, 5, 5},
		   {"fe80::/64", SOURCE_WAN_ADDR, 5, 5}},
	 .verdict = VERDICT_NO_PREFIX},

	/* A home gateway in front. */
	{.name = "gateway: RA /64 and a /60",
	 .signs = {RA(A, 5, 5),
		   WAN(A, 15, 15),
		   {"2400:4050:a00:1110::/60", SOURCE_PD_ROUTE},
		   {"2400:4050:a00:1110::/64", SOURCE_LAN_ADDR, 6, 6}},
	 .prefix = LEN(A, 64),
	 .by = "RA",
	 .gateway = true},
	{.name = "gateway: the same with wan.prefix = ra",
	 .signs = {RA(A, 5, 5), {"2400:4050:a00:1110::/60", SOURCE_PD_ROUTE}},
	 .mode = PREFIX_RA,
	 .prefix = LEN(A, 64),
	 .by = "RA",
	 .gateway = true},
	{.name = "gateway: the /60 alone leads to the same end-user prefix",
	 .signs = {{"2400:4050:a00:1110::/60", SOURCE_PD_ROUTE}},
	 .prefix = "2400:4050:a00:1110::/60",
	 .by = "delegated prefix",
	 .gateway = true},
	{.name = "gateway: RA of another subnet than the first",
	 .signs = {{"2400:4050:a00:1101::/64", SOURCE_WAN_ADDR, 5, 5}},
	 .prefix = "2400:4050:a00:1101::/64",
	 .by = "WAN address",
	 .gateway = true},
	{.name = "gateway: an announced line beats another one's part",
	 .signs = {RA(B, 5, 5), PART(A, 9)},
	 .prefix = LEN(B, 64),
	 .by = "RA"},

	/* Renumbering on RA lines. */
	{.name = "RA renumbering: old lingers without a word",
	 .signs = {RA(A, 5, 90), WAN(A, 15, 90), RA(B, 100, 100)},
	 .present = LEN(A, 64),
	 .prefix = LEN(B, 64)},
	{.name = "RA renumbering: old deprecated",
	 .signs = {RA(A, 5, 100, true), WAN(A, 15, 100, true), RA(B, 100, 100)},
	 .present = LEN(A, 64),
	 .prefix = LEN(B, 64)},
	{.name = "RA renumbering: old withdrawn before the new is there",
	 .signs = {RA(A, 5, 100, true), WAN(A, 15, 100, true)},
	 .present = LEN(A, 64),
	 .prefix = LEN(A, 64)},
	{.name = "RA renumbering: the announcement is withdrawn, the address not yet",
	 .signs = {RA(A, 5, 100, true), WAN(A, 15, 90), RA(B, 50, 50)},
	 .present = LEN(A, 64),
	 .prefix = LEN(B, 64)},
	{.name = "RA renumbering: both alive for hours, the older refreshed last",
	 .signs = {WAN(A, 5, 9000), WAN(B, 100, 8999)},
	 .present = LEN(B, 64),
	 .prefix = LEN(B, 64)},
	{.name = "RA renumbering: three in a row, all alive",
	 .signs = {RA(A, 5, 5), RA(B, 6, 6), RA(C, 7, 7)},
	 .present = LEN(A, 64),
	 .prefix = LEN(C, 64)},
	{.name = "RA renumbering: after a start addresses alone tell the order",
	 .signs = {WAN(A, 15, 5000), WAN(B, 110, 4999)},
	 .prefix = LEN(B, 64)},
	{.name = "RA renumbering: after a start, the older is announced first",
	 .signs = {RA(A, 6000, 6000), WAN(A, 15, 6000), WAN(B, 110, 5900)},
	 .prefix = LEN(B, 64)},
	{.name = "RA taken back: the newer one is silent for less than half an hour",
	 .signs = {RA(A, 5, 1900), RA(B, 100, 100)},
	 .present = LEN(B, 64),
	 .prefix = LEN(B, 64)},
	{.name = "RA taken back: the newer one is silent for more",
	 .signs = {RA(A, 5, 1901), RA(B, 100, 100)},
	 .present = LEN(B, 64),
	 .prefix = LEN(A, 64)},
	{.name = "RA taken back: the newer one is deprecated",
	 .signs = {RA(A, 5, 101), RA(B, 100, 101, true)},
	 .present = LEN(B, 64),
	 .prefix = LEN(A, 64)},
	{.name = "RA taken back within a second: the old one came back from deprecation",
	 .signs = {RA(A, 101, 101), RA(B, 100, 100)},
	 .present = LEN(B, 64),
	 .prefix = LEN(A, 64)},
	{.name = "only deprecated ones: the present stays",
	 .signs = {WAN(A, 5, 5, true), WAN(B, 5, 5, true)},
	 .present = LEN(B, 64),
	 .prefix = LEN(B, 64)},
	{.name = "no times at all: the present stays",
	 .signs = {WAN(A), WAN(B)},
	 .present = LEN(B, 64),
	 .prefix = LEN(B, 64)},
	{.name = "no times and no present: the lowest address, never chance",
	 .signs = {WAN(B), WAN(A)},
	 .prefix = LEN(A, 64)},
	{.name = "a deprecated one is better than none",
	 .signs = {WAN(A, 5, 5, true)},
	 .prefix = LEN(A, 64)},

	/* Renumbering on PD lines: routes without times. */
	{.name = "PD renumbering: the old route stays, its addresses are gone",
	 .signs = {PD(A), PD(B), LAN(B, 100, 100)},
	 .present = LEN(A, 56),
	 .prefix = LEN(B, 56)},
	{.name = "PD renumbering: after a start, the same",
	 .signs = {PD(A), PD(B), LAN(B, 100, 100)},
	 .prefix = LEN(B, 56)},
	{.name = "PD renumbering: the new route is there, its addresses not yet",
	 .signs = {PD(A), LAN(A, 5, 5), PD(B)},
	 .present = LEN(A, 56),
	 .prefix = LEN(A, 56)},
	{.name = "PD renumbering: old addresses gone, new not yet",
	 .signs = {PD(A), PD(B)},
	 .present = LEN(A, 56),
	 .prefix = LEN(A, 56)},
	{.name = "PD renumbering: both have addresses, the newer wins",
	 .signs = {PD(A), LAN(A, 5, 120), PD(B), LAN(B, 100, 100)},
	 .present = LEN(A, 56),
	 .prefix = LEN(B, 56)},
	{.name = "PD renumbering: the old addresses are deprecated",
	 .signs = {PD(A), LAN(A, 200, 200, true), PD(B), LAN(B, 100, 100)},
	 .present = LEN(A, 56),
	 .prefix = LEN(B, 56)},
	{.name = "PD renumbering: taken back, the newer route stays",
	 .signs = {PD(A), LAN(A, 200, 200), PD(B)},
	 .present = LEN(B, 56),
	 .prefix = LEN(A, 56)},
	{.name = "PD renumbering: three routes, one with addresses",
	 .signs = {PD(A), PD(B), PD(C), LAN(B, 7, 7)},
	 .present = LEN(C, 56),
	 .prefix = LEN(B, 56)},
	{.name = "PD renumbering: routes seen coming",
	 .signs = {PD(A, 5), PD(B, 100)},
	 .present = LEN(A, 56),
	 .prefix = LEN(B, 56)},
	{.name = "PD renumbering: the old route is gone, its addresses linger",
	 .signs = {LAN(A, 5, 5), PD(B)},
	 .present = LEN(A, 56),
	 .prefix = LEN(B, 56)},
	{.name = "PD: LAN addresses of one prefix on several interfaces",
	 .signs = {PD(A), LAN(A, 5, 5), {"2400:4050:a00:11fe::/64", SOURCE_LAN_ADDR, 6, 6}},
	 .prefix = LEN(A, 56),
	 .by = "delegated prefix"},

	/* From one kind of line to the other. */
	{.name = "RA line becomes a PD line",
	 .signs = {RA(A, 5, 90), WAN(A, 15, 90), PD(B), LAN(B, 100, 100)},
	 .present = LEN(A, 64),
	 .prefix = LEN(B, 56),
	 .by = "delegated prefix"},
	{.name = "RA line becomes a PD line: seen coming, no LAN address",
	 .signs = {RA(A, 5, 90), WAN(A, 15, 90), PD(B, 100)},
	 .present = LEN(A, 64),
	 .prefix = LEN(B, 56),
	 .by = "delegated prefix"},
	{.name = "PD route seen coming after the last RA that still counts",
	 .signs = {PD(A, 100), RA(B, 50, 200, true), RA(C, 5, 90)},
	 .prefix = LEN(A, 56)},
	{.name = "no times at all: delegated before announced",
	 .signs = {WAN(A), PD(B)},
	 .present = LEN(A, 64),
	 .prefix = LEN(B, 56)},
	{.name = "PD line becomes an RA line: the route stays",
	 .signs = {PD(A), RA(B, 100, 100), WAN(B, 110, 110)},
	 .present = LEN(A, 56),
	 .prefix = LEN(B, 64)},
	{.name = "PD line becomes an RA line again: the announcement is older than the route",
	 .signs = {PD(A, 100), RA(B, 5, 200), WAN(B, 15, 200)},
	 .present = LEN(A, 56),
	 .prefix = LEN(B, 64)},
	{.name = "the same prefix announced and delegated is one line",
	 .signs = {RA(A, 5, 5), WAN(A, 15, 15), PD(A)},
	 .prefix = LEN(A, 56),
	 .by = "delegated prefix"},
	{.name = "NURO: a WAN /64 of its own beside the delegated prefix",
	 .signs = {WAN(Y, 5, 900), PD(D), LAN(D, 6, 6)},
	 .prefix = LEN(D, 56),
	 .by = "delegated prefix"},
	{.name = "NURO: the same, the addresses deprecated for a moment",
	 .signs = {WAN(Y, 50, 900), PD(D), LAN(D, 6, 6, true)},
	 .present = LEN(D, 56),
	 .prefix = LEN(D, 56),
	 .by = "delegated prefix"},

	/* No rule. */
	{.name = "no rule",
	 .signs = {WAN(X, 5, 5)},
	 .verdict = VERDICT_NO_RULE,
	 .prefix = LEN(X, 64)},
	{.name = "closed network",
	 .signs = {RA(NGN, 5, 5), WAN(NGN, 15, 15)},
	 .verdict = VERDICT_CLOSED_NETWORK,
	 .prefix = LEN(NGN, 64)},
	{.name = "closed network, west",
	 .signs = {{"2001:a202:1:200::/64", SOURCE_WAN_ADDR, 5, 5}},
	 .verdict = VERDICT_CLOSED_NETWORK,
	 .prefix = "2001:a202:1:200::/64"},
	{.name = "2408:8000::/20 is not NTT",
	 .signs = {{"2408:8207:1:200::/64", SOURCE_WAN_ADDR, 5, 5}},
	 .verdict = VERDICT_NO_RULE,
	 .prefix = "2408:8207:1:200::/64"},
	{.name = "OCN without MAP-E",
	 .signs = {WAN(MF, 5, 5)},
	 .verdict = VERDICT_OCN_WITHOUT_MAPE,
	 .prefix = LEN(MF, 64)},
	{.name = "closed network delegated",
	 .signs = {PD(NGN), LAN(NGN, 5, 5)},
	 .verdict = VERDICT_CLOSED_NETWORK,
	 .prefix = LEN(NGN, 56)},
	{.name = "closed network beside a prefix with a rule",
	 .signs = {WAN(NGN, 100, 100), WAN(A, 5, 5)},
	 .prefix = LEN(A, 64)},
	{.name = "closed network beside one without: the latter is told",
	 .signs = {WAN(NGN, 100, 100), WAN(X, 5, 5)},
	 .verdict = VERDICT_NO_RULE,
	 .prefix = LEN(X, 64)},
	{.name = "closed network beside 2409::",
	 .signs = {WAN(NGN, 100, 100), WAN(MF, 5, 5)},
	 .verdict = VERDICT_OCN_WITHOUT_MAPE,
	 .prefix = LEN(MF, 64)},
	{.name = "IPoE ended: back to the closed network",
	 .signs = {WAN(A, 5, 100, true), WAN(NGN, 100, 100)},
	 .present = LEN(A, 64),
	 .verdict = VERDICT_CLOSED_NETWORK,
	 .prefix = LEN(NGN, 64)},
	{.name = "renumbered into the unknown: old deprecated",
	 .signs = {WAN(A, 5, 100, true), WAN(X, 100, 100)},
	 .present = LEN(A, 64),
	 .verdict = VERDICT_NO_RULE,
	 .prefix = LEN(X, 64)},
	{.name = "renumbered into the unknown: old lingers, too early to tell",
	 .signs = {WAN(A, 5, 90), WAN(X, 100, 1890)},
	 .present = LEN(A, 64),
	 .prefix = LEN(A, 64)},
	{.name = "renumbered into the unknown: old silent",
	 .signs = {WAN(A, 5, 90), WAN(X, 100, 1891)},
	 .present = LEN(A, 64),
	 .verdict = VERDICT_NO_RULE,
	 .prefix = LEN(X, 64)},
	{.name = "renumbered into the unknown: PD, the old route stays",
	 .signs = {PD(A), PD(X), LAN(X, 100, 100)},
	 .present = LEN(A, 56),
	 .verdict = VERDICT_NO_RULE,
	 .prefix = LEN(X, 56)},
	{.name = "an older prefix without a rule does not end a deprecated one",
	 .signs = {WAN(Y, 5, 200), WAN(A, 100, 100, true)},
	 .present = LEN(A, 64),
	 .prefix = LEN(A, 64)},
	{.name = "a delegated prefix that is too short for its rule",
	 .signs = {{"2400:4050:a00::/48", SOURCE_PD_ROUTE}},
	 .verdict = VERDICT_NO_RULE,
	 .prefix = "2400:4050:a00::/48"},

	/* wan.prefix. */
	{.name = "ra: delegated prefixes do not count",
	 .signs = {WAN(A, 5, 5), PD(B), LAN(B, 9, 9)},
	 .mode = PREFIX_RA,
	 .prefix = LEN(A, 64)},
	{.name = "ra: nothing announced",
	 .signs = {PD(B), LAN(B, 9, 9)},
	 .mode = PREFIX_RA,
	 .verdict = VERDICT_NO_PREFIX},
	{.name = "pd: announced prefixes do not count",
	 .signs = {RA(A, 5, 5), WAN(A, 5, 5), PD(B)},
	 .mode = PREFIX_PD,
	 .prefix = LEN(B, 56)},
	{.name = "pd: nothing delegated",
	 .signs = {RA(A, 5, 5), WAN(A, 5, 5)},
	 .mode = PREFIX_PD,
	 .verdict = VERDICT_NO_PREFIX},
	{.name = "pd: an address on the WAN is proof of life",
	 .signs = {PD(A), WAN(A, 5, 5), PD(B)},
	 .mode = PREFIX_PD,
	 .present = LEN(B, 56),
	 .prefix = LEN(A, 56)},
	{.name = "static: only what is written",
	 .signs = {WAN(A, 5, 5), PD(B)},
	 .mode = PREFIX_STATIC,
	 .written = LEN(C, 56),
	 .prefix = LEN(C, 56),
	 .by = "configuration"},
	{.name = "static: a /64 will do",
	 .mode = PREFIX_STATIC,
	 .written = LEN(C, 64),
	 .prefix = LEN(C, 64),
	 .by = "configuration"},
	{.name = "static: no rule",
	 .signs = {WAN(A, 5, 5)},
	 .mode = PREFIX_STATIC,
	 .written = LEN(X, 56),
	 .verdict = VERDICT_NO_RULE,
	 .prefix = LEN(X, 56)},
	{.name = "static: closed network",
	 .mode = PREFIX_STATIC,
	 .written = LEN(NGN, 56),
	 .verdict = VERDICT_CLOSED_NETWORK,
	 .prefix = LEN(NGN, 56)},

	/* map.provider. */
	{.name = "provider: the older prefix is the one wanted",
	 .signs = {WAN(A, 5, 5), WAN(C, 100, 100)},
	 .provider = "ocn",
	 .prefix = LEN(A, 64)},
	{.name = "provider: the prefix is of another one",
	 .signs = {WAN(C, 100, 100)},
	 .provider = "ocn",
	 .verdict = VERDICT_NO_RULE,
	 .prefix = LEN(C, 64)},
};

static void add_sign(struct candidates *seen, const struct sign *sign)
{
	struct candidate one = {
		.prefix = p6(sign->prefix),
		.source = sign->source,
		.deprecated = sign->deprecated,
		.appeared_usec = sign->appeared * SECOND,
		.refreshed_usec = sign->refreshed * SECOND,
		.valid_until_usec = UINT64_MAX,
	};

	assert_int_equal(candidates_add(seen, &one), 0);
}

static void shuffle(struct candidates *seen, uint64_t *seed)
{
	for (size_t i = seen->count; i > 1; i--) {
		size_t j = chance_below(seed, (unsigned int)i);
		struct candidate swap = seen->list[i - 1];

		seen->list[i - 1] = seen->list[j];
		seen->list[j] = swap;
	}
}

/* What stands when this prefix alone was seen. */
static struct choice chosen_before(const char *prefix, const struct ruleset *rules)
{
	_cleanup_candidates_ struct candidates seen = {0};
	_cleanup_settings_ struct settings settings;
	struct sign sign = {prefix, p6(prefix).len == 64 ? SOURCE_WAN_ADDR : SOURCE_PD_ROUTE};
	struct choice choice;

	settings_defaults(&settings);
	add_sign(&seen, &sign);
	choose_prefix(&seen, &settings, rules, NULL, &choice);
	assert_int_equal(choice.verdict, VERDICT_CHOSEN);
	return choice;
}

static void check_scene(const struct scene *scene, const struct choice *choice,
			const struct ruleset *rules)
{
	char prefix[PREFIX6_TEXT_MAX];
	struct map_params params;

	if (choice->verdict != scene->verdict)
		fail_msg("%s: verdict %d instead of %d", scene->name, choice->verdict,
			 scene->verdict);
	if (scene->verdict == VERDICT_NO_PREFIX)
		return;
	prefix6_format(&choice->prefix, prefix);
	if (strcmp(prefix, scene->prefix) != 0)
		fail_msg("%s: %s instead of %s", scene->name, prefix, scene->prefix);
	if (scene->by && strcmp(prefix_source_name(choice->source), scene->by) != 0)
		fail_msg("%s: by %s", scene->name, prefix_source_name(choice->source));
	if (scene->verdict != VERDICT_CHOSEN)
		return;
	if (choice->gateway_in_front != scene->gateway)
		fail_msg("%s: gateway in front %d", scene->name, choice->gateway_in_front);
	assert_int_equal(map_derive(ruleset_match(rules, "", &choice->prefix), &choice->prefix,
				    &params, NULL),
			 0);
	assert_true(map_params_equal(&params, &choice->params));
}

static void play_scene(const struct scene *scene, const struct ruleset *rules)
{
	_cleanup_candidates_ struct candidates seen = {0};
	_cleanup_settings_ struct settings settings;
	struct choice present, choice, again;
	uint64_t seed = 1;

	settings_defaults(&settings);
	settings.wan.prefix_mode = scene->mode;
	if (scene->written)
		settings.wan.prefix = p6(scene->written);
	if (scene->provider)
		snprintf(settings.map.provider, sizeof(settings.map.provider), "%s",
			 scene->provider);
	if (scene->present)
		present = chosen_before(scene->present, rules);
	for (size_t i = 0; i < SIGN_MAX && scene->signs[i].prefix; i++)
		add_sign(&seen, &scene->signs[i]);

	for (int turn = 0; turn < 50; turn++) {
		choose_prefix(&seen, &settings, rules, scene->present ? &present : NULL, &choice);
		check_scene(scene, &choice, rules);
		/* Asked again with its own answer, it stays with it. */
		again = choice;
		choose_prefix(&seen, &settings, rules, &again, &again);
		if (!choice_equal(&choice, &again))
			fail_msg("%s: asked again it answers otherwise", scene->name);
		shuffle(&seen, &seed);
	}
}

static void test_scenes(void **state)
{
	_cleanup_ruleset_ struct ruleset rules = the_rules();

	for (size_t i = 0; i < ARRAY_SIZE(scenes); i++)
		play_scene(&scenes[i], &rules);
}

/* The address that follows its announcement after DAD, and the announcement that comes after a
 * start, are no change. */
static void test_second_sign_of_the_same_prefix_changes_nothing(void **state)
{
	static const struct sign announced = RA(A, 5, 5), address = WAN(A, 15, 15);
	_cleanup_ruleset_ struct ruleset rules = the_rules();
	_cleanup_settings_ struct settings settings;

	settings_defaults(&settings);
	for (int turn = 0; turn < 2; turn++) {
		_cleanup_candidates_ struct candidates seen = {0};
		struct choice first, second;

		add_sign(&seen, turn ? &announced : &address);
		choose_prefix(&seen, &settings, &rules, NULL, &first);
		add_sign(&seen, turn ? &address : &announced);
		choose_prefix(&seen, &settings, &rules, &first, &second);
		assert_int_equal(second.verdict, VERDICT_CHOSEN);
		assert_true(choice_equal(&first, &second));
	}
}

static void test_longest_lifetime_breaks_a_tie(void **state)
{
	static const struct sign a = WAN(A), b = WAN(B);
	_cleanup_ruleset_ struct ruleset rules = the_rules();
	_cleanup_candidates_ struct candidates seen = {0};
	_cleanup_settings_ struct settings settings;
	struct choice choice;

	settings_defaults(&settings);
	add_sign(&seen, &a);
	add_sign(&seen, &b);
	seen.list[0].valid_until_usec = 7200 * SECOND;
	choose_prefix(&seen, &settings, &rules, NULL, &choice);
	assert_p6(&choice.prefix, LEN(B, 64));
}

/* Two routers on one link, each refreshing its own prefix, for a day. */
static void test_two_routers_never_take_turns(void **state)
{
	static const struct sign a = RA(A, 1000, 1000), b = RA(B, 1001, 1001);
	_cleanup_ruleset_ struct ruleset rules = the_rules();
	_cleanup_candidates_ struct candidates seen = {0};
	_cleanup_settings_ struct settings settings;
	struct choice first, choice;
	uint64_t seed = 1, now_usec[2] = {1000 * SECOND, 1001 * SECOND};

	settings_defaults(&settings);
	add_sign(&seen, &a);
	add_sign(&seen, &b);
	choose_prefix(&seen, &settings, &rules, NULL, &first);
	choice = first;
	for (int i = 0; i < 2000; i++) {
		int who = now_usec[0] < now_usec[1] ? 0 : 1;

		seen.list[who].refreshed_usec = now_usec[who];
		choose_prefix(&seen, &settings, &rules, &choice, &choice);
		assert_true(choice_equal(&first, &choice));
		now_usec[who] += (200 + chance_below(&seed, 1600)) * SECOND;
	}
}

static void test_br_of_the_file_wins(void **state)
{
	static const struct sign sign = WAN(A, 5, 5);
	_cleanup_ruleset_ struct ruleset rules = the_rules();
	_cleanup_candidates_ struct candidates seen = {0};
	_cleanup_settings_ struct settings settings;
	struct choice before, choice;

	settings_defaults(&settings);
	add_sign(&seen, &sign);
	choose_prefix(&seen, &settings, &rules, NULL, &before);
	settings.map.br_given = true;
	settings.map.br = ip6("2001:db8:b::1");
	choose_prefix(&seen, &settings, &rules, &before, &choice);
	assert_ip6(&choice.params.br, "2001:db8:b::1");
	assert_false(choice_equal(&before, &choice));
}

static void test_own_rules_count_with_any_provider(void **state)
{
	static const struct sign sign = WAN(A, 5, 5);
	_cleanup_ruleset_ struct ruleset rules = the_rules();
	_cleanup_candidates_ struct candidates seen = {0};
	_cleanup_settings_ struct settings settings;
	struct map_rule own = rule_of("2400:4050::/32", "192.0.2.0/24", 24, 0);
	struct choice choice;

	settings_defaults(&settings);
	snprintf(settings.map.provider, sizeof(settings.map.provider), "v6plus");
	snprintf(own.provider, sizeof(own.provider), "custom");
	assert_int_equal(ruleset_add(&rules, &own), 0);
	add_sign(&seen, &sign);
	choose_prefix(&seen, &settings, &rules, NULL, &choice);
	assert_int_equal(choice.verdict, VERDICT_CHOSEN);
	assert_string_equal(choice.params.rule.provider, "custom");
	settings.map.provider[0] = '\0'; /* and before the longer match of a table */
	choose_prefix(&seen, &settings, &rules, NULL, &choice);
	assert_string_equal(choice.params.rule.provider, "custom");
}

static void test_rule_that_gives_no_address(void **state)
{
	static const struct sign sign = {"2001:db8:7f00:1::/64", SOURCE_WAN_ADDR, 5, 5};
	static const struct sign later = {"2001:db8:7f00:2::/64", SOURCE_WAN_ADDR, 5, 5};
	_cleanup_ruleset_ struct ruleset rules = {0};
	_cleanup_candidates_ struct candidates seen = {0}, seen_later = {0};
	_cleanup_settings_ struct settings settings;
	_cleanup_text_ struct text out = TEXT_INIT;
	struct map_rule own = rule_of("2001:db8::/32", "0.0.0.0/0", 32, 6);
	struct choice choice, other;

	settings_defaults(&settings);
	snprintf(settings.map.provider, sizeof(settings.map.provider), "custom");
	snprintf(own.provider, sizeof(own.provider), "custom");
	assert_int_equal(ruleset_add(&rules, &own), 0);
	add_sign(&seen, &sign);
	choose_prefix(&seen, &settings, &rules, NULL, &choice);
	assert_int_equal(choice.verdict, VERDICT_NO_RULE);
	choice_explain(&choice, "enp2s0", &out);
	assert_string_equal(text_get(&out),
			    "the rule for this prefix 2001:db8:7f00:1::/64 cannot be used: its EA "
			    "bits make 127.0.0.1/32, which holds no address of a host");
	add_sign(&seen_later, &later);
	choose_prefix(&seen_later, &settings, &rules, &choice, &other);
	assert_false(choice_equal(&choice, &other));
}

/* --- What people read --- */

static void explain(const struct sign *sign, const char *provider, const char *wan,
		    const char *want)
{
	_cleanup_ruleset_ struct ruleset rules = the_rules();
	_cleanup_candidates_ struct candidates seen = {0};
	_cleanup_settings_ struct settings settings;
	_cleanup_text_ struct text out = TEXT_INIT;
	struct choice choice;

	settings_defaults(&settings);
	snprintf(settings.map.provider, sizeof(settings.map.provider), "%s", provider);
	if (sign)
		add_sign(&seen, sign);
	choose_prefix(&seen, &settings, &rules, NULL, &choice);
	choice_explain(&choice, wan, &out);
	if (!strstr(text_get(&out), want))
		fail_msg("\"%s\" does not say \"%s\"", text_get(&out), want);
	if (!want[0])
		assert_string_equal(text_get(&out), "");
	else
		assert_true(out.data[out.length - 1] != '.' && !strchr(out.data, '\n'));
}

static void test_explanations(void **state)
{
	static const struct sign none = {"2400:4052:f000::/64", SOURCE_WAN_ADDR};
	static const struct sign closed = WAN(NGN), mf = WAN(MF), plain = WAN(A), other = WAN(C);
	static const struct sign brief = {"2400:4050:a00::/48", SOURCE_PD_ROUTE}, part = PART(A);

	explain(NULL, "", "enp2s0", "no IPv6 prefix on enp2s0 yet");
	explain(NULL, "", "", "no IPv6 prefix yet");
	explain(&none, "", "enp2s0",
		"no rule for this prefix 2400:4052:f000::/64: add one to map.rules in "
		"/etc/maped.conf or a file in /etc/maped/rules");
	explain(&closed, "", "enp2s0", LEN(NGN, 64) " on enp2s0 belongs to NTT's closed network");
	explain(&closed, "", "enp2s0", "ask the ISP to activate it");
	explain(&mf, "", "enp2s0",
		LEN(MF, 64) " on enp2s0 is the prefix of an OCN line without MAP-E");
	explain(&brief, "", "enp2s0", "too short for its rule: write the /56 of this line");
	explain(&other, "ocn", "enp2s0", "belongs to v6plus, which map.provider does not admit");
	explain(&part, "", "enp2s0", "a home gateway is in front on enp2s0");
	explain(&plain, "", "enp2s0", "");
}

static void test_equal(void **state)
{
	_cleanup_ruleset_ struct ruleset rules = the_rules();
	struct choice a = chosen_before(LEN(A, 64), &rules), b = a;
	struct choice none = {.verdict = VERDICT_NO_PREFIX}, none_too = none;

	assert_true(choice_equal(&a, &b));
	b.gateway_in_front = true;
	assert_false(choice_equal(&a, &b));
	b = a;
	b.source = SOURCE_RA_PIO;
	assert_false(choice_equal(&a, &b));
	b = a;
	b.params.br.s6_addr[15]++;
	assert_false(choice_equal(&a, &b));
	none_too.prefix = a.prefix; /* without meaning */
	assert_true(choice_equal(&none, &none_too));
	assert_false(choice_equal(&none, &a));
}

static void test_source_names(void **state)
{
	for (enum prefix_source i = SOURCE_RA_PIO; i <= SOURCE_STATIC; i++)
		for (enum prefix_source j = SOURCE_RA_PIO; j < i; j++)
			assert_string_not_equal(prefix_source_name(i), prefix_source_name(j));
}

static void test_candidates_grow(void **state)
{
	_cleanup_candidates_ struct candidates seen = {0};

	for (unsigned int i = 0; i < 1000; i++) {
		struct candidate one = {.appeared_usec = i};

		assert_int_equal(candidates_add(&seen, &one), 0);
	}
	for (unsigned int i = 0; i < 1000; i++)
		assert_int_equal(seen.list[i].appeared_usec, i);
}

/* --- Random lines against a model --- */

#define WORLD_PREFIXES 5

static const char *const world_prefixes[WORLD_PREFIXES] = {
	"2400:4050:a00:1100::/56", "2400:4050:b00:2200::/56", "240b:10:c00:3300::/56",
	"2404:7a80:d00:4400::/56", "240d:f:e00:5500::/56",
};

/* What the kernel shows of one prefix. */
struct shown {
	bool pio, wan, route, lan;
	struct candidate of_pio, of_wan, of_route, of_lan;
};

struct world {
	unsigned int number, clear;
	uint64_t seed, now_usec;
	struct shown shown[WORLD_PREFIXES];
	unsigned int line; /* the prefix that the line really has */
	bool delegates;    /* and how it gives it */
	bool routes_are_stamped;
	struct choice choice;
};

static void show(struct world *w, bool *there, struct candidate *sign, enum prefix_source source,
		 unsigned int which)
{
	struct prefix6 prefix = p6(world_prefixes[which]);

	if (!*there || sign->deprecated)
		sign->appeared_usec = w->now_usec;
	*there = true;
	sign->source = source;
	sign->prefix = prefix6_make(&prefix.addr, source == SOURCE_PD_ROUTE ? 56 : 64);
	sign->deprecated = false;
	sign->refreshed_usec = w->now_usec;
	sign->valid_until_usec = w->now_usec + 7200 * SECOND;
	if (source == SOURCE_PD_ROUTE && !w->routes_are_stamped)
		sign->appeared_usec = sign->refreshed_usec = 0;
}

static struct candidates world_seen(struct world *w)
{
	struct candidates seen = {0};

	for (unsigned int i = 0; i < WORLD_PREFIXES; i++) {
		const struct shown *s = &w->shown[i];

		if (s->pio)
			assert_int_equal(candidates_add(&seen, &s->of_pio), 0);
		if (s->wan)
			assert_int_equal(candidates_add(&seen, &s->of_wan), 0);
		if (s->route)
			assert_int_equal(candidates_add(&seen, &s->of_route), 0);
		if (s->lan)
			assert_int_equal(candidates_add(&seen, &s->of_lan), 0);
	}
	shuffle(&seen, &w->seed);
	return seen;
}

static bool sign_is_alive_line(const struct candidates *seen, const struct prefix6 *end_user)
{
	for (size_t i = 0; i < seen->count; i++)
		if (!seen->list[i].deprecated && prefix6_covers(end_user, &seen->list[i].prefix))
			return true;
	return false;
}

/* What must hold at any moment, whatever the line does. */
static void look(struct world *w, const struct ruleset *rules, const struct settings *settings)
{
	_cleanup_candidates_ struct candidates seen = world_seen(w);
	struct choice choice, again, after_start;
	bool any_alive = false, listed = false;

	choose_prefix(&seen, settings, rules, &w->choice, &choice);
	for (size_t i = 0; i < seen.count; i++)
		any_alive |= !seen.list[i].deprecated && seen.list[i].source != SOURCE_LAN_ADDR &&
			     seen.list[i].source != SOURCE_PD_ROUTE;
	if (seen.count == 0) {
		assert_int_equal(choice.verdict, VERDICT_NO_PREFIX);
	} else {
		assert_int_equal(choice.verdict, VERDICT_CHOSEN);
		for (size_t i = 0; i < seen.count; i++)
			listed |= prefix6_equal(&seen.list[i].prefix, &choice.prefix) &&
				  seen.list[i].source == choice.source;
		assert_true(listed);
		if (any_alive)
			assert_true(sign_is_alive_line(&seen, &choice.params.end_user));
	}
	/* The order of the signs is nothing. */
	shuffle(&seen, &w->seed);
	choose_prefix(&seen, settings, rules, &w->choice, &again);
	assert_true(choice_equal(&choice, &again));
	/* Its own answer is no reason for another one. */
	choose_prefix(&seen, settings, rules, &choice, &again);
	assert_true(choice_equal(&choice, &again));
	choose_prefix(&seen, settings, rules, NULL, &after_start);
	assert_int_equal(after_start.verdict, choice.verdict);
	w->choice = choice;
}

/* The line refreshes what it gives. */
static void refresh(struct world *w)
{
	struct shown *s = &w->shown[w->line];

	if (w->delegates) {
		show(w, &s->route, &s->of_route, SOURCE_PD_ROUTE, w->line);
		show(w, &s->lan, &s->of_lan, SOURCE_LAN_ADDR, w->line);
	} else {
		show(w, &s->pio, &s->of_pio, SOURCE_RA_PIO, w->line);
		if (chance_below(&w->seed, 4))
			show(w, &s->wan, &s->of_wan, SOURCE_WAN_ADDR, w->line);
	}
}

/* How the old prefix ends: without a word, deprecated, or taken away. */
static void end_prefix(struct world *w, unsigned int which)
{
	struct shown *s = &w->shown[which];

	switch (chance_below(&w->seed, 3)) {
	case 0: /* a client takes its LAN addresses away, or deprecates them; the RA is just silent
		 */
		s->lan = false;
		break;
	case 1:
		s->of_pio.deprecated = s->of_wan.deprecated = true;
		s->of_lan.deprecated = true;
		if (chance_below(&w->seed, 2))
			s->route = false;
		break;
	case 2:
		s->pio = s->wan = s->lan = false;
		if (chance_below(&w->seed, 2))
			s->route = false;
		break;
	}
}

static void pass(struct world *w, unsigned int seconds)
{
	w->now_usec += seconds * SECOND + chance_below(&w->seed, 1000) * 1000;
}

static bool is_right(const struct world *w)
{
	struct prefix6 line = p6(world_prefixes[w->line]);

	return w->choice.verdict == VERDICT_CHOSEN &&
	       prefix6_equal(&line, &w->choice.params.end_user);
}

static void must_be_right(const struct world *w, const char *when)
{
	char have[PREFIX6_TEXT_MAX];

	if (!is_right(w))
		fail_msg("schedule %u, %s: %s instead of %s", w->number, when,
			 prefix6_format(&w->choice.params.end_user, have), world_prefixes[w->line]);
}

/* Only what was still alive from an earlier time needs time to be believed or forgotten: the new
 * prefix itself, or another one that the line had in both ways. */
static bool is_clear(const struct world *w)
{
	for (unsigned int i = 0; i < WORLD_PREFIXES; i++) {
		const struct shown *s = &w->shown[i];
		bool announced =
			(s->pio && !s->of_pio.deprecated) || (s->wan && !s->of_wan.deprecated);

		if (i == w->line && (announced || (s->lan && !s->of_lan.deprecated)))
			return false;
		if (i != w->line && announced && s->route)
			return false;
	}
	return true;
}

static void renumber(struct world *w, const struct ruleset *rules, const struct settings *settings)
{
	unsigned int old = w->line;
	bool old_first = chance_below(&w->seed, 2), clear;

	w->line = chance_below(&w->seed, WORLD_PREFIXES);
	w->delegates = chance_below(&w->seed, 2);
	clear = is_clear(w);
	if (old_first && old != w->line) {
		end_prefix(w, old);
		look(w, rules, settings);
		pass(w, chance_below(&w->seed, 5));
	}
	refresh(w);
	look(w, rules, settings);
	if (!old_first && old != w->line) {
		pass(w, chance_below(&w->seed, 5));
		end_prefix(w, old);
		look(w, rules, settings);
	}
	w->clear += clear;
	if (clear)
		must_be_right(w, "at once");
}

/* After the last change: RAs every few minutes, for more than the silence that proves an older
 * prefix to be back. What is right once is not left again, and not touched by renewals. */
static void settle(struct world *w, const struct ruleset *rules, const struct settings *settings)
{
	for (int i = 0; i < 12; i++) {
		struct choice before = w->choice;
		bool was_right = is_right(w);

		pass(w, 200);
		refresh(w);
		look(w, rules, settings);
		if (was_right)
			assert_true(choice_equal(&before, &w->choice));
	}
	must_be_right(w, "at the end");
}

static void test_random_schedules(void **state)
{
	_cleanup_ruleset_ struct ruleset rules = the_rules();
	_cleanup_settings_ struct settings settings;
	unsigned int clear = 0;

	settings_defaults(&settings);
	for (unsigned int turn = 0; turn < 10000; turn++) {
		struct world w = {
			.number = turn,
			.seed = turn,
			.now_usec = 10000 * SECOND,
			.choice.verdict = VERDICT_NO_PREFIX,
		};

		w.routes_are_stamped = chance_below(&w.seed, 2);
		w.line = chance_below(&w.seed, WORLD_PREFIXES);
		w.delegates = chance_below(&w.seed, 2);
		refresh(&w);
		look(&w, &rules, &settings);
		for (unsigned int i = chance_below(&w.seed, 5) + 1; i > 0; i--) {
			pass(&w, chance_below(&w.seed, 3) ? chance_below(&w.seed, 3)
							  : chance_below(&w.seed, 4000));
			renumber(&w, &rules, &settings);
		}
		settle(&w, &rules, &settings);
		clear += w.clear;
	}
	assert_true(clear > 5000); /* so many were to be right at once */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scenes),
		cmocka_unit_test(test_second_sign_of_the_same_prefix_changes_nothing),
		cmocka_unit_test(test_longest_lifetime_breaks_a_tie),
		cmocka_unit_test(test_two_routers_never_take_turns),
		cmocka_unit_test(test_br_of_the_file_wins),
		cmocka_unit_test(test_own_rules_count_with_any_provider),
		cmocka_unit_test(test_rule_that_gives_no_address),
		cmocka_unit_test(test_explanations),
		cmocka_unit_test(test_equal),
		cmocka_unit_test(test_source_names),
		cmocka_unit_test(test_candidates_grow),
		cmocka_unit_test(test_random_schedules),
	};

	return cmocka_run_group_tests_name("choose", tests, NULL, NULL);
}
