/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/base/backoff.h"

uint64_t backoff_next(struct backoff *backoff, uint32_t random)
{
	uint64_t delay_usec = BACKOFF_FIRST_USEC;

	for (unsigned int i = 0; i < backoff->tries && delay_usec < BACKOFF_CAP_USEC; i++)
		delay_usec *= 2;
	if (delay_usec > BACKOFF_CAP_USEC)
		delay_usec = BACKOFF_CAP_USEC;
	if (backoff->tries < UINT32_MAX)
		backoff->tries++;
	return delay_usec - (uint64_t)random % (delay_usec / 8);
}

void backoff_reset(struct backoff *backoff)
{
	backoff->tries = 0;
}
