/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The text of a file as libconfig is to see it: includes laid in, every token checked, and for
 * each line where it came from.
 *
 * Why libconfig does not read the file itself: it opens includes without a look at what they are
 * (a device, a FIFO, someone else's file), stops at the first mistake, cuts 4294967295 to -1
 * without a word, glues "a" "b" together where a comma was forgotten, gives a text in a list the
 * line of what follows it, has no bound on depth, and leaks (1.5) or differs (1.5, 1.7, 1.8) on
 * malformed input. What leaves here is well-formed, so that libconfig cannot fail but for memory:
 * lists are "( )", numbers decimal and inside int64, texts short printable ASCII, keys unique.
 */
#pragma once

#include <stddef.h>

#include "lib/base/macro.h"
#include "lib/base/text.h"
#include "lib/config/complaints.h"
#include "lib/map/settings.h"

#define SOURCE_INCLUDE_DEPTH 8  /* files inside files */
#define SOURCE_DEPTH         16 /* brackets inside brackets */
#define SOURCE_KEYS          64 /* keys in one group */
#define SOURCE_NAME_MAX      32 /* octets of a key with its NUL */
#define SOURCE_STRING_MAX    255

/* Stands for a value that was already complained about; no text of a file can hold it. */
#define SOURCE_BAD_VALUE "\001"

struct source {
	struct text text; /* for config_read_string() */
	char **files;
	unsigned int file_count;
	struct origin *lines; /* line n of text is lines[n - 1] */
	size_t line_count;
	size_t octets; /* read so far, of all files together */
};

#define SOURCE_INIT      ((struct source){0})
#define _cleanup_source_ _cleanup_(source_done)

/* Reads a file with its includes (relative to the including file). 0: ret is well-formed, although
 * complaints may hold mistakes that were stepped over; -EINVAL: complaints tell why not; -ENOENT:
 * the file itself does not exist (a complaint too); -ENOMEM. source_done() in every case. */
int source_read(struct source *ret, const char *path, struct complaints *complaints);

/* The same for a text in memory; an include is a mistake. name: for complaints. */
int source_read_memory(struct source *ret, const char *name, const char *data, size_t size,
		       struct complaints *complaints);

void source_done(struct source *source);

/* "file:line" of a line of the source, or "file" for line 0. */
void source_print_origin(const struct source *source, unsigned int line, struct text *out);

/* Prints "file:line: sentence" lines in the order of the file. 0 or -ENOMEM. */
int source_print_complaints(const struct source *source, struct complaints *complaints,
			    struct text *out);

/* For the screen and the scan: makes the line that is being read the source's next one; adds a
 * file. */
int source_add_line(struct source *source, unsigned int file, unsigned int line);
int source_add_file(struct source *source, const char *name, unsigned int *ret);
