/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/setup.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/runtime.h"
#include "lib/config/config.h"

/* meson copies the rule files beside the program: BUILD/daemon/maped, BUILD/conf/rules. */
#define BUILD_PROGRAM "/daemon/maped"
#define BUILD_RULES   "/conf/rules"

const char *setup_shipped_rules(char *buffer, size_t size)
{
	ssize_t length = readlink("/proc/self/exe", buffer, size - 1);
	size_t tail = strlen(BUILD_PROGRAM);

	if (length > (ssize_t)tail) {
		char *program = buffer + (size_t)length - tail;

		buffer[length] = '\0';
		if (strcmp(program, BUILD_PROGRAM) == 0) {
			snprintf(program, size - (size_t)(program - buffer), "%s", BUILD_RULES);
			if (access(buffer, R_OK) == 0)
				return buffer;
		}
	}
	return MAPED_RULES_DIR;
}

int setup_load(const char *file, struct setup *ret, struct text *complaints)
{
	_cleanup_settings_ struct settings settings = {0};
	_cleanup_ruleset_ struct ruleset rules = {0};
	char buffer[512], wire[512];
	int r;

	settings_defaults(&settings);
	if (file) {
		struct settings loaded;

		r = config_load(file, &loaded, complaints);
		if (r < 0)
			return r;
		settings = loaded;
	}
	runtime_path("rules", wire, sizeof(wire));
	r = config_collect_rules(&settings, CONFIG_RULES_OWN, wire,
				 setup_shipped_rules(buffer, sizeof(buffer)), &rules, complaints);
	if (r < 0)
		return r;
	*ret = (struct setup){settings, rules};
	memset(&settings, 0, sizeof(settings));
	memset(&rules, 0, sizeof(rules));
	return 0;
}

void setup_done(struct setup *setup)
{
	settings_done(&setup->settings);
	ruleset_done(&setup->rules);
}

void setup_free(struct setup *setup)
{
	if (!setup)
		return;
	setup_done(setup);
	free(setup);
}
