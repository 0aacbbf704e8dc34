/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One look at this machine and what a daemon that starts now would decide: also with what the
 * running one knows. */
#pragma once

#include "daemon/decide.h"
#include "daemon/setup.h"
#include "lib/kernel/rtnl.h"
#include "lib/kernel/snapshot.h"

/* ret_snapshot is the caller's to free with snapshot_done(); ret_wan points into it and setup. */
int machine_look(struct rtnl *nl, const struct setup *setup, struct snapshot *ret_snapshot,
		 struct wan_view *ret_wan, struct decision *ret_decision, struct fault *reterr);

/* Takes up what the process before left (heritage.h), as if it had been seen by this one. 0 also
 * when there is nothing; negative errno when it is of no use, and *reterr says why. */
int machine_recall(struct rtnl *nl, const struct setup *setup, struct watch *watch,
		   struct decide_memory *memory, struct fault *reterr);

/* Microseconds of a clock. */
uint64_t machine_usec(clockid_t clock);
