/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The file that one process leaves to the next. What is taken keeps its bounds and survives being
 * written again. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/heritage.h"

#define NOW_USEC ((uint64_t)1000000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *left = strndup((const char *)data, size);
	_cleanup_text_ struct text text = TEXT_INIT;
	struct heritage heritage, again;

	if (!left || heritage_parse(left, NOW_USEC, &heritage) < 0)
		return 0;
	assert(memchr(heritage.wan, '\0', sizeof(heritage.wan)));
	assert(heritage.announcement_count <= SIGNS_ANNOUNCEMENT_MAX);
	for (size_t i = 0; i < heritage.announcement_count; i++)
		assert(heritage.announcements[i].refreshed_usec <= NOW_USEC &&
		       heritage.announcements[i].prefix.len <= 64);
	heritage_print(&heritage, &text);
	if (text_failed(&text))
		return 0;
	assert(heritage_parse(text_get(&text), NOW_USEC, &again) == 0);
	assert(!heritage_is_news(&heritage, &again, NOW_USEC));
	return 0;
}
