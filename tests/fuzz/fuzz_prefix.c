/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text that should be a prefix. What is taken has no host bits and survives being written again. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/map/prefix.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check6(const char *text)
{
	char buffer[PREFIX6_TEXT_MAX];
	struct prefix6 prefix, made, again;

	if (prefix6_parse(text, &prefix) < 0)
		return;
	assert(prefix.len <= 128);
	made = prefix6_make(&prefix.addr, prefix.len);
	assert(prefix6_equal(&prefix, &made));
	assert(prefix6_parse(prefix6_format(&prefix, buffer), &again) == 0);
	assert(prefix6_equal(&prefix, &again));
}

static void check4(const char *text)
{
	char buffer[PREFIX4_TEXT_MAX];
	struct prefix4 prefix, made, again;

	if (prefix4_parse(text, &prefix) < 0)
		return;
	assert(prefix.len <= 32);
	made = prefix4_make(prefix.addr, prefix.len);
	assert(prefix4_equal(&prefix, &made));
	assert(prefix4_parse(prefix4_format(&prefix, buffer), &again) == 0);
	assert(prefix4_equal(&prefix, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	check6(text);
	check4(text);
	free(text);
	return 0;
}
