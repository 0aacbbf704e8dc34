/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Goes through a text token by token, checks it and lays it into a source (source.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/config/complaints.h"
#include "lib/config/source.h"

struct screen;

struct screen *screen_new(struct source *source, struct complaints *complaints, bool with_includes);
struct screen *screen_free(struct screen *screen); /* NULL */

static inline void screen_free_p(struct screen **screen)
{
	if (*screen)
		screen_free(*screen);
}
#define _cleanup_screen_ _cleanup_(screen_free_p)

/* One file's text. -EINVAL after a mistake that leaves the rest without meaning (told),
 * -ENOMEM. file: its index in the source. */
int screen_text(struct screen *screen, unsigned int file, const char *data, size_t size);

/* The end of everything: what is still open is a mistake. */
int screen_end(struct screen *screen);
