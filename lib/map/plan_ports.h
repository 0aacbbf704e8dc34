/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which ports go where: those that are opened for the router, and forwards. What does not fit the
 * port set or meets another is left out with a complaint, FILE:LINE and what would fit.
 *
 * Each fills its list of the plan, which owns it, and returns 0 or -ENOMEM.
 */
#pragma once

#include "lib/map/plan.h"

int plan_open(const struct settings *settings, const struct portset *set, struct nat_plan *nat,
	      struct text *complaints);
/* Behind plan_open(): a forward does not take a port that is open. */
int plan_forwards(const struct settings *settings, const struct portset *set, struct nat_plan *nat,
		  struct text *complaints);
/* The other line has all ports. */
int plan_pppoe_forwards(const struct pppoe_settings *pppoe, struct nat_plan_pppoe *nat);
