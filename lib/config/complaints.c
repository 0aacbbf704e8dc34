/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/config/complaints.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool complaints_have(const struct complaints *all, unsigned int line, const char *text)
{
	for (size_t i = 0; i < all->count; i++)
		if (all->list[i].line == line && strcmp(all->list[i].text, text) == 0)
			return true;
	return false;
}

void complaints_add(struct complaints *all, unsigned int line, const char *format, ...)
{
	char text[512];
	va_list ap;
	char *copy;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (complaints_have(all, line, text))
		return;
	if (all->count == COMPLAINTS_MAX) {
		all->unlisted++;
		return;
	}
	if (!all->list) {
		all->list = calloc(COMPLAINTS_MAX, sizeof(*all->list));
		if (!all->list) {
			all->failed = true;
			return;
		}
	}
	copy = strdup(text);
	if (!copy) {
		all->failed = true;
		return;
	}
	all->list[all->count++] = (struct complaint){.line = line, .text = copy};
}

bool complaints_empty(const struct complaints *all)
{
	return all->count == 0 && !all->failed;
}

/* Few and nearly sorted: insertion keeps equal lines in order, which qsort() does not. */
void complaints_sort(struct complaints *all)
{
	for (size_t i = 1; i < all->count; i++) {
		struct complaint one = all->list[i];
		size_t j = i;

		for (; j > 0 && all->list[j - 1].line > one.line; j--)
			all->list[j] = all->list[j - 1];
		all->list[j] = one;
	}
}

void complaints_done(struct complaints *all)
{
	for (size_t i = 0; i < all->count; i++)
		free(all->list[i].text);
	free(all->list);
	*all = COMPLAINTS_INIT;
}
