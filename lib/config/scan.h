/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Goes through the text of a file and the files it includes, and hands every token to the screen.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/config/complaints.h"
#include "lib/config/screen.h"
#include "lib/config/source.h"

struct scan {
	struct screen *screen;
	struct source *source;
	struct complaints *complaints;
	bool with_includes;
	unsigned int include_depth;
};

/* file: index of the text's name in the source. 0, -EINVAL after a mistake that leaves the rest
 * without meaning (told), -ENOMEM. */
int scan_text(struct scan *scan, unsigned int file, const char *data, size_t size);
