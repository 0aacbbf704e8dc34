/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `maped --doctor`: what keeps MAP-E from working on this machine, one sentence a finding, with the
 * command that mends it. Judging is pure; doctor_facts.h gathers.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/decide.h"
#include "lib/base/text.h"
#include "lib/kernel/link.h"
#include "lib/kernel/nft_survey.h"
#include "lib/kernel/snapshot.h"
#include "lib/map/settings.h"

enum presence {
	PRESENCE_UNKNOWN, /* could not be found out */
	PRESENCE_NO,
	PRESENCE_YES,
};

#define DOCTOR_WORD_MAX 72
#define DOCTOR_LAN_MAX  16

struct doctor_lan { /* a LAN interface; how firewalld sees it */
	char interface[IFNAMSIZ];
	char zone[DOCTOR_WORD_MAX]; /* "" = none: the default zone */
	enum presence passes;       /* from there to the tunnel */
};

struct doctor_facts {
	char kernel[DOCTOR_WORD_MAX]; /* release, as uname -r */
	enum presence ip6_tunnel, nf_tables;
	enum presence daemon; /* serves its socket */

	const struct settings *settings;
	struct wan_view wan;
	enum presence wan_ipv6;         /* not switched off there */
	enum presence wan_takes_ra;     /* NO: the kernel ignores what it could hear there */
	enum presence ce_elsewhere;     /* another device on the link answers for the CE address */
	char ce_owner[DOCTOR_WORD_MAX]; /* its link address, "" = not known */
	struct decision decision;       /* what a daemon that starts now would decide */
	struct snapshot snapshot;

	bool tunnel_found;
	struct link_info tunnel;
	uint64_t tunnel_sent, tunnel_received; /* packets */
	uint32_t wanted_mtu;                   /* 0 = not known */
	bool rp_filter_strict;                 /* on the tunnel, all/ counted in */
	bool forwarding;

	struct nft_survey survey; /* other programs' base chains */
	bool survey_known;

	enum presence networkd, networkd_spares_us; /* runs; leaves foreign routes and rules */
	enum presence manager, manager_spares_us;   /* NetworkManager runs; tunnel unmanaged */
	enum presence firewalld;
	char zone[DOCTOR_WORD_MAX]; /* of the tunnel in firewalld, "" = none */
	struct doctor_lan lan[DOCTOR_LAN_MAX];
	size_t lan_count;
	char wan_zone[DOCTOR_WORD_MAX]; /* of the WAN in firewalld, the default zone if none */
	enum presence wan_zone_open;    /* lets in IPv4 in IPv6 that nobody asked for */
	enum presence docker;
	char duid[DOCTOR_WORD_MAX]; /* type of the DHCPv6 client's DUID, "" = not known */
	uint64_t conntrack_count, conntrack_max; /* max 0 = not known */
};

enum severity {
	SEVERITY_PROBLEM, /* MAP-E does not work because of it */
	SEVERITY_WARNING, /* it may be, or may become, a reason */
};

struct finding {
	enum severity severity;
	const char *name;   /* stable, for programs and tests: "tunnel-encap-limit" */
	char sentence[360]; /* for people */
	char command[640];  /* that mends it, one a line, "" = none can */
};

struct findings {
	struct finding list[40];
	size_t count;
};

void doctor_judge(const struct doctor_facts *facts, struct findings *ret);

/* The findings as text of 80 columns: problems first. Commands that are longer are continued as a
 * shell reads it. */
void doctor_print(const struct findings *findings, bool colour, struct text *out);
