/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one list of states and their names. */
#pragma once

enum state {
	STATE_STARTING,
	STATE_WAITING_WAN,     /* the WAN interface does not exist, or "auto" finds none */
	STATE_WAITING_CARRIER, /* WAN is down; what was built stays */
	STATE_WAITING_PREFIX,  /* no usable IPv6 prefix */
	STATE_HOLDING,         /* the prefix has just gone; what was built stays for a moment */
	STATE_NO_RULE,
	STATE_CLOSED_NETWORK,
	STATE_OCN_WITHOUT_MAPE,
	STATE_UP,
	STATE_FAILING, /* the kernel refused something; tried again */
	STATE_STOPPING,
};

const char *state_name(enum state state);
