/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The owner's whole word: settings and the rules that apply, loaded together or not at all.
 */
#pragma once

#include "lib/base/macro.h"
#include "lib/base/text.h"
#include "lib/map/rule.h"
#include "lib/map/settings.h"

struct setup {
	struct settings settings;
	struct ruleset rules;
};

/* file NULL: no file, the defaults. 0, or a negative errno with one "FILE:LINE: sentence" a line in
 * complaints; ret is written only on 0 and freed with setup_done(). */
int setup_load(const char *file, struct setup *ret, struct text *complaints);
void setup_done(struct setup *setup);
#define _cleanup_setup_ _cleanup_(setup_done)

/* The same for a setup on the heap; takes NULL. */
void setup_free(struct setup *setup);
DEFINE_CLEANUP(struct setup *, setup_free);

/* Directory of the shipped rule files: of the source tree when the program is run from its build
 * directory, else the installed one. Valid for the life of buffer. */
const char *setup_shipped_rules(char *buffer, size_t size);
