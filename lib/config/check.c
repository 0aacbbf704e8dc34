/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "lib/config/section.h"

/* A name that the file gives to an interface, or that is a default (at NULL). */
struct used_name {
	const char *name, *key;
	const config_setting_t *at;
};

static const config_setting_t *find(const config_setting_t *root, const char *section,
				    const char *name)
{
	const config_setting_t *group = setting_member(root, section);

	return group && config_setting_is_group(group) ? setting_member(group, name) : NULL;
}

static void complain_same(struct reading *reading, const struct used_name *a,
			  const struct used_name *b)
{
	char place[OTHER_PLACE_MAX];

	/* Complain about the later of both; one that is a default has no line. */
	if (!a->at || (b->at && setting_line(b->at) >= setting_line(a->at))) {
		const struct used_name *swap = a;

		a = b;
		b = swap;
	}
	if (!a->at)
		return;
	if (b->at)
		setting_complain(reading, a->at, "\"%s\" is also %s", a->name,
				 setting_other_place(reading, a->at, b->at, place));
	else
		setting_complain(reading, a->at, "\"%s\" is also the default of %s", a->name,
				 b->key);
}

static void check_pair(struct reading *reading, const struct used_name *a,
		       const struct used_name *b)
{
	if (a->name[0] && strcmp(a->name, b->name) == 0)
		complain_same(reading, a, b);
}

static void check_lan(struct reading *reading, const config_setting_t *list,
		      const struct used_name *others, size_t other_count)
{
	if (!list || config_setting_type(list) != CONFIG_TYPE_LIST)
		return;
	for (int i = 0; i < config_setting_length(list); i++) {
		const config_setting_t *at = setting_element(list, i);
		const char *name = config_setting_get_string(at);
		struct used_name used = {.name = name, .key = "lan.interfaces", .at = at};

		if (!name)
			continue;
		for (size_t j = 0; j < other_count; j++)
			check_pair(reading, &others[j], &used);
		for (int j = 0; j < i; j++) {
			const config_setting_t *before = setting_element(list, j);
			const char *other = config_setting_get_string(before);
			struct used_name first = {.name = other, .key = used.key, .at = before};

			if (other)
				check_pair(reading, &first, &used);
		}
	}
}

/* The kernel wants to be told the interfaces of its fast path one by one. */
static void check_offload(struct reading *reading, const config_setting_t *root,
			  const struct settings *settings)
{
	if (settings->nat.offload && settings->lan.interface_count == 0)
		setting_complain(reading, find(root, "nat", "offload"),
				 "needs the names of the LAN's interfaces: "
				 "lan = { interfaces = [ \"br0\" ]; };");
}

void settings_check(struct reading *reading, const config_setting_t *root,
		    const struct settings *settings)
{
	const struct used_name names[] = {
		{settings->wan.interface, "wan.interface", find(root, "wan", "interface")},
		{settings->map.tunnel, "map.tunnel", find(root, "map", "tunnel")},
		{settings->pppoe.enabled ? settings->pppoe.interface : "", "pppoe.interface",
		 find(root, "pppoe", "interface")},
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		for (size_t j = 0; j < i; j++)
			check_pair(reading, &names[j], &names[i]);
	check_lan(reading, find(root, "lan", "interfaces"), names, ARRAY_SIZE(names));
	check_offload(reading, root, settings);
	spans_check(reading);
}
