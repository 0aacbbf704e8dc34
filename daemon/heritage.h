/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a process leaves to the next one, since nothing in the kernel tells it: which interface was
 * the WAN, which prefix MAP-E stands on, and what routers announced there. Pure: text in, text out.
 *
 * Times are CLOCK_BOOTTIME microseconds, which go on over a restart of the process.
 */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/text.h"
#include "lib/kernel/signs.h"
#include "lib/map/choose.h"

/* In the runtime directory. */
#define HERITAGE_FILE "line"

struct heritage {
	char wan[IFNAMSIZ]; /* "" = none, and nothing else is known */
	int wan_index;
	bool chosen; /* MAP-E stands on this prefix */
	struct prefix6 prefix;
	enum prefix_source source;
	struct announcement announcements[SIGNS_ANNOUNCEMENT_MAX]; /* on the WAN */
	size_t announcement_count;
};

/* What there is to leave. */
void heritage_fill(const char *wan, int wan_index, const struct choice *choice,
		   const struct signs *signs, struct heritage *ret);

void heritage_print(const struct heritage *heritage, struct text *out);

/* 0, or -EBADMSG when it is not whole or not of this boot; ret is written only on 0. What is no
 * longer valid is left out. */
int heritage_parse(const char *text, uint64_t now_usec, struct heritage *ret);

/* False when the older one will do as well: an announcement that was only repeated is no news
 * before HERITAGE_STALE_USEC, or half of what it has still to live. */
#define HERITAGE_STALE_USEC ((uint64_t)600 * 1000000)
bool heritage_is_news(const struct heritage *old, const struct heritage *new, uint64_t now_usec);
