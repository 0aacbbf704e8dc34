/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Colours, on terminals that want them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/text.h"

#define PAINT_RED    "\033[1;31m"
#define PAINT_YELLOW "\033[33m"
#define PAINT_GREEN  "\033[32m"
#define PAINT_BOLD   "\033[1m"
#define PAINT_END    "\033[0m"

/* fd is a terminal, $NO_COLOR is not set (no-color.org) and $TERM is not "dumb". */
bool paint_wanted(int fd);

/* The long status with the state and the warnings in colour. */
void paint_status(const char *plain, struct text *out);

/* The long status for a screen of so many rows (SIZE_MAX: all of it). What is too long loses first
 * what does not change while one watches, then the ends of its lists. */
void paint_fit(const char *plain, size_t rows, struct text *out);

/* The same, to be written over the screen before it. */
void paint_over(const char *screen, struct text *out);
