/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What systemd is told. READY, RELOADING and STOPPING are spoken here and nowhere else; without a
 * notify socket all of it is silent.
 */
#pragma once

#include <stdbool.h>

struct status {
	bool ready;     /* READY=1 has been said */
	bool reloading; /* RELOADING=1 without its READY=1 yet */
	char line[512]; /* the STATUS last said */
};

/* STATUS=line, if it differs from the last one. */
void status_line(struct status *status, const char *line);

/* READY=1, once, and again to end a reload. */
void status_ready(struct status *status);
void status_reloading(struct status *status);
void status_stopping(struct status *status);
