/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/map/rule.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/config/section.h"
#include "lib/config/value.h"

struct draft {
	struct map_rule rule;
	bool ipv6_good, ipv4_good, br_good;
};

/* An own rule and where it stands, to find two for one prefix. */
struct placed_prefix {
	struct prefix6 prefix;
	const config_setting_t *at;
};

static void read_ipv6(struct reading *reading, const config_setting_t *at, const struct key *key,
		      void *field)
{
	struct draft *draft = field;
	struct fault fault;
	const char *text;

	if (setting_text(reading, at, &text) < 0)
		return;
	if (prefix6_value(text, &draft->rule.ipv6_prefix, &fault) < 0)
		setting_complain(reading, at, "%s", fault.text);
	else if (!in6_is_global(&draft->rule.ipv6_prefix.addr))
		setting_complain(reading, at, "\"%.64s\" is not a global unicast prefix (2000::/3)",
				 text);
	else
		draft->ipv6_good = true;
}

static void read_ipv4(struct reading *reading, const config_setting_t *at, const struct key *key,
		      void *field)
{
	struct draft *draft = field;
	struct fault fault;
	const char *text;

	if (setting_text(reading, at, &text) < 0)
		return;
	if (prefix4_value(text, &draft->rule.ipv4_prefix, &fault) < 0)
		setting_complain(reading, at, "%s", fault.text);
	else if (!prefix4_has_hosts(&draft->rule.ipv4_prefix))
		setting_complain(reading, at, "\"%.64s\" holds no addresses of hosts", text);
	else
		draft->ipv4_good = true;
}

static void read_br(struct reading *reading, const config_setting_t *at, const struct key *key,
		    void *field)
{
	struct draft *draft = field;
	struct fault fault;
	const char *text;

	draft->br_good = false;
	if (setting_text(reading, at, &text) < 0)
		return;
	if (in6_value(text, &draft->rule.br, &fault) < 0)
		setting_complain(reading, at, "%s", fault.text);
	else
		draft->br_good = true;
}

static void read_iid_format(struct reading *reading, const config_setting_t *at,
			    const struct key *key, void *field)
{
	static const enum iid_format all[] = {IID_MAP_DRAFT_03, IID_RFC7597};
	const char *names[ARRAY_SIZE(all)];
	int index;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		names[i] = iid_format_name(all[i]);
	index = setting_choice(reading, at, names, ARRAY_SIZE(all));
	if (index >= 0)
		((struct draft *)field)->rule.iid_format = all[index];
}

#define FIELD(name) offsetof(struct draft, rule.name)

static const struct key keys[] = {
	{"ipv6_prefix", read_ipv6},
	{"ipv4_prefix", read_ipv4},
	{"ea_length", key_read_uint8, FIELD(ea_length), 0, 48},     /* RFC 7597 section 5.2 */
	{"psid_offset", key_read_uint8, FIELD(psid_offset), 0, 15}, /* RFC 7598 section 4.5 */
	{"psid_length", key_read_uint8, FIELD(psid_length), 0, 16},
	{"psid", key_read_uint16, FIELD(psid), 0, UINT16_MAX},
	{"br", read_br},
	{"interface_id", read_iid_format},
};

static bool has_all(struct reading *reading, const config_setting_t *at, const struct draft *draft,
		    const struct rule_defaults *defaults)
{
	static const char *const required[] = {"ipv6_prefix", "ipv4_prefix", "ea_length"};
	bool psid = setting_member(at, "psid"), psid_length = setting_member(at, "psid_length");
	bool all = draft->ipv6_good && draft->ipv4_good && draft->br_good && psid == psid_length;

	for (size_t i = 0; i < ARRAY_SIZE(required); i++) {
		if (setting_member(at, required[i]))
			continue;
		setting_complain(reading, at, "%s is missing", required[i]);
		all = false;
	}
	if (psid && !psid_length)
		setting_complain(reading, setting_member(at, "psid"),
				 "psid_length must stand beside it");
	if (psid_length && !psid)
		setting_complain(reading, setting_member(at, "psid_length"),
				 "psid must stand beside it");
	if (!draft->br_good && !setting_member(at, "br") && !defaults->br_refused)
		setting_complain(reading, at, "br is missing");
	return all;
}

static bool rule_read(struct reading *reading, const config_setting_t *at,
		      const struct rule_defaults *defaults, struct map_rule *ret)
{
	struct draft draft = {
		.rule.psid_offset = defaults->psid_offset,
		.rule.iid_format = defaults->iid_format,
		.rule.br = defaults->br,
		.br_good = defaults->br_given,
	};
	struct fault fault;

	group_read(reading, at, keys, ARRAY_SIZE(keys), &draft);
	if (!config_setting_is_group(at) || !has_all(reading, at, &draft, defaults))
		return false;
	draft.rule.psid_given = setting_member(at, "psid");
	strncpy(draft.rule.provider, defaults->provider, sizeof(draft.rule.provider) - 1);
	if (map_rule_check(&draft.rule, &fault) < 0) {
		setting_complain(reading, at, "%s", fault.text);
		return false;
	}
	*ret = draft.rule;
	return true;
}

static int placed_prefix_compare(const void *left, const void *right)
{
	const struct placed_prefix *a = left, *b = right;
	int r = memcmp(&a->prefix.addr, &b->prefix.addr, sizeof(a->prefix.addr));

	if (r != 0)
		return r;
	if (a->prefix.len != b->prefix.len)
		return a->prefix.len < b->prefix.len ? -1 : 1;
	if (setting_line(a->at) != setting_line(b->at))
		return setting_line(a->at) < setting_line(b->at) ? -1 : 1;
	return config_setting_index(a->at) - config_setting_index(b->at);
}

/* One rule may lie inside another (the longest match wins), two for one prefix are a mistake. */
static void check_twice(struct reading *reading, struct placed_prefix *all, size_t count)
{
	qsort(all, count, sizeof(*all), placed_prefix_compare);
	for (size_t i = 1; i < count; i++) {
		char place[OTHER_PLACE_MAX];

		if (prefix6_equal(&all[i - 1].prefix, &all[i].prefix))
			setting_complain(
				reading, all[i].at, "has the same ipv6_prefix as %s",
				setting_other_place(reading, all[i].at, all[i - 1].at, place));
	}
}

void rules_read(struct reading *reading, const config_setting_t *list,
		const struct rule_defaults *defaults, struct ruleset *ret)
{
	_cleanup_free_ struct placed_prefix *placed = NULL;
	size_t placed_count = 0;
	int count = setting_list(reading, list,
				 "( { ipv6_prefix = \"...\"; ipv4_prefix = \"...\"; "
				 "ea_length = ...; } )");

	if (count <= 0)
		return;
	placed = reading_alloc(reading, (size_t)count, sizeof(*placed));
	for (int i = 0; placed && i < count; i++) {
		const config_setting_t *at = setting_element(list, i);
		struct map_rule rule;

		if (!rule_read(reading, at, defaults, &rule))
			continue;
		if (ruleset_add(ret, &rule) < 0)
			reading->failed = true;
		placed[placed_count++] = (struct placed_prefix){rule.ipv6_prefix, at};
	}
	if (placed_count > 1)
		check_twice(reading, placed, placed_count);
}

static const struct key file_keys[] = {
	{"psid_offset", key_read_uint8, FIELD(psid_offset), 0, 15},
	{"br", read_br},
	{"interface_id", read_iid_format},
	{"rules", key_read_nothing}, /* after the defaults */
};

void rule_file_read(struct reading *reading, const config_setting_t *root, const char *provider,
		    struct ruleset *ret)
{
	struct draft draft = {.rule.psid_offset = RULE_PSID_OFFSET_DEFAULT,
			      .rule.iid_format = IID_MAP_DRAFT_03};
	const config_setting_t *rules = setting_member(root, "rules");

	group_read(reading, root, file_keys, ARRAY_SIZE(file_keys), &draft);
	if (rules) {
		const struct rule_defaults defaults = {
			.provider = provider,
			.psid_offset = draft.rule.psid_offset,
			.iid_format = draft.rule.iid_format,
			.br_given = draft.br_good,
			.br_refused = setting_member(root, "br") && !draft.br_good,
			.br = draft.rule.br,
		};

		rules_read(reading, rules, &defaults, ret);
	}
}
