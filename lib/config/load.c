/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/config/load.h"

#include <errno.h>

static void destroy(config_t *config)
{
	config_destroy(config);
}

int source_load(const struct source *source, struct complaints *complaints, source_reader read,
		void *target)
{
	_cleanup_(destroy) config_t config;
	_cleanup_reading_ struct reading reading = {.source = source, .complaints = complaints};

	config_init(&config);
	if (!config_read_string(&config, text_get(&source->text))) {
		/* Not to be seen: the source is well-formed. */
		const char *text = config_error_text(&config);

		complaints_add(complaints, (unsigned int)config_error_line(&config), "%s",
			       text ? text : "libconfig cannot read it");
		return complaints->failed ? -ENOMEM : -EINVAL;
	}
	read(&reading, config_root_setting(&config), target);
	if (reading.failed || complaints->failed)
		return -ENOMEM;
	return complaints_empty(complaints) ? 0 : -EINVAL;
}
