/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The long answers: `maped --status`, its --json form, and the metrics file. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/report.h"
#include "daemon/usage.h"
#include "lib/base/text.h"
#include "lib/map/plan.h"

struct report_full {
	const struct report *report;
	const struct plan *plan; /* as applied */
	const struct usage *usage;
	uint64_t now_usec; /* CLOCK_BOOTTIME */
	bool private;      /* may tell which LAN hosts talk to whom, and where forwards lead */
};

/* At most 80 columns; bars of port use per block. */
void report_plain(const struct report_full *full, struct text *out);
void report_json(const struct report_full *full, struct text *out);

/* Prometheus text format, for node_exporter's textfile collector. Tells nothing private. */
void report_metrics(const struct report_full *full, struct text *out);
