/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ranges of ports or addresses that must not overlap: gathered while the file is read, compared at
 * its end, whatever their order.
 */
#pragma once

#include <libconfig.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/map/prefix.h"
#include "lib/map/settings.h"

enum span_kind {
	SPAN_MAP_TCP, /* outer ports of the MAP-E address: forward, nat.open */
	SPAN_MAP_UDP,
	SPAN_BLOCK_TCP, /* the same, counted in the port set */
	SPAN_BLOCK_UDP,
	SPAN_PPPOE_TCP, /* outer ports of the PPPoE address */
	SPAN_PPPOE_UDP,
	SPAN_NAT_HOST,
	SPAN_PPPOE_HOST,
	SPAN_PPPOE_STATION,
	SPAN_PPPOE_DESTINATION,
	SPAN_PPPOE_SERVICE_TCP,
	SPAN_PPPOE_SERVICE_UDP,
	SPAN_KINDS,
};

struct span {
	uint64_t first, last;
	const config_setting_t *at; /* whom to complain about */
	size_t order;
};

struct spans {
	struct span *list;
	size_t count, room;
};

struct reading;

/* A failed allocation is kept in the reading. */
void span_add(struct reading *reading, enum span_kind kind, uint64_t first, uint64_t last,
	      const config_setting_t *at);
void span_add_prefix(struct reading *reading, enum span_kind kind, const struct prefix4 *prefix,
		     const config_setting_t *at);
/* tcp: SPAN_…_TCP; the kind for UDP is the next one. */
void span_add_ports(struct reading *reading, enum span_kind tcp, unsigned int protocols,
		    uint64_t first, uint64_t last, const config_setting_t *at);

/* Complains about each span that overlaps one before it in the file. */
void spans_check(struct reading *reading);
void spans_done(struct spans *spans);
