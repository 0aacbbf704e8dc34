/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tells when the configuration or a rule file has been saved, renamed or linked into place or
 * removed, or has got another owner or mode: an editor's several steps become one call, a moment
 * after the last of them.
 */
#pragma once

#include <systemd/sd-event.h>

#include "lib/base/macro.h"

struct confwatch;

typedef void (*confwatch_changed)(void *userdata);

/* file: the configuration; its directory is watched, since editors replace the file, and those of
 * what it leads to as a symbolic link. directories: of rule files, ended by NULL; those that do not
 * exist are left out. 0 or negative errno. */
int confwatch_open(sd_event *event, const char *file, const char *const *directories,
		   confwatch_changed changed, void *userdata, struct confwatch **ret);
void confwatch_close(struct confwatch *watch);
DEFINE_CLEANUP(struct confwatch *, confwatch_close);
