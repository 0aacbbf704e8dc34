/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What firewalld would do with packets from the LAN into the tunnel. Asks over D-Bus, changes
 * nothing. */
#pragma once

#include <systemd/sd-bus.h>

#include "daemon/doctor.h"

/* Fills firewalld, zone and lan of facts; settings and snapshot must be there. */
void doctor_ask_firewalld(sd_bus *bus, struct doctor_facts *facts);
