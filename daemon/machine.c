/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/machine.h"

#include <time.h>

#include "daemon/stamp.h"

uint64_t machine_usec(clockid_t clock)
{
	struct timespec now = {0};

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

int machine_look(struct rtnl *nl, const struct setup *setup, struct snapshot *ret_snapshot,
		 struct wan_view *ret_wan, struct decision *ret_decision, struct fault *reterr)
{
	const struct settings *settings = &setup->settings;
	struct decide_memory memory = {.choice.verdict = VERDICT_NO_PREFIX};
	const struct snapshot_query query = {
		.wan = settings->wan.interface,
		.tunnel = settings->map.tunnel,
		.ppp = settings->pppoe.enabled ? settings->pppoe.interface : "",
		.lan = settings->lan.interfaces,
		.lan_count = settings->lan.interface_count,
		.route_metric = settings->map.route_metric,
		.now_usec = machine_usec(CLOCK_BOOTTIME),
		.monotonic_usec = stamp_now_usec(),
	};
	int r;

	r = snapshot_read(nl, NULL, &query, ret_snapshot, reterr);
	if (r < 0)
		return r;
	*ret_wan = (struct wan_view){
		.found = ret_snapshot->wan_found,
		.name = ret_snapshot->wan_found ? ret_snapshot->wan : settings->wan.interface,
		.up = ret_snapshot->wan_up && ret_snapshot->wan_carrier,
	};
	decide(ret_wan, &ret_snapshot->candidates, settings, &setup->rules, query.now_usec, &memory,
	       ret_decision);
	return 0;
}
