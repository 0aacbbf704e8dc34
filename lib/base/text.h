/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A growing string. An allocation that fails is remembered: later additions do nothing and
 * text_failed() tells, so that a long printer needs one check at its end.
 *
 * struct text lives in the caller's storage; text_done() frees what it holds.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/macro.h"

struct text {
	char *data; /* NUL-terminated, NULL while empty */
	size_t length;
	size_t size;
	bool failed;
};

#define TEXT_INIT      ((struct text){0})
#define _cleanup_text_ _cleanup_(text_done)

void text_add(struct text *text, const char *format, ...) _printf_(2, 3);
void text_clear(struct text *text);
void text_done(struct text *text);
bool text_failed(const struct text *text);

/* The string so far, "" when empty. Valid until the next addition. */
const char *text_get(const struct text *text);

/* Hands the string to the caller, who frees it. NULL when an allocation had failed. */
char *text_take(struct text *text);

/* Cuts the text into its lines, one at each call; NULL after the last. *rest is NULL before the
 * first call. A text that could not be built for want of memory has no lines. */
char *text_next_line(struct text *text, char **rest);
