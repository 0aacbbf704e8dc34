/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/state.h"

const char *state_name(enum state state)
{
	switch (state) {
	case STATE_STARTING:
		return "starting";
	case STATE_WAITING_WAN:
	case STATE_WAITING_CARRIER:
	case STATE_WAITING_PREFIX:
		return "waiting";
	case STATE_HOLDING:
		return "holding";
	case STATE_NO_RULE:
		return "no-rule";
	case STATE_CLOSED_NETWORK:
		return "closed-network";
	case STATE_OCN_WITHOUT_MAPE:
		return "ocn-without-mape";
	case STATE_UP:
		return "up";
	case STATE_FAILING:
		return "failing";
	case STATE_STOPPING:
		return "stopping";
	}
	return "?";
}
