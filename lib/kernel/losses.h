/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What of ours somebody took away or altered, in sentences for the log. Nothing is repaired by it:
 * the backends find out by themselves what is missing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/text.h"
#include "lib/kernel/address.h"
#include "lib/kernel/link.h"
#include "lib/kernel/policy.h"
#include "lib/kernel/route.h"
#include "lib/map/plan.h"

#define LOSSES_MAX    16
#define LOSS_TEXT_MAX 128

struct losses {
	/* What is missed when it goes; nothing of it points anywhere. */
	struct plan_tunnel tunnel;
	struct plan_address addresses[PLAN_ADDRESS_MAX];
	size_t address_count;
	struct address_ours ours;
	struct plan_route routes[PLAN_ROUTE_MAX];
	size_t route_count;
	struct plan_rule rules[PLAN_RULE_MAX];
	size_t rule_count;
	struct plan_sysctl sysctls[PLAN_SYSCTL_MAX];
	size_t sysctl_count;

	char list[LOSSES_MAX][LOSS_TEXT_MAX];
	size_t count;
};

void losses_expect(struct losses *losses, const struct plan *plan);
/* Which addresses are ours even without our protocol. */
void losses_expect_addresses(struct losses *losses, const struct address_ours *ours);

/* Each takes one event. name: of the interface, "" when it is not known any more. True when the
 * object is one of the expected (whatever happened to it). */
bool losses_take_link(struct losses *losses, const struct link_info *link, bool gone);
bool losses_take_address(struct losses *losses, const struct address_info *address,
			 const char *name, bool gone);
enum route_event {
	ROUTE_NEW,
	ROUTE_REPLACES, /* new, in the place of another one */
	ROUTE_GONE,
};
/* True for a foreign one, too, when it stands in a table that is ours to fill. */
bool losses_take_route(struct losses *losses, const struct route_info *route, const char *name,
		       enum route_event event);
bool losses_take_rule(struct losses *losses, const struct policy_info *info, bool gone);
/* A kernel setting, with its path below /proc/sys: true only when the value is not as wanted, or
 * may make another one count that is not. */
bool losses_take_setting(struct losses *losses, const char *path, int value);
/* Reads those with one wanted value: of src_valid_mark the kernel sends no event. */
bool losses_check_settings(struct losses *losses);

/* Moves the sentences into out, one a line. */
void losses_move(struct losses *losses, struct text *out);
