/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/status.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

void status_line(struct status *status, const char *line)
{
	if (strncmp(status->line, line, sizeof(status->line) - 1) == 0)
		return;
	snprintf(status->line, sizeof(status->line), "%s", line);
	sd_notifyf(0, "STATUS=%s", status->line);
}

void status_ready(struct status *status)
{
	if (status->ready && !status->reloading)
		return;
	status->ready = true;
	status->reloading = false;
	sd_notify(0, "READY=1");
}

void status_reloading(struct status *status)
{
	struct timespec now = {0};

	/* Type=notify-reload wants the time of the message (sd_notify(3)). */
	clock_gettime(CLOCK_MONOTONIC, &now);
	status->reloading = true;
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
		   (unsigned long long)now.tv_sec * 1000000 +
			   (unsigned long long)now.tv_nsec / 1000);
}

void status_stopping(struct status *status)
{
	sd_notify(0, "STOPPING=1");
	status->ready = false;
}
