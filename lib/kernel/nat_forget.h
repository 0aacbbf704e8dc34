/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What was let in and is forbidden now. The rules of a new plan hold for first packets, so behind
 * its transaction go the elements that an older plan has learnt, and flows of UDP, which have no
 * end of their own: a peer that keeps sending would reach the host of a forward that is gone for
 * good. What else is established stays.
 */
#pragma once

#include "lib/kernel/conntrack.h"
#include "lib/kernel/nft.h"
#include "lib/map/plan.h"

/* Where UDP that others begin is led: by a forward, or to the router itself. */
struct nat_way {
	struct port_range ports;
	struct in_addr to;
	uint16_t to_port; /* of the first */
};

/* Those of one line. */
struct nat_ways {
	struct in_addr address;
	struct nat_way *list;
	size_t count;
};

/* What was in force last. */
struct nat_past {
	struct nat_ways map, pppoe;
	enum nat_filtering filtering;
	struct nat_host *hosts;
	size_t host_count;
	bool filters; /* false: nothing is known of filtering */
};

void nat_past_done(struct nat_past *past);
#define _cleanup_nat_past_ _cleanup_(nat_past_done)

/* A line that plan does without stays as it was. 0 or -ENOMEM. */
int nat_past_keep(struct nat_past *past, const struct nat_plan *plan);

/* The filtering of some hosts is another one; false: or there was none. */
bool nat_past_filters_otherwise(const struct nat_past *past, const struct nat_plan *want);

/* Once the table is as want says. ct may be NULL. 0 or negative errno. */
int nat_forget(struct nft *nft, struct conntrack *ct, const struct nat_past *past,
	       const struct nat_plan *want, struct fault *reterr);
