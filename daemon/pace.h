/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * When to look at the kernel again after an event: at once, but never in a busy loop, and with
 * growing pauses while another program keeps undoing what we did. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Events within this time of each other are answered together. */
#define PACE_GATHER_USEC ((uint64_t)1000)
/* Two looks are at least this far apart. */
#define PACE_APART_USEC ((uint64_t)20000)
/* And this far, at the most, when there is news besides a fight. */
#define PACE_NEWS_USEC ((uint64_t)250000)
/* This many repairs within PACE_WINDOW_USEC count as a fight. */
#define PACE_REPAIRS     6
#define PACE_WINDOW_USEC ((uint64_t)10000000)
#define PACE_FIGHT_CAP   ((uint64_t)60000000)

struct pace {
	uint64_t last_usec;   /* of the last look */
	uint64_t window_usec; /* start of the present window of repairs */
	unsigned int repairs; /* in this window */
	unsigned int fights;  /* windows in a row that were full */
};

/* The earliest time for the next look after an event at now. */
uint64_t pace_next(const struct pace *pace, uint64_t now_usec);

/* The same when what happened is not about objects of ours: a new prefix does not wait for the end
 * of a fight. */
uint64_t pace_next_news(const struct pace *pace, uint64_t now_usec);

/* A look has been had; repaired: it had to put something back that someone else had altered. */
void pace_looked(struct pace *pace, uint64_t now_usec, bool repaired);

bool pace_fighting(const struct pace *pace);

/* Pause between two looks now, microseconds. */
uint64_t pace_pause(const struct pace *pace);
