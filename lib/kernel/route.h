/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * IPv4 default routes with protocol PLAN_PROTOCOL, in any table. Routes of another protocol, and
 * routes to anything but 0.0.0.0/0, are never touched.
 *
 * Ours are appended behind a foreign route of the same table and metric, never put in its place:
 * the foreign one goes on winning, and the snapshot names it.
 */
#pragma once

#include <linux/netlink.h>

#include "lib/kernel/rtnl.h"
#include "lib/map/plan.h"

/* Adds what is missing. Returns how many routes, or negative errno; -ENODEV when an interface is
 * missing. */
int route_ensure(struct rtnl *nl, const struct plan_route *want, size_t count,
		 struct fault *reterr);

/* Removes ours that are not wanted. */
int route_prune(struct rtnl *nl, const struct plan_route *want, size_t count, struct fault *reterr);

/* 1 when one of ours stands, 0 when none does. */
int route_stands(struct rtnl *nl, struct fault *reterr);

/* Ensure, then prune. */
int route_sync(struct rtnl *nl, const struct plan_route *want, size_t count, struct fault *reterr);

/* A route as the kernel shows it. */
struct route_info {
	int family;
	uint8_t type; /* RTN_* */
	uint8_t protocol;
	uint8_t scope;
	uint8_t dst_len;
	struct in6_addr dst; /* the first 4 octets for AF_INET */
	uint32_t table, metric;
	int oif;      /* 0 = none; of a multipath route the first */
	int oif_next; /* of a multipath route the second, else 0 */
	bool dead;    /* its interface is down: not used */
	bool has_gateway;
	struct in6_addr gateway; /* as dst; of RTA_VIA nothing is kept */
	uint32_t expires_sec;    /* UINT32_MAX = never */
};

/* A RTM_NEWROUTE or RTM_DELROUTE message. -EBADMSG when it is not a sound one. */
int route_parse(const struct nlmsghdr *message, struct route_info *ret);

/* A dump request. Each of table, type and protocol that is not 0 is a filter, which the kernel
 * applies where it can; the reader checks again. */
struct nl_msg *route_dump_message(int family, uint32_t table, uint8_t type, uint8_t protocol);
