/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads /etc/maped.conf and rule files (libconfig). The only room where a setting is text.
 *
 * A file with mistakes is refused whole: every mistake is gathered with file:line, unknown keys
 * included, and nothing of it is handed on. Files (and directories) that others than root or the
 * reader can write are refused.
 */
#pragma once

#include "lib/base/text.h"
#include "lib/map/rule.h"
#include "lib/map/settings.h"

#define CONFIG_FILE      "/etc/maped.conf"
#define CONFIG_FILE_MAX  (1024 * 1024) /* octets; a larger file is refused */
#define CONFIG_RULES_OWN "/etc/maped/rules"

/* complaints: one "file:line: sentence" a line, in the order of the file; empty on success.
 * 0, -EINVAL when there are complaints, -ENOENT when the file does not exist (also a complaint),
 * -ENOMEM. ret is written only on 0; the caller frees it with settings_done(). */
int config_load(const char *file, struct settings *ret, struct text *complaints);

/* Reads every *.conf of a directory in name order and adds its rules to rules; the provider is the
 * file's name without ".conf". A directory that does not exist is no mistake. Codes as above, but
 * never -ENOENT; rules is untouched unless 0. */
int config_load_rules(const char *directory, struct ruleset *rules, struct text *complaints);

/* Rules that apply, best first: the file's own, /run/maped/rules, /etc/maped/rules, shipped.
 * A file in /etc/maped/rules hides a shipped file of the same name. map.provider must name one
 * of the files. own, wire, shipped: directories, NULL = not looked at. Mistakes in any of them
 * refuse all, and all are told. Codes as above; ret is written only on 0, ruleset_done() frees it.
 */
int config_collect_rules(const struct settings *settings, const char *own, const char *wire,
			 const char *shipped, struct ruleset *ret, struct text *complaints);
