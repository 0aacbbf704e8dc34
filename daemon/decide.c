/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/decide.h"

#include <stdio.h>
#include <string.h>

static enum state state_of_verdict(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_CHOSEN:
		return STATE_UP;
	case VERDICT_NO_PREFIX:
		return STATE_WAITING_PREFIX;
	case VERDICT_NO_RULE:
		return STATE_NO_RULE;
	case VERDICT_CLOSED_NETWORK:
		return STATE_CLOSED_NETWORK;
	case VERDICT_OCN_WITHOUT_MAPE:
		return STATE_OCN_WITHOUT_MAPE;
	}
	return STATE_WAITING_PREFIX;
}

static void hold_or_let_go(uint64_t now_usec, struct decide_memory *memory, struct decision *ret)
{
	if (memory->lost_since_usec == 0)
		memory->lost_since_usec = now_usec;
	if (now_usec - memory->lost_since_usec >= DECIDE_HOLD_USEC)
		return;
	ret->state = STATE_HOLDING;
	ret->choice = memory->choice;
	ret->look_again_usec = memory->lost_since_usec + DECIDE_HOLD_USEC;
}

/* Another than before has been waited for already, if the former was kept. */
static void remember_wan(const struct wan_view *wan, struct decide_memory *memory)
{
	if (strcmp(memory->wan, wan->name) != 0 && memory->lost_since_usec == 0)
		memory->lost_since_usec = memory->left_since_usec;
	snprintf(memory->wan, sizeof(memory->wan), "%s", wan->name);
	memory->left_since_usec = 0;
}

void decide(const struct wan_view *wan, const struct candidates *seen,
	    const struct settings *settings, const struct ruleset *rules, uint64_t now_usec,
	    struct decide_memory *memory, struct decision *ret)
{
	bool present = memory->choice.verdict == VERDICT_CHOSEN;

	*ret = (struct decision){.state = STATE_WAITING_WAN, .choice.verdict = VERDICT_NO_PREFIX};
	if (!wan->found) {
		/* Nothing can stand on an interface that is not there. */
		*memory = (struct decide_memory){.choice.verdict = VERDICT_NO_PREFIX};
		return;
	}
	remember_wan(wan, memory);
	choose_prefix(seen, settings, rules, present ? &memory->choice : NULL, &ret->choice);
	ret->state = state_of_verdict(ret->choice.verdict);
	if (ret->choice.verdict == VERDICT_CHOSEN)
		memory->lost_since_usec = 0;
	else if (present && ret->choice.verdict == VERDICT_NO_PREFIX)
		hold_or_let_go(now_usec, memory, ret);
	/* The missing link explains a missing prefix, also one that is still being held. */
	if (!wan->up && (ret->state == STATE_UP || ret->state == STATE_HOLDING ||
			 ret->state == STATE_WAITING_PREFIX))
		ret->state = STATE_WAITING_CARRIER;
	ret->usable = ret->state == STATE_UP;
	memory->choice = ret->choice;
	if (ret->choice.verdict != VERDICT_CHOSEN)
		memory->lost_since_usec = 0;
}

bool decide_wan_stays(const struct decide_memory *memory, const struct wan_view *other,
		      const struct decision *there, uint64_t now_usec)
{
	if (memory->choice.verdict != VERDICT_CHOSEN || !other->found || there->usable ||
	    strcmp(memory->wan, other->name) == 0)
		return false;
	return memory->left_since_usec == 0 ||
	       now_usec - memory->left_since_usec < DECIDE_HOLD_USEC;
}

void decision_explain(const struct decision *decision, const struct wan_view *wan, struct text *out)
{
	switch (decision->state) {
	case STATE_WAITING_WAN:
		if (wan->name[0])
			text_add(out, "WAN interface %s does not exist; goes on when it appears",
				 wan->name);
		else
			text_add(out,
				 "no interface has an IPv6 default route; goes on when the line "
				 "answers (or set wan.interface)");
		return;
	case STATE_WAITING_CARRIER:
		text_add(out, "no link on %s (cable, ONU or home gateway); goes on when it is back",
			 wan->name);
		return;
	case STATE_HOLDING:
		text_add(out, "the IPv6 prefix on %s has gone; waiting %u s for it to return",
			 wan->name, (unsigned int)(DECIDE_HOLD_USEC / 1000000));
		return;
	case STATE_WAITING_PREFIX:
	case STATE_NO_RULE:
	case STATE_CLOSED_NETWORK:
	case STATE_OCN_WITHOUT_MAPE:
		choice_explain(&decision->choice, wan->name, out);
		return;
	case STATE_STARTING:
	case STATE_UP:
	case STATE_FAILING:
	case STATE_STOPPING:
		return;
	}
}
