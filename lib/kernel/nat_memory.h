/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the sets of a table that is gone had learnt, as far as conntrack still knows it: another
 * program has flushed the rule set, or a new version of ours needs other sets. Without it a LAN
 * endpoint would get another port (RFC 4787 REQ-1), peers would be kept out, and new connections
 * would be given ports that old ones still hold: nf_conntrack_confirm() drops these.
 */
#pragma once

#include "lib/kernel/conntrack.h"
#include "lib/kernel/nft.h"
#include "lib/map/plan.h"

struct nat_memory {
	struct conntrack_entry *entries;
	size_t count, room;
};

void nat_memory_done(struct nat_memory *memory);
#define _cleanup_nat_memory_ _cleanup_(nat_memory_done)

/* Reads the connections of the plan's mapping, NAT_MEMORY_MAX of them at most. 0 or negative errno;
 * what was read until then is kept in ret. */
#define NAT_MEMORY_MAX 16384u
int nat_memory_read(struct conntrack *ct, const struct nat_plan *plan, struct nat_memory *ret);
/* The same of its streams only: UDP that has gone both ways for longer than 2 s. */
int nat_memory_read_streams(struct conntrack *ct, const struct nat_plan *plan,
			    struct nat_memory *ret);

/* Writes it into the learnt sets of a table, should they be made. */
void nat_memory_recall(const struct nat_memory *memory, const struct nat_plan *plan,
		       struct nft_table *table);

/* When they were. A set of living connections is filled by first packets only: TCP stands in the
 * set of ending ones instead, for as long as conntrack may keep it. UDP and ICMP are made first
 * again: the next packet finds its endpoint's port, or its peer, where recall has put them. Those
 * of hosts that nobody but the peer's port may answer would lose an answer by that, and stay. */
int nat_memory_renew(struct conntrack *ct, const struct nat_plan *plan);

/* Starts the timeouts anew of what answered connections have taught a table that stands: who owns
 * which port, and who can be reached from the LAN. Returns how many, or negative errno. */
int nat_memory_prolong(const struct nat_memory *memory, const struct nat_plan *plan,
		       struct nft *nft, struct fault *reterr);

/* Has the maps of filtering hold who may answer these streams: the timeouts of such
 * elements begin anew, and those that are not there are made. An element that says another LAN
 * endpoint stays. Returns how many, or negative errno. */
int nat_memory_teach(const struct nat_memory *streams, const struct nat_plan *plan, struct nft *nft,
		     struct fault *reterr);
