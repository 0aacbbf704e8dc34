/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the daemon knows about itself, and the sentences people read. Pure: fills texts, sends
 * nothing.
 */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/state.h"
#include "daemon/usage.h"
#include "lib/base/text.h"
#include "lib/map/choose.h"

#define REPORT_SENTENCE_MAX 384

struct report {
	enum state state;
	char reason[REPORT_SENTENCE_MAX];
	uint64_t since_usec;  /* CLOCK_BOOTTIME of the last change of state */
	char since[32];       /* the same for people, "" = not known */
	struct choice choice; /* VERDICT_CHOSEN: MAP-E is built on it */
	char wan[IFNAMSIZ];
	bool pppoe, ppp_up; /* wanted; there */
	char ppp[IFNAMSIZ];
	uint64_t took_usec;                /* the last change of the kernel took this long */
	unsigned int changes;              /* and was this many objects */
	char refused[REPORT_SENTENCE_MAX]; /* the first mistake of a file that was refused, or "" */
	unsigned int refused_count;
	char warning[REPORT_SENTENCE_MAX];  /* "" = none */
	char firewall[REPORT_SENTENCE_MAX]; /* what firewalld says to firewalld.zone, or "" */
	char scarce[REPORT_SENTENCE_MAX];   /* ports are nearly used up, or "" */
};

/* Keeps since_usec when the state stays. now: CLOCK_BOOTTIME microseconds. */
void report_state(struct report *report, enum state state, const char *reason, uint64_t now_usec);

/* "ocn 153.240.18.52, PSID 41, 1008 ports in 63 blocks; CE … -> BR … on enp2s0" */
void report_map(const struct map_params *params, const char *wan, struct text *out);

/* The STATUS line. */
void report_line(const struct report *report, const struct usage *usage, struct text *out);
