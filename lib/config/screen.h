/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Follows the grammar token by token, complains, and lays what is good into a source (source.h).
 *
 * The functions that take a token return 0, or -EINVAL after a mistake that leaves the rest without
 * meaning (told); one that can be stepped over is told and 0.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/config/complaints.h"
#include "lib/config/lexis.h"
#include "lib/config/source.h"

struct screen;

/* Both must outlive it. NULL: no memory. */
struct screen *screen_new(struct source *source, struct complaints *complaints);
struct screen *screen_free(struct screen *screen); /* NULL */

static inline void screen_free_p(struct screen **screen)
{
	if (*screen)
		screen_free(*screen);
}
#define _cleanup_screen_ _cleanup_(screen_free_p)

/* What follows stands on this line of this file. 0 or -ENOMEM. */
int screen_line(struct screen *screen, unsigned int file, unsigned int line);

int screen_name(struct screen *screen, struct word word);
int screen_equals(struct screen *screen, char sign); /* '=' ':' */
bool screen_wants_value(const struct screen *screen);
int screen_word(struct screen *screen, struct word word);                  /* number, boolean */
int screen_string(struct screen *screen, const char *at, const char *end); /* between the quotes */
int screen_open(struct screen *screen, char bracket);                      /* '{' '(' '[' */
int screen_close(struct screen *screen, char bracket);                     /* '}' ')' ']' */
int screen_separator(struct screen *screen, char separator);               /* ';' ',' */

/* What has no place in the grammar: complains and returns -EINVAL. */
int screen_unexpected(struct screen *screen, const char *what, size_t length);

/* The end of everything: what is still open is a mistake. */
int screen_end(struct screen *screen);
