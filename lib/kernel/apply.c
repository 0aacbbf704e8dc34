/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lib/kernel/apply.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/kernel/address.h"
#include "lib/kernel/policy.h"
#include "lib/kernel/route.h"
#include "lib/kernel/sysctl.h"
#include "lib/kernel/tunnel.h"

struct applier {
	struct rtnl *nl;
	struct apply_nat nat;
	struct sysctl_record sysctls;
	char *state_file;
	struct address_ours addresses;
};

int applier_open(struct rtnl *nl, const struct apply_nat *nat, const char *state_file,
		 struct applier **ret, struct fault *reterr)
{
	_cleanup_(applier_close_p) struct applier *applier = calloc(1, sizeof(*applier));
	int r = 0;

	if (!applier)
		return fault_errno(reterr, -ENOMEM, "prepare to apply");
	applier->nl = nl;
	applier->nat = *nat;
	if (state_file) {
		applier->state_file = strdup(state_file);
		if (!applier->state_file)
			return fault_errno(reterr, -ENOMEM, "prepare to apply");
		r = sysctl_record_load(state_file, &applier->sysctls, reterr);
		if (r == -ENOMEM)
			return r;
	}
	*ret = TAKE_PTR(applier);
	return r < 0;
}

void applier_close(struct applier *applier)
{
	if (!applier)
		return;
	sysctl_record_done(&applier->sysctls);
	free(applier->state_file);
	free(applier);
}

const struct address_ours *applier_addresses(const struct applier *applier)
{
	return &applier->addresses;
}

/* ---- one run ----------------------------------------------------------------------------- */

struct run {
	struct applier *applier;
	const struct plan *want;
	const struct plan *have;   /* NULL = not known */
	struct address_list stale; /* ours that stand and are not wanted */
	bool led;                  /* routes and rules are as wanted */
};

/* A line that was translated is not translated any more: what leads to it goes before the table. */
static bool loses_line(const struct run *run)
{
	const struct nat_plan *have, *want = &run->want->nat;

	if (!run->have)
		return true;
	have = &run->have->nat;
	if (have->map && (!want->map || strcmp(have->tunnel, want->tunnel) != 0))
		return true;
	return have->pppoe.enabled &&
	       (!want->pppoe.enabled || strcmp(have->pppoe.interface, want->pppoe.interface) != 0);
}

static bool same_mapping(const struct nat_plan *a, const struct nat_plan *b)
{
	return a->map && b->map && prefix4_equal(&a->address, &b->address) &&
	       portset_equal(&a->ports, &b->ports);
}

static bool same_session_line(const struct nat_plan_pppoe *a, const struct nat_plan_pppoe *b)
{
	return a->enabled && b->enabled && strcmp(a->interface, b->interface) == 0 &&
	       a->mark == b->mark && a->mask == b->mask && a->masquerade == b->masquerade;
}

/* The table that stands translates every line that is wanted, whatever address a PPPoE session has
 * now (lib/kernel/nat_pppoe.c, drop_foreign_source). */
static bool knows_lines(const struct run *run)
{
	const struct nat_plan *have, *want = &run->want->nat;

	if (!run->have || run->stale.count > 0)
		return false;
	have = &run->have->nat;
	if (want->map && !(same_mapping(have, want) && strcmp(have->tunnel, want->tunnel) == 0))
		return false;
	return !want->pppoe.enabled || same_session_line(&have->pppoe, &want->pppoe);
}

static int withdraw(struct run *run, struct fault *reterr)
{
	const struct plan *want = run->want;
	int rules, routes;

	rules = policy_prune(run->applier->nl, want->rules, want->rule_count, reterr);
	if (rules < 0)
		return rules;
	routes = route_prune(run->applier->nl, want->routes, want->route_count, reterr);
	return routes < 0 ? routes : rules + routes;
}

/* Wanted addresses of one family. */
static size_t addresses_of(const struct plan *plan, int family,
			   struct plan_address ret[static PLAN_ADDRESS_MAX])
{
	size_t count = 0;

	for (size_t i = 0; i < plan->address_count; i++)
		if (plan->addresses[i].family == family)
			ret[count++] = plan->addresses[i];
	return count;
}

static int ensure_addresses(struct run *run, int family, struct fault *reterr)
{
	struct plan_address addresses[PLAN_ADDRESS_MAX];
	size_t count = addresses_of(run->want, family, addresses);

	return address_ensure(run->applier->nl, addresses, count, &run->applier->addresses, reterr);
}

static int find_stale(struct run *run, struct fault *reterr)
{
	const struct plan *want = run->want;

	return address_stale(run->applier->nl, want->addresses, want->address_count,
			     &run->applier->addresses, &run->stale, reterr);
}

/* ---- steps, in the order in which they are taken ------------------------------------------ */

/* Without its CE address the tunnel sends nothing (ip6_tnl_xmit_ctl), so that no packet of the new
 * mapping leaves with the old ends or the other way round. */
static int close_gate(struct run *run, struct fault *reterr)
{
	int r = find_stale(run, reterr);

	if (r < 0)
		return r;
	return address_remove(run->applier->nl, AF_INET6, &run->stale, &run->applier->addresses,
			      reterr);
}

static int withdraw_early(struct run *run, struct fault *reterr)
{
	return loses_line(run) ? withdraw(run, reterr) : 0;
}

static int set_tunnel(struct run *run, struct fault *reterr)
{
	return tunnel_sync(run->applier->nl, &run->want->tunnel,
			   run->have ? &run->have->tunnel : NULL, reterr);
}

static int set_sysctls(struct run *run, struct fault *reterr)
{
	return sysctl_sync(run->want->sysctls, run->want->sysctl_count, &run->applier->sysctls,
			   run->applier->state_file, reterr);
}

/* Before the old one goes: the routes of an interface go with its last IPv4 address. */
static int add_shared_address(struct run *run, struct fault *reterr)
{
	return ensure_addresses(run, AF_INET, reterr);
}

/* Tables are filled before a rule leads there. */
static int lead(struct run *run, struct fault *reterr)
{
	const struct plan *want = run->want;
	int routes, rules;

	if (run->led)
		return 0;
	routes = route_ensure(run->applier->nl, want->routes, want->route_count, reterr);
	if (routes < 0)
		return routes;
	rules = policy_ensure(run->applier->nl, want->rules, want->rule_count, reterr);
	if (rules < 0)
		return rules;
	run->led = true;
	return routes + rules;
}

/* A line that comes back is not kept waiting by the table, which is the longest step. */
static int lead_early(struct run *run, struct fault *reterr)
{
	return knows_lines(run) ? lead(run, reterr) : 0;
}

static int translate(struct run *run, struct fault *reterr)
{
	const struct apply_nat *nat = &run->applier->nat;

	return nat->sync ? nat->sync(nat->userdata, &run->want->nat, reterr) : 0;
}

/* Connections of the PPPoE session before, which had another address: the forwarded ones would
 * keep it for as long as somebody in the LAN goes on sending. */
static int forget_session(struct run *run, struct fault *reterr)
{
	const struct apply_nat *nat = &run->applier->nat;
	struct in_addr old = run->have ? run->have->nat.pppoe.address : (struct in_addr){0};

	if (old.s_addr == 0 || old.s_addr == run->want->nat.pppoe.address.s_addr)
		return 0;
	return nat->forget(nat->userdata, old, &run->want->nat, reterr);
}

/* While the gate is closed: flows that began under the old mapping would keep it for life. */
static int forget_connections(struct run *run, struct fault *reterr)
{
	const struct apply_nat *nat = &run->applier->nat;
	const struct nat_plan *want = &run->want->nat;
	struct in_addr forgotten = {0};
	bool ends_changed = false;
	int changed = 0, r = 0;

	if (!nat->forget)
		return 0;
	r = forget_session(run, reterr);
	if (r < 0)
		return r;
	changed += r > 0;
	if (run->have && run->have->nat.map && !same_mapping(&run->have->nat, want)) {
		forgotten = run->have->nat.address.addr;
		r = nat->forget(nat->userdata, forgotten, want, reterr);
		changed += r > 0;
	}
	for (size_t i = 0; r >= 0 && i < run->stale.count; i++) {
		const struct address_info *address = &run->stale.list[i];

		if (address->family == AF_INET6)
			ends_changed = true;
		if (address->family != AF_INET || address->ip4.s_addr == forgotten.s_addr)
			continue;
		r = nat->forget(nat->userdata, address->ip4, want, reterr);
		changed += r > 0;
	}
	/* A predecessor's CE with the same IPv4 address means other ports of it. */
	if (r >= 0 && !run->have && ends_changed && want->map) {
		r = nat->forget(nat->userdata, want->address.addr, want, reterr);
		changed += r > 0;
	}
	return r < 0 ? r : changed;
}

static int remove_shared_address(struct run *run, struct fault *reterr)
{
	return address_remove(run->applier->nl, AF_INET, &run->stale, &run->applier->addresses,
			      reterr);
}

static int open_gate(struct run *run, struct fault *reterr)
{
	return ensure_addresses(run, AF_INET6, reterr);
}

static int withdraw_late(struct run *run, struct fault *reterr)
{
	return loses_line(run) ? 0 : withdraw(run, reterr);
}

typedef int (*step)(struct run *run, struct fault *reterr);

static const step steps[] = {
	close_gate,
	withdraw_early,
	set_tunnel,
	set_sysctls,
	add_shared_address,
	lead_early, /* or lead, behind the table */
	translate,
	forget_connections,
	remove_shared_address,
	open_gate,
	lead,
	withdraw_late,
};

/* stubborn: goes on after a failed step, but leaves the table: what still leads to a line must not
 * be without it. The first failure is returned in both cases. */
static int take_steps(struct applier *applier, const struct plan *want, const struct plan *have,
		      bool stubborn, struct fault *reterr)
{
	struct run run = {.applier = applier, .want = want, .have = have};
	int changes = 0, failed = 0;

	for (size_t i = 0; i < ARRAY_SIZE(steps) && (stubborn || failed == 0); i++) {
		int r;

		if (failed < 0 && (steps[i] == translate || steps[i] == forget_connections))
			continue;
		r = steps[i](&run, failed == 0 ? reterr : NULL);
		if (r >= 0)
			changes += r;
		else if (failed == 0)
			failed = r;
	}
	address_list_done(&run.stale);
	return failed < 0 ? failed : changes;
}

/* ---- there and back ---------------------------------------------------------------------- */

static bool is_empty(const struct plan *plan)
{
	return !plan->tunnel.name[0] && plan->address_count == 0 && plan->route_count == 0 &&
	       plan->rule_count == 0 && plan->sysctl_count == 0 && !plan->nat.present;
}

/* A second round, because what failed once need not fail again. What the first round changed
 * counts. */
static int take_steps_twice(struct applier *applier, const struct plan *want,
			    const struct plan *have, bool stubborn, struct fault *reterr)
{
	uint64_t before = rtnl_changes(applier->nl);
	struct fault fault = {0};
	int first, second;

	first = take_steps(applier, want, have, stubborn, &fault);
	if (first >= 0)
		return first;
	before = rtnl_changes(applier->nl) - before;
	second = take_steps(applier, want, have, stubborn, NULL);
	if (second >= 0)
		return second + (int)before;
	if (reterr)
		*reterr = fault;
	return first;
}

static int predecessor_stands(struct rtnl *nl, struct fault *reterr)
{
	_cleanup_address_list_ struct address_list addresses = {0};
	struct address_ours ours = {.count = 0};
	int r;

	r = address_stale(nl, NULL, 0, &ours, &addresses, reterr);
	if (r < 0)
		return r;
	if (addresses.count > 0)
		return 1;
	r = tunnel_stands(nl, reterr);
	if (r == 0)
		r = route_stands(nl, reterr);
	if (r == 0)
		r = policy_stands(nl, reterr);
	return r;
}

int plan_apply(struct applier *applier, const struct plan *want, const struct plan *have,
	       struct fault *reterr)
{
	const struct plan nothing = PLAN_EMPTY;
	int r;

	if (is_empty(want))
		return take_steps_twice(applier, want, have, true, reterr);
	if (!have) {
		r = predecessor_stands(applier->nl, reterr);
		if (r < 0)
			return r;
		if (r > 0)
			return take_steps_twice(applier, want, NULL, false, reterr);
		have = &nothing;
	}
	r = take_steps(applier, want, have, false, reterr);
	if (r >= 0)
		return r;
	if (is_empty(have))
		(void)take_steps_twice(applier, &nothing, want, true, NULL);
	else
		(void)take_steps(applier, have, want, false, NULL);
	return r;
}
