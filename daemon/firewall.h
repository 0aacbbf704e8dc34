/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tunnel's zone in firewalld, over D-Bus: put there, put there again whenever firewalld has
 * forgotten it (reload, restart), and taken back. Asynchronous: the event loop never waits, but for
 * the end. While nothing is wanted there is no connection to the bus.
 *
 * A zone that somebody else chose for the tunnel is left as it is; one that we changed is
 * put back. What we did is noted in the runtime directory, so that the process after a restart
 * knows.
 */
#pragma once

#include <systemd/sd-event.h>

#include "lib/base/macro.h"
#include "lib/map/settings.h"

struct firewall;

/* Called when firewall_trouble() has become another one, or the tunnel is in its zone. */
typedef void (*firewall_news)(void *userdata);

int firewall_open(sd_event *event, firewall_news news, void *userdata, struct firewall **ret);
void firewall_close(struct firewall *firewall); /* leaves the zone as it is; takes NULL */
DEFINE_CLEANUP(struct firewall *, firewall_close);

/* What the owner wants now; called again without a change it does nothing. */
void firewall_want(struct firewall *firewall, const struct firewalld_settings *settings,
		   const char *interface);

/* The sentence about what keeps the tunnel from its zone, "" = nothing. */
const char *firewall_trouble(const struct firewall *firewall);

/* "map0 is in zone external of firewalld", "" = it is not, or nothing is wanted. */
const char *firewall_place(const struct firewall *firewall);

/* At the end: takes back what this process, or one before it, did. Waits eight seconds at most,
 * and only when there is something to take back. */
void firewall_withdraw(void);
