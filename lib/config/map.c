/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "lib/config/section.h"
#include "lib/config/value.h"

#define MTU_MIN          1280       /* RFC 8200 section 5 */
#define MTU_MAX          65495      /* 65535 - 40 */
#define ROUTE_METRIC_MAX 1000000000 /* leaves room for the metrics of the other line behind it */

static bool provider_is_name(const char *text)
{
	for (const char *at = text; *at; at++)
		if (!isalnum((unsigned char)*at) && !strchr("-_.", *at))
			return false;
	return text[0] != '\0' && text[0] != '.' && strlen(text) < PROVIDER_NAME_MAX;
}

static void read_provider(struct reading *reading, const config_setting_t *at,
			  const struct key *key, void *field)
{
	struct map_settings *map = field;
	const char *text;

	if (setting_text(reading, at, &text) < 0)
		return;
	map->provider_origin = setting_origin(reading, at);
	if (!provider_is_name(text))
		setting_complain(reading, at, "\"%.64s\" cannot be the name of a rule file", text);
	else if (strcmp(text, "auto") == 0)
		map->provider[0] = '\0';
	else
		memcpy(map->provider, text, strlen(text) + 1);
}

static void read_br(struct reading *reading, const config_setting_t *at, const struct key *key,
		    void *field)
{
	struct map_settings *map = field;
	struct fault fault;
	const char *text;

	if (setting_text(reading, at, &text) < 0)
		return;
	if (in6_value(text, &map->br, &fault) < 0)
		setting_complain(reading, at, "%s", fault.text);
	else
		map->br_given = true;
}

static void read_tunnel_mode(struct reading *reading, const config_setting_t *at,
			     const struct key *key, void *field)
{
	static const char *const names[] = {
		[TUNNEL_CREATE] = "create",
		[TUNNEL_EXISTING] = "existing",
	};
	int mode = setting_choice(reading, at, names, ARRAY_SIZE(names));

	if (mode >= 0)
		((struct map_settings *)field)->tunnel_mode = (enum tunnel_mode)mode;
}

static void read_mtu(struct reading *reading, const config_setting_t *at, const struct key *key,
		     void *field)
{
	int64_t mtu;

	if (setting_number(reading, at, INT64_MIN, INT64_MAX, &mtu) < 0)
		return;
	if (mtu != 0 && (mtu < MTU_MIN || mtu > MTU_MAX))
		setting_complain(reading, at, "%" PRId64 " is out of range (%d to %d, or 0)", mtu,
				 MTU_MIN, MTU_MAX);
	else
		*(uint32_t *)field = (uint32_t)mtu;
}

static const struct key keys[] = {
	{"provider", read_provider}, /* whether there is such a file: config_collect_rules() */
	{"rules", key_read_nothing}, /* after br, which they may lean on */
	{"br", read_br},
	{"tunnel", key_read_interface, offsetof(struct map_settings, tunnel)},
	{"tunnel_mode", read_tunnel_mode},
	{"mtu", read_mtu, offsetof(struct map_settings, mtu)},
	{"default_route", key_read_bool, offsetof(struct map_settings, default_route)},
	{"route_metric", key_read_uint32, offsetof(struct map_settings, route_metric), 0,
	 ROUTE_METRIC_MAX},
};

void map_read(struct reading *reading, const config_setting_t *at, const struct key *key,
	      void *field)
{
	struct map_settings *map = field;
	const config_setting_t *rules;

	group_read(reading, at, keys, ARRAY_SIZE(keys), map);
	rules = config_setting_is_group(at) ? setting_member(at, "rules") : NULL;
	if (rules) {
		const struct rule_defaults defaults = {
			.provider = PROVIDER_OWN,
			.psid_offset = RULE_PSID_OFFSET_DEFAULT,
			.iid_format = IID_MAP_DRAFT_03,
			.br_given = map->br_given,
			.br_refused = setting_member(at, "br") && !map->br_given,
			.br = map->br,
		};

		rules_read(reading, rules, &defaults, &map->own_rules);
	}
}
