/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/stamp.h"

#include <stddef.h>
#include <sys/times.h>
#include <time.h>

#include "lib/base/macro.h"

#define USEC ((uint64_t)1000000)
#define NSEC ((uint64_t)1000000000)

/* The ticks began this long before zero (INITIAL_JIFFIES in linux/jiffies.h): 2^32 - 300 s. */
#define FIRST_TICKS(hz) (((uint64_t)1 << 32) - 300 * (hz))

/* times(2) tells the ticks since then, as 1/100 s, whatever the kernel's own tick is
 * (jiffies_64_to_clock_t() in kernel/time/time.c). The tick is the one that makes sense of it. */
uint64_t stamp_now_usec(void)
{
	static const uint64_t ticks_per_sec[] = {100, 250, 300, 1000};
	struct timespec now = {0};
	struct tms unused;
	uint64_t clock_usec, elapsed = (uint64_t)times(&unused);

	clock_gettime(CLOCK_MONOTONIC, &now);
	clock_usec = (uint64_t)now.tv_sec * USEC + (uint64_t)now.tv_nsec / 1000;
	for (size_t i = 0; i < ARRAY_SIZE(ticks_per_sec); i++) {
		uint64_t hz = ticks_per_sec[i], tick_nsec = (NSEC + hz / 2) / hz;
		uint64_t first = FIRST_TICKS(hz) * tick_nsec / (NSEC / 100);
		uint64_t stamp_usec = (elapsed - first) * (USEC / 100);

		if (elapsed >= first && stamp_usec <= clock_usec + USEC &&
		    clock_usec <= stamp_usec + 10 * USEC)
			return stamp_usec;
	}
	return clock_usec;
}
