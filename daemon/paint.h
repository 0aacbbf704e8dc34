/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Colours, on terminals that want them. */
#pragma once

#include <stdbool.h>

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

/* The long status, without the list of the ports when it would not fit on a screen of so many
 * rows: that is the one long part, and it does not change while one watches. */
void paint_fit(const char *plain, size_t rows, struct text *out);
