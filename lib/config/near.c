/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/config/near.h"

#include <stddef.h>
#include <string.h>

#include "lib/base/macro.h"

#define WORD_MAX 40

/* Insertions, deletions, changes and swaps of neighbours (optimal string alignment). */
static unsigned int edit_distance(const char *a, const char *b)
{
	unsigned int rows[3][WORD_MAX + 1];
	size_t a_length = strlen(a), b_length = strlen(b);

	if (a_length > WORD_MAX || b_length > WORD_MAX)
		return WORD_MAX;
	for (size_t j = 0; j <= b_length; j++)
		rows[0][j] = (unsigned int)j;
	for (size_t i = 1; i <= a_length; i++) {
		unsigned int *row = rows[i % 3];
		const unsigned int *above = rows[(i + 2) % 3], *above_that = rows[(i + 1) % 3];

		row[0] = (unsigned int)i;
		for (size_t j = 1; j <= b_length; j++) {
			unsigned int cost = a[i - 1] != b[j - 1];

			row[j] = MIN_OF(above[j] + 1, row[j - 1] + 1);
			row[j] = MIN_OF(row[j], above[j - 1] + cost);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = MIN_OF(row[j], above_that[j - 2] + 1);
		}
	}
	return rows[a_length % 3][b_length];
}

struct near near_init(const char *wanted)
{
	/* Up to a third of the letters, at least one, may be wrong. */
	size_t length = strlen(wanted);

	return (struct near){
		.wanted = wanted,
		.distance = (unsigned int)(length < 6 ? 2 : length / 3 + 1),
	};
}

void near_offer(struct near *near, const char *known)
{
	unsigned int distance = edit_distance(near->wanted, known);

	if (distance < near->distance) {
		near->distance = distance;
		near->best = known;
	}
}
