/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Connection tracking over ctnetlink: looking at the IPv4 entries of one external address, and
 * deleting those that an old mapping left behind. Entries of other addresses are never read and
 * never touched.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/fault.h"
#include "lib/base/macro.h"
#include "lib/map/portset.h"

struct conntrack_tuple {
	struct in_addr source, destination;
	uint16_t source_port, destination_port; /* host order; ICMP: the identifier in both */
};

struct conntrack_entry {
	uint8_t protocol;
	struct conntrack_tuple original, reply; /* the reply goes to the external address */
	bool answered;                          /* packets have gone both ways */
	bool assured;                           /* of UDP: for longer than 2 s (a stream) */
	bool established;                       /* TCP that nobody has begun to close */
	uint32_t timeout;                       /* seconds that are left without packets */
};

struct conntrack;

int conntrack_open(struct conntrack **ret, struct fault *reterr);
void conntrack_close(struct conntrack *ct); /* takes NULL */
DEFINE_CLEANUP(struct conntrack *, conntrack_close);

/* Deletes every entry that was translated from or to address (or belongs to the router itself at
 * that address) and whose external port or identifier is not in keep; keep NULL: all of them.
 * What a flowtable holds is waited for, 250 ms at most; what another program's flowtable still
 * holds then is left. Returns how many were deleted one by one (0 also when the kernel, since 6.2
 * or so, did all at once), or negative errno. */
int conntrack_forget(struct conntrack *ct, struct in_addr address, const struct portset *keep,
		     bool offloaded, struct fault *reterr);

/* Deletes those entries that were translated to address (source NAT) which unwanted says true to.
 * 0 or negative errno. */
int conntrack_drop(struct conntrack *ct, struct in_addr address,
		   bool (*unwanted)(void *userdata, const struct conntrack_entry *entry),
		   void *userdata, struct fault *reterr);

/* The same of those whose first packet came to address: forwards, and the router itself. */
int conntrack_drop_entered(struct conntrack *ct, struct in_addr address,
			   bool (*unwanted)(void *userdata, const struct conntrack_entry *entry),
			   void *userdata, struct fault *reterr);

/* Tells every entry that was translated to address (source NAT) to handler. 0 or negative errno. */
int conntrack_walk(struct conntrack *ct, struct in_addr address,
		   void (*handler)(void *userdata, const struct conntrack_entry *entry),
		   void *userdata, struct fault *reterr);
