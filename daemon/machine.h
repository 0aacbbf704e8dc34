/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One look at this machine and what a daemon that starts now would decide. */
#pragma once

#include "daemon/decide.h"
#include "daemon/setup.h"
#include "lib/kernel/rtnl.h"
#include "lib/kernel/snapshot.h"

/* ret_snapshot is the caller's to free with snapshot_done(); ret_wan points into it and setup. */
int machine_look(struct rtnl *nl, const struct setup *setup, struct snapshot *ret_snapshot,
		 struct wan_view *ret_wan, struct decision *ret_decision, struct fault *reterr);

/* Microseconds of a clock. */
uint64_t machine_usec(clockid_t clock);
