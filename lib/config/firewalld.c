/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <string.h>

#include "lib/config/section.h"

/* firewalld's own limits: names become parts of names of netfilter chains
 * (firewall/functions.py max_zone_name_len, firewall/core/io/zone.py check_name). */
static bool zone_is_name(const char *text)
{
	for (const char *at = text; *at; at++)
		if (!isalnum((unsigned char)*at) && *at != '-' && *at != '_')
			return false;
	return text[0] != '\0' && strlen(text) < FIREWALLD_ZONE_MAX;
}

static void read_zone(struct reading *reading, const config_setting_t *at, const struct key *key,
		      void *field)
{
	const char *text;

	if (setting_text(reading, at, &text) < 0)
		return;
	if (!zone_is_name(text))
		setting_complain(reading, at,
				 "\"%.64s\" cannot be a zone of firewalld: 1 to %d letters, "
				 "digits, hyphens and underscores",
				 text, FIREWALLD_ZONE_MAX - 1);
	else
		memcpy(field, text, strlen(text) + 1);
}

static const struct key keys[] = {
	{"zone", read_zone, offsetof(struct firewalld_settings, zone)},
};

void firewalld_read(struct reading *reading, const config_setting_t *at, const struct key *key,
		    void *field)
{
	struct firewalld_settings *firewalld = field;

	firewalld->enabled = true;
	group_read(reading, at, keys, ARRAY_SIZE(keys), firewalld);
}
