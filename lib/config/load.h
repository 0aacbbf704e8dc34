/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From a source to values: what config_load() and config_load_rules() have in common, and where
 * tests and fuzzers come in with a text in memory.
 */
#pragma once

#include "lib/config/setting.h"
#include "lib/config/source.h"
#include "lib/map/rule.h"
#include "lib/map/settings.h"

/* Parses a well-formed source and calls read with its root. 0, -EINVAL when there are complaints
 * (earlier ones count), -ENOMEM. */
typedef void (*source_reader)(struct reading *reading, const config_setting_t *root, void *target);
int source_load(const struct source *source, struct complaints *complaints, source_reader read,
		void *target);

/* ret is written on 0 only; settings_done(). */
int settings_read_source(const struct source *source, struct complaints *complaints,
			 struct settings *ret);

/* Adds the rules of a rule file to ret, on 0 only. */
int rules_read_source(const struct source *source, const char *provider,
		      struct complaints *complaints, struct ruleset *ret);
