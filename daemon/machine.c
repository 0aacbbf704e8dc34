/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/machine.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "daemon/heritage.h"
#include "daemon/runtime.h"
#include "daemon/stamp.h"
#include "lib/kernel/link.h"
#include "lib/kernel/watch.h"

uint64_t machine_usec(clockid_t clock)
{
	struct timespec now = {0};

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Without the announcements of a link that has been down, or is another. */
static int recall_announcements(struct rtnl *nl, const struct heritage *heritage,
				struct watch *watch, struct fault *reterr)
{
	struct link_info link;
	int r = link_by_index(nl, heritage->wan_index, &link, reterr);

	if (r <= 0 || strcmp(link.name, heritage->wan) != 0 || !link.up || !link.carrier)
		return MIN_OF(r, 0);
	for (size_t i = 0; i < heritage->announcement_count; i++)
		watch_recall(watch, &heritage->announcements[i]);
	return 0;
}

/* What would be chosen if the prefix were there: should it be away now, it is held. */
static void recall_choice(const struct setup *setup, const struct heritage *heritage,
			  struct choice *ret)
{
	struct candidate one = {
		.prefix = heritage->prefix,
		.source = heritage->source,
		.valid_until_usec = UINT64_MAX,
	};
	const struct candidates seen = {&one, 1};

	choose_prefix(&seen, &setup->settings, &setup->rules, NULL, ret);
}

int machine_recall(struct rtnl *nl, const struct setup *setup, struct watch *watch,
		   struct decide_memory *memory, struct fault *reterr)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	struct heritage heritage = {0};
	int r;

	r = runtime_read(HERITAGE_FILE, &text);
	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = heritage_parse(text_get(&text), machine_usec(CLOCK_BOOTTIME), &heritage);
	if (r < 0)
		return fault_errno(reterr, r, "read %s/%s", runtime_directory(), HERITAGE_FILE);
	memcpy(memory->wan, heritage.wan, sizeof(memory->wan));
	if (heritage.chosen)
		recall_choice(setup, &heritage, &memory->choice);
	return recall_announcements(nl, &heritage, watch, reterr);
}

int machine_look(struct rtnl *nl, const struct setup *setup, struct snapshot *ret_snapshot,
		 struct wan_view *ret_wan, struct decision *ret_decision, struct fault *reterr)
{
	_cleanup_(watch_close_p) struct watch *watch = watch_new();
	const struct settings *settings = &setup->settings;
	struct decide_memory memory = {.choice.verdict = VERDICT_NO_PREFIX};
	struct snapshot_query query = {
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

	if (!watch)
		return fault_errno(reterr, -ENOMEM, "look at this machine");
	(void)machine_recall(nl, setup, watch, &memory, NULL);
	memory.lost_since_usec = 1; /* who looks once holds nothing */
	query.wan_before = memory.wan;
	query.own = &memory.choice.params.ce;
	query.own_count = memory.choice.verdict == VERDICT_CHOSEN ? 1 : 0;
	r = snapshot_read(nl, watch, &query, ret_snapshot, reterr);
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
