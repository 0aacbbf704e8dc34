/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Waiting that doubles from a first delay to a cap, with jitter. Pure: the caller brings the random
 * number and the clock.
 */
#pragma once

#include <stdint.h>

#define BACKOFF_FIRST_USEC ((uint64_t)1000000)
#define BACKOFF_CAP_USEC   ((uint64_t)300000000)

struct backoff {
	unsigned int tries; /* how many delays have been handed out since the last reset */
};

/* The next delay in microseconds: BACKOFF_FIRST_USEC * 2^tries, at most BACKOFF_CAP_USEC, less up
 * to an eighth of it chosen by random, so that many machines do not ask at once. */
uint64_t backoff_next(struct backoff *backoff, uint32_t random);

void backoff_reset(struct backoff *backoff);
