/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/machine.h"
#include "daemon/manager_private.h"
#include "daemon/runtime.h"
#include "daemon/stamp.h"
#include "daemon/thrift.h"
#include "lib/kernel/snapshot.h"

static void look_at(struct manager *m, uint64_t at_usec)
{
	sd_event_source_set_time(m->look, at_usec);
	sd_event_source_set_enabled(m->look, SD_EVENT_ONESHOT);
}

/* news: besides objects of ours, which another program may be fighting over. */
void manager_schedule(struct manager *m, bool news)
{
	uint64_t now = machine_usec(CLOCK_MONOTONIC), pending;
	uint64_t at_usec = news ? pace_next_news(&m->pace, now) : pace_next(&m->pace, now);
	int enabled = SD_EVENT_OFF;

	/* What the kernel refuses is not asked again at every event. */
	if (m->report.state == STATE_FAILING && !(news && m->setup->settings.pppoe.enabled))
		at_usec = MAX_OF(at_usec, m->pace.last_usec + PACE_NEWS_USEC);
	sd_event_source_get_enabled(m->look, &enabled);
	if (enabled != SD_EVENT_OFF && sd_event_source_get_time(m->look, &pending) >= 0 &&
	    pending <= at_usec)
		return;
	look_at(m, at_usec);
}

static int take_snapshot(struct manager *m, const struct settings *settings,
			 const struct decide_memory *memory, bool wan_stays, struct snapshot *ret,
			 struct fault *reterr)
{
	bool built = memory->choice.verdict == VERDICT_CHOSEN;
	const struct snapshot_query query = {
		.wan = settings->wan.interface,
		.wan_before = memory->wan,
		.wan_stays = wan_stays,
		.tunnel = settings->map.tunnel,
		.ppp = settings->pppoe.enabled ? settings->pppoe.interface : "",
		.lan = settings->lan.interfaces,
		.lan_count = settings->lan.interface_count,
		.own = &memory->choice.params.ce,
		.own_count = built ? 1 : 0,
		.ours = applier_addresses(m->applier),
		.route_metric = settings->map.route_metric,
		.now_usec = machine_usec(CLOCK_BOOTTIME),
		.monotonic_usec = stamp_now_usec(),
	};

	return snapshot_read(m->nl, m->watch, &query, ret, reterr);
}

static struct wan_view wan_view(const struct settings *settings, const struct snapshot *snapshot)
{
	return (struct wan_view){
		.found = snapshot->wan_found,
		.name = snapshot->wan_found ? snapshot->wan : settings->wan.interface,
		.up = snapshot->wan_up && snapshot->wan_carrier,
	};
}

/* What a look finds, and what is decided from it. */
struct sight {
	struct snapshot snapshot;
	struct decision decision;
};

static void sight_done(struct sight *sight)
{
	snapshot_done(&sight->snapshot);
}

static int see_wan(struct manager *m, const struct setup *setup, bool wan_stays, uint64_t now_usec,
		   struct decide_memory *memory, struct sight *ret, struct fault *reterr)
{
	struct wan_view wan;
	int r;

	r = take_snapshot(m, &setup->settings, memory, wan_stays, &ret->snapshot, reterr);
	if (r < 0)
		return r;
	wan = wan_view(&setup->settings, &ret->snapshot);
	decide(&wan, &ret->snapshot.candidates, &setup->settings, &setup->rules, now_usec, memory,
	       &ret->decision);
	return 0;
}

/* The caller frees ret with sight_done(), also after a failure. */
static int see(struct manager *m, const struct setup *setup, uint64_t now_usec,
	       struct decide_memory *memory, struct sight *ret, struct fault *reterr)
{
	struct decide_memory before = *memory;
	uint64_t until_usec;
	struct wan_view wan;
	int r;

	r = see_wan(m, setup, false, now_usec, memory, ret, reterr);
	if (r < 0 || setup->settings.wan.interface[0])
		return r;
	wan = wan_view(&setup->settings, &ret->snapshot);
	if (!decide_wan_stays(&before, &wan, &ret->decision, now_usec))
		return 0;
	sight_done(ret);
	*ret = (struct sight){0};
	*memory = before;
	r = see_wan(m, setup, true, now_usec, memory, ret, reterr);
	if (r < 0)
		return r;
	memory->left_since_usec = before.left_since_usec ? before.left_since_usec : now_usec;
	until_usec = memory->left_since_usec + DECIDE_HOLD_USEC;
	if (ret->decision.look_again_usec == 0 || ret->decision.look_again_usec > until_usec)
		ret->decision.look_again_usec = until_usec;
	return 0;
}

int manager_foresee(struct manager *m, const struct setup *setup, struct choice *ret)
{
	_cleanup_(sight_done) struct sight sight = {0};
	struct decide_memory memory = m->memory;
	int r;

	r = see(m, setup, machine_usec(CLOCK_BOOTTIME), &memory, &sight, NULL);
	if (r < 0)
		return r;
	*ret = sight.decision.choice;
	return 0;
}

static void remember_ppp(const struct settings *settings, const struct snapshot *snapshot,
			 struct ppp_memory *memory)
{
	const char *interface = settings->pppoe.enabled ? settings->pppoe.interface : "";

	if (strcmp(memory->interface, interface) != 0) {
		*memory = (struct ppp_memory){0};
		snprintf(memory->interface, sizeof(memory->interface), "%s", interface);
	}
	if (!snapshot->ppp_up)
		return;
	memory->address = snapshot->ppp_address;
	memory->mtu = snapshot->ppp_mtu;
}

/* The ifindex of each LAN interface. NULL: nobody asks, or no memory, which is as if none were
 * there. The caller's. */
static uint32_t *read_lan(const struct settings *settings)
{
	const struct lan_settings *lan = &settings->lan;
	uint32_t *indexes =
		settings->nat.offload ? calloc(lan->interface_count + 1, sizeof(*indexes)) : NULL;

	for (size_t i = 0; indexes && i < lan->interface_count; i++)
		indexes[i] = if_nametoindex(lan->interfaces[i]);
	return indexes;
}

/* For the next process, as soon as it is decided: this one may end at any time. */
static void leave_heritage(struct manager *m, const struct snapshot *snapshot, uint64_t now_usec)
{
	_cleanup_text_ struct text text = TEXT_INIT;
	struct heritage heritage;
	int r;

	heritage_fill(m->memory.wan, snapshot->wan_index, &m->memory.choice,
		      watch_signs(m->watch, now_usec), &heritage);
	if (!heritage_is_news(&m->heritage, &heritage, now_usec))
		return;
	heritage_print(&heritage, &text);
	if (!heritage.wan[0])
		r = runtime_remove(HERITAGE_FILE);
	else
		r = text_failed(&text) ? -ENOMEM : runtime_write(HERITAGE_FILE, text_get(&text));
	if (r == 0) /* else with the next look */
		m->heritage = heritage;
}

/* decision NULL: MAP-E cannot be had now. */
static int make_plan(const struct manager *m, const struct snapshot *snapshot,
		     const struct decision *decision, struct plan *ret, struct text *complaints)
{
	const struct settings *settings = &m->setup->settings;
	const struct pppoe_settings *pppoe = &settings->pppoe;
	bool chosen = decision && decision->choice.verdict == VERDICT_CHOSEN;
	_cleanup_free_ uint32_t *lan = read_lan(settings);
	struct plan_lines lines = {
		.lan = lan,
		.wan_mtu = snapshot->wan_mtu,
		.ppp_up = pppoe->enabled && snapshot->ppp_up,
		.ppp_address = m->ppp.address,
		.ppp_mtu = m->ppp.mtu,
	};

	/* Without another line that could take over, the route may as well stay. */
	lines.map_usable = (decision && decision->usable) || !(lines.ppp_up && pppoe->failover);
	snprintf(lines.wan, sizeof(lines.wan), "%s", snapshot->wan);
	return plan_build(settings, chosen ? &decision->choice.params : NULL, &lines, ret,
			  complaints);
}

/* plan was applied, out of the present setup. */
static void keep_plan(struct manager *m, struct plan *plan)
{
	plan_done(&m->plan);
	m->plan = *plan;
	*plan = PLAN_EMPTY;
	m->plan_known = true;
	if (m->applied_setup != m->setup)
		setup_free(m->applied_setup);
	m->applied_setup = m->setup;
	watch_expect(m->watch, &m->plan);
	watch_expect_addresses(m->watch, applier_addresses(m->applier));
}

/* Something changed although nothing else was wanted: somebody else had altered it. */
static void say_repaired(struct manager *m, int changes)
{
	_cleanup_text_ struct text losses = TEXT_INIT;
	char *line, *rest = NULL, culprit[64];

	watch_take_losses(m->watch, &losses);
	nft_watch_take_culprit(m->nft_watch, culprit, sizeof(culprit));
	if (culprit[0])
		text_add(&losses, "nftables table %s altered by %s\n", PLAN_TABLE, culprit);
	if (!text_get(&losses)[0])
		text_add(&losses, "another program had altered %d of our objects\n", changes);
	while ((line = text_next_line(&losses, &rest)))
		log_say(m->log, LOG_WARNING, MESSAGE_REPAIRED, "repaired: %s", line);
}

static void forget_losses(struct manager *m)
{
	_cleanup_text_ struct text losses = TEXT_INIT;
	char culprit[64];

	watch_take_losses(m->watch, &losses);
	nft_watch_take_culprit(m->nft_watch, culprit, sizeof(culprit));
}

/* Our own changes come back as events. Somebody else's may be among them, so there is one more
 * look, which finds nothing when there were none. */
static void read_own_events(struct manager *m)
{
	struct fault fault;
	int rtnl = watch_dispatch(m->watch, machine_usec(CLOCK_BOOTTIME), &fault);
	int nft = nft_watch_dispatch(m->nft_watch);

	if (rtnl != 0 || nft != 0)
		manager_schedule(m, watch_take_news(m->watch) != 0);
}

/* After a failure they must not lead to the next try before its time. */
static void read_failed_events(struct manager *m)
{
	struct fault fault;

	(void)watch_dispatch(m->watch, machine_usec(CLOCK_BOOTTIME), &fault);
	(void)nft_watch_dispatch(m->nft_watch);
	/* A tunnel that was made and taken away again looks like somebody else's. */
	if (watch_take_news(m->watch) & ~WATCH_LINK)
		manager_schedule(m, true);
	forget_losses(m);
}

static int apply(struct manager *m, struct plan *plan, struct fault *reterr)
{
	bool same = m->plan_known && plan_equal(plan, &m->plan);
	uint64_t start_usec = machine_usec(CLOCK_MONOTONIC), end_usec;
	int changes = plan_apply(m->applier, plan, m->plan_known ? &m->plan : NULL, reterr);

	if (changes < 0)
		return changes;
	end_usec = machine_usec(CLOCK_MONOTONIC);
	pace_looked(&m->pace, end_usec, same && changes > 0);
	if (changes > 0) {
		m->report.took_usec = end_usec - start_usec;
		m->report.changes = (unsigned int)changes;
		read_own_events(m);
	}
	if (same && changes > 0)
		say_repaired(m, changes);
	keep_plan(m, plan);
	/* Our own doing, or put back by whoever took it. */
	forget_losses(m);
	return changes;
}

/* Every so many seconds, and at first; it is done then. */
static bool is_due(uint64_t *last_usec, uint64_t seconds)
{
	uint64_t now_usec = machine_usec(CLOCK_MONOTONIC);

	if (*last_usec && now_usec - *last_usec < seconds * UINT64_C(1000000))
		return false;
	*last_usec = now_usec;
	return true;
}

void manager_prolong(struct manager *m)
{
	if (!m->plan_known || !m->plan.nat.present)
		return;
	/* The next time is early enough, too. */
	if (is_due(&m->prolonged_usec, NAT_PROLONG_SECONDS))
		(void)nat_prolong(m->nat, &m->plan.nat, NULL);
	if (is_due(&m->taught_usec, NAT_TEACH_SECONDS))
		(void)nat_teach(m->nat, &m->plan.nat, NULL);
}

/* ---- telling ----------------------------------------------------------------------------- */

static bool foreign_route_wins(const struct manager *m, const struct snapshot *snapshot,
			       const struct decision *decision)
{
	return decision->state == STATE_UP && snapshot->foreign_count > 0 &&
	       m->setup->settings.map.default_route;
}

static void warn(struct manager *m, const struct snapshot *snapshot,
		 const struct decision *decision, struct text *complaints)
{
	char foreign[FOREIGN_ROUTE_TEXT_MAX];
	char old[sizeof(m->report.warning)];
	const char *id = MESSAGE_FORWARD_LOST;
	char *end;

	memcpy(old, m->report.warning, sizeof(old));
	m->report.warning[0] = '\0';
	if (pace_fighting(&m->pace)) {
		id = MESSAGE_FOUGHT;
		snprintf(m->report.warning, sizeof(m->report.warning),
			 "another program keeps altering what maped set up; repairing every %.0f s",
			 (double)pace_pause(&m->pace) / 1e6);
	} else if (foreign_route_wins(m, snapshot, decision)) {
		id = MESSAGE_FOREIGN_ROUTE;
		snprintf(m->report.warning, sizeof(m->report.warning),
			 "MAP-E is not used for IPv4: another route wins, %s",
			 foreign_route_format(&snapshot->foreign[0], foreign));
	} else if (text_get(complaints)[0]) {
		end = strchr(complaints->data, '\n');
		snprintf(m->report.warning, sizeof(m->report.warning), "%.*s",
			 (int)(end ? end - complaints->data : 0), complaints->data);
	} else if (nat_missing(m->nat)[0]) {
		id = MESSAGE_NO_OFFLOAD;
		snprintf(m->report.warning, sizeof(m->report.warning), "%s", nat_missing(m->nat));
	}
	if (m->report.warning[0] && strcmp(old, m->report.warning) != 0)
		log_say(m->log, LOG_WARNING, id, "%s", m->report.warning);
}

static void report_lines(struct manager *m, const struct snapshot *snapshot,
			 const struct decision *decision)
{
	const struct pppoe_settings *pppoe = &m->setup->settings.pppoe;
	struct wan_view wan = wan_view(&m->setup->settings, snapshot);

	m->report.choice = decision->choice;
	m->report.pppoe = pppoe->enabled;
	m->report.ppp_up = pppoe->enabled && snapshot->ppp_up;
	snprintf(m->report.wan, sizeof(m->report.wan), "%s", wan.name);
	snprintf(m->report.ppp, sizeof(m->report.ppp), "%s", pppoe->interface);
}

static void report_decision(struct manager *m, const struct snapshot *snapshot,
			    const struct decision *decision)
{
	struct wan_view wan = wan_view(&m->setup->settings, snapshot);
	_cleanup_text_ struct text reason = TEXT_INIT;

	report_lines(m, snapshot, decision);
	if (decision->state == STATE_UP)
		report_map(&decision->choice.params, wan.name, &reason);
	else
		decision_explain(decision, &wan, &reason);
	manager_enter(m, decision->state, text_get(&reason), decision->look_again_usec);
}

/* Reads, decides, applies, tells. Everything that happens ends here. without_map: MAP-E could not
 * be built, so that there is only PPPoE; who called knows what to tell. Returns how much was
 * changed, or negative errno. */
static int look(struct manager *m, bool without_map, struct fault *reterr)
{
	_cleanup_(sight_done) struct sight sight = {0};
	_cleanup_plan_ struct plan plan = PLAN_EMPTY;
	_cleanup_text_ struct text complaints = TEXT_INIT;
	uint64_t now_usec = machine_usec(CLOCK_BOOTTIME);
	int changes, r;

	r = see(m, m->setup, now_usec, &m->memory, &sight, reterr);
	if (r < 0)
		return r;
	leave_heritage(m, &sight.snapshot, now_usec);
	remember_ppp(&m->setup->settings, &sight.snapshot, &m->ppp);
	r = make_plan(m, &sight.snapshot, without_map ? NULL : &sight.decision, &plan, &complaints);
	if (r < 0)
		return fault_errno(reterr, r, "make a plan");
	changes = apply(m, &plan, reterr);
	if (changes < 0)
		return changes;
	if (without_map) {
		report_lines(m, &sight.snapshot, &sight.decision);
		return changes;
	}
	backoff_reset(&m->backoff);
	warn(m, &sight.snapshot, &sight.decision, &complaints);
	report_decision(m, &sight.snapshot, &sight.decision);
	return changes;
}

/* A PPPoE interface comes and goes while it is being set up: what failed on it is looked at once
 * more. When MAP-E remains impossible, the other line carries what it can. */
static int look_with_pppoe(struct manager *m, struct fault *reterr)
{
	int r = look(m, false, reterr);

	if (r >= 0 || !m->setup->settings.pppoe.enabled)
		return r;
	r = look(m, false, reterr);
	if (r < 0)
		(void)look(m, true, NULL);
	return r;
}

void manager_reconcile(struct manager *m)
{
	struct fault fault = {0};
	int r;

	m->began_usec = machine_usec(CLOCK_MONOTONIC);
	sd_event_source_set_enabled(m->look, SD_EVENT_OFF);
	r = look_with_pppoe(m, &fault);
	if (r < 0) {
		pace_looked(&m->pace, machine_usec(CLOCK_MONOTONIC), false);
		manager_fail(m, &fault);
		read_failed_events(m);
	}
	manager_tell(m);
	if (r != 0)
		thrift_give_back();
}
