/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The running daemon: events in, decisions applied, people told. One deferred reconcile reads the
 * kernel and acts; start-up, a burst, a lost message and a reload all take that path.
 */
#pragma once

#include "lib/base/macro.h"

struct manager;

/* config_file NULL: /etc/maped.conf, and the defaults when that does not exist.
 * Complaints about the file and anything that keeps it from starting go to the log. -EBADMSG: the
 * file is refused, and will be until somebody mends it. */
int manager_new(const char *config_file, struct manager **ret);
void manager_free(struct manager *manager); /* leaves the kernel as it is */
DEFINE_CLEANUP(struct manager *, manager_free);

/* Runs until it is told to end; then removes everything unless the service is being restarted.
 * 0, or the negative errno that ended it; under systemd everything stays then, for the next one. */
int manager_run(struct manager *manager);

/* Takes away what a killed daemon left behind. Under systemd (ExecStopPost=) only when no restart
 * follows. A daemon that runs keeps what it has. Returns the exit status. */
int manager_remove(void);
