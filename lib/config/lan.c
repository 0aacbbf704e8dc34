/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "lib/config/section.h"
#include "lib/config/value.h"

static void read_interfaces(struct reading *reading, const config_setting_t *at,
			    const struct key *key, void *field)
{
	struct lan_settings *lan = field;
	int count = setting_list(reading, at, "[ \"br0\" ]");

	if (count <= 0)
		return;
	lan->interfaces = reading_alloc(reading, (size_t)count, sizeof(*lan->interfaces));
	if (!lan->interfaces)
		return;
	for (int i = 0; i < count; i++) {
		char *name = lan->interfaces[lan->interface_count];

		key_read_interface(reading, setting_element(at, i), key, name);
		if (name[0])
			lan->interface_count++;
	}
}

static const struct key keys[] = {
	{"interfaces", read_interfaces},
};

void lan_read(struct reading *reading, const config_setting_t *at, const struct key *key,
	      void *field)
{
	group_read(reading, at, keys, ARRAY_SIZE(keys), field);
}
