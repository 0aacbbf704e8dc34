/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "lib/config/section.h"
#include "lib/config/value.h"

#define END_USER_LEN_MIN 48 /* a shorter prefix than any ISP gives one line */
#define END_USER_LEN_MAX 64

static void read_interface(struct reading *reading, const config_setting_t *at,
			   const struct key *key, void *field)
{
	const char *text;

	if (setting_text(reading, at, &text) < 0)
		return;
	if (strcmp(text, "auto") == 0)
		((char *)field)[0] = '\0';
	else
		key_read_interface(reading, at, key, field);
}

static void read_static_prefix(struct reading *reading, const config_setting_t *at,
			       const char *text, struct wan_settings *wan)
{
	struct prefix6 prefix;
	struct fault fault;

	if (!strchr(text, ':')) {
		setting_complain(reading, at,
				 "\"%.64s\" must be \"auto\", \"ra\", \"pd\" or an IPv6 prefix",
				 text);
		return;
	}
	if (prefix6_value(text, &prefix, &fault) < 0) {
		setting_complain(reading, at, "%s", fault.text);
		return;
	}
	if (prefix.len < END_USER_LEN_MIN || prefix.len > END_USER_LEN_MAX) {
		setting_complain(reading, at, "\"%.64s\" must have a length from /%d to /%d", text,
				 END_USER_LEN_MIN, END_USER_LEN_MAX);
		return;
	}
	if (!in6_is_global(&prefix.addr)) {
		setting_complain(reading, at, "\"%.64s\" is not a global unicast prefix (2000::/3)",
				 text);
		return;
	}
	wan->prefix = prefix;
	wan->prefix_mode = PREFIX_STATIC;
}

static void read_prefix(struct reading *reading, const config_setting_t *at, const struct key *key,
			void *field)
{
	struct wan_settings *wan = field;
	const char *text;

	if (setting_text(reading, at, &text) < 0)
		return;
	if (strcmp(text, "auto") == 0)
		wan->prefix_mode = PREFIX_AUTO;
	else if (strcmp(text, "ra") == 0)
		wan->prefix_mode = PREFIX_RA;
	else if (strcmp(text, "pd") == 0)
		wan->prefix_mode = PREFIX_PD;
	else
		read_static_prefix(reading, at, text, wan);
}

static const struct key keys[] = {
	{"interface", read_interface, offsetof(struct wan_settings, interface)},
	{"prefix", read_prefix},
};

void wan_read(struct reading *reading, const config_setting_t *at, const struct key *key,
	      void *field)
{
	group_read(reading, at, keys, ARRAY_SIZE(keys), field);
}
