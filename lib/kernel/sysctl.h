/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kernel settings below /proc/sys/net: read, compare, write only what differs, and put back.
 *
 * The value found before the first write is the original. It is kept in a record and, before the
 * kernel is told anything, in a state file, so that a later process restores the true originals
 * even after kill -9. What somebody else has changed since our write is left as it is.
 *
 * net/ipv4/ip_forward is more than one setting: the kernel then also sets the forwarding of every
 * interface and of "default", and all/accept_redirects to the opposite (net/ipv4/devinet.c
 * inet_forward_change). Those that going back alone would not bring back are recorded with it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/fault.h"
#include "lib/base/macro.h"
#include "lib/base/text.h"
#include "lib/map/plan.h"

struct sysctl_entry {
	char path[sizeof(((struct plan_sysctl *)0)->path)];
	int original;
	int written;
};

struct sysctl_record {
	struct sysctl_entry *list; /* in the order of writing */
	size_t count;
};

void sysctl_record_done(struct sysctl_record *record);
#define _cleanup_sysctl_record_ _cleanup_(sysctl_record_done)

/* Makes the settings as wanted and puts back what is recorded and no longer wanted; count 0 puts
 * back everything. record is brought up to date. state_file: where it is kept (replaced as a whole;
 * removed when the record is empty), NULL = nowhere.
 *
 * A setting whose interface is gone needs no putting back and, with SYSCTL_LOOSEN, no loosening;
 * with SYSCTL_SET it is -ENOENT. Returns how many settings were written, or a negative errno:
 * settings before the failing one stay written and recorded. */
int sysctl_sync(const struct plan_sysctl *want, size_t count, struct sysctl_record *record,
		const char *state_file, struct fault *reterr);

/* The value of one setting; path below /proc/sys. */
int sysctl_read(const char *path, int *ret);

/* The record that an earlier process left. No file is an empty record. A file that is cut off, or
 * says anything that sysctl_sync() does not write, is not believed at all: -EBADMSG with the
 * reason, and ret is not touched. */
#define SYSCTL_STATE_MAX 65536 /* octets; a larger file is refused */
int sysctl_record_load(const char *state_file, struct sysctl_record *ret, struct fault *reterr);

/* The text of the state file, and back. For tests and fuzzing, too. */
void sysctl_record_print(const struct sysctl_record *record, struct text *out);
int sysctl_record_parse(const char *text, size_t length, struct sysctl_record *ret,
			struct fault *reterr);
