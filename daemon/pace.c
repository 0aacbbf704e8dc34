/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/pace.h"

#include "lib/base/macro.h"

uint64_t pace_pause(const struct pace *pace)
{
	uint64_t pause_usec = (uint64_t)1000000;

	if (pace->fights == 0)
		return PACE_APART_USEC;
	for (unsigned int i = 1; i < pace->fights && pause_usec < PACE_FIGHT_CAP; i++)
		pause_usec *= 2;
	return pause_usec < PACE_FIGHT_CAP ? pause_usec : PACE_FIGHT_CAP;
}

static uint64_t next_after(const struct pace *pace, uint64_t now_usec, uint64_t pause_usec)
{
	return MAX_OF(now_usec + PACE_GATHER_USEC, pace->last_usec + pause_usec);
}

uint64_t pace_next(const struct pace *pace, uint64_t now_usec)
{
	return next_after(pace, now_usec, pace_pause(pace));
}

uint64_t pace_next_news(const struct pace *pace, uint64_t now_usec)
{
	return next_after(pace, now_usec, MIN_OF(pace_pause(pace), PACE_NEWS_USEC));
}

void pace_looked(struct pace *pace, uint64_t now_usec, bool repaired)
{
	/* A window lasts long enough to see the next repair after the present pause. */
	uint64_t window_usec = PACE_WINDOW_USEC + pace_pause(pace);

	pace->last_usec = now_usec;
	if (now_usec - pace->window_usec > window_usec) {
		/* A quiet window ends the fight. */
		if (pace->repairs == 0)
			pace->fights = 0;
		pace->window_usec = now_usec;
		pace->repairs = 0;
	}
	if (!repaired)
		return;
	pace->repairs++;
	if (pace->fights > 0 || pace->repairs >= PACE_REPAIRS) {
		pace->fights++;
		pace->window_usec = now_usec;
		pace->repairs = 0;
	}
}

bool pace_fighting(const struct pace *pace)
{
	return pace->fights > 0;
}
