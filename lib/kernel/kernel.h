/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernel backends. Each has one verb: read, compare, change only what differs.
 *
 * Every *_sync() returns 1 when it changed something, 0 when all was so already, or a negative errno
 * with the object and the kernel's own words (extended ack) in reterr.
 * An empty want means: be absent. Nothing that does not carry our mark (lib/map/plan.h) is touched.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/base/fault.h"
#include "lib/map/plan.h"

struct rtnl;

/* rtnl.c: one rtnetlink request socket (libnl). The only door for requests: it asks for the ACK, reads
 * extended acks, repeats an interrupted dump (NLM_F_DUMP_INTR), and counts. */
int rtnl_open(struct rtnl **ret, struct fault *reterr);
void rtnl_close(struct rtnl *nl); /* takes NULL */
DEFINE_CLEANUP(struct rtnl *, rtnl_close);
uint64_t rtnl_changes(const struct rtnl *nl); /* requests sent that change something */

/* tunnel.c. known is the tunnel we made before ("" none): removed when it is no longer the wanted
 * one. Ends are changed in place; ifindex, addresses and routes on it survive. */
int tunnel_sync(struct rtnl *nl, const struct plan_tunnel *want, struct fault *reterr);

/* address.c. Ours are told from foreign ones by IFA_PROTO (PLAN_PROTOCOL) where the kernel has it
 * (>= 5.18), else by what `previous` lists. previous: what an earlier plan put there. */
int address_sync(struct rtnl *nl, const struct plan_address *want, size_t count,
		 const struct plan_address *previous, size_t previous_count, struct fault *reterr);

/* route.c: IPv4 default routes with protocol PLAN_PROTOCOL, in any table. */
int route_sync(struct rtnl *nl, const struct plan_route *want, size_t count, struct fault *reterr);

/* policy.c: IPv4 policy rules with protocol PLAN_PROTOCOL. */
int policy_sync(struct rtnl *nl, const struct plan_rule *want, size_t count, struct fault *reterr);
