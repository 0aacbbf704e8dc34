/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One picture of what decides: the WAN, the PPPoE interface, every sign of a prefix, and foreign
 * default routes that make MAP-E unused. Read anew each time; nothing is remembered but what the
 * watch remembers.
 */
#pragma once

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/kernel/address.h"
#include "lib/kernel/rtnl.h"
#include "lib/kernel/watch.h"
#include "lib/map/choose.h"

struct snapshot_query {
	const char *wan;             /* "" = the interface of the IPv6 default route */
	const char *wan_before;      /* with "": what it is while there is no such route; NULL,
				      * "" = none */
	bool wan_stays;              /* it is also while another one has that route */
	const char *tunnel;          /* never the WAN, never LAN */
	const char *ppp;             /* "" = no PPPoE */
	const char (*lan)[IFNAMSIZ]; /* none = every interface but those above and loopback */
	size_t lan_count;
	const struct in6_addr *own; /* CE addresses of ours, no signs of a prefix */
	size_t own_count;
	const struct address_ours *ours; /* the same, whatever became of them; NULL = not known */
	uint32_t route_metric;           /* of our default route in the main table */
	uint64_t now_usec;               /* CLOCK_BOOTTIME */
	uint64_t monotonic_usec;         /* CLOCK_MONOTONIC, of the same moment */
};

/* A default route in the main table that wins over ours. */
struct foreign_route {
	char interface[IFNAMSIZ];
	uint32_t metric;
	uint8_t protocol; /* RTPROT_* */
	bool has_gateway;
	struct in_addr gateway;
};

#define SNAPSHOT_FOREIGN_MAX 4

struct snapshot {
	bool wan_found; /* the interface exists; the fields down to wan_carrier are valid */
	char wan[IFNAMSIZ];
	int wan_index;
	uint32_t wan_mtu;
	bool wan_up; /* by the administrator */
	bool wan_carrier;
	bool ppp_present, ppp_up; /* up: IFF_UP, carrier and an IPv4 address */
	int ppp_index;
	uint32_t ppp_mtu;
	struct in_addr ppp_address; /* its first; 0.0.0.0 when it has none */
	struct candidates candidates;
	struct foreign_route foreign[SNAPSHOT_FOREIGN_MAX]; /* best first */
	size_t foreign_count;
};

/* 0 or negative errno. A WAN that is missing is no error: wan_found is false. watch may be NULL.
 * The caller frees ret with snapshot_done(). */
int snapshot_read(struct rtnl *nl, struct watch *watch, const struct snapshot_query *query,
		  struct snapshot *ret, struct fault *reterr);
void snapshot_done(struct snapshot *snapshot);
#define _cleanup_snapshot_ _cleanup_(snapshot_done)

/* "default via 192.0.2.1 dev ppp0 metric 0" */
#define FOREIGN_ROUTE_TEXT_MAX 96
const char *foreign_route_format(const struct foreign_route *route,
				 char buffer[static FOREIGN_ROUTE_TEXT_MAX]);
