/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which known word was meant? The nearest by edit distance, when it is near enough. Owns nothing.
 */
#pragma once

struct near {
	const char *wanted;
	const char *best; /* NULL: none is near */
	unsigned int distance;
};

struct near near_init(const char *wanted);
void near_offer(struct near *near, const char *known); /* known must outlive near */
