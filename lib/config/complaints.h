/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Mistakes of one file, gathered until all are known. A mistake has a line of the source (source.h:
 * included files count in where they stand), so that sorting by it gives the order of reading.
 *
 * Lives in the caller's storage; complaints_done() frees what it holds.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/macro.h"

#define COMPLAINTS_MAX 100 /* further ones are only counted */

struct complaint {
	unsigned int line; /* of the source; 0 = the file as a whole */
	char *text;
};

struct complaints {
	struct complaint *list;
	size_t count;
	size_t unlisted; /* how many more there were */
	bool failed;     /* an allocation failed */
};

#define COMPLAINTS_INIT      ((struct complaints){0})
#define _cleanup_complaints_ _cleanup_(complaints_done)

/* Adds one sentence; the same sentence on the same line counts once. */
void complaints_add(struct complaints *all, unsigned int line, const char *format, ...)
	_printf_(3, 4);

bool complaints_empty(const struct complaints *all);
void complaints_sort(struct complaints *all); /* by line; equal lines stay in their order */
void complaints_done(struct complaints *all);
