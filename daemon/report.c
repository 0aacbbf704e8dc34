/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/report.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

void report_state(struct report *report, enum state state, const char *reason, uint64_t now_usec)
{
	if (report->state != state || report->since_usec == 0)
		report->since_usec = now_usec;
	report->state = state;
	snprintf(report->reason, sizeof(report->reason), "%s", reason);
}

void report_map(const struct map_params *params, const char *wan, struct text *out)
{
	char ipv4[PREFIX4_TEXT_MAX], ce[INET6_ADDRSTRLEN], br[INET6_ADDRSTRLEN];

	prefix4_format(&params->ipv4, ipv4);
	text_add(out, "%s ", params->rule.provider);
	if (params->ipv4.len < 32)
		text_add(out, "%s, whole prefix", ipv4);
	else
		text_add(out, "%.*s", (int)strcspn(ipv4, "/"), ipv4);
	if (params->ipv4.len == 32 && portset_is_whole(&params->ports))
		text_add(out, ", whole address");
	else if (params->ipv4.len == 32)
		text_add(out, ", PSID %u, %u ports in %u blocks", params->ports.psid,
			 portset_count(&params->ports), portset_block_count(&params->ports));
	text_add(out, "; CE %s -> BR %s on %s", inet_ntop(AF_INET6, &params->ce, ce, sizeof(ce)),
		 inet_ntop(AF_INET6, &params->br, br, sizeof(br)), wan);
}

void report_line(const struct report *report, const struct usage *usage, struct text *out)
{
	text_add(out, "%s: %s", state_name(report->state), report->reason);
	if (report->state == STATE_UP && usage->known)
		text_add(out, "; %u TCP and %u UDP ports in use", usage->used[USAGE_TCP],
			 usage->used[USAGE_UDP]);
	if (report->since[0])
		text_add(out, "; since %s", report->since);
	if (report->pppoe)
		text_add(out, "; PPPoE %s on %s", report->ppp_up ? "up" : "down", report->ppp);
	if (report->warning[0])
		text_add(out, "; warning: %s", report->warning);
	if (report->firewall[0])
		text_add(out, "; warning: %s", report->firewall);
	if (report->scarce[0])
		text_add(out, "; warning: %s", report->scarce);
	if (report->refused[0]) {
		text_add(out, "; new configuration refused: %s", report->refused);
		if (report->refused_count > 1)
			text_add(out, " (and %u more)", report->refused_count - 1);
	}
}
