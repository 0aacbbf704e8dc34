/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * IPv4 policy rules with protocol PLAN_PROTOCOL (FRA_PROTOCOL). No other rule is touched.
 */
#pragma once

#include <linux/netlink.h>

#include "lib/kernel/rtnl.h"
#include "lib/map/plan.h"

/* Adds what is missing. A rule of another program that says the same counts as present (older
 * kernels allow no second one). Returns how many rules, or negative errno. */
int policy_ensure(struct rtnl *nl, const struct plan_rule *want, size_t count,
		  struct fault *reterr);

/* Removes ours that are not wanted, and all but one of several equal ones. */
int policy_prune(struct rtnl *nl, const struct plan_rule *want, size_t count, struct fault *reterr);

/* 1 when one of ours stands, 0 when none does. */
int policy_stands(struct rtnl *nl, struct fault *reterr);

/* Ensure, then prune. */
int policy_sync(struct rtnl *nl, const struct plan_rule *want, size_t count, struct fault *reterr);

/* A rule as the kernel shows it. */
struct policy_info {
	struct plan_rule rule;
	uint8_t protocol;
	bool plain; /* nothing but what struct plan_rule says */
};

bool policy_same(const struct plan_rule *a, const struct plan_rule *b);

/* "priority 1000 fwmark 0x3e8/0xffffffff table 10" */
#define POLICY_TEXT_MAX 120
const char *policy_describe(const struct plan_rule *rule, char buffer[static POLICY_TEXT_MAX]);

/* A RTM_NEWRULE or RTM_DELRULE message. -EBADMSG when it is not a sound one of IPv4. */
int policy_parse(const struct nlmsghdr *message, struct policy_info *ret);
