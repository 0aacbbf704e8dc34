/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Counts the entries of one walk over conntrack into struct usage. Pure. */
#pragma once

#include "daemon/usage.h"
#include "lib/base/macro.h"
#include "lib/kernel/conntrack.h"
#include "lib/map/portset.h"

struct usage_tally;

/* ports must outlive it. NULL: no memory. */
struct usage_tally *usage_tally_new(const struct portset *ports);
void usage_tally_free(struct usage_tally *tally); /* takes NULL */
DEFINE_CLEANUP(struct usage_tally *, usage_tally_free);

/* The handler for conntrack_walk(); userdata is the tally. */
void usage_tally_add(void *userdata, const struct conntrack_entry *entry);

/* Writes what was counted; the peaks of usage only rise. */
void usage_tally_finish(const struct usage_tally *tally, struct usage *usage);
