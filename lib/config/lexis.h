/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Words, numbers and texts of the file, letter by letter. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct word {
	const char *at; /* not NUL-terminated */
	size_t length;
};

/* The characters of a key from at on; may be empty. */
struct word word_of_name(const char *at, const char *end);

/* More than numbers are made of: 192.168.1.1, 2400::/34 and auto without quotes are taken whole, so
 * that a complaint can quote them. May be empty. */
struct word word_of_value(const char *at, const char *end);

bool word_is(struct word word, const char *text); /* whatever the case */
bool word_is_name(struct word word);        /* begins as a key does, and is not true or false */
bool word_is_like_number(struct word word); /* begins as a number does */

/* A whole number, decimal or 0x, with libconfig's L or LL behind it if need be. -EINVAL, -ERANGE.
 */
int word_number(struct word word, long long *ret);

/* The quote that closes the text from at on, or NULL when the line ends first. */
const char *string_end(const char *at, const char *end);

/* What is wrong with the text between two quotes, or NULL. */
const char *string_mistake(const char *at, const char *end);

/* Does what stands at at begin with text? */
bool begins_with(const char *at, const char *end, const char *text);
