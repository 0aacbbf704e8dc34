/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/pace.h"

uint64_t pace_pause(const struct pace *pace)
{
	uint64_t pause_usec = (uint64_t)1000000;

	if (pace->fights == 0)
		return PACE_APART_USEC;
	for (unsigned int i = 1; i < pace->fights && pause_usec < PACE_FIGHT_CAP; i++)
		pause_usec *= 2;
	return pause_usec < PACE_FIGHT_CAP ? pause_usec : PACE_FIGHT_CAP;
}

uint64_t pace_next(const struct pace *pace, uint64_t now_usec)
{
	uint64_t soon_usec = now_usec + PACE_GATHER_USEC;
	uint64_t apart_usec = pace->last_usec + pace_pause(pace);

	return soon_usec > apart_usec ? soon_usec : apart_usec;
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
