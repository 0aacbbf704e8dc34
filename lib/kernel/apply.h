/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From a plan to the kernel: every backend in the one right order, and back again when one fails.
 *
 * The order keeps two promises. Nothing leaves untranslated: the nftables table stands before a
 * route leads to a line, and the route goes before the table. A line that the standing table
 * translates already need not wait for the table to be looked at. Nothing leaves with an address of
 * one mapping and a port of another: while the ends of the tunnel change, the old CE address is
 * taken away first (ip6_tunnel then sends nothing), and the new one comes last.
 */
#pragma once

#include "lib/kernel/address.h"
#include "lib/kernel/rtnl.h"
#include "lib/map/plan.h"

/* The nftables part. Each returns the number of changes or negative errno. */
struct apply_nat {
	/* The table as wanted; want->present false: no table. */
	int (*sync)(void *userdata, const struct nat_plan *want, struct fault *reterr);
	/* Removes the connections that were translated to an address (or a port of it) which want
	 * no longer gives. */
	int (*forget)(void *userdata, struct in_addr address, const struct nat_plan *want,
		      struct fault *reterr);
	void *userdata;
};

struct applier;

/* nl must outlive it. state_file keeps what kernel settings were before us (lib/kernel/sysctl.h),
 * NULL = nowhere. A state file that cannot be believed is ignored: 1 with the reason in reterr,
 * otherwise 0 or negative errno. */
int applier_open(struct rtnl *nl, const struct apply_nat *nat, const char *state_file,
		 struct applier **ret, struct fault *reterr);
void applier_close(struct applier *applier); /* takes NULL; changes nothing in the kernel */
DEFINE_CLEANUP(struct applier *, applier_close);

/* What it put there; good until the next plan_apply(). */
const struct address_ours *applier_addresses(const struct applier *applier);

/* Makes the kernel as want says; PLAN_EMPTY takes everything away.
 *
 * have: what this process applied last, PLAN_EMPTY when it has applied nothing and nothing of a
 * predecessor can stand, NULL when a predecessor's may: it is then adopted.
 *
 * Returns how many objects were changed (0: no message that changes anything was sent), or the
 * negative errno of the first failure with its sentence in reterr. After a failure the kernel is
 * brought back to have. With have == NULL that is the empty plan if nothing of ours stood;
 * otherwise it is tried once more, forwards. When taking away fails, the rest is taken away all the
 * same. */
int plan_apply(struct applier *applier, const struct plan *want, const struct plan *have,
	       struct fault *reterr);
