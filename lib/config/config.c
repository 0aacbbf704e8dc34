/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/config/config.h"

#include <errno.h>
#include <libconfig.h>
#include <stdio.h>

#include "lib/config/load.h"
#include "lib/config/section.h"

static const struct key keys[] = {
	{"wan", wan_read, offsetof(struct settings, wan)},
	{"map", map_read, offsetof(struct settings, map)},
	{"lan", lan_read, offsetof(struct settings, lan)},
	{"nat", nat_read, offsetof(struct settings, nat)},
	{"forward", forward_read},
	{"pppoe", pppoe_read, offsetof(struct settings, pppoe)},
	{"firewalld", firewalld_read, offsetof(struct settings, firewalld)},
};

static void read_settings(struct reading *reading, const config_setting_t *root, void *target)
{
	struct settings *settings = target;

	group_read(reading, root, keys, ARRAY_SIZE(keys), settings);
	settings_check(reading, root, settings);
}

int settings_read_source(const struct source *source, struct complaints *complaints,
			 struct settings *ret)
{
	_cleanup_settings_ struct settings settings;
	int r;

	settings_defaults(&settings);
	r = source_load(source, complaints, read_settings, &settings);
	if (r < 0)
		return r;
	*ret = settings;
	settings = (struct settings){0};
	return 0;
}

int config_load(const char *file, struct settings *ret, struct text *complaints)
{
	_cleanup_complaints_ struct complaints gathered = COMPLAINTS_INIT;
	_cleanup_source_ struct source source = SOURCE_INIT;
	_cleanup_settings_ struct settings settings = {0};
	int r, q;

	r = source_read(&source, file, &gathered);
	if (r == 0)
		r = settings_read_source(&source, &gathered, &settings);
	q = source_print_complaints(&source, &gathered, complaints);
	if (r < 0 || q < 0)
		return q < 0 ? q : r;
	settings.file_count = source.file_count;
	settings.files = TAKE_PTR(source.files);
	source.file_count = 0;
	*ret = settings;
	settings = (struct settings){0};
	return 0;
}
