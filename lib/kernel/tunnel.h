/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ip6tnl to the border relay, over rtnetlink (kernel: net/ipv6/ip6_tunnel.c).
 *
 * Ours is told from foreign ones by the alias PLAN_ALIAS. The kernel takes an alias only for a link
 * that exists, so a link is born with the group number PLAN_PROTOCOL: what a killed predecessor
 * left half made is known by it. So is ours whose alias somebody has changed, if it has our name.
 */
#pragma once

#include "lib/kernel/link.h"
#include "lib/map/plan.h"

/* True for a link that we made. name: of the tunnel that is wanted, or was applied last; "" when
 * neither is known. */
bool tunnel_is_ours(const struct link_info *link, const char *name);

/* Makes the wanted tunnel stand and removes every other one of ours; want->name "" removes all.
 * Ends, MTU and parent are changed in place: ifindex, addresses and routes on it survive. A change
 * without a difference is not sent, because each one costs packets in flight.
 *
 * have: the one that was applied last, NULL when not known.
 *
 * TUNNEL_EXISTING: the link must exist (-ENODEV) and be up (-ENETDOWN); it is not touched.
 *
 * Returns how many changes were sent, 0 = all was so, or negative errno: -EEXIST when another
 * program's interface has the name or the same two ends (named in reterr), -ENODEV when the WAN
 * interface is missing, -EOPNOTSUPP when the kernel has no ip6_tunnel. A tunnel that could not be
 * finished is taken away again. */
int tunnel_sync(struct rtnl *nl, const struct plan_tunnel *want, const struct plan_tunnel *have,
		struct fault *reterr);

/* 1 when a tunnel of ours stands, 0 when none does. */
int tunnel_stands(struct rtnl *nl, struct fault *reterr);
