/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The manager from inside: what its four files share. manager.c begins, ends and takes events;
 * manager_look.c reads, decides and applies; manager_owner.c takes the owner's word;
 * manager_tell.c says what is so. Nobody else includes this.
 */
#pragma once

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>
#include <time.h>

#include "daemon/confwatch.h"
#include "daemon/decide.h"
#include "daemon/firewall.h"
#include "daemon/heritage.h"
#include "daemon/log.h"
#include "daemon/manager.h"
#include "daemon/pace.h"
#include "daemon/query.h"
#include "daemon/report.h"
#include "daemon/setup.h"
#include "daemon/state.h"
#include "daemon/status.h"
#include "daemon/usage.h"
#include "lib/base/backoff.h"
#include "lib/kernel/apply.h"
#include "lib/kernel/conntrack.h"
#include "lib/kernel/nat.h"
#include "lib/kernel/nft_watch.h"
#include "lib/kernel/rtnl.h"
#include "lib/kernel/watch.h"
#include "lib/map/plan.h"

/* In the runtime directory, for node_exporter. */
#define METRICS_FILE "metrics"

/* The PPPoE interface as last seen: while it is away, nothing of it needs to change. */
struct ppp_memory {
	char interface[IFNAMSIZ];
	struct in_addr address;
	uint32_t mtu;
};

struct manager {
	const char *config_file; /* as given, or CONFIG_FILE */
	bool config_optional;    /* the default file need not exist */

	struct log *log;
	struct status status;
	sd_event *event;
	sd_event_source *events; /* the watch */
	sd_event_source *nft_events;
	sd_event_source *look;  /* the deferred reconcile */
	sd_event_source *alarm; /* the one timer of the present state */
	sd_event_source *tick;  /* watchdog, use of ports, metrics */
	sd_event_source *signals[5];
	struct confwatch *confwatch;
	struct query *query;
	struct firewall *firewall;

	struct rtnl *nl;
	struct watch *watch;
	struct nft_watch *nft_watch; /* NULL: the kernel has no nftables yet */
	struct nat *nat;
	struct conntrack *conntrack;
	struct applier *applier;

	struct setup *setup;         /* what the owner wants now */
	struct setup *applied_setup; /* what plan borrows from; may be the same */
	struct plan plan;            /* as last applied */
	bool plan_known;             /* false: a predecessor's may stand */
	struct decide_memory memory;
	struct heritage heritage; /* as last written */
	struct ppp_memory ppp;
	uint64_t tick_usec;
	uint64_t began_usec;     /* CLOCK_MONOTONIC of the present look */
	uint64_t prolonged_usec; /* CLOCK_MONOTONIC of the last nat_prolong(); 0: not yet */
	uint64_t taught_usec;    /* the same of nat_teach() */
	struct pace pace;
	struct backoff backoff;
	struct report report; /* what people are told */
	enum state counted;   /* the state that the metrics file tells */
	struct usage usage;
};

/* ---- manager_look.c */

/* Reads, decides, applies, tells. */
void manager_reconcile(struct manager *m);

/* What the next look would choose with this setup. 0 or negative errno. */
int manager_foresee(struct manager *m, const struct setup *setup, struct choice *ret);

/* A look soon: at once for news, later while another program fights or the kernel refuses. */
void manager_schedule(struct manager *m, bool news);

/* What living connections have taught the NAT is prolonged, when it is time to. */
void manager_prolong(struct manager *m);

/* ---- manager_owner.c */

int manager_load_setup(struct manager *m, struct setup **ret, struct text *complaints);

/* Tells the firewall which zone the tunnel is wanted in, if any. */
void manager_want_firewall(struct manager *m);

/* firewalld has answered, or does not. */
void manager_on_firewall(void *userdata);

/* Says each line of complaints, which are used up; returns how many. */
unsigned int manager_say_complaints(struct manager *m, struct text *complaints);

void manager_reload(struct manager *m);

/* ---- manager_tell.c */

/* The only place that changes the state: says it once, shows it, and sets the one timer
 * (alarm_usec: CLOCK_BOOTTIME, 0 = none). */
void manager_enter(struct manager *m, enum state state, const char *reason, uint64_t alarm_usec);

/* The STATUS line. */
void manager_tell(struct manager *m);

/* The kernel refused something: what stands stays, and it is tried again later. */
void manager_fail(struct manager *m, const struct fault *fault);

/* The use of ports now: in the metrics file and in the STATUS line. */
void manager_count(struct manager *m);

/* Callbacks: the status socket, SIGUSR1. */
void manager_on_query(void *userdata, bool trusted, struct text *plain, struct text *json);
int manager_on_usr1(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata);
